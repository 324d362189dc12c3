from __future__ import annotations

import pytest

from rusts import errors
from rusts.influxql import ast
from rusts.influxql.parser import parse
from rusts.influxql.tagfilter import ALL, NONE, series_predicate
from rusts.model.predicate import And, Or, Predicate, TagIn, TagRegex

A, B = TagIn("host", ("a",)), TagIn("dc", ("b",))


def predicate(condition: str, *, strict: bool = False) -> Predicate | None:
    (statement,) = parse(f"SHOW SERIES WHERE {condition}")
    assert isinstance(statement, ast.ShowSeries)
    return series_predicate(statement.condition, "m", {"v"}, strict=strict)


@pytest.mark.parametrize(
    ("condition", "plain", "strict"),
    [
        ("host = 'a'", A, A),
        ("'a' = host", A, A),
        ("host != 'a'", TagIn("host", ("a",), True), TagIn("host", ("a",), True)),
        ("host =~ /x/", TagRegex("host", "x"), TagRegex("host", "x")),
        ("(host = 'a' OR dc = 'b')", Or((A, B)), Or((A, B))),
        ("host = 'a' AND dc = 'b'", And((A, B)), And((A, B))),
        ("host = 'a' AND v = 1", A, NONE),
        ("host = 'a' OR v = 1", None, A),
        ("v = 's'", None, NONE),
        ("v::tag = 's'", TagIn("v", ("s",)), TagIn("v", ("s",))),
        ("host = 1", None, NONE),
        ("true", None, None),
        ("1 = 2", NONE, NONE),
        ("_name = 'm'", None, None),
        ("_name != 'm'", NONE, NONE),
        ("host = host", TagIn("host", ("",), True), TagIn("host", ("",), True)),
    ],
)
def test_conditions(condition: str, plain: Predicate | None, strict: Predicate | None):
    assert predicate(condition) == plain
    assert predicate(condition, strict=True) == strict


def test_order_is_none_of_a_tag():
    with pytest.raises(errors.InvalidRequest, match=r"^invalid tag comparison operator$"):
        predicate("host < 'b'")
    assert predicate("host < 'b'", strict=True) == NONE
    assert ALL != NONE
