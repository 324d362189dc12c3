"""Start: the catalog is opened or rebuilt, stray segment files are sorted out, the log is replayed.

Replay has two passes. The first reads only the names in the log, so that new writes can be taken
at once: no id that the log holds is given twice. The second brings the rows back, while queries wait.
"""

from __future__ import annotations

import os
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from rusts.catalog.catalog import Catalog, SegmentEntry
from rusts.catalog.rebuild import rebuild
from rusts.catalog.schema import DEFAULT_POLICY
from rusts.engine.policydata import PolicyData, Sealed
from rusts.engine.segments import DIRECTORY, segment_path
from rusts.errors import Corruption
from rusts.files import TEMPORARY, Files
from rusts.index.postings import numbers_of
from rusts.logging import get_logger
from rusts.memtable.memtable import Memtable
from rusts.model.batch import Rows
from rusts.model.series import KeyTable
from rusts.model.types import Stamp
from rusts.segment.reader import SegmentDescription, SegmentReader, describe_segment
from rusts.wal.reader import Damage, log_bytes, replay, replay_names
from rusts.wal.record import LogPosition, WriteRecord, file_name

if TYPE_CHECKING:
    from rusts.engine.engine import Engine

__all__ = ["QUARANTINE", "Replay", "open_catalog", "sort_out_segments"]

logger = get_logger("rusts.engine.recovery")

QUARANTINE: Final = "quarantine"
"""The directory beside ``segments`` and ``wal`` where files go that are no use now, but may be to an operator."""

RETRY_SECONDS: Final = 1.0

_GATHERED_ROWS: Final = 1 << 15
"""Small records are replayed together, about so many rows at a time."""

_SEGMENT_NAME: Final = re.compile(r"[0-9a-f]{16}\.seg")


def open_catalog(files: Files, directory: str) -> tuple[Catalog, list[str]]:
    """The catalog, and what was lost if it had to be rebuilt. Raises FormatTooNew, OSError."""
    try:
        return Catalog.open(files, directory), []
    except Corruption as error:
        logger.error("meta.sqlite is damaged or missing: setting it aside and rebuilding it", error=str(error))
        damage = [f"meta.sqlite was rebuilt: {error}"]
        catalog, lost = rebuild(files, directory, _descriptions(files, directory, damage))
        return catalog, damage + lost


def _descriptions(files: Files, directory: str, damage: list[str]) -> Iterator[tuple[str, SegmentDescription]]:
    """What each readable segment says of itself, one at a time; what cannot be read is added to `damage`."""
    for name in _segment_names(files, directory):
        try:
            reader = SegmentReader.open(files, segment_path(directory, name), None)
            try:
                if reader.header.segment != _number(name):
                    raise Corruption(reader.path, 0, f"it holds segment {reader.header.segment}")
                described = describe_segment(reader)
            finally:
                reader.close()
        except Corruption as bad:
            damage.append(f"segment {name} could not be listed: {bad}")
            continue
        yield name, described


def _segment_names(files: Files, directory: str) -> list[str]:
    """The files that are named as segments are, the oldest first."""
    return sorted(n for n in files.list_dir(f"{directory}/{DIRECTORY}") if _SEGMENT_NAME.fullmatch(n))


def _number(name: str) -> int:
    return int(name.removesuffix(".seg"), 16)


