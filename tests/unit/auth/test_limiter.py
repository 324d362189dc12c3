from __future__ import annotations

from rusts.auth import limiter
from rusts.auth.limiter import FailureLimiter
from tests.unit.auth.test_authenticator import Clock


def test_a_success_forgets_the_failures_of_the_name():
    limit = FailureLimiter(Clock())
    for _ in range(9):
        limit.failed("here", "ann")
    limit.succeeded("here", "ann")
    limit.failed("here", "ann")
    assert limit.wait_seconds("here", "ann") == 0


def test_a_window_begins_with_its_first_failure():
    clock = Clock()
    limit = FailureLimiter(clock)
    limit.failed("here", "ann")
    clock.seconds += 50
    for _ in range(9):
        limit.failed("here", "ann")
    assert limit.wait_seconds("here", "ann") == 10
    clock.seconds += 11
    assert limit.wait_seconds("here", "ann") == 0
    limit.failed("here", "ann")
    assert limit.wait_seconds("here", "ann") == 0


def test_the_counts_are_bounded():
    limit = FailureLimiter(Clock())
    for number in range(limiter._KEPT):
        limit.failed(f"host {number}", "ann")
    assert len(limit._failures) == limiter._KEPT
