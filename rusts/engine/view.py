"""What a read sees: one measurement's sources at one moment, and the series that the read is about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from rusts.catalog.schema import Measurement, SegmentEntry
from rusts.catalog.tombstones import Tombstone
from rusts.index.series import SeriesIndex
from rusts.memtable.table import TableView
from rusts.model.series import TagColumn
from rusts.model.types import Stamp
from rusts.segment.reader import SegmentReader

__all__ = ["Matched", "PinnedSegment", "ReadView"]

_TABLE_SHARE = 64
"""A table over all series is built once this fraction of them is looked for."""


class PinnedSegment(Protocol):
    """A live segment whose file stays while this object is referenced."""

    entry: SegmentEntry

    def reader(self) -> SegmentReader:
        """The open reader. Raises OSError, Corruption or FormatTooNew."""
        ...


@dataclass(slots=True)
class ReadView:
    """Everything that holds rows of a measurement, oldest writes first: segments, then memtables.

    Where two sources have the same cell, the later one in that order wins. `on_corruption` is told of a
    segment that could not be read; `quarantined` are those that could not be read before, and why: an answer about
    their times begins with a warning. `tombstones` hide what was written before them.
    """

    measurement: Measurement
    segments: Sequence[PinnedSegment]
    memtables: Sequence[TableView]
    on_corruption: Callable[[SegmentEntry, Exception], None]
    quarantined: Sequence[tuple[SegmentEntry, str]] = ()
    tombstones: Sequence[Tombstone] = ()

    def newer_than(self, stamp: Stamp) -> ReadView:
        """The same of what was written after `stamp`, at least in part."""
        segments = [segment for segment in self.segments if segment.entry.max_stamp > stamp]
        bad = [(entry, reason) for entry, reason in self.quarantined if entry.max_stamp > stamp]
        memtables = [table for table in self.memtables if table.max_stamp > stamp]
        return replace(self, segments=segments, quarantined=bad, memtables=memtables)


class Matched:
    """The series that a read is about (a `model.series.SeriesSet`), numbered 0..n-1 by `position`.

    `numbers` uint32[n] ascending are their numbers in the index; None means the first `total`, all of them. No
    source of the view has a series whose number is not below `total`.
    """

    def __init__(self, index: SeriesIndex, numbers: npt.NDArray[np.uint32] | None, total: int) -> None:
        self._index = index
        self.numbers = numbers
        self.total = total
        self._positions: npt.NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return self.total if self.numbers is None else len(self.numbers)

    def tag_keys(self) -> list[str]:
        """Every tag key that some series of the measurement has, sorted."""
        return self._index.tag_keys()

    def tag(self, key: str) -> TagColumn:
        """The tag `key` over the set; a key that nobody has gives a column of empty strings."""
        whole = self._index.tag(key)
        codes = whole.codes[: self.total] if self.numbers is None else whole.codes[self.numbers]
        return TagColumn(codes, whole.values)

    def key(self, index: int) -> bytes:
        """The canonical key of series `index` of the set."""
        return self._index.key(index if self.numbers is None else int(self.numbers[index]))

    def find(self, series: npt.NDArray[np.uint32]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Which of `series` (ascending numbers) are in the set: their indices there, and their positions here."""
        numbers = self.numbers
        if numbers is None:
            return np.arange(len(series), dtype=np.int64), series.astype(np.int64)
        if len(numbers) * _TABLE_SHARE >= self.total and len(numbers) > _TABLE_SHARE:
            positions = self._table()[series]
            runs = np.flatnonzero(positions >= 0)
            return runs, positions[runs]
        if len(numbers) <= len(series):
            runs = np.searchsorted(series, numbers)
            found = np.flatnonzero(np.take(series, runs, mode="clip") == numbers) if len(series) else runs[:0]
            return runs[found], found
        positions = np.searchsorted(numbers, series)
        found = np.flatnonzero(np.take(numbers, positions, mode="clip") == series)
        return found, positions[found]

    def _table(self) -> npt.NDArray[np.int64]:
        if self._positions is None and self.numbers is not None:
            table = np.full(self.total, -1, dtype=np.int64)
            table[self.numbers] = np.arange(len(self.numbers))
            self._positions = table
        assert self._positions is not None
        return self._positions
