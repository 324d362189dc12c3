"""The catalog of one node. Memory is what everybody asks; meta.sqlite is what a start finds.

What is altered or deleted is on disk before the call returns (see `alterations`). Measurements, fields and series are
made in memory, named by the log, and reach meta.sqlite with the next commit: one transaction that
also lists a flush's or a merge's segments and moves the checkpoint.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Final

import apsw
import numpy as np
import numpy.typing as npt

from rusts.catalog import tables
from rusts.catalog.alterations import Alterations
from rusts.catalog.metafile import MetaFile, Work, load, publish
from rusts.catalog.schema import (
    DEFAULT_DATABASE,
    DEFAULT_POLICY,
    Checkpoint,
    Database,
    FieldMeta,
    Measurement,
    SegmentEntry,
)
from rusts.catalog.tables import signed, unsigned
from rusts.errors import Corruption
from rusts.files import Files
from rusts.logging import get_logger
from rusts.model.series import KeyTable
from rusts.model.types import Stamp

__all__ = ["COPY", "META", "Catalog", "SegmentEntry"]

META: Final = "meta.sqlite"
COPY: Final = "meta.copy.sqlite"

_LEASE: Final = 1 << 16
"""So many ids are promised to disk ahead of their use: after a crash none of them is given again."""

_BLOB_SERIES: Final = 1 << 14
"""Series in one row, at most."""

logger = get_logger("rusts.catalog")


@dataclass(frozen=True, slots=True)
class _Pending:
    """What a transaction carries from memory to disk, as it was when the transaction was prepared."""

    measurements: list[Measurement]
    fields: list[tuple[int, FieldMeta]]
    series: list[tuple[Measurement, list[tuple[int, int]], list[tuple[int, int]]]]
    """Per measurement the rows (first, count) to be written, and all of its rows afterwards."""


class Catalog(Alterations):
    """See the module. Thread-safe; what makes or restores names runs under the engine's write lock.

    A method that writes to disk raises OSError where the device fails or is full and Corruption where
    meta.sqlite is damaged; memory then is as before, and the same call may be made again.
    """

    def __init__(self, files: Files, directory: str) -> None:
        """An empty catalog that has no file yet; use `open`."""
        super().__init__()
        self._files = files
        self._directory = directory
        self._path = f"{directory}/{META}"
        self._file = MetaFile(files, self._path)
        self._rows: dict[int, list[tuple[int, int]]] = {}
        self._stamp = Stamp(0, 0)
        self._ids_end = 1 + _LEASE
        self.copy_error: str | None = None
        """Why meta.copy.sqlite is behind; None while it is up to date. Each commit tries again."""

    # -- opening

    @classmethod
    def open(cls, files: Files, directory: str) -> Catalog:
        """Load meta.sqlite, or make it in a directory that has no data.

        Raises Corruption where it is damaged, or missing beside data (see `rebuild.rebuild`), FormatTooNew, OSError.
        """
        catalog = cls(files, directory)
        if files.exists(catalog._path):
            connection = load(files, catalog._path, lambda c: catalog._take_rows(c, catalog._path))
            catalog._file.adopt(connection, catalog._file.sequence)
        elif _has_data(files, directory):
            raise Corruption(catalog._path, 0, "it is missing, but there is data beside it")
        else:
            catalog._add_database(catalog._make_database(DEFAULT_DATABASE))
            catalog._publish_meta()
        try:
            # Now, not in the middle of a write.
            catalog._promise_ids()
        except OSError as problem:
            logger.warning("meta.sqlite cannot be written to yet", error=str(problem))
        catalog._write_copy()
        return catalog

    @classmethod
    def read(cls, files: Files, path: str) -> Catalog:
        """The catalog in the file `path` (meta.sqlite or its copy), to be looked at only. Raises as `open`."""
        catalog = cls(files, path.rpartition("/")[0])
        load(files, path, lambda c: catalog._take_rows(c, path), read_only=True).close()
        return catalog

    def _take_rows(self, connection: apsw.Connection, path: str) -> None:
        self._file.version = tables.version(connection)
        state = tables.read_state(connection)
        self.node, self._file.sequence = state["node"], state["sequence"]
        self._next_id = self._ids_end = state["ids"]
        self._stamp = Stamp(unsigned(state["clock"]), state["clock_node"])
        for number, name in tables.read_databases(connection):
            self._add_database(Database(number, name))
        for owner, policy in tables.read_policies(connection):
            database = self._by_id[owner]
            database.policies = {**database.policies, policy.name: policy}
        self._dropped = set(tables.read_dropped(connection))
        if tables.version(connection) > 1:
            self.deletes.read(connection, path)
            self._book.read(connection, {d.id: d.name for d in self._databases.values()})
            for number, owner, query in tables.read_continuous_queries(connection):
                database = self._by_id[owner]
                database.continuous = {**database.continuous, query.name: (number, query)}
        for measurement in tables.read_measurements(connection):
            self._add_measurement(self._by_id[measurement.database], measurement)
        for owner, fields in itertools.groupby(tables.read_fields(connection), key=itemgetter(0)):
            metas = [field for _, field in fields]
            self._measurements[owner].fields = {f.name: f for f in metas}
            self._fields.update((f.id, f) for f in metas)
        for number, first, keys in tables.read_series(connection, path):
            index = self._measurements[number].index
            if first != len(index):
                raise ValueError("series are missing")
            index.restore(first, keys)
            self._rows.setdefault(number, []).append((first, len(keys)))
        self._reserve_dropped()
        self._segments = {entry.id: entry for entry in tables.read_segments(connection)}
        self._checkpoints = dict(tables.read_checkpoints(connection))
        if DEFAULT_DATABASE not in self._databases:
            raise ValueError(f"there is no database {DEFAULT_DATABASE!r}")

    def replace_file(self, segments: Sequence[SegmentEntry]) -> None:
        """Write a new meta.sqlite, which must not be there, from memory with the list `segments`, and open it.

        Every database has a policy ``autogen`` and ``default`` exists afterwards.
        """
        with self._lock:
            self._file = MetaFile(self._files, self._path)
            self._segments = {entry.id: entry for entry in segments}
            self._checkpoints = {}
            self._stamp = max([self._stamp, *(entry.max_stamp for entry in segments)])
            self._reserve_dropped()
            if DEFAULT_DATABASE not in self._databases:
                self._add_database(self._make_database(DEFAULT_DATABASE))
            for database in self._databases.values():
                if database.default_policy is None and DEFAULT_POLICY not in database.policies:
                    database.policies = {**database.policies, **self._make_policies()}
            self._ids_end = self._next_id + _LEASE
            self._publish_meta()
            self._promise_ids()
            self._write_copy()

    def close(self) -> None:
        """Let go of the file. What was not committed is in the log."""
        with self._lock:
            self._file.close()

    def _reserve_dropped(self) -> None:
        for number in self.deletes.dropped_series:
            if number in self._measurements:
                self._measurements[number].index.reserve_dropped()

    # -- asking for what is on disk

    def segments(self) -> list[SegmentEntry]:
        """Every live segment, in the order in which they were listed."""
        return list(self._segments.values())

    def checkpoint(self, database: int, policy: int) -> Checkpoint | None:
        """Up to where segments hold the log of a database and policy; None if nothing was flushed yet."""
        return self._checkpoints.get((database, policy))

    def checkpoints(self) -> dict[tuple[int, int], Checkpoint]:
        """Every checkpoint by database and policy."""
        return dict(self._checkpoints)

    @property
    def format(self) -> int:
        """The format of meta.sqlite."""
        return self._file.version

    @property
    def transactions(self) -> int:
        """How many transactions meta.sqlite has had since it was made."""
        return self._file.sequence

    def max_stamp(self) -> Stamp:
        """The largest stamp of any segment there ever was, and of any delete that is not purged."""
        return max(self._stamp, self.deletes.max_stamp())

    def durable_series(self, measurement: int) -> int:
        """The series with smaller numbers are in meta.sqlite."""
        rows = self._rows.get(measurement)
        return sum(rows[-1]) if rows else 0

    def next_segment_id(self) -> int:
        """An id for a segment; never given again, also when the segment is never listed. May raise OSError."""
        return self._new_id()

    def restore_series(self, measurement: int, numbers: npt.NDArray[np.uint32], keys: KeyTable) -> None:
        """Take back series that the log names (see `SeriesIndex.restore_numbers`). Raises Corruption."""
        owner = self._measurements.get(measurement)
        if owner is not None and owner.index.restore_numbers(numbers, keys):
            # Rows on disk lack what has just come.
            self._write_series_anew(measurement)

    # -- to disk

    def commit(
        self,
        *,
        checkpoint: tuple[int, int, tuple[int, int]] | None,
        added: Sequence[SegmentEntry],
        removed: Sequence[int],
    ) -> bool:
        """One durable transaction: list the segments `added`, unlist the ids `removed`, move a checkpoint.

        `checkpoint` is (database, policy, position in the log). Every measurement, field and series made
        so far is on disk afterwards. Segments that are removed and not replaced never come back. Returns False, and
        does nothing, where one of `removed` is listed no more, or the policy of what is added was dropped.
        """
        with self._lock:
            if any(number not in self._segments for number in removed):
                return False
            owners = {(entry.database, entry.policy) for entry in added}
            if checkpoint is not None:
                owners.add(checkpoint[:2])
            if any(self.owner(*owner) is None for owner in owners):
                return False
            self._connect()
            pending = self._pending()
            gone = [] if added else [i for n in removed for i in (n, *self._segments[n].parents)]

            def work(connection: apsw.Connection) -> None:
                self._write_pending(connection, pending)
                for entry in added:
                    tables.write_segment(connection, entry)
                tables.delete_segments(connection, removed)
                tables.write_dropped(connection, gone)
                if checkpoint is not None:
                    tables.write_checkpoint(connection, checkpoint[0], checkpoint[1], Checkpoint(*checkpoint[2]))

            stamp = max([self._stamp, *(entry.max_stamp for entry in added)])
            self._transact(work, stamp)
            self._settle(pending)
            for number in removed:
                del self._segments[number]
            self._dropped.update(gone)
            self._segments.update((entry.id, entry) for entry in added)
            if checkpoint is not None:
                self._checkpoints[checkpoint[0], checkpoint[1]] = Checkpoint(*checkpoint[2])
            if gone or self.copy_error is not None:
                self._write_copy()
            return True

    def _pending(self, everything: bool = False) -> _Pending:
        # Fields and series before measurements: what they belong to is then there too.
        fields = list(self._new_fields.values())
        measurements = list(self._measurements.values())
        if everything:
            fields = [(m.id, field) for m in measurements for field in m.fields.values()]
        series = []
        for measurement in measurements:
            length = len(measurement.index)
            held = [] if everything else self._rows.get(measurement.id, [])
            first = sum(held[-1]) if held else 0
            if length > first:
                kept = held.copy()
                # Small rows grow together, so that few are left however many commits brought them.
                while kept and kept[-1][1] <= length - first and length - kept[-1][0] <= _BLOB_SERIES:
                    first = kept.pop()[0]
                rows = [(at, min(_BLOB_SERIES, length - at)) for at in range(first, length, _BLOB_SERIES)]
                series.append((measurement, rows, kept + rows))
        return _Pending(measurements if everything else list(self._new_measurements.values()), fields, series)

    def _write_pending(self, connection: apsw.Connection, pending: _Pending) -> None:
        for measurement in pending.measurements:
            tables.write_measurement(connection, measurement)
        for owner, field in pending.fields:
            tables.write_field(connection, owner, field)
        for measurement, rows, _ in pending.series:
            tables.delete_series(connection, measurement.id, rows[0][0])
            for first, count in rows:
                keys = measurement.index.live_keys(np.arange(first, first + count, dtype=np.uint32))
                tables.write_series(connection, measurement.id, first, keys)

    def _settle(self, pending: _Pending) -> None:
        for measurement in pending.measurements:
            self._new_measurements.pop(measurement.id, None)
        for _, field in pending.fields:
            self._new_fields.pop(field.id, None)
        for measurement, _, rows in pending.series:
            self._rows[measurement.id] = rows

    def _forget_measurement(self, measurement: Measurement) -> None:
        super()._forget_measurement(measurement)
        self._rows.pop(measurement.id, None)

    def _write_series_anew(self, measurement: int) -> None:
        self._rows.pop(measurement, None)

    def _promise_ids(self) -> None:
        self._transact(lambda _: None)

    def _disk_differs(self) -> None:
        self._file.unsure = True

    def _transact(self, work: Work, stamp: Stamp | None = None) -> None:
        """Do `work` in one durable transaction. Anything it raises undoes it."""
        with self._lock:
            self._connect()
            self._in_transaction(work, stamp or self._stamp)

    def _in_transaction(self, work: Work, stamp: Stamp) -> None:
        end = self._ids_end
        if end - self._next_id < _LEASE // 2:
            end = self._next_id + _LEASE
        self._file.transact(work, self._state(end, stamp))
        self._ids_end = end
        self._stamp = stamp

    def _state(self, end: int, stamp: Stamp) -> dict[str, int]:
        return {"node": self.node, "ids": end, "clock": signed(stamp.clock), "clock_node": stamp.node}

    def _connect(self) -> None:
        """Make sure that the file is open and holds what memory believes it to hold."""
        self._file.connect()
        if self._file.version < tables.VERSION:
            self._in_transaction(tables.upgrade, self._stamp)
            self._file.version = tables.VERSION
        if self._file.unsure:
            pending = self._pending(everything=True)
            self._in_transaction(lambda c: self._write_all(c, pending), self._stamp)
            self._settle(pending)
            self._file.unsure = False

    def _write_all(self, connection: apsw.Connection, pending: _Pending | None) -> None:
        """Everything in memory, in place of whatever the tables hold; without `pending` the small tables only."""
        tables.clear(connection)
        for database in self._databases.values():
            tables.write_database(connection, database.id, database.name)
            for policy in database.policies.values():
                tables.write_policy(connection, database.id, policy)
            for number, query in database.continuous.values():
                tables.write_continuous_query(connection, number, database.id, query)
        tables.write_dropped(connection, self._dropped)
        self.deletes.write(connection)
        self._book.write(connection, {name: d.id for name, d in self._databases.items()})
        if pending is None:
            return
        self._write_pending(connection, pending)
        for entry in self._segments.values():
            tables.write_segment(connection, entry)
        for (owner, policy_id), position in self._checkpoints.items():
            tables.write_checkpoint(connection, owner, policy_id, position)

    def _publish_meta(self) -> None:
        """Make meta.sqlite from memory."""
        pending = self._pending(everything=True)
        publish(self._files, self._path, lambda c: self._fill(c, pending))
        self._settle(pending)

    def _fill(self, connection: apsw.Connection, pending: _Pending | None) -> None:
        self._write_all(connection, pending)
        state = self._state(self._ids_end, self._stamp)
        tables.write_state(connection, {**state, "sequence": self._file.sequence})

    def _write_copy(self) -> None:
        """Bring meta.copy.sqlite up to date. A failure is kept in `copy_error`: meta.sqlite has it all."""
        with self._lock:
            try:
                publish(self._files, f"{self._directory}/{COPY}", lambda c: self._fill(c, None))
                self.copy_error = None
            except (OSError, Corruption) as problem:
                self.copy_error = str(problem)
                logger.warning("meta.copy.sqlite could not be written", error=self.copy_error)


def _has_data(files: Files, directory: str) -> bool:
    """Whether the directory holds more than empty directories and plain files of others."""
    for name in files.list_dir(directory):
        if name.startswith("meta.") and not name.endswith((".new", ".new-journal")):
            return True
        with contextlib.suppress(OSError):
            if files.list_dir(f"{directory}/{name}"):
                return True
    return False
