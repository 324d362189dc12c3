"""Constants: what of an expression is known before any row is read, and times as InfluxQL writes them."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Final
from zoneinfo import ZoneInfo

from rusts.errors import InvalidRequest
from rusts.influxql.planner.rules import MATH
from rusts.query.expression import Binary, Duration, Expression, Function, Literal, Now, Op, Paren, Pattern, Time

__all__ = ["constant", "fold", "go_type", "is_time", "time_of", "valued"]

_LARGEST: Final = (1 << 63) - 1
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LOOKS_LIKE_TIME: Final = re.compile(r"\d{4}-\d{2}-\d{2}.*", re.ASCII | re.DOTALL)
_TIME: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)"
    r"(?: (\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?|T(\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:(Z)|([+-])(\d\d):(\d\d)))?",
    re.ASCII,
)
_GO_TYPES: Final[dict[type, str]] = {
    str: "StringLiteral",
    bool: "BooleanLiteral",
    int: "IntegerLiteral",
    float: "NumberLiteral",
    type(None): "nilLiteral",
    Duration: "DurationLiteral",
    Time: "TimeLiteral",
    Pattern: "RegexLiteral",
    Function: "Call",
    Binary: "BinaryExpr",
    Paren: "ParenExpr",
}


def go_type(node: Expression) -> str:
    """The name of the node's type in InfluxDB, as its messages print it."""
    kind = type(node.value) if isinstance(node, Literal) else type(node)
    if isinstance(node, Literal) and isinstance(node.value, int) and node.value > _LARGEST:
        return "*influxql.UnsignedLiteral"
    return f"*influxql.{_GO_TYPES.get(kind, 'VarRef')}"


def is_time(text: str) -> bool:
    """True if InfluxQL takes the string for a time where one can stand."""
    return _LOOKS_LIKE_TIME.fullmatch(text) is not None


