"""The upsert rule: one series and one time is one point; the later write wins per cell.

Rows are given in the order in which they were written. `point_order` says how to sort them and
where each point begins; `gather` then makes each column's merged cells.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from rusts.model.batch import Column, SeriesRows

__all__ = ["gather", "merge_rows", "point_order", "runs_of"]

_RADIX_SERIES = 1 << 16

_Number = TypeVar("_Number", bound=np.integer[Any])


def point_order(
    series: npt.NDArray[np.uint32], times: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.intp] | None, npt.NDArray[np.intp] | None]:
    """How rows in order of writing become points sorted by (series, time).

    Returns ``(order, firsts)``: `order` intp[rows] is the stable sorting permutation, None if the rows
    are sorted already; `firsts` intp[points] is where each point begins in the sorted rows, None if
    each row is a point of its own.
    """
    rows = len(times)
    if rows < 2:
        return None, None
    same_series = series[1:] == series[:-1]
    later = times[1:] > times[:-1]
    if bool(((series[1:] > series[:-1]) | (same_series & later)).all()):
        return None, None
    if bool((times[1:] >= times[:-1]).all()):
        # Rows that arrive in time order need only be grouped by series, and numpy sorts 16-bit
        # numbers stably by radix: several times faster than comparing 32-bit ones.
        narrow = series.astype(np.uint16) if int(series.max()) < _RADIX_SERIES else series
        order = np.argsort(narrow, kind="stable")
    else:
        order = np.lexsort((times, series))
    series, times = series[order], times[order]
    fresh = np.empty(rows, dtype=np.bool_)
    fresh[0] = True
    np.logical_or(series[1:] != series[:-1], times[1:] != times[:-1], out=fresh[1:])
    return order, None if bool(fresh.all()) else np.flatnonzero(fresh)


def gather(column: Column, order: npt.NDArray[np.intp] | None, firsts: npt.NDArray[np.intp] | None) -> Column:
    """The column over the points that `point_order` describes: per point the last written value."""
    if order is not None:
        column = column.take(order)
    if firsts is None:
        return column
    rows = len(column)
    if column.validity is None:
        last = np.append(firsts[1:], rows) - 1
        return column.take(last)
    written = np.where(column.validity, np.arange(rows, dtype=np.intp), -1)
    last = np.maximum.reduceat(written, firsts)
    present = last >= 0
    taken = Column(column.type, column.values, None).take(np.maximum(last, 0))
    return Column(column.type, taken.values, None if bool(present.all()) else present)


def runs_of(numbers: npt.NDArray[_Number]) -> tuple[npt.NDArray[_Number], npt.NDArray[np.int64]]:
    """The runs of sorted `numbers`, such as a column of series: each number once, and starts int64[runs + 1]."""
    rows = len(numbers)
    if rows == 0:
        return numbers, np.zeros(1, dtype=np.int64)
    begins = np.flatnonzero(numbers[1:] != numbers[:-1]) + 1
    starts = np.empty(len(begins) + 2, dtype=np.int64)
    starts[0] = 0
    starts[1:-1] = begins
    starts[-1] = rows
    return numbers[starts[:-1]], starts


def merge_rows(series: npt.NDArray[np.uint32], times: npt.NDArray[np.int64], columns: dict[Any, Column]) -> SeriesRows:
    """Rows in order of writing as sorted points, cells merged by the upsert rule."""
    order, firsts = point_order(series, times)
    if order is not None:
        series, times = series[order], times[order]
    if firsts is not None:
        series, times = series[firsts], times[firsts]
    runs, starts = runs_of(series)
    merged = {key: gather(column, order, firsts) for key, column in columns.items()}
    return SeriesRows(runs, starts, times, merged)
