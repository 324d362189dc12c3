"""Authentication of a real server: accounts that last, the short way of small writes, and the tools."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Serve
from tests.e2e.test_fast_writes import Connection
from tools.peers import Server


def basic(name: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


ROOT = basic("root", "pw")


@pytest.fixture
def server(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setenv("RUSTS_ADMIN_USER", "root")
    monkeypatch.setenv("RUSTS_ADMIN_PASSWORD", "pw")
    return serve("--auth", "--log-level", "warn,rusts.audit=info")


@pytest.fixture
def connection(server: Server) -> Iterator[Connection]:
    made = Connection(server)
    yield made
    made.socket.close()


def token(server: Server, *scopes: str) -> tuple[str, str]:
    """The id and the secret of a new token."""
    status, body = server.request("POST", "/admin/tokens", json.dumps({"scopes": scopes}).encode(), ROOT)
    assert status == 201
    made = json.loads(body)
    return made["id"], made["token"]


def write(connection: Connection, headers: dict[str, str], body: str = "cpu v=1") -> int:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"POST /write?db=default HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n{lines}\r\n"
    connection.socket.sendall(head.encode() + body.encode())
    return connection.answer()[0]


def test_the_short_way_asks_too(server: Server, connection: Connection):
    identifier, secret = token(server, "write:default")
    for headers in (ROOT, {"Authorization": f"Token {secret}"}):
        assert [write(connection, headers) for _ in range(4)] == [204] * 4
    assert [write(connection, basic("root", "no")) for _ in range(2)] == [401] * 2
    assert [write(connection, {}) for _ in range(2)] == [401] * 2
    # Heads that were allowed before are so no more once the accounts have changed.
    assert server.request("DELETE", f"/admin/tokens/{identifier}", headers=ROOT)[0] == 204
    assert [write(connection, {"Authorization": f"Token {secret}"}) for _ in range(3)] == [401] * 3
    assert [write(connection, ROOT) for _ in range(3)] == [204] * 3
    _, reader = token(server, "read:default")
    assert [write(connection, {"Authorization": f"Token {reader}"}) for _ in range(3)] == [403] * 3


def test_accounts_last(serve: Serve, server: Server, monkeypatch: pytest.MonkeyPatch):
    _, secret = token(server, "write:default")
    server.kill()
    monkeypatch.setenv("RUSTS_ADMIN_PASSWORD", "another")
    again = serve("--auth")
    for headers, status in ((ROOT, 204), (basic("root", "another"), 401), ({"Authorization": f"Token {secret}"}, 204)):
        assert again.request("POST", "/write", b"cpu v=1", headers)[0] == status
    assert again.request("GET", "/metrics", headers={"Authorization": f"Bearer {secret}"})[0] == 403
    assert again.request("GET", "/metrics", headers=ROOT)[0] == 200


def tool(*arguments: str, token: str = "", code: int = 0) -> str:
    ended = subprocess.run(
        [sys.executable, "-m", "rusts.cli.main", "token", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "RUSTS_TOKEN": token},
    )
    assert ended.returncode == code, ended.stderr
    return ended.stdout if code == 0 else ended.stderr


def test_the_token_tool(serve: Serve, server: Server):
    url = f"http://127.0.0.1:{server.port}"
    data = str(server.directory / "data")
    _, admin = token(server, "admin")
    secret = tool("create", "--scope", "write:default", "--expires", "1h", "--url", url, token=admin).strip()
    bearer = {"Authorization": f"Bearer {secret}"}
    assert server.request("POST", "/write", b"cpu v=1", bearer)[0] == 204
    assert secret not in tool("list", "--url", url, token=admin)
    assert "401" in tool("list", "--url", url, token="wrong", code=2)
    assert "in use by process" in tool("list", "--data-dir", data, code=2)
    server.stop()
    listed = tool("list", "--data-dir", data).splitlines()
    identifier = next(line.split("\t")[0] for line in listed if "write:default" in line)
    tool("revoke", identifier, "--data-dir", data)
    assert "no token" in tool("revoke", identifier, "--data-dir", data, code=1)
    other = tool("create", "--scope", "write:*", "--description", "all", "--data-dir", data).strip()
    assert "unknown scope" in tool("create", "--scope", "dance", "--data-dir", data, code=2)
    password = tool("reset-admin", "--data-dir", data, "--user", "root").strip()
    again = serve("--auth")
    assert again.request("POST", "/write", b"cpu v=1", bearer)[0] == 401
    assert again.request("POST", "/write", b"cpu v=1", {"Authorization": f"Token {other}"})[0] == 204
    assert again.request("POST", "/write", b"cpu v=1", ROOT)[0] == 401
    assert again.request("GET", "/admin/tokens", headers=basic("root", password))[0] == 200


def test_the_audit_log_names_nobodys_secret(server: Server):
    server.request("POST", "/write", b"cpu v=1", basic("root", "guess-of-mine"))
    _, secret = token(server, "admin")
    server.request("POST", "/admin/flush", headers={"Authorization": f"Token {secret}"})
    log = Path(server.log).read_text()
    assert "action=login" in log
    assert 'action="create token"' in log
    assert 'action="POST /admin/flush"' in log
    for hidden in (secret, "guess-of-mine", "pw"):
        assert hidden not in log
