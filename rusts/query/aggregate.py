"""Tables of aggregates: from the states that a store folds, or from all values of the points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rusts.model.batch import Column, empty_column
from rusts.model.partial import Partial, State
from rusts.model.series import TagColumn
from rusts.model.store import FoldResult
from rusts.model.types import FieldType
from rusts.model.upsert import runs_of
from rusts.query.evaluate import cast
from rusts.query.expression import Ref, RefKind
from rusts.query.functions import Outcome, cells_of, compute, finish
from rusts.query.grouping import keep_rows
from rusts.query.sources import Context, Gathered, gather, merge_tags
from rusts.query.steps import ChooseStep, FoldStep, ReduceStep
from rusts.query.table import Table
from rusts.query.window import Buckets

__all__ = ["chosen", "folded", "reduced"]

Longs = npt.NDArray[np.int64]

_CELL_BYTES: Final = 48
"""What computing a function of a value takes meanwhile."""


# -- from states


def folded(step: FoldStep, context: Context) -> Table | None:
    """The table of a fold: a group's rows are its buckets."""
    results = []
    for request, begin in step.requests:
        result = context.fold(request)
        if begin is not None:
            result = replace(result, bucket=np.full(len(result.bucket), begin, dtype=np.int64))
        results.append(result)
    tags, group, bucket, states = _merged(results) if len(results) > 1 else _single(results[0])
    cells = len(group)
    if not cells:
        return None
    context.tracker.buckets(cells)
    context.tracker.hold(cells * 8 * (2 + len(step.calls)))
    groups, starts = runs_of(group)
    tags = [TagColumn(tag.codes[groups], tag.values) for tag in tags]
    columns: list[Column] = []
    times = bucket if step.buckets is not None else np.full(cells, step.bucket_time, dtype=np.int64)
    for call, output in zip(step.calls, step.outputs, strict=True):
        if call is None:
            columns.append(empty_column(output.type, cells))
            continue
        outcome = finish(call.function, call.type, [states[state] for state in call.states])
        columns.append(outcome.column)
        if step.time_of_selector and outcome.times is not None:
            times = outcome.times
    return Table(step.source.measurement, tags, starts, times, columns)


_Folded = tuple[list[TagColumn], Longs, Longs, dict[State, Partial]]


def _single(result: FoldResult) -> _Folded:
    return result.tags, result.group, result.bucket, result.states


def _merged(results: Sequence[FoldResult]) -> _Folded:
    """Folds of different buckets as one: cells sorted by (group, bucket)."""
    results = [result for result in results if len(result.group)] or list(results[:1])
    if len(results) == 1:
        return _single(results[0])
    tags, numbers = merge_tags([(result.tags, result.groups) for result in results])
    group = np.concatenate([number[result.group] for number, result in zip(numbers, results, strict=True)])
    bucket = np.concatenate([result.bucket for result in results])
    order = np.lexsort((bucket, group))
    states = {state: _joined([result.states[state] for result in results], order) for state in results[0].states}
    return tags, group[order], bucket[order], states


def _joined(partials: Sequence[Partial], order: npt.NDArray[np.intp]) -> Partial:
    def column(name: str) -> Any:
        parts = [getattr(partial, name) for partial in partials]
        if any(part is None for part in parts):
            return None
        if isinstance(parts[0], np.ndarray):
            return np.concatenate(parts)[order]
        return pa.concat_arrays(parts).take(pa.array(order))

    return Partial(partials[0].kind, column("count"), column("value"), column("time"), column("m2"))


# -- from points


