"""A dashboard over the suite's hosts, with the requests that Grafana's InfluxDB data source makes of its panels.

One refresh of it asks all panels for the same hosts and the same last hours, up to a `now` in milliseconds: no two
refreshes ask the same texts.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlencode

from tools.load import http_request

__all__ = ["PANELS", "refresh", "refreshes", "request"]

_MINUTE_MS: Final = 60_000
_RANGES: Final = ((60, "10s"), (360, "30s"), (1440, "2m"))
"""Minutes, and the interval that they are shown at."""

_BY_HOST: Final = 'GROUP BY time({interval}), "hostname"::tag'
_CALLS: Final = (
    ('mean("usage_user")', _BY_HOST + " fill(null)"),
    ('mean("usage_system")', _BY_HOST + " fill(none)"),
    (
        'mean("usage_user") AS "user", mean("usage_system") AS "system", mean("usage_iowait") AS "iowait"',
        "GROUP BY time({interval}) fill(null)",
    ),
    ('max("usage_user")', _BY_HOST + " fill(null)"),
    ('max("usage_iowait") AS "most"', "GROUP BY time({interval}) fill(previous)"),
    ('percentile("usage_user", 95)', _BY_HOST + " fill(null)"),
    ('percentile("usage_softirq", 99)', "GROUP BY time({interval}) fill(none)"),
    ('non_negative_derivative(mean("usage_nice"), 10s)', _BY_HOST + " fill(null)"),
    ('derivative(max("usage_irq"), 1s)', _BY_HOST + " fill(none)"),
    ('100 - mean("usage_idle")', _BY_HOST + " fill(null)"),
    ('last("usage_guest")', 'GROUP BY "hostname"::tag'),
    ('mean("usage_steal"), max("usage_steal")', 'GROUP BY "hostname"::tag'),
)
PANELS: Final = tuple(
    f'SELECT {calls} FROM "cpu" WHERE ("hostname"::tag =~ /^({{hosts}})$/) '
    f"AND time >= {{start}}ms and time <= {{end}}ms {grouping}"
    for calls, grouping in _CALLS
)
"""The panels' texts: `hosts` is what a variable of several values becomes."""


def refresh(source: random.Random, hosts: int, now_ms: int) -> list[str]:
    """The texts of one refresh, for some of the `hosts` hosts and one of the ranges that end at `now_ms`."""
    chosen = "|".join(f"host_{host}" for host in sorted(source.sample(range(hosts), min(8, hosts))))
    minutes, interval = source.choice(_RANGES)
    start = now_ms - minutes * _MINUTE_MS
    return [panel.format(hosts=chosen, start=start, end=now_ms, interval=interval) for panel in PANELS]


def refreshes(count: int, hosts: int, first_ms: int, within_ms: int, seed: int) -> Iterator[bytes]:
    """The requests of `count` refreshes at times that lie evenly in the `within_ms` milliseconds from `first_ms` on."""
    source = random.Random(seed)
    for number in range(count):
        for text in refresh(source, hosts, first_ms + number * within_ms // count):
            yield request(text)


def request(text: str, database: str = "bench") -> bytes:
    """The HTTP request of one panel; the answer comes compressed."""
    headers = {"Accept": "application/json", "Accept-Encoding": "gzip", "User-Agent": "Grafana"}
    return http_request("GET", "/query?" + urlencode({"db": database, "epoch": "ms", "q": text}), b"", headers)
