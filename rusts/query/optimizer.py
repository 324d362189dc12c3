"""From a logical plan to steps that a store can run: names become fields and tags, calls become states or a scan.

Pure but for the questions about the schema. What it decides is in the frozen steps it returns, for
EXPLAIN to show and the executor to run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from rusts import errors
from rusts.errors import Bug
from rusts.model.partial import State
from rusts.model.store import FoldRequest, Store, TimeRange
from rusts.model.time import MIN_TIME
from rusts.model.types import FieldType
from rusts.query.expression import Binary, Expression, Op, Ref, RefKind, references
from rusts.query.functions import FUNCTIONS
from rusts.query.limits import Tracker
from rusts.query.names import NOTHING, UNKNOWN, Names, by_label, computed, distinct, everything, field_type, named
from rusts.query.plan import (
    EVER,
    Aggregate,
    AnyWindow,
    Call,
    Choose,
    Default,
    Fill,
    Filter,
    Join,
    Nested,
    Node,
    Plan,
    Points,
    Project,
    Rows,
    Slice,
    Source,
    TableNode,
    Transform,
    Union,
)
from rusts.query.selection import SELECTIONS
from rusts.query.steps import (
    CallStep,
    ChooseStep,
    DefaultStep,
    FillStep,
    FilterStep,
    FoldStep,
    JoinStep,
    NestedPart,
    Output,
    Physical,
    PointsPart,
    ProjectStep,
    ReduceStep,
    RowsStep,
    SliceStep,
    SourceStep,
    Step,
    TransformStep,
)
from rusts.query.transforms import TRANSFORMS
from rusts.query.window import TOO_EARLY, Buckets, begin_of, span_buckets

__all__ = ["optimize"]

_PREFERRED: Final = (FieldType.FLOAT, FieldType.INTEGER, FieldType.UNSIGNED, FieldType.STRING, FieldType.BOOLEAN)
"""Where sources of one name differ in a field's type, the first of these is the field's."""

_MOST_FOLDS: Final = 64
"""Buckets of more than so many different kinds are computed from the points."""


def optimize(plan: Plan, store: Store, tracker: Tracker) -> Physical:
    """Resolve `plan` against the schema of `store`.

    Raises DatabaseNotFound, InvalidRequest for a function that is not defined for its field's type or an expression
    whose types do not go together, and LimitExceeded where the plan itself asks for too many buckets.
    """
    root = _Resolver(store, tracker).slice(plan.root)
    return Physical(root, root.steps[0][0] if root.steps else "")


def names_of(node: Node) -> set[str]:
    """The names of all measurements that the tables of `node` may have."""
    match node:
        case Points(measurement=measurement):
            return {measurement}
        case Union(inputs=inputs) | Join(inputs=inputs):
            return set().union(*map(names_of, inputs))
        case _:
            return names_of(node.input)


class _Resolver:
    """One walk over a plan. What is asked of the schema is asked once."""

    def __init__(self, store: Store, tracker: Tracker) -> None:
        self._store = store
        self._tracker = tracker
        self._types: dict[tuple[str, str], dict[str, FieldType]] = {}
        self._tags: dict[tuple[str, str], list[str]] = {}
        self._inputs: dict[int, dict[str, list[Source]]] = {}

    def slice(self, top: Slice, only: str | None = None) -> SliceStep:
        """The steps of a slice: for each of its measurements, or for one of them only."""
        names = sorted(names_of(top.input), reverse=top.groups_descending) if only is None else [only]
        steps = []
        for name in names:
            self._tracker.check()
            steps.append((name, self._table(top.input, name)))
        if not steps:
            return SliceStep((), top, (), ())
        outputs = steps[0][1].outputs
        for _, step in steps[1:]:
            # A column that one measurement lacks has the type that another one gives it.
            outputs = tuple(
                one if one.expression != NOTHING else other for one, other in zip(outputs, step.outputs, strict=True)
            )
        kept = tuple((name, step if _possible(step) else None) for name, step in steps)
        return SliceStep(kept, top, outputs, steps[0][1].group_by)

    # -- schema

    def _types_of(self, points: Points) -> dict[str, FieldType]:
        key = (points.database, points.measurement)
        if key not in self._types:
            self._types[key] = self._store.field_types(*key)
        return self._types[key]

    def _tags_of(self, points: Points) -> list[str]:
        key = (points.database, points.measurement)
        if key not in self._tags:
            self._tags[key] = self._store.tag_keys(*key)
        return self._tags[key]

    # -- sources

    def _source(self, node: Source | TableNode, measurement: str) -> SourceStep:
        """The part of a source that belongs to the measurement."""
        match node:
            case Points():
                types = self._types_of(node)
                parts = (PointsPart(node, types),) if node.range.start < node.range.end else ()
                return SourceStep(node.measurement, parts, types, frozenset(self._tags_of(node)), node.range)
            case Nested():
                return self._nested(node, measurement)
            case Filter(input=inner, condition=condition):
                source = self._source(inner, measurement)
                return replace(source, parts=tuple(_conditioned(part, source, condition) for part in source.parts))
            case Union():
                mine = [self._source(each, measurement) for each in self._named(node)[measurement]]
                fields: dict[str, FieldType] = {}
                for each in mine:
                    for name, own in each.fields.items():
                        fields[name] = min(own, fields.get(name, own), key=_PREFERRED.index)
                start = min(each.range.start for each in mine)
                return SourceStep(
                    measurement,
                    tuple(part for each in mine for part in each.parts),
                    fields,
                    frozenset().union(*(each.tags for each in mine)),
                    TimeRange(start, max(each.range.end for each in mine)),
                    frozenset().union(*(each.hidden for each in mine)),
                )
            case _:
                raise Bug(f"{type(node).__name__} is no source")

    def _named(self, union: Union) -> dict[str, list[Source]]:
        """The inputs of a union by the names of their measurements."""
        found = self._inputs.get(id(union))
        if found is None:
            found = self._inputs[id(union)] = {}
            for each in union.inputs:
                for name in names_of(each):
                    found.setdefault(name, []).append(each)
        return found

    def _nested(self, node: Nested, measurement: str) -> SourceStep:
        inner = self.slice(node.input, measurement)
        fields = {output.label: output.type for output in inner.outputs if output.expression != NOTHING}
        part = NestedPart(inner)
        parts = () if inner.steps[0][1] is None else (part,)
        tags = frozenset(inner.group_by)
        return SourceStep(measurement, parts, fields, tags - node.hidden, node.range, tags & node.hidden)

    # -- tables

    def _table(self, node: TableNode, measurement: str) -> Step:
        match node:
            case Rows():
                return self._rows(node, measurement)
            case Aggregate():
                return self._aggregate(node, measurement)
            case Choose():
                return self._choose(node, measurement)
            case Fill():
                return self._fill(node, measurement)
            case Default(input=inner):
                step = self._table(inner, measurement)
                return DefaultStep(step, step.outputs, step.group_by, node)
            case Transform():
                return self._transform(node, measurement)
            case Join(inputs=inputs):
                steps = tuple(self._table(each, measurement) for each in inputs)
                outputs = tuple(output for step in steps for output in step.outputs)
                return JoinStep(steps, outputs, steps[0].group_by)
            case Project(input=inner, columns=columns):
                step = self._table(inner, measurement)
                return ProjectStep(step, computed(columns, by_label(step.outputs)), step.group_by)
            case Filter(input=inner, condition=condition):
                assert not isinstance(inner, Points | Nested | Union)
                step = self._table(inner, measurement)
                resolved = Names(by_label(step.outputs)).resolve(condition)
                return FilterStep(step, resolved, step.outputs, step.group_by)
            case _:
                raise Bug(f"{type(node).__name__} gives no tables")

    def _rows(self, node: Rows, measurement: str) -> RowsStep:
        source = self._source(node.input, measurement)
        if node.columns is None:
            outputs = everything(source, node.group_by)
        else:
            labelled = tuple(
                (label, expression)
                for (_, label), (_, expression) in zip(
                    distinct(name for name, _ in node.columns), node.columns, strict=True
                )
            )
            outputs = computed(labelled, dict(source.fields), source.tags)
        # What is asked for counts, also where a column that mentions it can have no value.
        columns = node.columns or [(output.label, output.expression or NOTHING) for output in outputs]
        names = Names(dict(source.fields), source.tags)
        used = [names.ref(ref) for _, expression in columns for ref in references(expression)]
        fields = tuple(dict.fromkeys(ref.name for ref in used if ref is not None and ref.kind is RefKind.FIELD))
        return RowsStep(source, outputs, node.group_by, fields)

    def _aggregate(self, node: Aggregate, measurement: str) -> FoldStep | ReduceStep:
        source = self._source(node.input, measurement)
        buckets = _buckets(node.window, node.zone, source.range)
        names = Names(dict(source.fields), source.tags)
        calls = tuple(_call(call, names) for call in node.calls)
        outputs = [
            Output(label, _call_type(call, step, names), None if step is not None else NOTHING)
            for (_, label), call, step in zip(distinct(c.label for c in node.calls), node.calls, calls, strict=True)
        ]
        companions: list[Ref | None] = []
        for label, ref in node.companions:
            found = names.ref(ref)
            companions.append(found)
            outputs.append(named(label, found, names))
        lone = node.window is None and len(calls) == 1 and calls[0] is not None and calls[0].function.selector
        begin = source.range.start if source.range.start > EVER.start else 0
        requests = None
        if not companions and len(source.parts) == 1:
            requests = self._folds(source.parts[0], calls, node.group_by, buckets)
        if requests is None:
            return ReduceStep(source, calls, tuple(companions), tuple(outputs), node.group_by, buckets, lone, begin)
        return FoldStep(source, requests, calls, tuple(outputs), node.group_by, buckets, lone, begin)

    def _folds(
        self,
        part: PointsPart | NestedPart,
        calls: Sequence[CallStep | None],
        group_by: tuple[str, ...],
        buckets: Buckets | None,
    ) -> tuple[tuple[FoldRequest, int | None], ...] | None:
        """The requests that answer the calls; None if they need the points."""
        if not isinstance(part, PointsPart) or part.condition is not None:
            return None
        known = [call for call in calls if call is not None]
        if any(not call.states or call.call.field.type is not None for call in known):
            return None
        points = part.points
        states = tuple(dict.fromkeys(state for call in known for state in call.states))
        request = FoldRequest(
            points.database,
            points.policy,
            points.measurement,
            points.range,
            states,
            points.predicate,
            group_by,
            None if buckets is None else buckets.fixed,
            self._tracker.check,
        )
        if buckets is None or buckets.fixed is not None:
            return ((request, None),)
        if points.range.start == EVER.start or points.range.end == EVER.end:
            return None
        pieces = buckets.pieces(points.range, _MOST_FOLDS)
        if pieces is None:
            return None
        return tuple(
            (replace(request, range=range, window=window), begin if window is None else None)
            for range, window, begin in pieces
        )

    def _choose(self, node: Choose, measurement: str) -> ChooseStep:
        source = self._source(node.input, measurement)
        buckets = _buckets(node.window, node.zone, source.range)
        names = Names(dict(source.fields), source.tags)
        selection = SELECTIONS[node.function]
        field = names.ref(node.field)
        if field is not None and field.kind is RefKind.FIELD:
            refusal = selection.refusal(field_type(field, names), bool(node.tags))
            if refusal is not None:
                raise errors.InvalidRequest(refusal)
        else:
            source, field = replace(source, parts=()), node.field
        tags = tuple(names.ref(Ref(key)) for key in node.tags)
        companions = tuple(names.ref(ref) for _, ref in node.companions)
        outputs = (
            named(node.label, field if field.kind is RefKind.FIELD else None, names),
            *(named(key, ref, names) for key, ref in zip(node.tags, tags, strict=True)),
            *(named(label, ref, names) for (label, _), ref in zip(node.companions, companions, strict=True)),
        )
        begin = source.range.start if source.range.start > EVER.start else 0
        return ChooseStep(
            source, selection, field, node.count, node.tags, tags, companions, outputs, node.group_by, buckets, begin
        )

    def _fill(self, node: Fill, measurement: str) -> FillStep:
        step = self._table(node.input, measurement)
        assert isinstance(step, FoldStep | ReduceStep)
        assert step.buckets is not None
        range = node.range or step.source.range
        window = step.buckets.fixed
        if range.start > EVER.start and range.end < EVER.end and range.start < range.end:
            about = (range.end - range.start) // step.buckets.length
            self._tracker.buckets(about if window is None else span_buckets(range, window))
        counts = tuple(call is not None and call.function.counts for call in step.calls)
        return FillStep(step, step.outputs, step.group_by, step.buckets, node, range, counts)

    def _transform(self, node: Transform, measurement: str) -> TransformStep:
        step = self._table(node.input, measurement)
        places = {output.label: number for number, output in enumerate(step.outputs)}
        calls = []
        outputs = []
        for call in node.calls:
            function = TRANSFORMS[call.function]
            number = places[call.column]
            column = step.outputs[number]
            if column.expression != NOTHING:
                refusal = function.refusal(column.type)
                if refusal is not None:
                    raise errors.InvalidRequest(refusal)
            calls.append((call, function, number))
            type = function.result_type(column.type)
            outputs.append(Output(call.label, type, NOTHING if column.expression == NOTHING else None))
        leaf = source_of(step)
        buckets = _buckets(node.window, node.zone, leaf.range)
        below = _window_below(node.input)
        interval = below.length if below is not None else None if buckets is None else buckets.length
        return TransformStep(step, tuple(calls), tuple(outputs), step.group_by, interval, buckets)


def source_of(step: Step) -> SourceStep:
    """The source of the leftmost leaf below `step`."""
    while not isinstance(step, RowsStep | FoldStep | ReduceStep | ChooseStep):
        step = step.inputs[0] if isinstance(step, JoinStep) else step.input
    return step.source


def _possible(step: Step) -> bool:
    """False if the schema alone says that there are no rows."""
    match step:
        case RowsStep(source=source, fields=()):
            # A row of a subquery is one by itself: a tag of it is enough.
            nested = any(isinstance(part, NestedPart) for part in source.parts)
            return nested and any(output.expression not in (None, NOTHING) for output in step.outputs)
        case RowsStep(source=source):
            return bool(source.parts)
        case FoldStep(source=source, calls=calls) | ReduceStep(source=source, calls=calls):
            return bool(source.parts) and any(call is not None for call in calls)
        case ChooseStep(source=source):
            return bool(source.parts)
        case JoinStep(inputs=inputs):
            return any(map(_possible, inputs))
        case _:
            return _possible(step.input)


def _window_below(node: TableNode) -> Buckets | None:
    """The buckets of the aggregates of which `node` is made."""
    while not isinstance(node, Rows | Aggregate | Choose):
        node = node.inputs[0] if isinstance(node, Join) else node.input  # type: ignore[assignment]
    if isinstance(node, Rows) or node.window is None:
        return None
    return Buckets(node.window, node.zone)


def _buckets(window: AnyWindow | None, zone: str | None, range: TimeRange) -> Buckets | None:
    if window is None:
        return None
    buckets = Buckets(window, zone)
    if buckets.fixed is not None:
        for bound, outer in ((range.start, EVER.start), (range.end - 1, EVER.end - 1)):
            if bound != outer and begin_of(bound, buckets.fixed) < MIN_TIME:
                raise errors.InvalidRequest(TOO_EARLY)
    return buckets


def _conditioned(part: PointsPart | NestedPart, source: SourceStep, condition: Expression) -> PointsPart | NestedPart:
    resolved = Names(dict(source.fields), source.tags | source.hidden).resolve(condition)
    if part.condition is not None:
        resolved = Binary(Op.AND, part.condition, resolved)
    return replace(part, condition=resolved)


def _call(call: Call, names: Names) -> CallStep | None:
    """The call with its field's type; None if there is no such field."""
    function = FUNCTIONS[call.function]
    ref = names.ref(call.field)
    if ref is None or ref.kind is RefKind.TAG:
        return None
    type = field_type(ref, names)
    if type not in function.accepts:
        raise errors.NotDefined(call.function, call.field.name, type.text)
    states = tuple(State(kind, ref.name) for kind in function.states)
    return CallStep(replace(call, field=ref), function, type, states)


def _call_type(call: Call, step: CallStep | None, names: Names) -> FieldType:
    function = FUNCTIONS[call.function]
    return function.result_type(UNKNOWN if step is None else step.type)
