"""Columns of points: as parsed (`Batch`), as resolved against the catalog (`Rows`), as sorted (`SeriesRows`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rusts.model.series import KeyTable
from rusts.model.types import DTYPES, FieldType

__all__ = [
    "Batch",
    "Column",
    "FieldKey",
    "Rows",
    "SeriesRows",
    "concat_columns",
    "empty_column",
    "string_buffers",
    "strings_of",
]

FieldKey = tuple[str, FieldType]
"""A field as a client wrote it. One name may come with two types in one batch; the catalog decides."""

_EMPTY_STRING: Final = pa.scalar("", pa.large_string())


@dataclass(frozen=True, slots=True)
class Column:
    """One field over n rows.

    `values` is an array of ``DTYPES[type]`` with n elements, or, for STRING, a
    `pyarrow.LargeStringArray` of length n without nulls. `validity` is bool[n], or None where
    every row has a value. Where a row is not valid its value is unspecified (but decodable).
    """

    type: FieldType
    values: Any
    validity: npt.NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.values)

    def slice(self, start: int, stop: int) -> Column:
        """Rows ``start:stop`` without copying."""
        validity = None if self.validity is None else self.validity[start:stop]
        if self.type is FieldType.STRING:
            return Column(self.type, self.values.slice(start, stop - start), validity)
        return Column(self.type, self.values[start:stop], validity)

    def take(self, rows: npt.NDArray[Any]) -> Column:
        """The rows at the positions `rows` (any integer dtype), or where `rows` (bool[n]) is true."""
        validity = None if self.validity is None else self.validity[rows]
        if self.type is FieldType.STRING:
            where = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
            return Column(self.type, self.values.take(pa.array(where)), validity)
        return Column(self.type, self.values[rows], validity)

    def valid(self) -> npt.NDArray[np.bool_]:
        """bool[n]: which rows have a value."""
        if self.validity is not None:
            return self.validity
        return np.ones(len(self), dtype=np.bool_)

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the values and the validity take."""
        return int(self.values.nbytes) + (0 if self.validity is None else self.validity.nbytes)


def empty_column(type: FieldType, rows: int) -> Column:
    """A column of `rows` rows none of which has a value."""
    validity = np.zeros(rows, dtype=np.bool_)
    if type is FieldType.STRING:
        return Column(type, pa.repeat(_EMPTY_STRING, rows), validity)
    return Column(type, np.zeros(rows, dtype=DTYPES[type]), validity)


def concat_columns(columns: Sequence[Column]) -> Column:
    """The rows of `columns` (at least one, all of one type) one after another."""
    if len(columns) == 1:
        return columns[0]
    type = columns[0].type
    validity = None
    if any(c.validity is not None for c in columns):
        validity = np.concatenate([c.valid() for c in columns])
    if type is FieldType.STRING:
        return Column(type, pa.concat_arrays([c.values for c in columns]), validity)
    return Column(type, np.concatenate([c.values for c in columns]), validity)


@dataclass(slots=True)
class Batch:
    """Points of one measurement as a client sent them: names, not ids; arrival order.

    `keys` holds the canonical key of each distinct series (each once), `series` uint32[rows] the index
    into it, `times` int64[rows] nanoseconds since the epoch, `starts` int64[rows] the byte
    offset of each point's line in the request (for reports), `columns` the fields.
    """

    measurement: str
    keys: KeyTable
    series: npt.NDArray[np.uint32]
    times: npt.NDArray[np.int64]
    columns: dict[FieldKey, Column]
    starts: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.times)


@dataclass(slots=True)
class Rows:
    """Points of one measurement by id: what the log and the memtable take; arrival order.

    `measurement` is the catalog's id, `series` uint32[rows] numbers of the measurement's series on
    this node, `times` int64[rows] ns, `columns` by field id. All rows were written at one stamp;
    where two rows are the same point, the later row wins per cell.
    """

    measurement: int
    series: npt.NDArray[np.uint32]
    times: npt.NDArray[np.int64]
    columns: dict[int, Column]

    def __len__(self) -> int:
        return len(self.times)


@dataclass(slots=True)
class SeriesRows:
    """Points sorted by (series, time), each (series, time) once.

    Run r is the rows ``starts[r]:starts[r + 1]`` of the series ``series[r]``: `series` is
    uint32[runs], strictly ascending, `starts` int64[runs + 1] with starts[0] == 0, `times`
    int64[rows] ns ascending inside a run. `columns` by field id (storage) or name (queries).
    """

    series: npt.NDArray[np.uint32]
    starts: npt.NDArray[np.int64]
    times: npt.NDArray[np.int64]
    columns: dict[Any, Column] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.times)

    def row_series(self) -> npt.NDArray[np.uint32]:
        """uint32[rows]: the series of each row."""
        return np.repeat(self.series, np.diff(self.starts))


def string_buffers(values: pa.LargeStringArray) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """Offsets int64[n + 1] and bytes of a LargeStringArray, without copying.

    The first offset need not be zero: a slice keeps the buffers of the whole.
    """
    _, offsets, data = values.buffers()
    at = values.offset
    ends = np.frombuffer(offsets, dtype=np.int64)[at : at + len(values) + 1]
    return ends, np.frombuffer(data or b"", dtype=np.uint8)


def strings_of(offsets: npt.NDArray[np.int64], data: npt.NDArray[np.uint8]) -> Column:
    """A STRING column over `offsets` int64[n + 1] into UTF-8 `data` uint8[bytes]; shares both."""
    values = pa.LargeStringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(data))
    return Column(FieldType.STRING, values, None)
