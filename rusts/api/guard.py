"""Who sent a request, and may they use its route: asked of every route but the open ones, where ``auth`` is on."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from enum import StrEnum
from typing import Final

from starlette.requests import Request
from starlette.types import Scope

from rusts import errors
from rusts.api import audit
from rusts.api.middleware import Incoming
from rusts.auth.authenticator import Authenticator
from rusts.auth.credentials import Credentials, Login, read_credentials
from rusts.auth.principal import Principal
from rusts.model.accounts import Privilege

__all__ = ["Guard", "Permission", "principal_of", "require", "require_admin"]

_PRINCIPAL: Final = "rusts.principal"
_WAITING: Final = 256
"""Logins that may wait to be checked."""
_NOBODY: Final = Principal("", first=True)


class Permission(StrEnum):
    """What a sender must hold to use a route, where ``auth`` is on."""

    NONE = "none"
    WRITE = "write"
    """In the database that is written to; the write routes ask for it themselves."""
    KNOWN = "known"
    """Be known; what is allowed depends on what is asked, and the handler sees to it."""
    METRICS = "metrics"
    ADMIN = "admin"


class Guard:
    """Used on the event loop; passwords are checked on `thread`."""

    def __init__(self, authenticator: Authenticator, thread: Executor) -> None:
        self.authenticator = authenticator
        self._thread = thread
        self._waiting = 0

    def remembered(self, incoming: Incoming, query: bytes, *, parameters: bool) -> Principal | None:
        """Who sent it, if that can be told at once; None says nothing."""
        if self.authenticator.is_open():
            return None
        try:
            return self.authenticator.remembered(_credentials(incoming, query, parameters))
        except errors.NotAuthenticated:
            return None

    async def principal(self, scope: Scope, incoming: Incoming, *, parameters: bool) -> Principal:
        """Who sent it; with `parameters`, ``u`` and ``p`` of the query string count. Raises NotAuthenticated."""
        if self.authenticator.is_open():
            return _NOBODY
        credentials = _credentials(incoming, scope["query_string"], parameters)
        known = self.authenticator.remembered(credentials)
        return known or await self._authenticated(credentials, audit.source_of(scope))

    async def _authenticated(self, credentials: Credentials, source: str) -> Principal:
        if self._waiting >= _WAITING:
            raise errors.RetryLater("too many logins are waiting already")
        self._waiting += 1
        try:
            check = self.authenticator.authenticate
            return await asyncio.get_running_loop().run_in_executor(self._thread, check, credentials, source)
        except errors.TooManyFailures:
            raise
        except errors.NotAuthenticated as problem:
            audit.note(credentials.name if isinstance(credentials, Login) else None, source, "login", str(problem))
            raise
        finally:
            self._waiting -= 1

    async def admit(self, scope: Scope, incoming: Incoming, permission: Permission) -> None:
        """Find out who sent it, for `principal_of`. Raises NotAuthenticated, and Forbidden without `permission`."""
        principal = await self.principal(scope, incoming, parameters=not scope["path"].startswith("/api/"))
        scope[_PRINCIPAL] = principal
        if principal.first and permission is not Permission.KNOWN:
            raise errors.Forbidden("create admin user first or disable authentication")
        if permission is Permission.ADMIN:
            require_admin(principal, f"use {scope['path']}")
        elif permission is Permission.METRICS and not principal.metrics:
            raise errors.Forbidden(f'"{principal.name}" is not authorized to use {scope["path"]}, requires metrics')


def _credentials(incoming: Incoming, query: bytes, parameters: bool) -> Credentials:
    return read_credentials(incoming.authorization, incoming.cookie, query, parameters=parameters)


def principal_of(request: Request) -> Principal | None:
    """Who sent the request; None where ``auth`` is off, and everybody may do everything."""
    found: Principal | None = request.scope.get(_PRINCIPAL)
    return found


def require(principal: Principal | None, wanted: Privilege, database: str) -> None:
    """Raises Forbidden unless `wanted` is granted in the database."""
    if principal is not None and not principal.may(wanted, database):
        verb = {Privilege.READ: "read from", Privilege.WRITE: "write to"}.get(wanted, "use")
        raise errors.Forbidden(f'"{principal.name}" user is not authorized to {verb} database "{database}"')


def require_admin(principal: Principal | None, deed: str) -> None:
    """Raises Forbidden unless it is an administrator who wants to do `deed`."""
    if principal is not None and not principal.admin:
        raise errors.Forbidden(f'"{principal.name}" user is not authorized to {deed}, requires admin privilege')