def time_of(text: str, zone: str | None) -> int:
    """Nanoseconds since the epoch of ``2006-01-02``, ``2006-01-02 15:04:05.999`` (in `zone`, else UTC) or RFC 3339.

    The result may lie outside the range of a point. Raises InvalidRequest on anything else.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        raise InvalidRequest("invalid timestamp string")
    day, clock, fraction, zoned_clock, zoned_fraction, utc, sign, hours, minutes = match.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock or zoned_clock or '00:00:00'}")
        if sign:
            shift = timedelta(hours=int(hours), minutes=int(minutes))
            moment = moment.replace(tzinfo=timezone(shift if sign == "+" else -shift))
        else:
            moment = moment.replace(tzinfo=ZoneInfo(zone) if zone and not utc else UTC)
        since = moment - _EPOCH
    except (ValueError, OverflowError):
        raise InvalidRequest("invalid timestamp string") from None
    digits = (fraction or zoned_fraction or "").ljust(9, "0")
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + int(digits)


def constant(node: Expression) -> bool:
    """True if the expression mentions no field, tag or call: what `fold` makes of it is a value."""
    match node:
        case Literal() | Duration() | Time() | Now():
            return True
        case Paren(inner=inner):
            return constant(inner)
        case Binary(left=left, right=right):
            return constant(left) and constant(right)
        case Function(name=name, args=args):
            return name in MATH and bool(args) and all(constant(arg) for arg in args)
        case _:
            return False


def fold(node: Expression, now: int | None, zone: str | None = None) -> Expression:
    """`node` with its constant parts computed; `now` (ns) stands for ``now()``, None leaves it as it is."""
    match node:
        case Now():
            return node if now is None else Time(now)
        case Paren(inner=inner):
            folded = fold(inner, now, zone)
            return Paren(folded) if isinstance(folded, Binary) else folded
        case Function(name=name, args=args):
            return Function(name, tuple(fold(arg, now, zone) for arg in args))
        case Binary(op=op, left=left, right=right):
            left, right = fold(left, now, zone), fold(right, now, zone)
            value = _binary(op, left, right, zone)
            return Binary(op, left, right) if value is None else value
        case _:
            return node


def valued(node: Expression) -> Expression:
    """`node` with nothing for durations and times that operators and functions of a row are applied to.

    InfluxDB computes with them only where they fold, or beside the time.
    """
    match node:
        case Paren(inner=inner):
            return Paren(valued(inner))
        case Function(name=name, args=args) if name in MATH:
            return Function(name, tuple(map(valued, args)))
        case Binary(op=op, left=left, right=right):
            return Binary(op, valued(left), valued(right))
        case Duration() | Time():
            return Literal(None)
        case _:
            return node


def _binary(op: Op, left: Expression, right: Expression, zone: str | None) -> Expression | None:
    """The value of two constants, None where they have none."""
    if op in (Op.AND, Op.OR):
        return _logic(op, left, right)
    if isinstance(left, Literal) and isinstance(right, Literal):
        if type(left.value) is str and type(right.value) is str and op is Op.SUB:
            return _times(op, _moment(left, right, zone), _moment(right, left, zone))
        if {type(left.value), type(right.value)} == {str, int}:
            return _times(op, _moment(left, right, zone), _moment(right, left, zone))
        return _values(op, left.value, right.value)
    if isinstance(left, Literal | Duration | Time) and isinstance(right, Literal | Duration | Time):
        return _times(op, _moment(left, right, zone), _moment(right, left, zone))
    return None


def _logic(op: Op, left: Expression, right: Expression) -> Expression | None:
    for one, other in ((left, right), (right, left)):
        if isinstance(one, Literal) and isinstance(one.value, bool):
            if op is Op.AND:
                return other if one.value else one
            return one if one.value else other
    return None


def _moment(node: Expression, other: Expression, zone: str | None) -> Expression:
    """A string that is a time, beside a time or a duration, is that time."""
    if isinstance(node, Literal) and isinstance(node.value, str) and is_time(node.value):
        return Time(time_of(node.value, zone))
    return node


def _times(op: Op, left: Expression, right: Expression) -> Expression | None:
    match op, left, right:
        case Op.ADD, Time(ns=a), Duration(ns=b):
            return Time(a + b)
        case Op.SUB, Time(ns=a), Duration(ns=b):
            return Time(a - b)
        case Op.ADD, Duration(ns=a), Time(ns=b):
            return Time(a + b)
        case Op.SUB, Time(ns=a), Time(ns=b):
            return Duration(a - b)
        case Op.ADD, Duration(ns=a), Duration(ns=b):
            return Duration(a + b)
        case Op.SUB, Duration(ns=a), Duration(ns=b):
            return Duration(a - b)
        case (_, Literal(value=bool()), _) | (_, _, Literal(value=bool())):
            return None
        # A whole number beside a duration is a moment, beside a moment a duration.
        case Op.ADD, Literal(value=int(a)), Duration(ns=b) | Time(ns=b):
            return Time(a + b)
        case Op.SUB, Literal(value=int(a)), Duration(ns=b):
            return Time(a - b)
        case Op.ADD, Time(ns=a), Literal(value=int(b)):
            return Time(a + b)
        case Op.SUB, Time(ns=a), Literal(value=int(b)):
            return Time(a - b)
        # InfluxDB cuts the fraction off a factor.
        case Op.MUL, Duration(ns=a), Literal(value=int() | float() as factor):
            return Duration(a * int(factor))
        case Op.DIV, Duration(ns=a), Literal(value=int() | float() as factor):
            return Duration(_cut(a, int(factor)) if int(factor) else 0)
        case _:
            pass
    if op.comparison and type(left) is type(right) and isinstance(left, Time | Duration):
        assert isinstance(right, Time | Duration)
        return _compared(op, left.ns, right.ns)
    return None


def _cut(a: int, b: int) -> int:
    """Division towards zero."""
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def _compared(op: Op, a: float, b: float) -> Expression | None:
    order = {
        Op.EQ: a == b,
        Op.NE: a != b,
        Op.LT: a < b,
        Op.LE: a <= b,
        Op.GT: a > b,
        Op.GE: a >= b,
    }
    return Literal(order[op]) if op in order else None


def _values(op: Op, a: object, b: object) -> Expression | None:
    if isinstance(a, bool) or isinstance(b, bool) or a is None or b is None:
        if isinstance(a, bool) and isinstance(b, bool) and op in (Op.EQ, Op.NE):
            return Literal((a == b) is (op is Op.EQ))
        return None
    if isinstance(a, str) and isinstance(b, str):
        if op is Op.ADD:
            return Literal(a + b)
        return Literal((a == b) is (op is Op.EQ)) if op in (Op.EQ, Op.NE) else None
    if isinstance(a, str) or isinstance(b, str) or not isinstance(a, int | float) or not isinstance(b, int | float):
        return None
    if op.comparison:
        return _compared(op, a, b)
    if isinstance(a, int) and isinstance(b, int) and op is not Op.DIV:
        return _integers(op, a, b)
    match op:
        case Op.ADD:
            return Literal(float(a + b))
        case Op.SUB:
            return Literal(float(a - b))
        case Op.MUL:
            return Literal(float(a * b))
        case Op.DIV:
            return Literal(a / b if b else 0.0)
        case Op.MOD:
            return Literal(math.fmod(a, b)) if b else None
        case _:
            return None


def _integers(op: Op, a: int, b: int) -> Expression | None:
    match op:
        case Op.ADD:
            value = a + b
        case Op.SUB:
            value = a - b
        case Op.MUL:
            value = a * b
        case Op.MOD:
            value = int(math.copysign(abs(a) % abs(b), a)) if b else 0
        case Op.BIT_AND:
            value = a & b
        case Op.BIT_OR:
            value = a | b
        case Op.BIT_XOR:
            value = a ^ b
        case _:
            return None
    # As int64 wraps; a literal beyond it is an unsigned one and stays as it is.
    return Literal((value + (1 << 63)) % (1 << 64) - (1 << 63) if max(abs(a), abs(b)) < 1 << 63 else value)
