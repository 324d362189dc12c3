"""Reading sources: chunks of points, whether they come from a store or from a subquery, and all of them by group.

A chunk has the columns that were asked for, the tags as codes, and the group of each row. `gather` holds all rows
of a source, sorted by group, accounted for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from functools import reduce
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rusts.model.batch import Column, concat_columns, empty_column
from rusts.model.groups import group_series
from rusts.model.series import TagColumn
from rusts.model.store import FoldRequest, FoldResult, Scan, ScanRequest, ScanStats, Store
from rusts.model.types import FieldType
from rusts.query.evaluate import cast, truth
from rusts.query.expression import Expression, Ref, RefKind, references
from rusts.query.foldcache import FoldCache
from rusts.query.limits import Tracker
from rusts.query.steps import NestedPart, PointsPart, SliceStep, SourceStep
from rusts.query.table import Table

__all__ = ["Chunk", "Context", "Gathered", "gather", "merge_tags", "scan_of", "tag_strings", "wanted_rows"]

Longs = npt.NDArray[np.int64]
_Keys = tuple[str, ...]

_FIGURES: Final = tuple(each.name for each in fields(ScanStats))


@dataclass(slots=True)
class Context:
    """What a running query has at hand. `run` gives the tables of a subquery; `folds` keeps folds for later.

    `spent`: the seconds that each step took, those below it included, by its ``id``; None = nobody asks. `backwards`:
    as in InfluxQL, a slice that descends meets the latest row first, which decides between equal ones.
    """

    store: Store
    tracker: Tracker
    run: Callable[[SliceStep, Context], Iterator[Table]]
    folds: FoldCache | None = None
    spent: dict[int, float] | None = None
    backwards: bool = False
    scans: list[ScanStats] = field(default_factory=list)

    def fold(self, request: FoldRequest) -> FoldResult:
        """A fold of the store or a kept one, whose figures count for the query. It must not be changed."""
        result = self.store.fold(request) if self.folds is None else self.folds.fold(self.store, request)
        self.scans.append(result.stats)
        return result

    def scan(self, request: ScanRequest) -> Scan:
        """A scan of the store, whose figures count for the query."""
        scan = self.store.scan(request)
        self.scans.append(scan.stats)
        return scan

    def total(self, stats: ScanStats) -> None:
        """Set `stats` to the figures of all scans and folds together."""
        if self.scans:
            whole = reduce(ScanStats.plus, self.scans)
            for name in _FIGURES:
                setattr(stats, name, getattr(whole, name))


@dataclass(slots=True)
class Chunk:
    """Rows: `groups` int64[rows] the group of each, `times` ns, `columns` by field, `tags` by key, a code a row."""

    groups: Longs
    times: Longs
    columns: dict[str, Column]
    tags: dict[str, TagColumn]

    def take(self, rows: npt.NDArray[np.bool_]) -> Chunk:
        """The rows for which bool[rows] `rows` holds."""
        return Chunk(
            self.groups[rows],
            self.times[rows],
            {name: column.take(rows) for name, column in self.columns.items()},
            {key: TagColumn(tag.codes[rows], tag.values) for key, tag in self.tags.items()},
        )

    def column(self, ref: Ref) -> Column:
        """What a resolved name means; a tag that is missing is the empty string."""
        return tag_strings(self.tags[ref.name]) if ref.kind is RefKind.TAG else self.columns[ref.name]

    @property
    def nbytes(self) -> int:
        """Bytes of memory that it takes."""
        return (
            16 * len(self.times) + sum(c.nbytes for c in self.columns.values()) + 4 * len(self.times) * len(self.tags)
        )


def tag_strings(tag: TagColumn, *, missing: bool = False) -> Column:
    """A tag's values as a column; with `missing`, the empty string is no value."""
    words = pa.array(tag.values, type=pa.large_string())
    valid = None
    if missing:
        valid = np.array([value != "" for value in tag.values], dtype=np.bool_)[tag.codes]
    return Column(FieldType.STRING, words.take(pa.array(tag.codes)), None if valid is None or valid.all() else valid)


def scan_of(part: PointsPart, names: Sequence[str], context: Context, descending: bool) -> ScanRequest:
    """The request for the fields `names` and those of the part's condition."""
    wanted = dict.fromkeys(names)
    if part.condition is not None:
        wanted |= dict.fromkeys(ref.name for ref in references(part.condition) if ref.kind is RefKind.FIELD)
    points = part.points
    return ScanRequest(
        points.database,
        points.policy,
        points.measurement,
        points.range,
        points.predicate,
        tuple(wanted),
        descending,
        context.tracker.check,
    )


