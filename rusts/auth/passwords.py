"""Passwords as they are kept: scrypt, its parameters in the text, so that later ones may be stronger.

The form is ``scrypt$ln=14,r=8,p=1$<salt>$<key>``, salt and key in base64. One check takes about 30 ms and 16 MiB,
so it runs on a thread of its own and what it found is remembered (`authenticator`).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
from typing import Final

from rusts import errors

__all__ = ["hash_password", "verify_password"]

_LOG_N: Final = 14
_R: Final = 8
_P: Final = 1
_SALT_BYTES: Final = 16
_KEY_BYTES: Final = 32
_MAX_MEMORY: Final = 256 << 20
"""Bytes that the parameters of a stored text may ask for."""

_FORM: Final = re.compile(r"scrypt\$ln=(\d{1,2}),r=(\d{1,3}),p=(\d{1,2})\$([\w+/=-]+)\$([\w+/=-]+)", re.ASCII)

_NOBODY: Final = f"scrypt$ln={_LOG_N},r={_R},p={_P}$" + "$".join(
    base64.b64encode(os.urandom(size)).decode() for size in (_SALT_BYTES, _KEY_BYTES)
)
"""The password of nobody: checking it costs what checking another does, so that time does not tell who is there."""


def _derive(password: str, salt: bytes, log_n: int, r: int, p: int, length: int) -> bytes:
    return hashlib.scrypt(
        password.encode("utf-8", "surrogatepass"), salt=salt, n=1 << log_n, r=r, p=p, maxmem=_MAX_MEMORY, dklen=length
    )


def hash_password(password: str) -> str:
    """What is kept of `password`. Raises InvalidRequest for an empty one, with InfluxDB's text."""
    if not password:
        raise errors.InvalidRequest("password required")
    salt = os.urandom(_SALT_BYTES)
    key = _derive(password, salt, _LOG_N, _R, _P, _KEY_BYTES)
    texts = base64.b64encode(salt).decode(), base64.b64encode(key).decode()
    return f"scrypt$ln={_LOG_N},r={_R},p={_P}${texts[0]}${texts[1]}"


def verify_password(password: str, stored: str | None) -> bool:
    """Whether `stored` was made of `password`. None, for a user who is not there, takes as long and is False."""
    match = _FORM.fullmatch(stored or _NOBODY)
    if match is None:
        return False
    log_n, r, p = (int(text) for text in match.groups()[:3])
    try:
        salt, key = base64.b64decode(match[4], validate=True), base64.b64decode(match[5], validate=True)
        found = _derive(password, salt, log_n, r, p, len(key))
    except (binascii.Error, ValueError, MemoryError):
        return False
    return hmac.compare_digest(found, key) and stored is not None
