"""One measurement's rows in a memtable, and a view of them that later writes do not change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from rusts.memtable.block import BLOCK_ROWS, Block, SortedPart
from rusts.model.batch import Column, Rows, SeriesRows, concat_columns, empty_column
from rusts.model.types import FieldType
from rusts.model.upsert import merge_rows

__all__ = ["Table", "TableView"]

_SORT_BEHIND: Final = 1 << 13
"""A block is sorted anew for a selective read once this many of its rows are not sorted yet."""


class Table:
    """Rows of one measurement in blocks, in order of writing."""

    def __init__(self, measurement: int) -> None:
        self.measurement = measurement
        self.blocks: list[Block] = [Block()]
        self.fields: dict[int, FieldType] = {}
        self.rows = 0

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
                block = Block(BLOCK_ROWS)
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


class TableView:
    """A measurement's rows in one memtable as they were at one moment.

    `rows` counts writes, not points: a point written twice counts twice until it is selected.
    `fields` gives the type of each field id; `min_time` and `max_time` bound the times.
    """

    def __init__(self, table: Table) -> None:
        self.measurement = table.measurement
        self.rows = table.rows
        self.fields = dict(table.fields)
        self._parts = [_Part(block) for block in table.blocks if block.rows]
        self.min_time = min((p.min_time for p in self._parts), default=0)
        self.max_time = max((p.max_time for p in self._parts), default=-1)

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
