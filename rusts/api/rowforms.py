"""Answers to InfluxQL as InfluxDB 3 gives them: rows with measurement, time, tags and columns.

Forms are JSON (an array of objects), JSON lines, CSV, a table for people, and Parquet. In the JSON forms a cell
without a value is left out. Times are UTC, without a letter to say so.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rusts import errors
from rusts.api.cells import cells_of, quoted, together
from rusts.influxql.results import Frame, StatementResult
from rusts.kernels import numtext
from rusts.model.batch import Column, strings_of
from rusts.model.types import FieldType

__all__ = ["FORMATS", "RowForm"]

_MEASUREMENT: Final = "iox::measurement"

FORMATS: Final = {
    "json": "application/json",
    "jsonl": "application/jsonl",
    "json_lines": "application/jsonl",
    "csv": "text/csv",
    "pretty": "text/plain; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
}
"""Content types by name of the format."""


@dataclass(frozen=True, slots=True)
class RowForm:
    """One of `FORMATS`, for the answer to one statement."""

    format: str

    @property
    def content(self) -> str:
        """The content type."""
        return FORMATS[self.format]

    def encode(self, results: Iterator[StatementResult]) -> Iterator[bytes]:
        """The answer in pieces. Raises InvalidRequest where the statement fails."""
        frames = _frames(results)
        match self.format:
            case "json":
                return together(_json(frames))
            case "csv":
                return together(_csv(frames))
            case "pretty":
                return _pretty(list(frames))
            case "parquet":
                return _parquet(list(frames))
        return together(_json_lines(frames))


def _frames(results: Iterator[StatementResult]) -> Iterator[Frame]:
    for result in results:
        yield from (frame for frame in result.frames if len(frame))
        if result.error is not None:
            raise errors.InvalidRequest(f"query error: {result.error}")


def _columns(frame: Frame) -> tuple[list[str], list[Column]]:
    """Names and columns of the frame's rows, the time as a text. A name that is taken gets ``_1`` behind it."""
    rows = len(frame)
    names, columns = _keys(frame)
    if frame.times is not None:
        text, ends = numtext.rows([(numtext.TIME, frame.times, None, None)], [b""], b"", True, 0, rows)
        column = strings_of(np.append(np.int64(0), ends), text)
        columns.insert(1, Column(FieldType.STRING, pc.replace_substring(column.values, "Z", ""), None))
    return _distinct(names), [*columns, *frame.cells]


def _keys(frame: Frame) -> tuple[list[str], list[Column]]:
    """The names of all columns, and those of measurement and tags as one value per row."""
    of_row = np.repeat(np.arange(frame.series), np.diff(frame.starts))
    columns = [Column(FieldType.STRING, pa.repeat(pa.scalar(frame.name, pa.large_string()), len(frame)), None)]
    for tag in frame.tags:
        values = pa.array(list(tag.values), pa.large_string())
        columns.append(Column(FieldType.STRING, values.take(pa.array(tag.codes[of_row])), None))
    timed = frame.times is not None
    names = [_MEASUREMENT, *frame.columns[: int(timed)], *frame.tag_keys, *frame.columns[int(timed) :]]
    return names, columns


def _distinct(names: list[str]) -> list[str]:
    seen: set[str] = set()
    found = []
    for name in names:
        free, number = name, 0
        while free in seen:
            number += 1
            free = f"{name}_{number}"
        seen.add(free)
        found.append(free)
    return found


def _valid(column: Column) -> npt.NDArray[np.bool_] | None:
    """Where there is a value that JSON can write."""
    if column.type is not FieldType.FLOAT:
        return column.validity
    finite: npt.NDArray[np.bool_] = np.isfinite(column.values)
    return finite if column.validity is None else finite & column.validity


def _objects(frame: Frame) -> pa.Array:
    """large_string[rows]: each row as a JSON object."""
    names, columns = _columns(frame)
    members = []
    for name, column, cells in zip(names, columns, cells_of(columns), strict=True):
        text, ends = numtext.rows([cells], [quoted(name) + b":"], b"", False, 0, len(frame))
        member = strings_of(np.append(np.int64(0), ends), text).values
        valid = _valid(column)
        members.append(member if valid is None else pc.if_else(pa.array(valid), member, pa.scalar(None, member.type)))
    empty = pa.scalar("", pa.large_string())
    joined = pc.binary_join_element_wise(*members, pa.scalar(",", pa.large_string()), null_handling="skip")
    opening, closing = (pa.scalar(mark, pa.large_string()) for mark in "{}")
    return pc.binary_join_element_wise(opening, joined, closing, empty)


