from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from rusts.cli import importer
from rusts.cli.importer import Refused, Sender, Unreachable, app

FAIL = b'{"code":"unavailable","message":"memory is full"}'


class Server(http.server.ThreadingHTTPServer):
    """Takes writes; `answers` holds what it says first: a status, or 0 for a cut connection."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[tuple[int, bytes]] = []
        self.bodies: list[bytes] = []
        self.targets: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def text(self) -> bytes:
        return b"".join(self.bodies)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.targets.append(self.path)
        status, answer = self.server.answers.pop(0) if self.server.answers else (204, b"")
        if status == 0:
            self.close_connection = True
            return
        if status == 204:
            self.server.bodies.append(body)
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        if status == 503:
            self.send_header("Retry-After", "3")
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that the command would have made."""
    made: list[float] = []
    monkeypatch.setattr(importer.time, "sleep", made.append)
    return made


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "table.parquet"
    rows = 1000
    pq.write_table(
        pa.table(
            {
                "timestamp": pa.array(range(rows), pa.timestamp("ms")),
                "host": [f"h{n % 7}" for n in range(rows)],
                "v": [n / 8 for n in range(rows)],
                "parts": [[n] for n in range(rows)],
            }
        ),
        path,
        row_group_size=300,
    )
    return path


def run(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["parquet", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_every_row_goes_in_once_and_in_order(server: Server, table: Path) -> None:
    code, output = run(table, "-s", server.url, "--tags", "host", "-m", "cpu", "-b", "64")
    assert code == 0, output
    expected = b"".join(b"cpu,host=h%d v=%s %d\n" % (n % 7, f"{n / 8:g}".encode(), n * 1_000_000) for n in range(1000))
    assert server.text() == expected
    assert max(body.count(b"\n") for body in server.bodies) == 64
    assert set(server.targets) == {"/api/v2/write?bucket=default&precision=ns"}
    assert "1000 of 1000 rows are in" in output
    assert "column parts is left out" in output


def test_database_and_path_of_the_server(server: Server, table: Path) -> None:
    assert run(table, "-s", f"{server.url}/base/", "-d", "a b/c")[0] == 0
    assert set(server.targets) == {"/base/api/v2/write?bucket=a%20b%2Fc&precision=ns"}


def test_what_may_pass_later_is_sent_again(server: Server, table: Path, pauses: list[float]) -> None:
    server.answers = [(204, b""), (500, b'{"error":"timeout"}'), (0, b""), (503, FAIL), (502, b"<html>"), (204, b"")]
    code, output = run(table, "-s", server.url, "-b", "500")
    assert code == 0, output
    assert server.text().count(b"\n") == 1000
    assert pauses == [0.25, 0.5, 3.0, 6.0]


def test_a_server_that_stays_away(server: Server, table: Path, pauses: list[float]) -> None:
    server.answers = [(503, FAIL)] * 10
    code, output = run(table, table, "-s", server.url)
    assert code == 1
    assert "503 memory is full" in output
    assert "0 of 1000 rows are in" in output
    assert len(pauses) == 9


def test_nobody_listens(table: Path, server: Server, pauses: list[float]) -> None:
    url = server.url
    server.server_close()
    code, output = run(table, "-s", url)
    assert code == 1
    assert "gave up" in output


def test_a_refused_request_is_reported_and_the_rest_goes_in(server: Server, table: Path) -> None:
    partial = b'{"code":"invalid","message":"partial write: field type conflict: v dropped=2"}'
    server.answers = [(204, b""), (400, partial)]
    code, output = run(table, "-s", server.url, "-b", "250")
    assert code == 1
    assert "field type conflict: v dropped=2" in output
    assert "750 of 1000 rows are in" in output


def test_a_row_that_is_no_point(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "holes.parquet"
    pq.write_table(pa.table({"timestamp": pa.array([1, None, 3]), "v": [1.0, 2.0, None]}), path)
    code, output = run(path, "-s", server.url)
    assert code == 1
    assert server.text() == b"imported v=1 1\n"
    assert "1 of 3 rows are in" in output


def test_a_file_that_does_not_fit_does_not_stop_the_others(server: Server, table: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1 and then nothing")
    code, output = run(broken, tmp_path / "missing.parquet", table, "-s", server.url)
    assert code == 1
    assert "broken.parquet" in output
    assert "missing.parquet" in output
    assert "1000 of 1000 rows are in" in output


def test_dry_run_sends_nothing(server: Server, table: Path) -> None:
    code, output = run(table, "-s", server.url, "--dry-run")
    assert code == 0
    assert not server.targets
    assert 'imported host="h0",v=0 0\n' in output
    assert "1000 of 1000 rows would be sent" in output


def test_schema_only_reads_no_rows(server: Server, table: Path) -> None:
    code, output = run(table, "-s", server.url, "--schema-only", "--tags", "host")
    assert code == 0
    assert not server.targets
    assert "1000 rows" in output
    for word in ("time", "tag", "field", "double"):
        assert word in output


@pytest.mark.parametrize("url", ["ftp://x", "http://", ""])
def test_a_wrong_server(table: Path, url: str) -> None:
    code, output = run(table, "-s", url)
    assert code == 2
    assert "URL" in output


def test_sender_tells_refused_from_unreachable(server: Server, pauses: list[float]) -> None:
    sender = Sender(server.url, "default", attempts=2)
    server.answers = [(404, b"404 page not found")]
    with pytest.raises(Refused, match="404 404 page not found"):
        sender.send(b"m v=1")
    server.answers = [(500, b""), (500, b'{"error":"timeout"}')]
    with pytest.raises(Unreachable, match="500 timeout"):
        sender.send(b"m v=1")
    sender.send(b"m v=1")
    sender.close()
    assert server.bodies == [b"m v=1"]


def test_bounded_requests(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "large.parquet"
    pq.write_table(pa.table({"timestamp": range(30), "v": ["x" * 1_000_000] * 30}), path)
    assert run(path, "-s", server.url)[0] == 0
    assert server.text().count(b"\n") == 30
    assert max(map(len, server.bodies)) <= 8_000_000
