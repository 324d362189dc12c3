"""The oracle itself, against answers written out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from rusts import errors
from rusts.model.partial import State, StateKind
from rusts.model.predicate import And, CompareOp, FieldCompare, FieldRegex, Or, TagIn, TagRegex
from rusts.model.series import decode_key
from rusts.model.store import FoldRequest, ScanRequest, Store, TimeRange, Window
from rusts.model.types import FieldType
from tests.support.model_store import ModelStore, Point, batch_of, python_values

ALL = TimeRange(-(1 << 63), (1 << 63) - 1)


@pytest.fixture
def store() -> ModelStore:
    store = ModelStore()
    store.create_database("d")
    points: list[tuple[dict[str, str], int, Point]] = [
        ({"host": "a"}, 10, {"v": 1.0, "s": "x"}),
        ({"host": "b"}, 10, {"v": 2.0}),
        ({"host": "a"}, 25, {"v": 5.0}),
        ({}, 30, {"n": 7}),
    ]
    assert store.write("d", None, [batch_of("m", points)]).accepted == 4
    return store


def rows_of(store: Store, request: ScanRequest) -> list[tuple[dict[str, str], int, Point]]:
    scan = store.scan(request)
    rows = []
    for chunk in scan:
        columns = {name: python_values(column) for name, column in chunk.columns.items()}
        for row, (series, time) in enumerate(zip(chunk.row_series().tolist(), chunk.times.tolist(), strict=True)):
            point = {name: values[row] for name, values in columns.items() if values[row] is not None}
            rows.append((decode_key(scan.series.key(series))[1], time, point))
    return rows


def test_later_writes_win_per_cell(store: ModelStore) -> None:
    store.write("d", None, [batch_of("m", [({"host": "a"}, 10, {"v": 9.0}), ({"host": "a"}, 10, {"n": 3})])])
    rows = rows_of(store, ScanRequest("d", None, "m", TimeRange(0, 11), TagIn("host", ("a",))))
    assert rows == [({"host": "a"}, 10, {"v": 9.0, "n": 3, "s": "x"})]


def test_a_conflicting_type_drops_the_point_only(store: ModelStore) -> None:
    batch = batch_of("m", [({}, 1, {"v": "text"}), ({}, 2, {"v": 2.5}), ({}, 3, {"v": "more", "n": 1})])
    outcome = store.write("d", None, [batch])
    assert outcome.accepted == 1
    (reject,) = outcome.rejects
    assert reject.kind == "field_type_conflict"
    text = 'field type conflict: input field "v" on measurement "m" is type string, already exists as type float'
    assert reject.message == text
    assert reject.starts.tolist() == [0, 2]


def test_the_name_time(store: ModelStore) -> None:
    points: list[tuple[dict[str, str], int, Point]] = [
        ({"time": "x"}, 1, {"v": 1.0}),
        ({}, 2, {"time": 1.0}),
        ({}, 3, {"time": 1.0, "v": 4.0}),
    ]
    outcome = store.write("d", None, [batch_of("m", points)])
    assert [reject.kind for reject in outcome.rejects] == ["invalid_tag_key", "invalid_field_name"]
    assert rows_of(store, ScanRequest("d", None, "m", TimeRange(0, 5))) == [({}, 3, {"v": 4.0})]
    assert store.field_types("d", "m") == {"n": FieldType.INTEGER, "s": FieldType.STRING, "v": FieldType.FLOAT}


def test_scan_leaves_out_rows_without_the_fields_and_keeps_time_order(store: ModelStore) -> None:
    rows = rows_of(store, ScanRequest("d", None, "m", ALL, fields=("v",)))
    assert rows == [({"host": "a"}, 10, {"v": 1.0}), ({"host": "a"}, 25, {"v": 5.0}), ({"host": "b"}, 10, {"v": 2.0})]
    small = ModelStore(chunk_rows=1)
    small.create_database("d")
    small.write("d", None, [batch_of("m", [({}, t, {"v": float(t)}) for t in (3, 1, 2)])])
    assert [time for _, time, _ in rows_of(small, ScanRequest("d", None, "m", ALL, descending=True))] == [3, 2, 1]


@pytest.mark.parametrize(
    ("predicate", "times"),
    [
        (TagIn("host", ("",)), [30]),
        (TagIn("host", ("a", "b"), negated=True), [30]),
        (TagRegex("host", "^[ab]$"), [10, 25, 10]),
        (FieldCompare("v", CompareOp.GT, 1), [25, 10]),
        (FieldCompare("v", CompareOp.NE, "x"), []),
        (FieldCompare("s", CompareOp.LT, "y"), []),
        (FieldRegex("s", "x", negated=True), []),
        (Or((FieldCompare("n", CompareOp.EQ, 7), FieldRegex("s", "^x"))), [10, 30]),
        (And(()), [10, 25, 10, 30]),
        (Or(()), []),
    ],
)
def test_predicates(store: ModelStore, predicate: object, times: list[int]) -> None:
    request = ScanRequest("d", None, "m", ALL, predicate)  # type: ignore[arg-type]
    assert [time for _, time, _ in rows_of(store, request)] == times


def test_fold(store: ModelStore) -> None:
    states = (State(StateKind.SUM, "v"), State(StateKind.LAST, "v"), State(StateKind.MOMENTS, "v"))
    result = store.fold(FoldRequest("d", None, "m", TimeRange(0, 100), states, None, ("host",), Window(20, 5)))
    assert result.groups == 2
    assert [result.tags[0].values[code] for code in result.tags[0].codes] == ["a", "b"]
    assert result.group.tolist() == [0, 0, 1]
    assert result.bucket.tolist() == [5, 25, 5]
    assert result.states[states[0]].value.tolist() == [1.0, 5.0, 2.0]
    last = result.states[states[1]]
    assert last.time is not None
    assert last.time.tolist() == [10, 25, 10]
    assert result.states[states[2]].count.tolist() == [1, 1, 1]


def test_fold_by_series_and_integers_wrap() -> None:
    store = ModelStore()
    store.create_database("d")
    top = (1 << 63) - 1
    store.write("d", None, [batch_of("m", [({"a": "1"}, 1, {"n": top}), ({"a": "1"}, 2, {"n": 1})])])
    request = FoldRequest("d", None, "m", ALL, (State(StateKind.SUM, "n"),), None, None)
    result = store.fold(request)
    assert result.series is not None
    assert result.series.tag("a").values == ["1"]
    (partial,) = result.states.values()
    assert partial.value.dtype == np.int64
    assert partial.value.tolist() == [-(1 << 63)]
    assert result.bucket.tolist() == [ALL.start]


def test_unknown_names(store: ModelStore) -> None:
    with pytest.raises(errors.DatabaseNotFound, match="nope"):
        store.measurements("nope")
    with pytest.raises(errors.PolicyNotFound):
        store.scan(ScanRequest("d", "nope", "m", ALL))
    assert rows_of(store, ScanRequest("d", None, "nope", ALL)) == []
    assert store.field_types("d", "nope") == {}
    assert store.measurements("d") == ["m"]
    assert store.tag_keys("d", "m") == ["host"]
