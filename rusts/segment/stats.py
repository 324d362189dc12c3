"""What the footer and the directory know of the values: bounds of a chunk, statistics of long runs."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from rusts.model.batch import Column
from rusts.model.types import DTYPES, FieldType
from rusts.segment.layout import STATISTICS_ROWS

__all__ = [
    "ChunkStats",
    "Known",
    "RunStats",
    "StatisticsBuilder",
    "bits_of",
    "expand",
    "long_pieces",
    "survey",
    "value_of",
]

_MASK: Final = (1 << 64) - 1
_DOUBLE: Final = struct.Struct("<d")
_NEUTRAL: Final[dict[FieldType, tuple[Any, Any]]] = {
    FieldType.FLOAT: (np.inf, -np.inf),
    FieldType.INTEGER: (np.iinfo(np.int64).max, np.iinfo(np.int64).min),
    FieldType.UNSIGNED: (np.iinfo(np.uint64).max, 0),
}
"""What a slot without a value is set to so that it is never the smallest, or never the largest."""


class ChunkStats(NamedTuple):
    """One field in one batch: how many rows have no value, the smallest and the largest value.

    The bounds leave NaN out, and are None for strings, booleans, and where nothing else than NaN is there.
    """

    nulls: int
    min: int | float | None
    max: int | float | None


@dataclass(frozen=True, slots=True)
class RunStats:
    """One numeric field over the n runs of a section.

    `has` bool[n]: the run has statistics (it has >= `STATISTICS_ROWS` rows); elsewhere the others are
    unspecified. `count` int64[n] values that are not null; `sum` (wraps at 64 bits), `min` and `max` in
    the field's dtype, unspecified where `count` is 0. NaN is in a sum, and in `min` and `max` only
    where nothing else is.
    """

    has: npt.NDArray[np.bool_]
    count: npt.NDArray[np.int64]
    sum: npt.NDArray[Any]
    min: npt.NDArray[Any]
    max: npt.NDArray[Any]

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the arrays take."""
        return self.has.nbytes + self.count.nbytes + self.sum.nbytes + self.min.nbytes + self.max.nbytes


@dataclass(frozen=True, slots=True)
class Known:
    """What one pass over a column found: `nulls`, the values that are there, and their bounds.

    `present` is the column's own values where `nulls` is 0. `low` and `high` as in `ChunkStats`;
    `nan`: a NaN is among the values.
    """

    nulls: int
    present: Any
    low: int | float | None
    high: int | float | None
    nan: bool = False


def survey(column: Column) -> Known:
    """Look through `column` once, for its statistics and its encoder."""
    nulls = 0 if column.validity is None else len(column) - int(np.count_nonzero(column.validity))
    if nulls == 0 or column.validity is None:
        present = column.values
    elif nulls == len(column):
        return Known(nulls, column.values[:0], None, None)
    else:
        present = column.take(column.validity).values
    if not column.type.numeric or len(present) == 0:
        return Known(nulls, present, None, None)
    low, high = present.min().item(), present.max().item()
    if column.type is FieldType.FLOAT and math.isnan(low):
        # Not fmin and fmax: those take a signalling NaN for a result.
        real = present[~np.isnan(present)]
        if len(real) == 0:
            return Known(nulls, present, None, None, True)
        return Known(nulls, present, real.min().item(), real.max().item(), True)
    return Known(nulls, present, low, high)


def bits_of(value: float | int | None) -> int:
    """The 64 bits of a bound as the chunk table stores it."""
    if value is None:
        return 0
    if isinstance(value, float):
        return int.from_bytes(_DOUBLE.pack(value), "little")
    return value & _MASK


def value_of(type: FieldType, bits: int) -> int | float:
    """The bound of a column of `type` whose 64 bits are `bits`."""
    if type is FieldType.FLOAT:
        return float(_DOUBLE.unpack(bits.to_bytes(8, "little"))[0])
    if type is FieldType.UNSIGNED or bits < 1 << 63:
        return bits
    return bits - (1 << 64)


