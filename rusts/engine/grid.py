"""Which cell a (group, bucket) is: a full grid where that is small, a hash table where it is not."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from rusts.kernels import reduce
from rusts.model.store import Window
from rusts.model.time import MAX_TIME, MIN_TIME

__all__ = ["Buckets", "Grid", "HashedCells"]

Longs = npt.NDArray[np.int64]

_FIRST_SLOTS: Final = 1 << 10
_WORD: Final = (1 << 64) - 1


class Buckets:
    """The buckets of `window` from the one that holds `low` ns to the one that holds `high`, numbered from 0.

    Without a window there is one, which begins at `origin`. `first_end` is where bucket 0 ends.
    """

    def __init__(self, window: Window | None, origin: int, low: int, high: int) -> None:
        self.window = window
        if window is None:
            self.count = 1
            self._first = min(max(origin, MIN_TIME), MAX_TIME)
            return
        # Python's integers: neither border of a bucket need be an int64.
        interval = window.interval
        first = (low - window.offset) // interval
        self.count = (high - window.offset) // interval - first + 1
        self._first = max(first * interval + window.offset, MIN_TIME)
        self.first_end = (first + 1) * interval + window.offset
        if self.first_end > high:
            self.count = 1

    def begins(self, numbers: npt.NDArray[np.uint64]) -> Longs:
        """int64[n] ns: where the buckets `numbers` begin; never before the earliest time that a point may have."""
        begins = np.full(len(numbers), self._first, dtype=np.int64)
        later = np.flatnonzero(numbers)
        if len(later) and self.window is not None:
            # Modulo 2**64 the way is long, but the end is the right int64.
            steps = (numbers[later] - np.uint64(1)) * np.uint64(self.window.interval)
            begins[later] = (steps + np.uint64(self.first_end & _WORD)).view(np.int64)
        return begins

    def of(self, times: Longs) -> npt.NDArray[np.uint64]:
        """uint64[n]: the number of the bucket of each of `times` (ns, none before bucket 0)."""
        numbers = np.zeros(len(times), dtype=np.uint64)
        if self.count > 1 and self.window is not None:
            later = np.flatnonzero(times >= self.first_end)
            since = times[later].view(np.uint64) - np.uint64(self.first_end & _WORD)
            numbers[later] = since // np.uint64(self.window.interval) + np.uint64(1)
        return numbers


class Grid:
    """Cell = group * buckets + bucket: every pair has a cell, whether something falls into it or not."""

    def __init__(self, groups: int, buckets: int) -> None:
        self._buckets = buckets
        self.size = groups * buckets

    def cells(self, groups: Longs, buckets: npt.NDArray[np.uint64] | None) -> Longs:
        """int64[n]: the cells of the pairs. `buckets` None = all are in bucket 0."""
        if self._buckets == 1:
            return groups
        base = groups * self._buckets
        return base if buckets is None else base + buckets.astype(np.int64)

    def keys(self, cells: npt.NDArray[np.intp]) -> tuple[Longs, npt.NDArray[np.uint64]]:
        """The group int64[n] and the bucket uint64[n] of each of `cells`."""
        group, bucket = np.divmod(cells, self._buckets)
        return group, bucket.astype(np.uint64)


class HashedCells:
    """Cells only for the pairs that were asked for, numbered in that order; `size` grows."""

    def __init__(self) -> None:
        self.size = 0
        self._slots = np.full(_FIRST_SLOTS, -1, dtype=np.int64)
        self._groups: Longs = np.empty(_FIRST_SLOTS // 2, dtype=np.int64)
        self._buckets: Longs = np.empty(_FIRST_SLOTS // 2, dtype=np.int64)

    def cells(self, groups: Longs, buckets: npt.NDArray[np.uint64] | None) -> Longs:
        """int64[n]: the cells of the pairs. `buckets` None = all are in bucket 0."""
        numbers = np.zeros(len(groups), dtype=np.int64) if buckets is None else buckets.view(np.int64)
        self._reserve(self.size + len(groups))
        cells = np.empty(len(groups), dtype=np.int64)
        self.size = reduce.find_cells(groups, numbers, self._slots, self._groups, self._buckets, self.size, cells)
        return cells

    def _reserve(self, wanted: int) -> None:
        if 2 * wanted <= len(self._slots):
            return
        slots = 1 << (2 * wanted - 1).bit_length()
        groups, buckets, used = self._groups, self._buckets, self.size
        self._slots = np.full(slots, -1, dtype=np.int64)
        self._groups = np.empty(slots // 2, dtype=np.int64)
        self._buckets = np.empty(slots // 2, dtype=np.int64)
        again = np.empty(used, dtype=np.int64)
        reduce.find_cells(groups[:used], buckets[:used], self._slots, self._groups, self._buckets, 0, again)

    def keys(self, cells: npt.NDArray[np.intp]) -> tuple[Longs, npt.NDArray[np.uint64]]:
        """The group int64[n] and the bucket uint64[n] of each of `cells`."""
        return self._groups[cells], self._buckets[cells].view(np.uint64)
