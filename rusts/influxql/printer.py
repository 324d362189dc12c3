"""Prints expressions and statements as InfluxDB 1.6.7 does: in error texts, SHOW CONTINUOUS QUERIES and EXPLAIN.

What is printed can be parsed again and is the same statement then. Where 1.6.7's text would be another one, it is not
followed: floats keep all their decimals, a signed divisor its sign (``a / -b``), and names their quotes. Passwords are
never printed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Final

from rusts.influxql import ast
from rusts.influxql.ast import Dimension, FillKind, KeyCondition, KeyOp, SortField, Source, Statement
from rusts.influxql.literals import (
    duration_text,
    months_text,
    name_text,
    number_text,
    pattern_text,
    string_text,
)
from rusts.model.time import format_duration, format_rfc3339
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
    Time,
    Wildcard,
)

__all__ = ["expression_text", "text"]

_SECRET: Final = "[REDACTED]"
_EXACT: Final = 1 << 53
"""Floats up to this may be printed as integers."""
_BOUND_TIGHTLY: Final = frozenset((Op.DIV, Op.MOD, Op.BIT_AND))


# -- expressions


def expression_text(expression: Expression) -> str:
    """An expression as InfluxQL."""
    match expression:
        case Ref(name=name, kind=kind, type=type):
            if type is not None:
                return f"{name_text(name)}::{type.text}"
            return name_text(name) if kind is RefKind.ANY else f"{name_text(name)}::{kind}"
        case Binary(op=op, left=left, right=right):
            return f"{expression_text(left)} {op} {_right(op, right)}"
        case Function(name=name, args=args):
            called = name if name == "distinct" else name_text(name)
            return f"{called}({', '.join(map(expression_text, args))})"
        case Literal(value=value):
            return _literal(value)
        case Paren(inner=inner):
            return f"({expression_text(inner)})"
        case Now():
            return "now()"
        case Duration(ns=ns):
            return duration_text(ns)
        case Pattern(text=pattern):
            return pattern_text(pattern)
        case Wildcard(kind=kind):
            return "*" if kind is RefKind.ANY else f"*::{kind}"
        case Distinct(name=name):
            return f"DISTINCT {name_text(name)}"
        case CalendarDuration(months=months):
            return months_text(months)
        case Time(ns=ns):
            return string_text(format_rfc3339(ns))


def _right(op: Op, right: Expression) -> str:
    """The right side of `op`; a sign there is a multiplication, which must not be read as one with the left side."""
    match right:
        case Binary(op=Op.MUL, left=Literal(value=(1 | -1) as sign), right=signed) if op in _BOUND_TIGHTLY:
            return ("-" if sign < 0 else "+") + expression_text(signed)
        case _:
            return expression_text(right)


def _literal(value: float | int | str | bool | None) -> str:
    if isinstance(value, str):
        return string_text(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return number_text(value)
    return "null" if value is None else str(value)


# -- clauses


def _measurement(source: ast.MeasurementName | ast.Target, name: str) -> str:
    if source.database is not None:
        policy = "" if source.policy is None else name_text(source.policy)
        return f"{name_text(source.database)}.{policy}.{name}"
    return name if source.policy is None else f"{name_text(source.policy)}.{name}"


def _source(source: Source) -> str:
    if isinstance(source, ast.Subquery):
        return f"({_select(source.select)})"
    name = name_text(source.name or "") if source.pattern is None else pattern_text(source.pattern)
    return _measurement(source, name)


def _sources(sources: Sequence[Source]) -> str:
    return ", ".join(map(_source, sources))


def _field(field: ast.SelectField) -> str:
    alias = "" if field.alias is None else f" AS {name_text(field.alias)}"
    return expression_text(field.expression) + alias


def _fill(fill: ast.FillOption) -> str:
    if fill.mode is FillKind.NULL:
        return ""
    if fill.mode is not FillKind.VALUE:
        return f" fill({fill.mode})"
    value = fill.value
    if isinstance(value, float):
        digits = number_text(value) if abs(value) > _EXACT else format(Decimal(repr(value)), "f")
        return f" fill({digits.removesuffix('.0')})"
    return f" fill({value})"


def _sort(field: SortField) -> str:
    direction = "DESC" if field.descending else "ASC"
    return f"{name_text(field.name)} {direction}" if field.name else direction


def _key(key: KeyCondition) -> str:
    if key.pattern is not None:
        return f" WITH KEY {key.op} {pattern_text(key.pattern)}"
    names = ", ".join(map(name_text, key.keys))
    return f" WITH KEY IN ({names})" if key.op is KeyOp.IN else f" WITH KEY {key.op} {names}"


def _clauses(
    *,
    database: str | None = None,
    sources: Sequence[Source] = (),
    key: KeyCondition | None = None,
    condition: Expression | None = None,
    dimensions: Sequence[Dimension] = (),
    fill: str = "",
    having: Expression | None = None,
    order: Sequence[SortField] = (),
    limit: int = 0,
    offset: int = 0,
    series_limit: int = 0,
    series_offset: int = 0,
) -> str:
    """The clauses that are given, each with a space before it."""
    parts = []
    if database is not None:
        parts.append(f" ON {name_text(database)}")
    if sources:
        parts.append(f" FROM {_sources(sources)}")
    if key is not None:
        parts.append(_key(key))
    if condition is not None:
        parts.append(f" WHERE {expression_text(condition)}")
    if dimensions:
        parts.append(" GROUP BY " + ", ".join(expression_text(each.expression) for each in dimensions))
    parts.append(fill)
    if having is not None:
        parts.append(f" HAVING {expression_text(having)}")
    if order:
        parts.append(" ORDER BY " + ", ".join(map(_sort, order)))
    counts = (("LIMIT", limit), ("OFFSET", offset), ("SLIMIT", series_limit), ("SOFFSET", series_offset))
    parts += [f" {word} {count}" for word, count in counts if count]
    return "".join(parts)


# -- statements


def _select(node: ast.Select) -> str:
    target = ""
    if node.target is not None:
        name = ":MEASUREMENT" if node.target.name is None else name_text(node.target.name)
        target = f" INTO {_measurement(node.target, name)}"
    rest = _clauses(
        sources=node.sources,
        condition=node.condition,
        dimensions=node.dimensions,
        fill=_fill(node.fill),
        having=node.having,
        order=node.order,
        limit=node.limit,
        offset=node.offset,
        series_limit=node.series_limit,
        series_offset=node.series_offset,
    )
    zone = "" if node.zone is None else f" TZ({string_text(node.zone)})"
    return f"SELECT {', '.join(map(_field, node.fields))}{target}{rest}{zone}"


def _explain(node: ast.Explain) -> str:
    return f"EXPLAIN {'ANALYZE ' if node.analyze else ''}{_select(node.select)}"


def _show_measurements(node: ast.ShowMeasurements) -> str:
    parts = ["SHOW MEASUREMENTS", _clauses(database=node.database)]
    if node.source is not None:
        parts.append(f" WITH MEASUREMENT {'=' if node.source.pattern is None else '=~'} {_source(node.source)}")
    parts.append(_clauses(condition=node.condition, order=node.order, limit=node.limit, offset=node.offset))
    return "".join(parts)


def _show_series(node: ast.ShowSeries) -> str:
    return "SHOW SERIES" + _clauses(
        database=node.database,
        sources=node.sources,
        condition=node.condition,
        order=node.order,
        limit=node.limit,
        offset=node.offset,
    )


def _show_tag_keys(node: ast.ShowTagKeys) -> str:
    return "SHOW TAG KEYS" + _clauses(
        database=node.database,
        sources=node.sources,
        condition=node.condition,
        order=node.order,
        limit=node.limit,
        offset=node.offset,
        series_limit=node.series_limit,
        series_offset=node.series_offset,
    )


def _show_tag_values(node: ast.ShowTagValues) -> str:
    return "SHOW TAG VALUES" + _clauses(
        database=node.database,
        sources=node.sources,
        key=node.key,
        condition=node.condition,
        order=node.order,
        limit=node.limit,
        offset=node.offset,
    )


def _show_field_keys(node: ast.ShowFieldKeys) -> str:
    return "SHOW FIELD KEYS" + _clauses(
        database=node.database, sources=node.sources, order=node.order, limit=node.limit, offset=node.offset
    )


def _show_cardinality(node: ast.ShowCardinality) -> str:
    return f"SHOW {node.what}{' EXACT' if node.exact else ''} CARDINALITY" + _clauses(
        database=node.database,
        sources=node.sources,
        key=node.key,
        condition=node.condition,
        dimensions=node.dimensions,
        limit=node.limit,
        offset=node.offset,
    )


def _module(words: str, module: str | None) -> str:
    return words if module is None else f"{words} FOR {string_text(module)}"


def _create_database(node: ast.CreateDatabase) -> str:
    parts = [f"CREATE DATABASE {name_text(node.name)}"]
    policy = node.policy
    if policy is not None:
        parts.append(" WITH")
        if policy.duration is not None:
            parts.append(f" DURATION {format_duration(policy.duration)}")
        if policy.replication is not None:
            parts.append(f" REPLICATION {policy.replication}")
        if policy.shard_duration:
            parts.append(f" SHARD DURATION {format_duration(policy.shard_duration)}")
        if policy.name is not None:
            parts.append(f" NAME {name_text(policy.name)}")
    return "".join(parts)


def _create_policy(node: ast.CreateRetentionPolicy) -> str:
    shard = f" SHARD DURATION {duration_text(node.shard_duration)}" if node.shard_duration else ""
    return (
        f"CREATE RETENTION POLICY {_named(node)} DURATION {duration_text(node.duration)}"
        f" REPLICATION {node.replication}{shard}{' DEFAULT' if node.default else ''}"
    )


def _alter_policy(node: ast.AlterRetentionPolicy) -> str:
    parts = [f"ALTER RETENTION POLICY {_named(node)}"]
    if node.duration is not None:
        parts.append(f" DURATION {duration_text(node.duration)}")
    if node.replication is not None:
        parts.append(f" REPLICATION {node.replication}")
    if node.shard_duration is not None:
        parts.append(f" SHARD DURATION {duration_text(node.shard_duration)}")
    if node.default:
        parts.append(" DEFAULT")
    return "".join(parts)


def _named(
    node: ast.CreateRetentionPolicy
    | ast.AlterRetentionPolicy
    | ast.DropRetentionPolicy
    | ast.CreateContinuousQuery
    | ast.DropContinuousQuery,
) -> str:
    return f"{name_text(node.name)} ON {name_text(node.database)}"


def _create_continuous_query(node: ast.CreateContinuousQuery) -> str:
    resample = "" if node.every is None and node.span is None else " RESAMPLE"
    every = "" if node.every is None else f" EVERY {duration_text(node.every)}"
    span = "" if node.span is None else f" FOR {duration_text(node.span)}"
    return f"CREATE CONTINUOUS QUERY {_named(node)}{resample}{every}{span} BEGIN {_select(node.select)} END"


def _subscription(node: ast.CreateSubscription | ast.DropSubscription) -> str:
    return f"{name_text(node.name)} ON {name_text(node.database)}.{name_text(node.policy)}"


def _create_subscription(node: ast.CreateSubscription) -> str:
    destinations = ", ".join(map(string_text, node.destinations))
    return f"CREATE SUBSCRIPTION {_subscription(node)} DESTINATIONS {node.mode} {destinations}"


def _kill(node: ast.KillQuery) -> str:
    return f"KILL QUERY {node.query}{'' if node.host is None else f' ON {name_text(node.host)}'}"


def _create_user(node: ast.CreateUser) -> str:
    admin = " WITH ALL PRIVILEGES" if node.admin else ""
    return f"CREATE USER {name_text(node.name)} WITH PASSWORD {_SECRET}{admin}"


_PRINTERS: Final[dict[type[Any], Callable[[Any], str]]] = {
    ast.Select: _select,
    ast.Explain: _explain,
    ast.ShowDatabases: lambda _: "SHOW DATABASES",
    ast.ShowMeasurements: _show_measurements,
    ast.ShowSeries: _show_series,
    ast.ShowTagKeys: _show_tag_keys,
    ast.ShowTagValues: _show_tag_values,
    ast.ShowFieldKeys: _show_field_keys,
    ast.ShowCardinality: _show_cardinality,
    ast.ShowRetentionPolicies: lambda node: "SHOW RETENTION POLICIES" + _clauses(database=node.database),
    ast.ShowShards: lambda _: "SHOW SHARDS",
    ast.ShowShardGroups: lambda _: "SHOW SHARD GROUPS",
    ast.ShowStats: lambda node: _module("SHOW STATS", node.module),
    ast.ShowDiagnostics: lambda node: _module("SHOW DIAGNOSTICS", node.module),
    ast.ShowQueries: lambda _: "SHOW QUERIES",
    ast.ShowContinuousQueries: lambda _: "SHOW CONTINUOUS QUERIES",
    ast.ShowSubscriptions: lambda _: "SHOW SUBSCRIPTIONS",
    ast.ShowUsers: lambda _: "SHOW USERS",
    ast.ShowGrants: lambda node: f"SHOW GRANTS FOR {name_text(node.user)}",
    ast.CreateDatabase: _create_database,
    ast.DropDatabase: lambda node: f"DROP DATABASE {name_text(node.name)}",
    ast.CreateRetentionPolicy: _create_policy,
    ast.AlterRetentionPolicy: _alter_policy,
    ast.DropRetentionPolicy: lambda node: f"DROP RETENTION POLICY {_named(node)}",
    ast.DropMeasurement: lambda node: f"DROP MEASUREMENT {name_text(node.name)}",
    ast.DropSeries: lambda node: "DROP SERIES" + _clauses(sources=node.sources, condition=node.condition),
    ast.Delete: lambda node: "DELETE" + _clauses(sources=node.sources, condition=node.condition),
    ast.DropShard: lambda node: f"DROP SHARD {node.shard}",
    ast.CreateContinuousQuery: _create_continuous_query,
    ast.DropContinuousQuery: lambda node: f"DROP CONTINUOUS QUERY {_named(node)}",
    ast.CreateSubscription: _create_subscription,
    ast.DropSubscription: lambda node: f"DROP SUBSCRIPTION {_subscription(node)}",
    ast.KillQuery: _kill,
    ast.CreateUser: _create_user,
    ast.SetPassword: lambda node: f"SET PASSWORD FOR {name_text(node.user)} = {_SECRET}",
    ast.DropUser: lambda node: f"DROP USER {name_text(node.name)}",
    ast.Grant: lambda node: f"GRANT {node.privilege} ON {name_text(node.database)} TO {name_text(node.user)}",
    ast.GrantAdmin: lambda node: f"GRANT ALL PRIVILEGES TO {name_text(node.user)}",
    ast.Revoke: lambda node: f"REVOKE {node.privilege} ON {name_text(node.database)} FROM {name_text(node.user)}",
    ast.RevokeAdmin: lambda node: f"REVOKE ALL PRIVILEGES FROM {name_text(node.user)}",
}


def text(node: Statement) -> str:
    """A statement as InfluxQL, on one line."""
    return _PRINTERS[type(node)](node)
