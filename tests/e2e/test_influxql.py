"""InfluxQL against a real server: the console commands, queries that are ended, an answer that streams."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlencode

from tests.e2e.conftest import Serve
from tools.peers import Server

ROOT = Path(__file__).parents[2]


def command(server: Server, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """The console command `rusts` with its server."""
    return subprocess.run(
        [sys.executable, "-m", "rusts.cli.main", *words, "--server", f"http://127.0.0.1:{server.port}"],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "120"},
        input=given,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_console_commands(serve: Serve, tmp_path: Path):
    server = serve()
    lines = tmp_path / "lines"
    lines.write_text("m,host=a v=1 1000000000\nm,host=b v=2.5 2000000000\n")
    assert command(server, "query", "CREATE DATABASE x").returncode == 0
    assert command(server, "write", str(lines), "--db", "x").returncode == 0
    assert command(server, "write", "-", "--db", "x", given="m,host=c v=7 3000000000").returncode == 0
    table = command(server, "query", "SELECT mean(v) FROM m GROUP BY host", "--db", "x")
    assert table.returncode == 0, table.stderr
    assert "m (host=b)" in table.stdout
    csv = command(server, "query", "SELECT host, v FROM m", "--db", "x", "--format", "csv")
    assert csv.stdout.splitlines()[-1] == "m,,3000000000,c,7"
    answer = command(server, "query", "-", "--db", "x", "--format", "json", given="SELECT sum(v) FROM m")
    assert json.loads(answer.stdout)["results"][0]["series"][0]["values"] == [["1970-01-01T00:00:00Z", 10.5]]
    failed = command(server, "query", "SELECT v FROM m", "--db", "nodb")
    assert (failed.returncode, "database not found: nodb" in failed.stderr) == (1, True)


def _fill(server: Server) -> None:
    server.create_database("x")
    for host in range(20):
        body = "\n".join(f"m,host=h{host} v={i},w={i * 0.37} {i * 1_000_000_000}" for i in range(20_000))
        assert server.request("POST", "/write?db=x", body.encode())[0] == 204


def test_a_killed_query_and_one_whose_client_goes_away(serve: Serve):
    server = serve()
    _fill(server)
    # All rows, sorted many times over: it would run for long.
    slow = "SELECT percentile(v, 50), median(w), mode(v) FROM m GROUP BY time(1s), host; " * 40

    def active() -> list[dict[str, object]]:
        status, body = server.request("GET", "/admin/queries")
        assert status == 200
        found: list[dict[str, object]] = json.loads(body)["active"]
        return found

    def until(count: int) -> None:
        deadline = time.monotonic() + 30
        while len(active()) != count:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    answers: list[bytes] = []
    target = "/query?" + urlencode({"q": slow, "db": "x"})
    asking = threading.Thread(target=lambda: answers.append(server.request("POST", target)[1]))
    asking.start()
    until(1)
    assert server.request("POST", f"/query?q=KILL+QUERY+{active()[0]['id']}")[0] == 200
    asking.join(30)
    assert b"query interrupted" in answers[0]

    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request("POST", target)
    until(1)
    connection.close()
    until(0)


def test_chunks_come_as_they_are_made(serve: Serve):
    server = serve()
    _fill(server)
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    target = "/query?" + urlencode({"q": "SELECT v, w FROM m", "db": "x", "chunked": "true", "chunk_size": "5000"})
    connection.request("GET", target)
    response = connection.getresponse()
    rows, parts = 0, 0
    for line in response:
        (result,) = json.loads(line)["results"]
        (series,) = result["series"]
        rows += len(series["values"])
        parts += 1
        assert len(series["values"]) <= 5000
        assert result.get("partial", False) == series.get("partial", False) == (rows < 400_000)
    connection.close()
    assert (rows, parts) == (400_000, 80)
