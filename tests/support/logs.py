"""What was logged, for tests to look at."""

from __future__ import annotations

import contextlib
import io
import json
import logging as python_logging
from collections.abc import Iterator
from typing import Any, TextIO

from rusts import logging

__all__ = ["captured_logs", "configured_logs"]


@contextlib.contextmanager
def configured_logs(level: str, stream: TextIO | None = None) -> Iterator[None]:
    """Log as JSON from this level on, inside; then as before."""
    root = python_logging.getLogger()
    handlers, root_level = root.handlers[:], root.level
    logging.configure("json", level, stream)
    try:
        yield
    finally:
        logging.configure()
        root.handlers[:] = handlers
        root.setLevel(root_level)


@contextlib.contextmanager
def captured_logs() -> Iterator[list[dict[str, Any]]]:
    """The lines said inside, as dicts with ``lvl``, ``msg``, ``room`` and their values; there once it has ended."""
    stream = io.StringIO()
    lines: list[dict[str, Any]] = []
    try:
        with configured_logs("trace", stream):
            yield lines
    finally:
        lines += [json.loads(line) for line in stream.getvalue().splitlines()]
