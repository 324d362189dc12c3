"""Flush: every point of a memtable is in the segment of its partition, whatever the width, or nothing happened."""

from __future__ import annotations

import errno
import random

import pytest

from rusts.engine.engine import Engine
from rusts.engine.partition import WIDTHS, partition_of
from rusts.model.time import MAX_TIME, MIN_TIME
from tests.support.disk import SimulatedDisk
from tests.support.engines import Point, contents, open_engine, write

MINUTE = 60_000_000_000


def at(times: list[int], measurement: str = "m") -> list[Point]:
    return [("default", measurement, {"t": str(n % 2)}, time, {"v": n}) for n, time in enumerate(times)]


def checked(engine: Engine, points: list[Point]) -> list[int]:
    """Write, flush and look at what became of it; returns the widths of the segments."""
    write(engine, points)
    found = contents(engine)
    assert len(found) == len({(p[1], str(p[2]), p[3]) for p in points})
    engine.flush()
    assert contents(engine) == found
    entries = engine.catalog.segments()
    for entry in entries:
        partition = partition_of(entry.min_time, entry.width)
        assert (partition.start, partition.width) == (entry.start, entry.width)
        assert entry.start <= entry.min_time <= entry.max_time < entry.start + entry.width
        assert engine.files.size(f"/data/segments/{entry.file_name}") == entry.bytes
    assert sum(e.rows for e in entries) == len(found)
    assert len({(e.start, e.width) for e in entries}) == len(entries)
    assert engine.budget.write_buffer.used == 0
    return [e.width for e in entries]


@pytest.mark.parametrize(
    ("step", "width"),
    [
        (MINUTE // 10, WIDTHS[0]),  # 500 rows in 50 minutes
        (10 * MINUTE, WIDTHS[2]),
        (200 * MINUTE, WIDTHS[3]),
        (24 * 60 * MINUTE, WIDTHS[4]),
    ],
)
def test_the_width_follows_the_density(step: int, width: int) -> None:
    engine = open_engine(SimulatedDisk())
    widths = checked(engine, at([n * step for n in range(500)]))
    assert set(widths) == {width}
    engine.close()


def test_dense_rows_of_many_partitions_are_cut() -> None:
    engine = open_engine(SimulatedDisk())
    points = at([n * 6_000_000_000 for n in range(6_000)]) + at([n * 6_000_000_000 for n in range(0, 6_000, 7)], "n")
    random.Random(1).shuffle(points)
    widths = checked(engine, points)
    assert widths == [WIDTHS[0]] * 5, "ten hours"
    engine.close()


def test_the_ends_of_time() -> None:
    engine = open_engine(SimulatedDisk())
    widths = checked(engine, at([MIN_TIME, MIN_TIME + 1, -1, 0, 1, MAX_TIME - 1, MAX_TIME]))
    assert set(widths) == {WIDTHS[-1]}
    assert len(widths) == 4
    engine.compact()
    assert len(contents(engine)) == 7
    again = open_engine(engine.files.crash("synced"))  # type: ignore[attr-defined]
    assert len(contents(again)) == 7
    again.close()


@pytest.mark.parametrize("time", [MIN_TIME, MAX_TIME])
def test_a_dense_end_of_time(time: int) -> None:
    engine = open_engine(SimulatedDisk())
    step = 1 if time < 0 else -1
    assert checked(engine, at([time + step * n for n in range(2_000)])) == [WIDTHS[0]]
    engine.close()


def test_a_flush_that_fails_leaves_no_segment_and_is_done_again() -> None:
    disk = SimulatedDisk()
    engine = open_engine(disk)
    points = at([0, WIDTHS[-1], 2 * WIDTHS[-1]])
    write(engine, points)
    found = contents(engine)
    before = disk.io_count
    trial = open_engine(SimulatedDisk())
    write(trial, points)
    count = trial.files.io_count  # type: ignore[attr-defined]
    trial.flush()
    needed = trial.files.io_count - count  # type: ignore[attr-defined]
    for n in range(1, needed):
        disk.fail_at(n, errno.EIO)
        ok = engine.try_flush() if n > 1 else _sealed(engine)
        disk.heal()
        if ok:
            break
        assert contents(engine) == found
    assert disk.io_count > before
    engine.flush()
    listed = {e.file_name for e in engine.catalog.segments()}
    assert set(disk.list_dir("/data/segments")) == listed
    assert contents(engine) == found
    engine.close()


def _sealed(engine: Engine) -> bool:
    with engine.write_lock:
        for data in engine.policies_data.values():
            engine._seal(data)
    return engine.try_flush()


def test_points_of_a_dropped_measurement_are_not_flushed() -> None:
    engine = open_engine(SimulatedDisk())
    write(engine, at([1, 2], "gone"))
    engine.catalog.drop_measurement(engine.catalog.database("default"), "gone", engine.stamps.next())
    engine.flush()
    assert engine.catalog.segments() == []
    write(engine, at([3], "gone"))
    engine.flush()
    assert [cell[3] for cell in contents(engine)] == [3]
    engine.close()
