"""Handlers as ASGI applications: a function from a request to an answer gets headers, and its errors words."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from rusts import errors
from rusts.api.body import ClientGone
from rusts.api.errors import Answer, v1_error, v1_exception, v2_error, v2_exception
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

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        incoming = Incoming(scope["headers"])
        with request_context(incoming.request_id.decode("latin-1")):
            try:
                answer = await self._handler(Request(scope, receive))
            except ClientGone:
                return
            except asyncio.CancelledError:
                # The time to drain is over.
                answer = _failure(errors.NotReady("shutting down"), scope["path"], incoming)
            except Exception as problem:
                answer = _failure(problem, scope["path"], incoming)
            if isinstance(answer, Answer):
                await send_answer(send, incoming, answer)
            else:
                await answer.send(incoming, receive, send)


def _failure(problem: Exception, path: str, incoming: Incoming) -> Answer:
    second = path.startswith("/api/v2")
    known = v2_exception(problem) if second else v1_exception(problem, writing=False, accept=incoming.accept)
    if known is not None:
        return known
    logger.error("a request failed", exc_info=problem, path=path)
    return v2_error(500, "internal error") if second else v1_error(500, "internal error")
