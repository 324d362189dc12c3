"""``/query``: which of its languages a request speaks, and answers that stream from a query thread."""

from __future__ import annotations

import asyncio
import contextvars
import gzip
import re
import time
import zlib
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any, Final, TypeVar

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.types import Receive, Send

from rusts import errors, jsonquery, query
from rusts.api import encode, statements
from rusts.api.body import BodyBudget, inflate, read_rest
from rusts.api.doors import Reply
from rusts.api.errors import Answer, BodyTooLarge, Header, json_answer, v1_error
from rusts.api.middleware import Incoming
from rusts.api.writes import query_parameters
from rusts.logging import get_logger
from rusts.metrics import Histogram
from rusts.node import Node
from rusts.query.limits import Limits, Tracker

__all__ = ["Queries"]

_FORM: Final = "application/x-www-form-urlencoded"
_MULTIPART: Final = "multipart/form-data"
_INFLUXQL: Final = "application/vnd.influxql"
_JSON_OBJECT: Final = re.compile(rb"\s*\{")
"""How a body begins that is JSON, whatever the client calls it: curl says "form" of any body."""
_MAX_TEXT: Final = 1 << 20
"""Bytes of a form, or of statements: they are read on the event loop."""

_GZIPPED: Final[tuple[Header, ...]] = ((b"content-encoding", b"gzip"), (b"vary", b"Accept-Encoding"))

_T = TypeVar("_T")
_Encoder = Callable[[query.Result], Iterator[bytes]]

logger = get_logger("rusts.api.query")


class Queries:
    """The door of ``/query``."""

    def __init__(self, node: Node, latency: Histogram) -> None:
        settings = node.settings
        self._node = node
        self._latency = latency
        self._max_body = settings.max_body_size
        self._limits = Limits(
            rows=settings.max_select_point,
            series=settings.max_select_series,
            buckets=settings.max_select_buckets,
            seconds=settings.query_timeout,
        )
        self._budget = BodyBudget(node.body_bytes)

    async def __call__(self, request: Request) -> Answer | Reply:
        """InfluxQL where there is a ``q``, else the JSON query API, else 1.x's 400."""
        parameters = query_parameters(request.scope["query_string"])
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        body = b""
        if request.method == "POST":
            body = await self._body(request)
            if kind == _MULTIPART:
                parameters |= await _multipart(request, body)
            elif kind == _FORM and not _JSON_OBJECT.match(body):
                # A member of the body beats the same one in the URL.
                parameters |= query_parameters(_limited(body))
        pretty = parameters.get("pretty") == "true"
        text = parameters.get("q") or (_limited(body).decode("utf-8", "replace") if kind == _INFLUXQL else "")
        if text := text.strip():
            return await self._statements(request, text, parameters.get("async") == "true", pretty)
        if b'"measurement"' in body:
            return await self._json(request, body, parameters, pretty)
        accept = request.headers.get("accept", "").encode("latin-1")
        return v1_error(400, 'missing required parameter "q"', accept=accept, pretty=pretty)

    async def _body(self, request: Request) -> bytes:
        pieces = await read_rest(b"", request.receive, self._max_body, self._budget)
        self._budget.give(sum(map(len, pieces)))
        if request.headers.get("content-encoding") == "gzip" and any(pieces):
            pieces = list(inflate(pieces, self._max_body))
        return b"".join(pieces)

    async def _statements(self, request: Request, text: str, at_once: bool, pretty: bool) -> Answer:
        """Run InfluxQL; with `at_once`, answer before that."""
        found = statements.parse(text)
        reading = request.method == "GET"
        run = lambda: statements.execute(self._node.store, found, reading=reading)  # noqa: E731
        done = asyncio.get_running_loop().run_in_executor(self._node.admin, run)
        if at_once:
            done.add_done_callback(_tell_failure)
            return Answer(204, headers=((b"content-type", b"application/json"),))
        results = await done
        if request.headers.get("accept") in ("text/csv", "application/csv"):
            answer = Answer(200, statements.as_csv(results), ((b"content-type", encode.CSV_TYPE.encode()),))
        else:
            answer = json_answer(200, results, pretty=pretty)
        if "gzip" not in request.headers.get("accept-encoding", ""):
            return answer
        return Answer(200, gzip.compress(answer.body, 6, mtime=0), (*answer.headers, *_GZIPPED))

    async def _json(self, request: Request, body: bytes, parameters: dict[str, str], pretty: bool) -> Reply:
        accept = request.headers.get("accept", "")
        rows = parameters.get("format") == "rows"
        if parameters.get("format", "rows") != "rows":
            raise errors.InvalidRequest(f'format: unknown format "{parameters["format"]}" (use rows, or leave it out)')
        content = encode.JSON_TYPE
        encoder: _Encoder = lambda result: encode.encode_json(result, rows=rows, pretty=pretty)  # noqa: E731
        if encode.ARROW_TYPE in accept:
            content, encoder = encode.ARROW_TYPE, encode.encode_arrow
        elif "text/csv" in accept or "application/csv" in accept:
            content, encoder = encode.CSV_TYPE, encode.encode_csv
        gzip = "gzip" in request.headers.get("accept-encoding", "")
        answer = _Streamed(
            self._node, Tracker(self._limits, self._node.clock, self._node.query_memory), content, encoder, gzip=gzip
        )
        began = time.perf_counter()
        try:
            await answer.start(body)
        finally:
            self._latency.observe(time.perf_counter() - began)
        return answer


