from __future__ import annotations

import dataclasses
import struct
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import ipc

from rusts.errors import FormatTooNew
from rusts.model.batch import Column, strings_of
from rusts.model.types import FieldType
from rusts.segment.encoding import (
    COLD,
    HOT,
    PACK_ROWS,
    Encoded,
    Encoding,
    EncodingPolicy,
    check_known,
    decode,
    decode_validity,
    encode,
)
from rusts.segment.layout import ChunkFlag, ChunkRecord, ChunkRole
from rusts.segment.stats import Known, bits_of, survey

POLICIES = {"hot": HOT, "cold": COLD, "zstd": dataclasses.replace(HOT, compression="zstd")}
SIZES = (1, 2, 63, 64, PACK_ROWS - 1, PACK_ROWS, 5_000)


def record_of(chunk: Encoded, known: Known) -> ChunkRecord:
    flags = ChunkFlag.BOUNDED if known.low is not None else 0
    return ChunkRecord(
        offset=0,
        length=len(memoryview(chunk.data)),
        min=bits_of(known.low),
        max=bits_of(known.high),
        parameter=chunk.parameter,
        crc=0,
        column=3,
        batch=0,
        rows=chunk.rows,
        nulls=chunk.nulls,
        encoding=chunk.encoding,
        version=chunk.version,
        role=chunk.role,
        flags=flags,
    )


def encoded(column: Column, policy: EncodingPolicy) -> tuple[list[Encoded], Known]:
    known = survey(column)
    return encode(column, known, policy), known


def round_trip(column: Column, policy: EncodingPolicy) -> tuple[Column, list[Encoded]]:
    chunks, known = encoded(column, policy)
    validity = None
    for chunk in chunks[1:]:
        assert chunk.role is ChunkRole.VALIDITY
        validity = decode_validity(record_of(chunk, known), bytes(chunk.data))
    values = chunks[0]
    return decode(column.type, record_of(values, known), bytes(values.data), validity), chunks


def assert_same(found: Column, wanted: Column) -> None:
    """Bit by bit, but for what a null's slot holds."""
    assert found.type is wanted.type
    assert np.array_equal(found.valid(), wanted.valid())
    there = wanted.valid()
    if wanted.type is FieldType.STRING:
        assert isinstance(found.values, pa.LargeStringArray)
        assert found.values.null_count == 0
        assert found.take(there).values.equals(wanted.take(there).values)
        return
    assert found.values.dtype == wanted.values.dtype
    assert found.values[there].tobytes() == wanted.values[there].tobytes()


