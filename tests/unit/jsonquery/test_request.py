"""JSON requests: the plans they make, and what a wrong one is told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rusts.errors import InvalidRequest
from rusts.jsonquery import parse
from rusts.model.predicate import And, CompareOp, FieldCompare, TagIn, TagRegex
from rusts.model.store import TimeRange, Window
from rusts.query.expression import Ref
from rusts.query.plan import EVER, Aggregate, Call, Fill, FillMode, Plan, Points, Rows, Slice


def plan_of(**members: Any) -> Plan:
    return parse(json.dumps({"measurement": "m", **members}).encode())


def test_the_smallest_request() -> None:
    assert plan_of() == Plan(Slice(Rows(Points("default", "m"))))
    assert plan_of().points == (Points("default", "m", None, EVER, None),)


def test_everything_about_the_points() -> None:
    plan = plan_of(
        db="d",
        rp="p",
        time_range={"start": "1970-01-01T00:00:00.000000005Z", "end": 9},
        tag_filters=[
            {"key": "a", "value": "1"},
            {"key": "b", "values": ["1", ""]},
            {"key": "c", "op": "ne", "value": ""},
            {"key": "d", "op": "NotIn", "values": ["x"]},
            {"key": "e", "op": "Regex", "value": "^a+$"},
            {"key": "f", "op": "NotRegex", "value": "x"},
            {"key": "g", "op": "Exists"},
            {"key": "h", "op": "NotExists"},
        ],
        field_filters=[{"field": "v", "op": "Ge", "value": 1.5}, {"field": "s", "value": "x"}],
    )
    assert plan.points[0].database == "d"
    assert plan.points[0].policy == "p"
    assert plan.points[0].range == TimeRange(5, 9)
    assert plan.points[0].predicate == And(
        (
            TagIn("a", ("1",)),
            TagIn("b", ("1", "")),
            TagIn("c", ("",), negated=True),
            TagIn("d", ("x",), negated=True),
            TagRegex("e", "^a+$"),
            TagRegex("f", "x", negated=True),
            TagIn("g", ("",), negated=True),
            TagIn("h", ("",)),
            FieldCompare("v", CompareOp.GE, 1.5),
            FieldCompare("s", CompareOp.EQ, "x"),
        )
    )


def test_rows_and_their_slice() -> None:
    plan = plan_of(fields=["v", "host"], group_by=["x", "x"], order="DESC", limit=5, offset=2, series_limit=3)
    assert plan.root == Slice(
        Rows(Points("default", "m"), (("v", Ref("v")), ("host", Ref("host"))), ("x",)), True, 5, 2, 3
    )


def test_aggregations() -> None:
    plan = plan_of(
        aggregation={"function": "Mean", "fields": ["a", "b"], "interval_nanos": 10, "group_by": ["h"]}, fill=2
    )
    points = Points("default", "m")
    calls = (Call("mean", Ref("a"), "mean_a"), Call("mean", Ref("b"), "mean_b"))
    assert plan.root.input == Fill(Aggregate(points, calls, ("h",), Window(10, 0)), FillMode.VALUE, 2.0)
    plan = plan_of(
        aggregations=[
            {"function": "count_distinct", "field": "a"},
            {"function": "PERCENTILE", "field": "a", "percentile": 99.5, "as": "p", "interval_nanos": 7},
        ],
        interval_nanos=7,
        offset_nanos=-3,
        fill="none",
    )
    calls = (Call("count_distinct", Ref("a"), "count_distinct_a"), Call("percentile", Ref("a"), "p", (99.5,)))
    assert plan.root.input == Aggregate(points, calls, (), Window(7, -3))


def test_null_members_are_absent() -> None:
    members = ("db", "rp", "time_range", "fields", "aggregation", "group_by", "fill", "order", "limit", "offset")
    assert plan_of(**dict.fromkeys(members), tag_filters=[]) == plan_of()
    assert plan_of(time_range={"start": None, "end": None}) == plan_of()


def test_times_outside_the_range_of_points_are_brought_to_its_ends() -> None:
    assert plan_of(time_range={"start": -(1 << 63), "end": (1 << 64) - 1}).points[0].range == EVER


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", 'missing required parameter "q"'),
        (b"hello", 'missing required parameter "q"'),
        (b"[1]", 'missing required parameter "q"'),
        (b'{"db":"x"}', 'missing required parameter "q"'),
    ],
)
def test_a_body_that_is_no_json_query(body: bytes, text: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        parse(body)
    assert str(raised.value) == text
    assert raised.value.field is None


def test_broken_json_is_told_where() -> None:
    with pytest.raises(
        InvalidRequest, match=r'missing required parameter "q" \(and the body is no JSON query: .*line 1'
    ):
        parse(b'{"measurement":')


AGG = {"function": "Mean", "field": "v"}


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"measurement": ""}, "measurement"),
        ({"measurement": None}, "measurement"),
        ({"measurement": 5}, "measurement"),
        ({"db": ""}, "db"),
        ({"rp": 1}, "rp"),
        ({"databse": "x"}, "databse"),
        ({"time_range": [1, 2]}, "time_range"),
        ({"time_range": {"start": 1.5}}, "time_range.start"),
        ({"time_range": {"start": True}}, "time_range.start"),
        ({"time_range": {"end": "tomorrow"}}, "time_range.end"),
        ({"time_range": {"from": 1}}, "time_range.from"),
        ({"time_range": {"start": 5, "end": 4}}, "time_range.end"),
        ({"fields": []}, "fields"),
        ({"fields": "v"}, "fields"),
        ({"fields": ["v", 1]}, "fields[1]"),
        ({"fields": ["v"], "aggregation": AGG}, "fields"),
        ({"tag_filters": {}}, "tag_filters"),
        ({"tag_filters": ["x"]}, "tag_filters[0]"),
        ({"tag_filters": [{"value": "x"}]}, "tag_filters[0].key"),
        ({"tag_filters": [{"key": "k"}]}, "tag_filters[0].value"),
        ({"tag_filters": [{"key": "k", "value": 1}]}, "tag_filters[0].value"),
        ({"tag_filters": [{"key": "k", "op": "Like"}]}, "tag_filters[0].op"),
        ({"tag_filters": [{"key": "k", "op": "In"}]}, "tag_filters[0].values"),
        ({"tag_filters": [{"key": "k", "op": "In", "values": []}]}, "tag_filters[0].values"),
        ({"tag_filters": [{"key": "k", "op": "Regex", "value": "(a"}]}, "tag_filters[0].value"),
        ({"tag_filters": [{"key": "k", "value": "a", "neg": 1}]}, "tag_filters[0].neg"),
        ({"field_filters": [{"field": "v"}]}, "field_filters[0].value"),
        ({"field_filters": [{"field": "v", "value": [1]}]}, "field_filters[0].value"),
        ({"field_filters": [{"field": "v", "op": "In", "value": 1}]}, "field_filters[0].op"),
        ({"field_filters": [{"field": "v", "op": "Lt", "value": "x"}]}, "field_filters[0].op"),
        ({"field_filters": [{"field": "v", "op": "Ge", "value": True}]}, "field_filters[0].op"),
        ({"aggregation": "mean"}, "aggregation"),
        ({"aggregation": {"field": "v"}}, "aggregation.function"),
        ({"aggregation": {"function": "Average", "field": "v"}}, "aggregation.function"),
        ({"aggregation": {"function": "Mean"}}, "aggregation.field"),
        ({"aggregation": {"function": "Mean", "fields": []}}, "aggregation.fields"),
        ({"aggregation": {"function": "Mean", "field": "v", "fields": ["v"]}}, "aggregation.fields"),
        ({"aggregation": {"function": "Mean", "fields": ["v", "w"], "as": "x"}}, "aggregation.as"),
        ({"aggregation": {"function": "Percentile", "field": "v"}}, "aggregation.percentile"),
        ({"aggregation": {"function": "Percentile", "field": "v", "percentile": 101}}, "aggregation.percentile"),
        ({"aggregation": {"function": "Mean", "field": "v", "percentile": 9}}, "aggregation.percentile"),
        ({"aggregation": AGG, "aggregations": [AGG]}, "aggregations"),
        ({"aggregations": []}, "aggregations"),
        ({"aggregations": [AGG, {**AGG, "intervall": 1}]}, "aggregations[1].intervall"),
        ({"aggregations": [{**AGG, "interval_nanos": 5}, {**AGG, "interval_nanos": 6}]},
         "aggregations[1].interval_nanos"),
        ({"aggregation": {**AGG, "interval_nanos": 0}}, "aggregation.interval_nanos"),
        ({"aggregation": AGG, "interval_nanos": 1.5}, "interval_nanos"),
        ({"aggregation": AGG, "offset_nanos": 5}, "offset_nanos"),
        ({"aggregation": AGG, "interval_nanos": 5, "offset_nanos": "x"}, "offset_nanos"),
        ({"interval_nanos": 5}, "interval_nanos"),
        ({"group_by": "host"}, "group_by"),
        ({"group_by": [""]}, "group_by[0]"),
        ({"fill": 1}, "fill"),
        ({"aggregation": AGG, "fill": "null"}, "fill"),
        ({"aggregation": AGG, "interval_nanos": 5, "fill": "zero"}, "fill"),
        ({"aggregation": AGG, "interval_nanos": 5, "fill": True}, "fill"),
        ({"order": "up"}, "order"),
        ({"limit": 0}, "limit"),
        ({"limit": "5"}, "limit"),
        ({"offset": -1}, "offset"),
        ({"series_limit": 0}, "series_limit"),
    ],
)  # fmt: skip
def test_a_wrong_member_is_named(members: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        plan_of(**members)
    assert raised.value.field == field
    assert str(raised.value).startswith(f"{field}: ")
    assert len(str(raised.value)) < 300


def test_a_deep_or_long_value_is_not_echoed() -> None:
    with pytest.raises(InvalidRequest, match=r"got a list$"):
        parse(b'{"measurement":' + b"[" * 500 + b"]" * 500 + b"}")
    with pytest.raises(InvalidRequest) as raised:
        plan_of(order="x" * 10_000)
    assert len(str(raised.value)) < 200


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(1 << 63), (1 << 64) - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "x", "Mean", "percentile", "In", "Regex", "(", "desc", "linear", "2020-01-01", "\u0000"]),
)
NAMES = ["db", "rp", "time_range", "fields", "tag_filters", "field_filters", "aggregation", "aggregations", "fill"]
NAMES += ["interval_nanos", "offset_nanos", "group_by", "order", "limit", "offset", "series_limit", "function", "field"]
NAMES += ["percentile", "as", "start", "end", "key", "op", "value", "values", "other"]
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None, max_examples=300)
@given(members=st.dictionaries(st.sampled_from(NAMES), ANYTHING, max_size=6))
def test_whatever_comes_is_a_plan_or_an_invalid_request(members: dict[str, Any]) -> None:
    problem: InvalidRequest | None = None
    try:
        plan_of(**members)
    except InvalidRequest as refused:
        problem = refused
    assert problem is None or (problem.field and str(problem).startswith(problem.field))


@settings(deadline=None, max_examples=200)
@given(body=st.binary(max_size=40) | st.text(max_size=40).map(str.encode))
def test_whatever_bytes_come_are_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        parse(body)
