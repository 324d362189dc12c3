"""Cells of a fold: where each (group, bucket) keeps its partial states, and how slices go into them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rusts.kernels import reduce
from rusts.model.batch import Column, empty_column
from rusts.model.partial import Partial, StateKind
from rusts.model.types import DTYPES, FieldType

__all__ = ["FieldCells", "applicable", "valueless"]

Longs = npt.NDArray[np.int64]

_ORDERED: Final = (StateKind.MIN, StateKind.MAX, StateKind.FIRST, StateKind.LAST)
_EDGES: Final = frozenset((StateKind.FIRST, StateKind.LAST))
_LEAST: Final = np.iinfo(np.int64).min
_GREATEST: Final = np.iinfo(np.int64).max
_PENDING: Final = 1 << 16
_ORDERS: Final = {FieldType.FLOAT: reduce.FLOAT, FieldType.UNSIGNED: reduce.UNSIGNED}


def applicable(kind: StateKind, type: FieldType) -> bool:
    """Whether values of `type` have the state `kind`; where they have not, it is a state without values."""
    if kind in (StateKind.SUM, StateKind.MOMENTS):
        return type.numeric
    return type is not FieldType.STRING or kind not in (StateKind.MIN, StateKind.MAX)


def valueless(kind: StateKind, type: FieldType, cells: int) -> Partial:
    """The state `kind` of `cells` cells none of which has a value."""
    count = np.zeros(cells, dtype=np.int64)
    if kind is StateKind.COUNT:
        return Partial(kind, count)
    if kind is StateKind.MOMENTS:
        return Partial(kind, count, np.zeros(cells, dtype=np.float64), m2=np.zeros(cells, dtype=np.float64))
    values = empty_column(type, cells).values
    return Partial(kind, count, values) if kind is StateKind.SUM else Partial(kind, count, values, count)


def _words(type: FieldType, values: npt.NDArray[Any]) -> Longs:
    """int64 of which `reduce` makes keys: the bits of wide values, booleans as numbers."""
    return values.astype(np.int64) if type is FieldType.BOOLEAN else values.view(np.int64)


def _values_of(type: FieldType, keys: Longs) -> npt.NDArray[Any]:
    """The values of `type` that have these keys."""
    if type is FieldType.FLOAT:
        return (keys ^ ((keys >> 63) & _GREATEST)).view(np.float64)
    if type is FieldType.UNSIGNED:
        return keys.view(np.uint64) ^ np.uint64(1 << 63)
    return keys.astype(DTYPES[type], copy=False)


class FieldCells:
    """The states `kinds`, all `applicable`, of one field over cells 0..size-1.

    Each state is one call of a kernel for all slices of a column. Where only FIRST and LAST are
    asked for, values between are not looked at: then a count says whether there is a value, not how many.
    """

    def __init__(self, type: FieldType, kinds: Iterable[StateKind], size: int) -> None:
        self.type = type
        self.kinds = frozenset(kinds)
        # What looks at every value counts by the way.
        self._counts_apart = StateKind.COUNT in self.kinds and self.kinds <= _EDGES | {StateKind.COUNT}
        self.count: Longs = np.zeros(size, dtype=np.int64)
        words = np.float64 if type is FieldType.FLOAT else np.uint64
        self._sum: npt.NDArray[Any] = np.zeros(size if StateKind.SUM in self.kinds else 0, dtype=words)
        moments = size if StateKind.MOMENTS in self.kinds else 0
        self._moment_count: Longs = np.zeros(moments, dtype=np.int64)
        self._mean = np.zeros(moments, dtype=np.float64)
        self._m2 = np.zeros(moments, dtype=np.float64)
        self._picks: dict[StateKind, _Picks | _TextPicks] = {
            kind: _TextPicks(kind) if type is FieldType.STRING else _Picks(kind, type, size)
            for kind in _ORDERED
            if kind in self.kinds
        }

    @property
    def needs_times(self) -> bool:
        """Whether `add` reads the times of rows."""
        return bool(self._picks)

    @property
    def needs_values(self) -> bool:
        """Whether `add` reads values, not only which rows have one."""
        return self.kinds != {StateKind.COUNT}

    @property
    def sums_only(self) -> bool:
        """Whether counts and sums are all that is asked for: `add_sums` can serve it."""
        return self.kinds <= {StateKind.COUNT, StateKind.SUM}

    def resize(self, size: int) -> None:
        """Make room for cells up to `size`."""
        self.count = _resized(self.count, size)
        if StateKind.SUM in self.kinds:
            self._sum = _resized(self._sum, size)
        if StateKind.MOMENTS in self.kinds:
            self._moment_count = _resized(self._moment_count, size)
            self._mean, self._m2 = _resized(self._mean, size), _resized(self._m2, size)
        for picks in self._picks.values():
            if isinstance(picks, _Picks):
                picks.resize(size)

    def add_counts(self, cells: Longs, counts: Longs) -> None:
        """`counts[i]` more values in ``cells[i]``; for a field of which nothing but counts is asked."""
        reduce.add_counts(cells, counts, self.count)

    def add_sums(self, cells: Longs, counts: Longs, sums: npt.NDArray[Any]) -> None:
        """Counts and sums that are known already. Needs `sums_only`."""
        reduce.add_counts(cells, counts, self.count)
        if StateKind.SUM in self.kinds:
            self._add_sums(cells, np.ascontiguousarray(sums))

    def _add_sums(self, cells: Longs, sums: npt.NDArray[Any]) -> None:
        if self.type is FieldType.FLOAT:
            reduce.add_floats(cells, sums, self._sum)
        else:
            reduce.add_integers(cells, sums.view(np.uint64), self._sum)

    def add(self, cells: Longs, column: Column, times: Longs | None, begins: Longs, ends: Longs) -> None:
        """Merge slice i, the rows ``begins[i]:ends[i]`` of `column`, into ``cells[i]``.

        `times` int64[rows] may be None without `needs_times`.
        """
        values, valid = column.values, column.validity
        # Of the kernels the first counts.
        counts: Longs | None = self.count
        if self._counts_apart:
            if valid is None:
                reduce.add_counts(cells, ends - begins, self.count)
            else:
                reduce.count(cells, valid, begins, ends, self.count)
            counts = None
        if StateKind.SUM in self.kinds:
            if self.type is FieldType.FLOAT:
                reduce.sum_floats(cells, values, valid, begins, ends, counts, self._sum)
            else:
                reduce.sum_integers(cells, values.view(np.uint64), valid, begins, ends, counts, self._sum)
            counts = None
        if StateKind.MOMENTS in self.kinds:
            floats = values.astype(np.float64, copy=False)
            into = self._moment_count, self._mean, self._m2
            reduce.moments(cells, floats, valid, begins, ends, counts, *into)
            counts = None
        if times is not None:
            for picks in self._picks.values():
                picks.add(cells, column, times, begins, ends, counts)
                counts = None

    def edge(self, kind: StateKind) -> Longs:
        """int64[size]: for FIRST or LAST of a type other than STRING the time so far, else the worst there can be."""
        picks = self._picks[kind]
        worst = _LEAST if kind is StateKind.LAST else _GREATEST
        if isinstance(picks, _TextPicks):
            return picks.edge(len(self.count), worst)
        return np.where(picks.seen, picks.times, worst)

    def partial(self, kind: StateKind, cells: Longs) -> Partial:
        """The state `kind` of the cells `cells`."""
        count = self.count[cells]
        if kind is StateKind.COUNT:
            return Partial(kind, count)
        if kind is StateKind.SUM:
            sums = self._sum[cells]
            return Partial(kind, count, sums if self.type is FieldType.FLOAT else sums.view(DTYPES[self.type]))
        if kind is StateKind.MOMENTS:
            return Partial(kind, count, self._mean[cells], m2=self._m2[cells])
        picks = self._picks[kind]
        if isinstance(picks, _TextPicks):
            values, times = picks.of(cells)
            return Partial(kind, count, values, times)
        return Partial(kind, count, picks.values(cells), picks.times[cells])


def _resized(array: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    larger = np.zeros(size, dtype=array.dtype)
    larger[: len(array)] = array
    return larger


class _Picks:
    """One value a cell, chosen by value or time. It is held as a key; the extreme of floats as itself."""

    def __init__(self, kind: StateKind, type: FieldType, size: int) -> None:
        self._kind = kind
        self._type = type
        self._floats = type is FieldType.FLOAT and kind not in _EDGES
        self.seen = np.zeros(size, dtype=np.bool_)
        self._held: npt.NDArray[Any] = np.zeros(size, dtype=np.float64 if self._floats else np.int64)
        self.times: Longs = np.zeros(size, dtype=np.int64)

    def resize(self, size: int) -> None:
        self.seen = _resized(self.seen, size)
        self._held = _resized(self._held, size)
        self.times = _resized(self.times, size)

    def add(self, cells: Longs, column: Column, times: Longs, begins: Longs, ends: Longs, counts: Longs | None) -> None:
        """Pick each slice's value and merge it; `counts` as the kernels have it."""
        kind, type, values = self._kind, self._type, column.values
        largest, into = kind is StateKind.MAX, (counts, self.seen, self._held, self.times)
        if self._floats:
            reduce.extreme_floats(cells, values, column.validity, times, begins, ends, largest, *into)
            return
        rows = _words(type, values), column.validity, times, begins, ends
        if kind in _EDGES:
            reduce.edges(cells, *rows, _ORDERS.get(type, reduce.SIGNED), kind is StateKind.LAST, *into)
        else:
            reduce.extreme_integers(cells, *rows, type is FieldType.UNSIGNED, largest, *into)

    def values(self, cells: Longs) -> npt.NDArray[Any]:
        """The values of `cells`, anything where a cell has none."""
        held = self._held[cells]
        return held if self._floats else _values_of(self._type, held)


