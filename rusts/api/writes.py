"""The write routes of every dialect: one plain ASGI callable, worded by a `Dialect`.

It is called for each write, so what does not change is made beforehand: parsed query strings are kept, and
the headers of a 204 are ready but for the request's id.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final, Protocol
from urllib.parse import parse_qsl

from starlette.types import Message, Receive, Scope, Send

from rusts import errors
from rusts.api.body import ClientGone, inflate_small, read_rest
from rusts.api.errors import Answer, BadBody, BodyTooLarge, Header
from rusts.api.guard import Guard
from rusts.api.ingest import SMALL_BODY, Ingest, Target
from rusts.api.middleware import Incoming, send_answer
from rusts.api.reports import Report
from rusts.auth.principal import Principal
from rusts.logging import enabled, get_logger, request_context
from rusts.metrics import Counter, Family
from rusts.model.accounts import Privilege

__all__ = ["Dialect", "WriteMetrics", "WriteRequest", "WriteRoute", "query_parameters"]

_SMALL_GZIP: Final = 8 << 10
"""Bytes up to which a gzip body is inflated on the event loop."""

_DONE: Final[Message] = {"type": "http.response.body", "body": b""}
_JSON: Final[Header] = (b"content-type", b"application/json")

_ROOM: Final = "rusts.api.write"

logger = get_logger(_ROOM)


class WriteRequest:
    """What the query string of a write asks for: a target, or what refuses it.

    `database` is the one that it would write to, if it names one; `needs` names one whose absence is told before
    anything else that is wrong with the request.
    """

    __slots__ = ("database", "needs", "pretty", "refusal", "target")

    def __init__(
        self,
        target: Target | None,
        refusal: Callable[[Incoming], Answer] | None = None,
        *,
        pretty: bool = False,
        needs: str | None = None,
        database: str | None = None,
    ) -> None:
        self.target = target
        self.refusal = refusal
        self.pretty = pretty
        self.database = target.database if target is not None else database
        self.needs = target.database if target is not None and not target.create else needs


class Dialect(Protocol):
    """How one version of InfluxDB's API reads a write's parameters and words its answers."""

    name: str
    gzip: frozenset[bytes]
    """Values of Content-Encoding that mean gzip."""
    parameters: bool
    """``u`` and ``p`` of the query string say who writes."""

    def request(self, query: bytes) -> WriteRequest:
        """Read the query string."""
        ...

    def encoding_refusal(self, encoding: bytes) -> Answer | None:
        """The answer to a Content-Encoding that is not gzip; None takes the body as it is."""
        ...

    def partial(self, report: Report, request: WriteRequest, incoming: Incoming) -> Answer:
        """The answer where something of the body was not stored."""
        ...

    def failure(self, problem: BaseException, request: WriteRequest, incoming: Incoming) -> Answer | None:
        """The answer to an exception; None if it is not a typed one of ours."""
        ...

    def broken(self) -> Answer:
        """The answer when the server is at fault and cannot say how."""
        ...


class WriteMetrics:
    """What is counted of one dialect's writes."""

    def __init__(self, requests: Family[Counter], received: Family[Counter], dialect: str) -> None:
        self._requests = requests
        self._dialect = dialect
        self.done = requests.labels(dialect, "204")
        self.bytes = received.labels(dialect)

    def answered(self, status: int) -> None:
        """Count an answer other than 204."""
        self._requests.labels(self._dialect, str(status)).add()


def query_parameters(query: bytes) -> dict[str, str]:
    """The parameters of a query string. An empty one is an absent one; of several, the first counts."""
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=False, encoding="utf-8", errors="replace")
    return dict(reversed(pairs))


