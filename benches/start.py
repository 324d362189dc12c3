"""Start after a crash: rusts on 256 MB of its log, influxd on the same writes.

The rows are written to both with flushing put off, then both are killed. Each run starts a copy of the directory
with the default settings; the time counts until a count of all rows is right. The rows are ten floats
with random decimals: rusts' log keeps 256 MB of integers so small that influxd needs 17 GB of memory for them.
"""

from __future__ import annotations

import http.client
import json
import shutil
import time
from functools import partial
from pathlib import Path
from typing import Any, Final

from tools import peers, tsbs
from tools.load import RequestFile, generate
from tools.measure import Figure, Options, Report, alternate, check, main, middle, workspace

PUT_OFF: Final = {
    "rusts": ["--memory-buffer-size=64GB", "--flush-points=1000000000", "--flush-interval=1d", "--memory-limit=64GB"],
    "influxd": [
        "DATA_CACHE_MAX_MEMORY_SIZE=0",
        "DATA_CACHE_SNAPSHOT_MEMORY_SIZE=64g",
        "DATA_CACHE_SNAPSHOT_WRITE_COLD_DURATION=24h",
    ],
}
_STEPS: Final = 2_000
_DEADLINE_SECONDS: Final = 300.0


def measure(options: Options) -> Report:
    """The figures."""
    report = Report("start")
    wal_bytes = options.pick(256_000_000, 16_000_000)
    with workspace() as folder:
        rows = _write("rusts", folder, wal_bytes, None)
        _write("influxd", folder, wal_bytes, rows)
        results = alternate(options.runs, {name: partial(_start, name, folder, rows) for name in ("rusts", "influxd")})
        report.measured = {"rows": rows, "wal_bytes": _wal_bytes(folder / "rusts"), **results}
    seconds = {name: middle([run["seconds"] for run in runs]) for name, runs in results.items()}
    ready = middle([run["ready_seconds"] for run in results["rusts"]])
    report.figures = [
        Figure(f"rusts, ready on {wal_bytes // 10**6} MB of log", ready, "s", most=5),
        Figure("rusts, log replayed", seconds["rusts"], "s", most=10),
        Figure("rusts, memory at its highest", max(run["memory_mb"] for run in results["rusts"]), "MB"),
        Figure("influxd, same writes replayed", seconds["influxd"], "s"),
        Figure("rusts beside influxd", seconds["influxd"] / seconds["rusts"], "x", least=5),
    ]
    return report


def _write(name: str, folder: Path, wal_bytes: int, wanted: int | None) -> int:
    """Fill the directory ``folder / name`` (rusts: to `wal_bytes` of log; influxd: `wanted` rows); the rows written.

    Every part of the rows is of another day, so that no point is written twice.
    """
    requests = RequestFile(folder / "part.http")
    rows = 0
    part = 0
    server = peers.start(name, folder / name, PUT_OFF[name])
    try:
        server.create_database()
        while rows < wanted if wanted is not None else _wal_bytes(folder / name) < wal_bytes:
            made = tsbs.cpu_rows(100, _STEPS, seed=part + 1, first_step=part * _STEPS, fractions=True)
            requests.write_bodies(made.bodies(5000))
            done = generate(server.port, requests, 4)
            check(done.failed == 0, f"{name}: {done.failed} writes failed: {done.first_failure}")
            rows += made.rows
            part += 1
        found = _count(server)
        check(found == rows, f"{name}: holds {found} rows instead of {rows}")
    finally:
        server.kill()
    return rows


def _wal_bytes(directory: Path) -> int:
    return sum(path.stat().st_size for path in (directory / "data" / "wal").rglob("*") if path.is_file())


def _start(name: str, folder: Path, rows: int) -> dict[str, Any]:
    copy = folder / f"{name}-copy"
    shutil.copytree(folder / name, copy)
    result: dict[str, Any] = {}
    began = time.perf_counter()
    server = peers.start(name, copy)
    try:
        with peers.MemoryWatch(server) as memory:
            if name == "rusts":
                while not json.loads(server.request("GET", "/ready")[1])["ready"]:
                    time.sleep(0.01)
                result["ready_seconds"] = time.perf_counter() - began
            found = 0
            while found != rows:
                found = _count(server)
                took = time.perf_counter() - began
                check(took < _DEADLINE_SECONDS, f"{name}: holds {found} rows instead of {rows}")
        result |= {"seconds": took, "memory_mb": memory.peak_bytes / 1e6}
    finally:
        server.kill()
        shutil.rmtree(copy)
    return result


def _count(server: peers.Server) -> int:
    """All rows, or 0 while the server does not answer that yet."""
    try:
        if server.name == "rusts":
            call = {"function": "Count", "field": "usage_user"}
            series = server.json_query({"db": "bench", "measurement": "cpu", "aggregation": call})["series"]
        else:
            series = server.influxql("SELECT count(usage_user) FROM cpu")["results"][0].get("series", [])
    except (OSError, RuntimeError, http.client.HTTPException):
        time.sleep(0.05)
        return 0
    return int(series[0]["values"][0][1]) if series else 0


if __name__ == "__main__":
    main(measure, __doc__)
