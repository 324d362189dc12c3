"""A full disk: writes are told to retry, reads go on, writes resume by themselves, nothing acknowledged is lost."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tools import peers
from tools.peers import Server

ROWS = 500
TMPFS_MB = 24


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[tuple[tuple[str, ...], Path]]:
    """A tmpfs of `TMPFS_MB` inside a namespace: the command that enters it, and the path from outside."""
    mount = tmp_path / "server"
    mount.mkdir()
    script = f"mount -t tmpfs -o size={TMPFS_MB}m none '{mount}' && echo mounted && exec cat"
    holder = subprocess.Popen(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    assert holder.stderr is not None
    try:
        if holder.stdout.readline() != b"mounted\n":
            holder.stdin.close()
            pytest.skip(f"no tmpfs without root here: {holder.stderr.read().decode().strip()}")
        enter = ("nsenter", "--preserve-credentials", "--user", "--mount", f"--target={holder.pid}")
        yield (*enter, f"--wd={Path.cwd()}"), Path(f"/proc/{holder.pid}/root{mount}")
    finally:
        holder.stdin.close()
        holder.wait()
        holder.stdout.close()
        holder.stderr.close()


def body(first: int) -> bytes:
    """`ROWS` rows that do not compress well."""
    random = Random(first)
    return b"".join(
        b'full,half=%d number=%di,text="%s" %d\n' % (n % 2, n, random.randbytes(60).hex().encode(), n)
        for n in range(first, first + ROWS)
    )


def numbers(server: Server) -> list[int]:
    answer = server.json_query({"measurement": "full", "fields": ["number"]})
    rows = [row for series in answer["series"] for row in series["values"]]
    assert all(at == number for at, number in rows)
    return sorted(number for _, number in rows)


def write(server: Server, first: int) -> int:
    """The status of a write of the rows from `first` on; only 204 and the order to retry are right answers."""
    status, answer = server.request("POST", "/write", body(first))
    if status != 204:
        assert (status, json.loads(answer)) == (500, {"error": "timeout"})
    return status


def write_until(server: Server, wanted: int, first: int, attempts: int) -> int:
    """Write on until the answer is `wanted`; the number of rows acknowledged in all."""
    for _ in range(attempts):
        status = write(server, first)
        if status == 204:
            first += ROWS
        if status == wanted:
            return first
        if status != 204:
            time.sleep(0.2)
    raise AssertionError(f"no {wanted} in {attempts} writes")


@pytest.mark.parametrize("mode", ["periodic", "every-write"])
def test_a_disk_that_fills_up(small_disk: tuple[tuple[str, ...], Path], tmp_path: Path, mode: str) -> None:
    prefix, outside = small_disk
    options = ["--wal-mode", mode, "--min-free-space=0", "--flush-points=5000", "--wal-file-size=1MiB"]
    server = peers.start("rusts", tmp_path / "server", options, prefix=prefix, log=tmp_path / "server.log")
    try:
        rows = write_until(server, 204, 0, 1)
        ballast = outside / "ballast"
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            # Leaves about 4 MB.
            for _ in range(TMPFS_MB - 5):
                file.write(bytes(1 << 20))
        rows = write_until(server, 500, rows, 2000)
        # A flush that succeeds gives space back: fill that too, until nothing gives.
        while True:
            with ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(bytes(4096))
            if write(server, rows) == 500:
                break
            rows += ROWS
        assert rows > ROWS
        assert set(range(rows)) <= set(numbers(server))
        # Killed while the disk is full: it starts, and serves what it acknowledged.
        server.kill()
        server = peers.start("rusts", tmp_path / "server", options, prefix=prefix, log=tmp_path / "server.log")
        assert set(range(rows)) <= set(numbers(server))
        ballast.unlink()
        rows = write_until(server, 204, rows, 100)
        rows = write_until(server, 204, rows, 1)
        deadline = time.monotonic() + 20
        while server.request("GET", "/health")[0] != 200 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert server.request("GET", "/health")[0] == 200
        assert server.request("POST", "/admin/flush")[0] in (200, 204)
        server.kill()
        server = peers.start("rusts", tmp_path / "server", options, prefix=prefix, log=tmp_path / "server.log")
        assert set(range(rows)) <= set(numbers(server))
    finally:
        server.kill()


def test_less_free_space_than_asked_for(serve) -> None:
    server = serve()
    assert write(server, 0) == 204
    server.kill()
    server = serve("--min-free-space", "1000000GB")
    assert write(server, ROWS) == 500
    status, answer = server.request("POST", "/api/v2/write?bucket=default", body(ROWS))
    assert (status, json.loads(answer)["code"]) == (503, "unavailable")
    assert server.request("GET", "/health")[0] == 503
    assert numbers(server) == list(range(ROWS))
