"""The Store protocol: what a query plan and a write door need of storage.

One node's `Engine` is a Store; a cluster's coordinator is one too, and nothing above asks which.
All methods are synchronous and thread-safe; none knows asyncio.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rusts.model.batch import Batch, SeriesRows
from rusts.model.changes import Changes
from rusts.model.partial import Partial, State
from rusts.model.predicate import Predicate
from rusts.model.series import SeriesSet, TagColumn
from rusts.model.types import FieldType

__all__ = [
    "Commit",
    "ContinuousQuery",
    "FoldRequest",
    "FoldResult",
    "PartitionInfo",
    "PolicyInfo",
    "Reject",
    "Scan",
    "ScanRequest",
    "ScanStats",
    "Store",
    "TimeRange",
    "Window",
    "WriteOutcome",
]


@dataclass(frozen=True, slots=True)
class TimeRange:
    """Nanoseconds since the epoch, `start` inclusive, `end` exclusive."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Window:
    """Time buckets of `interval` ns, aligned to the epoch plus `offset` ns."""

    interval: int
    offset: int = 0


class Commit(Protocol):
    """The durability of one write, by the log's mode. Cheap to ask, safe from any thread."""

    def done(self) -> bool:
        """True once the promise of the log's mode holds for the write (always, but in `every-write`)."""
        ...

    def add_done_callback(self, call: Callable[[Exception | None], None]) -> None:
        """Call `call(error)` once, from whatever thread settles it (at once if it is done)."""
        ...

    def wait(self, timeout: float | None = None) -> None:
        """Block until it is done; raises what made it fail, or `errors.Timeout`."""
        ...


@dataclass(frozen=True, slots=True)
class Reject:
    """Why points of one write were dropped: the first of its `kind`, and how many points went."""

    kind: str
    """field_type_conflict | invalid_tag_key | invalid_field_name | field_stripped | beyond_retention |
    max_series | max_values"""
    message: str
    """InfluxDB's reason, without the words ``partial write:`` before and ``dropped=N`` behind."""
    starts: npt.NDArray[np.int64]
    """int64[lines]: byte offset of each such point's line in the request."""

    @property
    def dropped(self) -> int:
        """How many points went: none where only a field was stripped from them."""
        return 0 if self.kind == "field_stripped" else len(self.starts)


@dataclass(slots=True)
class WriteOutcome:
    """What a write did: rows taken, why others were not, and the ticket of its durability."""

    accepted: int
    rejects: list[Reject]
    commit: Commit


@dataclass(frozen=True, slots=True)
class ScanRequest:
    """Rows of one measurement. `fields` None = all; rows that have none of the fields are left out."""

    database: str
    policy: str | None
    measurement: str
    range: TimeRange
    predicate: Predicate | None = None
    fields: tuple[str, ...] | None = None
    descending: bool = False
    check: Callable[[int], None] | None = None
    """Called now and then with the bytes decoded since the last call; raises to end the scan (limits, kill)."""


@dataclass(frozen=True, slots=True)
class FoldRequest:
    """Partial states of one measurement's fields per group and bucket.

    `group_by`: tag keys; None = every series is a group. `window` None = one bucket that begins at
    ``range.start``.
    """

    database: str
    policy: str | None
    measurement: str
    range: TimeRange
    states: tuple[State, ...]
    predicate: Predicate | None = None
    group_by: tuple[str, ...] | None = ()
    window: Window | None = None
    check: Callable[[int], None] | None = None


@dataclass(slots=True)
class ScanStats:
    """What a scan touched: shown by EXPLAIN and in an answer's ``stats``."""

    segments: int = 0
    segments_pruned: int = 0
    batches_decoded: int = 0
    bytes_decoded: int = 0
    rows_scanned: int = 0
    series: int = 0
    from_statistics: int = 0
    from_cache: int = 0
    warnings: list[str] = field(default_factory=list)
    """Why the answer may be incomplete (a quarantined segment, a fenced log); empty as a rule."""

    def plus(self, more: ScanStats) -> ScanStats:
        """What two reads touched together."""
        counts = {f.name: getattr(self, f.name) + getattr(more, f.name) for f in fields(self) if f.name != "warnings"}
        warnings = [*self.warnings, *(text for text in more.warnings if text not in self.warnings)]
        return ScanStats(**counts, warnings=warnings)


