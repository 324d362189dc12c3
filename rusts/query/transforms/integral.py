"""The area under a curve."""

from __future__ import annotations

from typing import Final

import numpy as np

from rusts.model.batch import Column
from rusts.model.types import FieldType
from rusts.query.transforms.base import NUMERIC, SECOND, Parameter, Runs, Setting, TransformFunction, kept

__all__ = ["INTEGRAL"]


def _integral(runs: Runs, arguments: tuple[float, ...], setting: Setting) -> Runs:
    """The area by the trapezium rule in seconds (or the unit given), per group or per bucket of it.

    As InfluxDB has it: backwards in time, areas are negative and a bucket's row has the time of its end, where it
    begins that way. Of rows of one time the first closes the area before it, the last opens the one behind. The row of
    a whole group has the time 0.
    """
    unit = float(arguments[0]) if arguments else float(SECOND)
    values = runs.values.astype(np.float64, copy=False)
    times = runs.times
    groups = runs.row_groups()
    left = np.flatnonzero(groups[1:] == groups[:-1])
    right = left + 1
    if setting.bounds is None:
        spans = (times[right] - times[left]).astype(np.float64) / unit
        areas = np.bincount(groups[right], 0.5 * (values[right] + values[left]) * spans, len(runs.counts))
        having = runs.counts > 0
        starts = np.zeros(len(runs.starts), dtype=np.int64)
        np.cumsum(having, out=starts[1:])
        areas = areas[having]
        return Runs(starts, np.zeros(len(areas), dtype=np.int64), Column(FieldType.FLOAT, areas))
    begins, ends = setting.bounds(times)
    fresh = np.ones(len(times), dtype=np.bool_)
    fresh[1:] = (groups[1:] != groups[:-1]) | (begins[1:] != begins[:-1])
    if setting.descending:
        # A row on the edge both ends a bucket's row and begins another one of the same bucket.
        fresh[1:] |= (times[1:] == begins[1:]) & (times[1:] != times[:-1])
        begins, ends = ends, begins
    cells = np.cumsum(fresh) - 1
    heads = np.flatnonzero(fresh)
    # Where two rows lie in different buckets, the line between them is cut at the end of the first one's; what lies
    # behind the cut counts for the second one's, were there empty ones between them.
    cut = np.where(cells[left] != cells[right], ends[left], times[left])
    whole = times[right] - times[left]
    moving = whole != 0
    before, behind = (cut - times[left]).astype(np.float64), (times[right] - cut).astype(np.float64)
    slope = np.divide(values[right] - values[left], whole.astype(np.float64), out=np.zeros(len(whole)), where=moving)
    height = values[left] + slope * before
    first = 0.5 * (height + values[left]) * (before / unit)
    second = 0.5 * (values[right] + height) * (behind / unit)
    areas = np.bincount(cells[left], first, len(heads)) + np.bincount(cells[right], second, len(heads))
    starts = np.searchsorted(groups[heads], np.arange(len(runs.starts))).astype(np.int64)
    # A group that ends where a bucket begins has no area in that one.
    tails = runs.starts[1:][runs.counts > 0] - 1
    there = np.ones(len(heads), dtype=np.bool_)
    there[cells[tails[times[tails] == begins[tails]]]] = False
    return kept(Runs(starts, begins[heads], Column(FieldType.FLOAT, areas)), there)


INTEGRAL: Final = TransformFunction("integral", NUMERIC, FieldType.FLOAT, _integral, (Parameter.DURATION,), sums=True)
"""integral."""
