"""Folds: cells, buckets at all ends of time, statistics, last values, groups."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rusts.engine.fold import fold
from rusts.engine.grid import Buckets, HashedCells
from rusts.errors import LimitExceeded
from rusts.model.partial import State, StateKind
from rusts.model.predicate import CompareOp, FieldCompare, TagIn
from rusts.model.store import FoldRequest, FoldResult, TimeRange, Window
from rusts.model.time import MAX_TIME, MIN_TIME
from rusts.model.types import FieldType
from tests.support.readview import NAME, World

ALL = TimeRange(MIN_TIME, MAX_TIME + 1)
TYPES = {
    "v": FieldType.FLOAT,
    "w": FieldType.INTEGER,
    "u": FieldType.UNSIGNED,
    "s": FieldType.STRING,
    "b": FieldType.BOOLEAN,
}


def run(world: World, *states: tuple[StateKind, str], **changes: Any) -> FoldResult:
    values: dict[str, Any] = {"range": ALL, "group_by": ()} | changes
    return fold(world.view(), FoldRequest("db", None, NAME, states=tuple(State(*s) for s in states), **values))


def hours(hours: int, rows: int = 20, hosts: int = 2, **changes: Any) -> World:
    world = World(TYPES, **changes)
    for hour in range(hours):
        world.write(
            [({"host": f"h{h}"}, hour * 1000 + t, {"v": float(t), "w": h}) for t in range(rows) for h in range(hosts)]
        )
        world.flush()
    return world


def decoded(world: World, field: str) -> list[int]:
    """How many batches of the field each segment has decoded."""
    number = world.measurement.fields[field].id
    return [sum(1 for what, _ in s.section.read if what == number) for s in world.segments]


def test_what_does_not_exist_gives_no_cells() -> None:
    request = FoldRequest("db", None, "no", ALL, tuple(State(kind, "v") for kind in StateKind), group_by=("a",))
    result = fold(None, request)
    assert (result.groups, len(result.group), len(result.tags), result.series) == (0, 0, 1, None)
    world = hours(1)
    result = run(world, *((kind, "missing") for kind in StateKind))
    assert len(result.group) == 0
    assert {len(p.count) for p in result.states.values()} == {0}
    assert result.field_types == {}


def test_a_field_that_does_not_exist_beside_one_that_does() -> None:
    result = run(
        hours(1), (StateKind.COUNT, "v"), (StateKind.MAX, "missing"), (StateKind.SUM, "s"), (StateKind.MIN, "s")
    )
    counts = {(state.kind, state.field): p.count.tolist() for state, p in result.states.items()}
    assert counts == {
        (StateKind.COUNT, "v"): [40],
        (StateKind.MAX, "missing"): [0],
        (StateKind.SUM, "s"): [0],
        (StateKind.MIN, "s"): [0],
    }


def test_runs_in_one_bucket_are_answered_from_statistics() -> None:
    world = hours(3)
    result = run(world, (StateKind.SUM, "v"), (StateKind.COUNT, "w"), window=Window(1000), group_by=("host",))
    assert result.bucket.tolist() == [0, 1000, 2000] * 2
    assert result.states[State(StateKind.SUM, "v")].value.tolist() == [190.0] * 6
    assert result.states[State(StateKind.COUNT, "w")].count.tolist() == [20] * 6
    assert result.stats.from_statistics == 6
    assert decoded(world, "v") == decoded(world, "w") == [0, 0, 0]


@pytest.mark.parametrize(
    "changes",
    [
        {"window": Window(7)},
        {"range": TimeRange(1, 2019)},
        {"predicate": FieldCompare("w", CompareOp.GE, 0)},
    ],
)
def test_statistics_answer_only_whole_runs_without_a_row_filter(changes: dict[str, Any]) -> None:
    world = hours(3)
    result = run(world, (StateKind.SUM, "v"), **changes)
    expected = 2 * 190.0 * 3 - (2 * 19.0 if "range" in changes else 0)
    assert result.states[State(StateKind.SUM, "v")].value.sum() == expected
    assert result.stats.from_statistics < 6


def test_overlapped_runs_are_not_answered_from_statistics() -> None:
    world = hours(2)
    world.write([({"host": "h0"}, 5, {"v": 1000.0})])
    result = run(world, (StateKind.SUM, "v"))
    assert result.states[State(StateKind.SUM, "v")].value.tolist() == [4 * 190.0 + 995.0]
    assert result.stats.from_statistics == 3


def test_counts_of_full_columns_are_not_decoded() -> None:
    world = hours(2, statistics_rows=1000)
    result = run(world, (StateKind.COUNT, "v"), window=Window(3), group_by=None)
    assert result.states[State(StateKind.COUNT, "v")].count.sum() == 80
    assert decoded(world, "v") == [0, 0]


def test_last_values_are_looked_for_from_the_newest_source_back() -> None:
    world = hours(4)
    world.write([({"host": "gone"}, 500, {"v": -1.0})])
    world.flush()
    result = run(world, (StateKind.LAST, "v"), (StateKind.LAST, "w"), group_by=("host",))
    assert result.tags[0].values[result.tags[0].codes[0]] == "gone"
    assert result.states[State(StateKind.LAST, "v")].value.tolist() == [-1.0, 19.0, 19.0]
    assert result.states[State(StateKind.LAST, "v")].time.tolist() == [500, 3019, 3019]
    # The host that is gone has never had w, but all its rows are of one source.
    assert (result.states[State(StateKind.LAST, "w")].count > 0).tolist() == [False, True, True]
    assert decoded(world, "v")[:3] == [0, 0, 0]
    world = hours(4)
    first = run(world, (StateKind.FIRST, "v"), group_by=None)
    assert first.states[State(StateKind.FIRST, "v")].time.tolist() == [0, 0]
    assert decoded(world, "v")[1:] == [0, 0, 0]


def test_a_last_value_behind_nulls_is_found_in_an_older_segment() -> None:
    world = World(TYPES)
    world.write([({}, 1, {"v": 1.0, "s": "old"})])
    world.flush()
    world.write([({}, 2, {"v": 2.0})])
    result = run(world, (StateKind.LAST, "s"), (StateKind.LAST, "v"))
    assert result.states[State(StateKind.LAST, "s")].value.to_pylist() == ["old"]
    assert result.states[State(StateKind.LAST, "s")].time.tolist() == [1]
    assert result.states[State(StateKind.LAST, "v")].value.tolist() == [2.0]


def test_at_one_time_the_larger_value_is_first_and_last() -> None:
    world = World(TYPES)
    world.write([({"h": str(h)}, 7, {"v": float(h), "s": f"s{h}", "b": h == 1, "u": 2**64 - h}) for h in (1, 3, 2)])
    for flush in (False, True):
        if flush:
            world.flush()
        for kind in (StateKind.FIRST, StateKind.LAST):
            result = run(world, *((kind, name) for name in "vsbu"))
            values = {state.field: partial.value for state, partial in result.states.items()}
            assert values["v"].tolist() == [3.0]
            assert values["s"].to_pylist() == ["s3"]
            assert values["b"].tolist() == [True]
            assert values["b"].dtype == np.bool_
            assert values["u"].tolist() == [2**64 - 1]
            assert values["u"].dtype == np.uint64


def test_extremes_carry_the_earliest_time_and_leave_nan_out() -> None:
    nan = float("nan")
    world = World(TYPES)
    world.write([({"h": "a"}, t, {"v": v}) for t, v in enumerate([nan, 2.0, 1.0, 2.0, 1.0, nan])])
    world.write([({"h": "b"}, 1, {"v": 2.0}), ({"h": "c"}, 5, {"v": nan}), ({"h": "c"}, 6, {"v": nan})])
    result = run(world, (StateKind.MIN, "v"), (StateKind.MAX, "v"), group_by=("h",))
    low, high = (result.states[State(k, "v")] for k in (StateKind.MIN, StateKind.MAX))
    assert low.value.tolist()[:2] == [1.0, 2.0]
    assert low.time.tolist() == [2, 1, 5]
    assert high.value.tolist()[:2] == [2.0, 2.0]
    assert high.time.tolist() == [1, 1, 5]
    assert np.isnan(low.value[2])
    assert np.isnan(high.value[2])
    result = run(world, (StateKind.MIN, "v"), (StateKind.MAX, "v"))
    assert [p.value.tolist() + p.time.tolist() for p in result.states.values()] == [[1.0, 2], [2.0, 1]]


def test_integer_sums_wrap() -> None:
    world = World(TYPES)
    world.write([({}, t, {"w": 2**63 - 1, "u": 2**64 - 1}) for t in range(2)])
    result = run(world, (StateKind.SUM, "w"), (StateKind.SUM, "u"))
    assert result.states[State(StateKind.SUM, "w")].value.tolist() == [-2]
    assert result.states[State(StateKind.SUM, "u")].value.tolist() == [2**64 - 2]


def test_buckets_reach_both_ends_of_time_without_overflow() -> None:
    times = [MIN_TIME, -3601, -3600, -1, 0, 3599, 3600, MAX_TIME]
    world = World(TYPES)
    world.write([({}, t, {"w": 1}) for t in times])
    for flush in (False, True):
        if flush:
            world.flush()
        for interval in (1, 3600, 1 << 62, (1 << 63) - 1):
            for offset in (0, 1800, -7):
                result = run(world, (StateKind.COUNT, "w"), window=Window(interval, offset))
                wanted: dict[int, int] = {}
                for time in times:
                    bucket = max((time - offset) // interval * interval + offset, MIN_TIME)
                    wanted[bucket] = wanted.get(bucket, 0) + 1
                counts = result.states[State(StateKind.COUNT, "w")].count
                assert dict(zip(result.bucket.tolist(), counts.tolist(), strict=True)) == wanted


def test_one_bucket_begins_where_the_range_does() -> None:
    result = run(hours(1), (StateKind.COUNT, "v"), range=TimeRange(-5, 3))
    assert result.bucket.tolist() == [-5]
    assert result.states[State(StateKind.COUNT, "v")].count.tolist() == [6]


def test_groups_are_sorted_by_their_values_and_series_without_a_tag_have_the_empty_one() -> None:
    world = World(TYPES)
    tags = [{"a": "z", "b": "1"}, {"b": "2"}, {"a": "é"}, {"a": "z"}, {"a": "B", "b": "1"}]
    world.write([(t, 1, {"w": 1}) for t in tags])
    result = run(world, (StateKind.COUNT, "w"), group_by=("a", "b"))
    found = [tuple(t.values[t.codes[g]] for t in result.tags) for g in range(result.groups)]
    assert found == [("", "2"), ("B", "1"), ("z", ""), ("z", "1"), ("é", "")]
    result = run(world, (StateKind.COUNT, "w"), group_by=("b", "nobody"))
    found = [tuple(t.values[t.codes[g]] for t in result.tags) for g in range(result.groups)]
    assert found == [("", ""), ("1", ""), ("2", "")]
    result = run(world, (StateKind.COUNT, "w"), group_by=None, predicate=TagIn("b", ("1",)))
    assert result.series is not None
    assert [result.series.key(g)[-1:] for g in result.group.tolist()] == [b"1", b"1"]
    assert [result.series.tag("a").values[c] for c in result.series.tag("a").codes] == ["z", "B"]
    assert run(world, (StateKind.COUNT, "w"), predicate=TagIn("b", ("none",))).groups == 0


def test_many_groups_are_sorted_too() -> None:
    world = World(TYPES, batch_rows=1 << 16)
    world.write([({"a": str(i % 3000), "b": str(i % 7)}, 1, {"w": i}) for i in range(3000)])
    result = run(world, (StateKind.SUM, "w"), group_by=("a",))
    names = [result.tags[0].values[code] for code in result.tags[0].codes.tolist()]
    assert names == sorted(str(i) for i in range(3000))
    assert result.states[State(StateKind.SUM, "w")].value.tolist() == [int(name) for name in names]


@pytest.mark.parametrize("what", ["times", "v", "statistics"])
def test_a_damaged_segment_is_left_out_as_a_whole(what: str) -> None:
    world = hours(3)
    world.segments[1].section.damaged.add(world.measurement.fields["v"].id if what == "v" else what)
    window = None if what == "statistics" else Window(7)
    result = run(world, (StateKind.COUNT, "w"), (StateKind.SUM, "v"), window=window)
    assert result.states[State(StateKind.COUNT, "w")].count.sum() == 80
    assert result.states[State(StateKind.SUM, "v")].value.sum() == 4 * 190.0
    assert [entry.id for entry, _ in world.corruptions] == [2]
    assert len(result.stats.warnings) == 1


def test_check_can_end_a_fold() -> None:
    def check(decoded: int) -> None:
        raise LimitExceeded(str(decoded))

    with pytest.raises(LimitExceeded):
        run(hours(1), (StateKind.MAX, "v"), check=check)


def test_hashed_cells_grow_and_keep_their_numbers() -> None:
    hashed = HashedCells()
    groups = np.arange(5000, dtype=np.int64)
    buckets = (groups * 3).astype(np.uint64)
    first = hashed.cells(groups[:10], buckets[:10])
    every = hashed.cells(groups, buckets)
    assert every[:10].tolist() == first.tolist()
    assert hashed.size == 5000
    found = hashed.keys(every)
    assert found[0].tolist() == groups.tolist()
    assert found[1].tolist() == buckets.tolist()


def test_buckets_of_times_are_those_that_begin_before_them() -> None:
    buckets = Buckets(Window(10, 3), 0, -25, 1000)
    times = np.arange(-25, 1001, dtype=np.int64)
    begins = buckets.begins(buckets.of(times))
    assert begins.tolist() == [(t - 3) // 10 * 10 + 3 for t in times.tolist()]
