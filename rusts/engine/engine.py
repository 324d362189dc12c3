"""The engine: one node's Store.

The life of a write: catalog and index decide ids in memory, the log takes the rows, the memtable makes
them visible, the caller gets a ticket. All of that happens under one lock, so the order in the log is
the order in the memtable is the order of the stamps. Workers that `node` runs (or a test calls step by
step) sync the log, flush memtables, merge segments and watch the disk.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from rusts.catalog.catalog import Catalog
from rusts.catalog.schema import Database, Policy, SegmentEntry
from rusts.clock import Clock, HybridClock
from rusts.engine import compaction, fold, maintenance, recovery, scan
from rusts.engine.flush import SegmentFactory, flush_memtable
from rusts.engine.memory import Budget, anonymous_memory, return_unused
from rusts.engine.policydata import PolicyData, Sealed
from rusts.engine.rejects import RejectLog
from rusts.engine.resolve import Limits, resolve
from rusts.engine.segments import DIRECTORY, ReaderPool, Segment
from rusts.engine.view import ReadView
from rusts.errors import Corruption, DiskFull, LogUnavailable, MemoryExceeded, NotReady
from rusts.files import DirectoryLock, Files
from rusts.logging import get_logger
from rusts.memtable.memtable import Memtable
from rusts.model.batch import Batch, Rows
from rusts.model.store import (
    Commit,
    FoldRequest,
    FoldResult,
    PolicyInfo,
    Reject,
    Scan,
    ScanRequest,
    WriteOutcome,
)
from rusts.model.types import FieldType
from rusts.segment.cache import ColumnCache
from rusts.wal.record import LogPosition
from rusts.wal.sync import DONE, LogMode
from rusts.wal.writer import Log

__all__ = ["Engine", "EngineSettings"]

logger = get_logger("rusts.engine")

LOG_DIRECTORY: Final = "wal"
_RETRY_SECONDS: Final = 1.0

_SLACK: Final = 1.2
_BASELINE: Final = 80 << 20
"""What the process may hold before freed memory is given back: the accounted bytes times the one, plus the other."""


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


class Engine:
    """One data directory, open for reading and writing. All public methods are thread-safe."""

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

    @classmethod
    def open(cls, files: Files, directory: str, settings: EngineSettings, clock: Clock) -> Engine:
        """Open (or make) the data directory and take writes; call `recover_step` for what the log holds.

        Raises DirectoryLocked, FormatTooNew, OSError. A damaged catalog is set aside and rebuilt.
        """
        files.make_dir(directory)
        lock = files.lock(directory)
        try:
            for name in (DIRECTORY, LOG_DIRECTORY):
                files.make_dir(f"{directory}/{name}")
            catalog, damage = recovery.open_catalog(files, directory)
            engine = cls(files, directory, settings, clock, lock, catalog)
            engine.damage += damage
            engine._start(rebuilt=bool(damage))
        except BaseException:
            lock.release()
            raise
        return engine

    def _start(self, rebuilt: bool) -> None:
        for entry in recovery.sort_out_segments(self.files, self.directory, self.catalog, rebuilt):
            self.quarantine(entry, FileNotFoundError("its file is missing"))
        for entry in sorted(self.catalog.segments(), key=lambda e: e.min_stamp):
            data = self.data_of(entry.database, entry.policy)
            data.segments.append(Segment(entry, self.readers))
            self.stamps.observe(entry.max_stamp)
        self.stamps.observe(self.catalog.max_stamp())
        self.replay = recovery.Replay(self, rebuilt)
        self.replay.read_names()
        self.log = Log(
            self.files,
            f"{self.directory}/{LOG_DIRECTORY}",
            self.settings.wal_mode,
            self.catalog,
            self.clock,
            file_bytes=self.settings.wal_file_bytes,
            sync_interval=self.settings.wal_sync_interval,
            after=LogPosition(*max(self.catalog.checkpoints().values(), default=(0, 0))),
        )
        self.watch_disk()

    # -- writing

    def write(
        self, database: str, policy: str | None, batches: Sequence[Batch], *, atomic: bool = False
    ) -> WriteOutcome:
        """Log `batches` and make them visible; with `atomic`, nothing if any point would be dropped.

        Raises DatabaseNotFound, PolicyNotFound, and RetryLater (MemoryExceeded, DiskFull,
        LogUnavailable, NotReady), after which nothing of the write is stored.
        """
        with self.write_lock:
            self._admit()
            found = self.catalog.database(database)
            chosen = self.catalog.policy(found, policy)
            rows, rejects = self._resolve(found, chosen, batches)
            if not rows or (atomic and rejects):
                return WriteOutcome(0, rejects, DONE)
            commit = self._store(self.data_of(found.id, chosen.id), rows)
            accepted = sum(len(r.times) for r in rows)
            self.counters.points += accepted
            return WriteOutcome(accepted, rejects, commit)

    def must_wait(self) -> bool:
        """The device is so far behind that `write` would block on the log; `wait_turn` blocks until it is not."""
        return self.log.must_wait()

    def wait_turn(self) -> None:
        """Wait for the log's device, without holding up anybody. Raises LogUnavailable."""
        self.log.wait_turn()

    def _admit(self) -> None:
        """Raise what a write must be told while the engine cannot take it."""
        if self._closed:
            raise NotReady("the server is shutting down")
        if self.disk_low():
            raise DiskFull(f"only {self.free_bytes:,} bytes of disk are free", seconds=10)
        if self.log.failed:
            raise LogUnavailable("the log could not be synced; a new one is being started")
        buffer = self.budget.write_buffer
        if buffer.used > buffer.limit:
            self._flush_wanted.set()
            raise MemoryExceeded(f"{buffer.used:,} bytes of points wait to be flushed, of {buffer.limit:,} allowed")

    def _resolve(self, database: Database, policy: Policy, batches: Sequence[Batch]) -> tuple[list[Rows], list[Reject]]:
        now = self.clock.now_ns()
        rows: list[Rows] = []
        rejects: list[Reject] = []
        for batch in batches:
            resolved, dropped = resolve(self.catalog, database, policy, batch, self.settings.limits, now)
            if resolved is not None:
                rows.append(resolved)
            if dropped:
                rejects += dropped
        return rows, rejects

    def _store(self, data: PolicyData, rows: list[Rows]) -> Commit:
        stamp = self.stamps.next()
        position, commit = self.log.append(data.database, data.policy, stamp, rows)
        if data.active_start is None:
            data.active_start = position
        memtable = data.active
        before = memtable.nbytes
        memtable.append(rows, stamp, self.clock.monotonic())
        buffer = self.budget.write_buffer
        buffer.used += memtable.nbytes - before
        settings = self.settings
        if memtable.nbytes >= settings.memtable_bytes or memtable.points >= settings.memtable_points:
            self._seal(data)
        else:
            self._relieve()
        return commit

    def _relieve(self) -> None:
        """Seal the largest memtable once all together pass half of the write buffer. Under the write lock.

        Not while another one waits for its flush: that would free nothing sooner, and make small segments.
        """
        buffer = self.budget.write_buffer
        if buffer.used <= buffer.limit // 2 or any(d.sealed or d.waiting for d in self.policies_data.values()):
            return
        self._seal(max(self.policies_data.values(), key=lambda d: d.active.nbytes))

    def _seal(self, data: PolicyData) -> None:
        """The active memtable takes no more points; the flush worker takes it. Under the write lock."""
        if data.active_start is None:
            return
        sealed = Sealed(data.active, data.active_start, self.log.end())
        (data.sealed if self._replayed.is_set() else data.waiting).append(sealed)
        data.active = Memtable()
        data.active_start = None
        self._flush_wanted.set()

    def data_of(self, database: int, policy: int) -> PolicyData:
        """Memtables and segments of one database and policy."""
        data = self.policies_data.get((database, policy))
        if data is None:
            data = self.policies_data[database, policy] = PolicyData(database, policy)
        return data

    # -- reading

    def view(self, database: str, policy: str | None, measurement: str) -> ReadView | None:
        """Everything that holds rows of the measurement now, oldest writes first; None if it does not exist.

        Raises DatabaseNotFound, PolicyNotFound, NotReady (the log is not replayed in time).
        """
        if not self._replayed.wait(self.settings.query_wait):
            raise NotReady("the log is still being replayed", seconds=5)
        found = self.catalog.database(database)
        chosen = self.catalog.policy(found, policy)
        known = found.measurements.get(measurement)
        if known is None:
            return None
        data = self.policies_data.get((found.id, chosen.id))
        if data is None:
            return ReadView(known, [], [], self.quarantine)
        with self.write_lock:
            segments = list(data.segments)
            views = [memtable.view(known.id) for memtable in data.memtables()]
        bad: list[tuple[SegmentEntry, str]] = []
        if self.quarantined:
            bad = [(s.entry, reason) for s in segments if (reason := self.quarantined.get(s.entry.id)) is not None]
            segments = [s for s in segments if s.entry.id not in self.quarantined]
        return ReadView(known, segments, [v for v in views if v is not None], self.quarantine, bad)

    def scan(self, request: ScanRequest) -> Scan:
        """Rows in time order (see `model.store.Scan`). Raises as `view`."""
        return scan.scan(self.view(request.database, request.policy, request.measurement), request)

    def fold(self, request: FoldRequest) -> FoldResult:
        """Partial states per group and bucket (see `model.store.FoldResult`). Raises as `view`."""
        return fold.fold(self.view(request.database, request.policy, request.measurement), request)

    def quarantine(self, entry: SegmentEntry, error: Exception) -> None:
        """Do not read the segment any more: it is damaged. Its file stays where it is."""
        if entry.id not in self.quarantined:
            self.quarantined[entry.id] = str(error)
            logger.error("segment quarantined", segment=entry.file_name, error=str(error))

    # -- schema

    def create_database(self, name: str) -> None:
        """Make the database with its policy ``autogen``, durably; nothing happens if it is there."""
        self.catalog.create_database(name)

    def databases(self) -> list[str]:
        """Names, in the order of their creation."""
        return [d.name for d in self.catalog.databases()]

    def policies(self, database: str) -> list[PolicyInfo]:
        """The database's policies in the order of their creation. Raises DatabaseNotFound."""
        found = self.catalog.database(database)
        return [
            PolicyInfo(p.name, p.duration, p.shard_duration, p.replication, p.default) for p in found.policies.values()
        ]

    def measurements(self, database: str) -> list[str]:
        """Names, sorted. Raises DatabaseNotFound."""
        return sorted(self.catalog.database(database).measurements)

    def field_types(self, database: str, measurement: str) -> dict[str, FieldType]:
        """The measurement's fields, sorted by name; empty for an unknown measurement."""
        found = self.catalog.database(database).measurements.get(measurement)
        return {} if found is None else {name: found.fields[name].type for name in sorted(found.fields)}

    def tag_keys(self, database: str, measurement: str) -> list[str]:
        """The measurement's tag keys, sorted; empty for an unknown measurement."""
        found = self.catalog.database(database).measurements.get(measurement)
        return [] if found is None else found.index.tag_keys()

    # -- the workers' steps

    def log_step(self, timeout: float) -> None:
        """Wait for the log to have something to sync, and sync it."""
        if self.log.wait_work(timeout):
            self.log.sync_once()

    def flush_step(self, timeout: float) -> None:
        """Wait for a memtable to be due, and flush every one that is."""
        self._flush_wanted.wait(timeout)
        self._flush_wanted.clear()
        if not self._replayed.is_set():
            self._replayed.wait(timeout)
            return
        if self.log.failed:
            self._restart_log()
        self._seal_aged()
        if not self.try_flush():
            self.clock.sleep(_RETRY_SECONDS)
            self._flush_wanted.set()

    def maintenance_step(self, timeout: float) -> None:
        """Look after disk and memory, and merge segments where that is due; else wait up to `timeout` seconds."""
        self.watch_disk()
        self._watch_memory()
        if not compaction.compact_once(self):
            self.clock.sleep(timeout)

    def _watch_memory(self) -> None:
        """Give freed memory back when the process holds much more than is accounted for."""
        accounted = self.cache.nbytes + self.budget.write_buffer.used + self.budget.query.used
        if anonymous_memory() > accounted * _SLACK + _BASELINE:
            return_unused()

    def recover_step(self) -> None:
        """Replay the log; after it queries are answered. Returns when all of it is in memory or flushed."""
        assert self.replay is not None
        if self._replayed.is_set():
            return
        self.replay.read_rows()
        with self.write_lock:
            for data in self.policies_data.values():
                if data.replayed is not None:
                    end = self.replay.end
                    data.sealed.append(Sealed(data.replayed, self.replay.start_of(data), end))
                    data.replayed = None
                data.sealed += data.waiting
                data.waiting.clear()
            self._replayed.set()
        self._flush_wanted.set()

    def try_flush(self) -> bool:
        """Flush every sealed memtable; False if the disk did not take one.

        Its points stay in memory and in the log; a full disk may have room again later.
        """
        try:
            while self.flush_oldest():
                pass
        except (OSError, Corruption) as error:
            self.flush_error = str(error)
            logger.error("flush failed, will be tried again", error=str(error))
            return False
        self.flush_error = None
        return True

    def _seal_aged(self) -> None:
        now = self.clock.monotonic()
        with self.write_lock:
            for data in self.policies_data.values():
                born = data.active.born
                if born is not None and now - born >= self.settings.flush_interval:
                    self._seal(data)

    def flush_oldest(self) -> bool:
        """Flush one sealed memtable: the first one of the policy that holds most. False if there is none."""
        with self._flush_lock:
            with self.write_lock:
                self._relieve()
                waiting = [d for d in self.policies_data.values() if d.sealed]
                if not waiting:
                    return False
                data = max(waiting, key=lambda d: d.sealed[0].memtable.nbytes)
                sealed = data.sealed[0]
            self.flush_sealed(data, sealed)
        del sealed  # so that its memory is free to be given back
        self._watch_memory()
        return True

    def flush_sealed(self, data: PolicyData, sealed: Sealed) -> None:
        """Segments of the memtable, one catalog transaction, then the log that it covers goes. Raises OSError."""
        owner = self.catalog.owner(data.database, data.policy)
        entries: list[SegmentEntry] = []
        if owner is not None:  # else the database was dropped meanwhile
            if sealed.entries is None:
                factory = SegmentFactory(self.files, self.directory, self.catalog, *owner)
                sealed.entries = flush_memtable(factory, sealed.memtable)
            entries = sealed.entries
            self.catalog.commit(checkpoint=(data.database, data.policy, sealed.end), added=entries, removed=[])
        with self.write_lock:
            data.sealed.popleft()
            data.segments += [Segment(e, self.readers) for e in entries]
            self.budget.write_buffer.used -= sealed.memtable.nbytes
        self.counters.flushes += 1
        logger.debug(
            "flushed",
            database=data.database,
            policy=data.policy,
            points=sealed.memtable.points,
            segments=len(entries),
            bytes=sum(e.bytes for e in entries),
        )
        self.release_log()

    def release_log(self) -> None:
        """Remove the log files that nothing in memory needs any more."""
        with self.write_lock:
            if not self._replayed.is_set():
                return
            needed = [p for d in self.policies_data.values() if (p := d.oldest_position()) is not None]
            before = min(needed, default=self.log.end())
        self.log.release(before)

    def _restart_log(self) -> None:
        """After a failed sync: what is in memory goes to segments, since its log may not be on disk."""
        logger.error("the log could not be synced: flushing all points and starting a new log file")
        self._flush_all()
        self.log.recover_failure()

    def _flush_all(self) -> None:
        """Seal every memtable and flush them all. Raises OSError."""
        with self.write_lock:
            for data in self.policies_data.values():
                self._seal(data)
        while self.flush_oldest():
            pass

    # -- what operators ask

    def flush(self) -> None:
        """Put every point that is in memory now into segments. Raises OSError."""
        if not self._replayed.wait(self.settings.query_wait):
            raise NotReady("the log is still being replayed", seconds=5)
        self._flush_all()

    def compact(self) -> None:
        """Merge the segments of each partition into one. Raises OSError."""
        while compaction.compact_once(self, everything=True):
            pass

    def ready(self) -> bool:
        """Segments are served and writes are taken."""
        return not self._closed

    def replay_bytes_left(self) -> int:
        """Bytes of log that queries still wait for."""
        return 0 if self.replay is None or self._replayed.is_set() else self.replay.bytes_left()

    def stats(self) -> dict[str, Any]:
        """The JSON object of ``/stats``."""
        return maintenance.stats(self)

    def health(self) -> list[maintenance.Check]:
        """What was looked at, and whether it is well."""
        return maintenance.checks(self)

    def cardinality(self, database: str, top: int = 10) -> dict[str, Any]:
        """The measurements and tags of the database with the most series. Raises DatabaseNotFound."""
        return maintenance.cardinality(self.catalog.database(database), top)

    def watch_disk(self) -> None:
        """Ask the file system how much room is left."""
        self.free_bytes, self.total_bytes = self.files.free_space(self.directory)

    def disk_low(self) -> bool:
        """Less is free than the operator wants kept."""
        return self.free_bytes < self.settings.min_free_space

    def close(self, flush: bool = True) -> None:
        """Refuse writes, flush (unless `flush` is False: the log has it all), close every file."""
        with self.write_lock:
            if self._closed:
                return
            self._closed = True
        try:
            if flush and self._replayed.is_set():
                self.flush()
        except (OSError, Corruption) as error:
            logger.error("could not flush at shutdown; the log keeps the points", error=str(error))
        finally:
            self.log.close()
            self.readers.close()
            self.catalog.close()
            self._directory_lock.release()
