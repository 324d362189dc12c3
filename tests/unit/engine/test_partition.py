"""Partition widths and cuts."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from rusts.engine.partition import WIDTHS, Partition, choose_width, cut, partition_of

HOUR = 3_600_000_000_000
DAY = 24 * HOUR


def test_each_width_is_a_multiple_of_the_one_before() -> None:
    assert all(wide % narrow == 0 for narrow, wide in itertools.pairwise(WIDTHS))


@pytest.mark.parametrize(
    ("rows", "span", "width"),
    [
        (1_000_000, HOUR, WIDTHS[0]),
        (10, 0, WIDTHS[0]),  # ten rows in a minute are 1,200 in two hours
        (8, 0, WIDTHS[1]),
        (24, DAY, WIDTHS[3]),
        (88_054, 241 * 365 * DAY, WIDTHS[4]),
        (1, 10_000 * DAY, WIDTHS[4]),
    ],
)
def test_the_narrowest_width_that_is_worth_a_file(rows: int, span: int, width: int) -> None:
    assert choose_width(rows, 0, span) == width


def test_partitions_before_the_epoch() -> None:
    assert partition_of(-1, DAY) == Partition(-DAY, DAY)
    assert partition_of(0, DAY) == Partition(0, DAY)
    assert partition_of(-(2**63) + 2, DAY).start == -(2**63)


def test_cut_keeps_the_order_of_rows() -> None:
    times = np.array([DAY, 1, 2, DAY + 1, -1], dtype=np.int64)
    found = [(p.start, rows.tolist()) for p, rows in cut(times, DAY)]
    assert found == [(-DAY, [4]), (0, [1, 2]), (DAY, [0, 3])]
    assert cut(times[:0], DAY) == []
