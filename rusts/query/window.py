"""Time buckets: which one a time is in, and which ones there are between two."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from rusts.model.store import TimeRange, Window
from rusts.model.time import NANOSECONDS
from rusts.query.limits import Tracker
from rusts.query.plan import AnyWindow, CalendarWindow
from rusts.query.zones import Zone, zone_of

__all__ = ["TOO_EARLY", "Buckets", "Grid", "begin_of", "bucket_of", "span_buckets"]

Longs = npt.NDArray[np.int64]

TOO_EARLY: Final = "the first time bucket would begin before the first possible time"
"""Why a query is refused whose buckets do not fit into 64 bits."""

_DAY: Final = NANOSECONDS["d"]
_MONTH: Final = 2_629_746 * NANOSECONDS["s"]
"""A month of the Gregorian calendar on average."""


def begin_of(time: int, window: Window) -> int:
    """The begin of the bucket that holds `time`, ns."""
    return time - (time - window.offset) % window.interval


def bucket_of(times: Longs, window: Window) -> Longs:
    """int64[n]: the begin of the bucket of each of `times`. What lies before int64 wraps."""
    offset = window.offset % window.interval
    into = times % window.interval - offset
    return times - np.where(into < 0, into + window.interval, into)


def span_buckets(range: TimeRange, window: Window) -> int:
    """How many buckets `range` touches."""
    return max(0, (begin_of(range.end - 1, window) - begin_of(range.start, window)) // window.interval + 1)


class Grid:
    """Buckets in order, numbered from 0: `step` ns apart from `first` on, or those that begin at `edges`."""

    __slots__ = ("_edges", "_first", "_step")

    def __init__(self, first: int, step: int, edges: Longs | None = None) -> None:
        self._first = first
        self._step = step
        self._edges = edges

    def number(self, begins: Longs) -> Longs:
        """int64[n]: the number of the bucket that begins at each time."""
        if self._edges is not None:
            return np.searchsorted(self._edges, begins)
        # Bucket and first one may lie further apart than int64 reaches.
        apart = begins.view(np.uint64) - np.array([self._first], dtype=np.int64).view(np.uint64)
        return (apart // np.uint64(self._step)).astype(np.int64)

    def begin(self, numbers: Longs) -> Longs:
        """int64[n]: when the bucket of each number begins."""
        return self._first + numbers * self._step if self._edges is None else self._edges[numbers]


class Buckets:
    """The buckets of a window, by the clock of a zone if it is given. Raises InvalidRequest for an unknown zone.

    `fixed` is the window if its buckets all have one length and begin at multiples of it, whatever the
    zone; else None.
    """

    __slots__ = ("_zone", "fixed", "window")

    def __init__(self, window: AnyWindow, zone: str | None = None) -> None:
        self.window = window
        self._zone: Zone | None = None if zone is None else zone_of(zone)
        self.fixed: Window | None = None
        if isinstance(window, Window) and (self._zone is None or not len(self._zone.changes)):
            shift = 0 if self._zone is None else int(self._zone.shifts(np.zeros(1, dtype=np.int64))[0])
            self.fixed = Window(window.interval, window.offset - shift)

    @property
    def length(self) -> int:
        """ns that a bucket lasts, more or less."""
        return self.window.interval if isinstance(self.window, Window) else self.window.months * _MONTH

    def of(self, times: Longs) -> Longs:
        """int64[n]: the begin of the bucket of each of `times`."""
        if self.fixed is not None:
            return bucket_of(times, self.fixed)
        if isinstance(self.window, Window):
            assert self._zone is not None
            return self._zone.begins(times, self.window.interval, self.window.offset)
        times = times - self.window.offset
        local = times if self._zone is None else times + self._zone.shifts(times)
        months = local.view("M8[ns]").astype("M8[M]").astype(np.int64)
        return self._begin_of_month(months - months % self.window.months)

    def begin(self, time: int) -> int:
        """The begin of the bucket that holds `time`, ns."""
        if self.fixed is not None:
            return begin_of(time, self.fixed)
        return int(self.of(np.array([time], dtype=np.int64))[0])

    def end(self, begins: Longs) -> Longs:
        """int64[n]: where each bucket that begins at `begins` ends, which is where the next one begins."""
        if self.fixed is not None:
            return begins + self.fixed.interval
        far = self.of(begins + self.length)
        if isinstance(self.window, CalendarWindow):
            # Months are longer and shorter than their average: up to three days over some years.
            for more in (_DAY, 3 * _DAY):
                far = np.where(far > begins, far, self.of(begins + self.length + more))
            return far
        # Where the clock is changed before that, the next bucket begins there, or is the first one of the clock's new
        # reckoning.
        changes = self._changes()
        changes = np.append(changes, np.iinfo(np.int64).max)[np.searchsorted(changes, begins, side="right")]
        near = changes <= begins + self.length
        changes = np.where(near, changes, begins)
        for other in (self.of(changes), self.of(changes + self.length)):
            far = np.where(near & (other > begins) & ((other < far) | (far <= begins)), other, far)
        return far

    def grid(self, first: int, last: int, tracker: Tracker) -> Grid:
        """Every bucket from the one that begins at `first` to the one that begins at `last`."""
        if self.fixed is not None:
            return Grid(first, self.fixed.interval)
        about = (last - first) // self.length + 2
        tracker.buckets(about)
        tracker.hold(about * 32)
        if isinstance(self.window, CalendarWindow):
            # Half a month into each bucket, so that no change of a clock matters.
            middles = [min(begin + _MONTH // 2, np.iinfo(np.int64).max) for begin in (first, last)]
            lands = self._month_of(np.array(middles, dtype=np.int64))
            return Grid(0, 0, self._begin_of_month(np.arange(lands[0], lands[1] + 1, self.window.months)))
        changes = self._changes()
        inner = changes[(changes > first) & (changes <= last)].tolist()
        borders = [first, *inner, last]
        # The bucket that a change ends may be shorter than the interval, so that no step need fall into it.
        times = [np.array([*borders, *(change - 1 for change in inner)], dtype=np.int64)]
        times += [np.arange(low, high, self.window.interval) for low, high in pairwise(borders)]
        edges = np.unique(self.of(np.concatenate(times)))
        return Grid(0, 0, edges[(edges >= first) & (edges <= last)])

    def pieces(self, range: TimeRange, most: int) -> list[tuple[TimeRange, Window | None, int]] | None:
        """`range` cut so that in each piece the buckets are a plain window's, or the piece lies in one bucket alone.

        Each piece with its window, None for one bucket, and where its first bucket begins. No two pieces share a
        bucket. None where more than `most` pieces would be needed.
        """
        if self.fixed is not None:
            return [(range, self.fixed, 0)]
        first = self.begin(range.start)
        cuts: list[tuple[int, int]] = []
        if isinstance(self.window, CalendarWindow):
            if (range.end - range.start) // self.length > most:
                return None
            begin = first
            while begin < range.end:
                end = self._end(begin)
                cuts.append((begin, end))
                begin = end
        else:
            changes = self._changes()
            inner = changes[(changes >= first) & (changes < range.end)].tolist()
            if 4 * len(inner) > most:
                return None
            for change in inner:
                # The bucket that the change falls into, and those beside it, are not on the grid of the others.
                begin = self.begin(self.begin(change) - 1)
                for _ in "abcd":
                    end = self._end(begin)
                    if not cuts or begin >= cuts[-1][1]:
                        cuts.append((begin, end))
                    begin = end
        pieces: list[tuple[TimeRange, Window | None, int]] = []
        at = first
        for begin, end in cuts:
            if at < begin:
                pieces.append(self._plain(max(at, range.start), min(begin, range.end)))
            pieces.append((TimeRange(max(begin, range.start), min(end, range.end)), None, begin))
            at = max(at, end)
        if at < range.end:
            pieces.append(self._plain(max(at, range.start), range.end))
        return [piece for piece in pieces if piece[0].start < piece[0].end]

    def _changes(self) -> Longs:
        """When the zone's clock is changed, as buckets see it: they are moved by the offset."""
        assert self._zone is not None
        return self._zone.changes + self.window.offset

    def _plain(self, start: int, end: int) -> tuple[TimeRange, Window, int]:
        assert isinstance(self.window, Window)
        begin = self.begin(start)
        return TimeRange(start, end), Window(self.window.interval, begin % self.window.interval), begin

    def _end(self, begin: int) -> int:
        return int(self.end(np.array([begin], dtype=np.int64))[0])

    def _month_of(self, times: Longs) -> Longs:
        """int64[n]: the months since January 1970 in which the bucket of each time begins."""
        assert isinstance(self.window, CalendarWindow)
        months: Longs = (times - self.window.offset).view("M8[ns]").astype("M8[M]").astype(np.int64)
        return months - months % self.window.months

    def _begin_of_month(self, months: Longs) -> Longs:
        begins: Longs = months.astype("M8[M]").astype("M8[ns]").astype(np.int64)
        if self._zone is not None:
            begins = self._zone.utc(begins)
        return begins + self.window.offset
