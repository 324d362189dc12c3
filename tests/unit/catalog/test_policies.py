"""The rules of retention policies, as InfluxDB 1.6.7 was seen to follow them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rusts.catalog.policies import altered, check_created, check_name, normal, shard_slices
from rusts.errors import InvalidRequest
from rusts.model.store import PolicyInfo, TimeRange
from rusts.model.time import NANOSECONDS, parse_rfc3339

HOUR, DAY = NANOSECONDS["h"], NANOSECONDS["d"]
AUTOGEN = PolicyInfo("autogen", 0, 7 * DAY, 1, True)
TOO_SHORT = "retention policy duration must be at least 1h0m0s"
BELOW_SHARD = "retention policy duration must be greater than the shard duration"


@pytest.mark.parametrize(
    ("duration", "asked", "gets"),
    [(0, 0, 7 * DAY), (2 * DAY, 0, DAY), (DAY, 0, HOUR), (0, HOUR // 2, HOUR), (2 * DAY, 3 * HOUR, 3 * HOUR)],
)
def test_shard_durations(duration: int, asked: int, gets: int) -> None:
    assert normal(PolicyInfo("p", duration, asked, 1, False)).shard_duration == gets


def test_a_policy_is_made_once() -> None:
    policy = PolicyInfo("p", DAY, HOUR, 1, False)
    assert check_created(policy, [AUTOGEN])
    assert not check_created(policy, [AUTOGEN, policy])
    assert not check_created(policy, [replace(policy, default=True)])
    for other in (replace(policy, duration=2 * DAY), replace(policy, replication=2)):
        with pytest.raises(InvalidRequest, match=r"^retention policy already exists$"):
            check_created(other, [policy])
    with pytest.raises(InvalidRequest, match=r"^retention policy conflicts with an existing policy$"):
        check_created(replace(policy, default=True), [policy])
    for duration, shard, text in ((HOUR // 2, HOUR, TOO_SHORT), (2 * HOUR, 4 * HOUR, BELOW_SHARD)):
        with pytest.raises(InvalidRequest, match=text):
            check_created(PolicyInfo("p", duration, shard, 1, False), [])


def test_a_policy_is_altered() -> None:
    policy = PolicyInfo("p", 0, 2 * HOUR, 2, True)
    for duration, shard, text in ((HOUR // 6, None, TOO_SHORT), (HOUR, None, BELOW_SHARD), (DAY, 2 * DAY, BELOW_SHARD)):
        with pytest.raises(InvalidRequest, match=text):
            altered(policy, duration, shard, None)
    four = altered(policy, 4 * HOUR, None, None)
    assert four == replace(policy, duration=4 * HOUR)
    with pytest.raises(InvalidRequest, match=BELOW_SHARD):
        altered(four, None, 5 * HOUR, None)
    assert altered(four, None, HOUR // 6, 3) == replace(four, shard_duration=HOUR, replication=3)
    assert altered(four, 4 * DAY, 0, None).shard_duration == DAY
    assert altered(four, 30 * DAY, None, None).shard_duration == 2 * HOUR


@pytest.mark.parametrize("name", ["a", "a b", "x" * 255, "ü" * 127, 'quote"'])
def test_names(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize(
    ("name", "text"),
    [("", "invalid name"), ("..", "invalid name"), ("a/b", "invalid name"), ("a\\b", "invalid name"),
     ("a\nb", "invalid name"), ("x" * 256, "name too long"), ("ü" * 128, "name too long")],
)  # fmt: skip
def test_names_that_are_none(name: str, text: str) -> None:
    with pytest.raises(InvalidRequest, match=f"^{text}$"):
        check_name(name)


def test_shards_begin_where_1x_has_them() -> None:
    def at(text: str) -> int:
        return parse_rfc3339(text)

    one = at("2001-09-09T01:46:40Z")
    week = TimeRange(at("2001-09-03"), at("2001-09-10"))
    assert shard_slices(TimeRange(one, one + 1), 7 * DAY) == week
    assert shard_slices(week, 7 * DAY) == week
    assert shard_slices(TimeRange(week.start - 1, week.end), 7 * DAY).start == week.start - 7 * DAY
    assert shard_slices(TimeRange(-1, 1), HOUR) == TimeRange(-HOUR, HOUR)
    assert shard_slices(TimeRange(5, 5), HOUR) == TimeRange(5, 5)
