"""The tables of meta.sqlite: their definition, and their rows as objects. FORMAT.md explains each column."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, Final

import apsw
import numpy as np
import zstandard

from rusts.catalog.schema import Checkpoint, FieldMeta, Measurement, Policy, SegmentEntry
from rusts.errors import Corruption, FormatTooNew
from rusts.model.series import KeyTable
from rusts.model.store import ContinuousQuery
from rusts.model.types import FieldType, Stamp

__all__ = [
    "VERSION",
    "check_version",
    "clear",
    "create",
    "delete_checkpoints",
    "delete_continuous_query",
    "delete_database",
    "delete_measurement",
    "delete_policy",
    "delete_segments",
    "delete_series",
    "digest",
    "pack_keys",
    "read_checkpoints",
    "read_continuous_queries",
    "read_databases",
    "read_dropped",
    "read_fields",
    "read_measurements",
    "read_policies",
    "read_segments",
    "read_series",
    "read_state",
    "row_digest",
    "signed",
    "unpack_keys",
    "unsigned",
    "upgrade",
    "version",
    "write_checkpoint",
    "write_continuous_query",
    "write_database",
    "write_dropped",
    "write_field",
    "write_measurement",
    "write_policy",
    "write_segment",
    "write_series",
    "write_state",
]

VERSION: Final = 2
"""The newest format that this code reads, and the one that it writes (SQLite's ``user_version``)."""

_APPLICATION: Final = 0x52555354
"""SQLite's ``application_id``: "RUST"."""

_TABLES: Final = """
CREATE TABLE state (name TEXT NOT NULL PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE databases (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE policies (
    id INTEGER PRIMARY KEY, database INTEGER NOT NULL, name TEXT NOT NULL, duration INTEGER NOT NULL,
    shard_duration INTEGER NOT NULL, replication INTEGER NOT NULL, is_default INTEGER NOT NULL,
    UNIQUE (database, name)
) STRICT;
CREATE TABLE dropped (id INTEGER PRIMARY KEY) STRICT;
CREATE TABLE measurements (
    id INTEGER PRIMARY KEY, database INTEGER NOT NULL, name TEXT NOT NULL, UNIQUE (database, name)
) STRICT;
CREATE TABLE fields (
    id INTEGER PRIMARY KEY, measurement INTEGER NOT NULL, name TEXT NOT NULL, type INTEGER NOT NULL,
    UNIQUE (measurement, name)
) STRICT;
CREATE TABLE series (
    measurement INTEGER NOT NULL, first INTEGER NOT NULL, count INTEGER NOT NULL, crc INTEGER NOT NULL,
    keys BLOB NOT NULL, PRIMARY KEY (measurement, first)
) STRICT;
CREATE TABLE segments (
    id INTEGER PRIMARY KEY, file_name TEXT NOT NULL, database INTEGER NOT NULL, policy INTEGER NOT NULL,
    min_time INTEGER NOT NULL, max_time INTEGER NOT NULL, min_clock INTEGER NOT NULL, min_node INTEGER NOT NULL,
    max_clock INTEGER NOT NULL, max_node INTEGER NOT NULL, rows INTEGER NOT NULL, bytes INTEGER NOT NULL,
    tier INTEGER NOT NULL, start INTEGER NOT NULL, width INTEGER NOT NULL, parents BLOB NOT NULL
) STRICT;
CREATE TABLE checkpoints (
    database INTEGER NOT NULL, policy INTEGER NOT NULL, file INTEGER NOT NULL, offset INTEGER NOT NULL,
    PRIMARY KEY (database, policy)
) STRICT, WITHOUT ROWID;
"""

_SECOND: Final = """
CREATE TABLE continuous_queries (
    id INTEGER PRIMARY KEY, database INTEGER NOT NULL, name TEXT NOT NULL, text TEXT NOT NULL, UNIQUE (database, name)
) STRICT;
CREATE TABLE users (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, password TEXT NOT NULL, is_admin INTEGER NOT NULL
) STRICT;
CREATE TABLE grants (
    user INTEGER NOT NULL, database INTEGER NOT NULL, privilege INTEGER NOT NULL, PRIMARY KEY (user, database)
) STRICT, WITHOUT ROWID;
CREATE TABLE tokens (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, description TEXT NOT NULL, hash BLOB NOT NULL,
    scopes TEXT NOT NULL, created INTEGER NOT NULL, expires INTEGER NOT NULL
) STRICT;
CREATE TABLE tombstones (
    id INTEGER PRIMARY KEY, clock INTEGER NOT NULL, node INTEGER NOT NULL, database INTEGER NOT NULL,
    policy INTEGER NOT NULL, measurement INTEGER NOT NULL, low INTEGER NOT NULL, high INTEGER NOT NULL,
    series_crc INTEGER NOT NULL, series BLOB NOT NULL, spans_crc INTEGER NOT NULL, spans BLOB NOT NULL
) STRICT;
CREATE TABLE dropped_series (measurement INTEGER PRIMARY KEY, crc INTEGER NOT NULL, numbers BLOB NOT NULL) STRICT;
CREATE TABLE purges (database INTEGER PRIMARY KEY, clock INTEGER NOT NULL, node INTEGER NOT NULL) STRICT;
"""
"""What format 2 adds."""

_OF_FIRST: Final = (
    "databases",
    "policies",
    "dropped",
    "measurements",
    "fields",
    "series",
    "segments",
    "checkpoints",
)
_OF_SECOND: Final = (
    "continuous_queries",
    "users",
    "grants",
    "tokens",
    "tombstones",
    "dropped_series",
    "purges",
)

_LEVEL: Final = 3
_KEYS_MAX: Final = 1 << 31


def signed(value: int) -> int:
    """A 64-bit unsigned number as SQLite keeps it."""
    return value - (1 << 64) if value >> 63 else value


def unsigned(value: int) -> int:
    """The number of which `signed` gave `value`."""
    return value & 0xFFFFFFFFFFFFFFFF


def create(connection: apsw.Connection) -> None:
    """Make the tables, inside the caller's transaction."""
    connection.execute(f"PRAGMA application_id = {_APPLICATION}")
    connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute(_TABLES)
    connection.execute(_SECOND)


def upgrade(connection: apsw.Connection) -> None:
    """Give a database of format 1 the tables that it lacks, inside the caller's transaction."""
    connection.execute(_SECOND)
    connection.execute(f"PRAGMA user_version = {VERSION}")


def version(connection: apsw.Connection) -> int:
    """The format of an open database."""
    return int(connection.pragma("user_version"))


def _names(connection: apsw.Connection) -> tuple[str, ...]:
    return _OF_FIRST if version(connection) < VERSION else _OF_FIRST + _OF_SECOND


def check_version(connection: apsw.Connection, path: str) -> None:
    """Raise FormatTooNew for a later format, Corruption for a database that is not ours or damaged."""
    application = connection.pragma("application_id")
    if application != _APPLICATION:
        raise Corruption(path, 68, "it is another program's database")
    found = version(connection)
    if found > VERSION:
        raise FormatTooNew(path, found, VERSION)
    if found < 1:
        raise Corruption(path, 60, f"there is no format version {found}")
    verdict = connection.execute("PRAGMA integrity_check(1)").get
    if verdict != "ok":
        raise Corruption(path, 0, str(verdict))


def read_state(connection: apsw.Connection) -> dict[str, int]:
    """The numbers of the table ``state``."""
    return dict(connection.execute("SELECT name, value FROM state"))


def write_state(connection: apsw.Connection, values: dict[str, int]) -> None:
    """Store numbers, each replacing an earlier one of its name."""
    connection.executemany("INSERT OR REPLACE INTO state VALUES (?, ?)", values.items())


def write_database(connection: apsw.Connection, number: int, name: str) -> None:
    """Store a database."""
    connection.execute("INSERT OR REPLACE INTO databases VALUES (?, ?)", (signed(number), name))


def write_policy(connection: apsw.Connection, database: int, policy: Policy) -> None:
    """Store a policy of `database`."""
    row = (
        signed(policy.id),
        signed(database),
        policy.name,
        policy.duration,
        policy.shard_duration,
        policy.replication,
        int(policy.default),
    )
    connection.execute("INSERT OR REPLACE INTO policies VALUES (?, ?, ?, ?, ?, ?, ?)", row)


def write_continuous_query(connection: apsw.Connection, number: int, database: int, query: ContinuousQuery) -> None:
    """Store a continuous query of `database`."""
    row = signed(number), signed(database), query.name, query.text
    connection.execute("INSERT OR REPLACE INTO continuous_queries VALUES (?, ?, ?, ?)", row)


def write_dropped(connection: apsw.Connection, ids: Iterable[int]) -> None:
    """Store ids that were dropped, so that no file brings them back."""
    connection.executemany("INSERT OR REPLACE INTO dropped VALUES (?)", ((signed(i),) for i in ids))


def write_measurement(connection: apsw.Connection, measurement: Measurement) -> None:
    """Store a measurement, without its fields and series."""
    row = signed(measurement.id), signed(measurement.database), measurement.name
    connection.execute("INSERT OR REPLACE INTO measurements VALUES (?, ?, ?)", row)


def write_field(connection: apsw.Connection, measurement: int, field: FieldMeta) -> None:
    """Store a field of `measurement`."""
    row = signed(field.id), signed(measurement), field.name, int(field.type)
    connection.execute("INSERT OR REPLACE INTO fields VALUES (?, ?, ?, ?)", row)


def write_series(connection: apsw.Connection, measurement: int, first: int, keys: KeyTable) -> None:
    """Store the keys of the series `first` and following; an older row that began there goes."""
    crc, blob = pack_keys(keys)
    row = signed(measurement), first, len(keys), crc, blob
    connection.execute("INSERT OR REPLACE INTO series VALUES (?, ?, ?, ?, ?)", row)


def write_segment(connection: apsw.Connection, entry: SegmentEntry) -> None:
    """List a segment."""
    row = (
        signed(entry.id),
        entry.file_name,
        signed(entry.database),
        signed(entry.policy),
        entry.min_time,
        entry.max_time,
        signed(entry.min_stamp.clock),
        entry.min_stamp.node,
        signed(entry.max_stamp.clock),
        entry.max_stamp.node,
        entry.rows,
        entry.bytes,
        int(entry.tier),
        entry.start,
        entry.width,
        np.array(entry.parents, dtype="<u8").tobytes(),
    )
    connection.execute(f"INSERT OR REPLACE INTO segments VALUES ({', '.join('?' * len(row))})", row)


def write_checkpoint(connection: apsw.Connection, database: int, policy: int, position: Checkpoint) -> None:
    """Move the checkpoint of a database and policy."""
    row = signed(database), signed(policy), position.file, position.offset
    connection.execute("INSERT OR REPLACE INTO checkpoints VALUES (?, ?, ?, ?)", row)


def pack_keys(keys: KeyTable) -> tuple[int, bytes]:
    """CRC-32 and bytes of a row of ``series``: one Zstd frame of all lengths (u32), then all keys."""
    sizes = np.diff(keys.offsets).astype("<u4")
    end = int(keys.offsets[-1])
    blob = zstandard.ZstdCompressor(level=_LEVEL).compress(sizes.tobytes() + keys.data[:end].tobytes())
    return zlib.crc32(blob), blob


def unpack_keys(path: str, count: int, crc: int, blob: bytes) -> KeyTable:
    """The keys of a row of ``series``. Raises Corruption."""
    if zlib.crc32(blob) != crc:
        raise Corruption(path, 0, "the checksum of series keys is wrong")
    try:
        if zstandard.frame_content_size(blob) > _KEYS_MAX:
            raise Corruption(path, 0, "series keys are too large")
        data = zstandard.ZstdDecompressor().decompress(blob, allow_extra_data=False)
    except zstandard.ZstdError as problem:
        raise Corruption(path, 0, f"series keys: {problem}") from None
    if len(data) < 4 * count:
        raise Corruption(path, 0, "series keys end early")
    offsets = np.zeros(count + 1, dtype=np.int64)
    np.cumsum(np.frombuffer(data, dtype="<u4", count=count), out=offsets[1:])
    keys = np.frombuffer(data, dtype=np.uint8, offset=4 * count)
    if len(keys) != offsets[-1]:
        raise Corruption(path, 0, "series keys have another length than their sum")
    return KeyTable(keys, offsets)


def row_digest(table: str, row: tuple[Any, ...]) -> int:
    """64 bits of the contents of a row, of which the sum over all rows but those of ``state`` is on disk.

    BLAKE2b of the table's name and each value behind its length; keys of series stand for themselves by their CRC.
    """
    parts = [table.encode()]
    for value in row[: 4 if table == "series" else None]:
        if isinstance(value, int):
            raw = value.to_bytes(8, "little", signed=True)
        else:
            raw = value.encode() if isinstance(value, str) else value
        parts += (len(raw).to_bytes(4, "little"), raw)
    return int.from_bytes(hashlib.blake2b(b"".join(parts), digest_size=8).digest(), "little")


def digest(connection: apsw.Connection) -> int:
    """The sum, modulo 2**64, of `row_digest` over all rows but those of ``state``."""
    rows = ((table, row) for table in _names(connection) for row in connection.execute(f"SELECT * FROM {table}"))
    return unsigned(sum(row_digest(table, row) for table, row in rows))


def clear(connection: apsw.Connection) -> None:
    """Take every row out of every table but ``state``."""
    for table in _names(connection):
        connection.execute(f"DELETE FROM {table}")


def delete_policy(connection: apsw.Connection, policy: int) -> None:
    """Take out a policy."""
    connection.execute("DELETE FROM policies WHERE id = ?", (signed(policy),))


def delete_database(connection: apsw.Connection, database: int, policies: Iterable[int]) -> None:
    """Take out a database with its policies and continuous queries."""
    connection.execute("DELETE FROM continuous_queries WHERE database = ?", (signed(database),))
    connection.execute("DELETE FROM databases WHERE id = ?", (signed(database),))
    for policy in policies:
        delete_policy(connection, policy)


def delete_continuous_query(connection: apsw.Connection, number: int) -> None:
    """Take out a continuous query."""
    connection.execute("DELETE FROM continuous_queries WHERE id = ?", (signed(number),))


def delete_measurement(connection: apsw.Connection, measurement: int) -> None:
    """Take out a measurement with its fields and series."""
    row = (signed(measurement),)
    connection.execute("DELETE FROM fields WHERE measurement = ?", row)
    connection.execute("DELETE FROM series WHERE measurement = ?", row)
    connection.execute("DELETE FROM measurements WHERE id = ?", row)


def delete_series(connection: apsw.Connection, measurement: int, first: int) -> None:
    """Take out the rows of series that begin at `first` or later."""
    connection.execute("DELETE FROM series WHERE measurement = ? AND first >= ?", (signed(measurement), first))


def delete_segments(connection: apsw.Connection, segments: Iterable[int]) -> None:
    """Unlist segments."""
    connection.executemany("DELETE FROM segments WHERE id = ?", ((signed(s),) for s in segments))


def delete_checkpoints(connection: apsw.Connection, pairs: Iterable[tuple[int, int]]) -> None:
    """Take out the checkpoints of pairs of database and policy."""
    rows = ((signed(d), signed(p)) for d, p in pairs)
    connection.executemany("DELETE FROM checkpoints WHERE database = ? AND policy = ?", rows)


def read_databases(connection: apsw.Connection) -> Iterator[tuple[int, str]]:
    """Id and name of each database, in the order of their creation."""
    for number, name in connection.execute("SELECT id, name FROM databases ORDER BY id"):
        yield unsigned(number), name


def read_policies(connection: apsw.Connection) -> Iterator[tuple[int, Policy]]:
    """Each policy and its database, in the order of their creation."""
    for number, database, name, duration, shard, replication, default in connection.execute(
        "SELECT id, database, name, duration, shard_duration, replication, is_default FROM policies ORDER BY id"
    ):
        yield unsigned(database), Policy(unsigned(number), name, duration, shard, replication, bool(default))


def read_continuous_queries(connection: apsw.Connection) -> Iterator[tuple[int, int, ContinuousQuery]]:
    """Id, database and contents of each continuous query, in the order of their creation."""
    for number, database, name, text in connection.execute(
        "SELECT id, database, name, text FROM continuous_queries ORDER BY id"
    ):
        yield unsigned(number), unsigned(database), ContinuousQuery(name, text)


def read_dropped(connection: apsw.Connection) -> Iterator[int]:
    """Every id that was dropped."""
    for (number,) in connection.execute("SELECT id FROM dropped"):
        yield unsigned(number)


def read_measurements(connection: apsw.Connection) -> Iterator[Measurement]:
    """Every measurement, without its fields and series."""
    for number, database, name in connection.execute("SELECT id, database, name FROM measurements ORDER BY id"):
        yield Measurement(unsigned(number), name, unsigned(database))


def read_fields(connection: apsw.Connection) -> Iterator[tuple[int, FieldMeta]]:
    """Every field and its measurement, those of one measurement together. Raises ValueError on an unknown type."""
    for number, measurement, name, type in connection.execute(
        "SELECT id, measurement, name, type FROM fields ORDER BY measurement, id"
    ):
        yield unsigned(measurement), FieldMeta(unsigned(number), name, FieldType(type))


def read_series(connection: apsw.Connection, path: str) -> Iterator[tuple[int, int, KeyTable]]:
    """Measurement, first number and keys of each row, those of one measurement in order. Raises Corruption."""
    for measurement, first, count, crc, blob in connection.execute(
        "SELECT measurement, first, count, crc, keys FROM series ORDER BY measurement, first"
    ):
        yield unsigned(measurement), first, unpack_keys(path, count, crc, blob)


def read_segments(connection: apsw.Connection) -> Iterator[SegmentEntry]:
    """Every listed segment, the oldest id first. Raises ValueError on a list of parents that is cut."""
    for row in connection.execute("SELECT * FROM segments ORDER BY id"):
        yield _segment(row)


def _segment(row: tuple[Any, ...]) -> SegmentEntry:
    return SegmentEntry(
        id=unsigned(row[0]),
        file_name=row[1],
        database=unsigned(row[2]),
        policy=unsigned(row[3]),
        min_time=row[4],
        max_time=row[5],
        min_stamp=Stamp(unsigned(row[6]), row[7]),
        max_stamp=Stamp(unsigned(row[8]), row[9]),
        rows=row[10],
        bytes=row[11],
        tier=row[12],
        start=row[13],
        width=row[14],
        parents=tuple(np.frombuffer(row[15], dtype="<u8").tolist()),
    )


def read_checkpoints(connection: apsw.Connection) -> Iterator[tuple[tuple[int, int], Checkpoint]]:
    """Database, policy and position of each checkpoint."""
    for database, policy, file, offset in connection.execute("SELECT database, policy, file, offset FROM checkpoints"):
        yield (unsigned(database), unsigned(policy)), Checkpoint(file, offset)
