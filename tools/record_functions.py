"""Ask an influxd 1.6.7 for the answers that tests hold the functions of `rusts.query` to, and store them.

Each file of ``tests/golden/influxql/functions`` has the points as line protocol, `inputs` (queries for plain rows
or aggregates, with their answers) and `cases` (a function over one of the inputs, with its answer or its error).
Usage: python tools/record_functions.py
"""

from __future__ import annotations

import json
import random
import sys
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools.peers import Server, running  # noqa: E402

FOLDER = ROOT / "tests" / "golden" / "influxql" / "functions"
SECOND = 1_000_000_000
RANGE = "time >= 980s AND time < 1320s"
KINDS = {"f": "float", "p": "float", "i": "integer", "u": "unsigned", "s": "string", "b": "boolean"}


@dataclass
class Input:
    """Where values come from: `query` has ``{}`` for what is selected, which here is `expression` of type `type`."""

    name: str
    query: str
    expression: str
    type: str
    descending: bool = False
    interval: int | None = None


@dataclass
class Case:
    """`function` over the values of `input`; `query` as in `Input`, None = the input's."""

    input: str
    function: str
    arguments: list[Any] = field(default_factory=list)
    units: list[str] = field(default_factory=list)
    query: str | None = None
    interval: int | None = None


def walks() -> Iterator[str]:
    """Four series of random steps, some of them at the same times."""
    rng = random.Random(7)
    for host, rows in (("a", 25), ("b", 14), ("c", 1), ("d", 2)):
        time = 1000 * SECOND
        for _ in range(rows):
            time += rng.choice([1, 2, 5, 30]) * SECOND + rng.choice([0, 0, 500_000_000, 1])
            f, i = rng.uniform(-5, 30), rng.randint(-40, 90)
            text, flag = rng.choice(["x", "y", "zz"]), rng.choice(["true", "false"])
            yield f'm,h={host} f={f!r},p={abs(f) + 1!r},i={i}i,u={abs(i)}i,s="{text}",b={flag} {time}'


def seasons() -> Iterator[str]:
    """Evenly spaced values: a trend, a season, noise, a gap, a constant, a line."""
    rng = random.Random(11)
    for host, rows, missing in (
        ("a", 24, set()),
        ("b", 31, {5, 6, 17}),
        ("c", 9, {0, 8}),
        ("d", 1, set()),
        ("e", 2, set()),
    ):
        for k in range(rows):
            if k in missing:
                continue
            wave = (10, 14, 9, 6)[k % 4] + 0.3 * k
            noise = rng.uniform(-0.5, 0.5)
            time = (1000 + k * 10) * SECOND
            yield f"w,h={host} f={wave + noise!r},p=5,i={round(wave * 10)}i,n={noise!r},l={k} {time}"


def lattice() -> Iterator[str]:
    """A point each second, of three hosts in turn: few different values in each field, but for `w`."""
    rng = random.Random(13)
    for k in range(60):
        i, f = rng.randint(-3, 3), rng.choice([-1.5, 0.0, 0.25, 2.0, 1e10])
        s, b = rng.choice(["", "a", "b", "ä", "B"]), rng.choice(["true", "false"])
        w, n = rng.uniform(-9, 9), rng.randint(0, 18)
        yield f'c,h={"abc"[k % 3]} i={i}i,f={f},s="{s}",b={b},w={w!r},n={n}i {(1000 + k) * SECOND}'


def inputs(fields: str = "fi") -> list[Input]:
    """Rows of the walks, grouped and not, either way, raw and as aggregates."""
    made = []
    for name in fields:
        value = f"{name}::unsigned" if name == "u" else name
        kind = KINDS[name]
        for order, down in (("", False), (" ORDER BY time DESC", True)):
            suffix = " desc" if down else ""
            made.append(Input(f"{name} by host{suffix}", f"SELECT {{}} FROM m GROUP BY h{order}", value, kind, down))
            made.append(Input(f"{name}{suffix}", f"SELECT {{}} FROM m{order}", value, kind, down))
            if name in "fi":
                for fill in ("none", "null", "previous", "0"):
                    tail = f"GROUP BY time(20s), h fill({fill}){order}"
                    title = f"max {name} filled {fill}{suffix}"
                    query = f"SELECT {{}} FROM m WHERE {RANGE} {tail}"
                    made.append(Input(title, query, f"max({name})", kind, down, 20 * SECOND))
                    # A transformation sees one bucket more than asked for.
                    more = "time >= 980s AND time < 1340s" if down else "time >= 960s AND time < 1320s"
                    query = f"SELECT {{}} FROM m WHERE {more} {tail}"
                    made.append(Input(f"{title} extended", query, f"max({name})", kind, down, 20 * SECOND))
    return made


