"""Plans that are kept: what was planned once is not planned again while the schema it was made for stays.

A plan is kept with what the planner asked of the schema and was told; it holds as long as the same questions get the
same answers. Plans that depend on the time are made anew each time.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from rusts.influxql import ast
from rusts.influxql.planner import Planned, plan_select
from rusts.influxql.planner.condition import split
from rusts.model.store import PolicyInfo, Store
from rusts.model.types import FieldType
from rusts.query.expression import Binary, Expression, Function, Now, Paren
from rusts.query.plan import EVER

__all__ = ["PlanCache", "depends_on_time"]

_KEPT: Final = 512

_Key = tuple[int, str, str | None]


@dataclass(slots=True)
class _Schema:
    """Asks a store what a planner asks, and remembers what it said."""

    store: Store
    asked: list[tuple[str, tuple[str, ...], object]] = field(default_factory=list)

    def _ask(self, question: str, *names: str) -> Any:
        answer = getattr(self.store, question)(*names)
        self.asked.append((question, names, answer))
        return answer

    def databases(self) -> list[str]:
        answer: list[str] = self._ask("databases")
        return answer

    def policies(self, database: str) -> list[PolicyInfo]:
        answer: list[PolicyInfo] = self._ask("policies", database)
        return answer

    def measurements(self, database: str) -> list[str]:
        answer: list[str] = self._ask("measurements", database)
        return answer

    def field_types(self, database: str, measurement: str) -> dict[str, FieldType]:
        answer: dict[str, FieldType] = self._ask("field_types", database, measurement)
        return answer

    def tag_keys(self, database: str, measurement: str) -> list[str]:
        answer: list[str] = self._ask("tag_keys", database, measurement)
        return answer

    def holds(self) -> bool:
        """Whether the store says the same now."""
        return all(getattr(self.store, question)(*names) == answer for question, names, answer in self.asked)


@dataclass(frozen=True, slots=True)
class _Kept:
    select: ast.Select
    """Held, so that its id stays its own."""
    planned: Planned
    schema: _Schema


class PlanCache:
    """Thread-safe. A statement is known by identity: who parses a text once gives the same one each time."""

    def __init__(self) -> None:
        self._kept: OrderedDict[_Key, _Kept] = OrderedDict()
        self._lock = threading.Lock()

    def plan(self, select: ast.Select, store: Store, *, database: str, policy: str | None, now: int) -> Planned:
        """The plan of `select`, as `plan_select` makes it."""
        key = id(select), database, policy
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None:
                self._kept.move_to_end(key)
        if kept is not None and kept.schema.store is store and kept.schema.holds():
            return kept.planned
        schema = _Schema(store)
        planned = plan_select(select, cast(Store, schema), database=database or None, policy=policy, now=now)
        if not depends_on_time(select, now):
            with self._lock:
                self._kept[key] = _Kept(select, planned, schema)
                if len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)
        return planned


def depends_on_time(select: ast.Select, now: int) -> bool:
    """Whether the plan of `select` is another one later: it says ``now()``, or groups up to an open end."""
    if _says_now(select.condition) or any(_says_now(dimension.expression) for dimension in select.dimensions):
        return True
    if _by_time(select.dimensions) and split(select.condition, now, select.zone)[0].end == EVER.end:
        return True
    return any(depends_on_time(source.select, now) for source in select.sources if isinstance(source, ast.Subquery))


def _by_time(dimensions: Sequence[ast.Dimension]) -> bool:
    return any(isinstance(dimension.expression, Function) for dimension in dimensions)


def _says_now(expression: Expression | None) -> bool:
    match expression:
        case Now():
            return True
        case Binary(left=left, right=right):
            return _says_now(left) or _says_now(right)
        case Paren(inner=inner):
            return _says_now(inner)
        case Function(args=args):
            return any(_says_now(arg) for arg in args)
    return False
