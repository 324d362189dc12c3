"""Predicates over tags, evaluated by the index and, series by series, by their definition."""

from __future__ import annotations

import os
import re

import numpy as np
from hypothesis import given, seed, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from rusts.index.series import SeriesIndex
from rusts.model.predicate import And, Or, Predicate, TagIn, TagRegex
from rusts.model.series import KeyTable, encode_key

SEED = int(os.environ.get("RUSTS_SEED", "20240501"))
EXAMPLES = 3_000 if os.environ.get("RUSTS_PROOF") else 150

KEYS = ["a", "b", "host", "é"]
VALUES = ["x", "y", "xy", "web-1", "web-2", "ü", "."]
PATTERNS = ["x", "^x$", "web-.", "", "^$", "[xy]+", ".*", "ü|y", "^web-[0-9]+$"]

keys = st.sampled_from([*KEYS, "nobody"])
tags = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES), max_size=4)
leaves = st.one_of(
    st.builds(TagIn, keys, st.lists(st.sampled_from(["", "never", *VALUES]), max_size=4).map(tuple), st.booleans()),
    st.builds(TagRegex, keys, st.sampled_from(PATTERNS), st.booleans()),
)
predicates = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda parts: And(tuple(parts))),
        st.lists(inner, max_size=3).map(lambda parts: Or(tuple(parts))),
    ),
    max_leaves=6,
)


def holds(predicate: Predicate, series: dict[str, str]) -> bool:
    match predicate:
        case TagIn(key, values, negated):
            return (series.get(key, "") in values) != negated
        case TagRegex(key, pattern, negated):
            return bool(re.search(pattern, series.get(key, ""))) != negated
        case And(parts):
            return all(holds(p, series) for p in parts)
        case Or(parts):
            return any(holds(p, series) for p in parts)
    raise AssertionError(predicate)


@seed(SEED)
@settings(max_examples=EXAMPLES, deadline=None, database=None, print_blob=True)
@given(
    st.lists(tags, max_size=30, unique_by=lambda t: tuple(sorted(t.items()))),
    st.lists(predicates, min_size=1, max_size=4),
    st.integers(0, 30),
    st.sets(st.integers(0, 29)),
)
def test_the_index_finds_what_the_definition_says(
    series: list[dict[str, str]], asked: list[Predicate], cut: int, dropped: set[int]
) -> None:
    table = KeyTable.of([encode_key("m", t) for t in series])
    index = SeriesIndex("m")
    # Asked before and after it grows, so that kept bitmaps are grown too, and once more after drops.
    for begin, end in ((0, min(cut, len(series))), (min(cut, len(series)), len(series))):
        index.add(table, np.arange(begin, end))
        for predicate in asked:
            assert index.match(predicate) == BitMap(i for i in range(end) if holds(predicate, series[i]))
    gone = sorted(n for n in dropped if n < len(series))
    index.drop(np.array(gone, dtype=np.uint32))
    for predicate in asked:
        expected = BitMap(i for i in range(len(series)) if i not in dropped and holds(predicate, series[i]))
        assert index.match(predicate) == expected


@seed(SEED)
@settings(max_examples=EXAMPLES, deadline=None, database=None, print_blob=True)
@given(st.lists(st.lists(tags, max_size=12), max_size=6))
def test_the_index_is_a_dict_of_keys(batches: list[list[dict[str, str]]]) -> None:
    index = SeriesIndex("m")
    model: dict[bytes, int] = {}
    for batch in batches:
        distinct = list(dict.fromkeys(encode_key("m", t) for t in batch))
        table = KeyTable.of(distinct)
        numbers = index.lookup(table)
        assert numbers.tolist() == [model.get(key, 0xFFFFFFFF) for key in distinct]
        fresh = np.flatnonzero(numbers == 0xFFFFFFFF)
        for position, number in zip(fresh.tolist(), index.add(table, fresh).tolist(), strict=True):
            assert number == len(model)
            model[distinct[position]] = number
    stored = index.keys(np.arange(len(index), dtype=np.uint32))
    assert [stored[i] for i in range(len(stored))] == list(model)
    for key in index.tag_keys():
        column = index.tag(key)
        assert len(set(column.values)) == len(column.values)
        assert index.distinct(key) == len(column.values) - 1
