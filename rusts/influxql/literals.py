"""What InfluxQL writes for names, strings, numbers and durations: reading and printing them, and bound parameters."""

from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache
from math import isfinite
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

__all__ = [
    "KEYWORDS",
    "Unbound",
    "bind",
    "calendar_months",
    "check_pattern",
    "duration_text",
    "months_text",
    "name_text",
    "number_text",
    "parse_duration",
    "pattern_text",
    "quoted",
    "string_text",
]

_WORDS: Final = """
    ALL ALTER ANALYZE AND ANY AS ASC BEGIN BY CARDINALITY CONTINUOUS CREATE DATABASE DATABASES DEFAULT DELETE DESC
    DESTINATIONS DIAGNOSTICS DISTINCT DROP DURATION END EVERY EXACT EXPLAIN FALSE FIELD FOR FROM GRANT GRANTS
    GROUP GROUPS IN INF INSERT INTO KEY KEYS KILL LIMIT MEASUREMENT MEASUREMENTS NAME OFFSET ON OR ORDER PASSWORD
    POLICIES POLICY PRIVILEGES QUERIES QUERY READ REPLICATION RESAMPLE RETENTION REVOKE SELECT SERIES SET SHARD
    SHARDS SHOW SLIMIT SOFFSET STATS SUBSCRIPTION SUBSCRIPTIONS TAG TO TRUE USER USERS VALUES WHERE WITH WRITE
"""
KEYWORDS: Final = {word: word for word in _WORDS.split()}
"""The words that are names only in double quotes, in upper case; each stands for itself."""

_BARE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_ESCAPED: Final = {"\n": "\\n", "\\": "\\\\"}
_NAME_ESCAPES: Final = str.maketrans({**_ESCAPED, '"': '\\"'})
_STRING_ESCAPES: Final = str.maketrans({**_ESCAPED, "'": "\\'"})

_UNITS: Final = {
    "ns": 1,
    "u": 1_000,
    "µ": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
    "d": 86_400_000_000_000,
    "w": 604_800_000_000_000,
}
_PRINTED_UNITS: Final = tuple((size, unit) for unit, size in reversed(_UNITS.items()) if unit != "µ")
_DURATION: Final = re.compile(r"([0-9]{1,20})(ns|ms|[uµsmhdw])", re.ASCII)
_DURATIONS: Final = re.compile(rf"-?(?:{_DURATION.pattern})+", re.ASCII)
_MONTHS: Final = {"mo": 1, "q": 3, "y": 12}
_MONTH: Final = re.compile(r"([0-9]{1,6})(mo|q|y)", re.ASCII)
_CALENDAR: Final = re.compile(rf"(?:{_MONTH.pattern})+", re.ASCII)
_LONGEST: Final = (1 << 63) - 1


# -- names and strings


def name_text(name: str) -> str:
    """A name, in double quotes where it needs them."""
    if _BARE.fullmatch(name) and name.upper() not in KEYWORDS:
        return name
    return quoted(name)


def quoted(name: str) -> str:
    """A name in double quotes."""
    return '"' + name.translate(_NAME_ESCAPES) + '"'


def string_text(value: str) -> str:
    """A string in single quotes."""
    return "'" + value.translate(_STRING_ESCAPES) + "'"


def pattern_text(pattern: str) -> str:
    """A regular expression between slashes."""
    return "/" + pattern.replace("/", "\\/") + "/"


# -- numbers


def number_text(value: float) -> str:
    """A float as 1.6.7 prints it, with three decimals; with all of them where three would change the value."""
    text = f"{value:.3f}"
    return text if float(text) == value or not isfinite(value) else format(Decimal(repr(value)), "f")


# -- durations


def parse_duration(text: str) -> int | None:
    """The ns of ``1h30m`` and the like; None if it is no duration.

    Raises OverflowError with 1.6.7's text where an int64 cannot tell it.
    """
    if _DURATIONS.fullmatch(text) is None:
        return None
    total = 0
    for count, unit in _DURATION.findall(text):
        if int(count) > _LONGEST:
            return None
        total += int(count) * _UNITS[unit]
        if total > _LONGEST:
            raise OverflowError(f"overflowed duration {int(count)}{unit}: choose a smaller duration or INF")
    return -total if text[0] == "-" else total


