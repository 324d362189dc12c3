"""Deletes on one engine: hidden at once, never back, and their bytes come back with compaction."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

import pytest

from rusts.engine import compaction
from rusts.engine.engine import Engine
from rusts.errors import Corruption, DatabaseNotFound, InvalidRequest, NotReady, PolicyNotFound
from rusts.model.predicate import And, CompareOp, FieldCompare, Or, Predicate, TagIn, TagRegex
from rusts.model.series import decode_key
from rusts.model.store import PolicyInfo, ScanRequest, TimeRange
from rusts.wal.sync import LogMode
from tests.support.disk import SimulatedDisk
from tests.support.engines import EVERYTHING, Point, contents, open_engine, write
from tests.support.model_store import batch_of

HOUR = 3_600_000_000_000


def grid(hosts: int = 3, hours: int = 4, measurement: str = "m") -> list[Point]:
    return [
        ("default", measurement, {"host": f"h{h}"}, t * HOUR, {"v": 10 * h + t})
        for h in range(hosts)
        for t in range(hours)
    ]


def seen(engine: Engine, measurement: str = "m") -> set[tuple[str, int]]:
    """Host and hour of each point."""
    return {(dict(cell[2])["host"], cell[3] // HOUR) for cell in contents(engine) if cell[1] == measurement}


def shown(engine: Engine, measurement: str = "m") -> list[str]:
    series = engine.select_series("default", measurement)
    return sorted(decode_key(series.key(n))[1]["host"] for n in range(len(series)))


ALL = {(f"h{h}", t) for h in "012" for t in range(4)}
EITHER = Or((TagIn("host", ("h0",)), FieldCompare("v", CompareOp.EQ, 20)))

ACTS: list[tuple[str, Callable[[Engine], None]]] = [
    ("memory", lambda engine: None),
    ("segments", lambda engine: engine.flush()),
    ("merged", lambda engine: (engine.flush(), engine.compact())[1]),
]


@pytest.mark.parametrize(("before", "prepare"), ACTS)
@pytest.mark.parametrize(
    ("range", "predicate", "left"),
    [
        (TimeRange(HOUR, 3 * HOUR), None, ALL - {(f"h{h}", t) for h in "012" for t in (1, 2)}),
        (TimeRange(0, 4 * HOUR), TagIn("host", ("h1",)), {point for point in ALL if point[0] != "h1"}),
        (TimeRange(0, 1), TagRegex("host", "h[12]"), ALL - {("h1", 0), ("h2", 0)}),
        (EVERYTHING, FieldCompare("v", CompareOp.GE, 12), {("h0", t) for t in range(4)} | {("h1", 0), ("h1", 1)}),
        (TimeRange(0, 2 * HOUR), EITHER, ALL - {("h0", 0), ("h0", 1), ("h2", 0)}),
        (EVERYTHING, None, set()),
    ],
)
def test_points_are_gone_at_once_and_for_good(
    before: str,
    prepare: Callable[[Engine], None],
    range: TimeRange,
    predicate: Predicate | None,
    left: set[tuple[str, int]],
) -> None:
    disk = SimulatedDisk()
    engine = open_engine(disk)
    write(engine, grid())
    prepare(engine)
    engine.delete("default", ["m", "never"], range, predicate)
    hosts = sorted({host for host, _ in left})
    for step in ("at once", "flushed", "merged", "reopened", "crashed"):
        assert seen(engine) == left, step
        assert shown(engine) == hosts, step
        assert engine.measurements("default") == (["m"] if left else [])
        if step == "at once":
            engine.flush()
        elif step == "flushed":
            engine.compact()
        elif step == "merged":
            engine.close()
            engine = open_engine(disk)
        elif step == "reopened":
            engine = open_engine(disk.crash("all"))
    assert engine.field_types("default", "m") != {}, "only dropping the measurement frees the types"


@pytest.mark.parametrize("keep", ["all", "synced"])
def test_a_log_that_still_has_the_points_does_not_bring_them_back(keep: str) -> None:
    disk = SimulatedDisk()
    engine = open_engine(disk, LogMode.EVERY_WRITE)
    write(engine, grid())
    engine.delete("default", ["m"], TimeRange(0, 2 * HOUR))
    engine.drop_series("default", ["m"], TagIn("host", ("h2",)))
    write(engine, [("default", "m", {"host": "h0"}, 0, {"v": 99}), ("default", "m", {"host": "h2"}, HOUR, {"v": 98})])
    engine = open_engine(disk.crash(keep))  # type: ignore[arg-type]
    left = {("h0", 0), ("h0", 2), ("h0", 3), ("h1", 2), ("h1", 3), ("h2", 1)}
    assert seen(engine) == left
    assert engine.catalog.deletes.tombstones()
    engine.flush()
    assert seen(engine) == left
    engine.compact()
    assert seen(engine) == left
    assert shown(engine) == ["h0", "h1", "h2"]


def test_what_is_written_later_stays_whatever_is_merged_with_it() -> None:
    engine = open_engine(SimulatedDisk())
    for turn in range(6):
        write(engine, grid())
        engine.delete("default", ["m"], TimeRange(0, HOUR), TagIn("host", ("h0",)))
        write(engine, [("default", "m", {"host": "h0"}, 0, {"v": turn})])
        engine.flush()
        while compaction.compact_once(engine):
            pass
        assert contents(engine)["default", "m", (("host", "h0"),), 0, "v"] == turn
    engine.delete("default", ["m"], TimeRange(0, 1))
    assert seen(engine) == {(f"h{h}", t) for h in "012" for t in (1, 2, 3)}


def test_a_series_written_again_is_a_new_one() -> None:
    disk = SimulatedDisk()
    engine = open_engine(disk)
    write(engine, grid())
    engine.drop_series("default", ["m"], TagIn("host", ("h1",)))
    assert shown(engine) == ["h0", "h2"]
    assert engine.series_count("default") == 2
    write(engine, [("default", "m", {"host": "h1"}, 9 * HOUR, {"v": 1})])
    for _ in range(2):
        assert shown(engine) == ["h0", "h1", "h2"]
        assert {t for host, t in seen(engine) if host == "h1"} == {9}
        engine = open_engine(disk.crash("all"))


def test_a_delete_holds_for_all_policies_or_for_one() -> None:
    engine = open_engine(SimulatedDisk())
    engine.create_policy("default", PolicyInfo("long", 0, 0, 1, False))
    for policy in ("autogen", "long"):
        engine.write("default", policy, [batch_of("m", [({"host": "a"}, n, {"v": n}) for n in range(4)])])

    def times(policy: str) -> list[int]:
        return [int(t) for chunk in engine.scan(ScanRequest("default", policy, "m", EVERYTHING)) for t in chunk.times]

    engine.delete("default", ["m"], TimeRange(0, 1))
    engine.delete("default", ["m"], TimeRange(1, 2), policy="long")
    engine.delete("default", ["m"], EVERYTHING, FieldCompare("v", CompareOp.EQ, 2), policy="autogen")
    assert (times("autogen"), times("long")) == ([1, 3], [2, 3])
    engine.delete("default", ["m"], EVERYTHING, policy="autogen")
    assert (times("autogen"), times("long")) == ([], [2, 3])
    assert shown_names(engine) == ["m"]
    engine.drop_policy("default", "long")
    assert shown_names(engine) == []


def shown_names(engine: Engine) -> list[str]:
    return engine.measurements("default")


def test_the_bytes_come_back() -> None:
    disk = SimulatedDisk()
    engine = open_engine(disk)
    rng = random.Random(5)
    points: list[Point] = [
        ("default", "m", {"host": f"h{h}"}, t * 1_000_000_000, {"v": rng.random()})
        for h in range(40)
        for t in range(50)
    ]
    write(engine, points)
    engine.flush()
    engine.compact()

    def segment_bytes() -> int:
        return sum(disk.size(path) for path in disk.paths() if "/segments/" in path)

    whole = segment_bytes()
    engine.drop_series("default", ["m"], TagRegex("host", "h[0-9]*[02468]$"))
    engine.compact()
    assert segment_bytes() < 0.55 * whole
    engine.delete("default", ["m"], TimeRange(0, 25_000_000_000))
    engine.compact()
    assert segment_bytes() < 0.3 * whole
    engine.drop_measurement("default", "m")
    engine.compact()
    assert segment_bytes() == 0


def test_tombstones_go_once_nothing_can_need_them() -> None:
    disk = SimulatedDisk()
    engine = open_engine(disk)
    engine.create_database("other")
    write(engine, [("other", "m", {"host": "x"}, 1, {"v": 1})])
    write(engine, grid())
    engine.delete("default", ["m"], TimeRange(0, HOUR))
    engine.drop_series("default", ["m"], TagIn("host", ("h1",)))
    engine.compact()
    assert engine.catalog.deletes.tombstones(), "the points are in memory still"
    engine.flush_step(0.0)
    engine.compact()
    assert engine.catalog.deletes.tombstones(), "the log still has the points, for the sake of the other database"
    engine = open_engine(disk.crash("all"))
    assert engine.catalog.deletes.tombstones()
    engine.flush()
    engine.compact()
    assert not engine.catalog.deletes.tombstones()
    assert not engine.catalog.deletes.purges
    assert seen(engine) == {(h, t) for h in ("h0", "h2") for t in (1, 2, 3)} | {("x", 0)}
    assert not compaction.compact_once(engine, everything=True)


def test_nothing_is_merged_over_a_delete_that_looks_for_its_points(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = open_engine(SimulatedDisk())
    for turn in range(3):
        write(engine, grid(hosts=turn + 1))
        engine.flush()
    recorded = engine.catalog.record_delete

    def meanwhile(*given: object) -> None:
        # New points of a deleted time, in a segment beside the old ones.
        engine.write_lock.release()
        write(engine, [("default", "m", {"host": "h0"}, 0, {"v": 77})])
        engine.flush()
        engine.compact()
        engine.write_lock.acquire()
        recorded(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(engine.catalog, "record_delete", meanwhile)
    engine.delete("default", ["m"], TimeRange(0, 2 * HOUR))
    monkeypatch.undo()
    left = {("h0", 0)} | {(f"h{h}", t) for h in "012" for t in (2, 3)}
    assert seen(engine) == left
    engine.compact()
    assert seen(engine) == left


def test_deletes_beside_writers_take_nothing_that_came_later() -> None:
    engine = open_engine(SimulatedDisk())
    done = threading.Event()
    written: list[int] = []
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for turn in range(150):
                time = 10**15 + turn
                engine.write("default", None, [batch_of("m", [({"host": f"h{turn % 5}"}, time, {"v": turn})])])
                written.append(time)
        except BaseException as problem:
            failures.append(problem)
        finally:
            done.set()

    thread = threading.Thread(target=work)
    thread.start()
    while not done.is_set():
        engine.delete("default", ["m"], TimeRange(0, 10**15))
        engine.delete("default", ["m"], TimeRange(0, 10**15), FieldCompare("v", CompareOp.GE, 0))
        engine.flush()
        compaction.compact_once(engine)
    thread.join()
    assert not failures
    assert sorted(cell[3] for cell in contents(engine)) == written


def test_what_is_refused() -> None:
    engine = open_engine(SimulatedDisk())
    write(engine, grid())
    with pytest.raises(DatabaseNotFound):
        engine.delete("nope", ["m"], EVERYTHING)
    with pytest.raises(DatabaseNotFound):
        engine.drop_series("nope", ["m"])
    with pytest.raises(PolicyNotFound):
        engine.delete("default", ["m"], TimeRange(0, 1), policy="nope")
    with pytest.raises(InvalidRequest, match="fields not supported"):
        engine.drop_series("default", ["m"], And((TagIn("host", ("a",)), FieldCompare("v", CompareOp.EQ, 1))))
    with pytest.raises(InvalidRequest, match="regular expression"):
        engine.delete("default", ["m"], TimeRange(0, 1), TagRegex("host", "("))
    engine.delete("default", [], EVERYTHING)
    engine.delete("default", ["m"], TimeRange(5, 5))
    assert len(seen(engine)) == 12
    assert not engine.pending_deletes
    assert not engine.catalog.deletes.purges


def test_nothing_is_deleted_before_the_log_is_replayed() -> None:
    disk = SimulatedDisk()
    write(open_engine(disk), grid())
    settings = open_engine(SimulatedDisk()).settings
    engine = Engine.open(disk.crash("all"), "/data", settings, open_engine(SimulatedDisk()).clock)
    with pytest.raises(NotReady):
        engine.delete("default", ["m"], EVERYTHING)
    with pytest.raises(NotReady):
        engine.drop_measurement("default", "m")


def test_a_damaged_segment_is_no_reason_to_drop_its_series() -> None:
    disk = SimulatedDisk()
    engine = open_engine(disk)
    write(engine, grid())
    engine.flush()
    engine.close()
    (path,) = [path for path in disk.paths() if "/segments/" in path]
    disk.corrupt(path, disk.size(path) - 40)
    engine = open_engine(disk)
    with pytest.raises(Corruption):
        engine.delete("default", ["m"], EVERYTHING, FieldCompare("v", CompareOp.GE, 0))
    engine.delete("default", ["m"], TimeRange(0, 9 * HOUR))
    assert shown(engine) == ["h0", "h1", "h2"]
    engine.compact()
    assert engine.catalog.deletes.tombstones(), "the file may be mended"
