"""Answers, and how each dialect words an error: v1's ``error``, v2's ``code`` and ``message``, v3's texts.

A 5xx never holds a text on which a client throws its points away (``partial write``,
``unable to parse``, ``retention policy not found`` ...), but for the one that InfluxDB 1.x itself sends.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from rusts import errors

__all__ = [
    "NOT_FOUND",
    "Answer",
    "BadBody",
    "BodyTooLarge",
    "Header",
    "json_answer",
    "method_not_allowed",
    "not_found",
    "v1_error",
    "v1_exception",
    "v2_error",
    "v2_exception",
    "v3_error",
    "v3_exception",
]

Header = tuple[bytes, bytes]

_JSON: Final[Header] = (b"content-type", b"application/json")
_V2_JSON: Final[Header] = (b"content-type", b"application/json; charset=utf-8")
_TEXT: Final[Header] = (b"content-type", b"text/plain; charset=utf-8")
_CSV: Final[Header] = (b"content-type", b"text/csv")
_BASIC: Final[Header] = (b"www-authenticate", b'Basic realm="InfluxDB"')
_ERROR_HEADER_LENGTH: Final = 1024

_V2_CODES: Final[dict[int, str]] = {
    400: "invalid",
    401: "unauthorized",
    403: "forbidden",
    404: "not found",
    405: "method not allowed",
    413: "request too large",
    422: "unprocessable entity",
    429: "too many requests",
    500: "internal error",
    501: "not implemented",
    503: "unavailable",
}


class BodyTooLarge(Exception):
    """The body of a request is larger than the operator allows, as sent or once inflated."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the body is larger than {limit:,} bytes")
        self.limit = limit


class BadBody(Exception):
    """The body of a request cannot be read; the text is InfluxDB's."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole response, without the headers that every response has (see `middleware`)."""

    status: int
    body: bytes = b""
    headers: tuple[Header, ...] = ()


def json_answer(
    status: int, value: object, *, headers: tuple[Header, ...] = (), pretty: bool = False, content: Header = _JSON
) -> Answer:
    """`value` as JSON with a newline behind it; `pretty` indents by four spaces, as InfluxDB does."""
    if pretty:
        body = json.dumps(value, indent=4, ensure_ascii=False).encode() + b"\n"
    else:
        body = orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)
    return Answer(status, body, (content, *headers))


def _header_text(text: str) -> bytes:
    """`text` as a header can carry it: one line, ASCII, cut short."""
    line = "".join(c if " " <= c <= "~" else " " if c in "\r\n\t" else "?" for c in text[:_ERROR_HEADER_LENGTH])
    return line.encode("ascii")


def _retry_after(seconds: int) -> tuple[Header, ...]:
    return ((b"retry-after", b"%d" % seconds),)


def v1_error(
    status: int,
    text: str,
    *,
    lines: Sequence[Mapping[str, Any]] = (),
    headers: tuple[Header, ...] = (),
    accept: bytes = b"",
    pretty: bool = False,
) -> Answer:
    """``{"error": text}`` as InfluxDB 1.x; `lines` says which lines of a body were not taken, and why.

    A client that asks for CSV gets two lines of it. A 401 says how to log in instead of repeating its text.
    """
    headers = (*headers, _BASIC if status == 401 else (b"x-influxdb-error", _header_text(text)))
    if accept in (b"text/csv", b"application/csv"):
        quoted = '"' + text.replace('"', '""') + '"' if any(c in text for c in '",\n') else text
        return Answer(status, f"error\n{quoted}\n".encode(), (_CSV, *headers))
    value: dict[str, Any] = {"error": text}
    if lines:
        value["lines"] = list(lines)
    return json_answer(status, value, headers=headers, pretty=pretty)


def v1_exception(problem: BaseException, *, writing: bool, accept: bytes = b"", pretty: bool = False) -> Answer | None:
    """The 1.x answer to a typed error, None for one that is nobody's but ours.

    "Try again" is 500 ``timeout`` on writes, the one answer on which every v1 writer resends.
    """
    status, text = 400, str(problem)
    headers: tuple[Header, ...] = ()
    match problem:
        case errors.NotReady(seconds=seconds):
            status, headers = 503, _retry_after(seconds)
        case errors.RetryLater(seconds=seconds):
            status, text, headers = (500, "timeout", ()) if writing else (503, text, _retry_after(seconds))
        case errors.DatabaseNotFound():
            status = 404
        case errors.PolicyNotFound():
            status = 500 if writing else 400
        case errors.NotAuthenticated():
            # Never 429: Telegraf's v1 output drops its points on it all the same, and nobody else expects it.
            status = 401
        case errors.Forbidden():
            status = 403
        case BodyTooLarge():
            status, text = 413, "Request Entity Too Large"
        case errors.Corruption():
            status = 500
        case errors.UserError() | BadBody():
            pass
        case _:
            return None
    return v1_error(status, text, headers=headers, accept=accept, pretty=pretty)


