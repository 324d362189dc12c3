"""What was logged, for tests to look at."""

from __future__ import annotations

import contextlib
import io
import json
import logging as python_logging
from collections.abc import Iterator
from typing import Any

from rusts import logging

__all__ = ["captured_logs"]


@contextlib.contextmanager
def captured_logs() -> Iterator[list[dict[str, Any]]]:
    """The lines said inside, as dicts with ``lvl``, ``msg``, ``room`` and their values; there once it has ended."""
    root = python_logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    lines: list[dict[str, Any]] = []
    logging.configure("json", "trace", stream)
    try:
        yield lines
    finally:
        logging.configure()
        root.handlers[:] = handlers
        root.setLevel(level)
        lines += [json.loads(line) for line in stream.getvalue().splitlines()]
