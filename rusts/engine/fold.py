"""Folding: partial states per group and bucket, straight from runs.

Where only one source has rows, slices of its columns are reduced without copying a row, or taken from the
statistics of a run; where sources overlap, their rows are merged in memory first. A fold
of nothing but last values goes from the newest source back and looks only at runs that may still hold a later one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from rusts.catalog.schema import FieldMeta
from rusts.engine.cells import FieldCells, applicable, valueless
from rusts.engine.grid import Buckets, Grid, HashedCells
from rusts.engine.merge import clusters, merged, split_overlaps
from rusts.engine.pruning import Reading, begin
from rusts.engine.sources import Pieces, SegmentDamaged, Slices
from rusts.engine.tablepart import TablePart
from rusts.engine.view import ReadView
from rusts.kernels import reduce
from rusts.model.batch import Column
from rusts.model.groups import Groups, group_series
from rusts.model.partial import Partial, State, StateKind
from rusts.model.series import TagColumn
from rusts.model.store import FoldRequest, FoldResult, ScanStats
from rusts.model.types import FieldType

__all__ = ["fold"]

Longs = npt.NDArray[np.int64]

_SMALL_GRID: Final = 1 << 16
"""A grid of so many cells is never too large."""

_BACK_SHARE: Final = 64
_BACK_GROWTH: Final = 8
"""Last values are looked for in this part of the memtables' time first, and how the next parts grow."""

_FEW_SERIES: Final = 1 << 10
"""Up to so many series are selected from a memtable one by one."""


def fold(view: ReadView | None, request: FoldRequest) -> FoldResult:
    """The partial states that `request` asks for; None as the view of a measurement that does not exist.

    Raises InvalidRequest on a bad pattern or a state that a field's type does not have, OSError if a segment's
    file cannot be read, and what ``request.check`` raises.
    """
    if view is None:
        return _nothing(request)
    names = dict.fromkeys(state.field for state in request.states)
    reading = begin(view, request.range, request.predicate, names, request.check)
    groups = group_series(reading.matched, request.group_by)
    while True:
        try:
            return _Fold(reading, request, groups).run()
        except SegmentDamaged as damage:
            # What was taken from the segment cannot be told apart any more, so begin again without it.
            reading.drop(damage)


def _nothing(request: FoldRequest) -> FoldResult:
    none = np.empty(0, dtype=np.int64)
    tags = [TagColumn(np.empty(0, dtype=np.uint32), [""]) for _ in request.group_by or ()]
    states = {state: valueless(state.kind, FieldType.FLOAT, 0) for state in request.states}
    return FoldResult(0, tags, None, none, none, states, {}, ScanStats())


