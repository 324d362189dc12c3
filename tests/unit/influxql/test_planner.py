"""The nodes that SELECTs become."""

from __future__ import annotations

import pytest

from rusts.errors import InvalidRequest, PolicyNotFound
from rusts.model.predicate import TagIn
from rusts.model.store import PolicyInfo, TimeRange, Window
from rusts.model.types import FieldType
from rusts.query.expression import Binary, Function, Literal, Op, Ref, RefKind
from rusts.query.plan import (
    EVER,
    Aggregate,
    CalendarWindow,
    Call,
    Choose,
    Fill,
    FillMode,
    Filter,
    Join,
    Nested,
    Node,
    Points,
    Project,
    Rows,
    Slice,
    Transform,
    TransformCall,
    Union,
)
from tests.support.statements import NOW, answer, plan, store_of

SECOND = 1_000_000_000
STORE = store_of(
    [
        "m,host=a,dc=x f=1,i=2i,s=\"a\" 0",
        "m,host=b,dc=x f=2,i=3i,s=\"b\" 10000000000",
        "m,host=a,dc=x f=4,i=5i,s=\"c\" 20000000000",
        "n,host=a f=7i 5000000000",
    ]
)  # fmt: skip
STORE.create_policy("d", PolicyInfo("other", 0, 0, 1, False))
STORE.create_database("e")
M = Points("d", "m")


def within(start: int, end: int) -> Points:
    return Points("d", "m", range=TimeRange(start * SECOND, end * SECOND))


def root(text: str) -> Slice:
    return plan(text, STORE).plan.root


def node(text: str) -> Node:
    return root(text).input


def filled(aggregate: Aggregate, mode: FillMode, value: float = 0.0) -> Fill:
    return Fill(aggregate, mode, value, zeroes=True)


# -- rows


def test_rows() -> None:
    assert root("SELECT f, host AS h FROM m WHERE host = 'a' ORDER BY time DESC LIMIT 3 OFFSET 1") == Slice(
        Rows(Points("d", "m", predicate=TagIn("host", ("a",))), (("f", Ref("f")), ("h", Ref("host")))),
        descending=True,
        limit=3,
        offset=1,
        groups_descending=True,
    )


def test_expressions_of_rows_stay_rows() -> None:
    double = Binary(Op.MUL, Ref("f"), Literal(6))
    assert node("SELECT abs(f * (2 * 3)) FROM m GROUP BY dc, host") == Rows(
        M, (("abs", Function("abs", (double,))),), ("dc", "host")
    )


def test_what_a_predicate_cannot_say_is_a_filter() -> None:
    assert node("SELECT f FROM m WHERE host = 'a' AND f > i") == Rows(
        Filter(Points("d", "m", predicate=TagIn("host", ("a",))), Binary(Op.GT, Ref("f"), Ref("i"))),
        (("f", Ref("f")),),
    )


def test_several_sources_are_a_union() -> None:
    both = Union((M, Points("d", "n")))
    # It is a float in one of them and an integer in the other.
    as_float = Ref("f", RefKind.FIELD, FieldType.FLOAT)
    assert node("SELECT f FROM m, n") == Rows(both, (("f", as_float),))
    assert node("SELECT f FROM /./") == Rows(both, (("f", as_float),))
    assert node("SELECT i FROM m, n") == Rows(both, (("i", Ref("i")),))
    assert node("SELECT f FROM /zz/") == Rows(Union(()), (("f", Ref("f")),))
    assert answer("SELECT f FROM /zz/", STORE) == []


