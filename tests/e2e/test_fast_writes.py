"""Small writes take a short way from their second request on; nothing about their answers may differ.

Each case is sent three times over one connection: the first time it goes through the whole server, then the short way.
"""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from tools import peers
from tools.peers import Server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = peers.start("rusts", tmp_path_factory.mktemp("fast"))
    yield running
    assert running.stop() == 0
    assert "Traceback" not in running.log.read_text()


class Connection:
    """A socket that reads whole answers."""

    def __init__(self, server: Server) -> None:
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        self._left = b""

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """The next answer: status, headers, body."""
        while b"\r\n\r\n" not in self._left:
            self._receive()
        head, _, self._left = self._left.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:])
        size = int(headers.get("content-length", "0"))
        while len(self._left) < size:
            self._receive()
        body, self._left = self._left[:size], self._left[size:]
        return int(lines[0].split()[1]), headers, body

    def _receive(self) -> None:
        piece = self.socket.recv(65536)
        assert piece, "the connection was closed"
        self._left += piece


@pytest.fixture
def connect(server: Server) -> Iterator[Callable[[], Connection]]:
    """Opens connections, and closes them with the test."""
    made: list[Connection] = []

    def open_one() -> Connection:
        made.append(Connection(server))
        return made[-1]

    yield open_one
    for each in made:
        each.socket.close()


@pytest.fixture
def connection(connect: Callable[[], Connection]) -> Connection:
    return connect()


def post(target: str, body: bytes, extra: bytes = b"") -> bytes:
    return b"POST %b HTTP/1.1\r\nHost: x\r\n%bContent-Length: %d\r\n\r\n%b" % (target.encode(), extra, len(body), body)


def count(server: Server, measurement: str, database: str = "default") -> int:
    query = {"measurement": measurement, "db": database, "aggregation": {"function": "Count", "field": "v"}}
    answer = server.json_query(query)
    return int(answer["series"][0]["values"][0][1]) if answer["series"] else 0


@pytest.mark.parametrize(
    ("target", "body", "status"),
    [
        ("/write", b"good v=1", 204),
        ("/write?precision=s&u=root&p=root", b"good v=1 5", 204),
        ("/write", b"", 204),
        ("/write", b"bad", 400),
        ("/write?pretty=true", b"good v=1 1\nbad", 400),
        ("/write", b'good v=1 1\ngood v="text" 2', 400),
        ("/write?db=nowhere", b"good v=1", 404),
        ("/write?rp=nowhere", b"good v=1", 500),
        ("/write?precision=x", b"good v=1", 400),
        ("/api/v2/write?bucket=b&org=o", b"good v=1", 204),
        ("/api/v2/write?bucket=b&org=o", b"bad", 400),
        ("/api/v2/write?bucket=b/more", b"good v=1", 204),
        ("/api/v3/write_lp?db=b", b"good v=1", 204),
        ("/api/v3/write_lp?db=b", b"bad", 400),
        ("/api/v3/write_lp?db=b&accept_partial=false", b"good v=1\nbad", 400),
    ],
)
@pytest.mark.parametrize(
    "extra", [b"", b"Connection: keep-alive\r\n", b"Origin: http://x\r\n", b"Accept: text/csv\r\n"]
)
def test_the_answers_are_the_same(connection: Connection, target: str, body: bytes, status: int, extra: bytes):
    answers = []
    for _ in range(3):
        connection.socket.sendall(post(target, body, extra))
        answers.append(connection.answer())
    first = answers[0]
    assert first[0] == status
    ids = {answer[1].pop("request-id") for answer in answers} | {answer[1].pop("x-request-id") for answer in answers}
    assert len(ids) == 3
    for answer in answers[1:]:
        assert answer[0] == first[0]
        assert set(answer[1]) == set(first[1])
        assert {k: v for k, v in answer[1].items() if k != "date"} == {k: v for k, v in first[1].items() if k != "date"}
        assert answer[2] == first[2]


def test_request_ids_of_clients_are_kept(connection: Connection):
    for i in range(3):
        connection.socket.sendall(post("/write", b"ids v=1", b"X-Request-Id: same\r\nRequest-Id: other%d\r\n" % i))
        assert connection.answer()[1]["request-id"] == "same"


def test_every_point_is_stored_once(server: Server, connection: Connection):
    for i in range(300):
        connection.socket.sendall(post("/write", b"once v=%d %d" % (i % 10, 1000 + i)))
        assert connection.answer()[0] == 204
    assert count(server, "once") == 300


def test_points_without_time_stay_apart(server: Server, connect: Callable[[], Connection]):
    connections = [connect() for _ in range(8)]
    for _ in range(25):
        for each in connections:
            each.socket.sendall(post("/write", b"apart v=1"))
        for each in connections:
            assert each.answer()[0] == 204
    assert count(server, "apart") == 200


