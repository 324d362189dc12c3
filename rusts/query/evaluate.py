"""Expressions over columns, with InfluxQL's rules.

Arithmetic: of a float and an integer a float comes; ``/`` always gives a float; of integers all else is an integer
and wraps at 64 bits; what is divided by zero gives zero (the remainder of floats NaN). Bit operators take integers or
booleans. An operand without a value gives none, but a missing boolean counts as false beside one that is there. A
comparison of types that cannot be compared, or with an operand without a value, is false, and so is its negation.
Numbers compare by value, booleans and strings are equal or not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rusts.errors import Bug, InvalidRequest
from rusts.model.batch import Column, empty_column
from rusts.model.types import DTYPES, FieldType
from rusts.query.expression import Binary, Duration, Expression, Function, Literal, Op, Paren, Pattern, Ref, Time

__all__ = ["MATHEMATICS", "cast", "evaluate", "fits", "truth", "type_of"]

Lookup = Callable[[Ref], Column]
"""The column that a name means; it has as many rows as all others."""

MATHEMATICS: Final = {
    "abs": 1,
    "acos": 1,
    "asin": 1,
    "atan": 1,
    "atan2": 2,
    "ceil": 1,
    "cos": 1,
    "exp": 1,
    "floor": 1,
    "ln": 1,
    "log": 2,
    "log10": 1,
    "log2": 1,
    "pow": 2,
    "round": 1,
    "sin": 1,
    "sqrt": 1,
    "tan": 1,
}
"""The mathematical functions and how many arguments each takes."""

_SAME_TYPE: Final = frozenset(("abs", "ceil", "floor", "round"))
"""Those that give an integer of an integer."""

_UNARY: Final[dict[str, Callable[[Any], Any]]] = {
    "acos": np.arccos,
    "asin": np.arcsin,
    "atan": np.arctan,
    "cos": np.cos,
    "exp": np.exp,
    "ln": np.log,
    "log10": np.log10,
    "log2": np.log2,
    "sin": np.sin,
    "sqrt": np.sqrt,
    "tan": np.tan,
    "ceil": np.ceil,
    "floor": np.floor,
    # Half away from zero, as Go rounds.
    "round": lambda values: np.trunc(values + np.copysign(0.5, values)),
}


@dataclass(slots=True)
class _Operand:
    """A value for each row, or one for all rows (`values` is then a numpy scalar or a str).

    `valid` bool[n] says which rows have one, None = all; `type` None = a constant that has none.
    """

    type: FieldType | None
    values: Any
    valid: npt.NDArray[np.bool_] | None = None

    @property
    def constant(self) -> bool:
        return not isinstance(self.values, np.ndarray | pa.LargeStringArray)


_NOTHING: Final = _Operand(None, np.float64(0))


def evaluate(expression: Expression, rows: int, lookup: Lookup, type: FieldType | None = None) -> Column:
    """The expression over `rows` rows. A result that has no type, or another one than `type`, is without values.

    Raises InvalidRequest where the types of operands do not go together, and on a bad pattern.
    """
    operand = _value(expression, lookup)
    if operand.type is None or (type is not None and operand.type is not type):
        return empty_column(type or FieldType.FLOAT, rows)
    values, valid = operand.values, operand.valid
    if operand.constant:
        if operand.type is FieldType.STRING:
            values = pa.repeat(pa.scalar(values, pa.large_string()), rows)
        else:
            values = np.full(rows, values, dtype=DTYPES[operand.type])
    return Column(operand.type, values, None if valid is None or bool(valid.all()) else valid)


def truth(expression: Expression, rows: int, lookup: Lookup) -> npt.NDArray[np.bool_]:
    """bool[rows]: where the condition holds; what is no boolean holds nowhere.

    As InfluxDB has it, in a condition integers are divided as integers, and what cannot be computed has no value.
    """
    operand = _value(expression, lookup, condition=True)
    if operand.type is not FieldType.BOOLEAN:
        return np.zeros(rows, dtype=np.bool_)
    held = np.broadcast_to(operand.values, (rows,))
    return np.asarray(held if operand.valid is None else held & operand.valid)


def type_of(expression: Expression, types: Callable[[Ref], FieldType | None]) -> FieldType | None:
    """The type of what `evaluate` gives; None = it has no values, whatever the rows.

    Raises InvalidRequest("incompatible types: float and string") and its like.
    """
    match expression:
        case Ref(type=asked):
            type = types(expression)
            return type if asked is None or type is None or not fits(type, asked) else asked
        case Literal(value=value):
            return _literal(value).type
        case Duration() | Time():
            return FieldType.INTEGER
        case Paren(inner=inner):
            return type_of(inner, types)
        case Function(name=name, args=args):
            kinds = [type_of(arg, types) for arg in args]
            if name not in _SAME_TYPE:
                return FieldType.FLOAT
            return kinds[0] if kinds[0] is not None and kinds[0].numeric else FieldType.FLOAT
        case Binary(op=op, left=left, right=right):
            if not op.arithmetic:
                return FieldType.BOOLEAN
            one, other = type_of(left, types), type_of(right, types)
            return None if one is None or other is None else _result(op, one, other)
        case _:
            raise Bug(f"an expression that has no value: {expression!r}")


def fits(type: FieldType, asked: FieldType) -> bool:
    """Whether a field of type `type` has values where ``::asked`` is written."""
    return type is asked or (type.numeric and asked.numeric)


def cast(column: Column, asked: FieldType) -> Column:
    """The column as ``::asked`` gives it: numbers are converted as Go does it, other types have no values."""
    if column.type is asked:
        return column
    if not fits(column.type, asked):
        return empty_column(asked, len(column))
    with np.errstate(invalid="ignore"):
        return Column(asked, column.values.astype(DTYPES[asked]), column.validity)


def _value(expression: Expression, lookup: Lookup, *, condition: bool = False) -> _Operand:
    match expression:
        case Ref(type=asked):
            column = lookup(expression)
            if asked is not None:
                column = cast(column, asked)
            return _Operand(column.type, column.values, column.validity)
        case Literal(value=value):
            return _literal(value)
        case Duration(ns=ns) | Time(ns=ns):
            return _Operand(FieldType.INTEGER, np.int64(ns))
        case Paren(inner=inner):
            return _value(inner, lookup, condition=condition)
        case Function(name=name, args=args):
            return _function(name, [_value(arg, lookup, condition=condition) for arg in args])
        case Binary(op=op, left=left, right=Pattern(text=text)):
            return _matches(_value(left, lookup, condition=condition), text, op is Op.NOT_MATCH)
        case Binary(op=op, left=left, right=right):
            one = _value(left, lookup, condition=condition)
            other = _value(right, lookup, condition=condition)
            if op.arithmetic:
                return _arithmetic(op, one, other, condition)
            return _compare(op, one, other) if op.comparison else _logic(op, one, other)
        case _:
            raise Bug(f"an expression that has no value: {expression!r}")


def _literal(value: float | int | str | bool | None) -> _Operand:
    match value:
        case None:
            return _NOTHING
        case bool():
            return _Operand(FieldType.BOOLEAN, np.bool_(value))
        case str():
            return _Operand(FieldType.STRING, value)
        case int() if value > np.iinfo(np.int64).max:
            return _Operand(FieldType.UNSIGNED, np.uint64(value))
        case int():
            return _Operand(FieldType.INTEGER, np.int64(value))
        case _:
            return _Operand(FieldType.FLOAT, np.float64(value))


def _both(one: _Operand, other: _Operand) -> npt.NDArray[np.bool_] | None:
    if one.valid is None or other.valid is None:
        return one.valid if other.valid is None else other.valid
    return one.valid & other.valid


# -- arithmetic

_BITS: Final = {Op.BIT_AND: np.bitwise_and, Op.BIT_OR: np.bitwise_or, Op.BIT_XOR: np.bitwise_xor}
_SUMS: Final = {Op.ADD: np.add, Op.SUB: np.subtract, Op.MUL: np.multiply}


def _possible(op: Op, one: FieldType, other: FieldType) -> bool:
    """True if an arithmetic operation is defined for the types."""
    if op in _BITS:
        if one is other is FieldType.BOOLEAN:
            return True
        return one.numeric and other.numeric and FieldType.FLOAT not in (one, other)
    return one.numeric and other.numeric


def _result(op: Op, one: FieldType, other: FieldType) -> FieldType:
    """The type of an arithmetic operation. Raises InvalidRequest."""
    if not _possible(op, one, other):
        raise InvalidRequest(f"incompatible types: {one.text} and {other.text}")
    if one is FieldType.BOOLEAN:
        return one
    if FieldType.FLOAT in (one, other) or op is Op.DIV:
        return FieldType.FLOAT
    return FieldType.UNSIGNED if FieldType.UNSIGNED in (one, other) else FieldType.INTEGER


def _arithmetic(op: Op, one: _Operand, other: _Operand, condition: bool) -> _Operand:
    if one.type is None or other.type is None or (condition and not _possible(op, one.type, other.type)):
        return _NOTHING
    type = _result(op, one.type, other.type)
    valid = _both(one, other)
    if type is FieldType.BOOLEAN and (not condition or one.constant != other.constant):
        # InfluxDB takes a missing boolean for false beside one that is there.
        valid = None if one.valid is None or other.valid is None else one.valid | other.valid
        one, other = (_Operand(type, _settled(side)) for side in (one, other))
    left, right = _as(one.values, type), _as(other.values, type)
    with np.errstate(all="ignore"):
        if op in _SUMS:
            values = _SUMS[op](left, right)
        elif op in _BITS:
            values = _BITS[op](left, right)
        elif op is Op.DIV:
            values = np.where(right == 0, 0.0, left / right)
        elif type is FieldType.FLOAT:
            values = np.fmod(left, right)
        else:
            # Go cuts towards zero, so the remainder has the sign of the left side. (-1 alone could overflow.)
            odd = (right == 0) | (right == _as(np.int64(-1), type)) if type is FieldType.INTEGER else right == 0
            values = np.where(odd, 0, np.fmod(left, np.where(odd, 1, right))).astype(DTYPES[type])
    if condition and op is Op.DIV and one.type is other.type is FieldType.INTEGER:
        by = np.where(other.values == 0, 1, other.values)
        type, values = one.type, np.where(other.values == 0, 0, (one.values - np.fmod(one.values, by)) // by)
    if one.constant and other.constant:
        values = values[()] if isinstance(values, np.ndarray) else values
    return _Operand(type, values, valid)


def _as(values: Any, type: FieldType) -> Any:
    """Numbers or booleans in the dtype of `type`."""
    with np.errstate(invalid="ignore"):
        return values.astype(DTYPES[type], copy=False)


def _function(name: str, args: list[_Operand]) -> _Operand:
    first = args[0]
    if any(arg.type is None or not arg.type.numeric for arg in args):
        return _NOTHING
    valid = first.valid if len(args) == 1 else _both(first, args[1])
    if name in _SAME_TYPE and first.type is not FieldType.FLOAT:
        values = np.abs(first.values) if name == "abs" and first.type is FieldType.INTEGER else first.values
        return _Operand(first.type, values, valid)
    numbers = [_as(arg.values, FieldType.FLOAT) for arg in args]
    with np.errstate(all="ignore"):
        match name:
            case "abs":
                values = np.abs(numbers[0])
            case "atan2":
                values = np.arctan2(*numbers)
            case "pow":
                values = np.power(*numbers)
            case "log":
                values = np.log(numbers[0]) / np.log(numbers[1])
            case _:
                values = _UNARY[name](numbers[0])
    return _Operand(FieldType.FLOAT, values, valid)


# -- conditions

_FALSE: Final = _Operand(FieldType.BOOLEAN, np.bool_(False))

_COMPARE: Final[dict[Op, Callable[[Any, Any], Any]]] = {
    Op.EQ: np.equal,
    Op.NE: np.not_equal,
    Op.LT: np.less,
    Op.LE: np.less_equal,
    Op.GT: np.greater,
    Op.GE: np.greater_equal,
}


def _compare(op: Op, one: _Operand, other: _Operand) -> _Operand:
    if one.type is None or other.type is None or op not in _COMPARE:
        return _FALSE
    numbers = one.type.numeric and other.type.numeric
    if not numbers and (one.type is not other.type or op not in (Op.EQ, Op.NE)):
        return _FALSE
    if one.type is FieldType.STRING:
        values = _same_text(one.values, other.values)
        if op is Op.NE:
            values = ~values
    else:
        values = _COMPARE[op](one.values, other.values)
    valid = _both(one, other)
    return _Operand(FieldType.BOOLEAN, values if valid is None else values & valid)


def _same_text(one: Any, other: Any) -> Any:
    if isinstance(one, str) and isinstance(other, str):
        return np.bool_(one == other)
    return pc.equal(one, other).to_numpy(zero_copy_only=False)


def _matches(operand: _Operand, pattern: str, negated: bool) -> _Operand:
    """Whether the pattern is found in a string. It is looked for in each distinct one."""
    if operand.type is not FieldType.STRING:
        return _FALSE
    texts = pa.array([operand.values], pa.large_string()) if operand.constant else operand.values
    encoded = texts.dictionary_encode()
    try:
        found = pc.match_substring_regex(encoded.dictionary, pattern).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid as problem:
        raise InvalidRequest(f"invalid regular expression /{pattern}/: {problem}") from None
    hits = found[encoded.indices.to_numpy()] if len(found) else np.zeros(len(texts), dtype=np.bool_)
    values = ~hits if negated else hits
    if operand.constant:
        values = values[0]
    return _Operand(FieldType.BOOLEAN, values if operand.valid is None else values & operand.valid)


def _logic(op: Op, one: _Operand, other: _Operand) -> _Operand:
    sides = [np.bool_(False) if side.type is not FieldType.BOOLEAN else _settled(side) for side in (one, other)]
    return _Operand(FieldType.BOOLEAN, sides[0] & sides[1] if op is Op.AND else sides[0] | sides[1])


def _settled(side: _Operand) -> Any:
    return side.values if side.valid is None else side.values & side.valid
