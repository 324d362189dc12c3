"""InfluxDB 3's ``/api/v3/query_influxql``: one statement, its answer as rows."""

from __future__ import annotations

from typing import Any, Final

import orjson
from starlette.requests import Request

from rusts import errors
from rusts.api.body import read_json
from rusts.api.doors import Reply
from rusts.api.errors import Answer
from rusts.api.influxql import InfluxQL
from rusts.api.rowforms import FORMATS, RowForm
from rusts.api.writes import query_parameters
from rusts.influxql import ast
from rusts.node import Node

__all__ = ["V3Queries"]

_ACCEPTED: Final = {
    "": "json",
    "*/*": "json",
    "application/*": "json",
    "application/json": "json",
    "application/jsonl": "jsonl",
    "text/csv": "csv",
    "text/plain": "pretty",
    "application/vnd.apache.parquet": "parquet",
}


class V3Queries:
    """The handler."""

    def __init__(self, node: Node, influxql: InfluxQL) -> None:
        self._store = node.store
        self._influxql = influxql

    async def __call__(self, request: Request) -> Answer | Reply:
        """Run the statement of ``q``, which must only read."""
        asked = await _asked(request)
        form = RowForm(_format(asked.get("format", ""), request.headers.get("accept", "")))
        database, _, policy = asked.get("db", "").partition("/")
        if database and database not in self._store.databases():
            raise errors.DatabaseNotFound(database)
        text = asked.get("q", "").strip()
        if not text:
            raise errors.InvalidRequest("missing query parameter 'q'", "q")
        statements = await self._influxql.parsed(text, asked.get("params", ""))
        if len(statements) != 1:
            raise errors.InvalidRequest(f"want one statement, not {len(statements)}", "q")
        if not _reads(statements[0]):
            raise errors.InvalidRequest("only SELECT, SHOW and EXPLAIN are served here; use /query", "q")
        return await self._influxql.answer(request, statements, database, policy or None, form)


async def _asked(request: Request) -> dict[str, str]:
    """The parameters: of the URL, or the members of a JSON object. Raises InvalidRequest."""
    if request.method == "GET":
        return query_parameters(request.scope["query_string"])
    body: dict[str, Any] = await read_json(request)
    found: dict[str, str] = {}
    for name in ("db", "q", "format"):
        value = body.get(name)
        if value is not None and not isinstance(value, str):
            raise errors.InvalidRequest(f"{name}: want a text", name)
        found[name] = value or ""
    if (bound := body.get("params")) is not None:
        found["params"] = orjson.dumps(bound).decode()
    return found


def _format(asked: str, accept: str) -> str:
    if asked:
        if asked not in FORMATS:
            raise errors.InvalidRequest(f'format: unknown format "{asked}" (use {", ".join(FORMATS)})', "format")
        return asked
    media = accept.partition(",")[0].partition(";")[0].strip().lower()
    if media not in _ACCEPTED:
        raise errors.InvalidRequest(f"invalid mime type ({media})")
    return _ACCEPTED[media]


def _reads(statement: ast.Statement) -> bool:
    if isinstance(statement, ast.Select):
        return statement.target is None
    return isinstance(statement, ast.Explain) or type(statement).__name__.startswith("Show")
