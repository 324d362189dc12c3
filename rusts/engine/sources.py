"""Sources of rows: a segment's section, or rows in memory. And which parts of them a read wants.

A source is sorted by (series, time), run by run, and hands out columns batch by batch.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from rusts.catalog.schema import SegmentEntry
from rusts.engine.view import Matched
from rusts.errors import Corruption, FormatTooNew
from rusts.kernels import reduce
from rusts.model.batch import Column, SeriesRows
from rusts.model.store import ScanStats
from rusts.segment.reader import Section
from rusts.segment.stats import RunStats

__all__ = [
    "UNREADABLE",
    "Meter",
    "Pieces",
    "RowsSource",
    "SectionSource",
    "SegmentDamaged",
    "Slices",
    "Source",
    "block_ends",
    "counted",
    "select",
]

Longs = npt.NDArray[np.int64]

UNREADABLE: Final = (Corruption, FormatTooNew, FileNotFoundError)
"""What makes a read go on without a segment; any other trouble ends the read."""


_TIMES: Final = -1
"""What the meter calls the times; no field has such an id."""


class SegmentDamaged(Exception):
    """A segment could not be read while a query was at it; the query goes on without it."""

    def __init__(self, entry: SegmentEntry, error: Exception) -> None:
        super().__init__(str(error))
        self.entry = entry
        self.error = error


class Meter:
    """Counts what a read decodes, and lets its `check` end it."""

    __slots__ = ("_check", "_counted", "stats")

    def __init__(self, stats: ScanStats, check: Callable[[int], None] | None) -> None:
        self.stats = stats
        self._check = check
        self._counted: set[tuple[int, int, int]] = set()

    def count(self, segment: int, field: int, batch: int, size: int) -> None:
        """A batch's column of `size` bytes was handed out; it counts the first time. Raises what `check` raises."""
        key = segment, field, batch
        if key in self._counted:
            size = 0
        else:
            self._counted.add(key)
            self.stats.batches_decoded += 1
            self.stats.bytes_decoded += size
        if self._check is not None:
            self._check(size)


class Source(Protocol):
    """Rows sorted by (series, time).

    `series` uint32[runs] ascending, `starts` int64[runs + 1] rows, `low` and `high` int64[runs] the first and
    last time of each run. Batch b holds the rows from ``b * batch_rows`` on.
    """

    series: npt.NDArray[np.uint32]
    starts: Longs
    low: Longs
    high: Longs
    batch_rows: int
    fields: Collection[int]
    """The fields that some row may have."""

    def times(self, batch: int) -> Longs:
        """The times of a batch's rows."""
        ...

    def column(self, field: int, batch: int) -> Column | None:
        """A field over a batch's rows; None if no row of the batch has it."""
        ...

    def full(self, field: int, batch: int) -> bool:
        """Whether every row of the batch is known to have a value of the field, without decoding it."""
        ...

    def time_range(self, batch: int) -> tuple[int, int] | None:
        """The least and the greatest time of a batch, None if that is not known without decoding."""
        ...

    def run_stats(self, field: int) -> RunStats | None:
        """The stored statistics of each run, None if there are none."""
        ...


class SectionSource:
    """A measurement's section of a segment. Its methods raise SegmentDamaged."""

    def __init__(self, entry: SegmentEntry, section: Section, meter: Meter) -> None:
        self.entry = entry
        self._section = section
        self._meter = meter
        try:
            directory = section.directory()
        except UNREADABLE as error:
            raise SegmentDamaged(entry, error) from error
        self.series, self.starts = directory.series, directory.starts
        self.low, self.high = directory.low, directory.high
        self.batch_rows = section.batch_rows
        self.fields: Collection[int] = section.fields

    def times(self, batch: int) -> Longs:
        """See `Source`."""
        try:
            times = self._section.times(batch)
        except UNREADABLE as error:
            raise SegmentDamaged(self.entry, error) from error
        self._meter.count(self.entry.id, _TIMES, batch, times.nbytes)
        return times

    def column(self, field: int, batch: int) -> Column | None:
        """See `Source`."""
        if field not in self.fields:
            return None
        try:
            column = self._section.column(field, batch)
        except UNREADABLE as error:
            raise SegmentDamaged(self.entry, error) from error
        if column is not None:
            self._meter.count(self.entry.id, field, batch, column.nbytes)
        return column

    def full(self, field: int, batch: int) -> bool:
        """See `Source`."""
        if field not in self.fields:
            return False
        stats = self._section.chunk_stats(field, batch)
        return stats is not None and stats.nulls == 0

    def time_range(self, batch: int) -> tuple[int, int] | None:
        """See `Source`."""
        try:
            return self._section.time_range(batch)
        except UNREADABLE as error:
            raise SegmentDamaged(self.entry, error) from error

    def run_stats(self, field: int) -> RunStats | None:
        """See `Source`."""
        if field not in self.fields:
            return None
        try:
            return self._section.run_stats(field)
        except UNREADABLE as error:
            raise SegmentDamaged(self.entry, error) from error


class RowsSource:
    """Rows in memory as one batch: of a memtable, or merged from several sources."""

    def __init__(self, rows: SeriesRows) -> None:
        self._rows = rows
        self.series = rows.series
        self.starts = rows.starts
        self.low = rows.times[rows.starts[:-1]]
        self.high = rows.times[rows.starts[1:] - 1]
        self.batch_rows = max(1, len(rows.times))
        self.fields: Collection[int] = rows.columns

    def times(self, batch: int) -> Longs:
        """See `Source`."""
        return self._rows.times

    def column(self, field: int, batch: int) -> Column | None:
        """See `Source`."""
        return self._rows.columns.get(field)

    def full(self, field: int, batch: int) -> bool:
        """See `Source`."""
        column = self._rows.columns.get(field)
        return column is not None and column.validity is None

    def time_range(self, batch: int) -> tuple[int, int] | None:
        """See `Source`."""
        return None

    def run_stats(self, field: int) -> RunStats | None:
        """See `Source`."""
        return None


