"""Random JSON queries over random points: the executor against definitions written out over plain rows."""

from __future__ import annotations

import json
import math
import os
import random
import statistics
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rusts import jsonquery, query
from rusts.api.encode import encode_json
from rusts.clock import SystemClock
from rusts.engine.engine import Engine, EngineSettings
from rusts.files import OsFiles
from rusts.model.store import Store
from tests.support.model_store import ModelStore, Tags, Value, batch_of

SEED = int(os.environ.get("RUSTS_SEED", random.SystemRandom().randrange(1 << 32)))
CASES = 20_000 if os.environ.get("RUSTS_PROOF") else 1500
TYPES = {"f": "float", "i": "int", "s": "string", "b": "bool"}
NUMERIC = ("f", "i")
FUNCTIONS = {
    "count": "fisb",
    "sum": "fi",
    "mean": "fi",
    "min": "fib",
    "max": "fib",
    "first": "fisb",
    "last": "fisb",
    "spread": "fi",
    "stddev": "fi",
    "median": "fi",
    "percentile": "fi",
    "mode": "fisb",
    "count_distinct": "fisb",
}
SELECTORS = {"min", "max", "first", "last", "percentile"}

Row = tuple[int, Tags, dict[str, Value]]


def some_points(rng: random.Random) -> list[Row]:
    points: dict[tuple[int, str], Row] = {}
    for _ in range(rng.randrange(1, 60)):
        time = rng.randrange(-50, 150)
        tags = {key: value for key in ("host", "zone") if (value := rng.choice(["", "a", "b", "é"]))}
        fields: dict[str, Value] = {}
        for name in rng.sample("fisb", rng.randrange(1, 5)):
            fields[name] = {
                "f": lambda: rng.choice([0.5, -1.25, 3.0, 1e21, rng.uniform(-9, 9)]),
                "i": lambda: rng.choice([0, 7, -3, 1 << 40, rng.randrange(-5, 5)]),
                "s": lambda: rng.choice(["", "x", "zz", "é"]),
                "b": lambda: rng.random() < 0.5,
            }[name]()
        points[time, json.dumps(sorted(tags.items()))] = (time, tags, fields)
    return list(points.values())


def some_request(rng: random.Random) -> dict[str, Any]:
    request: dict[str, Any] = {"measurement": "m"}
    if rng.random() < 0.7:
        start = rng.randrange(-60, 100)
        request["time_range"] = {"start": start, "end": start + rng.randrange(0, 150)}
        if rng.random() < 0.3:
            del request["time_range"][rng.choice(["start", "end"])]
    if rng.random() < 0.3:
        key = rng.choice(["host", "zone", "none"])
        request["tag_filters"] = [
            rng.choice(
                [
                    {"key": key, "value": rng.choice("ab")},
                    {"key": key, "op": "Ne", "value": "a"},
                    {"key": key, "op": "In", "values": ["a", "é"]},
                    {"key": key, "op": "NotIn", "values": ["a", ""]},
                    {"key": key, "op": "Regex", "value": "^[ab]"},
                    {"key": key, "op": "NotRegex", "value": "b"},
                    {"key": key, "op": "Exists"},
                    {"key": key, "op": "NotExists"},
                ]
            )
        ]
    if rng.random() < 0.3:
        op = rng.choice(["Eq", "Ne", "Lt", "Le", "Gt", "Ge"])
        request["field_filters"] = [
            rng.choice(
                [
                    {"field": "i", "op": op, "value": 0},
                    {"field": "f", "op": op, "value": 3},
                    {"field": "s", "value": "x"},
                ]
            )
        ]
    if rng.random() < 0.6:
        request["group_by"] = rng.sample(["host", "zone", "none"], rng.randrange(0, 3))
    for name, p in (("limit", 0.3), ("series_limit", 0.2)):
        if rng.random() < p:
            request[name] = rng.randrange(1, 6)
    if rng.random() < 0.2:
        request["offset"] = rng.randrange(0, 4)
    request["order"] = rng.choice(["asc", "desc"])
    if rng.random() < 0.3:
        if rng.random() < 0.7:
            request["fields"] = rng.sample(["f", "i", "s", "b", "host", "zone", "nope"], rng.randrange(1, 5))
        return request
    several = []
    for _ in range(rng.randrange(1, 4)):
        function = rng.choice(list(FUNCTIONS))
        several.append({"function": function, "field": rng.choice(FUNCTIONS[function] + "?"), "as": f"c{len(several)}"})
        if function == "percentile":
            several[-1]["percentile"] = rng.choice([0, 1, 50, 95, 99.9, 100])
    request["aggregations"] = several
    if rng.random() < 0.6:
        request["interval_nanos"] = rng.choice([1, 7, 10, 60, 1000])
        request["offset_nanos"] = rng.choice([0, 3, -4, 61])
        request["fill"] = rng.choice(["none", "null", "previous", "linear", 5, 2.5])
    return request


