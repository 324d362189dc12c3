from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest

from rusts import errors
from rusts.auth import signed

NOW = 1_700_000_000


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(claims: Any, secret: str = "s", alg: str = "HS256") -> str:
    text = b64(json.dumps({"alg": alg, "typ": "JWT"}).encode()) + "." + b64(json.dumps(claims).encode())
    hashed = {"HS384": hashlib.sha384, "HS512": hashlib.sha512}.get(alg, hashlib.sha256)
    return text + "." + b64(hmac.new(secret.encode(), text.encode(), hashed).digest())


def verify(text: str) -> signed.SignedName:
    return signed.verify(text, "s", NOW * 10**9)


def test_a_good_token():
    assert verify(token({"username": "ann", "exp": NOW + 1})) == ("ann", (NOW + 1) * 10**9)
    assert verify(token({"username": "ann", "exp": NOW + 1, "iat": NOW, "nbf": NOW - 5}, alg="HS512")).name == "ann"
    assert verify(token({"username": "ann", "exp": 1e300})).expires_ns == 1 << 62


# The texts are those of influxd 1.6.7, but for the two that name bytes of what could not be decoded.
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("x", "token contains an invalid number of segments"),
        ("a.b.c", "illegal base64 data in token"),
        ("!.b.c", "illegal base64 data in token"),
        (b64(b"[1]") + ".e30.", "token holds no JSON object"),
        (b64(b"{") + ".e30.", "token holds no JSON object"),
        (token({"username": "ann"}), "token expiration required"),
        (token({"username": "ann", "exp": "x"}), "token expiration required"),
        (token({"username": "ann", "exp": True}), "token expiration required"),
        (token({"username": "ann", "exp": NOW - 1}), "Token is expired"),
        (token({"username": "ann", "exp": NOW + 9, "iat": NOW + 5}), "Token used before issued"),
        (token({"username": "ann", "exp": NOW + 9, "nbf": NOW + 5}), "Token is not valid yet"),
        (token({"exp": NOW + 9}), "username in token must be a string"),
        (token({"username": 5, "exp": NOW + 9}), "username in token must be a string"),
        (token({"username": "", "exp": NOW + 9}), "token must contain a username"),
        (token({"username": "ann", "exp": NOW + 9}, secret="other"), "signature is invalid"),
        (token({"username": "ann", "exp": NOW - 9}, secret="other"), "signature is invalid"),
        (token({"username": "ann", "exp": NOW + 9}, alg="none"), "unexpected signing method: none"),
    ],
)
def test_what_is_wrong(text: str, problem: str):
    with pytest.raises(errors.NotAuthenticated) as raised:
        verify(text)
    assert str(raised.value) == problem
