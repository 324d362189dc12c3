"""WHERE: the range of time, the predicate that storage can answer, and what is left for the rows.

All conditions on time are intersected, wherever they stand (also on two sides of an OR): InfluxDB's rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rusts.errors import InvalidRequest
from rusts.influxql.planner.fold import fold, go_type, is_time, time_of, valued
from rusts.influxql.planner.rules import MATH
from rusts.influxql.printer import expression_text
from rusts.model.predicate import (
    And,
    CompareOp,
    FieldCompare,
    FieldRegex,
    Or,
    Predicate,
    TagIn,
    TagRegex,
    conjunction,
)
from rusts.model.store import TimeRange
from rusts.model.time import MAX_TIME, MIN_TIME, format_rfc3339
from rusts.model.types import FieldType
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
from rusts.query.plan import EVER

__all__ = ["FALSE", "TRUE", "both", "intersect", "lower", "split"]

TRUE: Final = Literal(True)
FALSE: Final = Literal(False)

_LARGEST: Final = (1 << 63) - 1
_EXACT: Final = 1 << 53
"""Up to here a float says every integer."""
_NEVER: Final[Predicate] = Or(())
_MIRRORED: Final = {Op.LT: Op.GT, Op.LE: Op.GE, Op.GT: Op.LT, Op.GE: Op.LE}
_COMPARE: Final = {
    Op.EQ: CompareOp.EQ,
    Op.NE: CompareOp.NE,
    Op.LT: CompareOp.LT,
    Op.LE: CompareOp.LE,
    Op.GT: CompareOp.GT,
    Op.GE: CompareOp.GE,
}


def intersect(a: TimeRange, b: TimeRange) -> TimeRange:
    """The times in both; begin and end are equal where there are none."""
    start = max(a.start, b.start)
    return TimeRange(start, max(start, min(a.end, b.end)))


def both(a: Expression | None, b: Expression | None) -> Expression | None:
    """``a AND b`` where None is no condition."""
    if a is None or b is None:
        return a if b is None else b
    return Binary(Op.AND, a, b)


# -- the time


def split(condition: Expression | None, now: int, zone: str | None) -> tuple[TimeRange, Expression | None]:
    """The range of time that `condition` asks for, and what it says beside that (None = nothing), constants folded.

    Raises InvalidRequest with InfluxDB's text.
    """
    if condition is None:
        return EVER, None
    range, rest = _split(condition, now, zone)
    if rest is not None:
        rest = fold(rest, now, zone)
        _functions(rest)
        rest = valued(rest)
    return range, None if rest == TRUE else rest


def _split(node: Expression, now: int, zone: str | None) -> tuple[TimeRange, Expression | None]:
    match node:
        case Binary(op=Op.AND | Op.OR as op, left=left, right=right):
            left_range, left_rest = _split(left, now, zone)
            right_range, right_rest = _split(right, now, zone)
            range = intersect(left_range, right_range)
            if left_rest is None or right_rest is None:
                return range, left_rest or right_rest
            return range, Binary(op, left_rest, right_rest)
        case Binary(op=op, left=left, right=right):
            if _is_time(left):
                return _time_range(op, _moment(right, now, zone), zone), None
            if _is_time(right):
                return _time_range(_MIRRORED.get(op, op), _moment(left, now, zone), zone), None
            return EVER, node
        case Paren(inner=inner):
            range, rest = _split(inner, now, zone)
            return range, None if rest is None else Paren(rest)
        case Literal(value=bool()):
            return EVER, node
        case _:
            raise InvalidRequest(f"invalid condition expression: {expression_text(node)}")


def _is_time(node: Expression) -> bool:
    while isinstance(node, Paren):
        node = node.inner
    return isinstance(node, Ref) and node.name.lower() == "time"


def _moment(node: Expression, now: int, zone: str | None) -> Expression:
    """What the time is compared with. Only a string that stands alone is one: not a computed one, nor in brackets."""
    value = fold(node, now, zone)
    if isinstance(value, Literal) and isinstance(value.value, str) and not isinstance(node, Literal):
        raise InvalidRequest(f"invalid operation: time and {go_type(value)} are not compatible")
    return value


def _time_range(op: Op, value: Expression, zone: str | None) -> TimeRange:
    match value:
        case Literal(value=str(string)) if is_time(string):
            ns = _checked(time_of(string, zone))
        case Time(ns=ns):
            _checked(ns)
        case Duration(ns=ns):
            pass
        case Literal(value=int() | float() as number) if not isinstance(number, bool) and not _unsigned(number):
            ns = int(number)
        case _:
            raise InvalidRequest(f"invalid operation: time and {go_type(value)} are not compatible")
    match op:
        case Op.EQ:
            start, end = ns, ns + 1
        case Op.GT:
            start, end = ns + 1, EVER.end
        case Op.GE:
            start, end = ns, EVER.end
        case Op.LT:
            start, end = EVER.start, ns
        case Op.LE:
            start, end = EVER.start, ns + 1
        case _:
            raise InvalidRequest(f"invalid time comparison operator: {op}")
    start = min(max(start, EVER.start), EVER.end)
    return TimeRange(start, max(start, min(end, EVER.end)))


def _unsigned(number: float) -> bool:
    return isinstance(number, int) and number > _LARGEST


def _checked(ns: int) -> int:
    if ns > MAX_TIME:
        raise InvalidRequest(f"time {_clock(ns)} overflows time literal")
    if ns < MIN_TIME:
        raise InvalidRequest(f"time {_clock(ns)} underflows time literal")
    return ns


def _clock(ns: int) -> str:
    return format_rfc3339(ns // 1_000_000_000 * 1_000_000_000)


def _functions(node: Expression) -> None:
    """Only mathematical functions may stand in a condition."""
    match node:
        case Function(name=name, args=args):
            if name not in MATH:
                raise InvalidRequest(f"invalid function call in condition: {expression_text(node)}")
            if len(args) != MATH[name]:
                raise InvalidRequest(f"invalid number of arguments for {name}, expected {MATH[name]}, got {len(args)}")
            for arg in args:
                _functions(arg)
        case Binary(left=left, right=right):
            _functions(left)
            _functions(right)
        case Paren(inner=inner):
            _functions(inner)
        case _:
            pass


# -- tags and fields


def lower(condition: Expression | None, fields: Mapping[str, FieldType]) -> tuple[Predicate | None, Expression | None]:
    """`condition` over a measurement with `fields`: the predicate for its storage, and what that cannot say."""
    if condition is None:
        return None, None
    parts: list[Predicate] = []
    rest: Expression | None = None
    for part in _conjuncts(condition):
        predicate = _predicate(part, fields)
        if predicate is None:
            rest = both(rest, part)
        else:
            parts.append(predicate)
    return conjunction(parts), rest


def _conjuncts(node: Expression) -> list[Expression]:
    match node:
        case Paren(inner=inner):
            return _conjuncts(inner)
        case Binary(op=Op.AND, left=left, right=right):
            return [*_conjuncts(left), *_conjuncts(right)]
        case _:
            return [node]


def _predicate(node: Expression, fields: Mapping[str, FieldType]) -> Predicate | None:
    """The whole of `node` as a predicate, None if that is not possible."""
    match node:
        case Paren(inner=inner):
            return _predicate(inner, fields)
        case Literal(value=value):
            return And(()) if value is True else _NEVER
        case Binary(op=Op.AND | Op.OR as op, left=left, right=right):
            one, other = _predicate(left, fields), _predicate(right, fields)
            if one is None or other is None:
                return None
            return And((one, other)) if op is Op.AND else Or((one, other))
        case Binary(op=op, left=left, right=right) if op.comparison:
            left, right = _bare(left), _bare(right)
            if isinstance(right, Ref) and not isinstance(left, Ref):
                op, left, right = _MIRRORED.get(op, op), right, left
            if isinstance(left, Ref) and left.type is not None and fields.get(left.name) is not left.type:
                return None
            if isinstance(left, Ref) and isinstance(right, Literal | Pattern | Duration | Time):
                return _comparison(op, left, right, fields)
            return None
        case _:
            return None


def _bare(node: Expression) -> Expression:
    while isinstance(node, Paren):
        node = node.inner
    return node


def _comparison(
    op: Op, ref: Ref, constant: Literal | Pattern | Duration | Time, fields: Mapping[str, FieldType]
) -> Predicate | None:
    field = ref.kind is RefKind.FIELD or (ref.kind is RefKind.ANY and ref.name in fields)
    match constant:
        case Pattern(text=pattern) if op in (Op.MATCH, Op.NOT_MATCH):
            negated = op is Op.NOT_MATCH
            return FieldRegex(ref.name, pattern, negated) if field else TagRegex(ref.name, pattern, negated)
        case Literal(value=str(word)) if op in (Op.EQ, Op.NE):
            if field:
                return FieldCompare(ref.name, _COMPARE[op], word)
            return TagIn(ref.name, (word,), negated=op is Op.NE)
        case Literal(value=bool(truth)) if field and op in (Op.EQ, Op.NE):
            return FieldCompare(ref.name, _COMPARE[op], truth)
        case Literal(value=float() as number) if field and abs(number) >= _EXACT and op in _COMPARE:
            # InfluxDB rounds integers to floats here; predicates compare the numbers themselves.
            kind = fields.get(ref.name)
            return FieldCompare(ref.name, _COMPARE[op], number) if kind is FieldType.FLOAT else None
        case Literal(value=int() | float() as number) if field and op in _COMPARE:
            if not isinstance(number, bool):
                return FieldCompare(ref.name, _COMPARE[op], number)
        case _:
            pass
    # Strings and booleans have no order, and a tag is compared with strings only: silently false, as in InfluxDB.
    return _NEVER