class _Cells:
    """The rows of a source in cells: one for each group and bucket that has rows.

    `of_row` int64[rows] is the cell of each row; `starts` int64[groups + 1] the first cell of each group.
    """

    def __init__(self, gathered: Gathered, buckets: Buckets | None, context: Context) -> None:
        rows = gathered.rows
        fresh = np.ones(len(gathered), dtype=np.bool_)
        fresh[1:] = rows.groups[1:] != rows.groups[:-1]
        if buckets is not None:
            begins = buckets.of(rows.times)
            fresh[1:] |= begins[1:] != begins[:-1]
        self.of_row = np.cumsum(fresh) - 1
        firsts = np.flatnonzero(fresh)
        self.count = len(firsts)
        context.tracker.buckets(self.count)
        present, self.starts = runs_of(rows.groups[firsts])
        self.tags = [TagColumn(tag.codes[present], tag.values) for tag in gathered.keys]
        self._begins = None if buckets is None else begins[firsts]

    def times(self, otherwise: int) -> Longs:
        """int64[cells]: the begin of each bucket; without buckets `otherwise`."""
        return np.full(self.count, otherwise, dtype=np.int64) if self._begins is None else self._begins


def reduced(step: ReduceStep, context: Context, *, descending: bool) -> Table | None:
    """All calls over all values of the points."""
    calls = [call for call in step.calls if call is not None]
    names = tuple(dict.fromkeys(call.call.field.name for call in calls))
    beside = [ref for ref in step.companions if ref is not None]
    gathered = _gathered(step, names, beside, context)
    if gathered is None:
        return None
    cells = _Cells(gathered, step.buckets, context)
    rows = gathered.rows
    times = cells.times(step.bucket_time)
    columns: list[Column] = []
    picked = None
    exists = np.zeros(cells.count, dtype=np.bool_)
    for call, output in zip(step.calls, step.outputs, strict=False):
        context.tracker.check()
        if call is None:
            columns.append(empty_column(output.type, cells.count))
            continue
        column = _cast(rows.columns[call.call.field.name], call.call.field)
        mine, having = cells_of(column, rows.times, cells.of_row, cells.count, descending)
        if not len(having):
            columns.append(empty_column(output.type, cells.count))
            continue
        parameters = call.call.parameters
        size = _CELL_BYTES * len(mine.values)
        context.tracker.hold(size)
        outcome = compute(call.function, mine, float(parameters[0]) if parameters else None)
        context.tracker.release(size)
        columns.append(_scattered(outcome.column, having, cells.count))
        # A percentile that selects nothing makes no row.
        valid = outcome.column.valid()
        exists[having[valid]] = True
        if outcome.times is not None:
            if step.time_of_selector:
                times[having[valid]] = outcome.times[valid]
            if step.companions:
                picked = _picked(column, rows.times, cells, outcome, having)
    for ref, output in zip(step.companions, step.outputs[len(step.calls) :], strict=True):
        if ref is None or picked is None:
            columns.append(empty_column(output.type, cells.count))
        else:
            columns.append(_beside(gathered, ref, picked))
    return keep_rows(Table(step.source.measurement, cells.tags, cells.starts, times, columns), exists)


def _gathered(
    step: ReduceStep | ChooseStep,
    names: tuple[str, ...],
    beside: Sequence[Ref],
    context: Context,
    keys: tuple[str, ...] = (),
) -> Gathered | None:
    """The rows that have one of the fields `names`, with what else is asked for beside them, and the tags `keys`."""
    others = [ref.name for ref in beside if ref.kind is RefKind.FIELD and ref.name not in names]
    tags = [*keys, *(ref.name for ref in beside if ref.kind is RefKind.TAG)]
    return gather(step.source, step.group_by, names, tags, context, beside=others)


def _cast(column: Column, ref: Ref) -> Column:
    return column if ref.type is None else cast(column, ref.type)


def _picked(column: Column, times: Longs, cells: _Cells, outcome: Outcome, having: Longs) -> Longs:
    """int64[cells]: the first row of each cell that has the chosen time and value, -1 where nothing is chosen."""
    assert outcome.times is not None
    valid = outcome.column.valid()
    found = np.full(cells.count, -1, dtype=np.int64)
    wanted_times = np.zeros(cells.count, dtype=np.int64)
    wanted_times[having] = outcome.times
    chosen = np.zeros(cells.count, dtype=np.bool_)
    chosen[having[valid]] = True
    where = np.zeros(cells.count, dtype=np.int64)
    where[having] = np.arange(len(having))
    rows = np.flatnonzero(column.valid() & chosen[cells.of_row] & (times == wanted_times[cells.of_row]))
    of_row = cells.of_row[rows]
    wanted = outcome.column.take(where[of_row])
    got = column.take(rows)
    if column.type is FieldType.STRING:
        same = pa.compute.equal(got.values, wanted.values).to_numpy(zero_copy_only=False)
    else:
        same = (got.values == wanted.values) | ((got.values != got.values) & (wanted.values != wanted.values))
    rows, of_row = rows[same], of_row[same]
    # The first of several stays: it is written last.
    found[of_row[::-1]] = rows[::-1]
    return found


