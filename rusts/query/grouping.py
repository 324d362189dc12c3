"""The rows of groups: a field of them as a column, and the slices that a plan takes of them."""

from __future__ import annotations

import numpy as np

from rusts.model.batch import Column, SeriesRows, empty_column
from rusts.model.series import TagColumn
from rusts.model.store import Scan
from rusts.model.types import FieldType
from rusts.query.plan import Slice
from rusts.query.table import Table

__all__ = ["field_column", "slice_groups", "slice_rows"]


def field_column(chunk: SeriesRows, name: str, scan: Scan, type: FieldType | None = None) -> Column:
    """The chunk's column of a field, all null if it has none."""
    column = chunk.columns.get(name)
    return empty_column(type or scan.field_types[name], len(chunk)) if column is None else column


def slice_groups(table: Table, top: Slice) -> Table:
    """The groups that `series_offset` and `series_limit` leave."""
    if not top.series_offset and (top.series_limit is None or top.series_limit >= table.groups):
        return table
    lo = min(top.series_offset, table.groups)
    hi = table.groups if top.series_limit is None else min(table.groups, lo + top.series_limit)
    begin, end = int(table.starts[lo]), int(table.starts[hi])
    return Table(
        table.measurement,
        [TagColumn(tag.codes[lo:hi], tag.values) for tag in table.tags],
        table.starts[lo : hi + 1] - begin,
        table.times[begin:end],
        [column.slice(begin, end) for column in table.columns],
    )


def slice_rows(table: Table, top: Slice) -> Table:
    """Each group's rows in the asked order, those that `offset` and `limit` leave; groups left empty go."""
    if not top.descending and not top.offset and top.limit is None:
        return table
    counts = np.diff(table.starts)
    lo = np.minimum(top.offset, counts)
    kept = counts - lo if top.limit is None else np.minimum(counts - lo, top.limit)
    some = np.flatnonzero(kept)
    kept = kept[some]
    starts = np.zeros(len(some) + 1, dtype=np.int64)
    np.cumsum(kept, out=starts[1:])
    within = np.arange(starts[-1]) - np.repeat(starts[:-1], kept)
    if top.descending:
        rows = np.repeat(table.starts[1:][some] - 1 - lo[some], kept) - within
    else:
        rows = np.repeat(table.starts[:-1][some] + lo[some], kept) + within
    return Table(
        table.measurement,
        [TagColumn(tag.codes[some], tag.values) for tag in table.tags],
        starts,
        table.times[rows],
        [column.take(rows) for column in table.columns],
    )
