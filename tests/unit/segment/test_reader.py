from __future__ import annotations

import gc
import os
import struct
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest

from rusts.errors import Corruption, FormatTooNew
from rusts.files import OsFiles, ReadFile
from rusts.model.types import FieldType
from rusts.segment.cache import ColumnCache
from rusts.segment.encoding import COLD, HOT
from rusts.segment.layout import BATCH_ROWS, CHUNK, ChunkRole
from rusts.segment.reader import SegmentReader, describe_segment
from tests.support.segments import FIELDS, header, key_of, open_segment, points_of, rows_of, section_of, write

TYPES = {id: type for id, _, type in FIELDS}


def points(series: int = 40, rows: int = 30) -> dict:
    return {
        (s, 10 * t): {11: s * t, 12: t / 4 - 3, 13: t, 14: t % 2 == 0, 15: f"s{t % 3}"} | ({11: -t} if s else {})
        for s in range(series)
        for t in range(rows)
    }


@pytest.fixture
def segment(tmp_path: Path) -> str:
    path = str(tmp_path / "1.seg")
    write(path, [section_of([rows_of(points(), TYPES)])])
    return path


class CountingFiles(OsFiles):
    """Counts the reads of the files that it opens."""

    def __init__(self) -> None:
        self.reads = 0

    def open(self, path: str) -> ReadFile:
        file = super().open(path)
        outer = self

        class Counting:
            path = file.path
            size = file.size
            close = file.close

            def pread(self, length: int, offset: int) -> bytes:
                outer.reads += 1
                return file.pread(length, offset)

        return Counting()


def test_opening_reads_the_end_once(segment: str) -> None:
    files = CountingFiles()
    reader = SegmentReader.open(files, segment)
    assert files.reads == 1
    section = reader.sections[7]
    assert reader.sections[7] is section
    assert (section.rows, section.series_count, section.min_time, section.max_time) == (1200, 40, 0, 290)
    assert section.chunk_stats(12, 0) == (0, -3.0, 4.25)
    assert section.time_range(0) == (0, 290)
    assert files.reads == 1


def test_a_long_footer_is_read_whole(tmp_path: Path) -> None:
    path = str(tmp_path / "1.seg")
    rows = rows_of({(1, 1): {11: 1}}, TYPES)
    write(path, [section_of([rows], measurement=i, name=f"m{i}") for i in range(300)])
    files = CountingFiles()
    reader = SegmentReader.open(files, path)
    assert files.reads == 2
    assert points_of(reader.sections[299]) == {(1, 1): {11: 1}}
    assert reader.sections[5].name == "m5"


def test_bounds_of_each_batch(tmp_path: Path) -> None:
    path = str(tmp_path / "1.seg")
    rows = BATCH_ROWS + 10
    points = {(1, t): {11: t} | ({12: 0.5 * t} if t >= BATCH_ROWS + 5 else {}) for t in range(rows)}
    write(path, [section_of([rows_of(points, TYPES)])])
    section = open_segment(path).sections[7]
    assert section.chunk_stats(11, 0) == (0, 0, BATCH_ROWS - 1)
    assert section.chunk_stats(11, 1) == (0, BATCH_ROWS, rows - 1)
    assert section.chunk_stats(12, 0) is None
    assert section.chunk_stats(12, 1) == (5, 0.5 * (BATCH_ROWS + 5), 0.5 * (rows - 1))


def test_strings_and_booleans_have_no_bounds(segment: str) -> None:
    section = open_segment(segment).sections[7]
    assert section.chunk_stats(15, 0) == (0, None, None)
    assert section.chunk_stats(14, 0) == (0, None, None)


