"""The parser: what influxd 1.6.7 says to wrong texts, what statements become, and texts made to break it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rusts.influxql import ast
from rusts.influxql.expressions import MAX_DEPTH
from rusts.influxql.parser import MAX_TOKENS, ParseError, parse
from rusts.influxql.printer import text
from rusts.influxql.selects import MAX_DIMENSIONS
from rusts.model.types import FieldType
from rusts.query.expression import (
    Binary,
    CalendarDuration,
    Distinct,
    Duration,
    Expression,
    Function,
    Literal,
    Now,
    Op,
    Paren,
    Pattern,
    Ref,
    RefKind,
    Wildcard,
)

GOLDEN = Path(__file__).resolve().parents[2] / "golden/influxql"
ERRORS: list[dict[str, Any]] = json.loads((GOLDEN / "errors.json").read_text())

A, B, C, D = map(Ref, "abcd")


def expression(written: str) -> Expression:
    (statement,) = parse(f"SELECT {written} FROM m")
    assert isinstance(statement, ast.Select)
    return statement.fields[0].expression


def condition(written: str) -> Expression:
    (statement,) = parse(f"SELECT a FROM m WHERE {written}")
    assert isinstance(statement, ast.Select)
    assert statement.condition is not None
    return statement.condition


@pytest.mark.parametrize("case", ERRORS, ids=[repr(case["query"])[:80] for case in ERRORS])
def test_errors_are_influxds(case: dict[str, Any]) -> None:
    if "printed" in case:
        assert text(parse(case["query"], case.get("params"))[0]) == case["printed"]
        return
    with pytest.raises(ParseError) as problem:
        parse(case["query"], case.get("params"))
    assert str(problem.value) == case.get("error", case["influxd"])
    assert ("differs" in case) == ("error" in case)


@pytest.mark.parametrize(
    ("written", "tree"),
    [
        ("a + b * c", Binary(Op.ADD, A, Binary(Op.MUL, B, C))),
        ("a * b + c", Binary(Op.ADD, Binary(Op.MUL, A, B), C)),
        ("a - b - c", Binary(Op.SUB, Binary(Op.SUB, A, B), C)),
        ("a | b & c ^ d", Binary(Op.BIT_XOR, Binary(Op.BIT_OR, A, Binary(Op.BIT_AND, B, C)), D)),
        ("(a + b) % c", Binary(Op.MOD, Paren(Binary(Op.ADD, A, B)), C)),
        ("a / -b * c", Binary(Op.MUL, Binary(Op.DIV, A, Binary(Op.MUL, Literal(-1), B)), C)),
        ("-5", Literal(-5)),
        ("+ 5", Literal(5)),
        ("- 2.5", Literal(-2.5)),
        ("-(5)", Binary(Op.MUL, Literal(-1), Paren(Literal(5)))),
        ("a - -5", Binary(Op.SUB, A, Literal(-5))),
        ("-9223372036854775808", Literal(-(2**63))),
        ("18446744073709551615", Literal(2**64 - 1)),
        ("5.", Literal(5.0)),
        ("true", Literal(True)),
        ("'it\\'s'", Literal("it's")),
        ("1h30m", Duration(5_400_000_000_000)),
        ("-1w2d3ns", Duration(-777_600_000_000_003)),
        ("1u1µ1ms", Duration(1_002_000)),
        ("a.b", Ref("a.b")),
        ('"a".".b"', Ref("a..b")),
        ("a::integer", Ref("a", RefKind.FIELD, FieldType.INTEGER)),
        ("a::Unsigned", Ref("a", RefKind.FIELD, FieldType.UNSIGNED)),
        ("a::field", Ref("a", RefKind.FIELD)),
        ("a::tag", Ref("a", RefKind.TAG)),
        ("*", Wildcard()),
        ("*::tag", Wildcard(RefKind.TAG)),
        ("/a.*/", Pattern("a.*")),
        ("NOW()", Now()),
        ("now(5)", Function("now", (Literal(5),))),
        ("Mean(/a/)", Function("mean", (Pattern("a"),))),
        ("f(g(a, 5), *)", Function("f", (Function("g", (A, Literal(5))), Wildcard()))),
        ("DISTINCT a", Distinct("a")),
        ("distinct(a)", Function("distinct", (A,))),
        ("count(distinct a)", Function("count", (Distinct("a"),))),
    ],
)
def test_expressions(written: str, tree: Expression) -> None:
    found = expression(written)
    assert found == tree
    assert not isinstance(found, Literal) or type(found.value) is type(tree.value)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("written", "tree"),
    [
        ("a AND b OR c AND d", Binary(Op.OR, Binary(Op.AND, A, B), Binary(Op.AND, C, D))),
        ("a OR b OR c", Binary(Op.OR, Binary(Op.OR, A, B), C)),
        ("a <> b + c", Binary(Op.NE, A, Binary(Op.ADD, B, C))),
        ("a < b = c", Binary(Op.EQ, Binary(Op.LT, A, B), C)),
        (
            "a =~ /x/ AND b !~/y/",
            Binary(Op.AND, Binary(Op.MATCH, A, Pattern("x")), Binary(Op.NOT_MATCH, B, Pattern("y"))),
        ),
        ("time > now() - 1h", Binary(Op.GT, Ref("time"), Binary(Op.SUB, Now(), Duration(3_600_000_000_000)))),
        ("time >= '2020-01-01'", Binary(Op.GE, Ref("time"), Literal("2020-01-01"))),
    ],
)
def test_conditions(written: str, tree: Expression) -> None:
    assert condition(written) == tree


def test_all_clauses_of_select() -> None:
    (statement,) = parse(
        "select mean(a) AS x, b INTO db.rp.:MEASUREMENT FROM d..m, /n/, (SELECT * FROM rp.o), db.rp./p/ WHERE a = 1 "
        "GROUP BY time(1y, 1d), host, *, /x/ fill(-2.5) having x > 3 ORDER BY x DESC, time LIMIT 1 OFFSET 2 SLIMIT 3 "
        "SOFFSET 4 tz('Europe/Berlin')"
    )
    day = 86_400_000_000_000
    assert statement == ast.Select(
        fields=(ast.SelectField(Function("mean", (A,)), "x"), ast.SelectField(B)),
        sources=(
            ast.MeasurementName("d", None, "m"),
            ast.MeasurementName(pattern="n"),
            ast.Subquery(ast.Select((ast.SelectField(Wildcard()),), (ast.MeasurementName(None, "rp", "o"),))),
            ast.MeasurementName("db", "rp", pattern="p"),
        ),
        condition=Binary(Op.EQ, A, Literal(1)),
        dimensions=(
            ast.Dimension(Function("time", (CalendarDuration(12), Duration(day)))),
            ast.Dimension(Ref("host")),
            ast.Dimension(Wildcard()),
            ast.Dimension(Pattern("x")),
        ),
        fill=ast.FillOption(ast.FillKind.VALUE, -2.5),
        order=(ast.SortField("x", True), ast.SortField("time")),
        limit=1,
        offset=2,
        series_limit=3,
        series_offset=4,
        zone="Europe/Berlin",
        target=ast.Target("db", "rp"),
        having=Binary(Op.GT, Ref("x"), Literal(3)),
    )


@pytest.mark.parametrize(
    ("written", "statement"),
    [
        ("SHOW DATABASES", ast.ShowDatabases()),
        ("SHOW SERIES EXACT ON d", ast.ShowSeries("d")),
        ("show measurements with measurement =~ /m/", ast.ShowMeasurements(source=ast.MeasurementName(pattern="m"))),
        (
            "SHOW TAG VALUES FROM m WITH KEY IN (a, b) LIMIT 2",
            ast.ShowTagValues(
                ast.KeyCondition(ast.KeyOp.IN, ("a", "b")), sources=(ast.MeasurementName(name="m"),), limit=2
            ),
        ),
        (
            "SHOW TAG VALUES EXACT CARDINALITY WITH KEY !~ /k/",
            ast.ShowCardinality(
                ast.Cardinality.TAG_VALUES, True, key=ast.KeyCondition(ast.KeyOp.NOT_MATCH, pattern="k")
            ),
        ),
        ("SHOW SERIES CARDINALITY", ast.ShowCardinality(ast.Cardinality.SERIES)),
        ("SHOW FIELD KEY CARDINALITY ON d", ast.ShowCardinality(ast.Cardinality.FIELD_KEY, database="d")),
        ("CREATE DATABASE d", ast.CreateDatabase("d")),
        (
            "CREATE DATABASE d WITH DURATION INF SHARD DURATION 1h NAME p",
            ast.CreateDatabase("d", ast.PolicyOptions(0, None, 3_600_000_000_000, "p")),
        ),
        (
            "CREATE RETENTION POLICY p ON d DURATION 1h REPLICATION 2 DEFAULT",
            ast.CreateRetentionPolicy("p", "d", 3_600_000_000_000, 2, None, True),
        ),
        (
            "ALTER RETENTION POLICY p ON d REPLICATION 2 DURATION INF",
            ast.AlterRetentionPolicy("p", "d", 0, 2),
        ),
        ("DELETE WHERE a", ast.Delete((), A)),
        ("DROP SHARD 18446744073709551615", ast.DropShard(2**64 - 1)),
        ("CREATE USER u WITH PASSWORD 'p' WITH ALL PRIVILEGES", ast.CreateUser("u", "p", True)),
        ("SET PASSWORD FOR u = 'p'", ast.SetPassword("u", "p")),
        ("GRANT ALL TO u", ast.GrantAdmin("u")),
        ("GRANT READ ON d TO u", ast.Grant(ast.Privilege.READ, "d", "u")),
        ("REVOKE ALL PRIVILEGES ON d FROM u", ast.Revoke(ast.Privilege.ALL, "d", "u")),
        ("KILL QUERY 5 ON h", ast.KillQuery(5, "h")),
        (
            "CREATE SUBSCRIPTION s ON d.p DESTINATIONS ALL 'a', 'b'",
            ast.CreateSubscription("s", "d", "p", "ALL", ("a", "b")),
        ),
    ],
)
def test_statements(written: str, statement: ast.Statement) -> None:
    assert parse(written) == [statement]


def test_several_statements() -> None:
    assert parse(" ; -- none\n;") == []
    assert parse("SHOW USERS;;SHOW SHARDS;") == [ast.ShowUsers(), ast.ShowShards()]


def test_passwords_are_not_shown() -> None:
    for written in ("CREATE USER u WITH PASSWORD 'secret'", "SET PASSWORD FOR u = 'secret'"):
        (statement,) = parse(written)
        assert "secret" not in repr(statement) + text(statement)


def test_parameters() -> None:
    parameters = {"n": {"identifier": "a b"}, "d": {"duration": "5m"}, "v": "x", "r": {"regex": "^x"}, "l": 3}
    written = "SELECT $n FROM m WHERE $n = $v AND b =~ $r GROUP BY time($d) LIMIT $l"
    assert text(parse(written, parameters)[0]) == (
        """SELECT "a b" FROM m WHERE "a b" = 'x' AND b =~ /^x/ GROUP BY time(5m) LIMIT 3"""
    )


@pytest.mark.parametrize(
    "written",
    [
        "(" * 20_000,
        "f(" * 20_000,
        "(" * (MAX_DEPTH + 1) + "a" + ")" * (MAX_DEPTH + 1),
        "a" + "+a" * 20_000,
        "a" + "+a" * MAX_DEPTH,
        "f(" * 150 + "a" + "+a" * 60 + ")" * 150,
    ],
)
def test_expressions_that_are_too_deep_are_refused(written: str) -> None:
    with pytest.raises(ParseError, match=f"nested too deeply: more than {MAX_DEPTH} levels"):
        parse(f"SELECT {written} FROM m")


def test_subqueries_that_are_too_deep_are_refused() -> None:
    parse("SELECT a FROM " + "(SELECT a FROM " * 50 + "m" + ")" * 50)
    with pytest.raises(ParseError, match="nested too deeply"):
        parse("SELECT a FROM " + "(SELECT a FROM " * 10_000)


@pytest.mark.parametrize("op", [Op.AND, Op.OR])
def test_long_chains_are_flat_enough_to_be_walked(op: Op) -> None:
    written = f" {op} ".join(f"h = 'h{number}'" for number in range(12_000))

    def depth(tree: Expression) -> int:
        return 1 + max(depth(tree.left), depth(tree.right)) if isinstance(tree, Binary) else 1

    tree = condition(written)
    assert depth(tree) < 20
    assert text(parse(f"SELECT a FROM m WHERE {written}")[0]) == f"SELECT a FROM m WHERE {written}"


@pytest.mark.parametrize(
    "written",
    [
        "SELECT a" + ",a" * 20_000 + " FROM m",
        "SELECT f(a" + ",a" * 20_000 + ") FROM m",
        "SELECT a FROM m" + ",m" * 20_000,
    ],
    ids=["fields", "arguments", "sources"],
)
def test_long_lists_are_read(written: str) -> None:
    assert len(parse(written)) == 1


def test_what_is_too_long_is_refused() -> None:
    with pytest.raises(ParseError, match=f"statement is too long: more than {MAX_TOKENS} words and signs"):
        parse("SELECT a" + ",a" * (MAX_TOKENS // 2) + " FROM m")
    # Each statement by itself.
    assert len(parse("SELECT a FROM m;" * (MAX_TOKENS // 4))) == MAX_TOKENS // 4
    with pytest.raises(ParseError, match=f"GROUP BY has too many dimensions: more than {MAX_DIMENSIONS}"):
        parse("SELECT a FROM m GROUP BY b" + ",b" * MAX_DIMENSIONS)


@pytest.mark.parametrize(
    ("length", "problem"),
    [
        ("300000w", "overflowed duration 300000w: choose a smaller duration or INF"),
        ("10000w9000w", "overflowed duration 9000w: choose a smaller duration or INF"),
        ("40000w", "overflowed duration 40000w: choose a smaller duration or INF"),
        ("9223372036854775808ns", "invalid duration"),
        ("99999999999999999999h", "invalid duration"),
    ],
)
def test_durations_that_are_too_long(length: str, problem: str) -> None:
    with pytest.raises(ParseError) as refused:
        parse(f"SELECT f FROM m WHERE time > now() - {length}")
    assert str(refused.value) == problem
    with pytest.raises(ParseError) as refused:
        parse(f"CREATE DATABASE d WITH DURATION {length}")
    assert str(refused.value) == f"{problem} at line 1, char 33"


def test_a_pattern_may_have_an_alias() -> None:
    (statement,) = parse("SELECT /a/ AS x, b FROM m")
    assert isinstance(statement, ast.Select)
    assert statement.fields[0] == ast.SelectField(Pattern("a"), "x")


@pytest.mark.parametrize("digits", ["9" * 100_000, "9" * 100_000 + "s", "1" + "0" * 100_000 + ".0"])
def test_numbers_that_are_too_long_are_refused(digits: str) -> None:
    with pytest.raises(ParseError, match=r"unable to parse|invalid duration"):
        parse(f"SELECT {digits} FROM m")
