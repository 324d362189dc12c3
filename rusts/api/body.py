"""Request bodies: taken in with their limits held, and inflated within limits.

Most writes come without Content-Length and gzipped, so the limits are held while the body
streams in, and again on what it inflates to.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.types import Receive

from rusts import errors
from rusts.api.errors import BadBody, BodyTooLarge

__all__ = ["BodyBudget", "ClientGone", "inflate", "inflate_small", "read_json", "read_rest"]

_GZIP: Final = 16 + zlib.MAX_WBITS
_PIECE: Final = 1 << 20
_SMALL_JSON: Final = 1 << 20


class ClientGone(Exception):
    """The client closed the connection before its body was complete; nobody waits for an answer."""


class BodyBudget:
    """Bytes of large bodies that the server may hold at one time. Used by the event loop only."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def take(self, nbytes: int) -> None:
        """Hold `nbytes` more. Raises MemoryExceeded where that is too many."""
        if self.used + nbytes > self.limit:
            raise errors.MemoryExceeded(f"{self.used:,} bytes of request bodies are waiting already")
        self.used += nbytes

    def give(self, nbytes: int) -> None:
        """Hold `nbytes` less."""
        self.used -= nbytes


async def read_rest(first: bytes, receive: Receive, limit: int, budget: BodyBudget) -> list[bytes]:
    """The pieces of a body of which `first` is there and more is to come.

    The bytes are taken from `budget`; the caller gives them back. Raises BodyTooLarge beyond `limit`
    bytes, MemoryExceeded, ClientGone; the budget is then as it was.
    """
    pieces = [first]
    size = len(first)
    budget.take(size)
    try:
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            piece = message.get("body", b"")
            more = message.get("more_body", False)
            if size + len(piece) > limit:
                raise BodyTooLarge(limit)
            budget.take(len(piece))
            size += len(piece)
            pieces.append(piece)
    except BaseException:
        budget.give(size)
        raise
    return pieces


async def read_json(request: Request) -> dict[str, Any]:
    """The object that a small body holds as JSON. Raises InvalidRequest, BodyTooLarge, ClientGone."""
    body = b"".join(await read_rest(b"", request.receive, _SMALL_JSON, BodyBudget(_SMALL_JSON)))
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as problem:
        raise errors.InvalidRequest(f"the body is not JSON: {problem}") from None
    if not isinstance(value, dict):
        raise errors.InvalidRequest("the body is not a JSON object")
    return value


def inflate(pieces: Sequence[bytes], limit: int) -> Iterator[bytes]:
    """The inflated bytes of a gzip body, in pieces of up to 1 MiB. Several members may follow each other.

    Raises BadBody with InfluxDB's text: ``gzip: invalid header``, ``gzip: invalid checksum``,
    ``unexpected EOF``; and BodyTooLarge beyond `limit` inflated bytes.
    """
    stream = zlib.decompressobj(_GZIP)
    total = 0
    for piece in pieces:
        rest = piece
        while rest:
            if stream.eof:
                stream = zlib.decompressobj(_GZIP)
            try:
                out = stream.decompress(rest, _PIECE)
            except zlib.error as problem:
                raise BadBody(_gzip_problem(str(problem))) from None
            total += len(out)
            if total > limit:
                raise BodyTooLarge(limit)
            if out:
                yield out
            rest = stream.unused_data if stream.eof else stream.unconsumed_tail
    # What the last call held back for want of room in its piece.
    while not stream.eof and (out := stream.decompress(b"", _PIECE)):
        total += len(out)
        if total > limit:
            raise BodyTooLarge(limit)
        yield out
    if not stream.eof and any(pieces):
        raise BadBody("unexpected EOF")


def _gzip_problem(text: str) -> str:
    """Go's words for what zlib says."""
    if "incorrect data check" in text or "incorrect length check" in text:
        return "gzip: invalid checksum"
    header = ("incorrect header check", "unknown compression method", "unknown header flags", "header crc mismatch")
    return "gzip: invalid header" if any(words in text for words in header) else "flate: corrupt input"


def inflate_small(body: bytes, at_most: int) -> bytes | None:
    """The inflated bytes of a small gzip body; None where there are more than `at_most`. Raises BadBody."""
    out: list[bytes] = []
    try:
        out.extend(inflate([body], at_most))
    except BodyTooLarge:
        return None
    return b"".join(out)
