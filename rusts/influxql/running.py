"""The queries that run: listed, killed, counted; and the last ones that ran, for who asks what was slow."""

from __future__ import annotations

import heapq
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from rusts import errors
from rusts.clock import Clock
from rusts.logging import get_logger
from rusts.query.limits import Tracker

__all__ = ["Running", "RunningQueries"]

_REMEMBERED: Final = 1000
"""How many queries are remembered after their end."""
_TEXT: Final = 4000
"""Characters of a query that are logged and remembered."""

logger = get_logger("rusts.queries")


@dataclass(slots=True)
class Running:
    """A query from its arrival to its end. `tracker` ends it."""

    id: int
    tracker: Tracker
    database: str
    user: str
    client: str
    text: Callable[[], str]
    """The query's text without passwords; made when it is asked for."""
    killed: bool = False

    @property
    def status(self) -> str:
        """As SHOW QUERIES calls it."""
        return "killed" if self.killed else "running"


@dataclass
class RunningQueries:
    """Thread-safe. `at_most` queries run at one time; those of `slow_seconds` or more are logged. 0 = no such limit."""

    clock: Clock
    at_most: int = 0
    slow_seconds: float = 0.0
    _running: dict[int, Running] = field(default_factory=dict)
    _finished: deque[tuple[Running, float, str]] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _last: int = 0
    executed: int = 0
    """How many have ended."""

    def begin(self, tracker: Tracker, database: str, user: str, client: str, text: Callable[[], str]) -> Running:
        """A query has come. Raises LimitExceeded where too many run."""
        with self._lock:
            if self.at_most and len(self._running) >= self.at_most:
                raise errors.LimitExceeded(
                    f"max-concurrent-queries limit exceeded({len(self._running)}, {self.at_most})"
                )
            self._last += 1
            query = Running(self._last, tracker, database, user, client, text)
            self._running[query.id] = query
        return query

    def end(self, query: Running, outcome: str = "ok") -> None:
        """The query has ended; `outcome` says what ended it, if it was not its own end. Idempotent."""
        with self._lock:
            if self._running.pop(query.id, None) is None:
                return
            self.executed += 1
            seconds = query.tracker.seconds()
            self._finished.append((query, seconds, outcome))
        if self.slow_seconds and seconds >= self.slow_seconds:
            logger.warning(
                "slow query",
                query=query.text()[:_TEXT],
                database=query.database,
                user=query.user or "-",
                client=query.client,
                seconds=round(seconds, 6),
                bytes_decoded=query.tracker.bytes_decoded,
                rows=query.tracker.rows,
                outcome=outcome,
            )

    def kill(self, id: int) -> None:
        """End a query at its next check. Raises InvalidRequest where none has that id."""
        with self._lock:
            query = self._running.get(id)
        if query is None:
            raise errors.InvalidRequest(f"no such query id: {id}")
        query.killed = True
        query.tracker.cancel()

    def active(self) -> list[Running]:
        """The queries that run, the oldest first."""
        with self._lock:
            return list(self._running.values())

    def describe(self, top: int) -> dict[str, Any]:
        """Those that run, and of the last ones the `top` by time and by bytes decoded: plain values, for JSON."""
        with self._lock:
            last = list(self._finished)
        by_time = heapq.nlargest(top, last, key=lambda each: each[1])
        by_bytes = heapq.nlargest(top, last, key=lambda each: each[0].tracker.bytes_decoded)
        now = [(query, query.tracker.seconds(), query.status) for query in self.active()]
        return {
            "active": [_plain(*each) for each in now],
            "executed": self.executed,
            "remembered": len(last),
            "by_seconds": [_plain(*each) for each in by_time],
            "by_bytes_decoded": [_plain(*each) for each in by_bytes],
        }


def _plain(query: Running, seconds: float, status: str) -> dict[str, Any]:
    return {
        "id": query.id,
        "query": query.text()[:_TEXT],
        "database": query.database,
        "user": query.user,
        "client": query.client,
        "seconds": round(seconds, 6),
        "bytes_decoded": query.tracker.bytes_decoded,
        "rows": query.tracker.rows,
        "status": status,
    }
