"""The Store protocol: what a query plan and a write door need of storage.

One node's `Engine` is a Store; a cluster's coordinator is one too, and nothing above asks which.
All methods are synchronous and thread-safe; none knows asyncio.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from rusts.model.batch import Batch, SeriesRows
from rusts.model.partial import Partial, State
from rusts.model.predicate import Predicate
from rusts.model.series import SeriesSet, TagColumn
from rusts.model.types import FieldType

__all__ = [
    "Commit",
    "FoldRequest",
    "FoldResult",
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
    warnings: list[str] = field(default_factory=list)
    """Why the answer may be incomplete (a quarantined segment, a fenced log); empty as a rule."""


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


class Store(Protocol):
    """Write, scan, fold, alter and describe."""

    def write(self, database: str, policy: str | None, batches: Sequence[Batch]) -> WriteOutcome:
        """Log `batches` and make them visible. Raises DatabaseNotFound, PolicyNotFound, RetryLater."""
        ...

    def scan(self, request: ScanRequest) -> Scan:
        """Rows in time order. A measurement or field that does not exist gives no rows."""
        ...

    def fold(self, request: FoldRequest) -> FoldResult:
        """Partial states. A measurement or field that does not exist gives no cells."""
        ...

    def create_database(self, name: str) -> None:
        """Make the database with its default policy ``autogen``; nothing happens if it is there."""
        ...

    def databases(self) -> list[str]:
        """Names, in the order of their creation."""
        ...

    def policies(self, database: str) -> list[PolicyInfo]:
        """The database's policies in the order of their creation."""
        ...

    def measurements(self, database: str) -> list[str]:
        """Names, sorted."""
        ...

    def field_types(self, database: str, measurement: str) -> dict[str, FieldType]:
        """The measurement's fields, sorted by name; empty for an unknown measurement."""
        ...

    def tag_keys(self, database: str, measurement: str) -> list[str]:
        """The measurement's tag keys, sorted; empty for an unknown measurement."""
        ...
