"""Raw rows: as one stream, or by group.

A scan gives rows in time order; an answer by group has all rows of one group before those of the next. So the rows
of a scan are held until it ends, or, where they pass `PART_BYTES`, dropped again: the groups are cut
in two and each half scanned by itself. A group that is too large alone is streamed. Memory stays bounded, and
no row is read more often than the number of halvings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rusts.model.batch import Column, SeriesRows, concat_columns, empty_column
from rusts.model.groups import Groups, group_series
from rusts.model.predicate import And, Or, Predicate, TagIn
from rusts.model.series import SeriesSet, TagColumn
from rusts.model.store import Scan, ScanRequest, TimeRange
from rusts.model.types import FieldType
from rusts.model.upsert import runs_of
from rusts.query.evaluate import evaluate, truth
from rusts.query.expression import Ref, RefKind, references
from rusts.query.grouping import limit_order, slice_groups, slice_rows
from rusts.query.plan import Slice
from rusts.query.sources import Context, gather, scan_of
from rusts.query.steps import (
    ChooseStep,
    FoldStep,
    JoinStep,
    NestedPart,
    PointsPart,
    ReduceStep,
    RowsStep,
    UnaryStep,
)
from rusts.query.table import Table
from rusts.query.tables import evaluated

__all__ = ["PART_BYTES", "all_rows", "stream_rows"]

PART_BYTES = 64 << 20
"""How many bytes of rows are held at a time to bring them into the order of their groups."""

_NARROW_ROWS = 1 << 12
"""So many rows are read before a limit's last groups are looked for by themselves,"""
_NARROW_GROUPS = 1 << 8
"""if they are so few."""

_Tags = dict[str, tuple[npt.NDArray[np.uint32], pa.LargeStringArray, npt.NDArray[np.bool_]]]
"""Of each tag that is asked for: the code of each series, the values, and which of them is the missing one."""

_Order = npt.NDArray[np.intp]
_Numbers = Callable[[npt.NDArray[np.uint32]], npt.NDArray[np.int64]]
"""From numbers of series to numbers of their groups."""


def all_rows(step: RowsStep, context: Context, *, descending: bool) -> Table | None:
    """All rows by group in ascending order of time, held at once.

    InfluxDB merges the rows of a subquery by the begin of their bucket and then by group; so aggregates of whole
    groups come group after group, whatever their times, and groups do so even where the latest time is asked for first.
    """
    used = [ref for output in step.outputs if output.expression is not None for ref in references(output.expression)]
    tags = tuple(dict.fromkeys(ref.name for ref in used if ref.kind is RefKind.TAG))
    part = step.source.parts[0]
    below = _aggregates(part) if len(step.source.parts) == 1 and isinstance(part, NestedPart) else None
    gathered = gather(
        step.source,
        step.group_by,
        step.fields,
        tags,
        context,
        every_row=True,
        by_time=below is None or below.buckets is not None,
        turned=descending and below is not None,
    )
    if gathered is None:
        return None
    rows = gathered.rows

    def lookup(ref: Ref) -> Column:
        return rows.columns[ref.name] if ref.kind is RefKind.FIELD else gathered.strings(ref.name)

    columns = evaluated(step.outputs, len(gathered), lookup, context.tracker)
    present, starts = runs_of(rows.groups)
    keys = [TagColumn(tag.codes[present], tag.values) for tag in gathered.keys]
    return Table(step.source.measurement, keys, starts, rows.times, columns)


def _aggregates(part: NestedPart) -> FoldStep | ReduceStep | ChooseStep | None:
    """The aggregates of which the rows of a subquery are made; None if they are rows of points."""
    step = part.query.steps[0][1]
    while isinstance(step, UnaryStep | JoinStep):
        step = step.inputs[0] if isinstance(step, JoinStep) else step.input
    return step if isinstance(step, FoldStep | ReduceStep | ChooseStep) else None


def stream_rows(step: RowsStep, top: Slice, context: Context) -> Iterator[Table]:
    """The rows of one `PointsPart`, sliced: as the scan goes on without `group_by`, else group after group."""
    (part,) = step.source.parts
    assert isinstance(part, PointsPart)
    rows = _Rows(step, part, top, context)
    if not step.group_by:
        # There is one group: an offset beyond it leaves nothing.
        if top.series_limit != 0 and not top.series_offset:
            yield from rows.plain(rows.request)
        return
    tables = rows.grouped()
    yield from tables


