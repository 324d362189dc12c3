from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from rusts import errors
from rusts.api.deletes import parse_predicate
from rusts.auth.tokens import new_token
from rusts.model.predicate import And, TagIn
from rusts.model.store import PolicyInfo, TimeRange
from tests.support.asgi import Client, Response
from tests.support.storage import FakeStorage

BODY = {"start": "1970-01-01T00:00:01Z", "stop": "1970-01-01T00:00:02.5Z"}


@pytest.fixture
def deleted(storage: FakeStorage, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    seen: list[tuple[Any, ...]] = []
    monkeypatch.setattr(storage, "delete", lambda *arguments: seen.append(arguments))
    return seen


def delete(client: Client, query: str, body: Any, token: str = "") -> Response:
    headers = {"Authorization": f"Token {token}"} if token else {}
    return client.request("POST", f"/api/v2/delete{query}", json.dumps(body).encode(), headers)


def test_a_delete(client: Client, deleted: list[tuple[Any, ...]]):
    client.request("POST", "/write", b"cpu v=1 1\nmem v=1 1")
    body = {**BODY, "predicate": '_measurement="cpu" AND host="a b"'}
    assert delete(client, "?org=o&bucket=default", body).status == 204
    assert delete(client, "?bucket=default/autogen", BODY).status == 204
    identifier = client.request("GET", "/api/v2/buckets").json()["buckets"][0]["id"]
    assert delete(client, f"?bucketID={identifier}", {**BODY, "predicate": ""}).status == 204
    span = TimeRange(1_000_000_000, 2_500_000_000)
    assert deleted == [
        ("default", ["cpu"], span, TagIn("host", ("a b",))),
        ("default", ["cpu", "mem"], span, None),
        ("default", ["cpu", "mem"], span, None),
    ]


@pytest.mark.parametrize(
    ("query", "body", "status", "text"),
    [
        ("", BODY, 404, "bucket not found"),
        ("?bucket=nope", BODY, 404, 'bucket "nope" not found'),
        ("?bucket=default", {"stop": BODY["stop"]}, 400, "invalid RFC3339Nano for field start"),
        ("?bucket=default", {**BODY, "stop": "soon"}, 400, "invalid RFC3339Nano for field stop"),
        ("?bucket=default", {**BODY, "stop": "1970-01-01"}, 400, "invalid RFC3339Nano for field stop"),
        ("?bucket=default", {**BODY, "stop": 5}, 400, "invalid RFC3339Nano for field stop"),
        ("?bucket=default", {**BODY, "predicate": 5}, 400, "predicate: want a text"),
        ("?bucket=default", {**BODY, "predicate": "a!=b"}, 400, "only = and AND"),
        ("?bucket=default", {**BODY, "predicate": '_field="x"'}, 501, "delete by field is not supported"),
        ("?bucket=default", {**BODY, "predicate": 'a="b" AND _field="x"'}, 501, "delete by field is not supported"),
        ("?bucket=default", [], 400, "the body is not a JSON object"),
    ],
)
def test_wrong_deletes(client: Client, deleted: list[tuple[Any, ...]], query: str, body: Any, status: int, text: str):
    answer = delete(client, query, body)
    assert answer.status == status
    assert text in answer.json()["message"]
    assert deleted == []


def test_a_bucket_beside_others_is_not_deleted_from(
    client: Client, storage: FakeStorage, deleted: list[tuple[Any, ...]]
):
    storage.create_policy("default", PolicyInfo("raw", 0, 0, 1, default=False))
    assert delete(client, "?bucket=default/raw", BODY).status == 501
    assert deleted == []


def test_who_may(open_client: Callable[..., Client], storage: FakeStorage, deleted: list[tuple[Any, ...]]):
    client = open_client(auth="true")
    for scope, status in (("read:default", 403), ("write:default", 204), ("write:other", 403)):
        secret, token = new_token("", [scope], 0)
        storage.put_token(token)
        assert delete(client, "?bucket=default", BODY, secret).status == status
        assert delete(client, "?bucket=nope", BODY, secret).status == 403
    assert len(deleted) == 1


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", (None, None)),
        ("  ", (None, None)),
        ("_measurement=m", ("m", None)),
        (' _measurement = "a\\"b" ', ('a"b', None)),
        ('a=\'x\' and "b c"="y"', (None, And((TagIn("a", ("x",)), TagIn("b c", ("y",)))))),
        ('a="x AND b=1"', (None, TagIn("a", ("x AND b=1",)))),
        ('_measurement="m" AND _measurement="m"', ("m", None)),
    ],
)
def test_predicates(text: str, found: Any):
    assert parse_predicate(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "a=",
        "=b",
        "a=b c=d",
        "a=b AND",
        "a=b OR c=d",
        "(a=b)",
        "a<b",
        "a=b AND AND c=d",
        "_measurement=a AND _measurement=b",
    ],
)
def test_predicates_that_are_none(text: str):
    with pytest.raises(errors.InvalidRequest, match="predicate"):
        parse_predicate(text)
