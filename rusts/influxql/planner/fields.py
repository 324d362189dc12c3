"""The SELECT list: what ``*`` and patterns stand for, how columns are called, which types go together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from rusts.errors import InvalidRequest
from rusts.influxql.planner.fold import constant
from rusts.influxql.planner.rules import ANY_TYPE, BOOLEAN_TOO, FORECASTS
from rusts.influxql.planner.sources import matching
from rusts.influxql.printer import expression_text
from rusts.model.types import FieldType
from rusts.query.expression import (
    Binary,
    Distinct,
    Expression,
    Function,
    Literal,
    Op,
    Paren,
    Pattern,
    Ref,
    RefKind,
    Wildcard,
)

__all__ = ["Column", "Known", "computable", "expanded", "has_wildcard", "named", "pinned", "type_errors", "type_of"]

_RANK: Final = {name: rank for rank, name in enumerate(("float", "integer", "unsigned", "string", "boolean"))}
_NUMBERS: Final = frozenset(("float", "integer", "unsigned"))
_WHOLE: Final = frozenset(("integer", "unsigned"))
_TAG: Final = "tag"
_BITS: Final = (Op.BIT_AND, Op.BIT_OR, Op.BIT_XOR)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the answer."""

    label: str
    expression: Expression


@dataclass(slots=True)
class Known:
    """Fields (name and type; None = not known) and tags of some sources."""

    fields: dict[str, str | None] = field(default_factory=dict)
    tags: set[str] = field(default_factory=set)

    def add_field(self, name: str, type: str | None) -> None:
        """A field; of two types of one name the one that InfluxDB prefers counts: float, integer, string, boolean."""
        if type == _TAG:
            type = "string"
        known = self.fields.get(name)
        if known is None or (type is not None and _RANK[type] < _RANK[known]):
            self.fields[name] = type

    def type(self, ref: Ref) -> str | None:
        """The name of the type that `ref` stands for, None if it is not known."""
        if ref.type is not None:
            return ref.type.text
        if ref.kind is not RefKind.TAG and ref.name in self.fields:
            return self.fields[ref.name]
        return _TAG if ref.kind is not RefKind.FIELD and ref.name in self.tags else None


# -- wildcards


def has_wildcard(node: Expression) -> bool:
    """True if `node` has a wildcard or a pattern as itself or as the argument of a call."""
    match node:
        case Wildcard() | Pattern():
            return True
        case Function(args=args):
            return any(has_wildcard(arg) for arg in args)
        case Paren(inner=inner):
            return has_wildcard(inner)
        case _:
            return False


def expanded(
    expression: Expression, alias: str | None, known: Known, group_by: Sequence[str] | None
) -> Iterator[tuple[Expression, str | None]]:
    """The columns, each with its alias, that one term of SELECT stands for.

    Tags of `group_by` are left out of wildcards; None: all tags are, for GROUP BY has a wildcard itself.
    """
    while isinstance(expression, Paren) and has_wildcard(expression):
        expression = expression.inner
    match expression:
        case Wildcard() | Pattern():
            for ref in _refs(expression, known, group_by):
                yield ref, None
        case Function() if has_wildcard(expression):
            yield from _calls(expression, alias, known)
        case _:
            yield expression, alias


def _refs(node: Wildcard | Pattern, known: Known, group_by: Sequence[str] | None) -> list[Ref]:
    kind = node.kind if isinstance(node, Wildcard) else RefKind.ANY
    fields = [] if kind is RefKind.TAG else list(known.fields)
    no_tags = kind is RefKind.FIELD or group_by is None
    tags = [] if no_tags else [tag for tag in known.tags if tag not in (group_by or ())]
    if isinstance(node, Pattern):
        fields, tags = matching(fields, node.text), matching(tags, node.text)
    twice = known.tags & known.fields.keys()
    # Only where a name means both has the plan to be told which one.
    refs = [(name, 0, Ref(name, RefKind.FIELD if name in twice else RefKind.ANY)) for name in fields]
    refs += [(name, 1, Ref(name, RefKind.TAG if name in twice else RefKind.ANY)) for name in tags]
    return [ref for _, _, ref in sorted(refs, key=lambda each: each[:2])]


