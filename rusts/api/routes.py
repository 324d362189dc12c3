"""Every route of the server, in one table: method, path, who answers, what permission it takes."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from starlette.requests import Request
from starlette.types import ASGIApp

from rusts.api.admin import Admin
from rusts.api.doors import Door, Handler
from rusts.api.errors import Answer, v2_error
from rusts.api.ingest import Ingest
from rusts.api.queries import Queries
from rusts.api.v1 import V1Writes
from rusts.api.v2 import V2Writes
from rusts.api.v3 import V3Writes
from rusts.api.writes import Dialect, WriteMetrics, WriteRoute
from rusts.catalog.schema import DEFAULT_DATABASE
from rusts.node import Node

__all__ = ["Permission", "Route", "routes"]


class Permission(StrEnum):
    """What a user must hold to use a route. Nothing asks for it while there are no users."""

    NONE = "none"
    WRITE = "write"
    QUERY = "query"
    ADMIN = "admin"


class Route(NamedTuple):
    """One row of the table."""

    methods: tuple[str, ...]
    path: str
    app: ASGIApp
    permission: Permission


async def _no_flux(request: Request) -> Answer:
    return v2_error(501, "Flux is not supported; use /query (InfluxQL) or /api/v3/query_sql")


def routes(node: Node, ingest: Ingest) -> Iterator[Route]:
    """The table of `node`'s routes."""
    settings = node.settings
    admin = Admin(node, ingest)
    requests = node.metrics.counter("rusts_write_requests", "Writes by dialect and status", ("dialect", "status"))
    received = node.metrics.counter("rusts_write_bytes", "Bytes of write bodies as sent", ("dialect",))
    latency = node.metrics.histogram("rusts_query_seconds", "Time to the first bytes of a query's answer", ("api",))
    queries = Queries(node, latency.labels("json"))

    def writes(dialect: Dialect) -> ASGIApp:
        return WriteRoute(dialect, ingest, WriteMetrics(requests, received, dialect.name), settings.max_body_size)

    def door(handler: Handler) -> ASGIApp:
        return Door(handler)

    v1 = V1Writes(None if settings.require_db else DEFAULT_DATABASE, settings.auto_create_databases)
    yield Route(("POST",), "/write", writes(v1), Permission.WRITE)
    yield Route(("POST",), "/api/v2/write", writes(V2Writes()), Permission.WRITE)
    yield Route(("POST",), "/api/v3/write_lp", writes(V3Writes()), Permission.WRITE)
    yield Route(("GET", "POST"), "/query", door(queries), Permission.QUERY)
    yield Route(("POST",), "/api/v2/query", door(_no_flux), Permission.QUERY)
    yield Route(("GET", "HEAD"), "/ping", door(admin.ping), Permission.NONE)
    yield Route(("GET", "HEAD"), "/health", door(admin.health), Permission.NONE)
    yield Route(("GET", "HEAD"), "/ready", door(admin.ready), Permission.NONE)
    yield Route(("GET",), "/metrics", door(admin.metrics), Permission.NONE)
    yield Route(("GET",), "/debug/vars", door(admin.debug_vars), Permission.NONE)
    yield Route(("GET",), "/stats", door(admin.stats), Permission.ADMIN)
    yield Route(("POST",), "/admin/flush", door(admin.flush), Permission.ADMIN)
    yield Route(("POST",), "/admin/compact", door(admin.compact), Permission.ADMIN)
    yield Route(("GET",), "/admin/rejected", door(admin.rejected), Permission.ADMIN)
    yield Route(("GET",), "/admin/cardinality", door(admin.cardinality), Permission.ADMIN)
