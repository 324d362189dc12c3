"""The requests of Grafana's InfluxDB data source in InfluxQL mode, and what it reads of each answer."""

from __future__ import annotations

import json
import urllib.parse
from typing import Any

import pytest

from tools import peers

DB = "grafana"
START = 1_700_000_000_000


@pytest.fixture(scope="module")
def filled(server: peers.Server) -> peers.Server:
    server.create_database(DB)
    lines = []
    for minute in range(60):
        for host in ("web-1", "web-2", "db-1"):
            time = START + minute * 60_000
            lines.append(f"cpu,host={host},cpu=cpu-total usage_idle={90 - minute % 7},usage_user={minute % 5} {time}")
            lines.append(f"disk,host={host},path=/ used_percent={minute} {time}")
    lines.append(f'events,kind=deploy text="v1 <b>",title="Deploy" {START + 600_000}')
    status, _ = server.request("POST", f"/write?db={DB}&precision=ms", "\n".join(lines).encode())
    assert status == 204
    return server


def ask(server: peers.Server, query: str, *, post: bool = False, **parameters: str) -> dict[str, Any]:
    """One query as the backend sends it: GET, or POST with the query in a form."""
    shared = {"db": DB, "epoch": "ms", **parameters}
    if post:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        body = urllib.parse.urlencode({"q": query}).encode()
        status, answer = server.request("POST", "/query?" + urllib.parse.urlencode(shared), body, headers)
    else:
        status, answer = server.request("GET", "/query?" + urllib.parse.urlencode({**shared, "q": query}))
    assert status == 200, answer
    parsed = json.loads(answer)
    assert parsed["results"], "Grafana reads results[0] whatever was asked"
    for result in parsed["results"]:
        assert "error" not in result, result
        for series in result.get("series", []):
            # Its streaming parser wants the columns before the values.
            keys = list(series)
            assert keys.index("columns") < keys.index("values") if "values" in keys else True
    result: dict[str, Any] = parsed["results"][0]
    return result


def rows(result: dict[str, Any]) -> list[list[Any]]:
    return [row for series in result.get("series", []) for row in series.get("values", [])]


def test_save_and_test(filled: peers.Server):
    assert [row[0] for row in rows(ask(filled, "SHOW measurements"))] == ["cpu", "disk", "events"]


def test_every_dashboard_load(filled: peers.Server):
    assert rows(ask(filled, f'SHOW RETENTION POLICIES on "{DB}"'))[0][0] == "autogen"


def test_the_explorer(filled: peers.Server):
    found = ask(filled, "SHOW MEASUREMENTS WITH MEASUREMENT =~ /(?i)CP/ LIMIT 100")
    assert rows(found) == [["cpu"]]
    assert rows(ask(filled, 'SHOW TAG KEYS FROM "autogen"."cpu"')) == [["cpu"], ["host"]]
    assert rows(ask(filled, 'SHOW FIELD KEYS FROM "cpu"'))[0] == ["usage_idle", "float"]
    assert rows(ask(filled, 'SHOW TAG VALUES FROM "cpu" WITH KEY = "host" WHERE "cpu" =~ /^cpu-/'))[0] == [
        "host",
        "db-1",
    ]


def test_variables(filled: peers.Server):
    values = rows(ask(filled, 'SHOW TAG VALUES WITH KEY = "host" WHERE "host" =~ /^web/'))
    assert sorted({row[1] for row in values}) == ["web-1", "web-2"]
    recent = rows(ask(filled, 'SHOW TAG KEYS FROM "cpu" WHERE time > now() - 5m'))
    assert recent in ([], [["cpu"], ["host"]])


PANEL = (
    'SELECT mean("usage_idle") AS "idle", max("usage_user") FROM "autogen"."cpu" '
    'WHERE ("host"::tag =~ /^(web-1|db-1)$/ AND "cpu" = \'cpu-total\') AND time >= {start}ms and time <= {end}ms '
    'GROUP BY time({interval}), "host"::tag fill({fill}) ORDER BY time {order}'
)


