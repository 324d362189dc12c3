"""Bodies at the edges, against a real server: each gets the answer of InfluxDB 1.x's contract."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
from collections.abc import Iterator

import pytest

from tools.peers import Server

LIMIT = 25_000_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    from tools import peers  # noqa: PLC0415

    running = peers.start("rusts", tmp_path_factory.mktemp("edges"))
    yield running
    running.kill()
    assert "Traceback" not in running.log.read_text()


def count(server: Server, measurement: str, field: str = "v") -> int:
    answer = server.json_query({"measurement": measurement, "aggregation": {"function": "Count", "field": field}})
    return int(answer["series"][0]["values"][0][1]) if answer["series"] else 0


def body_of(measurement: str, length: int) -> bytes:
    """Exactly `length` bytes of line protocol, mostly comment."""
    line = f"{measurement} v=1 1\n".encode()
    return line + b"#" * (length - len(line) - 1) + b"\n"


def chunks(body: bytes, size: int) -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def raw(server: Server, head: str, body: bytes) -> bytes:
    """The answer to a request that is written byte by byte; the connection ends with it."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as s:
        # A server may answer and close before it has read all.
        with contextlib.suppress(OSError):
            s.sendall(head.replace("\n", "\r\n").encode() + b"\r\n" + body)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := s.recv(65536):
                answer += piece
    return answer


def test_as_telegraf_writes(server: Server) -> None:
    body = gzip.compress(b"".join(b"tele,host=h%d v=%di %d\n" % (n % 5, n, 1_700_000_000 + n) for n in range(1000)))
    head = (
        "POST /write?db=default&precision=s HTTP/1.1\nHost: x\nUser-Agent: Telegraf/1.30\nConnection: close\n"
        "Content-Type: text/plain; charset=utf-8\nContent-Encoding: gzip\nTransfer-Encoding: chunked\n"
    )
    answer = raw(server, head, chunks(body, 700))
    assert answer.startswith(b"HTTP/1.1 204 ")
    assert answer.endswith(b"\r\n\r\n")
    assert b"x-influxdb-version:" in answer.lower()
    assert count(server, "tele") == 1000
    last = server.json_query({"measurement": "tele", "fields": ["v"], "order": "desc", "limit": 1})
    assert last["series"][0]["values"] == [[1_700_000_999_000_000_000, 999]]


def test_a_body_of_the_limit(server: Server) -> None:
    assert server.request("POST", "/write", body_of("largest", LIMIT)) == (204, b"")
    assert count(server, "largest") == 1


def test_a_body_one_byte_above_the_limit(server: Server) -> None:
    body = body_of("too_large", LIMIT + 1)
    head = f"POST /write HTTP/1.1\nHost: x\nConnection: close\nContent-Length: {len(body)}\n"
    chunked = "POST /write HTTP/1.1\nHost: x\nConnection: close\nTransfer-Encoding: chunked\n"
    for answer in (raw(server, head, body), raw(server, chunked, chunks(body, 1 << 16))):
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert json.loads(answer.partition(b"\r\n\r\n")[2]) == {"error": "Request Entity Too Large"}
    assert count(server, "too_large") == 0


def test_one_bad_line_in_ten_thousand(server: Server) -> None:
    lines = [b"mostly v=%di %d" % (n, n) for n in range(10_000)]
    lines[7_654] = b"mostly,host v=1 7654"
    status, body = server.request("POST", "/write", b"\n".join(lines))
    assert status == 400
    answer = json.loads(body)
    assert answer["error"] == ("partial write: unable to parse 'mostly,host v=1 7654': missing tag value dropped=0")
    assert [line["line"] for line in answer["lines"]] == [7_655]
    assert count(server, "mostly") == 9_999


@pytest.mark.parametrize("body", [b"", b"\n\n", b"# nothing\n", gzip.compress(b"")])
def test_bodies_without_points(server: Server, body: bytes) -> None:
    headers = {"Content-Encoding": "gzip"} if body.startswith(b"\x1f\x8b") else {}
    assert server.request("POST", "/write", body, headers) == (204, b"")


@pytest.mark.parametrize("path", ["/write", "/api/v2/write?bucket=default", "/api/v3/write_lp?db=default"])
def test_a_binary_body(server: Server, path: str) -> None:
    status, body = server.request("POST", path, bytes(range(256)) * 40)
    assert status == 400
    answer = json.loads(body)
    if path == "/write":
        assert answer["error"].startswith("unable to parse '")
    elif "v2" in path:
        assert answer["code"] == "invalid"
    else:
        assert "error" in answer
    assert server.request("GET", "/ping")[0] == 204


