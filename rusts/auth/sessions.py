"""Sessions of clients that have signed in, as InfluxDB 2.x's do with a name and a password. Kept in memory only."""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections import OrderedDict
from typing import Final, NamedTuple

from rusts.clock import Clock
from rusts.model.accounts import Accounts, User

__all__ = ["Sessions"]

_SECONDS: Final = 3600
_KEPT: Final = 10_000


class _Session(NamedTuple):
    name: str
    password_hash: str
    ends: float


def _digest(secret: str) -> bytes:
    return hashlib.blake2b(secret.encode("latin-1", "replace"), digest_size=32).digest()


class Sessions:
    """An hour each from their last use; a changed password ends its user's. Thread-safe."""

    def __init__(self, accounts: Accounts, clock: Clock) -> None:
        self._accounts = accounts
        self._clock = clock
        self._lock = threading.Lock()
        self._sessions: OrderedDict[bytes, _Session] = OrderedDict()

    def begin(self, user: User) -> str:
        """A new session of `user`: the secret for its cookie."""
        secret = secrets.token_urlsafe(32)
        with self._lock:
            self._keep(_digest(secret), user)
        return secret

    def user(self, secret: str) -> User | None:
        """Whose session it is; None if it has ended."""
        key = _digest(secret)
        with self._lock:
            session = self._sessions.get(key)
            if session is None or session.ends < self._clock.monotonic():
                self._sessions.pop(key, None)
                return None
            user = self._accounts.user(session.name)
            if user is None or user.password_hash != session.password_hash:
                del self._sessions[key]
                return None
            self._keep(key, user)
        return user

    def end(self, secret: str) -> None:
        """End the session, if there is one."""
        with self._lock:
            self._sessions.pop(_digest(secret), None)

    def _keep(self, key: bytes, user: User) -> None:
        self._sessions.pop(key, None)
        self._sessions[key] = _Session(user.name, user.password_hash, self._clock.monotonic() + _SECONDS)
        while len(self._sessions) > _KEPT:
            self._sessions.popitem(last=False)
