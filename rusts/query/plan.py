"""The logical plan: what every front compiles to and the executor runs.

A plan is a tree of frozen nodes. A node gives a stream of `rusts.query.table.Table`: rows in groups, each group
with its tags, its rows in time order. The nodes here are those that have a front today::

    Slice(Fill(Aggregate(Points)))       an aggregate per group and time bucket
    Slice(Rows(Points))                  the points themselves

`Points` is the one leaf that reads a store. What InfluxQL adds fits between these: row-wise expressions are a node
over any node; transformations (derivative, moving_average ...) are one that sees each group whole; a
subquery is a node where `Aggregate` and `Rows` have `Points`, for the functions of `rusts.query.functions` are
written over columns and cells, not over storage; several measurements are a union of nodes, since each table
names its measurement; calendar buckets and time zones are further kinds of window.
Names are resolved against the schema by the optimizer, so a plan can be kept and run again.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from rusts.model.predicate import Predicate
from rusts.model.store import TimeRange, Window
from rusts.model.time import MAX_TIME, MIN_TIME

__all__ = ["EVER", "Aggregate", "Call", "Fill", "FillMode", "Node", "Plan", "Points", "Rows", "Slice"]

EVER: Final = TimeRange(MIN_TIME, MAX_TIME + 1)
"""Every time that a point may have. A bound equal to one of these counts as not given."""


@dataclass(frozen=True, slots=True)
class Points:
    """The points of one measurement within `range` for which `predicate` holds."""

    database: str
    measurement: str
    policy: str | None = None
    range: TimeRange = EVER
    predicate: Predicate | None = None


@dataclass(frozen=True, slots=True)
class Rows:
    """The points as rows of the columns `names`, one group for each set of values of the tags `group_by`.

    A name means the field, else the tag, else a column without values; None stands for all fields and all tags
    but those of `group_by`, sorted by name (a tag named as a field is called ``name_1``). Rows without a
    value in any of the fields do not exist. Rows of one time come in the order of their series.
    """

    input: Points
    names: tuple[str, ...] | None = None
    group_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """One aggregate function over one field; `label` is the column's name in the answer."""

    function: str
    field: str
    label: str
    parameter: float | None = None


@dataclass(frozen=True, slots=True)
class Aggregate:
    """`calls` per set of values of the tags `group_by` and per bucket of `window`.

    A group's row has the time of its bucket. Without a window that is the start of the range, or 0
    where it has none; a lone selector (min, max, first, last, percentile) then keeps the time of the point that it
    selects. Cells without a value in any of the fields do not exist.
    """

    input: Points
    calls: tuple[Call, ...]
    group_by: tuple[str, ...] = ()
    window: Window | None = None


class FillMode(StrEnum):
    """What stands in a bucket for which a call has no value."""

    NULL = "null"
    PREVIOUS = "previous"
    LINEAR = "linear"
    VALUE = "value"


@dataclass(frozen=True, slots=True)
class Fill:
    """A row for every bucket of each group: of the whole range, or from and to the group's first and last row
    where the range is open. A count is 0 where NULL finds no value."""

    input: Aggregate
    mode: FillMode
    value: float = 0.0


@dataclass(frozen=True, slots=True)
class Slice:
    """Order by time, and for each group `limit` rows behind the first `offset`; `series_limit` groups behind the
    first `series_offset`. None = no limit."""

    input: Aggregate | Fill | Rows
    descending: bool = False
    limit: int | None = None
    offset: int = 0
    series_limit: int | None = None
    series_offset: int = 0


Node = Points | Rows | Aggregate | Fill | Slice


@dataclass(frozen=True, slots=True)
class Plan:
    """A query."""

    root: Slice

    @property
    def points(self) -> Points:
        """The leaf: which database and measurement the plan reads (permissions and metrics ask)."""
        node: Node = self.root
        while not isinstance(node, Points):
            node = node.input
        return node
