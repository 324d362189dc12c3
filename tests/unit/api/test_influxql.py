"""The door of InfluxQL: parameters, forms of the answer, limits, queries that are killed or left alone."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
import zlib
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest

from rusts.api.influxql import accepted
from tests.support.asgi import Client, Response
from tests.support.model_store import batch_of
from tests.support.storage import FakeStorage

SECOND = 1_000_000_000


@pytest.fixture(autouse=True)
def points(storage: FakeStorage) -> None:
    rows = [({"host": host}, i * SECOND, {"v": float(i)}) for i in range(3) for host in "ab"]
    storage.write("default", None, [batch_of("m", rows)])


def ask(client: Client, q: str, *, method: str = "GET", headers: dict[str, str] | None = None, **more: str) -> Response:
    return client.request(method, "/query?" + urlencode({"q": q, "db": "default", **more}), b"", headers)


def test_select(client: Client):
    response = ask(client, "SELECT mean(v) FROM m GROUP BY host", epoch="ms")
    assert (response.status, response.headers["content-type"]) == (200, "application/json")
    series = [{"name": "m", "tags": {"host": host}, "columns": ["time", "mean"], "values": [[0, 1]]} for host in "ab"]
    assert response.json() == {"results": [{"statement_id": 0, "series": series}]}


@pytest.mark.parametrize(
    ("epoch", "time"),
    [
        ("", "1970-01-01T00:00:02Z"),
        ("ns", 2 * SECOND),
        ("n", 2 * SECOND),
        ("u", 2_000_000),
        ("us", 2_000_000),
        ("ms", 2000),
        ("s", 2),
        ("m", 0),
        ("h", 0),
        ("x", 2 * SECOND),
    ],
)
def test_epoch(client: Client, epoch: str, time: Any):
    response = ask(client, "SELECT v FROM m WHERE time = 2s LIMIT 1", epoch=epoch)
    assert response.json()["results"][0]["series"][0]["values"][0][0] == time


def test_bound_parameters(client: Client):
    response = ask(client, "SELECT v FROM m WHERE host = $h AND v > $least", params='{"h": "a", "least": 1.5}')
    assert len(response.json()["results"][0]["series"][0]["values"]) == 1
    for params, error in (("{", "error parsing query parameters: "), ("[]", "error parsing query parameters: ")):
        refused = ask(client, "SELECT v FROM m", params=params)
        assert refused.status == 400
        assert refused.json()["error"].startswith(error)
    assert ask(client, "SELECT $x FROM m").json() == {"error": "error parsing query: missing parameter: x"}


@pytest.mark.parametrize(("size", "documents"), [("2", 3), ("100", 1), ("", 1), ("x", 1), ("0", 1)])
def test_chunks(client: Client, size: str, documents: int):
    accept = {"Accept": "text/csv"}
    response = ask(client, "SELECT v FROM m; SHOW DATABASES", chunked="true", chunk_size=size, headers=accept)
    assert response.headers["content-type"] == "application/json"
    lines = [json.loads(line) for line in response.body.splitlines()]
    assert [line["results"][0]["statement_id"] for line in lines] == [0] * documents + [1]


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("text/csv", "text/csv"),
        ("application/x-msgpack", "application/x-msgpack"),
        ("application/csv;q=0.5, application/json;q=0.9", "application/json"),
        ("text/html, application/csv, */*;q=0.1", "text/csv"),
        ("text/csv;q=0, application/x-msgpack;q=0.1", "application/x-msgpack"),
        ("image/png", "application/json"),
        ("text/csv;q=nonsense", "application/json"),
    ],
)
def test_accept(client: Client, accept: str, media: str):
    assert accepted(accept) == media
    assert ask(client, "SHOW DATABASES", headers={"Accept": accept}).headers["content-type"] == media


def test_gzip_of_a_long_answer(client: Client, storage: FakeStorage):
    rows = [({"host": f"h{i}"}, i, {"v": i / 7}) for i in range(20_000)]
    storage.write("default", None, [batch_of("long", rows)])
    plain = ask(client, "SELECT * FROM long")
    packed = ask(client, "SELECT * FROM long", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert len(plain.body) > 600_000 > len(packed.body)
    assert zlib.crc32(plain.body)


def test_no_more_rows_than_the_operator_allows(open_client: Callable[..., Client]):
    client = open_client(max_row_limit="4")
    (result,) = ask(client, "SELECT v FROM m GROUP BY host; SHOW DATABASES").json()["results"]
    first, second = result["series"]
    assert (len(first["values"]), first.get("partial"), len(second["values"]), second["partial"]) == (3, None, 1, True)
    chunked = ask(client, "SELECT v FROM m", chunked="true")
    assert len(chunked.json()["results"][0]["series"][0]["values"]) == 6


@pytest.mark.parametrize(
    ("setting", "text", "error"),
    [
        ("max_select_series", "SELECT v FROM m GROUP BY host", "max-select-series limit exceeded: (2/1)"),
        ("max_select_point", "SELECT v FROM m", "max-select-point limit exceeded: (6/1)"),
        ("max_select_buckets", "SELECT mean(v) FROM m WHERE time < 3s GROUP BY time(1s)", "max-select-buckets limit"),
    ],
)
def test_limits_end_a_query_with_an_error(open_client: Callable[..., Client], setting: str, text: str, error: str):
    client = open_client(**{setting: "1"})
    (result,) = ask(client, text).json()["results"]
    assert result["error"].startswith(error)


class Gate:
    """Makes reading measurements wait for `open`; `reached` says that it waits."""

    def __init__(self, storage: FakeStorage, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open, self.reached = threading.Event(), threading.Event()
        measurements = storage.measurements

        def wait(database: str) -> list[str]:
            self.reached.set()
            assert self.open.wait(30)
            return measurements(database)

        monkeypatch.setattr(storage, "measurements", wait)


@pytest.fixture
def gate(storage: FakeStorage, monkeypatch: pytest.MonkeyPatch) -> Gate:
    return Gate(storage, monkeypatch)


WAITING = "/query?" + urlencode({"q": "SHOW TAG KEYS", "db": "default"})


def test_running_queries_are_shown_and_killed(client: Client, gate: Gate):
    async def scenario() -> tuple[Any, Any, Any]:
        waiting = asyncio.create_task(client.send("GET", WAITING))
        await asyncio.to_thread(gate.reached.wait, 30)
        shown = (await client.send("GET", "/query?q=SHOW%20QUERIES")).json()
        (row,) = [row for row in shown["results"][0]["series"][0]["values"] if row[1] == "SHOW TAG KEYS"]
        killed = (await client.send("POST", f"/query?q=KILL%20QUERY%20{row[0]}")).json()
        active = (await client.send("GET", "/admin/queries")).json()["active"]
        gate.open.set()
        return killed, active, (await waiting).json()

    killed, active, answer = client.runner.run(scenario())
    assert killed == {"results": [{"statement_id": 0}]}
    assert [(query["query"], query["status"], query["database"]) for query in active] == [
        ("SHOW TAG KEYS", "killed", "default")
    ]
    assert answer["results"] == [{"statement_id": 0, "error": "query interrupted"}]


def test_no_more_queries_than_are_allowed(open_client: Callable[..., Client], gate: Gate):
    client = open_client(max_concurrent_queries="1")

    async def scenario() -> tuple[Any, Any]:
        waiting = asyncio.create_task(client.send("GET", WAITING))
        await asyncio.to_thread(gate.reached.wait, 30)
        refused = (await client.send("GET", "/query?q=SHOW%20DATABASES")).json()
        gate.open.set()
        return refused, (await waiting).json()

    refused, answer = client.runner.run(scenario())
    assert refused["results"][0]["error"] == "max-concurrent-queries limit exceeded(1, 1)"
    assert "series" in answer["results"][0]


def test_a_client_that_goes_away_ends_its_query(client: Client, gate: Gate):
    async def scenario() -> Any:
        gone = asyncio.Event()
        first = [{"type": "http.request", "body": b"", "more_body": False}]
        sent: list[Any] = []

        async def receive() -> Any:
            if first:
                return first.pop()
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        path, _, query = WAITING.partition("?")
        scope = {"type": "http", "method": "GET", "path": path, "query_string": query.encode(), "headers": []}
        running = asyncio.create_task(client._app({**scope, "client": ("127.0.0.1", 1)}, receive, send))
        await asyncio.to_thread(gate.reached.wait, 30)
        # Whoever has gone is noticed once the query has run for a while.
        gone.set()
        while "query interrupted" not in str(sent):
            listed = (await client.send("GET", "/admin/queries")).json()
            if listed["active"]:
                await asyncio.sleep(0.15)
                gate.open.set()
            await asyncio.sleep(0.01)
        await running
        return (await client.send("GET", "/admin/queries")).json()

    listed = client.runner.run(scenario())
    assert listed["active"] == []
    assert listed["by_seconds"][0]["status"] == "query interrupted"


def test_queries_of_the_past(client: Client):
    ask(client, "SELECT v FROM m")
    ask(client, "CREATE USER u WITH PASSWORD 'secret'", method="POST")
    body = b'{"measurement":"m","time_range":{"start":0,"end":9}}'
    client.request("POST", "/query", body, {"Content-Type": "application/json"})
    told = client.request("GET", "/admin/queries?top=9").json()
    texts = [query["query"] for query in told["by_seconds"]]
    assert set(texts) == {"SELECT v FROM m", "CREATE USER u WITH PASSWORD [REDACTED]", body.decode()}
    assert told["executed"] == 3
    assert len(client.request("GET", "/admin/queries?top=1").json()["by_seconds"]) == 1
    assert client.request("GET", "/admin/queries?top=x").status == 400


def test_stats_and_diagnostics(client: Client):
    for text in ("SHOW STATS", "SHOW DIAGNOSTICS"):
        (result,) = ask(client, text).json()["results"]
        for series in result["series"]:
            assert len(series["columns"]) == len(series["values"][0])
    (result,) = ask(client, "SHOW DIAGNOSTICS FOR 'build'").json()["results"]
    assert [series["name"] for series in result["series"]] == ["build"]
