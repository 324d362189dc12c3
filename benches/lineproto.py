"""The line protocol parser on one core: MB/s and rows/s, as JSON.

    python benches/lineproto.py [--megabytes 100] [--runs 5]

Two inputs: rows of the Time Series Benchmark Suite's `cpu-only` use case in bodies of 5,000 rows, and the Telegraf
files of tests/data, repeated and parsed in slices as the server parses a large body. Beside them one call over 16
one-line bodies, as the server joins small requests. Times are CPU seconds of the one thread; the median run
is reported, and every run must have read all rows. The same rows through the pure build give the ratio that
compiling is worth.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from rusts import kernels  # noqa: E402
from rusts.lineprotocol import parse, parser, slices  # noqa: E402
from tools.tsbs import cpu_rows  # noqa: E402

SLICE = 2 << 20
WANT = {"tsbs": 500.0, "telegraf": 300.0}


def telegraf(megabytes: float) -> bytes:
    """The Telegraf files whose lines are line protocol, one after another, again and again."""
    files = sorted((ROOT / "tests/data/telegraf").glob("*.lp"))
    once = b"".join(f.read_bytes().rstrip(b"\n") + b"\n" for f in files if "smartctl_scan" not in f.name)
    return once * max(1, round(megabytes * 1e6 / len(once)))


def seconds(work: Callable[[], int], runs: int, rows: int) -> float:
    """The median CPU time of `runs` runs, each of which must read `rows` rows."""
    times = []
    for _ in range(runs):
        begin = time.thread_time()
        got = work()
        times.append(time.thread_time() - begin)
        assert got == rows, f"{got} rows read, want {rows}"
    return statistics.median(times)


def rate(bodies: Sequence[bytes], rows: int, runs: int) -> dict[str, Any]:
    """Parse every body, `runs` times over."""
    size = sum(map(len, bodies))
    taken = seconds(lambda: sum(parse(body).points for body in bodies), runs, rows)
    return {"mb": round(size / 1e6, 1), "rows": rows, "mb_s": round(size / taken / 1e6), "rows_s": round(rows / taken)}


def together(bodies: Sequence[bytes], calls: int) -> dict[str, Any]:
    """One call over all of `bodies`, `calls` times: microseconds a call."""
    buffer = b"".join(bodies)
    ends = [sum(map(len, bodies[: i + 1])) for i in range(len(bodies))]
    units = [1] * len(ends)

    def work() -> int:
        return sum(parse(buffer, ends=ends, units=units, now=units).points for _ in range(calls))

    return {"bodies": len(bodies), "us_a_call": round(seconds(work, 5, calls * len(bodies)) / calls * 1e6, 1)}


def cut(body: bytes) -> list[bytes]:
    """`body` in slices."""
    ends = slices(body, SLICE)
    return [body[begin:end] for begin, end in zip([0, *ends[:-1]], ends, strict=True)]


def main() -> int:
    """Measure, print, and say by the exit code whether the budgets hold."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--megabytes", type=float, default=100)
    options.add_argument("--runs", type=int, default=5)
    chosen = options.parse_args()
    assert kernels.compiled("lineproto"), "this bench times the compiled kernel: build it first"

    steps = max(50, round(chosen.megabytes * 1e6 / 34_000 / 50) * 50)
    tsbs = cpu_rows(hosts=100, steps=steps, seed=1)
    bodies = list(tsbs.bodies(5_000))
    corpus = telegraf(chosen.megabytes)
    corpus_rows = sum(parse(piece).points for piece in cut(corpus))
    begin = time.thread_time()
    pieces = cut(corpus)
    cutting = time.thread_time() - begin
    lines = bodies[0].splitlines(keepends=True)
    report: dict[str, Any] = {
        "kernel": "compiled",
        "tsbs": rate(bodies, tsbs.rows, chosen.runs),
        "telegraf": rate(pieces, corpus_rows, chosen.runs),
        "telegraf_cut_mb_s": round(len(corpus) / cutting / 1e6),
        "16_lines_of_10_tags_10_fields": together(lines[:16], 2_000),
        "16_lines_of_1_tag_1_field": together([f"m,t={i} v={i}.5 {i}\n".encode() for i in range(16)], 2_000),
    }
    with patch.object(parser, "lineproto", kernels.pure("lineproto")):
        report["pure"] = {"tsbs": rate([b"".join(lines[:500])], 500, 1)}
    report["times_pure"] = round(report["tsbs"]["mb_s"] / report["pure"]["tsbs"]["mb_s"])
    report["budget_mb_s"] = WANT
    report["reached"] = all(report[name]["mb_s"] >= want for name, want in WANT.items())
    print(json.dumps(report, indent=2))
    return 0 if report["reached"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
