"""Line protocol: bytes to batches and back."""

from __future__ import annotations

from rusts.lineprotocol.parser import ERRORS_PER_BODY, LineError, Parsed, line_number, parse, reason_text, slices
from rusts.lineprotocol.writer import write

__all__ = ["ERRORS_PER_BODY", "LineError", "Parsed", "line_number", "parse", "reason_text", "slices", "write"]
