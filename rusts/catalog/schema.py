"""What the catalog holds, as objects in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from rusts.index.series import SeriesIndex
from rusts.model.store import ContinuousQuery, PolicyInfo
from rusts.model.types import FieldType, Stamp

__all__ = [
    "DEFAULT_DATABASE",
    "DEFAULT_POLICY",
    "FIRST_IDS",
    "Checkpoint",
    "Database",
    "FieldMeta",
    "Measurement",
    "Policy",
    "SegmentEntry",
]

DEFAULT_DATABASE: Final = "default"
"""The database that always exists: writes without a database's name go there."""

DEFAULT_POLICY: Final = "autogen"
"""The policy that a database is made with unless another one is asked for."""

FIRST_IDS: Final = (1, 2)
"""The ids of that database and its policy as a new directory gets them."""


@dataclass(frozen=True, slots=True)
class FieldMeta:
    """A field of a measurement."""

    id: int
    name: str
    type: FieldType


@dataclass(slots=True, eq=False)
class Measurement:
    """A measurement: its fields by name and its series.

    `fields` is replaced, never changed, so that a reader may go through it while a field is added.
    """

    id: int
    name: str
    database: int
    fields: dict[str, FieldMeta] = field(default_factory=dict)
    index: SeriesIndex = field(init=False)

    def __post_init__(self) -> None:
        self.index = SeriesIndex(self.name)


@dataclass(frozen=True, slots=True)
class Policy:
    """A retention policy. `duration` ns, 0 = for ever; `shard_duration` ns is stored and shown only."""

    id: int
    name: str
    duration: int
    shard_duration: int
    replication: int
    default: bool

    @staticmethod
    def of(id: int, info: PolicyInfo) -> Policy:
        """`info` with an id."""
        return Policy(id, info.name, info.duration, info.shard_duration, info.replication, info.default)

    @property
    def info(self) -> PolicyInfo:
        """The policy as the Store's users see it."""
        return PolicyInfo(self.name, self.duration, self.shard_duration, self.replication, self.default)


@dataclass(slots=True, eq=False)
class Database:
    """A database.

    `policies` by name, in order of creation, is replaced, never changed; so is `continuous`, the continuous queries by
    name, each with its id. `measurements` by name grows in place: a reader goes through a copy (``list(...)``,
    which is one step).
    """

    id: int
    name: str
    policies: dict[str, Policy] = field(default_factory=dict)
    measurements: dict[str, Measurement] = field(default_factory=dict)
    continuous: dict[str, tuple[int, ContinuousQuery]] = field(default_factory=dict)

    @property
    def default_policy(self) -> Policy | None:
        """The policy of writes and queries that name none; None if none was chosen."""
        return next((p for p in self.policies.values() if p.default), None)

    def series_count(self) -> int:
        """How many live series the measurements have together."""
        return sum(m.index.count() for m in list(self.measurements.values()))


@dataclass(frozen=True, slots=True)
class SegmentEntry:
    """A live segment, as the manifest lists it.

    Times in ns, both ends inclusive. `start` and `width` (ns) are its partition's; `tier` is a number of
    `segment.layout.Tier`.
    """

    id: int
    file_name: str
    database: int
    policy: int
    min_time: int
    max_time: int
    min_stamp: Stamp
    max_stamp: Stamp
    rows: int
    bytes: int
    tier: int
    start: int
    width: int
    parents: tuple[int, ...] = ()


class Checkpoint(NamedTuple):
    """A place in the log, as `wal.record.LogPosition`: what lies before it is in segments."""

    file: int
    offset: int
