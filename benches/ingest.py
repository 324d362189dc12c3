"""Ingest over HTTP: TSBS rows in batches, one line a request, and what `every-write` costs.

Rows per second count from the first request to the last 204; every server starts on an empty directory and
must hold every row before its run counts. rusts runs with its defaults, so memtables are flushed meanwhile.
"""

from __future__ import annotations

import json
import time
import urllib.parse
from functools import partial
from pathlib import Path
from typing import Any

from tools import peers, tsbs
from tools.load import RequestFile, generate
from tools.measure import Figure, Options, Report, alternate, check, main, middle, workspace

BATCH = 5000
HOSTS = 100


def measure(options: Options) -> Report:
    """The figures of the three loads."""
    report = Report("ingest")
    with workspace() as folder:
        _batches(report, options, folder)
        _one_line(report, options, folder)
    return report


def _batches(report: Report, options: Options, folder: Path) -> None:
    rows = tsbs.cpu_rows(HOSTS, options.pick(30_000, 12_000))
    requests = RequestFile(folder / "batches.http")
    requests.write_bodies(rows.bodies(BATCH))
    results = alternate(
        options.runs, {name: partial(_batch_run, name, [], rows, requests, 4, folder) for name in peers.NAMES}
    )
    report.measured["batches"] = results
    rate = {name: middle([run["rows_per_second"] for run in runs]) for name, runs in results.items()}
    report.figures += [
        Figure("5,000 rows a request, 4 connections", rate["rusts"], "rows/s"),
        Figure("the same beside victoria-metrics", rate["rusts"] / rate["victoria-metrics"], "x", least=3.5),
        Figure("the same beside influxd", rate["rusts"] / rate["influxd"], "x", least=7),
        Figure("the same, memory at its highest", max(run["memory_mb"] for run in results["rusts"]), "MB", most=300),
    ]
    del results
    modes = ("periodic", "every-write")
    results = alternate(
        options.runs,
        {m: partial(_batch_run, "rusts", ["--wal-mode", m], rows, requests, 16, folder) for m in modes},
    )
    report.measured["modes"] = results
    rate = {name: middle([run["rows_per_second"] for run in runs]) for name, runs in results.items()}
    report.figures.append(
        Figure("every-write beside periodic, 16 connections", rate["every-write"] / rate["periodic"], "x", least=0.7)
    )


def _batch_run(
    name: str, flags: list[str], rows: tsbs.CpuRows, requests: RequestFile, connections: int, folder: Path
) -> dict[str, Any]:
    with peers.running(name, flags, parent=folder) as server:
        server.create_database()
        with peers.MemoryWatch(server) as memory:
            load = generate(server.port, requests, connections)
        check(load.failed == 0, f"{name}: {load.failed} writes failed: {load.first_failure}")
        _holds(server, rows)
        result = {
            "rows_per_second": rows.rows / load.seconds,
            "memory_mb": memory.peak_bytes / 1e6,
            "server_cpu_seconds": server.cpu_seconds(),
            "client_cpu_seconds": load.client_cpu_seconds,
            "p99_ms": load.p99_ms,
        }
        if name == "rusts":
            result["flushes"] = json.loads(server.request("GET", "/stats")[1])["flushes"]
            check(result["flushes"] > 0, "rusts: no memtable was flushed")
        return result


def _holds(server: peers.Server, rows: tsbs.CpuRows) -> None:
    """The server counts every row, and the values of each field add up."""
    sums = rows.values.sum(axis=(0, 1)).tolist()
    if server.name == "rusts":
        calls = [
            {"function": "Count", "field": tsbs.CPU_FIELDS[0]},
            {"function": "Sum", "fields": list(tsbs.CPU_FIELDS)},
        ]
        answer = server.json_query({"db": "bench", "measurement": "cpu", "aggregations": calls})
        found = answer["series"][0]["values"][0][1:]
    elif server.name == "influxd":
        calls_text = ",".join(f"sum({name})" for name in tsbs.CPU_FIELDS)
        answer = server.influxql(f"SELECT count({tsbs.CPU_FIELDS[0]}),{calls_text} FROM cpu")
        found = answer["results"][0]["series"][0]["values"][0][1:]
    else:
        server.request("GET", "/internal/force_flush")
        found = [_victoria(server, "count", tsbs.CPU_FIELDS[0], rows)]
        found += [_victoria(server, "sum", name, rows) for name in tsbs.CPU_FIELDS]
    check(found == [rows.rows, *sums], f"{server.name}: holds {found} instead of {[rows.rows, *sums]}")


def _victoria(server: peers.Server, function: str, name: str, rows: tsbs.CpuRows) -> int:
    """A PromQL sum over all series of one field over all time."""
    span = f"{len(rows.times) * tsbs.STEP_NS // 10**9 + 60}s"
    query = {"query": f"sum({function}_over_time(cpu_{name}[{span}]))", "time": str(int(rows.times[-1]) // 10**9)}
    for _ in range(50):
        status, body = server.request("GET", "/api/v1/query?" + urllib.parse.urlencode(query))
        check(status == 200, f"victoria-metrics: {status} {body[:300]!r}")
        result = json.loads(body)["data"]["result"]
        if result:
            return int(float(result[0]["value"][1]))
        time.sleep(0.1)
    return 0


def _one_line(report: Report, options: Options, folder: Path) -> None:
    count = options.pick(150_000, 20_000)
    requests = RequestFile(folder / "lines.http")
    requests.write_bodies(tsbs.one_line_bodies(count))
    results = alternate(
        options.runs, {name: partial(_one_line_run, name, count, requests, folder) for name in ("rusts", "influxd")}
    )
    report.measured["one_line"] = results
    rate = {name: middle([run["requests_per_second"] for run in runs]) for name, runs in results.items()}
    report.figures += [
        Figure("one line a request, 16 connections", rate["rusts"], "requests/s"),
        Figure("the same beside influxd", rate["rusts"] / rate["influxd"], "x", least=2),
    ]


def _one_line_run(name: str, count: int, requests: RequestFile, folder: Path) -> dict[str, float]:
    with peers.running(name, parent=folder) as server:
        server.create_database()
        load = generate(server.port, requests, 16)
        check(load.failed == 0, f"{name}: {load.failed} writes failed: {load.first_failure}")
        if name == "rusts":
            call = {"function": "Count", "field": "count"}
            answer = server.json_query({"db": "bench", "measurement": "sensor", "aggregation": call})
            found = answer["series"][0]["values"][0][1]
        else:
            found = server.influxql('SELECT count("count") FROM sensor')["results"][0]["series"][0]["values"][0][1]
        check(found == count, f"{name}: holds {found} points instead of {count}")
        return {
            "requests_per_second": count / load.seconds,
            "p99_ms": load.p99_ms,
            "server_cpu_seconds": server.cpu_seconds(),
            "client_cpu_seconds": load.client_cpu_seconds,
        }


if __name__ == "__main__":
    main(measure, __doc__)
