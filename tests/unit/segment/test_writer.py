from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from rusts.errors import Bug
from rusts.model.batch import Column, SeriesRows
from rusts.model.types import FieldType
from rusts.segment.encoding import COLD, HOT
from rusts.segment.layout import BATCH_ROWS, STAMP_CLOCK, STAMP_NODE, ChunkFlag, SegmentSummary, Tier
from rusts.segment.reader import Section
from tests.support.segments import (
    FIELDS,
    column,
    cut_rows,
    header,
    key_of,
    open_segment,
    points_of,
    rows_of,
    section_of,
    write,
)

TYPES = {id: type for id, _, type in FIELDS}
POINTS = {
    (3, -5): {11: 1, 12: 0.5},
    (3, 7): {11: 2, 14: True},
    (4, 7): {15: "ok", 13: (1 << 64) - 1},
    (9, 1): {12: -0.0, 15: ""},
}


def many(rows: int, series: int = 3) -> SeriesRows:
    """`rows` rows of each of `series` series, with an integer and a float field."""
    starts = np.arange(series + 1, dtype=np.int64) * rows
    total = rows * series
    rng = np.random.default_rng(rows)
    return SeriesRows(
        np.arange(series, dtype=np.uint32) * 2 + 1,
        starts,
        np.tile(np.arange(rows, dtype=np.int64) * 1_000_000_000, series),
        {
            11: Column(FieldType.INTEGER, rng.integers(-100, 100, total)),
            12: Column(FieldType.FLOAT, np.round(rng.normal(50, 9, total), 2), rng.random(total) < 0.9),
        },
    )


@pytest.mark.parametrize("policy", [HOT, COLD])
def test_what_was_written_is_read(tmp_path: Path, policy: object) -> None:
    path = str(tmp_path / "1.seg")
    summary = write(path, [section_of([rows_of(POINTS, TYPES)])], policy)
    assert summary == SegmentSummary(4, (tmp_path / "1.seg").stat().st_size, -5, 7, 3)
    reader = open_segment(path)
    section = reader.sections[7]
    assert points_of(section) == POINTS
    assert reader.header == header()
    assert (reader.rows, reader.series, reader.min_time, reader.max_time) == (4, 3, -5, 7)
    assert section.name == "cpu"
    assert section.fields == {id: (name, type) for id, name, type in FIELDS}
    assert section.series.tolist() == [3, 4, 9]
    assert section.series.dtype == np.uint32
    assert section.starts.tolist() == [0, 2, 3, 4]
    assert section.directory().low.tolist() == [-5, 7, 1]
    assert section.directory().high.tolist() == [7, 7, 1]
    numbers, keys = section.keys()
    assert [keys[i] for i in range(3)] == [key_of(n) for n in numbers.tolist()] == [key_of(n) for n in (3, 4, 9)]
    assert reader.verify() == []
    assert [p.name for p in tmp_path.iterdir()] == ["1.seg"]


