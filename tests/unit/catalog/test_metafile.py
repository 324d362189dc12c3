"""Doubt about the file: a transaction that landed though it was reported as failed, and another writer."""

from __future__ import annotations

import pytest

from rusts.catalog.catalog import Catalog
from rusts.errors import Corruption
from rusts.files import OsFiles
from tests.support.catalogs import new_entry


def test_a_transaction_that_landed_though_it_was_reported_as_failed(directory: str) -> None:
    catalog = Catalog.open(OsFiles(), directory)
    database = catalog.database("default")
    kept = new_entry(catalog, database)
    catalog.commit(checkpoint=None, added=[kept], removed=[])
    # The file moves on behind the catalog's back, as a COMMIT does whose answer was an error.
    landed = Catalog.open(OsFiles(), directory)
    landed._file.sequence = catalog._file.sequence
    ghost = new_entry(landed, database)
    landed._file.transact(
        lambda c: (c.execute("UPDATE segments SET id = ?", (ghost.id,)), None)[1],
        landed._state(landed._ids_end, landed.max_stamp()),
    )
    landed.close()
    catalog._file.close()
    catalog.create_database("next")
    assert catalog.segments() == [kept]
    catalog.close()
    catalog = Catalog.open(OsFiles(), directory)
    assert catalog.segments() == [kept]
    assert [d.name for d in catalog.databases()] == ["default", "next"]
    catalog.close()


def test_a_file_that_somebody_else_wrote_to_is_damage(directory: str) -> None:
    catalog = Catalog.open(OsFiles(), directory)
    for name in ("a", "b"):
        other = Catalog.open(OsFiles(), directory)
        other.create_database(name)
        other.close()
    catalog._file.close()
    with pytest.raises(Corruption, match="transaction"):
        catalog.create_database("c")
    catalog.close()