def _limited(body: bytes) -> bytes:
    """`body`, if it can be read on the event loop. Raises BodyTooLarge."""
    if len(body) > _MAX_TEXT:
        raise BodyTooLarge(_MAX_TEXT)
    return body


def _tell_failure(done: asyncio.Future[dict[str, Any]]) -> None:
    """Nobody waits for these statements: what went wrong is logged."""
    if (problem := done.exception()) is not None:
        logger.error("statements failed that were to be run later", exc_info=problem)
        return
    for result in done.result().get("results", ()):
        if "error" in result:
            logger.warning("a statement failed that was to be run later", error=result["error"])


async def _multipart(request: Request, body: bytes) -> dict[str, str]:
    """Fields of a multipart form, and what uploaded files hold; empty ones are left out. Nothing if it is no form."""

    async def whole() -> AsyncGenerator[bytes, None]:
        yield body

    values: dict[str, str] = {}
    try:
        form = await MultiPartParser(request.headers, whole(), max_part_size=1 << 20).parse()
    except MultiPartException:
        return values
    try:
        for name, value in form.multi_items():
            text = (await value.read()).decode("utf-8", "replace") if isinstance(value, UploadFile) else value
            if text:
                values.setdefault(name, text)
    finally:
        await form.close()
    return values


class _Streamed:
    """A query's answer. The query and the encoding run on a query thread, one piece at a time."""

    def __init__(self, node: Node, tracker: Tracker, content: str, encoder: _Encoder, *, gzip: bool) -> None:
        self._node = node
        self._tracker = tracker
        self._encoder = encoder
        self._headers: list[Header] = [(b"content-type", content.encode())]
        self._deflate = zlib.compressobj(6, zlib.DEFLATED, 16 + zlib.MAX_WBITS) if gzip else None
        if gzip:
            self._headers += _GZIPPED
        self._pieces: Iterator[bytes] = iter(())
        self._first: list[bytes] = []
        self._ended = False

    async def start(self, body: bytes) -> None:
        """Run the query until its first pieces are there. Raises what parsing and running it raise."""

        def begin() -> None:
            plan = jsonquery.parse(body)
            result = query.execute(self._node.store, plan, self._tracker)
            self._pieces = self._encoded(result)
            # Two pieces, so that an answer of one is known to be whole.
            self._first = [piece for piece in (self._next(), self._next()) if piece]

        await self._on_thread(begin)

    def _encoded(self, result: query.Result) -> Iterator[bytes]:
        try:
            yield from self._encoder(result)
        finally:
            result.close()

    def _next(self) -> bytes:
        """The next piece, b"" only at the end. On a query thread."""
        while not self._ended:
            try:
                piece = next(self._pieces, None)
            except BaseException:
                self._ended = True
                raise
            if piece is None:
                self._ended = True
                return self._deflate.flush() if self._deflate else b""
            if self._deflate:
                piece = self._deflate.compress(piece)
            if piece:
                return piece
        return b""

    async def _on_thread(self, work: Callable[[], _T]) -> _T:
        context = contextvars.copy_context()
        return await asyncio.get_running_loop().run_in_executor(self._node.queries, lambda: context.run(work))

    async def send(self, incoming: Incoming, receive: Receive, send: Send) -> None:
        """Send head and pieces; a client that goes away ends the query."""
        headers = [*incoming.response_headers(), *self._headers]
        if self._ended:
            whole = b"".join(self._first)
            headers.append((b"content-length", b"%d" % len(whole)))
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": whole})
            return
        watcher = asyncio.create_task(self._watch(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            for piece in self._first:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            while piece := await self._on_thread(self._next):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        except errors.RustsError as problem:
            # The head is sent: the connection is closed before the answer's end, so that nobody takes it for whole.
            logger.warning("a query ended after its answer had begun", error=str(problem))
        finally:
            watcher.cancel()
            if not self._ended:
                self._tracker.cancel()
                await self._on_thread(self._close)

    def _close(self) -> None:
        close = getattr(self._pieces, "close", None)
        if close is not None:
            close()

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._tracker.cancel()
