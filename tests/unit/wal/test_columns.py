"""Rows of a record: what goes in comes out, small where it can be, and bad bytes never do harm."""

from __future__ import annotations

import contextlib
import os
import random
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rusts.errors import Bug, Corruption
from rusts.model.batch import Column, Rows
from rusts.model.types import FieldType
from rusts.wal.columns import RowEncoder, RowGatherer, decode_rows
from rusts.wal.section import Cursor, decode_integers, encode_integers, pack_section, unpack_section
from tests.support.wal import TYPES, plain, rows

PROOF = bool(os.environ.get("RUSTS_PROOF"))
LOW, HIGH = -(1 << 63), (1 << 63) - 1
TOP = (1 << 64) - 1


def trip(*batches: Rows) -> bytes:
    """Encode, decode, compare; returns the section."""
    section = RowEncoder().encode(batches)
    decoded = decode_rows(section, "f", 0)
    assert [plain(b) for b in decoded] == [plain(b) for b in batches]
    return section


def one(values: list[Any], field: int, count: int | None = None) -> Rows:
    count = len(values) if count is None else count
    return rows(7, [n % 3 for n in range(count)], [1000 * n for n in range(count)], {field: values})


@pytest.mark.parametrize("count", [1, 2, 31, 32, 33, 100, 1000])
def test_every_type_at_every_size(count: int) -> None:
    values: dict[int, list[Any]] = {
        101: [n * 0.1 for n in range(count)],
        102: [n - 5 for n in range(count)],
        103: [n * n for n in range(count)],
        104: [n % 3 == 0 for n in range(count)],
        105: [f"text {n}" * (n % 4) for n in range(count)],
    }
    batch = rows(7, [n % 5 for n in range(count)], list(range(count)), values)
    trip(batch)
    holes = {field: [v if n % 7 else None for n, v in enumerate(column)] for field, column in values.items()}
    trip(rows(7, [n % 5 for n in range(count)], list(range(count)), holes), batch)


def test_no_rows_and_no_batches() -> None:
    trip()
    trip(rows(7, [], [], {101: [], 105: []}))
    trip(rows(7, [1], [5], {}))


@pytest.mark.parametrize(
    "values",
    [
        [0, 255],
        [0, 256],
        [0, 65535],
        [0, 65536],
        [0, (1 << 32) - 1],
        [0, 1 << 32],
        [-1, 127],
        [-128, 127],
        [-129, 0],
        [-32768, 32767],
        [-32769, 5],
        [-(1 << 31), (1 << 31) - 1],
        [-(1 << 31) - 1, 0],
        [1 << 40, (1 << 40) + 255],
        [1 << 40, (1 << 40) + 256],
        [-(1 << 40), -(1 << 40) + 70000],
        [LOW, HIGH],
        [LOW, LOW + 3],
        [HIGH - 3, HIGH],
        [5, 5],
    ],
)
def test_integers_at_the_edges_of_each_width(values: list[int]) -> None:
    column = values * 20
    trip(one(column, 102))
    stored = b"".join(encode_integers(np.array(column)))
    assert decode_integers(Cursor(stored), 40).tolist() == column
    if values[0] >= 0:
        trip(one(column, 103))


@pytest.mark.parametrize("values", [[TOP, 0], [TOP, TOP - 3], [1 << 63, (1 << 63) + 9], [(1 << 63) - 1, 1 << 63]])
def test_unsigned_beyond_the_signed(values: list[int]) -> None:
    trip(one(values * 20, 103))


def test_a_narrow_column_takes_one_byte_a_value() -> None:
    base = b"".join(encode_integers(np.arange(100) + (1 << 50)))
    assert len(base) == 1 + 8 + 100
    assert len(b"".join(encode_integers(np.arange(100)))) == 1 + 100


FLOATS = {
    "whole": ([1.0, 2.0, -3.0, 1e9], True),
    "tenths": ([0.1, 0.7, -55.3, 100.0], True),
    "hundredths": ([12.34, 0.01, 99.99, -7.0], True),
    "millionths": ([0.123456, 3.000001], True),
    "seven places": ([0.1234567, 0.5], False),
    "binary": ([1 / 3, 2 / 3], False),
    "negative zero": ([0.0, -0.0], False),
    "not a number": ([1.0, float("nan")], False),
    "infinite": ([1.0, float("inf"), float("-inf")], False),
    "huge": ([1.7e308, 2.0], False),
    "tiny": ([5e-324, 2.0], False),
    "large whole": ([2.0**31, 1.0], False),
    "above 2**53": ([2.0**53 + 2, 1.0], False),
}


