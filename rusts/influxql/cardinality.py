"""SHOW ... CARDINALITY: how many series, measurements, tag keys, tag values and fields there are.

Everything is counted exactly, "estimation" or not; only the form of the answer differs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rusts import errors
from rusts.influxql import ast
from rusts.influxql.context import Context
from rusts.influxql.planner.condition import split
from rusts.influxql.results import Frame, frame_of
from rusts.influxql.show import keys_matching, mentions_time
from rusts.influxql.tagfilter import NONE, series_predicate
from rusts.model.groups import Groups, group_series
from rusts.model.predicate import Predicate
from rusts.model.series import SeriesSet
from rusts.query.expression import Expression, Pattern, Ref, Wildcard

__all__ = ["show_cardinality"]

_What = ast.Cardinality
_ESTIMATED = (_What.SERIES, _What.MEASUREMENT)
"""What 1.x only estimates unless it is asked for more than the whole database."""


def show_cardinality(context: Context, statement: ast.ShowCardinality) -> Iterator[Frame]:
    """A number for the database, or one for each measurement and group."""
    database = context.named(statement.database)
    plain = not (statement.exact or statement.sources or statement.condition or statement.dimensions)
    if plain and statement.what in _ESTIMATED and not (statement.limit or statement.offset):
        yield frame_of("", ["cardinality estimation"], [[_whole(context, database, statement.what)]])
        return
    context.existing(database)
    if mentions_time(statement.condition):
        exact = "" if statement.what is _What.FIELD_KEY else "EXACT "
        raise errors.InvalidRequest(f"SHOW {statement.what} {exact}CARDINALITY doesn't support time in WHERE clause")
    _, condition = split(statement.condition, context.services.clock.now_ns(), None)
    statement = replace(statement, condition=condition)
    if statement.offset:
        # Each group has one row.
        return
    names = context.measurements(database, statement.sources)
    if statement.what is _What.MEASUREMENT:
        yield from _measurements(context, database, names, statement)
        return
    for name in names:
        context.tracker.check()
        predicate = _predicate(context, database, name, statement.condition)
        if predicate == NONE:
            continue
        if not statement.dimensions:
            if count := _count(context, database, name, predicate, statement):
                yield frame_of(name, ["count"], [[count]])
            continue
        series, groups, keys = _grouped(context, database, name, predicate, statement.dimensions)
        for tags, count in _counts(context, database, name, series, groups, keys, statement):
            yield frame_of(name, ["count"], [[count]], tags)


def _whole(context: Context, database: str, what: ast.Cardinality) -> int:
    if database not in context.store.databases():
        return 0
    if what is _What.SERIES:
        return context.store.series_count(database)
    return len(context.store.measurements(database))


def _predicate(context: Context, database: str, name: str, condition: Expression | None) -> Predicate | None:
    if condition is None:
        return None
    return series_predicate(condition, name, context.store.field_types(database, name), strict=True)


def _count(
    context: Context, database: str, name: str, predicate: Predicate | None, statement: ast.ShowCardinality
) -> int:
    store = context.store
    if statement.what is _What.SERIES:
        return store.series_count(database, name, predicate)
    if statement.what is _What.FIELD_KEY:
        some = predicate is None or store.series_count(database, name, predicate)
        return len(store.field_types(database, name)) if some else 0
    keys = store.tag_keys(database, name, predicate)
    if statement.what is _What.TAG_KEY:
        return len(keys)
    assert statement.key is not None
    keys = keys_matching(keys, statement.key)
    if len(keys) == 1:
        return store.tag_value_count(database, name, keys[0], predicate)
    if not keys:
        return 0
    # A value of two keys is one value.
    return len(pc.unique(pa.concat_arrays([store.tag_values(database, name, key, predicate) for key in keys])))


def _measurements(
    context: Context, database: str, names: Sequence[str], statement: ast.ShowCardinality
) -> Iterator[Frame]:
    """How many measurements have series that the condition holds for, in all or in each group."""
    counts: Counter[tuple[tuple[str, str], ...]] = Counter()
    for name in names:
        predicate = _predicate(context, database, name, statement.condition)
        if predicate == NONE:
            continue
        if statement.dimensions:
            _, groups, keys = _grouped(context, database, name, predicate, statement.dimensions)
            counts.update(_tags_of(groups, keys, group) for group in range(groups.count))
        elif predicate is None or context.store.series_count(database, name, predicate):
            counts[()] += 1
    for tags in sorted(counts):
        yield frame_of("", ["count"], [[counts[tags]]], tags)


def _grouped(
    context: Context, database: str, name: str, predicate: Predicate | None, dimensions: Sequence[ast.Dimension]
) -> tuple[SeriesSet, Groups, list[str]]:
    series = context.store.select_series(database, name, predicate)
    keys: dict[str, None] = {}
    for dimension in dimensions:
        match dimension.expression:
            case Ref(name=key):
                keys[key] = None
            case Wildcard():
                keys |= dict.fromkeys(series.tag_keys())
            case Pattern(text=pattern):
                condition = ast.KeyCondition(ast.KeyOp.MATCH, pattern=pattern)
                keys |= dict.fromkeys(keys_matching(series.tag_keys(), condition))
            case _:
                raise errors.InvalidRequest("only tags allowed in GROUP BY of a cardinality")
    named = sorted(keys)
    return series, group_series(series, named), named


def _tags_of(groups: Groups, keys: Sequence[str], group: int) -> tuple[tuple[str, str], ...]:
    return tuple((key, tag.values[tag.codes[group]]) for key, tag in zip(keys, groups.tags, strict=True))


def _counts(
    context: Context,
    database: str,
    name: str,
    series: SeriesSet,
    groups: Groups,
    keys: Sequence[str],
    statement: ast.ShowCardinality,
) -> Iterator[tuple[tuple[tuple[str, str], ...], int]]:
    """The tags and the count of each group that has one."""
    of = groups.of(np.arange(len(series)))
    if statement.what is _What.SERIES:
        counts = np.bincount(of, minlength=groups.count)
    elif statement.what is _What.FIELD_KEY:
        counts = np.full(groups.count, len(context.store.field_types(database, name)))
    else:
        wanted = series.tag_keys()
        if statement.key is not None:
            wanted = keys_matching(wanted, statement.key)
        seen: list[set[str]] = [set() for _ in range(groups.count)]
        for key in wanted:
            column = series.tag(key)
            pairs = np.unique(of * (len(column.values) + 1) + column.codes.astype(np.int64))
            for group, code in zip(*(part.tolist() for part in np.divmod(pairs, len(column.values) + 1)), strict=True):
                if value := column.values[code]:
                    seen[group].add(value if statement.what is _What.TAG_VALUES else key)
        counts = np.array([len(each) for each in seen], dtype=np.int64)
    for group, count in enumerate(counts.tolist()):
        if count:
            yield _tags_of(groups, keys, group), count
