"""Reads SELECT and the clauses that it shares with other statements: FROM, WHERE, GROUP BY, ORDER BY, LIMIT and such.

Beyond InfluxDB 1.6.7 there are ORDER BY of any column, HAVING (behind ``fill()``), and ``1mo``, ``1q`` and ``1y`` in
GROUP BY.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar
from zoneinfo import ZoneInfo

from rusts.influxql.ast import (
    Dimension,
    FillKind,
    FillOption,
    MeasurementName,
    Select,
    SelectField,
    SortField,
    Source,
    Subquery,
    Target,
)
from rusts.influxql.expressions import ExpressionParser
from rusts.influxql.lexer import ParseError
from rusts.influxql.literals import name_text, quoted
from rusts.query.expression import Binary, Expression, Function, Literal, Op, Paren, Pattern, Ref, RefKind

__all__ = ["MAX_DIMENSIONS", "SelectParser"]

MAX_DIMENSIONS: Final = 1000
"""What GROUP BY may name: each group has a value for each."""

T = TypeVar("T")

_LEVELS: Final = 4
"""A subquery counts for so many levels of an expression: its plan is that much deeper."""
_LARGEST: Final = (1 << 63) - 1
_COMPARING: Final = frozenset(op for op in Op if not op.arithmetic)
_FILL_KINDS: Final = {kind.value: kind for kind in FillKind if kind is not FillKind.VALUE}


class SelectParser(ExpressionParser):
    """Reads SELECT."""

    def select(self, target_needed: bool = False) -> Select:
        """A SELECT statement, whose first word is the next token. Raises ParseError."""
        self.tokens.need("SELECT")
        return self.selected(target_needed)

    def selected(self, target_needed: bool = False) -> Select:
        """A SELECT statement, whose first word was the last token. Raises ParseError."""
        tokens = self.tokens
        fields = self.items(self._field)
        target = self._target(target_needed)
        tokens.need("FROM")
        sources = self.sources(subqueries=True)
        condition = self.condition()
        dimensions = self.dimensions()
        fill = self._fill()
        having = None
        if self._word("having"):
            tokens.at += 1
            having = self.expression()
        return Select(
            fields,
            sources,
            condition,
            dimensions,
            fill,
            self._order_by_any(),
            self.count("LIMIT"),
            self.count("OFFSET"),
            self.count("SLIMIT"),
            self.count("SOFFSET"),
            self._zone(),
            target,
            having,
        )

    # -- clauses of several statements

    def sources(self, subqueries: bool = False) -> tuple[Source, ...]:
        """What stands behind FROM."""
        return self.items(self._source if subqueries else self.measurement)

    def measurement(self) -> MeasurementName:
        """A measurement's name or pattern, with database and policy before it."""
        tokens = self.tokens
        pattern = tokens.regex()
        if pattern is not None:
            return MeasurementName(pattern=pattern)
        if tokens.kinds[tokens.at] != "IDENT":
            raise tokens.found("identifier", looked=True)
        names = [tokens.need("IDENT"), *self.segments()]
        if tokens.kinds[tokens.at - 1] == "." and tokens.kinds[tokens.at] in ("REGEX", "BADREGEX"):
            if len(names) > 2:
                raise tokens.found(";")
            pattern = tokens.regex()
            names.append("")
        if len(names) > 3:
            raise _too_many(names)
        database, policy, name = _placed(names)
        return MeasurementName(database, policy, None if pattern is not None else name, pattern)

    def condition(self) -> Expression | None:
        """WHERE, if it is next."""
        return self.expression() if self.tokens.take("WHERE") else None

    def dimensions(self) -> tuple[Dimension, ...]:
        """GROUP BY, if it is next."""
        tokens = self.tokens
        if not tokens.take("GROUP"):
            return ()
        tokens.need("BY")
        self.calendar = True
        dimensions = self.items(self._dimension)
        if len(dimensions) > MAX_DIMENSIONS:
            raise ParseError(f"GROUP BY has too many dimensions: more than {MAX_DIMENSIONS}")
        self.calendar = False
        return dimensions

    def order_by(self) -> tuple[SortField, ...]:
        """ORDER BY, if it is next: of time only."""
        order = self._order_by_any()
        if len(order) > 1 or any(term.name not in ("", "time") for term in order):
            raise ParseError("only ORDER BY time supported at this time")
        return order

    def count(self, word: str) -> int:
        """LIMIT and its like, if `word` is next; else 0."""
        tokens = self.tokens
        if not tokens.take(word):
            return 0
        digits = tokens.need("INTEGER")
        if digits[0] == "-":
            raise ParseError(f"{word} must be >= 0{tokens.place(tokens.at - 1)}")
        return min(int(digits[:100]), _LARGEST) if len(digits) <= 100 else _LARGEST

    def items(self, item: Callable[[], T]) -> tuple[T, ...]:
        """One `item` or several with commas between them."""
        found = [item()]
        while self.tokens.take(","):
            found.append(item())
        return tuple(found)

    # -- clauses of SELECT

    def _field(self) -> SelectField:
        tokens = self.tokens
        start = tokens.at
        pattern = tokens.regex()
        if pattern is not None:
            return SelectField(Pattern(pattern), self._alias())
        if tokens.kinds[start] == "EOF":
            raise tokens.found("identifier, string, number, bool", looked=True)
        self.compared = False
        expression = self.expression()
        if self.compared:
            op = _comparison(expression)
            raise ParseError(
                f"invalid operator {op} in SELECT clause{tokens.begin(start)}; operator is intended for WHERE clause"
            )
        return SelectField(expression, self._alias())

    def _alias(self) -> str | None:
        return (self.tokens.need("IDENT") or None) if self.tokens.take("AS") else None

    def _target(self, needed: bool) -> Target | None:
        tokens = self.tokens
        if not tokens.take("INTO"):
            if needed:
                raise tokens.found("INTO")
            return None
        names = [tokens.need("IDENT"), *self.segments()]
        if len(names) < 3 and tokens.kinds[tokens.at] == ":" and tokens.kinds[tokens.at - 1] == ".":
            tokens.at += 1
            tokens.need("MEASUREMENT")
            names.append("")
        if len(names) > 3:
            raise _too_many(names)
        database, policy, name = _placed(names)
        return Target(database, policy, name or None)

    def _source(self) -> Source:
        tokens = self.tokens
        if not tokens.take("("):
            return self.measurement()
        if tokens.kinds[tokens.at] != "SELECT":
            raise tokens.found("SELECT")
        self.enter(_LEVELS)
        select = self.select()
        tokens.need(")")
        self.enter(-_LEVELS)
        return Subquery(select)

    def _dimension(self) -> Dimension:
        tokens = self.tokens
        pattern = tokens.regex()
        if pattern is not None:
            return Dimension(Pattern(pattern))
        if tokens.kinds[tokens.at] == "EOF":
            raise tokens.found("identifier, string, number, bool", looked=True)
        return Dimension(self.expression())

    def _word(self, word: str) -> bool:
        """True if the next token is `word`, which is no keyword."""
        tokens = self.tokens
        return tokens.kinds[tokens.at] == "IDENT" and tokens.values[tokens.at].lower() == word

    def _fill(self) -> FillOption:
        if not self._word("fill"):
            return FillOption()
        call = self.expression() if self.at_call() else None
        if not isinstance(call, Function):
            raise ParseError("fill must be a function call")
        if len(call.args) != 1:
            raise ParseError("fill requires an argument, e.g.: 0, null, none, previous, linear")
        match call.args[0]:
            case Ref(name=name, kind=RefKind.ANY) if name in _FILL_KINDS:
                return FillOption(_FILL_KINDS[name])
            case Literal(value=float() | int() as value) if not isinstance(value, bool) and value <= _LARGEST:
                return FillOption(FillKind.VALUE, value)
            case Literal(value=float() as value):
                return FillOption(FillKind.VALUE, value)
            case _:
                raise ParseError("expected number argument in fill()")

    def _order_by_any(self) -> tuple[SortField, ...]:
        tokens = self.tokens
        if not tokens.take("ORDER"):
            return ()
        tokens.need("BY")
        order = []
        if tokens.kinds[tokens.at] in ("ASC", "DESC"):
            order.append(SortField("", self._descending()))
        elif tokens.kinds[tokens.at] == "IDENT":
            order.append(self._sort_field())
        else:
            raise tokens.found("identifier, ASC, DESC")
        while tokens.take(","):
            order.append(self._sort_field())
        return tuple(order)

    def _sort_field(self) -> SortField:
        return SortField(self.tokens.need("IDENT"), self._descending())

    def _descending(self) -> bool:
        return not self.tokens.take("ASC") and self.tokens.take("DESC")

    def _zone(self) -> str | None:
        if not self._word("tz"):
            return None
        call = self.expression() if self.at_call() else None
        if not isinstance(call, Function):
            raise ParseError("tz must be a function call")
        if len(call.args) != 1:
            raise ParseError("tz requires exactly one argument")
        match call.args[0]:
            case Literal(value=str() as name):
                name = name or "UTC"
            case _:
                raise ParseError("expected string argument in tz()")
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError):
            raise ParseError(f"unable to find time zone {name}") from None
        return name


def _placed(names: list[str]) -> tuple[str | None, str | None, str | None]:
    """Database, policy and name of one to three names with dots between them."""
    database, policy, name = ["", "", *names][-3:]
    return database or None, policy or None, name


def _too_many(names: list[str]) -> ParseError:
    first = [name and quoted(name) for name in names[:-1]]
    return ParseError(f"too many segments in {'.'.join([*first, name_text(names[-1])])} at line 1, char 1")


def _comparison(expression: Expression) -> Op:
    """The last operator of an expression that compares or combines, but for those within another one."""
    found = Op.EQ
    pending = [expression]
    while pending:
        match pending.pop():
            case Binary(op=op) if op in _COMPARING:
                found = op
            case Binary(left=left, right=right):
                pending += (right, left)
            case Paren(inner=inner):
                pending.append(inner)
            case Function(args=args):
                pending += reversed(args)
            case _:
                pass
    return found
