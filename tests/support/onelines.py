"""A client that writes one line at a time at an even pace, in a process of its own: what others suffer meanwhile."""

from __future__ import annotations

import json
import select
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tools.load import Client, http_request

__all__ = ["OneLineWriter", "Suffered"]

_ROOT = Path(__file__).resolve().parents[2]
_PAUSE_SECONDS = 0.01


@dataclass
class Suffered:
    """`seconds`: begin (of `time.monotonic`) and duration of each write; `refused`: answers that were no 204."""

    seconds: list[tuple[float, float]]
    refused: list[str]

    def share(self, part: float) -> float:
        """The duration that `part` of the writes did not pass."""
        durations = sorted(duration for _, duration in self.seconds)
        return durations[min(len(durations) - 1, int(part * len(durations)))]


class OneLineWriter:
    """Writes while it is open; `suffered` is known at its end."""

    def __init__(self, port: int, target: str) -> None:
        self.suffered = Suffered([], [])
        self._command = [sys.executable, "-m", "tests.support.onelines", str(port), target]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(self, *problem: object) -> None:
        told, _ = self._process.communicate("stop")
        assert self._process.returncode == 0, "the writer failed"
        self.suffered = Suffered(**json.loads(told))


def _write(port: int, target: str) -> Suffered:
    suffered = Suffered([], [])
    written = 0
    with Client(port) as client:
        while not select.select([sys.stdin], [], [], _PAUSE_SECONDS)[0]:
            request = http_request("POST", target, b"beat,from=writer value=%di %d" % (written, written))
            began = time.monotonic()
            answer = client.send(request)
            suffered.seconds.append((began, time.monotonic() - began))
            if answer.status != 204:
                suffered.refused.append(answer.body.decode("utf-8", "replace"))
            written += 1
    return suffered


if __name__ == "__main__":
    done = _write(int(sys.argv[1]), sys.argv[2])
    print(json.dumps({"seconds": done.seconds, "refused": done.refused}))
