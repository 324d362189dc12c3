"""SHOW of what a database holds: databases, measurements, series, tags, fields, policies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rusts import errors
from rusts.influxql import ast
from rusts.influxql.context import Context, matching
from rusts.influxql.planner.condition import split
from rusts.influxql.planner.sources import matching as matching_pattern
from rusts.influxql.results import Cell, Frame, frame_of, text_column
from rusts.influxql.tagfilter import series_predicate
from rusts.model.predicate import And, Predicate, TagIn, TagRegex
from rusts.model.series import SeriesSet, escape_measurement, escape_tag
from rusts.model.store import TimeRange
from rusts.model.time import format_duration
from rusts.query.expression import Binary, Expression, Literal, Op, Paren, Pattern, Ref, references
from rusts.query.plan import EVER

__all__ = [
    "keys_matching",
    "mentions_time",
    "show_databases",
    "show_field_keys",
    "show_measurements",
    "show_retention_policies",
    "show_series",
    "show_tag_keys",
    "show_tag_values",
]

_T = TypeVar("_T")


def show_databases(context: Context, statement: ast.ShowDatabases) -> Iterator[Frame]:
    """One series of names: those that the user may see."""
    who = context.session.who
    names = [name for name in context.store.databases() if who is None or who.sees(name)]
    yield frame_of("databases", ["name"], [[name] for name in names])


def show_retention_policies(context: Context, statement: ast.ShowRetentionPolicies) -> Iterator[Frame]:
    """One series, in the order of creation."""
    rows: list[list[Cell]] = [
        [
            policy.name,
            format_duration(policy.duration),
            format_duration(policy.shard_duration),
            policy.replication,
            policy.default,
        ]
        for policy in context.store.policies(context.existing(statement.database))
    ]
    yield frame_of("", ["name", "duration", "shardGroupDuration", "replicaN", "default"], rows)


def show_measurements(context: Context, statement: ast.ShowMeasurements) -> Iterator[Frame]:
    """One series of names; none in a database that is not there."""
    database = context.named(statement.database)
    if mentions_time(statement.condition):
        raise errors.InvalidRequest("SHOW MEASUREMENTS doesn't support time in WHERE clause")
    if database not in context.store.databases():
        return
    names: Sequence[str] = context.store.measurements(database)
    if statement.source is not None:
        names = matching(names, statement.source)
    if statement.condition is not None:
        names = [name for name in names if _has(context, database, name, statement.condition)]
    names = _cut(names, statement.limit, statement.offset)
    if names:
        yield frame_of("measurements", ["name"], [[name] for name in names])


def _has(context: Context, database: str, measurement: str, condition: Expression) -> bool:
    """Whether 1.x lists the measurement. It asks for values of tags, not for series: ``host != 'a'`` holds where
    some series has the tag and none has that value."""
    match condition:
        case Paren(inner=inner):
            return _has(context, database, measurement, inner)
        case Binary(op=Op.AND, left=left, right=right):
            return _has(context, database, measurement, left) and _has(context, database, measurement, right)
        case Binary(op=Op.OR, left=left, right=right):
            return _has(context, database, measurement, left) or _has(context, database, measurement, right)
        case Binary(op=Op.EQ | Op.NE | Op.MATCH | Op.NOT_MATCH as op, left=left, right=right):
            if not isinstance(left, Ref):
                raise errors.InvalidRequest(f"left side of '{op.value}' must be a tag key")
            asked: TagIn | TagRegex
            match right:
                case Literal(value=str() as text) if op in (Op.EQ, Op.NE):
                    if left.name == "_name":
                        return (text == measurement) == (op is Op.EQ)
                    asked = TagIn(left.name, (text,))
                case Pattern(text=pattern) if op in (Op.MATCH, Op.NOT_MATCH):
                    asked = TagRegex(left.name, pattern)
                case _:
                    kind = "string" if op in (Op.EQ, Op.NE) else "regular expression"
                    raise errors.InvalidRequest(f"right side of '{op.value}' must be a tag value {kind}")
            having = And((asked, TagIn(left.name, ("",), negated=True)))
            store = context.store
            if left.name not in store.tag_keys(database, measurement):
                return False
            found = store.series_count(database, measurement, having) > 0
            return found == (op in (Op.EQ, Op.MATCH))
        case Binary(op=op) if op.comparison:
            raise errors.InvalidRequest("invalid tag comparison operator")
    raise errors.InvalidRequest("invalid condition expression")


def show_series(context: Context, statement: ast.ShowSeries) -> Iterator[Frame]:
    """One series of keys, escaped as in line protocol: by measurement, then by their tags."""
    database = context.existing(statement.database)
    range, rest = split(statement.condition, context.services.clock.now_ns(), None)
    skip, left = statement.offset, statement.limit or None
    told = False
    for name in context.measurements(database, statement.sources):
        context.tracker.check()
        predicate = _selects(context, database, name, rest)
        found = context.store.select_series(database, name, predicate, _bounds(range))
        if skip and skip >= len(found):
            skip -= len(found)
            continue
        keys = _keys(name, found)
        order = pc.array_sort_indices(keys).slice(skip, left)
        skip = 0
        keys = keys.take(order)
        if not len(keys):
            continue
        if left is not None:
            left -= len(keys)
        starts = np.array([0, len(keys)], dtype=np.int64)
        context.tracker.add_rows(len(keys))
        yield Frame("", ("key",), starts, [text_column(keys)], continued=told)
        told = True
        if left == 0:
            return


def _keys(measurement: str, series: SeriesSet) -> pa.LargeStringArray:
    """The text of each series' key, without a step of Python per series."""
    count = len(series)
    parts: list[pa.Array] = []
    for key in sorted(series.tag_keys(), key=str.encode):
        column = series.tag(key)
        begin = f",{escape_tag(key)}="
        used, codes = np.unique(column.codes, return_inverse=True)
        texts = [begin + escape_tag(value) if (value := column.values[code]) else "" for code in used.tolist()]
        parts.append(pa.array(texts, pa.large_string()).take(pa.array(codes.reshape(-1))))
    name = pa.scalar(escape_measurement(measurement), pa.large_string())
    nothing = pa.scalar("", pa.large_string())
    if not parts:
        return pa.repeat(name, count)
    return pc.binary_join_element_wise(name, *parts, nothing)


