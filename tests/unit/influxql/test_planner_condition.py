from __future__ import annotations

from collections.abc import Iterator

import pytest

from rusts.errors import InvalidRequest
from rusts.influxql.planner.condition import intersect, lower, split
from rusts.influxql.planner.fold import fold, time_of
from rusts.influxql.printer import expression_text
from rusts.model.predicate import And, CompareOp, FieldCompare, FieldRegex, Or, Predicate, TagIn, TagRegex
from rusts.model.store import TimeRange
from rusts.model.time import MAX_TIME, MIN_TIME
from rusts.model.types import FieldType
from rusts.query.expression import Binary, Duration, Expression, Function, Ref, references
from rusts.query.plan import EVER
from tests.support.statements import NOW, select_of

SECOND = 1_000_000_000
FIELDS = {"f": FieldType.FLOAT, "i": FieldType.INTEGER, "s": FieldType.STRING, "b": FieldType.BOOLEAN}


def where(condition: str, zone: str | None = None) -> tuple[TimeRange, str | None]:
    range, rest = split(condition_of(condition), NOW, zone)
    return range, None if rest is None else expression_text(rest)


def condition_of(text: str) -> Expression:
    condition = select_of(f"SELECT f FROM m WHERE {text}").condition
    assert condition is not None
    return condition


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("time >= 5s", 5 * SECOND, EVER.end),
        ("time > 5s", 5 * SECOND + 1, EVER.end),
        ("time < 5000", EVER.start, 5000),
        ("time <= 5u", EVER.start, 5001),
        ("time = -3", -3, -2),
        ("5s > time", EVER.start, 5 * SECOND),
        ("time > 1.5", 2, EVER.end),
        ("time < '1970-01-01'", EVER.start, 0),
        ("time < '1970-01-01 00:00:06.5'", EVER.start, 6_500_000_000),
        ("time < '1970-01-01T01:00:06.000000001+01:00'", EVER.start, 6 * SECOND + 1),
        ("time < '1970-01-01' + 6s", EVER.start, 6 * SECOND),
        ("time < '1970-01-01T00:00:09Z' - '1970-01-01T00:00:03Z'", EVER.start, 6 * SECOND),
        ("time < now() - 1h + 5m", EVER.start, NOW - 3300 * SECOND),
        ("time < 25s * 2 - 10s / 4", EVER.start, 47_500_000_000),
        ("time < (5s)", EVER.start, 5 * SECOND),
        ("time < 0 + 50s", EVER.start, 50 * SECOND),
        ("time < 90000000000 - 1m", EVER.start, 30 * SECOND),
        ("time < 90000000000 - 1m + 5", EVER.start, 30 * SECOND + 5),
        ("time < now() - 5", EVER.start, NOW - 5),
        ("time < 5 + '1970-01-01' AND time >= '1970-01-01' - 7", -7, 5),
        # InfluxDB cuts the fraction of a factor.
        ("time < 5s * 2.5", EVER.start, 10 * SECOND),
        ("time < 5s / 2.5", EVER.start, 2_500_000_000),
        ("time < 5s / 0.5", EVER.start, 0),
        ("time > 1s AND (time < 9s AND time > 3s)", 3 * SECOND + 1, 9 * SECOND),
        # Both sides of an OR are intersected.
        ("time < 5s OR time > 30s", 30 * SECOND + 1, 30 * SECOND + 1),
        ("time < 5s OR f = 1", EVER.start, 5 * SECOND),
        ("TIME < 5s", EVER.start, 5 * SECOND),
        ("time > 9223372036854775807", EVER.end, EVER.end),
        ("time >= -9223372036854775808", EVER.start, EVER.end),
    ],
)
def test_time(text: str, start: int, end: int) -> None:
    range, _ = where(text)
    assert (range.start, range.end) == (start, end)


def test_time_in_a_zone() -> None:
    assert where("time >= '2023-07-01 02:00:00'", "Europe/Berlin")[0].start == time_of("2023-07-01T00:00:00Z", None)
    assert where("time >= '2023-01-01'", "Europe/Berlin")[0].start == time_of("2022-12-31T23:00:00Z", None)
    assert where("time >= '2023-01-01T00:00:00Z'", "Europe/Berlin")[0].start == time_of("2023-01-01", None)


def test_what_is_left_beside_time() -> None:
    assert where("time > 5s")[1] is None
    assert where("time > 5s AND f > 1")[1] == "f > 1"
    assert where("time > 5s OR host = 'a'")[1] == "host = 'a'"
    assert where("(time > 5s AND f > 1) OR (time < 9s AND i < 2)")[1] == "(f > 1) OR (i < 2)"
    assert where("true AND time > 1")[1] is None
    assert where("1 = 1 AND f > 2 * 3")[1] == "f > 6"
    assert where("1 = 2 AND f > 2 * 3")[1] == "false"


