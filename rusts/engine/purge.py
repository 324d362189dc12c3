"""Purging: which segments still hold what was deleted, what a rewrite leaves out, and when a tombstone may go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from rusts.catalog.catalog import Catalog
from rusts.catalog.schema import Database, Measurement, Policy, SegmentEntry
from rusts.catalog.tombstones import Tombstone
from rusts.engine.merge import Points
from rusts.engine.segments import NEVER, Segment
from rusts.engine.sources import UNREADABLE, Meter, Pieces, RowsSource, SectionSource, SegmentDamaged, Source
from rusts.engine.tombstones import cut_out, later_than
from rusts.index.postings import numbers_of
from rusts.model.batch import SeriesRows
from rusts.model.store import ScanStats
from rusts.model.types import Stamp
from rusts.segment.reader import Section
from rusts.wal.record import file_number

if TYPE_CHECKING:
    from rusts.engine.engine import Engine
    from rusts.engine.policydata import PolicyData

__all__ = ["Deleted", "Purge", "find_dirty", "finish_purges"]


@dataclass(frozen=True, slots=True)
class Deleted:
    """What was deleted of one measurement in one policy: tombstones, and the ascending numbers of dropped series."""

    tombstones: tuple[Tombstone, ...]
    dropped: npt.NDArray[np.uint32]

    def left(self, source: Source, stamp: Stamp) -> Pieces:
        """What is left of a source whose largest stamp is `stamp`; positions are runs."""
        runs = np.arange(len(source.series), dtype=np.int64)
        if len(self.dropped):
            runs = runs[~np.isin(source.series, self.dropped, assume_unique=True)]
        pieces = Pieces(source, runs, runs, source.low[runs], source.high[runs])
        return cut_out(pieces, later_than(self.tombstones, stamp))

    def covers(self, entry: SegmentEntry, section: Section) -> bool:
        """Whether nothing is left of a segment's section. Raises SegmentDamaged."""
        return len(self.left(_section_source(entry, section), entry.max_stamp)) == 0

    def purged(self, rows: SeriesRows, stamp: Stamp) -> SeriesRows | None:
        """What is left of `rows`; None for nothing."""
        source = RowsSource(rows)
        pieces = self.left(source, stamp)
        if len(pieces) == len(rows.series) and bool(pieces.whole().all()):
            return rows
        points = Points.of([pieces])
        if not len(points):
            return None
        found = {field: points.column(field, column.type) for field, column in rows.columns.items()}
        kept = points.series_rows({field: column for field, column in found.items() if column is not None})
        return SeriesRows(rows.series[kept.series], kept.starts, kept.times, kept.columns)

    def hides(self, source: Source, stamp: Stamp) -> bool:
        """Whether the source has a row that is to be purged; decodes times only where a tombstone ends inside a run."""
        pieces = self.left(source, stamp)
        if len(np.unique(pieces.runs)) < len(source.series):
            return True
        cut = pieces.take(~pieces.whole())
        touched = np.unique(cut.runs)
        rows = int((source.starts[touched + 1] - source.starts[touched]).sum())
        return rows > sum(int((slices.ends - slices.begins).sum()) for slices in cut.batches())


@dataclass(frozen=True, slots=True)
class Purge:
    """What was deleted in a database up to `stamp`, for a policy of it."""

    catalog: Catalog
    policy: int
    stamp: Stamp
    tombstones: dict[int, tuple[Tombstone, ...]]

    @staticmethod
    def of(catalog: Catalog, database: Database, policy: Policy) -> Purge:
        """As it is now. Under the write lock."""
        held = {t.measurement for t in catalog.deletes.in_database(database.id)}
        stamp = catalog.deletes.purges.get(database.id, NEVER)
        return Purge(catalog, policy.id, stamp, {m: catalog.deletes.of(m, policy.id) for m in held})

    def of_measurement(self, measurement: Measurement) -> Deleted:
        """What was deleted of the measurement; series that are dropped later may count too."""
        return Deleted(self.tombstones.get(measurement.id, ()), numbers_of(measurement.index.dropped()))


def _section_source(entry: SegmentEntry, section: Section) -> SectionSource:
    """The section as a source that nobody counts. Raises SegmentDamaged."""
    return SectionSource(entry, section, Meter(ScanStats(), None))


def find_dirty(engine: Engine) -> tuple[PolicyData, Segment] | None:
    """A segment that holds something that was deleted; None if there is none. Raises OSError."""
    for number, stamp in list(engine.catalog.deletes.purges.items()):
        for data in list(engine.policies_data.values()):
            owner = engine.catalog.owner(data.database, data.policy)
            if data.database != number or owner is None:
                continue
            with engine.write_lock:
                purge = Purge.of(engine.catalog, *owner)
                segments = [s for s in data.segments if s.entry.max_stamp < stamp and s.clean < stamp]
            for segment in segments:
                if segment.entry.id in engine.quarantined:
                    continue
                try:
                    if _is_dirty(segment, purge):
                        return data, segment
                except UNREADABLE as error:
                    engine.quarantine(segment.entry, error)
                except SegmentDamaged as damage:
                    engine.quarantine(segment.entry, damage.error)
                else:
                    segment.clean = purge.stamp
    return None


def _is_dirty(segment: Segment, purge: Purge) -> bool:
    for number, section in segment.reader().sections.items():
        measurement = purge.catalog.measurement(number)
        if measurement is None:
            if purge.catalog.was_dropped(number):
                return True
            continue
        source = _section_source(segment.entry, section)
        if purge.of_measurement(measurement).hides(source, segment.entry.max_stamp):
            return True
    return False


def finish_purges(engine: Engine) -> None:
    """Let go of tombstones that nothing needs any more. Raises OSError.

    Something needs one as long as a segment may hold what it hides, or a memtable, or a file of the log.
    """
    deletes = engine.catalog.deletes
    for database, last in list(deletes.purges.items()):
        with engine.write_lock:
            datas = [data for data in engine.policies_data.values() if data.database == database]
            unclean = [s.entry.max_stamp for d in datas for s in d.segments if s.clean < last]
            unclean += [m.min_stamp for d in datas for m in d.memtables() if m.min_stamp is not None]
            oldest = min(unclean, default=None)
            tombstones = deletes.in_database(database)
            # What an earlier life of the server deleted is older than all that this one logs.
            before = engine.log.first.file - 1
            marks = {stamp: engine.log_marks.get(stamp, before) for stamp in (last, *(t.stamp for t in tombstones))}
        files = [n for name in engine.files.list_dir(f"{engine.directory}/wal") if (n := file_number(name)) is not None]
        first = min(files, default=None)
        done = {s for s, mark in marks.items() if (oldest is None or s < oldest) and (first is None or mark < first)}
        gone = [t.id for t in tombstones if t.stamp in done]
        if gone or last in done:
            engine.catalog.finish_purge(database, last if last in done else NEVER, gone)
            with engine.write_lock:
                for stamp in done:
                    engine.log_marks.pop(stamp, None)
