"""A segment is there whole or not at all, whichever I/O of its writing fails or is the last one."""

from __future__ import annotations

import errno
import random
from collections.abc import Iterator

import pytest

from rusts.segment.reader import SegmentReader
from rusts.segment.writer import write_segment
from tests.support.disk import SimulatedDisk
from tests.support.segments import FIELDS, Points, header, points_of, rows_of, section_of

PATH = "data/segments/1.seg"
TYPES = {id: type for id, _, type in FIELDS}
POINTS: Points = {(s, t): {11: s * t, 12: t / 8, 15: f"s{t % 3}"} for s in range(40) for t in range(60)}


def new_disk() -> SimulatedDisk:
    disk = SimulatedDisk()
    disk.make_dir("data/segments")
    disk.sync_dir("data/segments")
    return disk


def write(disk: SimulatedDisk) -> None:
    write_segment(disk, PATH, header(), [section_of([rows_of(POINTS, TYPES)])])


def steps() -> Iterator[int]:
    disk = new_disk()
    before = disk.io_count
    write(disk)
    return iter(range(1, disk.io_count - before + 1))


def check(disk: SimulatedDisk) -> bool:
    """Whether the segment is there; it must be whole then."""
    if not disk.exists(PATH):
        return False
    reader = SegmentReader.open(disk, PATH)
    assert reader.verify() == []
    assert points_of(reader.sections[7]) == POINTS
    return True


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
def test_a_failing_io_leaves_nothing(error: int) -> None:
    for n in steps():
        disk = new_disk()
        disk.fail_at(n, error, part=0.5)
        with pytest.raises(OSError, match="simulated"):
            write(disk)
        # The one exception: the name is there and only its durability failed.
        there = check(disk)
        assert disk.paths() == ([PATH] if there else [])
        disk.heal()
        write(disk)
        assert check(disk.crash("synced"))


@pytest.mark.parametrize("keep", ["synced", "all", "any"])
def test_after_a_crash_the_segment_is_whole_or_absent(keep: str) -> None:
    rng = random.Random(11)
    print("seed 11")
    found = []
    for n in steps():
        disk = new_disk()
        disk.cut_at(n)
        with pytest.raises(OSError, match="simulated"):
            write(disk)
        after = disk.crash(rng if keep == "any" else keep)  # type: ignore[arg-type]
        found.append(check(after))
        write(after)
        assert check(after.crash("synced"))
    assert not all(found)


def test_once_written_it_survives_power_loss() -> None:
    disk = new_disk()
    write(disk)
    assert check(disk.crash("synced"))
