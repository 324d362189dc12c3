"""From a logical plan to steps that a store can run: names become fields and tags, calls become states or a scan.

Pure but for the questions about the schema. What it decides is in the frozen steps it returns, for
EXPLAIN to show and the executor to run.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from rusts import errors
from rusts.model.partial import State
from rusts.model.store import FoldRequest, ScanRequest, Store
from rusts.model.time import MIN_TIME
from rusts.model.types import FieldType
from rusts.query.functions import FUNCTIONS, Function
from rusts.query.limits import Tracker
from rusts.query.plan import EVER, Aggregate, Call, Fill, Plan, Points, Rows, Slice
from rusts.query.window import TOO_EARLY, begin_of, span_buckets

__all__ = ["CallStep", "FoldStep", "Output", "Physical", "ReduceStep", "RowsStep", "optimize"]


@dataclass(frozen=True, slots=True)
class Output:
    """A column of the answer. `field` or `tag` says where its values come from; neither: it has none."""

    label: str
    type: FieldType
    field: str | None = None
    tag: str | None = None


@dataclass(frozen=True, slots=True)
class CallStep:
    """A call whose field exists, with the states that it is finished from."""

    call: Call
    function: Function
    type: FieldType
    states: tuple[State, ...]


@dataclass(frozen=True, slots=True)
class FoldStep:
    """Every call has mergeable states: the store folds them."""

    request: FoldRequest
    calls: tuple[CallStep | None, ...]


@dataclass(frozen=True, slots=True)
class ReduceStep:
    """Some call needs every value: the points are scanned, and all calls computed from them."""

    request: ScanRequest
    calls: tuple[CallStep | None, ...]


@dataclass(frozen=True, slots=True)
class RowsStep:
    """The points themselves."""

    request: ScanRequest


@dataclass(frozen=True, slots=True)
class Physical:
    """What to run: a step (None = the schema alone says that there are no rows), then fill, then the slice.

    Without a window `time_of_selector` says that rows keep the time of the point that the only call selects;
    `bucket_time` is the time of all other rows then.
    """

    measurement: str
    group_by: tuple[str, ...]
    outputs: tuple[Output, ...]
    step: FoldStep | ReduceStep | RowsStep | None
    aggregate: Aggregate | None
    fill: Fill | None
    slice: Slice
    time_of_selector: bool = False
    bucket_time: int = 0


def optimize(plan: Plan, store: Store, tracker: Tracker) -> Physical:
    """Resolve `plan` against the schema of `store`.

    Raises DatabaseNotFound, InvalidRequest for a function that is not defined for its field's type, and
    LimitExceeded where the plan itself asks for too many buckets.
    """
    top = plan.root
    points = plan.points
    types = store.field_types(points.database, points.measurement)
    if isinstance(top.input, Rows):
        return _rows(top, top.input, types, store, tracker)
    filled = top.input if isinstance(top.input, Fill) else None
    aggregate = top.input if filled is None else filled.input
    assert isinstance(aggregate, Aggregate)
    return _aggregate(top, filled, aggregate, types, tracker)


def _rows(top: Slice, rows: Rows, types: dict[str, FieldType], store: Store, tracker: Tracker) -> Physical:
    points = rows.input
    tags = store.tag_keys(points.database, points.measurement)
    if rows.names is None:
        outputs = _everything(types, [tag for tag in tags if tag not in rows.group_by])
    else:
        outputs = tuple(_named(name, label, types, tags) for name, label in _distinct(rows.names))
    # `names` None reads "all fields" from the store: one that appears meanwhile has no column, so name them.
    fields = tuple(dict.fromkeys(output.field for output in outputs if output.field is not None))
    step = RowsStep(_scan(points, fields, top.descending, tracker)) if fields and _possible(points) else None
    return Physical(points.measurement, rows.group_by, outputs, step, None, None, top)


def _aggregate(
    top: Slice, filled: Fill | None, node: Aggregate, types: dict[str, FieldType], tracker: Tracker
) -> Physical:
    points = node.input
    window, range = node.window, points.range
    if window is not None:
        for bound, outer in ((range.start, EVER.start), (range.end - 1, EVER.end - 1)):
            if bound != outer and begin_of(bound, window) < MIN_TIME:
                raise errors.InvalidRequest(TOO_EARLY)
        if filled is not None and range.start > EVER.start and range.end < EVER.end:
            tracker.buckets(span_buckets(range, window))
    calls = tuple(_call(call, types) for call in node.calls)
    outputs = tuple(
        Output(label, FUNCTIONS[call.function].result_type(types.get(call.field, _UNKNOWN)), call.field)
        for (_, label), call in zip(_distinct(c.label for c in node.calls), node.calls, strict=True)
    )
    known = [step for step in calls if step is not None]
    step: FoldStep | ReduceStep | None = None
    if known and _possible(points):
        if any(not each.states for each in known):
            fields = tuple(dict.fromkeys(each.call.field for each in known))
            step = ReduceStep(_scan(points, fields, False, tracker), calls)
        else:
            states = tuple(dict.fromkeys(state for each in known for state in each.states))
            step = FoldStep(
                FoldRequest(
                    points.database,
                    points.policy,
                    points.measurement,
                    range,
                    states,
                    points.predicate,
                    node.group_by,
                    window,
                    tracker.check,
                ),
                calls,
            )
    lone = window is None and len(calls) == 1 and calls[0] is not None and calls[0].function.selector
    begin = range.start if range.start > EVER.start else 0
    return Physical(points.measurement, node.group_by, outputs, step, node, filled, top, lone, begin)


def _call(call: Call, types: dict[str, FieldType]) -> CallStep | None:
    """The call with its field's type; None if there is no such field."""
    function = FUNCTIONS[call.function]
    type = types.get(call.field)
    if type is None:
        return None
    if type not in function.accepts:
        text = f'{call.function} is not defined for field "{call.field}", whose type is {type.text}'
        raise errors.InvalidRequest(text)
    return CallStep(call, function, type, tuple(State(kind, call.field) for kind in function.states))


def _scan(points: Points, fields: tuple[str, ...], descending: bool, tracker: Tracker) -> ScanRequest:
    return ScanRequest(
        points.database,
        points.policy,
        points.measurement,
        points.range,
        points.predicate,
        fields,
        descending,
        tracker.check,
    )


def _possible(points: Points) -> bool:
    return points.range.start < points.range.end


def _distinct(names: Iterable[str]) -> Iterable[tuple[str, str]]:
    """Each name with its label: a repeated one gets ``_1``, ``_2`` ... behind it, ``time`` is taken."""
    taken = {"time"}
    for name in names:
        label, number = name, 0
        while label in taken:
            number += 1
            label = f"{name}_{number}"
        taken.add(label)
        yield name, label


def _named(name: str, label: str, types: dict[str, FieldType], tags: list[str]) -> Output:
    if name in types:
        return Output(label, types[name], field=name)
    if name in tags:
        return Output(label, FieldType.STRING, tag=name)
    return Output(label, _UNKNOWN)


def _everything(types: dict[str, FieldType], tags: list[str]) -> tuple[Output, ...]:
    """All fields and `tags`, sorted by name, a field before the tag of its name."""
    names = sorted([*((name, False) for name in types), *((tag, True) for tag in tags)])
    labelled = zip(_distinct(name for name, _ in names), names, strict=True)
    return tuple(
        Output(label, FieldType.STRING, tag=name) if is_tag else Output(label, types[name], field=name)
        for (_, label), (name, is_tag) in labelled
    )


_UNKNOWN: Final = FieldType.FLOAT
"""The type of a column that is neither field nor tag: all its cells are null."""
