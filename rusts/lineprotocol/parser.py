"""Line protocol bytes into batches, and what is wrong with the lines that are refused.

The grammar is InfluxDB 1.x's, and InfluxDB 1.6.7 was asked where it leaves something open. Beyond it, a
``\\r`` before a line's newline and a byte order mark at the start of a body are skipped and `u` integers are
accepted; junk behind a closing quote and bytes that are no UTF-8 are refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from rusts.kernels import lineproto
from rusts.model.batch import Batch, Column, strings_of
from rusts.model.series import KeyTable
from rusts.model.types import FieldType

__all__ = ["ERRORS_PER_BODY", "LineError", "Parsed", "line_number", "parse", "reason_text", "slices"]

ERRORS_PER_BODY: Final = lineproto.FAULTS_PER_BODY
"""So many bad lines of a body are described; `Parsed.refused` counts them all."""

_ECHO_BYTES: Final = 200

Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class LineError:
    """Why a line was refused.

    The line is the bytes ``[start, end)`` of the buffer, without its newline; `column` is the byte of it,
    counted from 1, where the fault shows; `reason` is InfluxDB's text.
    """

    start: int
    end: int
    column: int
    reason: str


@dataclass(slots=True)
class Parsed:
    """The points of one buffer.

    `batches`: one for each measurement, in the order of its first good line. `errors`: up to
    `ERRORS_PER_BODY` of each body, ascending. `points`: rows in all batches. `refused`: bad lines of each body.
    """

    batches: list[Batch]
    errors: list[LineError]
    points: int
    refused: list[int]


def parse(
    buffer: Buffer, *, ends: Sequence[int] | None = None, units: Sequence[int] = (1,), now: Sequence[int] = (0,)
) -> Parsed:
    """Parse `buffer`: one body, or several one behind the other.

    `ends`: the offset where each body ends; no line or string goes across one. `units`: for each body the
    nanoseconds of one unit of its timestamps, 0 = by their magnitude (v3's "auto"). `now`: for each body the
    time, in nanoseconds and already cut to the precision, of points without a timestamp. Thread-safe; the GIL
    is released while bytes are read. Raises ValueError when `ends`, `units` and `now` do not fit.

    Memory may reach 60 times the bytes where every line is a measurement of its own (and several
    times that as Python objects): cut what comes from outside with `slices`, up to 2 MiB being fastest.
    """
    measurements, faults, refused, points = lineproto.parse(buffer, ends, units, now)
    batches = [
        Batch(name, KeyTable(keys, offsets), series, times, _columns(fields), starts)
        for name, keys, offsets, series, times, starts, fields in measurements
    ]
    return Parsed(batches, [_error(buffer, *fault) for fault in faults], points, refused)


def slices(buffer: Buffer, target_bytes: int) -> list[int]:
    """Where to cut `buffer` into slices of at most `target_bytes` at line ends, as offsets; the last is its length.

    Lines are those that `parse` sees: a newline inside a string is none. A longer line is a slice of its own.
    """
    return lineproto.cut_points(buffer, target_bytes)


def line_number(buffer: Buffer, start: int) -> int:
    """The number, from 1, of the line of `buffer` that begins at `start`: as an editor counts them."""
    return 1 + int(np.count_nonzero(np.frombuffer(buffer, dtype=np.uint8, count=start) == 0x0A))


def reason_text(error: LineError, buffer: Buffer) -> str:
    """`error` as InfluxDB reports it, with the line cut at 200 bytes."""
    line = bytes(buffer[error.start : error.end]).lstrip(b" \t\0")
    end = len(line)
    if end > _ECHO_BYTES:
        end = _ECHO_BYTES
        while end > _ECHO_BYTES - 4 and line[end] & 0xC0 == 0x80:  # not inside a character
            end -= 1
    text = line[:end].decode(errors="replace") + ("..." if end < len(line) else "")
    return f"unable to parse '{text}': {error.reason}"


def _columns(fields: list[Any]) -> dict[tuple[str, FieldType], Column]:
    columns: dict[tuple[str, FieldType], Column] = {}
    for name, number, values, validity in fields:
        type = _TYPES[number]
        if type is FieldType.STRING:
            values = strings_of(*values).values
        columns[name, type] = Column(type, values, validity)
    return columns


_TYPES: Final = {int(type): type for type in FieldType}

_REASONS: Final = {
    1: "missing measurement",
    2: "missing tag key",
    3: "missing tag value",
    4: "invalid tag format",
    5: "duplicate tags",
    6: "missing fields",
    7: "missing field key",
    8: "missing field value",
    9: "invalid field format",
    10: "invalid number",
    11: "invalid float",
    12: "invalid boolean",
    13: "unbalanced quotes",
    14: "bad timestamp",
    15: "point is invalid",
    17: "time outside range -9223372036854775806 - 9223372036854775806",
    21: "invalid UTF-8",
}

_KEY_TOO_LONG: Final = 16
_OVERFLOWS: Final = {
    18: 'strconv.ParseInt: parsing "{0}": value out of range',
    19: 'unable to parse integer {0}: strconv.ParseInt: parsing "{0}": value out of range',
    20: 'unable to parse unsigned {0}: strconv.ParseUint: parsing "{0}": value out of range',
}


def _error(buffer: Buffer, start: int, end: int, at: int, fault: int, detail: int) -> LineError:
    if fault == _KEY_TOO_LONG:
        reason = f"max key length exceeded: {detail} > 65535"
    elif fault in _OVERFLOWS:
        digits = bytes(buffer[at : min(detail, at + _ECHO_BYTES)]).decode()
        reason = _OVERFLOWS[fault].format(digits)
    else:
        reason = _REASONS[fault]
    return LineError(start, end, at - start + 1, reason)
