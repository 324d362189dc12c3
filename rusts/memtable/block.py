"""A block: up to `BLOCK_ROWS` rows of one measurement, columns in growing arrays, order of writing.

One thread appends (under the engine's write lock); any thread may read the rows below the count
that it was given when it took its view, because a growing array is replaced, never moved.
"""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rusts.model.batch import Column, Rows, string_buffers, strings_of
from rusts.model.types import DTYPES, FieldType
from rusts.model.upsert import point_order

__all__ = ["BLOCK_ROWS", "Block", "SortedPart"]

BLOCK_ROWS: Final = 1 << 16
_FIRST_ROWS: Final = 16
_LARGE_PAGE: Final = 2 << 20
_TIME: Final = np.dtype(np.int64)
_SERIES: Final = np.dtype(np.uint32)


def _grown(array: npt.NDArray[Any], used: int, capacity: int) -> npt.NDArray[Any]:
    larger = np.empty(capacity, dtype=array.dtype)
    larger[:used] = array[:used]
    return larger


def _large_pages(size: int) -> npt.NDArray[np.uint8]:
    """`size` bytes that begin at a large page's border, where the system has such pages."""
    if size < _LARGE_PAGE or not hasattr(mmap, "MADV_HUGEPAGE"):
        return np.empty(size, dtype=np.uint8)
    region = mmap.mmap(-1, size + _LARGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(OSError):  # a kernel built without them
        region.madvise(mmap.MADV_HUGEPAGE)
    whole = np.frombuffer(region, dtype=np.uint8)
    start = -whole.ctypes.data % _LARGE_PAGE
    return whole[start : start + size]


class _Memory:
    """Memory for the columns of a block of full size, taken at once: the kernel then gives it in large pages.

    Touching new memory page by page would cost several times what is written into it.
    """

    __slots__ = ("_bytes", "_used")

    def __init__(self, dtypes: Iterable[np.dtype[Any]]) -> None:
        self._bytes = _large_pages(BLOCK_ROWS * sum(dtype.itemsize for dtype in dtypes))
        self._used = 0

    def take(self, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        """An array of ``BLOCK_ROWS`` values; of memory of its own once all is taken."""
        size = BLOCK_ROWS * dtype.itemsize
        start, self._used = self._used, self._used + size
        if self._used > len(self._bytes):
            return np.empty(BLOCK_ROWS, dtype)
        return self._bytes[start : self._used].view(dtype)


class _Values:
    """A growing column of fixed-width values."""

    __slots__ = ("array", "type", "validity")

    def __init__(self, type: FieldType, capacity: int, rows_before: int, memory: _Memory | None = None) -> None:
        self.type = type
        dtype = np.dtype(DTYPES[type])
        self.array: npt.NDArray[Any] = np.empty(capacity, dtype) if memory is None else memory.take(dtype)
        self.validity: npt.NDArray[np.bool_] | None = None
        if rows_before:
            self.array[:rows_before] = 0
            self.validity = np.zeros(capacity, dtype=np.bool_)

    def grow(self, used: int, capacity: int) -> None:
        self.array = _grown(self.array, used, capacity)
        if self.validity is not None:
            self.validity = _grown(self.validity, used, capacity)

    def put(self, column: Column, start: int, stop: int) -> None:
        self.array[start:stop] = column.values
        if column.validity is None:
            if self.validity is not None:
                self.validity[start:stop] = True
        else:
            self._with_validity(start)[start:stop] = column.validity

    def skip(self, start: int, stop: int) -> None:
        self.array[start:stop] = 0
        self._with_validity(start)[start:stop] = False

    def _with_validity(self, rows: int) -> npt.NDArray[np.bool_]:
        if self.validity is None:
            validity = np.empty(len(self.array), dtype=np.bool_)
            validity[:rows] = True
            self.validity = validity
        return self.validity

    def column(self, rows: int) -> Column:
        return Column(self.type, self.array[:rows], None if self.validity is None else self.validity[:rows])

    @property
    def nbytes(self) -> int:
        return self.array.nbytes + (0 if self.validity is None else self.validity.nbytes)


class _Strings(_Values):
    """A growing column of strings: `array` holds the end of each string in `data`."""

    __slots__ = ("data", "used")

    def __init__(self, capacity: int, rows_before: int) -> None:
        self.type = FieldType.STRING
        self.array = np.zeros(capacity + 1, dtype=np.int64)
        self.validity = np.zeros(capacity, dtype=np.bool_) if rows_before else None
        self.data: npt.NDArray[np.uint8] = np.empty(64, dtype=np.uint8)
        self.used = 0

    def grow(self, used: int, capacity: int) -> None:
        self.array = _grown(self.array, used + 1, capacity + 1)
        if self.validity is not None:
            self.validity = _grown(self.validity, used, capacity)

    def put(self, column: Column, start: int, stop: int) -> None:
        offsets, data = string_buffers(column.values)
        first, last = int(offsets[0]), int(offsets[-1])
        end = self.used + last - first
        if end > len(self.data):
            self.data = _grown(self.data, self.used, max(end, 2 * len(self.data)))
        self.data[self.used : end] = data[first:last]
        self.array[start + 1 : stop + 1] = offsets[1:] - (first - self.used)
        self.used = end
        if column.validity is None:
            if self.validity is not None:
                self.validity[start:stop] = True
        else:
            self._with_validity(start)[start:stop] = column.validity

    def skip(self, start: int, stop: int) -> None:
        self.array[start + 1 : stop + 1] = self.used
        self._with_validity(start)[start:stop] = False

    def _with_validity(self, rows: int) -> npt.NDArray[np.bool_]:
        if self.validity is None:
            validity = np.empty(len(self.array) - 1, dtype=np.bool_)
            validity[:rows] = True
            self.validity = validity
        return self.validity

    def column(self, rows: int) -> Column:
        strings = strings_of(self.array[: rows + 1], self.data)
        return Column(FieldType.STRING, strings.values, None if self.validity is None else self.validity[:rows])

    @property
    def nbytes(self) -> int:
        return super().nbytes + self.data.nbytes


class SortedPart:
    """The first `rows` rows of a block, sorted by (series, time), equal ones in order of writing."""

    __slots__ = ("order", "rows", "series", "times")

    def __init__(self, series: npt.NDArray[np.uint32], times: npt.NDArray[np.int64]) -> None:
        self.rows = len(times)
        order, _ = point_order(series, times)
        self.order = np.arange(self.rows, dtype=np.intp) if order is None else order
        self.series = series[self.order]
        self.times = times[self.order]

    def find(self, wanted: npt.NDArray[np.uint32], start: int, end: int) -> npt.NDArray[np.intp]:
        """Rows of the block, in sorted order, whose series is in `wanted` (ascending) and time in [start, end)."""
        begins = np.searchsorted(self.series, wanted, side="left")
        ends = np.searchsorted(self.series, wanted, side="right")
        found = ends > begins
        spans = [self._span(b, e, start, end) for b, e in zip(begins[found], ends[found], strict=True)]
        if not spans:
            return np.empty(0, dtype=np.intp)
        return np.concatenate(spans)

    def _span(self, begin: int, stop: int, start: int, end: int) -> npt.NDArray[np.intp]:
        first, last = np.searchsorted(self.times[begin:stop], (start, end), side="left")
        return self.order[begin + first : begin + last]


class Block:
    """Rows of one measurement in order of writing."""

    def __init__(self, expected: Iterable[FieldType] | None = None) -> None:
        """With the types of the fields that are `expected`, a block of full size; else it grows."""
        self.rows = 0
        self.min_time = 0
        self.max_time = 0
        self._memory: _Memory | None = None
        if expected is None:
            self.times: npt.NDArray[np.int64] = np.empty(_FIRST_ROWS, dtype=np.int64)
            self.series: npt.NDArray[np.uint32] = np.empty(_FIRST_ROWS, dtype=np.uint32)
        else:
            fixed = [np.dtype(DTYPES[type]) for type in expected if type is not FieldType.STRING]
            self._memory = _Memory([_TIME, _SERIES, *fixed])
            self.times = self._memory.take(_TIME)
            self.series = self._memory.take(_SERIES)
        self.columns: dict[int, _Values] = {}
        self.sorted: SortedPart | None = None

    @property
    def room(self) -> int:
        """How many rows can still be appended."""
        return BLOCK_ROWS - self.rows

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays, their unused ends included."""
        return self.series.nbytes + self.times.nbytes + sum(c.nbytes for c in self.columns.values())

    def append(self, rows: Rows) -> None:
        """Copy `rows` in; there must be room for them."""
        start = self.rows
        stop = start + len(rows.times)
        if stop > len(self.times):
            self._grow(stop)
        self.series[start:stop] = rows.series
        self.times[start:stop] = rows.times
        columns = self.columns
        for field, column in rows.columns.items():
            values = columns.get(field)
            if values is None:
                capacity = len(self.times)
                string = column.type is FieldType.STRING
                values = _Strings(capacity, start) if string else _Values(column.type, capacity, start, self._memory)
                columns[field] = values
            values.put(column, start, stop)
        if len(columns) > len(rows.columns):
            for field, values in columns.items():
                if field not in rows.columns:
                    values.skip(start, stop)
        low, high = (int(rows.times[0]),) * 2 if stop - start == 1 else (int(rows.times.min()), int(rows.times.max()))
        self.min_time = low if start == 0 else min(low, self.min_time)
        self.max_time = high if start == 0 else max(high, self.max_time)
        self.rows = stop

    def _grow(self, needed: int) -> None:
        capacity = min(BLOCK_ROWS, 1 << (needed - 1).bit_length())
        used = self.rows
        self.series = _grown(self.series, used, capacity)
        self.times = _grown(self.times, used, capacity)
        for values in self.columns.values():
            values.grow(used, capacity)
