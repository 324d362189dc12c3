"""What a retention policy may be, in InfluxDB 1.x's rules and words. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from rusts.errors import InvalidRequest
from rusts.model.store import PolicyInfo, TimeRange
from rusts.model.time import NANOSECONDS

__all__ = [
    "CONFLICT",
    "altered",
    "check_created",
    "check_name",
    "default_shard_duration",
    "is_same",
    "normal",
    "shard_slices",
]

_HOUR: Final = NANOSECONDS["h"]
_DAY: Final = NANOSECONDS["d"]
_LONGEST_NAME: Final = 255
_EPOCH: Final = 62_135_596_800 * NANOSECONDS["s"]
"""From the first day of the year 1, where 1.x aligns its shards, to 1970."""

CONFLICT: Final = "retention policy conflicts with an existing policy"


def default_shard_duration(duration: int) -> int:
    """What InfluxDB 1.x chooses for a policy that keeps points for `duration` ns: 1 h, 1 d or 7 d."""
    if duration == 0 or duration > 180 * _DAY:
        return 7 * _DAY
    return _DAY if duration >= 2 * _DAY else _HOUR


def _shard_duration(asked: int, duration: int) -> int:
    return max(asked, _HOUR) if asked else default_shard_duration(duration)


def check_name(name: str) -> None:
    """Raise InvalidRequest unless a database or a policy may be called so: printable, and no part of a path."""
    if len(name.encode()) > _LONGEST_NAME:
        raise InvalidRequest("name too long", "name")
    if name in ("", ".", "..") or "/" in name or "\\" in name or not name.isprintable():
        raise InvalidRequest("invalid name", "name")


def normal(policy: PolicyInfo) -> PolicyInfo:
    """`policy` with the shard duration that it gets: at least an hour, the usual one if it says 0."""
    return replace(policy, shard_duration=_shard_duration(policy.shard_duration, policy.duration))


def is_same(one: PolicyInfo, other: PolicyInfo) -> bool:
    """Whether two policies are alike but for being the default one."""
    return replace(one, default=False) == replace(other, default=False)


def check_created(policy: PolicyInfo, present: Iterable[PolicyInfo]) -> bool:
    """Whether the normal `policy` is new beside those `present`. Raises InvalidRequest where it may not be made."""
    check_name(policy.name)
    _check_durations(policy)
    rival = next((p for p in present if p.name == policy.name), None)
    if rival is None:
        return True
    if not is_same(policy, rival):
        raise InvalidRequest("retention policy already exists", "name")
    if policy.default and not rival.default:
        raise InvalidRequest(CONFLICT, "name")
    return False


def altered(
    policy: PolicyInfo, duration: int | None, shard_duration: int | None, replication: int | None
) -> PolicyInfo:
    """`policy` changed in what is not None. Raises InvalidRequest where it may not be."""
    changed = replace(
        policy,
        duration=policy.duration if duration is None else duration,
        shard_duration=policy.shard_duration if shard_duration is None else shard_duration,
        replication=policy.replication if replication is None else replication,
    )
    _check_durations(changed)
    # A shard duration that nobody asks for stays what it is, also where another duration would suggest another.
    return changed if shard_duration is None else normal(changed)


def _check_durations(policy: PolicyInfo) -> None:
    if 0 < policy.duration < _HOUR:
        raise InvalidRequest("retention policy duration must be at least 1h0m0s", "duration")
    if 0 < policy.duration < policy.shard_duration:
        raise InvalidRequest("retention policy duration must be greater than the shard duration", "duration")


def shard_slices(range: TimeRange, shard_duration: int) -> TimeRange:
    """The times of all shards of 1.x, `shard_duration` ns wide, that `range` touches; nothing for an empty range."""
    if range.end <= range.start:
        return range
    start = (range.start + _EPOCH) // shard_duration * shard_duration - _EPOCH
    end = -(-(range.end + _EPOCH) // shard_duration) * shard_duration - _EPOCH
    return TimeRange(start, end)
