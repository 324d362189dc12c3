"""Views for tests of the read path: real index and memtables, sections in memory with small batches.

A `World` takes points, can be told to flush, and gives a `ReadView`; the same points go to a `ModelStore`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from rusts.catalog.schema import FieldMeta, Measurement, SegmentEntry
from rusts.catalog.tombstones import Spans, Tombstone
from rusts.engine.rowfilter import split_predicate
from rusts.engine.view import ReadView
from rusts.errors import Corruption
from rusts.files import OsFiles
from rusts.index.postings import numbers_of
from rusts.memtable.memtable import Memtable
from rusts.model.batch import Column, Rows, SeriesRows
from rusts.model.partial import Partial, State, StateKind
from rusts.model.predicate import Predicate
from rusts.model.series import KeyTable
from rusts.model.store import FoldResult, ScanRequest, TimeRange
from rusts.model.time import MAX_TIME, MIN_TIME
from rusts.model.types import DTYPES, FieldType, Stamp
from rusts.segment.cache import ColumnCache
from rusts.segment.layout import SectionInput, SegmentHeader, Tier
from rusts.segment.reader import Directory, Section, SegmentReader
from rusts.segment.stats import ChunkStats, RunStats
from rusts.segment.writer import write_segment
from tests.support.model_store import ModelStore, Tags, Value, batch_of, python_values

NAME = "m"


class FakeSection:
    """A `segment.reader.Section` over rows in memory, with batches and statistics of any size."""

    def __init__(
        self, rows: SeriesRows, fields: dict[int, tuple[str, FieldType]], batch_rows: int, statistics_rows: int
    ) -> None:
        self._rows = rows
        self._statistics_rows = statistics_rows
        self.fields = fields
        self.batch_rows = batch_rows
        self.series, self.starts = rows.series, rows.starts
        self.series_count = len(rows.series)
        self.read: list[tuple[int | str, int]] = []
        """What was decoded: a field's id or "times", and the batch."""
        self.damaged: set[int | str] = set()

    def _cut(self, batch: int) -> slice:
        return slice(batch * self.batch_rows, min((batch + 1) * self.batch_rows, len(self._rows)))

    def _check(self, what: int | str, batch: int) -> None:
        self.read.append((what, batch))
        if what in self.damaged:
            raise Corruption("fake.seg", 7, "made to be damaged")

    def times(self, batch: int) -> npt.NDArray[np.int64]:
        self._check("times", batch)
        return self._rows.times[self._cut(batch)]

    def _slice(self, id: int, batch: int) -> Column:
        cut = self._cut(batch)
        return self._rows.columns[id].slice(cut.start, cut.stop)

    def column(self, id: int, batch: int) -> Column | None:
        self._check(id, batch)
        column = self._slice(id, batch)
        if column.validity is None or column.validity.all():
            return Column(column.type, column.values, None)
        return column if column.validity.any() else None

    def chunk_stats(self, id: int, batch: int) -> ChunkStats | None:
        column = self._slice(id, batch)
        valid = column.valid()
        if not valid.any():
            return None
        nulls = int(len(column) - np.count_nonzero(valid))
        if not column.type.numeric:
            return ChunkStats(nulls, None, None)
        values = column.values[valid]
        return ChunkStats(nulls, np.fmin.reduce(values).item(), np.fmax.reduce(values).item())

    def time_range(self, batch: int) -> tuple[int, int]:
        times = self._rows.times[self._cut(batch)]
        return int(times.min()), int(times.max())

    def directory(self) -> Directory:
        times, starts = self._rows.times, self._rows.starts
        return Directory(self._rows.series, starts, times[starts[:-1]], times[starts[1:] - 1])

    def might_have_series(self, key: bytes) -> bool:
        return True

    def run_stats(self, id: int) -> RunStats | None:
        type = self.fields[id][1]
        if not type.numeric:
            return None
        self._check("statistics", 0)
        runs = len(self.series)
        has = np.diff(self.starts) >= self._statistics_rows
        count = np.zeros(runs, dtype=np.int64)
        sums, low, high = (np.zeros(runs, dtype=DTYPES[type]) for _ in range(3))
        column = self._rows.columns[id]
        for r in np.flatnonzero(has).tolist():
            begin, end = int(self.starts[r]), int(self.starts[r + 1])
            values = column.values[begin:end][column.valid()[begin:end]]
            count[r] = len(values)
            if len(values):
                sums[r] = np.add.reduce(values)
                low[r], high[r] = np.fmin.reduce(values), np.fmax.reduce(values)
        return RunStats(has, count, sums, low, high)


