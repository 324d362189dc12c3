from __future__ import annotations

import asyncio
import gzip
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pytest

from rusts import errors
from rusts.api import encode
from tests.support.asgi import Client, Response
from tests.support.storage import FakeStorage

QUERY = {"measurement": "cpu", "fields": ["host", "v"]}


@pytest.fixture(autouse=True)
def _points(client: Client) -> None:
    body = b"cpu,host=a v=1 1\ncpu,host=b v=2.5 2\n"
    assert client.request("POST", "/write", body).status == 204


def ask(client: Client, query: Any = None, url: str = "/query", **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.request("POST", url, json.dumps(query or QUERY).encode(), named)


def test_json(client: Client):
    response = ask(client, Content_Type="application/json")
    assert response.status == 200
    assert response.headers["content-type"] == "application/json"
    assert response.headers["content-length"] == str(len(response.body))
    (series,) = response.json()["series"]
    assert series["columns"] == ["time", "host", "v"]
    assert series["values"] == [[1, "a", 1], [2, "b", 2.5]]


def test_a_body_that_curl_calls_a_form(client: Client):
    form = "application/x-www-form-urlencoded"
    assert ask(client, Content_Type=form).json()["series"]
    for text in ("a&q=SHOW DATABASES", "&q=x&pretty=true&db=nowhere&format=xml"):
        query = {**QUERY, "tag_filters": [{"key": "host", "op": "Ne", "value": text}]}
        assert len(ask(client, query, Content_Type=form).json()["series"][0]["values"]) == 2
    large = b" \r\n\t" + json.dumps(QUERY).encode() + b" " * (2 << 20)
    assert client.request("POST", "/query", large, {"Content-Type": form}).json()["series"]
    # The URL counts, whatever the body is.
    assert "results" in ask(client, url="/query?q=SHOW%20DATABASES", Content_Type=form).json()


def test_rows_and_pretty(client: Client):
    rows = ask(client, url="/query?format=rows&pretty=true")
    assert rows.json()["rows"] == [{"time": 1, "host": "a", "v": 1}, {"time": 2, "host": "b", "v": 2.5}]
    assert b"\n    " in rows.body
    response = ask(client, url="/query?format=xml")
    assert (response.status, response.json()["error"][:7]) == (400, "format:")


def test_csv_and_arrow(client: Client):
    response = ask(client, Accept="text/csv")
    assert response.headers["content-type"] == "text/csv"
    assert response.body == b"time,host,v\n1,a,1\n2,b,2.5\n"
    response = ask(client, Accept="application/vnd.apache.arrow.stream")
    assert response.headers["content-type"] == "application/vnd.apache.arrow.stream"
    assert pa.ipc.open_stream(response.body).read_all()["v"].to_pylist() == [1.0, 2.5]


def test_gzip_both_ways(client: Client):
    response = ask(client, Accept_Encoding="gzip, deflate")
    assert response.headers["content-encoding"] == "gzip"
    assert json.loads(gzip.decompress(response.body))["series"]
    body = gzip.compress(json.dumps(QUERY).encode())
    assert client.request("POST", "/query", body, {"Content-Encoding": "gzip"}).json()["series"]


@pytest.mark.parametrize(
    ("query", "status", "text"),
    [
        ({"measurement": "cpu", "db": "nowhere"}, 404, 'database not found: "nowhere"'),
        ({"measurement": 5}, 400, "measurement"),
        ({"measurement": "cpu", "limit": -1}, 400, "limit"),
    ],
)
def test_wrong_requests(client: Client, query: dict[str, Any], status: int, text: str):
    response = ask(client, query)
    assert response.status == status
    assert text in response.json()["error"]
    assert response.headers["x-influxdb-error"]
    # An error is never compressed.
    assert ask(client, query, Accept_Encoding="gzip").json() == response.json()


def test_what_is_no_json_is_told(client: Client):
    response = client.request("POST", "/query", b'{"measurement": ')
    assert response.status == 400
    assert response.json()["error"]


def test_a_body_over_the_limit(open_client: Callable[..., Client]):
    assert ask(open_client(max_body_size="10")).status == 413


def test_limits_are_the_operators(open_client: Callable[..., Client]):
    response = ask(open_client(max_select_point="1"))
    assert (response.status, response.json()) == (400, {"error": "max-select-point limit exceeded: (2/1)"})


def test_try_again_is_503(client: Client, storage: FakeStorage, monkeypatch: pytest.MonkeyPatch):
    def scan(request: object) -> None:
        raise errors.NotReady("the log is still being replayed", seconds=5)

    monkeypatch.setattr(storage, "scan", scan)
    response = ask(client)
    assert (response.status, response.headers["retry-after"]) == (503, "5")


def test_a_fault_of_ours_is_500(client: Client, storage: FakeStorage, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(storage, "scan", lambda request: 1 / 0)
    response = ask(client)
    assert (response.status, response.json()) == (500, {"error": "internal error"})


def pieces(monkeypatch: pytest.MonkeyPatch, make: Callable[[Any], Iterator[bytes]]) -> None:
    """Answers are what `make` yields, whatever is asked."""
    monkeypatch.setattr(encode, "encode_json", lambda result, **_: make(result))


def test_large_answers_stream(client: Client, monkeypatch: pytest.MonkeyPatch):
    pieces(monkeypatch, lambda result: (b"%d," % i for i in range(1000)))
    response = ask(client)
    assert "content-length" not in response.headers
    assert response.complete
    assert response.body == b"".join(b"%d," % i for i in range(1000))
    zipped = ask(client, Accept_Encoding="gzip")
    assert gzip.decompress(zipped.body) == response.body


def test_an_answer_that_fails_on_the_way_is_cut_off(client: Client, monkeypatch: pytest.MonkeyPatch):
    def make(result: Any) -> Iterator[bytes]:
        yield from (b"1", b"2", b"3")
        raise errors.MemoryExceeded("the query pool is full")

    pieces(monkeypatch, make)
    response = ask(client)
    assert (response.status, response.body, response.complete) == (200, b"123", False)


def test_a_client_that_goes_away_ends_its_query(client: Client, monkeypatch: pytest.MonkeyPatch):
    ended = threading.Event()
    gone = threading.Event()

    def make(result: Any) -> Iterator[bytes]:
        try:
            for _ in range(10_000):
                yield b"x"
                if gone.wait(0.001):
                    result.tracker.check()
        finally:
            ended.set()

    pieces(monkeypatch, make)

    async def run() -> None:
        incoming = [{"type": "http.request", "body": json.dumps(QUERY).encode(), "more_body": False}]
        sent = []

        async def receive() -> Any:
            if incoming:
                return incoming.pop()
            while len(sent) < 5:
                await asyncio.sleep(0.001)
            gone.set()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/query", "query_string": b"", "headers": []}
        await client._app(scope, receive, send)
        assert sent[-1].get("more_body")

    client.runner.run(run())
    assert ended.wait(5)


def test_latency_is_counted(client: Client):
    ask(client)
    text = client.request("GET", "/metrics").body.decode()
    assert 'rusts_query_seconds_count{api="json"} 1.0' in text
