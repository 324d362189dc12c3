"""Rows of a log record as bytes: column by column, narrowed, and compressed where that helps.

Two ways lead to one layout. A few rows (a client that sends line by line) are copied as they lie in memory:
the work is a handful of calls. Many rows are narrowed by their least and largest value first.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rusts.errors import Bug, Corruption
from rusts.model.batch import Column, Rows, string_buffers
from rusts.model.types import DTYPES, FieldType
from rusts.wal.section import (
    RAW,
    Cursor,
    decode_integers,
    encode_integers,
    narrow,
    pack_section,
    read_integers,
    unpack_section,
)

__all__ = ["RowEncoder", "RowGatherer", "decode_rows"]

_FEW_ROWS: Final = 32  # below it narrowing costs more than the bytes are worth

# Codes and flags beside those of integers.
_BITS: Final = 10
_TEXT: Final = 11
_DELTA: Final = 0x20  # the first value, then differences
_DECIMAL: Final = 0x40  # a byte with a power of ten, then integers: floats times that power
_VALIDITY: Final = 0x80  # a bit per row goes before the values

_POWERS: Final = (1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6)
_DECIMAL_MAX: Final = float(1 << 31)
_INT64: Final = np.dtype("<i8")
_SERIES: Final = np.dtype("<u4")
_BYTE: Final = np.dtype("<u1")

_U8S: Final = struct.Struct("<B")
_U16S: Final = struct.Struct("<H")
_U32S: Final = struct.Struct("<I")
_I64S: Final = struct.Struct("<q")
_U64S: Final = struct.Struct("<Q")

_SHAPES_KEPT: Final = 4096


class _Shape:
    """A measurement and its columns, in order, as they stand before the rows of one batch."""

    __slots__ = ("dtypes", "fields", "has_strings", "measurement", "packed", "raw_codes", "types")

    def __init__(self, measurement: int, fields: Sequence[int], types: Sequence[FieldType]) -> None:
        self.measurement = measurement
        self.fields = tuple(fields)
        self.types = tuple(types)
        # Of series, times and columns where they are stored as they lie in memory; strings never are.
        self.dtypes: list[np.dtype[Any]] = [_SERIES, _INT64, *(DTYPES.get(type, _BYTE) for type in types)]
        self.has_strings = FieldType.STRING in types
        # Series, times, then the columns; all as they lie in memory.
        self.raw_codes = bytes(2 + len(self.fields))
        body = bytearray(_U64S.pack(measurement))
        before = measurement
        for field, type in zip(fields, types, strict=True):
            body.append(type)
            body += _varint(field - before)
            before = field
        self.packed = _U16S.pack(len(self.fields)) + _U32S.pack(len(body)) + bytes(body)


def _varint(number: int) -> bytes:
    """A signed number, zigzag, seven bits a byte, least first."""
    rest = (number << 1) ^ (number >> 127)
    out = bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    rest = shift = 0
    while True:
        if at >= len(data) or shift > 70:
            raise ValueError("a field id is cut off or too long")
        byte = data[at]
        at += 1
        rest |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return (rest >> 1) ^ -(rest & 1), at


_shapes_read: dict[bytes, _Shape] = {}


def _read_shape(cursor: Cursor) -> _Shape:
    (columns,) = cursor.unpack(_U16S)
    body = cursor.take(cursor.count(_U32S, 1))
    shape = _shapes_read.get(body)
    if shape is None:
        inner = Cursor(body)
        (measurement,) = inner.unpack(_U64S)
        fields: list[int] = []
        types: list[FieldType] = []
        before = measurement
        for _ in range(columns):
            (type,) = inner.unpack(_U8S)
            types.append(FieldType(type))
            step, inner.at = _read_varint(body, inner.at)
            before += step
            if not 0 <= before < 1 << 64:
                raise ValueError("a field id does not fit into 64 bits")
            fields.append(before)
        inner.finish()
        if len(set(fields)) != columns:
            raise ValueError("a field stands twice in one batch")
        if len(_shapes_read) >= _SHAPES_KEPT:
            _shapes_read.clear()
        shape = _shapes_read[body] = _Shape(measurement, fields, types)
    if len(shape.fields) != columns:
        raise ValueError("the number of columns does not fit their list")
    return shape


class RowEncoder:
    """Makes the rows sections of one log's records; remembers the shapes that it has met.

    In one log a field id has one type for ever; anything else is a `Bug`.
    """

    __slots__ = ("_shapes",)

    def __init__(self) -> None:
        self._shapes: dict[tuple[int, ...], _Shape] = {}

    def encode(self, batches: Sequence[Rows]) -> bytes:
        """The rows section of a record. Raises ValueError if it would be larger than `MAX_SECTION_BYTES`."""
        parts: list[bytes] = [_U32S.pack(len(batches))]
        for rows in batches:
            if len(rows.times) >= _FEW_ROWS or not self._encode_few(rows, parts):
                self._encode_any(rows, parts)
        return pack_section(b"".join(parts))

    def _shape(self, rows: Rows) -> _Shape:
        key = (rows.measurement, *rows.columns)
        shape = self._shapes.get(key)
        if shape is None:
            if len(self._shapes) >= _SHAPES_KEPT:
                self._shapes.clear()
            shape = _Shape(rows.measurement, key[1:], [column.type for column in rows.columns.values()])
            self._shapes[key] = shape
        return shape

    def _encode_few(self, rows: Rows, parts: list[bytes]) -> bool:
        """Copy the columns as they are; False (and nothing done) if one has nulls or strings."""
        shape = self._shape(rows)
        copied = [rows.series.tobytes(), rows.times.tobytes()]
        for column, type in zip(rows.columns.values(), shape.types, strict=True):
            if column.type is not type:
                raise Bug(f"a column of type {column.type.text} in a field of type {type.text}")
            if column.validity is not None or type is FieldType.STRING:
                return False
            copied.append(column.values.tobytes())
        parts += (shape.packed, shape.raw_codes, _U32S.pack(len(rows.times)))
        parts += copied
        return True

    def _encode_any(self, rows: Rows, parts: list[bytes]) -> None:
        shape = self._shape(rows)
        many = len(rows.times) >= _FEW_ROWS
        codes = bytearray(2)
        data: list[bytes] = []
        if many:
            codes[0] = narrow(rows.series, data)
            codes[1] = _narrow_deltas(rows.times, data)
        else:
            data += (rows.series.tobytes(), rows.times.tobytes())
        for column, type in zip(rows.columns.values(), shape.types, strict=True):
            if column.type is not type:
                raise Bug(f"a column of type {column.type.text} in a field of type {type.text}")
            flags = 0
            if column.validity is not None:
                flags = _VALIDITY
                data.append(np.packbits(column.validity, bitorder="little").tobytes())
            codes.append(_encode_values(column, many, data) | flags)
        parts += (shape.packed, bytes(codes), _U32S.pack(len(rows.times)))
        parts += data


def _encode_values(column: Column, many: bool, data: list[bytes]) -> int:
    """Append the column's values to `data`; returns how they are stored."""
    values = column.values
    if column.type is FieldType.STRING:
        offsets, text = string_buffers(values)
        data += encode_integers(np.diff(offsets))
        data.append(text[offsets[0] : offsets[-1]].tobytes())
        return _TEXT
    if not many:
        data.append(values.tobytes())
        return RAW
    if column.type is FieldType.BOOLEAN:
        data.append(np.packbits(values, bitorder="little").tobytes())
        return _BITS
    if column.type is FieldType.FLOAT:
        decimals = _decimals(values)
        if decimals is not None:
            power, whole = decimals
            data.append(bytes([power]))
            return narrow(whole, data) | _DECIMAL
        data.append(values.tobytes())
        return RAW
    return narrow(values, data)


