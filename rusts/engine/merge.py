"""Sources that overlap: where they do, and the newest-wins merge of their rows.

Two sources overlap only where both have rows of one series in one stretch of time. Everything else of
them is read straight from its source, however their time ranges interleave as a whole.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

from rusts.engine.sources import Pieces, RowsSource, Source, block_ends, counted
from rusts.engine.tablepart import TablePart
from rusts.kernels import merge
from rusts.model.batch import Column, SeriesRows, concat_columns, empty_column
from rusts.model.types import FieldType
from rusts.model.upsert import gather, runs_of

__all__ = ["Picked", "Points", "clusters", "merged", "pick", "split_overlaps"]

Longs = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

MERGE_ROWS: Final = 1 << 19
"""About so many rows are merged at a time."""


# -- where sources overlap


Part = TypeVar("Part", bound=Pieces | TablePart)


def clusters(parts: Sequence[Part]) -> list[list[Part]]:
    """`parts` in groups such that parts of different groups share no time; groups and their parts in order.

    Groups ascend by time, the parts of one keep the order of `parts`.
    """
    spans = sorted((int(p.low.min()), int(p.high.max()), i) for i, p in enumerate(parts) if len(p))
    groups: list[list[int]] = []
    reach = 0
    for low, high, i in spans:
        if groups and low <= reach:
            groups[-1].append(i)
            reach = max(reach, high)
        else:
            groups.append([i])
            reach = high
    return [[parts[i] for i in sorted(group)] for group in groups]


def split_overlaps(parts: list[Pieces]) -> tuple[list[Pieces], list[Pieces]]:
    """`parts` (one a source) cut into what only one source can have rows of, and the rest.

    Both lists keep the order of `parts`. In the second, each stretch of time of a series comes from
    every source that may have rows there.
    """
    if not _share_series(parts):
        return parts, []
    offsets = np.cumsum([0, *(len(p) for p in parts)])
    position = np.concatenate([p.positions for p in parts])
    order = np.argsort(position, kind="stable")
    again = position[order[1:]] == position[order[:-1]]
    if not again.any():
        return parts, []
    several = np.zeros(len(position), dtype=np.bool_)
    several[order[1:][again]] = True
    several[order[:-1][again]] = True
    piece = np.flatnonzero(several)
    low = np.concatenate([p.low for p in parts])
    high = np.concatenate([p.high for p in parts])
    # A series and a time as one number: what follows then is about intervals on one line.
    ticks = np.unique(np.concatenate((low[piece], high[piece])))
    place = position[piece] * len(ticks)
    first, last = place + np.searchsorted(ticks, low[piece]), place + np.searchsorted(ticks, high[piece])
    zone_first, zone_last = _shared(first, last)
    if len(zone_first) == 0:
        return parts, []
    i = np.searchsorted(zone_last, first, side="left")
    zones = np.searchsorted(zone_first, last, side="right") - i
    touched = np.flatnonzero(zones)
    piece, i, zones = piece[touched], i[touched], zones[touched]
    zone_low, zone_high = ticks[zone_first % len(ticks)], ticks[zone_last % len(ticks)]

    inside = np.repeat(piece, zones)
    zone = counted(i, zones)
    together = inside, np.maximum(low[inside], zone_low[zone]), np.minimum(high[inside], zone_high[zone])

    # A piece with n zones leaves n + 1 gaps: before the first, between two, behind the last.
    beside = np.repeat(piece, zones + 1)
    gap = counted(i, zones + 1)
    before, behind = block_ends(zones + 1)
    gap_low, gap_high = low[beside], high[beside]
    gap_low[~before] = zone_high[gap[~before] - 1] + 1
    gap_high[~behind] = zone_low[gap[~behind]] - 1
    some = gap_low <= gap_high
    untouched = np.ones(len(position), dtype=np.bool_)
    untouched[piece] = False
    rest = np.flatnonzero(untouched)
    alone = (
        np.concatenate((rest, beside[some])),
        np.concatenate((low[rest], gap_low[some])),
        np.concatenate((high[rest], gap_high[some])),
    )
    by_piece = np.argsort(alone[0], kind="stable")
    return (
        _by_source(parts, offsets, *(a[by_piece] for a in alone)),
        _by_source(parts, offsets, *together),
    )


def _share_series(parts: list[Pieces]) -> bool:
    """Whether the numbers of the series in any two of `parts` may be the same: new series have new numbers."""
    spans = sorted((int(p.positions[0]), int(p.positions[-1])) for p in parts)
    return any(low <= high for (_, high), (low, _) in itertools.pairwise(spans))


def _shared(first: Longs, last: Longs) -> tuple[Longs, Longs]:
    """Where at least two of the intervals ``first[i]..last[i]`` overlap: disjoint intervals, ascending."""
    order = np.argsort(first, kind="stable")
    first, last = first[order], last[order]
    reach = np.maximum.accumulate(last)
    twice = np.flatnonzero(first[1:] <= reach[:-1]) + 1
    if len(twice) == 0:
        return first[:0], last[:0]
    begin, end = first[twice], np.minimum(last[twice], reach[twice - 1])
    reach = np.maximum.accumulate(end)
    fresh = np.append(True, begin[1:] > reach[:-1])
    return begin[fresh], reach[np.append(np.flatnonzero(fresh)[1:] - 1, len(reach) - 1)]


def _by_source(
    parts: list[Pieces], offsets: npt.NDArray[Any], piece: npt.NDArray[Any], low: Longs, high: Longs
) -> list[Pieces]:
    """Pieces cut out of `parts`: `piece` ascending counts through all of them."""
    cut = np.searchsorted(piece, offsets)
    result = []
    for k, part in enumerate(parts):
        begin, end = int(cut[k]), int(cut[k + 1])
        if begin < end:
            of = piece[begin:end] - offsets[k]
            result.append(Pieces(part.source, part.runs[of], part.positions[of], low[begin:end], high[begin:end]))
    return result


# -- rows picked out of sources


@dataclass(slots=True)
class Picked:
    """Rows of one batch of a source: `rows` their numbers in the batch, a slice where they are consecutive."""

    source: Source
    batch: int
    rows: Longs | slice
    count: int

    def column(self, field: int) -> Column | None:
        """The field over the rows; None if none of the batch's rows has it."""
        column = self.source.column(field, self.batch)
        if column is None:
            return None
        if isinstance(self.rows, slice):
            return column.slice(self.rows.start, self.rows.stop)
        return column.take(self.rows)

    def times(self) -> Longs:
        """int64[count]: the rows' times, ns."""
        return self.source.times(self.batch)[self.rows]

    def keep(self, mask: Mask) -> Picked:
        """The rows where `mask` is true."""
        rows = self.rows
        kept = np.flatnonzero(mask)
        return Picked(self.source, self.batch, kept + rows.start if isinstance(rows, slice) else rows[kept], len(kept))


