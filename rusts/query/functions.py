"""The aggregate functions: what each needs, takes and gives, and how it is computed.

Some are finished from mergeable states (`Partial`), which a store folds where the data is; the others need
every value of a cell (one group in one bucket). Both kinds are also computed here from plain columns, cut into cells.
Definitions are InfluxQL's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rusts.kernels import smoothing
from rusts.model.batch import Column
from rusts.model.partial import Partial, StateKind
from rusts.model.types import FieldType

__all__ = ["FUNCTIONS", "Cells", "Function", "Outcome", "cells_of", "compute", "finish", "value_runs"]

_NUMERIC: Final = frozenset({FieldType.FLOAT, FieldType.INTEGER, FieldType.UNSIGNED})
_ORDERED: Final = _NUMERIC | {FieldType.BOOLEAN}
_ALL: Final = frozenset(FieldType)


@dataclass(slots=True)
class Outcome:
    """What a call gives for n cells: a column of n values and, from a selector, the time of each (int64[n] ns)."""

    column: Column
    times: npt.NDArray[np.int64] | None = None


@dataclass(slots=True)
class Cells:
    """The values of one field, sorted by (cell, time); cell c has ``starts[c]:starts[c + 1]``, never empty.

    `values` is numpy whatever the type: a string is its rank in `words` (sorted by bytes), a boolean is uint8.
    `descending`: the query meets the latest row first, which decides between equal ones; here they are ascending all
    the same.
    """

    type: FieldType
    starts: npt.NDArray[np.int64]
    times: npt.NDArray[np.int64]
    values: npt.NDArray[Any]
    words: pa.LargeStringArray | None = None
    descending: bool = False

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """int64[cells]: how many values each has."""
        return np.diff(self.starts)

    def row_cells(self) -> npt.NDArray[np.int64]:
        """int64[rows]: the cell of each value."""
        return np.repeat(np.arange(len(self), dtype=np.int64), self.counts)

    def column(self, values: npt.NDArray[Any], valid: npt.NDArray[np.bool_] | None = None) -> Column:
        """Values as held here as a column of the field's type."""
        if self.type is FieldType.STRING:
            return Column(self.type, self.words.take(pa.array(values)), valid)  # type: ignore[union-attr]
        return Column(self.type, values.astype(np.bool_) if self.type is FieldType.BOOLEAN else values, valid)


@dataclass(frozen=True, slots=True)
class Function:
    """An aggregate function.

    `accepts`: types of fields that it is defined for. `states`: what `finish` wants of a store; empty = it needs
    every value, and `whole` computes it. `selector`: it picks one of the points, whose time it can tell.
    `result`: type of the answer, None = the field's. `parameter`: lowest and highest value of its parameter, None =
    it has none.
    """

    name: str
    accepts: frozenset[FieldType]
    states: tuple[StateKind, ...] = ()
    whole: Callable[[Cells, float], Outcome] | None = None
    selector: bool = False
    result: FieldType | None = None
    parameter: tuple[float, float] | None = None

    @property
    def counts(self) -> bool:
        """True for what counts: of nothing there are 0."""
        return self.name in ("count", "count_distinct")

    def result_type(self, field: FieldType) -> FieldType:
        """The type of its value for a field of type `field`."""
        return field if self.result is None else self.result


def finish(function: Function, type: FieldType, partials: Sequence[Partial]) -> Outcome:
    """The function's values from its states (in the order of ``function.states``) over n cells."""
    first = partials[0]
    present = first.count > 0
    valid = None if bool(present.all()) else present
    match function.name:
        case "count":
            return Outcome(Column(FieldType.INTEGER, first.count, valid))
        case "mean":
            return Outcome(Column(FieldType.FLOAT, first.value / np.maximum(first.count, 1), valid))
        case "spread":
            return Outcome(Column(type, partials[1].value - first.value, valid))
        case "stddev":
            # Of one value it is no number: that is a result, as InfluxDB has it, and no gap to be filled.
            assert first.m2 is not None
            values = np.sqrt(np.where(first.count > 1, first.m2, np.nan) / np.maximum(first.count - 1, 1))
            return Outcome(Column(FieldType.FLOAT, values, valid))
        case _:
            return Outcome(Column(type, first.value, valid), first.time)