def samples(rows: int) -> dict[str, Column]:
    rng = np.random.default_rng(rows)
    payload = struct.unpack("<d", struct.pack("<Q", 0x7FF8_0000_DEAD_BEEF))[0]
    special = np.resize(np.array([payload, -0.0, 0.0, np.inf, -np.inf, 5e-324, 1.5, np.nan]), rows)
    words = ["", "ok", "naïve ☃", "x" * 300, "failed"]
    repeated = np.resize(np.arange(len(words)), rows)
    integers = {
        "percent": rng.integers(0, 101, rows),
        "constant": np.full(rows, -7),
        "wide": rng.integers(np.iinfo(np.int64).min, np.iinfo(np.int64).max, rows),
        "extremes": np.resize(np.array([np.iinfo(np.int64).min, np.iinfo(np.int64).max]), rows),
        "times": 1_700_000_000_000_000_000 + 10_000_000_000 * np.arange(rows),
        "counter": np.cumsum(rng.integers(0, 100_000, rows)),
    }
    floats = {
        "special": special,
        "decimals": np.round(rng.normal(50, 20, rows), 2),
        "whole": rng.integers(-500, 500, rows).astype(np.float64),
        "full": rng.normal(0, 1, rows),
        "all nan": np.full(rows, np.nan),
        "huge": np.full(rows, 1.5e300),
        "minus zero among decimals": np.resize(np.array([0.25, -0.0, 0.5]), rows),
    }
    unsigned = {"extremes": np.resize(np.array([0, np.iinfo(np.uint64).max, 1 << 63], dtype=np.uint64), rows)}
    strings = {
        "repeated": [words[i] for i in repeated],
        "distinct": [f"line {i} of a log" for i in range(rows)],
        "empty": [""] * rows,
    }
    return (
        {f"integer {k}": Column(FieldType.INTEGER, v.astype(np.int64)) for k, v in integers.items()}
        | {f"float {k}": Column(FieldType.FLOAT, v) for k, v in floats.items()}
        | {f"unsigned {k}": Column(FieldType.UNSIGNED, v) for k, v in unsigned.items()}
        | {f"string {k}": Column(FieldType.STRING, pa.array(v, pa.large_string())) for k, v in strings.items()}
        | {"boolean": Column(FieldType.BOOLEAN, rng.integers(0, 2, rows).astype(np.bool_))}
    )


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("rows", SIZES)
def test_every_type_comes_back_bit_by_bit(rows: int, policy: str) -> None:
    rng = np.random.default_rng(1)
    for name, column in samples(rows).items():
        found, _ = round_trip(column, POLICIES[policy])
        assert_same(found, column)
        some = Column(column.type, column.values, rng.random(rows) < 0.7)
        if not some.valid().any():
            continue
        found, _ = round_trip(some, POLICIES[policy])
        assert_same(found, some), name


@pytest.mark.parametrize("policy", POLICIES)
def test_a_column_without_values_has_no_chunks(policy: str) -> None:
    for column in samples(100).values():
        nothing = Column(column.type, column.values, np.zeros(100, dtype=np.bool_))
        assert encoded(nothing, POLICIES[policy])[0] == []


def test_a_slice_of_strings_is_encoded_alone() -> None:
    whole = Column(FieldType.STRING, pa.array([f"v{i}" for i in range(10_000)], pa.large_string()))
    for begin, end in ((5, 20), (5_000, 9_000)):
        part = whole.slice(begin, end)
        found, chunks = round_trip(part, HOT)
        assert_same(found, part)
        assert len(memoryview(chunks[0].data)) < 20 * (end - begin) + 400


def test_a_strided_column_is_encoded() -> None:
    column = Column(FieldType.INTEGER, np.arange(20_000, dtype=np.int64)[::2])
    for policy in POLICIES.values():
        assert_same(round_trip(column, policy)[0], column)


def chosen(name: str, policy: EncodingPolicy, rows: int = 5_000) -> list[Encoding]:
    return [chunk.encoding for chunk in encoded(samples(rows)[name], policy)[0]]


def test_which_encoding_is_chosen() -> None:
    assert chosen("integer percent", HOT) == [Encoding.ARROW]
    assert chosen("integer percent", COLD) == [Encoding.PCODEC]
    assert chosen("float full", COLD) == [Encoding.PCODEC]
    assert chosen("unsigned extremes", COLD) == [Encoding.PCODEC]
    assert chosen("boolean", COLD) == [Encoding.ARROW]
    assert chosen("string repeated", COLD) == [Encoding.ARROW]
    assert chosen("integer percent", HOT, 100) == [Encoding.PACK]
    assert chosen("integer percent", COLD, 100) == [Encoding.PCODEC]
    assert chosen("integer percent", COLD, 63) == [Encoding.PACK]


def test_times_have_a_choice_of_their_own() -> None:
    policy = dataclasses.replace(COLD, times=Encoding.ARROW)
    column = samples(5_000)["integer times"]
    assert encode(column, survey(column), policy, times=True)[0].encoding is Encoding.ARROW
    assert encode(column, survey(column), policy)[0].encoding is Encoding.PCODEC


def stored_type(name: str, policy: EncodingPolicy) -> Any:
    chunk = encoded(samples(5_000)[name], policy)[0][0]
    return ipc.open_stream(chunk.data).read_next_batch().column(0).type, chunk.parameter


