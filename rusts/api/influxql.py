"""InfluxQL over HTTP: parameters of a request, statements that are parsed once, and the form of the answer."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Final, Protocol

from starlette.requests import Request

from rusts import errors
from rusts.api import audit
from rusts.api.doors import Reply
from rusts.api.errors import Answer, v1_error
from rusts.api.figures import ServerFigures
from rusts.api.guard import principal_of
from rusts.api.influxcsv import encode_csv
from rusts.api.influxjson import CHUNK_ROWS, encode_chunks, encode_json
from rusts.api.msgpack import encode_msgpack
from rusts.api.streaming import Streamed
from rusts.auth.passwords import hash_password, verify_password
from rusts.auth.principal import Principal
from rusts.influxql import ast
from rusts.influxql.context import Services, Session
from rusts.influxql.parser import ParseError, parse
from rusts.influxql.printer import text as printed
from rusts.influxql.privileges import authorize, changes
from rusts.influxql.results import StatementResult, first_rows
from rusts.influxql.running import RunningQueries
from rusts.influxql.statements import Statements
from rusts.logging import get_logger
from rusts.metrics import Histogram
from rusts.node import Node
from rusts.query.foldcache import FoldCache
from rusts.query.limits import Limits, Tracker

__all__ = ["Form", "InfluxQL", "accepted"]

_JSON: Final = "application/json"
_CSV: Final = "text/csv"
_MSGPACK: Final = "application/x-msgpack"
_MEDIA: Final = {
    "application/json": _JSON,
    "application/*": _JSON,
    "*/*": _JSON,
    "application/csv": _CSV,
    "text/csv": _CSV,
    "text/*": _CSV,
    "application/x-msgpack": _MSGPACK,
}
_UNITS: Final = {
    "u": 1_000,
    "us": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_KINDS: Final[dict[type, str]] = {list: "array", str: "string", bool: "bool"}
_PARSED: Final = 1024
"""How many texts are kept parsed."""
_KEPT_TEXT: Final = 16 << 10
"""Longer texts are not kept."""
_SHORT_TEXT: Final = 4 << 10
"""Longer texts are not parsed on the event loop."""

_Parsed = tuple[ast.Statement, ...]

logger = get_logger("rusts.api.query")


@lru_cache(maxsize=256)
def accepted(accept: str) -> str:
    """The media type of the answer for a header ``Accept``: the best known one of its list, else JSON."""
    best, quality = _JSON, 0.0
    for item in accept.split(","):
        name, _, parameters = item.partition(";")
        media = _MEDIA.get(name.strip().lower())
        if media is None:
            continue
        weight = 1.0
        for parameter in parameters.split(";"):
            key, _, value = parameter.partition("=")
            if key.strip().lower() == "q":
                try:
                    weight = float(value)
                except ValueError:
                    weight = 0.0
        if weight > quality:
            best, quality = media, weight
    return best


def _parse(text: str, parameters: str) -> _Parsed:
    """Raises ParseError, and InvalidRequest for parameters that are no JSON object."""
    return tuple(parse(text, _bound(parameters) if parameters else None))


_parse_kept = lru_cache(maxsize=_PARSED)(_parse)


def _bound(text: str) -> Mapping[str, object]:
    try:
        values = json.loads(text)
    except ValueError as problem:
        raise errors.InvalidRequest(f"error parsing query parameters: {problem}", "params") from None
    if values is not None and not isinstance(values, dict):
        kind = _KINDS.get(type(values), "number")
        text = f"json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"
        raise errors.InvalidRequest(f"error parsing query parameters: {text}", "params")
    return values or {}


class InfluxQL:
    """Answers requests whose text is InfluxQL."""

    def __init__(
        self, node: Node, running: RunningQueries, limits: Limits, folds: FoldCache, latency: Histogram
    ) -> None:
        self._node = node
        self._running = running
        self._limits = limits
        self._latency = latency
        self._max_rows = node.settings.max_row_limit
        services = Services(
            node.store,
            node.store,
            running,
            node.clock,
            hash_password,
            verify_password,
            ServerFigures(node, running),
            folds,
        )
        self._statements = Statements(services)

    async def __call__(self, request: Request, text: str, parameters: Mapping[str, str]) -> Answer | Reply:
        """Run the statements of `text`. Raises Forbidden, and NotReady while the log is being replayed."""
        accept = request.headers.get("accept", "")
        pretty = parameters.get("pretty") == "true"
        try:
            statements = await self.parsed(text, parameters.get("params", ""))
        except errors.InvalidRequest as problem:
            return _refusal(str(problem), accept, pretty)
        form = _Form(parameters, accepted(accept), pretty, self._max_rows)
        database, policy = parameters.get("db", ""), parameters.get("rp")
        at_once = parameters.get("async") == "true"
        return await self.answer(request, statements, database, policy, form, at_once=at_once)

    async def parsed(self, text: str, parameters: str) -> _Parsed:
        """The statements of `text`. Raises InvalidRequest with InfluxDB's text."""
        read = _parse if len(text) > _KEPT_TEXT else _parse_kept
        try:
            if len(text) + len(parameters) <= _SHORT_TEXT:
                return read(text, parameters)
            # Longer ones would hold up all who write.
            return await asyncio.get_running_loop().run_in_executor(self._node.queries, read, text, parameters)
        except ParseError as problem:
            raise errors.InvalidRequest(f"error parsing query: {problem}", "q") from None

    async def answer(
        self,
        request: Request,
        statements: _Parsed,
        database: str,
        policy: str | None,
        form: Form,
        *,
        at_once: bool = False,
    ) -> Answer | Reply:
        """Run `statements` and answer in `form`; with `at_once`, answer before that. Raises as a call does."""
        began = time.perf_counter()
        who = principal_of(request)
        if who is not None:
            authorize(statements, who, database)
        session = Session(database, policy, who, reading=request.method != "POST", audit=_audit(request, who))
        run = _Run(self._statements, statements, session, self._tracker(), form)
        run.register(self._running, audit.source_of(request.scope))
        if at_once:
            asyncio.get_running_loop().run_in_executor(self._node.queries, run.drain)
            return Answer(204, headers=((b"content-type", _JSON.encode()),))
        if all(isinstance(statement, ast.KillQuery | ast.ShowQueries) for statement in statements):
            # These look at memory only, and must be heard while all threads are busy.
            return Answer(200, b"".join(run.whole()), ((b"content-type", form.content.encode()),))
        changing = all(changes(statement) and not isinstance(statement, ast.Select) for statement in statements)
        gzip = "gzip" in request.headers.get("accept-encoding", "")
        thread = self._node.admin if changing else self._node.queries
        reply = Streamed(thread, run.tracker, run.pieces, form.content, gzip=gzip, ended=run.ended)
        try:
            await reply.start(request.receive)
        finally:
            self._latency.observe(time.perf_counter() - began)
        return reply

    def _tracker(self) -> Tracker:
        return Tracker(self._limits, self._node.clock, self._node.query_memory)


