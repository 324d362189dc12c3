"""Segments: bytes a value, encode and decode speed by data and tier; write, open and directory speed.

Prints one JSON object. Speeds are of one thread, the best of several runs; every decoded column is
compared with what was encoded before anything is reported. `plain_lz4` is the peer: the same column as
an Arrow stream with LZ4 buffers, without our narrowing.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import ipc

from rusts.files import OsFiles
from rusts.model.batch import Column, SeriesRows
from rusts.model.series import KeyTable
from rusts.model.types import FieldType, Stamp
from rusts.segment.encoding import COLD, HOT, EncodingPolicy, decode, decode_validity, encode
from rusts.segment.layout import ChunkFlag, ChunkRecord, SectionInput, SegmentHeader, Tier
from rusts.segment.reader import SegmentReader
from rusts.segment.stats import bits_of, survey
from rusts.segment.writer import write_segment

ROWS = 1 << 16
REPEATS = 15
FILES = OsFiles()
HEADER = SegmentHeader(1, 1, "bench", 1, "autogen", Tier.HOT, 0, 1 << 62, (), Stamp(1), Stamp(2))


def seconds(work: Callable[[], object], repeats: int = REPEATS) -> float:
    """The best of `repeats` runs."""
    best = float("inf")
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - begin)
    return best


def walk(rng: np.random.Generator, rows: int) -> npt.NDArray[np.int64]:
    """TSBS's way to make a percentage: a clamped walk of normal steps, cut to whole numbers."""
    steps = rng.normal(0, 1, rows)
    values = np.empty(rows)
    level = 50.0
    for i, step in enumerate(steps.tolist()):
        level = min(100.0, max(0.0, level + step))
        values[i] = level
    return values.astype(np.int64)


