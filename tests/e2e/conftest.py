"""Real server processes for the tests of this folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from tools import peers
from tools.peers import Server

PROOF = os.environ.get("RUSTS_PROOF") == "1"


class Serve(Protocol):
    """Starts a server; see `serve`."""

    def __call__(self, *options: str, directory: str = "server", prefix: tuple[str, ...] = ()) -> Server: ...


@pytest.fixture
def proof() -> bool:
    """True where the full counts are asked for."""
    return PROOF


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts servers on `directory` below the test's own, and ends them with the test.

    No server may have logged an exception that nobody expected.
    """
    started: list[Server] = []

    def begin(*options: str, directory: str = "server", prefix: tuple[str, ...] = ()) -> Server:
        server = peers.start("rusts", tmp_path / directory, options, prefix=prefix)
        started.append(server)
        return server

    yield begin
    for server in started:
        if server.process.poll() is None:
            server.kill()
    for log in {server.log for server in started}:
        text = log.read_text("utf-8", "replace")
        assert "Traceback" not in text, text[-4000:]
        assert "BUG:" not in text, text[-4000:]


def rows_of(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """Each row of a JSON query's answer as a dict of its columns and of its series' tags."""
    return [
        {**series["tags"], **dict(zip(series["columns"], row, strict=True))}
        for series in answer["series"]
        for row in series["values"]
    ]


@pytest.fixture(name="rows_of")
def _rows_of() -> Any:
    return rows_of
