from __future__ import annotations

import threading
from typing import Any

import pytest

from rusts import errors
from rusts.auth import authenticator as room
from rusts.auth.authenticator import Authenticator
from rusts.auth.credentials import Bearer, Login, Session
from rusts.auth.passwords import hash_password
from rusts.auth.tokens import new_token
from rusts.model.accounts import Privilege, User
from tests.support.accounts import DictAccounts
from tests.unit.auth.test_signed import token as signed_token


class Clock:
    """Stands still until it is told to move."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def now_ns(self) -> int:
        return int(self.seconds * 1e9)

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def accounts() -> DictAccounts:
    made = DictAccounts()
    made.put_user(User("ann", hash_password("pw"), grants={"a": Privilege.READ}))
    return made


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The passwords that were checked the slow way."""
    seen: list[str] = []
    verify = room.verify_password

    def watched(password: str, stored: str | None) -> bool:
        seen.append(password)
        return verify(password, stored)

    monkeypatch.setattr(room, "verify_password", watched)
    return seen


@pytest.fixture
def auth(accounts: DictAccounts, clock: Clock) -> Authenticator:
    return Authenticator(accounts, clock, "s")


ANN = Login("ann", "pw")


def test_a_password_is_checked_once(auth: Authenticator, checks: list[str]):
    assert auth.remembered(ANN) is None
    assert auth.authenticate(ANN, "here").name == "ann"
    assert auth.authenticate(ANN, "there").grants == {"a": Privilege.READ}
    found = auth.remembered(ANN)
    assert found is not None
    assert found.name == "ann"
    assert checks == ["pw"]
    assert auth.remembered(Login("ann", "pw2")) is None
    assert auth.remembered(Bearer("ann", signed=True)) is None


def test_what_is_remembered_holds_no_secret(auth: Authenticator):
    auth.authenticate(Login("ann", "pw"), "here")
    assert auth._known
    assert not any(b"pw" in key or b"ann" in key for key in auth._known)


def test_a_change_of_accounts_is_seen_at_once(auth: Authenticator, accounts: DictAccounts, checks: list[str]):
    auth.authenticate(ANN, "here")
    accounts.put_user(User("ann", hash_password("new"), admin=True))
    assert auth.remembered(ANN) is None
    with pytest.raises(errors.NotAuthenticated, match="authorization failed"):
        auth.authenticate(ANN, "here")
    assert auth.authenticate(Login("ann", "new"), "here").admin
    accounts.drop_user("ann")
    with pytest.raises(errors.NotAuthenticated):
        auth.authenticate(Login("ann", "new"), "here")
    assert len(checks) == 4


def test_a_change_during_the_check_is_not_missed(
    auth: Authenticator, accounts: DictAccounts, monkeypatch: pytest.MonkeyPatch
):
    verify = room.verify_password

    def slow(password: str, stored: str | None) -> bool:
        right = verify(password, stored)
        accounts.drop_user("ann")
        return right

    monkeypatch.setattr(room, "verify_password", slow)
    auth.authenticate(ANN, "here")
    assert auth.remembered(ANN) is None
    with pytest.raises(errors.NotAuthenticated):
        auth.authenticate(ANN, "here")


def test_tokens_in_every_form(auth: Authenticator, accounts: DictAccounts, clock: Clock, checks: list[str]):
    secret, token = new_token("", ["write:a"], 0, clock.now_ns() + 10**9)
    accounts.put_token(token)
    for credentials in (
        Bearer(secret, signed=False),
        Bearer(secret, signed=True),
        Login("whoever", secret),
        Login("", secret),
    ):
        found = auth.authenticate(credentials, "here")
        assert (found.name, found.may(Privilege.WRITE, "a")) == (f"token {token.id}", True)
    assert checks == []
    clock.seconds += 2
    assert auth.remembered(Bearer(secret, signed=False)) is None
    with pytest.raises(errors.NotAuthenticated, match="expired"):
        auth.authenticate(Bearer(secret, signed=False), "here")
    for wrong in (Bearer(secret + "x", signed=False), Bearer("", signed=False), Login("", "x")):
        with pytest.raises(errors.NotAuthenticated):
            auth.authenticate(wrong, "here")


def test_a_revoked_token(auth: Authenticator, accounts: DictAccounts):
    secret, token = new_token("", ["admin"], 0)
    accounts.put_token(token)
    assert auth.authenticate(Bearer(secret, signed=False), "here").admin
    accounts.drop_token(token.id)
    with pytest.raises(errors.NotAuthenticated):
        auth.authenticate(Bearer(secret, signed=False), "here")


