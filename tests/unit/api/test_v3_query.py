from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pyarrow.parquet as pq
import pytest

from rusts.auth.tokens import new_token
from tests.support.asgi import Client, Response
from tests.support.storage import FakeStorage

PATH = "/api/v3/query_influxql"
LINES = b"""
cpu,host=a usage=1.5,state="x y",ok=true 1000000000
cpu,host=a usage=2 2500000000
cpu,host=b,rack=r\\"1 usage=-3 1000000000
mem free=7i 5
"""
BY_HOST = "SELECT usage, state, ok FROM cpu GROUP BY host"


@pytest.fixture
def client(client: Client) -> Client:
    assert client.request("POST", "/write", LINES).status == 204
    return client


def get(client: Client, q: str, headers: dict[str, str] | None = None, **more: str) -> Response:
    return client.request("GET", f"{PATH}?{urlencode({'db': 'default', 'q': q, **more})}", headers=headers or {})


ROWS = [
    {
        "iox::measurement": "cpu",
        "time": "1970-01-01T00:00:01",
        "host": "a",
        "usage": 1.5,
        "state": "x y",
        "ok": True,
    },
    {"iox::measurement": "cpu", "time": "1970-01-01T00:00:02.5", "host": "a", "usage": 2},
    {"iox::measurement": "cpu", "time": "1970-01-01T00:00:01", "host": "b", "usage": -3},
]


def test_json(client: Client):
    answer = get(client, BY_HOST)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json() == ROWS
    assert [list(row) for row in answer.json()] == [list(row) for row in ROWS]
    assert get(client, "SELECT x FROM nothing").body == b"[]"
    both = get(client, "SELECT * FROM cpu, mem").json()
    assert [row["iox::measurement"] for row in both] == ["cpu"] * 3 + ["mem"]
    assert both[-1] == {"iox::measurement": "mem", "time": "1970-01-01T00:00:00.000000005", "free": 7}


@pytest.mark.parametrize("format", ["jsonl", "json_lines"])
def test_json_lines(client: Client, format: str):
    answer = get(client, BY_HOST, format=format)
    assert answer.headers["content-type"] == "application/jsonl"
    assert [json.loads(line) for line in answer.body.splitlines()] == ROWS
    assert get(client, "SELECT x FROM nothing", format=format).body == b""


def test_csv(client: Client):
    answer = get(client, BY_HOST, {"Accept": "text/csv"})
    assert answer.headers["content-type"] == "text/csv"
    assert answer.body.decode().splitlines() == [
        "iox::measurement,time,host,usage,state,ok",
        "cpu,1970-01-01T00:00:01,a,1.5,x y,true",
        "cpu,1970-01-01T00:00:02.5,a,2,,",
        "cpu,1970-01-01T00:00:01,b,-3,,",
    ]


def test_pretty(client: Client):
    answer = get(client, "SELECT usage, ok FROM cpu GROUP BY host", {"Accept": "text/plain"})
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.body.decode().splitlines() == [
        "+------------------+-----------------------+------+-------+------+",
        "| iox::measurement | time                  | host | usage | ok   |",
        "+------------------+-----------------------+------+-------+------+",
        "| cpu              | 1970-01-01T00:00:01   | a    | 1.5   | true |",
        "| cpu              | 1970-01-01T00:00:02.5 | a    | 2     |      |",
        "| cpu              | 1970-01-01T00:00:01   | b    | -3    |      |",
        "+------------------+-----------------------+------+-------+------+",
    ]
    assert get(client, "SELECT x FROM nothing", format="pretty").body == b"++\n++\n"


def test_parquet(client: Client):
    answer = get(client, BY_HOST, format="parquet")
    assert answer.headers["content-type"] == "application/vnd.apache.parquet"
    table = pq.read_table(io.BytesIO(answer.body))
    assert table.column_names == ["iox::measurement", "time", "host", "usage", "state", "ok"]
    assert str(table.schema.field("time").type) == "timestamp[ns]"
    assert table["usage"].to_pylist() == [1.5, 2, -3]
    assert table["state"].to_pylist() == ["x y", None, None]
    assert pq.read_table(io.BytesIO(get(client, "SELECT x FROM nothing", format="parquet").body)).num_rows == 0


def test_show_and_names_that_are_taken(client: Client):
    assert get(client, "SHOW MEASUREMENTS").json() == [
        {"iox::measurement": "measurements", "name": "cpu"},
        {"iox::measurement": "measurements", "name": "mem"},
    ]
    found = get(client, "SELECT usage AS host FROM cpu WHERE host = 'b' GROUP BY host").json()
    assert found == [{"iox::measurement": "cpu", "time": "1970-01-01T00:00:01", "host": "b", "host_1": -3}]


def test_post_and_parameters(client: Client):
    body: dict[str, Any] = {
        "db": "default",
        "q": "SELECT usage FROM cpu WHERE host = $h",
        "params": {"h": "b"},
        "format": "jsonl",
    }
    answer = client.request("POST", PATH, json.dumps(body).encode())
    assert answer.body == b'{"iox::measurement":"cpu","time":"1970-01-01T00:00:01","usage":-3}\n'
    assert get(client, body["q"], params='{"h":"b"}', format="jsonl").body == answer.body
    assert client.request("POST", PATH, b'{"q":"SELECT usage FROM \\"default\\"..cpu"}').status == 200


@pytest.mark.parametrize(
    ("query", "status", "text"),
    [
        ({"q": ""}, 400, "missing query parameter 'q'"),
        ({"q": "SELEC"}, 400, "error parsing query: found SELEC"),
        ({"q": "SHOW MEASUREMENTS; SHOW MEASUREMENTS"}, 400, "want one statement"),
        ({"q": ";"}, 400, "want one statement"),
        ({"q": "CREATE DATABASE x"}, 400, "only SELECT, SHOW and EXPLAIN"),
        ({"q": "SELECT usage INTO x FROM cpu"}, 400, "only SELECT, SHOW and EXPLAIN"),
        ({"q": "SELECT mean(usage), usage FROM cpu"}, 400, "mixing aggregate and non-aggregate"),
        ({"q": "SHOW MEASUREMENTS", "format": "xml"}, 400, "unknown format"),
        ({"q": "SHOW MEASUREMENTS", "db": "nope"}, 404, "database not found"),
    ],
)
def test_what_is_wrong(client: Client, query: dict[str, str], status: int, text: str):
    answer = client.request("GET", f"{PATH}?{urlencode({'db': 'default', **query})}")
    assert answer.status == status
    assert text in answer.body.decode()


def test_media_types_that_are_unknown(client: Client):
    answer = get(client, "SHOW MEASUREMENTS", {"Accept": "image/png"})
    assert (answer.status, answer.body) == (400, b"invalid mime type (image/png)")


def test_who_may(open_client: Callable[..., Client], storage: FakeStorage):
    client = open_client(auth="true")
    for scope, status in (("read:default", 200), ("write:default", 403), ("admin", 200)):
        secret, token = new_token("", [scope], 0)
        storage.put_token(token)
        assert get(client, "SELECT usage FROM cpu", {"Authorization": f"Bearer {secret}"}).status == status
    assert get(client, "SELECT usage FROM cpu").status == 401
