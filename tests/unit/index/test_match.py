"""What the property test of predicates cannot reach: many values, bad patterns, nodes of fields."""

from __future__ import annotations

import numpy as np
import pytest
from pyroaring import BitMap

from rusts.errors import Bug, InvalidRequest
from rusts.index.match import check_pattern
from rusts.index.series import SeriesIndex
from rusts.model.predicate import And, CompareOp, FieldCompare, Or, TagIn, TagRegex
from rusts.model.series import KeyTable, encode_key


@pytest.fixture
def index() -> SeriesIndex:
    made = SeriesIndex("m")
    count = 20_000
    keys = [encode_key("m", {"host": f"host-{i}", "zone": str(i % 3)}) for i in range(count)]
    made.add(KeyTable.of(keys), np.arange(count))
    return made


def test_many_values_at_once(index: SeriesIndex) -> None:
    values = tuple(f"host-{i}" for i in range(0, 20_000, 7))
    assert index.match(TagIn("host", values)) == BitMap(range(0, 20_000, 7))
    assert index.match(TagIn("host", values, negated=True)) == BitMap(range(20_000)) - BitMap(range(0, 20_000, 7))
    assert index.match(TagRegex("host", "0$")) == BitMap(range(0, 20_000, 10))


def test_a_leaf_gives_a_bitmap_of_its_own(index: SeriesIndex) -> None:
    leaf = TagIn("zone", ("1",))
    found = index.match(leaf)
    found.clear()
    assert index.match(leaf) == BitMap(range(1, 20_000, 3))
    found = index.match(And((leaf, leaf)))
    found.clear()
    assert len(index.match(leaf)) == 6667


@pytest.mark.parametrize("pattern", ["(", "a**", "[z-a]", "(?<!a)b", r"\1"])
def test_a_bad_pattern_is_the_requests_fault(index: SeriesIndex, pattern: str) -> None:
    bad = TagRegex("host", pattern)
    unknown = TagRegex("nobody", pattern)
    nothing = TagIn("host", ())
    for predicate in (bad, unknown, And((bad,)), Or((nothing, bad)), And((nothing, bad)), And((nothing, Or((bad,))))):
        with pytest.raises(InvalidRequest, match="invalid regular expression"):
            index.match(predicate)
    with pytest.raises(InvalidRequest):
        check_pattern(pattern)


def test_a_pattern_that_backtracks_elsewhere_ends(index: SeriesIndex) -> None:
    assert index.match(TagRegex("host", "(h*)*(o*)*(s*)*x$")) == BitMap()


def test_a_node_of_a_field_is_our_bug(index: SeriesIndex) -> None:
    with pytest.raises(Bug):
        index.match(FieldCompare("v", CompareOp.EQ, 1))
