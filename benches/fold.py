"""The read path alone: folds and scans over segments on disk, warm, one thread.

A day of 100 hosts with 10 integer fields every 10 seconds in 12 segments of 2 hours (864,000 rows), and a
million series of one row. Every answer is checked before it is timed. Prints JSON: milliseconds, the best and the
median of a number of runs, and beside the hourly mean what plain numpy takes over the same values in one array.

    python benches/fold.py [--runs 20] [--directory DIR]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rusts.catalog.schema import FieldMeta, Measurement, SegmentEntry
from rusts.engine.fold import fold
from rusts.engine.scan import scan
from rusts.engine.view import ReadView
from rusts.files import OsFiles
from rusts.kernels import summary
from rusts.model.batch import Column, SeriesRows
from rusts.model.partial import State, StateKind
from rusts.model.predicate import CompareOp, FieldCompare, Predicate, TagIn
from rusts.model.series import KeyTable, encode_key
from rusts.model.store import FoldRequest, FoldResult, ScanRequest, TimeRange, Window
from rusts.model.time import MAX_TIME, MIN_TIME, NANOSECONDS
from rusts.model.types import FieldType, Stamp
from rusts.segment.cache import ColumnCache
from rusts.segment.layout import SectionInput, SegmentHeader, Tier
from rusts.segment.reader import SegmentReader
from rusts.segment.writer import write_segment

HOSTS = 100
STEP = 10 * NANOSECONDS["s"]
HOUR = NANOSECONDS["h"]
ROWS_PER_HOST = 720
SEGMENTS = 12
START = 1_451_606_400 * NANOSECONDS["s"]
FIELDS = (
    "usage_user", "usage_system", "usage_idle", "usage_nice", "usage_iowait",
    "usage_irq", "usage_softirq", "usage_steal", "usage_guest", "usage_guest_nice",
)  # fmt: skip
MANY = 1_000_000
EVERYTHING = TimeRange(MIN_TIME, MAX_TIME + 1)


@dataclass
class Pinned:
    """A segment of the bench's own directory."""

    entry: SegmentEntry
    opened: SegmentReader

    def reader(self) -> SegmentReader:
        """The reader, always open."""
        return self.opened


def build(directory: str, measurement: Measurement, parts: list[SeriesRows], cache: ColumnCache) -> ReadView:
    """Write each of `parts` as a segment and open them all."""
    files = OsFiles()
    pinned: list[Any] = []
    fields = [(f.id, f.name, f.type) for f in measurement.fields.values()]
    for number, rows in enumerate(parts, measurement.id * 1000):
        stamp = Stamp(number)
        header = SegmentHeader(number, 1, "bench", 1, "autogen", Tier.HOT, 0, 2 * HOUR, (), stamp, stamp)
        path = f"{directory}/{number}.seg"
        section = SectionInput(measurement.id, measurement.name, fields, [rows], measurement.index.keys)
        made = write_segment(files, path, header, [section])
        entry = SegmentEntry(
            number, f"{number}.seg", 1, 1, made.min_time, made.max_time, stamp, stamp, made.rows, made.bytes, 1, 0, 0
        )
        pinned.append(Pinned(entry, SegmentReader.open(files, path, cache)))
    return ReadView(measurement, pinned, [], lambda entry, error: None)


def cpu(directory: str, cache: ColumnCache) -> tuple[ReadView, npt.NDArray[np.int64]]:
    """A day of 100 hosts, and the values as int64[fields, segments, hosts, rows]."""
    measurement = Measurement(1, "cpu", 1)
    measurement.fields = {n: FieldMeta(10 + i, n, FieldType.INTEGER) for i, n in enumerate(FIELDS)}
    keys = KeyTable.of([encode_key("cpu", {"hostname": f"host_{i}", "region": f"r{i % 9}"}) for i in range(HOSTS)])
    measurement.index.add(keys, np.arange(HOSTS))
    values = np.random.default_rng(1).integers(0, 101, (len(FIELDS), SEGMENTS, HOSTS, ROWS_PER_HOST))
    parts = [
        SeriesRows(
            np.arange(HOSTS, dtype=np.uint32),
            np.arange(HOSTS + 1, dtype=np.int64) * ROWS_PER_HOST,
            np.tile(START + (s * ROWS_PER_HOST + np.arange(ROWS_PER_HOST)) * STEP, HOSTS),
            {10 + f: Column(FieldType.INTEGER, values[f, s].ravel()) for f in range(len(FIELDS))},
        )
        for s in range(SEGMENTS)
    ]
    return build(directory, measurement, parts, cache), values


def many(directory: str, cache: ColumnCache) -> ReadView:
    """A million series of one row each, in two segments, with one tag of 10 values."""
    measurement = Measurement(2, "many", 1)
    measurement.fields = {"value": FieldMeta(30, "value", FieldType.FLOAT)}
    keys = [encode_key("many", {"a": str(i % 10), "b": str(i % 100), "c": str(i)}) for i in range(MANY)]
    measurement.index.add(KeyTable.of(keys), np.arange(MANY))
    half = MANY // 2
    parts = [
        SeriesRows(
            np.arange(first, first + half, dtype=np.uint32),
            np.arange(half + 1, dtype=np.int64),
            START + np.arange(half) % 1000,
            {30: Column(FieldType.FLOAT, np.arange(first, first + half, dtype=np.float64))},
        )
        for first in (0, half)
    ]
    return build(directory, measurement, parts, cache)


