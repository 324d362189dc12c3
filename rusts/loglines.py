"""The forms of a log line: logfmt, JSON, or for a terminal."""

from __future__ import annotations

import contextlib
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

__all__ = ["Lines"]


class Lines:
    """Writes events to a stream as lines; one `write` a line, so that lines of several threads do not mix."""

    def __init__(self, format: str, stream: TextIO) -> None:
        """`format` is auto, json or logfmt; auto is for people on a terminal and logfmt elsewhere."""
        self._stream = stream
        if format == "json":
            self._steps: list[Any] = [
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(default=str),
            ]
        elif format == "auto" and stream.isatty():
            self._steps = [_for_terminal, structlog.dev.ConsoleRenderer(colors=True)]
        else:
            self._steps = [
                structlog.processors.format_exc_info,
                structlog.processors.LogfmtRenderer(bool_as_flag=False),
            ]

    def write(self, event: Any) -> None:
        """Write one event, a dict with ``ts``, ``lvl``, ``msg``, ``room`` and its values."""
        for step in self._steps:
            event = step(None, "", event)
        # A log that cannot be written (a full disk, a closed pipe) must not stop the server.
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(event + "\n")
            self._stream.flush()


def _for_terminal(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The names that structlog's console renderer looks for."""
    renamed = {"timestamp": event.pop("ts"), "level": event.pop("lvl"), "event": event.pop("msg")}
    return {**renamed, "logger": event.pop("room"), **event}
