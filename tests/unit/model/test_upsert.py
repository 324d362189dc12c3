"""The upsert rule against a dict."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rusts.model.batch import Column, SeriesRows
from rusts.model.types import FieldType
from rusts.model.upsert import merge_rows, point_order

Cell = tuple[int, int, int | None, str | None]
ROWS = st.lists(
    st.tuples(
        st.integers(0, 4),
        st.integers(-5, 5),
        st.none() | st.integers(-(2**63), 2**63 - 1),
        st.none() | st.text(max_size=3),
    ),
    max_size=40,
)


def columns(rows: list[Cell]) -> dict[int, Column]:
    numbers = Column(
        FieldType.INTEGER,
        np.array([r[2] or 0 for r in rows], dtype=np.int64),
        np.array([r[2] is not None for r in rows], dtype=np.bool_),
    )
    strings = Column(
        FieldType.STRING,
        pa.array([r[3] or "" for r in rows], pa.large_string()),
        np.array([r[3] is not None for r in rows], dtype=np.bool_),
    )
    return {1: numbers, 2: strings}


def cells(points: SeriesRows) -> dict[tuple[int, int], tuple[object, object]]:
    series = points.row_series().tolist()
    times = points.times.tolist()
    texts = []
    for field in (1, 2):
        column = points.columns[field]
        values = column.values.tolist() if field == 1 else column.values.to_pylist()
        texts.append([v if ok else None for v, ok in zip(values, column.valid(), strict=True)])
    return dict(zip(zip(series, times, strict=True), zip(*texts, strict=True), strict=True))


@given(ROWS)
def test_later_cell_wins(rows: list[Cell]) -> None:
    want: dict[tuple[int, int], tuple[object, object]] = {}
    for series, time, number, text in rows:
        old = want.get((series, time), (None, None))
        want[series, time] = (old[0] if number is None else number, old[1] if text is None else text)
    points = merge_rows(
        np.array([r[0] for r in rows], dtype=np.uint32), np.array([r[1] for r in rows], dtype=np.int64), columns(rows)
    )
    assert cells(points) == want
    assert list(zip(points.row_series().tolist(), points.times.tolist(), strict=True)) == sorted(want)
    assert (np.diff(points.series.astype(np.int64)) > 0).all()


@pytest.mark.parametrize("series", [[0, 0, 1], [5, 70_000, 70_001]])
def test_sorted_rows_need_no_order(series: list[int]) -> None:
    order, firsts = point_order(np.array(series, dtype=np.uint32), np.array([1, 2, 3], dtype=np.int64))
    assert order is None
    assert firsts is None


def test_many_series_in_time_order() -> None:
    series = np.array([70_000, 1, 70_000, 1], dtype=np.uint32)
    times = np.array([1, 1, 2, 2], dtype=np.int64)
    order, firsts = point_order(series, times)
    assert order is not None
    assert order.tolist() == [1, 3, 0, 2]
    assert firsts is None