def test_qualified_names() -> None:
    assert plan("SELECT f FROM d.other.m", STORE, None).plan.points == (Points("d", "m", "other"),)
    assert plan("SELECT f FROM other.m", STORE).plan.points == (Points("d", "m", "other"),)
    assert plan("SELECT f FROM e..m", STORE).plan.points == (Points("e", "m"),)
    assert plan("SELECT f FROM m", STORE, policy="other").plan.points == (Points("d", "m", "other"),)
    with pytest.raises(InvalidRequest, match="database name required"):
        plan("SELECT f FROM m", STORE, None)
    with pytest.raises(InvalidRequest, match="database name required"):
        plan("SELECT f FROM m", STORE, "")
    with pytest.raises(PolicyNotFound, match="retention policy not found: nope"):
        plan("SELECT f FROM m", STORE, policy="nope")


# -- calls


def test_aggregates_are_one_node() -> None:
    assert node(
        "SELECT mean(f), max(i) AS most, count(distinct(s)), percentile(f, 90) FROM m GROUP BY host"
    ) == Aggregate(
        M,
        (
            Call("mean", Ref("f"), "mean"),
            Call("max", Ref("i"), "most"),
            Call("count_distinct", Ref("s"), "count"),
            Call("percentile", Ref("f"), "percentile", (90,)),
        ),
        ("host",),
    )


def test_time_groups() -> None:
    by = "SELECT mean(f) FROM m WHERE time >= 0 AND time < 60s GROUP BY "
    call = (Call("mean", Ref("f"), "mean"),)
    window = Window(10 * SECOND)
    assert node(by + "time(10s)") == filled(Aggregate(within(0, 60), call, (), window), FillMode.NULL)
    assert node(by + "time(10s) fill(none)") == Aggregate(within(0, 60), call, (), window)
    assert node(by + "time(10s) fill(7)") == filled(Aggregate(within(0, 60), call, (), window), FillMode.VALUE, 7)
    assert node(by + "time(10s, 3s) fill(previous)") == filled(
        Aggregate(within(0, 60), call, (), Window(10 * SECOND, 3 * SECOND)), FillMode.PREVIOUS
    )
    assert node(by + "time(10s, -3s) fill(linear)") == filled(
        Aggregate(within(0, 60), call, (), Window(10 * SECOND, 7 * SECOND)), FillMode.LINEAR
    )
    assert node(by + "time(7s, now()) fill(none)") == Aggregate(
        within(0, 60), call, (), Window(7 * SECOND, NOW % (7 * SECOND))
    )
    folded = Aggregate(within(0, 60), call, (), Window(10 * SECOND, 3 * SECOND))
    assert node(by + "(time(5s * 2, (1s + 2s))) fill(none)") == folded
    assert node(by + "time((10s), '1970-01-01' + 3s) fill(none)") == folded
    assert node(by + "time(0s)") == Aggregate(within(0, 60), call)
    assert node(by + "time(1q) fill(none)") == Aggregate(within(0, 60), call, (), CalendarWindow(3))
    assert node(by + "time(1d) fill(none) tz('Europe/Berlin')") == Aggregate(
        within(0, 60), call, (), Window(86_400 * SECOND), zone="Europe/Berlin"
    )


def test_an_open_end_of_time_groups_is_now() -> None:
    (points,) = (root("SELECT mean(f) FROM m GROUP BY time(10s)").input.input.input,)
    assert points == Points("d", "m", range=TimeRange(EVER.start, NOW + 1))
    assert plan("SELECT mean(f) FROM m", STORE).plan.points[0].range == EVER
    later = plan("SELECT mean(f) FROM m WHERE time > now() + 1h GROUP BY time(10s)", STORE).plan.points[0].range
    assert later.start == later.end


def test_columns_that_are_not_the_calls_themselves_are_computed() -> None:
    first, second = Call("mean", Ref("f"), "c0"), Call("max", Ref("i"), "c1")
    assert node("SELECT mean(f) * 2 AS x, mean(f), max(i) FROM m") == Project(
        Aggregate(M, (first, second)),
        (("x", Binary(Op.MUL, Ref("c0"), Literal(2))), ("mean", Ref("c0")), ("max", Ref("c1"))),
    )


