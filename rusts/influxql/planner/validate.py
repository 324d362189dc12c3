"""What a SELECT list must be, before any schema is asked: InfluxDB's compile errors, with its texts."""

from __future__ import annotations

from dataclasses import dataclass, field

from rusts.errors import InvalidRequest
from rusts.influxql.planner.fold import constant, go_type
from rusts.influxql.planner.rules import (
    AGGREGATES,
    AVERAGES,
    DIFFERENCES,
    FORECASTS,
    MATH,
    SELECTORS,
)
from rusts.influxql.printer import expression_text
from rusts.query.expression import (
    Binary,
    Distinct,
    Duration,
    Expression,
    Function,
    Literal,
    Now,
    Paren,
    Pattern,
    Ref,
    Wildcard,
)

__all__ = ["Columns"]

_WITH_UNIT = frozenset(("derivative", "non_negative_derivative", "elapsed"))


@dataclass(slots=True)
class Columns:
    """Checks the columns of one SELECT, one after another, and remembers what they are made of.

    `windowed`: rows are grouped by time. `inherited`: only because an outer query's are. `limit`: its LIMIT, 0 = none.
    """

    windowed: bool = False
    inherited: bool = False
    limit: int = 0
    calls: int = 0
    selectors_only: bool = True
    plain: bool = False
    """A field or a tag stands outside of any call."""
    _distinct: bool = field(default=False, init=False)
    _ranking: str | None = field(default=None, init=False)

    def add(self, expression: Expression) -> None:
        """Check one column. Raises InvalidRequest."""
        self._column(expression, wildcard=True)

    def finish(self, fill: str | None) -> None:
        """Check the columns together; `fill` is what fill() says. Raises InvalidRequest."""
        if self._ranking is not None and self.calls > 1:
            raise InvalidRequest(f"selector function {self._ranking}() cannot be combined with other functions")
        if not self.calls:
            if fill in ("none", "linear"):
                raise InvalidRequest(f"fill({fill}) must be used with a function")
            if self.windowed and not self.inherited:
                raise InvalidRequest("GROUP BY requires at least one aggregate function")
        if self._distinct and (self.calls != 1 or self.plain):
            raise InvalidRequest("aggregate function distinct() cannot be combined with other functions or fields")
        if self.plain and self.calls:
            if not self.selectors_only:
                raise InvalidRequest("mixing aggregate and non-aggregate queries is not supported")
            if self.calls > 1:
                raise InvalidRequest("mixing multiple selector functions with tags or fields is not supported")

    # -- one expression

    def _column(self, node: Expression, wildcard: bool) -> None:
        if constant(node) and not _has_now(node):
            raise InvalidRequest("field must contain at least one variable")
        match node:
            case Ref():
                self.plain = True
            case Wildcard() | Pattern():
                self.plain = True
                if not wildcard:
                    kind = "regex" if isinstance(node, Pattern) else "wildcard"
                    raise InvalidRequest(f"unable to use {kind} in a binary expression")
            case Function(name=name) if name in MATH:
                self._math(node, wildcard)
            case Function():
                self.calls += 1
                self._call(node, wildcard)
            case Distinct(name=name):
                self.calls += 1
                self._of_distinct((Ref(name),), nested=False)
            case Now():
                raise InvalidRequest("undefined function now()")
            case Paren(inner=inner):
                self._column(inner, wildcard)
            case Binary(left=left, right=right):
                for side in (left, right):
                    if not constant(side) or _has_now(side):
                        self._column(side, wildcard=False)
            case _:
                raise InvalidRequest("field must contain at least one variable")

    def _math(self, call: Function, wildcard: bool) -> None:
        _count(call, MATH[call.name])
        for arg in call.args:
            if not constant(arg) or _has_now(arg):
                self._column(arg, wildcard)

    def _call(self, call: Function, wildcard: bool) -> None:
        name, args = call.name, call.args
        if name in ("top", "bottom"):
            self._top(call)
            return
        if name == "distinct":
            self._of_distinct(args, nested=False)
            return
        if name in ("percentile", "sample"):
            self._with_number(call, wildcard)
            return
        if name in SELECTORS or name in AGGREGATES:
            self.selectors_only &= name in SELECTORS
            _count(call, 1)
            if name == "count" and self._counts_distinct(args[0]):
                return
            _symbol(name, args[0], wildcard)
            return
        self.selectors_only = False
        if name == "integral":
            _between(call, 1, 2)
            if len(args) == 2:
                if not isinstance(args[1], Duration):
                    raise InvalidRequest("second argument must be a duration")
                _positive(args[1])
            _symbol(name, args[0], wildcard)
        elif name in FORECASTS:
            self._forecast(call, wildcard)
        elif name in DIFFERENCES or name in AVERAGES or name in ("moving_average", "cumulative_sum"):
            self._arguments(call)
            self._operand(name, args[0], wildcard)
        else:
            raise InvalidRequest(f"undefined function {name}()")

    def _counts_distinct(self, arg: Expression) -> bool:
        if isinstance(arg, Function) and arg.name == "distinct":
            self._of_distinct(arg.args, nested=True)
            return True
        return isinstance(arg, Distinct)

    def _of_distinct(self, args: tuple[Expression, ...], nested: bool) -> None:
        if not args:
            raise InvalidRequest("distinct function requires at least one argument")
        if len(args) != 1:
            raise InvalidRequest("distinct function can only have one argument")
        if not isinstance(args[0], Ref):
            raise InvalidRequest("expected field argument in distinct()")
        self._distinct |= not nested
        self.selectors_only = False

    def _with_number(self, call: Function, wildcard: bool) -> None:
        _count(call, 2)
        value = call.args[1].value if isinstance(call.args[1], Literal) else None
        if call.name == "percentile":
            if not isinstance(value, int | float) or isinstance(value, bool):
                raise InvalidRequest("expected float argument in percentile()")
        elif not isinstance(value, int) or isinstance(value, bool):
            raise InvalidRequest("expected integer argument in sample()")
        elif value < 1:
            raise InvalidRequest(f"sample window must be greater than 1, got {value}")
        _symbol(call.name, call.args[0], wildcard)

    def _top(self, call: Function) -> None:
        name, args = call.name, call.args
        if self._ranking is not None:
            raise InvalidRequest(f"selector function {self._ranking}() cannot be combined with other functions")
        self._ranking = name
        if len(args) < 2:
            raise InvalidRequest(f"invalid number of arguments for {name}, expected at least 2, got {len(args)}")
        count = args[-1].value if isinstance(args[-1], Literal) else None
        if not isinstance(count, int) or isinstance(count, bool):
            raise InvalidRequest(f"expected integer as last argument in {name}(), found {expression_text(args[-1])}")
        if count < 1:
            raise InvalidRequest(f"limit ({count}) in {name} function must be at least 1")
        if 0 < self.limit < count:
            raise InvalidRequest(
                f"limit ({count}) in {name} function can not be larger than the LIMIT ({self.limit}) "
                "in the select statement"
            )
        if not isinstance(args[0], Ref):
            raise InvalidRequest(f"expected first argument to be a field in {name}(), found {expression_text(args[0])}")
        for arg in args[1:-1]:
            if not isinstance(arg, Ref):
                raise InvalidRequest(f"only fields or tags are allowed in {name}(), found {expression_text(arg)}")

    # -- transformations

    def _operand(self, name: str, operand: Expression, wildcard: bool) -> None:
        """The first argument: a call where rows are grouped by time, else a field."""
        if isinstance(operand, Function):
            if not self.windowed:
                raise InvalidRequest(f"{name} aggregate requires a GROUP BY interval")
            self._nested(operand, wildcard)
            return
        if self.windowed and not self.inherited:
            raise InvalidRequest(f"aggregate function required inside the call to {name}")
        _symbol(name, operand, wildcard)

    def _nested(self, operand: Function, wildcard: bool) -> None:
        if operand.name == "distinct":
            self._of_distinct(operand.args, nested=True)
        else:
            self._column(operand, wildcard)
            if operand.name in MATH:
                raise InvalidRequest(f"unsupported call: {operand.name}")

    def _arguments(self, call: Function) -> None:
        name, args = call.name, call.args
        if name in _WITH_UNIT:
            _between(call, 1, 2)
            if len(args) == 2:
                if not isinstance(args[1], Duration):
                    raise InvalidRequest(f"second argument to {name} must be a duration, got {go_type(args[1])}")
                _positive(args[1])
        elif name == "moving_average":
            _count(call, 2)
            window = args[1].value if isinstance(args[1], Literal) else None
            if not isinstance(window, int) or isinstance(window, bool):
                raise InvalidRequest(f"second argument for {name} must be an integer, got {go_type(args[1])}")
            if window <= 1:
                raise InvalidRequest(f"{name} window must be greater than 1, got {window}")
        elif name in AVERAGES:
            self._period(call)
        else:
            _count(call, 1)

    def _period(self, call: Function) -> None:
        name = call.name
        most, warm_ups = AVERAGES[name]
        _between(call, 2, most)
        values = [arg.value if isinstance(arg, Literal) else None for arg in call.args[1:]]
        least_hold = 1 if name == "triple_exponential_derivative" else 0
        for what, least, value in zip(("period", "hold period"), (1, least_hold), values, strict=False):
            if not isinstance(value, int) or isinstance(value, bool):
                raise InvalidRequest(f"{name} {what} must be an integer")
            # A hold period of -1 is taken for "not given", which the text does not tell.
            if value < least and not (what == "hold period" and value == -1):
                raise InvalidRequest(f"{name} {what} must be greater than or equal to {least}")
        if len(values) == 3:
            if not isinstance(values[2], str):
                raise InvalidRequest(f"{name} warmup type must be a string")
            if values[2] not in warm_ups:
                names = " ".join(f"'{each}'" for each in warm_ups)
                raise InvalidRequest(f"{name} warmup type must be one of: {names}")

    def _forecast(self, call: Function, wildcard: bool) -> None:
        name = call.name
        _count(call, 3)
        for place, arg, least in zip(("second", "third"), call.args[1:], (1, 0), strict=True):
            value = arg.value if isinstance(arg, Literal) else None
            if not isinstance(value, int) or isinstance(value, bool):
                raise InvalidRequest(f"expected integer argument as {place} arg in {name}")
            if value < least:
                problem = "must be greater than 0" if least else "cannot be negative"
                raise InvalidRequest(f"{place} arg to {name} {problem}, got {value}")
        if not isinstance(call.args[0], Function):
            raise InvalidRequest(f"must use aggregate function with {name}")
        if not self.windowed:
            raise InvalidRequest(f"{name} aggregate requires a GROUP BY interval")
        self._nested(call.args[0], wildcard)


