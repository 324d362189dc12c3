"""Failed logins are counted, by where they come from and for whom: after too many, none is tried for a while."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final

from rusts.clock import Clock

__all__ = ["FailureLimiter"]

_WINDOW: Final = 60.0
_PER_NAME: Final = 10
"""Failures in a window for one name from one place."""
_PER_SOURCE: Final = 100
"""Failures in a window from one place, whatever the names."""
_KEPT: Final = 10_000


class FailureLimiter:
    """Counts in windows of a minute that begin with the first failure. Thread-safe; the oldest counts are forgotten."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures: OrderedDict[tuple[str, str | None], tuple[float, int]] = OrderedDict()

    def wait_seconds(self, source: str, name: str) -> float:
        """Seconds until a login of `name` from `source` is tried again; 0 = now."""
        now = self._clock.monotonic()
        with self._lock:
            return max(
                self._left((source, name), _PER_NAME, now),
                self._left((source, None), _PER_SOURCE, now),
            )

    def _left(self, key: tuple[str, str | None], allowed: int, now: float) -> float:
        began, count = self._failures.get(key, (now, 0))
        return max(0.0, began + _WINDOW - now) if count >= allowed else 0.0

    def failed(self, source: str, name: str) -> None:
        """Count a failure."""
        now = self._clock.monotonic()
        with self._lock:
            for key in ((source, name), (source, None)):
                began, count = self._failures.pop(key, (now, 0))
                self._failures[key] = (began, count + 1) if now - began < _WINDOW else (now, 1)
            while len(self._failures) > _KEPT:
                self._failures.popitem(last=False)

    def succeeded(self, source: str, name: str) -> None:
        """Forget the failures of that name from there."""
        with self._lock:
            self._failures.pop((source, name), None)
