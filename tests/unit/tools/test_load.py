from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tools.load import Client, RequestFile, generate, http_request


class Handler(http.server.BaseHTTPRequestHandler):
    """204 to a POST, 500 if its body says so; a GET gets its path back, /chunked in chunks."""

    protocol_version = "HTTP/1.1"
    bodies: list[bytes]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.bodies.append(body)
        self.send_response(500 if body == b"fail" else 204)
        if body == b"fail":
            self.send_header("Content-Length", "4")
        self.end_headers()
        if body == b"fail":
            self.wfile.write(b"what")

    def do_GET(self) -> None:
        text = self.path.encode() * 1000
        self.send_response(200)
        if self.path == "/chunked":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for at in range(0, len(text), 999):
                piece = text[at : at + 999]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
        else:
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[tuple[int, list[bytes]]]:
    handler = type("Recording", (Handler,), {"bodies": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        running.daemon_threads = True
        thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield running.server_address[1], handler.bodies
        running.shutdown()
        thread.join()


def test_every_request_is_sent_once(server: tuple[int, list[bytes]], tmp_path: Path) -> None:
    port, bodies = server
    requests = RequestFile(tmp_path / "requests")
    wanted = [b"%d " % n * (n % 7 * 50_000 + 1) for n in range(40)]
    assert requests.write_bodies(wanted) == 40
    result = generate(port, requests, 5)
    assert (result.requests, result.failed, result.first_failure) == (40, 0, "")
    assert 0 < result.median_ms <= result.p99_ms <= result.max_ms
    assert sorted(bodies) == sorted(wanted)


def test_failures_are_counted(server: tuple[int, list[bytes]], tmp_path: Path) -> None:
    requests = RequestFile(tmp_path / "requests")
    requests.write_bodies([b"a", b"fail", b"b", b"fail"])
    result = generate(server[0], requests, 2)
    assert (result.requests, result.failed) == (4, 2)
    assert result.first_failure.startswith("HTTP/1.1 500 ")


def test_a_load_of_some_seconds_begins_again(server: tuple[int, list[bytes]], tmp_path: Path) -> None:
    requests = RequestFile(tmp_path / "requests")
    requests.write([http_request("GET", "/plain"), http_request("GET", "/chunked")])
    result = generate(server[0], requests, 2, status=200, seconds=0.2)
    assert result.requests > 2
    assert result.failed == 0


def test_nobody_listens(server: tuple[int, list[bytes]], tmp_path: Path) -> None:
    requests = RequestFile(tmp_path / "requests")
    requests.write_bodies([b"a"])
    with pytest.raises(RuntimeError, match="refused"):
        generate(1, requests, 1)


@pytest.mark.parametrize("path", ["/plain", "/chunked"])
def test_whole_answers(server: tuple[int, list[bytes]], path: str) -> None:
    with Client(server[0]) as client:
        for _ in range(3):
            answer = client.send(http_request("GET", path))
            assert (answer.status, answer.body) == (200, path.encode() * 1000)
        assert client.send(http_request("POST", "/write", b"x")).status == 204
