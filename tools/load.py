"""A load generator that costs little, and the one HTTP client of all measurements.

Client and server share the machine's cores, so whatever the client burns is taken from the server. Requests
are made beforehand, head and body, and put into one file (`RequestFile`); a process of its own
(`generate`) maps that file and hands each request to a connection's socket as one slice, without copying
or looking at it. One thread serves all connections through epoll. Each connection has one request under
way, as real clients do.

`Client` is the same for single requests whose answers are looked at.
"""

from __future__ import annotations

import argparse
import json
import mmap
import resource
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np

__all__ = ["Answer", "Client", "LoadResult", "RequestFile", "generate", "http_request"]

_ROOT: Final = Path(__file__).resolve().parents[1]
_RECEIVE_BYTES: Final = 1 << 18
_WRITTEN: Final = b"HTTP/1.1 204"


def http_request(method: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> bytes:
    """A whole HTTP/1.1 request for a connection that stays open."""
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


@dataclass(frozen=True)
class Answer:
    """The status and the body of a response."""

    status: int
    body: bytes


@dataclass
class LoadResult:
    """What a load did: `requests` were answered in `seconds`, `failed` of them not with the awaited status."""

    requests: int
    failed: int
    seconds: float
    client_cpu_seconds: float
    median_ms: float
    p99_ms: float
    max_ms: float
    first_failure: str


class RequestFile:
    """Requests back to back in `path`, with their begins and ends beside it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.index = path.with_suffix(".npy")

    def write(self, requests: Iterable[bytes]) -> int:
        """Write `requests`; returns how many there were."""
        ends = [0]
        with self.path.open("wb") as file:
            for request in requests:
                ends.append(ends[-1] + file.write(request))
        np.save(self.index, np.array(ends, dtype=np.int64))
        return len(ends) - 1

    def write_bodies(self, bodies: Iterable[bytes], target: str = "/write?db=bench") -> int:
        """Write a POST of each of `bodies` to `target`; returns how many there were."""
        return self.write(http_request("POST", target, body, {"Content-Type": "text/plain"}) for body in bodies)


def generate(
    port: int, requests: RequestFile, connections: int, *, status: int = 204, seconds: float | None = None
) -> LoadResult:
    """Send each of `requests` once over `connections` connections, in a process of its own.

    With `seconds` it begins again at the end of the file and stops after that time. Raises RuntimeError if
    the process fails.
    """
    command = [sys.executable, "-m", "tools.load", str(port), str(requests.path), str(connections), str(status)]
    command += [] if seconds is None else ["--seconds", str(seconds)]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"the load generator failed: {done.stderr[-2000:]}")
    return LoadResult(**json.loads(done.stdout))


class Client:
    """A keep-alive connection to 127.0.0.1 that reads whole answers and does nothing else; close it by `with`."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, request: bytes) -> Answer:
        """The answer to `request` (see `http_request`). Raises OSError when the connection is cut."""
        self._socket.sendall(request)
        data = bytearray()
        while True:
            piece = self._socket.recv(_RECEIVE_BYTES)
            if not piece:
                raise ConnectionResetError("the server closed the connection")
            data += piece
            if _complete(data):
                return _answer(bytes(data))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: object) -> None:
        self._socket.close()


def _complete(data: bytes | bytearray) -> bool:
    """Whether `data` is a whole response; nothing ever follows one here."""
    head = data.find(b"\r\n\r\n")
    if head < 0:
        return False
    if data.startswith(_WRITTEN):
        return True
    fields = bytes(data[:head]).lower()
    at = fields.find(b"\r\ncontent-length:")
    if at >= 0:
        return len(data) >= head + 4 + int(fields[at + 17 :].split(b"\r", 1)[0])
    return data.endswith(b"0\r\n\r\n") and b"\r\ntransfer-encoding: chunked" in fields


