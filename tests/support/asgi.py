"""Calls an ASGI application in process: no sockets, bodies in as many pieces as a test wants."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from starlette.types import ASGIApp, Message

__all__ = ["Client", "Response"]


@dataclass
class Response:
    """What came back. `headers` keeps the last of several headers of one name."""

    status: int
    headers: dict[str, str]
    body: bytes
    complete: bool

    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """Requests against `app`, on an event loop of its own that `close` ends."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.runner = asyncio.Runner()

    def close(self) -> None:
        self.runner.close()

    def request(
        self,
        method: str,
        target: str,
        body: bytes | Sequence[bytes] = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        return self.runner.run(self.send(method, target, body, headers))

    def together(self, *requests: tuple[str, str, bytes]) -> list[Response]:
        """Several requests that become complete in one turn of the event loop."""

        async def run() -> list[Response]:
            return await asyncio.gather(*(self.send(*request) for request in requests))

        return self.runner.run(run())

    async def send(
        self,
        method: str,
        target: str,
        body: bytes | Sequence[bytes] = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        path, _, query = target.partition("?")
        pieces = [body] if isinstance(body, bytes) else list(body)
        incoming: list[Message] = [
            {"type": "http.request", "body": piece, "more_body": i + 1 < len(pieces)} for i, piece in enumerate(pieces)
        ]
        sent: list[Message] = []
        done = asyncio.Event()

        async def receive() -> Message:
            if incoming:
                return incoming.pop(0)
            await done.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": method,
            "path": unquote(path),
            "query_string": query.encode(),
            "headers": [(k.lower().encode(), v.encode()) for k, v in (headers or {}).items()],
            "client": ("127.0.0.1", 1),
        }
        await self._app(scope, receive, send)
        done.set()
        start = sent[0] if sent else {"status": 0, "headers": []}
        bodies = sent[1:]
        return Response(
            start["status"],
            {k.decode(): v.decode("latin-1") for k, v in start["headers"]},
            b"".join(m.get("body", b"") for m in bodies),
            bool(bodies) and not bodies[-1].get("more_body", False),
        )
