"""Scans: chunks in time order, small ones first, predicates before the other columns."""

from __future__ import annotations

import pytest

from rusts.engine import scan as scan_module
from rusts.engine.scan import scan
from rusts.errors import LimitExceeded
from rusts.model.predicate import CompareOp, FieldCompare, Or, TagIn
from rusts.model.store import ScanRequest, TimeRange
from rusts.model.time import MAX_TIME, MIN_TIME
from rusts.model.types import FieldType
from tests.support.readview import NAME, World, rows_of

ALL = TimeRange(MIN_TIME, MAX_TIME + 1)
TYPES = {"v": FieldType.FLOAT, "w": FieldType.INTEGER, "s": FieldType.STRING}


def times_of(rows: list[tuple[bytes, int, object]]) -> list[int]:
    return sorted(time for _, time, _ in rows)


def test_a_measurement_that_does_not_exist_has_no_rows() -> None:
    found = scan(None, ScanRequest("db", None, "no", ALL))
    assert list(found) == []
    assert (len(found.series), found.field_types, found.series.tag_keys()) == (0, {}, [])
    assert list(found.series.tag("a").codes) == []


def test_later_writes_win_cell_by_cell_wherever_they_are() -> None:
    world = World(TYPES)
    world.write([({}, 1, {"v": 1.0, "w": 1}), ({}, 2, {"v": 2.0})])
    world.flush()
    world.write([({}, 1, {"v": 10.0}), ({}, 3, {"s": "x"})])
    world.seal()
    world.write([({}, 1, {"s": "late"}), ({}, 2, {"v": 20.0}), ({}, 0, {"w": 0})])
    rows = rows_of(scan(world.view(), ScanRequest("db", None, NAME, ALL)))
    assert [(t, c) for _, t, c in rows] == [
        (0, {"w": 0}),
        (1, {"v": 10.0, "w": 1, "s": "late"}),
        (2, {"v": 20.0}),
        (3, {"s": "x"}),
    ]


def test_rows_without_any_asked_field_are_left_out() -> None:
    world = World(TYPES)
    world.write([({}, 1, {"v": 1.0}), ({}, 2, {"w": 2}), ({}, 3, {"v": 3.0, "w": 3})])
    for flush in (False, True):
        if flush:
            world.flush()
        found = scan(world.view(), ScanRequest("db", None, NAME, ALL, fields=("w", "missing")))
        assert [(t, c) for _, t, c in rows_of(found)] == [(2, {"w": 2}), (3, {"w": 3})]
        assert found.field_types == {"w": FieldType.INTEGER}


def test_the_first_chunk_is_small_and_what_follows_is_not_read_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_module, "_FIRST_ROWS", 20)
    for descending in (False, True):
        world = World(TYPES)
        for hour in range(3):
            world.write([({"h": str(h)}, hour * 1000 + t, {"v": 1.0}) for t in range(100) for h in range(4)])
            world.flush()
        chunks = iter(scan(world.view(), ScanRequest("db", None, NAME, ALL, descending=descending)))
        first = next(chunks)
        assert len(first) <= 40
        assert len(first.series) == 4
        order = world.segments[::-1] if descending else world.segments
        assert order[0].section.read
        assert not order[1].section.read
        assert not order[2].section.read
        rest = sum(len(chunk) for chunk in chunks)
        assert len(first) + rest == 1200


def test_a_predicate_is_evaluated_before_other_columns_are_read() -> None:
    world = World(TYPES, batch_rows=10)
    world.write([({}, t, {"v": float(t), "w": t}) for t in range(100)])
    world.flush()
    request = ScanRequest("db", None, NAME, ALL, FieldCompare("v", CompareOp.GE, 87), ("w",))
    rows = rows_of(scan(world.view(), request))
    assert times_of(rows) == list(range(87, 100))
    fields = {f.name: f.id for f in world.measurement.fields.values()}
    read = world.segments[0].section.read
    assert sorted(batch for what, batch in read if what == fields["w"]) == [8, 9]
    assert sorted(batch for what, batch in read if what == fields["v"]) == list(range(10))


