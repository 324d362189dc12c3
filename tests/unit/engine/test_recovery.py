"""What a start makes of stray files, of a lost catalog, and of a log that is not whole."""

from __future__ import annotations

import os
from collections.abc import Iterable

import pytest

from rusts.engine.engine import Engine
from rusts.engine.partition import WIDTHS
from rusts.wal.reader import Damage, RecordInfo, inspect_file
from tests.support.disk import SimulatedDisk
from tests.support.engines import Point, contents, open_engine, write

META, COPY = "/data/meta.sqlite", "/data/meta.copy.sqlite"


def put(
    engine: Engine, value: int, times: Iterable[int] = range(3), host: str = "a", database: str = "default"
) -> None:
    points: list[Point] = [(database, "m", {"host": host}, time, {"v": value}) for time in times]
    write(engine, points)


def values(engine: Engine) -> dict[tuple[str, int], object]:
    """Value by host and time."""
    return {(cell[2][0][1], cell[3]): value for cell, value in contents(engine).items()}


def segment_files(disk: SimulatedDisk) -> list[str]:
    return [name for name in disk.list_dir("/data/segments") if name.endswith(".seg")]


def copied(disk: SimulatedDisk, path: str) -> bytes:
    return bytes(disk.names[path].data)


def placed(disk: SimulatedDisk, path: str, data: bytes) -> None:
    file = disk.create(path)
    file.write(data)
    file.sync()
    disk.sync_dir(os.path.dirname(path))


def log_records(disk: SimulatedDisk) -> list[tuple[str, RecordInfo]]:
    found = []
    for name in disk.list_dir("/data/wal"):
        for item in inspect_file(disk, f"/data/wal/{name}"):
            assert not isinstance(item, Damage)
            found.append((f"/data/wal/{name}", item))
    return found


def flip_names(disk: SimulatedDisk, path: str, info: RecordInfo) -> None:
    disk.corrupt(path, info.position.offset + info.size - info.rows_size - 1)


def flip_rows(disk: SimulatedDisk, path: str, info: RecordInfo) -> None:
    disk.corrupt(path, info.position.offset + info.size - 1)


def test_files_of_others_stay_unfinished_ones_go() -> None:
    disk = SimulatedDisk()
    engine = open_engine(disk)
    put(engine, 1)
    engine.flush()
    engine.close()
    strange = ["notes.txt", "backup.seg", "0000000000000009.seg.bak"]
    for name in [*strange, "0000000000000abc.seg.tmp"]:
        placed(disk, f"/data/segments/{name}", b"whatever")
    disk.make_dir("/data/segments/lost+found")
    engine = open_engine(disk)
    assert len(values(engine)) == 3
    assert set(strange) < set(disk.list_dir("/data/segments"))
    assert "0000000000000abc.seg.tmp" not in disk.list_dir("/data/segments")
    engine.close()


def test_the_parents_of_a_missing_segment_are_not_removed() -> None:
    disk = SimulatedDisk()
    engine = open_engine(disk)
    for value in (1, 2):
        put(engine, value)
        engine.flush()
    parents = {name: copied(disk, f"/data/segments/{name}") for name in segment_files(disk)}
    engine.compact()
    engine.compact()
    (merged,) = segment_files(disk)
    engine.close()
    for name, data in parents.items():
        placed(disk, f"/data/segments/{name}", data)
    disk.remove(f"/data/segments/{merged}")
    engine = open_engine(disk)
    assert merged in {e.file_name for e in engine.catalog.segments()}
    assert set(disk.list_dir("/data/quarantine")) == set(parents)
    engine.close()


def test_a_rebuilt_list_leaves_out_what_was_merged_long_ago() -> None:
    """Files that were removed come back in a power loss; their old values must not."""
    disk = SimulatedDisk()
    engine = open_engine(disk)
    old: dict[str, bytes] = {}
    for value in range(1, 7):
        put(engine, value)
        engine.flush()
        old |= {name: copied(disk, f"/data/segments/{name}") for name in segment_files(disk)}
        if value % 2 == 0:
            engine.compact()
            engine.compact()
    assert values(engine) == {("a", time): 6 for time in range(3)}
    engine.close()
    for name, data in old.items():
        if name not in segment_files(disk):
            placed(disk, f"/data/segments/{name}", data)
    disk.remove(META)
    engine = open_engine(disk)
    assert len(engine.catalog.segments()) == 1
    assert values(engine) == {("a", time): 6 for time in range(3)}
    assert len(disk.list_dir("/data/quarantine")) == len(old), "a rebuild deletes nothing"
    engine.close()


def test_a_flush_that_was_cut_short_is_not_taken_for_done_by_a_rebuild() -> None:
    disk = SimulatedDisk()
    engine = open_engine(disk)
    put(engine, 1, [0, WIDTHS[-1], 2 * WIDTHS[-1]])
    engine.flush()
    put(engine, 2, [0, WIDTHS[-1], 2 * WIDTHS[-1]])
    log = {path: copied(disk, path) for path in disk.paths() if "/wal/" in path}
    before = set(segment_files(disk))
    engine.flush()
    engine.close()
    late = sorted(set(segment_files(disk)) - before)
    assert len(late) == 3
    for path in [p for p in disk.paths() if "/wal/" in p]:
        disk.remove(path)
    for path, data in log.items():
        placed(disk, path, data)
    for name in late[1:]:
        disk.remove(f"/data/segments/{name}")
    disk.remove(META)
    engine = open_engine(disk)
    found = values(engine)
    assert found["a", 0] == 2
    # Of what the log has, only what no later segment may have overwritten comes back.
    assert found == {("a", time): 2 for time in (0, WIDTHS[-1], 2 * WIDTHS[-1])}
    engine.flush()
    assert values(engine) == found
    engine.close()


