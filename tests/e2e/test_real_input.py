"""Real input end to end: every line protocol file of tests/data, written over HTTP and read back.

What must come back is worked out by the slow reference parser and InfluxDB's rules: a field has the type of
its first point, and a point with another type is dropped; same series and time are one point, the later value
wins; a point without a time gets the server's.
"""

from __future__ import annotations

import gzip
import re
import time
from collections import defaultdict
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rusts.model.types import FieldType
from tests.support.lineproto_reference import Point, read
from tools.load import Client, http_request
from tools.peers import Server

DATA = Path(__file__).resolve().parents[1] / "data"
FILES = sorted(path for folder in ("telegraf", "influxdb") for path in (DATA / folder).iterdir() if ".lp" in path.name)
NO_LINE_PROTOCOL = {"inputs-smartctl_scan-all.lp", "inputs-smartctl_scan-include.lp"}
SERVER_TIME = -(2**62)
"""Stands for the time that the server gives."""

Key = tuple[frozenset[tuple[str, str]], int]
Stored = dict[str, dict[Key, dict[str, Any]]]


def by_the_rules(points: list[Point]) -> tuple[Stored, int]:
    """Measurement -> point -> fields, and how many points are dropped."""
    types: dict[tuple[str, str], FieldType] = {}
    stored: Stored = defaultdict(dict)
    dropped = 0
    for point in points:
        fields = {(name, type): value for (name, type), value in point.fields.items() if name != "time"}
        wanted = {name: types.get((point.measurement, name), type) for name, type in fields}
        if not fields or "time" in point.tags or any(wanted[name] is not type for name, type in fields):
            dropped += 1
            continue
        types.update(((point.measurement, name), type) for name, type in fields)
        cells = stored[point.measurement].setdefault((frozenset(point.tags.items()), point.time), {})
        cells.update({name: value for (name, _), value in fields.items()})
    return stored, dropped


def read_back(server: Server, database: str, points: list[Point], began: int, ended: int) -> Stored:
    """What the JSON query gives for every measurement of `points`."""
    stored: Stored = {}
    for measurement in {point.measurement for point in points}:
        tags = sorted({tag for point in points if point.measurement == measurement for tag in point.tags})
        answer = server.json_query({"db": database, "measurement": measurement, "group_by": tags})
        found: dict[Key, dict[str, Any]] = {}
        for series in answer["series"]:
            identity = frozenset((tag, value) for tag, value in series["tags"].items() if value)
            for at, *values in series["values"]:
                at = SERVER_TIME if began <= at <= ended else at
                key = identity, at
                assert key not in found, f"{measurement} {key} comes twice"
                cells = zip(series["columns"][1:], values, strict=True)
                found[key] = {name: value for name, value in cells if value is not None}
        if found:
            stored[measurement] = found
    return stored


def typed(stored: Stored) -> dict[str, dict[Key, dict[str, Any]]]:
    """The same with booleans that are no numbers, and numbers that JSON has written without a fraction."""
    return {
        measurement: {
            key: {
                name: ("boolean", value) if isinstance(value, bool) else float(value) if is_float(value) else value
                for name, value in cells.items()
            }
            for key, cells in found.items()
        }
        for measurement, found in stored.items()
    }


def is_float(value: Any) -> bool:
    return isinstance(value, float) or (isinstance(value, int) and abs(value) >= 2**63)


def test_every_file_comes_back_as_the_rules_say(serve) -> None:
    server = serve()
    written: dict[str, tuple[list[Point], Stored, int, int]] = {}
    with Client(server.port) as client:
        for path in FILES:
            body = path.read_bytes()
            body = gzip.decompress(body) if path.suffix == ".gz" else body
            points, bad = read(body, [len(body)], [1], [SERVER_TIME])
            stored, dropped = by_the_rules(points)
            database = path.name
            began = time.time_ns()
            answer = client.send(http_request("POST", f"/api/v2/write?bucket={quote(database)}", body))
            ended = time.time_ns()
            assert bool(bad) == (path.name in NO_LINE_PROTOCOL), f"{path.name}: {bad[:3]}"
            assert answer.status == (400 if bad or dropped else 204), f"{path.name}: {answer}"
            if dropped:
                assert re.search(rb"dropped=%d\b" % dropped, answer.body), f"{path.name}: {answer}"
            written[database] = points, stored, began, ended
    assert len(written) > 100
    for flushed in (False, True):
        if flushed:
            assert server.request("POST", "/admin/flush")[0] in (200, 204)
        for database, (points, stored, began, ended) in written.items():
            found = read_back(server, database, points, began, ended)
            assert typed(found) == typed(stored), f"{database}, flushed: {flushed}"
