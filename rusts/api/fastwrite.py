"""The short way of a small write: from the socket to `Ingest` without a task, a scope or a second parse of its head.

A client repeats itself: its writes differ in the body only, and in few values of Content-Length. The first request with
some head goes through uvicorn; if it was a plain write, its head is kept, byte for byte, with what it means. A later
request whose bytes begin with a kept head, and whose whole body came with it, means the same, so it is answered here.
Everything else goes through uvicorn as ever. (One-line writes over 16 connections, log and memtable included: 30 us of
the server's CPU a request through ASGI, 13 us here.)

Where senders must be known, a head is kept only once its sender has been, under a keyed hash of it (half a microsecond,
saved where a connection repeats its last head), and only until an account changes or the credential ends.

Works inside uvicorn's protocol class, on these of its attributes: `parser`, `cycle`, `pipeline`, `flow`, `transport`,
`server_state`, and the keep-alive timer.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final, NamedTuple

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from rusts.api.errors import Answer, Header
from rusts.api.guard import Guard
from rusts.api.ingest import SMALL_BODY, Ingest, Target
from rusts.api.middleware import COMMON, Incoming, next_request_id
from rusts.api.reports import Report
from rusts.api.writes import WriteRequest, WriteRoute
from rusts.clock import Clock

__all__ = ["FastWriteProtocol", "FastWrites"]

_KEPT: Final = 4096
_LONGEST: Final = 2048
_END: Final = b"\r\n\r\n"
_TAKEN_IN: Final = 64 << 10
"""Bytes of further requests that are held while one is being written; then the socket is not read."""

# A head with one of these is never kept: the answer, or the body's end, depends on more than the body.
_UNUSUAL: Final = frozenset(
    (
        b"content-encoding",
        b"expect",
        b"origin",
        b"request-id",
        b"transfer-encoding",
        b"upgrade",
        b"x-request-id",
    )
)


class _Known(NamedTuple):
    """What a kept head means."""

    route: WriteRoute
    request: WriteRequest
    target: Target
    begin: int
    """Where the body begins."""
    length: int
    """Bytes of head and body."""
    headers: list[Header]
    version: int
    """The accounts when its sender was found to be allowed this."""
    expires_ns: int
    """When the sender's credential ends, ns since the epoch; 0 = never."""


class FastWrites:
    """The heads that are kept, for all connections of an application."""

    def __init__(self, routes: Mapping[bytes, WriteRoute], ingest: Ingest, guard: Guard | None, clock: Clock) -> None:
        """`guard` None: whoever comes may write."""
        self._routes = routes
        self._guard = guard
        self._clock = clock
        self._secret = os.urandom(32)
        self._heads: dict[bytes, _Known] = {}
        self.ingest = ingest
        self._date: list[Header] | None = None
        self._done = b""

    def find(self, head: bytes) -> _Known | None:
        """What `head` means, if it is kept."""
        known = self._heads.get(self._key(head))
        return known if known is None or self.holds(known) else None

    def holds(self, known: _Known) -> bool:
        """Whether the sender may still write."""
        guard = self._guard
        return guard is None or (
            known.version == guard.authenticator.version
            and (known.expires_ns == 0 or known.expires_ns > self._clock.now_ns())
        )

    def _key(self, head: bytes) -> bytes:
        """Heads hold credentials, so they are not kept as they are where these count."""
        if self._guard is None:
            return head
        return hashlib.blake2b(head, digest_size=32, key=self._secret).digest()

    def keep(self, head: bytes, url: bytes, headers: list[Header]) -> None:
        """Keep the head of a POST if it is a plain write; `headers` as parsed, names in lower case."""
        parsed = httptools.parse_url(url)
        route = self._routes.get(parsed.path)
        lengths = [value for name, value in headers if name == b"content-length"]
        closing = any(name == b"connection" and value.lower() != b"keep-alive" for name, value in headers)
        if route is None or len(lengths) != 1 or closing or any(name in _UNUSUAL for name, _ in headers):
            return
        request = route.request(parsed.query or b"")
        size = int(lengths[0])
        if request.target is None or request.target.atomic or size > min(SMALL_BODY, route.max_body):
            return
        version = expires_ns = 0
        if self._guard is not None:
            version = self._guard.authenticator.version
            writer = route.known_writer(headers, parsed.query or b"", request.target.database)
            if writer is None:
                return
            expires_ns = writer.expires_ns
            headers = [header for header in headers if header[0] != b"authorization"]
        if len(self._heads) >= _KEPT:
            self._heads.clear()
        self._heads[self._key(head)] = _Known(
            route, request, request.target, len(head), len(head) + size, headers, version, expires_ns
        )

    def done_head(self, date: list[Header]) -> bytes:
        """The bytes of a 204 up to its request ids; `date` is a new list each second."""
        if date is not self._date:
            self._date = date
            self._done = _head(204, [*date, *COMMON, (b"content-type", b"application/json")])
        return self._done


def _head(status: int, headers: list[Header]) -> bytes:
    """Status line and headers, without the empty line behind."""
    lines = [b"HTTP/1.1 %d %b\r\n" % (status, HTTPStatus(status).phrase.encode())]
    lines += [b"%b: %b\r\n" % header for header in headers]
    return b"".join(lines)


