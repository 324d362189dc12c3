"""A node's Storage made of the model Store, with switches for what a disk or a log may do to it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from rusts import errors
from rusts.engine.maintenance import Check
from rusts.engine.rejects import RejectLog
from rusts.model.batch import Batch
from rusts.model.store import PolicyInfo, WriteOutcome
from rusts.wal.sync import GroupCommit
from tests.support.accounts import DictAccounts
from tests.support.model_store import ModelStore, Settled

__all__ = ["FakeStorage"]


class FakeStorage(ModelStore, DictAccounts):
    """See the module. Set `problem` and writes raise it; set `late` and commits wait in `commits`."""

    def __init__(self) -> None:
        ModelStore.__init__(self)
        DictAccounts.__init__(self)
        self.rejected = RejectLog()
        self.problem: Exception | None = None
        self.late = False
        self.behind = False
        self.commits: list[GroupCommit] = []
        self.writes: list[list[Batch]] = []
        self.flushed = self.compacted = 0
        self.checks = [Check("log", True, "ok")]
        self.is_ready = True
        self.replay_left = 0
        self.closed = False
        self.create_database("default")

    def write(
        self, database: str, policy: str | None, batches: Sequence[Batch], *, atomic: bool = False
    ) -> WriteOutcome:
        if self.problem is not None:
            raise self.problem
        if atomic:
            trial = ModelStore()
            trial._databases = copy.deepcopy(self._databases)
            rejects = trial.write(database, policy, batches).rejects
            if rejects:
                return WriteOutcome(0, rejects, Settled())
        outcome = super().write(database, policy, batches)
        self.writes.append(list(batches))
        if self.late:
            commit = GroupCommit()
            self.commits.append(commit)
            outcome.commit = commit
        return outcome

    def must_wait(self) -> bool:
        return self.behind

    def wait_turn(self) -> None:
        """A device that is behind has caught up after one wait, or is given up."""
        if self.problem is not None:
            raise self.problem
        self.behind = False

    def create_database(self, name: str, policy: PolicyInfo | None = None) -> None:
        if name == "forbidden":
            raise errors.InvalidRequest("invalid name", "name")
        super().create_database(name, policy)

    def flush(self) -> None:
        self.flushed += 1

    def compact(self) -> None:
        self.compacted += 1

    def ready(self) -> bool:
        return self.is_ready

    def replay_bytes_left(self) -> int:
        return self.replay_left

    def health(self) -> list[Check]:
        return self.checks

    def cardinality(self, database: str, top: int = 10) -> dict[str, Any]:
        return {"database": database, "series": len(self._database(database).series), "measurements": [], "tags": []}

    def stats(self) -> dict[str, Any]:
        return {
            "memtable": {"active_size": 1, "active_points": 2, "flushing_size": 3, "flushing_points": 4, "limit": 5},
            "wal": {
                "replay_bytes_left": 0,
                "records": 8,
                "bytes": 6,
                "queued_bytes": 0,
                "syncs": 7,
                "sync_seconds": 0.5,
                "unsynced_seconds": 0.0,
                "failed": 0,
            },
            "segments": {"count": 1, "bytes": 9, "bytes_by_tier": {"hot": 9, "cold": 0}, "rows": 10, "quarantined": 0},
            "series": 11,
            "caches": {"columns": {"bytes": 0, "limit": 0}},
            "disk": {"free_bytes": 12, "total_bytes": 20},
            "points_written": 13,
            "flushes": 0,
            "compactions": 0,
            "compacted_bytes": 0,
            "clock_lead_ms": 0,
            "databases": {"default": {"measurements": 1, "series": 11, "segments": 1, "bytes": 9, "rows": 10}},
        }

    def log_step(self, timeout: float) -> None: ...

    def flush_step(self, timeout: float) -> None: ...

    def maintenance_step(self, timeout: float) -> None: ...

    def recover_step(self) -> None: ...

    def close(self, flush: bool = True) -> None:
        self.closed = True
