"""Memtables: what was appended is what a view selects, and later appends do not change a view."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pyarrow as pa

from rusts.memtable.block import BLOCK_ROWS
from rusts.memtable.memtable import Memtable
from rusts.memtable.table import TableView
from rusts.model.batch import Column, Rows, SeriesRows
from rusts.model.types import DTYPES, FieldType, Stamp

Point = dict[int, Any]
TYPES = {1: FieldType.FLOAT, 2: FieldType.INTEGER, 3: FieldType.STRING, 4: FieldType.BOOLEAN, 5: FieldType.UNSIGNED}
VALUES = {1: 1.5, 2: -7, 3: "text é", 4: True, 5: 2**64 - 1}


def rows_of(points: list[tuple[int, int, Point]]) -> Rows:
    columns = {}
    for field in sorted({f for _, _, p in points for f in p}):
        type = TYPES[field]
        present = np.array([field in p for _, _, p in points])
        if type is FieldType.STRING:
            values: Any = pa.array([p.get(field, "") for _, _, p in points], pa.large_string())
        else:
            values = np.array([p.get(field, 0) for _, _, p in points], dtype=DTYPES[type])
        columns[field] = Column(type, values, None if present.all() else present)
    return Rows(
        9,
        np.array([s for s, _, _ in points], dtype=np.uint32),
        np.array([t for _, t, _ in points], dtype=np.int64),
        columns,
    )


def as_dict(rows: SeriesRows) -> dict[tuple[int, int], Point]:
    found: dict[tuple[int, int], Point] = {}
    keys = list(zip(rows.row_series().tolist(), rows.times.tolist(), strict=True))
    for key in keys:
        found[key] = {}
    for field, column in rows.columns.items():
        values = column.values.to_pylist() if column.type is FieldType.STRING else column.values.tolist()
        for key, value, ok in zip(keys, values, column.valid(), strict=True):
            if ok:
                found[key][field] = value
    assert len(found) == len(keys)
    return found


def expect(points: list[tuple[int, int, Point]], series: set[int] | None, start: int, end: int) -> Any:
    want: dict[tuple[int, int], Point] = {}
    for number, time, point in points:
        if (series is None or number in series) and start <= time < end:
            want.setdefault((number, time), {}).update(point)
    return want


def view_of(memtable: Memtable) -> TableView:
    view = memtable.view(9)
    assert view is not None
    return view


def test_random_histories_against_a_dict() -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    rng = random.Random(seed)
    memtable = Memtable()
    points: list[tuple[int, int, Point]] = []
    for step in range(60):
        batch = []
        for _ in range(rng.choice([1, 2, 16, 300])):
            fields = rng.sample(sorted(TYPES), rng.randint(1, 5))
            batch.append((rng.randrange(6), rng.randrange(-50, 50), {f: VALUES[f] for f in fields}))
        memtable.append([rows_of(batch)], Stamp(step + 1), 0.0)
        points += batch
        if step % 7 == 0:
            view = view_of(memtable)
            for series in (None, {2}, {0, 5}, {99}):
                start, end = sorted(rng.sample(range(-60, 60), 2))
                wanted = None if series is None else np.array(sorted(series), dtype=np.uint32)
                assert as_dict(view.select(wanted, start, end, list(TYPES))) == expect(points, series, start, end)
    assert memtable.points == len(points)
    assert memtable.min_stamp == Stamp(1)
    assert memtable.max_stamp == Stamp(60)


def test_a_view_does_not_see_later_appends() -> None:
    memtable = Memtable()
    first = [(1, t, {2: t}) for t in range(10)]
    memtable.append([rows_of(first)], Stamp(1), 0.0)
    view = view_of(memtable)
    memtable.append([rows_of([(1, t, {2: -1, 3: "late"}) for t in range(5, 50)])], Stamp(2), 0.0)
    assert as_dict(view.select(None, -100, 100, [2, 3])) == expect(first, None, -100, 100)
    one = np.array([1], dtype=np.uint32)
    # A later view sorts the block anew; the earlier one must still not see its rows.
    view_of(memtable).select(one, -100, 100, [2])
    assert as_dict(view.select(one, -100, 100, [2])) == expect(first, None, -100, 100)


def test_batches_larger_than_a_block_are_split() -> None:
    memtable = Memtable()
    rows = BLOCK_ROWS * 2 + 10
    batch = Rows(
        9,
        (np.arange(rows) % 3).astype(np.uint32),
        np.arange(rows, dtype=np.int64),
        {2: Column(FieldType.INTEGER, np.arange(rows, dtype=np.int64))},
    )
    memtable.append([batch], Stamp(1), 0.0)
    assert len(memtable.tables[9].blocks) == 3
    assert memtable.nbytes >= rows * 20
    points = view_of(memtable).select(None, 0, rows, [2])
    assert len(points) == rows
    assert np.array_equal(points.columns[2].values, points.times)
    few = view_of(memtable).select(np.array([1], dtype=np.uint32), 65_530, 65_545, [2])
    assert few.times.tolist() == [t for t in range(65_530, 65_545) if t % 3 == 1]


def test_an_empty_selection_keeps_its_columns() -> None:
    memtable = Memtable()
    memtable.append([rows_of([(1, 5, {1: 1.5, 3: "x"})])], Stamp(1), 0.0)
    nothing = view_of(memtable).select(None, 100, 200, [1, 3, 77])
    assert len(nothing) == 0
    assert sorted(nothing.columns) == [1, 3]


def test_pieces_are_what_a_selection_is() -> None:
    """Ordered points, whatever the size of a piece and the choice of points, equal the sorted selection."""
    seed = random.randrange(2**32)
    print("seed", seed)
    rng = random.Random(seed)
    for spread in (40, 100_000):
        memtable = Memtable()
        for step in range(8):
            batch = []
            for _ in range(rng.choice([3, 200])):
                fields = rng.sample(sorted(TYPES), rng.randint(1, 5))
                batch.append((rng.randrange(5), rng.randrange(spread), {f: VALUES[f] for f in fields}))
            memtable.append([rows_of(batch)], Stamp(step + 1), 0.0)
        view = view_of(memtable)
        want = as_dict(view.select(None, -1, spread, list(TYPES)))
        ordered = view.ordered()
        assert list(zip(ordered.series.tolist(), ordered.times.tolist(), strict=True)) == sorted(want)
        for size in (1, 7, 1 << 16):
            found: dict[tuple[int, int], Point] = {}
            for piece in ordered.pieces(None, size):
                assert 0 < len(piece) <= size
                found |= as_dict(piece)
            assert found == want
        some = np.flatnonzero(ordered.times % 3 == 1)
        found = {}
        for piece in ordered.pieces(some, 5):
            found |= as_dict(piece)
        assert found == {key: point for key, point in want.items() if key[1] % 3 == 1}


def test_pieces_across_blocks() -> None:
    memtable = Memtable()
    rows = BLOCK_ROWS * 2 + 10
    numbers = np.arange(rows, dtype=np.int64)
    columns = {
        2: Column(FieldType.INTEGER, numbers),
        3: Column(FieldType.STRING, pa.array(map(str, range(rows)), pa.large_string())),
    }
    memtable.append([Rows(9, (numbers % 3).astype(np.uint32), numbers, columns)], Stamp(1), 0.0)
    late = Rows(9, np.zeros(1, np.uint32), np.array([3]), {2: Column(FieldType.INTEGER, np.array([-1]))})
    memtable.append([late], Stamp(2), 0.0)
    pieces = list(view_of(memtable).ordered().pieces(None))
    assert sum(len(p) for p in pieces) == rows
    times = np.concatenate([p.times for p in pieces])
    values = np.concatenate([p.columns[2].values for p in pieces])
    texts = [t for p in pieces for t in p.columns[3].values.to_pylist()]
    assert np.array_equal(values, np.where(times == 3, -1, times))
    assert texts == [str(t) for t in times.tolist()]
