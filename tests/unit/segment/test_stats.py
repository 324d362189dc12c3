from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest

from rusts.model.batch import Column
from rusts.model.types import FieldType
from rusts.segment.stats import StatisticsBuilder, bits_of, expand, long_pieces, survey, value_of


def test_bounds_leave_nan_out() -> None:
    known = survey(Column(FieldType.FLOAT, np.array([np.nan, 2.0, -1.0])))
    assert (known.low, known.high, known.nan, known.nulls) == (-1.0, 2.0, True, 0)
    known = survey(Column(FieldType.FLOAT, np.array([np.nan, np.nan])))
    assert (known.low, known.high, known.nan) == (None, None, True)


def test_bounds_leave_nulls_out() -> None:
    known = survey(Column(FieldType.INTEGER, np.array([5, -9, 7]), np.array([True, False, True])))
    assert (known.low, known.high, known.nulls) == (5, 7, 1)
    assert known.present.tolist() == [5, 7]
    known = survey(Column(FieldType.INTEGER, np.array([5]), np.array([False])))
    assert (known.low, known.nulls) == (None, 1)


def test_strings_and_booleans_have_no_bounds() -> None:
    assert survey(Column(FieldType.STRING, pa.array(["b", "a"], pa.large_string()))).low is None
    assert survey(Column(FieldType.BOOLEAN, np.array([True, False]))).low is None


@pytest.mark.parametrize(
    ("type", "value"),
    [
        (FieldType.FLOAT, -0.0),
        (FieldType.FLOAT, math.inf),
        (FieldType.INTEGER, -(1 << 63)),
        (FieldType.INTEGER, (1 << 63) - 1),
        (FieldType.UNSIGNED, (1 << 64) - 1),
    ],
)
def test_bounds_as_bits(type: FieldType, value: float) -> None:
    back = value_of(type, bits_of(value))
    assert back == value
    assert math.copysign(1, back) == math.copysign(1, value)


def test_only_pieces_that_could_be_long_are_looked_at() -> None:
    lengths = np.array([3, 256, 255, 1000, 4])
    assert long_pieces(lengths, goes_on=False, last=True).tolist() == [1, 3]
    assert long_pieces(lengths, goes_on=True, last=False).tolist() == [0, 1, 3, 4]


def build(type: FieldType, batches: list[tuple[list[int], Column]], long: list[int]):
    """Statistics of batches, each with (ordinals of its runs..., of 2 rows each) and its column."""
    builder = StatisticsBuilder(type)
    for ordinals, column in batches:
        starts = np.arange(0, 2 * len(ordinals) + 1, 2)
        pieces = np.arange(len(ordinals))
        builder.add(pieces, np.array(ordinals), starts, column, survey(column))
    return builder.finish(np.array(long, dtype=np.int64))


def test_pieces_of_a_run_are_put_together() -> None:
    merged = build(
        FieldType.INTEGER,
        [
            ([0, 1], Column(FieldType.INTEGER, np.array([1, 2, 3, 4]))),
            ([1, 2], Column(FieldType.INTEGER, np.array([-5, 6, 7, 8]), np.array([True, False, True, True]))),
        ],
        [0, 1, 2],
    )
    assert merged is not None
    assert [a.tolist() for a in merged] == [[2, 3, 2], [3, 2, 15], [1, -5, 7], [2, 4, 8]]
    stats = expand(np.array([True, False, True, True]), merged, FieldType.INTEGER)
    assert stats.count.tolist() == [2, 0, 3, 2]
    assert stats.nbytes == 4 * (1 + 4 * 8)


def test_sums_wrap_and_extremes_hold() -> None:
    top = np.iinfo(np.int64).max
    merged = build(FieldType.INTEGER, [([0], Column(FieldType.INTEGER, np.array([top, top])))], [0])
    assert merged is not None
    assert [a.tolist() for a in merged] == [[2], [-2], [top], [top]]
    big = np.array([(1 << 64) - 1, 3], dtype=np.uint64)
    merged = build(FieldType.UNSIGNED, [([0], Column(FieldType.UNSIGNED, big))], [0])
    assert merged is not None
    assert [a.tolist() for a in merged] == [[2], [2], [3], [(1 << 64) - 1]]


def test_nan_is_in_the_sum_only_unless_it_is_all() -> None:
    values = np.array([np.nan, 2.0, np.nan, np.nan, np.inf, -np.inf])
    merged = build(FieldType.FLOAT, [([0, 1, 2], Column(FieldType.FLOAT, values))], [0, 1, 2])
    assert merged is not None
    count, total, low, high = merged
    assert count.tolist() == [2, 2, 2]
    assert np.isnan(total).all()
    assert low[0] == high[0] == 2.0
    assert np.isnan([low[1], high[1]]).all()
    assert (low[2], high[2]) == (-np.inf, np.inf)


def test_signalling_nan_is_nan() -> None:
    bits = np.array([0x7FF0000000000001, 0x3FF0000000000000, 0x7FF0000000000001], dtype=np.uint64)
    known = survey(Column(FieldType.FLOAT, bits.view(np.float64)))
    assert (known.low, known.high, known.nan) == (1.0, 1.0, True)


def test_nan_beside_nulls_is_all_there_is() -> None:
    column = Column(FieldType.FLOAT, np.array([np.nan, 5.0, 1.0, 2.0]), np.array([True, False, True, True]))
    merged = build(FieldType.FLOAT, [([0, 1], column)], [0, 1])
    assert merged is not None
    assert np.isnan([merged[2][0], merged[3][0]]).all()
    assert (merged[2][1], merged[3][1]) == (1.0, 2.0)


def test_runs_without_values_count_nothing() -> None:
    column = Column(FieldType.INTEGER, np.array([9, 9, 1, 2]), np.array([False, False, True, True]))
    merged = build(FieldType.INTEGER, [([0, 1], column)], [0, 1])
    assert merged is not None
    assert merged[0].tolist() == [0, 2]
    assert build(FieldType.INTEGER, [([0, 1], column)], [0]) is None
    assert build(FieldType.INTEGER, [([0, 1], column)], []) is None


def test_statistics_of_a_wrong_shape_are_refused() -> None:
    arrays = [np.zeros(2, dtype=np.int64) for _ in range(4)]
    with pytest.raises(ValueError, match="2 runs where 1"):
        expand(np.array([True, False]), arrays, FieldType.INTEGER)
    with pytest.raises(ValueError, match="wrong type"):
        expand(np.array([True, True]), arrays, FieldType.FLOAT)
