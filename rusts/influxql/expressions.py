"""Reads expressions: operators by precedence, and what they stand between.

Precedence from low to high: OR; AND; comparisons; ``+ - | ^``; ``* / % &``. All group from the left. A sign before
anything but a number is a multiplication, as in InfluxDB 1.6.7.

The tree is no deeper than `MAX_DEPTH` levels, so whoever walks it may recurse. A long chain of AND or of OR is built as
a balanced tree, which means and prints the same; any other chain that is too long is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isinf
from typing import Final

from rusts.influxql.lexer import ParseError, Tokens
from rusts.influxql.literals import calendar_months, parse_duration
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

__all__ = ["MAX_DEPTH", "ExpressionParser"]

MAX_DEPTH: Final = 200
"""Levels of an expression: brackets, calls and operators within each other."""

_TOO_DEEP: Final = f"expression is nested too deeply: more than {MAX_DEPTH} levels"
_CHAIN: Final = 32
"""From this length on a chain of AND or OR is balanced."""

_OPERAND: Final = "identifier, string, number, bool"
_SIGNED: Final = "identifier, number, duration, ("
_OPERATORS: Final[Mapping[str, tuple[int, Op]]] = {
    op.value: (precedence, op)
    for precedence, group in enumerate(
        (
            (Op.OR,),
            (Op.AND,),
            (Op.EQ, Op.NE, Op.MATCH, Op.NOT_MATCH, Op.LT, Op.LE, Op.GT, Op.GE),
            (Op.ADD, Op.SUB, Op.BIT_OR, Op.BIT_XOR),
            (Op.MUL, Op.DIV, Op.MOD, Op.BIT_AND),
        )
    )
    for op in group
}
_LOGICAL: Final = 1
"""The highest precedence of an operator whose chains may be regrouped."""
_COMPARING: Final = 2
"""The highest precedence of an operator that cannot stand in a column."""

_REFERENCE_TYPES: Final[Mapping[str, FieldType]] = {type.text: type for type in FieldType}
_LARGEST: Final = (1 << 63) - 1
_LARGEST_UNSIGNED: Final = (1 << 64) - 1


class ExpressionParser:
    """Reads expressions from tokens.

    `calendar`: ``1mo`` and the like are durations now. `compared`: set by an operator that compares or combines.
    """

    def __init__(self, text: str, parameters: Mapping[str, object]) -> None:
        self.tokens = Tokens(text, parameters)
        self.calendar = False
        self.compared = False
        self._open = 0
        # How deep the tree is that was returned last.
        self._height = 0

    def expression(self) -> Expression:
        """An expression. Raises ParseError."""
        tokens = self.tokens
        left = self._operand()
        entry = _OPERATORS.get(tokens.kinds[tokens.at])
        if entry is None:
            return left
        operands = [left]
        heights = [self._height]
        pending: list[tuple[int, Op]] = []
        while entry is not None:
            tokens.at += 1
            while pending and (pending[-1][0] > entry[0] or (pending[-1][0] == entry[0] > _LOGICAL)):
                _reduce(operands, heights, pending)
            pending.append(entry)
            precedence, op = entry
            if precedence <= _COMPARING:
                self.compared = True
            if op is Op.MATCH or op is Op.NOT_MATCH:
                pattern = tokens.regex()
                if pattern is None:
                    raise tokens.found("regex", looked=True)
                operands.append(Pattern(pattern))
                heights.append(1)
            else:
                operands.append(self._operand())
                heights.append(self._height)
            entry = _OPERATORS.get(tokens.kinds[tokens.at])
        while pending:
            _reduce(operands, heights, pending)
        self._height = heights[0]
        return operands[0]

    def call(self) -> Function | Now:
        """A function's call: the next tokens are its name and the bracket. Raises ParseError."""
        tokens = self.tokens
        name = tokens.values[tokens.at].lower()
        tokens.at += 2
        self.enter()
        height = 0
        args: list[Expression] = []
        if not tokens.take(")"):
            while True:
                pattern = tokens.regex()
                if pattern is not None:
                    args.append(Pattern(pattern))
                elif tokens.kinds[tokens.at] == "EOF":
                    raise tokens.found(_OPERAND, looked=True)
                else:
                    args.append(self.expression())
                    height = max(height, self._height)
                if not tokens.take(","):
                    break
            tokens.need(")")
        self._leave(height)
        if name == "now" and not args:
            return Now()
        return Function(name, tuple(args))

    def at_call(self) -> bool:
        """True if the token behind the next one is a bracket directly behind it."""
        tokens = self.tokens
        at = tokens.at + 1
        return tokens.kinds[at] == "(" and tokens.starts[at] == tokens.ends[at - 1]

    def enter(self, levels: int = 1) -> None:
        """Go `levels` deeper. Raises ParseError where that is too deep."""
        self._open += levels
        if self._open > MAX_DEPTH:
            raise ParseError(_TOO_DEEP)

    def _leave(self, height: int) -> None:
        self._open -= 1
        self._height = height + 1
        if self._height > MAX_DEPTH:
            raise ParseError(_TOO_DEEP)

    def _operand(self) -> Expression:
        tokens = self.tokens
        at = tokens.at
        kind = tokens.kinds[at]
        self._height = 1
        if kind == "IDENT":
            return self.call() if self.at_call() else self._reference()
        if kind == "(":
            tokens.at = at + 1
            self.enter()
            inner = self.expression()
            tokens.need(")")
            self._leave(self._height)
            return Paren(inner)
        if kind in ("-", "+"):
            return self._signed(-1 if kind == "-" else 1)
        if kind == "DISTINCT":
            if self.at_call():
                return self.call()
            tokens.at = at + 1
            if tokens.adjacent() or tokens.kinds[at + 1] == "EOF":
                raise tokens.found("(, identifier")
            return Distinct(tokens.need("IDENT"))
        if kind == "PARAM":
            raise tokens.unbound(at)
        value = tokens.values[at]
        literal: Expression
        if kind == "INTEGER":
            literal = Literal(self._integer(at))
        elif kind == "STRING":
            literal = Literal(value)
        elif kind == "LENGTH":
            literal = self._duration(value)
        elif kind == "NUMBER":
            literal = Literal(self._number(at))
        elif kind in ("TRUE", "FALSE"):
            literal = Literal(kind == "TRUE")
        elif kind == "*":
            tokens.at = at + 1
            return self._wildcard()
        else:
            raise tokens.found(_OPERAND)
        tokens.at = at + 1
        return literal

    def _signed(self, sign: int) -> Expression:
        tokens = self.tokens
        tokens.at += 1
        at = tokens.at
        kind = tokens.kinds[at]
        if kind not in ("IDENT", "INTEGER", "NUMBER", "LENGTH", "("):
            raise tokens.found(_SIGNED)
        operand = self._operand()
        match operand:
            case Literal(value=int() as value) if kind == "INTEGER":
                if sign < 0 and value > _LARGEST + 1:
                    raise ParseError(f"constant -{value} underflows int64")
                return Literal(sign * value)
            case Literal(value=float() as value):
                return Literal(sign * value)
            case Duration(ns=ns):
                return Duration(sign * ns)
            case _:
                self._height += 1
                return Binary(Op.MUL, Literal(sign), operand)

    def _reference(self) -> Ref:
        tokens = self.tokens
        name = tokens.values[tokens.at]
        tokens.at += 1
        if tokens.kinds[tokens.at] == "." and tokens.adjacent():
            name = ".".join([name, *self.segments()])
        if tokens.kinds[tokens.at] != "::" or not tokens.adjacent():
            return Ref(name)
        tokens.at += 1
        kind = tokens.kinds[tokens.at]
        if tokens.adjacent():
            tokens.at += 1
            if kind == "FIELD":
                return Ref(name, RefKind.FIELD)
            if kind == "TAG":
                return Ref(name, RefKind.TAG)
            type = _REFERENCE_TYPES.get(tokens.values[tokens.at - 1].lower()) if kind == "IDENT" else None
            if type is not None:
                return Ref(name, RefKind.FIELD, type)
            tokens.at -= 1
            if kind == "IDENT":
                raise tokens.found("float, integer, unsigned, string, boolean, field, tag")
        raise tokens.found_space("float, integer, string, boolean, field, tag")

    def segments(self) -> list[str]:
        """What follows a name behind dots, an empty one between two of them; a dot before ``:`` or ``/`` ends them."""
        tokens = self.tokens
        names: list[str] = []
        while tokens.kinds[tokens.at] == "." and tokens.adjacent():
            tokens.at += 1
            kind = tokens.kinds[tokens.at]
            if kind == "IDENT":
                names.append(tokens.values[tokens.at])
                tokens.at += 1
            elif kind == "." and tokens.adjacent():
                names.append("")
            elif kind in (":", "::", "REGEX", "BADREGEX") and tokens.adjacent():
                break
            else:
                raise tokens.found("identifier", looked=True)
        return names

    def _wildcard(self) -> Wildcard:
        tokens = self.tokens
        if tokens.kinds[tokens.at] != "::" or not tokens.adjacent():
            return Wildcard()
        tokens.at += 1
        if tokens.adjacent():
            if tokens.take("FIELD"):
                return Wildcard(RefKind.FIELD)
            if tokens.take("TAG"):
                return Wildcard(RefKind.TAG)
        raise tokens.found_space("field, tag")

    def _integer(self, at: int) -> int:
        digits = self.tokens.values[at]
        value = int(digits) if len(digits) <= 4000 else _LARGEST_UNSIGNED + 1
        if not -_LARGEST - 1 <= value <= _LARGEST_UNSIGNED:
            raise ParseError(f"unable to parse integer{self.tokens.place(at)}")
        return value

    def _number(self, at: int) -> float:
        value = float(self.tokens.values[at])
        if isinf(value):
            raise ParseError(f"unable to parse number{self.tokens.place(at)}")
        return value

    def _duration(self, text: str) -> Duration | CalendarDuration:
        try:
            ns = parse_duration(text)
        except OverflowError as problem:
            raise ParseError(str(problem)) from None
        if ns is not None:
            return Duration(ns)
        months = calendar_months(text) if self.calendar else None
        if months is None:
            raise ParseError("invalid duration")
        return CalendarDuration(months)


