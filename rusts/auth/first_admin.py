"""The first administrator of a server that is started unattended."""

from __future__ import annotations

from rusts import errors
from rusts.auth.passwords import hash_password
from rusts.model.accounts import Accounts, User

__all__ = ["ensure_admin"]


def ensure_admin(accounts: Accounts, name: str, password: str) -> bool:
    """Make the administrator `name` unless there is one, whatever their name; whether that was done.

    So a password that was changed later stays changed. Raises BadConfig where one of both is missing.
    """
    if bool(name) != bool(password):
        raise errors.BadConfig("admin-user and admin-password are given together, or neither of them")
    if not name or any(user.admin for user in accounts.users()):
        return False
    known = accounts.user(name)
    accounts.put_user(User(name, hash_password(password), admin=True, grants=known.grants if known else {}))
    return True
