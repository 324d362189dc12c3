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
from rusts.memtable.table import OrderedPoints, TableView
from rusts.model.types import FieldType, Stamp
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
    entries: list[SegmentEntry] = []
    for partition, cuts in sorted(_assign(views, width).items()):
        sections = (_section(measurement, view, points) for measurement, view, points in cuts)
        stamps = memtable.min_stamp, memtable.max_stamp
        try:
            entries.append(factory.write(partition, Tier.HOT, stamps, sections))
        except BaseException:
            factory.discard(entries)
            raise
    return entries


_Cut = tuple[Measurement, TableView, tuple[OrderedPoints, npt.NDArray[np.intp]] | None]


def _assign(views: list[tuple[Measurement, TableView]], width: int) -> dict[Partition, list[_Cut]]:
    """Which points of which view go to which partition; None = all of them.

    A view that lies in one partition is put in order only when its section is written.
    """
    cuts: dict[Partition, list[_Cut]] = {}
    for measurement, view in views:
        if view.min_time // width == view.max_time // width:
            cuts.setdefault(partition_of(view.min_time, width), []).append((measurement, view, None))
            continue
        ordered = view.ordered()
        for partition, points in cut(ordered.times, width):
            cuts.setdefault(partition, []).append((measurement, view, (ordered, points)))
    return cuts


def _section(
    measurement: Measurement, view: TableView, some: tuple[OrderedPoints, npt.NDArray[np.intp]] | None
) -> SectionInput:
    ordered, points = some or (view.ordered(), None)
    return SectionInput(
        measurement=measurement.id,
        name=measurement.name,
        fields=section_fields(measurement, set(view.fields)),
        chunks=ordered.pieces(points),
        keys=measurement.index.keys,
    )