def compute(function: Function, cells: Cells, parameter: float | None) -> Outcome:
    """The function's values for `cells`."""
    if function.whole is not None:
        return function.whole(cells, 0.0 if parameter is None else parameter)
    partials = [_partial(kind, cells) for kind in function.states]
    outcome = finish(function, cells.type, partials)
    if function.result is None:
        outcome.column = cells.column(outcome.column.values, outcome.column.validity)
    return outcome


def cells_of(
    column: Column,
    times: npt.NDArray[np.int64],
    row_cells: npt.NDArray[np.int64],
    cells: int,
    descending: bool = False,
) -> tuple[Cells, npt.NDArray[np.int64]]:
    """The values of `column`, whose rows are sorted by (cell, time), and int64[] the cells (of `cells`) that have any.

    `row_cells` int64[rows] is the cell of each row; `descending` as in `Cells`.
    """
    if column.validity is not None:
        rows = np.flatnonzero(column.validity)
        column = Column(column.type, column.values, None).take(rows)
        times, row_cells = times[rows], row_cells[rows]
    counts = np.bincount(row_cells, minlength=cells)
    having = np.flatnonzero(counts)
    starts = np.zeros(len(having) + 1, dtype=np.int64)
    np.cumsum(counts[having], out=starts[1:])
    words = None
    values = column.values
    if column.type is FieldType.STRING:
        encoded = values.dictionary_encode()
        order = pc.array_sort_indices(encoded.dictionary)
        words = encoded.dictionary.take(order)
        ranks = np.empty(len(order), dtype=np.int64)
        ranks[order.to_numpy()] = np.arange(len(order))
        values = ranks[encoded.indices.to_numpy()]
    elif column.type is FieldType.BOOLEAN:
        values = values.view(np.uint8)
    return Cells(column.type, starts, times, values, words, descending), having


def _partial(kind: StateKind, cells: Cells) -> Partial:
    """A state of every cell; strings and booleans stay as `Cells` holds them."""
    count, begins, values = cells.counts, cells.starts[:-1], cells.values
    match kind:
        case StateKind.COUNT:
            return Partial(kind, count)
        case StateKind.SUM:
            return Partial(kind, count, np.add.reduceat(values, begins))
        case StateKind.MOMENTS:
            real = values.astype(np.float64)
            mean = np.add.reduceat(real, begins) / count
            distance = real - np.repeat(mean, count)
            return Partial(kind, count, mean, None, np.add.reduceat(distance * distance, begins))
        case StateKind.MIN | StateKind.MAX:
            value = (np.fmin if kind is StateKind.MIN else np.fmax).reduceat(values, begins)
            spread = np.repeat(value, count)
            hit = (values == spread) | np.isnan(spread)
            time = np.minimum.reduceat(np.where(hit, cells.times, np.iinfo(np.int64).max), begins)
            return Partial(kind, count, value, time)
        case _:
            time = cells.times[begins if kind is StateKind.FIRST else cells.starts[1:] - 1]
            floor = -np.inf if values.dtype == np.float64 else np.iinfo(values.dtype).min
            there = np.where(cells.times == np.repeat(time, count), values, np.array(floor, dtype=values.dtype))
            return Partial(kind, count, np.fmax.reduceat(there, begins), time)


