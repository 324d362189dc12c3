"""What tests put into a catalog."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from pyroaring import BitMap

from rusts.catalog.catalog import Catalog, SegmentEntry
from rusts.catalog.schema import Database, Measurement
from rusts.catalog.tombstones import EVERY_POLICY, Spans, Tombstone
from rusts.model.accounts import Privilege, Token, User
from rusts.model.series import KeyTable, encode_key
from rusts.model.store import ContinuousQuery
from rusts.model.types import Stamp
from rusts.segment.layout import SegmentHeader, Tier
from rusts.segment.reader import SectionDescription, SegmentDescription

__all__ = ["add_records", "add_series", "describe_entry", "describe_section", "flush", "new_entry"]


def add_series(measurement: Measurement, *hosts: str) -> list[int]:
    """Give each host that is new a series with that tag; returns the numbers of those."""
    keys = KeyTable.of([encode_key(measurement.name, {"host": h}) for h in hosts])
    unknown = np.flatnonzero(measurement.index.lookup(keys) == 0xFFFFFFFF)
    numbers: list[int] = measurement.index.add(keys, unknown).tolist()
    return numbers


def add_records(catalog: Catalog, database: Database, measurement: Measurement, stamp: Stamp) -> None:
    """Something in every table of accounts, continuous queries and deletes."""
    name = f"{measurement.name}-{stamp.clock}"
    catalog.put_continuous_query(database, ContinuousQuery(name, f"CREATE CONTINUOUS QUERY {name} é"))
    catalog.put_user(User(f"user {name}", "$scrypt$of it", stamp.clock % 2 == 0, {database.name: Privilege.WRITE}))
    scopes = ("read:a", 'write:"é"')
    catalog.put_token(Token(f"token-{name}", "for tests", b"\0hash\xff", scopes, 7, (1 << 63) - 1))
    numbers = np.array([0, 2], dtype=np.uint32)
    low, high = np.array([-(1 << 63) + 2, 5], dtype=np.int64), np.array([(1 << 63) - 2, 5], dtype=np.int64)
    spans = Spans(numbers, low, high)
    owner = database.id, EVERY_POLICY, measurement.id
    some = Tombstone(catalog.next_tombstone_id(), stamp, *owner, -5, 5, numbers)
    all_of_them = Tombstone(catalog.next_tombstone_id(), stamp, *owner, -(1 << 62), 1 << 62)
    points = Tombstone(catalog.next_tombstone_id(), stamp, database.id, 2, measurement.id, 0, 9, None, spans)
    catalog.record_delete(database, stamp, [some, all_of_them, points], {measurement.id: BitMap([1])})


def flush(catalog: Catalog) -> None:
    """Bring every name to disk."""
    catalog.commit(checkpoint=None, added=[], removed=[])


def new_entry(catalog: Catalog, database: Database, parents: tuple[int, ...] = (), clock: int = 7) -> SegmentEntry:
    """A segment of the database's default policy, not yet listed; no file belongs to it."""
    number = catalog.next_segment_id()
    policy = database.default_policy
    assert policy is not None
    return SegmentEntry(
        id=number,
        file_name=f"{number:016x}.seg",
        database=database.id,
        policy=policy.id,
        min_time=-(1 << 62),
        max_time=1 << 62,
        min_stamp=Stamp(1, 0),
        max_stamp=Stamp(clock, 3),
        rows=10,
        bytes=1 << 40,
        tier=1,
        start=-7_200,
        width=7_200,
        parents=parents,
    )


def describe_section(measurement: Measurement, numbers: Iterable[int]) -> SectionDescription:
    """What a segment with rows of the series `numbers` says of the measurement."""
    used = np.array(sorted(numbers), dtype=np.uint32)
    fields = [(f.id, f.name, f.type) for f in measurement.fields.values()]
    return SectionDescription(measurement.id, measurement.name, fields, used, measurement.index.keys(used))


def describe_entry(
    entry: SegmentEntry, database: str, policy: str, sections: list[SectionDescription]
) -> tuple[str, SegmentDescription]:
    """File name and description of the segment that `entry` lists."""
    header = SegmentHeader(
        segment=entry.id,
        database=entry.database,
        database_name=database,
        policy=entry.policy,
        policy_name=policy,
        tier=Tier(entry.tier),
        start=entry.start,
        width=entry.width,
        parents=entry.parents,
        min_stamp=entry.min_stamp,
        max_stamp=entry.max_stamp,
    )
    description = SegmentDescription(header, entry.rows, entry.bytes, entry.min_time, entry.max_time, sections)
    return entry.file_name, description
