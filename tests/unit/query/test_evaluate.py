"""Expressions over columns: what each operator and function gives, and what has no value."""

from __future__ import annotations

import math
from typing import Any

import pytest

from rusts.errors import InvalidRequest
from rusts.model.types import FieldType
from rusts.query.evaluate import evaluate, truth, type_of
from rusts.query.expression import (
    Binary,
    Duration,
    Expression,
    Function,
    Literal,
    Op,
    Paren,
    Pattern,
    Ref,
    RefKind,
    Time,
)
from tests.support.model_store import column_of, python_values

FLOAT, INTEGER, UNSIGNED = FieldType.FLOAT, FieldType.INTEGER, FieldType.UNSIGNED
STRING, BOOLEAN = FieldType.STRING, FieldType.BOOLEAN
MOST = (1 << 63) - 1

COLUMNS: dict[str, tuple[FieldType, list[Any]]] = {
    "f": (FLOAT, [1.5, -2.5, 0.0, None]),
    "i": (INTEGER, [7, -7, 0, None]),
    "j": (INTEGER, [2, 2, 0, 1]),
    "u": (UNSIGNED, [3, 1 << 63, 0, None]),
    "s": (STRING, ["abc", "b", "", None]),
    "a": (BOOLEAN, [True, True, None, None]),
    "b": (BOOLEAN, [False, None, True, None]),
}
F, N, J, U, S, A, B = map(Ref, COLUMNS)
ONE, TWO, NULL = Literal(1), Literal(2), Literal(None)


def lookup(ref: Ref) -> Any:
    return column_of(*COLUMNS[ref.name])


def kind(ref: Ref) -> FieldType:
    return COLUMNS[ref.name][0]


def cast(name: str, type: FieldType) -> Ref:
    return Ref(name, RefKind.FIELD, type)


def call(name: str, *args: Expression) -> Function:
    return Function(name, args)


@pytest.mark.parametrize(
    ("expression", "type", "wanted"),
    [
        (N, INTEGER, [7, -7, 0, None]),
        (Paren(S), STRING, ["abc", "b", "", None]),
        (Literal("x"), STRING, ["x"] * 4),
        (Literal(True), BOOLEAN, [True] * 4),
        (Literal(1 << 63), UNSIGNED, [1 << 63] * 4),
        (Duration(5), INTEGER, [5] * 4),
        (Time(9), INTEGER, [9] * 4),
        (Binary(Op.ADD, F, N), FLOAT, [8.5, -9.5, 0.0, None]),
        (Binary(Op.SUB, N, J), INTEGER, [5, -9, 0, None]),
        (Binary(Op.MUL, N, Literal(0.5)), FLOAT, [3.5, -3.5, 0.0, None]),
        (Binary(Op.ADD, Literal(MOST), J), INTEGER, [-MOST, -MOST, MOST, -MOST - 1]),
        (Binary(Op.ADD, U, J), UNSIGNED, [5, (1 << 63) + 2, 0, None]),
        (Binary(Op.DIV, N, J), FLOAT, [3.5, -3.5, 0.0, None]),
        (Binary(Op.DIV, ONE, N), FLOAT, [1 / 7, -1 / 7, 0.0, None]),
        (Binary(Op.DIV, ONE, TWO), FLOAT, [0.5] * 4),
        (Binary(Op.MOD, N, J), INTEGER, [1, -1, 0, None]),
        (Binary(Op.MOD, N, Literal(-1)), INTEGER, [0, 0, 0, None]),
        (Binary(Op.MOD, F, TWO), FLOAT, [1.5, -0.5, 0.0, None]),
        (Binary(Op.MOD, F, Literal(0.0)), FLOAT, ["nan", "nan", "nan", None]),
        (Binary(Op.BIT_AND, N, J), INTEGER, [2, 0, 0, None]),
        (Binary(Op.BIT_OR, N, ONE), INTEGER, [7, -7, 1, None]),
        (Binary(Op.BIT_XOR, U, ONE), UNSIGNED, [2, (1 << 63) + 1, 1, None]),
        # A missing boolean is false beside one that is there.
        (Binary(Op.BIT_AND, A, B), BOOLEAN, [False, False, False, None]),
        (Binary(Op.BIT_OR, A, B), BOOLEAN, [True, True, True, None]),
        (Binary(Op.BIT_XOR, B, A), BOOLEAN, [True, True, True, None]),
        (Binary(Op.BIT_XOR, A, Literal(True)), BOOLEAN, [False, False, True, True]),
        (cast("f", INTEGER), INTEGER, [1, -2, 0, None]),
        (cast("i", FLOAT), FLOAT, [7.0, -7.0, 0.0, None]),
        (call("abs", N), INTEGER, [7, 7, 0, None]),
        (call("floor", F), FLOAT, [1.0, -3.0, 0.0, None]),
        (call("round", F), FLOAT, [2.0, -3.0, 0.0, None]),
        (call("sqrt", F), FLOAT, [math.sqrt(1.5), "nan", 0.0, None]),
        (call("pow", J, TWO), FLOAT, [4.0, 4.0, 0.0, 1.0]),
        (call("log", Literal(8), TWO), FLOAT, [3.0] * 4),
        (call("atan2", N, J), FLOAT, [math.atan2(7, 2), math.atan2(-7, 2), 0.0, None]),
    ],
)
def test_values(expression: Expression, type: FieldType, wanted: list[Any]) -> None:
    assert type_of(expression, kind) is type
    column = evaluate(expression, 4, lookup)
    assert column.type is type
    got = ["nan" if value != value else value for value in python_values(column)]
    assert got == [pytest.approx(value) if isinstance(value, float) else value for value in wanted]