def _calls(call: Function, alias: str | None, known: Known) -> Iterator[tuple[Expression, str | None]]:
    """``f(g(*, 2))`` for each field that g takes."""
    chain = [call]
    while chain[-1].args and isinstance(chain[-1].args[0], Function):
        chain.append(chain[-1].args[0])
    innermost = chain[-1]
    what = innermost.args[0]
    if isinstance(what, Wildcard) and what.kind is RefKind.TAG:
        raise InvalidRequest(f"unable to use tag wildcard in {innermost.name}()")
    if not isinstance(what, Wildcard | Pattern):
        yield _without_wildcards(call), alias
        return
    names = sorted(
        name for name, type in known.fields.items() if type in _NUMBERS or type in _also_taken(innermost.name)
    )
    if innermost.name in FORECASTS:
        names = [name for name in names if known.fields[name] != "unsigned"]
    if isinstance(what, Pattern):
        names = matching(names, what.text)
    for name in names:
        ref = Ref(name, RefKind.FIELD if name in known.tags else RefKind.ANY)
        node: Expression = ref
        for each in reversed(chain):
            node = Function(each.name, (node, *(_without_wildcards(arg) for arg in each.args[1:])))
        yield node, f"{alias or call.name}_{name}"


def _also_taken(function: str) -> tuple[str, ...]:
    if function in ANY_TYPE:
        return ("string", "boolean")
    return ("boolean",) if function in BOOLEAN_TOO else ()


def _without_wildcards(node: Expression) -> Expression:
    """A wildcard behind the first argument has no value, as in InfluxDB."""
    match node:
        case Wildcard() | Pattern():
            return Literal(None)
        case Function(name=name, args=args):
            return Function(name, tuple(_without_wildcards(arg) for arg in args))
        case _:
            return node


# -- names


def named(fields: Iterable[tuple[Expression, str | None]]) -> list[Column]:
    """The columns with their labels: aliases as they are, other names with ``_1``, ``_2`` ... where they are taken."""
    listed = [*_with_arguments(fields)]
    taken: dict[str, int] = {alias: 1 for _, alias in listed if alias}
    columns: list[Column] = []
    for expression, alias in listed:
        label = alias or _name(expression)
        if not alias:
            if label in taken:
                number = taken[label]
                while f"{label}_{number}" in taken:
                    number += 1
                taken[label] = number + 1
                label = f"{label}_{number}"
            taken[label] = taken.get(label, 0) + 1
        columns.append(Column(label, expression))
    return columns


def _with_arguments(
    fields: Iterable[tuple[Expression, str | None]],
) -> Iterator[tuple[Expression, str | None]]:
    """top and bottom have a column for each of their tags behind their own."""
    for expression, alias in fields:
        yield expression, alias
        if isinstance(expression, Function) and expression.name in ("top", "bottom"):
            for arg in expression.args[1:-1]:
                yield arg, None


def _name(node: Expression) -> str:
    while isinstance(node, Paren):
        node = node.inner
    return "_".join(_names(node)) if isinstance(node, Binary) else next(_names(node), "")


def _names(node: Expression) -> Iterator[str]:
    if constant(node):
        return
    match node:
        case Ref(name=name) | Function(name=name):
            yield name
        case Distinct():
            yield "distinct"
        case Paren(inner=inner):
            yield from _names(inner)
        case Binary(left=left, right=right):
            yield from _names(left)
            yield from _names(right)
        case _:
            pass


# -- types


def type_of(node: Expression, known: Known) -> str | None:
    """The name of the type of `node`, None if it is not known."""
    match node:
        case Ref():
            return known.type(node)
        case Literal(value=value):
            return _LITERALS.get(type(value))
        case Paren(inner=inner):
            return type_of(inner, known)
        case Distinct(name=name):
            return known.type(Ref(name))
        case Binary(op=op, left=left, right=right):
            return _binary_type(op, type_of(left, known), type_of(right, known))
        case Function(name=name, args=args) if args:
            if name in ("count", "elapsed"):
                return "integer"
            if name in _KEEPING:
                return type_of(args[0], known)
            return "float"
        case _:
            return None


