"""Time: the range that a point may have, precisions, and text."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

__all__ = ["MAX_TIME", "MIN_TIME", "NANOSECONDS", "format_duration", "format_rfc3339", "parse_rfc3339"]

MIN_TIME: Final = -9223372036854775806
MAX_TIME: Final = 9223372036854775806
"""The first and the last nanosecond that a point may have (InfluxDB's own bounds)."""

NANOSECONDS: Final[dict[str, int]] = {
    "ns": 1,
    "us": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
    "d": 86_400_000_000_000,
    "w": 604_800_000_000_000,
}
"""Nanoseconds of each unit."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:([Zz])|([+-])(\d\d):(\d\d))?)?", re.ASCII
)


def parse_rfc3339(text: str) -> int:
    """Nanoseconds since the epoch of an RFC 3339 time, `YYYY-MM-DD` or `YYYY-MM-DD HH:MM:SS[.fraction]`.

    Without a zone it is UTC. Raises ValueError on anything else, or outside the range of a point.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError(f"invalid time {text!r}: want RFC 3339, as 2006-01-02T15:04:05.999Z")
    day, clock, fraction, _, sign, hours, minutes = match.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock or '00:00:00'}").replace(tzinfo=UTC)
        if sign:
            shift = timedelta(hours=int(hours), minutes=int(minutes))
            moment = moment - shift if sign == "+" else moment + shift
    except (ValueError, OverflowError) as problem:
        raise ValueError(f"invalid time {text!r}: {problem}") from None
    since = moment - _EPOCH
    ns = (since.days * 86_400 + since.seconds) * 1_000_000_000 + int((fraction or "").ljust(9, "0") or 0)
    if not MIN_TIME <= ns <= MAX_TIME:
        raise ValueError(f"time {text!r} is outside the range of a point")
    return ns


def format_rfc3339(ns: int) -> str:
    """`ns` since the epoch as Go's RFC3339Nano prints it: UTC, up to nine decimals, trailing zeros cut."""
    seconds, fraction = divmod(ns, 1_000_000_000)
    text = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    if fraction:
        text += f".{fraction:09d}".rstrip("0")
    return text + "Z"


def format_duration(ns: int) -> str:
    """A length of time as Go prints it: ``168h0m0s``, ``1m30.5s``, ``11µs``, ``0s``."""
    sign, ns = ("-", -ns) if ns < 0 else ("", ns)
    if ns < NANOSECONDS["s"]:
        if ns == 0:
            return "0s"
        unit = "ms" if ns >= NANOSECONDS["ms"] else "us" if ns >= NANOSECONDS["us"] else "ns"
        return f"{sign}{_decimal(ns, NANOSECONDS[unit])}{'µs' if unit == 'us' else unit}"
    minutes, ns = divmod(ns, NANOSECONDS["m"])
    hours, minutes = divmod(minutes, 60)
    text = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{sign}{text}{_decimal(ns, NANOSECONDS['s'])}s"


def _decimal(ns: int, unit: int) -> str:
    whole, rest = divmod(ns, unit)
    return f"{whole}.{rest:0{len(str(unit)) - 1}d}".rstrip("0") if rest else str(whole)
