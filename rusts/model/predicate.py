"""Conditions on tags and fields, as a tree of frozen nodes.

A tag that a series lacks counts as the empty string (InfluxQL's rule): ``TagIn("host", ("",))``
holds for series without `host`. A comparison with a field that the row lacks, or of a
type that cannot be compared with the constant, is false (and so is its negated operator).
Regular expressions are RE2 and search anywhere in the text unless they are anchored.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["And", "CompareOp", "FieldCompare", "FieldRegex", "Or", "Predicate", "TagIn", "TagRegex", "conjunction"]


class CompareOp(StrEnum):
    """How a field is compared with a constant."""

    EQ = "="
    NE = "!="
    LT = "<"
    LE = "<="
    GT = ">"
    GE = ">="


@dataclass(frozen=True, slots=True)
class TagIn:
    """The tag's value is one of `values`; with `negated`, it is none of them."""

    key: str
    values: tuple[str, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class TagRegex:
    """`pattern` is found in the tag's value; with `negated`, it is not."""

    key: str
    pattern: str
    negated: bool = False


@dataclass(frozen=True, slots=True)
class FieldCompare:
    """The row's value of `field` stands in `op` to `value`. Integers and floats compare by value."""

    field: str
    op: CompareOp
    value: float | int | str | bool


@dataclass(frozen=True, slots=True)
class FieldRegex:
    """`pattern` is found in the row's string value of `field`; with `negated`, it is not."""

    field: str
    pattern: str
    negated: bool = False


@dataclass(frozen=True, slots=True)
class And:
    """Every one of `parts` holds; none at all is true."""

    parts: tuple[Predicate, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one of `parts` holds; none at all is false."""

    parts: tuple[Predicate, ...]


Predicate = TagIn | TagRegex | FieldCompare | FieldRegex | And | Or


def conjunction(parts: list[Predicate]) -> Predicate | None:
    """All of `parts` as one predicate, None for none."""
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else And(tuple(parts))