def sort_out_segments(files: Files, directory: str, catalog: Catalog, rebuilt: bool) -> list[SegmentEntry]:
    """Make the files in the segment directory and the catalog's list agree; returns those listed, but missing.

    A file that is not listed goes if it was dropped, if a listed segment, whose file is there, names it as parent (it
    was replaced before a crash), or if all its own parents are listed (a merge that did not get into the catalog);
    any other is moved to ``quarantine/``, and so is each of them where the list had to be `rebuilt`.
    Files that were never finished go; files of others stay.
    """
    folder = f"{directory}/{DIRECTORY}"
    found = _segment_names(files, directory)
    names = set(found)
    entries = catalog.segments()
    listed = {entry.file_name for entry in entries}
    there = {entry.id for entry in entries if entry.file_name in names}
    parents = {parent for entry in entries if entry.id in there for parent in entry.parents}
    for name in files.list_dir(folder):
        if name.endswith(TEMPORARY) and _SEGMENT_NAME.fullmatch(name.removesuffix(TEMPORARY)):
            files.remove(f"{folder}/{name}")
    for name in found:
        if name in listed:
            continue
        path = f"{folder}/{name}"
        catalog.reserve_id(_number(name))
        if catalog.was_dropped(_number(name)):
            logger.info("removing a segment that was dropped before", segment=name)
            files.remove(path)
            continue
        if not rebuilt and (_number(name) in parents or _is_redundant(files, path, there)):
            logger.info("removing a segment that was merged before", segment=name)
            files.remove(path)
            continue
        logger.warning("a segment file that the catalog does not list goes to quarantine", segment=name)
        files.make_dir(f"{directory}/{QUARANTINE}")
        files.publish(path, f"{directory}/{QUARANTINE}/{name}")
    return [entry for entry in entries if entry.file_name not in names]


def _is_redundant(files: Files, path: str, listed: set[int]) -> bool:
    try:
        reader = SegmentReader.open(files, path, None)
    except (Corruption, OSError):
        return False
    try:
        return bool(reader.header.parents) and set(reader.header.parents) <= listed
    finally:
        reader.close()


class _Flushed:
    """Which rows of a policy without a checkpoint are in segments: the catalog was rebuilt, only segments tell.

    A write went, whole, to one segment for each partition that it touched. So where a segment spans the time of a row
    and was written at its stamp or later, the row is in it, was overwritten, or was lost with another segment;
    to bring it back could put an older value over a newer one. Any other row is in the log only.
    """

    def __init__(self, entries: Sequence[SegmentEntry]) -> None:
        self._entries = sorted(entries, key=lambda e: e.max_stamp, reverse=True)

    def left(self, rows: Rows, stamp: Stamp) -> Rows | None:
        """The rows, written at `stamp`, that no segment has."""
        keep = np.ones(len(rows), dtype=np.bool_)
        for entry in self._entries:
            if entry.max_stamp < stamp:
                break
            keep &= (rows.times < entry.min_time) | (rows.times > entry.max_time)
        return _some(rows, keep)


def _some(rows: Rows, keep: npt.NDArray[np.bool_]) -> Rows | None:
    if keep.all():
        return rows
    if not keep.any():
        return None
    columns = {field: column.take(keep) for field, column in rows.columns.items()}
    return Rows(rows.measurement, rows.series[keep], rows.times[keep], columns)


