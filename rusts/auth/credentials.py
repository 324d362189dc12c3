"""The forms in which clients send what proves who they are."""

from __future__ import annotations

import base64
import binascii
from http.cookies import CookieError, SimpleCookie
from typing import Final, NamedTuple
from urllib.parse import parse_qsl

from rusts import errors

__all__ = ["SESSION_COOKIE", "Bearer", "Credentials", "Login", "Session", "read_credentials"]

SESSION_COOKIE: Final = "influxdb-oss-session"
"""The cookie that InfluxDB 2.x's clients keep after signing in."""

_UNREADABLE: Final = "unable to parse authentication credentials"


class Login(NamedTuple):
    """A name and a password; the password may be a token's secret."""

    name: str
    password: str


class Bearer(NamedTuple):
    """A token's secret, or (`signed`) perhaps a JSON Web Token."""

    text: str
    signed: bool


class Session(NamedTuple):
    """The cookie of a client that has signed in."""

    text: str


Credentials = Login | Bearer | Session


def read_credentials(authorization: bytes, cookie: bytes, query: bytes, *, parameters: bool) -> Credentials:
    """What a request proves its sender with.

    `query` is the query string, which counts only with `parameters` (the paths of 1.x): there ``u`` and ``p`` beat
    the header. Schemes are read in any case. Raises NotAuthenticated, `malformed` where a header cannot be read.
    """
    if parameters and b"p=" in query:
        values = dict(reversed(parse_qsl(query.decode("latin-1"), encoding="utf-8", errors="replace")))
        name, password = values.get("u"), values.get("p")
        if name and password:
            return Login(name, password)
        if password and not authorization:
            return Bearer(password, signed=False)
    if authorization:
        return _of_header(authorization)
    if cookie and (session := _of_cookie(cookie)):
        return session
    raise errors.NotAuthenticated(_UNREADABLE)


def _of_header(header: bytes) -> Credentials:
    scheme, _, rest = header.decode("utf-8", "replace").strip().partition(" ")
    rest = rest.strip()
    match scheme.lower():
        case "basic" if rest:
            return _of_basic(rest)
        case "token" if rest:
            name, colon, password = rest.partition(":")
            return _login(name, password) if colon else Bearer(rest, signed=False)
        case "bearer" if rest:
            return Bearer(rest, signed=True)
        # Telegraf's v2 output sends the scheme alone where it has no token.
        case "token" | "bearer":
            raise errors.NotAuthenticated(_UNREADABLE)
    raise errors.NotAuthenticated(_UNREADABLE, malformed=True)


def _of_basic(text: str) -> Login:
    try:
        plain = base64.b64decode(text, validate=True).decode("utf-8", "surrogateescape")
    except (binascii.Error, ValueError):
        plain = ""
    name, colon, password = plain.partition(":")
    if not colon:
        raise errors.NotAuthenticated(_UNREADABLE, malformed=True)
    return _login(name, password)


def _login(name: str, password: str) -> Login:
    """A login with a name; without one the password may still be a token."""
    if not name and not password:
        raise errors.NotAuthenticated("username required")
    return Login(name, password)


def _of_cookie(header: bytes) -> Session | None:
    try:
        cookies = SimpleCookie(header.decode("latin-1"))
    except CookieError:
        return None
    found = cookies.get(SESSION_COOKIE)
    return Session(found.value) if found is not None and found.value else None
