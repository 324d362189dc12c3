"""Aggregates over slices: both builds against loops over Python numbers, and each other."""

from __future__ import annotations

import importlib
import math
import os
import random
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from rusts.kernels import pure

SEED = int(os.environ.get("RUSTS_SEED", "20240601"))
PURE = pure("reduce")
BUILT = importlib.import_module("rusts.kernels.reduce")
ROUNDS = 2000 if os.environ.get("RUSTS_PROOF") == "1" else 60


@pytest.fixture(params=[BUILT, PURE], ids=["built", "pure"])
def kernel(request: pytest.FixtureRequest) -> ModuleType:
    module = request.param
    assert isinstance(module, ModuleType)
    return module


def longs(*numbers: int) -> npt.NDArray[np.int64]:
    return np.array(numbers, dtype=np.int64)


def random_slices(rng: random.Random, rows: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    cuts = sorted(rng.randint(0, rows) for _ in range(2 * rng.randint(0, 6)))
    return longs(*cuts[::2]), longs(*cuts[1::2])


def random_column(rng: random.Random, make: Callable[[], Any], dtype: Any) -> tuple[npt.NDArray[Any], Any, list[Any]]:
    """Values, validity or None, and the rows as Python values with None for those not valid."""
    rows = rng.choice([0, 1, 7, 40])
    values = [make() for _ in range(rows)]
    valid = None if rng.random() < 0.4 else np.array([rng.random() < 0.6 for _ in range(rows)], dtype=np.bool_)
    shown = values if valid is None else [v if ok else None for v, ok in zip(values, valid.tolist(), strict=True)]
    return np.array(values, dtype=dtype), valid, shown


def present(shown: list[Any], begin: int, end: int) -> list[tuple[int, Any]]:
    return [(i, shown[i]) for i in range(begin, end) if shown[i] is not None]


FLOATS = [0.0, -0.0, 1.5, -2.25, 7.0, math.nan, math.inf, -math.inf, 1e-300]
INTEGERS = [0, 1, -1, (1 << 63) - 1, -(1 << 63), 12345]


@pytest.mark.parametrize("seed", range(SEED, SEED + ROUNDS))
def test_slices_of_floats(kernel: ModuleType, seed: int) -> None:
    rng = random.Random(seed)
    values, valid, shown = random_column(rng, lambda: rng.choice(FLOATS), np.float64)
    begins, ends = random_slices(rng, len(values))
    spans = list(zip(begins.tolist(), ends.tolist(), strict=True))
    with np.errstate(all="ignore"):
        sums = [float(np.sum(np.array([v for _, v in present(shown, b, e)]))) for b, e in spans]
    np.testing.assert_allclose(kernel.sum_floats(values, valid, begins, ends), sums)
    for largest in (False, True):
        rows = kernel.extreme_floats(values, valid, begins, ends, largest)
        for row, (b, e) in zip(rows.tolist(), spans, strict=True):
            real = [(i, v) for i, v in present(shown, b, e) if v == v] or present(shown, b, e)
            if not real:
                assert row == -1
                continue
            best = (max if largest else min)(v for _, v in real)
            assert row == next(i for i, v in real if v == best or best != best)


@pytest.mark.parametrize("seed", range(SEED, SEED + ROUNDS))
def test_slices_of_integers(kernel: ModuleType, seed: int) -> None:
    rng = random.Random(seed)
    values, valid, shown = random_column(rng, lambda: rng.choice(INTEGERS), np.int64)
    begins, ends = random_slices(rng, len(values))
    spans = list(zip(begins.tolist(), ends.tolist(), strict=True))
    words = kernel.sum_integers(values.view(np.uint64), valid, begins, ends)
    assert words.tolist() == [sum(v for _, v in present(shown, b, e)) % (1 << 64) for b, e in spans]
    if valid is not None:
        assert kernel.count_valid(valid, begins, ends).tolist() == [len(present(shown, b, e)) for b, e in spans]
    for last in (False, True):
        rows = kernel.extreme_integers(values, valid, begins, ends, last)
        edges = kernel.edge_rows(valid, begins, ends, last)
        for row, edge, (b, e) in zip(rows.tolist(), edges.tolist(), spans, strict=True):
            there = present(shown, b, e)
            if not there:
                assert row == edge == -1
                continue
            best = (max if last else min)(v for _, v in there)
            assert row == next(i for i, v in there if v == best)
            assert edge == there[-1 if last else 0][0]


@pytest.mark.parametrize("seed", range(SEED, SEED + ROUNDS))
def test_moments_of_slices_merge_to_those_of_all(kernel: ModuleType, seed: int) -> None:
    rng = random.Random(seed)
    values, valid, shown = random_column(rng, lambda: rng.uniform(-10, 10), np.float64)
    begins, ends = random_slices(rng, len(values))
    means, squares = kernel.moments(values, valid, begins, ends)
    groups = [[v for _, v in present(shown, b, e)] for b, e in zip(begins.tolist(), ends.tolist(), strict=True)]
    for group, mean, square in zip(groups, means.tolist(), squares.tolist(), strict=True):
        expected = sum(group) / len(group) if group else 0.0
        assert mean == pytest.approx(expected, abs=1e-12)
        assert square == pytest.approx(sum((v - expected) ** 2 for v in group), abs=1e-9)
    counts = longs(*(len(g) for g in groups))
    count, mean, m2 = np.zeros(1, np.int64), np.zeros(1), np.zeros(1)
    kernel.merge_moments(np.zeros(len(groups), np.int64), counts, means, squares, count, mean, m2)
    every = [v for group in groups for v in group]
    assert count.tolist() == [len(every)]
    if every:
        assert mean[0] == pytest.approx(np.mean(every), abs=1e-12)
        assert m2[0] == pytest.approx(np.var(every) * len(every), abs=1e-9)


def test_a_mean_of_large_values_does_not_overflow(kernel: ModuleType) -> None:
    means, _ = kernel.moments(np.array([1.5e308, 1.7e308]), None, longs(0), longs(2))
    assert means[0] == pytest.approx(1.6e308)


TIMES = [-(1 << 63) + 2, -(1 << 62), -7, -1, 0, 1, 5, 10, 11, 1 << 62, (1 << 63) - 2]


@pytest.mark.parametrize("seed", range(SEED, SEED + ROUNDS))
def test_bounds_and_split_at_all_ends_of_time(kernel: ModuleType, seed: int) -> None:
    rng = random.Random(seed)
    begins, ends = longs(0, 8, 8), longs(8, 8, 20)
    runs = [sorted(rng.choice([*TIMES, rng.randint(-40, 40)]) for _ in range(n)) for n in (8, 12)]
    times = longs(*runs[0], *runs[1])
    low = longs(*(rng.choice(TIMES) for _ in range(3)))
    high = longs(*(rng.choice(TIMES) for _ in range(3)))
    first, last = kernel.bounds(times, begins, ends, low, high)
    for i in range(3):
        inside = [j for j in range(begins[i], ends[i]) if low[i] <= times[j] <= high[i]]
        assert list(range(first[i], last[i])) == inside
    interval = rng.choice([1, 3, 10, 1 << 40, 1 << 62, (1 << 63) - 1])
    first_end = min(max(int(times.min()) + rng.randint(1, interval), -(1 << 63)), (1 << 63) - 1)
    piece, bucket, begin, end = kernel.split(times, begins, ends, first_end, interval)
    expected: list[tuple[int, int, int, int]] = []
    for i in range(3):
        for j in range(begins[i], ends[i]):
            time = int(times[j])
            number = 0 if time < first_end else (time - first_end) // interval + 1
            if expected and expected[-1][:2] == (i, number):
                expected[-1] = (i, number, expected[-1][2], j + 1)
            else:
                expected.append((i, number, j, j + 1))
    assert list(zip(piece.tolist(), bucket.tolist(), begin.tolist(), end.tolist(), strict=True)) == expected


def test_split_of_long_runs_finds_borders_by_steps(kernel: ModuleType) -> None:
    times = np.sort(np.random.default_rng(SEED).integers(0, 5000, 3000))
    _, bucket, begin, end = kernel.split(times, longs(0), longs(3000), 100, 100)
    assert begin.tolist() == np.searchsorted(times // 100, np.unique(times // 100)).tolist()
    assert end.tolist() == [*begin.tolist()[1:], 3000]
    assert bucket.tolist() == np.unique(times // 100).tolist()


@pytest.mark.parametrize("seed", range(SEED, SEED + ROUNDS))
def test_merging_into_cells(kernel: ModuleType, seed: int) -> None:
    rng = random.Random(seed)
    n = rng.choice([0, 1, 20])
    cells = longs(*(rng.randint(0, 3) for _ in range(n)))
    keys = longs(*(rng.choice(INTEGERS) for _ in range(n)))
    times = longs(*(rng.choice(TIMES) for _ in range(n)))
    rows = list(zip(cells.tolist(), keys.tolist(), times.tolist(), strict=True))
    orders: dict[tuple[Any, bool], Callable[[tuple[int, int]], Any]] = {
        ("merge_extremes", True): lambda kt: (-kt[0], kt[1]),
        ("merge_extremes", False): lambda kt: kt,
        ("merge_edges", True): lambda kt: (-kt[1], -kt[0]),
        ("merge_edges", False): lambda kt: (kt[1], -kt[0]),
    }
    for (name, flag), order in orders.items():
        seen, key, time = np.zeros(4, np.bool_), np.zeros(4, np.int64), np.zeros(4, np.int64)
        getattr(kernel, name)(cells, keys, times, flag, seen, key, time)
        for cell in range(4):
            mine = [(k, t) for c, k, t in rows if c == cell]
            assert seen[cell] == bool(mine)
            if mine:
                assert (key[cell], time[cell]) == min(mine, key=order)
    counts, words, floats = np.zeros(4, np.int64), np.zeros(4, np.uint64), np.zeros(4)
    kernel.add_counts(cells, np.ones(n, np.int64), counts)
    kernel.add_integers(cells, keys.view(np.uint64), words)
    kernel.add_floats(cells, times / 2.0, floats)
    for cell in range(4):
        mine = [(k, t) for c, k, t in rows if c == cell]
        assert counts[cell] == len(mine)
        assert words[cell] == sum(k for k, _ in mine) % (1 << 64)
        assert floats[cell] == pytest.approx(sum(t / 2.0 for _, t in mine), rel=1e-9, abs=1e4)


def test_find_cells_numbers_pairs_in_order_of_appearance(kernel: ModuleType) -> None:
    rng = random.Random(SEED)
    slots = np.full(1 << 12, -1, dtype=np.int64)
    groups, buckets = np.empty(1 << 11, np.int64), np.empty(1 << 11, np.int64)
    known: dict[tuple[int, int], int] = {}
    used = 0
    for _ in range(20):
        pairs = [(rng.randint(0, 5), rng.choice([rng.randint(0, 60) * 1000, -1, (1 << 63) - 1])) for _ in range(50)]
        cells = np.empty(50, dtype=np.int64)
        asked = longs(*(g for g, _ in pairs)), longs(*(b for _, b in pairs))
        used = kernel.find_cells(*asked, slots, groups, buckets, used, cells)
        assert cells.tolist() == [known.setdefault(pair, len(known)) for pair in pairs]
    assert used == len(known)
    assert list(zip(groups[:used].tolist(), buckets[:used].tolist(), strict=True)) == list(known)


def test_doors_refuse_what_would_reach_outside(kernel: ModuleType) -> None:
    values, words, zero = np.zeros(4), np.zeros(4, np.uint64), longs(0)
    for begins, ends in [(longs(-1), longs(2)), (longs(0), longs(5)), (longs(3), longs(2)), (longs(0, 1), longs(2))]:
        for call in (
            lambda b=begins, e=ends: kernel.sum_floats(values, None, b, e),
            lambda b=begins, e=ends: kernel.sum_integers(words, None, b, e),
            lambda b=begins, e=ends: kernel.extreme_floats(values, None, b, e, True),
            lambda b=begins, e=ends: kernel.extreme_integers(words.view(np.int64), None, b, e, True),
            lambda b=begins, e=ends: kernel.moments(values, None, b, e),
            lambda b=begins, e=ends: kernel.count_valid(values > 0, b, e),
            lambda b=begins, e=ends: kernel.edge_rows(values > 0, b, e, True),
            lambda b=begins, e=ends: kernel.split(words.view(np.int64), b, e, 0, 1),
            lambda b=begins, e=ends: kernel.bounds(words.view(np.int64), b, e, b, e),
        ):
            with pytest.raises(ValueError, match="slice"):
                call()
    with pytest.raises(ValueError, match="validity"):
        kernel.sum_floats(values, np.ones(3, np.bool_), zero, longs(4))
    with pytest.raises(ValueError, match="interval"):
        kernel.split(words.view(np.int64), zero, longs(4), 0, 0)
    with pytest.raises(ValueError, match="bounds"):
        kernel.bounds(words.view(np.int64), zero, longs(4), longs(), longs())
    for cell in (-1, 4):
        with pytest.raises(ValueError, match="cell"):
            kernel.add_counts(longs(cell), longs(1), np.zeros(4, np.int64))
    with pytest.raises(ValueError, match="cell"):
        kernel.add_floats(longs(0, 1), np.zeros(1), values)
    with pytest.raises(ValueError, match="keys and times"):
        kernel.merge_edges(zero, zero, longs(), True, np.zeros(1, np.bool_), longs(0), longs(0))
    with pytest.raises(ValueError, match="counts"):
        kernel.merge_moments(zero, zero, np.zeros(0), np.zeros(1), longs(0), np.zeros(1), np.zeros(1))
    with pytest.raises(ValueError, match="room"):
        kernel.find_cells(longs(1, 2), longs(1, 2), longs(-1, -1), longs(0, 0), longs(0, 0), 0, longs(0, 0))
    with pytest.raises(ValueError, match="cell"):
        kernel.find_cells(longs(1, 2), longs(1), longs(-1, -1), longs(0, 0), longs(0, 0), 0, longs(0, 0))


def test_read_only_columns_are_taken(kernel: ModuleType) -> None:
    values = np.arange(4, dtype=np.float64)
    valid = np.array([True, False, True, True])
    for array in (values, valid):
        array.flags.writeable = False
    assert kernel.sum_floats(values, valid, longs(0), longs(4)).tolist() == [5.0]
