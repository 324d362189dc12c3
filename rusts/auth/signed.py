"""JSON Web Tokens as InfluxDB 1.x takes them: HS256 by a shared secret, with the claims ``username`` and ``exp``."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
from typing import Any, Final, NamedTuple

from rusts import errors

__all__ = ["SignedName", "is_signed", "verify"]

_PART: Final = re.compile(r"[A-Za-z0-9_-]*", re.ASCII)
_HASHES: Final = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}


class SignedName(NamedTuple):
    """Whom a token names, and until when it holds (ns since the epoch)."""

    name: str
    expires_ns: int


def is_signed(text: str) -> bool:
    """Whether `text` has the three parts of a JSON Web Token."""
    return text.count(".") == 2


def verify(text: str, secret: str, now_ns: int) -> SignedName:
    """Whom the token names. Raises NotAuthenticated with InfluxDB's texts."""
    parts = text.split(".")
    if len(parts) != 3:
        raise errors.NotAuthenticated("token contains an invalid number of segments")
    header, claims = _object(parts[0]), _object(parts[1])
    hashed = _HASHES.get(str(header.get("alg")))
    if hashed is None:
        raise errors.NotAuthenticated(f"unexpected signing method: {str(header.get('alg'))[:20]}")
    signature = hmac.new(secret.encode(), f"{parts[0]}.{parts[1]}".encode(), hashed).digest()
    times = {name: claims.get(name) for name in ("exp", "iat", "nbf")}
    seconds = {name: float(v) for name, v in times.items() if isinstance(v, int | float) and not isinstance(v, bool)}
    now = now_ns / 1e9
    problem = ""
    if "exp" in seconds and now > seconds["exp"]:
        problem = "Token is expired"
    elif now < seconds.get("iat", 0.0):
        problem = "Token used before issued"
    elif now < seconds.get("nbf", 0.0):
        problem = "Token is not valid yet"
    if not hmac.compare_digest(signature, _bytes(parts[2])):
        problem = "signature is invalid"
    if problem:
        raise errors.NotAuthenticated(problem)
    if "exp" not in seconds:
        raise errors.NotAuthenticated("token expiration required")
    name = claims.get("username")
    if not isinstance(name, str):
        raise errors.NotAuthenticated("username in token must be a string")
    if not name:
        raise errors.NotAuthenticated("token must contain a username")
    return SignedName(name, min(int(seconds["exp"] * 1e9), 1 << 62) if seconds["exp"] < 1e12 else 1 << 62)


def _bytes(part: str) -> bytes:
    if _PART.fullmatch(part) is None:
        raise errors.NotAuthenticated("illegal base64 data in token")
    try:
        return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except (binascii.Error, ValueError):
        raise errors.NotAuthenticated("illegal base64 data in token") from None


def _object(part: str) -> dict[str, Any]:
    try:
        value = json.loads(_bytes(part))
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise errors.NotAuthenticated("token holds no JSON object")
    return value