def keeps(request: dict[str, Any], row: Row) -> bool:
    time, tags, fields = row
    span = request.get("time_range", {})
    if not span.get("start", -math.inf) <= time < span.get("end", math.inf):
        return False
    for each in request.get("tag_filters", []):
        value = tags.get(each["key"], "")
        holds = {
            "Eq": lambda v=value, e=each: v == e["value"],
            "Ne": lambda v=value, e=each: v != e["value"],
            "In": lambda v=value, e=each: v in e["values"],
            "NotIn": lambda v=value, e=each: v not in e["values"],
            "Regex": lambda v=value: v[:1] in ("a", "b"),
            "NotRegex": lambda v=value: "b" not in v,
            "Exists": lambda v=value: v != "",
            "NotExists": lambda v=value: v == "",
        }[each.get("op", "Eq")]()
        if not holds:
            return False
    for each in request.get("field_filters", []):
        value = fields.get(each["field"])
        if value is None:
            return False
        constant: Any = each["value"]
        low, high = value < constant, value > constant  # type: ignore[operator]
        truth = {"Eq": not low and not high, "Ne": low or high, "Lt": low, "Le": not high, "Gt": high, "Ge": not low}
        if not truth[each.get("op", "Eq")]:
            return False
    return True


def mode(values: list[tuple[int, Any]]) -> Any:
    """InfluxDB's most frequent value of (time, value)s sorted by value and time."""
    counts = Counter(v for _, v in values)
    most = max(counts.values())
    rivals = [v for v in counts if counts[v] == most]
    if isinstance(rivals[0], bool):
        return 2 * counts[True] >= len(values)
    best = rivals[0]
    for rival in rivals[1:] if most > 1 else []:
        if min(t for t, v in values if v == rival) <= max(t for t, v in values if v == best):
            best = rival
    return best


def call(function: str, parameter: float, values: list[tuple[int, Any]]) -> tuple[int | None, Any]:
    """(time of the selected point, value) of a function over (time, value)s, at least one."""
    plain = [v for _, v in values]
    rank = lambda v: v.encode() if isinstance(v, str) else v  # noqa: E731
    if function in ("first", "last"):
        time = (min if function == "first" else max)(t for t, _ in values)
        return time, max((v for t, v in values if t == time), key=rank)
    if function in ("min", "max"):
        best = (min if function == "min" else max)(plain)
        return min(t for t, v in values if v == best), best
    if function == "percentile":
        at = math.floor(len(values) * parameter / 100 + 0.5) - 1
        ordered = sorted(values, key=lambda tv: (tv[1], tv[0]))
        return ordered[at] if 0 <= at < len(values) else (None, None)
    if function == "mode":
        return None, mode(sorted(values, key=lambda tv: (rank(tv[1]), tv[0])))
    results = {
        "count": lambda: len(plain),
        "sum": lambda: math.fsum(plain) if isinstance(plain[0], float) else sum(plain),
        "mean": lambda: math.fsum(plain) / len(plain),
        "spread": lambda: max(plain) - min(plain),
        "stddev": lambda: statistics.stdev(plain) if len(plain) > 1 else math.nan,
        "median": lambda: statistics.median([float(v) for v in plain]),
        "count_distinct": lambda: len(set(plain)),
    }
    return None, results[function]()


