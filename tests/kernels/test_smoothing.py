"""Recurrences: both builds against the definitions, and against each other."""

from __future__ import annotations

import importlib
import itertools
import math
import os
import random
from collections.abc import Callable, Iterator
from types import ModuleType

import numpy as np
import numpy.typing as npt
import pytest

from rusts.kernels import pure

SEED = int(os.environ.get("RUSTS_SEED", "20240603"))
PURE = pure("smoothing")
BUILT = importlib.import_module("rusts.kernels.smoothing")
ROUNDS = 1000 if os.environ.get("RUSTS_PROOF") == "1" else 40

Floats = npt.NDArray[np.float64]
Longs = npt.NDArray[np.int64]


@pytest.fixture(params=[BUILT, PURE], ids=["built", "pure"])
def kernel(request: pytest.FixtureRequest) -> ModuleType:
    module = request.param
    assert isinstance(module, ModuleType)
    return module


def runs(rng: random.Random) -> tuple[Floats, Longs]:
    """Values in a few runs, some of them empty."""
    counts = [rng.choice([0, 1, 2, 7, 20]) for _ in range(rng.randint(0, 6))]
    values = [rng.choice([rng.uniform(-9, 9), 0.0, -0.0, 1e308, math.inf]) for _ in range(sum(counts))]
    return np.array(values, dtype=np.float64), np.cumsum([0, *counts])


def each(values: Floats, starts: Longs) -> Iterator[list[float]]:
    for start, stop in itertools.pairwise(starts.tolist()):
        yield values[start:stop].tolist()


def whole(values: Floats, starts: Longs, of_run: Callable[[list[float]], list[float]]) -> Floats:
    """`of_run` of every run, one after another."""
    return np.array([value for run in each(values, starts) for value in of_run(run)], dtype=np.float64)


def equal(one: Floats, other: Floats) -> bool:
    return one.shape == other.shape and np.array_equal(one, other, equal_nan=True)


@pytest.mark.parametrize("seed", range(SEED, SEED + ROUNDS))
def test_moving_sums(kernel: ModuleType, seed: int) -> None:
    rng = random.Random(seed)
    values, starts = runs(rng)
    width = rng.choice([0, 1, 2, 5, 1 << 70])

    def sums(run: list[float]) -> list[float]:
        total, out = 0.0, []
        for at, value in enumerate(run):
            total = total - run[at - width] + value if width and at >= width else total + value
            out.append(total)
        return out

    assert equal(kernel.moving_sums(values, starts, width), whole(values, starts, sums))


@pytest.mark.parametrize("seed", range(SEED, SEED + ROUNDS))
def test_exponential_averages(kernel: ModuleType, seed: int) -> None:
    rng = random.Random(seed)
    values, starts = runs(rng)
    values[np.isinf(values)] = 3.0
    warm, weight, depth = rng.choice([1, 2, 4, 1 << 70]), rng.random(), rng.choice([1, 3])

    def growing(run: list[float]) -> list[float]:
        last, out = 0.0, []
        for at, value in enumerate(run):
            last += (value - last) * (weight if at >= warm else 2.0 / (at + 2.0)) if at else value
            out.append(last)
        return out

    made = kernel.exponential_averages(values, starts, warm, weight, False, depth)
    assert made.shape == (depth, len(values))
    for level in range(depth):
        values = whole(values, starts, growing)
        assert equal(made[level], values)


def test_plain_warm_up_of_layers(kernel: ModuleType) -> None:
    values = np.array([1.0, 3.0, 5.0, 7.0, 2.0, 2.0, 8.0])
    one, two, three = kernel.exponential_averages(values, np.array([0, 6, 7]), 2, 0.5, True, 3)
    assert one.tolist() == [1.0, 2.0, 3.5, 5.25, 3.625, 2.8125, 8.0]
    # The second begins where the first has had its two values, the third one row later.
    assert two.tolist() == [1.0, 2.0, 2.75, 4.0, 3.8125, 3.3125, 8.0]
    assert three.tolist() == [1.0, 2.0, 2.75, 3.375, 3.59375, 3.453125, 8.0]


@pytest.mark.parametrize("seed", range(SEED, SEED + ROUNDS))
def test_adaptive_average(kernel: ModuleType, seed: int) -> None:
    rng = random.Random(seed)
    values, starts = runs(rng)
    values[np.isinf(values)] = 3.0
    weights = np.array([rng.random() for _ in values])
    period = rng.choice([1, 3, 1 << 70])
    out = []
    for start, stop in itertools.pairwise(starts.tolist()):
        last = 0.0
        for at in range(start, stop):
            out.append(last + weights[at] * (values[at] - last))
            last = out[-1] if at - start >= period else values[at]
    assert equal(kernel.adaptive_average(values, weights, starts, period), np.array(out, dtype=np.float64))