@pytest.mark.parametrize("name", FLOATS)
def test_floats_keep_every_bit(name: str) -> None:
    values, decimal = FLOATS[name]
    rng = random.Random(5)
    column = [rng.choice(values) for _ in range(100)] + values
    trip(one(column, 101))
    trip(one(values, 101))
    # Only the last value is odd, where no probe finds it.
    trip(one([1.5] * 200 + values + [1.5], 101))
    code = unpack_section(trip(one(column, 101)))[4 + 6 + 11 + 2]
    assert bool(code & 0x40) is decimal


def test_nan_payloads_survive() -> None:
    bits = np.array([0x7FF8000000000001, 0x7FF0000000000DEF, -1], dtype=np.int64)
    batch = one([0.0] * 3, 101)
    batch.columns[101].values[:] = bits.view(np.float64)
    trip(batch)


def test_times_of_any_shape() -> None:
    for times in ([LOW + 2, HIGH - 1] * 20, [5] * 40, list(range(40, 0, -1)), [n * 10**10 for n in range(100)]):
        count = len(times)
        trip(rows(7, [0] * count, times, {102: list(range(count))}))


def test_regular_times_cost_next_to_nothing() -> None:
    count = 5000
    section = trip(rows(7, [0] * count, [10**18 + n * 10**10 for n in range(count)], {102: [1] * count}))
    assert len(section) < 400


def test_columns_need_not_be_contiguous() -> None:
    batch = one(list(range(200)), 102)
    every_other = Column(FieldType.INTEGER, batch.columns[102].values[::2])
    trip(Rows(7, batch.series[::2], batch.times[::2], {102: every_other}))
    strings = one([f"s{n}" for n in range(100)], 105).columns[105].slice(20, 60)
    trip(Rows(7, batch.series[:40], batch.times[:40], {105: strings}))


def test_one_id_has_one_type() -> None:
    encoder = RowEncoder()
    encoder.encode([one([1], 102)])
    for count in (1, 100):
        with pytest.raises(Bug, match="type float in a field of type integer"):
            encoder.encode([rows(7, [0] * count, [0] * count, {102: [1.0] * count}, {102: FieldType.FLOAT})])


def test_many_shapes_do_not_pile_up() -> None:
    encoder = RowEncoder()
    for n in range(5000):
        trip_section = encoder.encode([rows(n, [0], [0], {n + 200: [1]})])
        if n % 500 == 0:
            assert plain(decode_rows(trip_section, "f", 0)[0])[0] == n
    assert len(encoder._shapes) <= 4096


def test_ids_of_64_bits() -> None:
    top = (1 << 64) - 1
    batch = rows(top, [0xFFFFFFFF], [1], {0: [1], top: [2], 1 << 48: [3], (1 << 48) + 1: [4]})
    trip(batch)
    assert len(RowEncoder().encode([rows(1 << 48, [0], [0], {(1 << 48) + n: [1] for n in range(1, 11)})])) == 147


# -- many small records at once


def test_gathered_rows_stay_in_order() -> None:
    gatherer = RowGatherer()
    encoder = RowEncoder()
    written = [
        [rows(7, [n], [n], {102: [n], 104: [n % 2 > 0]}), rows(8, [n, n], [n, n], {101: [0.5, n]})] for n in range(20)
    ]
    for batches in written:
        assert gatherer.take(encoder.encode(batches), "f", 0)
    assert gatherer.rows == 60
    gathered = [plain(b) for b in gatherer.drain()]
    parts = [[plain(batches[i]) for batches in written] for i in (0, 1)]
    for (measurement, series, times, columns), pieces in zip(gathered, parts, strict=True):
        assert measurement == pieces[0][0]
        assert series == [s for piece in pieces for s in piece[1]]
        assert times == [t for piece in pieces for t in piece[2]]
        for field, (type, values) in columns.items():
            assert values == [v for piece in pieces for v in piece[3][field][1]]
            assert type is TYPES[field]
    assert gatherer.drain() == []
    assert gatherer.rows == 0


@pytest.mark.parametrize(
    "batches",
    [
        [rows(7, [1], [1], {105: ["a"]})],
        [rows(7, [1], [1], {102: [None]})],
        [rows(7, [1] * 100, [1] * 100, {102: [1] * 100})],
        [rows(7, [1], [1], {103: [1]})],
        [rows(7, [1], [1], {102: [1], 103: [1]})],
        [rows(8, [1], [1], {102: [1]}), rows(8, [1], [1], {102: [2]})],
        [rows(8, [1], [1], {102: [1]}), rows(7, [1], [1], {103: [2]})],
    ],
)
def test_what_cannot_be_gathered(batches: list[Rows]) -> None:
    """Strings, nulls, narrowed columns, and a second shape of a measurement: all left as they are."""
    gatherer = RowGatherer()
    encoder = RowEncoder()
    assert gatherer.take(encoder.encode([rows(7, [1], [1], {102: [5]})]), "f", 0)
    assert not gatherer.take(encoder.encode(batches), "f", 0)
    assert gatherer.rows == 1
    assert [plain(b) for b in gatherer.drain()] == [plain(rows(7, [1], [1], {102: [5]}))]


