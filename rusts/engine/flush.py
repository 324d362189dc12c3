"""Flush: a sealed memtable becomes segments, one per partition that it touches."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rusts.catalog.catalog import Catalog, SegmentEntry
from rusts.catalog.schema import Database, Measurement, Policy
from rusts.engine.partition import Partition, choose_width, cut, partition_of
from rusts.engine.segments import segment_path
from rusts.files import Files
from rusts.memtable.memtable import Memtable
from rusts.memtable.table import TableView
from rusts.model.batch import SeriesRows
from rusts.model.time import MAX_TIME, MIN_TIME
from rusts.model.types import FieldType, Stamp
from rusts.model.upsert import runs_of
from rusts.segment.encoding import HOT
from rusts.segment.layout import SectionInput, SegmentHeader, Tier
from rusts.segment.writer import write_segment

__all__ = ["SegmentFactory", "flush_memtable", "section_fields"]


@dataclass(frozen=True, slots=True)
class SegmentFactory:
    """Writes segments of one database and policy and describes them for the catalog."""

    files: Files
    directory: str
    catalog: Catalog
    database: Database
    policy: Policy

    def write(
        self,
        partition: Partition,
        tier: Tier,
        stamps: tuple[Stamp, Stamp],
        sections: Iterator[SectionInput],
        parents: tuple[int, ...] = (),
    ) -> SegmentEntry:
        """One durable segment, not yet listed by the catalog. Raises OSError."""
        number = self.catalog.next_segment_id()
        header = SegmentHeader(
            segment=number,
            database=self.database.id,
            database_name=self.database.name,
            policy=self.policy.id,
            policy_name=self.policy.name,
            tier=tier,
            start=partition.start,
            width=partition.width,
            parents=parents,
            min_stamp=stamps[0],
            max_stamp=stamps[1],
        )
        name = f"{number:016x}.seg"
        path = segment_path(self.directory, name)
        try:
            summary = write_segment(self.files, path, header, sections, HOT)
        except OSError:
            self._remove(path)
            raise
        return SegmentEntry(
            id=number,
            file_name=name,
            database=self.database.id,
            policy=self.policy.id,
            min_time=summary.min_time,
            max_time=summary.max_time,
            min_stamp=stamps[0],
            max_stamp=stamps[1],
            rows=summary.rows,
            bytes=summary.bytes,
            tier=tier,
            start=partition.start,
            width=partition.width,
            parents=parents,
        )

    def discard(self, entries: list[SegmentEntry]) -> None:
        """Remove segments that were never listed."""
        for entry in entries:
            self._remove(segment_path(self.directory, entry.file_name))

    def _remove(self, path: str) -> None:
        # Where it cannot be removed either, the next start finds it unlisted.
        with contextlib.suppress(OSError):
            self.files.remove(path)


def section_fields(measurement: Measurement, used: set[int]) -> list[tuple[int, str, FieldType]]:
    """The fields of `measurement` whose ids are `used`, as a segment names them."""
    return [(f.id, f.name, f.type) for f in measurement.fields.values() if f.id in used]


def flush_memtable(factory: SegmentFactory, memtable: Memtable) -> list[SegmentEntry]:
    """Write the memtable's points as durable segments, one per partition. Raises OSError.

    The width is the narrowest whose slice would be worth a file at the density of the whole memtable
    (see `partition.choose_width`).
    """
    assert memtable.min_stamp is not None
    assert memtable.max_stamp is not None
    known = {m.id: m for m in factory.database.measurements.values()}
    views = [
        (known[number], table.view())
        for number, table in sorted(memtable.tables.items())
        if number in known  # else the measurement was dropped after the write
    ]
    if not views:
        return []
    width = choose_width(memtable.points, min(v.min_time for _, v in views), max(v.max_time for _, v in views))
    whole, cuts = _assign(views, width)
    entries: list[SegmentEntry] = []
    for partition in sorted(cuts):
        sections = (_section(*views[i], whole[i], rows) for i, rows in cuts[partition])
        stamps = memtable.min_stamp, memtable.max_stamp
        try:
            entries.append(factory.write(partition, Tier.HOT, stamps, sections))
        except BaseException:
            factory.discard(entries)
            raise
    return entries


_Cuts = dict[Partition, list[tuple[int, npt.NDArray[np.intp] | None]]]


def _assign(views: list[tuple[Measurement, TableView]], width: int) -> tuple[list[SeriesRows | None], _Cuts]:
    """Which rows of which view go to which partition.

    A view that lies in one partition is sorted only when its section is written (None in the first
    list), so that one measurement at a time is copied; one that is cut is sorted once, before.
    """
    whole: list[SeriesRows | None] = []
    cuts: _Cuts = {}
    for i, (_, view) in enumerate(views):
        if view.min_time // width == view.max_time // width:
            whole.append(None)
            cuts.setdefault(partition_of(view.min_time, width), []).append((i, None))
            continue
        rows = _sorted(view)
        whole.append(rows)
        for partition, positions in cut(rows.times, width):
            cuts.setdefault(partition, []).append((i, positions))
    return whole, cuts


def _sorted(view: TableView) -> SeriesRows:
    return view.select(None, MIN_TIME, MAX_TIME + 1, list(view.fields))


def _section(
    measurement: Measurement, view: TableView, whole: SeriesRows | None, rows: npt.NDArray[np.intp] | None
) -> SectionInput:
    return SectionInput(
        measurement=measurement.id,
        name=measurement.name,
        fields=section_fields(measurement, set(view.fields)),
        chunks=_chunks(view, whole, rows),
        keys=measurement.index.keys,
    )


def _chunks(view: TableView, whole: SeriesRows | None, rows: npt.NDArray[np.intp] | None) -> Iterator[SeriesRows]:
    if whole is None:
        yield _sorted(view)
    elif rows is None:
        yield whole
    else:
        series, starts = runs_of(whole.row_series()[rows])
        columns = {field: column.take(rows) for field, column in whole.columns.items()}
        yield SeriesRows(series, starts, whole.times[rows], columns)
