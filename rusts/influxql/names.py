"""Names written out: every measurement of a SELECT with its database and policy, as 1.x keeps and prints it."""

from __future__ import annotations

from dataclasses import replace

from rusts.influxql import ast
from rusts.influxql.context import Context

__all__ = ["qualified"]


def qualified(select: ast.Select, context: Context, database: str) -> ast.Select:
    """`select` as it is understood where `database` is the default one ("": none).

    Raises InvalidRequest, DatabaseNotFound, PolicyNotFound.
    """
    sources: list[ast.Source] = []
    for source in select.sources:
        if isinstance(source, ast.Subquery):
            sources.append(ast.Subquery(qualified(source.select, context, database)))
        else:
            name, policy = _place(source.database, source.policy, context, database)
            sources.append(replace(source, database=name, policy=policy))
    target = select.target
    if target is not None:
        name, policy = _place(target.database, target.policy, context, database)
        target = replace(target, database=name, policy=policy)
    return replace(select, sources=tuple(sources), target=target)


def _place(name: str | None, policy: str | None, context: Context, database: str) -> tuple[str, str]:
    name = context.existing(name or database)
    if not policy and name == context.session.database:
        policy = context.session.policy
    return name, context.policy_of(name, policy).name
