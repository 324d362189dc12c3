"""Names to ids, and InfluxDB's reasons to drop a point: each point for its own fault, and whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from rusts.catalog.catalog import Catalog
from rusts.catalog.schema import Database, Policy
from rusts.engine.resolve import Limits, resolve
from rusts.model.batch import Rows
from rusts.model.series import decode_key
from rusts.model.store import Reject
from rusts.model.types import FieldType
from tests.support.disk import SimulatedDisk
from tests.support.model_store import Tags, Value, batch_of, python_values

NOW = 1_000_000
Points = Sequence[tuple[Tags, int, Mapping[str, Value]]]


class World:
    """A catalog with one database, and points written to it."""

    def __init__(self, limits: Limits | None = None, duration: int = 0) -> None:
        disk = SimulatedDisk()
        disk.make_dir("/data")
        self.catalog = Catalog.open(disk, "/data")
        self.database: Database = self.catalog.database("default")
        self.limits = limits or Limits()
        policy = self.catalog.policy(self.database, None)
        self.policy = Policy(policy.id, policy.name, duration, 1, 1, True)

    def put(
        self, measurement: str, points: Points, types: Mapping[str, FieldType] | None = None
    ) -> tuple[Rows | None, list[Reject]]:
        batch = batch_of(measurement, points, types)
        return resolve(self.catalog, self.database, self.policy, batch, self.limits, NOW)

    def rows(self, rows: Rows | None) -> list[tuple[Tags, int, dict[str, Value]]]:
        """What is to be stored, by name."""
        if rows is None:
            return []
        measurement = self.catalog.measurement(rows.measurement)
        assert measurement is not None
        names = {field.id: field.name for field in measurement.fields.values()}
        columns = {names[number]: python_values(column) for number, column in rows.columns.items()}
        return [
            (
                decode_key(measurement.index.key(number))[1],
                time,
                {name: values[row] for name, values in columns.items() if values[row] is not None},
            )
            for row, (number, time) in enumerate(zip(rows.series.tolist(), rows.times.tolist(), strict=True))
        ]

    def schema(self) -> dict[str, tuple[dict[str, FieldType], int]]:
        """Fields and number of series of each measurement."""
        measurements = self.database.measurements.values()
        return {m.name: ({f.name: f.type for f in m.fields.values()}, m.index.count()) for m in measurements}


def texts(rejects: list[Reject]) -> list[tuple[str, str, list[int]]]:
    return [(r.kind, r.message, r.starts.tolist()) for r in rejects]


def test_good_points_get_ids_and_keep_their_order() -> None:
    world = World()
    points = [({"b": "2", "a": "1"}, 5, {"v": 1.0}), ({}, -7, {"w": "x"}), ({"a": "1", "b": "2"}, 5, {"v": 2.0})]
    rows, rejects = world.put("m", points)
    assert world.rows(rows) == [
        ({"a": "1", "b": "2"}, 5, {"v": 1.0}),
        ({}, -7, {"w": "x"}),
        (points[2][0], 5, {"v": 2.0}),
    ]
    assert rejects == []
    assert world.schema() == {"m": ({"v": FieldType.FLOAT, "w": FieldType.STRING}, 2)}
    again, _ = world.put("m", points)
    assert rows is not None
    assert again is not None
    assert again.measurement == rows.measurement
    assert again.series.tolist() == rows.series.tolist()
    assert list(again.columns) == list(rows.columns)


def test_a_conflict_drops_the_whole_point_and_no_other() -> None:
    world = World()
    world.put("a", [({}, 0, {"b": 1.5})])
    points = [({}, 1, {"b": "text", "c": 1}), ({"new": "x"}, 2, {"b": 3}), ({}, 3, {"b": 2.5})]
    rows, rejects = world.put("a", points)
    assert world.rows(rows) == [({}, 3, {"b": 2.5})]
    text = 'field type conflict: input field "b" on measurement "a" is type {}, already exists as type float'
    assert sorted(texts(rejects)) == [
        ("field_type_conflict", text.format("integer"), [1]),
        ("field_type_conflict", text.format("string"), [0]),
    ]
    assert world.schema() == {"a": ({"b": FieldType.FLOAT}, 1)}, "dropped points make no field and no series"


def test_a_point_is_counted_for_one_reason_only() -> None:
    world = World()
    world.put("a", [({}, 0, {"x": 1.0, "y": 1.0})])
    _, rejects = world.put("a", [({}, 1, {"x": 1, "y": 1})])
    assert sum(r.dropped for r in rejects) == 1


def test_the_first_point_taken_decides_the_type_of_a_new_field() -> None:
    world = World()
    rows, rejects = world.put("m", [({}, 1, {"v": 1}), ({}, 2, {"v": 2.0}), ({}, 3, {"v": 3}), ({}, 4, {"v": "x"})])
    assert world.rows(rows) == [({}, 1, {"v": 1}), ({}, 3, {"v": 3})]
    assert sorted(start for r in rejects for start in r.starts.tolist()) == [1, 3]
    assert all("already exists as type integer" in r.message for r in rejects)
    assert world.schema()["m"][0] == {"v": FieldType.INTEGER}


def test_a_point_that_is_dropped_does_not_decide() -> None:
    world = World()
    world.put("m", [({}, 0, {"old": 1.0})])
    rows, rejects = world.put("m", [({}, 1, {"old": "no", "v": 1}), ({}, 2, {"v": 2.0})])
    assert world.rows(rows) == [({}, 2, {"v": 2.0})]
    assert [r.starts.tolist() for r in rejects] == [[0]]
    assert world.schema()["m"][0] == {"old": FieldType.FLOAT, "v": FieldType.FLOAT}


def test_one_point_with_one_field_in_two_types_goes() -> None:
    world = World()
    batch = batch_of("m", [({}, 1, {"v": 1}), ({}, 2, {"v": 2})])
    both = batch_of("m", [({}, 1, {"v": 1.0}), ({}, 2, {"w": 2.0})])
    batch.columns |= both.columns
    rows, rejects = resolve(world.catalog, world.database, world.policy, batch, Limits(), NOW)
    assert world.rows(rows) == [({}, 2, {"v": 2, "w": 2.0})]
    assert [r.starts.tolist() for r in rejects] == [[0]]


def test_types_are_named_as_influxdb_names_them() -> None:
    world = World()
    world.put("m", [({}, 0, {"v": True})])
    for value, type, text in [(1, FieldType.UNSIGNED, "unsigned"), (1, None, "integer"), ("s", None, "string")]:
        rows, rejects = world.put("m", [({}, 1, {"v": value})], {"v": type} if type else None)
        assert rows is None
        assert f"is type {text}, already exists as type boolean" in rejects[0].message


def test_a_tag_named_time_drops_the_point() -> None:
    world = World()
    rows, rejects = world.put("m47", [({"time": "x"}, 1, {"v": 1.0}), ({"a": "time"}, 2, {"v": 2.0})])
    assert world.rows(rows) == [({"a": "time"}, 2, {"v": 2.0})]
    assert texts(rejects) == [
        ("invalid_tag_key", 'invalid tag key: input tag "time" on measurement "m47" is invalid', [0])
    ]
    assert world.schema()["m47"][1] == 1
    assert world.put("none", [({"time": "x"}, 1, {"v": 1.0})])[0] is None
    assert "none" not in world.schema()


def test_a_field_named_time_goes_and_takes_the_point_with_it_if_it_is_alone() -> None:
    world = World()
    rows, rejects = world.put("m48", [({}, 1, {"time": 1.0}), ({}, 2, {"time": 5, "v": 2.0}), ({}, 3, {"v": 3.0})])
    assert world.rows(rows) == [({}, 2, {"v": 2.0}), ({}, 3, {"v": 3.0})]
    text = 'invalid field name: input field "time" on measurement "m48" is invalid'
    assert texts(rejects) == [
        ("invalid_field_name", text, [0]),
        ("field_stripped", text + '. Field "time" has been stripped from point.', [1]),
    ]
    assert [r.dropped for r in rejects] == [1, 0]
    assert world.schema()["m48"][0] == {"v": FieldType.FLOAT}
    assert world.put("none", [({}, 1, {"time": 1.0})])[0] is None
    assert "none" not in world.schema()


def test_points_older_than_the_policy_are_dropped() -> None:
    world = World(duration=1000)
    points = [({"a": "old"}, NOW - 1001, {"v": 1.0, "x": 1}), ({}, NOW - 1000, {"v": 2.0}), ({}, NOW * 9, {"v": 3.0})]
    rows, rejects = world.put("m", points)
    assert [time for _, time, _ in world.rows(rows)] == [NOW - 1000, NOW * 9]
    assert texts(rejects) == [("beyond_retention", "points beyond retention policy", [0])]
    assert world.schema() == {"m": ({"v": FieldType.FLOAT}, 1)}
    assert world.put("old", points[:1])[0] is None
    assert "old" not in world.schema()


def test_max_values_per_tag_refuses_only_what_is_new() -> None:
    world = World(Limits(values_per_tag=2))
    assert not world.put("m", [({"t": "a"}, 1, {"v": 1.0}), ({"t": "b"}, 1, {"v": 1.0})])[1]
    points = [({"t": "a"}, 2, {"v": 2.0}), ({"t": "c"}, 2, {"v": 2.0}), ({"t": "b", "u": "1"}, 2, {"v": 2.0})]
    rows, rejects = world.put("m", points)
    assert [tags for tags, _, _ in world.rows(rows)] == [{"t": "a"}, {"t": "b", "u": "1"}]
    text = 'max-values-per-tag limit exceeded (3/2): measurement="m" tag="t" value="c"'
    assert texts(rejects) == [("max_values", text, [1])]
    assert world.schema()["m"][1] == 3
    assert not world.put("other", [({"t": "c"}, 1, {"v": 1.0})])[1], "the limit is of one measurement's tag"


def test_max_series_counts_the_whole_database_and_refuses_only_what_is_new() -> None:
    world = World(Limits(series_per_database=3))
    assert not world.put("m", [({"t": "a"}, 1, {"v": 1.0})])[1]
    points = [({"t": str(i)}, i, {"v": 1.0}) for i in range(4)]
    rows, rejects = world.put("n", points)
    assert [time for _, time, _ in world.rows(rows)] == [0, 1]
    assert texts(rejects) == [("max_series", "max-series-per-database limit exceeded: (3)", [2, 3])]
    rows, rejects = world.put("m", [({"t": "a"}, 5, {"v": 1.0}), ({"t": "b"}, 5, {"v": 1.0})])
    assert [tags for tags, _, _ in world.rows(rows)] == [{"t": "a"}]
    assert len(rejects) == 1


@pytest.mark.parametrize("measurement", ["m", "größe, x"])
def test_a_column_that_only_dropped_points_filled_is_not_written(measurement: str) -> None:
    world = World()
    world.put(measurement, [({}, 0, {"a": 1.0, "b": 1.0})])
    rows, _ = world.put(measurement, [({}, 1, {"a": 1, "b": 5.0}), ({}, 2, {"a": 3.0})])
    assert rows is not None
    assert len(rows.columns) == 1
    assert np.array_equal(rows.times, [2])
