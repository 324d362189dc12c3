"""The memtable of one database and policy."""

from __future__ import annotations

from collections.abc import Sequence

from rusts.memtable.table import Table, TableView
from rusts.model.batch import Rows
from rusts.model.types import Stamp

__all__ = ["Memtable"]


class Memtable:
    """Unflushed points of one database and policy, by measurement.

    `born` is the monotonic second of the first append (None while empty), `points` the rows
    appended, `nbytes` the bytes of all arrays, `min_stamp` and `max_stamp` those of the writes.
    """

    def __init__(self) -> None:
        self.tables: dict[int, Table] = {}
        self.points = 0
        self.nbytes = 0
        self.born: float | None = None
        self.min_stamp: Stamp | None = None
        self.max_stamp: Stamp | None = None

    def append(self, rows: Sequence[Rows], stamp: Stamp, now: float) -> None:
        """Copy one write in; `now` is the monotonic clock's second."""
        if self.born is None:
            self.born = now
        if self.min_stamp is None or stamp < self.min_stamp:
            self.min_stamp = stamp
        if self.max_stamp is None or stamp > self.max_stamp:
            self.max_stamp = stamp
        for batch in rows:
            table = self.tables.get(batch.measurement)
            if table is None:
                table = self.tables[batch.measurement] = Table(batch.measurement)
            self.nbytes += table.append(batch)
            table.max_stamp = max(table.max_stamp, stamp)
            self.points += len(batch.times)

    def forget(self, measurement: int) -> int:
        """Let go of a measurement's rows; returns how many bytes that frees."""
        table = self.tables.get(measurement)
        if table is None:
            return 0
        # Replaced, not changed: a flush may be going through the old one.
        self.tables = {number: kept for number, kept in self.tables.items() if number != measurement}
        self.points -= table.rows
        freed = sum(block.nbytes for block in table.blocks)
        self.nbytes -= freed
        return freed

    def view(self, measurement: int) -> TableView | None:
        """The measurement's rows, None if there are none. Call it under the lock that orders writes."""
        table = self.tables.get(measurement)
        return None if table is None else table.view()
