"""Signing in and out as InfluxDB 2.x's clients do with a name and a password: a session in a cookie."""

from __future__ import annotations

from starlette.requests import Request

from rusts import errors
from rusts.api import audit
from rusts.api.errors import Answer
from rusts.api.guard import Guard
from rusts.api.middleware import Incoming
from rusts.auth.credentials import SESSION_COOKIE, Session, read_credentials
from rusts.node import Node

__all__ = ["SignIn"]


class SignIn:
    """The handlers. Without a guard everybody is in already."""

    def __init__(self, node: Node, guard: Guard | None) -> None:
        self._accounts = node.store
        self._guard = guard

    async def sign_in(self, request: Request) -> Answer:
        """204, with the cookie of a new session."""
        if self._guard is None:
            return Answer(204)
        principal = await self._guard.principal(request.scope, Incoming(request.scope["headers"]), parameters=False)
        user = self._accounts.user(principal.name) if principal.user else None
        if user is None:
            raise errors.NotAuthenticated("only a user can sign in")
        secret = self._guard.authenticator.sessions.begin(user)
        audit.note(principal, audit.source_of(request.scope), "sign in", "ok")
        secure = "; Secure" if request.scope.get("scheme") == "https" else ""
        cookie = f"{SESSION_COOKIE}={secret}; Path=/api/; HttpOnly; SameSite=Strict{secure}"
        return Answer(204, headers=((b"set-cookie", cookie.encode()),))

    async def sign_out(self, request: Request) -> Answer:
        """204; the session has ended, if there was one."""
        if self._guard is not None:
            incoming = Incoming(request.scope["headers"])
            credentials = read_credentials(b"", incoming.cookie, b"", parameters=False)
            if isinstance(credentials, Session):
                self._guard.authenticator.sessions.end(credentials.text)
        return Answer(204)