def test_the_cache_keeps_what_was_decoded(segment: str) -> None:
    files, cache = CountingFiles(), ColumnCache(1 << 20)
    reader = SegmentReader.open(files, segment, cache)
    section = reader.sections[7]

    def read_all() -> list[object]:
        return [
            section.times(0),
            *(section.column(f, 0) for f in section.fields),
            section.series,
            section.starts,
            section.might_have_tag("host", "host_1"),
            section.run_stats(11),
        ]

    first = read_all()
    reads = files.reads
    second = read_all()
    assert files.reads == reads
    assert all(a is b for a, b in zip(first, second, strict=True))
    again = SegmentReader.open(files, segment, cache)
    assert again.sections[7].times(0) is first[0]
    cache.forget(1)
    assert len(cache) == 0
    section.times(0)
    assert files.reads == reads + 2


def test_what_is_decoded_cannot_be_changed(segment: str) -> None:
    section = open_segment(segment).sections[7]
    for values in (section.times(0), section.column(12, 0).values):
        with pytest.raises(ValueError, match="read-only"):
            values[0] = 1


def test_the_bloom_filter_prunes(tmp_path: Path, segment: str) -> None:
    section = open_segment(segment).sections[7]
    assert all(section.might_have_series(key_of(s)) for s in range(40))
    assert all(section.might_have_tag("host", f"host_{s}") for s in range(40))
    assert sum(section.might_have_tag("host", f"host_{s}") for s in range(40, 1040)) < 50
    assert sum(section.might_have_series(key_of(s)) for s in range(40, 1040)) < 50
    few = str(tmp_path / "few.seg")
    write(few, [section_of([rows_of(points(5), TYPES)])])
    assert open_segment(few).sections[7].might_have_tag("host", "nobody")


def test_sections_outlive_their_reader_and_close_the_file(segment: str) -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    gc.collect()
    gc.disable()  # references alone must do
    try:
        before = descriptors()
        section = open_segment(segment).sections[7]
        assert len(section.times(0)) == 1200
        assert descriptors() == before + 1
        del section
        assert descriptors() == before
    finally:
        gc.enable()


def test_closing_twice(segment: str) -> None:
    reader = open_segment(segment)
    reader.close()
    reader.close()
    with pytest.raises(OSError, match="descriptor"):
        reader.sections[7].times(0)


def test_many_threads_read_at_once(tmp_path: Path) -> None:
    path = str(tmp_path / "1.seg")
    given = points(20, 400)
    write(path, [section_of([rows_of(given, TYPES)])], COLD)
    reader = SegmentReader.open(OsFiles(), path, ColumnCache(100_000))
    found: list[bool] = []

    def work() -> None:
        found.append(points_of(reader.sections[7]) == given)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 6


def test_a_segment_describes_itself(segment: str) -> None:
    description = describe_segment(open_segment(segment))
    assert description.header == header()
    assert (description.rows, description.min_time, description.max_time) == (1200, 0, 290)
    assert description.bytes == Path(segment).stat().st_size
    (section,) = description.sections
    assert (section.measurement, section.name, section.fields) == (7, "cpu", FIELDS)
    assert section.numbers.tolist() == list(range(40))
    assert section.keys[39] == key_of(39)


# Damage.


@pytest.mark.parametrize("policy", [HOT, COLD])
def test_every_flipped_byte_is_found(tmp_path: Path, policy: object) -> None:
    path = tmp_path / "1.seg"
    given = points(34, 3)
    write(str(path), [section_of([rows_of(given, TYPES)])], policy)
    good = path.read_bytes()
    for at in range(len(good)):
        bad = bytearray(good)
        bad[at] ^= 1 << (at % 8)
        path.write_bytes(bad)
        damage = found_damage(str(path))
        assert len(damage) == 1, at
        assert damage[0].file == str(path)
        read = try_to_read(str(path))
        if isinstance(read, Corruption):
            assert read.offset == damage[0].offset <= at
        else:
            assert read == given


def found_damage(path: str) -> list[Corruption]:
    try:
        return open_segment(path).verify()
    except Corruption as problem:
        return [problem]


def try_to_read(path: str) -> Corruption | dict:
    try:
        section = open_segment(path).sections[7]
        section.keys()
        return points_of(section)
    except Corruption as problem:
        return problem


