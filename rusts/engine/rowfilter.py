"""Predicates row by row: comparisons with fields, and tags where they are mixed with fields under an OR."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rusts.catalog.schema import Measurement
from rusts.engine.view import Matched
from rusts.errors import InvalidRequest
from rusts.model.batch import Column
from rusts.model.predicate import (
    And,
    CompareOp,
    FieldCompare,
    FieldRegex,
    Or,
    Predicate,
    TagIn,
    TagRegex,
    conjunction,
)
from rusts.model.types import FieldType

__all__ = ["RowFilter", "compare", "split_predicate"]

Mask = npt.NDArray[np.bool_]


def split_predicate(predicate: Predicate | None) -> tuple[Predicate | None, Predicate | None]:
    """The conjuncts that only series decide, and the ones that rows decide; None for none."""
    series: list[Predicate] = []
    rows: list[Predicate] = []
    for part in _conjuncts(predicate):
        (rows if _mentions_fields(part) else series).append(part)
    return conjunction(series), conjunction(rows)


def _conjuncts(predicate: Predicate | None) -> list[Predicate]:
    if predicate is None:
        return []
    if isinstance(predicate, And):
        return [leaf for part in predicate.parts for leaf in _conjuncts(part)]
    return [predicate]


def _mentions_fields(predicate: Predicate) -> bool:
    if isinstance(predicate, And | Or):
        return any(_mentions_fields(part) for part in predicate.parts)
    return isinstance(predicate, FieldCompare | FieldRegex)


class RowFilter:
    """A predicate ready to be asked of rows. `fields` are the ids of the fields that it reads."""

    def __init__(self, predicate: Predicate, measurement: Measurement, matched: Matched) -> None:
        self._predicate = predicate
        self._measurement = measurement
        self._matched = matched
        self._series: dict[Predicate, Mask] = {}
        self.fields = self._read_by(predicate)

    def _read_by(self, predicate: Predicate) -> set[int]:
        if isinstance(predicate, And | Or):
            return set().union(*(self._read_by(part) for part in predicate.parts))
        if isinstance(predicate, FieldCompare | FieldRegex) and predicate.field in self._measurement.fields:
            return {self._measurement.fields[predicate.field].id}
        return set()

    def mask(
        self, column: Callable[[int], Column | None], positions: Callable[[], npt.NDArray[np.integer[Any]]], rows: int
    ) -> Mask:
        """bool[rows]: which of `rows` rows the predicate holds for.

        `column` gives a field id's values over them (None: no row has one), `positions` the place of each row's
        series in the matched set. Raises InvalidRequest on a pattern that is no RE2.
        """
        return self._mask(self._predicate, column, positions, rows)

    def _mask(
        self,
        node: Predicate,
        column: Callable[[int], Column | None],
        positions: Callable[[], npt.NDArray[np.integer[Any]]],
        rows: int,
    ) -> Mask:
        if isinstance(node, And | Or):
            mask = np.full(rows, isinstance(node, And))
            for part in node.parts:
                other = self._mask(part, column, positions, rows)
                mask = mask & other if isinstance(node, And) else mask | other
            return mask
        if isinstance(node, TagIn | TagRegex):
            chosen: Mask = self._of_series(node)[positions()]
            return chosen
        field = self._measurement.fields.get(node.field)
        values = None if field is None else column(field.id)
        if values is None:
            return np.zeros(rows, dtype=np.bool_)
        mask = compare(values, node.op, node.value) if isinstance(node, FieldCompare) else _search(values, node)
        return mask if values.validity is None else mask & values.validity

    def _of_series(self, node: TagIn | TagRegex) -> Mask:
        """bool[matched]: which of the series a condition on tags holds for."""
        mask = self._series.get(node)
        if mask is None:
            whole = np.zeros(self._matched.total, dtype=np.bool_)
            found = np.frombuffer(self._measurement.index.match(node).to_array(), dtype=np.uint32)
            whole[found[found < len(whole)]] = True
            numbers = self._matched.numbers
            mask = self._series[node] = whole if numbers is None else whole[numbers]
        return mask


def _search(column: Column, node: FieldRegex) -> Mask:
    if column.type is not FieldType.STRING:
        return np.zeros(len(column), dtype=np.bool_)
    # A pattern runs over distinct values only; texts that repeat are the rule.
    encoded = column.values.dictionary_encode()
    try:
        found = pc.match_substring_regex(encoded.dictionary, node.pattern)
    except pa.ArrowInvalid as problem:
        raise InvalidRequest(f"invalid regular expression {node.pattern!r}: {problem}") from None
    hits = found.to_numpy(zero_copy_only=False)
    if len(hits) == 0:
        return np.zeros(len(column), dtype=np.bool_)
    mask: Mask = hits[encoded.indices.to_numpy(zero_copy_only=False)]
    return ~mask if node.negated else mask


_UFUNCS: Final[dict[CompareOp, Callable[[Any, Any], Mask]]] = {
    CompareOp.EQ: np.equal,
    CompareOp.NE: np.not_equal,
    CompareOp.LT: np.less,
    CompareOp.LE: np.less_equal,
    CompareOp.GT: np.greater,
    CompareOp.GE: np.greater_equal,
}
_BELOW: Final = (CompareOp.NE, CompareOp.LT, CompareOp.LE)
_ABOVE: Final = (CompareOp.NE, CompareOp.GT, CompareOp.GE)
_RANGES: Final = {FieldType.INTEGER: (-(1 << 63), (1 << 63) - 1), FieldType.UNSIGNED: (0, (1 << 64) - 1)}


def compare(column: Column, op: CompareOp, value: float | int | str | bool) -> Mask:
    """bool[rows]: whether each value stands in `op` to `value`, ignoring the validity.

    Numbers compare by value, exactly, whatever their types. Texts and booleans are equal or not; they have no
    order. What cannot be compared is false.
    """
    if isinstance(value, bool | str):
        type = FieldType.STRING if isinstance(value, str) else FieldType.BOOLEAN
        if column.type is not type or op not in (CompareOp.EQ, CompareOp.NE):
            return np.zeros(len(column), dtype=np.bool_)
        equal: Mask = _text_is(column, value) if isinstance(value, str) else column.values == value
        return ~equal if op is CompareOp.NE else equal
    if not column.type.numeric:
        return np.zeros(len(column), dtype=np.bool_)
    if column.type is FieldType.FLOAT:
        return _compare_floats(column.values, op, value)
    return _compare_integers(column.values, op, value, *_RANGES[column.type])


def _text_is(column: Column, text: str) -> Mask:
    equal: Mask = pc.equal(column.values, pa.scalar(text, pa.large_string())).to_numpy(zero_copy_only=False)
    return equal


def _compare_floats(values: npt.NDArray[np.float64], op: CompareOp, value: float | int) -> Mask:
    if isinstance(value, float):
        return _UFUNCS[op](values, value)
    try:
        near = float(value)
    except OverflowError:
        near = math.inf if value > 0 else -math.inf
    if near != value:
        # No float is equal to the integer, so one side of its nearest float tells.
        if op in (CompareOp.EQ, CompareOp.NE):
            return np.full(len(values), op is CompareOp.NE)
        if op in (CompareOp.LT, CompareOp.LE):
            op = CompareOp.LT if near > value else CompareOp.LE
        else:
            op = CompareOp.GE if near > value else CompareOp.GT
    return _UFUNCS[op](values, near)


def _compare_integers(values: npt.NDArray[Any], op: CompareOp, value: float | int, least: int, greatest: int) -> Mask:
    rows = len(values)
    if isinstance(value, float):
        if math.isnan(value):
            return np.full(rows, op is CompareOp.NE)
        if math.isinf(value):
            return np.full(rows, op in (_BELOW if value > 0 else _ABOVE))
        if not value.is_integer():
            if op in (CompareOp.EQ, CompareOp.NE):
                return np.full(rows, op is CompareOp.NE)
            # Between two integers: the lower one and everything below it is below the value.
            op = CompareOp.LE if op in (CompareOp.LT, CompareOp.LE) else CompareOp.GT
        value = math.floor(value)
    if value < least:
        return np.full(rows, op in _ABOVE)
    if value > greatest:
        return np.full(rows, op in _BELOW)
    return _UFUNCS[op](values, values.dtype.type(value))
