"""``/query``: which of its languages a request speaks, and answers that stream from a query thread."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Final

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from rusts import errors, jsonquery, query
from rusts.api import audit, encode
from rusts.api.body import BodyBudget, inflate, read_rest
from rusts.api.doors import Reply
from rusts.api.errors import Answer, BodyTooLarge, v1_error
from rusts.api.guard import principal_of, require
from rusts.api.influxql import InfluxQL
from rusts.api.streaming import Streamed
from rusts.api.writes import query_parameters
from rusts.influxql.running import RunningQueries
from rusts.metrics import Family, Histogram
from rusts.model.accounts import Privilege
from rusts.node import Node
from rusts.query.foldcache import FoldCache
from rusts.query.limits import Limits, Tracker

__all__ = ["Queries"]

_FORM: Final = "application/x-www-form-urlencoded"
_MULTIPART: Final = "multipart/form-data"
_INFLUXQL: Final = "application/vnd.influxql"
_JSON_OBJECT: Final = re.compile(rb"\s*\{")
"""How a body begins that is JSON, whatever the client calls it: curl says "form" of any body."""
_MAX_TEXT: Final = 1 << 20
"""Bytes of a form, or of statements: they are read on the event loop."""

_Encoder = Callable[[query.Result], Iterator[bytes]]


class Queries:
    """The door of ``/query``."""

    def __init__(self, node: Node, running: RunningQueries, latency: Family[Histogram]) -> None:
        """`latency` is a histogram of seconds by API."""
        settings = node.settings
        self._node = node
        self._running = running
        self._latency = latency.labels("json")
        self._max_body = settings.max_body_size
        self._limits = Limits(
            rows=settings.max_select_point,
            series=settings.max_select_series,
            buckets=settings.max_select_buckets,
            seconds=settings.query_timeout,
        )
        self._budget = BodyBudget(node.body_bytes)
        self._folds = FoldCache(settings.query_cache_size)
        self.influxql = InfluxQL(node, running, self._limits, self._folds, latency.labels("influxql"))
        """What answers where there is a ``q``."""

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
            return await self.influxql(request, text, parameters)
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
        who = principal_of(request)
        tracker = Tracker(self._limits, self._node.clock, self._node.query_memory)
        plan = jsonquery.parse(body)
        for points in plan.points:
            require(who, Privilege.READ, points.database)
        running = self._running.begin(
            tracker,
            plan.points[0].database,
            who.name if who is not None else "",
            audit.source_of(request.scope),
            lambda: body.decode("utf-8", "replace"),
        )

        def pieces() -> Iterator[bytes]:
            return encoder(query.execute(self._node.store, plan, tracker, self._folds))

        def ended(problem: BaseException | None) -> None:
            self._running.end(running, "ok" if problem is None else str(problem) or type(problem).__name__)

        answer = Streamed(self._node.queries, tracker, pieces, content, gzip=gzip, ended=ended)
        began = time.perf_counter()
        try:
            await answer.start(request.receive)
        finally:
            self._latency.observe(time.perf_counter() - began)
        return answer


def _limited(body: bytes) -> bytes:
    """`body`, if it can be read on the event loop. Raises BodyTooLarge."""
    if len(body) > _MAX_TEXT:
        raise BodyTooLarge(_MAX_TEXT)
    return body


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
