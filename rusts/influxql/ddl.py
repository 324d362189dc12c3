"""Statements that change databases, policies and what they hold; KILL QUERY; and those that are refused."""

from __future__ import annotations

from typing import Final

from rusts import errors
from rusts.influxql import ast
from rusts.influxql.context import Context
from rusts.influxql.names import qualified
from rusts.influxql.planner.condition import lower, split
from rusts.influxql.printer import expression_text, text
from rusts.influxql.show import mentions_time
from rusts.influxql.tagfilter import NONE, series_predicate
from rusts.model.predicate import And, FieldCompare, FieldRegex, Or, Predicate
from rusts.model.store import ContinuousQuery, PolicyInfo

__all__ = [
    "alter_retention_policy",
    "create_continuous_query",
    "create_database",
    "create_retention_policy",
    "delete",
    "drop_continuous_query",
    "drop_database",
    "drop_measurement",
    "drop_retention_policy",
    "drop_series",
    "drop_shard",
    "kill_query",
    "refuse_subscription",
]

_DEFAULT_POLICY: Final = "autogen"


def create_database(context: Context, statement: ast.CreateDatabase) -> None:
    """Make a database, with the policy that it says; nothing if there is one that is so."""
    options = statement.policy
    if options is None:
        context.store.create_database(statement.name)
        return
    policy = PolicyInfo(options.name or _DEFAULT_POLICY, 0, 0, 1, default=True)
    if statement.name in context.store.databases():
        # What the statement does not say is compared with nothing.
        known = next((p for p in context.store.policies(statement.name) if p.name == policy.name), policy)
        policy = PolicyInfo(policy.name, known.duration, 0, known.replication, default=True)
    context.store.create_database(
        statement.name,
        PolicyInfo(
            policy.name,
            policy.duration if options.duration is None else options.duration,
            options.shard_duration or 0,
            policy.replication if options.replication is None else options.replication,
            default=True,
        ),
    )


def drop_database(context: Context, statement: ast.DropDatabase) -> None:
    """Drop a database with all that it holds."""
    context.store.drop_database(statement.name)


def create_retention_policy(context: Context, statement: ast.CreateRetentionPolicy) -> None:
    """Make a policy."""
    policy = PolicyInfo(
        statement.name, statement.duration, statement.shard_duration or 0, statement.replication, statement.default
    )
    context.store.create_policy(statement.database, policy)


def alter_retention_policy(context: Context, statement: ast.AlterRetentionPolicy) -> None:
    """Change a policy."""
    context.store.alter_policy(
        statement.database,
        statement.name,
        duration=statement.duration,
        shard_duration=statement.shard_duration,
        replication=statement.replication,
        default=statement.default or None,
    )


def drop_retention_policy(context: Context, statement: ast.DropRetentionPolicy) -> None:
    """Drop a policy with its points; nothing if it, or its database, is not there."""
    if statement.database in context.store.databases():
        context.store.drop_policy(statement.database, statement.name)


def drop_measurement(context: Context, statement: ast.DropMeasurement) -> None:
    """Drop a measurement with its points."""
    context.store.drop_measurement(_database(context), statement.name)


def drop_shard(context: Context, statement: ast.DropShard) -> None:
    """Drop the points of one partition."""
    context.store.drop_partition(statement.shard)


def drop_series(context: Context, statement: ast.DropSeries) -> None:
    """Drop series with all their points."""
    if mentions_time(statement.condition):
        raise errors.InvalidRequest("DROP SERIES doesn't support time in WHERE clause")
    database = _database(context)
    _, rest = split(statement.condition, context.services.clock.now_ns(), None)
    wanted: dict[Predicate | None, list[str]] = {}
    for name in context.measurements(database, statement.sources):
        fields = context.store.field_types(database, name)
        predicate, left = lower(rest, fields)
        if left is not None or _has_fields(predicate):
            raise errors.InvalidRequest("fields not supported in WHERE clause during deletion")
        predicate = series_predicate(rest, name, fields, strict=True)
        if predicate != NONE:
            wanted.setdefault(predicate, []).append(name)
    for predicate, names in wanted.items():
        context.store.drop_series(database, names, predicate)


def delete(context: Context, statement: ast.Delete) -> None:
    """Delete points, by time and tags and, beyond 1.x, by values of fields."""
    database = _database(context)
    range, rest = split(statement.condition, context.services.clock.now_ns(), None)
    if range.end <= range.start:
        return
    wanted: dict[Predicate | None, list[str]] = {}
    for name in context.measurements(database, statement.sources):
        predicate, left = lower(rest, context.store.field_types(database, name))
        if left is not None:
            raise errors.InvalidRequest(f"DELETE cannot tell what to delete by {expression_text(left)}")
        wanted.setdefault(predicate, []).append(name)
    for predicate, names in wanted.items():
        context.store.delete(database, names, range, predicate)


def _has_fields(predicate: Predicate | None) -> bool:
    match predicate:
        case And(parts=parts) | Or(parts=parts):
            return any(_has_fields(part) for part in parts)
        case FieldCompare() | FieldRegex():
            return True
    return False


def _database(context: Context) -> str:
    """The request's database; a request without one is told that it is not found, as in 1.x."""
    name = context.session.database
    if name not in context.store.databases():
        raise errors.DatabaseNotFound(name)
    return name


def create_continuous_query(context: Context, statement: ast.CreateContinuousQuery) -> None:
    """Keep a continuous query; nothing runs it yet, and the client is told so."""
    context.existing(statement.database)
    select = qualified(statement.select, context, statement.database)
    full = ast.CreateContinuousQuery(statement.name, statement.database, select, statement.every, statement.span)
    query = ContinuousQuery(statement.name, text(full))
    for known in context.store.continuous_queries(statement.database):
        if known.name == query.name:
            if known.text != query.text:
                raise errors.InvalidRequest("continuous query already exists")
            break
    else:
        context.store.put_continuous_query(statement.database, query)
    context.result.messages.append("the continuous query is kept and shown, but this version of rusts does not run it")


def drop_continuous_query(context: Context, statement: ast.DropContinuousQuery) -> None:
    """Forget a continuous query; nothing if it, or its database, is not there."""
    if statement.database in context.store.databases():
        context.store.drop_continuous_query(statement.database, statement.name)


def refuse_subscription(context: Context, statement: ast.CreateSubscription | ast.DropSubscription) -> None:
    """There are no subscriptions."""
    raise errors.InvalidRequest("subscriptions are not supported: have the writers send to both servers")


def kill_query(context: Context, statement: ast.KillQuery) -> None:
    """End a query that runs."""
    context.services.running.kill(statement.query)