def wanted_rows(chunk: Chunk, condition: Expression | None, names: Sequence[str], kept: Sequence[str]) -> Chunk:
    """The rows for which the condition holds and that have a value in one of the fields `names`; columns `kept`.

    Without `names` no value is needed.
    """
    if condition is not None:
        held = truth(condition, len(chunk.times), chunk.column)
        if not bool(held.all()):
            chunk = chunk.take(held)
    valued = _valued([chunk.columns[name] for name in names])
    if valued is not None:
        chunk = chunk.take(valued)
    chunk.columns = {name: chunk.columns[name] for name in kept}
    return chunk


def _valued(columns: Sequence[Column]) -> npt.NDArray[np.bool_] | None:
    """bool[rows]: which rows have a value in one of the columns; None = all."""
    valued: npt.NDArray[np.bool_] | None = None
    for column in columns:
        if column.validity is None:
            return None
        valued = column.validity if valued is None else valued | column.validity
    return None if valued is None or bool(valued.all()) else valued


def merge_tags(parts: Sequence[tuple[Sequence[TagColumn], int]]) -> tuple[list[TagColumn], list[Longs]]:
    """Groups that several reads number each by itself (their tags, and how many there are) as one set of groups.

    Returns the tags of all, sorted by their values, and for each part the place of each of its groups.
    """
    groups = _Groups(tuple("" for _ in parts[0][0]))
    numbers = [groups.numbers(tags, count) for tags, count in parts]
    keys, places = groups.sorted()
    return keys, [places[each] for each in numbers]


class _Groups:
    """Numbers for groups by their tags' values, as they turn up."""

    def __init__(self, keys: _Keys) -> None:
        self._keys = keys
        self._numbers: dict[tuple[str, ...], int] = {}

    def numbers(self, tags: Sequence[TagColumn], count: int) -> Longs:
        """int64[count]: the number of each group that has these tags."""
        if not self._keys:
            self._numbers.setdefault((), 0)
            return np.zeros(count, dtype=np.int64)
        values = [[tag.values[code] for code in tag.codes.tolist()] for tag in tags]
        known = self._numbers
        return np.array([known.setdefault(group, len(known)) for group in zip(*values, strict=True)], dtype=np.int64)

    def sorted(self) -> tuple[list[TagColumn], Longs]:
        """The tags of the groups sorted by their values, and the place of each number among them."""
        order = sorted(self._numbers)
        places = np.empty(len(order), dtype=np.int64)
        places[[self._numbers[group] for group in order]] = np.arange(len(order))
        columns: list[TagColumn] = []
        for values in zip(*order, strict=True) if order else ([] for _ in self._keys):
            words = {word: code for code, word in enumerate(dict.fromkeys(values))}
            columns.append(TagColumn(np.array([words[each] for each in values], dtype=np.uint32), list(words)))
        return columns, places


@dataclass(slots=True)
class Gathered:
    """All rows of a source, sorted by (group, time): `groups` int64[rows] are indexes into the columns of `keys`.

    `rows` has its columns and tags.
    """

    keys: list[TagColumn]
    rows: Chunk
    nested: bool

    def strings(self, key: str, at: Longs | None = None) -> Column:
        """A tag as a column, of the rows `at`. That a point lacks it is no value, of a subquery the empty string."""
        tag = self.rows.tags[key]
        return tag_strings(tag if at is None else TagColumn(tag.codes[at], tag.values), missing=not self.nested)

    def __len__(self) -> int:
        return len(self.rows.times)


def gather(
    source: SourceStep,
    group_by: _Keys,
    names: Sequence[str],
    tags: Sequence[str],
    context: Context,
    *,
    beside: Sequence[str] = (),
    every_row: bool = False,
    by_time: bool = True,
    turned: bool = False,
) -> Gathered | None:
    """Every row of the source that has one of the fields `names`, by group; None if there are none.

    Other fields wanted in each row are `beside`, `tags` the keys of tags. With `every_row` a row of a subquery
    needs no value. Rows of one group and time, and without `by_time` all of a group, are in the order in which they
    come; with `turned` in the reverse of it.
    """
    groups = _Groups(group_by)
    wanted = (*names, *beside)
    alone = len(source.parts) == 1
    chunks: list[Chunk] = []
    of_scan: list[TagColumn] | None = None
    for part in source.parts:
        if isinstance(part, PointsPart):
            scan = context.scan(scan_of(part, wanted, context, False))
            of_series = group_series(scan.series, group_by)
            numbers = None if alone else groups.numbers(of_series.tags, of_series.count)
            of_scan = of_series.tags if alone else None
            found = _scanned(scan, part, source, wanted, tags, of_series.of, numbers)
        else:
            found = _nested(part, source, group_by, wanted, tags, groups, context)
        for chunk in found:
            needed = () if every_row and isinstance(part, NestedPart) else names
            chunk = wanted_rows(chunk, part.condition, needed, wanted)
            if not len(chunk.times):
                continue
            # As much again is needed to sort them.
            context.tracker.hold(2 * chunk.nbytes)
            chunks.append(chunk)
        context.tracker.check()
    if not chunks:
        return None
    rows = _joined(chunks, wanted, tags)
    keys = of_scan
    if keys is None:
        keys, places = groups.sorted()
        rows.groups = places[rows.groups]
    if turned:
        rows = _ordered(rows, np.arange(len(rows.times))[::-1])
    order = np.lexsort((rows.times, rows.groups)) if by_time else np.argsort(rows.groups, kind="stable")
    return Gathered(keys, _ordered(rows, order), any(isinstance(part, NestedPart) for part in source.parts))


