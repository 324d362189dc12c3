"""kill -9 in the middle of writes: every acknowledged row is there, none twice."""

from __future__ import annotations

import contextlib
import random
import secrets
import threading
from dataclasses import dataclass, field

from tools.load import Client, http_request
from tools.peers import Server

WRITERS = 4
ROWS = 50
MODES = ("every-write", "periodic", "os-default")
SMALL = (
    "--memory-buffer-size=1MB",
    "--flush-points=4000",
    "--wal-file-size=256KiB",
    "--wal-sync-interval=10ms",
)


@dataclass
class Writer:
    """Writes rows numbered from 0 on, `ROWS` a request; knows which were acknowledged and which only sent."""

    name: int
    acknowledged: int = 0
    attempted: int = 0
    unexpected: list[str] = field(default_factory=list)

    def write_until_killed(self, port: int) -> None:
        with contextlib.suppress(OSError), Client(port) as client:
            while not self.unexpected:
                # What was sent but not acknowledged before the kill is sent again, as a client would.
                first = self.acknowledged
                body = b"".join(
                    b'acked,writer=w%d,half=%d number=%di,text="row %d" %d\n' % (self.name, n % 2, n, n, n)
                    for n in range(first, first + ROWS)
                )
                self.attempted = max(self.attempted, first + ROWS)
                answer = client.send(http_request("POST", "/write", body))
                if answer.status == 204:
                    self.acknowledged = first + ROWS
                else:
                    self.unexpected.append(f"{answer.status} {answer.body!r}")


def check(server: Server, writers: list[Writer]) -> None:
    """What is stored is what was acknowledged, and perhaps some of what was only attempted; nothing twice."""
    counts = server.json_query(
        {
            "measurement": "acked",
            "aggregations": [{"function": "Count", "fields": ["number", "text"]}],
            "group_by": ["writer"],
        }
    )
    counted = {series["tags"]["writer"]: series["values"][0][1:] for series in counts["series"]}
    for writer in writers:
        answer = server.json_query(
            {
                "measurement": "acked",
                "fields": ["number", "text"],
                "tag_filters": [{"key": "writer", "value": f"w{writer.name}"}],
            }
        )
        rows = [row for series in answer["series"] for row in series["values"]]
        times = [row[0] for row in rows]
        missing = set(range(writer.acknowledged)) - set(times)
        assert not missing, f"writer {writer.name} lost {len(missing)} acknowledged rows: {sorted(missing)[:10]}"
        assert len(set(times)) == len(times), f"writer {writer.name} has rows twice"
        assert max(times, default=-1) < writer.attempted
        assert all(row == [row[0], row[0], f"row {row[0]}"] for row in rows)
        assert counted.get(f"w{writer.name}", [0, 0]) == [len(rows), len(rows)]


def test_kill_minus_nine_loses_nothing_acknowledged(serve, proof: bool) -> None:
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    choices = random.Random(seed)
    writers = [Writer(name) for name in range(WRITERS)]
    for round in range(20 if proof else 3):
        server = serve("--wal-mode", MODES[round % len(MODES)], *SMALL)
        check(server, writers)
        threads = [threading.Thread(target=writer.write_until_killed, args=(server.port,)) for writer in writers]
        for thread in threads:
            thread.start()
        threads[0].join(choices.uniform(0.1, 0.6))
        server.kill()
        for thread in threads:
            thread.join()
        assert [problem for writer in writers for problem in writer.unexpected] == []
    assert all(writer.acknowledged for writer in writers)
    print("acknowledged", [writer.acknowledged for writer in writers])
    check(serve("--wal-mode", "periodic", *SMALL), writers)


def test_sigterm_flushes_and_ends_with_zero(serve) -> None:
    server = serve("--wal-mode", "none")
    assert server.request("POST", "/write", b'acked,writer=w0 number=0i,text="row 0" 0')[0] == 204
    assert server.stop() == 0
    check(serve("--wal-mode", "none"), [Writer(0, acknowledged=1, attempted=1)])
