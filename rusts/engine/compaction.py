"""Compaction: small segments of one partition become one. A pure plan, and a dull worker.

Only neighbours in stamp order are merged: a merged segment stands, in the order of writes, where its
parents stood, so that a later write still wins over an earlier one. What was deleted is left out.
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
from rusts.engine.purge import Deleted, Purge, find_dirty, finish_purges
from rusts.engine.segments import NEVER, Segment
from rusts.engine.sources import UNREADABLE, SegmentDamaged
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

__all__ = ["MIN_FILES", "compact_once", "plan", "rewrite"]

logger = get_logger("rusts.engine")

MIN_FILES: Final = 4
"""So many neighbours of like size are worth merging."""

MAX_BYTES: Final = 1 << 30
"""A segment of this size is not merged any more."""

QUIET_MS: Final = 3_600_000
"""A partition that was not written to for this long is merged into one segment."""

_SLICE_ROWS: Final = 1 << 18
_FOR_EVER: Final = Stamp((1 << 64) - 1, (1 << 16) - 1)


def plan(
    entries: Sequence[SegmentEntry],
    quiet_since: Stamp = NEVER,
    min_files: int = MIN_FILES,
    barred: Collection[int] = (),
    borders: Collection[Stamp] = (),
) -> list[SegmentEntry]:
    """The segments of one database and policy that should become one now; empty if none should.

    In each partition, from the newest segment back: an older neighbour joins while it is no larger than
    all the younger ones together. So sizes end up falling by powers, each byte is rewritten a
    logarithmic number of times, and few files stay. A partition that nobody wrote to after
    `quiet_since` becomes one segment, whatever the sizes. The ids `barred` (damaged ones) are left alone, and what
    was written before such a one is not merged with what was written after it: what is left of it could
    no longer be put between them. Nor is what was written before one of the stamps `borders` with what was
    written after it.
    """
    runs: dict[tuple[int, int], list[list[SegmentEntry]]] = {}
    for entry in sorted(entries, key=lambda e: e.min_stamp):
        partition = runs.setdefault((entry.start, entry.width), [[]])
        before = partition[-1][-1].max_stamp if partition[-1] else entry.min_stamp
        if any(before < border < entry.min_stamp for border in borders):
            partition.append([])
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
    """Merge one set of segments, with `everything` all of a partition; False if there is none. Raises OSError.

    If none is to be merged, one segment that holds what was deleted is written anew.
    """
    engine.readers.sweep()
    now_ms = engine.clock.now_ns() // 1_000_000
    quiet_since = _FOR_EVER if everything else Stamp((now_ms - QUIET_MS) << 20)
    for data in list(engine.policies_data.values()):
        with engine.write_lock:
            live = list(data.segments)
            borders = list(engine.pending_deletes)
        chosen = plan([s.entry for s in live], quiet_since, barred=engine.quarantined, borders=borders)
        if chosen and engine.catalog.owner(data.database, data.policy) is not None:
            ids = {e.id for e in chosen}
            rewrite(engine, data, [s for s in live if s.entry.id in ids])
            return True
    dirty = find_dirty(engine)
    if dirty is not None:
        rewrite(engine, dirty[0], [dirty[1]])
        return True
    finish_purges(engine)
    return False


def rewrite(engine: Engine, data: PolicyData, segments: list[Segment]) -> None:
    """Write neighbours of one partition as one segment, without what was deleted. Raises OSError."""
    try:
        _merge(engine, data, segments)
    except SegmentDamaged as damage:
        engine.quarantine(damage.entry, damage.error)
    except Corruption as error:
        damaged = [s.entry for s in segments if error.file.endswith(s.entry.file_name)]
        if not damaged:
            raise
        engine.quarantine(damaged[0], error)
    engine.readers.sweep()


def _merge(engine: Engine, data: PolicyData, segments: list[Segment]) -> None:
    owner = engine.catalog.owner(data.database, data.policy)
    if owner is None:
        return
    with engine.write_lock:
        purge = Purge.of(engine.catalog, *owner)
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
    merged = factory.write(
        partition, Tier.HOT, stamps, _sections(list(zip(entries, readers, strict=True)), measurements, purge), parents
    )
    added = [merged] if merged.rows else []
    if not engine.catalog.commit(checkpoint=None, added=added, removed=[e.id for e in entries]):
        # They, or their policy, were dropped meanwhile.
        factory.discard([merged])
        return
    if not added:
        factory.discard([merged])
    with engine.write_lock:
        gone = set(segments)
        if gone <= set(data.segments):
            at = data.segments.index(segments[0])
            rest = [s for s in data.segments[at:] if s not in gone]
            made = [Segment(entry, engine.readers, purge.stamp) for entry in added]
            data.segments = [*data.segments[:at], *made, *rest]
        else:
            # The policy was dropped after the commit, and what was committed with it.
            engine.readers.let_go.extend(added)
    for segment in segments:
        segment.replaced()
    logger.debug("merged", segments=len(entries), into=merged.file_name, rows=merged.rows, bytes=merged.bytes)
    engine.counters.compactions += 1
    engine.counters.compacted_bytes += merged.bytes


def _sections(
    opened: list[tuple[SegmentEntry, SegmentReader]], measurements: dict[int, Measurement], purge: Purge
) -> Iterator[SectionInput]:
    present = sorted({m for _, reader in opened for m in reader.sections} & set(measurements))
    for number in present:
        measurement = measurements[number]
        deleted = purge.of_measurement(measurement)
        sections = [
            (reader.sections[number], entry.max_stamp)
            for entry, reader in opened
            # What is deleted as a whole is not even read: damage in it does no harm.
            if number in reader.sections and not deleted.covers(entry, reader.sections[number])
        ]
        if not sections:
            continue
        used = {field for section, _ in sections for field in section.fields}
        fields = section_fields(measurement, used)
        types = {field: type for field, _, type in fields}
        yield SectionInput(
            measurement=number,
            name=measurement.name,
            fields=fields,
            chunks=_merged(sections, types, deleted),
            keys=measurement.index.keys,
        )


def _merged(
    sections: list[tuple[Section, Stamp]], types: dict[int, FieldType], deleted: Deleted
) -> Iterator[SeriesRows]:
    """The points of `sections` (oldest first, each with its largest stamp), some series at a time."""
    for series in _slices([section for section, _ in sections]):
        parts = [
            living
            for section, stamp in sections
            if (rows := _rows_of(section, series[0], series[-1], types)) is not None
            and (living := deleted.purged(rows, stamp)) is not None
        ]
        if not parts:
            continue
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