def _reduce(operands: list[Expression], heights: list[int], pending: list[tuple[int, Op]]) -> None:
    """Make one operand of the last operator, or of the last chain of one logical operator, and its operands."""
    precedence, op = pending.pop()
    count = 2
    if precedence <= _LOGICAL:
        while pending and pending[-1][1] is op:
            pending.pop()
            count += 1
    if count == 2:
        right = operands.pop()
        height = heights.pop()
        operands[-1] = Binary(op, operands[-1], right)
        heights[-1] = max(heights[-1], height) + 1
    else:
        operands[-count:] = [_chain(op, operands[-count:])]
        heights[-count:] = [max(heights[-count:]) + (count if count < _CHAIN else count.bit_length())]
    if heights[-1] > MAX_DEPTH:
        raise ParseError(_TOO_DEEP)


def _chain(op: Op, operands: Sequence[Expression]) -> Expression:
    """`operands` joined by `op` from the left, or balanced where they are many."""
    if len(operands) >= _CHAIN:
        middle = len(operands) // 2
        return Binary(op, _balanced(op, operands, 0, middle), _balanced(op, operands, middle, len(operands)))
    tree = operands[0]
    for operand in operands[1:]:
        tree = Binary(op, tree, operand)
    return tree


def _balanced(op: Op, operands: Sequence[Expression], start: int, stop: int) -> Expression:
    if stop - start == 1:
        return operands[start]
    middle = (start + stop) // 2
    return Binary(op, _balanced(op, operands, start, middle), _balanced(op, operands, middle, stop))