def filled(rows: list[list[Any]], request: dict[str, Any], types: list[str]) -> list[list[Any]]:
    """A group's bucket rows in time order, with the missing ones."""
    interval, fill = request["interval_nanos"], request["fill"]
    begin = lambda t: (t - request["offset_nanos"]) // interval * interval + request["offset_nanos"]  # noqa: E731
    span = request.get("time_range", {})
    start = begin(span["start"]) if "start" in span else rows[0][0]
    end = begin(span["end"] - 1) if "end" in span else rows[-1][0]
    held = {row[0]: row for row in rows}
    out = [list(held.get(t, [t] + [None] * len(types))) for t in range(start, end + 1, interval)]
    for column, (type, each) in enumerate(zip(types, request["aggregations"], strict=True), 1):
        known = [(row[0], row[column]) for row in out if row[column] is not None]
        for row in out:
            if row[column] is not None:
                continue
            before = [tv for tv in known if tv[0] < row[0]]
            after = [tv for tv in known if tv[0] > row[0]]
            if fill == "previous" and before:
                row[column] = before[-1][1]
            elif fill == "linear" and before and after and type in ("float", "int"):
                (t0, v0), (t1, v1) = before[-1], after[0]
                value = (v1 - v0) / (t1 - t0) * (row[0] - t0) + v0
                row[column] = value if type == "float" else int(value)
            elif not isinstance(fill, str) and type in ("float", "int"):
                row[column] = float(fill) if type == "float" else int(fill)
            elif fill == "null" and each["function"] in ("count", "count_distinct") and known:
                row[column] = 0
    return out


def result_type(function: str, field: str, present: set[str]) -> str:
    if function in ("count", "count_distinct"):
        return "int"
    return "float" if function in ("mean", "stddev", "median") or field not in present else TYPES[field]


def expected(points: list[Row], request: dict[str, Any]) -> list[tuple[dict[str, str], list[list[Any]]]]:
    keys = request.get("group_by", [])
    present = {f for row in points for f in row[2]}
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in points:
        if keeps(request, row):
            groups.setdefault(tuple(row[1].get(k, "") for k in keys), []).append(row)
    out = []
    for group in sorted(groups):
        rows = groups[group]
        if "aggregations" in request:
            cells: dict[int, list[Row]] = {}
            interval = request.get("interval_nanos")
            for row in rows:
                if any(each["field"] in row[2] for each in request["aggregations"]):
                    shift = request.get("offset_nanos", 0)
                    bucket = (row[0] - shift) // interval * interval + shift if interval else 0
                    cells.setdefault(bucket, []).append(row)
            table = []
            for bucket in sorted(cells):
                line: list[Any] = [bucket if interval else request.get("time_range", {}).get("start", 0)]
                there = False
                for each in request["aggregations"]:
                    values = [(t, f[each["field"]]) for t, _, f in cells[bucket] if each["field"] in f]
                    time, value = None, None
                    if values:
                        time, value = call(each["function"], each.get("percentile", 0), values)
                    if not interval and len(request["aggregations"]) == 1 and time is not None:
                        line[0] = time
                    line.append(value)
                    there |= bool(values) and (value is not None or each["function"] != "percentile")
                if there:
                    table.append(line)
            if table and interval and request["fill"] != "none":
                types = [result_type(each["function"], each["field"], present) for each in request["aggregations"]]
                table = filled(table, request, types)
        else:
            tag_keys = {k for row in points for k in row[1]}
            names = request.get("fields") or sorted([*present, *(k for k in tag_keys if k not in keys)])
            real = [n for n in names if n in present]
            table = [
                [t, *(f.get(n) if n in present else tags.get(n) for n in names)]
                for t, tags, f in rows
                if any(n in f for n in real)
            ]
            table.sort(key=lambda row: row[0])
        if table:
            out.append((dict(zip(keys, group, strict=True)), table))
    out = out[: request.get("series_limit", len(out))]
    sliced = []
    for tags, table in out:
        if request["order"] == "desc":
            table = table[::-1]
        at = request.get("offset", 0)
        table = table[at : at + request.get("limit", len(table))]
        if table:
            sliced.append((tags, table))
    return sliced