def _decimals(values: npt.NDArray[np.float64]) -> tuple[int, npt.NDArray[np.int64]] | None:
    """A power p of ten and integers i such that every value is, bit for bit, i / 10**p; None if there are none.

    Measured values are mostly decimals with a few places: as integers they take a quarter of the bytes, and
    less time than LZ4 does. (The idea is that of ALP, Afroozeh, Kuffo and Boncz 2023, at its plainest.)
    """
    power = 0
    scale = _POWERS[0]
    for value in values[:: max(1, len(values) // 8)].tolist():
        if not -_DECIMAL_MAX < value < _DECIMAL_MAX:
            return None
        while round(value * scale) / scale != value:
            power += 1
            if power == len(_POWERS):
                return None
            scale = _POWERS[power]
    limit = _DECIMAL_MAX / scale
    if not (float(values.min()) > -limit and float(values.max()) < limit):
        return None  # a NaN comes here too
    whole = np.rint(values * scale).astype(np.int64)
    if bool(((whole / scale).view(np.int64) != values.view(np.int64)).any()):
        return None  # more places than the probe had, or a negative zero
    return power, whole


def _narrow_deltas(values: npt.NDArray[np.int64], data: list[bytes]) -> int:
    data.append(_I64S.pack(int(values[0])))
    with np.errstate(over="ignore"):
        deltas = values[1:] - values[:-1]
    return narrow(deltas, data) | _DELTA


def decode_rows(section: bytes, path: str, offset: int) -> list[Rows]:
    """What `RowEncoder.encode` was given. Raises Corruption; `path` and `offset` say where the section came from.

    The arrays are read-only.
    """
    try:
        cursor = Cursor(unpack_section(section))
        batches = [_decode_batch(cursor) for _ in range(cursor.count(_U32S, 20))]
        cursor.finish()
    except ValueError as problem:
        raise Corruption(path, offset, f"rows of a record: {problem}") from None
    return batches


class RowGatherer:
    """Puts the rows of many small records together, so that replaying them costs little per record.

    Only batches that were copied as they lie in memory are taken, and one shape per measurement: so the rows of
    a measurement stay in the order in which they were written.
    """

    def __init__(self) -> None:
        self._runs: dict[int, tuple[_Shape, list[list[bytes]]]] = {}
        self.rows = 0
        """How many rows are in it."""

    def take(self, section: bytes, path: str, offset: int) -> bool:
        """Add the rows section of a record; False, and nothing is taken, if it does not fit in here.

        Raises Corruption; `path` and `offset` say where the section came from.
        """
        try:
            cursor = Cursor(unpack_section(section))
            parts = []
            for _ in range(cursor.count(_U32S, 20)):
                shape = _read_shape(cursor)
                run = self._runs.get(shape.measurement)
                if run is not None and run[0] is not shape:
                    return False
                if cursor.take(len(shape.raw_codes)) != shape.raw_codes or shape.has_strings:
                    return False
                parts.append((shape, _take_raw(cursor, shape)))
            cursor.finish()
        except ValueError as problem:
            raise Corruption(path, offset, f"rows of a record: {problem}") from None
        if len(parts) > 1 and len({shape.measurement for shape, _ in parts}) < len(parts):
            return False
        for shape, columns in parts:
            self._runs.setdefault(shape.measurement, (shape, []))[1].append(columns)
            self.rows += len(columns[0]) // _SERIES.itemsize
        return True

    def drain(self) -> list[Rows]:
        """All rows that were taken, a batch per measurement; the gatherer is empty then."""
        batches = []
        for shape, pieces in self._runs.values():
            batches.append(_raw_rows(shape, [b"".join(column) for column in zip(*pieces, strict=True)]))
        self._runs.clear()
        self.rows = 0
        return batches


def _decode_batch(cursor: Cursor) -> Rows:
    shape = _read_shape(cursor)
    codes = cursor.take(2 + len(shape.fields))
    if codes == shape.raw_codes and not shape.has_strings:
        return _raw_rows(shape, _take_raw(cursor, shape))
    (count,) = cursor.unpack(_U32S)
    if count > cursor.left:
        raise ValueError(f"{count} rows in {cursor.left} bytes")
    series = _decode_series(cursor, codes[0], count)
    times = _decode_times(cursor, codes[1], count)
    columns: dict[int, Column] = {}
    for field, type, code in zip(shape.fields, shape.types, codes[2:], strict=True):
        validity = None
        if code & _VALIDITY:
            validity = _read_bits(cursor, count)
        columns[field] = _decode_values(cursor, type, code & ~_VALIDITY, count, validity)
    return Rows(shape.measurement, series, times, columns)


def _take_raw(cursor: Cursor, shape: _Shape) -> list[bytes]:
    """Series, times and columns of a batch of this shape that was copied as it lay in memory, from its count on."""
    (count,) = cursor.unpack(_U32S)
    return [cursor.take(count * dtype.itemsize) for dtype in shape.dtypes]


def _raw_rows(shape: _Shape, parts: Sequence[bytes]) -> Rows:
    series, times, *values = (np.frombuffer(p, dtype=d) for p, d in zip(parts, shape.dtypes, strict=True))
    columns: dict[int, Column] = {}
    for field, type, array in zip(shape.fields, shape.types, values, strict=True):
        columns[field] = Column(type, _as_bools(array) if type is FieldType.BOOLEAN else array)
    return Rows(shape.measurement, series, times, columns)


def _decode_series(cursor: Cursor, code: int, count: int) -> npt.NDArray[np.uint32]:
    if code == RAW:
        return cursor.array(_SERIES, count)
    series = read_integers(cursor, code, count, _INT64)
    if count and (int(series.min()) < 0 or int(series.max()) > 0xFFFFFFFF):
        raise ValueError("a series number does not fit into 32 bits")
    return series.astype(_SERIES)


def _decode_times(cursor: Cursor, code: int, count: int) -> npt.NDArray[np.int64]:
    if not code & _DELTA:
        return read_integers(cursor, code, count, _INT64)
    (first,) = cursor.unpack(_I64S)
    if count == 0:
        raise ValueError("differences between no times")
    times = np.empty(count, dtype=np.int64)
    times[0] = first
    times[1:] = read_integers(cursor, code & ~_DELTA, count - 1, _INT64)
    return np.cumsum(times, out=times)


def _decode_values(
    cursor: Cursor, type: FieldType, code: int, count: int, validity: npt.NDArray[np.bool_] | None
) -> Column:
    if type is FieldType.STRING:
        if code != _TEXT:
            raise ValueError(f"unknown storage {code} of strings")
        return Column(type, _read_strings(cursor, count), validity)
    if type is FieldType.BOOLEAN:
        if code not in (RAW, _BITS):
            raise ValueError(f"unknown storage {code} of booleans")
        values = _read_bits(cursor, count) if code == _BITS else _as_bools(cursor.array(_BYTE, count))
        return Column(type, values, validity)
    if type is FieldType.FLOAT:
        if code == RAW:
            return Column(type, cursor.array(DTYPES[type], count), validity)
        if not code & _DECIMAL:
            raise ValueError(f"unknown storage {code} of floats")
        (power,) = cursor.unpack(_U8S)
        if power >= len(_POWERS):
            raise ValueError(f"unknown power of ten {power}")
        return Column(type, read_integers(cursor, code & ~_DECIMAL, count, _INT64) / _POWERS[power], validity)
    return Column(type, read_integers(cursor, code, count, DTYPES[type]), validity)


def _read_bits(cursor: Cursor, count: int) -> npt.NDArray[np.bool_]:
    packed = np.frombuffer(cursor.take((count + 7) // 8), dtype=np.uint8)
    bits: npt.NDArray[np.uint8] = np.unpackbits(packed, count=count, bitorder="little")
    return bits.view(np.bool_)


def _as_bools(stored: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    # A byte other than 0 and 1 would be no bool for numpy.
    return stored.view(np.uint8).astype(np.bool_)


def _read_strings(cursor: Cursor, count: int) -> pa.LargeStringArray:
    lengths = decode_integers(cursor, count)
    if count and (int(lengths.min()) < 0 or int(lengths.max()) > cursor.left):
        raise ValueError("a string is longer than its section")
    offsets = np.zeros(count + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    text = cursor.take(int(offsets[-1]))
    if not text.isascii():
        text.decode()  # UnicodeDecodeError is a ValueError
        starts = np.frombuffer(text, dtype=np.uint8)[offsets[:-1][lengths > 0]]
        if bool(((starts & 0xC0) == 0x80).any()):
            raise ValueError("a string begins inside a character")
    return pa.LargeStringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(text))
