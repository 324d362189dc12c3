"""Rejected points: counted by database and reason, the last ones readable."""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import asdict, dataclass
from typing import Any, Final

__all__ = ["RejectLog", "Rejected"]

_KEPT: Final = 1_000


@dataclass(frozen=True, slots=True)
class Rejected:
    """Points that one write lost for one reason."""

    time: int
    """Nanoseconds since the epoch, by the server's clock."""
    database: str
    reason: str
    """A `Reject.kind`, or ``parse``."""
    message: str
    points: int
    line: int
    """The first such line of the request, counted from 1."""
    text: str
    """That line, cut short."""


class RejectLog:
    """The last 1,000 rejects, and how many points were rejected since the start. Thread-safe."""

    def __init__(self) -> None:
        self._last: deque[Rejected] = deque(maxlen=_KEPT)
        self._counts: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def add(self, rejected: Rejected) -> None:
        """Count and keep one."""
        with self._lock:
            self._last.append(rejected)
            self._counts[rejected.database, rejected.reason] += rejected.points

    def last(self) -> list[dict[str, Any]]:
        """The kept ones, newest first, as JSON objects."""
        with self._lock:
            return [asdict(r) for r in reversed(self._last)]

    def counts(self) -> dict[tuple[str, str], int]:
        """Points by (database, reason)."""
        with self._lock:
            return dict(self._counts)
