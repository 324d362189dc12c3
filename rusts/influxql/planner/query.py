"""A SELECT that has been checked: what it asks for, with its subqueries, before nodes are made of it.

Two steps: `check` needs no schema but for the names of databases, and raises InfluxDB's compile errors; `resolve` finds
the measurements, and what wildcards stand for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from rusts.errors import InvalidRequest
from rusts.influxql import ast
from rusts.influxql.planner.condition import split
from rusts.influxql.planner.dimensions import Grouping, grouping, tag_names
from rusts.influxql.planner.fields import (
    Column,
    Known,
    computable,
    expanded,
    has_wildcard,
    named,
    pinned,
    type_errors,
    type_of,
)
from rusts.influxql.planner.fold import fold, valued
from rusts.influxql.planner.sources import Measurement, Schema
from rusts.influxql.planner.validate import Columns
from rusts.model.store import TimeRange
from rusts.model.types import FieldType
from rusts.query.expression import Binary, Expression, Function, Paren, Ref
from rusts.query.plan import EVER, AnyWindow

__all__ = ["Query", "check", "resolve"]

_MOST_COLUMNS: Final = 30_000
"""Columns of an answer: each costs time in every step, and a ``*`` may stand for many."""


@dataclass(slots=True)
class Query:
    """A SELECT. `range` and `condition` are what its own WHERE says of time and of the rest.

    `window` and `zone` are its own or, with `inherited`, those of the query around it. `fill` None = no rows but those
    with values. `sources` are its measurements and subqueries once `resolve` has run, as are `columns`
    and `group_by`, the tags of its own GROUP BY.
    """

    select: ast.Select
    range: TimeRange
    condition: Expression | None
    grouping: Grouping
    window: AnyWindow | None
    zone: str | None
    inherited: bool
    fill: ast.FillOption | None
    descending: bool
    fields: list[tuple[Expression, str | None]]
    time_label: str
    subqueries: list[Query]
    sources: list[Measurement | Query] = field(default_factory=list)
    columns: list[Column] = field(default_factory=list)
    group_by: tuple[str, ...] = ()

    def known(self, schema: Schema) -> Known:
        """The fields and tags of all sources together."""
        known = Known()
        for source in self.sources:
            if isinstance(source, Query):
                for label, type in source.column_types(schema):
                    known.add_field(label, type)
                known.tags.update(source.group_by)
            else:
                for name, kind in schema.fields(source).items():
                    known.add_field(name, kind.text)
                known.tags.update(schema.tags(source))
        return known

    def column_types(self, schema: Schema) -> Iterator[tuple[str, str | None]]:
        """Each column's label, with the name of its type (None = not known)."""
        known = self.known(schema)
        for column in self.columns:
            yield column.label, type_of(column.expression, known)


def check(select: ast.Select, now: int, outer: Query | None = None) -> Query:
    """Check `select`, which stands in the FROM of `outer`. Raises InvalidRequest with InfluxDB's text."""
    range, condition = split(select.condition, now, select.zone)
    groups = grouping(select.dimensions, now)
    descending = _descending(select)
    kind = ast.FillKind.NULL if select.fill is None else select.fill.mode
    fill = None if kind is ast.FillKind.NONE else select.fill or ast.FillOption()
    window, zone, inherited = groups.window, select.zone, False
    if window is not None and range.end == EVER.end:
        range = TimeRange(range.start, max(range.start, now + 1))
    if outer is not None:
        if select.order and descending != outer.descending:
            raise InvalidRequest("subqueries must be ordered in the same direction as the query itself")
        descending = outer.descending
        if kind is ast.FillKind.NULL:
            # Rows without values do not get through to the query around it anyway.
            fill = None
            kind = kind if window is None else ast.FillKind.NONE
        if window is None and outer.window is not None:
            window, zone, inherited = outer.window, outer.zone, True
    time_label = "time"
    fields: list[tuple[Expression, str | None]] = []
    for each in select.fields:
        if isinstance(each.expression, Ref) and each.expression.name.lower() == "time":
            time_label = each.alias or time_label
        else:
            fields.append((fold(each.expression, None), each.alias))
    if not fields:
        raise InvalidRequest("at least 1 non-time field must be queried")
    columns = Columns(window is not None, inherited, select.limit)
    for expression, _ in fields:
        columns.add(expression)
    columns.finish(kind.value)
    query = Query(
        select,
        range,
        condition,
        groups,
        window,
        zone,
        inherited,
        fill,
        descending,
        fields,
        time_label,
        [],
    )
    for source in select.sources:
        if isinstance(source, ast.Subquery):
            query.subqueries.append(check(source.select, now, query))
    return query


def resolve(query: Query, schema: Schema) -> None:
    """Find the sources of `query` and its subqueries, expand what names several fields or tags, name the columns.

    Raises PolicyNotFound, and InvalidRequest for wildcards and types that do not fit.
    """
    subqueries = iter(query.subqueries)
    for source in query.select.sources:
        if isinstance(source, ast.Subquery):
            inner = next(subqueries)
            resolve(inner, schema)
            query.sources.append(inner)
        else:
            query.sources += schema.measurements(source)
    wild = any(has_wildcard(expression) for expression, _ in query.fields)
    terms = query.grouping.terms
    wild_terms = any(not isinstance(term, Ref) for term in terms)
    typed = any(_has_operator(expression) for expression, _ in query.fields)
    several = len(query.sources) > 1
    known = query.known(schema) if wild or wild_terms or typed or several else Known()
    query.group_by = tag_names(terms, sorted(known.tags))
    fields = query.fields
    if wild:
        left_out = None if wild_terms else query.group_by
        fields = [each for field in fields for each in expanded(*field, known, left_out)]
        if len(fields) > _MOST_COLUMNS:
            raise InvalidRequest(
                f"SELECT has too many columns: {len(fields)}, and at most {_MOST_COLUMNS} are possible"
            )
    for expression, _ in fields:
        if typed:
            type_errors(expression, known)
    query.columns = named(fields)
    if typed:
        query.columns = [Column(each.label, valued(computable(each.expression, known))) for each in query.columns]
    if several:
        _pin(query, schema, known)


def _pin(query: Query, schema: Schema, known: Known) -> None:
    """A field has one type over all sources, InfluxDB's choice among them: ask the measurements for it."""
    types: dict[str, FieldType] = {}
    tags: set[str] = set()
    for source in query.sources:
        if isinstance(source, Measurement):
            fields = schema.fields(source)
            for name in [*fields, *schema.tags(source)]:
                type = known.fields.get(name)
                if type is not None and (name not in fields or fields[name].text != type):
                    types[name] = FieldType[type.upper()]
                    if name not in fields:
                        tags.add(name)
    if not types:
        return
    query.columns = [Column(each.label, pinned(each.expression, types)) for each in query.columns]
    if query.condition is not None:
        # There a name is the tag where there is one.
        query.condition = pinned(query.condition, {name: type for name, type in types.items() if name not in tags})


def _descending(select: ast.Select) -> bool:
    """The direction of time. Columns before it in ORDER BY (beyond 1.x) do not touch it."""
    return any(term.descending for term in select.order if term.name in ("", "time"))


def _has_operator(node: Expression) -> bool:
    match node:
        case Binary():
            return True
        case Paren(inner=inner):
            return _has_operator(inner)
        case Function(args=args):
            return any(_has_operator(arg) for arg in args)
        case _:
            return False