def test_bad_bytes_are_not_gathered() -> None:
    gatherer = RowGatherer()
    section = RowEncoder().encode([rows(7, [1], [1], {102: [5]})])
    for bad in (section[:-1], section + b"x", b"\x07"):
        with pytest.raises(Corruption):
            gatherer.take(bad, "f", 0)
    assert gatherer.rows == 0


# -- sections


def test_small_sections_are_stored_and_large_ones_compressed() -> None:
    assert pack_section(b"x" * 500) == b"\x00" + b"x" * 500
    packed = pack_section(b"x" * 5000)
    assert packed[0] == 1
    assert len(packed) < 60
    assert unpack_section(packed) == b"x" * 5000
    noise = random.Random(1).randbytes(5000)
    assert pack_section(noise) == b"\x00" + noise


@pytest.mark.parametrize(
    ("section", "reason"),
    [
        (b"", "ends inside a number"),
        (b"\x07", "unknown compression"),
        (b"\x01\x00\x00", "ends inside a number"),
        (b"\x01\xff\xff\xff\x3f" + b"x" * 100, "cannot decompress"),
        (b"\x01\x40\x00\x00\x00" + b"\xff" * 30, "LZ4"),
        (pack_section(b"x" * 5000)[:1] + b"\x89\x13\x00\x00" + pack_section(b"x" * 5000)[5:], "came out of LZ4|LZ4"),
    ],
)
def test_bad_sections(section: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        unpack_section(section)


def test_too_large_a_section_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rusts.wal.section.MAX_SECTION_BYTES", 1000)
    with pytest.raises(ValueError, match="larger than"):
        RowEncoder().encode([one(list(range(500)), 102)])


# -- hypothesis

cells: dict[int, st.SearchStrategy[Any]] = {
    101: st.one_of(st.floats(), st.decimals(-1000, 1000, places=2).map(float)),
    102: st.one_of(st.integers(LOW, HIGH), st.integers(-200, 300)),
    103: st.one_of(st.integers(0, TOP), st.integers(0, 300)),
    104: st.booleans(),
    105: st.text(st.characters(exclude_categories=("Cs",)), max_size=8),
}


@st.composite
def batches(draw: st.DrawFn) -> Rows:
    count = draw(st.one_of(st.integers(1, 40), st.integers(30, 70)))
    series = draw(st.lists(st.one_of(st.integers(0, 0xFFFFFFFF), st.integers(0, 50)), min_size=count, max_size=count))
    times = draw(st.lists(st.one_of(st.integers(LOW, HIGH), st.integers(0, 50)), min_size=count, max_size=count))
    fields = draw(st.lists(st.sampled_from(sorted(cells)), unique=True, max_size=5))
    columns = {}
    for field in fields:
        cell = cells[field]
        if draw(st.booleans()):
            cell = st.one_of(st.none(), cell)
        columns[field] = draw(st.lists(cell, min_size=count, max_size=count))
    return rows(draw(st.integers(0, TOP)), series, times, columns)


@settings(max_examples=3000 if PROOF else 80, deadline=None)
@given(st.lists(batches(), max_size=3))
def test_any_rows_come_back(made: list[Rows]) -> None:
    trip(*made)


# -- hostile bytes

SAMPLES = [
    RowEncoder().encode([rows(7, [1, 2], [5, 6], {101: [1.5, 2.5], 102: [1, 2], 104: [True, False]})]),
    RowEncoder().encode([one([None if n % 3 else f"t{n}é" for n in range(40)], 105)]),
    RowEncoder().encode(
        [rows(7, list(range(50)), list(range(50)), {105: ["é"] * 50, **{f: [1, 0] * 25 for f in TYPES if f != 105}})]
    ),
]


@pytest.mark.parametrize("sample", range(len(SAMPLES)))
def test_mutated_rows_are_refused_or_valid(sample: int) -> None:
    """The checksum is passed by: whatever comes out can be used, and little memory is asked for."""
    seed = 20_000 + sample
    rng = random.Random(seed)
    body = unpack_section(SAMPLES[sample])
    refused = 0
    tracemalloc.start()
    for round in range(40_000 if PROOF else 1500):
        mutated = bytearray(body)
        for _ in range(rng.choice((1, 1, 2, 5))):
            kind = rng.random()
            at = rng.randrange(len(mutated)) if mutated else 0
            if kind < 0.6 and mutated:
                mutated[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
            elif kind < 0.8:
                del mutated[at : at + rng.randrange(9)]
            else:
                mutated[at:at] = rng.randbytes(rng.randrange(9))
        try:
            decoded = decode_rows(b"\x00" + bytes(mutated), "f", 3)
        except Corruption as problem:
            assert (problem.file, problem.offset) == ("f", 3)  # noqa: PT017
            refused += 1
            continue
        for batch in decoded:
            assert len(batch.series) == len(batch.times), f"seed {seed} round {round}"
            for column in batch.columns.values():
                assert len(column) == len(batch.times)
                if column.type is FieldType.STRING:
                    column.values.validate(full=True)
            plain(batch)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert refused > 100
    assert peak < 50 << 20


def test_mutated_compressed_rows_are_refused_or_valid() -> None:
    rng = random.Random(7)
    section = RowEncoder().encode([one(list(range(2000)), 102)])
    assert section[0] == 1
    for _ in range(20_000 if PROOF else 1000):
        mutated = bytearray(section)
        mutated[rng.randrange(len(mutated))] = rng.randrange(256)
        with contextlib.suppress(Corruption):
            decode_rows(bytes(mutated), "f", 0)


def batch_bytes(codes: bytes, count: int, data: bytes, types: bytes = b"\x02") -> bytes:
    """One batch of measurement 7, columns 8, 9 … of `types`."""
    shape = (7).to_bytes(8, "little") + b"".join(bytes([type, 2]) for type in types)
    head = len(types).to_bytes(2, "little") + len(shape).to_bytes(4, "little") + shape
    return b"\x00\x01\x00\x00\x00" + head + codes + count.to_bytes(4, "little") + data


@pytest.mark.parametrize(
    ("section", "reason"),
    [
        (b"\x00\xff\xff\xff\xff", "too short for 4294967295 entries"),
        (batch_bytes(b"\0\0\0", 0xFFFFFFFF, b"x" * 20), "were expected"),
        (batch_bytes(b"\1\0\0", 0xFFFFFFFF, b"x" * 20), "4294967295 rows in 20 bytes"),
        (batch_bytes(b"\0\0\0", 2, b"x" * 20), "were expected"),
        (batch_bytes(b"\0\0\0", 1, b"x" * 21), "1 bytes too many"),
        (batch_bytes(b"\x0c\0\0", 1, b"x" * 20), "unknown storage 12 of integers"),
        (batch_bytes(b"\x04\0\0", 1, b"\xff" + b"x" * 16), "32 bits"),
        (batch_bytes(b"\0\0\x0a", 1, b"x" * 20), "unknown storage 10 of integers"),
        (batch_bytes(b"\0\0\x01", 1, b"x" * 20, b"\x01"), "unknown storage 1 of floats"),
        (batch_bytes(b"\0\0\x41", 1, b"x" * 12 + b"\x07\x01", b"\x01"), "power of ten"),
        (batch_bytes(b"\0\0\x01", 1, b"x" * 20, b"\x04"), "unknown storage 1 of booleans"),
        (batch_bytes(b"\0\0\x00", 1, b"x" * 20, b"\x05"), "unknown storage 0 of strings"),
        (batch_bytes(b"\0\0\x0b", 1, b"x" * 12 + b"\x01\x05abcd", b"\x05"), "longer than its section"),
        (batch_bytes(b"\0\0\x0b", 1, b"x" * 12 + b"\x04\xff", b"\x05"), "longer than its section"),
        (batch_bytes(b"\0\0\x0b", 1, b"x" * 12 + b"\x01\x01\xff", b"\x05"), "utf-8"),
        (batch_bytes(b"\0\0\x0b", 2, b"x" * 24 + b"\x01\x01\x01\xc3\xa9", b"\x05"), "inside a character"),
        (batch_bytes(b"\0\0\0", 1, b"x" * 20, b"\x09"), "FieldType"),
        (
            batch_bytes(b"\0\0\0\0", 1, b"x" * 28, b"\x02\x02").replace(b"\x02\x02\x02\x02", b"\x02\x02\x02\x00"),
            "twice",
        ),
        (batch_bytes(b"\0\x21\0", 0, b"x" * 8), "no times"),
    ],
)
def test_bad_rows(section: bytes, reason: str) -> None:
    with pytest.raises(Corruption, match=reason) as caught:
        decode_rows(section, "some.wal", 99)
    assert (caught.value.file, caught.value.offset) == ("some.wal", 99)
