"""The examples run against a server and print what they should."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import tomli

from tests.e2e.conftest import Serve

EXAMPLES = Path(__file__).parents[2] / "examples"

PRINTS = {
    "write_and_query.py": ["1700003600000000000 Oslo -4", "Bergen 4.5", "Oslo -3.75"],
    "bad_lines.py": [
        "400 partial write",
        "line 2, column 21: missing field value",
        'line 3, column 1: field type conflict: input field "watts" on measurement "power" is type string',
        "the server remembers 2 refusals",
    ],
    "gzip_batches.py": ["20000 points sent"],
    "arrow_frame.py": ["5 rows of time", "[1.0, 4.0, 9.0, 16.0, 25.0]"],
}


def test_every_example_is_run_and_listed() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(PRINTS)
    listed = (EXAMPLES / "README.md").read_text()
    assert all(f"]({path.name})" in listed for path in EXAMPLES.iterdir() if path.name != "README.md")


@pytest.fixture
def url(serve: Serve) -> str:
    return f"http://127.0.0.1:{serve().port}"


def test_examples(url: str) -> None:
    for name, lines in PRINTS.items():
        ended = subprocess.run(
            [sys.executable, str(EXAMPLES / name)],
            env={**os.environ, "RUSTS_URL": url},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ended.returncode == 0, f"{name}: {ended.stderr}"
        for line in lines:
            assert line in ended.stdout, f"{name}: {ended.stdout}"


def test_the_telegraf_configuration_is_toml() -> None:
    outputs = tomli.loads((EXAMPLES / "telegraf.conf").read_text())["outputs"]
    assert outputs["influxdb"][0]["urls"] == ["http://127.0.0.1:8086"]