def _text(rows: pa.Array, behind: str) -> bytes:
    """The texts of `rows`, each with `behind` behind it."""
    empty, mark = pa.scalar("", pa.large_string()), pa.scalar(behind, pa.large_string())
    joined = pc.binary_join_element_wise(rows, mark, empty)
    return bytes(joined.buffers()[2] or b"")


def _json(frames: Iterator[Frame]) -> Iterator[bytes]:
    before = b"["
    for frame in frames:
        yield before + _text(_objects(frame), ",")[:-1]
        before = b","
    yield b"]" if before == b"," else b"[]"


def _json_lines(frames: Iterator[Frame]) -> Iterator[bytes]:
    for frame in frames:
        yield _text(_objects(frame), "\n")


def _csv(frames: Iterator[Frame]) -> Iterator[Any]:
    headed = False
    for frame in frames:
        names, columns = _columns(frame)
        if not headed:
            yield b",".join(numtext.csv_cell(name.encode()) for name in names) + b"\n"
            headed = True
        before = [b"", *[b","] * (len(columns) - 1)]
        yield memoryview(numtext.rows(cells_of(columns), before, b"\n", True, 0, len(frame))[0])  # type: ignore[arg-type]


def _pretty(frames: list[Frame]) -> Iterator[bytes]:
    if not frames:
        yield b"++\n++\n"
        return
    names, _ = _columns(frames[0])
    texts = [[_plain(column, len(frame)) for column in _columns(frame)[1]] for frame in frames]
    columns = [pa.chunked_array(list(parts)) for parts in zip(*texts, strict=True)]
    widths = [max(len(name), pc.max(pc.utf8_length(c)).as_py()) for name, c in zip(names, columns, strict=True)]
    rule = ("+" + "+".join("-" * (width + 2) for width in widths) + "+\n").encode()
    head = "|" + "|".join(f" {name:<{width}} " for name, width in zip(names, widths, strict=True)) + "|\n"
    padded = [pc.utf8_rpad(c, width).combine_chunks() for c, width in zip(columns, widths, strict=True)]
    between = pa.scalar(" | ", pa.large_string())
    lines = pc.binary_join_element_wise(*padded, between) if len(padded) > 1 else padded[0]
    empty, left = pa.scalar("", pa.large_string()), pa.scalar("| ", pa.large_string())
    yield rule + head.encode() + rule
    yield _text(pc.binary_join_element_wise(left, lines, empty), " |\n")
    yield rule


def _plain(column: Column, rows: int) -> pa.Array:
    """The column as texts, "" where there is no value."""
    if column.type is FieldType.STRING:
        values = column.values
    else:
        text, ends = numtext.rows(cells_of([column]), [b""], b"", True, 0, rows)
        values = strings_of(np.append(np.int64(0), ends), text).values
    if column.validity is None:
        return values
    return pc.if_else(pa.array(column.validity), values, pa.scalar("", pa.large_string()))


def _parquet(frames: list[Frame]) -> Iterator[bytes]:
    tables = [_table(frame) for frame in frames] or [pa.table({})]
    try:
        table = pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowTypeError, pa.ArrowInvalid) as problem:
        raise errors.InvalidRequest(f"query error: a column has several types: {problem}") from None
    out = io.BytesIO()
    pq.write_table(table, out, compression="snappy")
    yield out.getvalue()


def _table(frame: Frame) -> pa.Table:
    names, columns = _keys(frame)
    arrays = [_array(column) for column in columns]
    if frame.times is not None:
        arrays.insert(1, pa.array(frame.times, pa.int64()).cast(pa.timestamp("ns")))
    arrays += [_array(column) for column in frame.cells]
    return pa.Table.from_arrays(arrays, _distinct(names))


def _array(column: Column) -> pa.Array:
    missing = None if column.validity is None else ~column.validity
    if column.type is not FieldType.STRING:
        return pa.array(column.values, mask=missing)
    if missing is None:
        return column.values
    return pc.if_else(pa.array(missing), pa.scalar(None, pa.large_string()), column.values)
