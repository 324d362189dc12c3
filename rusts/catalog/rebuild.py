"""A new meta.sqlite where the old one is damaged or missing: from its copy and from what segments say of themselves.

What neither has is in the log, which the engine replays afterwards as after any crash. Nothing is
deleted: the damaged file is set aside under another name.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from rusts.catalog.catalog import COPY, META, Catalog
from rusts.catalog.schema import DEFAULT_DATABASE, DEFAULT_POLICY, FIRST_IDS, SegmentEntry
from rusts.errors import Corruption
from rusts.files import Files
from rusts.logging import get_logger
from rusts.model.series import KeyTable
from rusts.model.types import FieldType, Stamp

__all__ = ["DescribedHeader", "DescribedSection", "DescribedSegment", "rebuild"]

_LOST: Final = "users, tokens, continuous queries, durations of retention policies and deletes not purged yet are lost"

logger = get_logger("rusts.catalog")


class DescribedHeader(Protocol):
    """A segment's own words about where it belongs, as `segment.layout.SegmentHeader`."""

    @property
    def segment(self) -> int: ...
    @property
    def database(self) -> int: ...
    @property
    def database_name(self) -> str: ...
    @property
    def policy(self) -> int: ...
    @property
    def policy_name(self) -> str: ...
    @property
    def tier(self) -> int: ...
    @property
    def start(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def parents(self) -> tuple[int, ...]: ...
    @property
    def min_stamp(self) -> Stamp: ...
    @property
    def max_stamp(self) -> Stamp: ...


class DescribedSection(Protocol):
    """What a segment says of one measurement: `fields` are (id, name, type), `numbers` and `keys` its series."""

    @property
    def measurement(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def fields(self) -> Iterable[tuple[int, str, FieldType]]: ...
    @property
    def numbers(self) -> npt.NDArray[np.uint32]: ...
    @property
    def keys(self) -> KeyTable: ...


class DescribedSegment(Protocol):
    """All that a segment says of the catalog, as `segment.reader.SegmentDescription`. Times in ns, inclusive."""

    @property
    def header(self) -> DescribedHeader: ...
    @property
    def rows(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    @property
    def min_time(self) -> int: ...
    @property
    def max_time(self) -> int: ...
    @property
    def sections(self) -> Iterable[DescribedSection]: ...


def rebuild(
    files: Files, directory: str, segments: Iterable[tuple[str, DescribedSegment]]
) -> tuple[Catalog, list[str]]:
    """Set a damaged meta.sqlite aside, make a new one and open it; also says what could not be brought back.

    `segments` are file name and description of every file that can be read, gone through once, one at a time; of
    those, a segment that was merged into another one is not listed. No checkpoint survives: the engine finds out
    what of the log segments have. Raises FormatTooNew, OSError.
    """
    notes: list[str] = []
    catalog = Catalog(files, directory)
    copy = f"{directory}/{COPY}"
    copy_is_damaged = False
    try:
        if files.exists(copy):
            catalog = Catalog.read(files, copy)
        else:
            notes.append(f"{COPY} is missing: {_LOST}")
    except Corruption as problem:
        copy_is_damaged = True
        notes.append(f"{_LOST}: {problem}")
    if notes:
        # Without a copy: the log may hold points of the database that every directory begins with.
        database = catalog.restore_database(FIRST_IDS[0], DEFAULT_DATABASE)
        assert database is not None
        catalog.restore_policy(database, FIRST_IDS[1], DEFAULT_POLICY)
    entries: dict[int, SegmentEntry] = {}
    for name, segment in segments:
        try:
            if _take_names(catalog, segment):
                entries[segment.header.segment] = _entry(name, segment)
        except Corruption as problem:
            notes.append(f"segment {name} could not be listed: {problem}")
    replaced = _replaced(list(entries.values()))
    for path in [f"{directory}/{META}", f"{directory}/{META}-journal"] + [copy] * copy_is_damaged:
        _set_aside(files, path)
    catalog.replace_file([entry for number, entry in entries.items() if number not in replaced])
    for note in notes:
        logger.error("meta.sqlite was rebuilt incompletely", note=note)
    return catalog, notes


def _replaced(entries: list[SegmentEntry]) -> set[int]:
    """The ids of segments that were merged into one of the others.

    Its parents, and theirs: a removed file may come back in a power loss, when what it was merged into is gone.
    Merging takes neighbours in stamp order, so a merged segment has all that was written to its partition
    between its stamps.
    """
    replaced = {parent for entry in entries for parent in entry.parents}
    partitions: dict[tuple[int, int, int], list[SegmentEntry]] = {}
    for entry in entries:
        partitions.setdefault((entry.policy, entry.start, entry.width), []).append(entry)
    for members in partitions.values():
        for merged in (entry for entry in members if entry.parents):
            replaced.update(
                entry.id
                for entry in members
                if entry.id < merged.id and merged.min_stamp <= entry.min_stamp and entry.max_stamp <= merged.max_stamp
            )
    return replaced


def _take_names(catalog: Catalog, segment: DescribedSegment) -> bool:
    """Make known what the segment names; False if it, its database or its policy was dropped."""
    header = segment.header
    catalog.reserve_id(header.segment)
    if catalog.was_dropped(header.segment):
        return False
    database = catalog.restore_database(header.database, header.database_name)
    if database is None or catalog.restore_policy(database, header.policy, header.policy_name) is None:
        return False
    for section in segment.sections:
        catalog.restore_measurement(header.database, section.measurement, section.name)
        for number, name, type in section.fields:
            catalog.restore_field(section.measurement, number, name, type)
        catalog.restore_series(section.measurement, section.numbers, section.keys)
    return True


def _entry(file_name: str, segment: DescribedSegment) -> SegmentEntry:
    header = segment.header
    return SegmentEntry(
        id=header.segment,
        file_name=file_name,
        database=header.database,
        policy=header.policy,
        min_time=segment.min_time,
        max_time=segment.max_time,
        min_stamp=header.min_stamp,
        max_stamp=header.max_stamp,
        rows=segment.rows,
        bytes=segment.bytes,
        tier=header.tier,
        start=header.start,
        width=header.width,
        parents=header.parents,
    )


def _set_aside(files: Files, path: str) -> None:
    if not files.exists(path):
        return
    number = 1
    while files.exists(f"{path}.damaged-{number}"):
        number += 1
    files.publish(path, f"{path}.damaged-{number}")
    logger.error("a damaged file was set aside", file=path, name=f"{path}.damaged-{number}")
