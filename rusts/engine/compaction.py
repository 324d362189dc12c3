"""Compaction: small segments of one partition become one. A pure plan, and a dull worker.

Only neighbours in stamp order are merged: a merged segment stands, in the order of writes, where its
parents stood, so that a later write still wins over an earlier one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from rusts.catalog.catalog import SegmentEntry
from rusts.catalog.schema import Measurement
from rusts.engine.flush import SegmentFactory, section_fields
from rusts.engine.partition import Partition
from rusts.engine.segments import Segment
from rusts.engine.sources import UNREADABLE
from rusts.errors import Corruption
from rusts.logging import get_logger
from rusts.model.batch import Column, SeriesRows, concat_columns, empty_column
from rusts.model.types import FieldType, Stamp
from rusts.model.upsert import merge_rows
from rusts.segment.layout import SectionInput, Tier
from rusts.segment.reader import Section, SegmentReader

if TYPE_CHECKING:
    from rusts.engine.engine import Engine
    from rusts.engine.policydata import PolicyData

__all__ = ["MIN_FILES", "compact_once", "plan"]

logger = get_logger("rusts.engine")

MIN_FILES: Final = 4
"""So many neighbours of like size are worth merging."""

MAX_BYTES: Final = 1 << 30
"""A segment of this size is not merged any more."""

QUIET_MS: Final = 3_600_000
"""A partition that was not written to for this long is merged into one segment."""

_SLICE_ROWS: Final = 1 << 18
_NEVER: Final = Stamp(0)
_FOR_EVER: Final = Stamp((1 << 64) - 1, (1 << 16) - 1)


def plan(
    entries: Sequence[SegmentEntry],
    quiet_since: Stamp = _NEVER,
    min_files: int = MIN_FILES,
    barred: Collection[int] = (),
) -> list[SegmentEntry]:
    """The segments of one database and policy that should become one now; empty if none should.

    In each partition, from the newest segment back: an older neighbour joins while it is no larger than
    all the younger ones together. So sizes end up falling by powers, each byte is rewritten a
    logarithmic number of times, and few files stay. A partition that nobody wrote to after
    `quiet_since` becomes one segment, whatever the sizes. The ids `barred` (damaged ones) are left alone, and what
    was written before such a one is not merged with what was written after it: what is left of it could
    no longer be put between them.
    """
    runs: dict[tuple[int, int], list[list[SegmentEntry]]] = {}
    for entry in sorted(entries, key=lambda e: e.min_stamp):
        partition = runs.setdefault((entry.start, entry.width), [[]])
        if entry.id in barred:
            partition.append([])
        else:
            partition[-1].append(entry)
    for members in (run for partition in runs.values() for run in partition):
        if len(members) < 2:
            continue
        quiet = members[-1].max_stamp < quiet_since
        chosen = _neighbours(members, alike=not quiet)
        if len(chosen) >= (2 if quiet else min_files) and not _interleaved(chosen, entries):
            return chosen
    return []


def _neighbours(members: list[SegmentEntry], alike: bool) -> list[SegmentEntry]:
    """The longest run of neighbours below the size limit; of like sizes, if `alike`."""
    best: list[SegmentEntry] = []
    for end in range(len(members), 1, -1):
        begin = end - 1
        total = members[begin].bytes
        while begin and total + members[begin - 1].bytes <= MAX_BYTES:
            if alike and members[begin - 1].bytes > total:
                break
            begin -= 1
            total += members[begin].bytes
        if end - begin > len(best):
            best = members[begin:end]
    return best if len(best) > 1 else []


def _interleaved(chosen: list[SegmentEntry], entries: Sequence[SegmentEntry]) -> bool:
    """Whether a segment outside, of another width, holds some of the same times and was written in between."""
    ids = {e.id for e in chosen}
    first, last = chosen[0].min_stamp, chosen[-1].max_stamp
    low, high = min(e.min_time for e in chosen), max(e.max_time for e in chosen)
    return any(
        e.id not in ids and e.min_time <= high and e.max_time >= low and first < e.max_stamp and e.min_stamp < last
        for e in entries
    )


def compact_once(engine: Engine, everything: bool = False) -> bool:
    """Merge one set of segments, with `everything` all of a partition; False if there is none. Raises OSError."""
    engine.readers.sweep()
    now_ms = engine.clock.now_ns() // 1_000_000
    quiet_since = _FOR_EVER if everything else Stamp((now_ms - QUIET_MS) << 20)
    for data in list(engine.policies_data.values()):
        with engine.write_lock:
            live = list(data.segments)
        chosen = plan([s.entry for s in live], quiet_since, barred=engine.quarantined)
        if chosen and engine.catalog.owner(data.database, data.policy) is not None:
            ids = {e.id for e in chosen}
            try:
                _merge(engine, data, [s for s in live if s.entry.id in ids])
            except Corruption as error:
                damaged = [e for e in chosen if error.file.endswith(e.file_name)]
                if not damaged:
                    raise
                engine.quarantine(damaged[0], error)
            engine.readers.sweep()
            return True
    return False


def _merge(engine: Engine, data: PolicyData, segments: list[Segment]) -> None:
    owner = engine.catalog.owner(data.database, data.policy)
    if owner is None:
        return
    entries = [s.entry for s in segments]
    factory = SegmentFactory(engine.files, engine.directory, engine.catalog, *owner)
    measurements = {m.id: m for m in owner[0].measurements.values()}
    stamps = min(e.min_stamp for e in entries), max(e.max_stamp for e in entries)
    partition = Partition(entries[0].start, entries[0].width)
    readers: list[SegmentReader] = []
    for entry in entries:
        try:
            readers.append(engine.readers.uncached(entry))
        except UNREADABLE as error:
            engine.quarantine(entry, error)
            return
    parents = tuple(e.id for e in entries)
    merged = factory.write(partition, Tier.HOT, stamps, _sections(readers, measurements), parents)
    engine.catalog.commit(checkpoint=None, added=[merged], removed=[e.id for e in entries])
    with engine.write_lock:
        at = data.segments.index(segments[0])
        gone = set(segments)
        rest = [s for s in data.segments[at:] if s not in gone]
        data.segments = [*data.segments[:at], Segment(merged, engine.readers), *rest]
    for segment in segments:
        segment.replaced()
    logger.debug("merged", segments=len(entries), into=merged.file_name, rows=merged.rows, bytes=merged.bytes)
    engine.counters.compactions += 1
    engine.counters.compacted_bytes += merged.bytes


def _sections(readers: list[SegmentReader], measurements: dict[int, Measurement]) -> Iterator[SectionInput]:
    present = sorted({m for r in readers for m in r.sections} & set(measurements))
    for number in present:
        measurement = measurements[number]
        sections = [r.sections[number] for r in readers if number in r.sections]
        used = {field for section in sections for field in section.fields}
        fields = section_fields(measurement, used)
        types = {field: type for field, _, type in fields}
        yield SectionInput(
            measurement=number,
            name=measurement.name,
            fields=fields,
            chunks=_merged(sections, types),
            keys=measurement.index.keys,
        )


def _merged(sections: list[Section], types: dict[int, FieldType]) -> Iterator[SeriesRows]:
    """The points of `sections` (oldest first), some series at a time so that memory stays bounded."""
    for series in _slices(sections):
        parts = [rows for s in sections if (rows := _rows_of(s, series[0], series[-1], types)) is not None]
        if len(parts) == 1:
            yield parts[0]
            continue
        yield merge_rows(
            np.concatenate([p.row_series() for p in parts]),
            np.concatenate([p.times for p in parts]),
            {field: concat_columns([p.columns[field] for p in parts]) for field in types},
        )


def _slices(sections: list[Section]) -> Iterator[npt.NDArray[np.uint32]]:
    """All series of `sections`, ascending, in slices of about `_SLICE_ROWS` rows (at least one series)."""
    numbers = np.concatenate([s.series for s in sections])
    rows = np.concatenate([np.diff(s.starts) for s in sections])
    series, inverse = np.unique(numbers, return_inverse=True)
    totals = np.cumsum(np.bincount(inverse, weights=rows))
    begin = 0
    while begin < len(series):
        done = totals[begin - 1] if begin else 0
        end = max(begin + 1, int(np.searchsorted(totals, done + _SLICE_ROWS, side="right")))
        yield series[begin:end]
        begin = end


def _rows_of(section: Section, first: int, last: int, types: dict[int, FieldType]) -> SeriesRows | None:
    """The section's rows of the series from `first` to `last`, None if there are none."""
    begin, end = np.searchsorted(section.series, [first, last + 1])
    if begin == end:
        return None
    starts = section.starts[begin : end + 1]
    low, high = int(starts[0]), int(starts[-1])
    size = section.batch_rows
    batches = [(b, max(low - b * size, 0), min(high - b * size, size)) for b in range(low // size, -(-high // size))]
    columns: dict[int, Column] = {}
    for field, type in types.items():
        pieces: list[Column] = []
        for b, i, j in batches:
            column = section.column(field, b) if field in section.fields else None
            pieces.append(empty_column(type, j - i) if column is None else column.slice(i, j))
        columns[field] = concat_columns(pieces)
    times = np.concatenate([section.times(b)[i:j] for b, i, j in batches])
    return SeriesRows(section.series[begin:end], starts - low, times, columns)
