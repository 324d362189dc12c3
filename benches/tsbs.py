"""InfluxQL beside influxd: the suite's devops queries, statements over a million series, a dashboard of 16 clients.

Both servers hold the same rows and have put them on disk (rusts by a flush, influxd by its own snapshots). Each query
is a text that was not sent before, with hosts and times of a fixed seed; it goes to both servers in turn over
connections that stay open, and their answers have to be equal. The time is what the client waits, from the first
byte sent to the last received.
"""

from __future__ import annotations

import gzip
import json
import random
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Final

from benches.query import load, settle
from tools import dashboard, peers, tsbs
from tools.load import Answer, Client, RequestFile, generate, http_request
from tools.measure import Figure, Options, Report, alternate, check, main, middle, workspace
from tools.tsbsqueries import DEVOPS, Hosts, answer_difference, influxql_request, influxql_texts

__all__ = ["measure"]

_DAY: Final = Hosts(100, 24)
_MANY: Final = Hosts(4000, 2)
_KIND_SECONDS: Final = 3.0
"""What a run may take of influxd's time for one kind; at least two queries, at most 20."""

_CLIENTS: Final = 16
_WRITES_A_SECOND: Final = 2
_REFRESHES_A_SECOND: Final = 150
"""More than a server can answer, so that no text is sent twice."""

_STATEMENTS: Final[dict[str, tuple[str, float | None]]] = {
    "SHOW SERIES EXACT CARDINALITY": ("SHOW SERIES EXACT CARDINALITY", 50.0),
    "SHOW TAG VALUES CARDINALITY": ('SHOW TAG VALUES CARDINALITY WITH KEY = "c"', 50.0),
    "count grouped by a tag": ("SELECT count(v) FROM m WHERE time <= {end} GROUP BY a", 50.0),
    "SHOW TAG VALUES": ('SHOW TAG VALUES WITH KEY = "c"', 10.0),
    "SHOW TAG VALUES of some series": ("SHOW TAG VALUES WITH KEY = \"c\" WHERE a = 'a3'", None),
}
"""What is asked of a million series, and how many times as fast as influxd. `end` differs from query to query."""


def measure(options: Options) -> Report:
    """The figures."""
    report = Report("tsbs")
    with workspace() as folder:
        for hosts in (_DAY, _MANY):
            rows = tsbs.cpu_rows(hosts.count, hosts.hours * 360)
            requests = RequestFile(folder / "rows.http")
            requests.write_bodies(rows.bodies(5000))
            with peers.running("rusts", parent=folder) as ours, peers.running("influxd", parent=folder) as theirs:
                for server in (ours, theirs):
                    load(server, requests, rows)
                _kinds(report, options, ours, theirs, hosts)
                if hosts is _DAY:
                    _dashboard(report, options, ours, theirs, folder)
        _series(report, options, folder)
    return report


def _kinds(report: Report, options: Options, ours: peers.Server, theirs: peers.Server, hosts: Hosts) -> None:
    """Per kind the ratio of the medians, their median over the kinds, and the kind that loses most."""
    name = f"{hosts.count} hosts x {hosts.hours} h"
    ratios = []
    slower = []
    for kind in DEVOPS:
        result = _kind(kind, ours, theirs, hosts, options)
        report.measured[f"{name}: {kind}"] = result
        here, there = middle(result["rusts_ms"]), middle(result["influxd_ms"])
        ratios.append(middle([b / a for a, b in zip(result["rusts_ms"], result["influxd_ms"], strict=True)]))
        slower.append(here - there)
        report.figures.append(Figure(f"{name}: {kind}", ratios[-1], "x"))
        print(f"{name}: {kind}: {here:.2f} ms, influxd {there:.2f} ms, {ratios[-1]:.1f} x", file=sys.stderr, flush=True)
    report.figures.append(Figure(f"{name}: median of the kinds beside influxd", middle(ratios), "x", least=6))
    report.figures.append(Figure(f"{name}: the slowest kind, slower than influxd by", max(slower), "ms", most=0.3))


