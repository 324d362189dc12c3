"""Whatever rows are written to a segment are read back, bit by bit, and what is said of them is true."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from rusts.files import OsFiles
from rusts.model.batch import Column, SeriesRows
from rusts.model.types import DTYPES, FieldType
from rusts.segment import writer
from rusts.segment.cache import ColumnCache
from rusts.segment.encoding import COLD, HOT
from rusts.segment.reader import Section, SegmentReader
from tests.support.segments import cut_rows, keys, section_of, write

EXAMPLES = 20_000 if os.environ.get("RUSTS_PROOF") else 250

WORDS = ["", "ok", "é☃", "failed", "x" * 200]
SPECIAL = {
    FieldType.FLOAT: np.array(
        [0x8000000000000000, 0x7FF8000000000001, 0xFFF0000000000000, 0x7FEFFFFFFFFFFFFF, 1, 0x3FF8000000000000],
        dtype=np.uint64,
    ),
    FieldType.INTEGER: np.array([0, 1, 1 << 63, (1 << 63) - 1, (1 << 64) - 1], dtype=np.uint64),
    FieldType.UNSIGNED: np.array([0, 1, 1 << 63, (1 << 64) - 1], dtype=np.uint64),
}


@dataclass(frozen=True)
class Shape:
    """How the rows of one example come about; everything else follows from the seed."""

    seed: int
    runs: list[int]
    types: list[FieldType]
    flavour: str
    nulls: float
    cuts: list[int]
    batch_rows: int
    cold: bool


shapes = st.builds(
    Shape,
    seed=st.integers(0, 1 << 30),
    runs=st.lists(st.one_of(st.integers(1, 5), st.integers(250, 700)), min_size=1, max_size=7),
    types=st.lists(st.sampled_from(list(FieldType)), max_size=4),
    flavour=st.sampled_from(["small", "special", "any", "decimal", "constant"]),
    nulls=st.sampled_from([0.0, 0.0, 0.02, 0.5, 0.999]),
    cuts=st.lists(st.integers(1, 2_000), max_size=4),
    batch_rows=st.sampled_from([100, 256, 1_500, 1 << 16]),
    cold=st.booleans(),
)


def values_of(rng: np.random.Generator, type: FieldType, flavour: str, rows: int) -> Any:
    if type is FieldType.STRING:
        distinct = WORDS if flavour == "small" else [rng.bytes(6).hex() for _ in range(50)]
        return pa.array([distinct[i] for i in rng.integers(0, len(distinct), rows)], pa.large_string())
    if type is FieldType.BOOLEAN:
        return rng.integers(0, 2, rows).astype(np.bool_)
    dtype = DTYPES[type]
    if flavour == "special":
        return rng.choice(SPECIAL[type], rows).view(dtype)
    if flavour == "any":
        return np.frombuffer(rng.bytes(8 * rows), dtype=dtype)
    if flavour == "constant":
        return np.full(rows, 42, dtype=dtype)
    if flavour == "decimal" and type is FieldType.FLOAT:
        return np.round(rng.normal(0, 1_000, rows), int(rng.integers(0, 5)))
    return (rng.integers(0, 1_000, rows) * int(rng.integers(1, 10_000))).astype(dtype)


def rows_of(shape: Shape) -> SeriesRows:
    rng = np.random.default_rng(shape.seed)
    starts = np.append(0, np.cumsum(shape.runs)).astype(np.int64)
    rows = int(starts[-1])
    step = int(rng.choice([1, 1_000_000_000, 10_000_000_000]))
    times = np.concatenate([np.sort(rng.choice(4 * n, n, replace=False)) for n in shape.runs]).astype(np.int64)
    series = np.sort(rng.choice(1 << 32, len(shape.runs), replace=False)).astype(np.uint32)
    columns = {}
    for id, type in enumerate(shape.types):
        validity = rng.random(rows) >= shape.nulls if shape.nulls else None
        columns[id] = Column(type, values_of(rng, type, shape.flavour, rows), validity)
    return SeriesRows(series, starts, times * step + int(rng.integers(-(1 << 40), 1 << 40)), columns)


def test_segments_give_back_what_they_were_given(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path_factory.mktemp("segments") / "1.seg")

    @settings(max_examples=EXAMPLES, deadline=None, print_blob=True)
    @given(shapes)
    def check(shape: Shape) -> None:
        rows = rows_of(shape)
        note(f"{len(rows)} rows")
        monkeypatch.setattr(writer, "BATCH_ROWS", shape.batch_rows)
        fields = [(id, f"f{id}", type) for id, type in enumerate(shape.types)]
        write(path, [section_of(cut_rows(rows, shape.cuts), fields)], COLD if shape.cold else HOT)
        reader = SegmentReader.open(OsFiles(), path, ColumnCache(1 << 20))
        section = reader.sections[7]
        check_rows(section, rows, shape.batch_rows)
        for id in rows.columns:
            check_chunk_stats(section, id, rows)
            check_run_stats(section, id, rows)
        assert reader.verify() == []
        reader.close()

    check()


def check_rows(section: Section, rows: SeriesRows, batch_rows: int) -> None:
    assert section.batch_rows == batch_rows
    assert section.rows == len(rows)
    assert np.array_equal(section.series, rows.series)
    assert np.array_equal(section.starts, rows.starts)
    assert np.array_equal(section.directory().low, rows.times[rows.starts[:-1]])
    assert np.array_equal(section.directory().high, rows.times[rows.starts[1:] - 1])
    numbers, table = section.keys()
    assert numbers is section.series
    wanted_keys = keys(rows.series)
    assert np.array_equal(table.offsets, wanted_keys.offsets)
    assert np.array_equal(table.data, wanted_keys.data)
    for batch in range(section.batches):
        cut = slice(batch * batch_rows, min(len(rows), (batch + 1) * batch_rows))
        times = section.times(batch)
        assert np.array_equal(times, rows.times[cut])
        assert section.time_range(batch) == (times.min(), times.max())
        for id, whole in rows.columns.items():
            check_column(section.column(id, batch), whole.slice(cut.start, cut.stop))


def check_column(found: Column | None, wanted: Column) -> None:
    there = wanted.valid()
    if found is None:
        assert not there.any()
        return
    assert found.type is wanted.type
    assert np.array_equal(found.valid(), there)
    if wanted.type is FieldType.STRING:
        assert found.take(there).values.equals(wanted.take(there).values)
    else:
        assert found.values.dtype == wanted.values.dtype
        assert found.values[there].tobytes() == wanted.values[there].tobytes()


def present(column: Column) -> npt.NDArray[Any]:
    values: npt.NDArray[Any] = column.values[column.valid()]
    return values


def check_chunk_stats(section: Section, id: int, rows: SeriesRows) -> None:
    for batch in range(section.batches):
        cut = rows.columns[id].slice(batch * section.batch_rows, min(len(rows), (batch + 1) * section.batch_rows))
        stats = section.chunk_stats(id, batch)
        there = int(np.count_nonzero(cut.valid()))
        if stats is None:
            assert there == 0
            continue
        assert stats.nulls == len(cut) - there
        if not cut.type.numeric:
            assert stats[1:] == (None, None)
            continue
        values = present(cut)
        values = values[~np.isnan(values)] if cut.type is FieldType.FLOAT else values
        if len(values):
            assert (stats.min, stats.max) == (values.min(), values.max())
        else:
            assert stats[1:] == (None, None)


def check_run_stats(section: Section, id: int, rows: SeriesRows) -> None:
    column = rows.columns[id]
    stats = section.run_stats(id)
    if not column.type.numeric:
        assert stats is None
        return
    for run, (begin, end) in enumerate(zip(rows.starts[:-1].tolist(), rows.starts[1:].tolist(), strict=True)):
        values = present(column.slice(begin, end))
        if stats is None:
            assert end - begin < 256 or len(values) == 0
            continue
        assert stats.has[run] == (end - begin >= 256)
        if not stats.has[run]:
            continue
        assert stats.count[run] == len(values)
        if not len(values):
            continue
        with np.errstate(all="ignore"):
            total = np.add.reduce(values)
            rough = np.abs(values.astype(np.float64)).sum()
        if column.type is FieldType.FLOAT:
            if np.isnan(values).any():
                assert np.isnan(stats.sum[run])
            elif np.isfinite(rough):  # else the sum depends on the order
                assert np.isclose(stats.sum[run], total, rtol=1e-9, atol=1e-9 * rough)
            real = values[~np.isnan(values)]
            low, high = (real.min(), real.max()) if len(real) else (np.nan, np.nan)
            assert np.array_equal([stats.min[run], stats.max[run]], [low, high], equal_nan=True)
        else:
            assert stats.sum[run] == total
            assert (stats.min[run], stats.max[run]) == (values.min(), values.max())
