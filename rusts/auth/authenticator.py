"""From what a request carries to who sent it.

A password costs 30 ms to check, so what was verified is remembered, as a keyed hash (the key is made anew by each
process), until an account changes. Failures are not remembered; too many of them are not even tried (`limiter`).
"""

from __future__ import annotations

import hashlib
import math
import os
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from rusts import errors
from rusts.auth import signed
from rusts.auth.credentials import Bearer, Credentials, Login, Session
from rusts.auth.limiter import FailureLimiter
from rusts.auth.passwords import verify_password
from rusts.auth.principal import Principal, of_token, of_user
from rusts.auth.sessions import Sessions
from rusts.auth.tokens import hash_secret
from rusts.clock import Clock
from rusts.model.accounts import Accounts, Token

__all__ = ["Authenticator"]

_KEPT: Final = 10_000
_FAILED: Final = "authorization failed"


class Authenticator:
    """Thread-safe. `remembered` never blocks; `authenticate` may for tens of milliseconds."""

    def __init__(self, accounts: Accounts, clock: Clock, shared_secret: str = "") -> None:
        """`shared_secret` signs the JSON Web Tokens that are taken; empty, none is."""
        self._accounts = accounts
        self._clock = clock
        self._shared_secret = shared_secret
        self._key = os.urandom(32)
        self._lock = threading.Lock()
        self._version = -1
        self._open = False
        self._known: dict[bytes, Principal] = {}
        self._tokens: dict[bytes, Token] = {}
        self._logins = FailureLimiter(clock)
        self._secrets = FailureLimiter(clock)
        self.sessions = Sessions(accounts, clock)

    @property
    def version(self) -> int:
        """Changes whenever something that was verified may not hold any more."""
        return self._accounts.accounts_version

    def is_open(self) -> bool:
        """Whether there is no account at all, so that the first administrator may be made by anyone."""
        self._refresh(self._accounts.accounts_version)
        return self._open

    def remembered(self, credentials: Credentials) -> Principal | None:
        """Who sent it, if that was verified before; None says nothing."""
        if self._version != self._accounts.accounts_version:
            return None
        found = self._known.get(self._digest(credentials))
        return found if found is not None and self._lasts(found) else None

    def authenticate(self, credentials: Credentials, source: str) -> Principal:
        """Who sent it, `source` being where from. Raises NotAuthenticated, TooManyFailures."""
        # Asked first: what changes from here on must not be missed by what is remembered below.
        version = self._accounts.accounts_version
        if (known := self.remembered(credentials)) is not None:
            return known
        self._refresh(version)
        try:
            principal = self._verify(credentials, source)
            if not self._lasts(principal):
                raise errors.NotAuthenticated("the token has expired")
        except errors.TooManyFailures:
            raise
        except errors.NotAuthenticated as problem:
            if isinstance(credentials, Login):
                self._logins.failed(source, credentials.name)
                raise
            # A secret that long cannot be guessed, and is checked at no cost: only the answer tells to slow down.
            wait = self._secrets.wait_seconds(source, "")
            self._secrets.failed(source, "")
            raise (errors.TooManyFailures(math.ceil(wait)) if wait else problem) from None
        if isinstance(credentials, Login):
            self._logins.succeeded(source, credentials.name)
        # A session may end at any moment, so it is looked up each time, which costs little.
        if not isinstance(credentials, Session):
            with self._lock:
                if self._version == version:
                    while len(self._known) >= _KEPT:
                        del self._known[next(iter(self._known))]
                    self._known[self._digest(credentials)] = principal
        return principal

    def _verify(self, credentials: Credentials, source: str) -> Principal:
        if isinstance(credentials, Session):
            user = self.sessions.user(credentials.text)
            if user is None:
                raise errors.NotAuthenticated("the session has ended")
            return of_user(user)
        secret = credentials.password if isinstance(credentials, Login) else credentials.text
        token = self._tokens.get(hash_secret(secret))
        if token is not None:
            return of_token(token)
        return self._log_in(credentials, source) if isinstance(credentials, Login) else self._signed(credentials)

    def _log_in(self, login: Login, source: str) -> Principal:
        if not login.name:
            raise errors.NotAuthenticated("username required")
        if wait := self._logins.wait_seconds(source, login.name):
            raise errors.TooManyFailures(math.ceil(wait))
        user = self._accounts.user(login.name)
        if not verify_password(login.password, user.password_hash if user else None) or user is None:
            raise errors.NotAuthenticated(_FAILED)
        return of_user(user)

    def _signed(self, bearer: Bearer) -> Principal:
        if not bearer.signed or not self._shared_secret:
            raise errors.NotAuthenticated(_FAILED)
        name, expires_ns = signed.verify(bearer.text, self._shared_secret, self._clock.now_ns())
        user = self._accounts.user(name)
        if user is None:
            raise errors.NotAuthenticated("user not found")
        return replace(of_user(user), expires_ns=expires_ns)

    def _lasts(self, principal: Principal) -> bool:
        return principal.expires_ns == 0 or principal.expires_ns > self._clock.now_ns()

    def _refresh(self, version: int) -> None:
        """Forget what was verified before the accounts came to `version`."""
        if self._version == version:
            return
        tokens = {token.hash: token for token in self._accounts.tokens()}
        nobody = not tokens and not self._accounts.users()
        with self._lock:
            self._known, self._tokens, self._open, self._version = {}, tokens, nobody, version

    def _digest(self, credentials: Credentials) -> bytes:
        parts: Sequence[str] = [type(credentials).__name__, *map(str, credentials)]
        text = "\0".join(parts).encode("utf-8", "surrogatepass")
        return hashlib.blake2b(text, digest_size=32, key=self._key).digest()
