"""What tombstones hide, cut out of the parts of runs that a read looks at.

A tombstone hides rows that were written before it. A source's rows are all older than it or not, by the source's
largest stamp: a delete seals the memtables that it touches, and a merge purges what it reads.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rusts.catalog.tombstones import Tombstone
from rusts.engine.sources import Pieces, block_ends, counted
from rusts.model.types import Stamp

__all__ = ["cut_out", "later_than"]

Longs = npt.NDArray[np.int64]


def later_than(tombstones: Sequence[Tombstone], stamp: Stamp) -> list[Tombstone]:
    """The tombstones that hide rows of a source whose largest stamp is `stamp`."""
    return [t for t in tombstones if stamp < t.stamp]


def cut_out(pieces: Pieces, tombstones: Sequence[Tombstone]) -> Pieces:
    """What of `pieces` none of the `tombstones` hides; a piece with a hole becomes two."""
    if not tombstones or len(pieces) == 0:
        return pieces
    series = pieces.source.series[pieces.runs]
    found = [hidden for t in tombstones if len((hidden := _hidden(pieces, series, t))[0])]
    if not found:
        return pieces
    piece, low, high = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return _without(pieces, piece, low, high)


def _hidden(pieces: Pieces, series: npt.NDArray[np.uint32], tombstone: Tombstone) -> tuple[Longs, Longs, Longs]:
    """The stretches that one tombstone hides: the piece (ascending) and the first and last ns of each."""
    touched = (pieces.low <= tombstone.high) & (pieces.high >= tombstone.low)
    spans = tombstone.spans
    if spans is None:
        numbers = tombstone.series
        if numbers is not None:
            at = np.searchsorted(numbers, series)
            touched &= np.take(numbers, at, mode="clip") == series if len(numbers) else False
        piece = np.flatnonzero(touched)
        bounds = np.full(len(piece), tombstone.low), np.full(len(piece), tombstone.high)
        return piece, *bounds
    begin = np.searchsorted(spans.series, series, side="left")
    end = np.searchsorted(spans.series, series, side="right")
    which = np.flatnonzero(touched & (begin < end))
    counts = end[which] - begin[which]
    index = counted(begin[which], counts)
    piece = np.repeat(which, counts)
    inside = (spans.low[index] <= pieces.high[piece]) & (spans.high[index] >= pieces.low[piece])
    return piece[inside], spans.low[index][inside], spans.high[index][inside]


def _without(pieces: Pieces, piece: Longs, low: Longs, high: Longs) -> Pieces:
    """`pieces` without the times ``low[i]..high[i]`` of the piece ``piece[i]``; those may overlap each other."""
    order = np.lexsort((low, piece))
    piece = piece[order]
    low = np.maximum(low[order], pieces.low[piece])
    high = np.minimum(high[order], pieces.high[piece])
    # A piece and a time as one number: what overlaps in a piece is joined, and no two pieces meet.
    ticks = np.unique(np.concatenate((low, high)))
    place = piece * len(ticks)
    reach = np.maximum.accumulate(place + np.searchsorted(ticks, high))
    fresh = np.flatnonzero(np.append(True, (place + np.searchsorted(ticks, low))[1:] > reach[:-1]))
    hole_high = ticks[reach[np.append(fresh[1:] - 1, len(reach) - 1)] % len(ticks)]
    hole_low = low[fresh]
    # A piece with n holes leaves n + 1 gaps: before the first, between two, behind the last.
    gaps = np.bincount(piece[fresh], minlength=len(pieces)) + 1
    of = np.repeat(np.arange(len(pieces)), gaps)
    before, behind = block_ends(gaps)
    gap_low, gap_high = pieces.low[of], pieces.high[of]
    gap_low[~before] = hole_high + 1
    gap_high[~behind] = hole_low - 1
    some = np.flatnonzero(gap_low <= gap_high)
    of = of[some]
    return Pieces(pieces.source, pieces.runs[of], pieces.positions[of], gap_low[some], gap_high[some])
