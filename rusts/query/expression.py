"""Expressions: what a query language writes in SELECT and WHERE, and what plans carry.

The parser makes them, the planner rewrites them (a `Function` or a `Wildcard` never stays in a plan but for the
mathematical functions), and `rusts.query.evaluate` computes them over columns. Printing them is the parser's room.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from rusts.model.types import FieldType

__all__ = [
    "Binary",
    "CalendarDuration",
    "Distinct",
    "Duration",
    "Expression",
    "Function",
    "Literal",
    "Now",
    "Op",
    "Paren",
    "Pattern",
    "Ref",
    "RefKind",
    "Time",
    "Wildcard",
    "references",
]


class RefKind(StrEnum):
    """What a name may mean: anything, a field (``::field`` or a type), a tag (``::tag``)."""

    ANY = "any"
    FIELD = "field"
    TAG = "tag"


class Op(StrEnum):
    """A binary operator as it is written."""

    ADD = "+"
    SUB = "-"
    MUL = "*"
    DIV = "/"
    MOD = "%"
    BIT_AND = "&"
    BIT_OR = "|"
    BIT_XOR = "^"
    EQ = "="
    NE = "!="
    LT = "<"
    LE = "<="
    GT = ">"
    GE = ">="
    MATCH = "=~"
    NOT_MATCH = "!~"
    AND = "AND"
    OR = "OR"

    @property
    def arithmetic(self) -> bool:
        """True for those that give a number (or, the bit operators, a boolean of booleans)."""
        return self in _ARITHMETIC

    @property
    def comparison(self) -> bool:
        """True for those that compare two values, regular expressions among them."""
        return self in _COMPARISONS


_ARITHMETIC = frozenset((Op.ADD, Op.SUB, Op.MUL, Op.DIV, Op.MOD, Op.BIT_AND, Op.BIT_OR, Op.BIT_XOR))
_COMPARISONS = frozenset((Op.EQ, Op.NE, Op.LT, Op.LE, Op.GT, Op.GE, Op.MATCH, Op.NOT_MATCH))


@dataclass(frozen=True, slots=True)
class Ref:
    """A name: of a field or a tag of the points below, or the label of a column of the node below."""

    name: str
    kind: RefKind = RefKind.ANY
    type: FieldType | None = None
    """The type that is asked for (``::integer``); a field of another type is cast or has no values."""


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant. An int stays one (up to uint64), None is the value that is not there."""

    value: float | int | str | bool | None


@dataclass(frozen=True, slots=True)
class Duration:
    """A length of time."""

    ns: int


@dataclass(frozen=True, slots=True)
class CalendarDuration:
    """Whole months of the calendar (``1mo``, ``1q``, ``1y``), whose length is not always the same."""

    months: int


@dataclass(frozen=True, slots=True)
class Time:
    """A moment, ns since the epoch."""

    ns: int


@dataclass(frozen=True, slots=True)
class Pattern:
    """A regular expression (RE2)."""

    text: str


@dataclass(frozen=True, slots=True)
class Binary:
    """Two expressions and what is done with them."""

    op: Op
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Paren:
    """Parentheses: they matter for printing and for the names of columns only."""

    inner: Expression


@dataclass(frozen=True, slots=True)
class Function:
    """A call; `name` is in lower case."""

    name: str
    args: tuple[Expression, ...] = ()


@dataclass(frozen=True, slots=True)
class Wildcard:
    """``*``, ``*::field`` or ``*::tag``."""

    kind: RefKind = RefKind.ANY


@dataclass(frozen=True, slots=True)
class Distinct:
    """``DISTINCT field``, written without parentheses."""

    name: str


@dataclass(frozen=True, slots=True)
class Now:
    """``now()``."""


Expression = (
    Ref | Literal | Duration | CalendarDuration | Time | Pattern | Binary | Paren | Function | Wildcard | Distinct | Now
)


def references(expression: Expression) -> Iterator[Ref]:
    """Every `Ref` in the expression, from left to right, repeated ones too."""
    pending = [expression]
    while pending:
        node = pending.pop()
        match node:
            case Ref():
                yield node
            case Binary(left=left, right=right):
                pending += (right, left)
            case Paren(inner=inner):
                pending.append(inner)
            case Function(args=args):
                pending += reversed(args)
            case _:
                pass