@pytest.mark.parametrize(
    ("text", "predicate"),
    [
        ("host = 'a'", TagIn("host", ("a",))),
        ("'a' = host", TagIn("host", ("a",))),
        ("host != ''", TagIn("host", ("",), negated=True)),
        ("host =~ /a.c/", TagRegex("host", "a.c")),
        ("host !~ /a/", TagRegex("host", "a", negated=True)),
        ("f > 1.5", FieldCompare("f", CompareOp.GT, 1.5)),
        ("1.5 > f", FieldCompare("f", CompareOp.LT, 1.5)),
        ("i != 3", FieldCompare("i", CompareOp.NE, 3)),
        ("s = 'x'", FieldCompare("s", CompareOp.EQ, "x")),
        ("s =~ /x/", FieldRegex("s", "x")),
        ("b = true", FieldCompare("b", CompareOp.EQ, True)),
        ("f::tag = ''", TagIn("f", ("",))),
        ("host::field = 'a'", FieldCompare("host", CompareOp.EQ, "a")),
        ("host = 'a' AND (f > 1 OR i < 2)", And((
            TagIn("host", ("a",)),
            Or((FieldCompare("f", CompareOp.GT, 1), FieldCompare("i", CompareOp.LT, 2))),
        ))),
        # What cannot be compared holds for no row.
        ("host > 'a'", Or(())),
        ("host = 1", Or(())),
        ("host != 1", Or(())),
        ("s > 'a'", Or(())),
        ("b > false", Or(())),
        ("f = 5s", Or(())),
        ("5 - 1s > f", Or(())),
        ("f = 1 OR false", FieldCompare("f", CompareOp.EQ, 1)),
    ],
)  # fmt: skip
def test_predicate(text: str, predicate: Predicate) -> None:
    _, rest = split(condition_of(text), NOW, None)
    assert lower(rest, FIELDS) == (predicate, None)


def test_what_storage_cannot_say_is_left() -> None:
    _, rest = split(condition_of("host = 'a' AND f + i > 3 AND (f > 1 OR f > i)"), NOW, None)
    predicate, left = lower(rest, FIELDS)
    assert predicate == TagIn("host", ("a",))
    assert left is not None
    assert expression_text(left) == "f + i > 3 AND f > 1 OR f > i"


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("f > 1 + 2 * 3", "f > 7"),
        ("f > 7 / 2", "f > 3.500"),
        ("f > 7 % 4 + (6 & 3) + (6 | 1) + (6 ^ 3)", "f > 17"),
        ("f > -7 % 4", "f > -3"),
        ("f > 1.5 - 1", "f > 0.500"),
        ("f > 3 / 0", "f > 0.000"),
        ("s = 'a' + 'b'", "s = 'ab'"),
        ("f > 9223372036854775807 + 1", "f > -9223372036854775808"),
        ("f + 1 + 2 > 0", "f + 1 + 2 > 0"),
    ],
)
def test_constants(text: str, folded: str) -> None:
    assert expression_text(fold(condition_of(text), NOW)) == folded


def test_floats_beyond_exact_integers_are_left_where_the_field_is_an_integer() -> None:
    fields = {"i": FieldType.INTEGER, "f": FieldType.FLOAT}
    for name, number, stored in (
        ("i", "9007199254740992.0", False),
        ("i", "9007199254740991.0", True),
        ("i", "9007199254740993", True),
        ("f", "9007199254740992.0", True),
    ):
        _, rest = split(select_of(f"SELECT i FROM m WHERE {name} = {number}").condition, NOW, None)
        predicate, left = lower(rest, fields)
        assert (predicate is not None, left is None) == (stored, stored), (name, number)


def test_intersection() -> None:
    assert intersect(TimeRange(1, 5), TimeRange(3, 9)) == TimeRange(3, 5)
    assert intersect(TimeRange(1, 5), TimeRange(7, 9)) == TimeRange(7, 7)


@pytest.mark.parametrize(
    ("value", "type"),
    [
        ("'1970-01-01' + '1h'", "StringLiteral"),
        ("'1970-' + '01-01'", "StringLiteral"),
        ("('1970-01-01')", "StringLiteral"),
        ("true + 1h", "BinaryExpr"),
        ("5 - '1970-01-01'", "BinaryExpr"),
        ("'1970-01-01' + 1.5", "BinaryExpr"),
        ("9223372036854775808", "UnsignedLiteral"),
        ("1h + 5", "BinaryExpr"),
        ("2 * 1h", "BinaryExpr"),
        ("5 - now()", "BinaryExpr"),
        ("1h / 1h", "BinaryExpr"),
    ],
)
def test_what_the_time_is_not_compared_with(value: str, type: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        where(f"time > {value}")
    assert str(refused.value) == f"invalid operation: time and *influxql.{type} are not compatible"


def test_nothing_is_computed_with_durations() -> None:
    _, rest = split(condition_of("i + 1h > 5 AND abs(i + 1h) < 5 AND f > i"), NOW, None)
    assert rest is not None
    assert list(references(rest)) == [Ref("i"), Ref("i"), Ref("f"), Ref("i")]
    assert not any(isinstance(node, Duration) for node in nodes(rest))


def nodes(node: Expression) -> Iterator[Expression]:
    yield node
    match node:
        case Binary(left=left, right=right):
            yield from nodes(left)
            yield from nodes(right)
        case Function(args=args):
            for arg in args:
                yield from nodes(arg)
        case _:
            pass


@pytest.mark.parametrize("text", ["2000-13-01", "2000-01-01 1", "2000-01-01T00:00:00", "", "2000-01-01 00:00:00Z"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(InvalidRequest, match="invalid timestamp string"):
        time_of(text, None)


def test_times_that_no_point_has() -> None:
    assert time_of("9999-12-31", None) > MAX_TIME
    assert time_of("0001-01-01", None) < MIN_TIME
