"""Accounts, continuous queries and deletes in the catalog: durable at once, also in the copy, and gone when dropped."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pyroaring import BitMap

from rusts.catalog.catalog import COPY, META, Catalog
from rusts.catalog.describe import describe, describe_file
from rusts.catalog.rebuild import rebuild
from rusts.catalog.schema import Database, Measurement
from rusts.catalog.tombstones import Spans, Tombstone, pack_spans, unpack_numbers, unpack_spans
from rusts.errors import Corruption, DatabaseNotFound, InvalidRequest
from rusts.files import OsFiles
from rusts.index.series import UNKNOWN
from rusts.model.accounts import Privilege, Token, User
from rusts.model.series import KeyTable, encode_key
from rusts.model.store import ContinuousQuery, PolicyInfo
from rusts.model.time import NANOSECONDS
from rusts.model.types import FieldType, Stamp
from tests.support.catalogs import add_records, add_series, flush

Open = Callable[[], Catalog]


def filled(catalog: Catalog) -> tuple[Database, Measurement]:
    database = catalog.create_database("db")
    measurement = catalog.add_measurement(database, "cpu")
    catalog.add_field(measurement, "v", FieldType.FLOAT)
    add_series(measurement, "a", "b", "c")
    return database, measurement


def plain(tombstone: Tombstone) -> object:
    spans = tombstone.spans
    columns = None if spans is None else [spans.series.tolist(), spans.low.tolist(), spans.high.tolist()]
    series = None if tombstone.series is None else tombstone.series.tolist()
    return replace(tombstone, series=None, spans=None).__getstate__(), series, columns  # type: ignore[attr-defined]


def records_of(catalog: Catalog) -> object:
    return (
        catalog.users(),
        catalog.tokens(),
        [query for d in catalog.databases() for query in d.continuous.values()],
        [plain(t) for t in catalog.deletes.tombstones()],
        catalog.deletes.dropped_series,
        catalog.deletes.purges,
    )


def test_records_are_there_after_a_kill(open_catalog: Open, directory: str) -> None:
    catalog = open_catalog()
    database, measurement = filled(catalog)
    flush(catalog)
    for clock in (1, 2):
        add_records(catalog, database, measurement, Stamp(clock))
    right = records_of(catalog)
    assert records_of(open_catalog()) == right
    copy = Catalog.read(OsFiles(), str(Path(directory, COPY)))
    assert records_of(copy) == right
    assert catalog.max_stamp() == Stamp(2)


def test_users_and_tokens_are_replaced_and_dropped(open_catalog: Open) -> None:
    catalog = open_catalog()
    catalog.create_database("db")
    version = catalog.accounts_version
    user = User("u", "hash", True, {"db": Privilege.ALL})
    token = Token("t", "d", b"h")
    catalog.put_user(user)
    catalog.put_token(token)
    assert (catalog.user("u"), catalog.user("nobody")) == (user, None)
    assert catalog.accounts_version > version
    catalog.put_user(replace(user, password_hash="other", grants={}))
    catalog.put_token(replace(token, hash=b"i", scopes=("x",)))
    with pytest.raises(DatabaseNotFound):
        catalog.put_user(replace(user, grants={"nope": Privilege.READ}))
    assert "hash" not in repr(user)
    for seen in (catalog, open_catalog()):
        assert seen.users() == [User("u", "other", True)]
        assert seen.tokens() == [Token("t", "d", b"i", ("x",))]
    catalog = seen
    version = catalog.accounts_version
    for _ in range(2):
        catalog.drop_user("u")
        catalog.drop_token("t")
    assert catalog.accounts_version == version + 2
    for seen in (catalog, open_catalog()):
        assert (seen.users(), seen.tokens()) == ([], [])


def test_grants_and_continuous_queries_go_with_their_database(open_catalog: Open) -> None:
    catalog = open_catalog()
    for name in ("db", "other"):
        database = catalog.create_database(name)
        catalog.put_continuous_query(database, ContinuousQuery("q", "text"))
        catalog.put_continuous_query(database, ContinuousQuery("r", "first"))
        catalog.put_continuous_query(database, ContinuousQuery("r", "second"))
        catalog.drop_continuous_query(database, "q")
        catalog.drop_continuous_query(database, "never")
    catalog.put_user(User("u", "h", False, {"db": Privilege.READ, "other": Privilege.WRITE}))
    version = catalog.accounts_version
    catalog.drop_database("db")
    assert catalog.accounts_version > version
    for seen in (catalog, open_catalog()):
        assert seen.user("u") == User("u", "h", False, {"other": Privilege.WRITE})
        assert [q for _, q in seen.database("other").continuous.values()] == [ContinuousQuery("r", "second")]


def test_a_database_is_made_with_a_policy_or_not_at_all(open_catalog: Open) -> None:
    catalog = open_catalog()
    day = PolicyInfo("day", NANOSECONDS["d"], 0, 1, True)
    made = catalog.create_database("db", day)
    assert catalog.create_database("db", day) is catalog.create_database("db") is made
    for other in (replace(day, replication=2), replace(day, name="autogen"), replace(day, duration=0)):
        with pytest.raises(InvalidRequest, match="retention policy conflicts with an existing policy"):
            catalog.create_database("db", other)
    with pytest.raises(InvalidRequest, match="at least 1h0m0s"):
        catalog.create_database("short", replace(day, duration=1))
    for seen in (catalog, open_catalog()):
        assert [d.name for d in seen.databases()] == ["default", "db"]
        assert [p.info for p in seen.database("db").policies.values()] == [
            replace(day, shard_duration=NANOSECONDS["h"])
        ]


def test_dropped_series_stay_dropped_and_their_numbers_are_not_given_again(open_catalog: Open) -> None:
    catalog = open_catalog()
    database, measurement = filled(catalog)
    # The log has the series, meta.sqlite does not: only the numbers that were dropped are on disk.
    catalog.record_delete(database, Stamp(7), [], {measurement.id: BitMap([0, 2]), 99: BitMap([1])})
    assert measurement.index.live() == BitMap([1])
    catalog = open_catalog()
    catalog.restore_measurement(database.id, measurement.id, "cpu")
    keys = KeyTable.of([encode_key("cpu", {"host": h}) for h in "abc"])
    catalog.restore_series(measurement.id, np.arange(3, dtype=np.uint32), keys)
    index = catalog.database("db").measurements["cpu"].index
    assert index.live() == BitMap([1])
    assert add_series(catalog.database("db").measurements["cpu"], "c") == [3]
    flush(catalog)
    index = open_catalog().database("db").measurements["cpu"].index
    assert index.lookup(keys).tolist() == [UNKNOWN, 1, 3]
    assert index.live() == BitMap([1, 3])


def test_purges_end(open_catalog: Open) -> None:
    catalog = open_catalog()
    database, measurement = filled(catalog)
    flush(catalog)
    add_records(catalog, database, measurement, Stamp(1))
    add_records(catalog, database, measurement, Stamp(2))
    first = [t.id for t in catalog.deletes.tombstones() if t.stamp == Stamp(1)]
    catalog.finish_purge(database.id, Stamp(1), first)
    for seen in (catalog, open_catalog()):
        assert {t.stamp for t in seen.deletes.tombstones()} == {Stamp(2)}
        assert seen.deletes.purges == {database.id: Stamp(2)}
    catalog = seen
    catalog.finish_purge(database.id, Stamp(2), [t.id for t in catalog.deletes.tombstones()])
    flush(catalog)
    for seen in (catalog, open_catalog()):
        assert seen.deletes.tombstones() == []
        assert seen.deletes.purges == {}
        assert seen.database("db").measurements["cpu"].index.live() == BitMap([0, 2])
    assert seen.database("db").measurements["cpu"].index.key(1) == b"", "the key of a dropped series is not kept"


def test_deletes_go_with_what_they_are_about(open_catalog: Open) -> None:
    catalog = open_catalog()
    database, measurement = filled(catalog)
    add_records(catalog, database, measurement, Stamp(1))
    catalog.drop_measurement(database, "cpu", Stamp(2))
    for seen in (catalog, open_catalog()):
        assert (seen.deletes.tombstones(), seen.deletes.dropped_series) == ([], {})
        assert seen.deletes.purges == {database.id: Stamp(2)}
    catalog = seen
    catalog.drop_database("db")
    for seen in (catalog, open_catalog()):
        assert seen.deletes.purges == {}


def test_the_copy_alone_brings_records_back(open_catalog: Open, directory: str) -> None:
    catalog = open_catalog()
    database, measurement = filled(catalog)
    flush(catalog)
    add_records(catalog, database, measurement, Stamp(3))
    right = records_of(catalog)
    catalog.close()
    Path(directory, META).unlink()
    catalog, notes = rebuild(OsFiles(), directory, [])
    assert notes == []
    assert records_of(catalog) == right
    catalog.restore_measurement(database.id, measurement.id, "cpu")
    catalog.restore_series(
        measurement.id, np.array([0, 1], dtype=np.uint32), measurement.index.keys(np.arange(2, dtype=np.uint32))
    )
    assert catalog.database("db").measurements["cpu"].index.live() == BitMap([0])
    catalog.close()


def test_a_file_of_the_first_format_gets_the_new_tables(open_catalog: Open, directory: str) -> None:
    golden = Path(__file__).parents[2] / "golden" / "directory" / "version1" / META
    catalog = open_catalog()
    catalog.close()
    Path(directory, META).write_bytes(golden.read_bytes())
    assert describe_file(OsFiles(), directory)["format"] == 1
    catalog = open_catalog()
    assert describe(catalog)["format"] == 2
    catalog.put_token(Token("t", "d", b"h"))
    assert [t.id for t in open_catalog().tokens()] == ["t"]


@pytest.mark.parametrize("blob", [b"", b"x", b"\x28\xb5\x2f\xfd\x20\x03abc"])
def test_damaged_blobs(blob: bytes) -> None:
    with pytest.raises(Corruption, match="checksum"):
        unpack_spans("f", blob, 1)
    with pytest.raises(Corruption, match="checksum"):
        unpack_numbers("f", blob, 1)


def test_spans_keep_every_time() -> None:
    low = np.array([-(1 << 63) + 2, 0, (1 << 63) - 2], dtype=np.int64)
    high = np.array([(1 << 63) - 2, 0, (1 << 63) - 2], dtype=np.int64)
    blob = pack_spans(Spans(np.array([0, 1, 1], dtype=np.uint32), low, high))
    back = unpack_spans("f", blob, zlib.crc32(blob))
    assert back is not None
    assert (back.series.tolist(), back.low.tolist(), back.high.tolist()) == ([0, 1, 1], low.tolist(), high.tolist())