def v2_error(
    status: int,
    text: str,
    *,
    code: str | None = None,
    lines: Sequence[Mapping[str, Any]] = (),
    headers: tuple[Header, ...] = (),
) -> Answer:
    """``{"code", "message"}`` as InfluxDB 2.x, with `lines` beside where some were not taken.

    `code` is the status' own unless it is given (2.x has several for 422).
    """
    code = code or _V2_CODES[status]
    value: dict[str, Any] = {"code": code, "message": text}
    if lines:
        value["lines"] = list(lines)
    return json_answer(status, value, headers=((b"x-platform-error-code", code.encode()), *headers), content=_V2_JSON)


def v2_exception(problem: BaseException) -> Answer | None:
    """The 2.x answer to a typed error, None for one that is nobody's but ours."""
    match problem:
        case errors.RetryLater(seconds=seconds):
            return v2_error(503, str(problem), headers=_retry_after(seconds))
        case errors.DatabaseNotFound() | errors.PolicyNotFound():
            return v2_error(404, str(problem))
        case errors.TooManyFailures(seconds=seconds):
            return v2_error(429, "too many failed logins", headers=_retry_after(seconds))
        case errors.NotAuthenticated():
            return v2_error(401, "unauthorized access")
        case errors.Forbidden():
            return v2_error(403, str(problem))
        case BodyTooLarge():
            return v2_error(413, "unable to read data: points batch is too large")
        case errors.Corruption():
            return v2_error(500, str(problem))
        case errors.UserError() | BadBody():
            return v2_error(400, str(problem))
    return None


def v3_error(status: int, text: str, *, data: object = None, headers: tuple[Header, ...] = ()) -> Answer:
    """InfluxDB 3's answer: a plain text, or ``{"error", "data"}`` where there is `data`."""
    if data is None:
        return Answer(status, text.encode(), (_TEXT, *headers))
    return json_answer(status, {"error": text, "data": data}, headers=headers)


def v3_exception(problem: BaseException) -> Answer | None:
    """The v3 answer to a typed error, None for one that is nobody's but ours."""
    match problem:
        case errors.RetryLater(seconds=seconds):
            return v3_error(503, str(problem), headers=_retry_after(seconds))
        case errors.DatabaseNotFound() | errors.PolicyNotFound():
            return json_answer(404, {"error": str(problem)})
        case errors.TooManyFailures(seconds=seconds):
            return json_answer(429, {"error": "too many failed logins"}, headers=_retry_after(seconds))
        case errors.NotAuthenticated(malformed=True):
            text = "Authorization header was malformed, want Basic, Token or Bearer and what belongs to it"
            return json_answer(400, {"error": text})
        case errors.NotAuthenticated():
            return json_answer(401, {"error": "the request was not authenticated"})
        case errors.Forbidden():
            return json_answer(403, {"error": str(problem)})
        case BodyTooLarge(limit=limit):
            return v3_error(413, f"max request size ({limit} bytes) exceeded")
        case errors.Corruption():
            return v3_error(500, str(problem))
        case errors.UserError() | BadBody():
            return v3_error(400, str(problem))
    return None


NOT_FOUND: Final = Answer(404, b"404 page not found\n", (_TEXT,))
"""1.x's answer to an unknown path. Plain text: a Telegraf with a wrong base path then keeps its points."""


def not_found(path: str) -> Answer:
    """The answer to an unknown path, by the dialect that the path belongs to."""
    if path.startswith("/api/v2"):
        return v2_error(404, "path not found")
    if path.startswith("/api/v3"):
        return v3_error(404, "Not found")
    return NOT_FOUND


def method_not_allowed(path: str, allowed: str) -> Answer:
    """The answer to a method that the path does not know; `allowed` as in an Allow header."""
    headers: tuple[Header, ...] = ((b"allow", allowed.encode()),)
    if path.startswith("/api/v2"):
        return v2_error(405, f"allow: {allowed}", headers=headers)
    return Answer(405, b"Method Not Allowed\n", (_TEXT, *headers))
