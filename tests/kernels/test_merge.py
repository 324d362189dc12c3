"""The merge of sorted sources: both builds against a stable sort."""

from __future__ import annotations

import importlib
import itertools
import os
import random
from types import ModuleType

import numpy as np
import pytest

from rusts.kernels import pure

SEED = int(os.environ.get("RUSTS_SEED", "20240602"))
PURE = pure("merge")
BUILT = importlib.import_module("rusts.kernels.merge")
ROUNDS = 3000 if os.environ.get("RUSTS_PROOF") == "1" else 100


@pytest.fixture(params=[BUILT, PURE], ids=["built", "pure"])
def kernel(request: pytest.FixtureRequest) -> ModuleType:
    module = request.param
    assert isinstance(module, ModuleType)
    return module


@pytest.mark.parametrize("seed", range(SEED, SEED + ROUNDS))
def test_merge_order_is_a_stable_sort(kernel: ModuleType, seed: int) -> None:
    rng = random.Random(seed)
    ends = [0, 1, (1 << 63) - 1, -(1 << 63)]
    sources = [
        sorted(
            (rng.choice([0, 1, 2, (1 << 32) - 1]), rng.choice([*ends, rng.randint(-9, 9)]))
            for _ in range(rng.choice([0, 1, 5, 30]))
        )
        for _ in range(rng.randint(1, 9))
    ]
    rows = [row for source in sources for row in source]
    series = np.array([s for s, _ in rows], dtype=np.uint32)
    times = np.array([t for _, t in rows], dtype=np.int64)
    offsets = np.cumsum([0, *map(len, sources)], dtype=np.int64)
    order, firsts = kernel.merge_order(series, times, offsets)
    wanted = sorted(range(len(rows)), key=rows.__getitem__)
    assert order.tolist() == wanted
    begins = [i for i in range(len(rows)) if i == 0 or rows[wanted[i]] != rows[wanted[i - 1]]]
    if firsts is None:
        assert len(begins) == len(rows)
    else:
        assert len(begins) < len(rows)
        assert firsts.tolist() == begins


@pytest.mark.parametrize("offsets", [[0], [1, 2], [0, 1], [0, 3], [0, 2, 1, 2], []])
def test_offsets_that_do_not_fit_are_refused(kernel: ModuleType, offsets: list[int]) -> None:
    two = np.zeros(2, dtype=np.uint32), np.zeros(2, dtype=np.int64)
    with pytest.raises(ValueError, match="offsets"):
        kernel.merge_order(*two, np.array(offsets, dtype=np.int64))
    with pytest.raises(ValueError, match="offsets"):
        kernel.merge_order(two[0][:1], two[1], np.array([0, 2], dtype=np.int64))


@pytest.mark.parametrize("seed", range(SEED, SEED + ROUNDS))
def test_grouping_puts_rows_in_the_order_of_a_stable_sort_by_series(kernel: ModuleType, seed: int) -> None:
    rng = random.Random(seed)
    least = rng.choice([0, 5, (1 << 32) - 9])
    rows = rng.choice([1, 2, 40])
    series = np.array([least + rng.randrange(9) for _ in range(rows)], dtype=np.uint32)
    times = np.sort(np.array(rng.sample(range(-99, 99), rows), dtype=np.int64))
    grouping = kernel.Grouping(least, least + 8)
    cuts = sorted({0, rows, rng.randint(0, rows)})
    pieces = [slice(a, b) for a, b in itertools.pairwise(cuts)]
    for piece in pieces:
        grouping.count(series[piece])
    assert grouping.counts.tolist() == np.bincount(series - np.uint32(least), minlength=9).tolist()
    places = np.concatenate([grouping.place(series[piece], times[piece]) for piece in pieces])
    assert np.argsort(places).tolist() == np.argsort(series, kind="stable").tolist()


def test_grouping_tells_of_a_time_that_does_not_rise(kernel: ModuleType) -> None:
    series = np.array([7, 8, 7], dtype=np.uint32)
    for times in ([5, 5, 5], [5, 5, 4]):
        grouping = kernel.Grouping(7, 8)
        grouping.count(series)
        assert grouping.place(series, np.array(times, dtype=np.int64)) is None


def test_grouping_refuses_rows_that_it_has_no_place_for(kernel: ModuleType) -> None:
    series, times = np.array([7, 8], dtype=np.uint32), np.array([1, 2], dtype=np.int64)
    with pytest.raises(ValueError, match="announced"):
        kernel.Grouping(7, 7).count(series)
    with pytest.raises(ValueError, match="counted"):
        kernel.Grouping(7, 8).place(series, times)
    grouping = kernel.Grouping(7, 8)
    grouping.count(series)
    with pytest.raises(ValueError, match="time"):
        grouping.place(series, times[:1])
    with pytest.raises(ValueError, match="counted"):
        grouping.place(series[::-1].copy() + np.uint32(1), times)
