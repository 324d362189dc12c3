"""The exponential family, Kaufman's averages and the oscillators: against influxd 1.6.7, and at their edges."""

from __future__ import annotations

import numpy as np
import pytest

from rusts.model.batch import Column
from rusts.model.types import FieldType
from rusts.query.transforms import TRANSFORMS
from rusts.query.transforms.averages import AVERAGES, WARMUPS
from rusts.query.transforms.base import Parameter, Runs, Setting
from tests.support.function_goldens import agrees, goldens

CASES = goldens("averages")
NAMES = [each.name for each in AVERAGES]


@pytest.mark.parametrize("function", NAMES)
def test_as_influxd(function: str) -> None:
    cases = [case for case in CASES if case.function == function]
    assert len(cases) > 30
    for case in cases:
        assert agrees(case), case.query


def over(function: str, values: list[float], *arguments: float) -> list[float]:
    starts = np.array([0, len(values)])
    runs = Runs(starts, np.arange(len(values)), Column(FieldType.FLOAT, np.array(values)))
    made = TRANSFORMS[function].compute(runs, arguments, Setting())
    return made.column.values.tolist()  # type: ignore[no-any-return]


@pytest.mark.parametrize("function", NAMES)
@pytest.mark.parametrize("period", [5, 1 << 40, 10**30])
def test_a_period_longer_than_the_group_gives_nothing(function: str, period: int) -> None:
    assert over(function, [1.0, 2.0, 3.0, 4.0], period) == []
    assert len(over(function, [1.0, 2.0, 3.0, 4.0], period, 0)) == 4


@pytest.mark.parametrize("function", NAMES)
def test_a_constant(function: str) -> None:
    made = over(function, [0.0] * 8, 2)
    if function in ("triple_exponential_derivative", "relative_strength_index"):
        assert np.isnan(made).all()
    else:
        assert set(made) == {0.0}


def test_an_oscillator_over_one_change() -> None:
    # influxd 1.6.7 panics here.
    assert over("chande_momentum_oscillator", [1.0, 3.0, 2.0, 2.0], 1) == [0.0, 100.0, -100.0, 0.0]


def test_a_step_from_or_to_what_is_no_number_is_neither_a_rise_nor_a_fall() -> None:
    plain = over("relative_strength_index", [1.0, 3.0, 2.0, 2.0, 2.0], 2)
    assert over("relative_strength_index", [1.0, 3.0, 2.0, float("nan"), 5.0], 2) == plain


def test_warm_ups() -> None:
    assert [WARMUPS.index(each) for each in ("exponential", "simple", "none")] == [0, 1, 2]
    values = [1.0, 2.0, 6.0, 7.0]
    assert over("exponential_moving_average", values, 3, -1, 1) == [3.0, 5.0]
    assert over("exponential_moving_average", values, 3, 0, 1) == [1.0, 1.5, 3.0, 5.0]
    with_warmup = [each.name for each in AVERAGES if Parameter.WARMUP in each.parameters]
    assert len(with_warmup) == 6
