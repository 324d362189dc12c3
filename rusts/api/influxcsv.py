"""Answers to InfluxQL as CSV, as InfluxDB 1.x writes it: ``name,tags,<columns>``, an empty line between statements.

Statements without rows leave nothing, and so do errors.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rusts.api.cells import cells_of, steps, together
from rusts.api.influxjson import in_unit
from rusts.influxql.results import Frame, StatementResult
from rusts.kernels import numtext
from rusts.model.batch import Column, strings_of
from rusts.model.series import escape_tag
from rusts.model.types import FieldType

__all__ = ["encode_csv"]

_LARGE: Final = 1e21
_SMALL: Final = 1e-6


def encode_csv(results: Iterable[StatementResult], *, unit: int | None = None) -> Iterator[bytes]:
    """A header line for each statement, then a line for each row. Times are in `unit` ns, None = ns."""
    return together(_lines(results, unit or 1))


def _lines(results: Iterable[StatementResult], unit: int) -> Iterator[Any]:
    some = False
    for result in results:
        headed = False
        for frame in result.frames:
            if not headed:
                names = ("name", "tags", *frame.columns)
                yield (b"\n" if some else b"") + b",".join(numtext.csv_cell(n.encode()) for n in names) + b"\n"
                some = headed = True
            yield from _rows(frame, unit)


def _rows(frame: Frame, unit: int) -> Iterator[Any]:
    if not len(frame):
        return
    name = numtext.csv_cell(frame.name.encode()) if frame.name else b""
    cells = cells_of([_tags(frame), *map(_plain, frame.cells)])
    if frame.times is not None:
        cells.insert(1, (numtext.INTEGER, in_unit(frame.times, unit), None, None))
    before = [name + b",", *[b","] * (len(cells) - 1)]
    for lo, hi in steps(cells, len(frame)):
        yield memoryview(numtext.rows(cells, before, b"\n", True, lo, hi)[0])  # type: ignore[arg-type]


def _tags(frame: Frame) -> Column:
    """The tags of each row's series as one text, ``a=1,b=2``; none where the series has none."""
    texts = []
    for series in range(frame.series):
        pairs = [(key, tag.values[tag.codes[series]]) for key, tag in zip(frame.tag_keys, frame.tags, strict=True)]
        texts.append(",".join(f"{escape_tag(key)}={escape_tag(value)}" for key, value in pairs if value))
    of_row = np.repeat(np.arange(frame.series), np.diff(frame.starts))
    has = np.array([bool(text) for text in texts], dtype=np.bool_)
    values = pa.array(texts, pa.large_string()).take(pa.array(of_row))
    return Column(FieldType.STRING, values, None if has.all() else has[of_row])


def _plain(column: Column) -> Column:
    """What the kernel would print otherwise than InfluxDB does.

    Floats that it would print with an exponent become texts without one, as Go's ``%f`` of the fewest digits; and an
    empty string, which it would quote, an empty cell.
    """
    if column.type is FieldType.STRING:
        there = pc.not_equal(column.values, "").to_numpy(zero_copy_only=False)
        if bool(there.all()):
            return column
        return Column(column.type, column.values, there if column.validity is None else there & column.validity)
    if column.type is not FieldType.FLOAT:
        return column
    size = np.abs(column.values)
    odd = np.isfinite(size) & ((size >= _LARGE) | ((size < _SMALL) & (size != 0)))
    if column.validity is not None:
        odd &= column.validity
    if not odd.any():
        return column
    cells: list[numtext.Cells] = [(numtext.FLOAT, column.values, None, None)]
    text, ends = numtext.rows(cells, [b""], b"", True, 0, len(column))
    usual = strings_of(np.concatenate([np.zeros(1, dtype=np.int64), ends]), text).values
    # Such numbers are few, where there are any.
    plain = [np.format_float_positional(value, trim="-") for value in column.values[odd]]
    texts = pc.replace_with_mask(usual, pa.array(odd), pa.array(plain, pa.large_string()))
    return Column(FieldType.STRING, texts, column.validity)