def _kind(kind: str, ours: peers.Server, theirs: peers.Server, hosts: Hosts, options: Options) -> dict[str, Any]:
    """Median milliseconds of each run, over queries that differ from run to run."""
    result: dict[str, Any] = {"rusts_ms": [], "influxd_ms": []}
    with Client(ours.port) as here, Client(theirs.port) as there:
        warm = [_ask(text, here, there) for text in influxql_texts(kind, 2, hosts, seed=0)]
        fits = int(options.pick(_KIND_SECONDS, _KIND_SECONDS / 5) * 1e3 / warm[-1][1])
        result["queries_a_run"] = amount = min(max(fits, 2), options.pick(20, 5))
        for run in range(options.runs):
            spent = [_ask(text, here, there) for text in influxql_texts(kind, amount, hosts, seed=run + 1)]
            result["rusts_ms"].append(middle([mine for mine, _ in spent]))
            result["influxd_ms"].append(middle([other for _, other in spent]))
    return result


def _ask(text: str, here: Client, there: Client) -> tuple[float, float]:
    """Milliseconds of rusts and of influxd, whose answers are equal."""
    request = influxql_request(text)
    mine, answer = _timed(here, request)
    other, others = _timed(there, request)
    _same(text, others, answer)
    return mine, other


def _timed(client: Client, request: bytes) -> tuple[float, Answer]:
    began = time.perf_counter()
    answer = client.send(request)
    return (time.perf_counter() - began) * 1e3, answer


def _same(text: str, theirs: Answer, ours: Answer) -> None:
    check(ours.status == 200 and theirs.status == 200, f"{text}: {ours} {theirs}"[:2000])
    check(b'"error"' not in theirs.body, f"{text}: {theirs.body[:500]!r}")
    wrong = answer_difference(theirs.body, ours.body)
    check(not wrong, f"{text}: {wrong}")


def _dashboard(report: Report, options: Options, ours: peers.Server, theirs: peers.Server, folder: Path) -> None:
    """Queries a second of 16 clients that refresh a dashboard while rows are being written, and how long one waits."""
    seconds = options.pick(8.0, 2.0)
    _compare(ours, theirs, options.pick(20, 5), _step_ms(0))
    steps = int(seconds * _WRITES_A_SECOND)
    results = alternate(
        options.runs,
        {
            server.name: partial(next, _loads(server, folder / f"{server.name}.http", seconds, steps))
            for server in (ours, theirs)
        },
    )
    _compare(ours, theirs, options.pick(20, 5), _step_ms(options.runs * steps))
    report.measured["dashboard"] = results
    rate = [a["queries_per_second"] / b["queries_per_second"] for a, b in zip(*results.values(), strict=True)]
    p99 = [a["p99_ms"] / b["p99_ms"] for a, b in zip(*results.values(), strict=True)]
    for name, runs in results.items():
        report.figures += [
            Figure(f"dashboard of 16 clients, {name}", middle([r["queries_per_second"] for r in runs]), "queries/s"),
            Figure(f"99 of 100 within, {name}", middle([r["p99_ms"] for r in runs]), "ms"),
        ]
    report.figures += [
        Figure("dashboard of 16 clients, rusts beside influxd", middle(rate), "x", least=4),
        Figure("99 of 100 within, rusts beside influxd", middle(p99), "x", most=1),
    ]


def _step_ms(step: int) -> int:
    """The time of the `step`-th row of a host behind the day's data, in ms."""
    return (tsbs.START_NS + (_DAY.hours * 360 + step) * tsbs.STEP_NS) // 1_000_000


def _compare(ours: peers.Server, theirs: peers.Server, refreshes: int, now_ms: int) -> None:
    source = random.Random(now_ms)
    with Client(ours.port) as here, Client(theirs.port) as there:
        for _ in range(refreshes):
            for text in dashboard.refresh(source, _DAY.count, now_ms - source.randrange(10_000)):
                request = dashboard.request(text)
                _same(text, _plain(there.send(request)), _plain(here.send(request)))


def _plain(answer: Answer) -> Answer:
    return Answer(answer.status, gzip.decompress(answer.body)) if answer.body.startswith(b"\x1f\x8b") else answer


