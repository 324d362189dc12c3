"""Which times of a measurement changed since somebody looked: what lets a cache of answers stay right."""

from __future__ import annotations

import bisect
import threading
from typing import Final

__all__ = ["Changes"]

_ENTRIES: Final = 512
"""How many writes are told apart; older ones are told together."""


class Changes:
    """The writes and deletes of one measurement in one policy, by number and earliest time. Thread-safe.

    Note a change once readers can see it. Who reads the `version` first, then the points, can ask later with `since`
    from which time on the points may be others. The notes are a stack of rising numbers and rising times: a
    change hides those before it that begin later.
    """

    __slots__ = ("_lock", "_lows", "_numbers", "version")

    def __init__(self) -> None:
        self.version = 0
        """How many changes were noted."""
        self._numbers: list[int] = []
        self._lows: list[int] = []
        self._lock = threading.Lock()

    def note(self, low: int) -> None:
        """Points at `low` (ns) or later were written or deleted."""
        with self._lock:
            self.version += 1
            numbers, lows = self._numbers, self._lows
            while lows and lows[-1] >= low:
                lows.pop()
                numbers.pop()
            lows.append(low)
            numbers.append(self.version)
            if len(lows) > _ENTRIES:
                # Two neighbours told as one: the number of the later, the time of the earlier.
                self._numbers = [*numbers[1::2], *numbers[len(numbers) & ~1 :]]
                self._lows = lows[0::2]

    def since(self, version: int) -> int | None:
        """The earliest time that a change after `version` touched (or one before it); None if there was none."""
        with self._lock:
            at = bisect.bisect_right(self._numbers, version)
            return self._lows[at] if at < len(self._lows) else None
