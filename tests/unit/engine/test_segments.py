"""Live segments: opened when read, removed once replaced and let go of; damaged and missing ones left out, loudly."""

from __future__ import annotations

import gc

import pytest

from rusts.engine.engine import Engine
from rusts.engine.segments import segment_path
from rusts.errors import Corruption
from rusts.model.store import ScanRequest, TimeRange
from tests.support.disk import SimulatedDisk
from tests.support.engines import EVERYTHING, Cells, Point, contents, open_engine, write

HOUR = 3_600_000_000_000


def put(engine: Engine, value: int, times: range = range(4)) -> None:
    points: list[Point] = [("default", "m", {}, time * HOUR // 8, {"v": value}) for time in times]
    write(engine, points)
    engine.flush()


def values(engine: Engine) -> list[object]:
    """The values in order of time, having seen no warning."""
    found: Cells = contents(engine)
    return [found[cell] for cell in sorted(found, key=lambda c: c[3])]


def scanned(engine: Engine, range: TimeRange = EVERYTHING) -> tuple[list[int], list[str]]:
    scan = engine.scan(ScanRequest("default", None, "m", range))
    found = [v for chunk in scan for v in chunk.columns["v"].values.tolist()]
    return found, scan.stats.warnings


def file_names(engine: Engine) -> list[str]:
    return [s.entry.file_name for data in engine.policies_data.values() for s in data.segments]


def test_a_replaced_file_stays_while_it_is_read() -> None:
    disk = SimulatedDisk()
    engine = open_engine(disk)
    put(engine, 1)
    put(engine, 2)
    old = file_names(engine)
    view = engine.view("default", None, "m")
    engine.compact()
    assert set(old) < set(disk.list_dir("/data/segments"))
    assert view is not None
    assert view.segments[0].reader().rows == 4
    del view
    gc.collect()
    assert set(old) < set(disk.list_dir("/data/segments")), "the collector itself touches nothing"
    engine.compact()
    assert disk.list_dir("/data/segments") == file_names(engine)
    assert values(engine) == [2] * 4
    engine.close()


def test_few_readers_stay_open() -> None:
    engine = open_engine(SimulatedDisk())
    engine.readers._limit = 2
    for n in range(4):
        put(engine, n, range(64 * n, 64 * n + 4))
    assert values(engine) == [n for n in range(4) for _ in range(4)]
    assert len(engine.readers._open) == 2
    engine.close()


def test_a_file_that_holds_another_segment_is_damaged() -> None:
    disk = SimulatedDisk()
    engine = open_engine(disk)
    put(engine, 1)
    put(engine, 2, range(64, 68))
    first, second = (segment_path("/data", name) for name in file_names(engine))
    disk.names[first], disk.names[second] = disk.names[second], disk.names[first]
    for data in engine.policies_data.values():
        for segment in data.segments:
            with pytest.raises(Corruption, match="it holds segment"):
                segment.reader()
    found, warnings = scanned(engine)
    assert found == []
    assert len(warnings) == 2
    engine.close()


def test_a_file_that_vanishes_costs_its_points_and_a_warning() -> None:
    disk = SimulatedDisk()
    engine = open_engine(disk)
    put(engine, 1)
    put(engine, 2, range(64, 68))
    gone = file_names(engine)[0]
    disk.remove(segment_path("/data", gone))
    found, warnings = scanned(engine)
    assert found == [2] * 4
    assert len(warnings) == 1
    assert gone in warnings[0]
    assert scanned(engine, TimeRange(8 * HOUR, 9 * HOUR)) == ([2] * 4, []), "it has nothing to do with these hours"
    assert [c.name for c in engine.health() if not c.ok] == ["segments"]
    engine.close()


def test_a_listed_file_that_is_missing_at_the_start_is_named_at_once() -> None:
    disk = SimulatedDisk()
    engine = open_engine(disk)
    put(engine, 1)
    put(engine, 2, range(64, 68))
    gone = file_names(engine)[0]
    engine.close()
    disk.remove(segment_path("/data", gone))
    engine = open_engine(disk)
    bad = [c for c in engine.health() if not c.ok]
    assert [c.name for c in bad] == ["segments"]
    assert gone in bad[0].message
    assert engine.stats()["segments"]["quarantined"] == 1
    found, warnings = scanned(engine)
    assert found == [2] * 4
    assert warnings == [f"segment {gone} is quarantined: its file is missing"]
    put(engine, 3)
    assert scanned(engine)[0] == [3] * 4 + [2] * 4
    engine.compact()
    assert scanned(engine)[0] == [3] * 4 + [2] * 4
    engine.close()


@pytest.mark.parametrize("how", ["flipped", "missing"])
def test_merging_does_not_jump_over_a_damaged_segment(how: str) -> None:
    """Else what is left of it would come, by its stamps, after what was written later."""
    disk = SimulatedDisk()
    engine = open_engine(disk)
    for value in range(1, 6):
        put(engine, value)
    names = file_names(engine)
    bad = segment_path("/data", names[2])
    if how == "flipped":
        disk.corrupt(bad, 40)
    else:
        disk.remove(bad)
    engine.compact()
    assert list(engine.quarantined) == [int(names[2].removesuffix(".seg"), 16)]
    left = [s.entry for data in engine.policies_data.values() for s in data.segments]
    assert [e.rows for e in left] == [4, 4, 4]
    assert left[1].file_name == names[2]
    assert [e.max_stamp for e in left] == sorted(e.max_stamp for e in left)
    assert left[0].max_stamp < left[1].min_stamp <= left[1].max_stamp < left[2].min_stamp
    assert scanned(engine)[0] == [5] * 4
    engine.compact()
    engine.close()
