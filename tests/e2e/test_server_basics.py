"""The server as a process: how it starts, refuses to start, drains and stops."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from rusts import __version__
from tests.e2e.conftest import Serve
from tools.peers import Server, free_port

ROOT = Path(__file__).parents[2]


def run(*arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """The console command, for as long as it takes to end by itself."""
    return subprocess.run(
        [sys.executable, "-m", "rusts.cli.server", *arguments],
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def refusal(*arguments: str, environment: dict[str, str] | None = None) -> str:
    """The one line of a server that does not start."""
    ended = run(*arguments, environment=environment)
    assert ended.returncode == 2, ended.stderr
    assert ended.stderr.count("\n") == 1, ended.stderr
    assert ended.stderr.startswith("rusts-server: ")
    return ended.stderr


def count(server: Server, measurement: str) -> int:
    answer = server.json_query({"measurement": measurement, "aggregation": {"function": "Count", "field": "v"}})
    return int(answer["series"][0]["values"][0][1]) if answer["series"] else 0


def test_version_and_help():
    ended = run("--version")
    assert ended.returncode == 0
    assert ended.stdout.startswith(f"rusts-server {__version__} (kernels: ")
    assert any(word in ended.stdout for word in ("compiled", "pure"))
    ended = run("--help")
    assert ended.returncode == 0
    assert "--wal-mode" in ended.stdout


def test_sigterm_flushes_and_ends_with_0(serve: Serve, tmp_path: Path):
    server = serve()
    assert server.request("POST", "/write", b"m v=1 1\nm v=2 2")[0] == 204
    assert server.stop() == 0
    segments = list((tmp_path / "server").rglob("*.seg"))
    assert segments
    again = serve()
    assert count(again, "m") == 2
    status, body = again.request("GET", "/stats")
    assert (status, json.loads(body)["memtable"]["active_points"]) == (200, 0)


def test_requests_under_way_are_finished(serve: Serve):
    server = serve()
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as s:
        s.sendall(b"POST /write HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\nm v=")
        time.sleep(0.3)
        stopped = threading.Thread(target=server.stop)
        stopped.start()
        time.sleep(0.5)
        s.sendall(b"1 99")
        assert s.recv(1000).startswith(b"HTTP/1.1 204 ")
        stopped.join()
    assert server.process.returncode == 0
    assert count(serve(), "m") == 1


def test_a_second_signal_stops_the_waiting(serve: Serve):
    server = serve()
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as s:
        s.sendall(b"POST /write HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\nm v=")
        time.sleep(0.3)
        server.process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        server.process.send_signal(signal.SIGINT)
        assert b"HTTP/1.1 503 " in s.recv(1000)
        assert server.process.wait(20) == 0


def test_a_second_server_names_the_first(serve: Serve, tmp_path: Path):
    server = serve()
    directory = str(tmp_path / "server" / "data")
    pid = str(server.process.pid)
    for address in (f"127.0.0.1:{free_port()}", f"127.0.0.1:{server.port}"):
        text = refusal("--data-dir", directory, "--bind", address)
        assert f"is in use by process {pid}" in text
    assert server.request("GET", "/ping")[0] == 204


def test_a_port_that_is_taken(serve: Serve, tmp_path: Path):
    server = serve()
    text = refusal("--data-dir", str(tmp_path / "other"), "--bind", f"127.0.0.1:{server.port}")
    assert f"cannot listen on 127.0.0.1:{server.port}: Address already in use" in text
    text = refusal("--data-dir", str(tmp_path / "other"), "--bind", "no.such.host.invalid:1")
    assert "cannot listen on no.such.host.invalid:1" in text


def test_a_directory_that_cannot_be_used(tmp_path: Path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    text = refusal("--data-dir", str(blocked / "data"), "--bind", f"127.0.0.1:{free_port()}")
    assert f"cannot use data directory {blocked}/data" in text


@pytest.mark.parametrize(
    ("arguments", "environment", "text"),
    [
        (["--wal-mode", "fast"], {}, '--wal-mode: wrong value "fast": want one of every-write'),
        (["--wal-mod", "none"], {}, "No such option"),
        ([], {"RUSTS_FLUSH_INTERVAL": "soon"}, "RUSTS_FLUSH_INTERVAL: wrong value"),
        (["--config", "/no/such.toml"], {}, "/no/such.toml: No such file or directory"),
        (["stray"], {}, "unexpected extra argument"),
    ],
)
def test_wrong_settings(arguments: list[str], environment: dict[str, str], text: str, tmp_path: Path):
    assert text in refusal("--data-dir", str(tmp_path), *arguments, environment=environment)


def test_settings_from_file_and_environment(tmp_path: Path):
    path = tmp_path / "rusts.toml"
    path.write_text('[http]\nbind-address = ":8086"\n')
    assert 'here it is called "bind"' in refusal("--config", str(path))
    path.write_text('max-body-size = "10"\nlog-format = "json"\n')
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "rusts.cli.server", "--access-log"],
        cwd=ROOT,
        env={
            **os.environ,
            "RUSTS_CONFIG": str(path),
            "DATA_DIR": str(tmp_path / "data"),
            "BIND_ADDRESS": f"127.0.0.1:{port}",
            "RUSTS_WALMODE": "none",
        },
        stderr=subprocess.PIPE,
        text=True,
    )
    server = Server("rusts", tmp_path, port, process, tmp_path / "log")
    try:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                assert server.request("GET", "/ping")[0] == 204
                break
            except ConnectionRefusedError:
                time.sleep(0.05)
        assert server.request("POST", "/write", b"m v=1 12345")[0] == 413
    finally:
        process.terminate()
        _, text = process.communicate(timeout=30)
    assert process.returncode == 0
    lines = [json.loads(line) for line in text.splitlines()]
    assert any(line["msg"] == "RUSTS_WALMODE is no setting: did you mean RUSTS_WAL_MODE?" for line in lines)
    assert any(line["msg"] == "serving" and line["bind"] == f"127.0.0.1:{port}" for line in lines)
    assert any(line["msg"] == "request" and line["status"] == 413 for line in lines)


def test_common_headers_and_date(serve: Serve):
    server = serve()
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as s:
        s.sendall(
            b"POST /write HTTP/1.1\r\nHost: x\r\nX-Request-Id: abc\r\nExpect: 100-continue\r\nContent-Length: 7\r\n\r\n"
        )
        assert s.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        s.sendall(b"m v=1 1")
        head = s.recv(1000).decode().lower()
    assert head.startswith("http/1.1 204 no content\r\n")
    for line in ("date: ", "x-influxdb-version: ", "x-influxdb-build: oss", "request-id: abc", "x-request-id: abc"):
        assert f"\r\n{line}" in head
    assert "content-length" not in head
    assert "transfer-encoding" not in head


def test_pipelined_requests_are_answered_in_order(serve: Serve):
    server = serve()
    requests = b"".join(
        b"POST /write HTTP/1.1\r\nHost: x\r\nX-Request-Id: r%d\r\nContent-Length: 7\r\n\r\nm v=1 %d" % (i, i)
        for i in range(5)
    )
    requests += b"GET /ping HTTP/1.1\r\nHost: x\r\nX-Request-Id: r5\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as s:
        s.sendall(requests)
        answer = b""
        while piece := s.recv(65536):
            answer += piece
    heads = answer.decode().split("HTTP/1.1 ")[1:]
    assert [head[:3] for head in heads] == ["204"] * 6
    assert [f"\r\nx-request-id: r{i}\r\n" in head for i, head in enumerate(heads)] == [True] * 6
    assert count(server, "m") == 5
