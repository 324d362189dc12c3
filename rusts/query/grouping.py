"""The rows of groups: the slices that a plan takes of them, and rows at other places."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rusts.model.batch import Column
from rusts.model.series import TagColumn
from rusts.model.types import FieldType
from rusts.query.plan import Slice
from rusts.query.table import Table

__all__ = ["backwards", "keep_rows", "limit_order", "ordered", "slice_groups", "slice_rows"]

Longs = npt.NDArray[np.int64]


def limit_order(tags: Sequence[TagColumn], keys: Sequence[str]) -> Longs:
    """int64[groups]: groups (sorted by the values of their tags) in the order in which InfluxDB's limit counts them.

    They are compared as texts: first the keys of the tags that a group has, with ``|`` between
    them, then their values.
    """
    groups = len(tags[0].codes) if tags else 1
    if len(tags) < 2:
        return np.arange(groups, dtype=np.int64)
    named: list[pa.LargeStringArray] = []
    valued: list[pa.LargeStringArray] = []
    nothing = pa.scalar(None, pa.large_string())
    for key, tag in zip(keys, tags, strict=True):
        values = pa.array(tag.values, type=pa.large_string()).take(pa.array(tag.codes))
        missing = pc.equal(values, "")
        named.append(pc.if_else(missing, nothing, pa.scalar(key, pa.large_string())))
        valued.append(pc.if_else(missing, nothing, values))
    # The empty text in front changes no order: pyarrow leaves out rows of which all texts are skipped.
    empty, bar = (pa.scalar(text, pa.large_string()) for text in ("", "|"))
    texts = pc.binary_join_element_wise(empty, *named, *valued, bar, null_handling="skip")
    order: Longs = pc.array_sort_indices(texts).to_numpy().astype(np.int64)
    return order


def slice_groups(table: Table, top: Slice, keys: Sequence[str]) -> Table:
    """The groups that `series_offset` and `series_limit` leave, sorted as before; `keys`: of the table's tags."""
    if not top.series_offset and (top.series_limit is None or top.series_limit >= table.groups):
        return table
    lo = min(top.series_offset, table.groups)
    hi = table.groups if top.series_limit is None else min(table.groups, lo + top.series_limit)
    chosen = np.sort(limit_order(table.tags, keys)[lo:hi]) if top.keys_first else np.arange(lo, hi)
    if len(chosen) and chosen[-1] - chosen[0] >= len(chosen):
        counts = np.diff(table.starts)[chosen]
        starts = np.append(0, np.cumsum(counts))
        rows = np.arange(starts[-1]) + np.repeat(table.starts[:-1][chosen] - starts[:-1], counts)
        return _taken(table, chosen, starts, rows)
    # They lie side by side.
    lo = int(chosen[0]) if len(chosen) else 0
    hi = lo + len(chosen)
    begin, end = int(table.starts[lo]), int(table.starts[hi])
    return Table(
        table.measurement,
        [TagColumn(tag.codes[lo:hi], tag.values) for tag in table.tags],
        table.starts[lo : hi + 1] - begin,
        table.times[begin:end],
        [column.slice(begin, end) for column in table.columns],
    )


def slice_rows(table: Table, top: Slice) -> Table:
    """Each group's rows in the asked order of time, those that `offset` and `limit` leave; groups left empty go."""
    turned = top.groups_descending and table.groups > 1
    if not top.descending and not top.offset and top.limit is None and not turned:
        return table
    counts = np.diff(table.starts)
    lo = np.minimum(top.offset, counts)
    kept = counts - lo if top.limit is None else np.minimum(counts - lo, top.limit)
    some = np.flatnonzero(kept)
    if turned:
        some = some[::-1]
    kept = kept[some]
    starts = np.zeros(len(some) + 1, dtype=np.int64)
    np.cumsum(kept, out=starts[1:])
    within = np.arange(starts[-1]) - np.repeat(starts[:-1], kept)
    if top.descending:
        rows = np.repeat(table.starts[1:][some] - 1 - lo[some], kept) - within
    else:
        rows = np.repeat(table.starts[:-1][some] + lo[some], kept) + within
    return _taken(table, some, starts, rows)


def keep_rows(table: Table, kept: npt.NDArray[np.bool_]) -> Table:
    """The rows for which bool[rows] `kept` holds; groups left empty go."""
    if bool(kept.all()):
        return table
    before = np.zeros(len(kept) + 1, dtype=np.int64)
    np.cumsum(kept, out=before[1:])
    ends = before[table.starts]
    some = np.flatnonzero(np.diff(ends))
    return _taken(table, some, np.append(ends[some], ends[-1]), np.flatnonzero(kept))


def backwards(table: Table) -> Table:
    """Each group's rows in reverse order."""
    counts = np.diff(table.starts)
    rows = np.repeat(table.starts[1:] + table.starts[:-1] - 1, counts) - np.arange(len(table), dtype=np.int64)
    return _taken(table, None, table.starts, rows)


def ordered(table: Table, by: Sequence[tuple[Column, bool]]) -> Table:
    """Each group's rows sorted by columns (of the table's rows), each with whether it descends; nulls come last."""
    keys: list[Longs] = []
    for column, descending in reversed(by):
        ranks = _ranks(column)
        keys.append(np.where(column.valid(), -ranks if descending else ranks, len(table)))
    groups = np.repeat(np.arange(table.groups, dtype=np.int64), np.diff(table.starts))
    return _taken(table, None, table.starts, np.lexsort((*keys, groups)))


def _ranks(column: Column) -> Longs:
    """int64[rows]: the place of each value among the distinct ones."""
    if column.type is not FieldType.STRING:
        return np.unique(column.values, return_inverse=True)[1].astype(np.int64)
    encoded = column.values.dictionary_encode()
    order = pc.array_sort_indices(encoded.dictionary).to_numpy()
    places = np.empty(len(order), dtype=np.int64)
    places[order] = np.arange(len(order))
    ranks: Longs = places[encoded.indices.to_numpy()]
    return ranks


def _taken(table: Table, groups: npt.NDArray[np.intp] | None, starts: Longs, rows: npt.NDArray[np.intp]) -> Table:
    tags = table.tags if groups is None else [TagColumn(tag.codes[groups], tag.values) for tag in table.tags]
    columns = [column.take(rows) for column in table.columns]
    return Table(table.measurement, tags, starts, table.times[rows], columns)