def _has_now(node: Expression) -> bool:
    match node:
        case Now():
            return True
        case Binary(left=left, right=right):
            return _has_now(left) or _has_now(right)
        case Paren(inner=inner):
            return _has_now(inner)
        case Function(args=args):
            return any(_has_now(arg) for arg in args)
        case _:
            return False


def _count(call: Function, expected: int) -> None:
    if len(call.args) != expected:
        raise InvalidRequest(f"invalid number of arguments for {call.name}, expected {expected}, got {len(call.args)}")


def _between(call: Function, least: int, most: int) -> None:
    if not least <= len(call.args) <= most:
        raise InvalidRequest(
            f"invalid number of arguments for {call.name}, expected at least {least} but no more than {most}, "
            f"got {len(call.args)}"
        )


def _positive(duration: Duration) -> None:
    if duration.ns <= 0:
        raise InvalidRequest(f"duration argument must be positive, got {expression_text(duration)}")


def _symbol(name: str, operand: Expression, wildcard: bool) -> None:
    """What an aggregate or a transformation is over: a field, or fields by a wildcard or a pattern."""
    match operand:
        case Ref():
            return
        case Wildcard():
            if not wildcard:
                raise InvalidRequest(f"unsupported expression with wildcard: {name}()")
        case Pattern():
            if not wildcard:
                raise InvalidRequest(f"unsupported expression with regex field: {name}()")
        case _:
            raise InvalidRequest(f"expected field argument in {name}()")
