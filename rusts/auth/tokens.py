"""Tokens: random secrets of which only a hash is kept.

A secret has 256 random bits, so one pass of BLAKE2b hides it as well as a slow hash would, and a check costs a
microsecond.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from typing import Final

from rusts.auth.principal import parse_scopes
from rusts.model.accounts import Token

__all__ = ["hash_secret", "new_token"]

_PREFIX: Final = "rusts_"
"""How a secret begins, so that people, and programs that look for leaked secrets, know one when they see it."""


def hash_secret(secret: str) -> bytes:
    """What is kept of a token's secret (32 bytes)."""
    return hashlib.blake2b(secret.encode("utf-8", "surrogatepass"), digest_size=32, person=b"rusts token").digest()


def new_token(description: str, scopes: Sequence[str], created_ns: int, expires_ns: int = 0) -> tuple[str, Token]:
    """A new token, and its secret, which nobody can tell later. Raises InvalidRequest for an unknown scope."""
    secret = _PREFIX + secrets.token_urlsafe(32)
    token = Token(secrets.token_hex(8), description, hash_secret(secret), parse_scopes(scopes), created_ns, expires_ns)
    return secret, token
