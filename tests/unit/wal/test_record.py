"""Headers and names of records: a round trip, every damaged byte noticed, hostile bytes refused."""

from __future__ import annotations

import os
import random
import zlib

import numpy as np
import pytest

from rusts.errors import Corruption, FormatTooNew
from rusts.model.series import KeyTable
from rusts.model.types import FieldType, Stamp
from rusts.wal.record import (
    FILE_HEADER_BYTES,
    MARK,
    RECORD_HEADER_BYTES,
    VERSION,
    FileHeader,
    NewNames,
    decode_names,
    encode_names,
    file_name,
    file_number,
    pack_file_header,
    pack_record_header,
    unpack_file_header,
    unpack_record_header,
)
from rusts.wal.section import pack_section, unpack_section

PROOF = bool(os.environ.get("RUSTS_PROOF"))
FILE = FileHeader(VERSION, 0xDEADBEEF, 17, 15, 4711, 1_700_000_000_000_000_000)
STAMP = Stamp((1 << 64) - 2, 65535)


def test_names_of_files_sort_as_numbers() -> None:
    assert file_name(17) == "0000000000000017.wal"
    assert [file_number(file_name(n)) for n in (0, 17, 10**15)] == [0, 17, 10**15]
    for other in (
        "17.wal",
        "0000000000000017.wal.tmp",
        "000000000000001x.wal",
        "0000000000000017",
        "x",
        "+000000000000017.wal",
    ):
        assert file_number(other) is None


def test_file_header() -> None:
    packed = pack_file_header(FILE)
    assert len(packed) == FILE_HEADER_BYTES
    assert unpack_file_header(packed, "f", 17) == FILE
    assert unpack_file_header(packed + b"more", "f", 17) == FILE


def test_either_copy_of_the_file_header_will_do() -> None:
    packed = pack_file_header(FILE)
    half = FILE_HEADER_BYTES // 2
    for at in range(FILE_HEADER_BYTES):
        broken = bytearray(packed)
        broken[at] ^= 0x40
        assert unpack_file_header(bytes(broken), "f", 17) == FILE
        broken[(at + half) % FILE_HEADER_BYTES] ^= 0x40
        with pytest.raises(Corruption, match="header is damaged"):
            unpack_file_header(bytes(broken), "f", 17)
    assert unpack_file_header(packed[:half], "f", 17) == FILE
    with pytest.raises(Corruption):
        unpack_file_header(packed[: half - 1], "f", 17)


def test_a_file_under_another_name_is_noticed() -> None:
    with pytest.raises(Corruption, match="that of log file 17"):
        unpack_file_header(pack_file_header(FILE), "f", 18)


def test_a_later_file_version_is_refused() -> None:
    with pytest.raises(FormatTooNew) as caught:
        unpack_file_header(pack_file_header(FILE._replace(version=VERSION + 1)), "f", 17)
    assert (caught.value.file, caught.value.version, caught.value.known) == ("f", VERSION + 1, VERSION)


def header(offset: int = 1000, names: bytes = b"nn", rows: bytes = b"rrr") -> bytes:
    return pack_record_header(FILE.salt, offset, STAMP, (1 << 64) - 1, 5, names, rows)


def test_record_header() -> None:
    packed = header()
    assert len(packed) == RECORD_HEADER_BYTES
    assert packed.startswith(MARK)
    found = unpack_record_header(b"xx" + packed + b"yy", 2, "f", FILE.salt, 1000)
    assert found is not None
    assert (found.stamp, found.database, found.policy) == (STAMP, (1 << 64) - 1, 5)
    assert (found.names_size, found.rows_size, found.size) == (2, 3, RECORD_HEADER_BYTES + 5)
    assert (found.names_crc, found.rows_crc) == (zlib.crc32(b"nn"), zlib.crc32(b"rrr"))


def test_every_flipped_bit_of_a_record_header_is_noticed() -> None:
    packed = header()
    for at in range(len(packed)):
        for bit in range(8):
            broken = bytearray(packed)
            broken[at] ^= 1 << bit
            assert unpack_record_header(bytes(broken), 0, "f", FILE.salt, 1000) is None