class StatisticsBuilder:
    """Gathers one field's statistics of long runs batch by batch.

    A run may go on over many batches, so only its length at the end says whether it is long: the
    builder keeps a partial state of each piece that could belong to a long one.
    """

    def __init__(self, type: FieldType) -> None:
        self._type = type
        self._ordinals: list[npt.NDArray[np.int64]] = []
        self._states: list[tuple[npt.NDArray[Any], ...]] = []

    def add(
        self,
        pieces: npt.NDArray[np.intp],
        ordinals: npt.NDArray[np.int64],
        starts: npt.NDArray[np.int64],
        column: Column,
        known: Known,
    ) -> None:
        """Add a batch's column, of which `known` was found.

        `pieces` are the runs of the batch that could belong to a long one, `ordinals` their numbers in the
        section (ascending), `starts` int64[runs + 1] the batch's run starts.
        """
        if known.nulls == len(column) or len(pieces) == 0:
            return
        rows = int(starts[-1])
        cuts = np.empty(2 * len(pieces), dtype=np.int64)
        cuts[::2] = starts[pieces]
        cuts[1::2] = starts[pieces + 1]
        if int(cuts[-1]) == rows:
            cuts = cuts[:-1]
        values, there = column.values, column.validity if known.nulls else None
        count = starts[pieces + 1] - starts[pieces]
        total = smallest = largest = values
        if there is not None:
            count = np.add.reduceat(there, cuts, dtype=np.int64)[::2]
            total = np.where(there, values, values.dtype.type(0))
        real = there
        if known.nan:
            real = ~np.isnan(values) if there is None else there & ~np.isnan(values)
        if real is not None:
            smallest, largest = (np.where(real, values, values.dtype.type(v)) for v in _NEUTRAL[self._type])
        with np.errstate(all="ignore"):  # a sum may overflow, or meet infinities of both signs
            sums = np.add.reduceat(total, cuts)[::2]
        low, high = np.minimum.reduceat(smallest, cuts)[::2], np.maximum.reduceat(largest, cuts)[::2]
        if known.nan and real is not None:
            only_nan = ~np.logical_or.reduceat(real, cuts)[::2]
            low[only_nan] = high[only_nan] = np.nan
        self._ordinals.append(ordinals)
        self._states.append((count, sums, low, high))

    def finish(self, long: npt.NDArray[np.int64]) -> list[npt.NDArray[Any]] | None:
        """Count, sum, min and max of the runs `long` (ascending ordinals); None if they have no value."""
        if len(long) == 0 or not self._ordinals:
            return None
        dtype = DTYPES[self._type]
        ordinals = np.concatenate(self._ordinals)
        count, total, smallest, largest = (np.concatenate(parts) for parts in zip(*self._states, strict=True))
        keep = np.isin(ordinals, long) & (count > 0)
        if not keep.any():
            return None
        ordinals, count = ordinals[keep], count[keep]
        firsts = np.flatnonzero(np.append(True, ordinals[1:] != ordinals[:-1]))
        at = np.searchsorted(long, ordinals[firsts])
        merged: list[npt.NDArray[Any]] = [np.zeros(len(long), dtype=np.int64)]
        merged[0][at] = np.add.reduceat(count, firsts)
        for reduce, partial in ((np.add, total), (np.fmin, smallest), (np.fmax, largest)):
            whole = np.zeros(len(long), dtype=dtype)
            with np.errstate(all="ignore"):
                whole[at] = reduce.reduceat(partial[keep], firsts)
            merged.append(whole)
        return merged


def expand(has: npt.NDArray[np.bool_], arrays: list[npt.NDArray[Any]], type: FieldType) -> RunStats:
    """Statistics of all runs from those of the long ones (`has`, bool[runs])."""
    if int(np.count_nonzero(has)) != len(arrays[0]):
        raise ValueError(f"statistics of {len(arrays[0])} runs where {int(np.count_nonzero(has))} are long")
    if [a.dtype for a in arrays] != [np.dtype(np.int64), *3 * [DTYPES[type]]]:
        raise ValueError("statistics of the wrong type")
    whole = []
    for array in arrays:
        wide = np.zeros(len(has), dtype=array.dtype)
        wide[has] = array
        whole.append(wide)
    return RunStats(has, *whole)


def long_pieces(lengths: npt.NDArray[np.int64], goes_on: bool, last: bool) -> npt.NDArray[np.intp]:
    """Runs of a batch, of `lengths` rows, that could be pieces of long ones.

    `goes_on`: the first run began in an earlier batch; `last`: no batch follows.
    """
    candidate = lengths >= STATISTICS_ROWS
    if goes_on:
        candidate[0] = True
    if not last:
        candidate[-1] = True
    return np.flatnonzero(candidate)
