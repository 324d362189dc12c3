from __future__ import annotations

import pytest

from rusts.auth.first_admin import ensure_admin
from rusts.auth.passwords import verify_password
from rusts.errors import BadConfig
from rusts.model.accounts import Privilege, User
from tests.support.accounts import DictAccounts


def test_the_first_administrator_is_made_once():
    accounts = DictAccounts()
    assert not ensure_admin(accounts, "", "")
    assert accounts.users() == []
    assert ensure_admin(accounts, "root", "pw")
    root = accounts.user("root")
    assert root is not None
    assert root.admin
    assert verify_password("pw", root.password_hash)
    assert not ensure_admin(accounts, "root", "other")
    assert not ensure_admin(accounts, "toor", "other")
    assert accounts.users() == [root]


def test_a_user_of_that_name_becomes_one():
    accounts = DictAccounts()
    accounts.put_user(User("ann", "x", grants={"a": Privilege.READ}))
    assert ensure_admin(accounts, "ann", "pw")
    ann = accounts.user("ann")
    assert ann is not None
    assert ann.admin
    assert ann.grants == {"a": Privilege.READ}


@pytest.mark.parametrize(("name", "password"), [("root", ""), ("", "pw")])
def test_one_alone_is_a_mistake(name: str, password: str):
    with pytest.raises(BadConfig):
        ensure_admin(DictAccounts(), name, password)
