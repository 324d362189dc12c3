"""Groups: which series are in which, where their rows lie, and the slices that a plan takes of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rusts.model.batch import Column, SeriesRows, empty_column
from rusts.model.series import SeriesSet, TagColumn
from rusts.model.store import Scan
from rusts.model.types import FieldType
from rusts.query.plan import Slice
from rusts.query.table import Table

__all__ = ["field_column", "group_series", "runs", "slice_groups", "slice_rows"]


def field_column(chunk: SeriesRows, name: str, scan: Scan, type: FieldType | None = None) -> Column:
    """The chunk's column of a field, all null if it has none."""
    column = chunk.columns.get(name)
    return empty_column(type or scan.field_types[name], len(chunk)) if column is None else column


def runs(numbers: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The runs of ascending `numbers`: each number once, and int64[runs + 1] where its run begins."""
    if not len(numbers):
        return numbers, np.zeros(1, dtype=np.int64)
    begins = np.flatnonzero(numbers[1:] != numbers[:-1]) + 1
    starts = np.concatenate(([0], begins, [len(numbers)]))
    return numbers[starts[:-1]], starts


def group_series(series: SeriesSet, keys: Sequence[str]) -> tuple[npt.NDArray[np.int64], list[TagColumn]]:
    """int64[series] the group of each series, and per key the value of each group; sorted by tuple of values."""
    count = len(series)
    if not keys:
        return np.zeros(count, dtype=np.int64), []
    combined = np.zeros(count, dtype=np.int64)
    columns = []
    for key in keys:
        tag = series.tag(key)
        used, codes = np.unique(tag.codes, return_inverse=True)
        values = [tag.values[code] for code in used.tolist()]
        order = sorted(range(len(values)), key=values.__getitem__)
        ranks = np.empty(len(order), dtype=np.int64)
        ranks[order] = np.arange(len(order))
        columns.append((ranks[codes], [values[i] for i in order]))
        # Renumbered at each key, so that the product of two stays below series x values.
        combined = np.unique(combined * max(1, len(order)) + ranks[codes], return_inverse=True)[1]
    first = np.zeros(int(combined.max(initial=-1)) + 1, dtype=np.int64)
    first[combined[::-1]] = np.arange(count)[::-1]
    return combined, [TagColumn(ranks[first].astype(np.uint32), values) for ranks, values in columns]


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
