"""How the model store judges and folds points: one at a time, straight from the definitions."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rusts.model.partial import Partial, State, StateKind
from rusts.model.predicate import And, CompareOp, FieldCompare, FieldRegex, Or, Predicate, TagIn, TagRegex
from rusts.model.store import TimeRange, Window
from rusts.model.types import DTYPES, FieldType

__all__ = ["Point", "Tags", "Value", "bucket_of", "fold_cell", "holds", "partial_of"]

Value = float | int | bool | str
Point = dict[str, Value]
Tags = dict[str, str]


def bucket_of(time: int, range: TimeRange, window: Window | None) -> int:
    """The begin of the bucket that holds `time`."""
    if window is None:
        return range.start
    return (time - window.offset) // window.interval * window.interval + window.offset


def holds(predicate: Predicate | None, tags: Tags, point: Point) -> bool:
    """Is the predicate true of a point?"""
    match predicate:
        case None:
            return True
        case And(parts):
            return all(holds(p, tags, point) for p in parts)
        case Or(parts):
            return any(holds(p, tags, point) for p in parts)
        case TagIn(key, values, negated):
            return (tags.get(key, "") in values) is not negated
        case TagRegex(key, pattern, negated):
            return (re.search(pattern, tags.get(key, "")) is not None) is not negated
        case FieldRegex(name, pattern, negated):
            value = point.get(name)
            return isinstance(value, str) and (re.search(pattern, value) is not None) is not negated
        case FieldCompare(name, op, constant):
            return name in point and compare(point[name], op, constant)


def compare(value: Value, op: CompareOp, constant: Value) -> bool:
    """Numbers by value; strings and booleans with their own kind and only for (in)equality."""
    kinds = {type(value), type(constant)}
    if kinds <= {int, float}:
        ordered = True
    elif kinds in ({str}, {bool}):
        ordered = False
    else:
        return False
    match op:
        case CompareOp.EQ:
            return value == constant
        case CompareOp.NE:
            return value != constant
        case _ if not ordered:
            return False
        case CompareOp.LT:
            return value < constant  # type: ignore[operator]
        case CompareOp.LE:
            return value <= constant  # type: ignore[operator]
        case CompareOp.GT:
            return value > constant  # type: ignore[operator]
        case _:
            return value >= constant  # type: ignore[operator]


Cell = tuple[int, Any, int, float]
"""count, value, time, m2 of one cell of a Partial."""


def fold_cell(state: State, type: FieldType | None, rows: Sequence[tuple[int, Point]]) -> Cell:
    """One state over the rows of one cell, straight from its definition."""
    values = [(time, point[state.field]) for time, point in rows if state.field in point]
    nothing: Cell = (0, "" if type is FieldType.STRING else 0, 0, 0.0)
    if not values or type is None:
        return nothing
    count = len(values)
    if state.kind is StateKind.COUNT:
        return count, 0, 0, 0.0
    if state.kind in (StateKind.FIRST, StateKind.LAST):
        time = (min if state.kind is StateKind.FIRST else max)(t for t, _ in values)
        return count, max((v for t, v in values if t == time), key=order_key), time, 0.0
    if state.kind in (StateKind.MIN, StateKind.MAX):
        if type is FieldType.STRING:
            return nothing
        real = [(t, v) for t, v in values if v == v] or values
        best = (min if state.kind is StateKind.MIN else max)(v for _, v in real)
        return count, best, min(t for t, v in real if v == best or best != best), 0.0
    if not type.numeric:
        return nothing
    numbers = [v for _, v in values]
    if state.kind is StateKind.SUM:
        if type is FieldType.FLOAT:
            return count, total(numbers), 0, 0.0
        whole = sum(int(v) for v in numbers) % (1 << 64)
        return count, whole - (1 << 64) if type is FieldType.INTEGER and whole >= 1 << 63 else whole, 0, 0.0
    mean = total(numbers) / count
    return count, mean, 0, total([(float(v) - mean) ** 2 for v in numbers])


def total(numbers: Sequence[Any]) -> float:
    """The exact sum, rounded once; what infinities, NaN and overflow give in float64 arithmetic."""
    try:
        return math.fsum(numbers)
    except (OverflowError, ValueError):
        return float(np.sum(np.array(numbers, dtype=np.float64)))


def order_key(value: Value) -> Any:
    """Strings in the order of their bytes; NaN below every number."""
    if isinstance(value, str):
        return value.encode()
    return (value == value, value)


def partial_of(state: State, type: FieldType | None, cells: Sequence[Cell]) -> Partial:
    """The cells of one state as arrays."""
    count = np.array([cell[0] for cell in cells], dtype=np.int64)
    kind = state.kind
    if kind is StateKind.COUNT:
        return Partial(kind, count)
    if kind is StateKind.MOMENTS:
        mean = np.array([float(cell[1]) for cell in cells], dtype=np.float64)
        return Partial(kind, count, mean, None, np.array([cell[3] for cell in cells], dtype=np.float64))
    value: Any
    if type is FieldType.STRING:
        value = pa.array([str(cell[1]) for cell in cells], type=pa.large_string())
    else:
        dtype = np.dtype(np.float64) if type is None else DTYPES[type]
        value = np.array([cell[1] for cell in cells], dtype=dtype)
    if kind is StateKind.SUM:
        return Partial(kind, count, value)
    time: npt.NDArray[np.int64] = np.array([cell[2] for cell in cells], dtype=np.int64)
    return Partial(kind, count, value, time)
