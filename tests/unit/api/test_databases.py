from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from rusts.auth.tokens import new_token
from tests.support.asgi import Client, Response
from tests.support.storage import FakeStorage

PATH = "/api/v3/configure/database"
DAY = 86_400 * 10**9


def send(client: Client, method: str, body: Any, token: str = "") -> Response:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    return client.request(method, PATH, json.dumps(body).encode(), headers)


def test_databases_are_made_changed_and_dropped(client: Client, storage: FakeStorage):
    made = send(client, "POST", {"db": "plant", "retention_period": "7d"})
    assert (made.status, made.body) == (200, b"")
    assert storage.policies("plant")[0].duration == 7 * DAY
    assert send(client, "POST", {"db": "plant"}).status == 409
    assert send(client, "POST", {"db": "other"}).status == 200
    assert storage.policies("other")[0].duration == 0
    assert send(client, "PUT", {"db": "other", "retention_period": "12h"}).status == 200
    assert storage.policies("other")[0].duration == DAY // 2
    assert send(client, "PUT", {"db": "other", "retention_period": None}).status == 200
    assert storage.policies("other")[0].duration == 0
    listed = client.request("GET", f"{PATH}?format=json")
    assert listed.json() == [{"iox::database": name} for name in ("default", "plant", "other")]
    assert client.request("DELETE", f"{PATH}?db=plant").status == 200
    assert storage.databases() == ["default", "other"]


@pytest.mark.parametrize(
    ("method", "body", "status"),
    [
        ("POST", {}, 400),
        ("POST", {"db": "a b"}, 400),
        ("POST", {"db": "a/b"}, 400),
        ("POST", {"db": "a", "retention_period": "soon"}, 400),
        ("POST", {"db": "a", "retention_period": 5}, 400),
        ("POST", {"db": "a", "retention_period": "1m"}, 400),
        ("PUT", {"db": "nope"}, 404),
        ("DELETE", {}, 404),
        ("GET", {}, 400),
    ],
)
def test_what_cannot_be(client: Client, method: str, body: Any, status: int):
    answer = send(client, method, body)
    assert answer.status == status
    assert answer.body


def test_only_json_is_read(client: Client):
    assert client.request("POST", PATH, b'{"db":"x"}').status == 415


def test_who_may(open_client: Callable[..., Client], storage: FakeStorage):
    client = open_client(auth="true")
    secret, token = new_token("", ["write:default"], 0)
    storage.put_token(token)
    storage.create_database("other")
    answer = client.request("GET", f"{PATH}?format=json", headers={"Authorization": f"Bearer {secret}"})
    assert answer.json() == [{"iox::database": "default"}]
    for method in ("POST", "PUT", "DELETE"):
        refused = send(client, method, {"db": "new"}, secret)
        assert (refused.status, list(refused.json())) == (403, ["error"])


def test_sql_is_not_offered_yet(client: Client):
    for method in ("GET", "POST"):
        answer = client.request(method, "/api/v3/query_sql?db=default&q=select+1")
        assert answer.status == 501
        assert b"InfluxQL" in answer.body