class Scan(Protocol):
    """The rows of a `ScanRequest`, in chunks.

    Chunks come in time order: no row of one is earlier (with `descending`: later) than any row of the
    chunk before it. Inside a chunk rows are sorted by (series, time) ascending, always. The
    `series` of a chunk are numbers in `series`; its columns are by field name.
    """

    series: SeriesSet
    field_types: Mapping[str, FieldType]
    stats: ScanStats

    def __iter__(self) -> Iterator[SeriesRows]: ...


@dataclass(slots=True)
class FoldResult:
    """Partial states in flat cells, sorted by (group, bucket); only cells where some state has a value.

    `group` int64[cells] is the number of the group, `bucket` int64[cells] the bucket's begin in ns.
    Group g has for the i-th key of `group_by` the value ``tags[i].values[tags[i].codes[g]]``; groups are
    sorted by their tuple of values. With ``group_by=None`` group g is the series g of `series`.
    """

    groups: int
    tags: list[TagColumn]
    series: SeriesSet | None
    group: npt.NDArray[np.int64]
    bucket: npt.NDArray[np.int64]
    states: dict[State, Partial]
    field_types: Mapping[str, FieldType]
    stats: ScanStats


@dataclass(frozen=True, slots=True)
class PolicyInfo:
    """A retention policy. `duration` ns, 0 = for ever; `shard_duration` is stored and shown only."""

    name: str
    duration: int
    shard_duration: int
    replication: int
    default: bool


@dataclass(frozen=True, slots=True)
class PartitionInfo:
    """A time slice of one database and policy; what InfluxDB 1.x calls a shard group.

    `start` (inclusive), `end` (exclusive) and `expiry` in ns; `expiry` is `end` and the policy's duration
    later, or `end` itself where points are kept for ever (as SHOW SHARDS prints it). `id` stays the same while the
    partition lives, and fits into a JSON number.
    """

    id: int
    database: str
    policy: str
    start: int
    end: int
    expiry: int


@dataclass(frozen=True, slots=True)
class ContinuousQuery:
    """A continuous query of a database: its name and the whole statement that made it, as SHOW prints it."""

    name: str
    text: str