def test_companions_of_a_selector() -> None:
    assert node("SELECT max(f), host, i FROM m") == Project(
        Aggregate(M, (Call("max", Ref("f"), "c0"),), companions=(("c1", Ref("host")), ("c2", Ref("i")))),
        (("max", Ref("c0")), ("host", Ref("c1")), ("i", Ref("c2"))),
    )


def test_chosen_points() -> None:
    assert node("SELECT top(f, 3) FROM m GROUP BY host") == Choose(M, "top", Ref("f"), "top", 3, (), ("host",))
    assert node("SELECT distinct(f) FROM m") == Choose(M, "distinct", Ref("f"), "distinct")
    assert node("SELECT bottom(f, host, 3), i FROM m") == Project(
        Choose(M, "bottom", Ref("f"), "c0", 3, ("host",), companions=(("c1", Ref("host")), ("c2", Ref("i")))),
        (("bottom", Ref("c0")), ("host", Ref("c1")), ("i", Ref("c2"))),
    )


def test_calls_of_different_kinds_are_joined() -> None:
    top = node("SELECT sample(f, 2), mean(f) FROM m")
    assert isinstance(top, Project)
    assert top.columns == (("sample", Ref("c0")), ("mean", Ref("c1")))
    assert top.input == Join((Aggregate(M, (Call("mean", Ref("f"), "c1"),)), Choose(M, "sample", Ref("f"), "c0", 2)))


def test_a_selector_beside_other_calls_has_no_time_of_its_own() -> None:
    assert answer("SELECT max(f) FROM m WHERE time > 5s", STORE)[0]["values"] == [[20 * SECOND, 4.0]]
    (series,) = answer("SELECT max(f), difference(f) FROM m WHERE time > 5s", STORE)
    assert series["values"] == [[5 * SECOND + 1, 4.0, None], [20 * SECOND, None, 2.0]]


# -- transformations


def test_transformations_of_points() -> None:
    assert node("SELECT derivative(f), moving_average(f, 2), difference(i) FROM m") == Project(
        Transform(
            Rows(M, (("c3", Ref("f")), ("c4", Ref("i")))),
            (
                TransformCall("derivative", "c3", "c0", (SECOND,)),
                TransformCall("moving_average", "c3", "c1", (2,)),
                TransformCall("difference", "c4", "c2"),
            ),
        ),
        (("derivative", Ref("c0")), ("moving_average", Ref("c1")), ("difference", Ref("c2"))),
    )


def test_parameters_of_transformations() -> None:
    def parameters(call: str) -> tuple[float, ...]:
        top = node(f"SELECT {call} FROM m WHERE time >= 0 GROUP BY time(10s)")
        assert isinstance(top, Transform)
        return top.calls[0].parameters

    assert parameters("derivative(mean(f))") == (10 * SECOND,)
    assert parameters("derivative(mean(f), 1m)") == (60 * SECOND,)
    assert parameters("elapsed(mean(f))") == ()
    assert parameters("elapsed(mean(f), 1ms)") == (1_000_000,)
    assert parameters("exponential_moving_average(mean(f), 3, 2, 'simple')") == (3, 2, 1)
    assert parameters("chande_momentum_oscillator(mean(f), 3, 2, 'none')") == (3, 2, 2)
    assert parameters("holt_winters(mean(f), 3, 2)") == (3, 2)


