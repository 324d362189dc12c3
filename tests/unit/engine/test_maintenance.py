"""What operators see: checks, statistics, cardinality."""

from __future__ import annotations

import json

import pytest

from rusts.errors import DatabaseNotFound
from tests.support.disk import SimulatedDisk
from tests.support.engines import Point, open_engine, write


def points(database: str, hosts: int, measurement: str = "cpu") -> list[Point]:
    return [(database, measurement, {"host": f"h{n}", "rack": f"r{n % 2}"}, n, {"v": n}) for n in range(hosts)]


def test_a_healthy_engine_says_so() -> None:
    engine = open_engine(SimulatedDisk())
    checks = engine.health()
    assert [c.name for c in checks] == ["log", "disk", "flush", "segments", "catalog", "start"]
    assert all(c.ok for c in checks)
    engine.damage.append("something was lost")
    engine.flush_error = "no room"
    engine.catalog.copy_error = "not written"
    engine.log.failed = True
    assert {c.name: c.message for c in engine.health() if not c.ok} == {
        "log": "syncing failed",
        "flush": "no room",
        "catalog": "not written",
        "start": "something was lost",
    }


def test_statistics_add_up() -> None:
    engine = open_engine(SimulatedDisk())
    engine.create_database("other")
    write(engine, points("default", 5))
    write(engine, points("other", 3))
    stats = engine.stats()
    json.dumps(stats)
    assert stats["memtable"]["active_points"] == 8
    assert stats["memtable"]["flushing_points"] == 0
    assert stats["memtable"]["active_size"] == engine.budget.write_buffer.used
    assert stats["series"] == 8
    assert stats["points_written"] == 8
    assert stats["wal"]["replay_bytes_left"] == 0
    with engine.write_lock:
        engine._seal(engine.data_of(*next(d for d in engine.policies_data if engine.policies_data[d].active.points)))
    assert engine.stats()["memtable"]["flushing_points"] == 5
    engine.flush()
    write(engine, points("other", 3))
    engine.flush()
    stats = engine.stats()
    assert stats["memtable"]["active_points"] == stats["memtable"]["flushing_points"] == 0
    assert stats["segments"]["count"] == 3
    assert stats["segments"]["rows"] == 11
    assert stats["segments"]["bytes"] == sum(d["bytes"] for d in stats["databases"].values()) > 0
    assert stats["flushes"] == 3
    assert {n: (d["segments"], d["rows"], d["series"]) for n, d in stats["databases"].items()} == {
        "default": (1, 5, 5),
        "other": (2, 6, 3),
    }
    engine.compact()
    stats = engine.stats()
    assert (stats["compactions"], stats["segments"]["rows"]) == (1, 8)
    assert stats["compacted_bytes"] == stats["databases"]["other"]["bytes"]
    engine.close()


def test_cardinality_shows_the_largest_first() -> None:
    engine = open_engine(SimulatedDisk())
    write(engine, points("default", 3, "few") + points("default", 9, "many"))
    found = engine.cardinality("default", top=2)
    assert found == {
        "database": "default",
        "series": 12,
        "measurements": [{"measurement": "many", "series": 9}, {"measurement": "few", "series": 3}],
        "tags": [
            {"measurement": "many", "tag": "host", "values": 9, "series": 9},
            {"measurement": "few", "tag": "host", "values": 3, "series": 3},
        ],
    }
    assert len(engine.cardinality("default")["tags"]) == 4
    with pytest.raises(DatabaseNotFound):
        engine.cardinality("no")
    engine.close()
