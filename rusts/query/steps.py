"""What a plan is resolved to: frozen steps, with every name known, for the executor to run and EXPLAIN to show.

A step says in `outputs` which columns its tables have. A `SourceStep` has no tables: it gives rows of points.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rusts.model.partial import State
from rusts.model.store import FoldRequest, TimeRange
from rusts.model.types import FieldType
from rusts.query.expression import Expression, Ref
from rusts.query.functions import Function
from rusts.query.plan import Call, Default, Fill, Points, Slice, TransformCall
from rusts.query.selection import Selection
from rusts.query.transforms.base import TransformFunction
from rusts.query.window import Buckets

__all__ = [
    "CallStep",
    "ChooseStep",
    "DefaultStep",
    "FillStep",
    "FilterStep",
    "FoldStep",
    "JoinStep",
    "NestedPart",
    "Output",
    "Physical",
    "PointsPart",
    "ProjectStep",
    "ReduceStep",
    "RowsStep",
    "SliceStep",
    "SourceStep",
    "Step",
    "TransformStep",
    "UnaryStep",
]


@dataclass(frozen=True, slots=True)
class Output:
    """A column. Of rows, `expression` says how it is computed; each `Ref` in it is a field's or a tag's that exists."""

    label: str
    type: FieldType
    expression: Expression | None = None


# -- sources


@dataclass(frozen=True, slots=True)
class PointsPart:
    """Points of a store, those for which the (resolved) condition holds."""

    points: Points
    types: Mapping[str, FieldType]
    condition: Expression | None = None


@dataclass(frozen=True, slots=True)
class NestedPart:
    """Rows of a subquery, those for which the (resolved) condition holds."""

    query: SliceStep
    condition: Expression | None = None


@dataclass(frozen=True, slots=True)
class SourceStep:
    """All points of one measurement, and what is known of it. No parts: the schema alone says that there are none.

    `hidden` tags are known to conditions and to what groups, but are no columns.
    """

    measurement: str
    parts: tuple[PointsPart | NestedPart, ...]
    fields: Mapping[str, FieldType]
    tags: frozenset[str]
    range: TimeRange
    hidden: frozenset[str] = frozenset()


# -- tables of sources


@dataclass(frozen=True, slots=True)
class RowsStep:
    """The points themselves. `fields` are those of which a row must have one."""

    source: SourceStep
    outputs: tuple[Output, ...]
    group_by: tuple[str, ...]
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CallStep:
    """A call whose field exists, with the states that it is finished from."""

    call: Call
    function: Function
    type: FieldType
    states: tuple[State, ...]


@dataclass(frozen=True, slots=True)
class FoldStep:
    """Every call has mergeable states: the store folds them.

    Each request has its own buckets, or lies in one bucket, whose begin stands beside it (else None).
    """

    source: SourceStep
    requests: tuple[tuple[FoldRequest, int | None], ...]
    calls: tuple[CallStep | None, ...]
    outputs: tuple[Output, ...]
    group_by: tuple[str, ...]
    buckets: Buckets | None
    time_of_selector: bool
    bucket_time: int


@dataclass(frozen=True, slots=True)
class ReduceStep:
    """Some call needs every value: the points are read, and all calls computed from them.

    Without buckets `time_of_selector` says that rows keep the time of the point that the only call selects;
    `bucket_time` is the time of all other rows then. `companions` are resolved; None = it has no values.
    """

    source: SourceStep
    calls: tuple[CallStep | None, ...]
    companions: tuple[Ref | None, ...]
    outputs: tuple[Output, ...]
    group_by: tuple[str, ...]
    buckets: Buckets | None
    time_of_selector: bool
    bucket_time: int


@dataclass(frozen=True, slots=True)
class ChooseStep:
    """Several rows of a cell. `keys`: the tags that set points apart; `tags`: the columns that stand beside."""

    source: SourceStep
    selection: Selection
    field: Ref
    count: int
    keys: tuple[str, ...]
    tags: tuple[Ref | None, ...]
    companions: tuple[Ref | None, ...]
    outputs: tuple[Output, ...]
    group_by: tuple[str, ...]
    buckets: Buckets | None
    bucket_time: int


# -- tables of tables


@dataclass(frozen=True, slots=True)
class FillStep:
    """Rows for empty buckets. `counts`: which calls count."""

    input: Step
    outputs: tuple[Output, ...]
    group_by: tuple[str, ...]
    buckets: Buckets
    fill: Fill
    range: TimeRange
    counts: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class DefaultStep:
    """Values for cells without one."""

    input: Step
    outputs: tuple[Output, ...]
    group_by: tuple[str, ...]
    default: Default


@dataclass(frozen=True, slots=True)
class TransformStep:
    """Each call with its function and the number of the input's column."""

    input: Step
    calls: tuple[tuple[TransformCall, TransformFunction, int], ...]
    outputs: tuple[Output, ...]
    group_by: tuple[str, ...]
    interval: int | None
    buckets: Buckets | None


@dataclass(frozen=True, slots=True)
class JoinStep:
    """Tables side by side."""

    inputs: tuple[Step, ...]
    outputs: tuple[Output, ...]
    group_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ProjectStep:
    """Expressions over the input's columns."""

    input: Step
    outputs: tuple[Output, ...]
    group_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FilterStep:
    """The rows for which the condition over the input's columns holds."""

    input: Step
    condition: Expression
    outputs: tuple[Output, ...]
    group_by: tuple[str, ...]


UnaryStep = FillStep | DefaultStep | TransformStep | ProjectStep | FilterStep
"""What makes one table of one table."""

Step = RowsStep | FoldStep | ReduceStep | ChooseStep | JoinStep | UnaryStep


@dataclass(frozen=True, slots=True)
class SliceStep:
    """What runs for each measurement (in the order of the answer; None = it has no rows), and the slice of each."""

    steps: tuple[tuple[str, Step | None], ...]
    slice: Slice
    outputs: tuple[Output, ...]
    group_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Physical:
    """What to run."""

    root: SliceStep
    measurement: str
