"""Builds rows for segments from plain dictionaries, and reads segments back into them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rusts.files import OsFiles
from rusts.model.batch import Column, SeriesRows
from rusts.model.series import KeyTable, encode_key
from rusts.model.types import DTYPES, FieldType, Stamp
from rusts.segment.encoding import HOT, EncodingPolicy
from rusts.segment.layout import SectionInput, SegmentHeader, SegmentSummary, Tier
from rusts.segment.reader import Section, SegmentReader
from rusts.segment.writer import write_segment

Cell = float | int | bool | str
Points = Mapping[tuple[int, int], Mapping[int, Cell]]
"""Cells by field id, of each (series, time)."""

FIELDS = [
    (11, "usage", FieldType.INTEGER),
    (12, "load", FieldType.FLOAT),
    (13, "count", FieldType.UNSIGNED),
    (14, "up", FieldType.BOOLEAN),
    (15, "state", FieldType.STRING),
]


def header(segment: int = 1, **changes: Any) -> SegmentHeader:
    values: dict[str, Any] = {
        "segment": segment,
        "database": 2,
        "database_name": "telegraf",
        "policy": 3,
        "policy_name": "autogen",
        "tier": Tier.HOT,
        "start": 0,
        "width": 7_200_000_000_000,
        "parents": (),
        "min_stamp": Stamp(5 << 20),
        "max_stamp": Stamp(6 << 20, 1),
    }
    return SegmentHeader(**values | changes)


def column(type: FieldType, cells: Sequence[Cell | None]) -> Column:
    """A column of `cells`, None = no value; what a null's slot holds is arbitrary, as in life."""
    validity = np.array([c is not None for c in cells], dtype=np.bool_)
    if type is FieldType.STRING:
        values: Any = pa.array(["junk" if c is None else c for c in cells], pa.large_string())
    else:
        values = np.array([1 if c is None else c for c in cells], dtype=DTYPES[type])
    return Column(type, values, None if bool(validity.all()) else validity)


def rows_of(points: Points, types: Mapping[int, FieldType]) -> SeriesRows:
    """The points sorted, with a column for each field that some point has."""
    order = sorted(points)
    series = np.array([s for s, _ in order], dtype=np.uint32)
    firsts = np.flatnonzero(np.append(True, series[1:] != series[:-1])) if len(series) else np.zeros(0, dtype=np.int64)
    columns = {
        field: column(type, [points[at].get(field) for at in order])
        for field, type in types.items()
        if any(field in cells for cells in points.values())
    }
    times = np.array([t for _, t in order], dtype=np.int64)
    return SeriesRows(series[firsts], np.append(firsts, len(series)).astype(np.int64), times, columns)


def cut_rows(rows: SeriesRows, cuts: Iterable[int]) -> list[SeriesRows]:
    """`rows` in pieces that end at the row numbers `cuts` (and at the end)."""
    pieces = []
    begin = 0
    for end in [*sorted({c for c in cuts if 0 < c < len(rows)}), len(rows)]:
        first = int(np.searchsorted(rows.starts, begin, side="right")) - 1
        last = int(np.searchsorted(rows.starts, end, side="left"))
        pieces.append(
            SeriesRows(
                rows.series[first:last],
                np.clip(rows.starts[first : last + 1], begin, end) - begin,
                rows.times[begin:end],
                {id: c.slice(begin, end) for id, c in rows.columns.items()},
            )
        )
        begin = end
    return pieces


def key_of(number: int) -> bytes:
    return encode_key("cpu", {"host": f"host_{number}", "region": f"r{number % 3}"})


def keys(numbers: npt.NDArray[np.uint32]) -> KeyTable:
    return KeyTable.of([key_of(int(n)) for n in numbers])


def section_of(
    chunks: Iterable[SeriesRows],
    fields: Sequence[tuple[int, str, FieldType]] = FIELDS,
    measurement: int = 7,
    name: str = "cpu",
    stamped: bool = False,
) -> SectionInput:
    return SectionInput(measurement, name, list(fields), chunks, keys, stamped)


def write(
    path: str, sections: Iterable[SectionInput], policy: EncodingPolicy = HOT, head: SegmentHeader | None = None
) -> SegmentSummary:
    return write_segment(OsFiles(), path, head or header(), sections, policy)


def open_segment(path: str) -> SegmentReader:
    return SegmentReader.open(OsFiles(), path)


def cells_of(column: Column) -> list[Cell | None]:
    values = column.values.to_pylist() if column.type is FieldType.STRING else column.values.tolist()
    return [v if there else None for v, there in zip(values, column.valid().tolist(), strict=True)]


def points_of(section: Section) -> dict[tuple[int, int], dict[int, Cell]]:
    """Every point of a section, by way of each batch's columns."""
    series = np.repeat(section.series, np.diff(section.starts)).tolist()
    points: dict[tuple[int, int], dict[int, Cell]] = {}
    for batch in range(section.batches):
        at = batch * section.batch_rows
        order = list(zip(series[at : at + section.batch_rows], section.times(batch).tolist(), strict=True))
        for point in order:
            assert point not in points
            points[point] = {}
        for field in section.fields:
            values = section.column(field, batch)
            if values is None:
                continue
            for point, cell in zip(order, cells_of(values), strict=True):
                if cell is not None:
                    points[point][field] = cell
    return points