def same(one: Any, other: Any) -> bool:
    if isinstance(other, float) and math.isnan(other):
        # What is no number (a deviation of one value) is null in JSON.
        return one is None
    if isinstance(one, float) or isinstance(other, float):
        if one is None or other is None or isinstance(one, bool | str) or isinstance(other, bool | str):
            return False
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-5)
    return type(one) is type(other) and one == other


def tied(request: dict[str, Any]) -> bool:
    """Rows of several series at one time come in no promised order, so a limit may cut either of them."""
    return "aggregations" not in request


def filled_store(store: Store, database: str, points: list[Row], rng: random.Random) -> None:
    """Write `points` into a new database in two parts; an engine may have flushed the first one before the second."""
    store.create_database(database)
    cut = rng.randrange(len(points) + 1)
    for part in (points[:cut], points[cut:]):
        if part:
            store.write(database, None, [batch_of("m", [(tags, t, f) for t, tags, f in part])])
        if isinstance(store, Engine) and rng.random() < 0.5:
            store.flush()


@pytest.fixture(params=["model", "model in chunks", "engine"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param != "engine":
        yield ModelStore(4 if "chunks" in request.param else 1 << 30)
        return
    engine = Engine.open(
        OsFiles(), str(tmp_path), EngineSettings(min_free_space=0, wal_sync_interval=3600.0), SystemClock()
    )
    engine.recover_step()
    yield engine
    engine.close()


def test_the_executor_answers_as_the_definitions_say(store: Store) -> None:
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    points: list[Row] = []
    for case in range(CASES // 3 if isinstance(store, Engine) else CASES):
        if case % 20 == 0:
            points = some_points(rng)
            filled_store(store, f"d{case}", points, rng)
        request = {"db": f"d{case - case % 20}", **some_request(rng)}
        result = query.execute(store, jsonquery.parse(json.dumps(request).encode()))
        answer = json.loads(b"".join(encode_json(result)))
        got = [(series["tags"], series["values"]) for series in answer["series"]]
        wanted = expected(points, request)
        context = f"case {case}\n{json.dumps(request)}\n{points}\ngot    {got}\nwanted {wanted}"
        assert [tags for tags, _ in got] == [tags for tags, _ in wanted], context
        for (_, rows), (_, wanted_rows) in zip(got, wanted, strict=True):
            assert [row[0] for row in rows] == [row[0] for row in wanted_rows], context
            if tied(request):
                whole = {**request, "limit": 1 << 40, "offset": 0}
                pool = Counter(json.dumps(row) for _, table in expected(points, whole) for row in table)
                assert not Counter(json.dumps(normal(row)) for row in rows) - normal_counts(pool), context
                continue
            for row, wanted_row in zip(rows, wanted_rows, strict=True):
                assert len(row) == len(wanted_row), context
                assert all(same(normal(a), normal(b)) for a, b in zip(row, wanted_row, strict=True)), context


def normal(value: Any) -> Any:
    """A whole float comes back from JSON as an integer: compare both as floats."""
    if isinstance(value, list):
        return [normal(each) for each in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


def normal_counts(pool: Counter[str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for text, count in pool.items():
        counts[json.dumps(normal(json.loads(text)))] += count
    return counts
