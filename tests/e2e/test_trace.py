"""With `every-write`, no 204 leaves before the sync that covers it has returned: a trace of the real calls shows it.

Each request carries a random text as a string field, which stands readable in the log's bytes, and the same
text as its X-Request-Id, which stands in the answer.
"""

from __future__ import annotations

import secrets
import shutil
import string
import struct
import subprocess
import threading
from pathlib import Path
from typing import NamedTuple

import pytest

from tools.load import Client, http_request

SOURCE = Path(__file__).with_name("iotrace.c")
WRITERS = 4
REQUESTS = 40


class Event(NamedTuple):
    """One record of the trace; see iotrace.c."""

    kind: str
    fd: int
    data: bytes


def events(path: Path) -> list[Event]:
    trace = path.read_bytes()
    found = []
    at = 0
    while at < len(trace):
        kind, fd, length = struct.unpack_from("<cxxxIQ", trace, at)
        at += 16
        found.append(Event(kind.decode(), fd, trace[at : at + length]))
        at += length
    return found


def early_answers(trace: list[Event], marks: list[str]) -> list[str]:
    """The marks whose 204 was sent before a sync that began after their write had ended."""
    early = []
    for mark in marks:
        text = mark.encode()
        written = next((i for i, e in enumerate(trace) if e.kind == "W" and text in e.data), None)
        sent = next(i for i, e in enumerate(trace) if e.kind == "S" and text in e.data and b" 204 " in e.data)
        if written is None or not synced_between(trace, trace[written].fd, written, sent):
            early.append(mark)
    return early


def synced_between(trace: list[Event], fd: int, first: int, last: int) -> bool:
    begun = False
    for event in trace[first:last]:
        if event.fd == fd:
            begun = begun or event.kind == "B"
            if begun and event.kind == "E":
                return True
    return False


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    target = tmp_path_factory.mktemp("shim") / "iotrace.so"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-o", target, SOURCE, "-ldl", "-lpthread"], check=True
    )
    return target


def trace_writes(serve, shim: Path, directory: Path, mode: str) -> tuple[list[Event], list[str]]:
    path = directory / f"{mode}.trace"
    prefix = ("env", f"LD_PRELOAD={shim}", f"IOTRACE={path}")
    server = serve("--wal-mode", mode, "--wal-sync-interval", "1h", directory=mode, prefix=prefix)
    alphabet = string.ascii_letters + string.digits
    marks = ["".join(secrets.choice(alphabet) for _ in range(24)) for _ in range(WRITERS * REQUESTS)]
    answers: list[int] = []

    def write(mine: list[str]) -> None:
        with Client(server.port) as client:
            for mark in mine:
                body = f'traced text="{mark}" {secrets.randbits(60)}\n'.encode()
                answers.append(client.send(http_request("POST", "/write", body, {"X-Request-Id": mark})).status)

    threads = [threading.Thread(target=write, args=(marks[i::WRITERS],)) for i in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    server.kill()
    assert answers == [204] * len(marks)
    return events(path), marks


def test_no_answer_before_its_sync(serve, shim: Path, tmp_path: Path) -> None:
    trace, marks = trace_writes(serve, shim, tmp_path, "every-write")
    assert early_answers(trace, marks) == []


def test_the_check_sees_answers_before_their_sync(serve, shim: Path, tmp_path: Path) -> None:
    trace, marks = trace_writes(serve, shim, tmp_path, "os-default")
    assert len(early_answers(trace, marks)) == len(marks)
    # They were in the kernel by then all the same.
    for mark in marks:
        text = mark.encode()
        written = next(i for i, e in enumerate(trace) if e.kind == "W" and text in e.data)
        sent = next(i for i, e in enumerate(trace) if e.kind == "S" and text in e.data and b" 204 " in e.data)
        assert written < sent