class _Fold:
    """One pass over what a reading found."""

    def __init__(self, reading: Reading, request: FoldRequest, groups: Groups) -> None:
        self._reading = reading
        self._request = request
        self._groups = groups
        self._stats = reading.stats
        self._stats.rows_scanned = self._stats.from_statistics = 0
        parts = reading.parts
        low = min((int(p.low.min()) for p in parts), default=0)
        high = max((int(p.high.max()) for p in parts), default=0)
        self._low, self._high = low, high
        self._buckets = Buckets(request.window, request.range.start, low, high)
        self._directory = self._cell_directory(parts)
        self._fields = self._field_cells()
        self._edge = self._edge_kind()
        self._needs_times = any(cells.needs_times for _, cells in self._fields)

    def run(self) -> FoldResult:
        """Fold everything. Raises SegmentDamaged."""
        parts = self._reading.parts
        if self._edge is StateKind.LAST and any(isinstance(part, TablePart) for part in parts):
            self._fold_back(parts)
        else:
            low, high = self._low, self._high
            self._fold_pieces_of([part if isinstance(part, Pieces) else part.clip(low, high) for part in parts])
        return self._result()

    def _cell_directory(self, parts: list[Pieces | TablePart]) -> Grid | HashedCells:
        size = self._groups.count * self._buckets.count
        if size <= _SMALL_GRID or size <= 2 * sum(float(p.estimate().sum()) for p in parts):
            return Grid(self._groups.count, self._buckets.count)
        return HashedCells()

    def _field_cells(self) -> list[tuple[FieldMeta, FieldCells]]:
        made: list[tuple[FieldMeta, FieldCells]] = []
        for field in self._reading.fields:
            asked = [state.kind for state in self._request.states if state.field == field.name]
            kinds = [kind for kind in asked if applicable(kind, field.type)]
            if kinds:
                made.append((field, FieldCells(field.type, kinds, self._directory.size)))
        return made

    def _edge_kind(self) -> StateKind | None:
        """FIRST or LAST if that is all that is asked for, of one bucket."""
        kinds = set().union(*(field_cells.kinds for _, field_cells in self._fields))
        if self._buckets.count == 1 and len(kinds) == 1 and isinstance(self._directory, Grid):
            kind = kinds.pop()
            if kind in (StateKind.FIRST, StateKind.LAST):
                return kind
        return None

    # -- which pieces, in which order

    def _fold_back(self, parts: list[Pieces | TablePart]) -> None:
        """Fold last values from the newest time back, until no series can have a later one in what is left."""
        tables = [part for part in parts if isinstance(part, TablePart)]
        low, high = self._low, self._high
        oldest = min(int(table.low[0]) for table in tables)
        step = (high - oldest) // _BACK_SHARE + 1
        while True:
            begin = high - step if high - step > oldest else low
            wanted = self._unsettled(high)
            self._fold_pieces_of(
                [
                    part.clip(begin, high) if isinstance(part, Pieces) else part.clip(begin, high, wanted)
                    for part in parts
                    if int(part.low.min()) <= high and int(part.high.max()) >= begin
                ]
            )
            if begin == low or bool((self._settled() >= begin).all()):
                return
            high, step = begin - 1, step * _BACK_GROWTH

    def _unsettled(self, high: int) -> npt.NDArray[np.intp] | None:
        """Positions of the few series that may have a later value at `high` or before it; None if they are not few."""
        every = np.arange(len(self._reading.matched), dtype=np.int64)
        unsettled = np.flatnonzero(self._settled()[self._groups.of(every)] <= high)
        return unsettled if len(unsettled) <= _FEW_SERIES else None

    def _settled(self) -> Longs:
        """int64[cells]: the time before which (FIRST: after which) no row can change a cell any more."""
        kind = StateKind.FIRST if self._edge is StateKind.FIRST else StateKind.LAST
        edges = np.stack([cells.edge(kind) for _, cells in self._fields])
        settled: Longs = edges.max(axis=0) if kind is StateKind.FIRST else edges.min(axis=0)
        return settled

    def _fold_pieces_of(self, parts: list[Pieces]) -> None:
        groups = clusters(parts)
        for group in reversed(groups) if self._edge is StateKind.LAST else groups:
            for pieces in self._units(group):
                self._fold_pieces(pieces)

    def _units(self, group: list[Pieces]) -> Iterator[Pieces]:
        """Pieces of which no two share rows of a series at one time, from sources that share times."""
        needed = {field.id: field.type for field in self._reading.fields}
        if self._reading.row_filter is not None:
            types = {field.id: field.type for field in self._reading.view.measurement.fields.values()}
            needed |= {field: types[field] for field in self._reading.row_filter.fields}
        alone, together = split_overlaps(self._open(group))
        if self._edge is StateKind.LAST:
            alone.sort(key=lambda pieces: int(pieces.high.max()), reverse=True)
        for pieces in alone:
            yield from self._open([pieces])
        together = self._open(together)
        if together:
            yield from merged(together, needed)

    def _open(self, parts: list[Pieces]) -> list[Pieces]:
        """Leave out pieces that cannot change a first or last value any more."""
        if self._edge is None:
            return parts
        open_parts = []
        for pieces in parts:
            cells = self._directory.cells(self._groups.of(pieces.positions), None)
            settled = self._settled()[cells]
            still = pieces.high >= settled if self._edge is StateKind.LAST else pieces.low <= settled
            kept = pieces if bool(still.all()) else pieces.take(still)
            if len(kept):
                open_parts.append(kept)
        return open_parts

    # -- one source's pieces

    def _fold_pieces(self, pieces: Pieces) -> None:
        if self._reading.row_filter is None and not self._needs_times:
            pieces = self._from_statistics(pieces)
        groups = self._groups.of(pieces.positions)
        for slices in pieces.batches():
            self._fold_batch(pieces, groups, slices)

    def _from_statistics(self, pieces: Pieces) -> Pieces:
        """Fold the runs that statistics answer. Returns the other pieces."""
        if not all(cells.sums_only for _, cells in self._fields):
            return pieces
        source, runs = pieces.source, pieces.runs
        usable = np.ones(len(pieces), dtype=np.bool_)
        if self._buckets.count > 1:
            usable = self._buckets.of(pieces.low) == self._buckets.of(pieces.high)
            if not usable.any():
                return pieces
        stored = [source.run_stats(field.id) for field, _ in self._fields]
        if not any(stored):
            return pieces
        usable &= pieces.whole()
        for (field, _), statistics in zip(self._fields, stored, strict=True):
            if statistics is not None:
                usable &= statistics.has[runs]
            elif field.id in source.fields:
                return pieces
        if not usable.any():
            return pieces
        known = pieces if bool(usable.all()) else pieces.take(usable)
        bucket = self._buckets.of(known.low) if self._buckets.count > 1 else None
        cells = self._cells(self._groups.of(known.positions), bucket)
        for (_, field_cells), of_field in zip(self._fields, stored, strict=True):
            if of_field is not None:
                field_cells.add_sums(cells, of_field.count[known.runs], of_field.sum[known.runs])
        self._stats.from_statistics += len(known)
        return pieces.take(~usable)

    def _fold_batch(self, pieces: Pieces, groups: Longs, slices: Slices) -> None:
        source, batch = pieces.source, slices.batch
        begins, ends, group = slices.begins, slices.ends, groups[slices.piece]
        self._stats.rows_scanned += int((ends - begins).sum())
        times = source.times(batch) if self._needs_times or self._buckets.count > 1 else None
        bucket = None
        keep, first = self._filter(pieces, slices)
        if keep is not None and not keep.any():
            return
        if self._buckets.count > 1 and times is not None:
            interval = self._buckets.window.interval if self._buckets.window is not None else 0
            part, bucket, begins, ends = reduce.split(times, begins, ends, self._buckets.first_end, interval)
            group = group[part]
        cells = self._cells(group, bucket)
        for field, field_cells in self._fields:
            if keep is None and not field_cells.needs_values and source.full(field.id, batch):
                field_cells.add_counts(cells, ends - begins)
                continue
            column = source.column(field.id, batch)
            if column is None:
                continue
            if keep is None:
                field_cells.add(cells, column, times, begins, ends)
            else:
                column = column.slice(first, first + len(keep))
                valid = keep if column.validity is None else keep & column.validity
                column = Column(column.type, column.values, valid)
                own_times = None if times is None else times[first : first + len(keep)]
                field_cells.add(cells, column, own_times, begins - first, ends - first)

    def _cells(self, groups: Longs, bucket: npt.NDArray[np.uint64] | None) -> Longs:
        cells = self._directory.cells(groups, bucket)
        if self._fields and self._directory.size > len(self._fields[0][1].count):
            for _, field_cells in self._fields:
                field_cells.resize(max(2 * len(field_cells.count), self._directory.size))
        return cells

    def _filter(self, pieces: Pieces, slices: Slices) -> tuple[npt.NDArray[np.bool_] | None, int]:
        """Which rows, from the first one of the slices to the last one, the row filter keeps; None = all."""
        row_filter = self._reading.row_filter
        if row_filter is None:
            return None, 0
        source, batch = pieces.source, slices.batch
        first, last = int(slices.begins[0]), int(slices.ends[-1])

        def column(field: int) -> Column | None:
            values = source.column(field, batch)
            return None if values is None else values.slice(first, last)

        def positions() -> Longs:
            # Rows between the slices are of no interest: they may have any series.
            of_row = np.zeros(last - first, dtype=np.int64)
            rows = slices.rows()
            at = slice(0, last - first) if isinstance(rows, slice) else rows - first
            of_row[at] = np.repeat(pieces.positions[slices.piece], slices.ends - slices.begins)
            return of_row

        return row_filter.mask(column, positions, last - first), first

    # -- the answer

    def _result(self) -> FoldResult:
        """The cells that have a value, in order."""
        request = self._request
        if self._fields:
            some = np.zeros(len(self._fields[0][1].count), dtype=np.bool_)
            for _, field_cells in self._fields:
                some |= field_cells.count > 0
            cells = np.flatnonzero(some)
            group, bucket = self._directory.keys(cells)
            begins = self._buckets.begins(bucket)
            if isinstance(self._directory, HashedCells):
                order = np.lexsort((begins, group))
                cells, group, begins = cells[order], group[order], begins[order]
        else:
            cells = group = begins = np.empty(0, dtype=np.int64)
        return FoldResult(
            groups=self._groups.count,
            tags=self._groups.tags,
            series=self._reading.matched if request.group_by is None else None,
            group=group,
            bucket=begins,
            states={state: self._partial(state, cells) for state in request.states},
            field_types={field.name: field.type for field in self._reading.fields},
            stats=self._stats,
        )

    def _partial(self, state: State, cells: npt.NDArray[np.intp]) -> Partial:
        for field, field_cells in self._fields:
            if field.name == state.field and state.kind in field_cells.kinds:
                return field_cells.partial(state.kind, cells)
        types = {field.name: field.type for field in self._reading.fields}
        return valueless(state.kind, types.get(state.field, FieldType.FLOAT), len(cells))
