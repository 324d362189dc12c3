"""EXPLAIN names every step and what is read; ANALYZE adds what it took."""

from __future__ import annotations

import pytest

from rusts import errors, query
from rusts.model.predicate import And, CompareOp, FieldCompare, TagIn
from rusts.model.store import TimeRange, Window
from rusts.query.expression import Binary, Literal, Op, Ref
from rusts.query.limits import Limits, Tracker
from rusts.query.plan import (
    Aggregate,
    Call,
    Choose,
    Fill,
    FillMode,
    Filter,
    Nested,
    Plan,
    Points,
    Project,
    Rows,
    Slice,
    Transform,
    TransformCall,
    Union,
)
from tests.support.model_store import ModelStore, batch_of

SECOND = 1_000_000_000


@pytest.fixture
def store() -> ModelStore:
    store = ModelStore()
    store.create_database("d")
    for name in ("m", "n"):
        points = [({"host": host}, t * SECOND, {"v": float(t), "s": "x"}) for t in range(30) for host in "ab"]
        store.write("d", None, [batch_of(name, points)])
    return store


def test_the_steps_of_an_aggregate(store: ModelStore) -> None:
    predicate = And((TagIn("host", ("a",)), FieldCompare("v", CompareOp.GT, 3.5)))
    source = Union(tuple(Points("d", name, None, TimeRange(0, 20 * SECOND), predicate) for name in ("n", "m")))
    node = Fill(Aggregate(source, (Call("mean", Ref("v"), "mean"),), ("host",), Window(5 * SECOND)), FillMode.NULL)
    calls = (TransformCall("derivative", "mean", "d"),)
    top = Slice(Project(Transform(node, calls), (("d", Ref("d")),)), descending=True, limit=3)
    lines = query.explain(store, Plan(top))
    range = "[1970-01-01T00:00:00Z, 1970-01-01T00:00:20Z)"
    assert lines == [
        "├── m: by time descending, limit 3",
        "│   └── project: d",
        "│       └── transform: derivative",
        f"│           └── fill: null {range}",
        "│               └── fold: sum(v) by host per 5s",
        f"│                   └── d..m {range} where (host in ('a') and v > 3.5)",
        "└── n: by time descending, limit 3",
        "    └── project: d",
        "        └── transform: derivative",
        f"            └── fill: null {range}",
        "                └── fold: sum(v) by host per 5s",
        f"                    └── d..n {range} where (host in ('a') and v > 3.5)",
    ]


def test_the_steps_of_a_subquery(store: ModelStore) -> None:
    inner = Slice(Filter(Choose(Points("d", "m"), "top", Ref("v"), "x", 2), Binary(Op.GT, Ref("x"), Literal(1))))
    assert query.explain(store, Plan(Slice(Rows(Nested(inner), (("x", Ref("x")),))))) == [
        "└── m: by time",
        "    └── scan: x",
        "        └── subquery",
        "            └── m: by time",
        "                └── filter: by x",
        "                    └── choose: top(v)",
        "                        └── d..m [all time]",
    ]
    nothing = Slice(Rows(Points("d", "nope")))
    assert query.explain(store, Plan(nothing))[1] == "    └── nothing: the schema says that there are no rows"


def test_analyze_tells_what_was_read(store: ModelStore) -> None:
    plan = Plan(Slice(Aggregate(Points("d", "m"), (Call("median", Ref("v"), "x"),), ("host",))))
    lines = query.analyze(store, plan)
    assert lines[0].startswith("└── m: by time [")
    assert lines[1].startswith("    └── aggregate: median(v) by host [")
    assert "rows: 2, series: 2" in lines
    assert "decoded: 0 batches, 0 bytes, 60 rows" in lines
    assert lines[-1].startswith("planning: ")
    rows = query.analyze(store, Plan(Slice(Rows(Points("d", "m"), (("v", Ref("v")),), ("host",)))))
    assert rows[1].startswith("    └── scan: v by host [")
    assert "rows: 60, series: 2" in rows


def test_analyze_obeys_limits(store: ModelStore) -> None:
    with pytest.raises(errors.LimitExceeded):
        query.analyze(store, Plan(Slice(Rows(Points("d", "m")))), Tracker(Limits(rows=5)))
