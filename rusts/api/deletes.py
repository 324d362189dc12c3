"""InfluxDB 2.x's ``/api/v2/delete``: points of a time range, and of what a predicate says of their tags."""

from __future__ import annotations

import asyncio
import re
from typing import Any, Final

from starlette.requests import Request

from rusts import errors
from rusts.api import audit
from rusts.api.body import read_json
from rusts.api.buckets import find_bucket
from rusts.api.errors import Answer, v2_error
from rusts.api.guard import principal_of
from rusts.api.writes import query_parameters
from rusts.model.accounts import Privilege
from rusts.model.predicate import Predicate, TagIn, conjunction
from rusts.model.store import TimeRange
from rusts.model.time import parse_rfc3339
from rusts.node import Node

__all__ = ["Deletes", "parse_predicate"]

_NAME: Final = r'"(?:[^"\\]|\\.)*"|[^\s"\'=!<>()]+'
_VALUE: Final = rf"'(?:[^'\\]|\\.)*'|{_NAME}"
_TERM: Final = re.compile(rf"\s*({_NAME})\s*=\s*({_VALUE})\s*", re.DOTALL)
_AND: Final = re.compile(r"AND\b", re.IGNORECASE)
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)


def _plain(text: str) -> str:
    return _ESCAPE.sub(r"\1", text[1:-1]) if text[0] in "\"'" else text


def parse_predicate(text: str) -> tuple[str | None, Predicate | None]:
    """The measurement (None: every one) and the tags of ``_measurement="m" AND tag="x"``. Raises InvalidRequest."""
    measurement: str | None = None
    tags: list[Predicate] = []
    at = 0
    while text.strip():
        term = _TERM.match(text, at)
        if term is None:
            raise errors.InvalidRequest(f'predicate: want key="value" at byte {at} (only = and AND are known)')
        key, value = _plain(term[1]), _plain(term[2])
        if key == "_measurement":
            if measurement not in (None, value):
                raise errors.InvalidRequest("predicate: two different measurements never match")
            measurement = value
        else:
            tags.append(TagIn(key, (value,)))
        at = term.end()
        if at == len(text):
            break
        if (word := _AND.match(text, at)) is None:
            raise errors.InvalidRequest(f"predicate: want AND at byte {at} (only = and AND are known)")
        at = word.end()
    return measurement, conjunction(tags)


def _time(asked: dict[str, Any], name: str) -> int:
    value = asked.get(name)
    try:
        if isinstance(value, str) and "T" in value.upper():
            return parse_rfc3339(value)
    except ValueError:
        pass
    raise errors.InvalidRequest(
        f"invalid RFC3339Nano for field {name}, please format your time with RFC3339Nano format, "
        "example: 2009-01-02T23:00:00Z"
    )


class Deletes:
    """The handler."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def __call__(self, request: Request) -> Answer:
        """204 once the points are gone. ``stop`` is exclusive."""
        asked = await read_json(request)
        parameters = query_parameters(request.scope["query_string"])
        name = parameters.get("bucket") or parameters.get("bucketID") or ""
        principal = principal_of(request)
        store = self._node.store
        bucket = find_bucket(store, name)
        if principal is not None and not principal.may(Privilege.WRITE, bucket.database if bucket else name):
            raise errors.Forbidden("insufficient permissions to delete")
        if bucket is None:
            return v2_error(404, f'bucket "{name}" not found' if name else "bucket not found")
        range = TimeRange(_time(asked, "start"), _time(asked, "stop"))
        text = asked.get("predicate") or ""
        if not isinstance(text, str):
            raise errors.InvalidRequest("predicate: want a text")
        measurement, predicate = parse_predicate(text)
        if _mentions_field(predicate):
            return v2_error(501, "delete by field is not supported")
        if len(store.policies(bucket.database)) > 1:
            return v2_error(501, "a delete holds for every retention policy of a database, and this one has several")
        database = bucket.database
        names = [measurement] if measurement is not None else store.measurements(database)
        delete = lambda: store.delete(database, names, range, predicate)  # noqa: E731
        await asyncio.get_running_loop().run_in_executor(self._node.admin, delete)
        audit.note(
            principal,
            audit.source_of(request.scope),
            "delete",
            "ok",
            database=database,
            start=asked["start"],
            stop=asked["stop"],
            predicate=text,
        )
        return Answer(204)


def _mentions_field(predicate: Predicate | None) -> bool:
    parts = getattr(predicate, "parts", (predicate,))
    return any(getattr(part, "key", None) == "_field" for part in parts)