@dataclass
class FakeSegment:
    """A pinned segment; `trouble` is raised when it is opened."""

    entry: SegmentEntry
    section: Any
    measurement: int
    trouble: Exception | None = None

    def reader(self) -> Any:
        if self.trouble is not None:
            raise self.trouble
        return SimpleNamespace(sections={self.measurement: self.section})


@dataclass
class World:
    """One measurement ``m`` of the database ``db``; `types` are its fields.

    With a `directory`, segments are files in it, written and read by the segment room.
    """

    types: Mapping[str, FieldType]
    batch_rows: int = 16
    statistics_rows: int = 8
    directory: str | None = None
    segments: list[FakeSegment] = field(default_factory=list)
    corruptions: list[tuple[SegmentEntry, Exception]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.measurement = Measurement(7, NAME, 1)
        self.measurement.fields = {n: FieldMeta(100 + i, n, t) for i, (n, t) in enumerate(self.types.items())}
        self.model = ModelStore()
        self.model.create_database("db")
        self.tombstones: list[Tombstone] = []
        self.sealed: list[Memtable] = []
        self.active = Memtable()
        self._stamp = 0

    def write(self, points: Sequence[tuple[Tags, int, Mapping[str, Value]]]) -> None:
        """One write, in both worlds."""
        batch = batch_of(NAME, points, self.types)
        self.model.write("db", None, [batch])
        index = self.measurement.index
        numbers = index.lookup(batch.keys)
        unknown = np.flatnonzero(numbers == 0xFFFFFFFF)
        numbers[unknown] = index.add(batch.keys, unknown)
        columns = {self.measurement.fields[name].id: column for (name, _), column in batch.columns.items()}
        self._stamp += 1
        rows = Rows(self.measurement.id, numbers[batch.series], batch.times, columns)
        self.active.append([rows], Stamp(self._stamp), 0.0)

    def seal(self) -> None:
        """The active memtable becomes a flushing one."""
        if self.active.points:
            self.sealed.append(self.active)
            self.active = Memtable()

    def flush(self) -> None:
        """Every memtable becomes a segment."""
        self.seal()
        for memtable in self.sealed:
            view = memtable.view(self.measurement.id)
            assert view is not None
            rows = view.select(None, MIN_TIME, MAX_TIME + 1, list(view.fields))
            self.add_segment(rows, view.max_stamp)
        self.sealed.clear()

    def delete(self, range: TimeRange, predicate: Predicate | None) -> None:
        """Delete points in both worlds: as a stretch of time of some series, or, by fields, point by point."""
        self.seal()
        self._stamp += 1
        of_series, of_rows = split_predicate(predicate)
        series = None if of_series is None else numbers_of(self.measurement.index.match(of_series))
        spans = None
        if of_rows is not None:
            chosen = rows_of(self.model.scan(ScanRequest("db", None, NAME, range, predicate)))
            keys = KeyTable.of([key for key, _, _ in chosen])
            numbers, times = self.measurement.index.lookup(keys), np.array([t for _, t, _ in chosen], dtype=np.int64)
            order = np.lexsort((times, numbers))
            spans = Spans(numbers[order], times[order], times[order])
        bounds = max(range.start, MIN_TIME), min(range.end - 1, MAX_TIME)
        self.tombstones.append(Tombstone(self._stamp, Stamp(self._stamp), 1, 0, 7, *bounds, series, spans))
        self.model.delete("db", [NAME], range, predicate)

    def add_segment(self, rows: SeriesRows, stamp: Stamp) -> None:
        """A segment of `rows` (columns by field id), newer than all others."""
        number = len(self.segments) + 1
        fields = {f.id: (f.name, f.type) for f in self.measurement.fields.values() if f.id in rows.columns}
        section: Any
        if self.directory is None:
            section = FakeSection(rows, fields, self.batch_rows, self.statistics_rows)
        else:
            section = self._written(number, rows, fields, stamp)
        low, high = int(rows.times.min()), int(rows.times.max())
        entry = SegmentEntry(number, f"{number}.seg", 1, 1, low, high, stamp, stamp, len(rows), 0, 1, 0, 0)
        self.segments.append(FakeSegment(entry, section, self.measurement.id))

    def _written(
        self, number: int, rows: SeriesRows, fields: dict[int, tuple[str, FieldType]], stamp: Stamp
    ) -> Section:
        path = f"{self.directory}/{number}.seg"
        header = SegmentHeader(number, 1, "db", 1, "autogen", Tier.HOT, 0, 1, (), stamp, stamp)
        named = [(id, name, type) for id, (name, type) in fields.items()]
        whole = SectionInput(self.measurement.id, NAME, named, [rows], self.measurement.index.keys)
        write_segment(OsFiles(), path, header, [whole])
        return SegmentReader.open(OsFiles(), path, ColumnCache(1 << 16)).sections[self.measurement.id]

    def view(self) -> ReadView:
        """Everything as it is now."""
        views = [t.view(self.measurement.id) for t in [*self.sealed, self.active]]
        return ReadView(
            self.measurement,
            list(self.segments),
            [v for v in views if v is not None],
            lambda entry, error: self.corruptions.append((entry, error)),
            tombstones=list(self.tombstones),
        )


def rows_of(scan: Any, descending: bool = False) -> list[tuple[bytes, int, dict[str, Value]]]:
    """The rows of a scan as Python values, having checked what the protocol says of chunks and columns."""
    rows: list[tuple[bytes, int, dict[str, Value]]] = []
    before: int | None = None
    for chunk in scan:
        assert len(chunk.times)
        assert chunk.starts[0] == 0
        assert chunk.starts[-1] == len(chunk.times)
        assert (np.diff(chunk.starts) > 0).all()
        assert (np.diff(chunk.series.astype(np.int64)) > 0).all()
        for begin, end in zip(chunk.starts[:-1], chunk.starts[1:], strict=True):
            assert (chunk.times[begin + 1 : end] > chunk.times[begin : end - 1]).all()
        first, last = int(chunk.times.min()), int(chunk.times.max())
        if before is not None:
            assert last <= before if descending else first >= before
        before = first if descending else last
        assert set(chunk.columns) == set(scan.field_types)
        values = {name: python_values(column) for name, column in chunk.columns.items()}
        series = chunk.row_series().tolist()
        for i, time in enumerate(chunk.times.tolist()):
            cells = {name: column[i] for name, column in values.items() if column[i] is not None}
            assert cells
            rows.append((scan.series.key(series[i]), time, cells))
    return rows


Cells = dict[tuple[Any, int], dict[State, tuple[Any, ...]]]


def cells_of(result: FoldResult, group_by: tuple[str, ...] | None) -> Cells:
    """The cells of a fold by (tag values or series key, bucket), having checked that they are sorted."""
    cells: Cells = {}
    pairs = list(zip(result.group.tolist(), result.bucket.tolist(), strict=True))
    assert pairs == sorted(set(pairs))
    texts = [[column.values[code] for code in column.codes.tolist()] for column in result.tags]
    names = list(zip(*texts, strict=True)) if texts else [()] * result.groups
    if group_by is not None:
        assert len(result.tags) == len(group_by)
        assert len(names) == result.groups
        assert names == sorted(set(names))
    for i, (group, bucket) in enumerate(pairs):
        if group_by is None:
            assert result.series is not None
            key: Any = result.series.key(group)
        else:
            key = names[group]
        cells[key, bucket] = {state: _state(state, partial, i) for state, partial in result.states.items()}
        assert any(parts[0] for parts in cells[key, bucket].values())
    return cells


def _state(state: State, partial: Partial, i: int) -> tuple[Any, ...]:
    count = int(partial.count[i])
    if count == 0:
        return (0,)
    edge = state.kind in (StateKind.FIRST, StateKind.LAST)
    parts: list[Any] = [1 if edge else count]
    for array in (partial.value, partial.time, partial.m2):
        if array is not None:
            value = array[i]
            parts.append(value.as_py() if hasattr(value, "as_py") else value.item())
    return tuple(parts)


def same_cells(found: Cells, wanted: Cells) -> bool:
    """Whether two folds gave the same, sums and moments up to rounding."""
    if found.keys() != wanted.keys():
        return False
    return all(_same(parts, wanted[cell][state]) for cell, states in found.items() for state, parts in states.items())


def _same(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    # A mean is as exact as the spread of its values lets it be: the last part of a state may be that.
    spread = math.sqrt(other[-1]) if isinstance(other[-1], float) and other[-1] > 0 else 0.0
    return len(one) == len(other) and all(
        math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9 * (1 + spread)) or (a != a and b != b)
        if isinstance(a, float)
        else a == b
        for a, b in zip(one, other, strict=True)
    )
