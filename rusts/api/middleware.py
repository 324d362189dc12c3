"""What every response carries: version, request id, CORS; and the access log.

Version and request id are on every response, errors included; the request id is the
client's ``X-Request-Id``, else its ``Request-Id``, else a new one.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rusts.api.errors import Answer, Header
from rusts.logging import get_logger, request_context

__all__ = ["COMMON", "INFLUXDB_VERSION", "AccessLog", "Incoming", "next_request_id", "send_answer", "without_secrets"]

INFLUXDB_VERSION: Final = "1.8.10"
"""The InfluxDB release whose HTTP interface clients may rely on; some switch features by it."""

COMMON: Final[tuple[Header, ...]] = (
    (b"x-influxdb-version", INFLUXDB_VERSION.encode()),
    (b"x-influxdb-build", b"OSS"),
)
"""The headers that every response has, but for the request's id."""

_ALLOW: Final[tuple[Header, ...]] = (
    (b"access-control-allow-methods", b"DELETE, GET, OPTIONS, PATCH, POST, PUT"),
    (
        b"access-control-allow-headers",
        b"Accept, Accept-Encoding, Authorization, Content-Length, Content-Type, User-Agent, X-CSRF-Token, "
        b"X-HTTP-Method-Override",
    ),
    (b"access-control-expose-headers", b"Date, X-InfluxDB-Version, X-InfluxDB-Build"),
    (b"vary", b"Origin"),
)

_HIDDEN: Final = "[REDACTED]"


class _RequestIds:
    """New request ids: UUIDs of version 4 whose last part counts, which is cheaper than 16 random bytes each."""

    def __init__(self) -> None:
        h = os.urandom(8).hex()
        self._prefix = f"{h[:8]}-{h[8:12]}-4{h[12:15]}-a{os.urandom(2).hex()[:3]}-".encode()
        self._counter = itertools.count(int.from_bytes(os.urandom(5)))

    def next(self) -> bytes:
        return b"%b%012x" % (self._prefix, next(self._counter) & 0xFFFFFFFFFFFF)


next_request_id: Final = _RequestIds().next
"""A new request id, unlike any other."""


class Incoming:
    """The headers of a request that doors look at. Values are bytes as sent; absent ones are empty."""

    __slots__ = (
        "accept",
        "authorization",
        "content_encoding",
        "content_length",
        "cookie",
        "expect",
        "origin",
        "request_id",
    )

    def __init__(self, headers: Iterable[Header]) -> None:
        self.authorization = self.cookie = b""
        self.accept = self.content_encoding = self.content_length = self.expect = self.origin = b""
        request_id = fallback = b""
        # ASGI gives names in lower case. Written out, because this runs for every write.
        for name, value in headers:
            if name == b"content-length":
                self.content_length = value
            elif name == b"content-encoding":
                self.content_encoding = value
            elif name == b"accept":
                self.accept = value
            elif name == b"authorization":
                self.authorization = value
            elif name == b"x-request-id":
                request_id = value
            elif name == b"request-id":
                fallback = value
            elif name == b"expect":
                self.expect = value
            elif name == b"origin":
                self.origin = value
            elif name == b"cookie":
                self.cookie = value
        self.request_id = request_id or fallback or next_request_id()

    def response_headers(self) -> list[Header]:
        """The headers that the response has whatever it says."""
        headers = [*COMMON, (b"request-id", self.request_id), (b"x-request-id", self.request_id)]
        if self.origin:
            headers += [(b"access-control-allow-origin", self.origin), *_ALLOW]
        return headers


async def send_answer(send: Send, incoming: Incoming, answer: Answer) -> None:
    """Send a whole response."""
    headers = [*incoming.response_headers(), *answer.headers]
    if incoming.expect:
        # The client may hold its body back for good: what it sends next must not be taken for that body.
        headers.append((b"connection", b"close"))
    if answer.status != 204:
        headers.append((b"content-length", b"%d" % len(answer.body)))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


class AccessLog:
    """Logs one line for each request: who asked, what, the answer's status and size, microseconds."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._log = get_logger("rusts.api.access")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        seen: dict[str, Any] = {"status": 0, "sent": 0, "id": ""}

        async def watch(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen["status"] = message["status"]
                seen["id"] = dict(message["headers"]).get(b"request-id", b"").decode("latin-1")
            else:
                seen["sent"] += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            client = scope.get("client")
            with request_context(seen["id"]):
                self._log.info(
                    "request",
                    client=client[0] if client else "-",
                    method=scope["method"],
                    path=scope["path"],
                    query=without_secrets(scope["query_string"]),
                    status=seen["status"],
                    bytes=seen["sent"],
                    micros=round((time.perf_counter() - began) * 1e6),
                )


def without_secrets(query: bytes) -> str:
    """The query string without ``u`` and ``p``, and without what a statement says of a password."""
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, encoding="utf-8", errors="replace")
    return urlencode([(name, _hidden(name, value)) for name, value in pairs], safe="[]*,;:/()")


def _hidden(name: str, value: str) -> str:
    if name in ("u", "p"):
        return _HIDDEN
    at = value.lower().find("password")
    return value if at < 0 else value[: at + len("password")] + " " + _HIDDEN
