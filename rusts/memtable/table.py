"""One measurement's rows in a memtable, and a view of them that later writes do not change.

Every block but the last is full, so row r of a table is row ``r % BLOCK_ROWS`` of its block ``r // BLOCK_ROWS``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from rusts.kernels.merge import Grouping
from rusts.memtable.block import BLOCK_ROWS, Block, SortedPart
from rusts.model.batch import Column, Rows, SeriesRows, concat_columns, empty_column
from rusts.model.types import DTYPES, FieldType, Stamp
from rusts.model.upsert import gather, merge_rows, point_order, runs_of

__all__ = ["OrderedPoints", "Table", "TableView"]

_BLOCK_SHIFT: Final = BLOCK_ROWS.bit_length() - 1

_SPAN_PER_ROW: Final = 4
"""Rows are grouped by counting if the numbers of their series span no more than this; else sorting is cheaper."""

_SORT_BEHIND: Final = 1 << 13
"""A block is sorted anew for a selective read once this many of its rows are not sorted yet."""


class Table:
    """Rows of one measurement in blocks, in order of writing."""

    def __init__(self, measurement: int) -> None:
        self.measurement = measurement
        self.blocks: list[Block] = [Block()]
        self.fields: dict[int, FieldType] = {}
        self.rows = 0
        self.max_stamp = Stamp(0)
        """The largest stamp of the writes."""

    def append(self, rows: Rows) -> int:
        """Copy `rows` in. Returns by how many bytes the table grew."""
        block = self.blocks[-1]
        count = len(rows.times)
        before = block.nbytes
        for field, column in rows.columns.items():
            if field not in self.fields:
                self.fields[field] = column.type
        self.rows += count
        if count <= block.room:
            block.append(rows)
            return block.nbytes - before
        grown = 0
        done = 0
        while done < count:
            if block.room == 0:
                block = Block(self.fields.values())
                self.blocks.append(block)
                before = 0
            stop = min(count, done + block.room)
            block.append(
                Rows(
                    rows.measurement,
                    rows.series[done:stop],
                    rows.times[done:stop],
                    {field: column.slice(done, stop) for field, column in rows.columns.items()},
                )
            )
            done = stop
            grown += block.nbytes - before
            before = block.nbytes
        return grown

    def view(self) -> TableView:
        """The rows that are here now. Call it under the lock that orders writes."""
        return TableView(self)


class _Part:
    """The rows of one block that a view holds.

    Columns are fetched when they are asked for: what is appended meanwhile never changes the rows
    below `rows`, also where an array was replaced by a larger one.
    """

    __slots__ = ("block", "max_time", "min_time", "rows", "series", "times")

    def __init__(self, block: Block) -> None:
        self.block = block
        self.rows = block.rows
        self.min_time = block.min_time
        self.max_time = block.max_time
        self.series = block.series[: block.rows]
        self.times = block.times[: block.rows]

    def column(self, field: int, type: FieldType) -> Column:
        values = self.block.columns.get(field)
        return empty_column(type, self.rows) if values is None else values.column(self.rows)

    def find(self, wanted: npt.NDArray[np.uint32] | None, start: int, end: int) -> npt.NDArray[np.intp] | None:
        """Positions of the asked rows, None for all of them. Equal points stay in order of writing."""
        within = start <= self.min_time and self.max_time < end
        if wanted is None:
            if within:
                return None
            return np.flatnonzero((self.times >= start) & (self.times < end))
        part = self._sorted()
        found = part.find(wanted, start, end)
        if part.rows < self.rows:
            series, times = self.series[part.rows :], self.times[part.rows :]
            keep = (times >= start) & (times < end) & np.isin(series, wanted)
            found = np.concatenate((found, np.flatnonzero(keep) + part.rows))
        return found

    def _sorted(self) -> SortedPart:
        part = self.block.sorted
        if part is None or (part.rows < self.rows and self.rows - part.rows >= min(_SORT_BEHIND, BLOCK_ROWS)):
            part = self.block.sorted = SortedPart(self.series, self.times)
        if part.rows > self.rows:
            # A later view sorted rows that this one must not see.
            part = SortedPart(self.series, self.times)
        return part


class OrderedPoints:
    """All points of a view in order of (series, time): the key columns whole, the others piece by piece.

    Point p is ``series[p]`` (uint32) at ``times[p]`` (int64 ns). So a memtable of any size is sorted and
    flushed while only some ten thousand rows of it exist twice.
    """

    def __init__(self, parts: list[_Part], fields: dict[int, FieldType]) -> None:
        self._parts = parts
        self._fields = fields
        self.series = np.concatenate([p.series for p in parts])
        self.times = np.concatenate([p.times for p in parts])
        self._order, self._firsts = point_order(self.series, self.times)
        if self._order is not None:
            self.series, self.times = self.series[self._order], self.times[self._order]
        self._rows = len(self.times)
        if self._firsts is not None:
            self.series, self.times = self.series[self._firsts], self.times[self._firsts]

    def pieces(self, points: npt.NDArray[np.intp] | None, size: int = BLOCK_ROWS) -> Iterator[SeriesRows]:
        """The points at the ascending positions `points` (None = all), at most `size` at a time, cells merged."""
        count = len(self.times) if points is None else len(points)
        for start in range(0, count, size):
            stop = min(start + size, count)
            yield self._piece(np.arange(start, stop, dtype=np.intp) if points is None else points[start:stop])

    def _piece(self, points: npt.NDArray[np.intp]) -> SeriesRows:
        rows, firsts = self._rows_of(points)
        if self._order is not None:
            rows = self._order[rows]
        blocks = rows >> _BLOCK_SHIFT
        inside = rows & (BLOCK_ROWS - 1)
        touched = [(int(b), np.flatnonzero(blocks == b)) for b in np.unique(blocks)]
        spots = [(b, where, inside[where]) for b, where in touched]
        columns = {
            field: gather(self._column(field, type, spots, len(rows)), None, firsts)
            for field, type in self._fields.items()
        }
        runs, starts = runs_of(self.series[points])
        return SeriesRows(runs, starts, self.times[points], columns)

    def _rows_of(self, points: npt.NDArray[np.intp]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp] | None]:
        """The sorted rows that make up `points`, and where each point begins among them."""
        if self._firsts is None:
            return points, None
        begins = self._firsts[points]
        ends = np.append(self._firsts, self._rows)[points + 1]
        counts = ends - begins
        firsts = np.cumsum(counts) - counts
        return np.repeat(begins - firsts, counts) + np.arange(int(counts.sum()), dtype=np.intp), firsts

    def _column(
        self,
        field: int,
        type: FieldType,
        spots: list[tuple[int, npt.NDArray[np.intp], npt.NDArray[np.intp]]],
        rows: int,
    ) -> Column:
        """One column of the asked rows: `spots` say for each block which of them it holds, and where."""
        pieces = [(self._parts[b].column(field, type), where, inside) for b, where, inside in spots]
        validity: npt.NDArray[np.bool_] | None = None
        if any(c.validity is not None for c, _, _ in pieces):
            validity = np.ones(rows, dtype=np.bool_)
            for column, where, inside in pieces:
                if column.validity is not None:
                    validity[where] = column.validity[inside]
        if type is FieldType.STRING:
            taken = concat_columns([c.take(inside) for c, _, inside in pieces])
            back = np.empty(rows, dtype=np.intp)
            back[np.concatenate([where for _, where, _ in pieces])] = np.arange(rows, dtype=np.intp)
            return Column(type, taken.take(back).values, validity)
        values = np.empty(rows, dtype=DTYPES[type])
        for column, where, inside in pieces:
            values[where] = column.values[inside]
        return Column(type, values, validity)


class _Placed:
    """A column of fixed-width values that is filled row by row in any order."""

    __slots__ = ("_rows", "_validity", "_values", "type")

    def __init__(self, type: FieldType, rows: int) -> None:
        self.type = type
        self._rows = rows
        self._values = np.empty(rows, dtype=DTYPES[type])
        self._validity: npt.NDArray[np.bool_] | None = None

    def put(self, column: Column, places: npt.NDArray[np.int64]) -> None:
        self._values[places] = column.values
        if column.validity is not None:
            if self._validity is None:
                self._validity = np.ones(self._rows, dtype=np.bool_)
            self._validity[places] = column.validity

    def column(self) -> Column:
        return Column(self.type, self._values, self._validity)


class TableView:
    """A measurement's rows in one memtable as they were at one moment.

    `rows` counts writes, not points: a point written twice counts twice until it is selected.
    `fields` gives the type of each field id; `min_time` and `max_time` bound the times; `max_stamp` is the
    largest stamp of the writes.
    """

    def __init__(self, table: Table) -> None:
        self.measurement = table.measurement
        self.rows = table.rows
        self.fields = dict(table.fields)
        self.max_stamp = table.max_stamp
        self._parts = [_Part(block) for block in table.blocks if block.rows]
        self.min_time = min((p.min_time for p in self._parts), default=0)
        self.max_time = max((p.max_time for p in self._parts), default=-1)

    def series(self, low: int, high: int) -> npt.NDArray[np.uint32]:
        """uint32[n] ascending: the series with a row whose time is from `low` to `high` (ns, inclusive)."""
        seen = np.zeros(0, dtype=np.bool_)
        for part in self._parts:
            series = part.series
            if part.min_time < low or part.max_time > high:
                series = series[(part.times >= low) & (part.times <= high)]
            if len(series):
                missing = int(series.max()) + 1 - len(seen)
                if missing > 0:
                    seen = np.append(seen, np.zeros(missing, dtype=np.bool_))
                seen[series] = True
        return np.flatnonzero(seen).astype(np.uint32)

    def slices(self, width: int) -> npt.NDArray[np.int64]:
        """The numbers ``time // width`` of all rows, ascending, each once."""
        found = [np.unique(part.times // width) for part in self._parts]
        return np.unique(np.concatenate(found)) if found else np.empty(0, dtype=np.int64)

    def ordered(self) -> OrderedPoints:
        """All points, to be gathered piece by piece."""
        return OrderedPoints(self._parts, self.fields)

    def select(self, series: npt.NDArray[np.uint32] | None, start: int, end: int, fields: Sequence[int]) -> SeriesRows:
        """Points of `series` (uint32 ascending; None = all) with ``start <= time < end``.

        Sorted by (series, time), cells merged by the upsert rule; `fields` that the table does not know
        are left out. A point that has none of the fields is there all the same.
        """
        known = [field for field in fields if field in self.fields]
        parts = [p for p in self._parts if p.min_time < end and p.max_time >= start]
        taken: list[tuple[_Part, npt.NDArray[np.intp] | None]] = []
        for part in parts:
            where = part.find(series, start, end)
            if where is None or len(where):
                taken.append((part, where))
        if not taken:
            nothing = np.empty(0, dtype=np.uint32), np.empty(0, dtype=np.int64)
            return merge_rows(*nothing, {f: empty_column(self.fields[f], 0) for f in known})
        if all(where is None for _, where in taken):
            grouped = self._grouped([part for part, _ in taken], known)
            if grouped is not None:
                return grouped
        numbers = [p.series if w is None else p.series[w] for p, w in taken]
        times = [p.times if w is None else p.times[w] for p, w in taken]
        columns: dict[int, Column] = {}
        for field in known:
            type = self.fields[field]
            pieces = [p.column(field, type) for p, _ in taken]
            columns[field] = concat_columns(
                [c if w is None else c.take(w) for c, (_, w) in zip(pieces, taken, strict=True)]
            )
        if len(taken) == 1:
            return merge_rows(numbers[0], times[0], columns)
        return merge_rows(np.concatenate(numbers), np.concatenate(times), columns)

    def _grouped(self, parts: list[_Part], fields: Sequence[int]) -> SeriesRows | None:
        """All rows of `parts` grouped by series, put where they belong block by block.

        None if that is not their order: where a series' times do not rise, or there are texts to be moved.
        """
        types = {field: self.fields[field] for field in fields}
        if FieldType.STRING in types.values():
            return None
        least = min(int(p.series.min()) for p in parts)
        greatest = max(int(p.series.max()) for p in parts)
        rows = sum(p.rows for p in parts)
        if greatest - least > _SPAN_PER_ROW * rows:
            return None
        grouping = Grouping(least, greatest)
        for part in parts:
            grouping.count(part.series)
        times = np.empty(rows, dtype=np.int64)
        columns = {field: _Placed(type, rows) for field, type in types.items()}
        for part in parts:
            places = grouping.place(part.series, part.times)
            if places is None:
                return None
            times[places] = part.times
            for field, column in columns.items():
                column.put(part.column(field, column.type), places)
        present = np.flatnonzero(grouping.counts)
        starts = np.zeros(len(present) + 1, dtype=np.int64)
        np.cumsum(grouping.counts[present], out=starts[1:])
        merged = {field: column.column() for field, column in columns.items()}
        return SeriesRows((present + least).astype(np.uint32), starts, times, merged)