def asked(source: Input, sources: list[Input]) -> str:
    """The query over `source`: without its further bucket, which a transformation adds by itself."""
    name = source.name.removesuffix(" extended")
    return next(each.query for each in sources if each.name == name)


def differences() -> tuple[list[str], list[Input], list[Case]]:
    """Neighbours and totals."""
    sources = inputs("fiusb")
    cases = []
    for source in sources:
        query = asked(source, sources)
        if not source.name.endswith("extended"):
            cases.append(Case(source.name, "cumulative_sum", query=query))
            if source.interval:
                continue
        for name in ("derivative", "non_negative_derivative", "elapsed"):
            cases.append(Case(source.name, name, query=query))
            cases.append(Case(source.name, name, [7 * SECOND], ["7s"], query))
        cases += [Case(source.name, name, query=query) for name in ("difference", "non_negative_difference")]
        cases += [Case(source.name, "moving_average", [width], query=query) for width in (2, 5, 100)]
    return list(walks()), sources, cases


def averages() -> tuple[list[str], list[Input], list[Case]]:
    """Technical analysis."""
    sources = inputs("fi")
    cases = []
    layered = ["exponential_moving_average", "double_exponential_moving_average", "triple_exponential_moving_average"]
    layered += ["triple_exponential_derivative", "relative_strength_index", "chande_momentum_oscillator"]
    for source in sources:
        if source.interval and not source.name.endswith("filled none extended"):
            continue
        query = asked(source, sources)
        for name in (*layered, "kaufmans_efficiency_ratio", "kaufmans_adaptive_moving_average"):
            for period in (1, 2, 10):
                # influxd 1.6.7 panics on a period of 1 there.
                if name == "chande_momentum_oscillator" and period == 1:
                    continue
                cases.append(Case(source.name, name, [period], query=query))
            cases.append(Case(source.name, name, [4, 1], query=query))
            if name in layered:
                for warmup in ("exponential", "simple"):
                    cases.append(Case(source.name, name, [5, -1, warmup], query=query))
                    cases.append(Case(source.name, name, [5, 1, warmup], query=query))
    return list(walks()), sources, cases


def integrals() -> tuple[list[str], list[Input], list[Case]]:
    """Areas, whole and per bucket."""
    sources = [source for source in inputs("fiusb") if "filled" not in source.name]
    cases = []
    for source in sources:
        # influxd 1.6.7 begins each bucket of an integer with a wrong value, and dates their sum backwards at the end
        # of time: only floats say what is meant.
        if source.type in ("integer", "unsigned") and source.descending:
            continue
        cases.append(Case(source.name, "integral"))
        cases.append(Case(source.name, "integral", [1_000_000], ["1ms"]))
        order = " ORDER BY time DESC" if source.descending else ""
        by = ", h" if "by host" in source.name else ""
        for seconds in (3, 7, 20, 500) if source.type == "float" else ():
            query = f"SELECT {{}} FROM m WHERE {RANGE} GROUP BY time({seconds}s){by} fill(none){order}"
            cases.append(Case(source.name, "integral", query=query, interval=seconds * SECOND))
    return list(walks()), sources, cases


def forecasts() -> tuple[list[str], list[Input], list[Case]]:
    """Holt-Winters."""
    sources = []
    for name in "fipnl":
        query = f"SELECT {{}} FROM w WHERE {RANGE} GROUP BY time(10s), h fill(none)"
        sources.append(Input(name, query, f"first({name})", "integer" if name == "i" else "float", False, 10 * SECOND))
    query = f"SELECT {{}} FROM w WHERE {RANGE} GROUP BY time(20s), h"
    sources.append(Input("mean of pairs", query, "mean(f)", "float", False, 20 * SECOND))
    sources.append(Input("descending", f"{query} ORDER BY time DESC", "mean(f)", "float", True, 20 * SECOND))
    cases = []
    for source in sources:
        for name in ("holt_winters", "holt_winters_with_fit"):
            for ahead, season in ((1, 0), (5, 1), (6, 2), (8, 4), (3, 5), (1, 30)):
                cases.append(Case(source.name, name, [ahead, season]))
    return list(walks())[:0] + list(seasons()), sources, cases


