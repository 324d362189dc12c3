"""Technical analysis: exponential moving averages, Kaufman's adaptive one, and oscillators.

Definitions are those of InfluxQL 1.x's documentation. Every function takes a period, optionally a hold period (how
many rows of a group give nothing yet; -1 = what suits the function) and, most of them, how the
first period is averaged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from rusts.kernels import smoothing
from rusts.model.batch import Column
from rusts.model.types import FieldType
from rusts.query.transforms.base import NUMERIC, Parameter, Runs, Setting, TransformFunction, kept, within

__all__ = ["AVERAGES", "WARMUPS"]

WARMUPS: Final = ("exponential", "simple", "none")
"""How the first period is averaged: with growing periods, plainly, or (chande_momentum_oscillator) not at all."""

_EXPONENTIAL: Final = 0
_SIMPLE: Final = 1
_NONE: Final = 2

_FAST: Final = 2.0 / 3.0
_SLOW: Final = 2.0 / 31.0
"""Kaufman's fastest and slowest smoothing: exponential averages over 2 and over 30 values."""

Formula = Callable[[npt.NDArray[np.float64], npt.NDArray[np.int64], int, int], npt.NDArray[np.float64]]
"""(values, starts, period, warm-up) to one value per row."""


def _changes(values: npt.NDArray[np.float64], starts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Each value minus the one before it in its group; the first is its own change from zero."""
    before = np.concatenate([[0.0], values[:-1]]) if len(values) else values
    before[starts[:-1][np.diff(starts) > 0]] = 0.0
    return values - before


def _layers(
    values: npt.NDArray[np.float64], starts: npt.NDArray[np.int64], period: int, warmup: int, depth: int
) -> tuple[npt.NDArray[np.float64], ...]:
    """The exponential average, that of the average, and so on: `depth` of them."""
    return tuple(smoothing.exponential_averages(values, starts, period, 2.0 / (period + 1), warmup == _SIMPLE, depth))


def _ema(
    values: npt.NDArray[np.float64], starts: npt.NDArray[np.int64], period: int, warmup: int
) -> npt.NDArray[np.float64]:
    return _layers(values, starts, period, warmup, 1)[0]


def _dema(
    values: npt.NDArray[np.float64], starts: npt.NDArray[np.int64], period: int, warmup: int
) -> npt.NDArray[np.float64]:
    one, two = _layers(values, starts, period, warmup, 2)
    made: npt.NDArray[np.float64] = 2.0 * one - two
    return made


def _tema(
    values: npt.NDArray[np.float64], starts: npt.NDArray[np.int64], period: int, warmup: int
) -> npt.NDArray[np.float64]:
    one, two, three = _layers(values, starts, period, warmup, 3)
    made: npt.NDArray[np.float64] = 3.0 * one - 3.0 * two + three
    return made


def _trix(
    values: npt.NDArray[np.float64], starts: npt.NDArray[np.int64], period: int, warmup: int
) -> npt.NDArray[np.float64]:
    """How many percent the threefold average has grown since the row before."""
    three = _layers(values, starts, period, warmup, 3)[2]
    before = np.concatenate([three[:1], three[:-1]])
    firsts = starts[:-1][np.diff(starts) > 0]
    before[firsts] = three[firsts]
    with np.errstate(divide="ignore", invalid="ignore"):
        made: npt.NDArray[np.float64] = (three / before - 1.0) * 100.0
    return made


def _swings(
    values: npt.NDArray[np.float64], starts: npt.NDArray[np.int64], period: int, warmup: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Wilder's averages of the rises and of the falls, which give a new one the weight ``1 / period``."""
    changes = _changes(values, starts)
    up, down = (
        smoothing.exponential_averages(each, starts, period + 1, 1.0 / period, warmup == _SIMPLE, 1)[0]
        for each in (np.fmax(changes, 0.0), np.fmax(-changes, 0.0))
    )
    return up, down


def _rsi(
    values: npt.NDArray[np.float64], starts: npt.NDArray[np.int64], period: int, warmup: int
) -> npt.NDArray[np.float64]:
    up, down = _swings(values, starts, period, warmup)
    with np.errstate(divide="ignore", invalid="ignore"):
        return 100.0 - 100.0 / (1.0 + up / down)


def _cmo(
    values: npt.NDArray[np.float64], starts: npt.NDArray[np.int64], period: int, warmup: int
) -> npt.NDArray[np.float64]:
    """Rises less falls as a percentage of both; sums of the last `period` changes, or Wilder's averages."""
    if warmup != _NONE:
        up, down = _swings(values, starts, period, warmup)
        with np.errstate(divide="ignore", invalid="ignore"):
            return (up - down) / (up + down) * 100.0
    changes = _changes(values, starts)
    changes[starts[:-1][np.diff(starts) > 0]] = 0.0
    up = smoothing.moving_sums(np.maximum(changes, 0.0), starts, period)
    down = smoothing.moving_sums(np.maximum(-changes, 0.0), starts, period)
    both = up + down
    return np.divide(up - down, both, out=np.zeros(len(both)), where=both != 0.0) * 100.0


def _ker(
    values: npt.NDArray[np.float64], starts: npt.NDArray[np.int64], period: int, _: int
) -> npt.NDArray[np.float64]:
    """How far the value has come in `period` rows, as a share of the way that it went."""
    noise = smoothing.moving_sums(np.abs(_changes(values, starts)), starts, period)
    rows = np.arange(len(values), dtype=np.int64)
    begins = np.repeat(starts[:-1], np.diff(starts))
    back = rows - min(period, len(values))
    origin = np.where(back >= begins, values[back], 0.0)
    return np.divide(np.abs(values - origin), noise, out=np.zeros(len(values)), where=noise != 0.0)


def _kama(
    values: npt.NDArray[np.float64], starts: npt.NDArray[np.int64], period: int, warmup: int
) -> npt.NDArray[np.float64]:
    weights = _ker(values, starts, period, warmup) * (56.0 / 93.0) + _SLOW
    return smoothing.adaptive_average(values, weights * weights, starts, period)


def _average(
    name: str, formula: Formula, hold: Callable[[int, int], int], warmup: int = _EXPONENTIAL, warmups: bool = True
) -> TransformFunction:
    """A function of this module; `hold` gives the default hold period for a period and a warm-up."""

    def compute(runs: Runs, arguments: tuple[float, ...], _: Setting) -> Runs:
        period = int(arguments[0])
        chosen = int(arguments[2]) if len(arguments) > 2 else warmup
        held = int(arguments[1]) if len(arguments) > 1 and arguments[1] >= 0 else hold(period, chosen)
        made = formula(runs.values.astype(np.float64, copy=False), runs.starts, period, chosen)
        return kept(runs, within(runs) >= held, Column(FieldType.FLOAT, made))

    parameters = (Parameter.INTEGER, Parameter.INTEGER, Parameter.WARMUP)
    return TransformFunction(name, NUMERIC, FieldType.FLOAT, compute, parameters if warmups else parameters[:2], 1)


def _hold_layers(layers: int) -> Callable[[int, int], int]:
    """Plainly averaged, each layer waits for its own first period."""
    return lambda period, warmup: (period - 1) * (layers if warmup == _SIMPLE else 1)


AVERAGES: Final = (
    _average("exponential_moving_average", _ema, _hold_layers(1)),
    _average("double_exponential_moving_average", _dema, _hold_layers(2)),
    _average("triple_exponential_moving_average", _tema, _hold_layers(3)),
    _average("triple_exponential_derivative", _trix, lambda period, warmup: _hold_layers(3)(period, warmup) + 1),
    _average("relative_strength_index", _rsi, lambda period, _: period),
    _average(
        "chande_momentum_oscillator", _cmo, lambda period, warmup: period - 1 if warmup == _NONE else period, _NONE
    ),
    _average("kaufmans_efficiency_ratio", _ker, lambda period, _: period, warmups=False),
    _average("kaufmans_adaptive_moving_average", _kama, lambda period, _: period, warmups=False),
)
"""The exponential family, Kaufman's two, and the two oscillators."""
