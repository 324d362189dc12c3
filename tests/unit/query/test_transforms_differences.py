"""derivative, difference, elapsed, cumulative_sum, moving_average: against influxd 1.6.7, and at their edges."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rusts.model.types import FieldType
from rusts.query.transforms import TRANSFORMS
from rusts.query.transforms.base import Runs, Setting
from rusts.query.transforms.differences import DIFFERENCES
from tests.support.function_goldens import agrees, goldens
from tests.support.model_store import column_of, python_values

CASES = goldens("differences")
INTEGER, UNSIGNED, FLOAT = FieldType.INTEGER, FieldType.UNSIGNED, FieldType.FLOAT
TOP, LOW = (1 << 63) - 1, -(1 << 63)


@pytest.mark.parametrize("function", [each.name for each in DIFFERENCES])
def test_as_influxd(function: str) -> None:
    cases = [case for case in CASES if case.function == function]
    assert len(cases) > 30
    for case in cases:
        assert agrees(case), case.query


def over(
    function: str,
    type: FieldType,
    groups: list[list[tuple[int, Any]]],
    *arguments: float,
    setting: Setting | None = None,
) -> list[list[tuple[int, Any]]]:
    """The function over groups of (time, value)s."""
    starts = np.cumsum([0, *map(len, groups)])
    times = np.array([time for group in groups for time, _ in group], dtype=np.int64)
    runs = Runs(starts, times, column_of(type, [value for group in groups for _, value in group]))
    made = TRANSFORMS[function].compute(runs, arguments, setting or Setting())
    assert made.column.type is TRANSFORMS[function].result_type(type)
    assert made.column.validity is None
    rows = list(zip(made.times.tolist(), python_values(made.column), strict=True))
    return [rows[start:stop] for start, stop in zip(made.starts[:-1], made.starts[1:], strict=True)]


@pytest.mark.parametrize("function", sorted(TRANSFORMS))
def test_nothing_of_nothing(function: str) -> None:
    assert over(function, FLOAT, [], 2, 2) == []
    assert over(function, FLOAT, [[], []], 2, 2) == [[], []]


def test_groups_do_not_touch() -> None:
    groups = [[(1, 5.0), (2, 7.0)], [], [(1, 100.0)], [(3, 1.0), (4, 0.0), (5, 6.0)]]
    assert over("difference", FLOAT, groups) == [[(2, 2.0)], [], [], [(4, -1.0), (5, 6.0)]]
    assert over("non_negative_difference", FLOAT, groups) == [[(2, 2.0)], [], [], [(5, 6.0)]]
    assert over("moving_average", FLOAT, groups, 2) == [[(2, 6.0)], [], [], [(4, 0.5), (5, 3.0)]]
    sums = over("cumulative_sum", FLOAT, groups)
    assert sums == [[(1, 5.0), (2, 12.0)], [], [(1, 100.0)], [(3, 1.0), (4, 1.0), (5, 7.0)]]


def test_one_group_does_not_spoil_another_ones_last_digits() -> None:
    made = over("cumulative_sum", FLOAT, [[(1, 1e300), (2, float("inf"))], [(1, 0.1), (2, 0.2)]])
    assert made[1] == [(1, 0.1), (2, 0.1 + 0.2)]


def test_whole_numbers_wrap() -> None:
    assert over("difference", INTEGER, [[(1, TOP), (2, LOW)]]) == [[(2, 1)]]
    assert over("cumulative_sum", INTEGER, [[(1, TOP), (2, 1)]]) == [[(1, TOP), (2, LOW)]]
    assert over("difference", UNSIGNED, [[(1, 1), (2, 0)]]) == [[(2, (1 << 64) - 1)]]
    assert over("derivative", UNSIGNED, [[(0, 5), (1_000_000_000, 2)]]) == [[(1_000_000_000, -3.0)]]
    assert over("non_negative_derivative", UNSIGNED, [[(0, 5), (1_000_000_000, 2)]]) == [[]]


def test_units() -> None:
    rows = [[(0, 1.0), (10_000_000_000, 3.0)]]
    assert over("derivative", FLOAT, rows) == [[(10_000_000_000, 0.2)]]
    assert over("derivative", FLOAT, rows, 60_000_000_000) == [[(10_000_000_000, 12.0)]]
    assert over("derivative", FLOAT, rows, setting=Setting(interval=10_000_000_000)) == [[(10_000_000_000, 2.0)]]
    backwards = [rows[0][::-1]]
    assert over("derivative", FLOAT, backwards, setting=Setting(descending=True)) == [[(0, -0.2)]]
    assert over("elapsed", FLOAT, backwards, 3_000_000_000, setting=Setting(descending=True)) == [[(0, -3)]]


@pytest.mark.parametrize("width", [3, 1 << 62, 10**30])
def test_a_window_wider_than_the_group_gives_nothing(width: int) -> None:
    assert over("moving_average", FLOAT, [[(1, 1.0), (2, 2.0)]], width) == [[]]
    assert over("moving_average", INTEGER, [[(1, 1), (2, 2)]], width) == [[]]


def test_refusals() -> None:
    words = TRANSFORMS["non_negative_derivative"].refusal(FieldType.STRING)
    assert words == "unsupported derivative iterator type: *query.stringInterruptIterator"
    assert TRANSFORMS["elapsed"].refusal(FieldType.STRING) is None
    words = TRANSFORMS["moving_average"].refusal(FieldType.BOOLEAN)
    assert words == "unsupported moving average iterator type: *query.booleanInterruptIterator"
