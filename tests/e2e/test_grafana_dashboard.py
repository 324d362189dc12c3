"""The dashboard of docs/grafana: each of its queries, as Grafana's backend sends it, finds what Telegraf wrote."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import pytest

from rusts import config
from rusts.api.app import create_app
from rusts.node import Node
from tests.support.asgi import Client

ROOT: Final = Path(__file__).parents[2]
GRAFANA: Final = ROOT / "docs" / "grafana"
DASHBOARD: Final[dict[str, Any]] = json.loads((GRAFANA / "dashboards" / "telegraf-hosts.json").read_text())
METRICS: Final = (ROOT / "tests" / "data" / "influxdb" / "metrics.lp").read_text()

BEGIN: Final = 1_591_894_310_000
END: Final = 1_591_894_470_000
"""ms: first and last time of METRICS."""
RESTART: Final = 1_591_894_400
"""s: when the host web-2 begins anew."""
LAPTOP: Final = "Andrews-MBP.hsd1.ma.comcast.net"
HOSTS: Final = [LAPTOP, "web-2"]

PANELS: Final = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
VARIABLES: Final = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
TARGETS: Final = [
    pytest.param(target, id=f"{panel['title']} {target['refId']}") for panel in PANELS for target in panel["targets"]
]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    settings = {"data-dir": str(tmp_path_factory.mktemp("grafana")), "flush-interval": "1h", "log-level": "error"}
    node = Node.open(config.load(settings, {}))
    node.store.recover_step()
    client = Client(create_app(node))
    ask(client, 'CREATE DATABASE "telegraf"')
    # Some of it in segments, the rest in memory.
    for body in (METRICS, _second_host(), _kernel()):
        answer = client.request("POST", "/write?db=telegraf", body.encode())
        assert answer.status == 204, answer.body
        if body is METRICS:
            node.store.flush()
    yield client
    client.close()
    node.close()


def _second_host() -> str:
    """METRICS of another host, which was restarted meanwhile."""

    def uptime(match: re.Match[str]) -> str:
        seconds = int(match[3]) - RESTART
        return f"uptime={seconds}i{match[2]}{match[3]}" if seconds >= 0 else match[0]

    lines = METRICS.replace(f"host={LAPTOP}", "host=web-2")
    return re.sub(r"uptime=(\d+)i(.* )(\d{10})(?=0{9}$)", uptime, lines, flags=re.MULTILINE)


def _kernel() -> str:
    """What the input kernel writes: METRICS come from a system that has none of it."""
    return "\n".join(
        f"kernel,host={host} boot_time=1591000000i,context_switches={10_000 * i}i,interrupts={3_000 * i}i,"
        f"processes_forked={7 * i}i {BEGIN + 10_000 * i}000000"
        for host in HOSTS
        for i in range(17)
    )


def ask(client: Client, query: str) -> list[dict[str, Any]]:
    """The series of a query, as Grafana's backend asks for them."""
    target = "/query?" + urlencode({"db": "telegraf", "epoch": "ms"})
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = client.request("POST", target, urlencode({"q": query}).encode(), form)
    assert answer.status == 200, f"{query}\n{answer.body!r}"
    (result,) = answer.json()["results"]
    assert "error" not in result, f"{query}\n{result}"
    series: list[dict[str, Any]] = result.get("series", [])
    return series


def chosen(values: list[str]) -> str:
    """Values of a variable in a regular expression: each one escaped, several as a group."""
    escaped = [re.sub(r"[\\^$*+?.()|\[\]{}/]", r"\\\g<0>", value) for value in values]
    return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"


def substituted(query: str, variables: Mapping[str, str], interval: str = "10s") -> str:
    """The query with variables replaced, as the browser does, and then the macros, as the backend does."""
    for name, value in variables.items():
        query = re.sub(rf"\$(?:{name}\b|\{{{name}\}})", lambda _, value=value: value, query)  # type: ignore[misc]
    query = query.replace("$timeFilter", f"time >= {BEGIN}ms and time <= {END}ms")
    query = query.replace("$__interval", interval)
    assert "$" not in re.sub(r"\$/", "/", query), query
    return query


def listed(client: Client, name: str, variables: Mapping[str, str]) -> list[str]:
    """What the query of a variable offers: Grafana reads the second column of SHOW TAG VALUES."""
    series = ask(client, substituted(VARIABLES[name]["query"], variables))
    return list(dict.fromkeys(row[1] for one in series for row in one["values"]))


def everything(client: Client) -> dict[str, str]:
    """All variables with All chosen."""
    variables: dict[str, str] = {"interval": "30s"}
    for name, variable in VARIABLES.items():
        if variable["type"] == "query":
            variables[name] = chosen(listed(client, name, variables))
    return variables


