"""Accounts kept in dicts."""

from __future__ import annotations

from rusts.model.accounts import Token, User

__all__ = ["DictAccounts"]


class DictAccounts:
    """See `rusts.model.accounts.Accounts`; knows no databases, so every grant will do."""

    def __init__(self) -> None:
        super().__init__()
        self.accounts_version = 0
        self._users: dict[str, User] = {}
        self._tokens: dict[str, Token] = {}

    def users(self) -> list[User]:
        return list(self._users.values())

    def user(self, name: str) -> User | None:
        return self._users.get(name)

    def put_user(self, user: User) -> None:
        self._users[user.name] = user
        self.accounts_version += 1

    def drop_user(self, name: str) -> None:
        self._users.pop(name, None)
        self.accounts_version += 1

    def tokens(self) -> list[Token]:
        return list(self._tokens.values())

    def put_token(self, token: Token) -> None:
        self._tokens[token.id] = token
        self.accounts_version += 1

    def drop_token(self, id: str) -> None:
        self._tokens.pop(id, None)
        self.accounts_version += 1
