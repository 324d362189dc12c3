"""Fill, column by column against rows written out."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from rusts import errors
from rusts.model.store import TimeRange, Window
from rusts.model.types import FieldType
from rusts.query.fill import defaulted, fill
from rusts.query.limits import Limits, Tracker
from rusts.query.plan import EVER, Aggregate, Default, Fill, FillMode, Points
from rusts.query.table import Table
from rusts.query.window import Buckets
from tests.support.model_store import column_of, python_values


def table(type: FieldType = FieldType.FLOAT, values: list[Any] | None = None) -> Table:
    """Two groups: buckets 0, 10, 30, 50 and 20, 40."""
    times = np.array([0, 10, 30, 50, 20, 40], dtype=np.int64)
    cells = [1.0, 2.0, 6.0, None, 7.0, 9.0] if values is None else values
    return Table("m", [], np.array([0, 4, 6]), times, [column_of(type, cells)])


NODE = Aggregate(Points("d", "m"), ())


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
    return rows(fill(source, Buckets(Window(10)), range, Fill(NODE, mode, value), [counts], tracker or Tracker()))


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


def test_descending_takes_the_value_behind() -> None:
    node = Fill(NODE, FillMode.PREVIOUS, descending=True)
    assert rows(fill(table(), Buckets(Window(10)), TimeRange(0, 65), node, [False], Tracker())) == [
        [(0, 1.0), (10, 2.0), (20, 6.0), (30, 6.0), (40, None), (50, None), (60, None)],
        [(0, 7.0), (10, 7.0), (20, 7.0), (30, 9.0), (40, 9.0), (50, None), (60, None)],
    ]


def test_zeroes_of_types_that_are_no_numbers() -> None:
    node = Fill(NODE, FillMode.VALUE, 7.5, zeroes=True)
    texts = table(FieldType.STRING, ["a", "b", "c", None, "d", "e"])
    assert rows(fill(texts, Buckets(Window(10)), EVER, node, [False], Tracker())) == [
        [(0, "a"), (10, "b"), (20, ""), (30, "c"), (40, ""), (50, "")],
        [(20, "d"), (30, ""), (40, "e")],
    ]
    truths = table(FieldType.BOOLEAN, [True, True, True, True, True, True])
    filled = rows(fill(truths, Buckets(Window(10)), EVER, node, [False], Tracker()))
    assert filled[1] == [(20, True), (30, False), (40, True)]


@pytest.mark.parametrize(
    ("mode", "wanted"),
    [
        (FillMode.VALUE, [1.0, 2.0, 8.0, 6.0, 8.0, "nan", 8.0]),
        (FillMode.PREVIOUS, [1.0, 2.0, 2.0, 6.0, 6.0, "nan", "nan"]),
        (FillMode.LINEAR, [1.0, 2.0, 4.0, 6.0, "nan", "nan", None]),
        (FillMode.NULL, [1.0, 2.0, None, 6.0, None, "nan", None]),
    ],
)
def test_what_is_no_number_is_no_gap(mode: FillMode, wanted: list[Any]) -> None:
    source = table(values=[1.0, 2.0, 6.0, float("nan"), 7.0, 9.0])
    filled = run(mode, source, 8.0, TimeRange(0, 65))[0]
    assert ["nan" if value is not None and value != value else value for _, value in filled] == wanted


@pytest.mark.parametrize("mode", list(FillMode))
def test_companions_of_a_bucket_without_points_have_no_value(mode: FillMode) -> None:
    source = table()
    source.columns = [*source.columns, column_of(FieldType.INTEGER, [1, None, 3, 4, 5, 6])]
    filled = fill(source, Buckets(Window(10)), EVER, Fill(NODE, mode, 8.0), [False], Tracker())
    assert python_values(filled.columns[1]) == [1, None, None, 3, None, 4, 5, None, 6]


def test_cells_without_a_value_have_that_of_the_row_before_in_their_group() -> None:
    source = table(FieldType.STRING, [None, "b", None, "d", None, "f"])
    made = defaulted(source, Default(NODE, FillMode.PREVIOUS))
    assert python_values(made.columns[0]) == [None, "b", "b", "d", None, "f"]
    made = defaulted(source, Default(NODE, FillMode.PREVIOUS, descending=True))
    assert python_values(made.columns[0]) == ["b", "b", "d", "d", "f", "f"]


def test_cells_without_a_value_have_a_number() -> None:
    node = Default(NODE, FillMode.VALUE, -3.5)
    assert python_values(defaulted(table(), node).columns[0]) == [1.0, 2.0, 6.0, -3.5, 7.0, 9.0]
    whole = table(FieldType.INTEGER, [1, None, 3, None, 5, 6])
    assert python_values(defaulted(whole, node).columns[0]) == [1, -3, 3, -3, 5, 6]
    words = table(FieldType.STRING, ["a", None, "c", "d", "e", "f"])
    assert python_values(defaulted(words, node).columns[0]) == ["a", None, "c", "d", "e", "f"]


def test_a_count_without_any_value_in_its_group_is_null() -> None:
    counts = table(FieldType.INTEGER, [1, 2, None, 3, None, None])
    assert rows(fill(counts, Buckets(Window(10)), EVER, Fill(NODE, FillMode.NULL), [True], Tracker())) == [
        [(0, 1), (10, 2), (20, 0), (30, 0), (40, 0), (50, 3)],
        [(20, None), (30, None), (40, None)],
    ]


def test_between_integers_that_lie_far_apart_the_difference_wraps() -> None:
    least = -(1 << 63)
    source = table(FieldType.INTEGER, [-1, least, 7, 8, 9, 10])
    source.times[:4] = [0, 20, 40, 60]
    assert run(FillMode.LINEAR, source)[0][:5] == [(0, -1), (10, -(1 << 62)), (20, least), (30, least), (40, 7)]
