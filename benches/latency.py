"""How long single requests take, and how many range queries a second 16 clients get.

One day of 100 hosts is stored and flushed. A request is one of: a write of one line; the raw rows of one
field of one host over one hour; the hourly mean of one field over all hosts and half a day. The queries per
second stand beside influxd's, and beside those of uvicorn with a handler that sends the same bytes and
does nothing else: what the HTTP server alone allows.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benches.query import HOSTS, load
from tools import peers, tsbs
from tools.load import Client, RequestFile, generate, http_request
from tools.measure import Figure, Options, Report, alternate, check, main, middle, workspace
from tools.tsbsqueries import Query, difference

_HOUR_NS = 3_600_000_000_000
_BODY = os.environ.get("RUSTS_BENCH_BODY", "")


def measure(options: Options) -> Report:
    """The figures."""
    report = Report("latency")
    rows = tsbs.cpu_rows(HOSTS, 8640)
    with workspace() as folder:
        requests = RequestFile(folder / "day.http")
        requests.write_bodies(rows.bodies(5000))
        with peers.running("rusts", parent=folder) as ours, peers.running("influxd", parent=folder) as theirs:
            for server in (ours, theirs):
                load(server, requests, rows)
            _single(report, options, ours)
            _many(report, options, ours, theirs, folder)
    return report


def _single(report: Report, options: Options, server: peers.Server) -> None:
    """The 99th percentiles: of each run's, the median."""
    count = options.pick(2000, 200)
    writes = [http_request("POST", "/write?db=bench", body) for body in tsbs.one_line_bodies(count * options.runs)]
    source = random.Random(1)
    loads: dict[str, Callable[[int], list[bytes]]] = {
        "write": lambda run: writes[run * count : (run + 1) * count],
        "range query": lambda run: [_range(source).json_request() for _ in range(count // 4)],
        "aggregate": lambda run: [_aggregate(source).json_request() for _ in range(count // 10)],
    }
    most = {"write": 10.0, "range query": 50.0, "aggregate": 100.0}
    for name, make in loads.items():
        p99 = []
        medians = []
        with Client(server.port) as client:
            for run in range(options.runs):
                spent = [_milliseconds(client, request) for request in make(run)]
                p99.append(float(np.percentile(spent, 99)))
                medians.append(middle(spent))
        report.measured[name] = {"p99_ms": p99, "median_ms": medians}
        report.figures.append(Figure(f"{name}, median", middle(medians), "ms"))
        report.figures.append(Figure(f"{name}, 99 of 100 within", middle(p99), "ms", most=most[name]))


def _milliseconds(client: Client, request: bytes) -> float:
    began = time.perf_counter()
    answer = client.send(request)
    took = (time.perf_counter() - began) * 1e3
    check(answer.status in (200, 204), f"{request[:300]!r}: {answer}"[:1000])
    return took


def _range(source: random.Random) -> Query:
    start = tsbs.START_NS + source.randrange(0, 23 * 360) * tsbs.STEP_NS
    host = f"host_{source.randrange(HOSTS)}"
    return Query(
        f"SELECT usage_user FROM cpu WHERE hostname = '{host}' AND time >= {start} AND time < {start + _HOUR_NS}",
        {
            "measurement": "cpu",
            "fields": ["usage_user"],
            "tag_filters": [{"key": "hostname", "value": host}],
            "time_range": {"start": start, "end": start + _HOUR_NS},
        },
    )


def _aggregate(source: random.Random) -> Query:
    start = tsbs.START_NS + source.randrange(0, 12) * _HOUR_NS
    end = start + 12 * _HOUR_NS
    return Query(
        f"SELECT mean(usage_user) FROM cpu WHERE time >= {start} AND time < {end} GROUP BY time(1h)",
        {
            "measurement": "cpu",
            "time_range": {"start": start, "end": end},
            "aggregation": {"function": "Mean", "field": "usage_user", "interval_nanos": _HOUR_NS},
        },
    )


def _many(report: Report, options: Options, ours: peers.Server, theirs: peers.Server, folder: Path) -> None:
    source = random.Random(2)
    queries = [_range(source) for _ in range(500)]
    with Client(ours.port) as here, Client(theirs.port) as there:
        for query in queries[:20]:
            mine, other = here.send(query.json_request()), there.send(query.influx_request())
            wrong = difference(other.body, mine.body)
            check(not wrong, f"{query.influxql}: {wrong}")
        body = mine.body
    json_requests = RequestFile(folder / "json.http")
    json_requests.write(query.json_request() for query in queries)
    influx_requests = RequestFile(folder / "influx.http")
    influx_requests.write(query.influx_request() for query in queries)
    seconds = options.pick(4.0, 1.0)
    with _bare(body.decode()) as port:
        results = alternate(
            options.runs,
            {
                "rusts": partial(_rate, ours.port, json_requests, seconds),
                "influxd": partial(_rate, theirs.port, influx_requests, seconds),
                "uvicorn": partial(_rate, port, json_requests, seconds),
            },
        )
    report.measured["queries_per_second"] = results
    rate = {name: middle(values) for name, values in results.items()}
    for name, value in rate.items():
        report.figures.append(Figure(f"range queries of 16 clients, {name}", value, "queries/s"))
    report.figures.append(Figure("the same, rusts beside influxd", rate["rusts"] / rate["influxd"], "x"))


def _rate(port: int, requests: RequestFile, seconds: float) -> float:
    done = generate(port, requests, 16, status=200, seconds=seconds)
    check(done.failed == 0, f"{done.failed} queries failed: {done.first_failure}")
    return done.requests / done.seconds


@contextmanager
def _bare(body: str) -> Iterator[int]:
    """The port of a uvicorn that answers everything with `body`."""
    port = peers.free_port()
    root = Path(__file__).resolve().parents[1]
    command = [sys.executable, "-m", "uvicorn", "benches.latency:bare", "--port", str(port), "--log-level", "critical"]
    process = subprocess.Popen(command, cwd=root, env={**os.environ, "RUSTS_BENCH_BODY": body})
    try:
        for _ in range(1000):
            try:
                with Client(port) as client:
                    check(client.send(http_request("GET", "/")).body == body.encode(), "uvicorn: a wrong body")
                break
            except OSError:
                time.sleep(0.02)
        yield port
    finally:
        process.kill()
        process.wait()


async def bare(
    scope: MutableMapping[str, Any],
    receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
    send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
) -> None:
    """The ASGI application that uvicorn is measured with: reads the request, sends a body that is there already."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    body = _BODY.encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


if __name__ == "__main__":
    main(measure, __doc__)
