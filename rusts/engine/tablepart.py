"""The part of a memtable that a read wants."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rusts.catalog.tombstones import Tombstone
from rusts.engine.sources import Pieces, RowsSource, select
from rusts.engine.tombstones import cut_out, later_than
from rusts.engine.view import Matched
from rusts.memtable.table import TableView

__all__ = ["TablePart"]


class TablePart:
    """The wanted rows of a memtable, selected when a stretch of time is asked for: that copies and sorts them.

    It stands where `Pieces` do; `low` and `high` int64[1] ns bound all of its rows.
    """

    def __init__(
        self,
        table: TableView,
        matched: Matched,
        fields: Collection[int],
        low: int,
        high: int,
        tombstones: Sequence[Tombstone] = (),
    ) -> None:
        """`fields` are ids; the rows with ``low <= time <= high`` are wanted, and the table has such times."""
        self._table = table
        self._matched = matched
        self._fields = [field for field in table.fields if field in fields]
        self._tombstones = later_than(tombstones, table.max_stamp)
        self.low = np.array([max(table.min_time, low)], dtype=np.int64)
        self.high = np.array([min(table.max_time, high)], dtype=np.int64)

    def __len__(self) -> int:
        return 1

    def estimate(self) -> npt.NDArray[np.float64]:
        """float64[1]: about how many rows there are, as if all series had equally many."""
        return np.array([self._table.rows * min(1.0, len(self._matched) / max(1, self._matched.total))])

    def clip(self, low: int, high: int, positions: npt.NDArray[np.integer[Any]] | None = None) -> Pieces:
        """What lies in ``low <= time <= high``; of the series at `positions` (ascending) in the matched set only."""
        numbers = self._matched.numbers
        if positions is not None:
            numbers = positions.astype(np.uint32) if numbers is None else numbers[positions]
        low, high = max(low, int(self.low[0])), min(high, int(self.high[0]))
        source = RowsSource(self._table.select(numbers, low, high + 1, self._fields))
        return cut_out(select(source, self._matched, low, high), self._tombstones)
