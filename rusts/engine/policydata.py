"""What one database and policy holds: memtables and live segments."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from rusts.catalog.schema import SegmentEntry
from rusts.engine.segments import Segment
from rusts.memtable.memtable import Memtable
from rusts.model.batch import Rows
from rusts.model.changes import Changes
from rusts.model.time import MIN_TIME
from rusts.wal.record import LogPosition

__all__ = ["PolicyData", "Sealed"]


@dataclass(slots=True)
class Sealed:
    """A memtable that takes no more points. The log from `start` up to `end` holds it.

    Once it is in segments, `end` is the checkpoint of its database and policy.
    """

    memtable: Memtable
    start: LogPosition
    end: LogPosition
    entries: list[SegmentEntry] | None = None
    """Its segments, once they are written. They stay even if the catalog could not list them: it may
    have done so all the same, and the next try lists the same ones."""


class PolicyData:
    """Memtables and segments of one database and policy, oldest writes first.

    All attributes change under the engine's write lock only. In order of stamps: `segments`, then
    `sealed` from left to right, then `active`. While the log is replayed, its points go to `replayed`,
    which stands between `sealed` and `active`, and nothing written meanwhile is flushed before them.
    """

    def __init__(self, database: int, policy: int) -> None:
        self.database = database
        self.policy = policy
        self.segments: list[Segment] = []
        self.sealed: deque[Sealed] = deque()
        self.replayed: Memtable | None = None
        self.waiting: deque[Sealed] = deque()
        """Memtables of new writes that were sealed while the log was still being replayed."""
        self.active = Memtable()
        self.active_start: LogPosition | None = None
        self.changes: dict[int, Changes] = {}
        """What changed of a measurement, by its id, since somebody asked for it first."""

    def memtables(self) -> list[Memtable]:
        """Every memtable with points, oldest first."""
        tables = [s.memtable for s in self.sealed]
        if self.replayed is not None:
            tables.append(self.replayed)
        tables += [s.memtable for s in self.waiting]
        if self.active.points:
            tables.append(self.active)
        return tables

    def note(self, rows: Sequence[Rows]) -> None:
        """Points were written, and can be seen now."""
        for each in rows:
            changes = self.changes.get(each.measurement)
            if changes is not None:
                changes.note(int(each.times[0]) if len(each.times) == 1 else int(each.times.min()))

    def note_delete(self) -> None:
        """Points of any time may be gone."""
        for changes in self.changes.values():
            changes.note(MIN_TIME)

    def oldest_position(self) -> LogPosition | None:
        """Where the log must be kept from; None if everything is in segments."""
        if self.sealed:
            return self.sealed[0].start
        if self.waiting:
            return self.waiting[0].start
        return self.active_start
