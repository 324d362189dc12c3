"""The series index and the catalog beside plain Python dicts of the same keys: speed and memory.

Prints one JSON object. A million series of ten, a hundred and a thousand tag values, in batches of 5,000; then lookups
of TSBS-like keys, tag columns, predicates, and a restart from meta.sqlite. The dict's numbers must equal the index's.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rusts.catalog.catalog import META, Catalog
from rusts.files import OsFiles
from rusts.index.series import UNKNOWN, SeriesIndex
from rusts.kernels import compiled
from rusts.model.predicate import TagIn, TagRegex
from rusts.model.series import KeyTable, encode_key

SERIES, BATCH, RUNS = 1_000_000, 5_000, 5


def rss_anon() -> int:
    """Bytes of anonymous memory of this process."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024
    return 0


def timed(work: Callable[[], object], times: int = 1) -> float:
    """Median seconds of one call of `work` over `RUNS` runs of `times` calls."""
    seconds = []
    for _ in range(RUNS):
        begin = time.perf_counter()
        for _ in range(times):
            work()
        seconds.append((time.perf_counter() - begin) / times)
    return statistics.median(seconds)


def million() -> list[KeyTable]:
    """Keys of all series, a batch at a time."""
    return [
        KeyTable.of(
            [
                encode_key("m", {"a": f"a{i // 100_000}", "b": f"b{i // 1_000 % 100}", "c": f"c{i % 1_000}"})
                for i in range(begin, begin + BATCH)
            ]
        )
        for begin in range(0, SERIES, BATCH)
    ]


def add_all(index: SeriesIndex, tables: list[KeyTable]) -> None:
    """Look each batch up and add what is unknown, as a write does."""
    for table in tables:
        index.add(table, np.flatnonzero(index.lookup(table) == UNKNOWN))


def dict_all(tables: list[KeyTable]) -> dict[bytes, int]:
    """The same with a dict of bytes."""
    numbers: dict[bytes, int] = {}
    for table in tables:
        data, ends = table.data.tobytes(), table.offsets.tolist()
        for i in range(len(table)):
            numbers.setdefault(data[ends[i] : ends[i + 1]], len(numbers))
    return numbers


def growth(tables: list[KeyTable]) -> dict[str, Any]:
    """New series: rate and memory."""
    before = rss_anon()
    begin = time.perf_counter()
    index = SeriesIndex("m")
    add_all(index, tables)
    ours = time.perf_counter() - begin
    memory = rss_anon() - before
    before = rss_anon()
    begin = time.perf_counter()
    numbers = dict_all(tables)
    theirs = time.perf_counter() - begin
    dict_memory = rss_anon() - before
    probe = tables[77]
    if index.lookup(probe).tolist() != [numbers[probe[i]] for i in range(BATCH)]:
        raise SystemExit("index and dict disagree")
    return {
        "new_series_per_s": round(SERIES / ours),
        "times_dict": round(theirs / ours, 2),
        "bytes_per_series": round(memory / SERIES, 1),
        "accounted_bytes_per_series": round(index.nbytes / SERIES, 1),
        "dict_bytes_per_series": round(dict_memory / SERIES, 1),
        "known_series_per_s": round(SERIES / timed(lambda: [index.lookup(t) for t in tables])),
        "tag_column_ms": round(timed(lambda: index.tag("b")) * 1e3, 3),
        "count_by_tag_ms": round(timed(lambda: np.bincount(index.tag("b").codes)) * 1e3, 3),
        "equality_us": round(timed(lambda: index.match(TagIn("b", ("b7",))), 10) * 1e6, 1),
        "inequality_us": round(timed(lambda: index.match(TagIn("b", ("b7",), negated=True)), 10) * 1e6, 1),
        "regex_ms": round(timed(lambda: index.match(TagRegex("c", "^c1"))) * 1e3, 3),
    }


def hot() -> dict[str, Any]:
    """Lookups of a request's known series."""
    names = ("arch", "datacenter", "os", "rack", "region", "service", "service_environment", "service_version", "team")
    tags = {name: f"value-of-{name}-xx" for name in names}
    table = KeyTable.of([encode_key("cpu", {**tags, "hostname": f"host_{i}"}) for i in range(100)])
    index = SeriesIndex("cpu")
    index.add(table, np.arange(100))
    one = KeyTable.of([table[50]])
    numbers = {table[i]: i for i in range(100)}
    data, ends = table.data.tobytes(), table.offsets.tolist()
    theirs = timed(lambda: [numbers[data[ends[i] : ends[i + 1]]] for i in range(100)], 500)
    ours = timed(lambda: index.lookup(table), 500)
    return {
        "key_bytes": len(table[0]),
        "lookup_100_us": round(ours * 1e6, 2),
        "times_dict": round(theirs / ours, 2),
        "lookup_1_us": round(timed(lambda: index.lookup(one), 2_000) * 1e6, 2),
        "equality_us": round(timed(lambda: index.match(TagIn("hostname", ("host_5",))), 500) * 1e6, 2),
        "regex_us": round(timed(lambda: index.match(TagRegex("hostname", "host_5")), 200) * 1e6, 2),
    }


def restart(tables: list[KeyTable]) -> dict[str, Any]:
    """One commit of all series, and the start that reads them back."""
    with tempfile.TemporaryDirectory() as directory:
        catalog = Catalog.open(OsFiles(), directory)
        measurement = catalog.add_measurement(catalog.database("default"), "m")
        add_all(measurement.index, tables)
        begin = time.perf_counter()
        catalog.commit(checkpoint=None, added=[], removed=[])
        commit = time.perf_counter() - begin
        empty = timed(lambda: catalog.commit(checkpoint=None, added=[], removed=[]), 20)
        catalog.close()
        size = Path(directory, META).stat().st_size
        begin = time.perf_counter()
        catalog = Catalog.open(OsFiles(), directory)
        start = time.perf_counter() - begin
        if len(catalog.database("default").measurements["m"].index) != SERIES:
            raise SystemExit("series are missing after the start")
        catalog.close()
    return {
        "commit_all_s": round(commit, 3),
        "disk_bytes_per_series": round(size / SERIES, 2),
        "open_s": round(start, 3),
        "commit_nothing_ms": round(empty * 1e3, 3),
    }


def main() -> None:
    """Measure and print."""
    tables = million()
    build = "compiled" if compiled("hashing") else "pure"
    report = {"bench": "index", "build": build, "million": growth(tables), "hot": hot(), "restart": restart(tables)}
    print(json.dumps(report))


if __name__ == "__main__":
    main()