def aggregates() -> tuple[list[str], list[Input], list[Case]]:
    """Aggregates and selectors: per bucket of at most ten values, and, of values that differ, over all."""
    names = ["count", "sum", "mean", "median", "mode", "spread", "stddev", "min", "max", "first", "last", "distinct"]
    calls: list[tuple[str, list[Any]]] = [(name, []) for name in names]
    calls += [("percentile", [percent]) for percent in (0, 4.9, 5, 25, 50, 99.9, 100)]
    calls += [(name, [count]) for name in ("top", "bottom") for count in (1, 3, 50)]
    calls += [(name, ["h", count]) for name in ("top", "bottom") for count in (1, 2, 5)]
    return cellwise(calls)


def cellwise(calls: list[tuple[str, list[Any]]]) -> tuple[list[str], list[Input], list[Case]]:
    """`calls` over the lattice, by host and not, per bucket and not, either way."""
    sources, cases = [], []
    for name in ("i", "f", "s", "b", "w", "u"):
        value = "n::unsigned" if name == "u" else name
        kind = "float" if name == "w" else KINDS[name]
        for by, group in ((" by host", "h"), ("", "")):
            for suffix, order in (("", ""), (" desc", " ORDER BY time DESC")):
                title = f"{name}{by}{suffix}"
                tail = f" GROUP BY {group}" if group else ""
                sources.append(Input(title, f"SELECT {{}} FROM c{tail}{order}", value, kind, bool(suffix)))
                bucketed = f"SELECT {{}} FROM c WHERE {RANGE} GROUP BY time(10s){', h' * bool(by)} fill(none){order}"
                for function, arguments in calls:
                    texts = [str(each) for each in arguments]
                    if "h" in arguments and by:
                        continue
                    cases.append(Case(title, function, arguments, texts, bucketed, 10 * SECOND))
                    # influxd's order of equal values is only plain where it has few of them to sort.
                    if name == "w" or function not in ("mode", "percentile"):
                        cases.append(Case(title, function, arguments, texts))
    return list(lattice()), sources, cases


def record(server: Server, name: str, lines: list[str], sources: list[Input], cases: list[Case]) -> None:
    """Write the points, ask, and store what comes."""
    server.create_database(name)
    status, body = server.request("POST", f"/write?db={name}", "\n".join(lines).encode())
    if status != 204:
        raise RuntimeError(f"write answered {status}: {body!r}")
    by_name = {source.name: source for source in sources}
    answers: dict[str, Any] = {"influxd": "1.6.7", "lines": lines, "inputs": {}, "cases": []}
    for source in sources:
        query = source.query.format(source.expression)
        answers["inputs"][source.name] = {
            "query": query,
            "type": source.type,
            "descending": source.descending,
            "interval": source.interval,
            **ask(server, name, query),
        }
    for case in cases:
        source = by_name[case.input]
        texts = case.units or [f"'{each}'" if isinstance(each, str) else str(each) for each in case.arguments]
        call = f"{case.function}({', '.join([source.expression, *texts])})"
        query = (case.query or source.query).format(call)
        answers["cases"].append(
            {
                "query": query,
                "input": case.input,
                "function": case.function,
                "arguments": case.arguments,
                "interval": case.interval,
                **ask(server, name, query),
            }
        )
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / f"{name}.json").open("w") as file:
        file.write(json.dumps(answers, separators=(",", ":")).replace('{"query"', '\n{"query"') + "\n")


def ask(server: Server, database: str, query: str) -> dict[str, Any]:
    """The answer: its `series` (tags and rows) or its `error`."""
    target = "/query?" + urllib.parse.urlencode({"q": query, "db": database, "epoch": "ns"})
    result = json.loads(server.request("GET", target)[1])
    result = result.get("results", [result])[0]
    if "error" in result:
        return {"error": result["error"]}
    return {"series": [[each.get("tags", {}), each["values"]] for each in result.get("series", [])]}


def main() -> None:
    """Record every file."""
    with running("influxd") as server:
        for make in (differences, averages, integrals, forecasts, aggregates):
            record(server, make.__name__, *make())


if __name__ == "__main__":
    main()
