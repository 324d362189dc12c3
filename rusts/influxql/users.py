"""CREATE USER, DROP USER, SET PASSWORD, GRANT, REVOKE."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from rusts import errors
from rusts.influxql import ast
from rusts.influxql.context import Context
from rusts.model.accounts import Privilege, User

__all__ = ["create_user", "drop_user", "grant", "grant_admin", "revoke", "revoke_admin", "set_password"]

_BITS: Final = {
    ast.Privilege.READ: Privilege.READ,
    ast.Privilege.WRITE: Privilege.WRITE,
    ast.Privilege.ALL: Privilege.ALL,
}


def _user(context: Context, name: str) -> User:
    user = context.services.accounts.user(name)
    if user is None:
        raise errors.InvalidRequest("user not found")
    return user


def create_user(context: Context, statement: ast.CreateUser) -> None:
    """Make a user; the same one again, with the same password, is no error."""
    services = context.services
    if not statement.name:
        raise errors.InvalidRequest("username required")
    known = services.accounts.user(statement.name)
    if known is not None:
        same = known.admin == statement.admin and services.verify_password(statement.password, known.password_hash)
        if not same:
            raise errors.InvalidRequest("user already exists")
        return
    services.accounts.put_user(User(statement.name, services.hash_password(statement.password), statement.admin))


def drop_user(context: Context, statement: ast.DropUser) -> None:
    """Forget a user."""
    _user(context, statement.name)
    context.services.accounts.drop_user(statement.name)


def set_password(context: Context, statement: ast.SetPassword) -> None:
    """Give a user another password."""
    user = _user(context, statement.user)
    services = context.services
    services.accounts.put_user(replace(user, password_hash=services.hash_password(statement.password)))


def grant(context: Context, statement: ast.Grant) -> None:
    """Let a user do something in a database, instead of what they could do there."""
    user = _user(context, statement.user)
    context.existing(statement.database)
    grants = {**user.grants, statement.database: _BITS[statement.privilege]}
    context.services.accounts.put_user(replace(user, grants=grants))


def revoke(context: Context, statement: ast.Revoke) -> None:
    """Take a right in a database from a user; the database stays listed, if need be without rights."""
    user = _user(context, statement.user)
    context.existing(statement.database)
    held = user.grants.get(statement.database, 0)
    grants = {**user.grants, statement.database: Privilege(held & ~_BITS[statement.privilege])}
    context.services.accounts.put_user(replace(user, grants=grants))


def grant_admin(context: Context, statement: ast.GrantAdmin) -> None:
    """Make a user an administrator."""
    context.services.accounts.put_user(replace(_user(context, statement.user), admin=True))


def revoke_admin(context: Context, statement: ast.RevokeAdmin) -> None:
    """Let a user be no administrator any more."""
    context.services.accounts.put_user(replace(_user(context, statement.user), admin=False))