def _answer(data: bytes) -> Answer:
    head, _, body = data.partition(b"\r\n\r\n")
    if b"\r\ntransfer-encoding: chunked" in head.lower():
        parts = []
        at = 0
        while size := int(body[at : (line := body.index(b"\r\n", at))].split(b";")[0], 16):
            parts.append(body[line + 2 : line + 2 + size])
            at = line + 4 + size
        body = b"".join(parts)
    return Answer(int(head[9:12]), body)


def _run(port: int, path: Path, connections: int, status: int, seconds: float | None) -> LoadResult:
    ends = np.load(RequestFile(path).index).tolist()
    count = len(ends) - 1
    with path.open("rb") as file:
        text = memoryview(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE))
    good = b"HTTP/1.1 %d" % status
    poll = select.epoll()
    sockets: dict[int, socket.socket] = {}
    sending: dict[int, tuple[int, int]] = {}
    received: dict[int, bytearray] = {}
    began: dict[int, int] = {}
    latencies: list[int] = []
    failed = 0
    first_failure = ""
    following = 0
    clock = time.perf_counter_ns
    for _ in range(min(connections, count)):
        s = socket.create_connection(("127.0.0.1", port))
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        s.setblocking(False)
        sockets[s.fileno()] = s
        poll.register(s.fileno(), select.EPOLLIN)
    start = clock()
    deadline = None if seconds is None else start + int(seconds * 1e9)

    def launch(fd: int) -> None:
        nonlocal following
        if deadline is not None:
            if clock() >= deadline:
                del sockets[fd]
                return
            following %= count
        elif following == count:
            del sockets[fd]
            return
        begin, end = ends[following], ends[following + 1]
        following += 1
        began[fd] = clock()
        begin += sockets[fd].send(text[begin:end])
        if begin < end:
            sending[fd] = begin, end
            poll.modify(fd, select.EPOLLIN | select.EPOLLOUT)

    def push(fd: int) -> None:
        begin, end = sending[fd]
        begin += sockets[fd].send(text[begin:end])
        if begin < end:
            sending[fd] = begin, end
        else:
            del sending[fd]
            poll.modify(fd, select.EPOLLIN)

    kept = list(sockets.values())
    buffer = bytearray(_RECEIVE_BYTES)
    for fd in list(sockets):
        launch(fd)
    while sockets:
        for fd, event in poll.poll():
            if event & select.EPOLLOUT:
                push(fd)
            if event == select.EPOLLOUT:
                continue
            data: bytes | bytearray = buffer[: sockets[fd].recv_into(buffer)]
            if not data:
                raise ConnectionResetError("the server closed a connection")
            if fd in received:
                received[fd] += data
                data = received[fd]
            if not (data.startswith(_WRITTEN) and data.endswith(b"\r\n\r\n")) and not _complete(data):
                received[fd] = bytearray(data)
                continue
            received.pop(fd, None)
            latencies.append(clock() - began[fd])
            if not data.startswith(good):
                failed += 1
                first_failure = first_failure or bytes(data[:1000]).decode("utf-8", "replace")
            if fd in sending:
                raise ConnectionError(f"answered before the request was whole: {bytes(data[:500])!r}")
            launch(fd)
    took = (clock() - start) / 1e9
    for s in kept:
        s.close()
    used = resource.getrusage(resource.RUSAGE_SELF)
    times = np.array(latencies, dtype=np.float64) / 1e6
    return LoadResult(
        requests=len(latencies),
        failed=failed,
        seconds=took,
        client_cpu_seconds=used.ru_utime + used.ru_stime,
        median_ms=float(np.median(times)),
        p99_ms=float(np.percentile(times, 99)),
        max_ms=float(times.max()),
        first_failure=first_failure,
    )


def main() -> None:
    """What `generate` starts; prints a `LoadResult` as JSON."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("path", type=Path)
    parser.add_argument("connections", type=int)
    parser.add_argument("status", type=int)
    parser.add_argument("--seconds", type=float)
    options = parser.parse_args()
    print(json.dumps(asdict(_run(options.port, options.path, options.connections, options.status, options.seconds))))


if __name__ == "__main__":
    main()
