"""Every route of the server, in one table: method, path, who answers, what permission it takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from starlette.requests import Request
from starlette.types import ASGIApp

from rusts.api.admin import Admin
from rusts.api.buckets import Buckets
from rusts.api.databases import Databases
from rusts.api.deletes import Deletes
from rusts.api.doors import Door, Handler
from rusts.api.errors import Answer, v2_error, v3_error
from rusts.api.guard import Guard, Permission
from rusts.api.ingest import Ingest
from rusts.api.queries import Queries
from rusts.api.signin import SignIn
from rusts.api.tokens import Tokens
from rusts.api.v1 import V1Writes
from rusts.api.v2 import V2Writes
from rusts.api.v3 import V3Writes
from rusts.api.v3query import V3Queries
from rusts.api.writes import Dialect, WriteMetrics, WriteRoute
from rusts.auth.authenticator import Authenticator
from rusts.catalog.schema import DEFAULT_DATABASE
from rusts.influxql.running import RunningQueries
from rusts.node import Node

__all__ = ["Route", "guard_of", "routes"]


class Route(NamedTuple):
    """One row of the table."""

    methods: tuple[str, ...]
    path: str
    app: ASGIApp
    permission: Permission


def guard_of(node: Node) -> Guard | None:
    """Who asks the senders of requests who they are; None where everybody may do everything."""
    settings = node.settings
    if not settings.auth:
        return None
    return Guard(Authenticator(node.store, node.clock, settings.shared_secret), node.logins)


async def _no_flux(request: Request) -> Answer:
    return v2_error(501, "Flux is not supported; use /query (InfluxQL) or /api/v3/query_sql")


async def _no_sql(request: Request) -> Answer:
    return v3_error(501, "SQL is not supported yet; use /api/v3/query_influxql or /query (InfluxQL)")


def routes(node: Node, ingest: Ingest, guard: Guard | None) -> Iterator[Route]:
    """The table of `node`'s routes. `guard` sees to their permissions."""
    settings = node.settings
    running = RunningQueries(node.clock, settings.max_concurrent_queries, settings.log_queries_after)
    admin = Admin(node, ingest, running)
    buckets = Buckets(node)
    tokens = Tokens(node)
    signin = SignIn(node, guard)
    requests = node.metrics.counter("rusts_write_requests", "Writes by dialect and status", ("dialect", "status"))
    received = node.metrics.counter("rusts_write_bytes", "Bytes of write bodies as sent", ("dialect",))
    latency = node.metrics.histogram("rusts_query_seconds", "Time to the first bytes of a query's answer", ("api",))
    queries = Queries(node, running, latency)
    v1 = V1Writes(None if settings.require_db else DEFAULT_DATABASE, settings.auto_create_databases)
    figures = Permission.NONE if settings.open_metrics else Permission.METRICS

    def write(path: str, dialect: Dialect) -> Route:
        metrics = WriteMetrics(requests, received, dialect.name)
        app = WriteRoute(dialect, ingest, metrics, settings.max_body_size, guard)
        return Route(("POST",), path, app, Permission.WRITE)

    def door(methods: tuple[str, ...], path: str, handler: Handler, permission: Permission) -> Route:
        return Route(methods, path, Door(handler, guard, permission), permission)

    yield write("/write", v1)
    yield write("/api/v2/write", V2Writes(node.store))
    yield write("/api/v3/write_lp", V3Writes())
    yield door(("GET", "POST"), "/query", queries, Permission.KNOWN)
    yield door(("POST",), "/api/v2/query", _no_flux, Permission.KNOWN)
    yield door(("GET", "POST"), "/api/v2/buckets", buckets.collection, Permission.KNOWN)
    yield door(("DELETE", "GET", "PATCH"), "/api/v2/buckets/{id}", buckets.one, Permission.KNOWN)
    yield door(("GET",), "/api/v2/orgs", buckets.organisations, Permission.KNOWN)
    yield door(("POST",), "/api/v2/delete", Deletes(node), Permission.KNOWN)
    yield door(("POST",), "/api/v2/signin", signin.sign_in, Permission.NONE)
    yield door(("POST",), "/api/v2/signout", signin.sign_out, Permission.NONE)
    yield door(("GET", "POST"), "/api/v3/query_influxql", V3Queries(node, queries.influxql), Permission.KNOWN)
    yield door(("GET", "POST"), "/api/v3/query_sql", _no_sql, Permission.KNOWN)
    yield door(("DELETE", "GET", "POST", "PUT"), "/api/v3/configure/database", Databases(node), Permission.KNOWN)
    yield door(("GET", "HEAD"), "/ping", admin.ping, Permission.NONE)
    yield door(("GET", "HEAD"), "/health", admin.health, Permission.NONE)
    yield door(("GET", "HEAD"), "/ready", admin.ready, Permission.NONE)
    yield door(("GET",), "/metrics", admin.metrics, figures)
    yield door(("GET",), "/debug/vars", admin.debug_vars, figures)
    yield door(("GET",), "/stats", admin.stats, figures)
    yield door(("POST",), "/admin/flush", admin.flush, Permission.ADMIN)
    yield door(("POST",), "/admin/compact", admin.compact, Permission.ADMIN)
    yield door(("GET",), "/admin/rejected", admin.rejected, Permission.ADMIN)
    yield door(("GET",), "/admin/cardinality", admin.cardinality, Permission.ADMIN)
    yield door(("GET",), "/admin/queries", admin.queries, Permission.ADMIN)
    yield door(("GET", "POST"), "/admin/tokens", tokens.collection, Permission.ADMIN)
    yield door(("DELETE",), "/admin/tokens/{id}", tokens.one, Permission.ADMIN)
