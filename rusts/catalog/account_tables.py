"""Users, grants and tokens as rows of meta.sqlite."""

from __future__ import annotations

import json
from collections.abc import Iterator

import apsw

from rusts.catalog.tables import signed, unsigned
from rusts.model.accounts import Privilege, Token

__all__ = [
    "delete_grants",
    "delete_token",
    "delete_user",
    "read_grants",
    "read_tokens",
    "read_users",
    "write_grants",
    "write_token",
    "write_user",
]


def write_user(connection: apsw.Connection, number: int, name: str, password_hash: str, admin: bool) -> None:
    """Store a user, without grants."""
    row = signed(number), name, password_hash, int(admin)
    connection.execute("INSERT OR REPLACE INTO users VALUES (?, ?, ?, ?)", row)


def write_grants(connection: apsw.Connection, user: int, grants: dict[int, Privilege]) -> None:
    """Store what a user may do, by id of the database, in place of what was there."""
    connection.execute("DELETE FROM grants WHERE user = ?", (signed(user),))
    rows = ((signed(user), signed(database), int(privilege)) for database, privilege in grants.items())
    connection.executemany("INSERT INTO grants VALUES (?, ?, ?)", rows)


def write_token(connection: apsw.Connection, number: int, token: Token) -> None:
    """Store a token."""
    row = (
        signed(number),
        token.id,
        token.description,
        token.hash,
        json.dumps(token.scopes, ensure_ascii=False),
        token.created_ns,
        token.expires_ns,
    )
    connection.execute("INSERT OR REPLACE INTO tokens VALUES (?, ?, ?, ?, ?, ?, ?)", row)


def delete_user(connection: apsw.Connection, user: int) -> None:
    """Take out a user and the grants."""
    connection.execute("DELETE FROM grants WHERE user = ?", (signed(user),))
    connection.execute("DELETE FROM users WHERE id = ?", (signed(user),))


def delete_grants(connection: apsw.Connection, database: int) -> None:
    """Take out what users may do in a database."""
    connection.execute("DELETE FROM grants WHERE database = ?", (signed(database),))


def delete_token(connection: apsw.Connection, number: int) -> None:
    """Take out a token."""
    connection.execute("DELETE FROM tokens WHERE id = ?", (signed(number),))


def read_users(connection: apsw.Connection) -> Iterator[tuple[int, str, str, bool]]:
    """Id, name, password hash and "is admin" of each user, in the order of their creation."""
    for number, name, password_hash, admin in connection.execute(
        "SELECT id, name, password, is_admin FROM users ORDER BY id"
    ):
        yield unsigned(number), name, password_hash, bool(admin)


def read_grants(connection: apsw.Connection) -> Iterator[tuple[int, int, Privilege]]:
    """User, database and privilege of each grant. Raises ValueError on an unknown privilege."""
    for user, database, privilege in connection.execute("SELECT user, database, privilege FROM grants"):
        yield unsigned(user), unsigned(database), Privilege(privilege)


def read_tokens(connection: apsw.Connection) -> Iterator[tuple[int, Token]]:
    """Each token and its number, in the order of their creation. Raises ValueError on scopes that are no JSON list."""
    for number, name, description, hash, scopes, created, expires in connection.execute(
        "SELECT id, name, description, hash, scopes, created, expires FROM tokens ORDER BY id"
    ):
        listed = json.loads(scopes)
        if not isinstance(listed, list):
            raise ValueError("the scopes of a token are no list")
        yield unsigned(number), Token(name, description, hash, tuple(map(str, listed)), created, expires)
