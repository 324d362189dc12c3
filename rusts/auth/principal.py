"""Who asks, once that is known, and what they may do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from rusts import errors
from rusts.model.accounts import Privilege, Token, User

__all__ = ["EVERY_DATABASE", "Principal", "of_token", "of_user", "parse_scopes"]

EVERY_DATABASE: Final = "*"
"""The name in a token's scope that stands for every database."""

_ACTIONS: Final = {"read": Privilege.READ, "write": Privilege.WRITE, "all": Privilege.ALL}


@dataclass(frozen=True, slots=True)
class Principal:
    """A user, a token, or (with `first`) whoever comes while there is neither."""

    name: str
    """For texts and the audit log; a token is called by its id."""
    admin: bool = False
    grants: Mapping[str, Privilege] = field(default_factory=dict)
    everywhere: int = 0
    """The privileges that hold in every database, as bits of `Privilege`."""
    metrics: bool = False
    """May read the server's figures."""
    expires_ns: int = 0
    """When the credential ends, ns since the epoch; 0 = never."""
    user: bool = True
    first: bool = False
    """There are no accounts yet: nothing is allowed but making the first administrator."""

    def may(self, wanted: Privilege, database: str) -> bool:
        """Whether `wanted` is granted in the database."""
        if self.admin:
            return True
        held = self.grants.get(database, 0) | self.everywhere
        return held & wanted == wanted

    def sees(self, database: str) -> bool:
        """Whether the database is shown to them at all: they may read or write it."""
        return self.admin or bool(self.grants.get(database, 0) | self.everywhere)


def of_user(user: User) -> Principal:
    """The principal that `user` is."""
    return Principal(user.name, user.admin, user.grants, metrics=user.admin)


def of_token(token: Token) -> Principal:
    """The principal of whoever holds `token`. A scope that this version does not know allows nothing."""
    made = Principal(f"token {token.id}", user=False, expires_ns=token.expires_ns)
    grants: dict[str, Privilege] = {}
    for scope in token.scopes:
        action, colon, database = scope.partition(":")
        if scope == "admin":
            made = replace(made, admin=True, metrics=True)
        elif scope == "metrics":
            made = replace(made, metrics=True)
        elif colon and action in _ACTIONS and database == EVERY_DATABASE:
            made = replace(made, everywhere=made.everywhere | _ACTIONS[action])
        elif colon and action in _ACTIONS and database:
            grants[database] = Privilege(grants.get(database, 0) | _ACTIONS[action])
    return replace(made, grants=grants)


def parse_scopes(texts: Sequence[str]) -> tuple[str, ...]:
    """The scopes of a new token, checked. Raises InvalidRequest."""
    scopes = tuple(dict.fromkeys(text.strip() for text in texts if text.strip()))
    if not scopes:
        raise errors.InvalidRequest("a token needs a scope: admin, metrics, read:DB, write:DB or all:DB", "scopes")
    for scope in scopes:
        action, colon, database = scope.partition(":")
        if scope not in ("admin", "metrics") and not (colon and action in _ACTIONS and database):
            raise errors.InvalidRequest(
                f'unknown scope "{scope}" (use admin, metrics, read:DB, write:DB or all:DB; DB may be *)', "scopes"
            )
    return scopes
