"""Statements that ask for too much end within their limits, and who writes does not suffer from them."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
import urllib.parse
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support import hostile
from tests.support.onelines import OneLineWriter
from tools.peers import MemoryWatch, Server

LIMIT = 1_000_000_000
TIMEOUT = 2.0
"""Seconds, as the server is told."""

PATIENCE = 45.0
"""Seconds until an answer must have ended; a busy machine runs many times slower than a free one."""

TAIL = 4096
AT_ONCE = 4


@dataclass
class Heard:
    """How a request ended: its status, the first and the last bytes of the answer, and the seconds that it took."""

    status: int
    head: bytes
    tail: bytes
    size: int
    seconds: float

    @property
    def error(self) -> str:
        """What the answer says is wrong, "" for nothing; an answer that was cut short says so."""
        at = self.tail.find(b'"error":"')
        if at >= 0:
            return self.tail[at + 9 :].decode("utf-8", "replace")
        return "" if self.tail.endswith(b"}\n") else "the answer was cut short"


def ask(server: Server, text: str, parameters: Mapping[str, str] | None = None) -> Heard:
    """The end of a statement; its answer is read and dropped."""
    target = "/query?" + urllib.parse.urlencode({"db": hostile.DATABASE, **(parameters or {})})
    return send(server, target, text.encode(), "application/vnd.influxql")


def send(server: Server, target: str, body: bytes, kind: str) -> Heard:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    began = time.monotonic()
    head = tail = b""
    size = 0
    try:
        connection.request("POST", target, body, {"Content-Type": kind})
        answer = connection.getresponse()
        try:
            while piece := answer.read(1 << 20):
                size += len(piece)
                head = (head + piece[:TAIL])[:TAIL]
                tail = (tail + piece[-TAIL:])[-TAIL:]
        except http.client.IncompleteRead as problem:
            tail = problem.partial[-TAIL:]
        return Heard(answer.status, head, tail, size, time.monotonic() - began)
    finally:
        connection.close()


def well_ended(name: str, heard: Heard) -> None:
    """A JSON answer, whole or with an error, in time."""
    assert heard.status in (200, 400, 413), (name, heard)
    assert heard.seconds < PATIENCE, (name, heard)
    assert heard.head.startswith(b"{"), (name, heard)
    assert heard.error or heard.tail.endswith(b"}\n"), (name, heard)
    if heard.size <= TAIL:
        json.loads(heard.head)


def go_away(server: Server, text: str) -> None:
    """Ask, read a little of the answer slowly, and hang up."""
    target = "/query?" + urllib.parse.urlencode({"db": hostile.DATABASE, "q": text, "chunked": "true"})
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(f"POST {target} HTTP/1.1\r\nHost: here\r\nContent-Length: 0\r\n\r\n".encode())
        for _ in range(10):
            connection.recv(1000)
            time.sleep(0.05)


def ping_seconds(server: Server) -> float:
    began = time.monotonic()
    assert server.request("GET", "/ping")[0] == 204
    return time.monotonic() - began


def used_by_queries(server: Server) -> int:
    stats: dict[str, Any] = json.loads(server.request("GET", "/stats")[1])
    used: int = stats["memory"]["query"]["used"]
    return used


@pytest.fixture
def storm(serve: Any) -> Any:
    """A server with data in a gigabyte of memory, watched while it is used and looked at afterwards."""
    server: Server = serve(f"--memory-limit={LIMIT}", f"--query-timeout={TIMEOUT}s")
    server.create_database(hostile.DATABASE)
    target = f"/write?db={hostile.DATABASE}"
    for body in hostile.data():
        status, problem = server.request("POST", target, body)
        assert status == 204, problem
    pings: list[float] = []
    over = threading.Event()

    def pinging() -> None:
        while not over.wait(0.1):
            pings.append(ping_seconds(server))

    pinger = threading.Thread(target=pinging)
    with MemoryWatch(server) as memory, OneLineWriter(server.port, target) as writer:
        pinger.start()
        try:
            yield server
        finally:
            over.set()
            pinger.join()
    suffered = writer.suffered
    print(
        f"{len(suffered.seconds)} writes: p99 {suffered.share(0.99) * 1e3:.1f} ms,"
        f" slowest {suffered.share(1) * 1e3:.1f} ms;"
        f" slowest ping {max(pings) * 1e3:.1f} ms; memory {memory.peak_bytes / 1e6:.0f} MB"
    )
    assert server.process.poll() is None, server.tail()
    assert not suffered.refused, suffered.refused[:3]
    # A machine under tests is busy; a free one is many times faster.
    assert suffered.share(0.99) < 1.0
    assert memory.peak_bytes < LIMIT
    deadline = time.monotonic() + PATIENCE
    while used_by_queries(server) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert used_by_queries(server) == 0
    found = server.influxql("SELECT count(value) FROM beat", hostile.DATABASE)
    assert found["results"][0]["series"][0]["values"][0][1] == len(suffered.seconds)
    found = server.influxql("SELECT count(v) FROM ages", hostile.DATABASE)
    assert found["results"][0]["series"][0]["values"][0][1] == 10 * 131


def test_hostile_statements_one_by_one(storm: Server, proof: bool) -> None:
    texts = list({**hostile.greedy(), **hostile.huge(), **hostile.long()}.items())
    # A few of each kind; all of them where the full counts are asked for.
    for name, text in texts if proof else texts[::4]:
        well_ended(name, ask(storm, text))
    everything = "SELECT * FROM /.*/"
    for parameters in ({}, {"chunked": "true"}, {"chunked": "true", "chunk_size": "1"}):
        well_ended("everything", ask(storm, everything, parameters))
    go_away(storm, everything)
    form = send(storm, "/query", b"q=" + b"x" * 25_000_000, "application/x-www-form-urlencoded")
    assert form.status == 413, form


def test_hostile_statements_at_once(storm: Server, proof: bool) -> None:
    texts = list({**hostile.greedy(), **hostile.huge(), **hostile.long()}.items())
    texts = texts if proof else texts[2::4]
    with ThreadPoolExecutor(AT_ONCE) as clients:
        asked = [(name, clients.submit(ask, storm, text)) for name, text in texts]
        leaving = [clients.submit(go_away, storm, "SELECT * FROM /.*/") for _ in range(AT_ONCE)]
        for name, heard in asked:
            well_ended(name, heard.result())
        for left in leaving:
            left.result()


def test_limits_say_which_they_are(serve: Any) -> None:
    """By the server's own defaults."""
    server: Server = serve(f"--memory-limit={LIMIT}")
    server.create_database(hostile.DATABASE)
    lines = [f"m,t=t{number} v=1 {number}000000000" for number in range(0, 4_000_000_000, 100_000_000)]
    assert server.request("POST", f"/write?db={hostile.DATABASE}", "\n".join(lines).encode())[0] == 204
    for text, limit in (
        ("SELECT mean(v) FROM m GROUP BY time(1ms), *", "max-select-buckets limit exceeded"),
        ("SELECT derivative(mean(v)) FROM m GROUP BY time(1ns) fill(0)", "max-select-buckets limit exceeded"),
        ("SELECT holt_winters(mean(v), 2147483648, 4) FROM m GROUP BY time(52w)", "max-select-buckets limit exceeded"),
        ("SELECT " + "(" * 5_000 + "v" + ")" * 5_000 + " FROM m", "nested too deeply"),
        ("SELECT v FROM m WHERE " + " OR ".join(["t = 'x'"] * 50_000), "statement is too long"),
        ("SELECT " + ", ".join(["*"] * 24_000) + " FROM m", "too many columns"),
        ("SELECT v FROM m GROUP BY " + ", ".join(["a"] * 2_000), "too many dimensions"),
    ):
        heard = ask(server, text)
        assert limit in heard.error, (text[:100], heard)
