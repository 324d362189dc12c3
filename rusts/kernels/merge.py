# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# distutils: extra_compile_args = -O3
"""Orders by (series, time): of rows that came in time order, and of sources that are sorted each.

Rows of k sources lie one source after another, oldest source first. The result is the stable order of all of
them by (series, time), and where each point begins in it: of the rows of a point the last one is the newest.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

try:
    import cython
except ImportError:
    from rusts.kernels import standin as cython

__all__ = ["SOURCE_DIGEST", "Grouping", "merge_order"]

SOURCE_DIGEST = "453657406e457add"

_BEFORE_ALL = -(1 << 63)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
@cython.inline
def _before(
    series: cython.const[cython.uint][::1],
    times: cython.const[cython.longlong][::1],
    heads: cython.longlong[::1],
    one: cython.longlong,
    other: cython.longlong,
) -> cython.bint:
    """Whether the head of source `one` comes before the head of source `other`."""
    a: cython.longlong = heads[one]
    b: cython.longlong = heads[other]
    if series[a] != series[b]:
        return series[a] < series[b]
    if times[a] != times[b]:
        return times[a] < times[b]
    return one < other


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _sink(
    series: cython.const[cython.uint][::1],
    times: cython.const[cython.longlong][::1],
    heads: cython.longlong[::1],
    heap: cython.longlong[::1],
    size: cython.Py_ssize_t,
    at: cython.Py_ssize_t,
) -> cython.void:
    """Let the source at heap position `at` sink to where it belongs."""
    moving: cython.longlong = heap[at]
    child: cython.Py_ssize_t
    while 2 * at + 1 < size:
        child = 2 * at + 1
        if child + 1 < size and _before(series, times, heads, heap[child + 1], heap[child]):
            child += 1
        if not _before(series, times, heads, heap[child], moving):
            break
        heap[at] = heap[child]
        at = child
    heap[at] = moving


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _merge(
    series: cython.const[cython.uint][::1],
    times: cython.const[cython.longlong][::1],
    offsets: cython.const[cython.longlong][::1],
    heads: cython.longlong[::1],
    heap: cython.longlong[::1],
    order: cython.longlong[::1],
    fresh: cython.uchar[::1],
) -> cython.Py_ssize_t:
    """Fill `order` and `fresh` (1 where a point begins). Returns the number of points."""
    size: cython.Py_ssize_t = 0
    i: cython.Py_ssize_t
    out: cython.Py_ssize_t = 0
    points: cython.Py_ssize_t = 0
    source: cython.longlong
    rival: cython.longlong
    row: cython.longlong
    end: cython.longlong
    for i in range(offsets.shape[0] - 1):
        heads[i] = offsets[i]
        if offsets[i] < offsets[i + 1]:
            heap[size] = i
            size += 1
    i = size // 2 - 1
    while i >= 0:
        _sink(series, times, heads, heap, size, i)
        i -= 1
    while size:
        source = heap[0]
        end = offsets[source + 1]
        rival = -1
        if size > 1:
            rival = heap[1]
            if size > 2 and _before(series, times, heads, heap[2], rival):
                rival = heap[2]
        # The source with the least row gives rows until the second best one has a lesser row.
        while True:
            row = heads[source]
            order[out] = row
            fresh[out] = 1
            if out and series[order[out - 1]] == series[row] and times[order[out - 1]] == times[row]:
                fresh[out] = 0
            points += fresh[out]
            out += 1
            heads[source] = row + 1
            if row + 1 == end:
                size -= 1
                heap[0] = heap[size]
                break
            if rival >= 0 and _before(series, times, heads, rival, source):
                break
        if size > 1:
            _sink(series, times, heads, heap, size, 0)
    return points


def merge_order(
    series: npt.NDArray[np.uint32], times: npt.NDArray[np.int64], offsets: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64] | None]:
    """How the rows of sorted sources become points sorted by (series, time).

    Source i is the rows ``offsets[i]:offsets[i + 1]`` (offsets[0] == 0, the last one is the number of rows),
    sorted by (series, time). Returns ``(order, firsts)`` as `rusts.model.upsert.point_order` does: `order`
    int64[rows] is the permutation, rows of a point in the order of their sources; `firsts` int64[points]
    where each point begins in it, None if every row is a point of its own. Raises ValueError if the
    offsets do not fit the rows.
    """
    rows = len(times)
    sizes = np.diff(offsets)
    if len(series) != rows or len(offsets) < 2 or offsets[0] != 0 or int(sizes.min()) < 0 or int(sizes.sum()) != rows:
        raise ValueError("offsets must rise from 0 to the number of rows")
    order = np.empty(rows, dtype=np.int64)
    fresh = np.empty(rows, dtype=np.uint8)
    work = np.empty((2, len(offsets)), dtype=np.int64)
    s: cython.const[cython.uint][::1] = memoryview(series)
    t: cython.const[cython.longlong][::1] = memoryview(times)
    k: cython.const[cython.longlong][::1] = memoryview(offsets)
    heads: cython.longlong[::1] = memoryview(work[0])
    heap: cython.longlong[::1] = memoryview(work[1])
    o: cython.longlong[::1] = memoryview(order)
    f: cython.uchar[::1] = memoryview(fresh)
    points: cython.Py_ssize_t
    with cython.nogil:
        points = _merge(s, t, k, heads, heap, o, f)
    if points == rows:
        return order, None
    return order, np.flatnonzero(fresh).astype(np.int64, copy=False)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _count(
    series: cython.const[cython.uint][::1], least: cython.longlong, span: cython.longlong, counts: cython.longlong[::1]
) -> cython.bint:
    """Count the rows of each series. False at a number outside of `span`."""
    i: cython.Py_ssize_t
    at: cython.longlong
    for i in range(series.shape[0]):
        at = series[i]
        at -= least
        if at < 0 or at >= span:
            return False
        counts[at] += 1
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _place(
    series: cython.const[cython.uint][::1],
    times: cython.const[cython.longlong][::1],
    least: cython.longlong,
    span: cython.longlong,
    limit: cython.longlong,
    places: cython.longlong[::1],
    last: cython.longlong[::1],
    out: cython.longlong[::1],
) -> cython.int:
    """Give each row the next place of its series. 0: every time is behind the one before, else why not."""
    i: cython.Py_ssize_t
    at: cython.longlong
    place: cython.longlong
    for i in range(series.shape[0]):
        at = series[i]
        at -= least
        if at < 0 or at >= span:
            return 2
        place = places[at]
        if place < 0 or place >= limit:
            return 2
        if times[i] <= last[at]:
            return 1
        last[at] = times[i]
        out[i] = place
        places[at] = place + 1
    return 0


class Grouping:
    """Places for rows that arrive in time order, grouped by series: a counting sort, piece by piece.

    First `count` every piece, then `place` them in the same order.
    """

    def __init__(self, least: int, greatest: int) -> None:
        """For the series ``least..greatest`` (uint32 both)."""
        self.least = least
        span = greatest - least + 1
        self.counts = np.zeros(span, dtype=np.int64)
        self._last = np.full(span, _BEFORE_ALL, dtype=np.int64)
        self._places: npt.NDArray[np.int64] | None = None
        self._rows = 0

    def count(self, series: npt.NDArray[np.uint32]) -> None:
        """Count the rows of a piece. Raises ValueError for a series that is not one of those announced."""
        s: cython.const[cython.uint][::1] = memoryview(series)
        c: cython.longlong[::1] = memoryview(self.counts)
        least: cython.longlong = self.least
        span: cython.longlong = len(self.counts)
        good: cython.bint
        with cython.nogil:
            good = _count(s, least, span, c)
        if not good:
            raise ValueError("a series is not one of those announced")
        self._rows += len(series)

    def place(self, series: npt.NDArray[np.uint32], times: npt.NDArray[np.int64]) -> npt.NDArray[np.int64] | None:
        """int64[n]: where each row of the next piece comes to be; None if its time is not behind its series' last.

        Raises ValueError if the lengths differ, or for rows that were not counted.
        """
        if len(series) != len(times):
            raise ValueError("there must be a time for each row")
        if self._places is None:
            self._places = np.cumsum(self.counts) - self.counts
        out = np.empty(len(series), dtype=np.int64)
        s: cython.const[cython.uint][::1] = memoryview(series)
        t: cython.const[cython.longlong][::1] = memoryview(times)
        p: cython.longlong[::1] = memoryview(self._places)
        k: cython.longlong[::1] = memoryview(self._last)
        o: cython.longlong[::1] = memoryview(out)
        least: cython.longlong = self.least
        span: cython.longlong = len(self.counts)
        limit: cython.longlong = self._rows
        state: cython.int
        with cython.nogil:
            state = _place(s, t, least, span, limit, p, k, o)
        if state == 2:
            raise ValueError("a row was not counted")
        return None if state else out
