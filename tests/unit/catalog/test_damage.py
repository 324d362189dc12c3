"""Flipped bytes, cut files, foreign files: found, or without effect; never a wrong answer."""

from __future__ import annotations

import os
import random
import zlib
from pathlib import Path
from typing import Any

import apsw
import pytest

from rusts.catalog.catalog import META, Catalog
from rusts.catalog.connection import PAGE_BYTES
from rusts.catalog.describe import describe_file
from rusts.catalog.tables import pack_keys, unpack_keys
from rusts.errors import Corruption, FormatTooNew
from rusts.files import OsFiles
from rusts.model.series import KeyTable
from rusts.model.types import FieldType, Stamp
from tests.support.catalogs import add_records, add_series, new_entry

SEED = int(os.environ.get("RUSTS_SEED", "20240501"))
FLIPS = 20_000 if os.environ.get("RUSTS_PROOF") else 400


@pytest.fixture
def filled(directory: str) -> Path:
    """A meta.sqlite with something in every table."""
    catalog = Catalog.open(OsFiles(), directory)
    database = catalog.create_database("db")
    for i in range(20):
        measurement = catalog.add_measurement(database, f"measurement-{i}")
        catalog.add_field(measurement, "value", FieldType.FLOAT)
        add_series(measurement, *(f"host-{n * 7919 % 1000}" for n in range(200)))
        policy = catalog.policy(database, None).id
        catalog.commit(checkpoint=(database.id, policy, (i, i)), added=[new_entry(catalog, database)], removed=[])
        if i < 5:
            add_records(catalog, database, measurement, Stamp(i + 1))
    catalog.drop_measurement(database, "measurement-3", Stamp(1))
    catalog.close()
    return Path(directory, META)


def answer(path: Path) -> dict[str, Any]:
    return describe_file(OsFiles(), str(path.parent))


def test_a_flipped_byte_is_found_or_without_effect(filled: Path) -> None:
    print("seed", SEED)
    right = answer(filled)
    whole = filled.read_bytes()
    choose = random.Random(SEED)
    # The header and the ends of pages, where the checksums are, and anywhere.
    places = [
        *range(100),
        *(p + i for p in range(0, len(whole), PAGE_BYTES) for i in (100, PAGE_BYTES - 8, PAGE_BYTES - 1)),
    ]
    places += [choose.randrange(len(whole)) for _ in range(FLIPS)]
    found = 0
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= choose.randrange(1, 256)
        filled.write_bytes(damaged)
        try:
            assert answer(filled) == right, f"byte {place}"
        except (Corruption, FormatTooNew):
            found += 1
    assert found > 0.95 * len(places)
    filled.write_bytes(whole)
    assert answer(filled) == right


def test_a_cut_file_is_found(filled: Path) -> None:
    whole = filled.read_bytes()
    for size in (0, 1, 99, 100, 4095, 4096, 8192, len(whole) // 2, len(whole) - PAGE_BYTES, len(whole) - 1):
        filled.write_bytes(whole[:size])
        with pytest.raises(Corruption):
            Catalog.open(OsFiles(), str(filled.parent))


def test_pages_of_zeros_or_of_another_place_are_found(filled: Path) -> None:
    whole = filled.read_bytes()
    right = answer(filled)
    pages = len(whole) // PAGE_BYTES
    found = 0
    for page in range(pages):
        for other in (bytes(PAGE_BYTES), whole[(page + 1) % pages * PAGE_BYTES :][:PAGE_BYTES]):
            filled.write_bytes(whole[: page * PAGE_BYTES] + other + whole[(page + 1) * PAGE_BYTES :])
            try:
                assert answer(filled) == right, f"page {page}"
            except Corruption:
                found += 1
    assert found >= 2 * pages - 4


def test_another_programs_file_and_a_later_format_are_refused(directory: str) -> None:
    path = Path(directory, META)
    path.write_bytes(b"rubbish" * 1000)
    with pytest.raises(Corruption):
        Catalog.open(OsFiles(), directory)
    path.unlink()
    foreign = apsw.Connection(str(path))
    foreign.execute("CREATE TABLE t (a)")
    foreign.close()
    with pytest.raises(Corruption, match="no checksums"):
        Catalog.open(OsFiles(), directory)
    path.unlink()
    catalog = Catalog.open(OsFiles(), directory)
    catalog._file.transact(lambda c: (c.execute("PRAGMA user_version = 3"), None)[1], {})
    catalog.close()
    with pytest.raises(FormatTooNew, match="format version 3; this rusts reads up to 2"):
        Catalog.open(OsFiles(), directory)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM state WHERE name = 'ids'",
        "DELETE FROM databases",
        "DELETE FROM measurements",
        "DELETE FROM databases WHERE name = 'default'",
        "UPDATE series SET first = 1",
        "UPDATE series SET crc = crc + 1",
        "UPDATE series SET count = count + 1",
        "UPDATE fields SET type = 99",
        "UPDATE segments SET parents = x'0102'",
        "DROP TABLE checkpoints",
        "DELETE FROM users",
        "UPDATE grants SET privilege = 9",
        "UPDATE grants SET database = 77",
        "UPDATE tokens SET scopes = '7'",
        "UPDATE tokens SET scopes = 'x'",
        "UPDATE tombstones SET series_crc = 7",
        "UPDATE tombstones SET spans_crc = 7",
        "UPDATE dropped_series SET crc = 7",
        "UPDATE continuous_queries SET database = 77",
        "DROP TABLE purges",
        "PRAGMA user_version = 1",
        "PRAGMA application_id = 5",
        "PRAGMA user_version = 0",
    ],
)
def test_rows_that_do_not_fit_together_are_damage(filled: Path, statement: str) -> None:
    catalog = Catalog.open(OsFiles(), str(filled.parent))
    state = catalog._state(1 << 20, catalog.max_stamp()) if "state" not in statement else {}
    catalog._file.transact(lambda c: (c.execute(statement), None)[1], state)
    catalog.close()
    with pytest.raises(Corruption):
        Catalog.open(OsFiles(), str(filled.parent))


def test_packed_keys_are_checked() -> None:
    keys = KeyTable.of([b"one", b"", b"three"])
    crc, blob = pack_keys(keys)
    again = unpack_keys("f", 3, crc, blob)
    assert [again[i] for i in range(3)] == [b"one", b"", b"three"]
    for count, check, data in ((3, crc ^ 1, blob), (4, crc, blob), (2, crc, blob), (9, crc, blob)):
        with pytest.raises(Corruption):
            unpack_keys("f", count, check, data)
    for bad in (b"", b"not zstd", blob[:-1], blob + b"\0"):
        with pytest.raises(Corruption):
            unpack_keys("f", 3, zlib.crc32(bad), bad)