class _TextPicks:
    """The first or last string of each cell. Candidates gather, and are thinned out once they are many."""

    def __init__(self, kind: StateKind) -> None:
        self._kind = kind
        self._cells: list[Longs] = []
        self._times: list[Longs] = []
        self._values: list[Any] = []
        self._held = 0
        self._thinned = 0

    def add(self, cells: Longs, column: Column, times: Longs, begins: Longs, ends: Longs, counts: Longs | None) -> None:
        """Pick each slice's value; `counts` as the kernels have it."""
        rows = reduce.edge_rows(column.validity, begins, ends, self._kind is StateKind.LAST)
        if len(rows) and int(rows.min()) < 0:
            some = np.flatnonzero(rows >= 0)
            rows, cells = rows[some], cells[some]
        if len(cells) == 0:
            return
        if counts is not None:
            counts[cells] += 1
        values = Column(column.type, column.values, None).take(rows).values
        self._cells.append(cells)
        self._times.append(times[rows])
        self._values.append(values)
        self._held += len(cells)
        if self._held > 2 * self._thinned + _PENDING:
            self._thin()

    def _thin(self) -> tuple[Longs, Longs, Any]:
        """One candidate a cell, cells ascending."""
        if not self._cells:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), pa.array([], pa.large_string())
        cells, times = np.concatenate(self._cells), np.concatenate(self._times)
        values = pa.concat_arrays(self._values)
        ranks = pc.rank(values, tiebreaker="dense").to_numpy().astype(np.int64)
        # The best candidate of each cell comes last; times stay clear of the least int64, so -times is one.
        order = np.lexsort((ranks, times if self._kind is StateKind.LAST else -times, cells))
        sorted_cells = cells[order]
        best = order[np.append(sorted_cells[1:] != sorted_cells[:-1], True)]
        kept = cells[best], times[best], values.take(pa.array(best))
        self._cells, self._times, self._values = [kept[0]], [kept[1]], [kept[2]]
        self._held = self._thinned = len(best)
        return kept

    def edge(self, size: int, worst: int) -> Longs:
        cells, times, _ = self._thin()
        edge = np.full(size, worst, dtype=np.int64)
        edge[cells] = times
        return edge

    def of(self, cells: Longs) -> tuple[Any, Longs]:
        """Values and times of `cells`, an empty string and 0 where a cell has none."""
        held, times, values = self._thin()
        if len(held) == 0:
            return pa.array([""] * len(cells), pa.large_string()), np.zeros(len(cells), dtype=np.int64)
        at = np.minimum(np.searchsorted(held, cells), len(held) - 1)
        return values.take(pa.array(at)), np.where(held[at] == cells, times[at], 0)