class Replay:
    """The log as it was found at the start."""

    def __init__(self, engine: Engine, rebuilt: bool) -> None:
        """`rebuilt`: the catalog may lack names that the log takes for granted."""
        self._engine = engine
        self._directory = f"{engine.directory}/wal"
        self._rebuilt = rebuilt
        self._starts: dict[tuple[int, int], LogPosition] = {}
        self._ends: dict[tuple[int, int], LogPosition] = {}
        self._deletes: list[Stamp] = []
        self._flushed: dict[tuple[int, int], _Flushed] = {}
        self._bytes = self._done = self._done_before = 0
        self._file = 0
        self._reported: set[Damage] = set()
        self._doubtful = rebuilt
        """Names may be lost that rows in the log need."""
        self._nameless = 0
        self.end = LogPosition(0, 0)

    # -- names

    def read_names(self) -> None:
        """First pass: every measurement, field and series that the log names is known afterwards."""
        engine = self._engine
        catalog = engine.catalog
        for key, data in engine.policies_data.items():
            if data.segments and catalog.checkpoint(*key) is None:
                self._flushed[key] = _Flushed([s.entry for s in data.segments])
        self._bytes = log_bytes(engine.files, self._directory)
        for item in replay_names(engine.files, self._directory):
            if isinstance(item, Damage):
                self._report(item)
                self._doubtful |= not item.torn  # behind a torn record is no other that could need its names
            else:
                self._take_names(item[1], item[2])
        if self._doubtful:
            self._reserve()
        if self._rebuilt:
            # What the log brought back must not be in memory alone when the next start finds this catalog.
            try:
                catalog.commit(checkpoint=None, added=[], removed=[])
            except OSError as error:
                logger.warning("the rebuilt catalog could not be completed yet", error=str(error))

    def _take_names(self, end: LogPosition, record: WriteRecord) -> None:
        catalog = self._engine.catalog
        self.end = max(self.end, end)
        self._engine.stamps.observe(record.stamp)
        self._restore_owner(record)
        try:
            for number, name in record.measurements:
                catalog.restore_measurement(record.database, number, name)
            for number, measurement, name, type in record.fields:
                catalog.restore_field(measurement, number, name, type)
            for measurement, numbers, keys in record.series:
                catalog.restore_series(measurement, numbers, keys)
        except Corruption as problem:
            self._doubtful = True
            self._say(f"the log contradicts the catalog before byte {end.offset} of {file_name(end.file)}: {problem}")

    def _restore_owner(self, record: WriteRecord) -> None:
        """Points of a database whose name is lost with both catalog files get one, rather than go."""
        catalog = self._engine.catalog
        if not self._rebuilt or catalog.owner(record.database, record.policy) is not None:
            return
        database = catalog.restore_database(record.database, f"recovered-{record.database}")
        if database is not None and catalog.restore_policy(database, record.policy, DEFAULT_POLICY) is not None:
            self._say(f"the log holds points of a database whose name is lost: it is {database.name!r} now")

    def _reserve(self) -> None:
        """Never give an id or a series number again that rows in the log use, though their names were lost.

        Else the rows would seem to be of whatever gets the number next.
        """
        engine = self._engine
        catalog = engine.catalog
        nobody = KeyTable.of([b""])
        for item in replay(engine.files, self._directory):
            if isinstance(item, Damage):
                self._report(item)
                continue
            record = item[2]
            self._restore_owner(record)
            for rows in record.rows:
                for id in (rows.measurement, *rows.columns):
                    catalog.reserve_id(id)
                measurement = catalog.measurement(rows.measurement)
                last = int(rows.series.max())
                if measurement is not None and last >= len(measurement.index):
                    catalog.restore_series(measurement.id, np.array([last], dtype=np.uint32), nobody)

    def _report(self, damage: Damage) -> None:
        if damage in self._reported:
            return
        self._reported.add(damage)
        if damage.torn:
            logger.warning("the log ends in a torn record", file=damage.file, offset=damage.offset, bytes=damage.length)
            return
        self._say(f"log {damage.file} is damaged at byte {damage.offset} for {damage.length} bytes: {damage.reason}")
        self._keep_copy(damage.file)

    def _say(self, text: str) -> None:
        if text not in self._engine.damage:
            logger.error("a part of the log cannot be used", damage=text)
            self._engine.damage.append(text)

    def _keep_copy(self, path: str) -> None:
        """The file goes once what can be read of it is in segments; an operator may want the rest."""
        files = self._engine.files
        folder = f"{self._engine.directory}/{QUARANTINE}"
        target = f"{folder}/{os.path.basename(path)}"
        if not files.exists(path) or files.exists(target):
            return
        try:
            files.make_dir(folder)
            files.write_atomic(target, files.read(path))
        except OSError as error:
            logger.warning("a damaged log file could not be copied to quarantine", file=path, error=str(error))

    # -- rows

    def bytes_left(self) -> int:
        """Bytes of log whose rows are not back yet."""
        return max(0, self._bytes - self._done)

    def start_of(self, data: PolicyData) -> LogPosition:
        """Where the rows in ``data.replayed`` begin in the log."""
        return self._starts[data.database, data.policy]

    def read_rows(self) -> None:
        """Second pass: every row that no segment has yet is in memory (or flushed) afterwards."""
        engine = self._engine
        self._deletes = sorted({t.stamp for t in engine.catalog.deletes.tombstones()})
        for item in replay(
            engine.files,
            self._directory,
            before=engine.log.first,
            wanted=self._wanted,
            # Where stamps tell what is flushed, each record must keep its own.
            gather_rows=0 if self._flushed else _GATHERED_ROWS,
            apart=self._deletes,
        ):
            if isinstance(item, Damage):
                self._report(item)
            else:
                self._apply(*item)
        if self._nameless:
            self._say(f"{self._nameless} points in the log are of measurements or series whose names are lost")

    def _wanted(self, database: int, policy: int, end: LogPosition, stamp: Stamp) -> bool:
        """Whether no segment is known to hold the record that ends there; counts it as done."""
        del stamp
        if end.file != self._file:
            self._file = end.file
            here = LogPosition(end.file, 0)
            left = log_bytes(self._engine.files, self._directory, here, before=self._engine.log.first)
            self._done_before = self._bytes - left
        self._done = self._done_before + end.offset
        checkpoint = self._engine.catalog.checkpoint(database, policy)
        return checkpoint is None or end > checkpoint

    def _apply(self, start: LogPosition, end: LogPosition, record: WriteRecord) -> None:
        engine = self._engine
        key = record.database, record.policy
        if engine.catalog.owner(*key) is None:
            return  # dropped after the write
        rows = record.rows
        if (flushed := self._flushed.get(key)) is not None:
            rows = [left for r in rows if (left := flushed.left(r, record.stamp)) is not None]
        if self._doubtful:
            rows = [named for r in rows if (named := self._named(r)) is not None]
        rows = [living for r in rows if (living := self._living(r)) is not None]
        if not rows:
            return
        with engine.write_lock:
            data = engine.data_of(*key)
            if data.replayed is not None and self._deleted_between(data.replayed, record.stamp):
                # A memtable's rows are all older than a tombstone, or none is.
                data.sealed.append(Sealed(data.replayed, self._starts.pop(key), self._ends[key]))
                data.replayed = None
            self._ends[key] = end
            if data.replayed is None:
                data.replayed = Memtable()
                self._starts[key] = start
            before = data.replayed.nbytes
            data.replayed.append(rows, record.stamp, engine.clock.monotonic())
            engine.budget.write_buffer.used += data.replayed.nbytes - before
            full = data.replayed.nbytes >= min(engine.settings.memtable_bytes, engine.budget.replay.limit)
            if full:
                data.sealed.append(Sealed(data.replayed, self._starts.pop(key), end))
                data.replayed = None
        if full:
            self._make_room()

    def _make_room(self) -> None:
        """Flush what is sealed once it fills the replay pool: until then replay is quicker without.

        While the disk takes nothing, replay goes on for as long as memory lasts.
        """
        engine = self._engine
        buffer = engine.budget.write_buffer
        while buffer.used > engine.budget.replay.limit and not engine.try_flush() and buffer.used > buffer.limit:
            engine.clock.sleep(RETRY_SECONDS)

    def _deleted_between(self, memtable: Memtable, stamp: Stamp) -> bool:
        """Whether something was deleted after what the memtable holds and before `stamp`."""
        assert memtable.max_stamp is not None
        return bisect_right(self._deletes, memtable.max_stamp) != bisect_right(self._deletes, stamp)

    def _living(self, rows: Rows) -> Rows | None:
        """The rows of series that were not dropped since."""
        catalog = self._engine.catalog
        measurement = catalog.measurement(rows.measurement)
        if measurement is None:
            return None if catalog.was_dropped(rows.measurement) else rows
        dropped = measurement.index.dropped()
        if not dropped:
            return rows
        return _some(rows, ~np.isin(rows.series, numbers_of(dropped)))

    def _named(self, rows: Rows) -> Rows | None:
        """The rows and columns whose names are known."""
        catalog = self._engine.catalog
        measurement = catalog.measurement(rows.measurement)
        if measurement is None:
            if not catalog.was_dropped(rows.measurement):
                self._nameless += len(rows)
            return None
        numbers, places = np.unique(rows.series, return_inverse=True)
        known = numbers < len(measurement.index)
        known[known] = np.diff(measurement.index.keys(numbers[known]).offsets) > 0
        kept = _some(rows, known[places])
        self._nameless += len(rows) - (0 if kept is None else len(kept))
        if kept is None:
            return None
        types = {field.id: field.type for field in measurement.fields.values()}
        columns = {field: column for field, column in kept.columns.items() if types.get(field) is column.type}
        if len(columns) < len(kept.columns):
            self._say(f"fields of measurement {measurement.name!r} in the log have lost their names")
        return Rows(kept.measurement, kept.series, kept.times, columns) if columns else None
