"""Query results as bytes: JSON (series or rows), CSV and Arrow IPC. docs/http.md shows them byte by byte.

Each encoder is a generator of byte strings, a few hundred KB each, and closes the result when it ends or is
closed itself. It raises what the query raises: make the first `next` before the status line goes out, and cut the
connection when a later one fails. Everything here blocks while the query does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from rusts.api.cells import Style, cells_of, quoted, steps, together
from rusts.kernels import numtext
from rusts.model.batch import Column
from rusts.model.series import TagColumn
from rusts.model.types import FieldType
from rusts.query import Result, Table

__all__ = ["ARROW_TYPE", "CSV_TYPE", "JSON_TYPE", "encode_arrow", "encode_csv", "encode_json"]

JSON_TYPE: Final = "application/json"
CSV_TYPE: Final = "text/csv"
ARROW_TYPE: Final = "application/vnd.apache.arrow.stream"
"""The media types of the encoders."""

_ARROW_ROWS: Final = 1 << 16
_ARROW_END: Final = b"\xff\xff\xff\xff\x00\x00\x00\x00"
_ARROW_TYPES: Final = {
    FieldType.FLOAT: pa.float64(),
    FieldType.INTEGER: pa.int64(),
    FieldType.UNSIGNED: pa.uint64(),
    FieldType.BOOLEAN: pa.bool_(),
    FieldType.STRING: pa.large_string(),
}


def encode_json(result: Result, *, rows: bool = False, pretty: bool = False) -> Iterator[bytes]:
    """``{"series":[{"measurement","tags","columns","values"}],"stats":{}}`` and a line end.

    With `rows` it is ``{"rows":[{"time",tags and columns}],"stats":{}}``. With `pretty` it is indented by 4 spaces,
    as InfluxDB 1.x does it.
    """
    return _closing(_json_rows(result, Style(pretty)) if rows else _json_series(result, Style(pretty)), result)


def encode_csv(result: Result) -> Iterator[bytes]:
    """A header line, then a line per row: time, tags, columns. A cell without a value is empty."""
    return _closing(_csv(result), result)


def encode_arrow(result: Result) -> Iterator[bytes]:
    """An Arrow IPC stream with the columns time (timestamp[ns, UTC]), tags (strings), and the answer's columns."""
    return _closing(_arrow(result), result)


def _closing(parts: Iterator[Any], result: Result) -> Iterator[bytes]:
    try:
        yield from together(parts)
    finally:
        result.close()


# -- JSON


def _json_series(result: Result, style: Style) -> Iterator[Any]:
    line, colon = style.line, style.colon
    names = [quoted(name) for name in ("time", *result.columns)]
    columns = b'"columns"' + colon + style.array(names, 3)
    behind_tags = b"," + line(3) + columns + b"," + line(3) + b'"values"' + colon + b"["
    keys = [quoted(key) for key in result.group_by]
    begin = line(2) + b"{" + line(3) + b'"measurement"' + colon
    end = line(3) + b"]" + line(2) + b"}"
    # Every row begins with a comma; the first one of a series goes without it.
    before = [b"," + line(4) + b"[" + line(5), *[b"," + line(5)] * len(result.columns)]
    behind = line(4) + b"]"
    is_open = False
    yield b"{" + line(1) + b'"series"' + colon + b"["
    for table in result:
        measurement = quoted(table.measurement)
        cells = _cells([table.columns], table)
        starts = table.starts.tolist()
        group = 0
        for lo, hi in steps(cells, len(table)):
            text, ends = numtext.rows(cells, before, behind, False, lo, hi)
            view = memoryview(text)  # type: ignore[arg-type]
            at = 0
            while group < table.groups and starts[group] < hi:
                if starts[group] >= lo and not (group == 0 and table.continued):
                    if at < (begins := int(ends[starts[group] - lo - 1]) if starts[group] > lo else 0):
                        yield view[at:begins]
                    tags = [
                        (key, quoted(tag.values[tag.codes[group]])) for key, tag in zip(keys, table.tags, strict=True)
                    ]
                    head = measurement + b"," + line(3) + b'"tags"' + colon + style.object(tags, 3) + behind_tags
                    yield (end + b"," if is_open else b"") + begin + head
                    is_open = True
                    at = begins + 1
                if starts[group + 1] > hi:
                    break
                group += 1
            if at < len(view):
                yield view[at:]
    yield (end + line(1) if is_open else b"") + b"]" + _json_tail(result, style)


