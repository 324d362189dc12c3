from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest
from prometheus_client.parser import text_string_to_metric_families

from rusts import __version__, errors, logging
from rusts.clock import SystemClock
from rusts.engine.maintenance import Check
from tests.support.asgi import Client
from tests.support.storage import FakeStorage


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_ping(client: Client, method: str):
    response = client.request(method, "/ping")
    assert (response.status, response.body) == (204, b"")
    assert response.headers["x-influxdb-version"]
    assert client.request(method, "/ping?verbose=false").status == 204


def test_ping_verbose(client: Client):
    response = client.request("GET", "/ping?verbose=true")
    assert response.status == 200
    assert response.json() == {"version": response.headers["x-influxdb-version"]}


def test_health(client: Client, storage: FakeStorage):
    response = client.request("GET", "/health")
    body = response.json()
    assert response.status == 200
    assert (body["name"], body["status"], body["version"]) == ("rusts", "healthy", __version__)
    assert body["checks"][0] == {"name": "log", "status": "pass", "message": "ok"}
    for agent in ("influxdb-client-python/1.50", "influxdb3-python"):
        assert client.request("GET", "/health", headers={"User-Agent": agent}).json()["status"] == "pass"
    storage.checks = [Check("log", False, "syncing failed"), Check("disk", True, "ok")]
    response = client.request("GET", "/health")
    assert (response.status, response.json()["status"]) == (503, "unhealthy")
    assert response.json()["message"] == "log: syncing failed"
    assert client.request("GET", "/health", headers={"User-Agent": "influxdb"}).json()["status"] == "fail"


@pytest.mark.parametrize("lines", [1, 20_000])
@pytest.mark.parametrize("problem", [errors.DiskFull("the device is full"), errors.LogUnavailable("no log")])
def test_health_after_a_write_that_the_disk_refused(
    client: Client, storage: FakeStorage, monkeypatch: pytest.MonkeyPatch, problem: Exception, lines: int
):
    seconds = 100.0
    monkeypatch.setattr(SystemClock, "monotonic", lambda _: seconds)

    def write(body: bytes = b"cpu v=1 1\n" * lines) -> int:
        return client.request("POST", "/write", body).status

    def failing() -> dict[str, str]:
        response = client.request("GET", "/health")
        found = {c["name"]: c["message"] for c in response.json()["checks"] if c["status"] == "fail"}
        assert response.status == (503 if found else 200)
        return found

    storage.problem = problem
    assert write() == 500
    seconds += 4
    assert failing() == {"writes": f"refused 4 s ago: {problem}"}
    storage.problem = None
    for nothing in (b"", b"#\n" * 50_000, b"bad"):
        write(nothing)
        assert failing()
    assert write() == 204
    assert failing() == {}
    storage.problem = problem
    write()
    seconds += 10
    assert failing()
    seconds += 0.1
    assert failing() == {}
    storage.problem = errors.MemoryExceeded("too much")
    assert write() == 500
    assert failing() == {}
    storage.problem, storage.late = None, True

    async def sync(outcome: Exception | None) -> None:
        count = len(storage.commits)
        body = b"cpu v=1 1\n" * lines
        writing = asyncio.create_task(client.send("POST", "/write", body))
        while len(storage.commits) == count:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)
        await asyncio.to_thread(storage.commits[-1].settle, outcome)
        await writing

    client.runner.run(sync(problem))
    assert failing() == {"writes": f"refused 0 s ago: {problem}"}
    client.runner.run(sync(None))
    assert failing() == {}


def test_ready(client: Client, storage: FakeStorage):
    body = client.request("GET", "/ready").json()
    assert (body["ready"], body["status"]) == (True, "ready")
    assert body["started"].endswith("Z")
    assert body["up"].endswith("s")
    assert "replaying" not in body
    storage.replay_left = 5
    assert client.request("GET", "/ready").json()["replaying"] == {"bytes_left": 5}
    storage.is_ready = False
    response = client.request("GET", "/ready")
    assert response.status == 503
    assert (response.json()["ready"], response.json()["status"]) == (False, "starting")


def test_stats(client: Client):
    stats = client.request("GET", "/stats").json()
    assert stats["memtable"]["flushing_points"] == 4
    assert stats["server"]["version"] == __version__
    assert stats["server"]["memory_anonymous"] > 0


def test_metrics(client: Client):
    client.request("POST", "/write", b"cpu v=1")
    client.request("POST", "/write", b"bad")
    response = client.request("GET", "/metrics")
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = {
        (s.name, tuple(s.labels.values())): s.value
        for family in text_string_to_metric_families(response.body.decode())
        for s in family.samples
    }
    assert found["rusts_write_requests_total", ("v1", "204")] == 1
    assert found["rusts_write_requests_total", ("v1", "400")] == 1
    assert found["rusts_write_bytes_total", ("v1",)] == 10
    assert found["rusts_points_written_total", ()] == 13
    assert found["rusts_points_rejected_total", ("default", "parse")] == 1
    assert found["rusts_disk_free_bytes", ()] == 12
    assert found["rusts_disk_used_bytes", ()] == 8
    assert found["rusts_storage_bytes", ("hot",)] == 9
    assert found["rusts_wal_syncs_total", ()] == 7
    assert found["process_cpu_seconds_total", ()] > 0
    assert found["process_resident_memory_bytes", ()] > 0
    assert ("rusts_query_seconds_count", ("json",)) in found


