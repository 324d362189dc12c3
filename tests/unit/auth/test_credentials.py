from __future__ import annotations

import base64

import pytest

from rusts import errors
from rusts.auth.credentials import Bearer, Credentials, Login, Session, read_credentials


def basic(text: str) -> bytes:
    return b"Basic " + base64.b64encode(text.encode())


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (basic("u:p"), Login("u", "p")),
        (basic("u:a:b"), Login("u", "a:b")),
        (basic("ü:ö"), Login("ü", "ö")),
        (basic(":t"), Login("", "t")),
        (basic("u:"), Login("u", "")),
        (b"basic " + base64.b64encode(b"u:p"), Login("u", "p")),
        (b"Token u:p", Login("u", "p")),
        (b"Token abc", Bearer("abc", signed=False)),
        (b"token  abc ", Bearer("abc", signed=False)),
        (b"Bearer a.b.c", Bearer("a.b.c", signed=True)),
    ],
)
def test_headers(header: bytes, found: Credentials):
    assert read_credentials(header, b"", b"u=x&p=y", parameters=False) == found


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (b"u=a&p=b", Login("a", "b")),
        (b"db=x&u=a%20b&p=c%26", Login("a b", "c&")),
        (b"u=a&u=z&p=b", Login("a", "b")),
        (b"u=a", Login("h", "i")),
        (b"p=b", Login("h", "i")),
        (b"u=&p=", Login("h", "i")),
        (b"rp=x", Login("h", "i")),
    ],
)
def test_parameters_beat_the_header_on_the_paths_of_v1(query: bytes, found: Credentials):
    assert read_credentials(basic("h:i"), b"", query, parameters=True) == found


def test_a_lone_password_is_a_token():
    assert read_credentials(b"", b"", b"p=secret", parameters=True) == Bearer("secret", signed=False)


def test_cookies():
    cookie = b"a=b; influxdb-oss-session=xyz; Path=/api/; HttpOnly"
    assert read_credentials(b"", cookie, b"", parameters=False) == Session("xyz")
    assert read_credentials(b"Token t", cookie, b"", parameters=False) == Bearer("t", signed=False)
    with pytest.raises(errors.NotAuthenticated):
        read_credentials(b"", b"other=1", b"", parameters=False)


@pytest.mark.parametrize(
    ("header", "malformed"),
    [
        (b"", False),
        (b"Token", False),
        (b"Token ", False),
        (b"Bearer", False),
        (b"Basic", True),
        (b"Basic !!!", True),
        (basic("nocolon"), True),
        (b"Digest x", True),
        (b"x", True),
        (b"\xff\xfe", True),
    ],
)
def test_what_cannot_be_read(header: bytes, malformed: bool):
    with pytest.raises(errors.NotAuthenticated, match="unable to parse authentication credentials") as raised:
        read_credentials(header, b"", b"u=a", parameters=True)
    assert raised.value.malformed is malformed


def test_no_name_and_no_password():
    with pytest.raises(errors.NotAuthenticated, match="username required"):
        read_credentials(basic(":"), b"", b"", parameters=False)
