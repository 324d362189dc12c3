"""Where everything is in a segment file, byte by byte as FORMAT.md says, and what goes into one.

The footer is a few fixed-width tables that numpy reads in place, so opening a segment costs the
same for one section as for thousands: nothing in it is parsed before somebody asks for it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rusts.errors import Corruption, FormatTooNew
from rusts.model.batch import SeriesRows
from rusts.model.series import KeyTable
from rusts.model.types import FieldType, Stamp

__all__ = [
    "ALIGNMENT",
    "BATCH_ROWS",
    "CHUNK",
    "CHUNK_TABLE",
    "CLOCK",
    "FIELD_TABLE",
    "FIRST_FIELD",
    "HEAD_BYTES",
    "KEY_BLOCK",
    "NODE",
    "SECTION_TABLE",
    "STAMP_CLOCK",
    "STAMP_NODE",
    "STATISTICS_ROWS",
    "TAIL_BYTES",
    "TIMES",
    "VERSION",
    "ChunkFlag",
    "ChunkRecord",
    "ChunkRole",
    "Footer",
    "SectionFlag",
    "SectionInput",
    "SegmentHeader",
    "SegmentKind",
    "SegmentSummary",
    "Tier",
    "pack_footer",
    "pack_head",
    "pack_tail",
    "padding",
    "parse_footer",
    "parse_head",
    "parse_tail",
]

VERSION: Final = 1
BATCH_ROWS: Final = 1 << 16
"""Rows of every batch of a section but its last."""

KEY_BLOCK: Final = 1 << 14
"""Series whose keys share one chunk."""

STATISTICS_ROWS: Final = 256
"""Runs of at least this many rows have statistics in the directory."""

ALIGNMENT: Final = 8
HEAD_BYTES: Final = 16
TAIL_BYTES: Final = 32

_HEAD: Final = struct.Struct("<8sII")
_HEAD_MAGIC: Final = b"RUSTSEG\n"
_TAIL: Final = struct.Struct("<QQIII4s")
_TAIL_MAGIC: Final = b"RSEG"
_FOOTER: Final = struct.Struct("<QQQqqqqQQQQHHBBHIIIIIIII")

CHUNK: Final = struct.Struct("<QQQQQIIIIIBBBB")
"""One chunk record, in the order of `ChunkRecord`."""

CHUNK_TABLE: Final = np.dtype(
    [
        ("offset", "<u8"),
        ("length", "<u8"),
        ("min", "<u8"),
        ("max", "<u8"),
        ("parameter", "<u8"),
        ("crc", "<u4"),
        ("column", "<u4"),
        ("batch", "<u4"),
        ("rows", "<u4"),
        ("nulls", "<u4"),
        ("encoding", "u1"),
        ("version", "u1"),
        ("role", "u1"),
        ("flags", "u1"),
    ]
)
SECTION_TABLE: Final = np.dtype(
    [
        ("measurement", "<u8"),
        ("rows", "<u8"),
        ("series", "<u8"),
        ("min_time", "<i8"),
        ("max_time", "<i8"),
        ("name_offset", "<u4"),
        ("name_length", "<u4"),
        ("first_field", "<u4"),
        ("fields", "<u4"),
        ("first_chunk", "<u4"),
        ("chunks", "<u4"),
        ("batch_rows", "<u4"),
        ("flags", "<u4"),
    ]
)
FIELD_TABLE: Final = np.dtype(
    [("id", "<u8"), ("name_offset", "<u4"), ("name_length", "<u4"), ("type", "u1"), ("zero", "u1", 7)]
)

TIMES: Final = 0
CLOCK: Final = 1
NODE: Final = 2
FIRST_FIELD: Final = 3
"""Column numbers of a section: times, the stamps' clocks and nodes, then its fields in order."""

STAMP_CLOCK: Final = -1
STAMP_NODE: Final = -2
"""Keys under which a stamped section's rows carry their stamps (both UNSIGNED columns)."""


class Tier(IntEnum):
    """How a segment is stored. The numbers are on disk."""

    HOT = 1
    COLD = 2


class SegmentKind(IntEnum):
    """What the rows of a segment are. The numbers are on disk."""

    POINTS = 0
    DELETED = 1
    """Series and times of points that a delete by field value hid; sections have no fields."""


