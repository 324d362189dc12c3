"""Forecasts by the damped Holt-Winters method with a multiplicative season.

The model's parameters are those that a simplex (Nelder and Mead 1965) finds to fit the group's values best, started
from each corner of a small grid.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from rusts.kernels import smoothing
from rusts.model.batch import Column
from rusts.model.time import MAX_TIME
from rusts.model.types import FieldType
from rusts.query.transforms.base import NUMERIC, SECOND, Parameter, Runs, Setting, TransformFunction

__all__ = ["FORECASTS"]

_GUESSES: Final = (0.3, 0.7)
"""Where the search for alpha, beta, gamma and phi starts, each with each."""

_MOST_STEPS: Final = 1000
_SMALL: Final = 1e-8
"""The search ends where the variance of the errors at the simplex's corners is below this."""

_WORK: Final = 1_000_000
"""Values that the model may make between two calls of ``Setting.check``."""


def _series(
    times: npt.NDArray[np.int64], values: npt.NDArray[np.float64], interval: int, check: Callable[[int], None]
) -> npt.NDArray[np.float64]:
    """The values at a step of `interval`, NaN where one is missing; `check` as in `Setting`."""
    steps = np.maximum(np.diff(times) - interval // 2 - 1, 0) // interval
    places = np.zeros(len(times), dtype=np.int64)
    np.cumsum(steps + 1, out=places[1:])
    check(int(places[-1]))
    series = np.full(int(places[-1]) + 1, np.nan)
    series[places] = values
    return series


def _guess(series: npt.NDArray[np.float64], season: int) -> npt.NDArray[np.float64]:
    """Level, trend and seasonal factors to start from."""
    if not season:
        trend = 0.5 * (series[1] - series[0])
        return np.array([0.5 * series[0], 0.0 if math.isnan(trend) else trend])
    level = 0.0
    for value in series[:season].tolist():
        if not math.isnan(value):
            level += 1.0 / season * value
    trend = 0.0
    for one, other in zip(series[:season].tolist(), series[season : 2 * season].tolist(), strict=False):
        rise = other - one
        if not math.isnan(rise):
            trend += 1.0 / (season * season) * rise
    with np.errstate(divide="ignore", invalid="ignore"):
        factors = np.where(np.isnan(series[:season]), 0.0, series[:season] / level)
    return np.concatenate([[level, trend], factors])


def _fit(series: npt.NDArray[np.float64], season: int, setting: Setting) -> npt.NDArray[np.float64]:
    """The parameters with the least sum of squared errors."""
    guess = _guess(series, season)
    size = 4 + len(guess)
    near = (math.sqrt(size + 1) - 1) / (size * math.sqrt(2))
    far = (math.sqrt(size + 1) - 1 + size) / (size * math.sqrt(2))
    share = max(1, _WORK // len(series))
    # The corners of a long season are the most that is needed.
    setting.check((size + 5) * size)
    least = math.inf
    best: npt.NDArray[np.float64] | None = None
    for weights in itertools.product(_GUESSES, repeat=4):
        start = np.concatenate([weights, guess])
        corners = np.zeros((size + 5, size))
        corners[0] = start
        corners[1 : size + 1] = start + near
        corners[np.arange(size) + 1, np.arange(size)] = start + far
        errors = np.empty(size + 1)
        for known in range(0, size + 1, share):
            setting.check(0)
            smoothing.descend(series, corners, errors, known, share)
        for done in range(0, _MOST_STEPS, share):
            setting.check(0)
            if smoothing.descend(series, corners, errors, size + 1, min(share, _MOST_STEPS - done)) < _SMALL:
                break
        at = 0
        for corner in range(1, size + 1):
            if errors[corner] < errors[at]:
                at = corner
        point = corners[at].copy()
        error = smoothing.squared_error(series, corners[at])
        if best is None or error < least:
            least, best = error, point
    assert best is not None
    return best


def _forecast(runs: Runs, arguments: tuple[float, ...], setting: Setting, fit: bool) -> Runs:
    ahead, season = int(arguments[0]), int(arguments[1])
    season = season if season >= 2 else 0
    interval = setting.interval or SECOND
    values = runs.values.astype(np.float64, copy=False)
    times: list[npt.NDArray[np.int64]] = []
    made: list[npt.NDArray[np.float64]] = []
    counts = np.zeros(len(runs.counts), dtype=np.int64)
    for group, (start, stop) in enumerate(itertools.pairwise(runs.starts.tolist())):
        # Nothing can be foretold backwards: InfluxDB gives no rows then.
        if stop - start < max(2, season) or setting.descending:
            continue
        setting.check(ahead)
        series = _series(runs.times[start:stop], values[start:stop], interval, setting.check)
        whole = smoothing.forecast(series, _fit(series, season, setting), ahead)
        if not fit:
            whole = whole[len(series) :]
        origin = int(runs.times[start]) if fit else int(runs.times[stop - 1]) + interval
        # Not beyond the end of time.
        whole = whole[: max(0, (MAX_TIME - origin) // interval + 1)]
        grid = origin + interval * np.arange(len(whole), dtype=np.int64)
        known = ~np.isnan(whole)
        times.append(grid[known])
        made.append(whole[known])
        counts[group] = len(made[-1])
    starts = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum(counts, out=starts[1:])
    column = Column(FieldType.FLOAT, np.concatenate([np.zeros(0), *made]))
    return Runs(starts, np.concatenate([np.zeros(0, dtype=np.int64), *times]), column)


def _holt_winters(runs: Runs, arguments: tuple[float, ...], setting: Setting) -> Runs:
    """So many values behind the last one as the first argument says."""
    return _forecast(runs, arguments, setting, False)


def _holt_winters_with_fit(runs: Runs, arguments: tuple[float, ...], setting: Setting) -> Runs:
    """What the model makes of the values themselves as well."""
    return _forecast(runs, arguments, setting, True)


FORECASTS: Final = tuple(
    TransformFunction(
        name,
        NUMERIC,
        FieldType.FLOAT,
        compute,
        (Parameter.INTEGER, Parameter.INTEGER),
        2,
        refused_as="elapsed",
    )
    for name, compute in (("holt_winters", _holt_winters), ("holt_winters_with_fit", _holt_winters_with_fit))
)
"""holt_winters and holt_winters_with_fit: how many values ahead, and how many make a season (below 2 = none)."""
