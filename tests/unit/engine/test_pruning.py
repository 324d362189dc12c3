"""What a read does not have to look at, and what happens to what it cannot read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rusts.engine.fold import fold
from rusts.engine.pruning import begin
from rusts.engine.rowfilter import compare, split_predicate
from rusts.engine.scan import scan
from rusts.errors import Corruption, FormatTooNew, InvalidRequest
from rusts.model.partial import State, StateKind
from rusts.model.predicate import And, CompareOp, FieldCompare, FieldRegex, Or, Predicate, TagIn, TagRegex
from rusts.model.store import FoldRequest, ScanRequest, TimeRange
from rusts.model.time import MAX_TIME, MIN_TIME
from rusts.model.types import FieldType
from rusts.segment.reader import Directory, Section
from tests.support.model_store import column_of, python_values
from tests.support.readview import NAME, World, rows_of

ALL = TimeRange(MIN_TIME, MAX_TIME + 1)
TYPES = {"v": FieldType.FLOAT, "w": FieldType.INTEGER}


def world_of_hours(hours: int = 4, hosts: int = 3) -> World:
    """A segment for each hour of 60 rows a host, batches of 16 rows."""
    world = World(TYPES)
    for hour in range(hours):
        world.write(
            [({"host": f"h{h}"}, hour * 3600 + m * 60, {"v": float(h)}) for m in range(60) for h in range(hosts)]
        )
        world.flush()
    return world


def count(world: World, range: TimeRange = ALL, predicate: TagIn | None = None, field: str = "v") -> tuple[int, object]:
    state = State(StateKind.COUNT, field)
    result = fold(world.view(), FoldRequest("db", None, NAME, range, (state,), predicate))
    return int(result.states[state].count.sum()), result.stats


def test_segments_outside_the_time_are_not_opened() -> None:
    world = world_of_hours()
    for segment in world.segments[2:]:
        segment.trouble = AssertionError("opened")
    reading = begin(world.view(), TimeRange(0, 7200), None, ["v"], None)
    assert (reading.stats.segments, reading.stats.segments_pruned) == (2, 2)


def test_sections_without_the_field_or_the_series_are_left_out() -> None:
    world = world_of_hours(2)
    world.write([({"host": "new"}, 60, {"w": 1})])
    world.flush()
    reading = begin(world.view(), ALL, None, ["w"], None)
    assert (reading.stats.segments, reading.stats.segments_pruned) == (1, 2)
    reading = begin(world.view(), ALL, TagIn("host", ("new",)), ["v", "w"], None)
    assert (reading.stats.segments, reading.stats.segments_pruned, reading.stats.series) == (1, 2, 1)
    assert begin(world.view(), ALL, None, ["nobody has it"], None).parts == []
    assert begin(world.view(), TimeRange(5, 5), None, ["v"], None).parts == []


def test_only_batches_of_the_wanted_run_and_time_are_decoded() -> None:
    world = world_of_hours(1)
    rows = rows_of(
        scan(world.view(), ScanRequest("db", None, NAME, TimeRange(600, 720), TagIn("host", ("h1",)), ("v",)))
    )
    assert [time for _, time, _ in rows] == [600, 660]
    # Host h1 has the rows 60..119; batches 3 and 7 also hold rows of its neighbours, so only their times can tell.
    section = world.segments[0].section
    assert {batch for what, batch in section.read if what != "times"} == {70 // 16}
    assert {batch for what, batch in section.read if what == "times"} == {3, 70 // 16, 7}


def test_dropped_series_are_gone() -> None:
    world = world_of_hours(1)
    world.measurement.index.drop(np.array([1], dtype=np.uint32))
    rows = rows_of(scan(world.view(), ScanRequest("db", None, NAME, ALL)))
    assert len(rows) == 120
    assert not [key for key, _, _ in rows if key.endswith(b"h1")]
    assert count(world)[0] == 120


@pytest.mark.parametrize("trouble", [Corruption("x", 1, "bad"), FormatTooNew("x", 9, 1), FileNotFoundError("gone")])
def test_a_segment_that_cannot_be_opened_is_named_and_skipped(trouble: Exception) -> None:
    world = world_of_hours(3)
    world.segments[1].trouble = trouble
    found, stats = count(world)
    assert found == 360
    assert stats.warnings == [f"segment 2.seg was skipped: {trouble}"]
    assert world.corruptions == [(world.segments[1].entry, trouble)]


def test_other_trouble_ends_the_read() -> None:
    world = world_of_hours(1)
    world.segments[0].trouble = PermissionError("no")
    with pytest.raises(PermissionError):
        count(world)


def test_a_bad_pattern_is_the_requests_fault() -> None:
    world = World({"s": FieldType.STRING})
    world.write([({}, 1, {"s": "a"})])
    for predicate in (FieldRegex("s", "("), TagRegex("host", "(")):
        with pytest.raises(InvalidRequest, match="regular expression"):
            rows_of(scan(world.view(), ScanRequest("db", None, NAME, ALL, predicate)))


def test_tags_are_split_from_rows() -> None:
    tag, other = TagIn("a", ("x",)), TagRegex("b", "y")
    row, mixed = FieldCompare("v", CompareOp.GT, 1), Or((tag, FieldCompare("w", CompareOp.EQ, 2)))
    assert split_predicate(None) == (None, None)
    assert split_predicate(tag) == (tag, None)
    assert split_predicate(And((tag, And((row, Or((tag, other)))), mixed))) == (
        And((tag, Or((tag, other)))),
        And((row, mixed)),
    )


NUMBERS = [
    0,
    1,
    -1,
    2.5,
    -0.5,
    2**53,
    2**53 + 1,
    float(2**53),
    2**63 - 1,
    2**63,
    2**64 - 1,
    2**64,
    -(2**63),
    -(2**63) - 1,
]
NUMBERS += [float(2**63), float(2**64), 1e300, -1e300, 10**400, -(10**400), float("inf"), float("-inf"), float("nan")]
STORED = {
    FieldType.FLOAT: [
        0.0,
        -0.0,
        1.0,
        2.5,
        -0.5,
        float(2**53),
        float(2**63),
        1e300,
        float("inf"),
        float("-inf"),
        float("nan"),
    ],
    FieldType.INTEGER: [0, 1, -1, 2, 3, 2**53, 2**53 + 1, 2**63 - 1, -(2**63)],
    FieldType.UNSIGNED: [0, 1, 2, 3, 2**53 + 1, 2**63, 2**64 - 1],
    FieldType.BOOLEAN: [True, False],
    FieldType.STRING: ["", "a", "é"],
}
OPERATIONS = {
    CompareOp.EQ: lambda a, b: a == b,
    CompareOp.NE: lambda a, b: a != b,
    CompareOp.LT: lambda a, b: a < b,
    CompareOp.LE: lambda a, b: a <= b,
    CompareOp.GT: lambda a, b: a > b,
    CompareOp.GE: lambda a, b: a >= b,
}


@pytest.mark.parametrize("type", list(FieldType))
@pytest.mark.parametrize("op", list(CompareOp))
def test_comparisons_are_exact_by_value(type: FieldType, op: CompareOp) -> None:
    column = column_of(type, STORED[type])
    values = python_values(column)
    for constant in [*NUMBERS, True, False, "a", ""]:
        number = not isinstance(constant, str | bool)
        if type.numeric and number:
            wanted = [OPERATIONS[op](value, constant) for value in values]
        elif (isinstance(constant, bool) and type is FieldType.BOOLEAN) or (
            isinstance(constant, str) and type is FieldType.STRING
        ):
            ordered = op not in (CompareOp.EQ, CompareOp.NE)
            wanted = [not ordered and OPERATIONS[op](value, constant) for value in values]
        else:
            wanted = [False] * len(values)
        assert compare(column, op, constant).tolist() == wanted, constant


@pytest.mark.parametrize(
    ("predicate", "opened"),
    [
        (TagIn("rack", ("r1",)), 1),
        (And((TagRegex("host", "."), TagIn("rack", ("r1", "no")))), 1),
        (Or((TagIn("rack", ("r0",)), TagIn("rack", ("r2",)))), 2),
        (Or((TagIn("rack", ("r0",)), TagRegex("rack", "r"))), 3),
        (TagIn("rack", ("r1",), negated=True), 3),
    ],
)
def test_directories_that_the_bloom_filter_rules_out_are_not_read(
    predicate: Predicate, opened: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rusts.engine.pruning._LARGE_DIRECTORY", 1)
    world = World(TYPES, directory=str(tmp_path))
    for rack in range(3):
        world.write([({"host": f"h{rack}-{n}", "rack": f"r{rack}"}, n, {"v": 1.0}) for n in range(40)])
        world.flush()
    read: list[int] = []
    directory = Section.directory

    def noted(section: Section) -> Directory:
        read.append(section.rows)
        return directory(section)

    monkeypatch.setattr(Section, "directory", noted)
    reading = begin(world.view(), ALL, predicate, ["v"], None)
    assert len(read) == opened
    assert sum(len(part) for part in reading.parts) == len(reading.matched)