class _Rows:
    """The rows of one read."""

    def __init__(self, step: RowsStep, part: PointsPart, top: Slice, context: Context) -> None:
        self._step = step
        self._part = part
        self._top = top
        self._context = context
        self.request = scan_of(part, step.fields, context, top.descending)

    def plain(self, request: ScanRequest, group: Sequence[TagColumn] = ()) -> Iterator[Table]:
        """The rows of all series as one group (of the tags `group`), chunk by chunk until the limit."""
        top, context = self._top, self._context
        scan = context.scan(request)
        skip, left = top.offset, top.limit
        tags = self._tag_values(scan.series)
        continued = False
        for chunk in scan:
            order: _Order | slice = slice(None)
            if len(chunk.series) > 1:
                order = np.argsort(chunk.times, kind="stable")
                if top.descending:
                    order = order[::-1]
            elif top.descending:
                order = np.arange(len(chunk))[::-1]
            order = self._kept(chunk, tags, order)
            times = chunk.times[order]
            rows = len(times)
            lo = min(skip, rows)
            hi = rows if left is None else min(rows, lo + left)
            skip -= lo
            if left is not None:
                left -= hi - lo
            # Of very many columns a few rows are much.
            most = max(1, PART_BYTES // (8 * max(1, len(self._step.outputs))))
            for begin in range(lo, hi, most):
                end = min(begin + most, hi)
                columns = self._columns(chunk, tags, order, begin, end)
                starts = np.array([0, end - begin], dtype=np.int64)
                yield Table(self._step.source.measurement, group, starts, times[begin:end], columns, continued)
                continued = True
            if left == 0:
                return

    def grouped(self) -> Iterator[Table]:
        """The rows by group, groups sorted by their tags' values.

        Where a limit counts them in another order, and there are too many rows to hold, in that order.
        """
        top, context = self._top, self._context
        skip, left = top.series_offset, top.series_limit
        group_by = self._step.group_by
        # With a limit on the series the first ones are the lowest, whatever their order in the answer.
        turned = top.groups_descending and not skip and left is None
        parts = [self.request]
        while parts and left != 0:
            part = parts.pop()
            scan = context.scan(part)
            groups = group_series(scan.series, group_by)
            held = self._hold(part, scan, groups)
            if held is not None:
                table, size = held
                sliced = slice_groups(table, replace(top, series_offset=skip, series_limit=left), group_by)
                skip -= min(skip, table.groups)
                left = None if left is None else left - sliced.groups
                # Their order by time is the scan's.
                yield slice_rows(sliced, replace(top, descending=False))
                context.tracker.release(size)
            elif groups.count > 1:
                order = limit_order(groups.tags, group_by) if top.keys_first else np.arange(groups.count)
                halves = _halves(part.predicate, group_by, groups.tags, order)
                parts += [replace(part, predicate=each) for each in (reversed(halves) if turned else halves)]
            elif skip:
                skip -= 1
            else:
                yield from self.plain(part, groups.tags)
                left = None if left is None else left - 1

    def _hold(self, request: ScanRequest, scan: Scan, of_series: Groups) -> tuple[Table, int] | None:
        """The scan's rows by group and the bytes held for them; None if they pass `PART_BYTES`.

        Only the rows that the limit can let through are kept while the scan goes on. Once most groups have all of
        theirs, the scan goes on for the others alone: one host that is long gone does not make it read everything.
        """
        top, step, tracker = self._top, self._step, self._context.tracker
        wanted = None if top.limit is None else top.offset + top.limit
        seen = np.zeros(of_series.count, dtype=np.int64)
        kept: list[_Kept] = []
        size = read = 0
        group_of: _Numbers = of_series.of
        tags = self._tag_values(scan.series)
        pending = iter(scan)
        while (chunk := next(pending, None)) is not None:
            of_rows = group_of(chunk.series).repeat(np.diff(chunk.starts))
            order = np.lexsort((-chunk.times if top.descending else chunk.times, of_rows))
            of_kept = self._kept(chunk, tags, order)
            assert not isinstance(of_kept, slice)
            order = of_kept
            if wanted is not None:
                present, starts = runs_of(of_rows[order])
                counts = np.diff(starts)
                rank = np.arange(len(order)) - np.repeat(starts[:-1] - seen[present], counts)
                seen[present] += counts
                order = order[rank < wanted]
            if len(order):
                if size + 8 * len(order) * len(step.outputs) > PART_BYTES:
                    tracker.release(size)
                    return None
                columns = self._columns(chunk, tags, order, 0, len(order))
                held = len(order) * 16 + sum(column.nbytes for column in columns)
                tracker.hold(held)
                size += held
                kept.append((of_rows[order], chunk.times[order], columns))
            if size > PART_BYTES:
                tracker.release(size)
                return None
            if wanted is None:
                continue
            open_groups = np.flatnonzero(seen < wanted)
            if not len(open_groups):
                break
            read += len(chunk)
            if read >= _NARROW_ROWS and len(open_groups) <= min(_NARROW_GROUPS, of_series.count // 2):
                edge = int(chunk.times.min() if top.descending else chunk.times.max())
                request = _narrowed(request, edge, top, step.group_by, of_series.tags, open_groups)
                # Rows of the edge's time may be in the next chunk too: they are read again.
                kept = [_without(part, edge, open_groups) for part in kept]
                seen[open_groups] = np.bincount(
                    np.concatenate([part[0] for part in kept]) if kept else [], minlength=len(seen)
                )[open_groups]
                scan = self._context.scan(request)
                found = group_series(scan.series, step.group_by)
                group_of = _Renumbered(found, _numbers_of(of_series.tags, open_groups))
                tags = self._tag_values(scan.series)
                pending = iter(scan)
                read = -(1 << 62)
        measurement = step.source.measurement
        if not kept:
            empty = np.zeros(0, dtype=np.int64)
            none = [TagColumn(tag.codes[:0], tag.values) for tag in of_series.tags]
            columns = [empty_column(output.type, 0) for output in step.outputs]
            return Table(measurement, none, np.zeros(1, dtype=np.int64), empty, columns), size
        of_rows = np.concatenate([part[0] for part in kept])
        # Chunks come in time order and each is sorted, so a stable sort by group keeps the time order.
        order = np.argsort(of_rows, kind="stable")
        present, starts = runs_of(of_rows[order])
        times = np.concatenate([part[1] for part in kept])[order]
        columns = [concat_columns([part[2][i] for part in kept]).take(order) for i in range(len(step.outputs))]
        groups = [TagColumn(tag.codes[present], tag.values) for tag in of_series.tags]
        return Table(measurement, groups, starts, times, columns), size

    def _kept(self, chunk: SeriesRows, tags: _Tags, order: _Order | slice) -> _Order | slice:
        """Of the rows in `order` those for which the condition holds, and that have a value."""
        condition = self._part.condition
        if condition is None:
            return order
        held = truth(condition, len(chunk), _Lookup(chunk, tags, self, missing=False))
        valued = np.zeros(len(chunk), dtype=np.bool_)
        for name in self._step.fields:
            column = chunk.columns.get(name)
            if column is not None:
                valued |= column.valid()
        held = held & valued
        if bool(held.all()):
            return order
        return np.flatnonzero(held) if isinstance(order, slice) else order[held[order]]

    def _columns(self, chunk: SeriesRows, tags: _Tags, order: _Order | slice, lo: int, hi: int) -> list[Column]:
        """The rows ``lo:hi`` of a chunk in `order`, as the outputs."""
        rows = slice(lo, hi) if isinstance(order, slice) else order[lo:hi]
        lookup = _Lookup(chunk, tags, self, rows)
        return [
            empty_column(output.type, hi - lo)
            if output.expression is None
            else evaluate(output.expression, hi - lo, lookup, output.type)
            for output in self._step.outputs
        ]

    def type_of_field(self, name: str) -> FieldType:
        """The type of a field of the source."""
        return self._step.source.fields[name]

    def _tag_values(self, series: SeriesSet) -> _Tags:
        expressions = [output.expression for output in self._step.outputs if output.expression is not None]
        if self._part.condition is not None:
            expressions.append(self._part.condition)
        found: _Tags = {}
        for ref in (ref for expression in expressions for ref in references(expression)):
            if ref.kind is RefKind.TAG and ref.name not in found:
                tag = series.tag(ref.name)
                words = pa.array(tag.values, type=pa.large_string())
                found[ref.name] = tag.codes, words, np.array([value == "" for value in tag.values], dtype=np.bool_)
        return found


class _Lookup:
    """The columns of some rows of a chunk, made when they are asked for."""

    def __init__(
        self, chunk: SeriesRows, tags: _Tags, rows: _Rows, at: _Order | slice | None = None, *, missing: bool = True
    ) -> None:
        self._chunk = chunk
        self._tags = tags
        self._rows = rows
        self._at = at
        self._missing = missing
        self._series: npt.NDArray[np.uint32] | None = None

    def __call__(self, ref: Ref) -> Column:
        chunk, at = self._chunk, self._at
        if ref.kind is RefKind.TAG:
            if self._series is None:
                series = chunk.row_series()
                self._series = series if at is None else series[at]
            codes, words, missing = self._tags[ref.name]
            rows = codes[self._series]
            absent = missing[rows] if self._missing else missing[:0]
            return Column(FieldType.STRING, words.take(pa.array(rows)), ~absent if absent.any() else None)
        column = chunk.columns.get(ref.name)
        if column is None:
            column = empty_column(self._rows.type_of_field(ref.name), len(chunk))
        if at is None:
            return column
        return column.slice(at.start, at.stop) if isinstance(at, slice) else column.take(at)


_Kept = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], list[Column]]
"""The groups, times and columns of some rows."""