def test_a_header_counts_in_its_own_place_only() -> None:
    packed = header()
    assert unpack_record_header(packed, 0, "f", FILE.salt, 1001) is None
    assert unpack_record_header(packed, 0, "f", FILE.salt ^ 1, 1000) is None
    assert unpack_record_header(packed[:-1], 0, "f", FILE.salt, 1000) is None


def sealed(packed: bytes) -> bytes:
    """With the checksum made right again."""
    return MARK + zlib.crc32(packed[8:], (FILE.salt + 1000) & 0xFFFFFFFF).to_bytes(4, "little") + packed[8:]


def test_later_kinds_and_versions_are_refused() -> None:
    packed = header()
    assert sealed(packed) == packed
    for at, value, version in ((8, 2, VERSION + 1), (9, VERSION + 3, VERSION + 3)):
        later = bytearray(packed)
        later[at] = value
        with pytest.raises(FormatTooNew) as caught:
            unpack_record_header(sealed(bytes(later)), 0, "f", FILE.salt, 1000)
        assert caught.value.version == version


def names() -> NewNames:
    many = KeyTable.of([b"k%d" % n * (n % 5) for n in range(100)])
    ends = np.array([0, 0xFFFFFFFF], dtype=np.uint32)
    return NewNames(
        [(1, "cpu"), ((1 << 64) - 1, "größe" * 50)],
        [(3, 1, "usage", FieldType.INTEGER), (4, 1, "", FieldType.STRING)],
        [(1, np.arange(1000, 1100, dtype=np.uint32), many), (9, ends, KeyTable.of([b"", b"x"]))],
    )


def as_plain(found: NewNames) -> tuple[object, ...]:
    series = [(m, n.tolist(), [keys[i] for i in range(len(keys))]) for m, n, keys in found.series]
    return found.measurements, found.fields, series


def test_names() -> None:
    section = encode_names(names())
    found = decode_names(section, "f", 0)
    assert as_plain(found) == as_plain(names())
    assert found.series[0][1].dtype == np.uint32
    assert encode_names(NewNames()) == b""
    assert not decode_names(b"", "f", 0)


def test_names_with_series_only_and_none_of_them() -> None:
    only = NewNames([], [], [(5, np.array([], np.uint32), KeyTable.of([]))])
    assert as_plain(decode_names(encode_names(only), "f", 0)) == as_plain(only)


def test_keys_need_not_be_all_of_their_buffer() -> None:
    table = KeyTable(np.frombuffer(b"abcdef", np.uint8), np.array([0, 2, 4], dtype=np.int64))
    section = encode_names(NewNames([], [], [(5, np.array([1, 2], np.uint32), table)]))
    assert as_plain(decode_names(section, "f", 0))[2] == [(5, [1, 2], [b"ab", b"cd"])]


def test_a_million_keys_compress() -> None:
    count = 20_000
    keys = KeyTable.of([b"\x03\x00\x00\x00cpu\x04\x00\x00\x00host\x08\x00\x00\x00%08d" % n for n in range(count)])
    section = encode_names(NewNames([], [], [(1, np.arange(count, dtype=np.uint32), keys)]))
    assert len(section) < 12 * count
    assert as_plain(decode_names(section, "f", 0))[2] == [(1, list(range(count)), [keys[i] for i in range(count)])]


def test_mutated_names_are_refused_or_valid() -> None:
    seed = 31
    rng = random.Random(seed)
    body = unpack_section(encode_names(names()))
    refused = 0
    for round in range(50_000 if PROOF else 3000):
        mutated = bytearray(body)
        for _ in range(rng.choice((1, 2, 4))):
            at = rng.randrange(len(mutated))
            if rng.random() < 0.7:
                mutated[at] = rng.choice((0, 1, 0x7F, 0xFF, rng.randrange(256)))
            else:
                del mutated[at : at + rng.randrange(20)]
        try:
            found = decode_names(pack_section(bytes(mutated)), "f", 5)
        except Corruption as problem:
            assert problem.offset == 5  # noqa: PT017
            refused += 1
            continue
        for _, numbers, keys in found.series:
            assert len(numbers) == len(keys), f"seed {seed} round {round}"
            assert int(keys.offsets[-1]) == len(keys.data)
    assert refused > 100