def pick(pieces: Pieces) -> tuple[list[Picked], npt.NDArray[np.uint32]]:
    """The rows of `pieces`, sorted by (series, time), and the position of each row's series."""
    picked: list[Picked] = []
    positions: list[npt.NDArray[Any]] = []
    for slices in pieces.batches():
        lengths = slices.ends - slices.begins
        picked.append(Picked(pieces.source, slices.batch, slices.rows(), int(lengths.sum())))
        positions.append(np.repeat(pieces.positions[slices.piece].astype(np.uint32), lengths))
    return picked, _joined(positions, np.uint32)


class Points:
    """Points sorted by (series, time), as rows picked out of sources; columns are made when asked for.

    `positions` uint32[n] are the places of the points' series in the matched set, `times` int64[n] ns.
    Cells are merged: of the rows of a point the newest that has a value gives it.
    """

    def __init__(
        self,
        picked: list[Picked],
        positions: npt.NDArray[np.uint32],
        times: Longs,
        order: Longs | None,
        firsts: Longs | None,
    ) -> None:
        """`order` and `firsts` as `model.upsert.point_order` gives them, over the rows of `picked`."""
        self._picked = picked
        self.positions = positions
        self.times = times
        self._order = order
        self._firsts = firsts

    def __len__(self) -> int:
        return len(self.times)

    @staticmethod
    def of(parts: Sequence[Pieces]) -> Points:
        """The rows of `parts` (oldest source first), merged."""
        picked: list[Picked] = []
        positions: list[npt.NDArray[np.uint32]] = []
        times: list[Longs] = []
        offsets = [0]
        for part in parts:
            rows, of_rows = pick(part)
            if not len(of_rows):
                continue
            picked += rows
            positions.append(of_rows)
            times += [p.times() for p in rows]
            offsets.append(offsets[-1] + len(of_rows))
        position, time = _joined(positions, np.uint32), _joined(times, np.int64)
        if len(offsets) <= 2:
            return Points(picked, position, time, None, None)
        order, firsts = merge.merge_order(position, time, np.array(offsets, dtype=np.int64))
        starts = order if firsts is None else order[firsts]
        return Points(picked, position[starts], time[starts], order, firsts)

    def column(self, field: int, type: FieldType) -> Column | None:
        """The field over the points; None if no row has it."""
        pieces = [p.column(field) for p in self._picked]
        if all(c is None for c in pieces):
            return None
        rows = [empty_column(type, p.count) if c is None else c for p, c in zip(self._picked, pieces, strict=True)]
        return gather(concat_columns(rows), self._order, self._firsts)

    def keep(self, mask: Mask) -> Points:
        """The points where `mask` is true; batches that have none of them are not read any more."""
        if bool(mask.all()):
            return self
        order, firsts = self._order, self._firsts
        if order is None:
            rows = mask
        else:
            if firsts is None:
                order = order[mask]
            else:
                sizes = np.diff(firsts, append=len(order))
                order = order[np.repeat(mask, sizes)]
                sizes = sizes[mask]
                firsts = np.cumsum(sizes) - sizes
            rows = np.zeros(sum(p.count for p in self._picked), dtype=np.bool_)
            rows[order] = True
            order = (np.cumsum(rows) - 1)[order]
        picked = []
        begin = 0
        for p in self._picked:
            kept = p.keep(rows[begin : begin + p.count])
            begin += p.count
            if kept.count:
                picked.append(kept)
        return Points(picked, self.positions[mask], self.times[mask], order, firsts)

    def series_rows(self, columns: dict[Any, Column]) -> SeriesRows:
        """The points as runs with `columns`; the series are positions in the matched set."""
        series, starts = runs_of(self.positions)
        return SeriesRows(series, starts, self.times, columns)