def _beside(gathered: Gathered, ref: Ref, rows: Longs) -> Column:
    """What the chosen rows have of another field or tag; -1 is no row."""
    chosen = rows >= 0
    if ref.kind is RefKind.TAG:
        column = gathered.strings(ref.name, np.maximum(rows, 0))
    else:
        column = _cast(gathered.rows.columns[ref.name], ref).take(np.maximum(rows, 0))
    if bool(chosen.all()):
        return column
    return Column(column.type, column.values, column.valid() & chosen)


def _scattered(column: Column, having: Longs, cells: int) -> Column:
    """A column over the cells `having` as one over all `cells`."""
    if len(having) == cells:
        return column
    source = np.zeros(cells, dtype=np.int64)
    source[having] = np.arange(len(having))
    valid = np.zeros(cells, dtype=np.bool_)
    valid[having] = column.valid()
    return Column(column.type, Column(column.type, column.values, None).take(source).values, valid)


def chosen(step: ChooseStep, context: Context, *, descending: bool) -> Table | None:
    """The chosen rows of each cell, which with `descending` keep their order when all rows are turned round."""
    beside = [ref for ref in (*step.tags, *step.companions) if ref is not None]
    name = step.field.name
    gathered = _gathered(step, (name,), beside, context, step.keys)
    if gathered is None:
        return None
    rows = gathered.rows
    cells = _Cells(gathered, step.buckets, context)
    column = _cast(rows.columns[name], step.field)
    mine, having = cells_of(column, rows.times, cells.of_row, cells.count, descending)
    if not len(having):
        return None
    valued = np.flatnonzero(column.valid())
    keys = _tuples([rows.tags[key] for key in step.keys], valued) if step.keys else None
    size = _CELL_BYTES * len(mine.values)
    context.tracker.hold(size)
    found = step.selection.choose(mine, step.count, keys)
    context.tracker.release(size)
    picked = valued[found.rows]
    if descending:
        lengths = np.diff(found.starts)
        last = np.repeat(found.starts[1:] + found.starts[:-1] - 1, lengths)
        picked = picked[last - np.arange(len(picked))]
    counts = np.zeros(cells.count, dtype=np.int64)
    counts[having] = np.diff(found.starts)
    # Cells are in the order of their groups.
    per_group = np.add.reduceat(np.append(counts, 0), cells.starts[:-1]) if cells.count else counts
    some = np.flatnonzero(per_group)
    starts = np.zeros(len(some) + 1, dtype=np.int64)
    np.cumsum(per_group[some], out=starts[1:])
    times = rows.times[picked] if step.selection.times else np.repeat(cells.times(step.bucket_time), counts)
    tags = [TagColumn(tag.codes[some], tag.values) for tag in cells.tags]
    columns = [column.take(picked)]
    for ref, output in zip((*step.tags, *step.companions), step.outputs[1:], strict=True):
        columns.append(empty_column(output.type, len(picked)) if ref is None else _beside(gathered, ref, picked))
    return Table(step.source.measurement, tags, starts, times, columns)


def _tuples(tags: Sequence[TagColumn], rows: Longs) -> Longs:
    """int64[rows]: a number for each different tuple of the tags' values in the rows."""
    numbers = np.zeros(len(rows), dtype=np.int64)
    for tag in tags:
        # Two codes may stand for one value where several sources were joined.
        known: dict[str, int] = {}
        same = np.array([known.setdefault(value, len(known)) for value in tag.values], dtype=np.int64)
        part = same[tag.codes[rows]]
        numbers = np.unique(numbers * (int(part.max(initial=0)) + 1) + part, return_inverse=True)[1].astype(np.int64)
    return numbers