def _ordered(rows: Chunk, order: npt.NDArray[np.intp]) -> Chunk:
    if bool((order[1:] > order[:-1]).all()):
        return rows
    return Chunk(
        rows.groups[order],
        rows.times[order],
        {name: column.take(order) for name, column in rows.columns.items()},
        {key: TagColumn(tag.codes[order], tag.values) for key, tag in rows.tags.items()},
    )


def _joined(chunks: list[Chunk], names: Sequence[str], tags: Sequence[str]) -> Chunk:
    if len(chunks) == 1:
        return chunks[0]
    joined: dict[str, TagColumn] = {}
    for key in tags:
        values: list[str] = []
        codes: list[npt.NDArray[np.uint32]] = []
        before: Sequence[str] | None = None
        for chunk in chunks:
            tag = chunk.tags[key]
            if tag.values is not before:
                base = len(values)
                values += tag.values
                before = tag.values
            codes.append(tag.codes + np.uint32(base))
        joined[key] = TagColumn(np.concatenate(codes), values)
    return Chunk(
        np.concatenate([chunk.groups for chunk in chunks]),
        np.concatenate([chunk.times for chunk in chunks]),
        {name: concat_columns([chunk.columns[name] for chunk in chunks]) for name in names},
        joined,
    )


def _tag_refs(condition: Expression | None) -> list[str]:
    if condition is None:
        return []
    return [ref.name for ref in references(condition) if ref.kind is RefKind.TAG]


def _field_refs(condition: Expression | None) -> list[str]:
    if condition is None:
        return []
    return [ref.name for ref in references(condition) if ref.kind is RefKind.FIELD]


def _scanned(
    scan: Scan,
    part: PointsPart,
    source: SourceStep,
    names: Sequence[str],
    tags: Sequence[str],
    group_of: Callable[[npt.NDArray[np.uint32]], Longs],
    numbers: Longs | None,
) -> Iterator[Chunk]:
    keys = {key: scan.series.tag(key) for key in dict.fromkeys((*tags, *_tag_refs(part.condition)))}
    wanted = dict.fromkeys((*names, *_field_refs(part.condition)))
    for rows in scan:
        if not len(rows):
            continue
        counts = np.diff(rows.starts)
        groups = group_of(rows.series)
        if numbers is not None:
            groups = numbers[groups]
        columns: dict[str, Column] = {}
        for name in wanted:
            column = rows.columns.get(name)
            type = source.fields[name]
            columns[name] = empty_column(type, len(rows)) if column is None else cast(column, type)
        of_rows = {key: TagColumn(tag.codes[rows.series].repeat(counts), tag.values) for key, tag in keys.items()}
        yield Chunk(groups.repeat(counts), rows.times, columns, of_rows)


def _nested(
    part: NestedPart,
    source: SourceStep,
    group_by: _Keys,
    names: Sequence[str],
    tags: Sequence[str],
    groups: _Groups,
    context: Context,
) -> Iterator[Chunk]:
    inner = part.query
    labels = {output.label: number for number, output in enumerate(inner.outputs)}
    keys = {key: number for number, key in enumerate(inner.group_by)}
    wanted = dict.fromkeys((*names, *_field_refs(part.condition)))
    for table in context.run(inner, context):
        if table.measurement != source.measurement or not len(table):
            continue
        counts = np.diff(table.starts)
        nobody = TagColumn(np.zeros(table.groups, dtype=np.uint32), [""])
        numbers = groups.numbers([table.tags[keys[key]] if key in keys else nobody for key in group_by], table.groups)
        columns: dict[str, Column] = {}
        for name in wanted:
            type = source.fields[name]
            columns[name] = (
                cast(table.columns[labels[name]], type) if name in labels else empty_column(type, len(table))
            )
        of_rows: dict[str, TagColumn] = {}
        for key in dict.fromkeys((*tags, *_tag_refs(part.condition))):
            if key in keys:
                tag = table.tags[keys[key]]
                of_rows[key] = TagColumn(tag.codes.repeat(counts), tag.values)
            else:
                of_rows[key] = TagColumn(np.zeros(len(table), dtype=np.uint32), [""])
        yield Chunk(numbers.repeat(counts), table.times, columns, of_rows)
