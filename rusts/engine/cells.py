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

__all__ = ["FieldCells", "applicable", "keys_of", "valueless", "values_of"]

Longs = npt.NDArray[np.int64]

_ORDERED: Final = (StateKind.MIN, StateKind.MAX, StateKind.FIRST, StateKind.LAST)
_EDGES: Final = frozenset((StateKind.FIRST, StateKind.LAST))
_LEAST: Final = np.iinfo(np.int64).min
_GREATEST: Final = np.iinfo(np.int64).max
_PENDING: Final = 1 << 16


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


def keys_of(type: FieldType, values: npt.NDArray[Any]) -> Longs:
    """int64 keys that sort as `values` do; `values_of` turns them back.

    Negative zero is below zero; NaN, whose sign and payload are lost, below everything.
    """
    if type is FieldType.FLOAT:
        bits = values.view(np.int64)
        return np.where(np.isnan(values), _LEAST, bits ^ ((bits >> 63) & _GREATEST))
    if type is FieldType.UNSIGNED:
        return (values ^ np.uint64(1 << 63)).view(np.int64)
    return values.astype(np.int64, copy=False)


def values_of(type: FieldType, keys: Longs) -> npt.NDArray[Any]:
    """The values that `keys_of` made `keys` from."""
    if type is FieldType.FLOAT:
        return (keys ^ ((keys >> 63) & _GREATEST)).view(np.float64)
    if type is FieldType.UNSIGNED:
        return keys.view(np.uint64) ^ np.uint64(1 << 63)
    return keys.astype(DTYPES[type], copy=False)


class FieldCells:
    """The states `kinds`, all `applicable`, of one field over cells 0..size-1.

    Slices of a column are reduced one by one, then merged into their cells. Where only FIRST and LAST are
    asked for, values between are not looked at: then a count says whether there is a value, not how many.
    """

    def __init__(self, type: FieldType, kinds: Iterable[StateKind], size: int) -> None:
        self.type = type
        self.kinds = frozenset(kinds)
        self._edges_only = self.kinds <= _EDGES
        self.count: Longs = np.zeros(size, dtype=np.int64)
        words = np.float64 if type is FieldType.FLOAT else np.uint64
        self._sum: npt.NDArray[Any] = np.zeros(size if StateKind.SUM in self.kinds else 0, dtype=words)
        moments = size if StateKind.MOMENTS in self.kinds else 0
        self._moment_count: Longs = np.zeros(moments, dtype=np.int64)
        self._mean = np.zeros(moments, dtype=np.float64)
        self._m2 = np.zeros(moments, dtype=np.float64)
        self._picks: dict[StateKind, _Picks | _TextPicks] = {
            kind: _TextPicks(kind) if type is FieldType.STRING else _Picks(kind, size)
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
        valid = column.validity
        if not self._edges_only:
            counts = ends - begins if valid is None else reduce.count_valid(valid, begins, ends)
            reduce.add_counts(cells, counts, self.count)
            if StateKind.SUM in self.kinds:
                if self.type is FieldType.FLOAT:
                    sums = reduce.sum_floats(column.values, valid, begins, ends)
                    reduce.add_floats(cells, sums, self._sum)
                else:
                    words = reduce.sum_integers(column.values.view(np.uint64), valid, begins, ends)
                    reduce.add_integers(cells, words, self._sum)
            if StateKind.MOMENTS in self.kinds:
                means, squares = reduce.moments(column.values.astype(np.float64, copy=False), valid, begins, ends)
                into = self._moment_count, self._mean, self._m2
                reduce.merge_moments(cells, counts, means, squares, *into)
        if times is not None:
            for kind, picks in self._picks.items():
                found = self._pick(kind, picks, cells, column, times, begins, ends)
                if self._edges_only:
                    self.count[found] += 1

    def _pick(
        self,
        kind: StateKind,
        picks: _Picks | _TextPicks,
        cells: Longs,
        column: Column,
        times: Longs,
        begins: Longs,
        ends: Longs,
    ) -> Longs:
        """Pick each slice's value and merge it. Returns the cells of the slices that had one."""
        largest, last = kind is StateKind.MAX, kind is StateKind.LAST
        valid = column.validity
        if kind in _EDGES:
            rows = reduce.edge_rows(valid, begins, ends, last)
        elif self.type is FieldType.FLOAT:
            rows = reduce.extreme_floats(column.values, valid, begins, ends, largest)
        else:
            rows = reduce.extreme_integers(keys_of(self.type, column.values), valid, begins, ends, largest)
        if len(rows) and int(rows.min()) < 0:
            some = np.flatnonzero(rows >= 0)
            rows, cells = rows[some], cells[some]
        taken = Column(self.type, column.values, None).take(rows).values
        if isinstance(picks, _TextPicks):
            picks.merge(cells, times[rows], taken)
            return cells
        if self.type is FieldType.FLOAT and kind not in _EDGES:
            # Zeros of both signs are equal, so the earliest of them is wanted, and a NaN is the last choice.
            taken = taken + 0.0
            keys = keys_of(self.type, taken)
            if not largest:
                keys = np.where(keys == _LEAST, _GREATEST, keys)
        else:
            keys = keys_of(self.type, taken)
        picks.merge(cells, keys, times[rows])
        return cells

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
        return Partial(kind, count, values_of(self.type, picks.keys[cells]), picks.times[cells])


def _resized(array: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    larger = np.zeros(size, dtype=array.dtype)
    larger[: len(array)] = array
    return larger


class _Picks:
    """One value a cell, chosen by key and time."""

    def __init__(self, kind: StateKind, size: int) -> None:
        self._kind = kind
        self.seen = np.zeros(size, dtype=np.bool_)
        self.keys: Longs = np.zeros(size, dtype=np.int64)
        self.times: Longs = np.zeros(size, dtype=np.int64)

    def resize(self, size: int) -> None:
        self.seen = _resized(self.seen, size)
        self.keys = _resized(self.keys, size)
        self.times = _resized(self.times, size)

    def merge(self, cells: Longs, keys: Longs, times: Longs) -> None:
        kind = self._kind
        if kind in _EDGES:
            reduce.merge_edges(cells, keys, times, kind is StateKind.LAST, self.seen, self.keys, self.times)
        else:
            reduce.merge_extremes(cells, keys, times, kind is StateKind.MAX, self.seen, self.keys, self.times)


class _TextPicks:
    """The first or last string of each cell. Candidates gather, and are thinned out once they are many."""

    def __init__(self, kind: StateKind) -> None:
        self._kind = kind
        self._cells: list[Longs] = []
        self._times: list[Longs] = []
        self._values: list[Any] = []
        self._held = 0
        self._thinned = 0

    def merge(self, cells: Longs, times: Longs, values: Any) -> None:
        if len(cells) == 0:
            return
        self._cells.append(cells)
        self._times.append(times)
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
