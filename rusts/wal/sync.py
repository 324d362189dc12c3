"""When a write is durable: the modes of the log, and the tickets that tell a writer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from enum import StrEnum
from typing import Final

from rusts.errors import Timeout
from rusts.model.store import Commit

__all__ = ["DONE", "GroupCommit", "LogMode", "UnsyncedAge"]


class LogMode(StrEnum):
    """What an acknowledged write survives."""

    EVERY_WRITE = "every-write"
    """Power loss: its bytes were fdatasynced before the answer. One fdatasync frees all who wait."""
    PERIODIC = "periodic"
    """The end of the process at once (the bytes are in the kernel), power loss after at most one interval."""
    OS_DEFAULT = "os-default"
    """The end of the process at once, power loss when the kernel has written the bytes by itself."""
    NONE = "none"
    """Neither, until its memtable is flushed: there is no log."""


class _Done:
    """The ticket of a write whose promise holds already."""

    def done(self) -> bool:
        return True

    def add_done_callback(self, call: Callable[[Exception | None], None]) -> None:
        call(None)

    def wait(self, timeout: float | None = None) -> None:
        return None


DONE: Final[Commit] = _Done()
"""The ticket of every write in the modes that do not wait for the device."""


class GroupCommit:
    """One ticket for all writes that the same fdatasync covers. Settled once, from the thread that syncs."""

    __slots__ = ("_calls", "_error", "_lock", "_settled")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._settled = threading.Event()
        self._error: Exception | None = None
        self._calls: list[Callable[[Exception | None], None]] = []

    def done(self) -> bool:
        """True once the bytes are synced; never, if that failed: then `add_done_callback` and `wait` tell."""
        return self._settled.is_set() and self._error is None

    def add_done_callback(self, call: Callable[[Exception | None], None]) -> None:
        """Call `call(error)` when it is settled, from the thread that settles it; at once if it is."""
        with self._lock:
            if not self._settled.is_set():
                self._calls.append(call)
                return
        call(self._error)

    def wait(self, timeout: float | None = None) -> None:
        """Block until it is settled. Raises what made it fail, or `errors.Timeout`."""
        if not self._settled.wait(timeout):
            raise Timeout("the log was not synced in time")
        if self._error is not None:
            raise self._error

    def settle(self, error: Exception | None) -> None:
        """Tell everybody: synced, or `error`."""
        with self._lock:
            self._error = error
            self._settled.set()
            calls, self._calls = self._calls, []
        for call in calls:
            call(error)


class UnsyncedAge:
    """Since when written bytes wait for an fdatasync (`periodic`). Used under the log's lock."""

    __slots__ = ("_syncing", "_waiting")

    def __init__(self) -> None:
        self._waiting: float | None = None
        self._syncing: float | None = None

    def wrote(self, now: float) -> bool:
        """Bytes were written at the monotonic second `now`; True if they are the first that the next sync covers."""
        if self._waiting is not None:
            return False
        self._waiting = now
        return True

    def waiting(self) -> float | None:
        """When the oldest write came that the next sync will cover; None if there is none."""
        return self._waiting

    def oldest(self) -> float | None:
        """When the oldest write came that is not synced; None if all are."""
        return self._waiting if self._syncing is None else self._syncing

    def begin(self) -> None:
        """A sync of all that was written begins."""
        self._syncing, self._waiting = self.oldest(), None

    def end(self) -> None:
        """That sync has succeeded."""
        self._syncing = None

    def forget(self) -> None:
        """Nothing is left that could be synced."""
        self._waiting = self._syncing = None
