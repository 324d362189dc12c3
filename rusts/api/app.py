"""The HTTP server's application: finds a request's route, and answers those that have none.

A plain ASGI callable. The paths of the table are fixed (but for an id at the end of some), so one dictionary look-up
finds the route, and a write passes nothing else on its way.
"""

from __future__ import annotations

import asyncio
import contextlib

from starlette.types import ASGIApp, Receive, Scope, Send

from rusts.api import figures
from rusts.api.errors import Answer, method_not_allowed, not_found
from rusts.api.fastwrite import FastWrites
from rusts.api.ingest import Ingest
from rusts.api.middleware import AccessLog, Incoming, send_answer
from rusts.api.routes import guard_of, routes
from rusts.api.writes import WriteRoute
from rusts.node import Node

__all__ = ["App", "create_app"]


class App:
    """Routes by path, then method. One event loop may run it, the first that calls it."""

    def __init__(self, node: Node) -> None:
        self._ingest = Ingest(
            node.store, node.clock, node.ingest, budget=node.body_bytes, max_inflated=node.settings.max_inflated_size
        )
        self._paths: dict[str, dict[str, ASGIApp]] = {}
        guard = guard_of(node)
        for route in routes(node, self._ingest, guard):
            self._paths.setdefault(route.path, {}).update(dict.fromkeys(route.methods, route.app))
        apps = {path.encode(): methods.get("POST") for path, methods in self._paths.items()}
        writes = {path: app for path, app in apps.items() if isinstance(app, WriteRoute)}
        self.fast = FastWrites(writes, self._ingest, guard, node.clock)
        """What `FastWriteProtocol` needs of the application that it serves."""
        self._started = False

    def _with_id(self, scope: Scope) -> dict[str, ASGIApp] | None:
        """The methods of a path whose last part is an id, which becomes a path parameter."""
        before, _, identifier = scope["path"].rpartition("/")
        methods = self._paths.get(before + "/{id}") if identifier else None
        if methods is not None:
            scope["path_params"] = {"id": identifier}
        return methods

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if not self._started:
            self._started = True
            self._ingest.start(asyncio.get_running_loop())
        methods = self._paths.get(scope["path"]) or self._with_id(scope)
        app = methods.get(scope["method"]) if methods is not None else None
        if app is not None:
            # Cancelled: the time to drain is over, and whoever could say so to the client has.
            with contextlib.suppress(asyncio.CancelledError):
                await app(scope, receive, send)
        elif scope["method"] == "OPTIONS":
            await send_answer(send, Incoming(scope["headers"]), Answer(200))
        elif methods is None:
            await send_answer(send, Incoming(scope["headers"]), not_found(scope["path"]))
        else:
            refusal = method_not_allowed(scope["path"], ", ".join(sorted(methods)))
            await send_answer(send, Incoming(scope["headers"]), refusal)


def create_app(node: Node) -> ASGIApp:
    """The application that serves `node`: an `App`, or the access log around one."""
    node.metrics.source(lambda: figures.samples(node))
    app = App(node)
    return AccessLog(app) if node.settings.access_log else app