@pytest.mark.parametrize("expression", [NULL, Binary(Op.ADD, N, NULL), call("sqrt", S)])
def test_what_has_no_values(expression: Expression) -> None:
    column = evaluate(expression, 4, lookup, INTEGER)
    assert (column.type, python_values(column)) == (INTEGER, [None] * 4)


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        (Binary(Op.GT, N, Literal(0)), [True, False, False, False]),
        (Binary(Op.LE, N, F), [False, True, True, False]),
        (Binary(Op.EQ, N, Literal(7.0)), [True, False, False, False]),
        (Binary(Op.NE, N, Literal(7)), [False, True, True, False]),
        (Binary(Op.LT, J, U), [True, True, False, False]),
        (Binary(Op.GE, U, Literal(1 << 63)), [False, True, False, False]),
        (Binary(Op.EQ, S, Literal("b")), [False, True, False, False]),
        (Binary(Op.NE, S, Literal("b")), [True, False, True, False]),
        (Binary(Op.LT, S, Literal("b")), [False] * 4),
        (Binary(Op.EQ, S, ONE), [False] * 4),
        (Binary(Op.NE, S, ONE), [False] * 4),
        (Binary(Op.EQ, A, Literal(True)), [True, True, False, False]),
        (Binary(Op.EQ, A, B), [False] * 4),
        (Binary(Op.MATCH, S, Pattern("b")), [True, True, False, False]),
        (Binary(Op.NOT_MATCH, S, Pattern("b")), [False, False, True, False]),
        (Binary(Op.MATCH, N, Pattern("7")), [False] * 4),
        (Binary(Op.MATCH, Literal("abc"), Pattern("^a")), [True] * 4),
        (Binary(Op.AND, Binary(Op.GT, N, Literal(0)), A), [True, False, False, False]),
        (Binary(Op.OR, Binary(Op.GT, N, Literal(0)), B), [True, False, True, False]),
        (Binary(Op.AND, A, N), [False] * 4),
        # Integers are divided as integers here, and a missing boolean stays missing.
        (Binary(Op.EQ, Binary(Op.DIV, N, J), Literal(3)), [True, False, False, False]),
        (Binary(Op.EQ, Binary(Op.DIV, N, J), Literal(-3)), [False, True, False, False]),
        (Binary(Op.EQ, Binary(Op.BIT_OR, A, B), Literal(True)), [True, False, False, False]),
        (Binary(Op.GT, Binary(Op.ADD, N, S), ONE), [False] * 4),
        (N, [False] * 4),
    ],
)
def test_conditions(expression: Expression, wanted: list[bool]) -> None:
    assert truth(expression, 4, lookup).tolist() == wanted


@pytest.mark.parametrize(
    ("expression", "types"),
    [
        (Binary(Op.ADD, F, S), "float and string"),
        (Binary(Op.ADD, S, S), "string and string"),
        (Binary(Op.BIT_AND, F, N), "float and integer"),
        (Binary(Op.BIT_OR, A, N), "boolean and integer"),
    ],
)
def test_types_that_do_not_go_together(expression: Expression, types: str) -> None:
    for act in (lambda: type_of(expression, kind), lambda: evaluate(expression, 4, lookup)):
        with pytest.raises(InvalidRequest, match=f"incompatible types: {types}"):
            act()


def test_a_cast_that_does_not_fit_has_no_values() -> None:
    column = evaluate(cast("s", INTEGER), 4, lookup)
    assert (column.type, python_values(column)) == (INTEGER, [None] * 4)


def test_a_bad_pattern_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="invalid regular expression"):
        truth(Binary(Op.MATCH, S, Pattern("(")), 4, lookup)


def test_no_rows() -> None:
    def nothing(ref: Ref) -> Any:
        return column_of(kind(ref), [])

    assert len(evaluate(Binary(Op.ADD, F, N), 0, nothing)) == 0
    assert len(evaluate(Literal("x"), 0, nothing)) == 0
    assert truth(Binary(Op.MATCH, S, Pattern("b")), 0, nothing).tolist() == []
