"""Scanning: rows in time order, chunk by chunk.

Sources that share no time come one after another. A stretch of time that holds many rows is cut into
slabs, small ones first, so that a query with a limit can stop early. In a slab the key columns are merged
first, then the predicate is evaluated on its own columns, and the rest is read for the rows that are left.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from rusts.catalog.schema import FieldMeta
from rusts.engine.merge import Points, clusters
from rusts.engine.pruning import Reading, begin, without
from rusts.engine.sources import Pieces, SegmentDamaged
from rusts.engine.tablepart import TablePart
from rusts.engine.view import ReadView
from rusts.errors import Corruption
from rusts.model.batch import Column, SeriesRows, empty_column
from rusts.model.predicate import Predicate
from rusts.model.series import SeriesSet, TagColumn
from rusts.model.store import Scan, ScanRequest, ScanStats, TimeRange
from rusts.model.types import FieldType

__all__ = ["judged", "scan"]

Mask = npt.NDArray[np.bool_]

_FIRST_ROWS: Final = 1 << 12
_MOST_ROWS: Final = 1 << 18
_GROWTH: Final = 4
"""Rows of the first slab, of the largest ones, and how fast they grow."""

_SAMPLES: Final = 1 << 14
"""About so many points in time stand for all rows when a stretch is cut."""


def scan(view: ReadView | None, request: ScanRequest) -> Scan:
    """The rows that `request` asks for; None as the view of a measurement that does not exist.

    Raises InvalidRequest on a bad pattern, OSError if a segment's file cannot be read, and what
    ``request.check`` raises; iterating raises the last two as well.
    """
    if view is None:
        return _Nothing()
    names = sorted(view.measurement.fields) if request.fields is None else dict.fromkeys(request.fields)
    reading = begin(view, request.range, request.predicate, names, request.check)
    return _Scan(reading, request.descending)


def judged(
    view: ReadView, range: TimeRange, predicate: Predicate | None
) -> Iterator[tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64], Mask]]:
    """The points in `range` of the series that may do, slab by slab, and for which of them `predicate` holds.

    Numbers uint32[n], times int64[n] and bool[n], sorted by series and time. Raises InvalidRequest on a bad pattern,
    and Corruption, FormatTooNew or OSError if a segment cannot be read.
    """
    reading = begin(view, range, predicate, sorted(view.measurement.fields), None)
    if reading.stats.warnings:
        raise Corruption("segments", 0, "; ".join(reading.stats.warnings))
    numbers = reading.matched.numbers
    try:
        for points in _Scan(reading, descending=False).points():
            series = points.positions if numbers is None else numbers[points.positions]
            mask = _row_mask(reading, points)
            yield series, points.times, np.ones(len(points), dtype=np.bool_) if mask is None else mask
    except SegmentDamaged as damage:
        reading.drop(damage)
        raise damage.error from damage


def _row_mask(reading: Reading, points: Points) -> Mask | None:
    """bool[points]: for which of them the read's condition on rows holds; None if for all."""
    row_filter = reading.row_filter
    if row_filter is None or not len(points):
        return None
    types = {field.id: field.type for field in reading.view.measurement.fields.values()}

    def column(field: int) -> Column | None:
        return points.column(field, types[field])

    return row_filter.mask(column, lambda: points.positions, len(points))


class _NoSeries:
    """A set without series."""

    def __len__(self) -> int:
        return 0

    def tag_keys(self) -> list[str]:
        return []

    def tag(self, key: str) -> TagColumn:
        return TagColumn(np.empty(0, dtype=np.uint32), [""])

    def key(self, index: int) -> bytes:
        raise IndexError(index)


class _Nothing:
    """The scan of a measurement that does not exist."""

    def __init__(self) -> None:
        self.series: SeriesSet = _NoSeries()
        self.field_types: Mapping[str, FieldType] = {}
        self.stats = ScanStats()

    def __iter__(self) -> Iterator[SeriesRows]:
        return iter(())


