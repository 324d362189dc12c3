"""Forecasts: against influxd 1.6.7, and how a search ends."""

from __future__ import annotations

import numpy as np
import pytest

from rusts.errors import QueryCancelled
from rusts.kernels import compiled
from rusts.model.batch import Column
from rusts.model.time import MAX_TIME
from rusts.model.types import FieldType
from rusts.query.transforms import TRANSFORMS
from rusts.query.transforms.base import Runs, Setting
from tests.support.function_goldens import agrees, goldens

# Uncompiled, each takes seconds.
CASES = goldens("forecasts") if compiled("smoothing") else goldens("forecasts")[:1]
HOLT_WINTERS = TRANSFORMS["holt_winters"]


def test_as_influxd() -> None:
    for case in CASES:
        assert agrees(case), case.query


def runs_of(values: list[float], step: int, start: int = 0) -> Runs:
    times = start + step * np.arange(len(values), dtype=np.int64)
    return Runs(np.array([0, len(values)]), times, Column(FieldType.FLOAT, np.array(values)))


def test_too_few_values_give_nothing() -> None:
    for count, season, rows in ((1, 0, 0), (2, 0, 3), (3, 4, 0), (4, 4, 3)):
        made = HOLT_WINTERS.compute(runs_of([1.0, 2.0, 3.0, 4.0][:count], 10), (3, season), Setting(interval=10))
        assert len(made) == rows


def test_a_forecast_ends_with_time() -> None:
    setting = Setting(interval=10)
    made = HOLT_WINTERS.compute(runs_of([1.0, 2.0], 10, MAX_TIME - 35), (30, 0), setting)
    assert made.times.tolist() == [MAX_TIME - 15, MAX_TIME - 5]


def test_a_search_can_be_ended() -> None:
    asked = []

    def check(rows: int) -> None:
        asked.append(rows)
        if len(asked) > 3:
            raise QueryCancelled("enough")

    with pytest.raises(QueryCancelled):
        HOLT_WINTERS.compute(runs_of([1.0, 2.0, 4.0], 10), (1_000_000, 0), Setting(interval=10, check=check))
    assert asked[:2] == [1_000_000, 2]


def test_a_gap_is_asked_for_before_it_is_made() -> None:
    def check(rows: int) -> None:
        if rows > 10**9:
            raise QueryCancelled("too much")

    runs = Runs(np.array([0, 2]), np.array([0, 10**18]), Column(FieldType.FLOAT, np.array([1.0, 2.0])))
    with pytest.raises(QueryCancelled):
        HOLT_WINTERS.compute(runs, (1, 0), Setting(interval=1, check=check))


def test_zeros_divide_nothing_by_nothing() -> None:
    made = HOLT_WINTERS.compute(runs_of([0.0] * 6, 10), (2, 2), Setting(interval=10))
    assert not np.isnan(made.column.values).any()
