"""Time as an argument: wall clock, monotonic clock, and the hybrid logical clock that stamps writes.

The hybrid logical clock follows Kulkarni et al., "Logical Physical Clocks" (2014): physical
milliseconds above a counter, never running backwards.
"""

from __future__ import annotations

import threading
import time
from typing import Final, Protocol

from rusts.model.types import Stamp

__all__ = ["Clock", "HybridClock", "SystemClock"]

_COUNTER_BITS: Final = 20
_MASK_64: Final = (1 << 64) - 1


class Clock(Protocol):
    """What rusts asks about time."""

    def now_ns(self) -> int:
        """Nanoseconds since the Unix epoch; may jump."""
        ...

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never runs backwards."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now_ns(self) -> int:
        return time.time_ns()

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class HybridClock:
    """Gives each write a stamp that is larger than every stamp given or seen before. Thread-safe."""

    def __init__(self, clock: Clock, node: int = 0) -> None:
        self._clock = clock
        self._node = node
        self._last = 0
        self._lock = threading.Lock()

    def next(self) -> Stamp:
        """A new stamp: the wall clock's milliseconds where they moved on, else one more than the last."""
        physical = (self._clock.now_ns() // 1_000_000) << _COUNTER_BITS & _MASK_64
        with self._lock:
            self._last = max(self._last + 1, physical)
            return Stamp(self._last, self._node)

    def observe(self, stamp: Stamp) -> None:
        """Never give a stamp at or below `stamp` (one read from disk, or from a peer)."""
        with self._lock:
            self._last = max(self._last, stamp.clock)

    def lead_ms(self) -> int:
        """How many milliseconds the stamps run ahead of the wall clock (0 unless it jumped back)."""
        return max(0, (self._last >> _COUNTER_BITS) - self._clock.now_ns() // 1_000_000)
