"""A million new series (10 x 100 x 1,000 tag values): rate, memory of each, a count grouped by a tag over them."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

from tools import peers, tsbs
from tools.load import Client, RequestFile, generate, http_request
from tools.measure import Figure, Options, Report, alternate, check, main, middle, workspace


def measure(options: Options) -> Report:
    """The figures."""
    report = Report("cardinality")
    shape = options.pick((10, 100, 1000), (10, 100, 100))
    with workspace() as folder:
        requests = RequestFile(folder / "series.http")
        requests.write_bodies(tsbs.cardinality_bodies(shape=shape))
        results = alternate(
            options.runs, {name: partial(_run, name, shape, requests, folder) for name in ("rusts", "influxd")}
        )
    report.measured = {"series": shape[0] * shape[1] * shape[2], **results}
    rate = {name: middle([run["series_per_second"] for run in runs]) for name, runs in results.items()}
    count = {name: middle([run["count_ms"] for run in runs]) for name, runs in results.items()}
    report.figures = [
        Figure("new series", rate["rusts"], "series/s"),
        Figure("the same beside influxd", rate["rusts"] / rate["influxd"], "x", least=3),
        Figure("memory of a series", middle([r["bytes_a_series"] for r in results["rusts"]]), "bytes", most=400),
        Figure("count grouped by a tag", count["rusts"], "ms"),
        Figure("the same beside influxd", count["influxd"] / count["rusts"], "x", least=50),
    ]
    return report


def _run(name: str, shape: tuple[int, int, int], requests: RequestFile, folder: Path) -> dict[str, Any]:
    series = shape[0] * shape[1] * shape[2]
    with peers.running(name, parent=folder) as server:
        server.create_database()
        before = server.memory_bytes()
        load = generate(server.port, requests, 4)
        check(load.failed == 0, f"{name}: {load.failed} writes failed: {load.first_failure}")
        if name == "rusts":
            status, body = server.request("POST", "/admin/flush")
            check(status < 300, f"rusts: flush answered {status} {body!r}")
        count_ms = _count(server, shape)
        return {
            "series_per_second": series / load.seconds,
            "bytes_a_series": (server.memory_bytes() - before) / series,
            "count_ms": count_ms,
        }


def _count(server: peers.Server, shape: tuple[int, int, int]) -> float:
    """Milliseconds of a count of all points by the first tag: the median of some, after one to check."""
    if server.name == "rusts":
        body = b'{"db":"bench","measurement":"m","aggregation":{"function":"Count","field":"v","group_by":["a"]}}'
        request = http_request("POST", "/query", body, {"Content-Type": "application/json"})
        answer = server.json_query(
            {"db": "bench", "measurement": "m", "aggregation": {"function": "Count", "field": "v", "group_by": ["a"]}}
        )
        groups = answer["series"]
        times = 9
    else:
        request = http_request("POST", "/query?db=bench&q=SELECT+count(v)+FROM+m+GROUP+BY+a")
        groups = server.influxql("SELECT count(v) FROM m GROUP BY a")["results"][0]["series"]
        times = 1
    found = {group["tags"]["a"]: group["values"][0][1] for group in groups}
    wanted = {f"a{i}": shape[1] * shape[2] for i in range(shape[0])}
    check(found == wanted, f"{server.name}: counts {found} instead of {wanted}")
    spent = []
    with Client(server.port) as client:
        for _ in range(times):
            began = time.perf_counter()
            answer_bytes = client.send(request)
            spent.append((time.perf_counter() - began) * 1e3)
            check(answer_bytes.status == 200, f"{server.name}: {answer_bytes}")
    return middle(spent)


if __name__ == "__main__":
    main(measure, __doc__)