def _joined(arrays: list[npt.NDArray[Any]], dtype: type[Any]) -> npt.NDArray[Any]:
    if len(arrays) == 1:
        return arrays[0]
    return np.concatenate(arrays) if arrays else np.empty(0, dtype=dtype)


def merged(parts: list[Pieces], fields: dict[int, FieldType]) -> Iterator[Pieces]:
    """The points of overlapping `parts` (see `split_overlaps`), merged in memory, some series at a time."""
    for group in _by_series(parts):
        points = Points.of(group)
        columns = {f: c for f, type in fields.items() if (c := points.column(f, type)) is not None}
        source = RowsSource(points.series_rows(columns))
        runs = np.arange(len(source.series), dtype=np.int64)
        yield Pieces(source, runs, source.series.astype(np.int64), source.low, source.high)


def _by_series(parts: list[Pieces]) -> Iterator[list[Pieces]]:
    """`parts` cut between series so that each cut has about `MERGE_ROWS` rows, or one series."""
    if sum(float(p.estimate().sum()) for p in parts) <= MERGE_ROWS:
        yield parts
        return
    positions = np.concatenate([p.positions for p in parts])
    rows = np.concatenate([p.estimate() for p in parts])
    order = np.argsort(positions, kind="stable")
    positions, total = positions[order], np.cumsum(rows[order])
    begin = 0
    while begin < len(positions):
        done = float(total[begin - 1]) if begin else 0.0
        first = positions[begin]
        last = positions[max(begin, int(np.searchsorted(total, done + MERGE_ROWS)) - 1)]
        cut = [p.take((p.positions >= first) & (p.positions <= last)) for p in parts]
        yield [p for p in cut if len(p)]
        begin = int(np.searchsorted(positions, last, side="right"))