def columns(rng: np.random.Generator) -> dict[str, Column]:
    """One batch of each kind of data."""
    start = 1_700_000_000_000_000_000
    regular = start + 10_000_000_000 * np.arange(ROWS // 8, dtype=np.int64)
    jitter = np.sort(start + rng.integers(0, 7_200_000_000_000, ROWS // 8))
    decimals = np.round(np.clip(np.cumsum(rng.normal(0, 0.3, ROWS)) + 50, 0, 100), 2)
    requests = rng.integers([0, 200], [5_000, 505], (ROWS, 2)).tolist()
    logs = [f"GET /item/{item} {status}" for item, status in requests]
    states = np.array(["running", "stopped", "failed", "ok"])[rng.integers(0, 4, ROWS)]
    return {
        "integers of TSBS": Column(FieldType.INTEGER, walk(rng, ROWS)),
        "integers 0-100 at random": Column(FieldType.INTEGER, rng.integers(0, 101, ROWS)),
        "counters": Column(FieldType.INTEGER, np.cumsum(rng.integers(0, 100_000, ROWS))),
        "floats of two decimals": Column(FieldType.FLOAT, decimals),
        "floats": Column(FieldType.FLOAT, rng.normal(0, 1, ROWS)),
        "floats, a tenth null": Column(FieldType.FLOAT, decimals, rng.random(ROWS) < 0.9),
        "times every 10 s": Column(FieldType.INTEGER, np.tile(regular, 8)),
        "times with jitter": Column(FieldType.INTEGER, np.tile(jitter, 8)),
        "booleans": Column(FieldType.BOOLEAN, rng.integers(0, 2, ROWS).astype(np.bool_)),
        "log lines": Column(FieldType.STRING, pa.array(logs, pa.large_string())),
        "states": Column(FieldType.STRING, pa.array(states.tolist(), pa.large_string())),
    }


def codec(column: Column, policy: EncodingPolicy) -> dict[str, float]:
    """Bytes a value and millions of values a second of one column."""
    known = survey(column)
    chunks = encode(column, known, policy)
    records = [
        ChunkRecord(
            offset=0,
            length=len(memoryview(chunk.data)),
            min=bits_of(known.low),
            max=bits_of(known.high),
            parameter=chunk.parameter,
            crc=0,
            column=0,
            batch=0,
            rows=chunk.rows,
            nulls=chunk.nulls,
            encoding=chunk.encoding,
            version=chunk.version,
            role=chunk.role,
            flags=ChunkFlag.BOUNDED,
        )
        for chunk in chunks
    ]
    parts = [bytes(chunk.data) for chunk in chunks]

    def read() -> Column:
        validity = decode_validity(records[1], parts[1]) if len(parts) > 1 else None
        return decode(column.type, records[0], parts[0], validity)

    found, there = read(), column.valid()
    assert np.array_equal(found.valid(), there)
    if column.type is FieldType.STRING:
        assert found.values.equals(column.values)
    else:
        assert found.values[there].tobytes() == column.values[there].tobytes()
    return {
        "bytes_per_value": round(sum(map(len, parts)) / ROWS, 4),
        "encode_mvalues_s": round(ROWS / seconds(lambda: encode(column, survey(column), policy)) / 1e6, 1),
        "decode_mvalues_s": round(ROWS / seconds(read) / 1e6, 1),
    }


def plain_lz4(column: Column) -> dict[str, float]:
    """The same figures of a plain Arrow stream."""
    values = column.values if column.type is FieldType.STRING else pa.array(column.values)
    batch = pa.record_batch([values], names=["values"])
    options = ipc.IpcWriteOptions(compression="lz4", use_threads=False)

    def write() -> Any:
        sink = pa.BufferOutputStream()
        with ipc.new_stream(sink, batch.schema, options=options) as writer:
            writer.write_batch(batch)
        return sink.getvalue()

    data = write()
    reading = ipc.IpcReadOptions(use_threads=False)
    return {
        "bytes_per_value": round(len(data) / ROWS, 4),
        "encode_mvalues_s": round(ROWS / seconds(write) / 1e6, 1),
        "decode_mvalues_s": round(
            ROWS / seconds(lambda: ipc.open_stream(data, options=reading).read_next_batch()) / 1e6, 1
        ),
    }


def flush(directory: Path, rng: np.random.Generator, policy: EncodingPolicy) -> dict[str, float]:
    """A flush of 700,000 rows of 10 integer fields in 100 series, and reading all of it again."""
    series, rows, fields = 100, 7_000, 10
    base = walk(rng, rows * series)
    given = SeriesRows(
        np.arange(series, dtype=np.uint32),
        np.arange(series + 1, dtype=np.int64) * rows,
        np.tile(1_700_000_000_000_000_000 + 10_000_000_000 * np.arange(rows, dtype=np.int64), series),
        {f: Column(FieldType.INTEGER, np.roll(base, 997 * f)) for f in range(fields)},
    )
    names = [(f, f"usage_{f}", FieldType.INTEGER) for f in range(fields)]
    path = str(directory / "flush.seg")

    def write() -> int:
        return write_segment(FILES, path, HEADER, [SectionInput(1, "cpu", names, [given], keys_of)], policy).bytes

    def read() -> list[Column | None]:
        section = SegmentReader.open(FILES, path).sections[1]
        return [section.column(f, b) for b in range(section.batches) for f in range(fields)]

    size = write()
    found = read()
    assert all(
        np.array_equal(np.concatenate([c.values for c in found[f::fields] if c]), given.columns[f].values)
        for f in range(fields)
    )
    begin = time.process_time()
    write()
    cpu = time.process_time() - begin
    reader = SegmentReader.open(FILES, path)
    return {
        "cpu_seconds": round(cpu, 4),
        "mvalues_s": round(rows * series * fields / cpu / 1e6, 1),
        "bytes_per_value": round(size / (rows * series * fields), 4),
        "read_mvalues_s": round(rows * series * fields / seconds(read, 5) / 1e6, 1),
        "open_us": round(1e6 * seconds(lambda: SegmentReader.open(FILES, path).sections[1]), 1),
        "directory_us": round(1e6 * seconds(reader.sections[1].directory), 1),
        "footer_bytes": len(reader.footer.data),
    }


def keys_of(numbers: npt.NDArray[np.uint32]) -> KeyTable:
    """Canonical keys of one length, made without a loop: ``cpu,host=<8 digits>``."""
    head = b"\x03\0\0\0cpu\x04\0\0\0host\x08\0\0\0"
    digits = numbers[:, None] // 10 ** np.arange(7, -1, -1, dtype=np.uint32) % 10 + ord("0")
    keys = np.empty((len(numbers), len(head) + 8), dtype=np.uint8)
    keys[:, : len(head)] = np.frombuffer(head, dtype=np.uint8)
    keys[:, len(head) :] = digits
    return KeyTable(keys.reshape(-1), np.arange(len(numbers) + 1, dtype=np.int64) * keys.shape[1])


def many_series(directory: Path) -> dict[str, float]:
    """A million series of one row each."""
    count = 1_000_000
    given = SeriesRows(
        np.arange(count, dtype=np.uint32),
        np.arange(count + 1, dtype=np.int64),
        np.full(count, 1_700_000_000_000_000_000, dtype=np.int64),
        {1: Column(FieldType.INTEGER, np.arange(count, dtype=np.int64) % 100)},
    )
    path = str(directory / "many.seg")
    sections = [SectionInput(1, "cpu", [(1, "value", FieldType.INTEGER)], [given], keys_of)]
    begin = time.process_time()
    size = write_segment(FILES, path, HEADER, sections).bytes
    cpu = time.process_time() - begin
    section = SegmentReader.open(FILES, path).sections[1]
    assert np.array_equal(section.series, given.series)
    return {
        "write_cpu_seconds": round(cpu, 3),
        "bytes_per_series": round(size / count, 2),
        "open_us": round(1e6 * seconds(lambda: SegmentReader.open(FILES, path).sections[1]), 1),
        "directory_ms": round(1e3 * seconds(section.directory, 5), 2),
        "keys_ms": round(1e3 * seconds(section.keys, 3), 2),
    }


def many_measurements(directory: Path) -> dict[str, float]:
    """What an agent sends in a minute: 300 measurements of 10 fields, 6 rows each."""
    measurements, fields, rows = 300, 10, 6
    given = SeriesRows(
        np.zeros(1, dtype=np.uint32),
        np.array([0, rows]),
        1_700_000_000_000_000_000 + 10_000_000_000 * np.arange(rows, dtype=np.int64),
        {f: Column(FieldType.FLOAT, np.arange(rows) * 1.5 + f) for f in range(fields)},
    )
    names = [(f, f"field_{f}", FieldType.FLOAT) for f in range(fields)]
    path = str(directory / "small.seg")
    sections = [SectionInput(m, f"measurement_{m}", names, [given], keys_of) for m in range(measurements)]

    def write() -> int:
        return write_segment(FILES, path, HEADER, sections).bytes

    size = write()
    return {
        "write_ms": round(1e3 * seconds(write, 5), 2),
        "bytes_per_value": round(size / (measurements * fields * rows), 2),
        "open_us": round(1e6 * seconds(lambda: SegmentReader.open(FILES, path)), 1),
    }


def main() -> None:
    """Measure everything and print it."""
    rng = np.random.default_rng(7)
    result: dict[str, Any] = {"bench": "segment", "rows_per_chunk": ROWS, "columns": {}}
    for name, column in columns(rng).items():
        result["columns"][name] = {
            "hot": codec(column, HOT),
            "cold": codec(column, COLD),
            "plain_lz4": plain_lz4(column),
        }
    with tempfile.TemporaryDirectory() as directory:
        result["flush_hot"] = flush(Path(directory), rng, HOT)
        result["flush_cold"] = flush(Path(directory), rng, COLD)
        result["million_series"] = many_series(Path(directory))
        result["many_measurements"] = many_measurements(Path(directory))
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
