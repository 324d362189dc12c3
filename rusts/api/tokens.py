"""``/admin/tokens``: making, listing and revoking tokens of a running server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from starlette.requests import Request

from rusts import config, errors
from rusts.api import audit
from rusts.api.body import read_json
from rusts.api.errors import Answer, json_answer, v1_error
from rusts.api.guard import principal_of
from rusts.auth.tokens import new_token
from rusts.model.accounts import Token
from rusts.model.time import format_rfc3339
from rusts.node import Node

__all__ = ["Tokens", "token_json"]

_T = TypeVar("_T")


def token_json(token: Token) -> dict[str, Any]:
    """What may be told of a token."""
    return {
        "id": token.id,
        "description": token.description,
        "scopes": list(token.scopes),
        "created": format_rfc3339(token.created_ns),
        "expires": format_rfc3339(token.expires_ns) if token.expires_ns else None,
    }


class Tokens:
    """The handlers; only administrators come here."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def _on_thread(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._node.admin, work)

    async def collection(self, request: Request) -> Answer:
        """GET lists them, without their secrets; POST makes one and tells its secret, this once."""
        store = self._node.store
        if request.method == "GET":
            return json_answer(200, {"tokens": [token_json(token) for token in store.tokens()]})
        asked = await read_json(request)
        scopes, description, lasts = asked.get("scopes"), asked.get("description", ""), asked.get("expires_in", "")
        if not isinstance(scopes, list) or not all(isinstance(scope, str) for scope in scopes):
            raise errors.InvalidRequest("scopes: want a list of texts", "scopes")
        if not isinstance(description, str) or not isinstance(lasts, str):
            raise errors.InvalidRequest("description and expires_in: want texts")
        now = self._node.clock.now_ns()
        try:
            expires = now + int(config.parse_duration(lasts) * 1e9) if lasts else 0
        except ValueError as problem:
            raise errors.InvalidRequest(f"expires_in: {problem}", "expires_in") from None
        secret, token = new_token(description, scopes, now, expires)
        await self._on_thread(lambda: store.put_token(token))
        self._note(request, "create token", token.id, " ".join(token.scopes))
        return json_answer(201, {**token_json(token), "token": secret})

    async def one(self, request: Request) -> Answer:
        """DELETE: the token is not taken any more."""
        store, identifier = self._node.store, request.path_params["id"]
        if all(token.id != identifier for token in store.tokens()):
            return v1_error(404, "token not found")
        await self._on_thread(lambda: store.drop_token(identifier))
        self._note(request, "revoke token", identifier)
        return Answer(204)

    def _note(self, request: Request, deed: str, identifier: str, scopes: str = "") -> None:
        audit.note(principal_of(request), audit.source_of(request.scope), deed, "ok", token=identifier, scopes=scopes)
