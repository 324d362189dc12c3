"""SELECT and EXPLAIN: planned, run, and their tables as frames."""

from __future__ import annotations

from collections.abc import Iterator

from rusts import query
from rusts.influxql import ast
from rusts.influxql.context import Context
from rusts.influxql.into import write_into
from rusts.influxql.plancache import PlanCache
from rusts.influxql.planner import Planned
from rusts.influxql.results import Frame, frame_of, frame_of_table

__all__ = ["explain", "select"]


def select(context: Context, statement: ast.Select, plans: PlanCache) -> Iterator[Frame]:
    """The rows, as they are computed; of INTO, how many were written."""
    planned = _plan(context, statement, plans)
    context.result.zone = planned.zone
    if len(planned.columns) < 2 and planned.target is None:
        return
    result = query.execute(context.store, planned.plan, context.tracker, context.services.folds)
    try:
        if planned.target is not None:
            yield from write_into(context, result, planned.target)
        else:
            for table in result:
                yield frame_of_table(table, planned.columns, planned.group_by)
    finally:
        context.result.messages += result.warnings
        result.close()


def explain(context: Context, statement: ast.Explain, plans: PlanCache) -> Iterator[Frame]:
    """The plan as lines of text; with ANALYZE it is run, and told what that took."""
    planned = _plan(context, statement.select, plans)
    if statement.analyze:
        lines = query.analyze(context.store, planned.plan, context.tracker, context.services.folds)
    else:
        lines = query.explain(context.store, planned.plan)
    name = "EXPLAIN ANALYZE" if statement.analyze else "QUERY PLAN"
    yield frame_of("", [name], [[line] for line in lines])


def _plan(context: Context, statement: ast.Select, plans: PlanCache) -> Planned:
    session = context.session
    return plans.plan(
        statement, context.store, database=session.database, policy=session.policy, now=context.services.clock.now_ns()
    )
