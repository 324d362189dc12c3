"""Start: the catalog is opened or rebuilt, stray segment files are sorted out, the log is replayed.

Replay has two passes. The first reads only the names in the log, so that new writes can be taken
at once: no id that the log holds is given twice. The second brings the rows back, while queries wait.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import structlog

from rusts.catalog.catalog import Catalog
from rusts.catalog.rebuild import rebuild
from rusts.engine.policydata import PolicyData, Sealed
from rusts.engine.segments import DIRECTORY, segment_path
from rusts.errors import Corruption
from rusts.files import Files
from rusts.memtable.memtable import Memtable
from rusts.model.types import Stamp
from rusts.segment.reader import SegmentDescription, SegmentReader, describe_segment
from rusts.wal.reader import Damage, replay, replay_names
from rusts.wal.record import LogPosition, WriteRecord

if TYPE_CHECKING:
    from rusts.engine.engine import Engine

__all__ = ["Replay", "open_catalog", "sort_out_segments"]

logger = structlog.get_logger("rusts.engine.recovery")

QUARANTINE: Final = "quarantine"
RETRY_SECONDS: Final = 1.0


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
    for name in sorted(files.list_dir(f"{directory}/{DIRECTORY}")):
        if not name.endswith(".seg"):
            continue
        try:
            reader = SegmentReader.open(files, segment_path(directory, name), None)
        except Corruption as bad:
            damage.append(f"segment {name} could not be listed: {bad}")
            continue
        try:
            yield name, describe_segment(reader)
        except Corruption as bad:
            damage.append(f"segment {name} could not be listed: {bad}")
        finally:
            reader.close()


def sort_out_segments(files: Files, directory: str, catalog: Catalog) -> list[str]:
    """Make the files in the segment directory and the catalog's list agree; returns what is missing.

    A file that is not listed goes if a listed segment names it as parent (it was replaced before a
    crash), or if all its own parents are listed (a merge that did not get into the catalog);
    any other is moved to ``quarantine/``. Unfinished files go.
    """
    listed = {entry.file_name: entry for entry in catalog.segments()}
    ids = {entry.id for entry in listed.values()}
    parents = {parent for entry in listed.values() for parent in entry.parents}
    folder = f"{directory}/{DIRECTORY}"
    names = set(files.list_dir(folder))
    for name in sorted(names - set(listed)):
        path = f"{folder}/{name}"
        if not name.endswith(".seg"):
            files.remove(path)
            continue
        if int(name.removesuffix(".seg"), 16) in parents or _is_redundant(files, path, ids):
            logger.info("removing a segment that was merged before", segment=name)
            files.remove(path)
            continue
        logger.warning("a segment file that the catalog does not list goes to quarantine", segment=name)
        files.make_dir(f"{directory}/{QUARANTINE}")
        files.publish(path, f"{directory}/{QUARANTINE}/{name}")
    return [f"segment {name} is listed but missing" for name in sorted(set(listed) - names)]


def _is_redundant(files: Files, path: str, listed: set[int]) -> bool:
    try:
        reader = SegmentReader.open(files, path, None)
    except (Corruption, OSError):
        return False
    try:
        return bool(reader.header.parents) and set(reader.header.parents) <= listed
    finally:
        reader.close()


class Replay:
    """The log as it was found at the start."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._directory = f"{engine.directory}/wal"
        self._starts: dict[tuple[int, int], LogPosition] = {}
        self._stamps: dict[tuple[int, int], Stamp | None] = {}
        self._bytes = self._done = 0
        self.end = LogPosition(0, 0)

    def read_names(self) -> None:
        """First pass: every measurement, field and series that the log names is known afterwards."""
        engine = self._engine
        catalog = engine.catalog
        files = engine.files
        self._bytes = sum(files.size(f"{self._directory}/{n}") for n in files.list_dir(self._directory))
        for item in replay_names(files, self._directory):
            if isinstance(item, Damage):
                self._report(item)
                continue
            _, end, record = item
            self.end = max(self.end, end)
            engine.stamps.observe(record.stamp)
            for number, name in record.measurements:
                catalog.restore_measurement(record.database, number, name)
            for number, measurement, name, type in record.fields:
                catalog.restore_field(measurement, number, name, type)
            for measurement, numbers, keys in record.series:
                catalog.restore_series(measurement, numbers, keys)

    def _report(self, damage: Damage) -> None:
        if damage.torn:
            logger.warning("the log ends in a torn record", file=damage.file, offset=damage.offset, bytes=damage.length)
            return
        text = f"log {damage.file} is damaged at byte {damage.offset} for {damage.length} bytes: {damage.reason}"
        logger.error("a part of the log cannot be read and is fenced", damage=text)
        self._engine.damage.append(text)

    def bytes_left(self) -> int:
        """Bytes of log whose rows are not back yet."""
        return max(0, self._bytes - self._done)

    def start_of(self, data: PolicyData) -> LogPosition:
        """Where the rows in ``data.replayed`` begin in the log."""
        return self._starts[data.database, data.policy]

    def read_rows(self) -> None:
        """Second pass: every row that no segment has yet is in memory (or flushed) afterwards."""
        engine = self._engine
        for item in replay(engine.files, self._directory, before=engine.log.first):
            if isinstance(item, Damage):
                continue
            start, end, record = item
            self._done += end.offset - start.offset
            if not self._is_flushed(end, record):
                self._apply(start, end, record)

    def _is_flushed(self, end: LogPosition, record: WriteRecord) -> bool:
        """Whether segments hold the record. A rebuilt catalog has no checkpoints; then the stamps tell."""
        checkpoint = self._engine.catalog.checkpoint(record.database, record.policy)
        if checkpoint is not None:
            return end <= checkpoint
        key = record.database, record.policy
        if key not in self._stamps:
            data = self._engine.policies_data.get(key)
            stamps = [s.entry.max_stamp for s in data.segments] if data is not None else []
            self._stamps[key] = max(stamps, default=None)
        newest = self._stamps[key]
        return newest is not None and record.stamp <= newest

    def _apply(self, start: LogPosition, end: LogPosition, record: WriteRecord) -> None:
        engine = self._engine
        if engine.catalog.owner(record.database, record.policy) is None:
            return  # dropped after the write
        key = record.database, record.policy
        with engine.write_lock:
            data = engine.data_of(*key)
            if data.replayed is None:
                data.replayed = Memtable()
                self._starts[key] = start
            before = data.replayed.nbytes
            data.replayed.append(record.rows, record.stamp, engine.clock.monotonic())
            engine.budget.write_buffer.used += data.replayed.nbytes - before
            full = data.replayed.nbytes >= min(engine.settings.memtable_bytes, engine.budget.replay.limit)
            if full:
                data.sealed.append(Sealed(data.replayed, self._starts.pop(key), end))
                data.replayed = None
        if full:
            # Flushed here, not by the flush worker, so that replay never outruns it. While the disk takes
            # nothing, replay goes on for as long as memory lasts.
            buffer = engine.budget.write_buffer
            while not engine.try_flush() and buffer.used > buffer.limit:
                engine.clock.sleep(RETRY_SECONDS)
