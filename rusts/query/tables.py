"""Tables of tables: expressions, conditions, transformations and joins, each over whole groups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from rusts.model.batch import Column, empty_column
from rusts.model.series import TagColumn
from rusts.model.upsert import runs_of
from rusts.query.evaluate import evaluate, truth
from rusts.query.expression import Ref
from rusts.query.grouping import backwards, keep_rows
from rusts.query.limits import Tracker
from rusts.query.sources import merge_tags
from rusts.query.steps import FilterStep, Output, ProjectStep, TransformStep
from rusts.query.table import Table
from rusts.query.transforms.base import Runs, Setting

__all__ = ["evaluated", "filtered", "joined", "projected", "transformed"]

Longs = npt.NDArray[np.int64]


_ALIGN_BYTES: Final = 96
"""What it takes to bring a row of several tables in line with those of the others."""


def projected(table: Table, step: ProjectStep, tracker: Tracker) -> Table:
    """Each row's expressions over the columns of the step below."""
    columns = evaluated(step.outputs, len(table), _lookup(table, step.input.outputs), tracker)
    return Table(table.measurement, table.tags, table.starts, table.times, columns, table.continued)


def evaluated(outputs: Sequence[Output], rows: int, lookup: Callable[[Ref], Column], tracker: Tracker) -> list[Column]:
    """The column of each output over `rows` rows of what `lookup` gives; those that are made are accounted for."""
    columns: list[Column] = []
    for output in outputs:
        if output.expression is None:
            column = empty_column(output.type, rows)
        else:
            column = evaluate(output.expression, rows, lookup, output.type)
        if not isinstance(output.expression, Ref):
            tracker.check()
            tracker.hold(column.nbytes)
        columns.append(column)
    return columns


def filtered(table: Table, step: FilterStep) -> Table:
    """The rows for which the condition holds."""
    return keep_rows(table, truth(step.condition, len(table), _lookup(table, step.input.outputs)))


def _lookup(table: Table, outputs: Sequence[Output]) -> Callable[[Ref], Column]:
    places = {output.label: number for number, output in enumerate(outputs)}
    return lambda ref: table.columns[places[ref.name]]


def transformed(table: Table, step: TransformStep, tracker: Tracker, *, descending: bool) -> Table | None:
    """Each call's rows, joined by time. `table` is in ascending order of time, and so is the answer."""

    def check(rows: int) -> None:
        tracker.check()
        tracker.buckets(rows)
        tracker.hold(16 * rows)

    if descending:
        table = backwards(table)
    buckets = step.buckets
    bounds = None
    if buckets is not None:

        def bounds(times: Longs) -> tuple[Longs, Longs]:
            begins = buckets.of(times)
            return begins, buckets.end(begins)

    setting = Setting(descending, step.interval, bounds, check)
    made = []
    for (call, function, number), output in zip(step.calls, step.outputs, strict=True):
        column = table.columns[number]
        valid = column.valid()
        if column.type not in function.accepts or not bool(valid.any()):
            made.append(Runs(np.zeros(table.groups + 1, dtype=np.int64), table.times[:0], empty_column(output.type, 0)))
            continue
        tracker.check()
        # Its rows, and what the next ones are made with.
        tracker.hold(32 * len(valid))
        before = np.zeros(len(valid) + 1, dtype=np.int64)
        np.cumsum(valid, out=before[1:])
        plain = Column(column.type, column.values, None)
        if not bool(valid.all()):
            plain = plain.take(valid)
        runs = Runs(before[table.starts], table.times[valid], plain)
        made.append(function.compute(runs, call.parameters, setting))
    if descending:
        made = [_turned(runs) for runs in made]
    groups, times, places = _aligned([(runs.row_groups(), runs.times) for runs in made], tracker)
    if not len(times):
        return None
    columns = [_placed(runs.column, place, len(times), tracker) for runs, place in zip(made, places, strict=True)]
    present, starts = runs_of(groups)
    tags = [TagColumn(tag.codes[present], tag.values) for tag in table.tags]
    return Table(table.measurement, tags, starts, times, columns)


