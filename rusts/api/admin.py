"""What operators and probes ask: ping, health, ready, stats, metrics, and the administration of storage."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from starlette.requests import Request

from rusts import __version__, errors
from rusts.api import figures
from rusts.api.errors import Answer, json_answer
from rusts.api.ingest import Ingest
from rusts.api.middleware import INFLUXDB_VERSION
from rusts.api.writes import query_parameters
from rusts.config import Settings
from rusts.influxql.running import RunningQueries
from rusts.model.time import format_duration, format_rfc3339
from rusts.node import Node

__all__ = ["Admin", "open_to_all"]

_T = TypeVar("_T")
_METRICS_TYPE: Final = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
_JSON_TYPE: Final = (b"content-type", b"application/json")


def open_to_all(settings: Settings) -> str:
    """What to warn of where others than this machine's may come, and nobody asks who they are; else empty."""
    host = settings.bind.host
    with contextlib.suppress(ValueError):
        if settings.auth or ipaddress.ip_address(host).is_loopback:
            return ""
    if settings.auth or host == "localhost":
        return ""
    return f"listening on {settings.bind} without auth: whoever can reach it may read, write and drop everything"


class Admin:
    """The handlers; each takes a request and gives its answer."""

    def __init__(self, node: Node, ingest: Ingest, running: RunningQueries) -> None:
        self._node = node
        self._ingest = ingest
        self._running = running

    async def _on_thread(self, work: Callable[[], _T]) -> _T:
        """`work` may wait for a disk or a lock, so it does not run on the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._node.admin, work)

    async def ping(self, request: Request) -> Answer:
        """204; with ``verbose``, 200 and the version."""
        verbose = query_parameters(request.scope["query_string"]).get("verbose", "false")
        if verbose in ("false", "0"):
            return Answer(204, headers=(_JSON_TYPE,))
        return json_answer(200, {"version": INFLUXDB_VERSION})

    async def health(self, request: Request) -> Answer:
        """200 if every check is well, else 503 and what failed.

        InfluxDB's own clients look for "pass"; everyone else is told "healthy".
        """
        checks = [*await self._on_thread(self._node.health), self._ingest.check()]
        failed = [check for check in checks if not check.ok]
        words = (
            ("pass", "fail")
            if request.headers.get("user-agent", "").startswith("influxdb")
            else ("healthy", "unhealthy")
        )
        body = {
            "name": "rusts",
            "message": "; ".join(f"{c.name}: {c.message}" for c in failed) or "ready for queries and writes",
            "status": words[1] if failed else words[0],
            "checks": [{"name": c.name, "status": "pass" if c.ok else "fail", "message": c.message} for c in checks],
            "version": __version__,
        }
        if warning := open_to_all(self._node.settings):
            body["warnings"] = [warning]
        return json_answer(503 if failed else 200, body)

    async def ready(self, request: Request) -> Answer:
        """200 once segments are served and writes are taken; ``replaying`` while queries wait for the log."""
        store = self._node.store
        ready = store.ready() and not self._node.stopping
        body: dict[str, Any] = {
            "ready": ready,
            "status": "ready" if ready else "starting",
            "started": format_rfc3339(self._node.started_ns),
            "up": format_duration(int(figures.uptime_seconds(self._node)) * 1_000_000_000),
        }
        if left := store.replay_bytes_left():
            body["replaying"] = {"bytes_left": left}
        return json_answer(200 if ready else 503, body)

    async def stats(self, request: Request) -> Answer:
        """Sizes and counts of everything."""
        stats = await self._on_thread(self._node.store.stats)
        return json_answer(200, {"server": figures.server_stats(self._node), **stats}, pretty=_pretty(request))

    async def metrics(self, request: Request) -> Answer:
        """Prometheus' text form."""
        return Answer(200, await self._on_thread(self._node.metrics.text), (_METRICS_TYPE,))

    async def debug_vars(self, request: Request) -> Answer:
        """What Telegraf's inputs.influxdb scrapes."""
        return json_answer(200, await self._on_thread(lambda: figures.debug_vars(self._node)))

    async def flush(self, request: Request) -> Answer:
        """Put every point that is in memory into segments; answers when that is done."""
        return await self._timed(self._node.store.flush)

    async def compact(self, request: Request) -> Answer:
        """Merge segments until none is worth merging; answers when that is done."""
        return await self._timed(self._node.store.compact)

    async def _timed(self, work: Callable[[], None]) -> Answer:
        began = time.perf_counter()
        try:
            await self._on_thread(work)
        except OSError as problem:
            return json_answer(500, {"error": str(problem)})
        return json_answer(200, {"status": "ok", "seconds": round(time.perf_counter() - began, 6)})

    async def rejected(self, request: Request) -> Answer:
        """The last 1,000 refusals, newest first, and how many lines were refused by database and reason."""
        log = self._node.store.rejected
        counts = [{"database": d, "reason": r, "points": n} for (d, r), n in log.counts().items()]
        return json_answer(200, {"counts": counts, "rejected": log.last()}, pretty=_pretty(request))

    async def cardinality(self, request: Request) -> Answer:
        """The measurements and tags with the most series: of ``db``, or of every database."""
        parameters = query_parameters(request.scope["query_string"])
        top = _top(parameters)
        store = self._node.store
        names = [parameters["db"]] if "db" in parameters else store.databases()
        found = await self._on_thread(lambda: [store.cardinality(name, top) for name in names])
        return json_answer(200, {"databases": found}, pretty=_pretty(request))

    async def queries(self, request: Request) -> Answer:
        """The queries that run, and of the last 1,000 the ``top`` ones by time and by bytes decoded."""
        top = _top(query_parameters(request.scope["query_string"]))
        return json_answer(200, self._running.describe(top), pretty=_pretty(request))


def _top(parameters: Mapping[str, str]) -> int:
    top = parameters.get("top", "10")
    if not top.isascii() or not top.isdigit():
        raise errors.InvalidRequest("top: want a whole number", "top")
    return int(top[:9])


def _pretty(request: Request) -> bool:
    return query_parameters(request.scope["query_string"]).get("pretty") == "true"
