"""From a resolved SELECT to the nodes of a plan.

Calls of one kind are one node: all aggregates of a query are one `Aggregate`, all transformations of points one
`Transform`. Nodes of different kinds are joined. Their columns have labels of their own (``c0``, ``c1`` ...); a
`Project` on top computes the answer's columns, unless these are the calls themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from rusts.errors import InvalidRequest
from rusts.influxql import ast
from rusts.influxql.planner.condition import intersect, lower
from rusts.influxql.planner.query import Query
from rusts.influxql.planner.rules import AGGREGATES, AVERAGES, FORECASTS, MATH, SELECTORS, TRANSFORMS
from rusts.influxql.planner.sources import Measurement, Schema
from rusts.model.store import TimeRange, Window
from rusts.query.expression import Binary, Distinct, Duration, Expression, Function, Literal, Paren, Ref, references
from rusts.query.plan import (
    EVER,
    Aggregate,
    Call,
    Choose,
    Default,
    Fill,
    FillMode,
    Filter,
    Join,
    Nested,
    Points,
    Project,
    Rows,
    Slice,
    Source,
    TableNode,
    Transform,
    TransformCall,
    Union,
)
from rusts.query.transforms.averages import WARMUPS

__all__ = ["slice_of"]

_CHOICES: Final = frozenset(("top", "bottom", "sample", "distinct"))
_FILLS: Final = {
    ast.FillKind.NULL: FillMode.NULL,
    ast.FillKind.PREVIOUS: FillMode.PREVIOUS,
    ast.FillKind.LINEAR: FillMode.LINEAR,
    ast.FillKind.VALUE: FillMode.VALUE,
}
_COUNTS: Final = ("count", "count_distinct")
_SECOND: Final = 1_000_000_000
_MONTH: Final = 30 * 86_400 * _SECOND
"""What derivative() takes for the unit of a calendar month."""


def slice_of(query: Query, schema: Schema, range: TimeRange = EVER, outer: tuple[str, ...] | None = None) -> Slice:
    """The plan of `query` over times within `range`.

    `outer`: what the query around it is grouped by, and so it is, too; None if there is none.
    """
    group_by = tuple(sorted({*query.group_by, *(outer or ())}))
    return _Tables(query, schema, intersect(query.range, range), group_by, outer is None).slice()


@dataclass(slots=True)
class _Tables:
    query: Query
    schema: Schema
    range: TimeRange
    group_by: tuple[str, ...]
    outermost: bool
    reach: int = 1
    _labels: int = field(default=0, init=False)

    # -- the whole

    def slice(self) -> Slice:
        query, select = self.query, self.query.select
        outputs = [(column.label, column.expression) for column in query.columns]
        having = None if select.having is None else self._having(select.having)
        calls = _calls_in([expression for _, expression in outputs] + ([] if having is None else [having]))
        self.reach = _reach(calls)
        node = self._grouped(outputs, having, calls) if calls else self._rows(outputs, having)
        series_limit, series_offset = _series(query) if self.outermost else (0, 0)
        return Slice(
            node,
            query.descending,
            select.limit or None,
            select.offset,
            series_limit or None,
            series_offset,
            self._order(),
            query.descending and self.outermost,
            keys_first=bool(series_limit or series_offset),
        )

    def _having(self, condition: Expression) -> Expression:
        """HAVING, with the labels of columns replaced by what they stand for."""
        labels: dict[Expression, Expression] = {Ref(each.label): each.expression for each in self.query.columns}
        return _replaced(condition, labels)

    def _order(self) -> tuple[tuple[str, bool], ...]:
        labels = {column.label for column in self.query.columns}
        order = self.query.select.order
        if all(term.name in ("", "time") for term in order):
            return ()
        for term in order:
            if term.name not in labels | {"time", ""}:
                raise InvalidRequest(f"ORDER BY {term.name}: there is no such column")
        return tuple((term.name or "time", term.descending) for term in order)

    def _rows(self, outputs: Sequence[tuple[str, Expression]], having: Expression | None) -> TableNode:
        if having is None and not self._defaults():
            return Rows(self._source(self.range), tuple(outputs), self.group_by)
        whole = [expression for _, expression in outputs] + ([] if having is None else [having])
        names = {ref: f"c{index}" for index, ref in enumerate(_refs_in(whole))}
        inner = Rows(self._source(self.range), tuple((label, ref) for ref, label in names.items()), self.group_by)
        node: TableNode = self._defaulted(inner) if self._defaults() else inner
        if having is not None:
            node = Filter(node, _replaced(having, _as_refs(names)))
        return _projected(node, outputs, names)

    def _defaults(self) -> bool:
        """Whether fill() names what stands in cells without a value even where no bucket is empty."""
        fill = self.query.fill
        return fill is not None and fill.mode in (ast.FillKind.PREVIOUS, ast.FillKind.VALUE)

    def _defaulted(self, node: TableNode) -> Default:
        fill = self.query.fill
        assert fill is not None
        value = 0.0 if fill.value is None else fill.value
        return Default(node, _FILLS[fill.mode], value, self.query.descending)

    def _grouped(
        self, outputs: Sequence[tuple[str, Expression]], having: Expression | None, calls: Sequence[Expression]
    ) -> TableNode:
        whole = [expression for _, expression in outputs] + ([] if having is None else [having])
        refs = _refs_in(whole)
        labels = [label for label, _ in outputs]
        alike = len(calls) == 1 or all(isinstance(call, Function) and _is_plain(call) for call in calls)
        # A fill above an aggregate leaves no gaps in the columns of its calls.
        gaps = self._defaults() and (bool(refs) or (len(calls) > 1 and not (alike and self.query.window is not None)))
        alone = having is None and alike and [e for _, e in outputs] == list(calls)
        if alone and len(set(labels)) == len(labels):
            node = self._tables(list(zip(labels, calls, strict=True)), self.range)
            return self._defaulted(node) if gaps else node
        names = {call: self._label() for call in calls}
        companions = {ref: self._label() for ref in refs}
        node = self._tables(
            [(label, call) for call, label in names.items()],
            self.range,
            tuple((label, ref) for ref, label in companions.items() if isinstance(ref, Ref)),
        )
        names.update(companions)
        if gaps:
            node = self._defaulted(node)
        if having is not None:
            node = Filter(node, _replaced(having, _as_refs(names)))
        return _projected(node, outputs, names)

    # -- what is read

    def _source(self, range: TimeRange, keys: tuple[str, ...] = ()) -> Source:
        """What is read. Subqueries are grouped by the tags `keys` as well, which set points apart here."""
        query = self.query
        outer = tuple({*self.group_by, *keys})
        inputs: list[Points | Nested | Filter] = []
        for source in query.sources:
            leaf: Points | Nested
            if isinstance(source, Measurement):
                fields = self.schema.fields(source) if query.condition is not None else {}
                predicate, rest = lower(query.condition, fields)
                leaf = Points(source.database, source.name, source.policy, range, predicate)
                known = set() if rest is None else {*fields, *self.schema.tags(source)}
            else:
                hidden = frozenset(outer) - frozenset(source.group_by)
                leaf = Nested(slice_of(source, self.schema, range, outer), range, hidden)
                rest = query.condition
                known = {*source.group_by, *self.group_by, *(column.label for column in source.columns)}
            inputs.append(leaf if rest is None else Filter(leaf, _without_unknown(rest, known)))
        return inputs[0] if len(inputs) == 1 else Union(tuple(inputs))

    # -- calls

    def _label(self) -> str:
        self._labels += 1
        return f"c{self._labels - 1}"

    def _tables(
        self,
        calls: Sequence[tuple[str, Expression]],
        range: TimeRange,
        companions: tuple[tuple[str, Ref], ...] = (),
        *,
        transformed: bool = False,
    ) -> TableNode:
        """A table with a column for each of `calls`, by its label, and of the `companions` of the only one.

        `transformed`: only its values count, for a transformation passes over rows without one.
        """
        plain: list[tuple[str, Function]] = []
        points: list[tuple[str, Function]] = []
        areas: list[tuple[str, Function]] = []
        nested: dict[int, list[tuple[str, Function]]] = {}
        nodes: list[TableNode] = []
        for label, call in calls:
            call = Function("distinct", (Ref(call.name),)) if isinstance(call, Distinct) else call
            assert isinstance(call, Function)
            if call.name in _CHOICES:
                nodes.append(self._choose(label, call, range, companions))
            elif call.name == "integral":
                areas.append((label, call))
            elif _is_plain(call):
                plain.append((label, call))
            elif not isinstance(call.args[0], Function):
                points.append((label, call))
            else:
                before = 0 if transformed else min(_depth(call), self.reach)
                nested.setdefault(before, []).append((label, call))
        if plain:
            aggregate = self._aggregate(plain, range, companions, len(calls))
            nodes.insert(0, self._filled(aggregate, transformed))
        if points:
            nodes.append(self._of_points(points, range))
        if areas:
            nodes.append(self._of_points(areas, range, area=True))
        for before, chains in nested.items():
            nodes.append(self._of_calls(chains, self._extended(range, before)))
        return nodes[0] if len(nodes) == 1 else Join(tuple(nodes))

    def _aggregate(
        self,
        calls: Sequence[tuple[str, Function]],
        range: TimeRange,
        companions: tuple[tuple[str, Ref], ...],
        total: int,
    ) -> Aggregate:
        query = self.query
        made = [_call(label, call) for label, call in calls]
        if len(made) == 1 and total > 1 and query.window is None and calls[0][1].name in SELECTORS:
            # Only a selector that is the one call of its query keeps the time of its point: this one gets company.
            made.append(Call("count", made[0].field, self._label()))
        return Aggregate(self._source(range), tuple(made), self.group_by, query.window, companions, query.zone)

    def _filled(self, node: Aggregate, transformed: bool) -> TableNode:
        fill = self.query.fill
        if fill is None or node.window is None:
            return node
        if transformed and fill.mode is ast.FillKind.NULL and not any(c.function in _COUNTS for c in node.calls):
            return node
        value = 0.0 if fill.value is None else fill.value
        return Fill(node, _FILLS[fill.mode], value, descending=self.query.descending, zeroes=True)

    def _choose(
        self, label: str, call: Function, range: TimeRange, companions: tuple[tuple[str, Ref], ...]
    ) -> TableNode:
        query = self.query
        count = 0 if call.name == "distinct" else int(_number(call.args[-1]))
        ranking = call.name in ("top", "bottom")
        tags = tuple(arg.name for arg in call.args[1:-1] if isinstance(arg, Ref)) if ranking else ()
        return Choose(
            self._source(range, tags),
            call.name,
            _field(call.args[0]),
            label,
            count,
            tags,
            self.group_by,
            query.window,
            companions,
            query.zone,
        )

    def _of_points(self, calls: Sequence[tuple[str, Function]], range: TimeRange, area: bool = False) -> TableNode:
        query = self.query
        names: dict[Expression, str] = {}
        for _, call in calls:
            if call.args[0] not in names:
                names[call.args[0]] = self._label()
        rows = Rows(self._source(range), tuple((label, _field(ref)) for ref, label in names.items()), self.group_by)
        made = tuple(self._transform(label, call, names[call.args[0]]) for label, call in calls)
        return Transform(rows, made, query.window, query.zone) if area else Transform(rows, made)

    def _of_calls(self, calls: Sequence[tuple[str, Function]], range: TimeRange) -> TableNode:
        query = self.query
        names: dict[Expression, str] = {}
        for _, call in calls:
            if call.args[0] not in names:
                names[call.args[0]] = self._label()
        inner = self._tables([(label, call) for call, label in names.items()], range, transformed=True)
        made = tuple(self._transform(label, call, names[call.args[0]]) for label, call in calls)
        return Transform(inner, made, query.window, query.zone)

    def _transform(self, label: str, call: Function, column: str) -> TransformCall:
        parameters = [_parameter(arg) for arg in call.args[1:]]
        if not parameters and call.name in ("derivative", "non_negative_derivative"):
            parameters = [self._unit()]
        return TransformCall(call.name, column, label, tuple(parameters))

    def _unit(self) -> int:
        """The unit of a rate that names none: the interval of GROUP BY time, else a second."""
        window = self.query.window
        if window is None:
            return _SECOND
        return window.interval if isinstance(window, Window) else window.months * _MONTH

    def _extended(self, range: TimeRange, buckets: int) -> TimeRange:
        """`range` with so many buckets before it (behind it, backwards), where it is bounded there.

        They give a transformation something to compare its first bucket with.
        """
        step = buckets * self._unit()
        if self.query.descending:
            return TimeRange(range.start, range.end if range.end >= EVER.end - step else range.end + step)
        return TimeRange(range.start if range.start <= EVER.start + step else range.start - step, range.end)


def _series(query: Query) -> tuple[int, int]:
    """SLIMIT and SOFFSET. Those of subqueries count for the groups of the whole query, too: InfluxDB adds them up."""
    inner = [_series(each) for each in query.subqueries] or [(0, 0)]
    limits, offsets = zip(*inner, strict=True)
    return query.select.series_limit + max(limits), query.select.series_offset + max(offsets)


# -- parts of calls


def _reach(calls: Sequence[Expression]) -> int:
    """How many buckets before the first InfluxDB reads for transformations: the longest period among them, or one."""
    reach = 1
    for call in calls:
        while isinstance(call, Function) and call.args:
            if call.name == "moving_average" or call.name in AVERAGES:
                reach = max(reach, int(_number(call.args[1])))
            call = call.args[0]
    return reach


def _depth(call: Function) -> int:
    """How many transformations stand in one another that each need a bucket more; a running sum does not."""
    depth = 0
    node: Expression = call
    while isinstance(node, Function) and node.name in TRANSFORMS:
        depth += node.name != "cumulative_sum" and node.name not in FORECASTS
        node = node.args[0]
    return depth


def _is_plain(call: Function) -> bool:
    return call.name in AGGREGATES or call.name in SELECTORS


def _call(label: str, call: Function) -> Call:
    assert _is_plain(call), call.name
    inner = call.args[0]
    if call.name == "count" and isinstance(inner, Function):
        return Call("count_distinct", _field(inner.args[0]), label)
    if call.name == "count" and isinstance(inner, Distinct):
        return Call("count_distinct", Ref(inner.name), label)
    return Call(call.name, _field(inner), label, tuple(_number(arg) for arg in call.args[1:]))


def _field(node: Expression) -> Ref:
    assert isinstance(node, Ref), node
    return node


def _number(node: Expression) -> float | int:
    assert isinstance(node, Literal), node
    assert isinstance(node.value, int | float), node
    return node.value


def _parameter(node: Expression) -> float | int:
    match node:
        case Duration(ns=ns):
            return ns
        case Literal(value=str(warm_up)):
            return WARMUPS.index(warm_up)
        case _:
            return _number(node)


# -- expressions over calls


def _without_unknown(condition: Expression, known: set[str]) -> Expression:
    """`condition` with the empty string for names that mean nothing: what a tag is that nobody has."""
    unknown: dict[Expression, Expression] = {ref: Literal("") for ref in references(condition) if ref.name not in known}
    return _replaced(condition, unknown) if unknown else condition


def _calls_in(expressions: Sequence[Expression]) -> list[Expression]:
    """The outermost calls, each once, in the order in which they stand."""
    found: dict[Expression, None] = {}
    pending = list(reversed(expressions))
    while pending:
        match pending.pop():
            case Function(name=name, args=args) if name in MATH:
                pending += reversed(args)
            case (Function() | Distinct()) as call:
                found[call] = None
            case Paren(inner=inner):
                pending.append(inner)
            case Binary(left=left, right=right):
                pending += (right, left)
            case _:
                pass
    return list(found)


def _refs_in(expressions: Sequence[Expression]) -> list[Expression]:
    """The fields and tags outside of calls, each once."""
    found: dict[Expression, None] = {}
    pending = list(reversed(expressions))
    while pending:
        match pending.pop():
            case Ref() as ref:
                found[ref] = None
            case Function(name=name, args=args) if name in MATH:
                pending += reversed(args)
            case Paren(inner=inner):
                pending.append(inner)
            case Binary(left=left, right=right):
                pending += (right, left)
            case _:
                pass
    return list(found)


def _as_refs(names: dict[Expression, str]) -> dict[Expression, Expression]:
    return {expression: Ref(label) for expression, label in names.items()}


def _projected(node: TableNode, outputs: Sequence[tuple[str, Expression]], names: dict[Expression, str]) -> Project:
    refs = _as_refs(names)
    return Project(node, tuple((label, _replaced(expression, refs)) for label, expression in outputs))


def _replaced(node: Expression, by: dict[Expression, Expression]) -> Expression:
    """`node` with every part that is a key of `by` replaced."""
    found = by.get(node)
    if found is not None:
        return found
    match node:
        case Paren(inner=inner):
            return Paren(_replaced(inner, by))
        case Binary(op=op, left=left, right=right):
            return Binary(op, _replaced(left, by), _replaced(right, by))
        case Function(name=name, args=args):
            return Function(name, tuple(_replaced(arg, by) for arg in args))
        case _:
            return node