def test_signed_tokens(auth: Authenticator, accounts: DictAccounts, clock: Clock):
    def bearer(**claims: Any) -> Bearer:
        return Bearer(signed_token(claims), signed=True)

    good = bearer(username="ann", exp=1_010)
    assert auth.authenticate(good, "here").grants == {"a": Privilege.READ}
    assert auth.remembered(good) is not None
    clock.seconds = 1_011
    assert auth.remembered(good) is None
    with pytest.raises(errors.NotAuthenticated, match="Token is expired"):
        auth.authenticate(good, "here")
    with pytest.raises(errors.NotAuthenticated, match="user not found"):
        auth.authenticate(bearer(username="bob", exp=2_000), "here")
    # Only Bearer carries them, and only where there is a shared secret.
    fresh = signed_token({"username": "ann", "exp": 2_000})
    for credentials, taker in (
        (Bearer(fresh, signed=False), auth),
        (Bearer(fresh, signed=True), Authenticator(accounts, clock)),
    ):
        with pytest.raises(errors.NotAuthenticated, match="authorization failed"):
            taker.authenticate(credentials, "here")


def test_failed_logins_are_limited_by_source_and_name(
    auth: Authenticator, accounts: DictAccounts, clock: Clock, checks: list[str]
):
    accounts.put_user(User("bob", hash_password("pb")))
    for _ in range(10):
        with pytest.raises(errors.NotAuthenticated):
            auth.authenticate(Login("ann", "wrong"), "here")
    with pytest.raises(errors.TooManyFailures) as raised:
        auth.authenticate(ANN, "here")
    assert raised.value.seconds == 60
    assert len(checks) == 10
    assert auth.authenticate(ANN, "there").name == "ann"
    assert auth.authenticate(Login("bob", "pb"), "here").name == "bob"
    # What was verified is not asked for again, so a stranger next door locks nobody out.
    assert auth.authenticate(ANN, "here").name == "ann"
    clock.seconds += 61
    accounts.put_user(User("carl", hash_password("pc")))
    assert auth.authenticate(ANN, "here").name == "ann"


def test_failed_logins_are_limited_by_source(auth: Authenticator, accounts: DictAccounts):
    secret, token = new_token("", ["admin"], 0)
    accounts.put_token(token)
    for number in range(100):
        auth._logins.failed("here", f"guess {number}")
    with pytest.raises(errors.TooManyFailures):
        auth.authenticate(ANN, "here")
    assert auth.authenticate(Bearer(secret, signed=False), "here").admin
    assert auth.authenticate(ANN, "there").name == "ann"


def test_wrong_secrets_slow_their_senders_down_and_nobody_else(auth: Authenticator, accounts: DictAccounts):
    secret, token = new_token("", ["admin"], 0)
    accounts.put_token(token)
    kinds = []
    for number in range(11):
        with pytest.raises(errors.NotAuthenticated) as raised:
            auth.authenticate(Bearer(f"guess {number}", signed=True), "here")
        kinds.append(isinstance(raised.value, errors.TooManyFailures))
    assert kinds == [False] * 10 + [True]
    assert auth.authenticate(Bearer(signed_token({"username": "ann", "exp": 2_000}), signed=True), "here").name == "ann"
    assert auth.authenticate(Bearer(secret, signed=False), "here").admin
    assert auth.authenticate(ANN, "here").name == "ann"


def test_sessions(auth: Authenticator, accounts: DictAccounts, clock: Clock):
    ann = accounts.user("ann")
    assert ann is not None
    secret = auth.sessions.begin(ann)
    assert auth.authenticate(Session(secret), "here").name == "ann"
    clock.seconds += 3_000
    assert auth.authenticate(Session(secret), "here").name == "ann"
    clock.seconds += 3_000
    assert auth.authenticate(Session(secret), "here").name == "ann"
    clock.seconds += 4_000
    for wrong in (secret, "x"):
        with pytest.raises(errors.NotAuthenticated):
            auth.authenticate(Session(wrong), "here")
    secret = auth.sessions.begin(ann)
    accounts.put_user(User("ann", hash_password("new")))
    with pytest.raises(errors.NotAuthenticated):
        auth.authenticate(Session(secret), "here")
    ann = accounts.user("ann")
    assert ann is not None
    secret = auth.sessions.begin(ann)
    auth.sessions.end(secret)
    with pytest.raises(errors.NotAuthenticated):
        auth.authenticate(Session(secret), "here")


def test_nobody_is_there_at_first(accounts: DictAccounts, clock: Clock):
    empty = DictAccounts()
    auth = Authenticator(empty, clock)
    assert auth.is_open()
    empty.put_token(new_token("", ["metrics"], 0)[1])
    assert not auth.is_open()
    assert not Authenticator(accounts, clock).is_open()


def test_from_several_threads(auth: Authenticator, checks: list[str]):
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(auth.authenticate(ANN, "here").name)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["ann"] * 4