def test_a_file_cut_anywhere_is_found(tmp_path: Path, segment: str) -> None:
    good = Path(segment).read_bytes()
    path = tmp_path / "cut.seg"
    for size in (0, 1, 15, 16, 47, 48, 100, len(good) // 2, len(good) - 1):
        path.write_bytes(good[:size])
        with pytest.raises(Corruption):
            open_segment(str(path))
    path.write_bytes(good + b"\0")
    with pytest.raises(Corruption):
        open_segment(str(path))


def test_two_segments_glued_together_are_no_segment(tmp_path: Path, segment: str) -> None:
    good = Path(segment).read_bytes()
    path = tmp_path / "glued.seg"
    path.write_bytes(good + good)
    with pytest.raises(Corruption, match="not where the tail says"):
        open_segment(str(path))


def rewritten(path: str, change: object) -> None:
    """Let `change` edit the chunk table's records (as lists), and make all checksums right again."""
    data = bytearray(Path(path).read_bytes())
    reader = open_segment(path)
    base = len(data) - 32 - len(reader.footer.data)
    for index in range(len(reader.footer.chunks)):
        at = base + reader.footer.chunk_offset + CHUNK.size * index
        values = list(CHUNK.unpack_from(data, at))
        change(values)  # type: ignore[operator]
        CHUNK.pack_into(data, at, *values)
    reader.close()
    tail = struct.pack("<QQII", base, len(data) - 32 - base, zlib.crc32(data[base:-32]), 1)
    data[-32:-8] = tail
    data[-8:-4] = struct.pack("<I", zlib.crc32(tail))
    Path(path).write_bytes(data)


OFFSET, LENGTH, PARAMETER, CRC, COLUMN, BATCH, ROWS, NULLS, ENCODING, VERSION, ROLE, FLAGS = 0, 1, 4, *range(5, 14)


@pytest.mark.parametrize(
    ("position", "value", "reason"),
    [
        (OFFSET, 1 << 40, "into the footer"),
        (LENGTH, 1 << 40, "into the footer"),
        (CRC, 5, "checksum"),
        (COLUMN, 99, "no column"),
        (BATCH, 9, "no batch"),
        (ROWS, 1, "rows instead of"),
        (ROWS, 0, "rows instead of"),
        (NULLS, 5, "nulls|arrays|values"),
        (ROLE, ChunkRole.VALUES, "no chunk of directory"),
        (FLAGS, 0, "no times"),
        (PARAMETER, 0, "is of type"),
    ],
)
def test_a_chunk_table_that_makes_no_sense_is_corruption(segment: str, position: int, value: int, reason: str) -> None:
    def change(values: list[int]) -> None:
        if position != ROLE or values[ROLE] == ChunkRole.DIRECTORY:
            values[position] = value

    rewritten(segment, change)
    with pytest.raises(Corruption, match=reason) as caught:
        points_of(open_segment(segment).sections[7])
    assert caught.value.file == segment


def test_overlapping_chunks_are_found(segment: str) -> None:
    rewritten(segment, lambda values: values.__setitem__(OFFSET, 16))
    assert any("overlap" in p.reason for p in open_segment(segment).verify())


def test_encodings_of_a_later_version_are_refused(segment: str) -> None:
    rewritten(segment, lambda values: values.__setitem__(ENCODING, 17))
    section = open_segment(segment).sections[7]
    with pytest.raises(FormatTooNew, match="encoding 17"):
        section.column(11, 0)


def test_a_later_format_is_refused_by_name(segment: str) -> None:
    data = bytearray(Path(segment).read_bytes())
    data[-12:-8] = struct.pack("<I", 2)
    data[-8:-4] = struct.pack("<I", zlib.crc32(data[-32:-8]))
    Path(segment).write_bytes(data)
    with pytest.raises(FormatTooNew, match="format version 2; this rusts reads up to 1"):
        open_segment(segment)


def test_numbers_of_series_fit(segment: str) -> None:
    section = open_segment(segment).sections[7]
    assert section.series.dtype == np.uint32
    assert section.fields[11] == ("usage", FieldType.INTEGER)
