"""The query kinds of the suite's devops use case, each as InfluxQL and as rusts' JSON query, with equal answers."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from tools.load import http_request
from tools.tsbs import CPU_FIELDS, START_NS, STEP_NS

__all__ = ["KINDS", "Query", "difference", "make"]

_HOUR_NS: Final = 3_600_000_000_000
_MINUTE_NS: Final = 60_000_000_000


@dataclass(frozen=True)
class Query:
    """One question, in both languages."""

    influxql: str
    json_query: dict[str, Any]

    def influx_request(self) -> bytes:
        """The HTTP request for influxd."""
        return http_request("POST", "/query?" + urlencode({"db": "bench", "epoch": "ns", "q": self.influxql}))

    def json_request(self) -> bytes:
        """The HTTP request for rusts."""
        body = json.dumps({"db": "bench", **self.json_query}).encode()
        return http_request("POST", "/query", body, {"Content-Type": "application/json"})


def _span(random: random.Random, hours: int) -> tuple[str, dict[str, int]]:
    """A time range of `hours` hours somewhere in the day of data.

    It begins at a row's time: an empty first bucket would be a null row in InfluxQL, whose fill is null.
    """
    start = START_NS + random.randrange(0, (24 - hours) * 3600 * 1_000_000_000 // STEP_NS + 1) * STEP_NS
    end = start + hours * _HOUR_NS
    return f"time >= {start} AND time < {end}", {"start": start, "end": end}


def _single_groupby(random: random.Random, hosts: int) -> Query:
    text, span = _span(random, 1)
    host = f"host_{random.randrange(hosts)}"
    return Query(
        f"SELECT max(usage_user) FROM cpu WHERE (hostname = '{host}') AND {text} GROUP BY time(1m)",
        {
            "measurement": "cpu",
            "time_range": span,
            "tag_filters": [{"key": "hostname", "value": host}],
            "aggregation": {"function": "Max", "field": "usage_user", "interval_nanos": _MINUTE_NS},
        },
    )


def _double_groupby(fields: int) -> Callable[[random.Random, int], Query]:
    def make(random: random.Random, hosts: int) -> Query:
        text, span = _span(random, 12)
        names = CPU_FIELDS[:fields]
        means = ", ".join(f"mean({name})" for name in names)
        return Query(
            f"SELECT {means} FROM cpu WHERE {text} GROUP BY time(1h), hostname",
            {
                "measurement": "cpu",
                "time_range": span,
                "aggregation": {"function": "Mean", "fields": list(names), "interval_nanos": _HOUR_NS},
                "group_by": ["hostname"],
            },
        )

    return make


def _cpu_max_all_8(random: random.Random, hosts: int) -> Query:
    text, span = _span(random, 8)
    names = sorted(f"host_{host}" for host in random.sample(range(hosts), 8))
    where = " OR ".join(f"hostname = '{name}'" for name in names)
    calls = ", ".join(f"max({name})" for name in CPU_FIELDS)
    return Query(
        f"SELECT {calls} FROM cpu WHERE ({where}) AND {text} GROUP BY time(1h)",
        {
            "measurement": "cpu",
            "time_range": span,
            "tag_filters": [{"key": "hostname", "values": names}],
            "aggregation": {"function": "Max", "fields": list(CPU_FIELDS), "interval_nanos": _HOUR_NS},
        },
    )


def _lastpoint(random: random.Random, hosts: int) -> Query:
    return Query(
        'SELECT * FROM cpu GROUP BY "hostname" ORDER BY time DESC LIMIT 1',
        {"measurement": "cpu", "group_by": ["hostname"], "order": "desc", "limit": 1},
    )


def _high_cpu_all(random: random.Random, hosts: int) -> Query:
    text, span = _span(random, 12)
    return Query(
        f"SELECT * FROM cpu WHERE usage_user > 90.0 AND {text}",
        {
            "measurement": "cpu",
            "time_range": span,
            "field_filters": [{"field": "usage_user", "op": "Gt", "value": 90.0}],
        },
    )


KINDS: Final[dict[str, Callable[[random.Random, int], Query]]] = {
    "single-groupby-1-1-1": _single_groupby,
    "double-groupby-1": _double_groupby(1),
    "double-groupby-5": _double_groupby(5),
    "cpu-max-all-8": _cpu_max_all_8,
    "lastpoint": _lastpoint,
    "high-cpu-all": _high_cpu_all,
}
"""Kind -> what makes a query of it from a random source and the number of hosts."""


def make(kind: str, count: int, hosts: int, seed: int = 1) -> list[Query]:
    """`count` queries of the kind; the same seed gives the same queries."""
    source = random.Random(f"{kind} {seed}")
    return [KINDS[kind](source, hosts) for _ in range(count)]


def difference(influx: bytes, ours: bytes) -> str:
    """What differs between the two servers' answers to one query; nothing if they are equal.

    Names of aggregate columns differ (`mean`, `mean_1` there, `mean_usage_user` here): the columns of an
    aggregate stand in the order of the query in both, those of plain rows are compared by name.
    """
    theirs = json.loads(influx)["results"][0].get("series", [])
    mine = json.loads(ours)["series"]
    if len(theirs) != len(mine):
        return f"{len(theirs)} series there, {len(mine)} here"
    mine.sort(key=lambda series: sorted(series["tags"].items()))
    theirs.sort(key=lambda series: sorted(series.get("tags", {}).items()))
    for a, b in zip(theirs, mine, strict=True):
        if a.get("tags", {}) != b["tags"]:
            return f"tags {a.get('tags', {})} there, {b['tags']} here"
        named = "hostname" in (*b["columns"], *b["tags"]) and "usage_user" in b["columns"]
        order = [b["columns"].index(name) for name in a["columns"]] if named else list(range(len(b["columns"])))
        rows = [[row[i] for i in order] for row in b["values"]]
        # Rows of one time come in no promised order.
        for x, y in zip(sorted(a["values"], key=str), sorted(rows, key=str), strict=False):
            if len(x) != len(y) or not all(map(_equal, x, y)):
                return f"{a.get('tags', {})}: {x} there, {y} here"
        if len(a["values"]) != len(rows):
            return f"{a.get('tags', {})}: {len(a['values'])} rows there, {len(rows)} here"
    return ""


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, float) or isinstance(b, float):
        return a is not None and b is not None and math.isclose(a, b, rel_tol=1e-12, abs_tol=1e-12)
    return bool(a == b)