class _Scan:
    """See `model.store.Scan`. It may be iterated once."""

    def __init__(self, reading: Reading, descending: bool) -> None:
        self._reading = reading
        self._descending = descending
        self.series: SeriesSet = reading.matched
        self.field_types: Mapping[str, FieldType] = {field.name: field.type for field in reading.fields}
        self.stats = reading.stats
        self._slab_rows = float(_FIRST_ROWS)

    def __iter__(self) -> Iterator[SeriesRows]:
        groups = clusters(self._reading.parts)
        for group in reversed(groups) if self._descending else groups:
            for low, high in self._slabs(group):
                rows = self._slab(group, low, high)
                if len(rows):
                    yield rows

    def points(self) -> Iterator[Points]:
        """All points of the sources, slab by slab. Raises SegmentDamaged."""
        for group in clusters(self._reading.parts):
            for low, high in self._slabs(group):
                yield _slab_points(group, low, high)

    def _slabs(self, group: list[Pieces | TablePart]) -> list[tuple[int, int]]:
        """The time of `group` cut into stretches (first and last ns) in the order of the scan."""
        low = min(int(p.low.min()) for p in group)
        high = max(int(p.high.max()) for p in group)
        total = sum(float(p.estimate().sum()) for p in group)
        wanted: list[float] = []
        at = 0.0
        while at + self._slab_rows < total:
            at += self._slab_rows
            wanted.append(at)
            self._slab_rows = min(self._slab_rows * _GROWTH, _MOST_ROWS)
        slabs: list[tuple[int, int]] = []
        for border in _borders(group, wanted, self._descending) if wanted else []:
            if self._descending and low < border <= high:
                slabs.append((border, high))
                high = border - 1
            elif not self._descending and low <= border < high:
                slabs.append((low, border))
                low = border + 1
        return [*slabs, (low, high)]

    def _slab(self, group: list[Pieces | TablePart], low: int, high: int) -> SeriesRows:
        while True:
            try:
                return self._rows(_slab_points(group, low, high))
            except SegmentDamaged as damage:
                self._reading.drop(damage)
                group[:] = without(group, damage)

    def _rows(self, points: Points) -> SeriesRows:
        self.stats.rows_scanned += len(points)
        mask = _row_mask(self._reading, points)
        if mask is not None:
            points = points.keep(mask)
        columns = {field: points.column(field.id, field.type) for field in self._reading.fields}
        valued = _valued(list(columns.values()), len(points))
        if valued is not None:
            points = points.keep(valued)
            columns = {f: None if c is None else c.take(valued) for f, c in columns.items()}
        rows = len(points)
        return points.series_rows({f.name: _column(f, c, rows) for f, c in columns.items()})


def _slab_points(group: list[Pieces | TablePart], low: int, high: int) -> Points:
    return Points.of([clipped for pieces in group if len(clipped := pieces.clip(low, high))])


def _column(field: FieldMeta, column: Column | None, rows: int) -> Column:
    return empty_column(field.type, rows) if column is None else column


def _valued(columns: list[Column | None], rows: int) -> npt.NDArray[np.bool_] | None:
    """bool[rows]: which rows have a value in some column; None if all have."""
    valued = np.zeros(rows, dtype=np.bool_)
    for column in columns:
        if column is not None:
            if column.validity is None:
                return None
            valued |= column.validity
    return None if bool(valued.all()) else valued


def _borders(group: list[Pieces | TablePart], wanted: list[float], descending: bool) -> list[int]:
    """The times, in the order of the scan, by which about so many rows as `wanted` says have passed."""
    times, rows = _sampled(group)
    order = np.argsort(times)
    if descending:
        order = order[::-1]
    passed = np.cumsum(rows[order])
    borders: list[int] = times[order][np.minimum(np.searchsorted(passed, wanted), len(times) - 1)].tolist()
    return borders


def _sampled(group: list[Pieces | TablePart]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Points in time, and for how many rows each of them stands, as if a run's rows lay evenly in its time."""
    count = sum(len(p) for p in group)
    each = max(1, _SAMPLES // count)
    shares = (np.arange(each, dtype=np.float64) + 1.0) / each
    times: list[npt.NDArray[np.int64]] = []
    rows: list[npt.NDArray[np.float64]] = []
    for pieces in group:
        span = pieces.high.astype(np.float64) - pieces.low
        # The way from the first time in halves: the whole of it might not be an int64.
        half = (span[:, None] * (shares / 2)).astype(np.int64)
        times.append(np.minimum(pieces.low[:, None] + half + half, pieces.high[:, None]).ravel())
        rows.append(np.repeat(pieces.estimate() / each, each))
    return np.concatenate(times), np.concatenate(rows)
