"""What a transformation is: its name, what it takes and gives, and the runs of values that it works on.

A transformation sees a group whole, in the order in which the query asked for its rows, and gives rows of its own. All
groups are computed at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rusts.model.batch import Column
from rusts.model.types import FieldType

__all__ = ["NUMERIC", "SECOND", "Parameter", "Runs", "Setting", "TransformFunction", "kept", "within"]

NUMERIC: Final = frozenset({FieldType.FLOAT, FieldType.INTEGER, FieldType.UNSIGNED})
SECOND: Final = 1_000_000_000
"""ns."""


@dataclass(slots=True)
class Runs:
    """Values of one column, group after group: group g has the rows ``starts[g]:starts[g + 1]``, maybe none.

    `starts` is int64[groups + 1] with starts[0] == 0, `times` int64[rows] ns, ascending in a group (descending where
    the `Setting` says so; equal times may be there), `column` has rows values and no nulls.
    """

    starts: npt.NDArray[np.int64]
    times: npt.NDArray[np.int64]
    column: Column

    def __len__(self) -> int:
        return len(self.times)

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """int64[groups]: rows of each."""
        return np.diff(self.starts)

    @property
    def values(self) -> Any:
        """The column's values."""
        return self.column.values

    def row_groups(self) -> npt.NDArray[np.int64]:
        """int64[rows]: the group of each row."""
        return np.repeat(np.arange(len(self.starts) - 1, dtype=np.int64), self.counts)


def _no_check(_rows: int) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Setting:
    """What the query says of the rows that a transformation sees.

    `descending`: the latest row comes first. `interval`: ns of the GROUP BY time() that the rows come from or are to
    be summed up in, None without one. `bounds`: begin and end (int64[n] ns each, the end exclusive) of the buckets
    that n times lie in; None without buckets, and where the rows are buckets already. `check` is called with
    the number of rows about to be made, and now and then during long work with 0; it raises to end the query (limits,
    kill).
    """

    descending: bool = False
    interval: int | None = None
    bounds: Callable[[npt.NDArray[np.int64]], tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]] | None = None
    check: Callable[[int], None] = _no_check


class Parameter(StrEnum):
    """A kind of argument behind the field; in a call each is one number."""

    DURATION = "duration"
    """ns."""
    INTEGER = "integer"
    WARMUP = "warm-up"
    """A string in the text, an index into `averages.WARMUPS` in a call."""


@dataclass(frozen=True, slots=True)
class TransformFunction:
    """A transformation.

    `accepts`: types that it is defined for. `result`: type of what it gives, None = the column's. `parameters`: kinds
    of its arguments behind the field, of which the first `required` must be given. `compute` takes the runs
    (of an accepted type), the arguments given, and the setting; it gives as many groups.
    `sums`: over raw rows it gives one row per group or bucket, as an aggregate does. `refused_as`: what InfluxDB
    calls it where it refuses a type.
    """

    name: str
    accepts: frozenset[FieldType]
    result: FieldType | None
    compute: Callable[[Runs, tuple[float, ...], Setting], Runs]
    parameters: tuple[Parameter, ...] = ()
    required: int = 0
    sums: bool = False
    refused_as: str | None = None

    def result_type(self, column: FieldType) -> FieldType:
        """The type of what it gives for a column of type `column`."""
        return column if self.result is None else self.result

    def refusal(self, column: FieldType) -> str | None:
        """InfluxDB's words where a column of type `column` is not accepted, else None."""
        if column in self.accepts:
            return None
        name = self.refused_as or self.name.replace("_", " ")
        return f"unsupported {name} iterator type: *query.{column.text}InterruptIterator"


def kept(runs: Runs, rows: npt.NDArray[np.bool_], column: Column | None = None) -> Runs:
    """The rows for which bool[rows] `rows` holds, with the values of `column` (as long as `runs`) if given."""
    column = runs.column if column is None else column
    if bool(rows.all()):
        return Runs(runs.starts, runs.times, column)
    before = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum(rows, out=before[1:])
    return Runs(before[runs.starts], runs.times[rows], column.take(rows))


def within(runs: Runs) -> npt.NDArray[np.int64]:
    """int64[rows]: how many rows of its group come before each."""
    return np.arange(len(runs), dtype=np.int64) - np.repeat(runs.starts[:-1], runs.counts)
