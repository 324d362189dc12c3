"""Raw rows: as one stream, or by group.

A scan gives rows in time order; an answer by group has all rows of one group before those of the next. So the rows
of a scan are held until it ends, or, where they pass `PART_BYTES`, dropped again: the groups are cut
in two and each half scanned by itself. A group that is too large alone is streamed. Memory stays bounded, and
no row is read more often than the number of halvings.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rusts.model.batch import Column, SeriesRows, concat_columns, empty_column
from rusts.model.groups import Groups, group_series
from rusts.model.predicate import And, Or, Predicate, TagIn
from rusts.model.series import SeriesSet, TagColumn
from rusts.model.store import Scan, ScanStats, Store
from rusts.model.types import FieldType
from rusts.model.upsert import runs_of
from rusts.query.grouping import field_column, slice_groups, slice_rows
from rusts.query.limits import Tracker
from rusts.query.optimizer import Output, Physical, RowsStep
from rusts.query.table import Table

__all__ = ["PART_BYTES", "grouped_rows", "plain_rows"]

PART_BYTES = 64 << 20
"""How many bytes of rows are held at a time to bring them into the order of their groups."""

_Tags = dict[str, tuple[npt.NDArray[np.uint32], pa.LargeStringArray, npt.NDArray[np.bool_]]]
"""Of each tag among the outputs: the code of each series, the values, and which of them is the missing one."""


def plain_rows(scan: Scan, physical: Physical, group: Sequence[TagColumn] = ()) -> Iterator[Table]:
    """The rows of all series as one group (with the tags `group`), chunk by chunk; stops once the limit is reached."""
    top = physical.slice
    skip, left = top.offset, top.limit
    tags = _tag_values(scan.series, physical.outputs)
    continued = False
    for chunk in scan:
        order: npt.NDArray[np.intp] | slice = slice(None)
        if len(chunk.series) > 1:
            order = np.argsort(chunk.times, kind="stable")
            if top.descending:
                order = order[::-1]
        elif top.descending:
            order = np.arange(len(chunk))[::-1]
        times = chunk.times[order]
        rows = len(times)
        lo = min(skip, rows)
        hi = rows if left is None else min(rows, lo + left)
        skip -= lo
        if left is not None:
            left -= hi - lo
        if hi > lo:
            columns = _row_columns(chunk, scan, physical.outputs, tags, order, lo, hi)
            starts = np.array([0, hi - lo], dtype=np.int64)
            yield Table(physical.measurement, group, starts, times[lo:hi], columns, continued)
            continued = True
        if left == 0:
            return


def grouped_rows(store: Store, scan: Scan, step: RowsStep, physical: Physical, tracker: Tracker) -> Iterator[Table]:
    """The rows by group, groups sorted by their tags' values. `scan` is the one of `step`, not begun."""
    stats, request, top = scan.stats, step.request, physical.slice
    skip, left = top.series_offset, top.series_limit
    parts = [request]
    while parts and left != 0:
        part = parts.pop()
        if part is not request:
            scan = store.scan(part)
        groups = group_series(scan.series, physical.group_by)
        held = _hold_rows(scan, groups, physical, tracker)
        if scan.stats is not stats:
            _add_stats(stats, scan.stats)
        if held is not None:
            table, size = held
            sliced = slice_groups(table, replace(top, series_offset=skip, series_limit=left))
            skip -= min(skip, table.groups)
            left = None if left is None else left - sliced.groups
            # Their order by time is the scan's.
            yield slice_rows(sliced, replace(top, descending=False))
            tracker.release(size)
        elif groups.count > 1:
            parts += [
                replace(part, predicate=each) for each in _halves(request.predicate, physical.group_by, groups.tags)
            ]
        elif skip:
            skip -= 1
        else:
            whole = store.scan(part)
            yield from plain_rows(whole, physical, groups.tags)
            _add_stats(stats, whole.stats)
            left = None if left is None else left - 1


