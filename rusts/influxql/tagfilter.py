"""WHERE of statements that select series, not points: comparisons of tags, and what 1.x makes of all others."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from rusts import errors
from rusts.model.predicate import And, Or, Predicate, TagIn, TagRegex
from rusts.query.expression import Binary, Expression, Literal, Op, Paren, Pattern, Ref, RefKind

__all__ = ["ALL", "NONE", "series_predicate"]

ALL: Final = And(())
NONE: Final = Or(())
"""Predicates that are always true, and never."""

_NAME: Final = "_name"
_EQUALITY: Final = (Op.EQ, Op.NE, Op.MATCH, Op.NOT_MATCH)


def series_predicate(
    condition: Expression | None, measurement: str, fields: Collection[str], *, strict: bool = False
) -> Predicate | None:
    """Which series of `measurement` the condition (without its times) holds for; None = all of them.

    What compares one of `fields` says nothing of a series: it holds, or with `strict` it does not (as a series
    alone has no value of it), and so does a comparison with anything but a text. The name ``_name`` is that of the
    measurement. Raises InvalidRequest, with InfluxDB's words.
    """
    if condition is None:
        return None
    found = _Filter(measurement, fields, strict).of(condition)
    return None if found == ALL else found


class _Filter:
    def __init__(self, measurement: str, fields: Collection[str], strict: bool) -> None:
        self._measurement = measurement
        self._fields = fields
        self._strict = strict

    def of(self, condition: Expression) -> Predicate:
        """The condition as a predicate."""
        match condition:
            case Paren(inner=inner):
                return self.of(inner)
            case Binary(op=Op.AND, left=left, right=right):
                return _both(self.of(left), self.of(right))
            case Binary(op=Op.OR, left=left, right=right):
                return _either(self.of(left), self.of(right))
            case Binary(op=op, left=left, right=right) if op.comparison:
                return self._comparison(op, left, right)
            case Literal(value=bool() as value):
                return ALL if value else NONE
        raise errors.InvalidRequest("invalid condition expression")

    def _comparison(self, op: Op, left: Expression, right: Expression) -> Predicate:
        if op not in _EQUALITY:
            if self._strict:
                return NONE
            raise errors.InvalidRequest("invalid tag comparison operator")
        if not isinstance(left, Ref):
            left, right = right, left
        if isinstance(left, Literal) and isinstance(right, Literal):
            return ALL if (left.value == right.value) == (op is Op.EQ) else NONE
        negated = op in (Op.NE, Op.NOT_MATCH)
        if not isinstance(left, Ref):
            raise errors.InvalidRequest(f"left side of '{op.value}' must be a tag key")
        if isinstance(right, Ref) and right.name == left.name and left.name not in self._fields:
            return TagIn(left.name, ("",), not negated)
        if left.kind is not RefKind.TAG and left.name in self._fields:
            return NONE if self._strict else ALL
        match right:
            case Literal(value=str() as text):
                if left.name == _NAME:
                    return ALL if (text == self._measurement) != negated else NONE
                return TagIn(left.name, (text,), negated)
            case Pattern(text=pattern):
                return TagRegex(left.name, pattern, negated)
        return NONE if self._strict else ALL


def _both(left: Predicate, right: Predicate) -> Predicate:
    if NONE in (left, right):
        return NONE
    if ALL in (left, right):
        return right if left == ALL else left
    return And((left, right))


def _either(left: Predicate, right: Predicate) -> Predicate:
    if ALL in (left, right):
        return ALL
    if NONE in (left, right):
        return right if left == NONE else left
    return Or((left, right))