def calendar_months(text: str) -> int | None:
    """The months of ``1mo``, ``2q``, ``1y6mo``; None if it is no calendar duration."""
    if _CALENDAR.fullmatch(text) is None:
        return None
    return sum(int(count) * _MONTHS[unit] for count, unit in _MONTH.findall(text))


def duration_text(ns: int) -> str:
    """A duration in the largest unit of which it is a whole number: ``90m``, ``2w``, ``0s``."""
    if ns == 0:
        return "0s"
    size, unit = next(each for each in _PRINTED_UNITS if ns % each[0] == 0)
    return f"{ns // size}{unit}"


def months_text(months: int) -> str:
    """A calendar duration in the largest unit of which it is a whole number."""
    if months % 12 == 0:
        return f"{months // 12}y"
    return f"{months // 3}q" if months % 3 == 0 else f"{months}mo"


# -- regular expressions

_GO_TEXTS: Final = {
    "missing )": "missing closing )",
    "missing ]": "missing closing ]",
    "no argument for repetition operator": "missing argument to repetition operator",
    "bad repetition operator": "invalid nested repetition operator",
    "invalid repetition size": "invalid repeat count",
    "invalid perl operator": "invalid or unsupported Perl syntax",
    "invalid named capture group": "invalid named capture",
    "trailing \\": "trailing backslash at end of expression",
}
"""How 1.6.7 says what RE2 says."""


@lru_cache(maxsize=1024)
def check_pattern(pattern: str) -> str | None:
    """What is wrong with a regular expression, in 1.6.7's words; None if it is one."""
    try:
        pc.match_substring_regex(pa.scalar(""), pattern)
    except pa.ArrowInvalid as problem:
        reason = str(problem).removeprefix("Invalid regular expression: ")
        if reason == "trailing \\":
            return f"error parsing regexp: {_GO_TEXTS[reason]}: ``"
        told, _, part = reason.partition(": ")
        return f"error parsing regexp: {_GO_TEXTS.get(told, told)}: `{part}`"
    return None


# -- bound parameters


class Unbound(ValueError):
    """A parameter's value cannot be bound; the text says why."""


def bind(value: object) -> tuple[str, str]:
    """The kind and the value of the token that a bound parameter stands for.

    A JSON number, string or boolean is itself; an object of one member says what its value is: ``identifier`` or
    ``ident``, ``regex``, ``string``, ``float`` or ``number``, ``int`` or ``integer``, ``duration``. Raises Unbound.
    """
    match value:
        case bool():
            return ("TRUE", "TRUE") if value else ("FALSE", "FALSE")
        case int():
            return "INTEGER", str(value)
        case float():
            return "NUMBER", repr(value)
        case str():
            return "STRING", value
        case dict():
            if len(value) != 1:
                raise Unbound("bound object parameter value must have exactly one entry")
            (kind, inner), *_ = value.items()
            return _bind_as(str(kind), inner)
        case None:
            raise Unbound("unable to bind parameter with type <nil>")
        case _:
            raise Unbound("unable to bind parameter with type []interface {}")


def _bind_as(kind: str, value: object) -> tuple[str, str]:
    whole = isinstance(value, int) and not isinstance(value, bool)
    match kind:
        case "identifier" | "ident":
            if isinstance(value, str):
                return "IDENT", value
            raise Unbound("identifier must be a string value")
        case "regex":
            if isinstance(value, str):
                return "REGEX", value
            raise Unbound("regex literal must be a string value")
        case "string":
            if isinstance(value, str):
                return "STRING", value
            raise Unbound("string literal must be a string value")
        case "float" | "number":
            if whole or isinstance(value, float):
                return "NUMBER", str(value)
            raise Unbound("number literal must be a float value")
        case "int" | "integer":
            if whole:
                return "INTEGER", str(value)
            raise Unbound("integer literal must be an integer value")
        case "duration":
            if isinstance(value, str):
                return "LENGTH", value
            if whole:
                return "LENGTH", f"{value}ns"
            raise Unbound("duration literal must be a string or integer value")
        case _:
            raise Unbound(f"unknown bind object type: {kind}")