_LITERALS: Final[dict[type, str]] = {int: "integer", float: "float", str: "string", bool: "boolean"}
_KEEPING: Final = frozenset(
    (
        *("sum", "spread", "mode", "min", "max", "first", "last", "percentile", "sample", "top", "bottom"),
        *("distinct", "difference", "non_negative_difference", "cumulative_sum", "abs", "ceil", "floor", "round"),
    )
)


def _binary_type(op: Op, left: str | None, right: str | None) -> str | None:
    if left is None or right is None:
        return None
    if "boolean" in (left, right):
        return "boolean"
    if "float" in (left, right) or (op is Op.DIV and left == right == "integer"):
        return "float"
    return "unsigned" if "unsigned" in (left, right) else "integer"


def type_errors(node: Expression, known: Known) -> None:
    """Raise InvalidRequest for an operator between types that do not go together."""
    match node:
        case Paren(inner=inner):
            type_errors(inner, known)
        case Function(args=args):
            for arg in args:
                type_errors(arg, known)
        case Binary(op=op, left=left, right=right):
            type_errors(left, known)
            type_errors(right, known)
            one, other = type_of(left, known), type_of(right, known)
            if one is None or other is None or _together(op, one, other):
                return
            shown = expression_text(Binary(op, _typed(left, known), _typed(right, known)))
            raise InvalidRequest(f"type error: {shown}: incompatible types: {one} and {other}")
        case _:
            pass


def _together(op: Op, one: str, other: str) -> bool:
    if op in _BITS:
        return (one in _WHOLE and other in _WHOLE) or one == "boolean"
    return one in _NUMBERS and other in _NUMBERS


def computable(node: Expression, known: Known) -> Expression:
    """`node` with false for what InfluxDB has no value for beside a boolean.

    A bit operator of a boolean and anything else is false; one without a type, false beside it.
    """
    match node:
        case Paren(inner=inner):
            return Paren(computable(inner, known))
        case Function(name=name, args=args):
            return Function(name, tuple(computable(arg, known) for arg in args))
        case Binary(op=op, left=left, right=right):
            one, other = type_of(left, known), type_of(right, known)
            left, right = computable(left, known), computable(right, known)
            if op in _BITS and "boolean" in (one, other) and one != other:
                if one is None:
                    left = Literal(False)
                else:
                    op, right = op if other is None else Op.BIT_AND, Literal(False)
            return Binary(op, left, right)
        case _:
            return node


def pinned(node: Expression, types: Mapping[str, FieldType]) -> Expression:
    """`node` where each field in `types` is asked for as one of its type there."""
    match node:
        case Ref(name=name, kind=kind, type=None) if name in types and kind is not RefKind.TAG:
            return Ref(name, RefKind.FIELD, types[name])
        case Distinct(name=name) if name in types:
            return Function("distinct", (pinned(Ref(name), types),))
        case Paren(inner=inner):
            return Paren(pinned(inner, types))
        case Function(name=name, args=args):
            return Function(name, tuple(pinned(arg, types) for arg in args))
        case Binary(op=op, left=left, right=right):
            return Binary(op, pinned(left, types), pinned(right, types))
        case _:
            return node


def _typed(node: Expression, known: Known) -> Expression:
    """`node` with the type of each name, as InfluxDB prints them in its messages."""
    match node:
        case Ref():
            type = known.type(node)
            if type is None:
                return node
            if type == _TAG:
                return Ref(node.name, RefKind.TAG)
            return Ref(node.name, RefKind.FIELD, FieldType[type.upper()])
        case Paren(inner=inner):
            return Paren(_typed(inner, known))
        case Function(name=name, args=args):
            return Function(name, tuple(_typed(arg, known) for arg in args))
        case Binary(op=op, left=left, right=right):
            return Binary(op, _typed(left, known), _typed(right, known))
        case _:
            return node
