"""The query kinds of the suite's devops use case.

`DEVOPS` are all of them as the suite sends them to InfluxDB; `KINDS` are some of them as InfluxQL and as rusts' JSON
query, with equal answers.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

from tools.load import http_request
from tools.tsbs import CPU_FIELDS, START_NS, STEP_NS

__all__ = [
    "DEVOPS",
    "KINDS",
    "Hosts",
    "Query",
    "answer_difference",
    "difference",
    "influxql_request",
    "influxql_texts",
    "make",
]

_HOUR_NS: Final = 3_600_000_000_000
_MINUTE_NS: Final = 60_000_000_000
_START_SECONDS: Final = START_NS // 1_000_000_000


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


def _equal(a: Any, b: Any, tolerance: float = 1e-12) -> bool:
    if isinstance(a, float) or isinstance(b, float):
        numbers = isinstance(a, int | float) and isinstance(b, int | float)
        return numbers and math.isclose(a, b, rel_tol=tolerance, abs_tol=1e-12)
    return bool(a == b)


@dataclass(frozen=True)
class Hosts:
    """What is asked about: `count` hosts over `hours` hours from the start of the suite's data on."""

    count: int
    hours: int

    def some(self, random: random.Random, count: int) -> str:
        """A condition that `count` random hosts meet."""
        chosen = random.sample(range(self.count), count)
        return "(" + " or ".join(f"hostname = 'host_{host}'" for host in chosen) + ")"

    def span(self, random: random.Random, hours: int) -> str:
        """A random range of `hours` hours within the data, to the second.

        Where there is no room for one it begins with the data and ends somewhere in its second half.
        """
        whole, wanted = self.hours * 3600, hours * 3600
        if wanted < whole:
            start = random.randrange(whole - wanted + 1)
            end = start + wanted
        else:
            start, end = 0, random.randrange(whole // 2, whole + 1)
        return f"time >= '{_rfc3339(start)}' and time < '{_rfc3339(end)}'"


def _rfc3339(seconds: int) -> str:
    return datetime.fromtimestamp(_START_SECONDS + seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


_Text = Callable[[random.Random, Hosts], str]


def _calls(function: str, fields: int) -> str:
    return ", ".join(f"{function}({name})" for name in CPU_FIELDS[:fields])


def _single(fields: int, hosts: int, hours: int) -> _Text:
    return lambda random, all_hosts: (
        f"SELECT {_calls('max', fields)} from cpu where {all_hosts.some(random, hosts)} "
        f"and {all_hosts.span(random, hours)} group by time(1m)"
    )


def _max_all(hosts: int) -> _Text:
    return lambda random, all_hosts: (
        f"SELECT {_calls('max', len(CPU_FIELDS))} from cpu where {all_hosts.some(random, hosts)} "
        f"and {all_hosts.span(random, 8)} group by time(1h)"
    )


def _double(fields: int) -> _Text:
    return lambda random, all_hosts: (
        f"SELECT {_calls('mean', fields)} from cpu where {all_hosts.span(random, 12)} group by time(1h),hostname"
    )


def _limited(random: random.Random, hosts: Hosts) -> str:
    end = _rfc3339(random.randrange(3600, hosts.hours * 3600 + 1))
    return f"SELECT max(usage_user) from cpu WHERE time < '{end}' group by time(1m) limit 5"


def _high(random: random.Random, hosts: Hosts, condition: str = "") -> str:
    return f"SELECT * from cpu where usage_user > 90.0 {condition}and {hosts.span(random, 12)}"


DEVOPS: Final[dict[str, _Text]] = {
    **{f"single-groupby-{f}-{h}-{t}": _single(f, h, t) for f in (1, 5) for h, t in ((1, 1), (1, 12), (8, 1))},
    "cpu-max-all-1": _max_all(1),
    "cpu-max-all-8": _max_all(8),
    "double-groupby-1": _double(1),
    "double-groupby-5": _double(5),
    "double-groupby-all": _double(len(CPU_FIELDS)),
    "groupby-orderby-limit": _limited,
    "high-cpu-1": lambda random, hosts: _high(random, hosts, f"and {hosts.some(random, 1)} "),
    "high-cpu-all": _high,
    "lastpoint": lambda random, hosts: 'SELECT * from cpu group by "hostname" order by time desc limit 1',
}
"""Kind -> what makes an InfluxQL text of it from a random source and the hosts that there are."""


def influxql_texts(kind: str, count: int, hosts: Hosts, seed: int = 1) -> list[str]:
    """`count` queries of the kind; the same seed gives the same queries."""
    source = random.Random(f"{kind} {hosts} {seed}")
    return [DEVOPS[kind](source, hosts) for _ in range(count)]


def influxql_request(text: str, database: str = "bench") -> bytes:
    """The HTTP request that the suite sends: times come back as texts."""
    return http_request("POST", "/query?" + urlencode({"db": database, "q": text}))


def answer_difference(theirs: bytes, ours: bytes) -> str:
    """What differs between two answers to one InfluxQL text; nothing if they are equal (floats to 1e-9).

    Rows of one time may come in any order. InfluxDB 1.6 calls a whole series of more than 10,000 rows partial, which
    is not looked at.
    """
    if theirs == ours:
        return ""
    there, here = json.loads(theirs), json.loads(ours)
    if len(there["results"]) != len(here["results"]):
        return f"{len(there['results'])} results there, {len(here['results'])} here"
    for a, b in zip(there["results"], here["results"], strict=True):
        heads = [{k: v for k, v in result.items() if k != "series"} for result in (a, b)]
        if heads[0] != heads[1]:
            return f"{heads[0]} there, {heads[1]} here"
        if wrong := _series_difference(a.get("series", []), b.get("series", [])):
            return wrong
    return ""


def _series_difference(theirs: list[dict[str, Any]], ours: list[dict[str, Any]]) -> str:
    if len(theirs) != len(ours):
        return f"{len(theirs)} series there, {len(ours)} here"
    for a, b in zip(theirs, ours, strict=True):
        heads = [{k: v for k, v in series.items() if k not in ("values", "partial")} for series in (a, b)]
        if heads[0] != heads[1]:
            return f"{heads[0]} there, {heads[1]} here"
        if len(a["values"]) != len(b["values"]):
            return f"{heads[0]}: {len(a['values'])} rows there, {len(b['values'])} here"
        if [row[0] for row in a["values"]] != [row[0] for row in b["values"]]:
            return f"{heads[0]}: other times, or in another order"
        for x, y in zip(a["values"], b["values"], strict=True):
            if not _same_row(x, y, 1e-9):
                break
        else:
            continue
        for x, y in zip(sorted(a["values"], key=str), sorted(b["values"], key=str), strict=True):
            if not _same_row(x, y, 1e-9):
                return f"{heads[0]}: {x} there, {y} here"
    return ""


def _same_row(a: list[Any], b: list[Any], tolerance: float) -> bool:
    return len(a) == len(b) and all(_equal(x, y, tolerance) for x, y in zip(a, b, strict=True))
