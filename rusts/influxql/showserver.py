"""SHOW of what a server has and does: queries, figures, partitions, continuous queries, subscriptions, users."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from rusts import errors
from rusts.influxql import ast
from rusts.influxql.context import Context, Figure
from rusts.influxql.results import Cell, Frame, frame_of
from rusts.model.accounts import Privilege
from rusts.model.store import PartitionInfo
from rusts.model.time import NANOSECONDS, format_duration, format_rfc3339

__all__ = [
    "PRIVILEGE_TEXTS",
    "show_continuous_queries",
    "show_diagnostics",
    "show_grants",
    "show_queries",
    "show_shard_groups",
    "show_shards",
    "show_stats",
    "show_subscriptions",
    "show_users",
]

PRIVILEGE_TEXTS: Final[dict[int, str]] = {
    Privilege.NONE: "NO PRIVILEGES",
    Privilege.READ: "READ",
    Privilege.WRITE: "WRITE",
    Privilege.ALL: "ALL PRIVILEGES",
}


def show_queries(context: Context, statement: ast.ShowQueries) -> Iterator[Frame]:
    """One series of the queries that run; who is not an administrator is shown those on databases that they see."""
    who = context.session.who
    rows: list[list[Cell]] = [
        [query.id, query.text(), query.database, _age(query.tracker.seconds()), query.status]
        for query in context.services.running.active()
        if who is None or who.admin or (query.database and who.sees(query.database)) or query.user == who.name
    ]
    yield frame_of("", ["qid", "query", "database", "duration", "status"], rows)


def _age(seconds: float) -> str:
    """A duration cut to whole units of its size."""
    ns = int(seconds * NANOSECONDS["s"])
    unit = next((NANOSECONDS[unit] for unit in ("s", "ms", "us") if ns >= NANOSECONDS[unit]), 1)
    return format_duration(ns - ns % unit)


def show_stats(context: Context, statement: ast.ShowStats) -> Iterator[Frame]:
    """A series for each part of the server."""
    return _figures(context.services.figures.statistics(), statement.module)


def show_diagnostics(context: Context, statement: ast.ShowDiagnostics) -> Iterator[Frame]:
    """A series for each part of the server."""
    return _figures(context.services.figures.diagnostics(), statement.module)


def _figures(figures: Iterable[Figure], module: str | None) -> Iterator[Frame]:
    for figure in figures:
        if module in (None, "", figure.name):
            names = sorted(figure.values)
            row = [figure.values[name] for name in names]
            yield frame_of(figure.name, names, [row], sorted(figure.tags.items()))


def show_shards(context: Context, statement: ast.ShowShards) -> Iterator[Frame]:
    """A series of partitions for each database."""
    partitions = context.store.partitions()
    names = ("id", "database", "retention_policy", "shard_group", "start_time", "end_time", "expiry_time", "owners")
    for database in context.store.databases():
        rows: list[list[Cell]] = [
            [each.id, each.database, each.policy, each.id, *_times(each), ""]
            for each in partitions
            if each.database == database
        ]
        yield frame_of(database, names, rows)


def show_shard_groups(context: Context, statement: ast.ShowShardGroups) -> Iterator[Frame]:
    """One series of all partitions."""
    names = ("id", "database", "retention_policy", "start_time", "end_time", "expiry_time")
    partitions = context.store.partitions()
    rows: list[list[Cell]] = [[each.id, each.database, each.policy, *_times(each)] for each in partitions]
    yield frame_of("shard groups", names, rows)


def _times(partition: PartitionInfo) -> list[str]:
    return [format_rfc3339(ns) for ns in (partition.start, partition.end, partition.expiry)]


def show_continuous_queries(context: Context, statement: ast.ShowContinuousQueries) -> Iterator[Frame]:
    """A series for each database."""
    who = context.session.who
    for database in context.store.databases():
        if who is None or who.may(Privilege.READ, database):
            rows = [[query.name, query.text] for query in context.store.continuous_queries(database)]
            yield frame_of(database, ["name", "query"], rows)


def show_subscriptions(context: Context, statement: ast.ShowSubscriptions) -> Iterator[Frame]:
    """Nothing: there are no subscriptions."""
    return iter(())


def show_users(context: Context, statement: ast.ShowUsers) -> Iterator[Frame]:
    """One series of names."""
    yield frame_of("", ["user", "admin"], [[user.name, user.admin] for user in context.services.accounts.users()])


def show_grants(context: Context, statement: ast.ShowGrants) -> Iterator[Frame]:
    """One series of a user's rights, by database."""
    user = context.services.accounts.user(statement.user)
    if user is None:
        raise errors.InvalidRequest("user not found")
    rows = [[database, PRIVILEGE_TEXTS[privilege]] for database, privilege in sorted(user.grants.items())]
    yield frame_of("", ["database", "privilege"], rows)
