"""Handlers as ASGI applications: a function from a request to an answer gets headers, and its errors words."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from rusts import errors
from rusts.api import audit
from rusts.api.body import ClientGone
from rusts.api.errors import Answer, v1_error, v1_exception, v2_error, v2_exception, v3_error, v3_exception
from rusts.api.guard import Guard, Permission, principal_of
from rusts.api.middleware import Incoming, send_answer
from rusts.logging import get_logger, request_context

__all__ = ["Door", "Handler", "Reply"]

logger = get_logger("rusts.api")


class Reply(Protocol):
    """An answer that sends itself, because it streams."""

    async def send(self, incoming: Incoming, receive: Receive, send: Send) -> None:
        """Send head and body."""
        ...


Handler = Callable[[Request], Awaitable[Answer | Reply]]


class Door:
    """One handler as an ASGI application. Typed errors are worded as the path's dialect does."""

    def __init__(self, handler: Handler, guard: Guard | None, permission: Permission) -> None:
        """Whoever lacks `permission` is refused, nobody without a `guard`. Refusals and use of ADMIN are audited."""
        self._handler = handler
        self._guard = guard if permission is not Permission.NONE else None
        self._permission = permission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        incoming = Incoming(scope["headers"])
        with request_context(incoming.request_id.decode("latin-1")):
            request = Request(scope, receive)
            try:
                if self._guard is not None:
                    await self._guard.admit(scope, incoming, self._permission)
                answer = await self._handler(request)
            except ClientGone:
                return
            except asyncio.CancelledError:
                # The time to drain is over.
                answer = _failure(errors.NotReady("shutting down"), request, incoming)
            except Exception as problem:
                answer = _failure(problem, request, incoming)
                if isinstance(problem, errors.Forbidden) and self._permission is not Permission.ADMIN:
                    self._note(request, str(problem))
            if self._permission is Permission.ADMIN:
                status = answer.status if isinstance(answer, Answer) else 200
                self._note(request, "ok" if status < 400 else str(status))
            if isinstance(answer, Answer):
                await send_answer(send, incoming, answer)
            else:
                await answer.send(incoming, receive, send)

    def _note(self, request: Request, outcome: str) -> None:
        scope = request.scope
        audit.note(principal_of(request), audit.source_of(scope), f"{scope['method']} {scope['path']}", outcome)


def _failure(problem: Exception, request: Request, incoming: Incoming) -> Answer:
    path = request.scope["path"]
    if path.startswith("/api/v2"):
        known, broken = v2_exception(problem), v2_error(500, "internal error")
    elif path.startswith("/api/v3"):
        known, broken = v3_exception(problem), v3_error(500, "internal error")
    else:
        pretty = request.query_params.get("pretty") == "true"
        known = v1_exception(problem, writing=False, accept=incoming.accept, pretty=pretty)
        broken = v1_error(500, "internal error", accept=incoming.accept, pretty=pretty)
    if known is not None:
        return known
    logger.error("a request failed", exc_info=problem, path=path)
    return broken
