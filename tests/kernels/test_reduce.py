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


TIMES = [-(1 << 63) + 2, -(1 << 62), -7, -1, 0, 1, 5, 10, 11, 1 << 62, (1 << 63) - 2]
CELLS = 4


class Batch:
    """A column with times, and slices of it with their cells."""

    def __init__(self, rng: random.Random, make: Callable[[], Any], dtype: Any) -> None:
        self.values, self.valid, self.shown = random_column(rng, make, dtype)
        rows = len(self.values)
        self.begins, self.ends = random_slices(rng, rows)
        self.cells = longs(*(rng.randrange(CELLS) for _ in self.begins))
        self.times = longs(*(rng.choice(TIMES) for _ in range(rows)))
        for begin, end in zip(self.begins.tolist(), self.ends.tolist(), strict=True):
            self.times[begin:end].sort()

    def slices(self) -> list[tuple[int, list[tuple[int, Any]]]]:
        """Of each slice its cell and the (time, value) of its valid rows."""
        return [
            (cell, [(int(self.times[i]), v) for i, v in present(self.shown, begin, end)])
            for cell, begin, end in zip(self.cells.tolist(), self.begins.tolist(), self.ends.tolist(), strict=True)
        ]


def batches(rng: random.Random, make: Callable[[], Any], dtype: Any) -> list[Batch]:
    return [Batch(rng, make, dtype) for _ in range(3)]


def met(given: list[Batch]) -> list[list[tuple[int, Any]]]:
    """Of each cell the (time, value) of everything that went into it."""
    every: list[list[tuple[int, Any]]] = [[] for _ in range(CELLS)]
    for batch in given:
        for cell, rows in batch.slices():
            every[cell] += rows
    return every


def counts_of(given: list[Batch]) -> list[int]:
    return [len(rows) for rows in met(given)]


def picks(dtype: Any) -> tuple[npt.NDArray[np.bool_], npt.NDArray[Any], npt.NDArray[np.int64]]:
    return np.zeros(CELLS, np.bool_), np.zeros(CELLS, dtype), np.zeros(CELLS, np.int64)


@pytest.fixture(params=["built", "pure", "crossed", "crossed back"])
def builds(request: pytest.FixtureRequest) -> list[ModuleType]:
    """Which build takes each of three batches into the same cells."""
    return {
        "built": [BUILT] * 3,
        "pure": [PURE] * 3,
        "crossed": [BUILT, PURE, BUILT],
        "crossed back": [PURE, BUILT, PURE],
    }[request.param]


@pytest.mark.parametrize("seed", range(SEED, SEED + ROUNDS))
def test_sums_and_counts(builds: list[ModuleType], seed: int) -> None:
    rng = random.Random(seed)
    floats = batches(rng, lambda: rng.choice(FLOATS), np.float64)
    sums, counts = np.zeros(CELLS), np.zeros(CELLS, np.int64)
    for kernel, b in zip(builds, floats, strict=True):
        kernel.sum_floats(b.cells, b.values, b.valid, b.begins, b.ends, counts, sums)
        kernel.sum_floats(b.cells, b.values, b.valid, b.begins, b.ends, None, np.zeros(CELLS))
    assert counts.tolist() == counts_of(floats)
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(sums, [float(np.sum(np.array([v for _, v in rows]))) for rows in met(floats)])
    integers = batches(rng, lambda: rng.choice(INTEGERS), np.int64)
    words, counts, again = np.zeros(CELLS, np.uint64), np.zeros(CELLS, np.int64), np.zeros(CELLS, np.int64)
    for kernel, b in zip(builds, integers, strict=True):
        kernel.sum_integers(b.cells, b.values.view(np.uint64), b.valid, b.begins, b.ends, counts, words)
        if b.valid is None:
            kernel.add_counts(b.cells, b.ends - b.begins, again)
        else:
            kernel.count(b.cells, b.valid, b.begins, b.ends, again)
    assert counts.tolist() == again.tolist() == counts_of(integers)
    assert words.tolist() == [sum(v for _, v in rows) % (1 << 64) for rows in met(integers)]


