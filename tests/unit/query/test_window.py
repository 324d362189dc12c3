"""Time buckets and fill, column by column against rows written out."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from rusts import errors
from rusts.model.store import TimeRange, Window
from rusts.model.types import FieldType
from rusts.query.limits import Limits, Tracker
from rusts.query.plan import EVER, FillMode
from rusts.query.table import Table
from rusts.query.window import begin_of, bucket_of, fill, span_buckets
from tests.support.model_store import column_of, python_values


@pytest.mark.parametrize(
    ("window", "time", "begin"),
    [
        (Window(10), 0, 0),
        (Window(10), 9, 0),
        (Window(10), 10, 10),
        (Window(10), -1, -10),
        (Window(10, 3), 2, -7),
        (Window(10, 3), 3, 3),
        (Window(10, -4), 5, -4),
        (Window(10, -4), 6, 6),
        (Window(10, 61), 0, -9),
        (Window(3_600_000_000_000), 1_451_606_399_999_999_999, 1_451_602_800_000_000_000),
    ],
)
def test_buckets(window: Window, time: int, begin: int) -> None:
    assert begin_of(time, window) == begin
    assert bucket_of(np.array([time], dtype=np.int64), window).tolist() == [begin]


def test_how_many_buckets_a_range_touches() -> None:
    assert span_buckets(TimeRange(5, 25), Window(10)) == 3
    assert span_buckets(TimeRange(0, 10), Window(10)) == 1
    assert span_buckets(TimeRange(5, 5), Window(10)) in (0, 1)


def table(type: FieldType = FieldType.FLOAT, values: list[Any] | None = None) -> Table:
    """Two groups: buckets 0, 10, 30, 50 and 20, 40."""
    times = np.array([0, 10, 30, 50, 20, 40], dtype=np.int64)
    cells = [1.0, 2.0, 6.0, None, 7.0, 9.0] if values is None else values
    return Table("m", [], np.array([0, 4, 6]), times, [column_of(type, cells)])


def rows(filled: Table) -> list[list[tuple[int, Any]]]:
    cells = list(zip(filled.times.tolist(), python_values(filled.columns[0]), strict=True))
    starts = filled.starts.tolist()
    return [cells[a:b] for a, b in itertools.pairwise(starts)]


def run(
    mode: FillMode,
    source: Table | None = None,
    value: float = 0.0,
    range: TimeRange = EVER,
    counts: bool = False,
    tracker: Tracker | None = None,
) -> list[list[tuple[int, Any]]]:
    source = table() if source is None else source
    return rows(fill(source, Window(10), range, mode, value, [counts], tracker or Tracker()))


def test_null() -> None:
    assert run(FillMode.NULL) == [
        [(0, 1.0), (10, 2.0), (20, None), (30, 6.0), (40, None), (50, None)],
        [(20, 7.0), (30, None), (40, 9.0)],
    ]


def test_previous_stays_in_its_group() -> None:
    assert run(FillMode.PREVIOUS, range=TimeRange(0, 55)) == [
        [(0, 1.0), (10, 2.0), (20, 2.0), (30, 6.0), (40, 6.0), (50, 6.0)],
        [(0, None), (10, None), (20, 7.0), (30, 7.0), (40, 9.0), (50, 9.0)],
    ]


def test_linear_needs_both_neighbours() -> None:
    assert run(FillMode.LINEAR, range=TimeRange(0, 55)) == [
        [(0, 1.0), (10, 2.0), (20, 4.0), (30, 6.0), (40, None), (50, None)],
        [(0, None), (10, None), (20, 7.0), (30, 8.0), (40, 9.0), (50, None)],
    ]
    integers = table(FieldType.INTEGER, [1, 2, -3, None, 7, 8])
    assert run(FillMode.LINEAR, integers)[0][2] == (20, 0)
    assert run(FillMode.LINEAR, integers)[1][1] == (30, 7)


def test_a_number() -> None:
    assert run(FillMode.VALUE, value=2.5)[1] == [(20, 7.0), (30, 2.5), (40, 9.0)]
    assert run(FillMode.VALUE, table(FieldType.INTEGER, [1, 2, 3, 4, 7, 9]), -2.5)[1] == [(20, 7), (30, -2), (40, 9)]
    words = table(FieldType.STRING, list("abcdef"))
    assert run(FillMode.VALUE, words, 5)[1] == [(20, "e"), (30, None), (40, "f")]
    assert run(FillMode.LINEAR, words)[1] == [(20, "e"), (30, None), (40, "f")]


def test_strings_and_booleans_have_a_previous() -> None:
    words = table(FieldType.STRING, ["a", None, "c", "d", "e", "f"])
    assert run(FillMode.PREVIOUS, words)[0] == [(0, "a"), (10, "a"), (20, "a"), (30, "c"), (40, "c"), (50, "d")]
    flags = table(FieldType.BOOLEAN, [True, False, True, True, False, True])
    assert run(FillMode.PREVIOUS, flags)[1] == [(20, False), (30, False), (40, True)]


def test_a_count_is_zero_under_null_only() -> None:
    counts = table(FieldType.INTEGER, [1, 2, 3, 4, 7, 9])
    assert run(FillMode.NULL, counts, counts=True)[1][1] == (30, 0)
    assert run(FillMode.VALUE, counts, 5, counts=True)[1][1] == (30, 5)
    assert run(FillMode.PREVIOUS, counts, counts=True)[1][1] == (30, 7)


def test_a_range_that_is_half_open() -> None:
    assert [t for t, _ in run(FillMode.NULL, range=TimeRange(-15, EVER.end))[1]] == list(range(-20, 41, 10))
    assert [t for t, _ in run(FillMode.NULL, range=TimeRange(EVER.start, 61))[1]] == [20, 30, 40, 50, 60]


def test_too_many_buckets_are_refused_before_they_are_made() -> None:
    wide = Table("m", [], np.array([0, 2]), np.array([0, 10**18]), [column_of(FieldType.FLOAT, [1.0, 2.0])])
    with pytest.raises(errors.LimitExceeded, match=r"max-select-buckets limit exceeded: \(10000000000000000\d/1000\)"):
        run(FillMode.NULL, wide, tracker=Tracker(Limits(buckets=1000)))


def test_nothing_gives_nothing() -> None:
    empty = Table("m", [], np.zeros(1, dtype=np.int64), np.zeros(0, dtype=np.int64), [column_of(FieldType.FLOAT, [])])
    assert run(FillMode.NULL, empty, range=TimeRange(0, 100)) == []