def test_a_gzip_body_that_is_none(server: Server) -> None:
    status, body = server.request("POST", "/write", b"m v=1", {"Content-Encoding": "gzip"})
    assert status == 400
    assert json.loads(body) == {"error": "gzip: invalid header"}
    status, body = server.request("POST", "/write", gzip.compress(b"m v=1\n" * 100)[:-9], {"Content-Encoding": "gzip"})
    assert status == 400
    assert json.loads(body) == {"error": "unexpected EOF"}


def test_a_small_body_that_inflates_beyond_the_limit(serve) -> None:
    server = serve("--max-inflated-size", "1MB")
    bomb = gzip.compress(body_of("bomb", 1_000_001))
    assert server.request("POST", "/write", bomb, {"Content-Encoding": "gzip"})[0] == 413
    fine = gzip.compress(body_of("fine", 1_000_000))
    assert server.request("POST", "/write", fine, {"Content-Encoding": "gzip"})[0] == 204
    assert count(server, "bomb") == 0
    assert count(server, "fine") == 1


def test_a_database_that_is_not_there(server: Server) -> None:
    status, body = server.request("POST", "/write?db=nodb", b"m v=1")
    assert (status, json.loads(body)) == (404, {"error": 'database not found: "nodb"'})
    assert server.request("POST", "/api/v2/write?bucket=made", b"m v=1")[0] == 204
    assert server.request("POST", "/write?db=made", b"m v=1")[0] == 204


def test_a_client_that_goes_away_in_the_middle(server: Server) -> None:
    for sent in (0, 10, 60_000):
        with socket.create_connection(("127.0.0.1", server.port)) as s:
            head = b"POST /write HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
            s.sendall(head + b"gone v=1 1\n"[:sent] + b"#" * max(0, sent - 11))
    assert server.request("POST", "/write", b"stays v=1 1")[0] == 204
    assert count(server, "stays") == 1
    assert count(server, "gone") == 0


@pytest.mark.parametrize(
    ("target", "length", "status"),
    [
        ("/write", LIMIT + 1, b"413"),
        ("/write?precision=x", 20, b"400"),
        ("/nowhere", 20, b"404"),
        ("/write", 7, b"204"),
    ],
)
def test_a_client_that_asks_first_may_keep_its_body(server: Server, target: str, length: int, status: bytes) -> None:
    """Refused, it is told that the connection ends, for what it sends next would be taken for the body."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as s:
        head = f"POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\nExpect: 100-continue\r\n\r\n"
        s.sendall(head.encode())
        with s.makefile("rb") as answers:
            first = answers.readline()
            if status == b"204":
                assert first == b"HTTP/1.1 100 Continue\r\n"
                assert answers.readline() == b"\r\n"
                s.sendall(b"ask v=1")
                assert answers.readline().split()[1] == status
                return
            assert first.split()[1] == status
            rest = answers.read()
    assert b"\r\nconnection: close\r\n" in b"\r\n" + rest.lower()


def test_an_unknown_database_counts_before_all_else(server: Server) -> None:
    """Telegraf makes the database that it is told of, and sends its points again; a 413 would lose them."""
    body = body_of("nowhere", LIMIT + 1)
    for query in ("db=nodb2", "db=nodb2&precision=x", "db=nodb2&consistency=x"):
        head = f"POST /write?{query} HTTP/1.1\nHost: x\nConnection: close\nTransfer-Encoding: chunked\n"
        answer = raw(server, head, chunks(body, 1 << 16))
        assert answer.startswith(b"HTTP/1.1 404 ")
        assert json.loads(answer.partition(b"\r\n\r\n")[2]) == {"error": 'database not found: "nodb2"'}


def test_json_that_curl_calls_a_form(server: Server) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert server.request("POST", "/write", b"curl,host=a&q\\=b v=1 1")[0] == 204
    query = {"measurement": "curl", "tag_filters": [{"key": "host", "value": "a&q=b"}]}
    status, body = server.request("POST", "/query", json.dumps(query).encode(), form)
    assert status == 200
    assert len(json.loads(body)["series"][0]["values"]) == 1