def show_tag_keys(context: Context, statement: ast.ShowTagKeys) -> Iterator[Frame]:
    """A series of keys for each measurement that has some."""
    database = context.existing(statement.database)
    range, rest = split(statement.condition, context.services.clock.now_ns(), None)
    for name in context.measurements(database, statement.sources):
        context.tracker.check()
        predicate = _selects(context, database, name, rest)
        keys = context.store.tag_keys(database, name, predicate, _bounds(range))
        keys = _cut(keys, statement.limit, statement.offset)
        if keys:
            yield frame_of(name, ["tagKey"], [[key] for key in keys])


def show_tag_values(context: Context, statement: ast.ShowTagValues) -> Iterator[Frame]:
    """A series of pairs for each measurement, sorted by key, then by value."""
    database = context.existing(statement.database)
    range, rest = split(statement.condition, context.services.clock.now_ns(), None)
    store = context.store
    for name in context.measurements(database, statement.sources):
        context.tracker.check()
        keys = keys_matching(store.tag_keys(database, name), statement.key)
        if not keys:
            continue
        predicate = _selects(context, database, name, rest)
        skip, left = statement.offset, statement.limit or None
        counts: list[int] = []
        parts: list[pa.Array] = []
        for key in keys:
            values = store.tag_values(database, name, key, predicate, _bounds(range))
            skipped = min(skip, len(values))
            values = values.slice(skipped, left)
            skip -= skipped
            left = None if left is None else left - len(values)
            counts.append(len(values))
            parts.append(values)
        rows = sum(counts)
        if rows:
            of_row = pa.array(np.repeat(np.arange(len(keys)), counts))
            columns = [
                text_column(pa.array(keys, pa.large_string()).take(of_row)),
                text_column(pa.concat_arrays(parts)),
            ]
            context.tracker.add_rows(rows)
            yield Frame(name, ("key", "value"), np.array([0, rows], dtype=np.int64), columns)


def show_field_keys(context: Context, statement: ast.ShowFieldKeys) -> Iterator[Frame]:
    """A series of fields and their types for each measurement."""
    database = context.existing(statement.database)
    for name in context.measurements(database, statement.sources):
        rows = [[field, type.text] for field, type in context.store.field_types(database, name).items()]
        rows = _cut(rows, statement.limit, statement.offset)
        if rows:
            yield frame_of(name, ["fieldKey", "fieldType"], rows)


def keys_matching(keys: Sequence[str], condition: ast.KeyCondition) -> list[str]:
    """Those of the tag keys that WITH KEY means."""
    match condition.op:
        case ast.KeyOp.EQ | ast.KeyOp.IN:
            return [key for key in keys if key in condition.keys]
        case ast.KeyOp.NE:
            return [key for key in keys if key not in condition.keys]
    found = set(matching_pattern(keys, condition.pattern or ""))
    return [key for key in keys if (key in found) == (condition.op is ast.KeyOp.MATCH)]


def mentions_time(condition: Expression | None) -> bool:
    """Whether the condition speaks of time."""
    return condition is not None and any(ref.name.lower() == "time" for ref in references(condition))


def _selects(context: Context, database: str, measurement: str, rest: Expression | None) -> Predicate | None:
    if rest is None:
        return None
    return series_predicate(rest, measurement, context.store.field_types(database, measurement))


def _bounds(range: TimeRange) -> TimeRange | None:
    return None if range == EVER else range


def _cut(items: Sequence[_T], limit: int, offset: int) -> list[_T]:
    """What LIMIT and OFFSET leave; a limit of 0 is none."""
    return list(items[offset : offset + limit if limit else None])
