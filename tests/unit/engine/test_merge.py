"""Where sources overlap, and rows picked and merged."""

from __future__ import annotations

import os
import random

import numpy as np
import pytest

from rusts.engine.merge import Points, clusters, merged, split_overlaps
from rusts.engine.sources import Pieces, RowsSource, select
from rusts.engine.view import Matched
from rusts.index.series import SeriesIndex
from rusts.model.batch import Column
from rusts.model.time import MAX_TIME, MIN_TIME
from rusts.model.types import FieldType
from rusts.model.upsert import merge_rows
from tests.support.model_store import python_values

SEED = int(os.environ.get("RUSTS_SEED", "20240603"))
ROUNDS = 2000 if os.environ.get("RUSTS_PROOF") == "1" else 80
FIELD = 3


def pieces_of(cells: dict[tuple[int, int], int], low: int = MIN_TIME, high: int = MAX_TIME) -> Pieces:
    """One source with an integer cell for each (series, time)."""
    rows = sorted(cells)
    series = np.array([s for s, _ in rows], dtype=np.uint32)
    times = np.array([t for _, t in rows], dtype=np.int64)
    column = Column(FieldType.INTEGER, np.array([cells[row] for row in rows], dtype=np.int64))
    source = RowsSource(merge_rows(series, times, {FIELD: column}))
    return select(source, Matched(SeriesIndex("m"), None, 1 << 20), low, high)


def cells_in(parts: list[Pieces]) -> list[tuple[int, int, int]]:
    found: list[tuple[int, int, int]] = []
    for part in parts:
        points = Points.of([part])
        column = points.column(FIELD, FieldType.INTEGER)
        values = [] if column is None else python_values(column)
        found += zip(points.positions.tolist(), points.times.tolist(), values, strict=True)
    return found


def test_clusters_share_no_time() -> None:
    a, b = pieces_of({(0, 0): 1, (0, 10): 1}), pieces_of({(0, 11): 1, (0, 20): 1})
    c, d = pieces_of({(9, 15): 1, (9, 30): 1}), pieces_of({(0, 40): 1})
    assert clusters([d, c, b, a]) == [[a], [c, b], [d]]
    assert clusters([]) == []
    assert clusters([a.take(np.zeros(1, dtype=np.bool_))]) == []


def test_sources_of_other_series_do_not_overlap() -> None:
    parts = [pieces_of({(0, 0): 1, (0, 9): 1, (2, 5): 1}), pieces_of({(1, 0): 1, (1, 9): 1})]
    assert split_overlaps(parts) == (parts, [])


def test_only_the_shared_stretch_is_merged() -> None:
    old = pieces_of({(0, t): 1 for t in range(10)} | {(1, t): 1 for t in range(10)})
    new = pieces_of({(0, t): 2 for t in range(8, 20)} | {(1, t): 2 for t in range(10, 20)})
    alone, together = split_overlaps([old, new])
    assert [(p.positions.tolist(), p.low.tolist(), p.high.tolist()) for p in together] == [
        ([0], [8], [9]),
        ([0], [8], [9]),
    ]
    assert [(p.positions.tolist(), p.low.tolist(), p.high.tolist()) for p in alone] == [
        ([0, 1], [0, 0], [7, 9]),
        ([0, 1], [10, 10], [19, 19]),
    ]


@pytest.mark.parametrize("seed", range(SEED, SEED + ROUNDS))
def test_every_cell_comes_once_and_the_newest_wins(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(seed)
    monkeypatch.setattr("rusts.engine.merge.MERGE_ROWS", rng.choice([1, 10, 1000]))
    low, high = sorted((rng.randint(-60, 60), rng.randint(-60, 60)))
    truth: dict[tuple[int, int], int] = {}
    parts: list[Pieces] = []
    for number in range(rng.randint(1, 6)):
        center, cells = rng.randint(-50, 50), {}
        for _ in range(rng.choice([1, 5, 40])):
            cells[rng.randint(0, 4), center + rng.randint(0, 20)] = number
        piece = pieces_of(cells, low, high)
        if len(piece):
            parts.append(piece)
        truth |= {(s, t): v for (s, t), v in cells.items() if low <= t <= high}
    found: list[tuple[int, int, int]] = []
    for cluster in clusters(parts):
        alone, together = split_overlaps(cluster)
        found += cells_in(alone)
        if together:
            found += cells_in(list(merged(together, {FIELD: FieldType.INTEGER})))
    assert sorted(found) == sorted((s, t, v) for (s, t), v in truth.items())


def test_points_keep_their_newest_cells_when_some_are_left_out() -> None:
    old = pieces_of({(0, t): t for t in range(6)})
    new = pieces_of({(0, t): 100 + t for t in (2, 4, 9)})
    points = Points.of([old, new])
    assert points.times.tolist() == [0, 1, 2, 3, 4, 5, 9]
    kept = points.keep(points.times % 2 == 0)
    column = kept.column(FIELD, FieldType.INTEGER)
    assert column is not None
    assert kept.times.tolist() == [0, 2, 4]
    assert column.values.tolist() == [0, 102, 104]
    assert kept.column(99, FieldType.INTEGER) is None
    assert len(kept.keep(np.zeros(3, dtype=np.bool_))) == 0
