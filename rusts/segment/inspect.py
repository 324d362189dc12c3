"""Looking into a segment: a summary for people, and its rows as a plain Arrow file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rusts.model.batch import Column
from rusts.model.series import decode_key
from rusts.model.time import format_rfc3339
from rusts.model.types import FieldType
from rusts.segment.encoding import Encoding
from rusts.segment.layout import FIRST_FIELD, ChunkRole
from rusts.segment.reader import Section, SegmentReader

__all__ = ["arrow_batches", "arrow_schema", "summary", "write_arrow"]

_TYPES = {
    FieldType.FLOAT: pa.float64(),
    FieldType.INTEGER: pa.int64(),
    FieldType.UNSIGNED: pa.uint64(),
    FieldType.BOOLEAN: pa.bool_(),
    FieldType.STRING: pa.large_string(),
}
_NAMES = {int(encoding): encoding.name.lower() for encoding in Encoding}
_TAG = pa.dictionary(pa.int32(), pa.string())
_TIME = pa.timestamp("ns", tz="UTC")


def summary(reader: SegmentReader) -> dict[str, Any]:
    """What is in the segment, as plain values: header, sizes, and per measurement fields and encodings.

    Of each column it says the bytes on disk, the bytes a value, the rows without a value and the encodings.
    Reads nothing but the footer. Raises Corruption.
    """
    header = reader.header
    return {
        "path": reader.path,
        "segment": header.segment,
        "kind": header.kind.name.lower(),
        "database": header.database_name,
        "policy": header.policy_name,
        "tier": header.tier.name.lower(),
        "partition": {"start": format_rfc3339(header.start), "width_seconds": header.width / 1e9},
        "parents": list(header.parents),
        "stamps": {"min": list(header.min_stamp), "max": list(header.max_stamp)},
        "min_time": _time_text(reader.rows, reader.min_time),
        "max_time": _time_text(reader.rows, reader.max_time),
        "rows": reader.rows,
        "series": reader.series,
        "bytes": reader.bytes,
        "footer_bytes": len(reader.footer.data),
        "measurements": [_section_summary(section) for section in reader.sections.values()],
    }


def _time_text(rows: int, time: int) -> str | None:
    return format_rfc3339(time) if rows else None


def _section_summary(section: Section) -> dict[str, Any]:
    chunks = section.chunks
    columns = {"time": 0} | {name: FIRST_FIELD + i for i, (name, _) in enumerate(section.fields.values())}
    other = ~np.isin(chunks["role"], (ChunkRole.VALUES, ChunkRole.VALIDITY))
    return {
        "measurement": section.name,
        "id": section.measurement,
        "rows": section.rows,
        "series": section.series_count,
        "batches": section.batches,
        "stamped": section.stamped,
        "min_time": format_rfc3339(section.min_time),
        "max_time": format_rfc3339(section.max_time),
        "directory_bytes": int(chunks["length"][other].sum()),
        "columns": [_column_summary(section, name, column) for name, column in columns.items()],
    }


def _column_summary(section: Section, name: str, column: int) -> dict[str, Any]:
    chunks = section.chunks
    own = chunks[(chunks["column"] == column) & np.isin(chunks["role"], (ChunkRole.VALUES, ChunkRole.VALIDITY))]
    values = own[own["role"] == ChunkRole.VALUES]
    present = int(values["rows"].sum()) - int(values["nulls"].sum())
    size = int(own["length"].sum())
    fields = list(section.fields.values())
    return {
        "name": name,
        "type": fields[column - FIRST_FIELD][1].text if column >= FIRST_FIELD else "time",
        "chunks": len(own),
        "values": present,
        "nulls": section.rows - present,
        "bytes": size,
        "bytes_per_value": round(size / present, 4) if present else None,
        "encodings": sorted({_NAMES.get(e, f"unknown {e}") for e in values["encoding"].tolist()}),
    }


def arrow_schema(section: Section) -> tuple[pa.Schema, list[str]]:
    """The section's columns as Arrow has them (time, each tag, each field), and its tag keys, sorted.

    A tag or field that would share another column's name is called ``<name> (tag)`` or ``<name> (field)``.
    """
    _, keys = section.keys()
    tags = sorted({tag for i in range(len(keys)) for tag in decode_key(keys[i])[1]})
    columns = [pa.field("time", _TIME, nullable=False)]
    taken = {"time"}
    for name, type, kind in (
        *((tag, _TAG, "tag") for tag in tags),
        *((name, _TYPES[type], "field") for name, type in section.fields.values()),
    ):
        label = name if name not in taken else f"{name} ({kind})"
        taken.add(label)
        columns.append(pa.field(label, type))
    return pa.schema(columns), tags


def arrow_batches(section: Section) -> Iterator[pa.RecordBatch]:
    """The section's rows batch by batch in the columns of `arrow_schema`; a tag that a series lacks is null."""
    schema, tags = arrow_schema(section)
    _, keys = section.keys()
    of_series = [decode_key(keys[i])[1] for i in range(len(keys))]
    codes = [_codes([series.get(tag) for series in of_series]) for tag in tags]
    starts = section.starts
    for batch in range(section.batches):
        times = section.times(batch)
        begin = batch * section.batch_rows
        runs = np.searchsorted(starts, np.arange(begin, begin + len(times)), side="right") - 1
        arrays = [pa.array(times, pa.int64()).cast(_TIME)]
        for numbers, values in codes:
            mine = numbers[runs]
            arrays.append(pa.DictionaryArray.from_arrays(pa.array(mine, pa.int32(), mask=mine < 0), values))
        for field, (_, type) in section.fields.items():
            arrays.append(_arrow(section.column(field, batch), type, len(times)))
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _codes(values: list[str | None]) -> tuple[npt.NDArray[np.int32], Any]:
    """The number of each value among the distinct ones (-1 for None), and those."""
    distinct = sorted({v for v in values if v is not None})
    places = {v: i for i, v in enumerate(distinct)}
    return np.array([-1 if v is None else places[v] for v in values], dtype=np.int32), pa.array(distinct, pa.string())


def _arrow(column: Column | None, type: FieldType, rows: int) -> Any:
    if column is None:
        return pa.nulls(rows, _TYPES[type])
    if column.validity is None:
        return column.values if type is FieldType.STRING else pa.array(column.values)
    if type is FieldType.STRING:
        places = pa.array(np.arange(rows), mask=~column.validity)
        return column.values.take(places)
    return pa.array(column.values, mask=~column.validity)


def write_arrow(section: Section, sink: Any) -> int:
    """Write the section's rows as an Arrow IPC file to `sink` (a path, or an open binary file); returns the rows.

    Raises OSError, Corruption, FormatTooNew.
    """
    rows = 0
    schema, _ = arrow_schema(section)
    with pa.ipc.new_file(sink, schema) as writer:
        for batch in arrow_batches(section):
            writer.write_batch(batch)
            rows += batch.num_rows
    return rows
