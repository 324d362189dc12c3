"""What was deleted, in memory: tombstones, dropped series, and which databases have something to purge."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import apsw
from pyroaring import BitMap

from rusts.catalog import delete_tables
from rusts.catalog.tombstones import Tombstone
from rusts.model.types import Stamp

__all__ = ["Deletes"]


class Deletes:
    """See the module. The writer replaces what readers go through; one writer at a time.

    `dropped_series` by measurement are all series that were ever dropped: their numbers are never given again.
    `purges` says, by database, before which stamp something was deleted that its segments may still hold.
    """

    def __init__(self) -> None:
        self.dropped_series: dict[int, BitMap] = {}
        self.purges: dict[int, Stamp] = {}
        self._tombstones: dict[int, tuple[Tombstone, ...]] = {}

    def of(self, measurement: int, policy: int) -> tuple[Tombstone, ...]:
        """The tombstones that hide rows of a measurement in a policy, in the order of their stamps."""
        found = self._tombstones.get(measurement, ())
        return tuple(t for t in found if t.concerns(policy)) if found else ()

    def in_database(self, database: int) -> list[Tombstone]:
        """The tombstones of a database, in the order of their stamps."""
        return sorted((t for t in self.tombstones() if t.database == database), key=lambda t: t.stamp)

    def tombstones(self) -> list[Tombstone]:
        """All tombstones."""
        return [t for each in list(self._tombstones.values()) for t in each]

    def max_stamp(self) -> Stamp:
        """The largest stamp of a delete that is not purged."""
        return max([Stamp(0), *self.purges.values(), *(t.stamp for t in self.tombstones())])

    def add(self, tombstones: Sequence[Tombstone]) -> None:
        """Take new tombstones."""
        for tombstone in tombstones:
            held = self._tombstones.get(tombstone.measurement, ())
            self._tombstones[tombstone.measurement] = (*held, tombstone)

    def remove(self, ids: Collection[int]) -> None:
        """Let go of tombstones."""
        for measurement, held in list(self._tombstones.items()):
            kept = tuple(t for t in held if t.id not in ids)
            if kept:
                self._tombstones[measurement] = kept
            else:
                del self._tombstones[measurement]

    def forget(self, measurements: Collection[int], policies: Collection[int], database: int | None) -> None:
        """Let go of everything about what was dropped as a whole."""
        for measurement in measurements:
            self._tombstones.pop(measurement, None)
            self.dropped_series.pop(measurement, None)
        self.remove({t.id for t in self.tombstones() if t.policy in policies})
        if database is not None:
            self.purges.pop(database, None)

    def read(self, connection: apsw.Connection, path: str) -> None:
        """Take what the tables hold. Raises Corruption."""
        self.add(list(delete_tables.read_tombstones(connection, path)))
        self.dropped_series = dict(delete_tables.read_dropped_series(connection, path))
        self.purges = dict(delete_tables.read_purges(connection))

    def write(self, connection: apsw.Connection) -> None:
        """Put everything into empty tables."""
        for tombstone in self.tombstones():
            delete_tables.write_tombstone(connection, tombstone)
        self.write_dropped(connection, self.dropped_series)
        for database, stamp in self.purges.items():
            delete_tables.write_purge(connection, database, stamp)

    @staticmethod
    def write_dropped(connection: apsw.Connection, dropped: Mapping[int, BitMap]) -> None:
        """Store the dropped series of measurements."""
        for measurement, numbers in dropped.items():
            delete_tables.write_dropped_series(connection, measurement, numbers)
