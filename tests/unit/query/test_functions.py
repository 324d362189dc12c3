"""The aggregate functions over plain cells: edges that random values rarely meet."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from rusts.model.types import FieldType
from rusts.query.functions import FUNCTIONS, cells_of, compute
from tests.support.model_store import column_of, python_values

FLOAT, INTEGER, UNSIGNED = FieldType.FLOAT, FieldType.INTEGER, FieldType.UNSIGNED
TOP, LOW = (1 << 63) - 1, -(1 << 63)


def over(
    function: str,
    type: FieldType,
    values: list[Any],
    times: list[int] | None = None,
    cells: list[int] | None = None,
    parameter: float | None = None,
) -> tuple[list[Any], list[int] | None]:
    """The function over rows sorted by (cell, time), all in one cell unless `cells` says otherwise."""
    row_cells = np.array(cells or [0] * len(values), dtype=np.int64)
    row_times = np.array(times or range(len(values)), dtype=np.int64)
    made, having = cells_of(column_of(type, values), row_times, row_cells, int(row_cells.max()) + 1)
    outcome = compute(FUNCTIONS[function], made, parameter)
    assert len(outcome.column) == len(having) == len(made)
    return python_values(outcome.column), None if outcome.times is None else outcome.times.tolist()


def one(function: str, type: FieldType, values: list[Any], parameter: float | None = None) -> Any:
    return over(function, type, values, parameter=parameter)[0][0]


def test_the_table_names_each_function_once() -> None:
    assert all(name == function.name for name, function in FUNCTIONS.items())
    assert all(bool(function.states) is (function.whole is None) for function in FUNCTIONS.values())


def test_cells_without_a_value_are_left_out() -> None:
    made, having = cells_of(
        column_of(FLOAT, [1.0, None, None, 4.0]), np.arange(4), np.array([0, 0, 1, 3], dtype=np.int64), 5
    )
    assert having.tolist() == [0, 3]
    assert made.starts.tolist() == [0, 1, 2]


def test_integers_keep_their_type_and_wrap() -> None:
    assert one("sum", INTEGER, [TOP, 1]) == LOW
    assert one("sum", UNSIGNED, [(1 << 64) - 1, 2]) == 1
    assert one("spread", INTEGER, [5, -2]) == 7
    assert one("max", UNSIGNED, [1, (1 << 64) - 1]) == (1 << 64) - 1
    assert one("mean", INTEGER, [1, 2]) == 1.5


def test_median() -> None:
    assert one("median", FLOAT, [3.0]) == 3.0
    assert one("median", FLOAT, [1.0, 2.0]) == 1.5
    assert one("median", INTEGER, [1, 2, 10]) == 2.0
    assert abs(one("median", INTEGER, [LOW, TOP])) < 1
    assert one("median", FLOAT, [-1.7e308, 1.7e308]) == 0.0
    assert one("median", FLOAT, [1.7e308, 1.7e308]) == 1.7e308
    assert one("median", FLOAT, [math.inf, math.inf]) == math.inf
    assert over("median", UNSIGNED, [1, 3, 5, 9], cells=[0, 0, 1, 1])[0] == [2.0, 7.0]


@pytest.mark.parametrize(
    ("percent", "value"), [(0, None), (10, 1), (14, 1), (15, 2), (50, 5), (90, 9), (94, 9), (95, 10), (100, 10)]
)
def test_percentile_takes_the_nearest_rank(percent: float, value: int | None) -> None:
    assert one("percentile", INTEGER, [10, 9, 8, 7, 6, 5, 4, 3, 2, 1], percent) == value


def test_percentile_keeps_the_time_of_the_earliest_of_equal_values() -> None:
    assert over("percentile", FLOAT, [2.0, 1.0, 1.0], [10, 20, 30], parameter=33) == ([1.0], [20])


def test_mode() -> None:
    assert one("mode", FieldType.STRING, ["b", "a", "b"]) == "b"
    assert one("mode", FieldType.STRING, ["b", "a"]) == "a"
    assert one("mode", FieldType.BOOLEAN, [False, True, True]) is True
    assert over("mode", INTEGER, [1, 2, 2, 3, 3, 3], cells=[0, 0, 0, 1, 1, 1])[0] == [2, 3]


def test_count_distinct() -> None:
    assert one("count_distinct", FLOAT, [1.0, -0.0, 0.0, 1.0]) == 2
    assert one("count_distinct", FieldType.STRING, ["", "a", ""]) == 2
    assert one("count_distinct", FLOAT, [math.nan, math.nan, 1.0]) == 2


def test_first_and_last_take_the_greater_value_of_one_time() -> None:
    assert over("first", FLOAT, [1.0, 3.0, 2.0], [5, 5, 6]) == ([3.0], [5])
    assert over("last", FieldType.STRING, ["z", "b", "a"], [4, 5, 5]) == (["b"], [5])
    assert over("last", FieldType.BOOLEAN, [True, False], [5, 5]) == ([True], [5])
    assert over("first", INTEGER, [LOW, LOW], [5, 6]) == ([LOW], [5])


def test_extremes_take_the_earliest_time() -> None:
    assert over("min", FLOAT, [2.0, 1.0, 1.0], [1, 2, 3]) == ([1.0], [2])
    assert over("max", FieldType.BOOLEAN, [False, True, True], [1, 2, 3]) == ([True], [2])
    assert over("max", FLOAT, [math.nan, 1.0], [1, 2]) == ([1.0], [2])
    values, times = over("max", FLOAT, [math.nan, math.nan], [1, 2])
    assert math.isnan(values[0])
    assert times == [1]


def test_stddev_is_of_a_sample() -> None:
    assert math.isnan(one("stddev", FLOAT, [5.0]))
    assert one("stddev", INTEGER, [2, 4]) == pytest.approx(math.sqrt(2))
    assert one("stddev", FLOAT, [1e9 + 1, 1e9 + 2, 1e9 + 3]) == pytest.approx(1.0)


def test_count_takes_every_type() -> None:
    for type, value in ((FLOAT, 1.0), (INTEGER, 1), (UNSIGNED, 1), (FieldType.BOOLEAN, True), (FieldType.STRING, "")):
        assert one("count", type, [value, value]) == 2
