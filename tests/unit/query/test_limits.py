"""The tracker: what ends a query, and that its memory is given back."""

from __future__ import annotations

import pytest

from rusts import errors
from rusts.query.limits import Limits, Tracker


class SteppingClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.time = 100.0

    def now_ns(self) -> int:
        return int(self.time * 1e9)

    def monotonic(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


class SmallPool:
    """A pool of 100 bytes."""

    def __init__(self) -> None:
        self.used = 0

    def take(self, size: int) -> None:
        if self.used + size > 100:
            raise errors.MemoryExceeded("full")
        self.used += size

    def give(self, size: int) -> None:
        self.used -= size


def test_without_limits_nothing_ends() -> None:
    tracker = Tracker()
    tracker.check(1 << 60)
    tracker.add_rows(1 << 60)
    tracker.add_series(1 << 60)
    tracker.buckets(1 << 60)
    tracker.hold(1 << 60)
    tracker.close()


def test_time_runs_out() -> None:
    clock = SteppingClock()
    tracker = Tracker(Limits(seconds=2.5), clock)
    clock.sleep(2.5)
    tracker.check()
    clock.sleep(0.1)
    with pytest.raises(errors.Timeout, match=r"query-timeout limit exceeded: 2\.5 s"):
        tracker.check()
    assert tracker.seconds() == pytest.approx(2.6)


def test_cancel_comes_first() -> None:
    tracker = Tracker(Limits(bytes_decoded=1))
    tracker.cancel()
    with pytest.raises(errors.QueryCancelled, match="query interrupted"):
        tracker.check(5)


def test_counts() -> None:
    tracker = Tracker(Limits(rows=10, series=2, buckets=5, bytes_decoded=100))
    tracker.add_rows(4)
    tracker.add_rows(6)
    with pytest.raises(errors.LimitExceeded, match=r"max-select-point limit exceeded: \(11/10\)"):
        tracker.add_rows(1)
    tracker.add_series(2)
    with pytest.raises(errors.LimitExceeded, match=r"max-select-series limit exceeded: \(3/2\)"):
        tracker.add_series(1)
    tracker.buckets(5)
    with pytest.raises(errors.LimitExceeded, match=r"max-select-buckets limit exceeded: \(6/5\)"):
        tracker.buckets(6)
    tracker.check(100)
    with pytest.raises(errors.LimitExceeded, match=r"max-select-bytes limit exceeded: \(101/100\)"):
        tracker.check(1)


def test_memory_is_taken_from_the_pool_and_given_back_once() -> None:
    pool = SmallPool()
    tracker = Tracker(pool=pool)
    tracker.hold(60)
    tracker.hold(0)
    with pytest.raises(errors.MemoryExceeded):
        tracker.hold(60)
    assert pool.used == 60
    tracker.close()
    tracker.close()
    assert pool.used == 0