@pytest.mark.parametrize("post", [False, True])
@pytest.mark.parametrize("fill", ["null", "none", "0", "previous", "linear"])
@pytest.mark.parametrize("order", ["ASC", "DESC"])
def test_panels(filled: peers.Server, post: bool, fill: str, order: str):
    query = PANEL.format(start=START, end=START + 3_600_000, interval="5m", fill=fill, order=order)
    result = ask(filled, query, post=post)
    hosts = [series["tags"]["host"] for series in result["series"]]
    assert hosts == (["db-1", "web-1"] if order == "ASC" else ["web-1", "db-1"])
    for series in result["series"]:
        assert series["columns"] == ["time", "idle", "max"]
        times = [row[0] for row in series["values"]]
        assert times == sorted(times, reverse=order == "DESC")
        assert all(isinstance(time, int) and time % 300_000 == 0 for time in times)
        assert len(times) in (12, 13)


def test_limits_and_time_zones(filled: peers.Server):
    query = (
        f'SELECT mean("usage_idle") FROM "cpu" WHERE time >= {START}ms and time <= {START + 3_600_000}ms '
        "GROUP BY time(1d), \"host\" fill(none) limit 10 slimit 2 tz('Europe/Berlin')"
    )
    result = ask(filled, query)
    assert len(result["series"]) == 2
    # Midnight in Berlin on 2023-11-14 is 23:00 UTC on the 13th.
    assert result["series"][0]["values"][0][0] == 1_699_916_400_000


def test_math_and_functions_of_the_menu(filled: peers.Server):
    where = f"time >= {START}ms and time <= {START + 3_600_000}ms"
    for expression in (
        'count("usage_idle")',
        'count(distinct("usage_idle"))',
        'integral("usage_idle")',
        'median("usage_idle")',
        'mode("usage_idle")',
        'sum("usage_idle")',
        'first("usage_idle")',
        'last("usage_idle")',
        'percentile("usage_idle", 95)',
        'spread("usage_idle")',
        'stddev("usage_idle")',
        'derivative(mean("usage_idle"), 10s)',
        'non_negative_derivative(mean("usage_idle"), 10s)',
        'difference(mean("usage_idle"))',
        'non_negative_difference(mean("usage_idle"))',
        'moving_average(mean("usage_idle"), 5)',
        'cumulative_sum(mean("usage_idle"))',
        'elapsed(mean("usage_idle"), 1s)',
        'holt_winters(mean("usage_idle"), 3, 0)',
        'holt_winters_with_fit(mean("usage_idle"), 3, 0)',
        'mean("usage_idle") / 100 * 2',
        'top("usage_idle", 3)',
        'bottom("usage_idle", 3)',
    ):
        result = ask(filled, f'SELECT {expression} AS "alias x" FROM "cpu" WHERE {where} GROUP BY time(5m) fill(null)')
        assert result["series"][0]["columns"][1] == "alias x", expression
        assert len(result["series"][0]["values"]) >= 2, expression


def test_annotations(filled: peers.Server):
    result = ask(
        filled, f"SELECT title, text, kind FROM events WHERE time > {START}ms and time < {START + 9_000_000}ms"
    )
    assert result["series"][0]["columns"] == ["time", "title", "text", "kind"]
    assert rows(result) == [[START + 600_000, "Deploy", "v1 <b>", "deploy"]]


def test_a_query_without_rows(filled: peers.Server):
    assert "series" not in ask(filled, "SELECT mean(v) FROM nothing WHERE time > now() - 1h GROUP BY time(1m)")


def test_the_old_browser_mode_sends_several(filled: peers.Server):
    target = "/query?" + urllib.parse.urlencode(
        {"db": DB, "u": "", "p": "", "epoch": "ms", "q": "SELECT last(usage_idle) FROM cpu;SELECT v FROM none"}
    )
    status, body = filled.request("GET", target)
    assert status == 200
    results = json.loads(body)["results"]
    assert [result["statement_id"] for result in results] == [0, 1]