def test_every_variable_offers_values(client: Client):
    assert list(VARIABLES) == ["datasource", "host", "path", "interface", "interval"]
    assert listed(client, "host", {}) == HOSTS
    for hosts in (HOSTS, HOSTS[:1], HOSTS[1:]):
        variables = {"host": chosen(hosts)}
        assert listed(client, "path", variables) == ["/", "/System/Volumes/Data", "/private/var/vm"]
        assert "en0" in listed(client, "interface", variables)


@pytest.mark.parametrize("interval", ["10s", "30s", "1m"])
@pytest.mark.parametrize("target", TARGETS)
def test_every_panel_shows_something(client: Client, target: dict[str, Any], interval: str):
    variables = {**everything(client), "interval": interval}
    series = ask(client, substituted(target["query"], variables, interval))
    assert {one["tags"]["host"] for one in series} == set(HOSTS)
    columns = series[0]["columns"]
    for one in series:
        assert one["columns"] == columns
        assert columns[0] == "time"
        times = [row[0] for row in one["values"]]
        assert times == sorted(times)
        for i, column in enumerate(columns[1:], 1):
            values = [row[i] for row in one["values"] if row[i] is not None]
            assert values, column
            assert all(isinstance(value, int | float) for value in values), column
        # What the alias names is there to be shown.
        for tag in re.findall(r"\$tag_(\w+)", target["alias"]):
            assert one["tags"][tag]
    # Without the column in the alias, lines of one series could not be told apart.
    assert "$col" in target["alias"] or len(columns) == 2


@pytest.mark.parametrize("target", TARGETS)
def test_one_host_and_one_disk_can_be_chosen(client: Client, target: dict[str, Any]):
    variables = everything(client) | {"host": chosen(["web-2"]), "path": chosen(["/private/var/vm"])}
    for one in ask(client, substituted(target["query"], variables)):
        assert one["tags"]["host"] == "web-2"
        assert one["tags"].get("path", "/private/var/vm") == "/private/var/vm"


def test_a_restart_is_annotated(client: Client):
    (annotation,) = DASHBOARD["annotations"]["list"]
    (series,) = ask(client, substituted(annotation["query"], everything(client)))
    assert {annotation["textColumn"], annotation["tagsColumn"]} <= set(series["columns"])
    (row,) = [dict(zip(series["columns"], row, strict=True)) for row in series["values"]]
    assert (row["time"], row["host"]) == (RESTART * 1000, "web-2")


def test_rates_are_those_of_the_counters(client: Client):
    """Of the bytes that en0 received, computed from the lines."""
    target = next(panel for panel in PANELS if panel["title"] == "Network traffic")["targets"][0]
    variables = everything(client) | {"interface": "en0", "host": chosen([LAPTOP]), "interval": "10s"}
    (series,) = ask(client, substituted(target["query"], variables))
    lines = re.findall(r"^net,\S*interface=en0 \S*bytes_recv=(\d+)i\S* (\d{13})0{6}$", METRICS, re.MULTILINE)
    counter = {int(time): int(count) for count, time in lines}
    times = sorted(counter)
    expected = [[b, (counter[b] - counter[a]) / (b - a) * 1000] for a, b in pairwise(times)]
    assert len(expected) > 10
    assert [row[0] for row in series["values"]] == [time for time, _ in expected]
    assert [row[1] for row in series["values"]] == pytest.approx([rate for _, rate in expected])


def test_the_dashboard_is_one_that_grafana_takes():
    assert {panel["type"] for panel in PANELS} == {"stat", "timeseries"}
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(numbers)) == len(numbers)
    for name in ("cpu", "mem", "system", "disk", "diskio", "net", "processes", "swap", "kernel"):
        assert any(f'FROM "{name}"' in target["query"] for panel in PANELS for target in panel["targets"]), name
    for panel in PANELS:
        for thing in (panel, *panel["targets"]):
            assert thing["datasource"] == {"type": "influxdb", "uid": "${datasource}"}
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + i, at["y"] + k) for i in range(at["w"]) for k in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24, panel["title"]
        taken |= cells


def test_the_provisioned_files():
    source = (GRAFANA / "provisioning" / "datasources" / "rusts.yaml").read_text()
    assert re.search(r"^ +type: influxdb$", source, re.MULTILINE)
    assert re.search(r"^ +version: InfluxQL$", source, re.MULTILINE)
    assert re.search(r"^ +dbName: telegraf$", source, re.MULTILINE)
    dashboards = (GRAFANA / "provisioning" / "dashboards" / "rusts.yaml").read_text()
    assert re.search(r"^ +type: file$", dashboards, re.MULTILINE)
    assert re.search(r"^ +path: /\S+/dashboards$", dashboards, re.MULTILINE)
    for target in re.findall(r"\]\(([^)]*)\)", (GRAFANA / "README.md").read_text()):
        assert (GRAFANA / target).exists(), target
