"""Installs the outside clients that `make clients` tests against, each beside the project and without root.

Python clients get an environment of their own, node's a folder, the `influx` shell comes out of Debian's package
unless it is installed. A client that cannot be had is named, and its tests are skipped with that reason; with
``--all`` a missing one is an error.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Final

__all__ = ["FOLDER", "main", "shell"]

_ROOT: Final = Path(__file__).resolve().parents[1]
FOLDER: Final = _ROOT / "build" / "clients"
"""Where the clients are."""

_PYTHON: Final = {
    "influxdb": "influxdb",
    "influxdb-client": "influxdb-client[async]",
    "influxdb3-python": "influxdb3-python",
    "pandas": "pandas",
}
"""What is asked of pip, by the name that tests call it."""

_NODE: Final = {"influx": "influx@5", "@influxdata/influxdb-client": "@influxdata/influxdb-client@1"}
_SHELL: Final = "influx"
_SHELL_NAME: Final = "influx shell"
_SECONDS: Final = 300


def main() -> None:
    """Install what is missing, and write down what is there."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--all", action="store_true", help="fail if a client cannot be installed")
    arguments = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    present = {**_python(), **_node(), _SHELL_NAME: shell() is not None or _unpack_shell()}
    (FOLDER / "present.json").write_text(json.dumps(present, indent=1))
    for name, there in present.items():
        print(f"{name:30} {'installed' if there else 'MISSING'}", file=sys.stderr)
    if arguments.all and not all(present.values()):
        sys.exit(1)


def shell() -> str | None:
    """The path of the `influx` 1.x shell, None if there is none."""
    unpacked = FOLDER / "shell" / "usr" / "bin" / _SHELL
    return str(unpacked) if unpacked.exists() else shutil.which(_SHELL)


def _python() -> dict[str, bool]:
    folder = FOLDER / "python"
    if not (folder / "bin" / "python").exists():
        venv.create(folder, with_pip=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    return {name: _run([*pip, requirement]) for name, requirement in _PYTHON.items()}


def _node() -> dict[str, bool]:
    folder = FOLDER / "node"
    folder.mkdir(exist_ok=True)
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        return dict.fromkeys(_NODE, False)
    options = ["--prefix", str(folder), "--no-audit", "--no-fund", "--silent"]
    return {
        name: (folder / "node_modules" / name / "package.json").exists()
        or _run([npm, "install", *options, requirement])
        for name, requirement in _NODE.items()
    }


def _unpack_shell() -> bool:
    """Debian's package, unpacked: that needs no root."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        return False
    folder = FOLDER / "shell"
    folder.mkdir(exist_ok=True)
    if not _run(["apt-get", "download", "influxdb-client"], folder):
        return False
    packages = sorted(folder.glob("influxdb-client_*.deb"))
    return bool(packages) and _run(["dpkg-deb", "-x", str(packages[-1]), str(folder)])


def _run(command: list[str], folder: Path | None = None) -> bool:
    try:
        done = subprocess.run(command, cwd=folder, timeout=_SECONDS, capture_output=True, text=True, check=False)
    except (OSError, subprocess.TimeoutExpired) as problem:
        print(f"{command[0]}: {problem}", file=sys.stderr)
        return False
    if done.returncode:
        print(done.stderr[-2000:], file=sys.stderr)
    return done.returncode == 0


if __name__ == "__main__":
    main()