class _Gate(FlowControl):
    """uvicorn's flow control, which reads on whenever a request asks for its body: not while it is shut."""

    shut = False

    def resume_reading(self) -> None:
        if not self.shut:
            super().resume_reading()


class FastWriteProtocol(HttpToolsProtocol):
    """uvicorn's protocol with the short way beside it. Is itself the `Outcome` of the write that is under way."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._fast: FastWrites = self.app.fast
        self._fast.ingest.start(self.loop)
        self._writing: _Known | None = None
        self._last_known: _Known | None = None
        self._last_head = b""
        self._running: RequestResponseCycle | None = None
        self._in_message = False
        self._learning: bytes | None = None
        self._held: list[bytes] = []
        self._held_size = 0
        self._last = False
        self._active = 0.0

    def data_received(self, data: bytes) -> None:
        if self._writing is not None:
            self._hold(data)
            return
        if not self._in_message and (self.cycle is None or self.cycle.response_complete):
            known = self._last_known
            if known is None or not data.startswith(self._last_head) or not self._fast.holds(known):
                known = self._look_up(data)
            if known is not None and len(data) == known.length:
                self._writing = known
                if self.timeout_keep_alive_task is None:
                    self._arm()
                self._fast.ingest.small(known.target, data[known.begin :], self)
                return
        super().data_received(data)
        self._learning = None

    def _look_up(self, data: bytes) -> _Known | None:
        """What the head that `data` begins with means, if it is kept; else it is a candidate."""
        end = data.find(_END)
        if not 0 < end < _LONGEST:
            return None
        head = data[: end + 4]
        known = self._fast.find(head)
        if known is None:
            self._learning = head
        else:
            self._last_known, self._last_head = known, head
        return known

    def _hold(self, data: bytes) -> None:
        """A client that does not wait for its answers: they come in order all the same."""
        self._held.append(data)
        self._held_size += len(data)
        self._regulate()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def on_message_begin(self) -> None:
        self._in_message = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        head, self._learning = self._learning, None
        if head is not None and self.parser.get_method() == b"POST" and self.parser.get_http_version() == "1.1":
            self._fast.keep(head, self.url, self.headers)
        super().on_headers_complete()
        if self.pipeline:
            self._regulate()

    def on_message_complete(self) -> None:
        self._in_message = False
        super().on_message_complete()

    # The outcome of the write under way.

    def done(self) -> bool:
        """The write is settled, or there is none."""
        return self._writing is None

    def set_result(self, report: Report | None) -> None:
        """Answer: all is stored, or the report says what is not."""
        known = self._writing
        assert known is not None
        known.route.metrics.bytes.value += known.length - known.begin
        if report is None:
            known.route.metrics.done.value += 1
            identifier = next_request_id()
            self._send(
                b"%brequest-id: %b\r\nx-request-id: %b\r\n\r\n"
                % (self._fast.done_head(self.server_state.default_headers), identifier, identifier)
            )
        else:
            incoming = Incoming(known.headers)
            self._send_answer(known.route.partial(report, known.request, incoming), incoming)

    def set_exception(self, problem: BaseException) -> None:
        """Answer why nothing is stored."""
        known = self._writing
        assert known is not None
        incoming = Incoming(known.headers)
        self._send_answer(known.route.failure(problem, known.request, incoming), incoming)

    def _send_answer(self, answer: Answer, incoming: Incoming) -> None:
        headers = [*self.server_state.default_headers, *incoming.response_headers(), *answer.headers]
        headers.append((b"content-length", b"%d" % len(answer.body)))
        self._send(_head(answer.status, headers) + b"\r\n" + answer.body)

    def _send(self, response: bytes) -> None:
        self._writing = None
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self._active = self.loop.time()
        self.transport.write(response)
        if self._last:
            self.transport.close()
        elif self._held:
            data, self._held, self._held_size = b"".join(self._held), [], 0
            self._regulate()
            self.data_received(data)

    # A client that sends without reading its answers, or without waiting for them, must not fill the memory.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = self._gate = _Gate(transport)

    def _regulate(self) -> None:
        waiting = bool(self.pipeline) or self._held_size > _TAKEN_IN
        self._gate.shut = waiting or self.flow.write_paused
        if self._gate.shut:
            self.flow.pause_reading()
        else:
            self.flow.resume_reading()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._regulate()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._regulate()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.transport.is_closing():
            self._regulate()

    # The connection's end.

    def send_400_response(self, msg: str) -> None:
        super().send_400_response(msg)
        self._give_up()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._give_up()

    def _give_up(self) -> None:
        """The socket is closed: the request under way must not write to it, and those in line are not begun."""
        self.pipeline.clear()
        if self._running is not None:
            self._running.disconnected = True
            self._running.message_event.set()

    def shutdown(self) -> None:
        if self._writing is not None:
            self._last = True
        else:
            super().shutdown()

    def _arm(self) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        # The short way leaves the timer running, and says when it was last used instead.
        self.timeout_keep_alive_task = None
        if self._writing is not None or self.loop.time() - self._active < self.timeout_keep_alive:
            self._arm()
        else:
            super().timeout_keep_alive_handler()