@pytest.mark.parametrize("largest", [False, True])
@pytest.mark.parametrize("seed", range(SEED, SEED + ROUNDS))
def test_extremes_of_floats(builds: list[ModuleType], seed: int, largest: bool) -> None:
    rng = random.Random(seed)
    pool = rng.choice([FLOATS, [0.0, -0.0, math.nan], [math.nan, math.inf, -math.inf], [math.nan]])
    given = batches(rng, lambda: rng.choice(pool), np.float64)
    seen, values, times = picks(np.float64)
    counts = np.zeros(CELLS, np.int64)
    for kernel, b in zip(builds, given, strict=True):
        kernel.extreme_floats(
            b.cells, b.values, b.valid, b.times, b.begins, b.ends, largest, counts, seen, values, times
        )
    assert counts.tolist() == counts_of(given)
    for cell, rows in enumerate(met(given)):
        assert seen[cell] == bool(rows)
        real = [(v, t) for t, v in rows if not math.isnan(v)]
        if real:
            value, time = min(real, key=lambda vt: (-vt[0] if largest else vt[0], vt[1]))
            assert values[cell] == value
            assert value != 0 or math.copysign(1, values[cell]) == 1
            assert times[cell] == time
        elif rows:
            assert math.isnan(values[cell])
            assert times[cell] == min(t for t, _ in rows)


@pytest.mark.parametrize("largest", [False, True])
@pytest.mark.parametrize("unsigned", [False, True])
@pytest.mark.parametrize("seed", range(SEED, SEED + ROUNDS))
def test_extremes_of_integers(builds: list[ModuleType], seed: int, unsigned: bool, largest: bool) -> None:
    rng = random.Random(seed)
    pool = [v % (1 << 64) for v in INTEGERS] if unsigned else INTEGERS
    given = batches(rng, lambda: rng.choice(pool), np.uint64 if unsigned else np.int64)
    seen, keys, times = picks(np.int64)
    counts = np.zeros(CELLS, np.int64)
    for kernel, b in zip(builds, given, strict=True):
        rows = b.values.view(np.int64), b.valid, b.times, b.begins, b.ends
        kernel.extreme_integers(b.cells, *rows, unsigned, largest, counts, seen, keys, times)
    assert counts.tolist() == counts_of(given)
    for cell, found in enumerate(met(given)):
        assert seen[cell] == bool(found)
        if found:
            value, time = min(((v, t) for t, v in found), key=lambda vt: (-vt[0] if largest else vt[0], vt[1]))
            assert (int(keys[cell]) + (1 << 63) if unsigned else keys[cell]) == value
            assert times[cell] == time


def float_key(value: float) -> int:
    """As `edges` has it."""
    bits = int(np.array([value]).view(np.int64)[0])
    return -(1 << 63) if math.isnan(value) else bits ^ ((bits >> 63) & ((1 << 63) - 1))


def test_float_keys_sort_as_floats() -> None:
    ordered = [math.nan, -math.inf, -2.25, -1e-300, -0.0, 0.0, 1e-300, 1.5, math.inf]
    keys = [float_key(v) for v in ordered]
    assert sorted(set(keys)) == keys


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("name", ["SIGNED", "UNSIGNED", "FLOAT"])
@pytest.mark.parametrize("seed", range(SEED, SEED + ROUNDS))
def test_edges(builds: list[ModuleType], seed: int, name: str, last: bool) -> None:
    rng = random.Random(seed)
    key_of: Callable[[Any], int]
    if name == "FLOAT":
        given, key_of = batches(rng, lambda: rng.choice([*FLOATS, -math.nan]), np.float64), float_key
    elif name == "UNSIGNED":
        given, key_of = batches(rng, lambda: rng.choice(INTEGERS) % (1 << 64), np.uint64), lambda v: v - (1 << 63)
    else:
        given, key_of = batches(rng, lambda: rng.choice(INTEGERS), np.int64), lambda v: v
    seen, keys, times = picks(np.int64)
    counts = np.zeros(CELLS, np.int64)
    candidates: list[list[tuple[int, int]]] = [[] for _ in range(CELLS)]
    for kernel, b in zip(builds, given, strict=True):
        rows = b.values.view(np.int64), b.valid, b.times, b.begins, b.ends
        kernel.edges(b.cells, *rows, getattr(kernel, name), last, counts, seen, keys, times)
        for cell, found in b.slices():
            if found:
                time, value = found[-1 if last else 0]
                candidates[cell].append((time, key_of(value)))
        edge = kernel.edge_rows(b.valid, b.begins, b.ends, last)
        spans = zip(b.begins.tolist(), b.ends.tolist(), strict=True)
        there = [[i for i, _ in present(b.shown, *span)] for span in spans]
        assert edge.tolist() == [each[-1 if last else 0] if each else -1 for each in there]
    assert counts.tolist() == [len(each) for each in candidates]
    for cell, each in enumerate(candidates):
        assert seen[cell] == bool(each)
        if each:
            assert (times[cell], keys[cell]) == max(each, key=lambda tk: (tk[0] if last else -tk[0], tk[1]))


