"""Line protocol read slowly and plainly: what the kernel must agree with.

One line at a time, one text at a time, with Python's own `float`, `int` and UTF-8. It shares no code
with the kernel and stores nothing in columns.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from rusts.model.series import encode_key
from rusts.model.types import FieldType

__all__ = ["Bad", "Point", "line_end", "read", "read_body"]

Value = float | int | bool | str

MAX_TIME = 9223372036854775806
BOOLEANS = dict.fromkeys((b"t", b"T", b"true", b"True", b"TRUE"), True)
BOOLEANS |= dict.fromkeys((b"f", b"F", b"false", b"False", b"FALSE"), False)
NUMBER = re.compile(rb"(-?)(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
INTEGER = re.compile(rb"-?\d+i")
UNSIGNED = re.compile(rb"\d+u")


@dataclass(frozen=True)
class Point:
    """One good line: where it begins, and what it says. `fields` has a name once for each of its types."""

    start: int
    measurement: str
    tags: dict[str, str]
    fields: dict[tuple[str, FieldType], Value]
    time: int

    @property
    def key(self) -> bytes:
        return encode_key(self.measurement, self.tags)


@dataclass(frozen=True)
class Bad:
    """One bad line: the bytes [start, end), the column of the fault from 1, InfluxDB's reason."""

    start: int
    end: int
    column: int
    reason: str


class Fault(Exception):
    """A fault at byte `at` of the line."""

    def __init__(self, at: int, reason: str) -> None:
        super().__init__(reason)
        self.at = at
        self.reason = reason


def read(buffer: bytes, ends: Sequence[int], units: Sequence[int], now: Sequence[int]) -> tuple[list[Point], list[Bad]]:
    """The points and the bad lines of several bodies, in their order."""
    points: list[Point] = []
    bad: list[Bad] = []
    start = 0
    for end, unit, instant in zip(ends, units, now, strict=True):
        read_body(buffer[:end], start, unit, instant, points, bad)
        start = end
    return points, bad


def read_body(buffer: bytes, start: int, unit: int, now: int, points: list[Point], bad: list[Bad]) -> None:
    """Append what ``buffer[start:]`` has."""
    if buffer.startswith("\ufeff".encode(), start):
        start += 3
    while start < len(buffer):
        newline = line_end(buffer, start)
        end = newline
        if end < len(buffer) and buffer[start:end].endswith(b"\r"):
            end -= 1
        line = buffer[start:end]
        text = line.lstrip(b" \t\0")
        if text and not text.startswith(b"#"):
            try:
                points.append(read_line(line, len(line) - len(text), start, unit, now))
            except Fault as fault:
                bad.append(Bad(start, end, fault.at + 1, fault.reason))
        start = newline + 1


def line_end(buffer: bytes, start: int) -> int:
    """Where the line ends: at a newline that is in no string and behind no backslash, or with the buffer.

    A comment ends at any newline. A string opens at a quote that comes, behind the first unescaped
    space, where there have been more ``=`` than ``,``.
    """
    at = start
    while at < len(buffer) and buffer[at : at + 1] in (b" ", b"\t", b"\0"):
        at += 1
    if buffer[at : at + 1] == b"#":
        newline = buffer.find(b"\n", at)
        return len(buffer) if newline < 0 else newline
    in_fields = in_string = False
    equals = commas = 0
    first = at
    while at < len(buffer):
        byte = buffer[at : at + 1]
        if in_string:
            if byte == b"\\":
                at += 1
            elif byte == b'"':
                in_string = False
        elif at == first or buffer[at - 1 : at] != b"\\":
            if byte == b"\n":
                return at
            if byte == b" ":
                in_fields = True
            elif in_fields and byte == b"=":
                equals += 1
            elif in_fields and byte == b",":
                commas += 1
            elif in_fields and byte == b'"' and equals > commas:
                in_string = True
        at += 1
    return len(buffer)


def read_line(line: bytes, first: int, start: int, unit: int, now: int) -> Point:
    """The point that `line` says; its text begins at `first`. Raises Fault."""
    key_end = find(line, b" ", first)
    measurement, tags = read_key(line, first, key_end)
    check_utf8(line, first, key_end)
    at = skip_blanks(line, key_end)
    fields: dict[tuple[str, FieldType], Value] = {}
    while True:
        begin = at
        at = find(line, b"=, ", at)
        if line[at : at + 1] != b"=":
            raise Fault(at, "invalid field format")
        if at == begin:
            raise Fault(at, "missing field key")
        size = key_end - first + 4 + at - begin
        if size > 65535:
            raise Fault(begin, f"max key length exceeded: {size} > 65535")
        end, kind, value = read_value(line, at + 1)
        check_utf8(line, begin, end)
        fields[unescape(line[begin:at], b',= "'), kind] = text_of(value)
        at = end
        if line[at : at + 1] != b",":
            break
        at += 1
    if at < len(line) and line[at : at + 1] != b" ":
        raise Fault(at, "invalid field format")
    return Point(start, measurement, tags, fields, read_time(line, at, unit, now))


def skip_blanks(line: bytes, at: int) -> int:
    while line[at : at + 1] in (b" ", b"\t", b"\0"):
        at += 1
    return at


def find(line: bytes, wanted: bytes, at: int) -> int:
    """The first byte of `wanted`, at or behind `at`, that no backslash precedes; else the end."""
    while at < len(line):
        if line[at] in wanted and (at == 0 or line[at - 1 : at] != b"\\"):
            return at
        at += 1
    return len(line)


def unescape(text: bytes, escapable: bytes) -> str:
    """`text` without the backslashes before `escapable` bytes."""
    out = b""
    at = 0
    while at < len(text):
        if text[at : at + 1] == b"\\" and at + 1 < len(text) and text[at + 1] in escapable:
            at += 1
        out += text[at : at + 1]
        at += 1
    return out.decode(errors="surrogateescape")


