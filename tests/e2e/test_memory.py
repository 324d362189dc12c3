"""Memory stays inside the budget: what the process holds is what the pools account for, and little more."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

from tools import load, tsbs
from tools.load import RequestFile

MIB = 1 << 20
BASELINE = 110 * MIB
"""Interpreter, libraries and threads, and bodies under way."""

OVERHEAD = 1.3
LIMIT = 192 * MIB


class Watch:
    """Samples a server's memory and what it accounts for, until it is told to stop."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.samples: list[tuple[int, int]] = []

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.05):
            status, body = self._server.request("GET", "/stats")
            assert status == 200
            stats = json.loads(body)
            accounted = sum(pool["used"] for pool in stats["memory"].values())
            accounted += sum(cache["bytes"] for cache in stats["caches"].values())
            accounted += sum(database["series_bytes"] for database in stats["databases"].values())
            self.samples.append((self._server.memory_bytes(), accounted))


def test_memory_follows_what_is_accounted(serve: Any, tmp_path: Path) -> None:
    server = serve(f"--memory-limit={LIMIT}", "--memory-buffer-size=16MiB", "--flush-interval=2s")
    server.create_database()
    requests = RequestFile(tmp_path / "requests.http")
    rows = tsbs.cpu_rows(50, 8_000)
    requests.write_bodies(rows.bodies(5_000))
    with Watch(server) as watch:
        # Where memory is full a write is told to come again; so many times is enough.
        for _ in range(2):
            done = load.generate(server.port, requests, 4)
            assert done.failed == 0 or '"timeout"' in done.first_failure
        for field in ("usage_user", "usage_idle", "usage_guest"):
            query = {"db": "bench", "measurement": "cpu", "aggregation": {"function": "Median", "field": field}}
            server.json_query(query)
            server.json_query({"db": "bench", "measurement": "cpu", "fields": [field]})
    assert len(watch.samples) > 5
    for memory, accounted in watch.samples:
        assert memory <= accounted * OVERHEAD + BASELINE
    count = {"db": "bench", "measurement": "cpu", "aggregation": {"function": "Count", "field": "usage_user"}}
    assert server.json_query(count)["series"][0]["values"][0][1] <= rows.rows
