from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from rusts.auth.tokens import new_token
from rusts.model.store import PolicyInfo
from tests.support.asgi import Client, Response
from tests.support.storage import FakeStorage

HOUR = 3_600 * 10**9


def request(client: Client, method: str, path: str, body: Any = None, token: str = "") -> Response:
    headers = {"Authorization": f"Token {token}"} if token else {}
    return client.request(method, path, b"" if body is None else json.dumps(body).encode(), headers)


def names(client: Client, query: str = "", token: str = "") -> list[str]:
    answer = request(client, "GET", f"/api/v2/buckets{query}", token=token)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json; charset=utf-8")
    return [bucket["name"] for bucket in answer.json()["buckets"]]


def test_organisations(client: Client):
    (org,) = request(client, "GET", "/api/v2/orgs?org=acme").json()["orgs"]
    assert org["name"] == "acme"
    assert len(org["id"]) == 16
    assert int(org["id"], 16)
    assert request(client, "GET", "/api/v2/orgs").json()["orgs"][0]["id"] == org["id"]


def test_policies_are_buckets(client: Client, storage: FakeStorage):
    storage.create_database("plant")
    storage.create_policy("plant", PolicyInfo("raw", 24 * HOUR, 0, 1, default=False))
    assert names(client) == ["default", "plant", "plant/raw"]
    assert names(client, "?name=plant") == ["plant"]
    assert names(client, "?name=plant/autogen") == ["plant"]
    assert names(client, "?name=plant%2Fraw&org=x") == ["plant/raw"]
    assert names(client, "?name=nope") == []
    assert request(client, "GET", "/api/v2/buckets?name=nope").body == b'{"buckets":[]}\n'
    assert names(client, "?limit=2") == ["default", "plant"]
    assert names(client, "?limit=2&offset=2") == ["plant/raw"]
    identifier = request(client, "GET", "/api/v2/buckets?name=plant").json()["buckets"][0]["id"]
    assert names(client, f"?after={identifier}") == ["plant/raw"]
    assert names(client, f"?id={identifier}") == ["plant"]
    assert request(client, "GET", "/api/v2/buckets?limit=x").status == 400


def test_making_a_bucket(client: Client, storage: FakeStorage):
    rules = [{"type": "expire", "everySeconds": 7200}]
    made = request(client, "POST", "/api/v2/buckets", {"orgID": "x", "name": "b", "rp": "0", "retentionRules": rules})
    assert made.status == 201
    bucket = made.json()
    assert (bucket["name"], bucket["type"], bucket["rp"]) == ("b", "user", "autogen")
    assert bucket["retentionRules"][0]["everySeconds"] == 7200
    assert len(bucket["id"]) == len(bucket["orgID"]) == 16
    assert [(p.name, p.duration, p.default) for p in storage.policies("b")] == [("autogen", 2 * HOUR, True)]
    again = request(client, "POST", "/api/v2/buckets", {"name": "b", "retentionRules": []})
    assert (again.status, again.json()) == (
        422,
        {"code": "conflict", "message": "bucket with name b already exists"},
    )
    assert again.headers["x-platform-error-code"] == "conflict"
    assert request(client, "POST", "/api/v2/buckets", {"name": "b/raw"}).json()["name"] == "b/raw"
    assert request(client, "POST", "/api/v2/buckets", {"name": "c/raw"}).json()["name"] == "c"
    assert names(client) == ["default", "b", "b/raw", "c"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": 5},
        {"name": "a/b/c"},
        {"name": "a/"},
        {"name": "forbidden"},
        {"name": "a", "retentionRules": {}},
        {"name": "a", "retentionRules": [1]},
        {"name": "a", "retentionRules": [{"everySeconds": "1h"}]},
        {"name": "a", "retentionRules": [{"everySeconds": -1}]},
        {"name": "a", "retentionRules": [{"everySeconds": 60}]},
        [],
    ],
)
def test_buckets_that_cannot_be(client: Client, body: Any):
    if body == {"name": "a", "retentionRules": {}}:
        # An empty rule is no rule.
        assert request(client, "POST", "/api/v2/buckets", body).status == 201
        return
    answer = request(client, "POST", "/api/v2/buckets", body)
    assert (answer.status, answer.json()["code"]) == (400, "invalid")
    assert names(client) == ["default"]


def test_one_bucket(client: Client, storage: FakeStorage):
    made = request(client, "POST", "/api/v2/buckets", {"name": "b"}).json()
    path = f"/api/v2/buckets/{made['id']}"
    assert request(client, "GET", path).json() == made
    changed = request(client, "PATCH", path, {"name": "b", "retentionRules": [{"everySeconds": 3600}]})
    assert changed.status == 200
    assert changed.json()["retentionRules"][0]["everySeconds"] == 3600
    assert storage.policies("b")[0].duration == HOUR
    assert request(client, "PATCH", path, {"description": "x"}).status == 200
    assert storage.policies("b")[0].duration == HOUR
    assert request(client, "PATCH", path, {"name": "other"}).status == 400
    raw = request(client, "POST", "/api/v2/buckets", {"name": "b/raw"}).json()["id"]
    assert request(client, "DELETE", f"/api/v2/buckets/{raw}").status == 204
    assert [p.name for p in storage.policies("b")] == ["autogen"]
    assert request(client, "DELETE", path).status == 204
    assert storage.databases() == ["default"]
    for method in ("GET", "PATCH", "DELETE"):
        gone = request(client, method, path, {})
        assert (gone.status, gone.json()["code"]) == (404, "not found")
    assert request(client, "GET", "/api/v2/buckets/").status == 404
    assert request(client, "PUT", path).status == 405


def test_who_may(open_client: Callable[..., Client], storage: FakeStorage):
    client = open_client(auth="true")
    for name in ("a", "b"):
        storage.create_database(name)
    reader, token = new_token("", ["read:a"], 0)
    storage.put_token(token)
    admin, token = new_token("", ["admin"], 0)
    storage.put_token(token)
    assert names(client, token=reader) == ["a"]
    assert names(client, token=admin) == ["default", "a", "b"]
    listed = request(client, "GET", "/api/v2/buckets", token=admin).json()["buckets"]
    mine, other = (bucket["id"] for bucket in listed[1:])
    assert request(client, "GET", f"/api/v2/buckets/{mine}", token=reader).status == 200
    assert request(client, "GET", f"/api/v2/buckets/{other}", token=reader).status == 404
    for method, path in (
        ("POST", "/api/v2/buckets"),
        ("PATCH", f"/api/v2/buckets/{mine}"),
        ("DELETE", f"/api/v2/buckets/{mine}"),
    ):
        refused = request(client, method, path, {"name": "x"}, reader)
        assert (refused.status, refused.json()["code"]) == (403, "forbidden")