def _hold_rows(scan: Scan, of_series: Groups, physical: Physical, tracker: Tracker) -> tuple[Table, int] | None:
    """The scan's rows by group and the bytes held for them; None if they pass `PART_BYTES`.

    Only the rows that the limit can let through are kept while the scan goes on.
    """
    top = physical.slice
    words = _tag_values(scan.series, physical.outputs)
    wanted = None if top.limit is None else top.offset + top.limit
    seen = np.zeros(of_series.count, dtype=np.int64)
    kept: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], list[Column]]] = []
    size = 0
    for chunk in scan:
        of_rows = of_series.of(chunk.series).repeat(np.diff(chunk.starts))
        order = np.lexsort((-chunk.times if top.descending else chunk.times, of_rows))
        if wanted is not None:
            present, starts = runs_of(of_rows[order])
            counts = np.diff(starts)
            rank = np.arange(len(order)) - np.repeat(starts[:-1] - seen[present], counts)
            seen[present] += counts
            order = order[rank < wanted]
        if len(order):
            columns = _row_columns(chunk, scan, physical.outputs, words, order, 0, len(order))
            held = len(order) * 16 + sum(column.nbytes for column in columns)
            tracker.hold(held)
            size += held
            kept.append((of_rows[order], chunk.times[order], columns))
        if size > PART_BYTES:
            tracker.release(size)
            return None
        if wanted is not None and bool((seen >= wanted).all()):
            break
    if not kept:
        empty = np.zeros(0, dtype=np.int64)
        return Table(physical.measurement, [], np.zeros(1, dtype=np.int64), empty, []), size
    of_rows = np.concatenate([part[0] for part in kept])
    # Chunks come in time order and each is sorted, so a stable sort by group keeps the time order.
    order = np.argsort(of_rows, kind="stable")
    present, starts = runs_of(of_rows[order])
    times = np.concatenate([part[1] for part in kept])[order]
    columns = [concat_columns([part[2][i] for part in kept]).take(order) for i in range(len(physical.outputs))]
    groups = [TagColumn(tag.codes[present], tag.values) for tag in of_series.tags]
    return Table(physical.measurement, groups, starts, times, columns), size


def _halves(
    predicate: Predicate | None, keys: Sequence[str], tags: Sequence[TagColumn]
) -> tuple[Predicate | None, Predicate | None]:
    """`predicate` and that a series is in the second, or in the first half of the groups."""
    middle = len(tags[0].codes) // 2

    def within(start: int, stop: int) -> Predicate:
        values = [[tag.values[code] for code in tag.codes[start:stop].tolist()] for tag in tags]
        if len(keys) == 1:
            only: Predicate = TagIn(keys[0], tuple(values[0]))
        else:
            groups = zip(*values, strict=True)
            only = Or(tuple(And(tuple(map(_is, keys, group))) for group in groups))
        return only if predicate is None else And((predicate, only))

    return within(middle, len(tags[0].codes)), within(0, middle)


def _is(key: str, value: str) -> Predicate:
    return TagIn(key, (value,))


def _add_stats(total: ScanStats, more: ScanStats) -> None:
    for each in fields(ScanStats):
        if each.name != "warnings":
            setattr(total, each.name, getattr(total, each.name) + getattr(more, each.name))
    total.warnings += [text for text in more.warnings if text not in total.warnings]


def _row_columns(
    chunk: SeriesRows,
    scan: Scan,
    outputs: Sequence[Output],
    tags: _Tags,
    order: npt.NDArray[np.intp] | slice,
    lo: int,
    hi: int,
) -> list[Column]:
    """The rows ``lo:hi`` of a chunk in `order`, as the outputs."""
    series = chunk.row_series()[order][lo:hi] if tags else None
    columns = []
    for output in outputs:
        if output.field is not None:
            column = field_column(chunk, output.field, scan, output.type)
            columns.append(column.slice(lo, hi) if isinstance(order, slice) else column.take(order[lo:hi]))
        elif output.tag is not None:
            codes, words, missing = tags[output.tag]
            rows = codes[series]
            absent = missing[rows]
            columns.append(Column(FieldType.STRING, words.take(pa.array(rows)), ~absent if absent.any() else None))
        else:
            columns.append(empty_column(output.type, hi - lo))
    return columns


def _tag_values(series: SeriesSet, outputs: Sequence[Output]) -> _Tags:
    found: _Tags = {}
    for output in outputs:
        if output.tag is not None:
            tag = series.tag(output.tag)
            words = pa.array(tag.values, type=pa.large_string())
            found[output.tag] = tag.codes, words, np.array([value == "" for value in tag.values], dtype=np.bool_)
    return found