def _without(rows: _Kept, time: int, groups: npt.NDArray[np.intp]) -> _Kept:
    """The rows but those of `groups` at `time`."""
    of_rows, times, columns = rows
    stays = (times != time) | ~np.isin(of_rows, groups)
    return rows if bool(stays.all()) else (of_rows[stays], times[stays], [column.take(stays) for column in columns])


def _numbers_of(tags: Sequence[TagColumn], groups: npt.NDArray[np.intp]) -> dict[tuple[str, ...], int]:
    """The numbers of `groups` by the values of their tags."""
    return {tuple(tag.values[tag.codes[group]] for tag in tags): group for group in groups.tolist()}


class _Renumbered:
    """The groups of a narrower read, by their numbers in the wider one."""

    def __init__(self, groups: Groups, numbers: dict[tuple[str, ...], int]) -> None:
        values = zip(*([tag.values[code] for code in tag.codes.tolist()] for tag in groups.tags), strict=True)
        self._groups = groups
        self._numbers = np.array([numbers[each] for each in values], dtype=np.int64)

    def __call__(self, series: npt.NDArray[np.uint32]) -> npt.NDArray[np.int64]:
        return self._numbers[self._groups.of(series)]


def _narrowed(
    request: ScanRequest,
    edge: int,
    top: Slice,
    keys: Sequence[str],
    tags: Sequence[TagColumn],
    groups: npt.NDArray[np.intp],
) -> ScanRequest:
    """The rest of a read, from the time `edge` on, of some groups."""
    range = request.range
    range = TimeRange(range.start, edge + 1) if top.descending else TimeRange(edge, range.end)
    return replace(request, range=range, predicate=_only(request.predicate, keys, tags, groups))


def _only(
    predicate: Predicate | None, keys: Sequence[str], tags: Sequence[TagColumn], groups: npt.NDArray[np.intp]
) -> Predicate:
    """`predicate` and that a series is in one of `groups`."""
    values = [[tag.values[code] for code in tag.codes[groups].tolist()] for tag in tags]
    if len(keys) == 1:
        only: Predicate = TagIn(keys[0], tuple(values[0]))
    else:
        only = Or(tuple(And(tuple(map(_is, keys, group))) for group in zip(*values, strict=True)))
    return only if predicate is None else And((predicate, only))


def _halves(
    predicate: Predicate | None, keys: Sequence[str], tags: Sequence[TagColumn], order: npt.NDArray[np.int64]
) -> tuple[Predicate, Predicate]:
    """`predicate` and that a series is in the second, or in the first half of the groups in `order`."""
    middle = len(order) // 2
    return _only(predicate, keys, tags, order[middle:]), _only(predicate, keys, tags, order[:middle])


def _is(key: str, value: str) -> Predicate:
    return TagIn(key, (value,))
