"""Users, tokens and what they may do: as data, and the protocol of who keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

__all__ = ["Accounts", "Privilege", "Token", "User"]


class Privilege(IntEnum):
    """What a user may do in a database. The numbers are on disk: never change or reuse one."""

    NONE = 0
    """All of it was revoked; InfluxDB still lists the database then."""
    READ = 1
    WRITE = 2
    ALL = 3


@dataclass(frozen=True, slots=True)
class User:
    """A user. `password_hash` is what the auth room made of the password; `grants` by name of the database."""

    name: str
    password_hash: str = field(repr=False)
    admin: bool = False
    grants: Mapping[str, Privilege] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Token:
    """A token. `hash` is all that is kept of its secret; times in ns since the epoch, `expires_ns` 0 = never."""

    id: str
    description: str
    hash: bytes = field(repr=False)
    scopes: tuple[str, ...] = ()
    created_ns: int = 0
    expires_ns: int = 0


class Accounts(Protocol):
    """Keeps users and tokens. Thread-safe; a change is durable before its call returns.

    What changes something raises OSError where the disk does not take it; then nothing is changed.
    """

    @property
    def accounts_version(self) -> int:
        """Grows with every change of a user or a token, so that who remembers a check knows when to forget it."""
        ...

    def users(self) -> list[User]:
        """All users, in the order of their creation."""
        ...

    def user(self, name: str) -> User | None:
        """The user `name`, None if there is none."""
        ...

    def put_user(self, user: User) -> None:
        """Keep `user`, instead of the one of the same name if there is one. Raises DatabaseNotFound for a grant."""
        ...

    def drop_user(self, name: str) -> None:
        """Forget a user; nothing happens if there is none of that name."""
        ...

    def tokens(self) -> list[Token]:
        """All tokens, in the order of their creation."""
        ...

    def put_token(self, token: Token) -> None:
        """Keep `token`, instead of the one with the same id if there is one."""
        ...

    def drop_token(self, id: str) -> None:
        """Forget a token; nothing happens if there is none with that id."""
        ...
