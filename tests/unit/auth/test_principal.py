from __future__ import annotations

import pytest

from rusts import errors
from rusts.auth.principal import of_token, of_user, parse_scopes
from rusts.auth.tokens import new_token
from rusts.model.accounts import Privilege, Token, User

READ, WRITE, ALL = Privilege.READ, Privilege.WRITE, Privilege.ALL


def test_users_may_what_is_granted():
    user = of_user(User("u", "", grants={"r": READ, "w": WRITE, "a": ALL}))
    allowed = {(db, p.name) for db in ("r", "w", "a", "x") for p in (READ, WRITE, ALL) if user.may(p, db)}
    assert allowed == {("r", "READ"), ("w", "WRITE"), ("a", "READ"), ("a", "WRITE"), ("a", "ALL")}
    assert [db for db in ("r", "w", "a", "x") if user.sees(db)] == ["r", "w", "a"]
    assert not user.metrics
    assert not user.admin
    admin = of_user(User("u", "", admin=True))
    assert admin.may(ALL, "anything")
    assert admin.sees("anything")
    assert admin.metrics


def scoped(*scopes: str) -> Token:
    return Token("0123", "", b"", scopes)


def test_tokens_may_what_their_scopes_say():
    token = of_token(scoped("read:a", "write:a", "write:b", "all:c"))
    assert token.grants == {"a": ALL, "b": WRITE, "c": ALL}
    assert (token.admin, token.metrics, token.user) == (False, False, False)
    assert token.may(ALL, "a")
    assert not token.may(READ, "b")
    everywhere = of_token(scoped("read:*", "write:a:b"))
    assert everywhere.may(READ, "x")
    assert not everywhere.may(WRITE, "x")
    assert everywhere.may(ALL, "a:b")
    assert of_token(scoped("metrics")).metrics
    assert of_token(scoped("admin")).may(ALL, "x")
    later = of_token(scoped("dance:a", "read:", "", "read"))
    assert (later.grants, later.everywhere, later.admin) == ({}, 0, False)


def test_scopes_are_checked():
    assert parse_scopes([" read:a", "read:a", "admin", ""]) == ("read:a", "admin")
    for wrong in ([], [""], ["read"], ["read:"], ["dance:a"], ["admin", "x"]):
        with pytest.raises(errors.InvalidRequest):
            parse_scopes(wrong)


def test_new_tokens():
    secret, token = new_token("for me", ["read:a"], 5, 9)
    assert secret.startswith("rusts_")
    assert secret not in repr(token)
    assert (token.description, token.scopes, token.created_ns, token.expires_ns) == ("for me", ("read:a",), 5, 9)
    assert len(token.hash) == 32
    assert new_token("", ["admin"], 0)[0] != secret