class WriteRoute:
    """POST of line protocol, as an ASGI application."""

    def __init__(
        self, dialect: Dialect, ingest: Ingest, metrics: WriteMetrics, max_body: int, guard: Guard | None
    ) -> None:
        """`guard` None: whoever comes may write."""
        self._dialect = dialect
        self._guard = guard
        self._ingest = ingest
        self.metrics = metrics
        self.max_body = max_body
        self._kept = lru_cache(maxsize=1024)(dialect.request)

    def request(self, query: bytes) -> WriteRequest:
        """What a query string asks for. It is kept, because clients repeat theirs, unless there is a password in it."""
        secret = b"&p=" in query or query.startswith(b"p=")
        return self._dialect.request(query) if secret else self._kept(query)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        incoming = Incoming(scope["headers"])
        request = self.request(scope["query_string"])
        target = request.target
        if self._guard is not None and (problem := await self._trespass(self._guard, scope, incoming, request)):
            await send_answer(send, incoming, self.failure(problem, request, incoming))
            return
        if target is None:
            await send_answer(send, incoming, self._refused(request, incoming))
            return
        try:
            encoding = incoming.content_encoding
            gzip = encoding in self._dialect.gzip
            if encoding and not gzip and (refusal := self._dialect.encoding_refusal(encoding)):
                await send_answer(send, incoming, self._noted(refusal, incoming))
                return
            if incoming.content_length.isdigit() and int(incoming.content_length) > self.max_body:
                raise BodyTooLarge(self.max_body)
            message = await receive()
            if message["type"] != "http.request":
                return
            body = message["body"]
            if len(body) > self.max_body:
                raise BodyTooLarge(self.max_body)
            report: Report | None
            if message["more_body"] or len(body) > SMALL_BODY or target.atomic:
                report = await self._large(target, body, message["more_body"], receive, gzip, incoming)
            elif gzip:
                report = await self._small_gzip(target, body, incoming)
            else:
                report = await self._small(target, body)
        except ClientGone:
            return
        except asyncio.CancelledError:
            # The time to drain is over.
            await send_answer(send, incoming, self.failure(errors.NotReady("shutting down"), request, incoming))
            return
        except Exception as problem:
            told: Exception = problem
            if isinstance(problem, BadBody | BodyTooLarge):
                # Telegraf makes a database that it is told of as missing, and sends the body again.
                told = self._missing(request) or problem
            await send_answer(send, incoming, self.failure(told, request, incoming))
            return
        if report is not None:
            await send_answer(send, incoming, self.partial(report, request, incoming))
            return
        self.metrics.done.value += 1
        headers = incoming.response_headers()
        headers.append(_JSON)
        await send({"type": "http.response.start", "status": 204, "headers": headers})
        await send(_DONE)

    def known_writer(self, headers: Iterable[Header], query: bytes, database: str) -> Principal | None:
        """Who sends `headers`, if that can be told at once and they may write to the database. There is a guard."""
        assert self._guard is not None
        found = self._guard.remembered(Incoming(headers), query, parameters=self._dialect.parameters)
        return found if found is not None and found.may(Privilege.WRITE, database) else None

    async def _trespass(
        self, guard: Guard, scope: Scope, incoming: Incoming, request: WriteRequest
    ) -> errors.RustsError | None:
        """Why the sender may not write there. To those who may not, a missing database is told as such, as in 1.x."""
        try:
            principal = await guard.principal(scope, incoming, parameters=self._dialect.parameters)
        except errors.RustsError as problem:
            return problem
        database = request.database
        if database is None or principal.may(Privilege.WRITE, database):
            return None
        who = "user is required" if principal.first else f'"{principal.name}" user is not authorized'
        return self._missing(request) or errors.Forbidden(f'{who} to write to database "{database}"')

    def _missing(self, request: WriteRequest) -> errors.DatabaseNotFound | None:
        if request.needs is None or self._ingest.has_database(request.needs):
            return None
        return errors.DatabaseNotFound(request.needs)

    def _refused(self, request: WriteRequest, incoming: Incoming) -> Answer:
        """The answer to a query string that asks for nothing that can be done."""
        if missing := self._missing(request):
            return self.failure(missing, request, incoming)
        assert request.refusal is not None
        return self._noted(request.refusal(incoming), incoming)

    def _small(self, target: Target, body: bytes) -> asyncio.Future[Report | None]:
        self.metrics.bytes.value += len(body)
        outcome: asyncio.Future[Report | None] = asyncio.get_running_loop().create_future()
        self._ingest.small(target, body, outcome)
        return outcome

    async def _large(
        self, target: Target, first: bytes, more: bool, receive: Receive, gzip: bool, incoming: Incoming
    ) -> Report | None:
        budget = self._ingest.budget
        if more:
            pieces = await read_rest(first, receive, self.max_body, budget)
        else:
            budget.take(len(first))
            pieces = [first]
        size = sum(map(len, pieces))
        if size <= SMALL_BODY and not gzip and not target.atomic:
            budget.give(size)
            return await self._small(target, b"".join(pieces))
        self.metrics.bytes.add(size)
        try:
            return await self._ingest.large(target, pieces, gzip=gzip, request_id=incoming.request_id)
        finally:
            budget.give(size)

    async def _small_gzip(self, target: Target, body: bytes, incoming: Incoming) -> Report | None:
        if len(body) <= _SMALL_GZIP and (plain := inflate_small(body, SMALL_BODY)) is not None:
            return await self._small(target, plain)
        self._ingest.budget.take(len(body))
        self.metrics.bytes.add(len(body))
        try:
            return await self._ingest.large(target, [body], gzip=True, request_id=incoming.request_id)
        finally:
            self._ingest.budget.give(len(body))

    def partial(self, report: Report, request: WriteRequest, incoming: Incoming) -> Answer:
        """The answer where something of the body was not stored; counted and logged."""
        return self._noted(self._dialect.partial(report, request, incoming), incoming)

    def failure(self, problem: BaseException, request: WriteRequest, incoming: Incoming) -> Answer:
        """The answer where nothing was stored; counted and logged."""
        answer = self._dialect.failure(problem, request, incoming)
        if answer is None:
            with request_context(incoming.request_id.decode("latin-1")):
                logger.error("a write failed", exc_info=problem)
            answer = self._dialect.broken()
        return self._noted(answer, incoming)

    def _noted(self, answer: Answer, incoming: Incoming) -> Answer:
        self.metrics.answered(answer.status)
        if enabled(_ROOM, "debug"):
            with request_context(incoming.request_id.decode("latin-1")):
                logger.debug("write refused", status=answer.status, answer=answer.body[:500].decode("utf-8", "replace"))
        return answer