def request(
    measurement: str,
    kind: StateKind,
    fields: tuple[str, ...],
    range: TimeRange,
    group_by: tuple[str, ...] | None = (),
    predicate: Predicate | None = None,
    window: Window | None = None,
) -> FoldRequest:
    """A fold of one kind of state; a mean is a SUM, whose count comes with it."""
    states = tuple(State(kind, name) for name in fields)
    return FoldRequest("bench", None, measurement, range, states, predicate, group_by, window)


def timed(work: Callable[[], Any], runs: int) -> dict[str, float]:
    """Best and median milliseconds."""
    work()
    seconds = []
    for _ in range(runs):
        begin = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begin)
    return {"best_ms": round(min(seconds) * 1e3, 3), "median_ms": round(statistics.median(seconds) * 1e3, 3)}


def sums(result: FoldResult, name: str) -> npt.NDArray[np.int64]:
    """The sums of a field, cell by cell."""
    values: npt.NDArray[np.int64] = result.states[State(StateKind.SUM, name)].value
    return values


def measure(runs: int, directory: str) -> dict[str, Any]:
    """Build, check and time everything."""
    cache = ColumnCache(1 << 30)
    view, values = cpu(directory, cache)
    day = TimeRange(START, START + 24 * HOUR)
    hourly = Window(HOUR)
    one_host = TagIn("hostname", ("host_7",))
    one_hour = TimeRange(START + HOUR, START + 2 * HOUR)
    eight = tuple(f"host_{i}" for i in range(8))
    folds = {
        "single-groupby-1-1-1": request(
            "cpu", StateKind.MAX, FIELDS[:1], one_hour, (), one_host, Window(NANOSECONDS["m"])
        ),
        "one_sum_1_host_1_hour": request("cpu", StateKind.SUM, FIELDS[:1], one_hour, (), one_host),
        "double-groupby-1": request("cpu", StateKind.SUM, FIELDS[:1], day, ("hostname",), None, hourly),
        "double-groupby-5": request("cpu", StateKind.SUM, FIELDS[:5], day, ("hostname",), None, hourly),
        "cpu-max-all-8": request(
            "cpu", StateKind.MAX, FIELDS, TimeRange(START, START + 8 * HOUR), (), TagIn("hostname", eight), hourly
        ),
        "lastpoint": request("cpu", StateKind.LAST, FIELDS, EVERYTHING, ("hostname",)),
        "count_of_a_day": request("cpu", StateKind.COUNT, FIELDS[:1], day),
        "sum_of_a_day_from_statistics": request("cpu", StateKind.SUM, FIELDS[:1], day),
        "deviation_of_a_day": request("cpu", StateKind.MOMENTS, FIELDS[:1], day),
    }
    by_hour = values[0].reshape(SEGMENTS, HOSTS, 2, 360).sum(axis=3).transpose(1, 0, 2).reshape(HOSTS, -1)
    result = fold(view, folds["double-groupby-1"])
    names = [result.tags[0].values[code] for code in result.tags[0].codes.tolist()]
    wanted = by_hour[[int(name.removeprefix("host_")) for name in names]]
    assert (sums(result, FIELDS[0]).reshape(HOSTS, 24) == wanted).all()
    result = fold(view, folds["one_sum_1_host_1_hour"])
    assert sums(result, FIELDS[0]).tolist() == [by_hour[7, 1]]
    result = fold(view, folds["sum_of_a_day_from_statistics"])
    assert sums(result, FIELDS[0]).tolist() == [values[0].sum()]
    assert result.stats.from_statistics == SEGMENTS * HOSTS
    last = fold(view, folds["lastpoint"]).states[State(StateKind.LAST, FIELDS[3])]
    assert sorted(last.value.tolist()) == sorted(values[3, -1, :, -1].tolist())
    figures: dict[str, Any] = {name: timed(lambda r=r: fold(view, r), runs) for name, r in folds.items()}

    high = ScanRequest(
        "bench", None, "cpu", TimeRange(START, START + 12 * HOUR), FieldCompare(FIELDS[0], CompareOp.GT, 90)
    )
    assert sum(len(chunk) for chunk in scan(view, high)) == (values[0, :6] > 90).sum()
    figures["high-cpu-all"] = timed(lambda: [len(chunk) for chunk in scan(view, high)], runs)
    newest = ScanRequest("bench", None, "cpu", day, descending=True)
    figures["newest_chunk_of_a_day"] = timed(lambda: next(iter(scan(view, newest))), runs)

    million = many(directory, cache)
    grouped = request("many", StateKind.COUNT, ("value",), EVERYTHING, ("a",))
    counts = fold(million, grouped).states[State(StateKind.COUNT, "value")].count
    assert counts.tolist() == [MANY // 10] * 10
    figures["count_of_a_million_series_by_tag"] = timed(lambda: fold(million, grouped), runs)
    added = request("many", StateKind.SUM, ("value",), EVERYTHING, ("a",))
    figures["sum_of_a_million_series_by_tag"] = timed(lambda: fold(million, added), runs)
    latest = request("many", StateKind.LAST, ("value",), EVERYTHING, None)
    figures["last_of_a_million_series"] = timed(lambda: fold(million, latest), max(3, runs // 4))

    flat, starts = values[0].ravel(), np.arange(0, values[0].size, 360)
    figures["numpy_hourly_sum"] = timed(lambda: np.add.reduceat(flat, starts), runs)
    ratio = figures["double-groupby-1"]["median_ms"] / figures["numpy_hourly_sum"]["median_ms"]
    return {"bench": "fold", "kernels": summary(), "rows": int(values[0].size), "figures": figures,
            "double-groupby-1_over_numpy": round(ratio, 2)}  # fmt: skip


def main() -> None:
    """Run the bench as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--directory")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
        print(json.dumps(measure(arguments.runs, directory), indent=2))


if __name__ == "__main__":
    main()
