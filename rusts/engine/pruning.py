"""From a view and a request to the parts of runs that a read has to look at.

Pruned in this order, each step without what the next one would have to open or decode: segments by
their time range in the catalog; sections by measurement, by field and by time; runs by series and time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from rusts.catalog.schema import FieldMeta
from rusts.engine.rowfilter import RowFilter, split_predicate
from rusts.engine.sources import UNREADABLE, Meter, Pieces, SectionSource, SegmentDamaged, select
from rusts.engine.tablepart import TablePart
from rusts.engine.tombstones import cut_out, later_than
from rusts.engine.view import Matched, PinnedSegment, ReadView
from rusts.index.series import SeriesIndex
from rusts.model.predicate import And, Or, Predicate, TagIn
from rusts.model.store import ScanStats, TimeRange
from rusts.model.time import MAX_TIME, MIN_TIME
from rusts.segment.reader import Section

__all__ = ["Reading", "begin", "without"]

_FEW_SERIES: Final = 8
_LARGE_DIRECTORY: Final = 1 << 12
"""Sections of so many series have their bloom filter asked about so few."""


@dataclass(slots=True)
class Reading:
    """One read, made ready: which series, which fields, which rows of which sources.

    `fields` are the wanted fields that exist, in the order asked for; `low` and `high` the first and
    last ns; `parts` what is wanted of each source, in the order of the view. `of_series` is what of the predicate
    chose the series.
    """

    view: ReadView
    matched: Matched
    of_series: Predicate | None
    fields: list[FieldMeta]
    row_filter: RowFilter | None
    low: int
    high: int
    stats: ScanStats
    parts: list[Pieces | TablePart]

    def drop(self, damage: SegmentDamaged) -> None:
        """Go on without a segment that turned out to be damaged; the answer says so."""
        _give_up(self.view, self.stats, damage)
        self.parts = without(self.parts, damage)


def without(parts: list[Pieces | TablePart], damage: SegmentDamaged) -> list[Pieces | TablePart]:
    """`parts` but for those of the damaged segment."""
    return [
        part
        for part in parts
        if isinstance(part, TablePart)
        or not isinstance(part.source, SectionSource)
        or part.source.entry is not damage.entry
    ]


def begin(
    view: ReadView,
    range: TimeRange,
    predicate: Predicate | None,
    fields: Iterable[str],
    check: Callable[[int], None] | None,
) -> Reading:
    """Find what a read of `fields` in `range` under `predicate` has to look at.

    Raises InvalidRequest on a bad pattern, OSError if a segment's file cannot be read, and what `check` raises.
    """
    measurement = view.measurement
    of_series, of_rows = split_predicate(predicate)
    matched = match_series(measurement.index, of_series)
    row_filter = None if of_rows is None else RowFilter(of_rows, measurement, matched)
    stats = ScanStats(series=len(matched))
    known = [measurement.fields[name] for name in fields if name in measurement.fields]
    low, high = max(range.start, MIN_TIME), min(range.end - 1, MAX_TIME)
    for entry, reason in view.quarantined:
        if entry.min_time <= high and entry.max_time >= low:
            stats.warnings.append(f"segment {entry.file_name} is quarantined: {reason}")
    reading = Reading(view, matched, of_series, known, row_filter, low, high, stats, [])
    if low <= high and known and len(matched):
        needed = {field.id for field in known} | (set() if row_filter is None else row_filter.fields)
        _from_segments(reading, needed, Meter(stats, check))
        _from_memtables(reading, needed)
    return reading


def match_series(index: SeriesIndex, predicate: Predicate | None) -> Matched:
    """The live series of `index` that `predicate`, over tags alone, holds for. Raises InvalidRequest."""
    total = len(index)
    if predicate is not None:
        found = index.match(predicate)
    elif index.count() == total == len(index):
        return Matched(index, None, total)
    else:
        found = index.live()
    numbers = np.frombuffer(found.to_array(), dtype=np.uint32)
    # A series that came after `total` was read has no rows in the view.
    return Matched(index, numbers[: np.searchsorted(numbers, total)], total)


def _from_segments(reading: Reading, needed: set[int], meter: Meter) -> None:
    stats = reading.stats
    for segment in reading.view.segments:
        entry = segment.entry
        pieces = None
        if entry.min_time <= reading.high and entry.max_time >= reading.low:
            try:
                pieces = _from_segment(reading, segment, needed, meter)
            except SegmentDamaged as damage:
                _give_up(reading.view, stats, damage)
        if pieces is None:
            stats.segments_pruned += 1
        else:
            stats.segments += 1
            reading.parts.append(pieces)


def _from_segment(reading: Reading, segment: PinnedSegment, needed: set[int], meter: Meter) -> Pieces | None:
    try:
        section = segment.reader().sections.get(reading.view.measurement.id)
        if section is None or needed.isdisjoint(section.fields) or not _may_have(section, reading):
            return None
    except UNREADABLE as error:
        raise SegmentDamaged(segment.entry, error) from error
    pieces = select(SectionSource(segment.entry, section, meter), reading.matched, reading.low, reading.high)
    pieces = cut_out(pieces, later_than(reading.view.tombstones, segment.entry.max_stamp))
    return pieces if len(pieces) else None


def _may_have(section: Section, reading: Reading) -> bool:
    """False if the bloom filter tells that a large section has none of the series: its directory stays unread."""
    matched = reading.matched
    if section.series_count < _LARGE_DIRECTORY:
        return True
    if len(matched) <= _FEW_SERIES:
        return any(section.might_have_series(matched.key(i)) for i in range(len(matched)))
    return _may_hold(section, reading.of_series)


def _may_hold(section: Section, predicate: Predicate | None) -> bool:
    """False if the bloom filter tells that no series of the section has the tags that `predicate` wants."""
    match predicate:
        case TagIn(key, values, False) if "" not in values and len(values) <= _FEW_SERIES:
            return any(section.might_have_tag(key, value) for value in values)
        case And(parts):
            return all(_may_hold(section, part) for part in parts)
        case Or(parts):
            return any(_may_hold(section, part) for part in parts)
        case _:
            return True


def _from_memtables(reading: Reading, needed: set[int]) -> None:
    for table in reading.view.memtables:
        in_time = table.min_time <= reading.high and table.max_time >= reading.low
        if in_time and not needed.isdisjoint(table.fields):
            wanted = reading.matched, needed, reading.low, reading.high
            reading.parts.append(TablePart(table, *wanted, reading.view.tombstones))


def _give_up(view: ReadView, stats: ScanStats, damage: SegmentDamaged) -> None:
    stats.warnings.append(f"segment {damage.entry.file_name} was skipped: {damage.error}")
    view.on_corruption(damage.entry, damage.error)
