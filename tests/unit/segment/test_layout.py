from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest

from rusts.errors import Corruption, FormatTooNew
from rusts.segment.layout import (
    CHUNK,
    CHUNK_TABLE,
    FIELD_TABLE,
    SECTION_TABLE,
    ChunkRecord,
    SegmentSummary,
    pack_footer,
    pack_head,
    pack_tail,
    padding,
    parse_footer,
    parse_head,
    parse_tail,
)
from tests.support.segments import header

SUMMARY = SegmentSummary(10, 0, -5, 7, 3)


def footer(**changes: object) -> bytes:
    return pack_footer(
        header(parents=(1 << 63, 5), **changes),
        SUMMARY,
        np.zeros(2, dtype=SECTION_TABLE),
        np.zeros(3, dtype=FIELD_TABLE),
        bytes(4 * CHUNK.size),
        b"names",
    )


def test_sizes_are_those_of_the_format() -> None:
    assert (len(pack_head()), len(pack_tail(16, b""))) == (16, 32)
    assert (CHUNK.size, CHUNK_TABLE.itemsize, SECTION_TABLE.itemsize, FIELD_TABLE.itemsize) == (64, 64, 72, 24)
    assert len(footer()) == 128 + 2 * 8 + 2 * 72 + 3 * 24 + 4 * 64 + len("names") + len("telegraf") + len("autogen")
    assert [padding(n) for n in (0, 1, 7, 8)] == [0, 7, 1, 0]


def test_the_record_and_the_table_are_one_layout() -> None:
    values = [(1 << 64) - i for i in range(1, 6)] + [(1 << 32) - i for i in range(1, 6)] + [250, 251, 252, 253]
    row = np.frombuffer(CHUNK.pack(*values), dtype=CHUNK_TABLE)
    assert row.dtype.names == ChunkRecord.__slots__
    assert list(row.tolist()[0]) == values


def test_a_footer_comes_back() -> None:
    data = footer()
    found = parse_footer("x.seg", 16, data, zlib.crc32(data))
    assert found.header == header(parents=(1 << 63, 5))
    assert (found.rows, found.series, found.min_time, found.max_time) == (10, 3, -5, 7)
    assert (len(found.sections), len(found.fields), len(found.chunks), found.text) == (2, 3, 4, b"names")


@pytest.mark.parametrize(
    ("at", "value", "reason"),
    [(92, 9, "head is wrong"), (93, 9, "head is wrong"), (96, 3, "do not fill"), (104, 255, "do not fill")],
)
def test_a_footer_that_makes_no_sense(at: int, value: int, reason: str) -> None:
    data = bytearray(footer())
    data[at] = value
    with pytest.raises(Corruption, match=reason):
        parse_footer("x.seg", 16, bytes(data), zlib.crc32(data))


def test_a_footer_with_a_wrong_checksum_or_too_short() -> None:
    with pytest.raises(Corruption, match="checksum"):
        parse_footer("x.seg", 16, footer(), 1)
    with pytest.raises(Corruption, match="too short"):
        parse_footer("x.seg", 16, b"abc", zlib.crc32(b"abc"))


def test_heads() -> None:
    parse_head("x.seg", pack_head())
    for bad, reason in (
        (b"", "shorter"),
        (b"X" + pack_head()[1:], "does not begin"),
        (pack_head()[:8] + b"\2" + pack_head()[9:], "checksum"),
    ):
        with pytest.raises(Corruption, match=reason):
            parse_head("x.seg", bad)
    later = pack_head()[:8] + struct.pack("<I", 2)
    with pytest.raises(FormatTooNew):
        parse_head("x.seg", later + struct.pack("<I", zlib.crc32(later)))


def test_tails() -> None:
    tail = pack_tail(24, b"footer")
    assert parse_tail("x.seg", 24 + 6 + 32, tail) == (24, 6, zlib.crc32(b"footer"))
    for size, bad, reason in (
        (40, tail, "shorter"),
        (62, tail[:-1] + b"X", "does not end"),
        (62, b"\1" + tail[1:], "checksum"),
        (63, tail, "not where"),
        (62, pack_tail(25, b"foote"), "not where"),
        (62, pack_tail(8, b"x" * 22), "not where"),
    ):
        with pytest.raises(Corruption, match=reason):
            parse_tail("x.seg", size, bad)
