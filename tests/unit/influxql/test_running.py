from __future__ import annotations

import pytest

from rusts import errors, logging
from rusts.influxql.running import RunningQueries
from rusts.query.limits import Tracker


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def now_ns(self) -> int:
        return int(self.seconds * 1e9)

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def begin(running: RunningQueries, clock: Clock, text: str = "SELECT 1"):
    return running.begin(Tracker(clock=clock), "db0", "u", "1.2.3.4", lambda: text)


def test_queries_are_listed_until_they_end(clock: Clock):
    running = RunningQueries(clock)
    first, second = begin(running, clock), begin(running, clock)
    assert [query.id for query in running.active()] == [1, 2]
    running.end(first)
    running.end(first)
    assert running.active() == [second]
    assert running.executed == 1


def test_kill(clock: Clock):
    running = RunningQueries(clock)
    query = begin(running, clock)
    running.kill(query.id)
    assert query.status == "killed"
    with pytest.raises(errors.QueryCancelled):
        query.tracker.check()
    with pytest.raises(errors.InvalidRequest, match=r"^no such query id: 7$"):
        running.kill(7)


def test_no_more_than_are_allowed(clock: Clock):
    running = RunningQueries(clock, at_most=1)
    query = begin(running, clock)
    with pytest.raises(errors.LimitExceeded, match=r"^max-concurrent-queries limit exceeded\(1, 1\)$"):
        begin(running, clock)
    running.end(query)
    begin(running, clock)


def test_the_top_of_what_ran(clock: Clock):
    running = RunningQueries(clock)
    for number, (seconds, size) in enumerate([(3, 10), (1, 30), (2, 20)]):
        query = begin(running, clock, f"q{number}")
        clock.seconds += seconds
        query.tracker.check(size)
        running.end(query, "ok" if number else "query interrupted")
    begin(running, clock, "q3")
    told = running.describe(2)
    assert [query["query"] for query in told["active"]] == ["q3"]
    assert [query["query"] for query in told["by_seconds"]] == ["q0", "q2"]
    assert [query["query"] for query in told["by_bytes_decoded"]] == ["q1", "q2"]
    assert told["by_seconds"][0] == {
        "id": 1,
        "query": "q0",
        "database": "db0",
        "user": "u",
        "client": "1.2.3.4",
        "seconds": 3.0,
        "bytes_decoded": 10,
        "rows": 0,
        "status": "query interrupted",
    }
    assert told["executed"] == 3


def test_slow_ones_are_logged(clock: Clock, capsys: pytest.CaptureFixture[str]):
    logging.configure("json")
    running = RunningQueries(clock, slow_seconds=1.5)
    for seconds, text in ((1, "quick"), (2, "crawling")):
        query = begin(running, clock, text)
        clock.seconds += seconds
        running.end(query)
    said = capsys.readouterr().err
    assert "crawling" in said
    assert "quick" not in said
