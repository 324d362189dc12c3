"""The engine: one node's Store.

The life of a write: catalog and index decide ids in memory, the log takes the rows, the memtable makes
them visible, the caller gets a ticket. All of that happens under one lock, so the order in the log is
the order in the memtable is the order of the stamps. Workers that `node` runs (or a test calls step by
step) sync the log, flush memtables, merge segments and watch the disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from rusts.catalog.schema import Database, Policy
from rusts.clock import Clock
from rusts.engine import compaction, maintenance, recovery
from rusts.engine.altering import Altering
from rusts.engine.base import LOG_DIRECTORY, EngineSettings
from rusts.engine.policydata import PolicyData, Sealed
from rusts.engine.resolve import resolve
from rusts.engine.segments import DIRECTORY, Segment
from rusts.errors import Corruption, DiskFull, LogUnavailable, MemoryExceeded, NotReady
from rusts.files import Files
from rusts.logging import get_logger
from rusts.model.batch import Batch, Rows
from rusts.model.store import Commit, Reject, WriteOutcome
from rusts.wal.record import LogPosition
from rusts.wal.sync import DONE
from rusts.wal.writer import Log

__all__ = ["Engine", "EngineSettings"]

logger = get_logger("rusts.engine")

_RETRY_SECONDS: Final = 1.0


class Engine(Altering):
    """One data directory, open for reading and writing. All public methods are thread-safe."""

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
        if data.changes:
            data.note(rows)
        buffer = self.budget.write_buffer
        buffer.used += memtable.nbytes - before
        settings = self.settings
        if memtable.nbytes >= settings.memtable_bytes or memtable.points >= settings.memtable_points:
            self._seal(data)
        else:
            self._relieve()
        return commit

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

    # -- what operators ask

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
