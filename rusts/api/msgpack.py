"""Answers to InfluxQL as MessagePack: ``{"results": [{"statement_id", "messages", "series", "error"}]}``.

Rows are laid out by numpy, column by column: numbers take nine bytes each, times are InfluxDB's extension type 5
(int64 seconds and uint32 nanoseconds, big-endian) unless the client asks for numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from rusts.api.cells import together
from rusts.api.influxjson import in_unit
from rusts.influxql.results import Frame, StatementResult
from rusts.model.batch import Column, string_buffers
from rusts.model.types import FieldType

__all__ = ["encode_msgpack"]

_ROWS: Final = 1 << 14
"""How many rows are laid out at a time."""
_NIL: Final = 0xC0
_TRUE: Final = 0xC3
_FALSE: Final = 0xC2
_STR32: Final = 0xDB
_MARKS: Final = {FieldType.FLOAT: 0xCB, FieldType.INTEGER: 0xD3, FieldType.UNSIGNED: 0xCF}
_TIME_HEAD: Final = (0xC7, 12, 5)
_SECOND: Final = 1_000_000_000

Bytes = npt.NDArray[np.uint8]


def encode_msgpack(results: Iterable[StatementResult], *, unit: int | None = None) -> Iterator[bytes]:
    """The whole answer. An array says first how long it is, so each statement's series are gathered before they go."""
    return together(_document(results, unit))


def _document(results: Iterable[StatementResult], unit: int | None) -> Iterator[bytes]:
    texts = [_statement(result, unit) for result in results]
    if not texts:
        yield msgspec.msgpack.encode({})
        return
    yield b"\x81" + _text("results") + _length(0x90, 0xDC, len(texts))
    yield from texts


def _statement(result: StatementResult, unit: int | None) -> bytes:
    series: list[_Series] = []
    for frame in result.frames:
        for index, (head, rows, body) in enumerate(_series(frame, unit)):
            if index == 0 and frame.continued and series:
                series[-1].extend(rows, body)
            else:
                series.append(_Series(head, rows, body))
        if frame.cut and series:
            series[-1].cut = True
    if result.error is not None and not series:
        return msgspec.msgpack.encode({"error": result.error})
    told: dict[str, Any] = {"statement_id": result.id}
    if result.messages:
        told["messages"] = [{"level": "warning", "text": message} for message in result.messages]
    members = len(told) + 1 + (result.error is not None)
    encoded = msgspec.msgpack.encode(told)
    tail = b"" if result.error is None else _text("error") + _text(result.error)
    begin = bytes([0x80 | members]) + encoded[1:] + _text("series") + _length(0x90, 0xDC, len(series))
    return begin + b"".join(each.encoded() for each in series) + tail


class _Series:
    """One series while its rows are gathered."""

    def __init__(self, head: dict[str, Any], rows: int, body: bytes) -> None:
        self._head = head
        self._rows = rows
        self._bodies = [body]
        self.cut = False

    def extend(self, rows: int, body: bytes) -> None:
        """More rows of the same series."""
        self._rows += rows
        self._bodies.append(body)

    def encoded(self) -> bytes:
        """The series, whole."""
        head = {**self._head, "partial": True} if self.cut else self._head
        if not self._rows:
            return msgspec.msgpack.encode(head)
        members = msgspec.msgpack.encode(head)[1:]
        begin = bytes([0x80 | (len(head) + 1)]) + members + _text("values") + _length(0x90, 0xDC, self._rows)
        return begin + b"".join(self._bodies)


def _series(frame: Frame, unit: int | None) -> Iterator[tuple[dict[str, Any], int, bytes]]:
    ends, body = _rows(frame, unit)
    starts = frame.starts.tolist()
    for index in range(frame.series):
        head: dict[str, Any] = {"name": frame.name} if frame.name else {}
        if frame.tag_keys:
            head["tags"] = {
                key: tag.values[tag.codes[index]] for key, tag in zip(frame.tag_keys, frame.tags, strict=True)
            }
        head["columns"] = frame.columns
        first, last = starts[index], starts[index + 1]
        yield head, last - first, body[ends[first] : ends[last]]


def _rows(frame: Frame, unit: int | None) -> tuple[npt.NDArray[np.int64], bytes]:
    """All rows as bytes, and where each begins in them: int64[rows + 1]."""
    lengths: list[npt.NDArray[np.int64]] = []
    bodies: list[bytes] = []
    for lo in range(0, len(frame), _ROWS):
        hi = min(len(frame), lo + _ROWS)
        cells = [_cell(column.slice(lo, hi)) for column in frame.cells]
        if frame.times is not None:
            cells.insert(0, _time(frame.times[lo:hi], unit))
        length, body = _interleave(cells, _length(0x90, 0xDC, len(cells)), hi - lo)
        lengths.append(length)
        bodies.append(body)
    ends = np.zeros(len(frame) + 1, dtype=np.int64)
    if lengths:
        np.cumsum(np.concatenate(lengths), out=ends[1:])
    return ends, b"".join(bodies)


