"""Partitions: how wide a slice of time one segment covers. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from rusts.model.time import NANOSECONDS

__all__ = ["MIN_ROWS", "WIDTHS", "Partition", "choose_width", "cut", "partition_of"]

_DAY: Final = NANOSECONDS["d"]
WIDTHS: Final = (2 * NANOSECONDS["h"], _DAY, 30 * _DAY, 360 * _DAY, 3600 * _DAY)
"""Nanoseconds of each width; each is a multiple of the one before."""

MIN_ROWS: Final = 1_000
"""A slice should hold at least this many rows at the density of what is flushed."""

_SHORTEST_SPAN: Final = NANOSECONDS["m"]
_INT64_MIN: Final = -(1 << 63)


@dataclass(frozen=True, slots=True, order=True)
class Partition:
    """The times ``start <= t < start + width`` ns."""

    start: int
    width: int


def choose_width(rows: int, min_time: int, max_time: int) -> int:
    """The narrowest width whose slice would hold at least `MIN_ROWS` at this density, else the widest."""
    span = max(max_time - min_time, _SHORTEST_SPAN)
    for width in WIDTHS:
        if rows * width >= MIN_ROWS * span:
            return width
    return WIDTHS[-1]


def partition_of(time: int, width: int) -> Partition:
    """The partition of `width` that holds `time`. The first of all begins where int64 does, unaligned."""
    return Partition(max(time // width * width, _INT64_MIN), width)


def cut(times: npt.NDArray[np.int64], width: int) -> list[tuple[Partition, npt.NDArray[np.intp]]]:
    """Which rows fall in which partition of `width`: ascending partitions, each with its row positions, ascending."""
    if len(times) == 0:
        return []
    slices = times // width
    order = np.argsort(slices, kind="stable")
    ordered = slices[order]
    begins = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    ends = np.append(begins[1:], len(ordered))
    return [(partition_of(int(ordered[b]) * width, width), order[b:e]) for b, e in zip(begins, ends, strict=True)]
