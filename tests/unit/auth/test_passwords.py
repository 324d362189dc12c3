from __future__ import annotations

import base64
import hashlib

import pytest

from rusts import errors
from rusts.auth.passwords import hash_password, verify_password


def test_a_password_is_known_by_its_hash_and_not_in_it():
    stored = hash_password("pässword")
    assert "pässword" not in stored
    assert stored.startswith("scrypt$ln=14,r=8,p=1$")
    assert verify_password("pässword", stored)
    assert not verify_password("password", stored)
    assert hash_password("pässword") != stored


def test_the_parameters_stand_in_the_text():
    key = base64.b64encode(hashlib.scrypt(b"x", salt=b"salt", n=16, r=1, p=1, dklen=24)).decode()
    assert verify_password("x", f"scrypt$ln=4,r=1,p=1$c2FsdA==${key}")


@pytest.mark.parametrize(
    "stored", [None, "", "x", "scrypt$ln=14,r=8,p=1$!$!", "scrypt$ln=40,r=8,p=1$c2FsdA==$c2FsdA=="]
)
def test_what_cannot_be_checked_is_wrong(stored: str | None):
    assert not verify_password("x", stored)


def test_an_empty_password_is_refused():
    with pytest.raises(errors.InvalidRequest):
        hash_password("")
