"""GROUP BY: the time window, and the terms that name tags."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rusts.errors import InvalidRequest
from rusts.influxql import ast
from rusts.influxql.planner.fold import fold, is_time
from rusts.influxql.planner.sources import matching
from rusts.influxql.printer import expression_text
from rusts.model.store import Window
from rusts.query.expression import (
    CalendarDuration,
    Duration,
    Expression,
    Function,
    Literal,
    Now,
    Paren,
    Pattern,
    Ref,
    Time,
    Wildcard,
)
from rusts.query.plan import AnyWindow, CalendarWindow

__all__ = ["Grouping", "grouping", "tag_names"]


@dataclass(frozen=True, slots=True)
class Grouping:
    """`window` of time() (None = not grouped by time) and the other terms, not yet resolved."""

    window: AnyWindow | None
    terms: tuple[Ref | Wildcard | Pattern, ...]


def grouping(dimensions: Iterable[ast.Dimension], now: int) -> Grouping:
    """Check and sort the terms of GROUP BY. Raises InvalidRequest with InfluxDB's text."""
    window: AnyWindow | None = None
    timed = False
    terms: list[Ref | Wildcard | Pattern] = []
    for dimension in dimensions:
        expression = dimension.expression
        while isinstance(expression, Paren):
            expression = expression.inner
        match expression:
            case Function(name="time", args=args):
                if timed:
                    raise InvalidRequest("multiple time dimensions not allowed")
                timed = True
                window = _window(tuple(fold(arg, None) for arg in args), now)
            case Function():
                raise InvalidRequest("only time() calls allowed in dimensions")
            case Ref(name=name) if name.lower() == "time":
                raise InvalidRequest("time() is a function and expects at least one argument")
            case Ref() | Wildcard() | Pattern() as term:
                terms.append(term)
            case _:
                raise InvalidRequest("only time and tag dimensions allowed")
    return Grouping(window, tuple(terms))


def _window(args: tuple[Expression, ...], now: int) -> AnyWindow | None:
    if not 1 <= len(args) <= 2:
        raise InvalidRequest("time dimension expected 1 or 2 arguments")
    interval = args[0]
    if not isinstance(interval, Duration | CalendarDuration):
        raise InvalidRequest("time dimension must have duration argument")
    offset = _offset(args[1], now) if len(args) == 2 else 0
    if isinstance(interval, CalendarDuration):
        return CalendarWindow(interval.months, offset)
    # An interval of nothing groups by nothing, as in InfluxDB.
    return Window(interval.ns, offset % interval.ns) if interval.ns > 0 else None


def _offset(node: Expression, now: int) -> int:
    match node:
        case Duration(ns=ns) | Time(ns=ns):
            return ns
        case Now():
            return now
        case Function(name="now"):
            raise InvalidRequest("time dimension offset now() function requires no arguments")
        case Function():
            raise InvalidRequest("time dimension offset function must be now()")
        case Literal(value=str(string)) if is_time(string):
            raise InvalidRequest(f"invalid time dimension offset: {expression_text(node)}")
        case _:
            raise InvalidRequest("time dimension offset must be duration or now()")


def tag_names(terms: Iterable[Ref | Wildcard | Pattern], tags: Sequence[str]) -> tuple[str, ...]:
    """The tags that `terms` stand for where the sources have `tags`: sorted, each once."""
    names: set[str] = set()
    for term in terms:
        match term:
            case Ref(name=name):
                names.add(name)
            case Wildcard():
                names.update(tags)
            case Pattern(text=pattern):
                names.update(matching(tags, pattern))
    return tuple(sorted(names))
