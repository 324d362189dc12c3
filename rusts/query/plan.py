"""The logical plan: what every front compiles to and the executor runs.

A plan is a tree of frozen nodes. Leaves and what joins them are *sources* (points, one row for each series and
time): `Points`, `Nested`, `Union`, `Filter` over those. `Rows`, `Aggregate` and `Choose` turn a source into
*tables* (`rusts.query.table.Table`): rows in groups, each group with its tags, its rows in time order, columns
with labels. `Fill`, `Default`, `Transform`, `Join`, `Filter` and `Project` make tables of tables, and `Slice`
is the root::

    Slice(Fill(Aggregate(Points)))                      an aggregate per group and time bucket
    Slice(Project(Transform(Fill(Aggregate(Points)))))  derivative(mean(v)) * 8
    Slice(Project(Aggregate(Nested(Slice(Rows(...)))))) a subquery

A plan is run once for each measurement name that its sources have; names come in sorted order. Names of
fields and tags are resolved against the schema by the optimizer, so a plan can be kept and run again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from rusts.model.predicate import Predicate
from rusts.model.store import TimeRange, Window
from rusts.model.time import MAX_TIME, MIN_TIME
from rusts.query.expression import Expression, Ref

__all__ = [
    "EVER",
    "Aggregate",
    "CalendarWindow",
    "Call",
    "Choose",
    "Default",
    "Fill",
    "FillMode",
    "Filter",
    "Join",
    "Nested",
    "Node",
    "Plan",
    "Points",
    "Project",
    "Rows",
    "Slice",
    "Source",
    "TableNode",
    "Transform",
    "TransformCall",
    "Union",
    "points_of",
]

EVER: Final = TimeRange(MIN_TIME, MAX_TIME + 1)
"""Every time that a point may have. A bound equal to one of these counts as not given."""

Labelled = tuple[tuple[str, Expression], ...]
"""Columns: the label of each and what it is computed from."""


@dataclass(frozen=True, slots=True)
class CalendarWindow:
    """Time buckets of `months` calendar months (12 a year), counted from January 1970, plus `offset` ns.

    Edges are midnights of the first of a month, in the zone that the node names, else in UTC.
    """

    months: int
    offset: int = 0


AnyWindow = Window | CalendarWindow


# -- sources


@dataclass(frozen=True, slots=True)
class Points:
    """The points of one measurement within `range` for which `predicate` holds."""

    database: str
    measurement: str
    policy: str | None = None
    range: TimeRange = EVER
    predicate: Predicate | None = None


@dataclass(frozen=True, slots=True)
class Nested:
    """The rows of a subquery, as if they were points of its measurement.

    Its columns are the fields; the tags by which it is grouped are the tags. `range` is that of the query around it;
    the points of the subquery are within it, its rows need not be (a bucket may begin before its first point).
    By `hidden` tags it is grouped for the sake of the query around it only: they group and decide there, but are
    no columns.
    """

    input: Slice
    range: TimeRange = EVER
    hidden: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Union:
    """The points of all `inputs`. Those of one measurement name are one measurement."""

    inputs: tuple[Points | Nested | Filter, ...]


@dataclass(frozen=True, slots=True)
class Filter:
    """What of `input` the condition is true for: points of a source, or rows of a table.

    It says what a `Predicate` cannot: arithmetic, one field compared with another, columns of a subquery.
    """

    input: Source | TableNode
    condition: Expression


# -- tables of sources


@dataclass(frozen=True, slots=True)
class Rows:
    """The points as rows of `columns`, one group for each set of values of the tags `group_by`.

    A `Ref` of no kind means the field, else the tag, else a column without values; None as `columns` stands for all
    fields and all tags but those of `group_by`, sorted by name (a tag named as a field is called ``name_1``). Rows
    without a value in any of the fields that the columns mention do not exist. Rows of one time come in the
    order of their series.
    """

    input: Source
    columns: Labelled | None = None
    group_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """One aggregate function over one field; `label` is the column's name."""

    function: str
    field: Ref
    label: str
    parameters: tuple[float | int, ...] = ()


@dataclass(frozen=True, slots=True)
class Aggregate:
    """`calls` per set of values of the tags `group_by` and per bucket of `window`.

    A group's row has the time of its bucket. Without a window that is the start of the source's range, or 0
    where it has none; a lone selector (min, max, first, last, percentile) then keeps the time of the point that it
    selects. Cells without a value in any of the fields do not exist. `companions` (with one call only, and that a
    selector) are fields and tags of the selected point; their columns come behind that of the call.
    With `zone` (an IANA name) buckets begin by that zone's clock.
    """

    input: Source
    calls: tuple[Call, ...]
    group_by: tuple[str, ...] = ()
    window: AnyWindow | None = None
    companions: tuple[tuple[str, Ref], ...] = ()
    zone: str | None = None


