"""HTTPS with a certificate of our own making."""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools import peers


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with cert.pem and key.pem for localhost."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed: no certificate can be made")
    directory = tmp_path_factory.mktemp("tls")
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    command += ["-keyout", str(directory / "key.pem"), "-out", str(directory / "cert.pem")]
    subprocess.run(command, check=True, capture_output=True)
    return directory


def command(certificate: Path, directory: Path, port: int, *options: str) -> list[str]:
    return [
        *[sys.executable, "-m", "rusts.cli.server", "--data-dir", str(directory), "--bind", f"127.0.0.1:{port}"],
        *["--tls-certificate", str(certificate / "cert.pem"), "--tls-key", str(certificate / "key.pem"), *options],
    ]


@pytest.fixture
def port(certificate: Path, tmp_path: Path) -> Iterator[int]:
    """A server's, which speaks HTTPS and wants to know who comes."""
    port = peers.free_port()
    secret = tmp_path / "password"
    secret.write_text("pw\n")
    environment = {**os.environ, "RUSTS_ADMIN_USER": "root", "RUSTS_ADMIN_PASSWORD_FILE": str(secret)}
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command(certificate, tmp_path / "data", port, "--auth"), stdout=output, stderr=output, env=environment
        )
    deadline = time.monotonic() + 60
    while "msg=serving" not in log.read_text():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)
    yield port
    process.terminate()
    assert process.wait(60) == 0
    text = log.read_text()
    assert "Traceback" not in text, text


def test_requests_over_https(certificate: Path, port: int):
    context = ssl.create_default_context(cafile=str(certificate / "cert.pem"))
    connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=20)
    connection.connect()
    assert isinstance(connection.sock, ssl.SSLSocket)
    assert connection.sock.version() in ("TLSv1.2", "TLSv1.3")
    for number in range(4):
        body, headers = f"cpu v={number} {number}", {"Authorization": "Basic cm9vdDpwdw=="}
        connection.request("POST", "/write", body, headers)
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (204, b"")
        connection.request("POST", "/write", body)
        answer = connection.getresponse()
        assert answer.status == 401
        answer.read()
    connection.request("POST", "/api/v2/signin", headers={"Authorization": "Basic cm9vdDpwdw=="})
    answer = connection.getresponse()
    answer.read()
    assert "; Secure" in (answer.getheader("set-cookie") or "")
    connection.close()


def test_plain_http_is_not_spoken_there(port: int):
    with socket.create_connection(("127.0.0.1", port), timeout=20) as plain:
        plain.sendall(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = b""
        try:
            while piece := plain.recv(4096):
                answer += piece
        except ConnectionResetError:
            pass
    assert not answer.startswith(b"HTTP/")


@pytest.mark.parametrize("broken", ["cert.pem", "key.pem"])
def test_a_certificate_that_cannot_be_used(certificate: Path, tmp_path: Path, broken: str):
    copy = tmp_path / "copy"
    shutil.copytree(certificate, copy)
    (copy / broken).write_text("nonsense")
    for _ in range(2):
        ended = subprocess.run(
            command(copy, tmp_path / "data", peers.free_port()), capture_output=True, text=True, timeout=60, check=False
        )
        assert ended.returncode == 2
        assert ended.stderr.startswith("rusts-server: tls-certificate ")
        assert ended.stderr.count("\n") == 1
        (copy / broken).unlink(missing_ok=True)