class ChunkRole(IntEnum):
    """What a chunk is for. The numbers are on disk."""

    VALUES = 1
    VALIDITY = 2
    DIRECTORY = 3
    KEYS = 4
    STATISTICS = 5
    BLOOM = 6


class ChunkFlag(IntFlag):
    """Flags of a chunk record."""

    BOUNDED = 1
    """`min` and `max` are set."""
    OVERLAPS = 2
    """On times: the batch may hold two rows of one point (of different stamps)."""


class SectionFlag(IntFlag):
    """Flags of a section record."""

    STAMPED = 1
    """Each row has its stamp, in the columns CLOCK and NODE."""


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """What a segment is: ids and names of its database and policy, its partition, where it comes from.

    `start` and `width` are the partition in ns; `parents` the ids of the segments it replaces;
    the stamps bound those of all its rows.
    """

    segment: int
    database: int
    database_name: str
    policy: int
    policy_name: str
    tier: Tier
    start: int
    width: int
    parents: tuple[int, ...]
    min_stamp: Stamp
    max_stamp: Stamp
    kind: SegmentKind = SegmentKind.POINTS


@dataclass(frozen=True, slots=True)
class SectionInput:
    """One measurement's rows for a segment.

    `fields` are (id, name, type). `chunks` are pieces of any size, columns by field id, sorted by
    (series, time) as a whole; a piece may lack a field, and a series may go on in the next piece.
    `keys` gives the canonical keys of series numbers. With `stamped`, each piece has the UNSIGNED
    columns `STAMP_CLOCK` and `STAMP_NODE`, and two rows may be one point.
    """

    measurement: int
    name: str
    fields: list[tuple[int, str, FieldType]]
    chunks: Iterable[SeriesRows]
    keys: Callable[[npt.NDArray[np.uint32]], KeyTable]
    stamped: bool = False


@dataclass(frozen=True, slots=True)
class SegmentSummary:
    """What was written. Without rows `min_time` is 0 and `max_time` is -1."""

    rows: int
    bytes: int
    min_time: int
    max_time: int
    series: int


@dataclass(frozen=True, slots=True)
class ChunkRecord:
    """One line of the chunk table: `CHUNK` unpacked. `min` and `max` are the 64 bits of the value."""

    offset: int
    length: int
    min: int
    max: int
    parameter: int
    crc: int
    column: int
    batch: int
    rows: int
    nulls: int
    encoding: int
    version: int
    role: int
    flags: int


@dataclass(frozen=True, slots=True)
class Footer:
    """A footer whose tables are views of `data`.

    `sections`, `fields` and `chunks` are structured arrays of the dtypes above; `chunk_offset` is
    where the chunk table begins in `data`, for reading single records with `CHUNK`.
    """

    header: SegmentHeader
    rows: int
    series: int
    min_time: int
    max_time: int
    data: bytes
    sections: npt.NDArray[Any]
    fields: npt.NDArray[Any]
    chunks: npt.NDArray[Any]
    chunk_offset: int
    text: bytes


def padding(offset: int) -> int:
    """How many zero bytes follow `offset` until the next chunk may begin."""
    return -offset % ALIGNMENT


def pack_head() -> bytes:
    """The first `HEAD_BYTES` bytes of every segment of this version."""
    head = _HEAD.pack(_HEAD_MAGIC, VERSION, 0)
    return _HEAD.pack(_HEAD_MAGIC, VERSION, zlib.crc32(head[:12]))


def parse_head(file: str, data: bytes) -> None:
    """Check the head. Raises Corruption or FormatTooNew."""
    if len(data) != HEAD_BYTES:
        raise Corruption(file, 0, "shorter than a segment's head")
    magic, version, crc = _HEAD.unpack(data)
    if magic != _HEAD_MAGIC:
        raise Corruption(file, 0, "does not begin as a segment")
    if crc != zlib.crc32(data[:12]):
        raise Corruption(file, 12, "the head's checksum is wrong")
    if version > VERSION:
        raise FormatTooNew(file, version, VERSION)


def pack_tail(footer_offset: int, footer: bytes) -> bytes:
    """The last `TAIL_BYTES` bytes of a segment whose `footer` begins at `footer_offset`."""
    values = footer_offset, len(footer), zlib.crc32(footer), VERSION
    tail = _TAIL.pack(*values, 0, _TAIL_MAGIC)
    return _TAIL.pack(*values, zlib.crc32(tail[:24]), _TAIL_MAGIC)


