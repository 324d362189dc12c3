"""What all parts of the engine share: its state, who may change it, and what a read sees of it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Final

from rusts.catalog.catalog import Catalog
from rusts.catalog.schema import Database, Measurement, Policy, SegmentEntry
from rusts.clock import Clock, HybridClock
from rusts.engine import maintenance, recovery
from rusts.engine.memory import Budget
from rusts.engine.policydata import PolicyData
from rusts.engine.rejects import RejectLog
from rusts.engine.resolve import Limits
from rusts.engine.segments import ReaderPool
from rusts.engine.view import ReadView
from rusts.errors import NotReady
from rusts.files import DirectoryLock, Files
from rusts.logging import get_logger
from rusts.model.types import Stamp
from rusts.segment.cache import ColumnCache
from rusts.wal.record import FILE_HEADER_BYTES
from rusts.wal.sync import LogMode
from rusts.wal.writer import Log

__all__ = ["LOG_DIRECTORY", "EngineBase", "EngineSettings"]

logger = get_logger("rusts.engine")

LOG_DIRECTORY: Final = "wal"


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What an operator may set of the engine. Bytes, seconds; 0 = no limit for `limits`."""

    wal_mode: LogMode = LogMode.PERIODIC
    wal_sync_interval: float = 0.1
    wal_file_bytes: int = 64 << 20
    memtable_bytes: int = 64 << 20
    memtable_points: int = 1_000_000
    flush_interval: float = 60.0
    memory_bytes: int = 1 << 30
    min_free_space: int = 64 << 20
    query_wait: float = 30.0
    limits: Limits = field(default_factory=Limits)


class EngineBase:
    """See the module. `write_lock` is held by whoever changes what a read or a write sees."""

    def __init__(
        self,
        files: Files,
        directory: str,
        settings: EngineSettings,
        clock: Clock,
        lock: DirectoryLock,
        catalog: Catalog,
    ) -> None:
        """Use `Engine.open`."""
        self.files = files
        self.directory = directory
        self.settings = settings
        self.clock = clock
        self.catalog = catalog
        self.budget = Budget.of(settings.memory_bytes)
        self.cache = ColumnCache(self.budget.cache.limit)
        self.readers = ReaderPool(files, directory, self.cache)
        self.rejected = RejectLog()
        self.stamps = HybridClock(clock)
        self.quarantined: dict[int, str] = {}
        """Why a live segment is not read: its id and what was found."""
        self.damage: list[str] = []
        """What start-up could not bring back; shown by `/health` until an operator has dealt with it."""
        self.write_lock = threading.Lock()
        self.policies_data: dict[tuple[int, int], PolicyData] = {}
        self.pending_deletes: set[Stamp] = set()
        """Deletes that look for what they hide: meanwhile nothing is merged over their stamps."""
        self.log_marks: dict[Stamp, int] = {}
        """The last log file that may have what the delete of a stamp hides; for earlier lives' deletes see `purge`."""
        self.counters = maintenance.Counters()
        self.free_bytes = self.total_bytes = 0
        self.flush_error: str | None = None
        self._directory_lock = lock
        self._flush_lock = threading.Lock()
        self._flush_wanted = threading.Event()
        self._replayed = threading.Event()
        self._closed = False
        self.replay: recovery.Replay | None = None
        self.log: Log

    def data_of(self, database: int, policy: int) -> PolicyData:
        """Memtables and segments of one database and policy."""
        data = self.policies_data.get((database, policy))
        if data is None:
            data = self.policies_data[database, policy] = PolicyData(database, policy)
        return data

    def wait_replayed(self) -> None:
        """Return once all of the log is in memory. Raises NotReady if that is not so in time."""
        if not self._replayed.wait(self.settings.query_wait):
            raise NotReady("the log is still being replayed", seconds=5)

    def view(self, database: str, policy: str | None, measurement: str) -> ReadView | None:
        """Everything that holds rows of the measurement now, oldest writes first; None if it does not exist.

        Raises DatabaseNotFound, PolicyNotFound, NotReady (the log is not replayed in time).
        """
        self.wait_replayed()
        found = self.catalog.database(database)
        chosen = self.catalog.policy(found, policy)
        known = found.measurements.get(measurement)
        if known is None:
            return None
        with self.write_lock:
            return self.view_of(found, chosen, known)

    def view_of(self, database: Database, policy: Policy, measurement: Measurement) -> ReadView:
        """Everything that holds rows of the measurement in the policy. Under the write lock."""
        data = self.policies_data.get((database.id, policy.id))
        if data is None:
            return ReadView(measurement, [], [], self.quarantine)
        segments = list(data.segments)
        views = [view for memtable in data.memtables() if (view := memtable.view(measurement.id)) is not None]
        bad: list[tuple[SegmentEntry, str]] = []
        if self.quarantined:
            bad = [(s.entry, reason) for s in segments if (reason := self.quarantined.get(s.entry.id)) is not None]
            segments = [s for s in segments if s.entry.id not in self.quarantined]
        tombstones = self.catalog.deletes.of(measurement.id, policy.id)
        return ReadView(measurement, segments, views, self.quarantine, bad, tombstones)

    def let_go_of_segments(self, data: PolicyData, ids: set[int]) -> None:
        """Forget segments that are listed no more; their files go with their last readers. Under the write lock."""
        gone = [segment for segment in data.segments if segment.entry.id in ids]
        data.segments = [segment for segment in data.segments if segment.entry.id not in ids]
        for segment in gone:
            segment.replaced()
            self.quarantined.pop(segment.entry.id, None)
        data.note_delete()

    def mark_delete(self, stamp: Stamp) -> None:
        """A delete is recorded: remember up to where the log holds what it hides. Under the write lock."""
        for data in self.policies_data.values():
            data.note_delete()
        end = self.log.end()
        self.log_marks[stamp] = end.file if end.offset > FILE_HEADER_BYTES else end.file - 1

    def quarantine(self, entry: SegmentEntry, error: Exception) -> None:
        """Do not read the segment any more: it is damaged. Its file stays where it is."""
        if entry.id not in self.quarantined:
            self.quarantined[entry.id] = str(error)
            logger.error("segment quarantined", segment=entry.file_name, error=str(error))
