"""Runs plans: asks the store for states or rows and makes tables of them.

Aggregates are computed in `execute`; raw rows are read as the result is iterated.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rusts.model.batch import Column, SeriesRows, concat_columns, empty_column
from rusts.model.groups import group_series
from rusts.model.partial import Partial
from rusts.model.series import TagColumn
from rusts.model.store import FoldResult, Scan, ScanStats, Store
from rusts.model.types import FieldType
from rusts.model.upsert import runs_of
from rusts.query.functions import cells_of, compute, finish
from rusts.query.grouping import field_column, slice_groups, slice_rows
from rusts.query.limits import Tracker
from rusts.query.optimizer import CallStep, FoldStep, Physical, ReduceStep, optimize
from rusts.query.plan import Plan
from rusts.query.rows import grouped_rows, plain_rows
from rusts.query.table import Table
from rusts.query.window import bucket_of, fill

__all__ = ["Result", "execute"]


@dataclass
class Result:
    """An answer. Iterate it once; its `stats` and `warnings` are complete at the end. Then `close` it.

    `columns` and `types` are those of each table's columns, in order; `group_by` names each table's tags.
    """

    measurement: str
    group_by: tuple[str, ...]
    columns: tuple[str, ...]
    types: tuple[FieldType, ...]
    stats: ScanStats
    tracker: Tracker
    _tables: Iterator[Table]

    def __iter__(self) -> Iterator[Table]:
        for table in self._tables:
            self.tracker.check()
            if len(table):
                self.tracker.add_rows(len(table))
                self.tracker.add_series(table.groups - table.continued)
                yield table

    @property
    def warnings(self) -> list[str]:
        """Why the answer may be incomplete; empty as a rule."""
        return self.stats.warnings

    def close(self) -> None:
        """Give back the memory that the query held. Idempotent."""
        self.tracker.close()


def execute(store: Store, plan: Plan, tracker: Tracker | None = None) -> Result:
    """Start `plan` on `store`. Blocks: call it, and iterate the result, on a thread that may.

    `tracker` watches the query and can cancel it from another thread; None = no limits. Raises
    DatabaseNotFound, PolicyNotFound, InvalidRequest (a function that is not defined for its field's type),
    LimitExceeded, Timeout, QueryCancelled, MemoryExceeded; so may each step of the iteration.
    """
    tracker = tracker or Tracker()
    try:
        physical = optimize(plan, store, tracker)
        stats, tables = _start(store, physical, tracker)
    except BaseException:
        tracker.close()
        raise
    return Result(
        physical.measurement,
        physical.group_by,
        tuple(output.label for output in physical.outputs),
        tuple(output.type for output in physical.outputs),
        stats,
        tracker,
        tables,
    )


def _start(store: Store, physical: Physical, tracker: Tracker) -> tuple[ScanStats, Iterator[Table]]:
    step = physical.step
    if step is None:
        return ScanStats(), iter(())
    if isinstance(step, FoldStep):
        folded = store.fold(step.request)
        return folded.stats, iter((_finish(_fold_table(folded, step, physical, tracker), step, physical, tracker),))
    scan = store.scan(step.request)
    if isinstance(step, ReduceStep):
        return scan.stats, iter((_finish(_reduce_table(scan, step, physical, tracker), step, physical, tracker),))
    if physical.group_by:
        return scan.stats, grouped_rows(store, scan, step, physical, tracker)
    # Without `group_by` there is one group: an offset beyond it leaves nothing.
    return scan.stats, iter(()) if physical.slice.series_offset else plain_rows(scan, physical)


# -- aggregates


def _fold_table(folded: FoldResult, step: FoldStep, physical: Physical, tracker: Tracker) -> Table:
    """The cells of a fold as a table: a group's rows are its buckets."""
    cells = len(folded.group)
    tracker.buckets(cells)
    tracker.hold(cells * 8 * (2 + len(step.calls)))
    groups, starts = runs_of(folded.group)
    tags = [TagColumn(tag.codes[groups], tag.values) for tag in folded.tags]
    columns: list[Column] = []
    times = _row_times(folded.bucket, physical)
    for call, output in zip(step.calls, physical.outputs, strict=True):
        if call is None:
            columns.append(empty_column(output.type, cells))
            continue
        outcome = finish(call.function, call.type, _partials(folded, call))
        columns.append(outcome.column)
        if physical.time_of_selector and outcome.times is not None:
            times = outcome.times
    return Table(physical.measurement, tags, starts, times, columns)


def _partials(folded: FoldResult, call: CallStep) -> list[Partial]:
    return [folded.states[state] for state in call.states]


def _reduce_table(scan: Scan, step: ReduceStep, physical: Physical, tracker: Tracker) -> Table:
    """All calls over all values of the scan."""
    assert physical.aggregate is not None
    fields = step.request.fields or ()
    chunks = _gather(scan, tracker)
    of_series = group_series(scan.series, physical.group_by)
    tags = of_series.tags
    if not chunks:
        empty = np.zeros(0, dtype=np.int64)
        columns = [empty_column(output.type, 0) for output in physical.outputs]
        return Table(physical.measurement, tags, np.zeros(1, dtype=np.int64), empty, columns)
    times = np.concatenate([chunk.times for chunk in chunks])
    groups = np.concatenate([of_series.of(chunk.series).repeat(np.diff(chunk.starts)) for chunk in chunks])
    window = physical.aggregate.window
    # Within a group, rows in time order are in bucket order as well.
    order = np.lexsort((times, groups))
    times, groups = times[order], groups[order]
    buckets = np.zeros(len(times), dtype=np.int64) if window is None else bucket_of(times, window)
    fresh = np.ones(len(times), dtype=np.bool_)
    fresh[1:] = (groups[1:] != groups[:-1]) | (buckets[1:] != buckets[:-1])
    row_cells = np.cumsum(fresh) - 1
    begins = np.flatnonzero(fresh)
    cells = len(begins)
    tracker.buckets(cells)
    values = {
        field: concat_columns([field_column(chunk, field, scan) for chunk in chunks]).take(order)
        for field in fields
        if field in scan.field_types
    }
    present, starts = runs_of(groups[begins])
    cell_times = _row_times(buckets[begins], physical)
    columns = []
    for call, output in zip(step.calls, physical.outputs, strict=True):
        tracker.check()
        if call is None or call.call.field not in values:
            columns.append(empty_column(output.type, cells))
            continue
        mine, having = cells_of(values[call.call.field], times, row_cells, cells)
        if not len(having):
            columns.append(empty_column(output.type, cells))
            continue
        outcome = compute(call.function, mine, call.call.parameter)
        columns.append(_scatter(outcome.column, having, cells))
        if physical.time_of_selector and outcome.times is not None:
            picked = outcome.column.valid()
            cell_times[having[picked]] = outcome.times[picked]
    tags = [TagColumn(tag.codes[present], tag.values) for tag in tags]
    return Table(physical.measurement, tags, starts, cell_times, columns)


def _row_times(buckets: npt.NDArray[np.int64], physical: Physical) -> npt.NDArray[np.int64]:
    assert physical.aggregate is not None
    if physical.aggregate.window is not None:
        return buckets
    return np.full(len(buckets), physical.bucket_time, dtype=np.int64)


def _scatter(column: Column, having: npt.NDArray[np.int64], cells: int) -> Column:
    """A column over the cells `having` as one over all `cells`."""
    if len(having) == cells:
        return column
    source = np.zeros(cells, dtype=np.int64)
    source[having] = np.arange(len(having))
    valid = np.zeros(cells, dtype=np.bool_)
    valid[having] = column.valid()
    return Column(column.type, Column(column.type, column.values, None).take(source).values, valid)


def _finish(table: Table, step: FoldStep | ReduceStep, physical: Physical, tracker: Tracker) -> Table:
    """Fill, then the slice."""
    filled = physical.fill
    if filled is not None:
        window = filled.input.window
        assert window is not None
        table = slice_groups(table, physical.slice)
        counts = [call is not None and call.function.counts for call in step.calls]
        range = filled.input.input.range
        table = fill(table, window, range, filled.mode, filled.value, counts, tracker)
        return slice_rows(table, physical.slice)
    return slice_rows(slice_groups(table, physical.slice), physical.slice)


def _gather(scan: Scan, tracker: Tracker) -> list[SeriesRows]:
    """All chunks, accounted for (with as much again for sorting them)."""
    chunks = []
    for chunk in scan:
        tracker.hold(2 * (chunk.times.nbytes + sum(column.nbytes for column in chunk.columns.values())))
        if len(chunk):
            chunks.append(chunk)
    return chunks