class _Cells:
    """The cells of one column as bytes: `head` uint8[rows, width], of which each row has its first `used` bytes, and
    behind these, for strings, the text ``data[offsets[i]:offsets[i + 1]]`` where `texts` is true."""

    def __init__(self, head: Bytes, used: npt.NDArray[np.int64]) -> None:
        self.head = head
        self.used = used
        self.offsets: npt.NDArray[np.int64] | None = None
        self.data: Bytes | None = None

    def lengths(self) -> npt.NDArray[np.int64]:
        """int64[rows]: bytes of each cell."""
        return self.used if self.offsets is None else self.used + np.diff(self.offsets)


def _interleave(cells: Sequence[_Cells], before: bytes, rows: int) -> tuple[npt.NDArray[np.int64], bytes]:
    """Row after row: `before`, then a cell of each column. Returns the bytes of each row, and all rows."""
    lengths = np.stack([cell.lengths() for cell in cells])
    of_row = lengths.sum(axis=0) + len(before)
    out = np.empty(int(of_row.sum()), dtype=np.uint8)
    at = np.cumsum(of_row) - of_row
    for i, byte in enumerate(before):
        out[at + i] = byte
    at += len(before)
    for cell, length in zip(cells, lengths, strict=True):
        for i in range(cell.head.shape[1]):
            within = cell.used > i
            out[at[within] + i] = cell.head[within, i]
        if cell.offsets is not None and cell.data is not None:
            sizes = np.diff(cell.offsets)
            places = np.repeat(at + cell.used - cell.offsets[:-1], sizes) + np.arange(cell.offsets[0], cell.offsets[-1])
            out[places] = cell.data[cell.offsets[0] : cell.offsets[-1]]
        at += length
    return of_row, out.tobytes()


def _time(times: npt.NDArray[np.int64], unit: int | None) -> _Cells:
    if unit is not None:
        return _cell(Column(FieldType.INTEGER, in_unit(times, unit)))
    seconds, ns = np.divmod(times, _SECOND)
    head = np.empty((len(times), 15), dtype=np.uint8)
    head[:, :3] = _TIME_HEAD
    head[:, 3:11] = seconds.astype(">i8").view(np.uint8).reshape(-1, 8)
    head[:, 11:] = ns.astype(">u4").view(np.uint8).reshape(-1, 4)
    return _Cells(head, np.full(len(times), 15, dtype=np.int64))


def _cell(column: Column) -> _Cells:
    rows = len(column)
    valid = column.valid()
    if column.type is FieldType.BOOLEAN:
        head = np.where(valid, np.where(column.values, _TRUE, _FALSE), _NIL).astype(np.uint8)
        return _Cells(head.reshape(-1, 1), np.ones(rows, dtype=np.int64))
    if column.type is FieldType.STRING:
        return _strings(column, valid)
    head = np.empty((rows, 9), dtype=np.uint8)
    head[:, 0] = np.where(valid, _MARKS[column.type], _NIL)
    head[:, 1:] = column.values.astype(column.values.dtype.newbyteorder(">")).view(np.uint8).reshape(-1, 8)
    return _Cells(head, np.where(valid, 9, 1))


def _strings(column: Column, valid: npt.NDArray[np.bool_]) -> _Cells:
    offsets, data = string_buffers(column.values)
    sizes = np.diff(offsets)
    if not valid.all():
        # A cell without a value has no text, whatever its column holds there.
        keep = np.repeat(valid, sizes)
        data = data[offsets[0] : offsets[-1]][keep]
        sizes = np.where(valid, sizes, 0)
        offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(sizes)])
    head = np.empty((len(column), 5), dtype=np.uint8)
    head[:, 0] = np.where(valid, _STR32, _NIL)
    head[:, 1:] = sizes.astype(">u4").view(np.uint8).reshape(-1, 4)
    cells = _Cells(head, np.where(valid, 5, 1))
    cells.offsets, cells.data = offsets, data
    return cells


def _text(text: str) -> bytes:
    return msgspec.msgpack.encode(text)


def _length(small: int, large: int, count: int) -> bytes:
    """The head of an array (or, with their marks, a map) of `count` members."""
    if count < 16:
        return bytes([small | count])
    if count < 1 << 16:
        return bytes([large]) + count.to_bytes(2)
    return bytes([large + 1]) + count.to_bytes(4)
