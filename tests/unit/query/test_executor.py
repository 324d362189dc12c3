"""The executor: streaming, early ends, limits, names and errors. What it computes is tests/property/test_query.py."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rusts import errors, query
from rusts.model.batch import SeriesRows
from rusts.model.predicate import TagIn
from rusts.model.store import ScanRequest, TimeRange, Window
from rusts.model.types import FieldType
from rusts.query import rows
from rusts.query.expression import Binary, Expression, Literal, Op, Ref
from rusts.query.limits import Limits, Tracker
from rusts.query.plan import (
    EVER,
    Aggregate,
    Call,
    Choose,
    Default,
    Fill,
    FillMode,
    Filter,
    Nested,
    Plan,
    Points,
    Rows,
    Slice,
    Union,
)
from tests.support.model_store import ModelScan, ModelStore, batch_of, python_values


class CountingStore(ModelStore):
    """Notes how many chunks of its scans were taken."""

    def __init__(self, chunk_rows: int) -> None:
        super().__init__(chunk_rows)
        self.taken = 0
        self.requests: list[ScanRequest] = []
        self.warnings: list[str] = []

    def scan(self, request: ScanRequest) -> ModelScan:
        self.requests.append(request)
        scan = super().scan(request)
        scan.stats.warnings += self.warnings
        store = self

        class Counted(ModelScan):
            def __iter__(self) -> Iterator[SeriesRows]:
                for chunk in super().__iter__():
                    store.taken += 1
                    yield chunk

        return Counted(scan.series, scan.field_types, scan.stats, scan.rows, scan.chunk_rows, scan.check)


@pytest.fixture
def store() -> CountingStore:
    store = CountingStore(4)
    store.create_database("d")
    points: list[tuple[dict[str, str], int, dict[str, Any]]] = [
        ({"host": host}, time, {"v": float(time), "s": f"{host}{time}"})
        for time in range(10)
        for host in ("b", "a", "c")
    ]
    store.write("d", None, [batch_of("m", points)])
    return store


POINTS = Points("d", "m")


def named(*names: str) -> tuple[tuple[str, Expression], ...]:
    """Columns that are fields or tags, called so."""
    return tuple((name, Ref(name)) for name in names)


def run(store: ModelStore, root: Slice, tracker: Tracker | None = None) -> list[tuple[list[str], list[list[Any]]]]:
    """(values of the tags, rows) of each series."""
    series: list[tuple[list[str], list[list[Any]]]] = []
    for table in query.execute(store, Plan(root), tracker):
        columns = [table.times.tolist(), *map(python_values, table.columns)]
        assert all(len(column) == len(table) for column in columns)
        cells = [list(row) for row in zip(*columns, strict=True)]
        for group in range(table.groups):
            part = cells[table.starts[group] : table.starts[group + 1]]
            if group == 0 and table.continued:
                series[-1][1].extend(part)
            else:
                series.append(([tag.values[tag.codes[group]] for tag in table.tags], part))
    return series


def test_rows_stream_chunk_by_chunk_and_stop_at_the_limit(store: CountingStore) -> None:
    result = query.execute(store, Plan(Slice(Rows(POINTS, named("v")))))
    first = next(iter(result))
    assert store.taken == 1
    assert not first.continued
    store.taken = 0
    assert run(store, Slice(Rows(POINTS, named("v")), limit=3, offset=3)) == [([], [[1, 1.0], [1, 1.0], [1, 1.0]])]
    assert store.taken == 2
    whole = run(store, Slice(Rows(POINTS, named("v"))))
    assert [row[0] for row in whole[0][1]] == [time for time in range(10) for _ in range(3)]


def test_grouped_rows_stop_when_each_group_has_enough(store: CountingStore) -> None:
    answer = run(store, Slice(Rows(POINTS, named("s"), ("host",)), descending=True, limit=1))
    assert answer == [(["a"], [[9, "a9"]]), (["b"], [[9, "b9"]]), (["c"], [[9, "c9"]])]
    assert store.taken == 1
    answer = run(store, Slice(Rows(POINTS, named("s"), ("host",)), limit=2, offset=9, series_limit=2))
    assert answer == [(["a"], [[9, "a9"]]), (["b"], [[9, "b9"]])]


def test_the_store_is_asked_for_what_is_needed(store: CountingStore) -> None:
    run(store, Slice(Rows(POINTS, named("v", "host", "nope")), descending=True))
    assert store.requests[-1].fields == ("v",)
    assert store.requests[-1].descending
    assert store.requests[-1].check is not None
    calls = (Call("median", Ref("v"), "x"), Call("count", Ref("s"), "y"), Call("max", Ref("v"), "z"))
    run(store, Slice(Aggregate(POINTS, calls)))
    assert store.requests[-1].fields == ("v", "s")


def test_what_the_schema_rules_out_is_not_asked(store: CountingStore) -> None:
    for node in (
        Rows(POINTS, named("host")),
        Rows(Points("d", "nope")),
        Rows(Points("d", "m", range=TimeRange(5, 5))),
        Aggregate(POINTS, (Call("median", Ref("nope"), "x"),)),
    ):
        assert run(store, Slice(node)) == []
    assert store.requests == []


def test_names(store: CountingStore) -> None:
    store.write("d", None, [batch_of("m", [({"v": "tag", "host": "a"}, 100, {"v": 1.0, "time_": 2.0})])])
    result = query.execute(store, Plan(Slice(Rows(POINTS))))
    assert result.columns == ("host", "s", "time_", "v", "v_1")
    assert result.types == (FieldType.STRING, FieldType.STRING, FieldType.FLOAT, FieldType.FLOAT, FieldType.STRING)
    result = query.execute(store, Plan(Slice(Rows(POINTS, named("time", "v", "v", "v"), ("host",)))))
    assert result.columns == ("time_1", "v", "v_1", "v_2")
    assert result.group_by == ("host",)
    calls = (Call("max", Ref("v"), "max"), Call("min", Ref("v"), "max"), Call("count", Ref("nope"), "c"))
    result = query.execute(store, Plan(Slice(Aggregate(POINTS, calls))))
    assert result.columns == ("max", "max_1", "c")
    assert result.types == (FieldType.FLOAT, FieldType.FLOAT, FieldType.INTEGER)
    (table,) = result
    assert [python_values(column) for column in table.columns] == [[9.0], [0.0], [None]]


def test_errors_come_before_the_first_table(store: CountingStore) -> None:
    with pytest.raises(errors.DatabaseNotFound):
        query.execute(store, Plan(Slice(Rows(Points("nope", "m")))))
    with pytest.raises(errors.PolicyNotFound):
        query.execute(store, Plan(Slice(Rows(Points("d", "m", "nope")))))
    with pytest.raises(errors.InvalidRequest, match='median is not defined for field "s", whose type is string'):
        query.execute(store, Plan(Slice(Aggregate(POINTS, (Call("median", Ref("s"), "x"),)))))
    call = (Call("max", Ref("v"), "x"),)
    for early in (TimeRange(-(1 << 63) + 5, 0), TimeRange(EVER.start, -(1 << 63) + 5)):
        node = Aggregate(Points("d", "m", range=early), call, (), Window(10**18))
        with pytest.raises(errors.InvalidRequest, match="first possible time"):
            query.execute(store, Plan(Slice(node)))


@pytest.mark.parametrize("function", ["max", "median"])
def test_buckets_from_the_first_to_the_last_time(store: CountingStore, function: str) -> None:
    points: list[tuple[dict[str, str], int, dict[str, Any]]] = [
        ({}, EVER.start, {"v": 1.0}),
        ({}, EVER.end - 1, {"v": 2.0}),
    ]
    store.write("d", None, [batch_of("far", points)])
    node = Aggregate(Points("d", "far"), (Call(function, Ref("v"), "x"),), (), Window(1 << 62, EVER.start))
    ((_, values),) = run(store, Slice(Fill(node, FillMode.NULL)))
    assert values == [
        [EVER.start, 1.0],
        [EVER.start + (1 << 62), None],
        [EVER.start + (2 << 62), None],
        [EVER.start + (3 << 62), 2.0],
    ]


def test_limits(store: CountingStore) -> None:
    plain = Slice(Rows(POINTS, named("v")))
    with pytest.raises(errors.LimitExceeded, match=r"max-select-point limit exceeded: \(8/7\)"):
        run(store, plain, Tracker(Limits(rows=7)))
    with pytest.raises(errors.LimitExceeded, match=r"max-select-series limit exceeded: \(3/2\)"):
        run(store, Slice(Rows(POINTS, named("v"), ("host",))), Tracker(Limits(series=2)))
    call = (Call("max", Ref("v"), "x"),)
    wide = Aggregate(Points("d", "m", range=TimeRange(0, 10**15)), call, (), Window(1))
    with pytest.raises(errors.LimitExceeded, match=r"max-select-buckets limit exceeded: \(1000000000000000/50\)"):
        run(store, Slice(Fill(wide, FillMode.NULL)), Tracker(Limits(buckets=50)))
    assert len(run(store, Slice(wide), Tracker(Limits(buckets=50)))[0][1]) == 10
    for function in ("max", "median"):
        grouped = Aggregate(POINTS, (Call(function, Ref("v"), "x"),), ("host",), Window(1))
        with pytest.raises(errors.LimitExceeded, match=r"max-select-buckets limit exceeded: \(30/29\)"):
            run(store, Slice(grouped), Tracker(Limits(buckets=29)))
    with pytest.raises(errors.LimitExceeded, match="max-select-bytes"):
        run(store, plain, Tracker(Limits(bytes_decoded=100)))


def test_a_cancelled_query_ends_at_its_next_chunk(store: CountingStore) -> None:
    tracker = Tracker()
    tables = iter(query.execute(store, Plan(Slice(Rows(POINTS, named("v")))), tracker))
    next(tables)
    tracker.cancel()
    with pytest.raises(errors.QueryCancelled):
        next(tables)


class Pool:
    """Counts what is held; full at `limit`."""

    def __init__(self, limit: int) -> None:
        self.limit, self.used, self.most = limit, 0, 0

    def take(self, size: int) -> None:
        if self.used + size > self.limit:
            raise errors.MemoryExceeded("full")
        self.used += size
        self.most = max(self.most, self.used)

    def give(self, size: int) -> None:
        self.used -= size


@pytest.mark.parametrize(
    "root",
    [
        Slice(Rows(POINTS, named("v"), ("host",))),
        Slice(Aggregate(POINTS, (Call("median", Ref("v"), "x"),))),
        Slice(Fill(Aggregate(POINTS, (Call("max", Ref("v"), "x"),), (), Window(1)), FillMode.NULL)),
    ],
)
def test_held_memory_is_accounted_and_given_back(store: CountingStore, root: Slice) -> None:
    pool = Pool(1 << 20)
    result = query.execute(store, Plan(root), Tracker(pool=pool))
    list(result)
    assert pool.most > 100
    result.close()
    assert pool.used == 0
    small = Pool(100)
    tracker = Tracker(pool=small)
    with pytest.raises(errors.MemoryExceeded):
        list(query.execute(store, Plan(root), tracker))
    tracker.close()
    assert small.used == 0


def test_warnings_and_statistics_come_from_the_store(store: CountingStore) -> None:
    store.warnings.append("a segment is quarantined")
    result = query.execute(store, Plan(Slice(Rows(POINTS, named("v")))))
    list(result)
    assert result.warnings == ["a segment is quarantined"]
    assert result.stats.rows_scanned == result.tracker.rows == 30
    assert result.tracker.series == 1


def test_a_group_has_its_rows_in_one_piece(store: CountingStore) -> None:
    result = query.execute(store, Plan(Slice(Rows(POINTS, named("v"), ("host",)))))
    (table,) = result
    assert table.groups == 3
    assert np.diff(table.starts).tolist() == [10, 10, 10]


@pytest.mark.parametrize("part_bytes", [1 << 20, 700, 150, 1])
@pytest.mark.parametrize("keys", [("host",), ("host", "none")])
def test_groups_that_are_too_large_together_are_read_in_parts(
    store: CountingStore, part_bytes: int, keys: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    top = Slice(Rows(POINTS, named("v", "s", "host"), keys))
    for root in (
        top,
        replace(top, descending=True, limit=4, offset=1),
        replace(top, series_limit=1, series_offset=1),
        replace(top, series_offset=2),
        replace(top, series_offset=3),
    ):
        monkeypatch.setattr(rows, "PART_BYTES", 1 << 20)
        whole = run(store, root)
        monkeypatch.setattr(rows, "PART_BYTES", part_bytes)
        pool = Pool(part_bytes + 1000)
        tracker = Tracker(pool=pool)
        assert run(store, root, tracker) == whole
        assert pool.used == 0
        assert pool.most <= part_bytes + 400


def test_the_statistics_of_all_parts_are_added(store: CountingStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "PART_BYTES", 500)
    result = query.execute(store, Plan(Slice(Rows(POINTS, named("v"), ("host",)))))
    list(result)
    assert result.tracker.rows == 30
    assert result.tracker.series == 3
    assert result.stats.rows_scanned == 60


def test_a_host_that_is_gone_does_not_make_the_last_row_of_each_read_everything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = CountingStore(6)
    store.create_database("d")
    points: list[tuple[dict[str, str], int, dict[str, Any]]] = [
        ({"host": host, "zone": "z"}, time, {"v": float(time)})
        for time in range(100)
        for host in ("a", "b", "c", "d")
        if host != "b" or time < 40
    ]
    store.write("d", None, [batch_of("m", points)])
    monkeypatch.setattr(rows, "_NARROW_ROWS", 6)
    for keys in (("host",), ("host", "zone")):
        store.taken = 0
        store.requests.clear()
        answer = run(store, Slice(Rows(POINTS, named("v"), keys), descending=True, limit=2))
        assert [cells for _, cells in answer] == [
            [[99, 99.0], [98, 98.0]],
            [[39, 39.0], [38, 38.0]],
            [[99, 99.0], [98, 98.0]],
            [[99, 99.0], [98, 98.0]],
        ]
        assert len(store.requests) == 2
        assert store.taken < 5
        answer = run(store, Slice(Rows(POINTS, named("v"), keys), limit=1, offset=45))
        assert [cells for _, cells in answer] == [[[45, 45.0]]] * 3


def test_measurements_and_groups_in_reverse(store: CountingStore) -> None:
    store.write("d", None, [batch_of("n", [({"host": "z"}, 3, {"v": 1.0})])])
    both = Union((Points("d", "n"), Points("d", "m")))
    call = (Call("max", Ref("v"), "x"),)
    for node in (Rows(both, named("v"), ("host",)), Aggregate(both, call, ("host",))):
        forth = [tags for tags, _ in run(store, Slice(node))]
        back = [tags for tags, _ in run(store, Slice(node, descending=True, groups_descending=True))]
        assert forth == back[::-1] == [["a"], ["b"], ["c"], ["z"]]
        limited = run(store, Slice(node, descending=True, groups_descending=True, series_limit=2))
        assert [tags for tags, _ in limited] == [["z"], ["b"], ["a"]]


def test_rows_in_the_order_of_a_column(store: CountingStore) -> None:
    columns = (("w", Binary(Op.MOD, Ref("v"), Literal(4))), ("s", Ref("s")))
    node = Rows(Points("d", "m", range=TimeRange(0, 6), predicate=TagIn("host", ("a",))), columns)
    answer = run(store, Slice(node, order_by=(("w", True), ("time", True)), limit=4))
    assert answer == [([], [[3, 3.0, "a3"], [2, 2.0, "a2"], [5, 1.0, "a5"], [1, 1.0, "a1"]])]
    by_text = run(store, Slice(node, order_by=(("s", True),), limit=2))
    assert by_text == [([], [[5, 1.0, "a5"], [4, 0.0, "a4"]])]


def nested(*, hidden: frozenset[str] = frozenset(), grouped: bool = True) -> Nested:
    """The rows v (as x) of each host."""
    inner = Slice(Rows(POINTS, (("x", Ref("v")),), ("host",) if grouped else ()))
    return Nested(inner, hidden=hidden)


def test_a_hidden_tag_of_a_subquery_groups_but_is_no_column(store: CountingStore) -> None:
    hidden = nested(hidden=frozenset(("host",)))
    columns = named("x", "host")
    shown = run(store, Slice(Rows(nested(), columns, ("host",)), limit=1))
    assert shown == [(["a"], [[0, 0.0, "a"]]), (["b"], [[0, 0.0, "b"]]), (["c"], [[0, 0.0, "c"]])]
    assert run(store, Slice(Rows(hidden, columns, ("host",)), limit=1)) == [
        (["a"], [[0, 0.0, None]]),
        (["b"], [[0, 0.0, None]]),
        (["c"], [[0, 0.0, None]]),
    ]
    only = Filter(hidden, Binary(Op.EQ, Ref("host"), Literal("b")))
    assert run(store, Slice(Rows(only, columns), limit=1)) == [([], [[0, 0.0, None]])]


def test_a_tag_of_a_subquery_is_a_row(store: CountingStore) -> None:
    assert run(store, Slice(Rows(nested(), named("host")), limit=2)) == [([], [[0, "a"], [0, "b"]])]
    assert run(store, Slice(Rows(nested(grouped=False), named("host")))) == []
    assert run(store, Slice(Rows(POINTS, named("host")))) == []


def test_tags_set_points_apart_and_fields_do_not(store: CountingStore) -> None:
    best = Choose(POINTS, "top", Ref("v"), "top", 3, ("host",))
    ((_, found),) = run(store, Slice(best))
    assert sorted(found) == [[9, 9.0, "a"], [9, 9.0, "b"], [9, 9.0, "c"]]
    ((_, found),) = run(store, Slice(Choose(POINTS, "top", Ref("v"), "top", 3, ("s",))))
    assert len(found) == 1
    assert found[0][2] in ("a9", "b9", "c9")
    hidden = Choose(nested(hidden=frozenset(("host",))), "top", Ref("x"), "top", 3, ("host",))
    assert run(store, Slice(hidden)) == [([], [[9, 9.0, None]] * 3)]


def test_a_default_stands_in_every_cell_without_a_value(store: CountingStore) -> None:
    store.write("d", None, [batch_of("n", [({}, 1, {"v": 1.0}), ({}, 2, {"w": 5}), ({}, 3, {"v": 3.0})])])
    rows = Rows(Points("d", "n"), named("v", "w"))
    assert run(store, Slice(Default(rows, FillMode.VALUE, -3.5))) == [([], [[1, 1.0, -3], [2, -3.5, 5], [3, 3.0, -3]])]
    assert run(store, Slice(Default(rows, FillMode.PREVIOUS))) == [([], [[1, 1.0, None], [2, 1.0, 5], [3, 3.0, 5]])]
    backwards = Slice(Default(rows, FillMode.PREVIOUS, descending=True), descending=True)
    assert run(store, backwards) == [([], [[3, 3.0, None], [2, 3.0, 5], [1, 1.0, 5]])]