def test_debug_vars_have_the_shape_that_telegraf_reads(client: Client):
    body = client.request("GET", "/debug/vars").json()
    assert set(body["system"]) == {"currentTime", "started", "uptime"}
    assert isinstance(body["system"]["uptime"], int)
    assert len(body["memstats"]["PauseNs"]) == 256
    assert isinstance(body["cmdline"], list)
    points = [v for v in body.values() if isinstance(v, dict) and set(v) == {"name", "tags", "values"}]
    assert {p["name"] for p in points} == {"rusts", "database"}


def test_flush_and_compact(client: Client, storage: FakeStorage, monkeypatch: pytest.MonkeyPatch):
    assert client.request("POST", "/admin/flush").json()["status"] == "ok"
    assert client.request("POST", "/admin/compact").json()["status"] == "ok"
    assert (storage.flushed, storage.compacted) == (1, 1)
    assert client.request("GET", "/admin/flush").status == 405

    def full() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage, "flush", full)
    response = client.request("POST", "/admin/flush")
    assert response.status == 500
    assert "No space left" in response.json()["error"]


def test_rejected(client: Client):
    client.request("POST", "/write", b'cpu v=1\ncpu v="x"\nbad')
    body = client.request("GET", "/admin/rejected").json()
    assert {(c["reason"], c["points"]) for c in body["counts"]} == {("parse", 1), ("field_type_conflict", 1)}
    assert {(r["database"], r["line"], r["text"]) for r in body["rejected"]} == {
        ("default", 2, 'cpu v="x"'),
        ("default", 3, "bad"),
    }


def test_cardinality(client: Client):
    body = client.request("GET", "/admin/cardinality").json()
    assert [d["database"] for d in body["databases"]] == ["default"]
    assert client.request("GET", "/admin/cardinality?db=default&top=3").status == 200
    assert client.request("GET", "/admin/cardinality?db=no").status == 404
    assert client.request("GET", "/admin/cardinality?top=x").status == 400


def test_unknown_paths_and_wrong_methods(client: Client):
    for path in ("/nope", "/ping/", "/write/", "/"):
        response = client.request("GET", path)
        assert (response.status, response.body) == (404, b"404 page not found\n")
        assert response.headers["content-type"].startswith("text/plain")
        assert response.headers["x-influxdb-version"]
    response = client.request("GET", "/write")
    assert (response.status, response.headers["allow"]) == (405, "POST")
    assert response.body == b"Method Not Allowed\n"
    assert client.request("HEAD", "/query").status == 405


def test_cors(client: Client):
    response = client.request("OPTIONS", "/anything", headers={"Origin": "http://grafana"})
    assert (response.status, response.body) == (200, b"")
    assert response.headers["access-control-allow-origin"] == "http://grafana"
    assert "POST" in response.headers["access-control-allow-methods"]
    assert "access-control-allow-origin" not in client.request("OPTIONS", "/write").headers
    response = client.request("POST", "/write", b"bad", {"Origin": "http://grafana"})
    assert response.headers["access-control-expose-headers"] == "Date, X-InfluxDB-Version, X-InfluxDB-Build"


def test_the_access_log_has_a_line_a_request_and_no_password(
    open_client: Callable[..., Client], capsys: pytest.CaptureFixture[str]
):
    client = open_client(access_log="true")
    logging.configure("json")
    client.request("POST", "/write?u=me&p=secret&db=default", b"cpu v=1", {"Request-Id": "r1"})
    line = json.loads(capsys.readouterr().err)
    assert (line["msg"], line["method"], line["path"], line["status"]) == ("request", "POST", "/write", 204)
    assert (line["request_id"], line["query"], line["client"]) == (
        "r1",
        "u=[REDACTED]&p=[REDACTED]&db=default",
        "127.0.0.1",
    )
    assert line["micros"] > 0


def test_lines_of_a_request_carry_its_id(client: Client, storage: FakeStorage, capsys: pytest.CaptureFixture[str]):
    logging.configure("json", "debug")
    storage.problem = ZeroDivisionError("ours")
    for count in (1, 20_000):
        response = client.request("POST", "/write", b"cpu v=1 1\n" * count, {"X-Request-Id": f"r{count}"})
        assert response.status == 500
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    said = [line for line in lines if line["room"].startswith("rusts.")]
    assert {line["request_id"] for line in said} == {"r1", "r20000"}
    assert any("ZeroDivisionError: ours" in line.get("exception", "") for line in said)
