"""Time buckets: which one a time is in, and rows for those that have none (fill)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rusts.errors import InvalidRequest
from rusts.model.batch import Column
from rusts.model.store import TimeRange, Window
from rusts.model.types import FieldType
from rusts.query.limits import Tracker
from rusts.query.plan import EVER, FillMode
from rusts.query.table import Table

__all__ = ["TOO_EARLY", "begin_of", "bucket_of", "fill", "span_buckets"]

TOO_EARLY: Final = "the first time bucket would begin before the first possible time"
"""Why a query is refused whose buckets do not fit into 64 bits."""


def begin_of(time: int, window: Window) -> int:
    """The begin of the bucket that holds `time`, ns."""
    return time - (time - window.offset) % window.interval


def bucket_of(times: npt.NDArray[np.int64], window: Window) -> npt.NDArray[np.int64]:
    """int64[n]: the begin of the bucket of each of `times`. What lies before int64 wraps."""
    offset = window.offset % window.interval
    into = times % window.interval - offset
    return times - np.where(into < 0, into + window.interval, into)


def span_buckets(range: TimeRange, window: Window) -> int:
    """How many buckets `range` touches."""
    return max(0, (begin_of(range.end - 1, window) - begin_of(range.start, window)) // window.interval + 1)


def fill(
    table: Table,
    window: Window,
    range: TimeRange,
    mode: FillMode,
    value: float,
    counts: Sequence[bool],
    tracker: Tracker,
) -> Table:
    """`table`, whose rows are buckets in ascending order, with a row for every bucket of each group.

    The buckets run over `range`; where a bound of it is open, from or to the group's own first or last row.
    ``counts[c]`` says that column c counts: its gaps are 0 under NULL. PREVIOUS and LINEAR look at the
    values before and behind in time, never outside the group. A VALUE that a column's type cannot
    hold (a string's, a boolean's) leaves it null, and LINEAR does so with all but numbers.
    """
    if not table.groups:
        return table
    begins = table.times[table.starts[:-1]]
    ends = table.times[table.starts[1:] - 1]
    if range.start > EVER.start:
        begins = np.full(table.groups, begin_of(range.start, window), dtype=np.int64)
    if range.end < EVER.end:
        ends = np.full(table.groups, begin_of(range.end - 1, window), dtype=np.int64)
    # In floats, so that an absurd number is seen as such before anything is allocated for it.
    total = float(((ends.astype(np.float64) - begins) / window.interval + 1).sum())
    tracker.buckets(int(total))
    tracker.hold(max(0, int(total)) * 9 * (2 + len(table.columns)))
    if bool((ends < begins).any()):
        raise InvalidRequest(TOO_EARLY)
    lengths = _steps(ends, begins, window) + 1
    starts = np.zeros(table.groups + 1, dtype=np.int64)
    np.cumsum(lengths, out=starts[1:])
    rows = int(starts[-1])
    first = np.repeat(starts[:-1], lengths)
    times = np.repeat(begins, lengths) + (np.arange(rows, dtype=np.int64) - first) * window.interval
    group = np.repeat(np.arange(table.groups, dtype=np.int64), np.diff(table.starts))
    places = starts[group] + _steps(table.times, begins[group], window)
    source = np.full(rows, -1, dtype=np.int64)
    source[places] = np.arange(len(table), dtype=np.int64)
    columns = []
    for column, counting in zip(table.columns, counts, strict=True):
        present = source >= 0
        if column.validity is not None:
            present &= column.validity[source]
        columns.append(_filled(column, source, present, times, first, starts, mode, value, counting))
    return Table(table.measurement, table.tags, starts, times, columns, table.continued)


def _steps(ends: npt.NDArray[np.int64], begins: npt.NDArray[np.int64], window: Window) -> npt.NDArray[np.int64]:
    """How many buckets further each end is than its begin; they may lie further apart than int64 reaches."""
    return ((ends.view(np.uint64) - begins.view(np.uint64)) // np.uint64(window.interval)).astype(np.int64)


def _filled(
    column: Column,
    source: npt.NDArray[np.int64],
    present: npt.NDArray[np.bool_],
    times: npt.NDArray[np.int64],
    first: npt.NDArray[np.int64],
    starts: npt.NDArray[np.int64],
    mode: FillMode,
    value: float,
    counting: bool,
) -> Column:
    """One column over the new rows: row i takes row ``source[i]`` where ``present[i]``."""
    if bool(present.all()):
        return Column(column.type, column.values, None).take(source)
    rows = np.arange(len(source), dtype=np.int64)
    if mode is FillMode.PREVIOUS:
        before = np.maximum.accumulate(np.where(present, rows, -1))
        known = before >= first
        taken = Column(column.type, column.values, None).take(np.maximum(source[np.where(known, before, rows)], 0))
        return Column(column.type, taken.values, None if bool(known.all()) else known)
    taken = Column(column.type, column.values, None).take(np.maximum(source, 0))
    if mode is FillMode.LINEAR and column.type.numeric:
        before = np.maximum.accumulate(np.where(present, rows, -1))
        after = np.minimum.accumulate(np.where(present, rows, len(rows))[::-1])[::-1]
        between = ~present & (before >= first) & (after < np.repeat(starts[1:], np.diff(starts)))
        at = np.flatnonzero(between)
        low, high = before[at], after[at]
        y0, y1 = taken.values[low].astype(np.float64), taken.values[high].astype(np.float64)
        slope = (y1 - y0) / (times[high] - times[low]).astype(np.float64)
        values = taken.values.copy()
        values[at] = _as_type(slope * (times[at] - times[low]) + y0, column.type)
        known = present | between
        return Column(column.type, values, None if bool(known.all()) else known)
    if (mode is FillMode.VALUE and column.type.numeric) or (mode is FillMode.NULL and counting):
        values = taken.values.copy()
        values[~present] = _as_type(np.float64(value if mode is FillMode.VALUE else 0.0), column.type)
        return Column(column.type, values, None)
    return Column(column.type, taken.values, present)


def _as_type(values: Any, type: FieldType) -> Any:
    """Floats as a numeric field's values: integers are cut towards zero, as Go converts them."""
    if type is FieldType.FLOAT:
        return values
    with np.errstate(invalid="ignore"):
        return values.astype(np.int64 if type is FieldType.INTEGER else np.uint64)