class Form(Protocol):
    """How the client wants the answer."""

    @property
    def content(self) -> str:
        """The content type."""
        ...

    def encode(self, results: Iterator[StatementResult]) -> Iterator[bytes]:
        """The answer in pieces. Each result's frames are iterated once, in order."""
        ...


class _Form:
    """How the client wants the answer."""

    def __init__(self, parameters: Mapping[str, str], media: str, pretty: bool, max_rows: int) -> None:
        epoch = parameters.get("epoch")
        self._unit = None if epoch is None else _UNITS.get(epoch, 1)
        self._pretty = pretty
        self._max_rows = max_rows
        self._chunk: int | None = None
        if parameters.get("chunked") == "true":
            # A chunk is a JSON document whatever is accepted: clients cannot tell where chunks of other forms end.
            media = _JSON
            size = parameters.get("chunk_size", "")
            self._chunk = int(size[:9]) if size.isascii() and size.isdigit() else 0
        self.content = media

    def encode(self, results: Iterator[StatementResult]) -> Iterator[bytes]:
        """The answer in pieces."""
        if self._chunk is not None:
            return encode_chunks(results, self._chunk or CHUNK_ROWS, unit=self._unit, pretty=self._pretty)
        if self._max_rows:
            results = first_rows(results, self._max_rows)
        if self.content == _CSV:
            return encode_csv(results, unit=self._unit)
        if self.content == _MSGPACK:
            return encode_msgpack(results, unit=self._unit)
        return encode_json(results, unit=self._unit, pretty=self._pretty)


class _Run:
    """One request's statements, from their registration to their end."""

    def __init__(self, runner: Statements, statements: _Parsed, session: Session, tracker: Tracker, form: Form) -> None:
        self.tracker = tracker
        self._runner = runner
        self._statements = statements
        self._session = session
        self._form = form
        self._refused = ""
        self._outcome = "ok"
        self._end: Callable[[str], None] = lambda outcome: None

    def register(self, running: RunningQueries, client: str) -> None:
        """List it among the running ones; one too many is only told that."""
        session, statements = self._session, self._statements
        try:
            query = running.begin(
                self.tracker,
                session.database,
                session.who.name if session.who is not None else "",
                client,
                lambda: ";\n".join(map(printed, statements)),
            )
        except errors.LimitExceeded as problem:
            self._refused = str(problem)
        else:
            self._end = lambda outcome: running.end(query, outcome)

    def pieces(self) -> Iterator[bytes]:
        """The answer, made while it is iterated."""
        if self._refused:
            return self._form.encode(iter((StatementResult(0, iter(()), error=self._refused),)))
        return self._form.encode(self._results())

    def _results(self) -> Iterator[StatementResult]:
        for result in self._runner.run(self._statements, self._session, self.tracker):
            yield result
            if result.error is not None and self._outcome == "ok":
                self._outcome = result.error

    def ended(self, problem: BaseException | None) -> None:
        """It is over."""
        self._end(self._outcome if problem is None else str(problem) or type(problem).__name__)

    def whole(self) -> list[bytes]:
        """The whole answer at once."""
        try:
            found = list(self.pieces())
        except BaseException as problem:
            self.ended(problem)
            raise
        self.ended(None)
        return found

    def drain(self) -> None:
        """Run the statements for a client that does not wait; what goes wrong is logged."""
        try:
            self.whole()
        except Exception:
            logger.exception("statements failed whose client does not wait")
        else:
            if self._outcome != "ok":
                logger.warning("a statement failed whose client does not wait", error=self._outcome)
        finally:
            self.tracker.close()


def _refusal(text: str, accept: str, pretty: bool) -> Answer:
    return v1_error(400, text, accept=accept.encode("latin-1"), pretty=pretty)


def _audit(request: Request, who: Principal | None) -> Callable[[ast.Statement, str], None]:
    source = audit.source_of(request.scope)
    return lambda statement, outcome: audit.note(who, source, printed(statement), outcome)
