"""Partial states of aggregates: computed where the data is, merged by whoever gathers them.

A state is one of a few mergeable kinds over one field; the aggregate functions of a query are
finished from them (a mean from SUM, a spread from MIN and MAX). Functions that need every
value (median, percentile, mode, distinct) have no state here: they scan.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Partial", "State", "StateKind"]


class StateKind(StrEnum):
    """What a state holds of the values of its field in one cell (group and bucket)."""

    COUNT = "count"
    SUM = "sum"
    MIN = "min"
    MAX = "max"
    FIRST = "first"
    LAST = "last"
    MOMENTS = "moments"


@dataclass(frozen=True, slots=True)
class State:
    """One state to compute: its kind and the field's name."""

    kind: StateKind
    field: str


@dataclass(slots=True)
class Partial:
    """A state over n cells, one array element a cell.

    `count` int64[n]: how many values went in (every kind has it; 0 = the cell has no value, its other
    elements are then unspecified). `value`: SUM the sum (float64, int64 or uint64 as the field; wraps
    at 64 bits as InfluxDB's), MIN and MAX the extreme value, FIRST and LAST that value (for strings a
    `pyarrow.LargeStringArray`), MOMENTS the mean (float64). `time` int64[n]: for MIN, MAX, FIRST, LAST
    the time of the value: the earliest one of an extreme. At one time (several series in a group),
    FIRST and LAST take the larger value. `m2` float64[n]: for MOMENTS the sum of squared differences
    from the mean (Welford; merged by Chan, Golub and LeVeque 1979). NaN never enters a MIN or MAX
    unless it is all there is.
    """

    kind: StateKind
    count: npt.NDArray[np.int64]
    value: Any = None
    time: npt.NDArray[np.int64] | None = None
    m2: npt.NDArray[np.float64] | None = None
