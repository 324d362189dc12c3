"""Telegraf's requests as CONTRACT.md records them, and what it does with each answer: no point is lost.

The output plugin is modelled as its source has it: chunked and gzipped writes, CREATE DATABASE by a form, and the
decision to drop or to keep a batch by status and body.
"""

from __future__ import annotations

import gzip
import http.client
import json
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.compat.conftest import SERVER
from tools import peers

_DROP = (
    "partial write",
    "unable to parse",
    "retention policy not found",
    "points beyond retention policy",
    "hinted handoff queue not empty",
)


class Output:
    """Telegraf's outputs.influxdb (v1)."""

    def __init__(self, port: int, database: str) -> None:
        self.port = port
        self.database = database
        self.dropped: list[str] = []

    def request(self, target: str, body: Any, headers: dict[str, str], *, chunked: bool) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("POST", target, body, headers, encode_chunked=chunked)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def create(self) -> bool:
        form = urllib.parse.urlencode({"q": f'CREATE DATABASE "{self.database}"'}).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded", "User-Agent": "Telegraf/1.29"}
        try:
            status, body = self.request("/query", form, headers, chunked=False)
        except OSError:
            return False
        return status == 200 and not json.loads(body)["results"][0].get("error")

    def flush(self, batch: bytes) -> bool:
        """Whether the batch leaves the buffer: it was taken, or it was dropped (and is noted)."""

        def pieces() -> Iterator[bytes]:
            packed = gzip.compress(batch)
            yield packed[:10]
            yield packed[10:]

        headers = {
            "Content-Type": "text/plain; charset=utf-8",
            "Content-Encoding": "gzip",
            "Transfer-Encoding": "chunked",
            "User-Agent": "Telegraf/1.29",
        }
        target = "/write?" + urllib.parse.urlencode({"db": self.database})
        try:
            status, body = self.request(target, pieces(), headers, chunked=True)
        except (OSError, http.client.HTTPException):
            return False
        if status == 204:
            return True
        error = ""
        if body:
            try:
                error = json.loads(body)["error"]
            except (ValueError, KeyError):
                return False
        if "database not found" in error:
            if self.create():
                return False
            self.dropped.append(error)
            return True
        if 400 <= status < 500 or any(text in error for text in _DROP):
            self.dropped.append(error)
            return True
        return False


def count(server: peers.Server, database: str) -> int:
    series = server.influxql("SELECT count(v) FROM m", database)["results"][0].get("series", [])
    return int(series[0]["values"][0][1]) if series else 0


def batch_of(first: int, rows: int = 1000) -> bytes:
    return b"".join(b'm,host=h%d v=%d,s="two\nlines" %d\n' % (i % 9, i, i) for i in range(first, first + rows))


def test_an_unknown_database_is_made_and_the_batch_comes_again(server: peers.Server):
    output = Output(server.port, "telegraf1")
    assert not output.flush(batch_of(0))
    assert output.flush(batch_of(0))
    assert output.dropped == []
    assert count(server, "telegraf1") == 1000


def test_creating_at_the_start_then_writing(server: peers.Server):
    output = Output(server.port, "telegraf2")
    assert output.create()
    assert output.create()
    assert output.flush(batch_of(0, 10))
    assert not output.dropped
    assert count(server, "telegraf2") == 10


def test_a_bad_line_costs_that_line_only(server: peers.Server):
    output = Output(server.port, "telegraf3")
    output.create()
    assert output.flush(b"m v=1 1\nm v= 2\nm v=3 3\n")
    assert len(output.dropped) == 1
    assert "unable to parse" in output.dropped[0]
    assert count(server, "telegraf3") == 2


def test_a_restart_loses_nothing(tmp_path: Path):
    with_directory = tmp_path / "server"
    running = peers.start(SERVER, with_directory)
    sent = 0
    try:
        output = Output(running.port, "telegraf4")
        assert output.create()
        for number in range(12):
            batch = batch_of(number * 500, 500)
            if number == 5:
                running.kill()
                assert not output.flush(batch)
                running = peers.start(SERVER, with_directory)
                output.port = running.port
            for _ in range(20):
                if output.flush(batch):
                    break
            sent += 500
        assert output.dropped == []
        assert count(running, "telegraf4") == sent
    finally:
        running.kill()


@pytest.mark.skipif(SERVER == "influxd", reason="influxd takes what memory it wants")
def test_overload_is_told_so_that_nothing_is_dropped():
    options = ["--memory-limit=192MB", "--wal-mode=none"]
    with peers.running("rusts", options) as small:
        output = Output(small.port, "telegraf5")
        assert output.create()
        kept = 0
        for number in range(150):
            batch = batch_of(number * 4000, 4000)
            for _ in range(400):
                if output.flush(batch):
                    kept += 4000
                    break
        assert output.dropped == []
        assert kept == 600_000
        assert count(small, "telegraf5") == kept


@pytest.mark.skipif(SERVER == "influxd", reason="InfluxDB 1.6 has no v2 or v3 API")
@pytest.mark.parametrize("target", ["/api/v2/write?bucket=telegraf6&org=o", "/api/v3/write_lp?db=telegraf6"])
def test_v2_and_v3_outputs_write_without_a_create(server: peers.Server, target: str):
    output = Output(server.port, "telegraf6")
    scheme = "Token" if "v2" in target else "Bearer"
    headers = {"Content-Encoding": "gzip", "Authorization": f"{scheme} ", "Transfer-Encoding": "chunked"}
    status, body = output.request(target, iter([gzip.compress(b"m v=1 1\n")]), headers, chunked=True)
    assert (status, body) == (204, b"")
    status, body = output.request(target, iter([gzip.compress(b"m v=\n")]), headers, chunked=True)
    assert status == 400
    assert "unable to parse" in body.decode() or "partial write" in body.decode()
