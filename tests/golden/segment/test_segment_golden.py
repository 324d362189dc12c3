"""Segments written by the first version of the format are read for ever, to the last bit.

The files beside this one are never written again. A new version of the format gets files of its own:
``python -m tests.golden.segment.test_segment_golden DIRECTORY`` writes them.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from rusts.model.batch import Column, SeriesRows
from rusts.model.types import FieldType, Stamp
from rusts.segment.encoding import COLD, HOT
from rusts.segment.layout import STAMP_CLOCK, STAMP_NODE, ChunkFlag, SectionInput, SegmentHeader, SegmentKind, Tier
from rusts.segment.reader import Section
from tests.support.segments import key_of, keys, open_segment, write

HERE = Path(__file__).parent
DIGESTS = {
    "hot-1.seg": "d72ee5154c4d417c49ac091833f8a3830e2733954bce607e880b9e3e9c507160",
    "cold-1.seg": "41adf7e1b5895ee614600011ca0bf192f796a0ad7afc318451b12fff150bfacb",
}
FILES = {
    "hot-1.seg": (
        HOT,
        SegmentHeader(
            segment=0x0123456789,
            database=(5 << 48) + 7,
            database_name="telegraf",
            policy=3,
            policy_name="autogen",
            tier=Tier.HOT,
            start=1_700_006_400_000_000_000,
            width=7_200_000_000_000,
            parents=(),
            min_stamp=Stamp(1_700_006_400_000 << 20, 0),
            max_stamp=Stamp((1_700_006_500_000 << 20) + 5, 65_535),
        ),
    ),
    "cold-1.seg": (
        COLD,
        SegmentHeader(
            segment=(1 << 64) - 1,
            database=2,
            database_name="größe",
            policy=4,
            policy_name="",
            tier=Tier.COLD,
            start=-86_400_000_000_000,
            width=86_400_000_000_000,
            parents=(1, 2, 1 << 63),
            min_stamp=Stamp(1),
            max_stamp=Stamp((1 << 64) - 1, 9),
            kind=SegmentKind.POINTS,
        ),
    ),
}


def numbers(count: int, seed: int) -> npt.NDArray[np.uint64]:
    """The same scattered numbers on every machine and with every numpy."""
    values = (np.arange(count, dtype=np.uint64) + np.uint64(seed)) * np.uint64(0x9E3779B97F4A7C15)
    values ^= values >> np.uint64(29)
    return values * np.uint64(0xBF58476D1CE4E5B9)


def columns(rows: int) -> dict[int, tuple[str, Column]]:
    """A field of each kind that encodings tell apart."""
    anything = numbers(rows, 1)
    small = (anything >> np.uint64(57)).astype(np.int64)
    special = np.array([0, 1 << 63, 0x7FF8000000000000, 0x7FF0000000000000, 0xFFF0000000000000, 1], dtype=np.uint64)
    words = ["", "ok", "naïve ☃", "failed", "x" * 40]
    some = numbers(rows, 2) >> np.uint64(62) != 0
    made: dict[str, Column] = {
        "percent": Column(FieldType.INTEGER, small),
        "percent with nulls": Column(FieldType.INTEGER, small, some),
        "constant": Column(FieldType.INTEGER, np.full(rows, -7, dtype=np.int64)),
        "counter": Column(FieldType.INTEGER, np.cumsum(small) * 4096),
        "any integer": Column(FieldType.INTEGER, anything.view(np.int64)),
        "any unsigned": Column(FieldType.UNSIGNED, anything, some),
        "decimals": Column(FieldType.FLOAT, (small * 25 - 900) / 100),
        "decimals with nulls": Column(FieldType.FLOAT, (small * 25 - 900) / 100, some),
        "special floats": Column(FieldType.FLOAT, special[small % 6].view(np.float64)),
        "full floats": Column(FieldType.FLOAT, anything.astype(np.float64) / 3e18),
        "boolean": Column(FieldType.BOOLEAN, small % 2 == 0),
        "boolean with nulls": Column(FieldType.BOOLEAN, small % 3 == 0, some),
        "words": Column(FieldType.STRING, pa.array([words[i % 5] for i in small.tolist()], pa.large_string())),
        "texts": Column(FieldType.STRING, pa.array([f"{i:x} é" for i in anything.tolist()], pa.large_string()), some),
        "nothing": Column(FieldType.FLOAT, np.zeros(rows), np.zeros(rows, dtype=np.bool_)),
    }
    return {100 + i: (name, column) for i, (name, column) in enumerate(made.items())}


def rows_of(lengths: list[int], step: int, fields: dict[int, Column]) -> SeriesRows:
    starts = np.append(0, np.cumsum(lengths)).astype(np.int64)
    times = np.concatenate([np.arange(n, dtype=np.int64) * step for n in lengths]) + 1_700_006_400_000_000_000
    return SeriesRows(np.arange(len(lengths), dtype=np.uint32) * 3, starts, times, dict(fields))


def contents() -> dict[int, tuple[str, SeriesRows, dict[int, str], bool]]:
    """What both files hold: per measurement id its name, rows, field names, and whether rows are stamped."""
    many = columns(2_000)
    few = columns(70)
    long = {7: Column(FieldType.INTEGER, np.arange(70_000, dtype=np.int64) % 100)}
    stamped = rows_of([1_100, 200], 1_000_000_000, {7: columns(1_300)[100][1]})
    stamped.times[41] = stamped.times[40]
    clocks = (np.uint64(1_700_006_400_000) << np.uint64(20)) + np.arange(1_300, dtype=np.uint64)
    stamped.columns[STAMP_CLOCK] = Column(FieldType.UNSIGNED, clocks)
    stamped.columns[STAMP_NODE] = Column(FieldType.UNSIGNED, np.arange(1_300, dtype=np.uint64) % np.uint64(3))

    def plain(named: dict[int, tuple[str, Column]]) -> dict[int, Column]:
        return {id: column for id, (_, column) in named.items()}

    def names(named: dict[int, tuple[str, Column]]) -> dict[int, str]:
        return {id: name for id, (name, _) in named.items()}

    return {
        11: ("cpu", rows_of([700, 256, 255, 789], 10_000_000_000, plain(many)), names(many), False),
        12: ("disk größe", rows_of([2] * 35, 7, plain(few)), names(few), False),
        (3 << 48) + 1: ("long", rows_of([500] * 140, 1_000_000, long), {7: "value"}, False),
        14: ("stamped", stamped, {7: "value"}, True),
        15: ("no fields", rows_of([1], 1, {}), {}, False),
    }


def sections() -> Iterator[SectionInput]:
    for id, (name, rows, names, stamped) in contents().items():
        fields = [(field, names[field], rows.columns[field].type) for field in names]
        yield SectionInput(id, name, fields, [rows], keys, stamped)


@pytest.mark.parametrize("name", FILES)
def test_the_file_was_never_changed(name: str) -> None:
    assert hashlib.sha256((HERE / name).read_bytes()).hexdigest() == DIGESTS[name]


@pytest.mark.parametrize("name", FILES)
def test_everything_is_read(name: str) -> None:
    reader = open_segment(str(HERE / name))
    assert reader.header == FILES[name][1]
    assert reader.verify() == []
    wanted = contents()
    assert list(reader.sections) == list(wanted)
    assert reader.rows == sum(len(rows) for _, rows, _, _ in wanted.values())
    for id, (measurement, rows, names, stamped) in wanted.items():
        section = reader.sections[id]
        assert section.name == measurement
        assert section.fields == {f: (text, rows.columns[f].type) for f, text in names.items()}
        assert section.stamped == stamped
        check_directory(section, rows)
        for batch in range(section.batches):
            cut = slice(batch << 16, min(len(rows), (batch + 1) << 16))
            assert np.array_equal(section.times(batch), rows.times[cut])
            for field in names:
                check_column(section.column(field, batch), rows.columns[field].slice(cut.start, cut.stop))


def check_directory(section: Section, rows: SeriesRows) -> None:
    assert np.array_equal(section.series, rows.series)
    assert np.array_equal(section.starts, rows.starts)
    assert np.array_equal(section.directory().low, rows.times[rows.starts[:-1]])
    assert np.array_equal(section.directory().high, rows.times[rows.starts[1:] - 1])
    _, table = section.keys()
    assert [table[i] for i in range(len(table))] == [key_of(n) for n in rows.series.tolist()]
    assert all(section.might_have_series(key_of(n)) for n in rows.series.tolist())


def check_column(found: Column | None, wanted: Column) -> None:
    there = wanted.valid()
    if found is None:
        assert not there.any()
        return
    assert np.array_equal(found.valid(), there)
    if wanted.type is FieldType.STRING:
        assert found.take(there).values.equals(wanted.take(there).values)
    else:
        assert found.values[there].tobytes() == wanted.values[there].tobytes()


@pytest.mark.parametrize("name", FILES)
def test_statistics_are_read(name: str) -> None:
    section = open_segment(str(HERE / name)).sections[11]
    values: Any = contents()[11][1].columns[100].values
    stats = section.run_stats(100)
    assert stats is not None
    assert stats.has.tolist() == [True, True, False, True]
    assert stats.count[stats.has].tolist() == [700, 256, 789]
    assert stats.sum[3] == values[1211:].sum()
    assert (stats.min[1], stats.max[1]) == (values[700:956].min(), values[700:956].max())
    assert section.chunk_stats(100, 0) == (0, values.min(), values.max())
    assert section.chunk_stats(106, 0) == (0, -9.0, 22.75)
    assert section.chunk_stats(114, 0) is None


@pytest.mark.parametrize("name", FILES)
def test_stamps_and_bloom_filters_are_read(name: str) -> None:
    reader = open_segment(str(HERE / name))
    stamped = reader.sections[14]
    assert (stamped.chunks["flags"] & ChunkFlag.OVERLAPS).any()
    clocks, nodes = stamped.stamps(0)
    assert int(clocks[5]) == (1_700_006_400_000 << 20) + 5
    assert nodes.tolist() == [i % 3 for i in range(1_300)]
    assert not (reader.sections[11].chunks["flags"] & ChunkFlag.OVERLAPS).any()
    disks = reader.sections[12]
    assert disks.might_have_tag("host", "host_3")
    assert not disks.might_have_tag("host", "nobody")


if __name__ == "__main__":
    for file_name, (policy, head) in FILES.items():
        write(str(Path(sys.argv[1]) / file_name), sections(), policy, head)
