"""InfluxDB 3's ``/api/v3/configure/database``: databases, and how long they keep their points."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from starlette.requests import Request

from rusts import config, errors
from rusts.api import audit
from rusts.api.body import read_json
from rusts.api.errors import Answer, json_answer
from rusts.api.guard import principal_of, require_admin
from rusts.api.v3 import is_v3_name
from rusts.api.writes import query_parameters
from rusts.catalog.schema import DEFAULT_POLICY
from rusts.model.store import PolicyInfo
from rusts.node import Node

__all__ = ["Databases"]

_FOREVER: Final = ("", "none")


class Databases:
    """The handler of all four methods."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._store = node.store

    async def __call__(self, request: Request) -> Answer:
        """GET lists, POST makes, PUT changes the retention, DELETE drops."""
        principal = principal_of(request)
        parameters = query_parameters(request.scope["query_string"])
        if request.method == "GET":
            if parameters.get("format") != "json":
                raise errors.InvalidRequest("format: want json", "format")
            names = [name for name in self._store.databases() if principal is None or principal.sees(name)]
            return json_answer(200, [{"iox::database": name} for name in names])
        require_admin(principal, "configure databases")
        if request.method == "DELETE":
            name = parameters.get("db", "")
            work: Callable[[], None] = lambda: self._store.drop_database(self._known(name))  # noqa: E731
        else:
            if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
                return json_answer(415, {"error": "want Content-Type: application/json"})
            asked = await read_json(request)
            named = asked.get("db")
            if not isinstance(named, str) or not is_v3_name(named):
                raise errors.InvalidRequest("db: must be ASCII letters, numbers, underscores or hyphens", "db")
            name, duration = named, _duration(asked.get("retention_period"))
            if request.method == "POST":
                if name in self._store.databases():
                    return json_answer(409, {"error": "attempted to create a resource that already exists"})
                made = PolicyInfo(DEFAULT_POLICY, duration, 0, 1, default=True)
                work = lambda: self._store.create_database(name, made if duration else None)  # noqa: E731
            else:
                work = lambda: self._keep(name, duration)  # noqa: E731
        await asyncio.get_running_loop().run_in_executor(self._node.admin, work)
        deed = {"POST": "create database", "PUT": "alter database", "DELETE": "drop database"}[request.method]
        audit.note(principal, audit.source_of(request.scope), deed, "ok", database=name)
        return Answer(200)

    def _known(self, name: str) -> str:
        if name not in self._store.databases():
            raise errors.DatabaseNotFound(name)
        return name

    def _keep(self, name: str, duration: int) -> None:
        """Points of the default policy are kept for `duration` ns, 0 = for ever."""
        for policy in self._store.policies(self._known(name)):
            if policy.default:
                self._store.alter_policy(name, policy.name, duration=duration, shard_duration=0)


def _duration(text: object) -> int:
    """Nanoseconds of ``7d``; 0 for none."""
    if text is None or (isinstance(text, str) and text.lower() in _FOREVER):
        return 0
    try:
        if isinstance(text, str):
            return int(config.parse_duration(text) * 1e9)
    except ValueError:
        pass
    raise errors.InvalidRequest("retention_period: want a duration as 7d or 12h, or none", "retention_period")
