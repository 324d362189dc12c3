"""``rusts query`` and ``rusts write`` against a small HTTP server that remembers what it was asked."""

from __future__ import annotations

import base64
import http.server
import io
import itertools
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from typer.testing import CliRunner

from rusts.cli import client
from rusts.cli.main import app


class Server(http.server.ThreadingHTTPServer):
    """Answers every POST with `status` and `answer`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status, self.answer = 200, b""
        self.seen: list[tuple[str, dict[str, str], bytes, dict[str, str]]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parameters = {name: values[0] for name, values in parse_qs(parts.query).items()}
        server.seen.append((parts.path, parameters, body, dict(self.headers)))
        self.send_response(server.status)
        if server.status != 204:
            self.send_header("Content-Length", str(len(server.answer)))
        self.end_headers()
        if server.status != 204:
            self.wfile.write(server.answer)

    def log_message(self, format: str, *args: object) -> None:
        del format, args


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.01,))
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def run(server: Server, *words: str, given: str | bytes | None = None, **environment: str):
    return CliRunner().invoke(app, [*words, "--server", server.url], input=given, env=environment)


def test_a_table(server: Server):
    server.answer = (
        b'{"results":[{"statement_id":0,"series":[{"name":"m","tags":{"host":"a"},"columns":["time","v"],'
        b'"values":[["1970-01-01T00:00:00Z",1.5],["1970-01-01T00:00:01Z",null]]}]}]}\n'
        b'{"results":[{"statement_id":1,"messages":[{"level":"warning","text":"careful"}]}]}\n'
    )
    outcome = run(server, "query", "SELECT v FROM m", "--db", "x", "--epoch", "s")
    assert outcome.exit_code == 0, outcome.output
    for text in ("m (host=a)", "time", "1970-01-01T00:00:00Z", "1.5", "careful"):
        assert text in outcome.output
    ((path, parameters, body, _),) = server.seen
    assert (path, body) == ("/query", b"q=SELECT+v+FROM+m")
    assert parameters == {"db": "x", "epoch": "s", "chunked": "true", "chunk_size": "10000"}


@pytest.mark.parametrize("format", ["json", "csv"])
def test_other_forms_are_printed_as_they_come(server: Server, format: str):
    server.answer = b'{"results":[{"statement_id":0}]}\n'
    outcome = run(server, "query", "-", "-f", format, given="SHOW DATABASES")
    assert (outcome.exit_code, outcome.output) == (0, server.answer.decode())
    ((_, parameters, body, headers),) = server.seen
    assert parameters == {}
    assert body == b"q=SHOW+DATABASES"
    assert headers.get("Accept") == ("text/csv" if format == "csv" else None)


@pytest.mark.parametrize("format", ["table", "json"])
def test_a_statement_that_fails(server: Server, format: str):
    server.answer = b'{"results":[{"statement_id":0,"error":"database not found: x"}]}\n'
    outcome = run(server, "query", "SELECT v FROM m", "--format", format)
    assert outcome.exit_code == 1
    assert "database not found: x" in outcome.output


def test_a_refusal_and_no_server(server: Server):
    server.status, server.answer = 400, b'{"error":"error parsing query: found X"}'
    outcome = run(server, "query", "X")
    assert (outcome.exit_code, "error parsing query: found X" in outcome.output) == (1, True)
    outcome = CliRunner().invoke(app, ["query", "X", "--server", "http://127.0.0.1:1"])
    assert outcome.exit_code == 1
    assert CliRunner().invoke(app, ["query", "X", "--server", "ftp://x"]).exit_code == 2


def test_credentials(server: Server):
    run(server, "query", "X", "--user", "u", RUSTS_PASSWORD="p")
    run(server, "query", "X", RUSTS_TOKEN="t")
    sent = [headers["Authorization"] for _, _, _, headers in server.seen]
    assert sent == ["Basic " + base64.b64encode(b"u:p").decode(), "Token t"]


def test_write(server: Server, tmp_path: Path):
    server.status = 204
    file = tmp_path / "lines"
    file.write_bytes(b"m v=1 1\nm v=2 2")
    outcome = run(server, "write", str(file), "--db", "x", "--precision", "s", "--rp", "r")
    assert (outcome.exit_code, "2 lines are in" in outcome.output) == (0, True)
    assert b"".join(body for _, _, body, _ in server.seen) == file.read_bytes()
    assert server.seen[0][:2] == ("/write", {"db": "x", "precision": "s", "rp": "r"})
    assert run(server, "write", "-", given=b"m v=1\n").exit_code == 0


def test_a_write_that_is_refused(server: Server):
    server.status, server.answer = 400, b'{"error":"unable to parse \'x\': missing fields"}'
    outcome = run(server, "write", "-", given=b"x\n")
    assert (outcome.exit_code, "missing fields" in outcome.output) == (1, True)


def test_bodies_end_where_lines_do_and_never_inside_a_string(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(client, "_BODY_BYTES", 40)
    lines = [b'm,host=a s="two\nlines and more" %d\n' % i if i % 3 else b"m v=%d %d\n" % (i, i) for i in range(50)]
    bodies = list(client._bodies(io.BytesIO(b"".join(lines))))
    assert b"".join(bodies) == b"".join(lines)
    ends = set(itertools.accumulate(map(len, lines)))
    assert set(itertools.accumulate(map(len, bodies))) <= ends
    assert len(bodies) > 20
