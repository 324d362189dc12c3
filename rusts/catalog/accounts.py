"""Users and tokens in memory, and how they get to the tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import apsw

from rusts.catalog import account_tables
from rusts.model.accounts import Privilege, Token, User

__all__ = ["AccountBook", "write_user"]


class AccountBook:
    """Users by name and tokens by id, each with the number of its row; `version` grows with every change.

    The maps are replaced, never changed.
    """

    def __init__(self) -> None:
        self.users: dict[str, tuple[int, User]] = {}
        self.tokens: dict[str, tuple[int, Token]] = {}
        self.version = 0

    def set_users(self, users: dict[str, tuple[int, User]]) -> None:
        """Replace all users."""
        self.users = users
        self.version += 1

    def set_tokens(self, tokens: dict[str, tuple[int, Token]]) -> None:
        """Replace all tokens."""
        self.tokens = tokens
        self.version += 1

    def without_database(self, name: str) -> dict[str, tuple[int, User]]:
        """The users as they are once nobody may do anything in the database `name`."""
        return {
            user.name: (number, replace(user, grants={d: p for d, p in user.grants.items() if d != name}))
            for number, user in self.users.values()
        }

    def read(self, connection: apsw.Connection, databases: Mapping[int, str]) -> None:
        """Take what the tables hold; `databases` are names by id. Raises KeyError, ValueError on what does not fit."""
        grants: dict[int, dict[str, Privilege]] = {}
        for user, database, privilege in account_tables.read_grants(connection):
            grants.setdefault(user, {})[databases[database]] = privilege
        self.set_users(
            {
                name: (number, User(name, password_hash, admin, grants.pop(number, {})))
                for number, name, password_hash, admin in account_tables.read_users(connection)
            }
        )
        if grants:
            raise ValueError("grants of nobody")
        self.set_tokens({token.id: (number, token) for number, token in account_tables.read_tokens(connection)})

    def write(self, connection: apsw.Connection, databases: Mapping[str, int]) -> None:
        """Put everything into empty tables; `databases` are ids by name."""
        for number, user in self.users.values():
            write_user(connection, number, user, databases)
        for number, token in self.tokens.values():
            account_tables.write_token(connection, number, token)


def write_user(connection: apsw.Connection, number: int, user: User, databases: Mapping[str, int]) -> None:
    """Store a user with the grants."""
    account_tables.write_user(connection, number, user.name, user.password_hash, user.admin)
    account_tables.write_grants(connection, number, {databases[name]: p for name, p in user.grants.items()})
