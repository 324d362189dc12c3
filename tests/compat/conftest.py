"""Real clients against a real server process. ``make clients`` installs the clients and runs this.

With RUSTS_COMPAT_SERVER=influxd the same tests run on InfluxDB 1.6.7, to see that they ask what is right; what
only later versions know is skipped then.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tools import clients, peers

HERE = Path(__file__).parent
SERVER = os.environ.get("RUSTS_COMPAT_SERVER", "rusts")


def _present() -> dict[str, bool]:
    try:
        found: dict[str, bool] = json.loads((clients.FOLDER / "present.json").read_text())
    except FileNotFoundError:
        return {}
    return found


PRESENT = _present()

Script = Callable[..., str]


@pytest.fixture(scope="session")
def server() -> Iterator[peers.Server]:
    """One server for all tests: each uses databases of its own."""
    with peers.running(SERVER) as running:
        yield running


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture
def python(server: peers.Server) -> Script:
    """Run a script of ``scripts/`` in the clients' Python, with the server's port and more as arguments."""

    def run(script: str, client: str, *arguments: str) -> str:
        _need(client)
        interpreter = str(clients.FOLDER / "python" / "bin" / "python")
        return _run([interpreter, "-W", "ignore", str(HERE / "scripts" / script), str(server.port), *arguments])

    return run


@pytest.fixture
def node(server: peers.Server) -> Script:
    """Run a script of ``scripts/`` with node; it finds the clients' modules."""

    def run(script: str, client: str, *arguments: str) -> str:
        _need(client)
        modules = str(clients.FOLDER / "node" / "node_modules")
        os.environ["NODE_PATH"] = modules
        return _run(["node", str(HERE / "scripts" / script), str(server.port), *arguments])

    return run


@pytest.fixture
def shell(server: peers.Server) -> Script:
    """Run the `influx` 1.x shell against the server."""
    path = clients.shell()
    if path is None:
        pytest.skip("client missing: the influx shell")

    def run(*arguments: str) -> str:
        return _run([path, "-host", "127.0.0.1", "-port", str(server.port), *arguments])

    return run


def _need(client: str) -> None:
    if not PRESENT.get(client):
        pytest.skip(f"client missing: {client} (make clients installs it)")