def test_damaged_rows_are_named_and_the_file_is_kept() -> None:
    disk = SimulatedDisk()
    engine = open_engine(disk)
    for value in range(4):
        put(engine, value, [value])
    disk = disk.crash("all")
    path, info = log_records(disk)[1]
    flip_rows(disk, path, info)
    whole = copied(disk, path)
    engine = open_engine(disk)
    assert values(engine) == {("a", 0): 0, ("a", 2): 2, ("a", 3): 3}
    assert len(engine.damage) == 1
    assert path in engine.damage[0]
    assert f"at byte {info.position.offset}" in engine.damage[0]
    assert [c.name for c in engine.health() if not c.ok] == ["start"]
    engine.flush()
    assert not disk.exists(path)
    assert copied(disk, f"/data/quarantine/{os.path.basename(path)}") == whole
    engine.close()


def test_rows_whose_series_lost_its_name_never_become_another_series() -> None:
    disk = SimulatedDisk()
    engine = open_engine(disk)
    put(engine, 1, [1], "a")
    put(engine, 2, [2], "b")
    put(engine, 3, [3], "b")
    disk = disk.crash("all")
    path, info = log_records(disk)[1]
    flip_names(disk, path, info)
    engine = open_engine(disk)
    assert values(engine) == {("a", 1): 1}
    assert any("1 points" in text for text in engine.damage)
    put(engine, 9, [9], "c")
    right = {("a", 1): 1, ("c", 9): 9}
    assert values(engine) == right
    for _ in range(2):
        disk = disk.crash("all")
        engine = open_engine(disk)
        assert values(engine) == right
    engine.flush()
    assert values(engine) == right
    engine.close()
    engine = open_engine(disk)
    assert values(engine) == right
    put(engine, 10, [10], "b")
    assert values(engine) == right | {("b", 10): 10}
    engine.close()


def test_new_writes_during_replay_get_numbers_of_their_own() -> None:
    disk = SimulatedDisk()
    engine = open_engine(disk)
    put(engine, 1, [1], "a")
    put(engine, 2, [2], "b")
    put(engine, 3, [3], "b")
    disk = disk.crash("all")
    flip_names(disk, *log_records(disk)[1])
    engine = Engine.open(disk, "/data", engine.settings, engine.clock)
    put(engine, 9, [9], "c")
    engine.recover_step()
    assert values(engine) == {("a", 1): 1, ("c", 9): 9}
    engine.close()


@pytest.mark.parametrize("flushed", [False, True])
def test_a_database_whose_name_is_lost_gets_one(flushed: bool) -> None:
    disk = SimulatedDisk()
    engine = open_engine(disk)
    engine.create_database("db")
    put(engine, 1, [1], database="db")
    if flushed:
        engine.flush()
        put(engine, 2, [2], database="db")
    disk = disk.crash("all")
    for path in (META, COPY):
        disk.remove(path)
    engine = open_engine(disk)
    found = contents(engine)
    assert sorted(found.values()) == ([1, 2] if flushed else [1])
    (name,) = {cell[0] for cell in found}
    assert (name == "db") == flushed
    assert flushed or any(name in text for text in engine.damage)
    put(engine, 3, [3], database=name)
    engine.close()
    engine = open_engine(disk)
    assert len(contents(engine)) == len(found) + 1
    engine.close()


def test_a_catalog_that_was_rebuilt_is_whole_at_once() -> None:
    """A second crash right after the start finds the names that the first start took from the log."""
    disk = SimulatedDisk()
    engine = open_engine(disk)
    for host in "abc":
        put(engine, 1, [1], host)
    right = values(engine)
    disk = disk.crash("all")
    disk.remove(META)
    Engine.open(disk, "/data", engine.settings, engine.clock)
    disk = disk.crash("all")
    engine = open_engine(disk)
    assert engine.damage == []
    assert values(engine) == right
    assert engine.catalog.durable_series(engine.catalog.database("default").measurements["m"].id) == 3
    engine.close()


def test_the_bytes_left_to_replay_go_down_to_nothing() -> None:
    disk = SimulatedDisk()
    engine = open_engine(disk, wal_file_bytes=500)
    engine.create_database("db")
    put(engine, 0, [0], database="db")
    for value in range(20):
        put(engine, value, [value])
    disk = disk.crash("all")
    engine = Engine.open(disk, "/data", engine.settings, engine.clock)
    assert engine.replay is not None
    before = engine.replay_bytes_left()
    assert before == sum(disk.size(f"/data/wal/{name}") for name in disk.list_dir("/data/wal"))
    engine.replay.read_rows()
    assert engine.replay_bytes_left() == 0
    engine.close(flush=False)