def _loads(server: peers.Server, path: Path, seconds: float, steps: int) -> Iterator[dict[str, float]]:
    """One load after the other, the last hours of each ending where the rows written meanwhile are."""
    requests = RequestFile(path)
    for run in count():
        first = run * steps
        within = _step_ms(first + steps) - _step_ms(first)
        amount = int(_REFRESHES_A_SECOND * seconds)
        requests.write(dashboard.refreshes(amount, _DAY.count, _step_ms(first), within, seed=run))
        rows = tsbs.cpu_rows(_DAY.count, steps, seed=2 + run, first_step=_DAY.hours * 360 + first)
        with _Writer(server, list(rows.bodies(_DAY.count))):
            done = generate(server.port, requests, _CLIENTS, status=200, seconds=seconds)
        check(done.failed == 0, f"{server.name}: {done.failed} queries failed: {done.first_failure}")
        check(done.requests < amount * len(dashboard.PANELS), "the load began again with the same texts")
        yield {
            "queries_per_second": done.requests / done.seconds,
            "median_ms": done.median_ms,
            "p99_ms": done.p99_ms,
            "client_cpu_seconds": done.client_cpu_seconds,
        }


class _Writer:
    """Writes `bodies` at an even rate in a thread; leaving waits until all are written."""

    def __init__(self, server: peers.Server, bodies: Sequence[bytes]) -> None:
        self._server = server
        self._bodies = bodies
        self._failure = ""
        self._thread = threading.Thread(target=self._write)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *problem: object) -> None:
        self._thread.join()
        check(not self._failure, f"{self._server.name}: a write failed: {self._failure}")

    def _write(self) -> None:
        began = time.monotonic()
        with Client(self._server.port) as client:
            for number, body in enumerate(self._bodies):
                time.sleep(max(0.0, began + number / _WRITES_A_SECOND - time.monotonic()))
                answer = client.send(http_request("POST", "/write?db=bench", body))
                if answer.status != 204:
                    self._failure = str(answer)


def _series(report: Report, options: Options, folder: Path) -> None:
    """Statements over a million series."""
    shape = options.pick((10, 100, 1000), (10, 100, 100))
    series = shape[0] * shape[1] * shape[2]
    requests = RequestFile(folder / "series.http")
    requests.write_bodies(tsbs.cardinality_bodies(shape=shape))
    with peers.running("rusts", parent=folder) as ours, peers.running("influxd", parent=folder) as theirs:
        for server in (ours, theirs):
            server.create_database()
            done = generate(server.port, requests, 4)
            check(done.failed == 0, f"{server.name}: {done.failed} writes failed: {done.first_failure}")
        status, body = ours.request("POST", "/admin/flush")
        check(status < 300, f"rusts: flush answered {status} {body!r}")
        for server in (ours, theirs):
            settle(server)
        with Client(ours.port) as here, Client(theirs.port) as there:
            for what, (text, least) in _STATEMENTS.items():
                texts = [text.format(end=tsbs.START_NS + number) for number in range(options.runs + 1)]
                spent = []
                for each in texts:
                    # influxd collects garbage on all cores for a while after a scan of its index.
                    settle(theirs)
                    spent.append(_ask(each, here, there))
                spent = spent[1:]
                report.measured[f"{series:,} series: {what}"] = spent
                ratio = middle([other / mine for mine, other in spent])
                mine = middle([mine for mine, _ in spent])
                report.figures += [
                    Figure(what, mine, "ms"),
                    Figure("the same beside influxd", ratio, "x", least=least),
                ]
                print(f"{what}: {mine:.2f} ms, {ratio:.1f} x influxd", file=sys.stderr, flush=True)
            spent_ms = [_estimate(here, series) for _ in range(options.runs + 1)][1:]
    report.measured["SHOW SERIES CARDINALITY"] = spent_ms
    report.figures.append(Figure("SHOW SERIES CARDINALITY", middle(spent_ms), "ms", most=2))


def _estimate(client: Client, series: int) -> float:
    spent, answer = _timed(client, influxql_request("SHOW SERIES CARDINALITY"))
    check(answer.status == 200, f"rusts: {answer}")
    found = json.loads(answer.body)["results"][0]["series"][0]["values"]
    check(found == [[series]], f"rusts: {found} series instead of {series}")
    return spent


if __name__ == "__main__":
    main(measure, __doc__)