def _json_rows(result: Result, style: Style) -> Iterator[Any]:
    line, colon = style.line, style.colon
    names = [quoted(name) + colon for name in _flat_names(result)]
    before = [b"," + line(2) + b"{" + line(3) + names[0], *(b"," + line(3) + name for name in names[1:])]
    behind = line(2) + b"}"
    some = False
    yield b"{" + line(1) + b'"rows"' + colon + b"["
    for table in result:
        cells = _cells([_tag_columns(table), table.columns], table)
        for lo, hi in steps(cells, len(table)):
            text, _ = numtext.rows(cells, before, behind, False, lo, hi)
            yield memoryview(text)[0 if some else 1 :]  # type: ignore[arg-type]
            some = True
    yield (line(1) if some else b"") + b"]" + _json_tail(result, style)


def _json_tail(result: Result, style: Style) -> bytes:
    """Messages, if there are any, and statistics."""
    stats, line, colon = result.stats, style.line, style.colon
    figures = {
        "rows": result.tracker.rows,
        "series": result.tracker.series,
        "rows_scanned": stats.rows_scanned,
        "series_scanned": stats.series,
        "segments": stats.segments,
        "segments_pruned": stats.segments_pruned,
        "batches_decoded": stats.batches_decoded,
        "bytes_decoded": stats.bytes_decoded,
        "from_statistics": stats.from_statistics,
        "seconds": round(result.tracker.seconds(), 6),
    }
    tail = b""
    if result.warnings:
        texts = [style.object([(b'"level"', b'"warning"'), (b'"text"', quoted(text))], 2) for text in result.warnings]
        tail = b"," + line(1) + b'"messages"' + colon + style.array(texts, 1)
    members = [(quoted(name), orjson.dumps(figure)) for name, figure in figures.items()]
    return tail + b"," + line(1) + b'"stats"' + colon + style.object(members, 1) + line(0) + b"}\n"


# -- CSV


def _csv(result: Result) -> Iterator[Any]:
    names = _flat_names(result)
    yield b",".join(numtext.csv_cell(name.encode()) for name in names) + b"\n"
    before = [b"", *[b","] * (len(names) - 1)]
    for table in result:
        cells = _cells([_tag_columns(table), table.columns], table)
        for lo, hi in steps(cells, len(table)):
            text, _ = numtext.rows(cells, before, b"\n", True, lo, hi)
            yield memoryview(text)  # type: ignore[arg-type]


# -- Arrow


def _arrow(result: Result) -> Iterator[Any]:
    types = [pa.timestamp("ns", tz="UTC"), *[pa.large_string()] * len(result.group_by)]
    types += [_ARROW_TYPES[type] for type in result.types]
    fields = [pa.field(name, type) for name, type in zip(_flat_names(result), types, strict=True)]
    schema = pa.schema(fields, metadata={"measurement": result.measurement})
    yield schema.serialize()
    for table in result:
        arrays = [pa.array(table.times).view(types[0])]
        arrays += [_arrow_array(column) for column in (*_tag_columns(table), *table.columns)]
        batch = pa.record_batch(arrays, schema=schema)
        for start in range(0, len(table), _ARROW_ROWS):
            yield batch.slice(start, _ARROW_ROWS).serialize()
    yield _ARROW_END


def _arrow_array(column: Column) -> pa.Array:
    if column.type is FieldType.STRING:
        values = column.values
        if column.validity is None:
            return values
        return pc.if_else(pa.array(column.validity), values, pa.scalar(None, pa.large_string()))
    return pa.array(column.values, mask=None if column.validity is None else ~column.validity)


# -- what the forms share


def _flat_names(result: Result) -> list[str]:
    """time, the tags and the columns as names in one row: a repeated one gets ``_1``, ``_2`` ... behind it."""
    taken: dict[str, None] = {}
    for name in ("time", *result.group_by, *result.columns):
        label, number = name, 0
        while label in taken:
            number += 1
            label = f"{name}_{number}"
        taken[label] = None
    return list(taken)


def _tag_columns(table: Table) -> list[Column]:
    """Each tag of the groups as a column over the rows."""
    lengths = np.diff(table.starts)

    def spread(tag: TagColumn) -> Column:
        # Only the values in use: the tag's own list may be far longer than the answer.
        used, codes = np.unique(tag.codes, return_inverse=True)
        values = pa.array([tag.values[code] for code in used.tolist()], type=pa.large_string())
        return Column(FieldType.STRING, values.take(pa.array(np.repeat(codes, lengths))))

    return [spread(tag) for tag in table.tags]


def _cells(parts: Sequence[Sequence[Column]], table: Table) -> list[numtext.Cells]:
    """The times and the columns of `parts` as the kernel takes them."""
    return [(numtext.INTEGER, table.times, None, None), *cells_of(column for part in parts for column in part)]