def _turned(runs: Runs) -> Runs:
    turned = backwards(Table("", [], runs.starts, runs.times, [runs.column]))
    return Runs(turned.starts, turned.times, turned.columns[0])


def joined(tables: Sequence[Table | None], outputs: Sequence[tuple[Output, ...]], tracker: Tracker) -> Table | None:
    """The tables' columns side by side: rows of one group and time are one row. `outputs`: of each table."""
    given = [table for table in tables if table is not None]
    if not given:
        return None
    tags, numbers = merge_tags([(table.tags, table.groups) for table in given])
    groups, times, places = _aligned(
        [(np.repeat(number, np.diff(table.starts)), table.times) for number, table in zip(numbers, given, strict=True)],
        tracker,
    )
    columns: list[Column] = []
    place = iter(places)
    for table, of_table in zip(tables, outputs, strict=True):
        if table is None:
            columns += [empty_column(output.type, len(times)) for output in of_table]
        else:
            rows = next(place)
            columns += [_placed(column, rows, len(times), tracker) for column in table.columns]
    present, starts = runs_of(groups)
    keys = [TagColumn(tag.codes[present], tag.values) for tag in tags]
    return Table(given[0].measurement, keys, starts, times, columns)


def _aligned(parts: Sequence[tuple[Longs, Longs]], tracker: Tracker) -> tuple[Longs, Longs, list[Longs | None]]:
    """Rows of several tables (the group and time of each) as one: its groups and times, and each table's rows in it.

    The n-th row that a group has at a time is one with the n-th ones of the other tables. None as the rows of a
    table: those of the whole.
    """
    groups, times = parts[0]
    if all(np.array_equal(groups, other) and np.array_equal(times, moment) for other, moment in parts[1:]):
        order = np.lexsort((times, groups))
        if len(parts) == 1 or bool((order[1:] > order[:-1]).all()):
            return groups, times, [None] * len(parts)
    size = _ALIGN_BYTES * sum(len(times) for _, times in parts)
    tracker.hold(size)
    numbers = []
    for group, time in parts:
        tracker.check()
        numbers.append(_repeats(group, time))
    groups = np.concatenate([part[0] for part in parts])
    times = np.concatenate([part[1] for part in parts])
    nth = np.concatenate(numbers)
    tracker.check()
    order = np.lexsort((nth, times, groups))
    tracker.check()
    fresh = np.ones(len(order), dtype=np.bool_)
    a, b = order[1:], order[:-1]
    fresh[1:] = (groups[a] != groups[b]) | (times[a] != times[b]) | (nth[a] != nth[b])
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.cumsum(fresh) - 1
    ends = np.cumsum([len(part[0]) for part in parts])
    firsts = order[fresh]
    # What stays: group, time, and the places.
    tracker.release(size - 8 * (2 * len(firsts) + len(place)))
    return groups[firsts], times[firsts], list(np.split(place, ends[:-1]))


def _repeats(groups: Longs, times: Longs) -> Longs:
    """int64[rows]: how many rows of the same group and time come before each."""
    order = np.lexsort((times, groups))
    fresh = np.ones(len(order), dtype=np.bool_)
    a, b = order[1:], order[:-1]
    fresh[1:] = (groups[a] != groups[b]) | (times[a] != times[b])
    begins = np.flatnonzero(fresh)
    nth = np.empty(len(order), dtype=np.int64)
    nth[order] = np.arange(len(order)) - np.repeat(begins, np.diff(begins, append=len(order)))
    return nth


def _placed(column: Column, places: Longs | None, rows: int, tracker: Tracker) -> Column:
    """The column's rows at `places` of `rows` rows; the others have no value."""
    if places is None or (len(places) == rows and bool((places[1:] > places[:-1]).all())):
        return column
    tracker.check()
    tracker.hold(10 * rows)
    source = np.zeros(rows, dtype=np.int64)
    source[places] = np.arange(len(places))
    valid = np.zeros(rows, dtype=np.bool_)
    valid[places] = column.valid()
    if not len(places):
        return empty_column(column.type, rows)
    return Column(column.type, Column(column.type, column.values, None).take(source).values, valid)
