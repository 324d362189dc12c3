"""Databases, policies and measurements that come and go while points, flushes and merges are under way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from rusts.engine.engine import Engine
from rusts.errors import DatabaseNotFound, InvalidRequest, PolicyNotFound
from rusts.model.accounts import Privilege, Token, User
from rusts.model.store import ContinuousQuery, PolicyInfo, TimeRange
from rusts.model.time import NANOSECONDS
from rusts.model.types import FieldType
from tests.support.disk import SimulatedDisk
from tests.support.engines import EVERYTHING, contents, open_engine, write
from tests.support.model_store import batch_of

HOUR, DAY = NANOSECONDS["h"], NANOSECONDS["d"]
POINTS = [("db", "m", {"host": f"h{n % 3}"}, n * HOUR, {"v": n}) for n in range(12)]


def filled(disk: SimulatedDisk, flush: bool = True) -> Engine:
    engine = open_engine(disk)
    engine.create_database("db")
    write(engine, POINTS)
    if flush:
        engine.flush()
    write(engine, POINTS[:4])
    return engine


def segment_files(disk: SimulatedDisk) -> list[str]:
    return [path for path in disk.paths() if path.endswith(".seg")]


@pytest.mark.parametrize("flush", [True, False])
def test_a_dropped_database_leaves_nothing(flush: bool) -> None:
    disk = SimulatedDisk()
    engine = filled(disk, flush)
    engine.put_user(User("u", "h", False, {"db": Privilege.ALL}))
    engine.put_continuous_query("db", ContinuousQuery("q", "text"))
    engine.drop_database("db")
    engine.drop_database("db")
    assert engine.databases() == ["default"]
    assert engine.budget.write_buffer.used == 0
    assert segment_files(disk) == []
    with pytest.raises(DatabaseNotFound):
        engine.write("db", None, [batch_of("m", [({}, 1, {"v": 1})])])
    for _ in range(2):
        engine.create_database("db")
        assert contents(engine) == {}
        assert engine.measurements("db") == engine.continuous_queries("db") == []
        assert engine.user("u") == User("u", "h")
        # Another type: nothing of the old field is left.
        write(engine, [("db", "m", {"host": "h0"}, 0, {"v": "text"})])
        assert engine.field_types("db", "m") == {"v": FieldType.STRING}
        engine = open_engine(disk.crash("all"))
        engine.drop_database("db")


def test_the_default_database_is_emptied() -> None:
    engine = open_engine(SimulatedDisk())
    write(engine, [("default", "m", {}, 1, {"v": 1})])
    engine.drop_database("default")
    assert (engine.databases(), contents(engine)) == (["default"], {})
    write(engine, [("default", "m", {}, 1, {"v": "s"})])
    assert len(contents(engine)) == 1


@pytest.mark.parametrize("flush", [True, False])
def test_a_dropped_measurement_frees_its_types(flush: bool) -> None:
    disk = SimulatedDisk()
    engine = filled(disk, flush)
    write(engine, [("db", "other", {}, 1, {"v": 1})])
    used = engine.budget.write_buffer.used
    engine.drop_measurement("db", "m")
    engine.drop_measurement("db", "never")
    assert engine.budget.write_buffer.used < used
    for _ in range(2):
        assert engine.measurements("db") == ["other"]
        assert engine.field_types("db", "m") == {}
        assert [cell[1] for cell in contents(engine)] == ["other"]
        engine = open_engine(disk.crash("all"))
    write(engine, [("db", "m", {"host": "h0"}, 0, {"v": "text"})])
    engine.flush()
    engine.compact()
    assert {cell[1:]: v for cell, v in contents(engine).items()} == {
        ("m", (("host", "h0"),), 0, "v"): "text",
        ("other", (), 1, "v"): 1,
    }
    assert not engine.catalog.deletes.purges


def test_policies() -> None:
    disk = SimulatedDisk()
    engine = filled(disk)
    week = PolicyInfo("week", 7 * DAY, 0, 1, False)
    engine.create_policy("db", week)
    engine.create_policy("db", week)
    with pytest.raises(InvalidRequest, match="already exists"):
        engine.create_policy("db", replace(week, duration=8 * DAY))
    with pytest.raises(InvalidRequest, match="conflicts with an existing policy"):
        engine.create_policy("db", replace(week, default=True))
    engine.alter_policy("db", "week", duration=HOUR, shard_duration=HOUR, default=True)
    with pytest.raises(PolicyNotFound):
        engine.alter_policy("db", "never", duration=HOUR)
    now = engine.clock.now_ns()
    outcome = engine.write("db", None, [batch_of("n", [({}, now, {"v": 1}), ({}, now - 2 * HOUR, {"v": 2})])])
    assert [(r.kind, r.message, r.dropped) for r in outcome.rejects] == [
        ("beyond_retention", "points beyond retention policy", 1)
    ]
    engine.drop_policy("db", "autogen")
    engine.drop_policy("db", "autogen")
    assert engine.measurements("db") == ["n"], "the series of the other policy went with their last points"
    engine = open_engine(disk.crash("all"))
    assert engine.policies("db") == [PolicyInfo("week", HOUR, HOUR, 1, True)]
    assert [cell[1] for cell in contents(engine)] == ["n"]
    engine.drop_policy("db", "week")
    with pytest.raises(PolicyNotFound):
        engine.write("db", None, [batch_of("n", [({}, now, {"v": 1})])])


@pytest.mark.parametrize(
    ("work", "drop"),
    [
        ("flush", lambda engine: engine.drop_database("db")),
        ("compact", lambda engine: engine.drop_database("db")),
        ("compact", lambda engine: engine.drop_policy("db", "autogen")),
        ("compact", lambda engine: [engine.drop_partition(info.id) for info in engine.partitions()]),
    ],
)
def test_what_is_dropped_meanwhile_does_not_come_back(
    work: str, drop: Callable[[Engine], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = SimulatedDisk()
    engine = filled(disk)
    engine.flush()
    if work == "flush":
        write(engine, POINTS[:3])
    commit = engine.catalog.commit
    refused: list[bool] = []

    def meanwhile(**given: Any) -> bool:
        monkeypatch.undo()
        drop(engine)
        refused.append(not commit(**given))
        return not refused[0]

    monkeypatch.setattr(engine.catalog, "commit", meanwhile)
    getattr(engine, work)()
    assert refused == [True]
    engine.flush()
    engine.readers.sweep()
    assert engine.catalog.segments() == []
    assert segment_files(disk) == []
    engine = open_engine(disk.crash("all"))
    assert contents(engine) == {}


def test_accounts_are_kept() -> None:
    disk = SimulatedDisk()
    engine = open_engine(disk)
    version = engine.accounts_version
    engine.put_user(User("u", "h", True))
    engine.put_token(Token("t", "d", b"h", ("x",), 1, 2))
    assert engine.accounts_version > version
    engine = open_engine(disk.crash("synced"))
    assert (engine.users(), engine.user("u")) == ([User("u", "h", True)], User("u", "h", True))
    assert engine.tokens() == [Token("t", "d", b"h", ("x",), 1, 2)]
    engine.drop_user("u")
    engine.drop_token("t")
    assert (engine.users(), engine.tokens()) == ([], [])


def test_partitions_are_listed_and_dropped() -> None:
    disk = SimulatedDisk()
    engine = filled(disk, flush=False)
    (info,) = engine.partitions()
    assert (info.database, info.policy, info.start) == ("db", "autogen", 0)
    assert info.expiry == info.end
    assert info.id < 1 << 53
    engine.flush()
    assert engine.partitions() == [info]
    engine.drop_partition(12345)
    assert len(contents(engine)) == len(POINTS)
    engine.drop_partition(info.id)
    for _ in range(2):
        assert contents(engine) == {}
        assert engine.partitions() == engine.measurements("db") == []
        engine = open_engine(disk.crash("all"))
    assert segment_files(disk) == []


def test_series_by_time_are_those_of_1x_shards() -> None:
    engine = open_engine(SimulatedDisk())
    week = 7 * DAY
    monday = 4 * DAY  # of 1970, where 1.x cuts
    points = [("default", "m", {"n": str(n)}, monday + n * week + DAY, {"v": n}) for n in range(4)]
    write(engine, points)

    def shown(start: int, end: int) -> list[str]:
        return engine.tag_values("default", "m", "n", None, TimeRange(start, end)).to_pylist()

    for _ in range(2):
        assert shown(monday, monday + 1) == ["0"]
        assert shown(monday + week - 1, monday + week) == ["0"]
        assert shown(monday + week - 1, monday + week + 1) == ["0", "1"]
        assert shown(5, 5) == []
        assert engine.tag_value_count("default", "m", "n", None, EVERYTHING) == 4
        assert engine.series_count("default", "m", None, TimeRange(monday + 2 * week, monday + 4 * week)) == 2
        assert engine.tag_keys("default", "m", None, TimeRange(0, 1)) == []
        engine.flush()
    assert engine.series_count("default", "never") == 0
    assert engine.tag_values("default", "never", "n").to_pylist() == []
    with pytest.raises(DatabaseNotFound):
        engine.series_count("nope")
