"""What the engine answers: rows, partial states, and what there is of names, series and partitions."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rusts.catalog.policies import shard_slices
from rusts.catalog.schema import Database, Measurement, Policy
from rusts.engine import fold, scan
from rusts.engine.flushing import Flushing
from rusts.engine.partition import Partition, choose_width, partition_of
from rusts.engine.policydata import PolicyData
from rusts.engine.presence import present
from rusts.engine.pruning import match_series
from rusts.engine.view import Matched
from rusts.index.series import SeriesIndex
from rusts.memtable.memtable import Memtable
from rusts.model.accounts import Token, User
from rusts.model.changes import Changes
from rusts.model.predicate import Predicate
from rusts.model.series import SeriesSet
from rusts.model.store import (
    ContinuousQuery,
    FoldRequest,
    FoldResult,
    PartitionInfo,
    PolicyInfo,
    Scan,
    ScanRequest,
    TimeRange,
)
from rusts.model.time import MAX_TIME, MIN_TIME
from rusts.model.types import FieldType

__all__ = ["Asking", "all_numbers"]

_NOTHING = np.empty(0, dtype=np.uint32)


class Asking(Flushing):
    """See the module, and `model.store.Store` for what each method promises."""

    def scan(self, request: ScanRequest) -> Scan:
        """Rows in time order (see `model.store.Scan`). Raises as `view`."""
        return scan.scan(self.view(request.database, request.policy, request.measurement), request)

    def fold(self, request: FoldRequest) -> FoldResult:
        """Partial states per group and bucket (see `model.store.FoldResult`). Raises as `view`."""
        return fold.fold(self.view(request.database, request.policy, request.measurement), request)

    def changes(self, database: str, policy: str | None, measurement: str) -> Changes | None:
        """What changed of a measurement's points since this was asked first; None if it does not exist."""
        found = self.catalog.database(database)
        chosen = self.catalog.policy(found, policy)
        known = found.measurements.get(measurement)
        if known is None:
            return None
        with self.write_lock:
            return self.data_of(found.id, chosen.id).changes.setdefault(known.id, Changes())

    # -- names

    def databases(self) -> list[str]:
        """Names, in the order of their creation."""
        return [d.name for d in self.catalog.databases()]

    def policies(self, database: str) -> list[PolicyInfo]:
        """The database's policies in the order of their creation. Raises DatabaseNotFound."""
        return [policy.info for policy in self.catalog.database(database).policies.values()]

    def continuous_queries(self, database: str) -> list[ContinuousQuery]:
        """The database's continuous queries in the order of their creation. Raises DatabaseNotFound."""
        return [query for _, query in self.catalog.database(database).continuous.values()]

    def measurements(self, database: str) -> list[str]:
        """Names of the measurements with live series, sorted. Raises DatabaseNotFound."""
        found = list(self.catalog.database(database).measurements.values())
        return sorted(measurement.name for measurement in found if measurement.index.count())

    def field_types(self, database: str, measurement: str) -> dict[str, FieldType]:
        """The measurement's fields, sorted by name; empty for an unknown measurement."""
        found = self.catalog.database(database).measurements.get(measurement)
        return {} if found is None else {name: found.fields[name].type for name in sorted(found.fields)}

    # -- series

    def tag_keys(
        self,
        database: str,
        measurement: str,
        predicate: Predicate | None = None,
        range: TimeRange | None = None,
    ) -> list[str]:
        """The tag keys of the selected series, sorted; empty for an unknown measurement."""
        index, numbers = self._selected(database, measurement, predicate, range)
        keys = index.tag_keys()
        return keys if numbers is None else [key for key in keys if index.distinct(key, numbers)]

    def select_series(
        self,
        database: str,
        measurement: str,
        predicate: Predicate | None = None,
        range: TimeRange | None = None,
    ) -> SeriesSet:
        """The live series that `predicate` holds for and, with a `range`, that have points in a shard it touches."""
        index, numbers = self._selected(database, measurement, predicate, range)
        total = len(index)
        return match_series(index, None) if numbers is None else Matched(index, numbers, total)

    def series_count(
        self,
        database: str,
        measurement: str | None = None,
        predicate: Predicate | None = None,
        range: TimeRange | None = None,
    ) -> int:
        """How many series `select_series` selects; of all measurements if none is named."""
        names = list(self.catalog.database(database).measurements) if measurement is None else [measurement]
        count = 0
        for name in names:
            index, numbers = self._selected(database, name, predicate, range)
            count += index.count() if numbers is None else len(numbers)
        return count

    def tag_values(
        self,
        database: str,
        measurement: str,
        key: str,
        predicate: Predicate | None = None,
        range: TimeRange | None = None,
    ) -> pa.LargeStringArray:
        """The distinct values of a tag in the selected series, sorted by their bytes."""
        index, numbers = self._selected(database, measurement, predicate, range)
        return index.values(key, numbers)

    def tag_value_count(
        self,
        database: str,
        measurement: str,
        key: str,
        predicate: Predicate | None = None,
        range: TimeRange | None = None,
    ) -> int:
        """How many values `tag_values` gives."""
        index, numbers = self._selected(database, measurement, predicate, range)
        return index.distinct(key, numbers)

    def _selected(
        self, database: str, name: str, predicate: Predicate | None, range: TimeRange | None
    ) -> tuple[SeriesIndex, npt.NDArray[np.uint32] | None]:
        """The index of a measurement, and the numbers in it; None for all live series."""
        found = self.catalog.database(database)
        measurement = found.measurements.get(name)
        if measurement is None:
            return SeriesIndex(name), _NOTHING
        if predicate is None and range is None:
            return measurement.index, None
        if range is not None:
            return measurement.index, self._with_points(found, measurement, predicate, range)
        matched = match_series(measurement.index, predicate)
        return measurement.index, all_numbers(matched)

    def _with_points(
        self, database: Database, measurement: Measurement, predicate: Predicate | None, range: TimeRange
    ) -> npt.NDArray[np.uint32]:
        """The series that `predicate` holds for with points in a shard, as 1.x cuts time, that `range` touches."""
        self.wait_replayed()
        with self.write_lock:
            views = [(policy, self.view_of(database, policy, measurement)) for policy in database.policies.values()]
        # Only now: the views have no series that the index does not have.
        matched = match_series(measurement.index, predicate)
        seen = np.zeros(len(matched), dtype=np.bool_)
        for policy, view in views:
            wide = shard_slices(range, policy.shard_duration)
            low, high = max(wide.start, MIN_TIME), min(wide.end - 1, MAX_TIME)
            if low <= high:
                seen |= present(view, matched, low, high)
        return all_numbers(matched)[seen]

    # -- partitions

    def partitions(self) -> list[PartitionInfo]:
        """The partitions that hold points, those in memory as a flush would make them now."""
        self.wait_replayed()
        found: list[PartitionInfo] = []
        for database in self.catalog.databases():
            for policy in database.policies.values():
                data = self.policies_data.get((database.id, policy.id))
                if data is None:
                    continue
                for partition in sorted(self.partitions_of(data)):
                    start, end = partition.start, partition.start + partition.width
                    number = _partition_id(policy, partition)
                    expiry = end + policy.duration
                    found.append(PartitionInfo(number, database.name, policy.name, start, end, expiry))
        return found

    def partitions_of(self, data: PolicyData) -> set[Partition]:
        """The partitions of one database and policy."""
        with self.write_lock:
            entries = [segment.entry for segment in data.segments]
            memtables = data.memtables()
            inside = {Partition(entry.start, entry.width) for entry in entries}
            for memtable in memtables:
                inside |= _partitions_in(memtable)
        return inside

    # -- accounts

    @property
    def accounts_version(self) -> int:
        """Grows with every change of a user or a token."""
        return self.catalog.accounts_version

    def users(self) -> list[User]:
        """All users, in the order of their creation."""
        return self.catalog.users()

    def user(self, name: str) -> User | None:
        """The user `name`, None if there is none."""
        return self.catalog.user(name)

    def tokens(self) -> list[Token]:
        """All tokens, in the order of their creation."""
        return self.catalog.tokens()


def all_numbers(matched: Matched) -> npt.NDArray[np.uint32]:
    """uint32[n] ascending: the numbers of the matched series in their index."""
    return np.arange(matched.total, dtype=np.uint32) if matched.numbers is None else matched.numbers


def _partition_id(policy: Policy, partition: Partition) -> int:
    """A number for a partition that fits into a JSON number and stays the same for ever."""
    text = f"{policy.id} {partition.start} {partition.width}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=6).digest(), "little")


def _partitions_in(memtable: Memtable) -> set[Partition]:
    views = [table.view() for table in memtable.tables.values() if table.rows]
    if not views:
        return set()
    width = choose_width(memtable.points, min(v.min_time for v in views), max(v.max_time for v in views))
    return {partition_of(int(number) * width, width) for view in views for number in view.slices(width)}
