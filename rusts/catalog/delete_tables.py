"""Tombstones, dropped series and pending purges as rows of meta.sqlite."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

import apsw
from pyroaring import BitMap

from rusts.catalog.tables import signed, unsigned
from rusts.catalog.tombstones import Tombstone, pack_numbers, pack_spans, unpack_numbers, unpack_spans
from rusts.index.postings import bitmap_of_numbers, numbers_of
from rusts.model.types import Stamp

__all__ = [
    "delete_of_databases",
    "delete_of_measurements",
    "delete_tombstones",
    "read_dropped_series",
    "read_purges",
    "read_tombstones",
    "write_dropped_series",
    "write_purge",
    "write_tombstone",
]


def write_tombstone(connection: apsw.Connection, tombstone: Tombstone) -> None:
    """Store a tombstone."""
    numbers = tombstone.series
    series = b"" if numbers is None else pack_numbers(bitmap_of_numbers(numbers))
    spans = pack_spans(tombstone.spans)
    row = (
        signed(tombstone.id),
        signed(tombstone.stamp.clock),
        tombstone.stamp.node,
        signed(tombstone.database),
        signed(tombstone.policy),
        signed(tombstone.measurement),
        tombstone.low,
        tombstone.high,
        zlib.crc32(series),
        series,
        zlib.crc32(spans),
        spans,
    )
    connection.execute(f"INSERT OR REPLACE INTO tombstones VALUES ({', '.join('?' * len(row))})", row)


def write_dropped_series(connection: apsw.Connection, measurement: int, numbers: BitMap) -> None:
    """Store the numbers of all dropped series of a measurement."""
    blob = pack_numbers(numbers)
    row = signed(measurement), zlib.crc32(blob), blob
    connection.execute("INSERT OR REPLACE INTO dropped_series VALUES (?, ?, ?)", row)


def write_purge(connection: apsw.Connection, database: int, stamp: Stamp) -> None:
    """Store up to when something of a database was deleted that segments may still hold."""
    row = signed(database), signed(stamp.clock), stamp.node
    connection.execute("INSERT OR REPLACE INTO purges VALUES (?, ?, ?)", row)


def delete_tombstones(connection: apsw.Connection, ids: Iterable[int]) -> None:
    """Take out tombstones."""
    connection.executemany("DELETE FROM tombstones WHERE id = ?", ((signed(i),) for i in ids))


def delete_of_measurements(connection: apsw.Connection, measurements: Iterable[int]) -> None:
    """Take out tombstones and dropped series of measurements."""
    for measurement in measurements:
        connection.execute("DELETE FROM tombstones WHERE measurement = ?", (signed(measurement),))
        connection.execute("DELETE FROM dropped_series WHERE measurement = ?", (signed(measurement),))


def delete_of_databases(connection: apsw.Connection, databases: Iterable[int]) -> None:
    """Take out the pending purges of databases."""
    connection.executemany("DELETE FROM purges WHERE database = ?", ((signed(d),) for d in databases))


def read_tombstones(connection: apsw.Connection, path: str) -> Iterator[Tombstone]:
    """Every tombstone, in the order in which they were recorded. Raises Corruption."""
    for row in connection.execute("SELECT * FROM tombstones ORDER BY id"):
        numbers = unpack_numbers(path, row[9], row[8])
        yield Tombstone(
            id=unsigned(row[0]),
            stamp=Stamp(unsigned(row[1]), row[2]),
            database=unsigned(row[3]),
            policy=unsigned(row[4]),
            measurement=unsigned(row[5]),
            low=row[6],
            high=row[7],
            series=None if numbers is None else numbers_of(numbers),
            spans=unpack_spans(path, row[11], row[10]),
        )


def read_dropped_series(connection: apsw.Connection, path: str) -> Iterator[tuple[int, BitMap]]:
    """Each measurement with dropped series, and their numbers. Raises Corruption."""
    for measurement, crc, blob in connection.execute("SELECT measurement, crc, numbers FROM dropped_series"):
        yield unsigned(measurement), unpack_numbers(path, blob, crc) or BitMap()


def read_purges(connection: apsw.Connection) -> Iterator[tuple[int, Stamp]]:
    """Each database with a pending purge, and its stamp."""
    for database, clock, node in connection.execute("SELECT database, clock, node FROM purges"):
        yield unsigned(database), Stamp(unsigned(clock), node)
