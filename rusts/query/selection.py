"""Functions that choose several rows of a cell: top, bottom, sample and distinct."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rusts.model.types import FieldType
from rusts.query.functions import Cells, value_runs

__all__ = ["SELECTIONS", "Chosen", "Selection"]

_NUMERIC: Final = frozenset({FieldType.FLOAT, FieldType.INTEGER, FieldType.UNSIGNED})
_ALL: Final = frozenset(FieldType)


@dataclass(slots=True)
class Chosen:
    """The rows chosen of n cells: cell c has ``rows[starts[c]:starts[c + 1]]``, in the order of the answer.

    `starts` is int64[n + 1], `rows` int64[] positions among the rows of the `Cells`. A cell's rows are in this
    order even where the query asks for the latest first; only the cells are turned round then.
    """

    starts: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Selection:
    """A function that chooses rows.

    `accepts`: types of fields that it is defined for. `choose` takes the cells, how many rows are wanted of each, and
    int64[rows] the number of each row's tuple of tag values (None = no tag arguments). `times`: the rows
    keep their points' times (else they have their cell's). `first_of_key`: the function that InfluxDB applies first
    where there are tag arguments, and names in its refusals.
    """

    name: str
    accepts: frozenset[FieldType]
    choose: Callable[[Cells, int, npt.NDArray[np.int64] | None], Chosen]
    times: bool = True
    first_of_key: str | None = None

    def refusal(self, field: FieldType, keyed: bool = False) -> str | None:
        """InfluxDB's words where a field of type `field` is not accepted, else None; `keyed`: with tag arguments."""
        if field in self.accepts:
            return None
        if keyed and self.first_of_key is not None:
            if field is FieldType.BOOLEAN:
                return f"unsupported {self.name} iterator type: *query.booleanReduceBooleanIterator"
            return f"unsupported {self.first_of_key} iterator type: *query.{field.text}InterruptIterator"
        return f"unsupported {self.name} iterator type: *query.{field.text}InterruptIterator"


def _extreme(cells: Cells, count: int, keys: npt.NDArray[np.int64] | None, rank: npt.NDArray[Any]) -> Chosen:
    """The rows of least `rank`, of equal ones the earliest; by time, then by rank.

    With `keys` only the first row of each key takes part.
    """
    owners = cells.row_cells()
    # Rows of one time come in the order of the query.
    rows = np.arange(len(owners), dtype=np.int64)
    turn = -rows if cells.descending else rows
    order = np.lexsort((turn, cells.times, rank, owners))
    if keys is not None:
        pairs = owners[order] * (int(keys.max(initial=0)) + 1) + keys[order]
        order = order[np.sort(np.unique(pairs, return_index=True)[1])]
    chosen = _heads(order, owners, len(cells), count)
    chosen = chosen[np.lexsort((turn[chosen], rank[chosen], cells.times[chosen], owners[chosen]))]
    return _chosen(chosen, owners, len(cells))


def _heads(
    order: npt.NDArray[np.int64], owners: npt.NDArray[np.int64], cells: int, count: int
) -> npt.NDArray[np.int64]:
    """Of rows in the order of their cells the first `count` of each cell."""
    begins = np.searchsorted(owners[order], np.arange(cells))
    return order[np.arange(len(order)) - begins[owners[order]] < count]


def _chosen(rows: npt.NDArray[np.int64], owners: npt.NDArray[np.int64], cells: int) -> Chosen:
    """Rows in the order of their cells."""
    starts = np.searchsorted(owners[rows], np.arange(cells + 1)).astype(np.int64)
    return Chosen(starts, rows)


def _top(cells: Cells, count: int, keys: npt.NDArray[np.int64] | None) -> Chosen:
    """The largest values."""
    # The complement turns the order of whole numbers round and cannot overflow.
    rank = -cells.values if cells.type is FieldType.FLOAT else ~cells.values
    return _extreme(cells, count, keys, rank)


def _bottom(cells: Cells, count: int, keys: npt.NDArray[np.int64] | None) -> Chosen:
    """The smallest values."""
    return _extreme(cells, count, keys, cells.values)


def _sample(cells: Cells, count: int, _: npt.NDArray[np.int64] | None) -> Chosen:
    """Any rows, all equally likely, in the order of time."""
    owners = cells.row_cells()
    order = np.lexsort((np.random.default_rng().random(len(owners)), owners))
    return _chosen(np.sort(_heads(order, owners, len(cells), count)), owners, len(cells))


def _distinct(cells: Cells, _count: int, _keys: npt.NDArray[np.int64] | None) -> Chosen:
    """One row for each value: the first one that the query meets; by time, then by value."""
    order, begins, owners = value_runs(cells)
    if cells.descending:
        begins = np.append(begins[1:], len(order)) - 1
    rows = order[begins]
    rows = rows[np.lexsort((cells.values[rows], cells.times[rows], owners))]
    return _chosen(rows, cells.row_cells(), len(cells))


SELECTIONS: Final[dict[str, Selection]] = {
    selection.name: selection
    for selection in (
        Selection("top", _NUMERIC, _top, first_of_key="max"),
        Selection("bottom", _NUMERIC, _bottom, first_of_key="min"),
        Selection("sample", _ALL, _sample),
        Selection("distinct", _ALL, _distinct, times=False),
    )
}
"""Every selection by its name, in lower case."""
