"""Time zones as columns: how far a zone's clock is ahead of UTC at each of many times."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from rusts.errors import InvalidRequest

__all__ = ["Zone", "zone_of"]

_SECOND: Final = 1_000_000_000
_FIRST: Final = int(datetime(1880, 1, 1, tzinfo=UTC).timestamp())
_LAST: Final = int(datetime(2110, 1, 1, tzinfo=UTC).timestamp())
_STEP: Final = 7 * 86_400
"""Seconds between which clocks are looked for that were changed: none is changed and changed back within a week."""


class Zone:
    """The clock of one zone.

    `changes` is int64[n], ascending: the ns at which the clock is changed; `_shifts` int64[n + 1] ns: how far it is
    ahead of UTC before the first, between two, and behind the last of them.
    """

    def __init__(self, name: str) -> None:
        try:
            zone = ZoneInfo(name)
        except (OSError, ValueError, LookupError):
            raise InvalidRequest(f"unable to find time zone {name}") from None
        changes: list[int] = []
        shifts = [_shift(zone, _FIRST)]
        for begin in range(_FIRST, _LAST, _STEP):
            low, high = begin, begin + _STEP
            after = _shift(zone, high)
            if after == shifts[-1]:
                continue
            while high - low > 1:
                middle = (low + high) // 2
                if _shift(zone, middle) == shifts[-1]:
                    low = middle
                else:
                    high = middle
            changes.append(high * _SECOND)
            shifts.append(after)
        self.changes = np.array(changes, dtype=np.int64)
        self._shifts = np.array(shifts, dtype=np.int64) * _SECOND

    def shifts(self, times: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """int64[n] ns: how far the clock is ahead of UTC at each of `times`."""
        return self._shifts[np.searchsorted(self.changes, times, side="right")]

    def utc(self, local: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """int64[n] ns: the first moment at which the clock shows `local`; where it is put past that, the change."""
        moments = local - self.shifts(local - self.shifts(local))
        # Where the clock never shows it, the change lies less than its length before what was found.
        at = np.maximum(np.searchsorted(self.changes, moments, side="right") - 1, 0)
        skipped = moments + self.shifts(moments) != local
        return np.where(skipped, self.changes[at], self._first(moments))

    def begins(self, times: npt.NDArray[np.int64], interval: int, offset: int) -> npt.NDArray[np.int64]:
        """int64[n] ns: the begin of the bucket of each time: buckets of `interval` ns by this clock, moved by `offset`.

        A bucket begins when the clock first shows its begin. Where the clock is changed by the interval or more,
        buckets go by time that passes, as InfluxDB has them.
        """
        times = times - offset
        shifts = self.shifts(times)
        into = (times + shifts) % interval
        begins = times - into
        change = shifts - self.shifts(begins)
        begins += np.where(np.abs(change) < interval, change, 0)
        return self._first(begins, interval) + offset

    def _first(self, times: npt.NDArray[np.int64], below: int | None = None) -> npt.NDArray[np.int64]:
        """When the clock first showed what it does at each time, unless it was put back by `below` or more."""
        at = np.searchsorted(self.changes, times, side="right")
        back = self._shifts[np.maximum(at - 1, 0)] - self._shifts[at]
        again = (at > 0) & (back > 0) & (times - self.changes[np.maximum(at - 1, 0)] < back)
        if below is not None:
            again &= back < below
        return times - np.where(again, back, 0)


@cache
def zone_of(name: str) -> Zone:
    """The zone by its IANA name. Raises InvalidRequest if there is none."""
    return Zone(name)


def _shift(zone: ZoneInfo, second: int) -> int:
    shift = datetime.fromtimestamp(second, zone).utcoffset()
    assert shift is not None
    return int(shift.total_seconds())
