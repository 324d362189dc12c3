"""Servers to measure: rusts, and the two peers from Debian, each in a directory and on a port of its own.

`running` starts one and ends it. Every server gets the settings under which it does best and still keeps
the same promise; the reasons stand beside them. Memory is RssAnon: what a process has for itself, without
the page cache that it maps.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

__all__ = ["NAMES", "MemoryWatch", "PeerMissing", "Server", "free_port", "running", "start"]

NAMES = ("rusts", "influxd", "victoria-metrics")
_ROOT = Path(__file__).resolve().parents[1]
_START_SECONDS = 120.0
_TICKS = os.sysconf("SC_CLK_TCK")


class PeerMissing(Exception):
    """The peer's program is not installed."""


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Server:
    """A server process under measurement."""

    name: str
    directory: Path
    port: int
    process: subprocess.Popen[bytes]
    log: Path

    def request(
        self, method: str, target: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        """One request outside any measurement: status and body. Raises OSError."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        try:
            connection.request(method, target, body, dict(headers or {}))
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def influxql(self, query: str, database: str = "bench") -> dict[str, Any]:
        """The answer of `/query` to an InfluxQL text; times in ns. Raises RuntimeError on an error."""
        target = "/query?" + urllib.parse.urlencode({"q": query, "db": database, "epoch": "ns"})
        status, body = self.request("POST", target)
        answer: dict[str, Any] = json.loads(body)
        if status != 200 or any("error" in result for result in answer.get("results", [])):
            raise RuntimeError(f"{self.name} answered {status} to {query}: {body[:500]!r}")
        return answer

    def json_query(self, query: Mapping[str, Any]) -> dict[str, Any]:
        """The answer of rusts' JSON query API. Raises RuntimeError on an error."""
        status, body = self.request("POST", "/query", json.dumps(query).encode(), {"Content-Type": "application/json"})
        if status != 200:
            raise RuntimeError(f"{self.name} answered {status} to {query}: {body[:500]!r}")
        answer: dict[str, Any] = json.loads(body)
        return answer

    def create_database(self, name: str = "bench") -> None:
        """Make the database where the server knows such a thing."""
        if self.name != "victoria-metrics":
            self.influxql(f'CREATE DATABASE "{name}"')

    def memory_bytes(self) -> int:
        """RssAnon of the process now."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("the kernel does not report RssAnon")

    def cpu_seconds(self) -> float:
        """User and system time that the process has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def disk_bytes(self) -> int:
        """What the data directory occupies on disk, as `du` counts it."""
        total = 0
        for folder, _, files in os.walk(self.directory):
            for name in files:
                with contextlib.suppress(FileNotFoundError):
                    total += os.stat(os.path.join(folder, name)).st_blocks * 512
        return total

    def kill(self) -> None:
        """SIGKILL: the process gets no chance to write anything."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM, and SIGKILL if it has not ended after a minute; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.kill()
            return self.process.returncode

    def tail(self) -> str:
        """The end of the server's log."""
        return self.log.read_text("utf-8", "replace")[-4000:]


class MemoryWatch:
    """Samples a server's RssAnon in a thread; the highest sample is `peak_bytes`."""

    def __init__(self, server: Server, interval_seconds: float = 0.05) -> None:
        self.peak_bytes = 0
        self._server = server
        self._interval = interval_seconds
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self._end.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._end.is_set():
            with contextlib.suppress(OSError):
                self.peak_bytes = max(self.peak_bytes, self._server.memory_bytes())
            self._end.wait(self._interval)


def _program(name: str) -> str:
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/bin:/usr/bin")
    if path is None:
        raise PeerMissing(f"{name} is not installed; Debian has it in the package {_PACKAGES[name]}")
    return path


_PACKAGES = {"influxd": "influxdb", "victoria-metrics": "victoria-metrics"}


def _rusts(directory: Path, port: int, options: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    command = [sys.executable, "-m", "rusts.cli.launch", "--data-dir", str(directory / "data")]
    command += ["--bind", f"127.0.0.1:{port}", "--log-level", "warn", *options]
    paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return command, {"PYTHONPATH": os.pathsep.join(paths)}


def _influxd(directory: Path, port: int, options: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    settings = {
        "BIND_ADDRESS": f"127.0.0.1:{free_port()}",
        "META_DIR": str(directory / "meta"),
        "DATA_DIR": str(directory / "data"),
        "DATA_WAL_DIR": str(directory / "wal"),
        "HTTP_BIND_ADDRESS": f"127.0.0.1:{port}",
        # Neither server writes a line per request.
        "HTTP_LOG_ENABLED": "false",
        "DATA_QUERY_LOG_ENABLED": "false",
        "LOGGING_LEVEL": "warn",
        # Its own statistics are writes of their own.
        "MONITOR_STORE_ENABLED": "false",
        "SUBSCRIBER_ENABLED": "false",
        "DATA_MAX_SERIES_PER_DATABASE": "0",
        "DATA_MAX_VALUES_PER_TAG": "0",
    }
    for option in options:
        name, _, value = option.partition("=")
        settings[name] = value
    config = directory / "influxd.conf"
    config.write_text("reporting-disabled = true\n")
    return [_program("influxd"), "-config", str(config)], {
        f"INFLUXDB_{name}": value for name, value in settings.items()
    }


def _victoria_metrics(directory: Path, port: int, options: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    command = [
        _program("victoria-metrics"),
        f"-storageDataPath={directory / 'data'}",
        f"-httpListenAddr=127.0.0.1:{port}",
        # The rows are of 2016; by default it keeps a month.
        "-retentionPeriod=100y",
        "-search.latencyOffset=0s",
        "-loggerLevel=ERROR",
        *options,
    ]
    return command, {}


_COMMANDS: dict[str, Callable[[Path, int, Sequence[str]], tuple[list[str], dict[str, str]]]] = {
    "rusts": _rusts,
    "influxd": _influxd,
    "victoria-metrics": _victoria_metrics,
}


def start(
    name: str, directory: Path, options: Sequence[str] = (), *, prefix: Sequence[str] = (), log: Path | None = None
) -> Server:
    """Start the server `name` on `directory` (made if it is not there) and wait until it answers.

    `options` are flags (rusts, victoria-metrics) or ``SECTION_KEY=value`` settings (influxd); `prefix` is a
    command that starts the server's; `log` takes its output, a file in `directory` if None. Raises PeerMissing
    if it is not installed, RuntimeError with the end of its log if it does not come up.
    """
    directory.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command, environment = _COMMANDS[name](directory, port, options)
    log = log or directory / f"{name}.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*prefix, *command],
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **environment},
        )
    server = Server(name, directory, port, process, log)
    try:
        _wait(server)
    except BaseException:
        server.kill()
        raise
    return server


def _wait(server: Server) -> None:
    deadline = time.monotonic() + _START_SECONDS
    target = "/health" if server.name == "victoria-metrics" else "/ping"
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            raise RuntimeError(f"{server.name} ended with {server.process.returncode}: {server.tail()}")
        with contextlib.suppress(OSError, http.client.HTTPException):
            if server.request("GET", target)[0] in (200, 204):
                return
        time.sleep(0.01)
    raise RuntimeError(f"{server.name} did not come up: {server.tail()}")


@contextlib.contextmanager
def running(name: str, options: Sequence[str] = (), *, parent: Path | None = None) -> Iterator[Server]:
    """A fresh server in a temporary directory below `parent`, killed and removed at the end."""
    directory = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=parent))
    try:
        server = start(name, directory, options)
        try:
            yield server
        finally:
            server.kill()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
