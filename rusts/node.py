"""One running node: the place that builds everything and owns every thread.

Rooms start no thread; each has a step that blocks for a while and returns. Here are the loops that
call them, and the order in which a node comes up and goes down.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from rusts.clock import Clock, SystemClock
from rusts.config import Settings
from rusts.engine.engine import Engine, EngineSettings
from rusts.engine.maintenance import Check
from rusts.engine.memory import machine_memory
from rusts.engine.rejects import RejectLog
from rusts.engine.resolve import Limits
from rusts.files import OsFiles
from rusts.logging import get_logger
from rusts.model.accounts import Accounts
from rusts.model.batch import Batch
from rusts.model.store import Store, WriteOutcome
from rusts.wal.sync import LogMode

if TYPE_CHECKING:
    from rusts.metrics import Registry
    from rusts.query.limits import MemoryPool

__all__ = ["Node", "Storage"]

BACKLOG: Final = 2048
"""Connections that may wait to be accepted."""

_STEP_SECONDS: Final = 1.0
_BODY_SHARE: Final = 8
_BODIES_MAX: Final = 256 << 20

logger = get_logger("rusts.node")


class Storage(Store, Accounts, Protocol):
    """The Store of one node, the accounts that it keeps, and what only a node asks of it."""

    rejected: RejectLog

    def write(
        self, database: str, policy: str | None, batches: Sequence[Batch], *, atomic: bool = False
    ) -> WriteOutcome:
        """As `Store.write`; with `atomic`, nothing is stored if any point would be dropped."""
        ...

    def must_wait(self) -> bool:
        """`write` would block on the log's device."""
        ...

    def wait_turn(self) -> None:
        """Block until `write` would not. Raises LogUnavailable."""
        ...

    def flush(self) -> None:
        """Put every point that is in memory into segments."""
        ...

    def compact(self) -> None:
        """Merge segments until none is worth merging."""
        ...

    def ready(self) -> bool:
        """Segments are served and writes are taken."""
        ...

    def replay_bytes_left(self) -> int:
        """Bytes of log that queries still wait for."""
        ...

    def stats(self) -> dict[str, Any]:
        """The JSON object of ``/stats``."""
        ...

    def health(self) -> list[Check]:
        """What was looked at, and whether it is well."""
        ...

    def cardinality(self, database: str, top: int = 10) -> dict[str, Any]:
        """The measurements and tags of the database with the most series."""
        ...

    def log_step(self, timeout: float) -> None:
        """Wait up to `timeout` seconds for the log to have something to sync, and sync it."""
        ...

    def flush_step(self, timeout: float) -> None:
        """Wait up to `timeout` seconds for a memtable to be due, and flush what is."""
        ...

    def maintenance_step(self, timeout: float) -> None:
        """Merge segments where that is due, else wait up to `timeout` seconds."""
        ...

    def recover_step(self) -> None:
        """Replay the log."""
        ...

    def close(self, flush: bool = True) -> None:
        """Refuse writes, flush, close every file."""
        ...


class Node:
    """Storage with its workers, the pools that doors use, and what operators count."""

    def __init__(
        self, settings: Settings, store: Storage, clock: Clock, query_memory: MemoryPool | None = None
    ) -> None:
        """Use `Node.open`, or give any `store`. Takes the store over: `close` closes it.

        `query_memory` is the pool that all queries account to.
        """
        self.settings = settings
        self.store = store
        self.clock = clock
        self.query_memory = query_memory
        self.started_ns = clock.now_ns()
        self.memory_bytes = _memory_bytes(settings)
        self.body_bytes = min(self.memory_bytes // _BODY_SHARE, _BODIES_MAX)
        """Bytes of large request bodies that may be held at one time."""
        self.ingest = ThreadPoolExecutor(1, "rusts-ingest")
        self.queries = ThreadPoolExecutor(max(1, settings.query_threads), "rusts-query")
        self.admin = ThreadPoolExecutor(1, "rusts-admin")
        # One login at a time: each takes 16 MiB, and a tenth of a core would do for ten users a second.
        self.logins = ThreadPoolExecutor(1, "rusts-logins")
        self._stopping = threading.Event()
        self._workers: list[threading.Thread] = []
        self._failed: dict[str, str] = {}

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Open (or make) the data directory; `start` then begins the work.

        Raises DirectoryLocked, FormatTooNew, OSError.
        """
        clock = SystemClock()
        engine_settings = EngineSettings(
            wal_mode=LogMode(settings.wal_mode),
            wal_sync_interval=settings.wal_sync_interval,
            wal_file_bytes=settings.wal_file_size,
            memtable_bytes=settings.memory_buffer_size,
            memtable_points=settings.flush_points,
            flush_interval=settings.flush_interval,
            memory_bytes=_memory_bytes(settings),
            min_free_space=settings.min_free_space,
            limits=Limits(settings.max_series_per_database, settings.max_values_per_tag),
        )
        engine = Engine.open(OsFiles(), settings.data_dir, engine_settings, clock)
        return cls(settings, engine, clock, engine.budget.query)

    def start(self) -> None:
        """Start the workers: log, flush, maintenance, and the replay of the log."""
        self._work("rusts-log", lambda: self.store.log_step(_STEP_SECONDS))
        self._work("rusts-flush", lambda: self.store.flush_step(_STEP_SECONDS))
        self._work("rusts-maintenance", lambda: self.store.maintenance_step(_STEP_SECONDS))
        recovery = threading.Thread(target=self._recover, name="rusts-recovery", daemon=True)
        recovery.start()
        self._workers.append(recovery)

    def close(self) -> None:
        """Let the pools finish, stop the workers, flush and close the storage."""
        for pool in (self.ingest, self.queries, self.admin, self.logins):
            pool.shutdown(wait=True)
        self._stopping.set()
        for worker in self._workers:
            worker.join()
        self.store.close(flush=True)

    @cached_property
    def metrics(self) -> Registry:
        """What operators count; loaded by the doors, while the log is being replayed already."""
        registry: Registry = importlib.import_module("rusts.metrics").Registry()
        return registry

    @property
    def stopping(self) -> bool:
        """True once `close` has begun."""
        return self._stopping.is_set()

    def health(self) -> list[Check]:
        """The storage's checks, and whether every worker runs."""
        failed = "; ".join(f"{name}: {problem}" for name, problem in self._failed.items())
        return [*self.store.health(), Check("workers", not failed, failed or "ok")]

    def _work(self, name: str, step: Callable[[], None]) -> None:
        worker = threading.Thread(target=self._loop, args=(name, step), name=name, daemon=True)
        worker.start()
        self._workers.append(worker)

    def _loop(self, name: str, step: Callable[[], None]) -> None:
        while not self._stopping.is_set():
            try:
                step()
            except Exception as problem:
                # A worker never ends: what failed is shown, and tried again.
                logger.exception("a worker's step failed, will be tried again", worker=name)
                self._failed[name] = f"{type(problem).__name__}: {problem}"
                self._stopping.wait(_STEP_SECONDS)
            else:
                self._failed.pop(name, None)

    def _recover(self) -> None:
        try:
            self.store.recover_step()
        except Exception as problem:
            logger.exception("the log could not be replayed")
            self._failed["rusts-recovery"] = f"{type(problem).__name__}: {problem}"


def _memory_bytes(settings: Settings) -> int:
    """The budget in bytes: a setting below one is a share of what the machine has."""
    limit = settings.memory_limit
    return int(machine_memory() * limit) if isinstance(limit, float) else limit