def test_last_standing(kernel: ModuleType) -> None:
    firsts, lasts = np.array([5, 4, 9, 6, 1]), np.array([5, 8, 9, 7, 3])
    assert kernel.last_standing(firsts, lasts, np.array([0, 4, 4, 5])).tolist() == [3, 4, 4]
    assert kernel.last_standing(firsts, lasts, np.array([0, 1, 3, 5])).tolist() == [0, 1, 4]


def simplex(rng: random.Random, season: int) -> tuple[Floats, Floats, Floats]:
    """Values, some missing, a simplex for them, and room for its errors."""
    count = rng.randint(max(2, season), 12)
    values = np.array([rng.uniform(1, 9) if at == 0 or rng.random() < 0.9 else math.nan for at in range(count)])
    size = 6 + season
    corners = np.zeros((size + 5, size))
    corners[: size + 1] = [[rng.uniform(-0.2, 1.2) for _ in range(size)] for _ in range(size + 1)]
    return values, corners, np.empty(size + 1)


@pytest.mark.parametrize("seed", range(SEED, SEED + ROUNDS))
def test_both_builds_walk_the_same_way(seed: int) -> None:
    rng = random.Random(seed)
    values, corners, errors = simplex(rng, rng.choice([0, 2, 3]))
    others, other_errors = corners.copy(), errors.copy()
    assert BUILT.descend(values, corners, errors, 0, 100) == PURE.descend(values, others, other_errors, 0, 100)
    assert equal(errors, other_errors)
    assert equal(corners, others)
    size = corners.shape[1]
    before = errors.min()
    assert BUILT.descend(values, corners, errors, size + 1, 15) == pytest.approx(
        PURE.descend(values, others, other_errors, size + 1, 15), nan_ok=True, rel=0, abs=0
    )
    assert equal(errors, other_errors)
    assert equal(corners, others)
    # A step may go over a season that the evaluation of another corner has moved, but never loses the best.
    assert errors.min() <= before
    point = corners[0].copy()
    assert equal(BUILT.forecast(values, point.copy(), 5), PURE.forecast(values, point.copy(), 5))
    assert BUILT.squared_error(values, point.copy()) == PURE.squared_error(values, point.copy())


def test_forecast_without_season_follows_the_damped_trend(kernel: ModuleType) -> None:
    point = np.array([0.0, 0.0, 0.0, 0.5, 10.0, 4.0])
    made = kernel.forecast(np.array([10.0]), point, 3)
    # With no weight for new values: level l + phi b, trend phi b, and the sum of dampings ahead.
    assert made.tolist() == [10.0, 12.0 + 0.5 * 2.0, 13.0 + 1.0 * 1.0, 13.5 + 1.25 * 0.5]


def test_parameters_are_forced_into_their_range(kernel: ModuleType) -> None:
    point = np.array([1.5, -0.5, 2.0, -1.0, 1.0, 1.0])
    kernel.forecast(np.array([1.0, 2.0]), point, 0)
    assert point[:4].tolist() == [1.0, 0.0, 1.0, 0.0]


def test_a_division_by_nothing(kernel: ModuleType) -> None:
    values = np.array([1.0, 2.0, 3.0])
    point = np.array([0.5, 0.5, 0.5, 0.5, 1.0, 1.0, 0.0, 0.0])
    assert kernel.squared_error(values, point.copy()) == math.inf
    assert not np.isfinite(kernel.forecast(values, point, 2)[1:]).all()


def test_what_does_not_fit(kernel: ModuleType) -> None:
    values = np.zeros(3)
    for starts in ([0, 2], [1, 3], [0, 2, 1, 3], []):
        with pytest.raises(ValueError, match="starts"):
            kernel.moving_sums(values, np.array(starts, dtype=np.int64), 1)
    good = np.array([0, 3])
    with pytest.raises(ValueError, match="width"):
        kernel.moving_sums(values, good, -1)
    with pytest.raises(ValueError, match="warm-up"):
        kernel.exponential_averages(values, good, 0, 0.5, False, 1)
    with pytest.raises(ValueError, match="weight"):
        kernel.adaptive_average(values, values[1:], good, 1)
    with pytest.raises(ValueError, match="last"):
        kernel.last_standing(np.zeros(3, dtype=np.int64), np.zeros(2, dtype=np.int64), good)
    with pytest.raises(ValueError, match="parameters"):
        kernel.forecast(values, np.zeros(5), 1)
    with pytest.raises(ValueError, match="parameters"):
        kernel.squared_error(values[:0], np.zeros(6))
    with pytest.raises(ValueError, match="corner"):
        kernel.descend(values, np.zeros((7, 6)), np.zeros(7), 0, 1)