@pytest.mark.parametrize("rows", [BATCH_ROWS // 2, BATCH_ROWS // 3 + 1, BATCH_ROWS])
@pytest.mark.parametrize("cuts", [[], [1, 2, 40_000, 65_536, 65_537, 100_000]])
def test_batches_are_full_however_rows_come(tmp_path: Path, rows: int, cuts: list[int]) -> None:
    path = str(tmp_path / "1.seg")
    given = many(rows)
    write(path, [section_of(cut_rows(given, cuts))])
    section = open_segment(path).sections[7]
    assert section.batches == -(-3 * rows // BATCH_ROWS)
    sizes = [len(section.times(b)) for b in range(section.batches)]
    assert sizes[:-1] == [BATCH_ROWS] * (section.batches - 1)
    assert np.array_equal(np.concatenate([section.times(b) for b in range(section.batches)]), given.times)
    assert np.array_equal(section.starts, given.starts)
    assert np.array_equal(section.series, given.series)
    for id, wanted in given.columns.items():
        found = [section.column(id, b) for b in range(section.batches)]
        assert np.array_equal(np.concatenate([c.valid() for c in found if c]), wanted.valid())
        there = wanted.valid()
        assert np.array_equal(np.concatenate([c.values for c in found if c])[there], wanted.values[there])


def test_statistics_of_runs_that_cross_batches(tmp_path: Path) -> None:
    path = str(tmp_path / "1.seg")
    given = many(BATCH_ROWS // 2 + 100, 5)
    write(path, [section_of(cut_rows(given, [7, 33_000]))])
    section = open_segment(path).sections[7]
    for id, wanted in given.columns.items():
        stats = section.run_stats(id)
        assert stats is not None
        assert stats.has.all()
        for run in range(5):
            cells = wanted.slice(int(given.starts[run]), int(given.starts[run + 1]))
            values = cells.values[cells.valid()]
            assert stats.count[run] == len(values)
            assert stats.sum[run] == pytest.approx(values.sum())
            assert (stats.min[run], stats.max[run]) == (values.min(), values.max())
            assert stats.sum.dtype == wanted.values.dtype


def test_short_runs_have_no_statistics(tmp_path: Path) -> None:
    path = str(tmp_path / "1.seg")
    long = {(1, t): {11: t} for t in range(256)}
    short = {(s, t): {11: t, 12: 0.5} for s in (0, 2) for t in range(255)}
    write(path, [section_of([rows_of(long | short, TYPES)])])
    section = open_segment(path).sections[7]
    stats = section.run_stats(11)
    assert stats is not None
    assert stats.has.tolist() == [False, True, False]
    assert (stats.count[1], stats.sum[1], stats.min[1], stats.max[1]) == (256, 255 * 128, 0, 255)
    assert section.run_stats(12) is None
    assert section.run_stats(15) is None


def test_a_field_that_only_some_pieces_have(tmp_path: Path) -> None:
    path = str(tmp_path / "1.seg")
    first = rows_of({(1, t): {11: t} for t in range(10)}, TYPES)
    second = rows_of({(1, t): {15: f"s{t}"} for t in range(10, 20)}, TYPES)
    write(path, [section_of([first, second])])
    section = open_segment(path).sections[7]
    assert section.starts.tolist() == [0, 20]
    assert points_of(section) == {(1, t): {11: t} if t < 10 else {15: f"s{t}"} for t in range(20)}
    assert section.column(12, 0) is None


def test_sections_and_names(tmp_path: Path) -> None:
    path = str(tmp_path / "1.seg")
    rows = rows_of({(1, 1): {11: 1}}, TYPES)
    nothing = rows_of({}, TYPES)
    sections = [
        section_of([rows], measurement=70, name="größe"),
        section_of([nothing], measurement=71),
        section_of([], measurement=72),
        section_of([rows_of({(0, 5): {}}, {})], [], measurement=(1 << 64) - 1, name=""),
    ]
    head = header(database_name="dé", policy_name="", parents=(8, 9), tier=Tier.COLD, start=-7_200, width=10)
    assert write(path, sections, head=head).rows == 2
    reader = open_segment(path)
    assert reader.header == head
    assert list(reader.sections) == [70, (1 << 64) - 1]
    assert len(reader.sections) == 2
    assert 71 not in reader.sections
    assert reader.sections[70].name == "größe"
    assert reader.sections[(1 << 64) - 1].fields == {}
    assert points_of(reader.sections[(1 << 64) - 1]) == {(0, 5): {}}
    assert reader.verify() == []


def test_a_segment_without_rows(tmp_path: Path) -> None:
    path = str(tmp_path / "1.seg")
    assert write(path, []).max_time == -1
    reader = open_segment(path)
    assert (reader.rows, reader.min_time, reader.max_time, len(reader.sections)) == (0, 0, -1, 0)
    assert reader.verify() == []


def stamped(points: list[tuple[int, int, int, int]]) -> SeriesRows:
    """Rows (series, time, clock, value) as they are given."""
    series = np.array([p[0] for p in points], dtype=np.uint32)
    firsts = np.flatnonzero(np.append(True, series[1:] != series[:-1]))
    columns = {
        11: column(FieldType.INTEGER, [p[3] for p in points]),
        STAMP_CLOCK: column(FieldType.UNSIGNED, [p[2] for p in points]),
        STAMP_NODE: column(FieldType.UNSIGNED, [p[2] % 3 for p in points]),
    }
    starts = np.append(firsts, len(series)).astype(np.int64)
    return SeriesRows(series[firsts], starts, np.array([p[1] for p in points], dtype=np.int64), columns)


def overlap(section: Section) -> bool:
    """Whether two rows of a batch may be one point, as the flags of the chunks say."""
    return bool((section.chunks["flags"] & ChunkFlag.OVERLAPS).any())


@pytest.mark.parametrize("cut", [[], [2]])
def test_stamped_rows_may_be_one_point(tmp_path: Path, cut: list[int]) -> None:
    path = str(tmp_path / "1.seg")
    clock = 1_700_000_000_000 << 20
    rows = stamped([(1, 5, clock, 10), (1, 6, clock + 1, 11), (1, 6, clock + 9, 12), (2, 6, clock, 13)])
    write(path, [section_of(cut_rows(rows, cut), stamped=True)])
    section = open_segment(path).sections[7]
    assert section.stamped
    assert overlap(section)
    clocks, nodes = section.stamps(0)
    assert clocks.tolist() == [clock, clock + 1, clock + 9, clock]
    assert nodes.tolist() == [c % 3 for c in clocks.tolist()]
    assert nodes.dtype == np.uint16
    assert section.times(0).tolist() == [5, 6, 6, 6]


def test_stamped_rows_of_distinct_points_do_not_overlap(tmp_path: Path) -> None:
    path = str(tmp_path / "1.seg")
    write(path, [section_of([stamped([(1, 5, 7, 10), (2, 5, 8, 11)])], stamped=True)])
    section = open_segment(path).sections[7]
    assert not overlap(section)
    write(str(tmp_path / "2.seg"), [section_of([rows_of(POINTS, TYPES)])])
    assert not overlap(open_segment(str(tmp_path / "2.seg")).sections[7])


def series_rows(series: list[int], starts: list[int], times: list[int]) -> SeriesRows:
    return SeriesRows(np.array(series, dtype=np.uint32), np.array(starts), np.array(times, dtype=np.int64), {})


@pytest.mark.parametrize(
    "pieces",
    [
        [series_rows([1], [0, 2], [5, 4])],
        [series_rows([1], [0, 2], [5, 5])],
        [series_rows([2, 1], [0, 1, 2], [5, 6])],
        [series_rows([1, 2], [0, 0, 2], [5, 6])],
        [series_rows([1], [0, 1], [5]), series_rows([1], [0, 1], [5])],
        [series_rows([1], [0, 1], [5]), series_rows([1], [0, 1], [4])],
        [series_rows([2], [0, 1], [5]), series_rows([1], [0, 1], [6])],
    ],
)
def test_rows_out_of_order_are_a_bug(tmp_path: Path, pieces: list[SeriesRows]) -> None:
    with pytest.raises(Bug, match="rows for a segment"):
        write(str(tmp_path / "1.seg"), [section_of(pieces)])
    assert list(tmp_path.iterdir()) == []


def test_other_bugs_leave_nothing_behind(tmp_path: Path) -> None:
    path = str(tmp_path / "1.seg")
    rows = rows_of({(1, 1): {11: 1}}, TYPES)
    with pytest.raises(Bug, match="type integer"):
        write(path, [section_of([rows], [(11, "usage", FieldType.FLOAT)])])
    with pytest.raises(Bug, match="two sections"):
        write(path, [section_of([rows]), section_of([rows])])
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_the_source_leaves_nothing_behind(tmp_path: Path) -> None:
    def chunks() -> Iterator[SeriesRows]:
        yield many(BATCH_ROWS)
        raise KeyError("gone")

    with pytest.raises(KeyError):
        write(str(tmp_path / "1.seg"), [section_of(chunks())])
    assert list(tmp_path.iterdir()) == []


def test_what_a_crash_left_does_not_stand_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "1.seg.tmp").write_bytes(b"half a segment")
    write(str(tmp_path / "1.seg"), [section_of([rows_of(POINTS, TYPES)])])
    assert [p.name for p in tmp_path.iterdir()] == ["1.seg"]


def test_chunks_are_aligned_and_padding_is_zero(tmp_path: Path) -> None:
    path = tmp_path / "1.seg"
    write(str(path), [section_of([many(700, 40)])])
    reader = open_segment(str(path))
    chunks = reader.footer.chunks
    assert (chunks["offset"] % 8 == 0).all()
    data = path.read_bytes()
    owned = np.zeros(len(data), dtype=np.bool_)
    for offset, length in zip(chunks["offset"].tolist(), chunks["length"].tolist(), strict=True):
        assert not owned[offset : offset + length].any()
        owned[offset : offset + length] = True
    gaps = np.flatnonzero(~owned[16 : -32 - len(reader.footer.data)]) + 16
    assert len(gaps) > 0
    assert not np.frombuffer(data, dtype=np.uint8)[gaps].any()
