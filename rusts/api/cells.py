"""What the encoders of answers share: cells as the kernel takes them, JSON's style, pieces of a decent size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from rusts.kernels import numtext
from rusts.model.batch import Column, string_buffers
from rusts.model.types import FieldType

__all__ = ["Style", "cells_of", "quoted", "steps", "together"]

_CELLS: Final = 100_000
"""How many cells are written at a time: about a megabyte of numbers."""
_TEXT: Final = 4 << 20
"""How many bytes of strings are written at a time."""
_PIECE: Final = 256 << 10
"""Pieces below this size are put together."""
_LEVELS: Final = 9


class Style:
    """Line ends and colons, of compact JSON or of JSON indented by four spaces, as Go's MarshalIndent does it."""

    def __init__(self, pretty: bool) -> None:
        self.colon = b": " if pretty else b":"
        self._lines = tuple(b"\n" + b"    " * level if pretty else b"" for level in range(_LEVELS))

    def line(self, level: int) -> bytes:
        """What begins a line indented by `level`."""
        return self._lines[level]

    def object(self, members: Sequence[tuple[bytes, bytes]], level: int) -> bytes:
        """An object that stands at `level`, of names and values in JSON."""
        if not members:
            return b"{}"
        inner = self._lines[level + 1]
        body = b",".join(inner + name + self.colon + value for name, value in members)
        return b"{" + body + self._lines[level] + b"}"

    def array(self, values: Sequence[bytes], level: int) -> bytes:
        """An array that stands at `level`, of values in JSON."""
        if not values:
            return b"[]"
        inner = self._lines[level + 1]
        return b"[" + b",".join(inner + value for value in values) + self._lines[level] + b"]"


def quoted(text: str) -> bytes:
    """`text` as a JSON string, with Go's escapes."""
    return numtext.json_string(text.encode())


def cells_of(columns: Iterable[Column]) -> list[numtext.Cells]:
    """Columns as the kernel takes them."""
    cells: list[numtext.Cells] = []
    for column in columns:
        if column.type is FieldType.STRING:
            offsets, data = string_buffers(column.values)
            cells.append((numtext.STRING, data, column.validity, offsets))
        else:
            cells.append((int(column.type), column.values, column.validity, None))
    return cells


def steps(cells: Sequence[numtext.Cells], rows: int) -> Iterator[tuple[int, int]]:
    """Cut `rows` into ranges whose text is about a megabyte, or a few where strings are long."""
    text = sum(int(offsets[-1] - offsets[0]) for kind, _, _, offsets in cells if kind == numtext.STRING)
    step = max(1, min(_CELLS // len(cells), rows * _TEXT // max(1, text)))
    for start in range(0, rows, step):
        yield start, min(rows, start + step)


def together(parts: Iterator[Any]) -> Iterator[bytes]:
    """Parts of any size (bytes or views of them) as pieces of a decent one."""
    gathered: list[Any] = []
    size = 0
    for part in parts:
        gathered.append(part)
        size += len(part)
        if size >= _PIECE:
            yield b"".join(gathered)
            gathered, size = [], 0
    if gathered:
        yield b"".join(gathered)
