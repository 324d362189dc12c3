"""What a query may use, and the one object that watches it, ends it and can be told to end it."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Protocol

from rusts import errors
from rusts.clock import Clock, SystemClock

__all__ = ["Limits", "MemoryPool", "Tracker"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Upper bounds of one query; 0 = none.

    `rows` of the answer, `series` of the answer, `buckets` (group x time bucket cells), `bytes_decoded` by the
    store, `seconds` from start to end.
    """

    rows: int = 0
    series: int = 0
    buckets: int = 0
    bytes_decoded: int = 0
    seconds: float = 0.0


class MemoryPool(Protocol):
    """The accounted memory that all queries share."""

    def take(self, size: int, /) -> None:
        """Count `size` more bytes as used; raises `errors.MemoryExceeded` where they are not to be had."""
        ...

    def give(self, size: int, /) -> None:
        """Give back `size` bytes."""
        ...


class Tracker:
    """Watches one query. `check` may be called from any thread; `cancel` makes the next call of it raise.

    Whoever holds rows in memory calls `hold`; `close` gives all of it back to the pool, whatever happened.
    """

    def __init__(
        self, limits: Limits | None = None, clock: Clock | None = None, pool: MemoryPool | None = None
    ) -> None:
        self.limits = limits or Limits()
        self._clock = clock or SystemClock()
        self._pool = pool
        self._began = self._clock.monotonic()
        self._cancelled = False
        self._lock = threading.Lock()
        self._held = 0
        self.bytes_decoded = 0
        self.rows = 0
        self.series = 0

    def cancel(self) -> None:
        """End the query at its next `check`: it was killed, or its client is gone."""
        self._cancelled = True

    def seconds(self) -> float:
        """How long the query has run."""
        return self._clock.monotonic() - self._began

    def check(self, decoded: int = 0) -> None:
        """`decoded` more bytes were decoded. Raises QueryCancelled, Timeout or LimitExceeded."""
        if self._cancelled:
            raise errors.QueryCancelled("query interrupted")
        limits = self.limits
        if limits.seconds and self.seconds() > limits.seconds:
            raise errors.Timeout(f"query-timeout limit exceeded: {limits.seconds:g} s")
        if decoded:
            with self._lock:
                self.bytes_decoded += decoded
            _hold_to("bytes", self.bytes_decoded, limits.bytes_decoded)

    def add_rows(self, count: int) -> None:
        """`count` more rows go into the answer."""
        self.rows += count
        _hold_to("point", self.rows, self.limits.rows)

    def add_series(self, count: int) -> None:
        """`count` more series go into the answer."""
        self.series += count
        _hold_to("series", self.series, self.limits.series)

    def buckets(self, count: int) -> None:
        """The query is about to make `count` cells."""
        _hold_to("buckets", count, self.limits.buckets)

    def hold(self, size: int) -> None:
        """`size` more bytes are held in memory. Raises MemoryExceeded."""
        if self._pool is not None and size:
            self._pool.take(size)
            with self._lock:
                self._held += size

    def release(self, size: int) -> None:
        """`size` of the bytes held are not held any more."""
        if self._pool is not None and size:
            with self._lock:
                self._held -= size
            self._pool.give(size)

    def close(self) -> None:
        """Give back what is held. Idempotent."""
        with self._lock:
            held, self._held = self._held, 0
        if self._pool is not None and held:
            self._pool.give(held)


def _hold_to(name: str, count: int, limit: int) -> None:
    if limit and count > limit:
        raise errors.LimitExceeded(f"max-select-{name} limit exceeded: ({count}/{limit})")
