"""A SELECT becomes a plan.

`plan_select` checks a statement as InfluxDB 1.6.7 does (with its texts), asks the store for the schema where the
statement needs it, and makes nodes of `rusts.query.plan`. It reads no data.
"""

from __future__ import annotations

from dataclasses import dataclass

from rusts.influxql import ast
from rusts.influxql.planner.query import Query, check, resolve
from rusts.influxql.planner.sources import Schema
from rusts.influxql.planner.tables import slice_of
from rusts.model.store import Store
from rusts.query.plan import Plan

__all__ = ["Planned", "plan_select"]


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, and what the answer's form needs beside it.

    `columns` names the answer's columns, the time first; none behind it: nothing is read and there is no answer. The
    tags of GROUP BY are `group_by`, sorted. `target`: where INTO writes, its database and policy filled in.
    """

    plan: Plan
    columns: tuple[str, ...]
    group_by: tuple[str, ...]
    target: ast.Target | None
    zone: str | None
    descending: bool


def plan_select(
    select: ast.Select, store: Store, *, database: str | None, policy: str | None = None, now: int
) -> Planned:
    """The plan of `select` for the schema that `store` has now.

    `database` and `policy` are the request's, for names that tell none; `now` (ns) is what ``now()`` and an open end of
    time groups stand for. Raises InvalidRequest and PolicyNotFound, with InfluxDB's texts.
    """
    schema = Schema(store, database, policy)
    if select.target is not None:
        schema.check_database(select.target.database or database)
    schema.check_databases(select)
    query = check(select, now)
    resolve(query, schema)
    root = slice_of(query, schema)
    return Planned(
        Plan(root),
        (query.time_label, *(column.label for column in query.columns)),
        query.group_by,
        _target(select.target, query, schema),
        select.zone,
        query.descending,
    )


def _target(target: ast.Target | None, query: Query, schema: Schema) -> ast.Target | None:
    if target is None:
        return None
    return ast.Target(target.database or schema.database, target.policy or schema.policy, target.name)
