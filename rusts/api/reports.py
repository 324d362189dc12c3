"""What of a body was not stored: which lines, where in them, and why.

A `Report` is wordless: each dialect makes its own text of one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rusts.lineprotocol.parser import ERRORS_PER_BODY, Parsed, reason_text
from rusts.model.store import Reject

__all__ = ["LISTED", "LineFault", "Report", "report_bodies"]

LISTED: Final = ERRORS_PER_BODY
"""Lines that a report names; the others are counted."""

_HEAD: Final = 200

_STRIPPED: Final = "field_stripped"
"""The kind of a `Reject` whose points are stored, but for one field."""


@dataclass(frozen=True, slots=True)
class LineFault:
    """One line that was not stored. `line` and `column` (in bytes) count from 1."""

    kind: str
    """``parse``, or the kind of the `Reject`."""
    line: int
    column: int
    reason: str
    message: str
    """The reason as InfluxDB words it, with the line for one that could not be parsed."""
    head: str
    """The line's first bytes."""

    def as_json(self) -> dict[str, Any]:
        """The element of ``lines`` beside ``error``."""
        return {"line": self.line, "column": self.column, "reason": self.reason}


@dataclass(slots=True)
class Report:
    """What of one body was not stored, and how much was."""

    accepted: int = 0
    unparsed: int = 0
    """Lines that could not be parsed; the first `LISTED` of them are in `faults`."""
    faults: list[LineFault] = field(default_factory=list)
    dropped: int = 0
    """Points that were parsed but not stored; the first `LISTED` of them are in `conflicts`."""
    stripped: int = 0
    """Points that were stored without a field that may not be (one called ``time``); `conflicts` lists them too."""
    conflicts: list[LineFault] = field(default_factory=list)
    kinds: dict[str, int] = field(default_factory=dict)
    """Lines by the kind of their fault."""

    def lines(self) -> list[dict[str, Any]]:
        """The lines to list, in the order of the body."""
        both = sorted(self.faults + self.conflicts, key=lambda fault: fault.line)
        return [fault.as_json() for fault in both[:LISTED]]

    def add(self, later: Report, lines_before: int) -> None:
        """Put the report of the next slice of the same body behind this one."""
        self.accepted += later.accepted
        self.unparsed += later.unparsed
        self.dropped += later.dropped
        self.stripped += later.stripped
        for kind, count in later.kinds.items():
            self.kinds[kind] = self.kinds.get(kind, 0) + count
        for mine, theirs in ((self.faults, later.faults), (self.conflicts, later.conflicts)):
            mine += [_moved(fault, lines_before) for fault in theirs[: LISTED - len(mine)]]

    def __bool__(self) -> bool:
        """True if something of the body was not stored."""
        return self.unparsed > 0 or self.dropped > 0 or self.stripped > 0


def _moved(fault: LineFault, lines: int) -> LineFault:
    return LineFault(fault.kind, fault.line + lines, fault.column, fault.reason, fault.message, fault.head)


class _Lines:
    """Line numbers of ascending offsets of one body, counting each byte once."""

    def __init__(self, buffer: bytes, begin: int) -> None:
        self._buffer = buffer
        self._at = begin
        self._line = 1

    def number(self, start: int) -> int:
        self._line += self._buffer.count(b"\n", self._at, start)
        self._at = start
        return self._line


def _head(buffer: bytes, start: int, end: int) -> str:
    stop = buffer.find(b"\n", start, min(end, start + _HEAD))
    return buffer[start : stop if stop >= 0 else min(end, start + _HEAD)].decode("utf-8", "replace")


def _per_body(starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """int64[bodies]: how many of the byte offsets `starts` lie in each body."""
    return np.bincount(np.searchsorted(ends, starts, side="right"), minlength=len(ends)).astype(np.int64)


def report_bodies(buffer: bytes, ends: Sequence[int], parsed: Parsed, rejects: Sequence[Reject]) -> list[Report]:
    """A report for each of the bodies that were parsed together; body i ends at ``buffer[ends[i]]``."""
    bodies = [Report() for _ in ends]
    limits = np.asarray(ends, dtype=np.int64)
    points = np.zeros(len(ends), dtype=np.int64)
    for batch in parsed.batches:
        points += _per_body(batch.starts, limits)
    lines = [_Lines(buffer, begin) for begin in (0, *ends[:-1])]
    for error in sorted(parsed.errors, key=lambda e: e.start):
        i = bisect_right(ends, error.start)
        body = bodies[i]
        if len(body.faults) < LISTED:
            message = reason_text(error, buffer)
            head = _head(buffer, error.start, error.end)
            line = lines[i].number(error.start)
            body.faults.append(LineFault("parse", line, error.column, error.reason, message, head))
    drops = sorted(((int(start), reject) for reject in rejects for start in reject.starts), key=lambda d: d[0])
    lines = [_Lines(buffer, begin) for begin in (0, *ends[:-1])]
    for start, reject in drops:
        i = bisect_right(ends, start)
        body = bodies[i]
        if reject.kind == _STRIPPED:
            body.stripped += 1
        else:
            body.dropped += 1
        body.kinds[reject.kind] = body.kinds.get(reject.kind, 0) + 1
        if len(body.conflicts) < LISTED:
            head = _head(buffer, start, ends[i])
            line = lines[i].number(start)
            body.conflicts.append(LineFault(reject.kind, line, 1, reject.message, reject.message, head))
    for body, count, refused in zip(bodies, points.tolist(), parsed.refused, strict=True):
        body.accepted = count - body.dropped
        body.unparsed = refused
        if refused:
            body.kinds["parse"] = refused
    return bodies
