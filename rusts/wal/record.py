"""A record of the log as bytes: file header, record header, names and rows. `FORMAT.md` describes them.

Encoders trust their caller. Decoders trust nothing but the checksums that were compared before.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from rusts.errors import Corruption, FormatTooNew
from rusts.model.batch import Rows
from rusts.model.series import KeyTable
from rusts.model.types import FieldType, Stamp
from rusts.wal.section import Cursor, decode_integers, encode_integers, pack_section, unpack_section

__all__ = [
    "FILE_HEADER_BYTES",
    "MARK",
    "RECORD_HEADER_BYTES",
    "VERSION",
    "FileHeader",
    "LogPosition",
    "NewNames",
    "RecordHeader",
    "WriteRecord",
    "decode_names",
    "encode_names",
    "file_name",
    "file_number",
    "pack_file_header",
    "pack_record_header",
    "unpack_file_header",
    "unpack_record_header",
]

VERSION: Final = 1
"""The newest format version that is known here, and the one that is written."""

KIND_WRITE: Final = 1
"""Rows, and the names that they need."""

MAGIC: Final = b"RUSTSWAL"
MARK: Final = b"\xd7\x52\xec\x4c"
"""Every record begins so; after damage the reader looks for it. No UTF-8 text contains it."""

_FILE_HEADER: Final = struct.Struct("<8sHHIQQQqI")
_RECORD_HEADER: Final = struct.Struct("<4sIBBHIIIIQQQ")
_CHECKED_FROM: Final = 8  # the mark and the checksum itself are not under the checksum
FILE_HEADER_BYTES: Final = 2 * _FILE_HEADER.size
"""Where the first record begins: the header stands there twice."""
RECORD_HEADER_BYTES: Final = _RECORD_HEADER.size

_U32: Final = struct.Struct("<I")
_MEASUREMENT: Final = struct.Struct("<QI")
_FIELD: Final = struct.Struct("<QQBI")
_SERIES: Final = struct.Struct("<QI")
_MASK_32: Final = 0xFFFFFFFF


class LogPosition(NamedTuple):
    """A place in the log: number of the file, byte in it. Later writes have larger positions."""

    file: int
    offset: int


@dataclass(slots=True)
class NewNames:
    """Ids that a record is the first in its file to use, with what they stand for.

    `measurements` (id, name); `fields` (field id, measurement id, name, type); `series` (measurement
    id, numbers uint32[n] ascending, their n canonical keys).
    """

    measurements: list[tuple[int, str]] = field(default_factory=list)
    fields: list[tuple[int, int, str, FieldType]] = field(default_factory=list)
    series: list[tuple[int, npt.NDArray[np.uint32], KeyTable]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.measurements or self.fields or self.series)


@dataclass(slots=True)
class WriteRecord:
    """One write to one database and policy: names as in `NewNames`, then the rows, all at `stamp`."""

    database: int
    policy: int
    stamp: Stamp
    measurements: list[tuple[int, str]]
    fields: list[tuple[int, int, str, FieldType]]
    series: list[tuple[int, npt.NDArray[np.uint32], KeyTable]]
    rows: list[Rows]


class FileHeader(NamedTuple):
    """What a log file says of itself.

    `salt` seeds the checksums of its record headers, so that bytes which a client stored never pass for a record.
    `previous` is the number of the file before it (0: none is known), `previous_end` where that file's
    records end (0: not known, it may end in a torn record). `created` is in ns since the epoch.
    """

    version: int
    salt: int
    number: int
    previous: int
    previous_end: int
    created: int


class RecordHeader(NamedTuple):
    """What stands before the two sections of a record; sizes in bytes."""

    kind: int
    stamp: Stamp
    database: int
    policy: int
    names_size: int
    names_crc: int
    rows_size: int
    rows_crc: int

    @property
    def size(self) -> int:
        """Bytes of the whole record."""
        return RECORD_HEADER_BYTES + self.names_size + self.rows_size


def file_name(number: int) -> str:
    """The name of log file `number`; names sort as numbers do."""
    return f"{number:016d}.wal"


def file_number(name: str) -> int | None:
    """The number in a log file's name, None for another file's."""
    stem = name.removesuffix(".wal")
    return int(stem) if name == f"{stem}.wal" and len(stem) == 16 and stem.isascii() and stem.isdigit() else None


def pack_file_header(header: FileHeader) -> bytes:
    """The first `FILE_HEADER_BYTES` bytes of a log file."""
    _, salt, number, previous, previous_end, created = header
    packed = _FILE_HEADER.pack(MAGIC, header.version, 0, salt, number, previous, previous_end, created, 0)[:-4]
    return (packed + _U32.pack(zlib.crc32(packed))) * 2


def unpack_file_header(data: bytes, path: str, number: int) -> FileHeader:
    """The header of file `number` from its first `FILE_HEADER_BYTES` bytes; either copy will do.

    Raises FormatTooNew, or Corruption if both copies are damaged or cut off.
    """
    for at in (0, _FILE_HEADER.size):
        copy = data[at : at + _FILE_HEADER.size]
        if len(copy) < _FILE_HEADER.size or zlib.crc32(copy[:-4]) != _U32.unpack(copy[-4:])[0]:
            continue
        magic, version, _, salt, found, previous, previous_end, created, _ = _FILE_HEADER.unpack(copy)
        if magic != MAGIC:
            continue
        if version > VERSION:
            raise FormatTooNew(path, version, VERSION)
        if found != number:
            raise Corruption(path, at, f"the header is that of log file {found}")
        return FileHeader(version, salt, found, previous, previous_end, created)
    raise Corruption(path, 0, "the file header is damaged")


def pack_record_header(
    salt: int, offset: int, stamp: Stamp, database: int, policy: int, names: bytes, rows: bytes
) -> bytes:
    """The header of a write record that begins at byte `offset` of a file with `salt`."""
    header = _RECORD_HEADER.pack(
        MARK,
        0,
        KIND_WRITE,
        VERSION,
        stamp.node,
        len(names),
        len(rows),
        zlib.crc32(names),
        zlib.crc32(rows),
        stamp.clock,
        database,
        policy,
    )
    crc = zlib.crc32(header[_CHECKED_FROM:], (salt + offset) & _MASK_32)
    return MARK + _U32.pack(crc) + header[_CHECKED_FROM:]


def unpack_record_header(data: bytes, at: int, path: str, salt: int, offset: int) -> RecordHeader | None:
    """The record header at ``data[at:]``, which is byte `offset` of the file; None if there is no whole one.

    Raises FormatTooNew for a record that a later version wrote.
    """
    if len(data) - at < RECORD_HEADER_BYTES:
        return None
    mark, crc, kind, version, node, names_size, rows_size, names_crc, rows_crc, clock, database, policy = (
        _RECORD_HEADER.unpack_from(data, at)
    )
    if mark != MARK:
        return None
    if zlib.crc32(data[at + _CHECKED_FROM : at + RECORD_HEADER_BYTES], (salt + offset) & _MASK_32) != crc:
        return None
    if version > VERSION or kind != KIND_WRITE:
        raise FormatTooNew(path, max(version, VERSION + 1), VERSION)
    return RecordHeader(kind, Stamp(clock, node), database, policy, names_size, names_crc, rows_size, rows_crc)


def encode_names(names: NewNames) -> bytes:
    """The names section of a record; empty for no names."""
    if not names:
        return b""
    parts: list[bytes] = [_U32.pack(len(names.measurements))]
    for number, name in names.measurements:
        text = name.encode()
        parts += (_MEASUREMENT.pack(number, len(text)), text)
    parts.append(_U32.pack(len(names.fields)))
    for number, measurement, name, type in names.fields:
        text = name.encode()
        parts += (_FIELD.pack(number, measurement, type, len(text)), text)
    parts.append(_U32.pack(len(names.series)))
    for measurement, numbers, keys in names.series:
        parts.append(_SERIES.pack(measurement, len(numbers)))
        parts += encode_integers(numbers)
        parts += encode_integers(np.diff(keys.offsets))
        parts.append(keys.data[: keys.offsets[-1]].tobytes())
    return pack_section(b"".join(parts))


def decode_names(section: bytes, path: str, offset: int) -> NewNames:
    """What `encode_names` was given. Raises Corruption; `path` and `offset` say where the section came from."""
    names = NewNames()
    if not section:
        return names
    try:
        cursor = Cursor(unpack_section(section))
        for _ in range(cursor.count(_U32, _MEASUREMENT.size)):
            number, length = cursor.unpack(_MEASUREMENT)
            names.measurements.append((number, cursor.take(length).decode()))
        for _ in range(cursor.count(_U32, _FIELD.size)):
            number, measurement, type, length = cursor.unpack(_FIELD)
            names.fields.append((number, measurement, cursor.take(length).decode(), FieldType(type)))
        for _ in range(cursor.count(_U32, _SERIES.size)):
            measurement, count = cursor.unpack(_SERIES)
            names.series.append((measurement, *_decode_keys(cursor, count)))
        cursor.finish()
    except ValueError as problem:
        raise Corruption(path, offset, f"names of a record: {problem}") from None
    return names


def _decode_keys(cursor: Cursor, count: int) -> tuple[npt.NDArray[np.uint32], KeyTable]:
    numbers = decode_integers(cursor, count)
    lengths = decode_integers(cursor, count)
    if count and (int(numbers.min()) < 0 or int(numbers.max()) > _MASK_32):
        raise ValueError("a series number does not fit into 32 bits")
    offsets = np.zeros(count + 1, dtype=np.int64)
    if count:
        if int(lengths.min()) < 0 or int(lengths.max()) > cursor.left:
            raise ValueError("a series key is longer than its section")
        np.cumsum(lengths, out=offsets[1:])
    data = np.frombuffer(cursor.take(int(offsets[-1])), dtype=np.uint8)
    return numbers.astype(np.uint32), KeyTable(data, offsets)
