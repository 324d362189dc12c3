"""The reject log: the last 1,000, newest first, and counts of all."""

from __future__ import annotations

from rusts.engine.rejects import Rejected, RejectLog


def test_the_last_thousand_are_kept_and_all_are_counted() -> None:
    log = RejectLog()
    assert log.last() == []
    assert log.counts() == {}
    for n in range(1_500):
        reason = "parse" if n % 3 else "max_series"
        log.add(Rejected(n, f"db{n % 2}", reason, "message", 2, n, "line"))
    kept = log.last()
    assert [r["line"] for r in kept] == list(range(1_499, 499, -1))
    assert set(kept[0]) == {"time", "database", "reason", "message", "points", "line", "text"}
    assert sum(log.counts().values()) == 3_000
    assert log.counts()["db0", "max_series"] == 500
