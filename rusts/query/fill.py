"""Rows for the buckets that have none, and values for the cells that have none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rusts.errors import InvalidRequest
from rusts.model.batch import Column
from rusts.model.store import TimeRange
from rusts.model.types import FieldType
from rusts.query.limits import Tracker
from rusts.query.plan import EVER, Default, Fill, FillMode
from rusts.query.table import Table
from rusts.query.window import TOO_EARLY, Buckets

__all__ = ["defaulted", "fill"]

_ROW_BYTES: Final = 40
"""What a row takes while it is made, its columns apart."""


def fill(
    table: Table,
    buckets: Buckets,
    range: TimeRange,
    node: Fill,
    counts: Sequence[bool],
    tracker: Tracker,
) -> Table:
    """`table`, whose rows are buckets in ascending order, with a row for every bucket of each group.

    The buckets run over `range`; where a bound of it is open, from or to the group's own first or last row. `node`
    says what stands in a gap; no value comes from outside the group, and LINEAR is for numbers only.
    ``counts[c]`` says that column c counts: its gaps are 0 under NULL, in groups where it has any value. Columns behind
    those of `counts` are companions: of a bucket without points they have no value.
    """
    if not table.groups:
        return table
    begins = table.times[table.starts[:-1]]
    ends = table.times[table.starts[1:] - 1]
    if range.start > EVER.start:
        begin = buckets.begin(range.start)
        if begin > range.start:
            raise InvalidRequest(TOO_EARLY)
        begins = np.minimum(begins, begin)
    if range.end < EVER.end:
        ends = np.maximum(ends, buckets.begin(range.end - 1))
    if bool((ends < begins).any()):
        raise InvalidRequest(TOO_EARLY)
    # In floats, so that an absurd number is seen as such before anything is allocated for it.
    total = int((ends.astype(np.float64) - begins).sum() / buckets.length) + table.groups
    tracker.buckets(total)
    tracker.hold(total * (_ROW_BYTES + 9 * len(table.columns)))
    grid = buckets.grid(int(begins.min()), int(ends.max()), tracker)
    low = grid.number(begins)
    lengths = grid.number(ends) - low + 1
    starts = np.zeros(table.groups + 1, dtype=np.int64)
    np.cumsum(lengths, out=starts[1:])
    rows = int(starts[-1])
    first = np.repeat(starts[:-1], lengths)
    times = grid.begin(np.arange(rows, dtype=np.int64) - first + np.repeat(low, lengths))
    group = np.repeat(np.arange(table.groups, dtype=np.int64), np.diff(table.starts))
    places = starts[group] + grid.number(table.times) - low[group]
    source = np.full(rows, -1, dtype=np.int64)
    source[places] = np.arange(len(table), dtype=np.int64)
    gaps = _Gaps(source, times, starts, node)
    columns = [gaps.filled(column, counting) for column, counting in zip(table.columns, counts, strict=False)]
    columns += [gaps.empty(column) for column in table.columns[len(counts) :]]
    return Table(table.measurement, table.tags, starts, times, columns, table.continued)


def defaulted(table: Table, node: Default) -> Table:
    """`table` with values in the cells that have none, as `node` says."""
    places = np.arange(len(table), dtype=np.int64)
    gaps = _Gaps(places, table.times, table.starts, node)
    columns = [gaps.filled(column, False) for column in table.columns]
    return Table(table.measurement, table.tags, table.starts, table.times, columns, table.continued)


class _Gaps:
    """The new rows: row i takes row ``source[i]``, or is to be filled where that is -1."""

    def __init__(
        self,
        source: npt.NDArray[np.int64],
        times: npt.NDArray[np.int64],
        starts: npt.NDArray[np.int64],
        node: Fill | Default,
    ) -> None:
        self._source = source
        self._times = times
        self._starts = starts
        self._node = node

    def empty(self, column: Column) -> Column:
        """One column over the new rows, with its gaps."""
        taken = column.take(np.maximum(self._source, 0))
        return _valid(taken, (self._source >= 0) & taken.valid())

    def filled(self, column: Column, counting: bool) -> Column:
        """One column over the new rows."""
        source, node = self._source, self._node
        taken = self.empty(column)
        valid = taken.valid()
        if bool(valid.all()):
            return taken
        if node.mode is FillMode.PREVIOUS:
            near, known = self._behind(valid) if node.descending else self._before(valid)
            return _valid(column.take(np.where(known, source[near], 0)), known)
        if node.mode is FillMode.LINEAR and column.type.numeric:
            return self._linear(taken, valid)
        if node.mode is FillMode.VALUE and (column.type.numeric or (isinstance(node, Fill) and node.zeroes)):
            return _put(taken, ~valid, node.value if column.type.numeric else 0)
        if node.mode is FillMode.NULL and counting:
            counted = np.logical_or.reduceat(valid, self._starts[:-1])
            return _valid(_put(taken, ~valid, 0), np.repeat(counted, np.diff(self._starts)))
        return taken

    def _before(self, present: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """The last row up to each that is present, and whether its group has one."""
        rows = np.arange(len(present), dtype=np.int64)
        near = np.maximum.accumulate(np.where(present, rows, -1))
        return near, near >= np.repeat(self._starts[:-1], np.diff(self._starts))

    def _behind(self, present: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """The first row from each on that is present, and whether its group has one."""
        rows = np.arange(len(present), dtype=np.int64)
        near = np.minimum.accumulate(np.where(present, rows, len(rows))[::-1])[::-1]
        known = near < np.repeat(self._starts[1:], np.diff(self._starts))
        return np.where(known, near, 0), known

    def _linear(self, taken: Column, present: npt.NDArray[np.bool_]) -> Column:
        before, after_one = self._before(present)
        behind, before_one = self._behind(present)
        at = np.flatnonzero(~present & after_one & before_one)
        low, high = before[at], behind[at]
        times = self._times
        # The difference of integers wraps, as Go's does.
        slope = (taken.values[high] - taken.values[low]).astype(np.float64) / (times[high] - times[low])
        values = taken.values.copy()
        values[at] = _as_type(slope * (times[at] - times[low]) + taken.values[low].astype(np.float64), taken.type)
        known = present.copy()
        known[at] = True
        return Column(taken.type, values, None if bool(known.all()) else known)


def _valid(column: Column, valid: npt.NDArray[np.bool_]) -> Column:
    return Column(column.type, column.values, None if bool(valid.all()) else valid)


def _put(column: Column, rows: npt.NDArray[np.bool_], value: float) -> Column:
    """The column with a number, the empty string or false in some rows."""
    if column.type is FieldType.STRING:
        return Column(column.type, pc.if_else(pa.array(rows), pa.scalar("", pa.large_string()), column.values))
    values = column.values.copy()
    values[rows] = False if column.type is FieldType.BOOLEAN else _as_type(np.float64(value), column.type)
    return Column(column.type, values)


def _as_type(values: Any, type: FieldType) -> Any:
    """Floats as a numeric field's values: integers are cut towards zero, as Go converts them."""
    if type is FieldType.FLOAT:
        return values
    with np.errstate(invalid="ignore"):
        return values.astype(np.int64 if type is FieldType.INTEGER else np.uint64)