def test_transformations_of_calls_look_back() -> None:
    by = "FROM m WHERE time >= 100s AND time < 200s GROUP BY time(10s)"

    def starts(call: str, tail: str = "") -> list[int]:
        return [points.range.start // SECOND for points in plan(f"SELECT {call} {by}{tail}", STORE).plan.points]

    assert starts("derivative(mean(f))") == [90]
    assert starts("cumulative_sum(mean(f))") == [100]
    assert starts("holt_winters(mean(f), 2, 0)") == [100]
    assert starts("cumulative_sum(derivative(mean(f)))") == [90]
    assert starts("derivative(derivative(mean(f)))") == [90]
    assert starts("moving_average(mean(f), 3)") == [90]
    assert starts("derivative(moving_average(mean(f), 2))") == [80]
    assert starts("derivative(derivative(moving_average(mean(f), 3)))") == [70]
    assert starts("derivative(derivative(mean(f))), moving_average(mean(f), 3)") == [80, 90]
    assert starts("mean(f), derivative(mean(f))") == [100, 90]
    (backwards,) = plan(f"SELECT derivative(mean(f)) {by} ORDER BY time DESC", STORE).plan.points
    assert backwards.range == TimeRange(100 * SECOND, 210 * SECOND)
    (opened,) = plan("SELECT derivative(mean(f)) FROM m GROUP BY time(10s)", STORE).plan.points
    assert opened.range == TimeRange(EVER.start, NOW + 1)


def test_only_fills_that_a_transformation_sees_are_made() -> None:
    by = "FROM m WHERE time >= 100s AND time < 200s GROUP BY time(10s)"

    def below(text: str) -> Node:
        top = node(text)
        assert isinstance(top, Transform)
        return top.input

    assert isinstance(below(f"SELECT derivative(mean(f)) {by}"), Aggregate)
    assert isinstance(below(f"SELECT derivative(count(f)) {by}"), Fill)
    assert isinstance(below(f"SELECT derivative(mean(f)) {by} fill(0)"), Fill)


def test_integrals() -> None:
    assert node("SELECT integral(f, 1m) FROM m WHERE time >= 0 AND time < 60s GROUP BY time(10s)") == Transform(
        Rows(within(0, 60), (("c0", Ref("f")),)),
        (TransformCall("integral", "c0", "integral", (60 * SECOND,)),),
        Window(10 * SECOND),
    )


# -- subqueries


def test_a_subquery_is_a_source() -> None:
    inner = Slice(Aggregate(M, (Call("mean", Ref("f"), "mean"),), ("host",)), limit=2)
    assert root("SELECT max(mean) FROM (SELECT mean(f) FROM m GROUP BY host LIMIT 2)") == Slice(
        Aggregate(Nested(inner), (Call("max", Ref("mean"), "max"),))
    )


def test_a_subquery_is_grouped_by_what_the_query_around_it_is() -> None:
    top = node("SELECT max(mean) FROM (SELECT mean(f) FROM (SELECT f FROM m) GROUP BY dc) GROUP BY host")
    assert isinstance(top, Aggregate)
    assert isinstance(top.input, Nested)
    middle = top.input.input.input
    assert isinstance(middle, Aggregate)
    assert middle.group_by == ("dc", "host")
    assert isinstance(middle.input, Nested)
    assert middle.input.input.input == Rows(M, (("f", Ref("f")),), ("dc", "host"))


def test_times_of_subqueries() -> None:
    def read(text: str) -> TimeRange:
        return plan(text, STORE).plan.points[0].range

    assert read("SELECT f FROM (SELECT f FROM m WHERE time < 30s) WHERE time >= 20s") == within(20, 30).range
    top = node("SELECT mean(f) FROM (SELECT f FROM m WHERE time >= 20s)")
    assert isinstance(top, Aggregate)
    assert isinstance(top.input, Nested)
    assert top.input.range == EVER
    assert (
        read("SELECT derivative(mean(f)) FROM (SELECT f FROM m) WHERE time >= 20s AND time < 40s GROUP BY time(5s)")
        == within(15, 40).range
    )


def test_a_subquery_inherits_the_interval_and_the_order() -> None:
    top = root(
        "SELECT max(c), max(d) FROM (SELECT count(f) AS c FROM m), (SELECT derivative(f) AS d FROM m) "
        "WHERE time >= 0 AND time < 60s GROUP BY time(10s) ORDER BY time DESC"
    )
    assert isinstance(top.input, Fill)
    source = top.input.input.input
    assert isinstance(source, Union)
    one, other = source.inputs
    assert isinstance(one, Nested)
    assert one.input == Slice(
        Aggregate(within(0, 60), (Call("count", Ref("f"), "c"),), (), Window(10 * SECOND)), descending=True
    )
    assert isinstance(other, Nested)
    assert isinstance(other.input.input, Transform)
    assert other.input.input.calls[0].parameters == (10 * SECOND,)


def test_fills_of_subqueries() -> None:
    def inner(fill: str) -> Node:
        top = node(f"SELECT max(c) FROM (SELECT mean(f) AS c FROM m WHERE time > 0 GROUP BY time(1s) {fill})")
        assert isinstance(top, Aggregate)
        assert isinstance(top.input, Nested)
        return top.input.input.input

    assert isinstance(inner(""), Aggregate)
    assert isinstance(inner("fill(null)"), Aggregate)
    assert isinstance(inner("fill(0)"), Fill)
    assert isinstance(inner("fill(previous)"), Fill)


def test_conditions_on_subqueries() -> None:
    top = node("SELECT max(x) FROM (SELECT mean(f) AS x FROM m GROUP BY host) WHERE x > 1 AND nope = ''")
    assert isinstance(top, Aggregate)
    assert isinstance(top.input, Filter)
    assert isinstance(top.input.input, Nested)
    nothing = Binary(Op.EQ, Literal(""), Literal(""))
    assert top.input.condition == Binary(Op.AND, Binary(Op.GT, Ref("x"), Literal(1)), nothing)


def test_series_limits_of_subqueries_are_added_up() -> None:
    top = root("SELECT f FROM (SELECT f FROM m GROUP BY host SLIMIT 1) GROUP BY host SLIMIT 2 SOFFSET 3")
    assert (top.series_limit, top.series_offset) == (3, 3)
    assert isinstance(top.input, Rows)
    assert isinstance(top.input.input, Nested)
    assert top.input.input.input.series_limit is None


# -- beyond 1.x


def test_order_by_columns() -> None:
    top = root("SELECT mean(f) AS x FROM m GROUP BY host ORDER BY x DESC, time")
    assert top.order_by == (("x", True), ("time", False))
    assert not top.descending
    with pytest.raises(InvalidRequest, match="ORDER BY y: there is no such column"):
        root("SELECT mean(f) AS x FROM m ORDER BY y")


def test_having() -> None:
    assert node("SELECT mean(f) AS x FROM m GROUP BY host HAVING x > 1 AND count(i) > 2") == Project(
        Filter(
            Aggregate(M, (Call("mean", Ref("f"), "c0"), Call("count", Ref("i"), "c1")), ("host",)),
            Binary(Op.AND, Binary(Op.GT, Ref("c0"), Literal(1)), Binary(Op.GT, Ref("c1"), Literal(2))),
        ),
        (("x", Ref("c0")),),
    )


# -- beside the plan


def test_what_is_planned_beside_the_plan() -> None:
    planned = plan("SELECT mean(f) INTO e..x FROM m GROUP BY host, dc, host ORDER BY time DESC tz('Asia/Tokyo')", STORE)
    assert planned.columns == ("time", "mean")
    assert planned.group_by == ("dc", "host")
    assert planned.target is not None
    assert (planned.target.database, planned.target.policy, planned.target.name) == ("e", None, "x")
    assert planned.zone == "Asia/Tokyo"
    assert planned.descending


def test_the_target_is_in_the_database_of_the_request() -> None:
    target = plan("SELECT f INTO other.:MEASUREMENT FROM e..m", STORE).target
    assert target is not None
    assert (target.database, target.policy, target.name) == ("d", "other", None)


def test_tags_of_groups() -> None:
    def tags(text: str) -> tuple[str, ...]:
        return plan(f"SELECT mean(f) FROM m, n GROUP BY {text}", STORE).group_by

    assert tags("*") == ("dc", "host")
    assert tags("/o/") == ("host",)
    assert tags("/zz/") == ()
    assert tags("nope, *") == ("dc", "host", "nope")
    assert tags("host::tag") == ("host",)