def read_key(line: bytes, first: int, end: int) -> tuple[str, dict[str, str]]:
    """Measurement and tags of ``line[first:end]``."""
    key = line[:end]
    if key[first : first + 1] == b",":
        raise Fault(first, "missing measurement")
    at = find(key, b",", first)
    measurement = unescape(key[first:at], b',= "')
    tags: dict[str, str] = {}
    twice = None
    while at < len(key):
        begin = at + 1
        if key[begin : begin + 1] in (b"", b",", b"="):
            raise Fault(begin, "missing tag key")
        at = find(key, b"=,", begin)
        if key[at : at + 1] != b"=":
            raise Fault(at, "missing tag value")
        name = unescape(key[begin:at], b",= ")
        value = at + 1
        if key[value : value + 1] in (b"", b","):
            raise Fault(value, "missing tag value")
        # InfluxDB lets a value begin with an unescaped "=".
        at = find(key, b"=,", value + 1)
        if key[at : at + 1] == b"=":
            raise Fault(at, "invalid tag format")
        if name in tags and twice is None:
            twice = begin
        tags[name] = unescape(key[value:at], b",= ")
    # InfluxDB looks at the tags together only when fields follow.
    if end == len(line):
        raise Fault(end, "missing fields")
    if twice is not None:
        raise Fault(twice, "duplicate tags")
    if len(key) - first > 65535:
        raise Fault(first, f"max key length exceeded: {len(key) - first} > 65535")
    return measurement, tags


def read_value(line: bytes, at: int) -> tuple[int, FieldType, Value | bytes]:
    """Where the value at `at` ends, its type and itself."""
    if line[at : at + 1] == b'"':
        return read_string(line, at)
    end = min(e for e in (line.find(b",", at), line.find(b" ", at), len(line)) if e >= 0)
    # Behind a backslash InfluxDB joins the next line; no number or boolean has one.
    text = line[at:end]
    if not text:
        raise Fault(at, "missing field value")
    if text[0] in b"-.0123456789nN":
        return end, *read_number(text, at)
    if text not in BOOLEANS:
        raise Fault(at, "invalid boolean")
    return end, FieldType.BOOLEAN, BOOLEANS[text]


def read_string(line: bytes, at: int) -> tuple[int, FieldType, bytes]:
    end = at + 1
    out = b""
    while True:
        byte = line[end : end + 1]
        if byte == b"":
            raise Fault(at, "unbalanced quotes")
        if byte == b'"':
            break
        if byte == b"\\":
            end += 1
            byte = line[end : end + 1]
            if byte == b"":
                raise Fault(at, "unbalanced quotes")
            if byte not in (b'"', b"\\"):
                byte = b"\\" + byte
        out += byte
        end += 1
    end += 1
    if line[end : end + 1] not in (b"", b",", b" "):
        raise Fault(end, "invalid field format")
    return end, FieldType.STRING, out


def read_number(text: bytes, at: int) -> tuple[FieldType, Value]:
    if INTEGER.fullmatch(text):
        integer = int(text[:-1])
        if not -(2**63) <= integer < 2**63:
            digits = text[:-1].decode()[:200]
            raise Fault(
                at, f'unable to parse integer {digits}: strconv.ParseInt: parsing "{digits}": value out of range'
            )
        return FieldType.INTEGER, integer
    if UNSIGNED.fullmatch(text):
        integer = int(text[:-1])
        if integer >= 2**64:
            digits = text[:-1].decode()[:200]
            raise Fault(
                at, f'unable to parse unsigned {digits}: strconv.ParseUint: parsing "{digits}": value out of range'
            )
        return FieldType.UNSIGNED, integer
    if NUMBER.fullmatch(text):
        number = float(text)
        if math.isinf(number):
            raise Fault(at, "invalid float")
        return FieldType.FLOAT, number
    raise Fault(at, number_fault(text))


def number_fault(text: bytes) -> str:
    """InfluxDB's name for a text that is no number: it looks for strange bytes first."""
    plain = re.sub(rb"(?<=[eE])[+-]", b"", text.removeprefix(b"-"))
    if not re.fullmatch(rb"[0-9.eE]*", plain) or plain.count(b".") > 1:
        return "invalid number"
    return "invalid float" if b"e" in plain.lower() else "invalid number"


def read_time(line: bytes, at: int, unit: int, now: int) -> int:
    at = skip_blanks(line, at)
    if at == len(line):
        return now
    match = re.compile(rb"-?\d+(?= |$)").match(line, at)
    if match is None:
        raise Fault(at, "bad timestamp")
    rest = match.end()
    while line[rest : rest + 1] == b" ":
        rest += 1
    if rest < len(line):
        raise Fault(rest, "point is invalid")
    time = int(match.group())
    if not -(2**63) <= time < 2**63:
        text = match.group().decode()[:200]
        raise Fault(at, f'strconv.ParseInt: parsing "{text}": value out of range')
    if unit == 0:
        size = abs(time)
        unit = 10**9 if size < 5 * 10**9 else 10**6 if size < 5 * 10**12 else 10**3 if size < 5 * 10**15 else 1
    if abs(time * unit) > MAX_TIME:
        raise Fault(at, "time outside range -9223372036854775806 - 9223372036854775806")
    return time * unit


def check_utf8(line: bytes, begin: int, end: int) -> None:
    try:
        line[begin:end].decode()
    except UnicodeDecodeError as problem:
        raise Fault(begin + problem.start, "invalid UTF-8") from None


def text_of(value: Value | bytes) -> Value:
    return value.decode() if isinstance(value, bytes) else value
