"""Columns as JSON rows: `kernels.numtext` beside orjson, which needs the columns as Python lists first.

Prints one JSON object: per kind of value the nanoseconds a cell and the ratio to orjson in the same run. The rows
are 43,200 of a time and ten values, as a day of one host at 2 s intervals. Both outputs are read back and compared.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from rusts.kernels import compiled, numtext

ROWS, VALUES, STEP, RUNS = 43_200, 10, 9_000, 5


def ours(columns: list[numtext.Cells]) -> bytes:
    """All rows, a step at a time as the encoder writes them."""
    before = [b"[", *[b","] * (len(columns) - 1)]
    parts = [
        numtext.rows(columns, before, b"],", False, start, min(ROWS, start + STEP))[0] for start in range(0, ROWS, STEP)
    ]
    return b"[" + b"".join(parts)[:-1] + b"]"


def peer(arrays: list[npt.NDArray[Any]]) -> bytes:
    """orjson over rows of Python values."""
    return orjson.dumps(list(zip(*(array.tolist() for array in arrays), strict=True)))


def timed(run: Callable[[], bytes]) -> tuple[float, bytes]:
    """Seconds and output of one run."""
    begin = time.perf_counter()
    out = run()
    return time.perf_counter() - begin, out


def main() -> None:
    """Measure each kind of value."""
    rng = np.random.default_rng(1)
    times = np.arange(ROWS, dtype=np.int64) * 2_000_000_000 + 1_451_606_400_000_000_000
    kinds: dict[str, Callable[[], npt.NDArray[Any]]] = {
        "means": lambda: rng.random(ROWS) * 100,
        "two decimals": lambda: np.round(rng.random(ROWS) * 100, 2),
        "whole floats": lambda: np.floor(rng.random(ROWS) * 100),
        "integers": lambda: rng.integers(0, 100, ROWS),
    }
    report: dict[str, Any] = {"bench": "numtext", "build": "compiled" if compiled("numtext") else "pure", "kinds": {}}
    for name, make in kinds.items():
        arrays = [times, *(make() for _ in range(VALUES))]
        columns: list[numtext.Cells] = [
            (numtext.FLOAT if array.dtype == np.float64 else numtext.INTEGER, array, None, None) for array in arrays
        ]
        seconds, peers = [], []
        for _ in range(RUNS):
            took, text = timed(lambda columns=columns: ours(columns))  # type: ignore[misc]
            seconds.append(took)
            took, other = timed(lambda arrays=arrays: peer(arrays))  # type: ignore[misc]
            peers.append(took)
        if orjson.loads(text) != orjson.loads(other):
            raise SystemExit(f"{name}: the outputs differ")
        median = statistics.median(seconds)
        report["kinds"][name] = {
            "ms": round(median * 1e3, 2),
            "ns_per_cell": round(median / (ROWS * (VALUES + 1)) * 1e9, 1),
            "mb_per_s": round(len(text) / median / 1e6),
            "times_orjson": round(statistics.median(peers) / median, 2),
        }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