class Store(Protocol):
    """Write, scan, fold, delete, alter and describe.

    What names a database that does not exist raises DatabaseNotFound; what names a policy, PolicyNotFound. What
    alters or deletes is durable before it returns, and raises InvalidRequest with InfluxDB 1.x's reason where that
    refuses; OSError where the disk does not take it, after which nothing is changed.
    """

    def write(self, database: str, policy: str | None, batches: Sequence[Batch]) -> WriteOutcome:
        """Log `batches` and make them visible. Raises DatabaseNotFound, PolicyNotFound, RetryLater."""
        ...

    def scan(self, request: ScanRequest) -> Scan:
        """Rows in time order. A measurement or field that does not exist gives no rows."""
        ...

    def fold(self, request: FoldRequest) -> FoldResult:
        """Partial states. A measurement or field that does not exist gives no cells."""
        ...

    # -- deleting

    def delete(
        self,
        database: str,
        measurements: Sequence[str],
        range: TimeRange,
        predicate: Predicate | None = None,
        *,
        policy: str | None = None,
    ) -> None:
        """Delete the points in `range` that `predicate` (tags and fields) holds for, in one policy or (None) in all.

        Unknown measurements are passed over. A series whose last point goes is dropped too. Only what was written
        before is deleted.
        """
        ...

    def drop_series(self, database: str, measurements: Sequence[str], predicate: Predicate | None = None) -> None:
        """Drop the series that `predicate` (over tags alone) holds for, with all their points.

        The measurement and its field types stay. A series that is written to again is a new one.
        """
        ...

    def drop_measurement(self, database: str, name: str) -> None:
        """Drop a measurement with its series, points and field types; nothing happens if it is not there."""
        ...

    def drop_partition(self, id: int) -> None:
        """Drop the policy's points in the time of the partition `id` of `partitions`; nothing if there is none."""
        ...

    # -- databases, policies, continuous queries

    def changes(self, database: str, policy: str | None, measurement: str) -> Changes | None:
        """The changes of a measurement's points: the same object for as long as the measurement lives.

        None if there is no such measurement or policy yet.
        """
        ...

    def create_database(self, name: str, policy: PolicyInfo | None = None) -> None:
        """Make the database with `policy` as its default one (None: ``autogen``, which keeps points for ever).

        If it is there, nothing happens where `policy` is None or is its default policy with these durations and
        replication; else "retention policy conflicts with an existing policy".
        """
        ...

    def drop_database(self, name: str) -> None:
        """Drop the database, its continuous queries and what users may do there; nothing if it is not there."""
        ...

    def create_policy(self, database: str, policy: PolicyInfo) -> None:
        """Make a policy, and the default one of it if it says so. `shard_duration` 0: what 1.x takes for the duration.

        Nothing happens if the same one is there.
        """
        ...

    def alter_policy(
        self,
        database: str,
        name: str,
        *,
        duration: int | None = None,
        shard_duration: int | None = None,
        replication: int | None = None,
        default: bool | None = None,
    ) -> None:
        """Change what is given (ns); `default` True makes it the default policy. Raises PolicyNotFound."""
        ...

    def drop_policy(self, database: str, name: str) -> None:
        """Drop the policy with its points; nothing happens if it is not there."""
        ...

    def put_continuous_query(self, database: str, query: ContinuousQuery) -> None:
        """Keep `query`, instead of one of the same name if there is one."""
        ...

    def drop_continuous_query(self, database: str, name: str) -> None:
        """Forget a continuous query; nothing happens if it is not there."""
        ...

    # -- asking

    def databases(self) -> list[str]:
        """Names, in the order of their creation."""
        ...

    def policies(self, database: str) -> list[PolicyInfo]:
        """The database's policies in the order of their creation."""
        ...

    def continuous_queries(self, database: str) -> list[ContinuousQuery]:
        """The database's continuous queries in the order of their creation."""
        ...

    def partitions(self) -> list[PartitionInfo]:
        """The partitions that hold points, by database and policy in order of creation, then by time."""
        ...

    def measurements(self, database: str) -> list[str]:
        """Names, sorted; a measurement without a live series is not listed."""
        ...

    def field_types(self, database: str, measurement: str) -> dict[str, FieldType]:
        """The measurement's fields, sorted by name; empty for an unknown measurement."""
        ...

    def tag_keys(
        self,
        database: str,
        measurement: str,
        predicate: Predicate | None = None,
        range: TimeRange | None = None,
    ) -> list[str]:
        """The tag keys of the series that `select_series` selects, sorted; empty for an unknown measurement."""
        ...

    def select_series(
        self,
        database: str,
        measurement: str,
        predicate: Predicate | None = None,
        range: TimeRange | None = None,
    ) -> SeriesSet:
        """The live series that `predicate` (over tags alone) holds for; none for an unknown measurement.

        With a `range`, only those with points in a shard that it touches, as 1.x sees it: a slice of time as wide as
        the policy's shard duration.
        """
        ...

    def series_count(
        self,
        database: str,
        measurement: str | None = None,
        predicate: Predicate | None = None,
        range: TimeRange | None = None,
    ) -> int:
        """How many series `select_series` selects, exactly; of all measurements together if none is named."""
        ...

    def tag_values(
        self,
        database: str,
        measurement: str,
        key: str,
        predicate: Predicate | None = None,
        range: TimeRange | None = None,
    ) -> pa.LargeStringArray:
        """The distinct values of the tag `key` in the series that `select_series` selects, sorted by bytes.

        Series without the tag have no value.
        """
        ...

    def tag_value_count(
        self,
        database: str,
        measurement: str,
        key: str,
        predicate: Predicate | None = None,
        range: TimeRange | None = None,
    ) -> int:
        """The length of `tag_values`, exactly."""
        ...