def counted(begins: npt.NDArray[Any], counts: npt.NDArray[Any]) -> Longs:
    """``begins[0], begins[0] + 1 ...`` (`counts[0]` numbers), then the same of ``begins[1]`` and so on."""
    before = np.cumsum(counts) - counts
    numbers: Longs = np.arange(int(counts.sum()), dtype=np.int64)
    numbers += np.repeat(begins - before, counts)
    return numbers


def block_ends(counts: npt.NDArray[Any]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """For blocks of `counts` elements each (none of 0): which elements begin a block, and which end one."""
    ends = np.cumsum(counts)
    first, last = np.zeros(int(ends[-1]), dtype=np.bool_), np.zeros(int(ends[-1]), dtype=np.bool_)
    first[ends - counts] = True
    last[ends - 1] = True
    return first, last


@dataclass(slots=True)
class Slices:
    """Rows of one batch: slice i is the rows ``begins[i]:ends[i]`` of the batch, and belongs to piece ``piece[i]``."""

    batch: int
    piece: Longs
    begins: Longs
    ends: Longs

    def rows(self) -> Longs | slice:
        """The row numbers in the batch, ascending; a slice where they leave nothing out."""
        begins, ends = self.begins, self.ends
        if len(begins) == 0:
            return slice(0, 0)
        if bool((begins[1:] == ends[:-1]).all()):
            return slice(int(begins[0]), int(ends[-1]))
        return counted(begins, ends - begins)


@dataclass(slots=True)
class Pieces:
    """Parts of a source's runs: piece i is the rows of run ``runs[i]`` with ``low[i] <= time <= high[i]``.

    `runs` int64[n] ascending (a run may come in several pieces, early ones first), `positions` int64[n] the
    place of the run's series in the `Matched` set, `low` and `high` int64[n] ns, inside the run's own times.
    """

    source: Source
    runs: Longs
    positions: Longs
    low: Longs
    high: Longs

    def __len__(self) -> int:
        return len(self.runs)

    def take(self, which: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> Pieces:
        """Some of the pieces, in their order."""
        return Pieces(self.source, self.runs[which], self.positions[which], self.low[which], self.high[which])

    def clip(self, low: int, high: int) -> Pieces:
        """What of the pieces lies in ``low <= time <= high``."""
        if len(self.runs) == 0 or (int(self.low.min()) >= low and int(self.high.max()) <= high):
            return self
        which = np.flatnonzero((self.low <= high) & (self.high >= low))
        kept = self if len(which) == len(self.runs) else self.take(which)
        return Pieces(self.source, kept.runs, kept.positions, np.maximum(kept.low, low), np.minimum(kept.high, high))

    def whole(self) -> npt.NDArray[np.bool_]:
        """bool[n]: which pieces are their entire run."""
        source, runs = self.source, self.runs
        return (self.low <= source.low[runs]) & (self.high >= source.high[runs])

    def estimate(self) -> npt.NDArray[np.float64]:
        """float64[n]: about how many rows each piece has, as if a run's rows lay evenly in its time."""
        source, runs = self.source, self.runs
        rows = (source.starts[runs + 1] - source.starts[runs]).astype(np.float64)
        span = source.high[runs].astype(np.float64) - source.low[runs]
        part = self.high.astype(np.float64) - self.low
        return np.where(span > 0, np.maximum(rows * part / np.maximum(span, 1.0), 1.0), rows)

    def batches(self) -> Iterator[Slices]:
        """The rows of the pieces, batch by batch; decodes times only where a piece ends inside a run."""
        if len(self.runs) == 0:
            return
        source = self.source
        size = source.batch_rows
        first, last = source.starts[self.runs], source.starts[self.runs + 1]
        whole = self.whole()
        all_whole = bool(whole.all())
        batch = int(first[0]) // size
        while True:
            i = int(np.searchsorted(last, batch * size, side="right"))
            if i == len(last):
                return
            batch = max(batch, int(first[i]) // size)
            j = int(np.searchsorted(first, (batch + 1) * size, side="left"))
            begins = np.maximum(first[i:j] - batch * size, 0)
            ends = np.minimum(last[i:j] - batch * size, size)
            piece = np.arange(i, j, dtype=np.int64)
            if all_whole or bool(whole[i:j].all()):
                yield Slices(batch, piece, begins, ends)
            elif self._reaches(batch, i, j):
                begins, ends = reduce.bounds(source.times(batch), begins, ends, self.low[i:j], self.high[i:j])
                some = np.flatnonzero(begins < ends)
                if len(some):
                    yield Slices(batch, piece[some], begins[some], ends[some])
            batch += 1

    def _reaches(self, batch: int, i: int, j: int) -> bool:
        """Whether a row of the batch may be in one of the pieces i..j, by the batch's times."""
        known = self.source.time_range(batch)
        return known is None or bool(((self.low[i:j] <= known[1]) & (self.high[i:j] >= known[0])).any())


def select(source: Source, matched: Matched, low: int, high: int) -> Pieces:
    """The parts of the source's runs that are of `matched` series with ``low <= time <= high``."""
    runs, positions = matched.find(source.series)
    return Pieces(source, runs, positions, source.low[runs], source.high[runs]).clip(low, high)