def _median(cells: Cells, _: float) -> Outcome:
    """The middle value, or the mean of the two middle ones."""
    ordered = cells.values[np.lexsort((cells.values, cells.row_cells()))]
    low = ordered[cells.starts[:-1] + (cells.counts - 1) // 2]
    high = ordered[cells.starts[:-1] + cells.counts // 2]
    if cells.type is FieldType.FLOAT:
        with np.errstate(over="ignore", invalid="ignore"):
            between = high - low
        value = np.where(np.isfinite(between), low + between / 2, low / 2 + high / 2)
        return Outcome(Column(FieldType.FLOAT, np.where(low == high, low, value)))
    # Two 64-bit integers may lie further apart than int64 reaches, but not further than uint64.
    apart = high.view(np.uint64) - low.view(np.uint64)
    return Outcome(Column(FieldType.FLOAT, low.astype(np.float64) + apart.astype(np.float64) / 2))


def _percentile(cells: Cells, percent: float) -> Outcome:
    """The value at the nearest rank, floor(n * percent / 100 + 0.5) counted from 1; no value for rank 0."""
    rows = np.arange(len(cells.values), dtype=np.int64)
    order = np.lexsort((-rows if cells.descending else rows, cells.values, cells.row_cells()))
    rank = np.floor(cells.counts * percent / 100 + 0.5).astype(np.int64) - 1
    valid = (rank >= 0) & (rank < cells.counts)
    rows = order[cells.starts[:-1] + np.where(valid, rank, 0)]
    column = cells.column(cells.values[rows], None if bool(valid.all()) else valid)
    return Outcome(column, cells.times[rows])


def value_runs(cells: Cells) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.int64]]:
    """Sort by (cell, value, time): the order, where each distinct value of a cell begins in it, and its cell."""
    owners = cells.row_cells()
    order = np.lexsort((cells.times, cells.values, owners))
    values = cells.values[order]
    fresh = np.ones(len(values), dtype=np.bool_)
    fresh[1:] = (values[1:] != values[:-1]) & ((values[1:] == values[1:]) | (values[:-1] == values[:-1]))
    fresh[cells.starts[:-1]] = True
    begins = np.flatnonzero(fresh)
    return order, begins, owners[begins]


def _mode(cells: Cells, _: float) -> Outcome:
    """The most frequent value. Of several the least, if each occurs once; else InfluxDB's choice.

    That is: by ascending value, the next one takes the place of the one so far unless its first row is later than the
    last row of that (first and last as the query meets them). Of booleans the mode is then true.
    """
    if cells.type is FieldType.BOOLEAN:
        trues = np.add.reduceat(cells.values.astype(np.int64), cells.starts[:-1])
        return Outcome(cells.column((2 * trues >= cells.counts).astype(np.uint8)))
    order, begins, owners = value_runs(cells)
    lengths = np.diff(begins, append=len(order))
    most = np.maximum.reduceat(lengths, np.searchsorted(owners, np.arange(len(cells))))
    rivals = np.flatnonzero(lengths == most[owners])
    owners, lengths = owners[rivals], lengths[rivals]
    first = cells.times[order[begins[rivals]]]
    last = cells.times[order[begins[rivals] + lengths - 1]]
    if cells.descending:
        first, last = last, first
    starts = np.searchsorted(owners, np.arange(len(cells) + 1)).astype(np.int64)
    winners = np.where(most == 1, starts[:-1], smoothing.last_standing(first, last, starts))
    return Outcome(cells.column(cells.values[order[begins[rivals[winners]]]]))


def _count_distinct(cells: Cells, _: float) -> Outcome:
    """How many different values there are."""
    owners = value_runs(cells)[2]
    return Outcome(Column(FieldType.INTEGER, np.bincount(owners, minlength=len(cells)).astype(np.int64)))


FUNCTIONS: Final[dict[str, Function]] = {
    function.name: function
    for function in (
        Function("count", _ALL, (StateKind.COUNT,), result=FieldType.INTEGER),
        Function("sum", _NUMERIC, (StateKind.SUM,)),
        Function("mean", _NUMERIC, (StateKind.SUM,), result=FieldType.FLOAT),
        Function("min", _ORDERED, (StateKind.MIN,), selector=True),
        Function("max", _ORDERED, (StateKind.MAX,), selector=True),
        Function("first", _ALL, (StateKind.FIRST,), selector=True),
        Function("last", _ALL, (StateKind.LAST,), selector=True),
        Function("spread", _NUMERIC, (StateKind.MIN, StateKind.MAX)),
        Function("stddev", _NUMERIC, (StateKind.MOMENTS,), result=FieldType.FLOAT),
        Function("median", _NUMERIC, whole=_median, result=FieldType.FLOAT),
        Function("percentile", _NUMERIC, whole=_percentile, selector=True, parameter=(0.0, 100.0)),
        Function("mode", _ALL, whole=_mode),
        Function("count_distinct", _ALL, whole=_count_distinct, result=FieldType.INTEGER),
    )
}
"""Every function by its name, in lower case."""
