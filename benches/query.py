"""The devops queries on one day of 100 hosts: rusts by its JSON query API, influxd by InfluxQL.

Both servers hold the same rows and run side by side; both have put them on disk (rusts by a flush, influxd by
its own snapshots). Each query is sent to both in turn over connections that stay open, and all answers are
compared. The time is what the client waits, from the first byte sent to the last received.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from tools import peers, tsbs
from tools.load import Client, RequestFile, generate
from tools.measure import Figure, Options, Report, check, main, middle, workspace
from tools.tsbsqueries import KINDS, Query, difference, make

HOSTS = 100
_QUIET_SECONDS = 2.0


def measure(options: Options) -> Report:
    """Per kind the ratio of the medians, and the median over the kinds."""
    report = Report("query")
    rows = tsbs.cpu_rows(HOSTS, 8640)
    with workspace() as folder:
        requests = RequestFile(folder / "day.http")
        requests.write_bodies(rows.bodies(5000))
        with peers.running("rusts", parent=folder) as ours, peers.running("influxd", parent=folder) as theirs:
            for server in (ours, theirs):
                load(server, requests, rows)
            ratios = []
            slower = []
            for kind in KINDS:
                result = _kind(kind, ours, theirs, options)
                report.measured[kind] = result
                ratio = middle(
                    [there / here for here, there in zip(result["rusts_ms"], result["influxd_ms"], strict=True)]
                )
                ratios.append(ratio)
                slower.append(middle(result["rusts_ms"]) - middle(result["influxd_ms"]))
                report.figures.append(Figure(f"{kind} beside influxd", ratio, "x"))
                print(
                    f"{kind}: {middle(result['rusts_ms']):.2f} ms, {ratio:.1f} x influxd", file=sys.stderr, flush=True
                )
    report.figures.append(Figure("median of the kinds beside influxd", middle(ratios), "x", least=6))
    report.figures.append(Figure("the slowest kind, slower than influxd by", max(slower), "ms", most=0.3))
    return report


def load(server: peers.Server, requests: RequestFile, rows: tsbs.CpuRows) -> None:
    """Write the rows, check that they are there, wait until the server has nothing left to do."""
    server.create_database()
    done = generate(server.port, requests, 4)
    check(done.failed == 0, f"{server.name}: {done.failed} writes failed: {done.first_failure}")
    if server.name == "rusts":
        check(server.request("POST", "/admin/flush")[0] < 300, "rusts: flush failed")
        call = {"function": "Count", "field": "usage_user"}
        answer = server.json_query({"db": "bench", "measurement": "cpu", "aggregation": call})
        found = answer["series"][0]["values"][0][1]
    else:
        found = server.influxql("SELECT count(usage_user) FROM cpu")["results"][0]["series"][0]["values"][0][1]
    check(found == rows.rows, f"{server.name}: holds {found} rows instead of {rows.rows}")
    settle(server)


def settle(server: peers.Server) -> None:
    """Wait until the server does nothing any more: it has merged what it would merge."""
    used = -1.0
    while server.cpu_seconds() - used > 0.02 * _QUIET_SECONDS:
        used = server.cpu_seconds()
        time.sleep(_QUIET_SECONDS)


def _kind(kind: str, ours: peers.Server, theirs: peers.Server, options: Options) -> dict[str, Any]:
    """Median milliseconds of each run, over queries that differ from run to run."""
    count = options.pick(20, 5)
    result: dict[str, Any] = {"rusts_ms": [], "influxd_ms": []}
    with Client(ours.port) as here, Client(theirs.port) as there:
        for query in make(kind, 3, HOSTS, seed=0):
            _ask(query, here, there)
        for run in range(options.runs):
            spent = [_ask(query, here, there) for query in make(kind, count, HOSTS, seed=run + 1)]
            result["rusts_ms"].append(middle([mine for mine, _ in spent]))
            result["influxd_ms"].append(middle([other for _, other in spent]))
    return result


def _ask(query: Query, here: Client, there: Client) -> tuple[float, float]:
    """Milliseconds of rusts and of influxd."""
    ours, theirs = query.json_request(), query.influx_request()
    began = time.perf_counter()
    their_answer = there.send(theirs)
    middle_time = time.perf_counter()
    our_answer = here.send(ours)
    ended = time.perf_counter()
    check(our_answer.status == 200 and their_answer.status == 200, f"{query}: {our_answer} {their_answer}"[:2000])
    wrong = difference(their_answer.body, our_answer.body)
    check(not wrong, f"{query.influxql}: {wrong}")
    return (ended - middle_time) * 1e3, (middle_time - began) * 1e3


if __name__ == "__main__":
    main(measure, __doc__)
