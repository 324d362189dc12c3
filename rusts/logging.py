"""Structured logs: one line per event, as logfmt, JSON or for a terminal, with levels per room.

A logger is called by its room, ``get_logger("rusts.wal")``; what is said inside `request_context`
carries the request's correlation id. Lines go to standard error.
"""

from __future__ import annotations

import contextlib
import contextvars
import importlib
import logging
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Protocol, TextIO

if TYPE_CHECKING:
    from rusts.loglines import Lines

__all__ = ["LEVELS", "Log", "configure", "enabled", "get_logger", "parse_levels", "request_context", "request_id"]

LEVELS: Final[dict[str, int]] = {"trace": 5, "debug": 10, "info": 20, "warn": 30, "error": 40}
"""Names of the levels, from the most talkative on, with the numbers that Python's own logging gives them."""

_ALIASES: Final = {"warning": "warn", "err": "error", "critical": "error", "off": "error"}

request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="")
"""The correlation id of the request that is being worked on; empty outside of one."""


class Log(Protocol):
    """What rooms ask of a logger. `event` is a sentence that does not vary; what varies goes in `values`."""

    def trace(self, event: str, **values: Any) -> None:
        """What only a debugging developer wants."""
        ...

    def debug(self, event: str, **values: Any) -> None:
        """What explains one request or one step."""
        ...

    def info(self, event: str, **values: Any) -> None:
        """What an operator wants to know."""
        ...

    def warning(self, event: str, **values: Any) -> None:
        """Something is odd; nothing is lost."""
        ...

    def error(self, event: str, **values: Any) -> None:
        """Something failed."""
        ...

    def exception(self, event: str, **values: Any) -> None:
        """An error, with the exception that is being handled."""
        ...


def parse_levels(text: str) -> dict[str, int]:
    """Thresholds by room of ``info,rusts.wal=debug``; the room "" is everything else. Raises ValueError.

    Rust's form ``rusts::wal=debug`` is read too.
    """
    levels = {"": LEVELS["info"]}
    for part in filter(None, (p.strip() for p in text.split(","))):
        room, equals, word = part.rpartition("=")
        word = _ALIASES.get(word.strip().lower(), word.strip().lower())
        if word not in LEVELS or (equals and not room):
            raise ValueError(f"want {', '.join(reversed(LEVELS))}, or a room and its level as rusts.wal=debug")
        levels[room.strip().replace("::", ".")] = LEVELS[word]
    return levels


class _Rules:
    """The thresholds in force; asked for by room, with the longest prefix winning."""

    def __init__(self) -> None:
        self._levels = {"": LEVELS["info"]}
        self._known: dict[str, int] = {}

    def set(self, levels: dict[str, int]) -> None:
        self._levels, self._known = levels, {}

    def threshold(self, room: str) -> int:
        found = self._known.get(room)
        if found is None:
            prefix = room
            while prefix not in self._levels:
                prefix = prefix.rpartition(".")[0]
            found = self._known[room] = self._levels[prefix]
        return found


_RULES: Final = _Rules()


class _Output:
    """Where lines go, in which form. What forms them is loaded with the first line: a start need not wait for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._format = "auto"
        self._stream: TextIO | None = None
        self._lines: Lines | None = None

    def set(self, format: str, stream: TextIO | None) -> None:
        with self._lock:
            self._format, self._stream, self._lines = format, stream, None

    def write(self, level: str, event: str, room: str, values: dict[str, Any]) -> None:
        """A line: when, how bad, what, where, for which request, then the values."""
        lines = self._lines
        if lines is None:
            with self._lock:
                made = importlib.import_module("rusts.loglines").Lines(self._format, self._stream or sys.stderr)
                lines = self._lines = made
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        line: dict[str, Any] = {"ts": now, "lvl": level, "msg": event, "room": room}
        if correlation := request_id.get():
            line["request_id"] = correlation
        lines.write({**line, **values})


_OUTPUT: Final = _Output()


class _RoomLogger:
    """A `Log` whose threshold is its room's, asked for at each call so that it may change."""

    __slots__ = ("_room",)

    def __init__(self, room: str) -> None:
        self._room = room

    def say(self, level: str, event: str, values: dict[str, Any]) -> None:
        if LEVELS[level] >= _RULES.threshold(self._room):
            _OUTPUT.write(level, event, self._room, values)

    def trace(self, event: str, **values: Any) -> None:
        self.say("trace", event, values)

    def debug(self, event: str, **values: Any) -> None:
        self.say("debug", event, values)

    def info(self, event: str, **values: Any) -> None:
        self.say("info", event, values)

    def warning(self, event: str, **values: Any) -> None:
        self.say("warn", event, values)

    def error(self, event: str, **values: Any) -> None:
        self.say("error", event, values)

    def exception(self, event: str, **values: Any) -> None:
        self.say("error", event, {"exc_info": True, **values})


class _Forward(logging.Handler):
    """Hands what libraries say through Python's logging to ours."""

    def emit(self, record: logging.LogRecord) -> None:
        level = max(
            (name for name, n in LEVELS.items() if n <= record.levelno), key=LEVELS.__getitem__, default="trace"
        )
        values: dict[str, Any] = {"exc_info": record.exc_info} if record.exc_info else {}
        _RoomLogger(record.name).say(level, record.getMessage(), values)


def enabled(room: str, level: str) -> bool:
    """True if the room says what it has to say at `level`: for texts that cost something to make."""
    return LEVELS[level] >= _RULES.threshold(room)


def get_logger(room: str) -> Log:
    """The logger of a room, such as ``rusts.wal``. Cheap, and may be asked for before `configure`."""
    return _RoomLogger(room)


def configure(format: str = "auto", level: str = "info", stream: TextIO | None = None) -> None:
    """Set the form and the thresholds of every logger.

    `format` is auto, json or logfmt; auto is for people on a terminal and logfmt elsewhere. `level` is
    what `parse_levels` reads. `stream` is standard error unless it is given.
    """
    _RULES.set(parse_levels(level))
    _OUTPUT.set(format, stream)
    # What libraries say goes the same way.
    root = logging.getLogger()
    root.handlers[:] = [_Forward()]
    root.setLevel(LEVELS["trace"])


@contextlib.contextmanager
def request_context(correlation: str) -> Iterator[None]:
    """Lines said inside carry `correlation` as their request id."""
    token = request_id.set(correlation)
    try:
        yield
    finally:
        request_id.reset(token)