@dataclass(frozen=True, slots=True)
class Choose:
    """Up to `count` points of each group and bucket: the top or bottom ones, a sample; or each distinct value.

    With `tags` top and bottom look at the best point of each set of values of them. The columns are `label`, one for
    each of `tags` (labelled so; what else has the name of one is shown, but sets no points apart), and `companions`:
    other fields and tags of the chosen points. Rows keep the
    time of their point; distinct values (by size, no `count`) have that of the bucket, as in `Aggregate`.
    """

    input: Source
    function: str
    field: Ref
    label: str
    count: int = 0
    tags: tuple[str, ...] = ()
    group_by: tuple[str, ...] = ()
    window: AnyWindow | None = None
    companions: tuple[tuple[str, Ref], ...] = ()
    zone: str | None = None


# -- tables of tables


class FillMode(StrEnum):
    """What stands in a bucket for which a call has no value."""

    NULL = "null"
    PREVIOUS = "previous"
    LINEAR = "linear"
    VALUE = "value"


@dataclass(frozen=True, slots=True)
class Fill:
    """A row for every bucket of each group: of the whole `range` (None = that of the source), or from and to
    the group's first and last row where the range is open.

    A count is 0 where NULL finds no value, in groups that have any. PREVIOUS is what stands before in time, with
    `descending` what stands behind, as InfluxQL's ``ORDER BY time DESC`` has it. VALUE leaves strings and booleans
    without a value, or with `zeroes`, as InfluxQL has it, makes them empty and false.
    """

    input: Aggregate
    mode: FillMode
    value: float | int = 0.0
    range: TimeRange | None = None
    descending: bool = False
    zeroes: bool = False


@dataclass(frozen=True, slots=True)
class Default:
    """The rows of `input`, with a value in every cell that has none: a number (VALUE), or with PREVIOUS what the row
    before it in the group has, with `descending` the row behind.

    So InfluxQL's fill() goes on above aggregates: for columns without a row of a time, companions, and raw rows.
    Strings and booleans have no number and stay without a value.
    """

    input: TableNode
    mode: FillMode
    value: float | int = 0.0
    descending: bool = False


@dataclass(frozen=True, slots=True)
class TransformCall:
    """One transformation (derivative, moving_average ...) of the input's column labelled `column`."""

    function: str
    column: str
    label: str
    parameters: tuple[float | int, ...] = ()


@dataclass(frozen=True, slots=True)
class Transform:
    """Each group's columns, whole and in the order of the answer, through `calls`; only their columns are left.

    Columns whose rows are at other times than those of the others are joined to them by time. Over rows of
    points, `integral` gives one row for each bucket of `window`, as in `Aggregate`.
    """

    input: TableNode
    calls: tuple[TransformCall, ...]
    window: AnyWindow | None = None
    zone: str | None = None


@dataclass(frozen=True, slots=True)
class Join:
    """The columns of all `inputs` (which have the same `group_by`) side by side: rows of one group and time are one.

    The n-th row of a time in one input meets the n-th row of it in the others.
    """

    inputs: tuple[TableNode, ...]


@dataclass(frozen=True, slots=True)
class Project:
    """Each row's `columns`, computed from the input's columns: ``Ref.name`` is a label of them."""

    input: TableNode
    columns: Labelled


@dataclass(frozen=True, slots=True)
class Slice:
    """Order, and for each group `limit` rows behind the first `offset`; of each measurement `series_limit` groups
    behind the first `series_offset`. None = no limit.

    Rows are in the order of time, or with `order_by` (labels, and whether they descend) in that of columns, where
    cells without a value come last; rows that compare equal stay in the order of time. With `groups_descending` the
    measurements and the groups that are left come in reverse order, as InfluxQL's ``ORDER BY time DESC`` has it.
    Groups count in the order of their tags' values, with `keys_first` as InfluxQL's SLIMIT has it
    (`rusts.query.grouping.limit_order`).
    """

    input: TableNode
    descending: bool = False
    limit: int | None = None
    offset: int = 0
    series_limit: int | None = None
    series_offset: int = 0
    order_by: tuple[tuple[str, bool], ...] = ()
    groups_descending: bool = False
    keys_first: bool = False


Source = Points | Nested | Union | Filter
TableNode = Rows | Aggregate | Choose | Fill | Default | Transform | Join | Project | Filter
"""A `Filter` is what its input is: a source or a table."""
Node = Source | TableNode | Slice


def points_of(node: Node) -> Iterator[Points]:
    """Every leaf below `node`, from left to right."""
    match node:
        case Points():
            yield node
        case Union(inputs=inputs) | Join(inputs=inputs):
            for each in inputs:
                yield from points_of(each)
        case _:
            yield from points_of(node.input)


@dataclass(frozen=True, slots=True)
class Plan:
    """A query."""

    root: Slice

    @property
    def points(self) -> tuple[Points, ...]:
        """The leaves: which databases and measurements the plan reads (permissions and metrics ask)."""
        return tuple(points_of(self.root))
