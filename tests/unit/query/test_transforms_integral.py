"""integral: against influxd 1.6.7, and where that is wrong."""

from __future__ import annotations

import numpy as np

from rusts.model.batch import Column
from rusts.model.store import Window
from rusts.model.types import FieldType
from rusts.query.transforms.base import Runs, Setting
from rusts.query.transforms.integral import INTEGRAL
from tests.support.function_goldens import agrees, bounds_of, goldens, rows_of

CASES = goldens("integrals")


def test_as_influxd() -> None:
    assert len(CASES) > 30
    for case in CASES:
        assert agrees(case), case.query


def test_buckets_of_integers_are_those_of_floats() -> None:
    source = next(case.source for case in CASES if case.source.type is FieldType.INTEGER)
    runs = source.runs()
    floats = Runs(runs.starts, runs.times, Column(FieldType.FLOAT, runs.values.astype(np.float64)))
    for interval in (3, 7, 60):
        setting = Setting(interval=interval * 10**9, bounds=bounds_of(Window(interval * 10**9)))
        assert rows_of(source, INTEGRAL.compute(runs, (), setting)) == rows_of(
            source, INTEGRAL.compute(floats, (), setting)
        )


def test_the_buckets_add_up_to_the_whole() -> None:
    rng = np.random.default_rng(3)
    times = np.sort(rng.choice(10_000, 500, replace=False)) * 10**8 + 1
    runs = Runs(np.array([0, 200, 200, 500]), times, Column(FieldType.FLOAT, rng.normal(size=500)))
    whole = INTEGRAL.compute(runs, (), Setting())
    assert whole.starts.tolist() == [0, 1, 1, 2]
    assert whole.times.tolist() == [0, 0]
    for interval in (1, 9, 77, 5000):
        made = INTEGRAL.compute(
            runs, (), Setting(interval=interval * 10**9, bounds=bounds_of(Window(interval * 10**9)))
        )
        sums = [made.column.values[made.starts[g] : made.starts[g + 1]].sum() for g in (0, 2)]
        assert np.allclose(sums, whole.column.values, rtol=1e-9)
