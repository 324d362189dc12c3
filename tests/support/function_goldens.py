"""Answers of influxd 1.6.7 to single functions, stored by tools/record_functions.py."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rusts.model.store import Window
from rusts.model.types import FieldType
from rusts.query.transforms import TRANSFORMS
from rusts.query.transforms.averages import WARMUPS
from rusts.query.transforms.base import Runs, Setting
from tests.support.model_store import column_of, python_values

FOLDER = Path(__file__).resolve().parents[1] / "golden" / "influxql" / "functions"

Rows = list[list[Any]]


@dataclass(frozen=True)
class Source:
    """Rows that functions were asked over: a list of ``[time, value]`` for each group."""

    type: FieldType
    descending: bool
    interval: int | None
    groups: dict[str, Rows]

    def runs(self) -> Runs:
        """The values that are not null."""
        rows = [[row for row in group if row[1] is not None] for group in self.groups.values()]
        starts = np.cumsum([0, *map(len, rows)])
        times = np.array([row[0] for group in rows for row in group], dtype=np.int64)
        return Runs(starts, times, column_of(self.type, [typed(self.type, row[1]) for group in rows for row in group]))


@dataclass(frozen=True)
class Golden:
    """One function over one source: its rows for each group, or why it was refused."""

    query: str
    source: Source
    function: str
    arguments: list[Any]
    interval: int | None
    groups: dict[str, Rows]
    error: str | None


def goldens(name: str) -> list[Golden]:
    """All cases of the file `name`."""
    stored = json.loads((FOLDER / f"{name}.json").read_text())
    sources = {
        key: Source(FieldType[each["type"].upper()], each["descending"], each["interval"], _groups(each))
        for key, each in stored["inputs"].items()
    }
    return [
        Golden(
            each["query"],
            sources[each["input"]],
            each["function"],
            each["arguments"],
            each["interval"],
            _groups(each),
            each.get("error"),
        )
        for each in stored["cases"]
    ]


def _groups(answer: dict[str, Any]) -> dict[str, Rows]:
    """The series by their tags. influxd may give one of them in pieces (integral does)."""
    groups: dict[str, Rows] = {}
    for tags, rows in answer.get("series", []):
        groups.setdefault(",".join(f"{k}={v}" for k, v in tags.items()), []).extend(rows)
    return groups


def typed(type: FieldType, value: Any) -> Any:
    """A value of JSON as one of the type: JSON says 5 for 5.0."""
    return float(value) if type is FieldType.FLOAT else value


def rows_of(source: Source, runs: Runs) -> dict[str, Rows]:
    """Runs as the groups of the source, those without rows left out; NaN is null."""
    values: npt.NDArray[Any] | list[Any] = python_values(runs.column)
    groups = {}
    for at, name in enumerate(source.groups):
        lo, hi = int(runs.starts[at]), int(runs.starts[at + 1])
        rows = [
            [time, None if value != value else value]
            for time, value in zip(runs.times[lo:hi].tolist(), values[lo:hi], strict=True)
        ]
        if rows:
            groups[name] = rows
    return groups


def bounds_of(window: Window) -> Callable[[npt.NDArray[np.int64]], tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Begin and end of the buckets of times, as a `Setting` wants them."""

    def bounds(times: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        begins = times - (times - window.offset) % window.interval
        return begins, begins + window.interval

    return bounds


def agrees(golden: Golden) -> bool:
    """Whether the transformation gives what influxd gave, floats to 1e-9 of their size."""
    function = TRANSFORMS[golden.function]
    refusal = function.refusal(golden.source.type)
    if refusal is not None or golden.error is not None:
        return refusal == golden.error
    arguments = tuple(WARMUPS.index(each) if isinstance(each, str) else each for each in golden.arguments)
    bounds = bounds_of(Window(golden.interval)) if golden.interval else None
    setting = Setting(golden.source.descending, golden.source.interval or golden.interval, bounds)
    got = rows_of(golden.source, function.compute(golden.source.runs(), arguments, setting))
    if got.keys() != golden.groups.keys():
        return False
    return all(_close(got[name], rows) for name, rows in golden.groups.items())


def _close(got: Rows, want: Rows) -> bool:
    if [row[0] for row in got] != [row[0] for row in want]:
        return False
    return all(
        a == b or (isinstance(a, float) and b is not None and math.isclose(a, b, rel_tol=1e-9))
        for (_, a), (_, b) in zip(got, want, strict=True)
    )