@pytest.mark.parametrize("seed", range(SEED, SEED + ROUNDS))
def test_moments_of_slices_merge_to_those_of_all(builds: list[ModuleType], seed: int) -> None:
    rng = random.Random(seed)
    given = batches(rng, lambda: rng.uniform(-10, 10), np.float64)
    counts, count, mean, m2 = np.zeros(CELLS, np.int64), np.zeros(CELLS, np.int64), np.zeros(CELLS), np.zeros(CELLS)
    for kernel, b in zip(builds, given, strict=True):
        kernel.moments(b.cells, b.values, b.valid, b.begins, b.ends, counts, count, mean, m2)
    assert counts.tolist() == count.tolist() == counts_of(given)
    for cell, rows in enumerate(met(given)):
        every = [v for _, v in rows]
        assert mean[cell] == pytest.approx(np.mean(every) if every else 0.0, abs=1e-12)
        assert m2[cell] == pytest.approx(np.var(every) * len(every) if every else 0.0, abs=1e-9)


def test_a_mean_of_large_values_does_not_overflow(kernel: ModuleType) -> None:
    count, mean, m2 = longs(0), np.zeros(1), np.zeros(1)
    kernel.moments(longs(0), np.array([1.5e308, 1.7e308]), None, longs(0), longs(2), None, count, mean, m2)
    assert mean[0] == pytest.approx(1.6e308)


@pytest.mark.parametrize("seed", range(SEED, SEED + ROUNDS))
def test_adding_what_is_known(kernel: ModuleType, seed: int) -> None:
    rng = random.Random(seed)
    n = rng.choice([0, 1, 20])
    cells = longs(*(rng.randrange(CELLS) for _ in range(n)))
    keys = longs(*(rng.choice(INTEGERS) for _ in range(n)))
    times = longs(*(rng.choice(TIMES) for _ in range(n)))
    rows = list(zip(cells.tolist(), keys.tolist(), times.tolist(), strict=True))
    counts, words, floats = np.zeros(CELLS, np.int64), np.zeros(CELLS, np.uint64), np.zeros(CELLS)
    kernel.add_counts(cells, np.ones(n, np.int64), counts)
    kernel.add_integers(cells, keys.view(np.uint64), words)
    kernel.add_floats(cells, times / 2.0, floats)
    for cell in range(CELLS):
        mine = [(k, t) for c, k, t in rows if c == cell]
        assert counts[cell] == len(mine)
        assert words[cell] == sum(k for k, _ in mine) % (1 << 64)
        assert floats[cell] == pytest.approx(sum(t / 2.0 for _, t in mine), rel=1e-9, abs=1e4)


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


Reduce = Callable[..., None]


def reducers(kernel: ModuleType) -> list[tuple[Reduce, list[npt.NDArray[Any]]]]:
    """Each family as call(cells, valid, begins, ends, times=...) over four rows, with its two cells' arrays."""
    made: list[tuple[Reduce, list[npt.NDArray[Any]]]] = []
    values, words, every = np.ones(4), np.ones(4, np.int64), longs(1, 2, 3, 4)

    def cells_of(*dtypes: Any) -> list[npt.NDArray[Any]]:
        return [np.zeros(2, dtype) for dtype in (np.int64, *dtypes)]

    state = cells_of()
    made.append((lambda c, v, b, e, times=every, s=state: kernel.count(c, v, b, e, *s), state))
    state = cells_of(np.float64)
    made.append((lambda c, v, b, e, times=every, s=state: kernel.sum_floats(c, values, v, b, e, *s), state))
    state = cells_of(np.uint64)
    made.append((lambda c, v, b, e, times=every, s=state: kernel.sum_integers(c, words.view("u8"), v, b, e, *s), state))
    state = cells_of(np.int64, np.float64, np.float64)
    made.append((lambda c, v, b, e, times=every, s=state: kernel.moments(c, values, v, b, e, *s), state))
    state = cells_of(np.bool_, np.float64, np.int64)
    made.append(
        (lambda c, v, b, e, times=every, s=state: kernel.extreme_floats(c, values, v, times, b, e, True, *s), state)
    )
    for name, flag in (("extreme_integers", False), ("edges", kernel.SIGNED)):
        call, state = getattr(kernel, name), cells_of(np.bool_, np.int64, np.int64)
        made.append(
            (
                lambda c, v, b, e, times=every, s=state, k=call, f=flag: k(c, words, v, times, b, e, f, True, *s),
                state,
            )
        )
    return made