def test_tags_and_fields_under_one_or() -> None:
    world = World(TYPES)
    world.write([({"h": h}, t, {"w": t}) for h in "ab" for t in range(4)])
    world.flush()
    world.write([({"h": "a"}, 2, {"w": 9})])
    either = Or((TagIn("h", ("b",)), FieldCompare("w", CompareOp.GT, 2)))
    rows = rows_of(scan(world.view(), ScanRequest("db", None, NAME, ALL, either)))
    assert sorted((key[-1:], time) for key, time, _ in rows) == [
        (b"a", 2), (b"a", 3), (b"b", 0), (b"b", 1), (b"b", 2), (b"b", 3)
    ]  # fmt: skip


def test_a_predicate_sees_merged_cells_not_overwritten_ones() -> None:
    world = World(TYPES)
    world.write([({}, 1, {"v": 1.0, "w": 5})])
    world.flush()
    world.write([({}, 1, {"v": 100.0})])
    over = ScanRequest("db", None, NAME, ALL, FieldCompare("v", CompareOp.GT, 50), ("w",))
    under = ScanRequest("db", None, NAME, ALL, FieldCompare("v", CompareOp.LT, 50), ("w",))
    assert [c for _, _, c in rows_of(scan(world.view(), over))] == [{"w": 5}]
    assert rows_of(scan(world.view(), under)) == []


@pytest.mark.parametrize("what", ["times", "v"])
def test_a_segment_found_damaged_on_the_way_is_skipped(what: str) -> None:
    world = World(TYPES)
    for hour in range(3):
        world.write([({}, hour * 1000 + t, {"v": float(hour)}) for t in range(30)])
        world.flush()
    world.segments[1].section.damaged.add("times" if what == "times" else world.measurement.fields["v"].id)
    found = scan(world.view(), ScanRequest("db", None, NAME, ALL))
    rows = rows_of(found)
    assert {cells["v"] for _, _, cells in rows} == {0.0, 2.0}
    assert len(rows) == 60
    assert len(found.stats.warnings) == 1
    assert [entry.id for entry, _ in world.corruptions] == [2]


def test_a_damaged_newer_segment_uncovers_the_older_cells() -> None:
    world = World(TYPES)
    for value in (1.0, 2.0):
        world.write([({}, t, {"v": value}) for t in range(5)])
        world.flush()
    world.segments[1].section.damaged.add(world.measurement.fields["v"].id)
    rows = rows_of(scan(world.view(), ScanRequest("db", None, NAME, ALL)))
    assert [cells["v"] for _, _, cells in rows] == [1.0] * 5


def test_check_is_told_the_bytes_and_can_end_the_scan() -> None:
    world = World(TYPES, batch_rows=100)
    world.write([({}, t, {"v": 1.0}) for t in range(1000)])
    world.flush()
    told: list[int] = []
    rows_of(scan(world.view(), ScanRequest("db", None, NAME, ALL, check=told.append)))
    assert sum(told) == 16_000

    def check(decoded: int) -> None:
        raise LimitExceeded(f"{decoded} bytes")

    with pytest.raises(LimitExceeded, match="800 bytes"):
        list(scan(world.view(), ScanRequest("db", None, NAME, ALL, check=check)))


def test_times_at_both_ends() -> None:
    world = World(TYPES)
    world.write([({"h": h}, t, {"w": 1}) for h in "ab" for t in (MIN_TIME, -1, 0, MAX_TIME)])
    for flush in (False, True):
        if flush:
            world.flush()
        rows = rows_of(scan(world.view(), ScanRequest("db", None, NAME, ALL)))
        assert times_of(rows) == sorted(2 * [MIN_TIME, -1, 0, MAX_TIME])
        rows = rows_of(scan(world.view(), ScanRequest("db", None, NAME, TimeRange(MIN_TIME, MAX_TIME))))
        assert times_of(rows) == sorted(2 * [MIN_TIME, -1, 0])