def test_pipelined_requests_are_answered_in_order(server: Server, connection: Connection):
    requests = []
    for i in range(60):
        requests.append(post("/write", b"piped v=1 %d" % (1000 + i)))
        if i % 7 == 3:
            requests.append(post("/write", b"bad"))
        if i % 11 == 5:
            requests.append(b"GET /ping?verbose=true HTTP/1.1\r\nHost: x\r\n\r\n")
    for _ in range(2):
        connection.socket.sendall(b"".join(requests))
        statuses = [connection.answer()[0] for _ in requests]
        assert statuses == [204 if b"piped" in r else 400 if b"bad" in r else 200 for r in requests]
    for request in requests:
        # One segment each, without waiting for answers.
        connection.socket.sendall(request)
        time.sleep(0.0005)
    statuses = [connection.answer()[0] for _ in requests]
    assert statuses == [204 if b"piped" in r else 400 if b"bad" in r else 200 for r in requests]
    assert count(server, "piped") == 60


@pytest.mark.parametrize("cut", [1, 20, -30, -9, -1])
def test_requests_in_two_pieces(server: Server, connection: Connection, cut: int):
    for i in range(4):
        request = post("/write", b"cut v=1 %d" % (1000 + i))
        connection.socket.sendall(request[:cut])
        time.sleep(0.02)
        connection.socket.sendall(request[cut:])
        assert connection.answer()[0] == 204
        connection.socket.sendall(request)
        assert connection.answer()[0] == 204
    assert count(server, "cut") == 4


def test_a_head_that_is_known_with_more_behind_it(server: Server, connection: Connection):
    request = post("/write", b"more v=1 1000")
    for _ in range(2):
        connection.socket.sendall(request)
        assert connection.answer()[0] == 204
    connection.socket.sendall(request + b"GET /ping HTTP/1.1\r\nHost: x\r\nX-Request-Id: p\r\n\r\n")
    assert connection.answer()[0] == 204
    assert connection.answer()[1]["request-id"] == "p"


def test_connection_close_is_obeyed(connect: Callable[[], Connection]):
    for _ in range(3):
        connection = connect()
        connection.socket.sendall(post("/write", b"close v=1", b"Connection: close\r\n"))
        status, headers, _ = connection.answer()
        assert (status, headers["connection"]) == (204, "close")
        assert connection.socket.recv(100) == b""
        old = connect()
        old.socket.sendall(post("/write", b"close v=1").replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert old.answer()[0] == 204
        assert old.socket.recv(100) == b""


def test_gzip_and_large_bodies_take_the_long_way(server: Server, connection: Connection):
    body = b"".join(b"large v=1 %d\n" % (100_000 + i) for i in range(10_000))
    for _ in range(3):
        connection.socket.sendall(post("/write", body))
        assert connection.answer()[0] == 204
        connection.socket.sendall(post("/write", b"not gzip", b"Content-Encoding: gzip\r\n"))
        status, _, answer = connection.answer()
        assert (status, json.loads(answer)) == (400, {"error": "gzip: invalid header"})
    assert count(server, "large") == 10_000


def test_what_was_counted_is_what_was_sent(server: Server, connection: Connection):
    def counted() -> tuple[int, int, int]:
        text = server.request("GET", "/metrics")[1].decode()
        names = (
            r'rusts_write_requests_total{dialect="v1",status="204"}',
            r'rusts_write_requests_total{dialect="v1",status="400"}',
            r'rusts_write_bytes_total{dialect="v1"}',
        )
        found = [re.search(re.escape(name) + r" (\S+)", text) for name in names]
        return tuple(int(float(f[1])) if f else 0 for f in found)  # type: ignore[return-value]

    before = counted()
    for body in (b"counted v=1", b"bad") * 5:
        connection.socket.sendall(post("/write", body))
        connection.answer()
    after = counted()
    assert [b - a for a, b in zip(before, after, strict=True)] == [5, 5, 5 * 14]


def test_a_client_that_does_not_read_is_not_read(server: Server, connection: Connection):
    request = post("/write", b"deaf v=1 1000")
    connection.socket.sendall(request)
    assert connection.answer()[0] == 204
    before = server.memory_bytes()
    connection.socket.setblocking(False)
    sent = 0
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline and sent < 60_000_000:
        try:
            sent += connection.socket.send((request * 1000)[sent % len(request) :])
        except BlockingIOError:
            time.sleep(0.02)
    assert sent < 60_000_000
    assert server.memory_bytes() - before < 50_000_000
    assert server.request("GET", "/ping")[0] == 204


def test_nonsense_behind_requests_closes_the_connection(connect: Callable[[], Connection]):
    for _ in range(3):
        connection = connect()
        connection.socket.sendall(post("/write", b"nonsense v=1 1000") * 20 + b"nonsense\r\n\r\n")
        answer = b""
        while piece := connection.socket.recv(65536):
            answer += piece
        assert b"HTTP/1.1 400 " in answer