def test_families_refuse_what_would_reach_outside_and_change_nothing(kernel: ModuleType) -> None:
    valid = np.ones(4, np.bool_)
    good = longs(0, 1), valid, longs(0, 2), longs(2, 4)
    outside = [
        (good[0], valid, longs(0, -1), longs(2, 4)),
        (good[0], valid, longs(0, 2), longs(2, 5)),
        (good[0], valid, longs(0, 3), longs(2, 2)),
        (good[0], valid, longs(0), longs(2, 4)),
        (longs(0, 2), *good[1:]),
        (longs(0, -1), *good[1:]),
        (longs(0), *good[1:]),
    ]
    for number, (call, state) in enumerate(reducers(kernel)):
        for wrong in outside:
            with pytest.raises(ValueError, match=r"slice|cell"):
                call(*wrong)
        if number:
            with pytest.raises(ValueError, match="validity"):
                call(good[0], valid[:3], *good[2:])
        if number >= 4:
            with pytest.raises(ValueError, match="times"):
                call(*good, times=longs(1, 2, 3))
        assert not any(array.any() for array in state)
        for at in range(len(state)):
            mended = state[at]
            short = [*state[:at], mended[:1], *state[at + 1 :]]
            with pytest.raises(ValueError, match=r"cell|count"):
                call(*good, s=short)
        assert not any(array.any() for array in state)
        call(*good)
        assert all(array.any() for array in state[:2])


def test_doors_refuse_what_would_reach_outside(kernel: ModuleType) -> None:
    values, words, zero = np.zeros(4), np.zeros(4, np.uint64), longs(0)
    for begins, ends in [(longs(-1), longs(2)), (longs(0), longs(5)), (longs(3), longs(2)), (longs(0, 1), longs(2))]:
        with pytest.raises(ValueError, match="slice"):
            kernel.edge_rows(values > 0, begins, ends, True)
        with pytest.raises(ValueError, match="slice"):
            kernel.split(words.view(np.int64), begins, ends, 0, 1)
        with pytest.raises(ValueError, match="slice"):
            kernel.bounds(words.view(np.int64), begins, ends, begins, begins)
    with pytest.raises(ValueError, match="interval"):
        kernel.split(words.view(np.int64), zero, longs(4), 0, 0)
    with pytest.raises(ValueError, match="bounds"):
        kernel.bounds(words.view(np.int64), zero, longs(4), longs(), longs())
    for cell in (-1, 4):
        with pytest.raises(ValueError, match="cell"):
            kernel.add_counts(longs(cell), longs(1), np.zeros(4, np.int64))
    with pytest.raises(ValueError, match="cell"):
        kernel.add_floats(longs(0, 1), np.zeros(1), values)
    with pytest.raises(ValueError, match="room"):
        kernel.find_cells(longs(1, 2), longs(1, 2), longs(-1, -1), longs(0, 0), longs(0, 0), 0, longs(0, 0))
    with pytest.raises(ValueError, match="cell"):
        kernel.find_cells(longs(1, 2), longs(1), longs(-1, -1), longs(0, 0), longs(0, 0), 0, longs(0, 0))


def test_read_only_columns_are_taken(kernel: ModuleType) -> None:
    values = np.arange(4, dtype=np.float64)
    valid = np.array([True, False, True, True])
    for array in (values, valid):
        array.flags.writeable = False
    sums, counts = np.zeros(1), longs(0)
    kernel.sum_floats(longs(0), values, valid, longs(0), longs(4), counts, sums)
    assert (sums.tolist(), counts.tolist()) == ([5.0], [3])