def test_arrow_columns_are_stored_narrow() -> None:
    assert stored_type("integer percent", HOT) == (pa.uint8(), 1)
    assert stored_type("integer times", HOT) == (pa.uint16(), 10_000_000_000)
    assert stored_type("integer wide", HOT) == (pa.int64(), 0)
    assert stored_type("float decimals", HOT) == (pa.uint16(), 100)
    assert stored_type("float whole", HOT) == (pa.uint16(), 1)
    assert stored_type("float full", HOT) == (pa.float64(), 0)
    assert stored_type("float minus zero among decimals", HOT) == (pa.float64(), 0)
    assert stored_type("string distinct", HOT) == (pa.string(), 0)
    assert stored_type("string repeated", HOT) == (pa.dictionary(pa.int8(), pa.string()), 0)
    assert stored_type("string repeated", COLD) == (pa.dictionary(pa.int8(), pa.string()), 0)
    assert stored_type("string distinct", COLD) == (pa.string(), 0)


def test_nulls_do_not_widen_what_is_stored() -> None:
    values = np.arange(5_000, dtype=np.int64) % 100
    values[::7] = 1 << 60
    validity = np.arange(5_000) % 7 != 0
    column = Column(FieldType.INTEGER, values, validity)
    chunk = encoded(column, HOT)[0][0]
    assert ipc.open_stream(chunk.data).read_next_batch().column(0).type == pa.uint8()


@pytest.mark.parametrize("policy", POLICIES)
def test_wrong_bytes_are_a_value_error(policy: str) -> None:
    rng = np.random.default_rng(5)
    for rows in (100, 5_000):
        for column in samples(rows).values():
            chunks, known = encoded(column, POLICIES[policy])
            record = record_of(chunks[0], known)
            data = bytes(chunks[0].data)
            for bad in (b"", data[:7], data[: len(data) // 2], rng.bytes(len(data))):
                with pytest.raises(ValueError, match=r"."):
                    decode(column.type, record, bad, None)
            with pytest.raises(ValueError, match=r"."):
                decode(column.type, dataclasses.replace(record, rows=2 * rows), data, None)
            with pytest.raises(ValueError, match=r"."):
                decode(column.type, dataclasses.replace(record, nulls=1), data, None)


@pytest.mark.parametrize("rows", [100, 5_000])
def test_the_wrong_type_is_a_value_error(rows: int) -> None:
    columns = samples(rows)
    for name, other in (
        ("string distinct", FieldType.INTEGER),
        ("integer wide", FieldType.FLOAT),
        ("integer wide", FieldType.STRING),
        ("float full", FieldType.BOOLEAN),
        ("boolean", FieldType.FLOAT),
    ):
        chunks, known = encoded(columns[name], HOT)
        with pytest.raises(ValueError, match=r"."):
            decode(other, record_of(chunks[0], known), bytes(chunks[0].data), None)


def test_strings_that_are_no_utf8_are_refused() -> None:
    offsets = np.arange(2_001, dtype=np.int64)
    bad = strings_of(offsets, np.full(2_000, 0xFF, dtype=np.uint8))
    chunks, known = encoded(bad, HOT)
    with pytest.raises(ValueError, match="bad strings"):
        decode(FieldType.STRING, record_of(chunks[0], known), bytes(chunks[0].data), None)


def test_what_a_later_version_encoded_is_refused_by_name() -> None:
    chunks, known = encoded(samples(100)["boolean"], HOT)
    record = record_of(chunks[0], known)
    check_known("x.seg", record)
    for encoding, version in ((Encoding.PACK, 2), (Encoding.GORILLA, 1), (99, 1)):
        with pytest.raises(FormatTooNew, match=rf"x\.seg \(encoding {int(encoding)}\)"):
            check_known("x.seg", dataclasses.replace(record, encoding=int(encoding), version=version))
