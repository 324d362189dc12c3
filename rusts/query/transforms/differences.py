"""Transformations of neighbours: differences, rates, times between rows, and running totals."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rusts.kernels import smoothing
from rusts.model.batch import Column
from rusts.model.types import FieldType
from rusts.query.transforms.base import NUMERIC, SECOND, Parameter, Runs, Setting, TransformFunction, kept, within

__all__ = ["DIFFERENCES"]


def _firsts(runs: Runs) -> npt.NDArray[np.bool_]:
    """bool[rows]: which rows begin a group."""
    firsts = np.zeros(len(runs) + 1, dtype=np.bool_)
    firsts[runs.starts] = True
    return firsts[:-1]


def _advancing(runs: Runs) -> Runs:
    """Of rows of one time in a group the first."""
    moved = _firsts(runs)
    moved[1:] |= runs.times[1:] != runs.times[:-1]
    return kept(runs, moved)


def _shifted(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The value before each; the first stands before itself."""
    return np.concatenate([values[:1], values[:-1]])


def _difference(runs: Runs, _: tuple[float, ...], _setting: Setting) -> Runs:
    """Each value minus the one before it. Integers wrap."""
    runs = _advancing(runs)
    column = Column(runs.column.type, runs.values - _shifted(runs.values))
    return kept(runs, ~_firsts(runs), column)


def _non_negative_difference(runs: Runs, arguments: tuple[float, ...], setting: Setting) -> Runs:
    """As difference, without what is below zero."""
    if runs.column.type is FieldType.UNSIGNED:
        runs = _advancing(runs)
        before = _shifted(runs.values)
        risen = ~_firsts(runs) & (runs.values >= before)
        return kept(runs, risen, Column(FieldType.UNSIGNED, runs.values - before))
    made = _difference(runs, arguments, setting)
    return kept(made, ~(made.values < 0))


def _derivative(runs: Runs, arguments: tuple[float, ...], setting: Setting) -> Runs:
    """The change per unit of time: per GROUP BY interval, else per second, unless a unit is given."""
    unit = arguments[0] if arguments else setting.interval or SECOND
    runs = _advancing(runs)
    before = _shifted(runs.values)
    change = (runs.values - before).astype(np.float64)
    if runs.column.type is FieldType.UNSIGNED:
        # Below zero there is no unsigned number: the distance is taken the other way round.
        change = np.where(runs.values > before, change, -(before - runs.values).astype(np.float64))
    elapsed = runs.times - _shifted(runs.times)
    if setting.descending:
        elapsed = -elapsed
    rows = ~_firsts(runs)
    rate = np.zeros(len(runs), dtype=np.float64)
    np.divide(change, elapsed.astype(np.float64) / unit, out=rate, where=rows)
    return kept(runs, rows, Column(FieldType.FLOAT, rate))


def _non_negative_derivative(runs: Runs, arguments: tuple[float, ...], setting: Setting) -> Runs:
    """As derivative, without what is below zero."""
    made = _derivative(runs, arguments, setting)
    return kept(made, ~(made.values < 0))


def _elapsed(runs: Runs, arguments: tuple[float, ...], _: Setting) -> Runs:
    """Whole units of time since the row before, a nanosecond unless a unit is given; negative in descending order."""
    unit = int(arguments[0]) if arguments else 1
    spans = runs.times - _shifted(runs.times)
    # Cut towards zero, whatever the sign.
    units = np.sign(spans) * (np.abs(spans) // unit)
    return kept(runs, ~_firsts(runs), Column(FieldType.INTEGER, units))


def _cumulative_sum(runs: Runs, _: tuple[float, ...], _setting: Setting) -> Runs:
    """The total of all values so far. Integers wrap."""
    return Runs(runs.starts, runs.times, Column(runs.column.type, _sums(runs, 0)))


def _moving_average(runs: Runs, arguments: tuple[float, ...], _: Setting) -> Runs:
    """The mean of each value and those before it, so many in all as the argument says."""
    width = int(arguments[0])
    full = within(runs) >= width - 1
    sums = _sums(runs, width).astype(np.float64)
    return kept(runs, full, Column(FieldType.FLOAT, sums / width))


def _sums(runs: Runs, width: int) -> npt.NDArray[Any]:
    """The total of each value and the ``width - 1`` before it in the group; 0 = all of them."""
    values = runs.values
    if runs.column.type is FieldType.FLOAT:
        return smoothing.moving_sums(values, runs.starts, width)
    # Integers wrap, so that the difference of two totals is exact whatever lies before them.
    totals = np.zeros(len(values) + 1, dtype=values.dtype)
    np.cumsum(values, out=totals[1:])
    rows = np.arange(len(values), dtype=np.int64)
    begins = np.repeat(runs.starts[:-1], runs.counts)
    if width:
        begins = np.maximum(begins, rows - (min(width, len(values)) - 1))
    return totals[1:] - totals[begins]


DIFFERENCES: Final = (
    TransformFunction("derivative", NUMERIC, FieldType.FLOAT, _derivative, (Parameter.DURATION,)),
    TransformFunction(
        "non_negative_derivative",
        NUMERIC,
        FieldType.FLOAT,
        _non_negative_derivative,
        (Parameter.DURATION,),
        refused_as="derivative",
    ),
    TransformFunction("difference", NUMERIC, None, _difference),
    TransformFunction("non_negative_difference", NUMERIC, None, _non_negative_difference, refused_as="difference"),
    TransformFunction("elapsed", frozenset(FieldType), FieldType.INTEGER, _elapsed, (Parameter.DURATION,)),
    TransformFunction("cumulative_sum", NUMERIC, None, _cumulative_sum),
    TransformFunction("moving_average", NUMERIC, FieldType.FLOAT, _moving_average, (Parameter.INTEGER,), 1),
)
"""derivative, difference and their non-negative forms, elapsed, cumulative_sum, moving_average."""
