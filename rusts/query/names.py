"""What names mean: fields and tags of a source, labels of a table; and how columns are called."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from rusts.model.types import FieldType
from rusts.query.evaluate import fits, type_of
from rusts.query.expression import Binary, Expression, Function, Literal, Paren, Ref, RefKind
from rusts.query.plan import Labelled
from rusts.query.steps import Output, SourceStep

__all__ = [
    "NOTHING",
    "UNKNOWN",
    "Names",
    "by_label",
    "computed",
    "distinct",
    "everything",
    "field_type",
    "named",
]

UNKNOWN: Final = FieldType.FLOAT
"""The type of a column that is neither field nor tag: all its cells are null."""

NOTHING: Final = Literal(None)
"""What a name without a meaning is."""


class Names:
    """What names mean: fields with their types, and tags."""

    def __init__(self, fields: dict[str, FieldType], tags: frozenset[str] = frozenset()) -> None:
        self.fields = fields
        self.tags = tags

    def ref(self, ref: Ref) -> Ref | None:
        """The name with its kind; None if it means nothing."""
        if ref.kind is not RefKind.TAG and ref.name in self.fields:
            type = self.fields[ref.name]
            if ref.type is not None and not fits(type, ref.type):
                return None
            return Ref(ref.name, RefKind.FIELD, None if ref.type is type else ref.type)
        if ref.kind is not RefKind.FIELD and ref.name in self.tags:
            return Ref(ref.name, RefKind.TAG)
        return None

    def type(self, ref: Ref) -> FieldType:
        """The type of a resolved name, before its cast."""
        return FieldType.STRING if ref.kind is RefKind.TAG else self.fields[ref.name]

    def resolve(self, expression: Expression) -> Expression:
        """The expression with resolved names; what means nothing is a null."""
        match expression:
            case Ref():
                return self.ref(expression) or NOTHING
            case Binary(op=op, left=left, right=right):
                return Binary(op, self.resolve(left), self.resolve(right))
            case Paren(inner=inner):
                return self.resolve(inner)
            case Function(name=name, args=args):
                return Function(name, tuple(map(self.resolve, args)))
            case _:
                return expression


def by_label(outputs: Iterable[Output]) -> dict[str, FieldType]:
    """The columns that have values, with their types."""
    return {output.label: output.type for output in outputs if output.expression != NOTHING}


def computed(columns: Labelled, fields: dict[str, FieldType], tags: frozenset[str] = frozenset()) -> tuple[Output, ...]:
    """Columns of expressions over `fields` and `tags`. Raises InvalidRequest where types do not go together."""
    names = Names(fields, tags)
    outputs = []
    for label, expression in columns:
        resolved = names.resolve(expression)
        type = type_of(resolved, names.type)
        outputs.append(Output(label, UNKNOWN, NOTHING) if type is None else Output(label, type, resolved))
    return tuple(outputs)


def named(label: str, ref: Ref | None, names: Names) -> Output:
    """A column that is a resolved name."""
    return Output(label, UNKNOWN, NOTHING) if ref is None else Output(label, field_type(ref, names))


def field_type(ref: Ref, names: Names) -> FieldType:
    """The type of a resolved name, after its cast."""
    return ref.type or names.type(ref)


def distinct(names: Iterable[str]) -> Iterable[tuple[str, str]]:
    """Each name with its label: a repeated one gets ``_1``, ``_2`` ... behind it, ``time`` is taken."""
    taken = {"time"}
    for name in names:
        label, number = name, 0
        while label in taken:
            number += 1
            label = f"{name}_{number}"
        taken.add(label)
        yield name, label


def everything(source: SourceStep, group_by: tuple[str, ...]) -> tuple[Output, ...]:
    """All fields and all tags but those of `group_by`, sorted by name, a field before the tag of its name."""
    tags = [tag for tag in source.tags if tag not in group_by]
    names = sorted([*((name, False) for name in source.fields), *((tag, True) for tag in tags)])
    labelled = zip(distinct(name for name, _ in names), names, strict=True)
    return tuple(
        Output(label, FieldType.STRING, Ref(name, RefKind.TAG))
        if is_tag
        else Output(label, source.fields[name], Ref(name, RefKind.FIELD))
        for (_, label), (name, is_tag) in labelled
    )