def parse_tail(file: str, size: int, data: bytes) -> tuple[int, int, int]:
    """Offset, length and CRC of the footer from the last bytes of a file of `size` bytes.

    Raises Corruption or FormatTooNew.
    """
    at = max(size - TAIL_BYTES, 0)
    if size < HEAD_BYTES + TAIL_BYTES or len(data) != TAIL_BYTES:
        raise Corruption(file, 0, "shorter than a segment's head and tail")
    offset, length, footer_crc, version, crc, magic = _TAIL.unpack(data)
    if magic != _TAIL_MAGIC:
        raise Corruption(file, at, "does not end as a segment")
    if crc != zlib.crc32(data[:24]):
        raise Corruption(file, at, "the tail's checksum is wrong")
    if version > VERSION:
        raise FormatTooNew(file, version, VERSION)
    if offset < HEAD_BYTES or offset % ALIGNMENT or offset + length != at:
        raise Corruption(file, at, "the footer is not where the tail says")
    return offset, length, footer_crc


def pack_footer(
    header: SegmentHeader,
    summary: SegmentSummary,
    sections: npt.NDArray[Any],
    fields: npt.NDArray[Any],
    chunks: bytes,
    text: bytes,
) -> bytes:
    """The footer. `text` holds the names of sections and fields at the offsets that their records say."""
    database, policy = header.database_name.encode(), header.policy_name.encode()
    head = _FOOTER.pack(
        header.segment,
        header.database,
        header.policy,
        header.start,
        header.width,
        summary.min_time,
        summary.max_time,
        summary.rows,
        summary.series,
        header.min_stamp.clock,
        header.max_stamp.clock,
        header.min_stamp.node,
        header.max_stamp.node,
        header.tier,
        header.kind,
        0,
        len(header.parents),
        len(sections),
        len(fields),
        len(chunks) // CHUNK.size,
        len(text),
        len(database),
        len(policy),
        0,
    )
    parents = np.array(header.parents, dtype="<u8").tobytes()
    return b"".join((head, parents, sections.tobytes(), fields.tobytes(), chunks, text, database, policy))


def parse_footer(file: str, offset: int, data: bytes, crc: int) -> Footer:
    """The footer whose bytes `data` lie at `offset` of `file`. Raises Corruption."""
    if zlib.crc32(data) != crc:
        raise Corruption(file, offset, "the footer's checksum is wrong")
    if len(data) < _FOOTER.size:
        raise Corruption(file, offset, "the footer is too short")
    (
        segment, database, policy, start, width, min_time, max_time, rows, series,
        min_clock, max_clock, min_node, max_node, tier, kind, _,
        parents, sections, fields, chunks, text, database_name, policy_name, _,
    ) = _FOOTER.unpack_from(data)  # fmt: skip
    parents_at = _FOOTER.size
    sections_at = parents_at + 8 * parents
    fields_at = sections_at + SECTION_TABLE.itemsize * sections
    chunks_at = fields_at + FIELD_TABLE.itemsize * fields
    text_at = chunks_at + CHUNK.size * chunks
    names_at = text_at + text
    policy_at = names_at + database_name
    if policy_at + policy_name != len(data):
        raise Corruption(file, offset, "the footer's tables do not fill it")
    try:
        header = SegmentHeader(
            segment,
            database,
            data[names_at:policy_at].decode(),
            policy,
            data[policy_at:].decode(),
            Tier(tier),
            start,
            width,
            tuple(np.frombuffer(data, "<u8", parents, parents_at).tolist()),
            Stamp(min_clock, min_node),
            Stamp(max_clock, max_node),
            SegmentKind(kind),
        )
    except ValueError as problem:
        raise Corruption(file, offset, f"the footer's head is wrong: {problem}") from None
    return Footer(
        header=header,
        rows=rows,
        series=series,
        min_time=min_time,
        max_time=max_time,
        data=data,
        sections=np.frombuffer(data, SECTION_TABLE, sections, sections_at),
        fields=np.frombuffer(data, FIELD_TABLE, fields, fields_at),
        chunks=np.frombuffer(data, CHUNK_TABLE, chunks, chunks_at),
        chunk_offset=chunks_at,
        text=data[text_at:names_at],
    )
