"""The catalog: what survives a kill at once, what survives it after a commit, and what never comes back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rusts.catalog.catalog import COPY, META, Catalog
from rusts.catalog.describe import describe, describe_file
from rusts.catalog.policies import default_shard_duration
from rusts.catalog.schema import DEFAULT_DATABASE, FIRST_IDS, Policy
from rusts.errors import Bug, Corruption, DatabaseNotFound, InvalidRequest, PolicyNotFound
from rusts.files import OsFiles
from rusts.model.series import KeyTable, encode_key
from rusts.model.store import PolicyInfo
from rusts.model.time import NANOSECONDS
from rusts.model.types import FieldType, Stamp
from tests.support.catalogs import add_series, flush, new_entry

Open = Callable[[], Catalog]


def test_a_new_directory_has_the_default_database(open_catalog: Open, directory: str) -> None:
    for _ in range(2):
        catalog = open_catalog()
        database = catalog.database("default")
        policy = catalog.policy(database, None)
        assert (database.id, policy.id) == FIRST_IDS
        assert policy == Policy(2, "autogen", 0, 7 * NANOSECONDS["d"], 1, True)
        assert catalog.policy(database, "autogen") is policy
        assert catalog.segments() == []
        assert catalog.max_stamp() == Stamp(0, 0)
        assert catalog.copy_error is None
    assert sorted(p.name for p in Path(directory).iterdir()) == [COPY, META, "segments", "wal"]


@pytest.mark.parametrize("name", ["telegraf", 'a "quoted" one', "mit ümlaut", "a'b;--", "x" * 255])
def test_a_database_is_there_after_a_kill(open_catalog: Open, name: str) -> None:
    catalog = open_catalog()
    made = catalog.create_database(name)
    assert catalog.create_database(name) is made
    catalog = open_catalog()
    assert [d.name for d in catalog.databases()] == ["default", name]
    assert catalog.database(name).id == made.id
    assert catalog.policy(catalog.database(name), None).name == "autogen"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "a\nb", "a\0b"])
def test_names_that_no_database_may_have(catalog: Catalog, name: str) -> None:
    with pytest.raises(InvalidRequest, match="invalid name"):
        catalog.create_database(name)
    assert [database.name for database in catalog.databases()] == [DEFAULT_DATABASE]


def test_unknown_names(catalog: Catalog) -> None:
    with pytest.raises(DatabaseNotFound, match='database not found: "x"'):
        catalog.database("x")
    with pytest.raises(PolicyNotFound, match="retention policy not found: week"):
        catalog.policy(catalog.database("default"), "week")
    with pytest.raises(Bug):
        catalog.measurement_name(77)
    with pytest.raises(Bug):
        catalog.field_name(77)
    assert catalog.owner(77, 2) is None
    assert catalog.owner(1, 77) is None
    assert catalog.measurement(77) is None


def test_policies_are_made_changed_and_dropped(open_catalog: Open) -> None:
    catalog = open_catalog()
    database = catalog.create_database("db")
    info = PolicyInfo("week", 7 * NANOSECONDS["d"], 0, 1, False)
    for _ in range(2):
        catalog.create_policy(database, info)
    with pytest.raises(InvalidRequest, match="retention policy already exists"):
        catalog.create_policy(database, replace(info, replication=2))
    with pytest.raises(PolicyNotFound):
        catalog.alter_policy(database, "month", default=True)
    catalog = open_catalog()
    database = catalog.database("db")
    assert list(database.policies) == ["autogen", "week"]
    week = catalog.policy(database, "week")
    assert week.info == replace(info, shard_duration=NANOSECONDS["d"])
    catalog.alter_policy(database, "week", duration=8 * NANOSECONDS["d"], default=True)
    for seen in (catalog, open_catalog()):
        database = seen.database("db")
        assert seen.policy(database, None) == replace(week, duration=8 * NANOSECONDS["d"], default=True)
        assert [p.default for p in database.policies.values()] == [False, True]
    catalog = seen
    segment = new_entry(catalog, database)
    catalog.commit(checkpoint=(database.id, week.id, (3, 4)), added=[segment], removed=[])
    assert catalog.drop_policy(database, "week") == [segment]
    for seen in (catalog, open_catalog()):
        database = seen.database("db")
        with pytest.raises(PolicyNotFound):
            seen.policy(database, None)
        assert seen.owner(database.id, week.id) is None
        assert seen.segments() == []
        assert seen.checkpoint(database.id, week.id) is None
        assert week.id in seen.dropped_ids()


@pytest.mark.parametrize(("days", "hours"), [(0, 168), (365, 168), (180, 24), (2, 24), (1, 1)])
def test_shard_durations_are_influxdbs(days: int, hours: int) -> None:
    assert default_shard_duration(days * NANOSECONDS["d"]) == hours * NANOSECONDS["h"]


def test_names_are_on_disk_after_the_next_commit(open_catalog: Open) -> None:
    catalog = open_catalog()
    database = catalog.create_database("db")
    measurement = catalog.add_measurement(database, "cpu")
    fields = [catalog.add_field(measurement, t.text, t) for t in FieldType]
    assert add_series(measurement, "a", "b", "c") == [0, 1, 2]
    assert not catalog.is_durable(measurement.id)
    assert not catalog.is_durable(fields[0].id)
    assert catalog.durable_series(measurement.id) == 0
    assert catalog.field_name(fields[4].id) == ("string", FieldType.STRING)
    keys = catalog.series_keys(measurement.id, np.array([2], dtype=np.uint32))
    assert keys[0] == encode_key("cpu", {"host": "c"})

    segment = new_entry(catalog, database)
    pair = FIRST_IDS
    catalog.commit(checkpoint=(*pair, (5, 4096)), added=[segment], removed=[])
    for seen in (catalog, open_catalog()):
        measurement = seen.database("db").measurements["cpu"]
        assert seen.measurement(measurement.id) is measurement
        assert seen.measurement_name(measurement.id) == "cpu"
        assert {f.name: f.type for f in measurement.fields.values()} == {t.text: t for t in FieldType}
        assert [f.id for f in measurement.fields.values()] == [f.id for f in fields]
        assert seen.is_durable(measurement.id)
        assert all(seen.is_durable(f.id) for f in fields)
        assert seen.durable_series(measurement.id) == len(measurement.index) == 3
        assert seen.segments() == [segment]
        assert seen.checkpoint(*pair) == (5, 4096)
        assert seen.checkpoint(1, 99) is None
        assert seen.max_stamp() == segment.max_stamp
    catalog = seen

    merged = new_entry(catalog, catalog.database("db"), parents=(segment.id, (1 << 64) - 1), clock=5)
    assert not catalog.commit(checkpoint=None, added=[merged], removed=[segment.id, 12345])
    assert not catalog.commit(checkpoint=(1, 99, (6, 1)), added=[], removed=[])
    assert seen.segments() == [segment]
    assert catalog.commit(checkpoint=None, added=[merged], removed=[segment.id])
    for seen in (catalog, open_catalog()):
        assert seen.segments() == [merged]
        assert seen.checkpoint(*pair) == (5, 4096)
        assert seen.max_stamp() == segment.max_stamp, "it never goes back"


def test_what_was_not_committed_is_gone_after_a_kill_but_its_ids_are_not_given_again(open_catalog: Open) -> None:
    catalog = open_catalog()
    database = catalog.database("default")
    given = {*FIRST_IDS}
    for round in range(3):
        measurement = catalog.add_measurement(database, f"m{round}")
        ids = [measurement.id, catalog.add_field(measurement, "f", FieldType.FLOAT).id, catalog.next_segment_id()]
        assert given.isdisjoint(ids)
        given.update(ids)
        add_series(measurement, "a")
        catalog = open_catalog()
        database = catalog.database("default")
        assert database.measurements == {}


def test_ids_go_on_when_the_promised_ones_are_used_up(open_catalog: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rusts.catalog.catalog._LEASE", 8)
    catalog = open_catalog()
    ids = [catalog.next_segment_id() for _ in range(50)]
    catalog = open_catalog()
    ids += [catalog.next_segment_id() for _ in range(50)]
    assert sorted(set(ids)) == ids


def test_the_log_brings_names_back(open_catalog: Open) -> None:
    catalog = open_catalog()
    high = 200_000
    for _ in range(2):
        catalog.restore_measurement(1, high, "cpu")
        catalog.restore_field(high, high + 1, "v", FieldType.INTEGER)
        catalog.restore_field(high + 99, high + 98, "nobody's", FieldType.INTEGER)
        keys = KeyTable.of([encode_key("cpu", {"host": h}) for h in ("a", "b")])
        catalog.restore_series(high, np.array([0, 3], dtype=np.uint32), keys)
        catalog.restore_series(high + 99, np.array([0], dtype=np.uint32), keys)
        catalog.restore_measurement(77, high + 50, "of a dropped database")
    measurement = catalog.database("default").measurements["cpu"]
    assert measurement.id == high
    assert measurement.fields["v"].id == high + 1
    assert measurement.index.count() == 2
    assert catalog.next_segment_id() > high + 98
    flush(catalog)
    measurement = open_catalog().database("default").measurements["cpu"]
    assert sorted(measurement.index.live()) == [0, 3]
    assert measurement.index.key(3) == keys[1]


def test_of_two_restored_measurements_of_one_name_the_later_stays(open_catalog: Open) -> None:
    catalog = open_catalog()
    old = catalog.add_measurement(catalog.database("default"), "cpu")
    catalog.add_field(old, "v", FieldType.FLOAT)
    add_series(old, "a")
    flush(catalog)
    catalog.restore_measurement(1, old.id + 1000, "cpu")
    catalog.restore_measurement(1, old.id, "cpu")
    catalog.restore_field(old.id + 1000, old.id + 1002, "v", FieldType.INTEGER)
    catalog.restore_field(old.id + 1000, old.id + 1001, "v", FieldType.STRING)
    flush(catalog)
    for seen in (catalog, open_catalog()):
        measurement = seen.database("default").measurements["cpu"]
        assert measurement.id == old.id + 1000
        assert [(f.id, f.type) for f in measurement.fields.values()] == [(old.id + 1002, FieldType.INTEGER)]
        assert len(measurement.index) == 0
        assert seen.measurement(old.id) is None


def test_dropped_names_do_not_come_back(open_catalog: Open) -> None:
    catalog = open_catalog()
    database = catalog.create_database("db")
    dropped = catalog.add_measurement(database, "gone")
    catalog.add_field(dropped, "v", FieldType.FLOAT)
    add_series(dropped, "a")
    flush(catalog)
    pending = catalog.add_measurement(database, "never stored")
    kept = catalog.add_measurement(database, "kept")
    for name in ("gone", "never stored", "unknown"):
        catalog.drop_measurement(database, name, Stamp(1))
    again = catalog.add_measurement(database, "gone")
    flush(catalog)
    for seen in (catalog, open_catalog()):
        for old in (dropped, pending):
            seen.restore_measurement(database.id, old.id, old.name)
            seen.restore_field(old.id, old.id + 5000, "v", FieldType.FLOAT)
            assert seen.measurement(old.id) is None
        names = seen.database("db").measurements
        assert {name: m.id for name, m in names.items()} == {"kept": kept.id, "gone": again.id}
        assert names["gone"].fields == {}
    catalog = seen

    segment = new_entry(catalog, catalog.database("db"))
    catalog.commit(checkpoint=(segment.database, segment.policy, (1, 1)), added=[segment], removed=[])
    assert catalog.drop_database("db") == [segment]
    assert catalog.drop_database("db") == []
    for seen in (catalog, open_catalog()):
        assert [d.name for d in seen.databases()] == ["default"]
        assert seen.segments() == []
        assert seen.checkpoints() == {}
        assert seen.restore_database(database.id, "db") is None
        seen.restore_measurement(database.id, kept.id, "kept")
        assert seen.measurement(kept.id) is None


def test_the_default_database_is_made_anew_when_it_is_dropped(open_catalog: Open) -> None:
    catalog = open_catalog()
    catalog.add_measurement(catalog.database("default"), "m")
    flush(catalog)
    catalog.drop_database(DEFAULT_DATABASE)
    for seen in (catalog, open_catalog()):
        database = seen.database("default")
        assert database.id not in FIRST_IDS
        assert database.measurements == {}
        assert seen.owner(*FIRST_IDS) is None


def test_series_of_many_commits_lie_in_few_rows(open_catalog: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rusts.catalog.catalog._BLOB_SERIES", 64)
    catalog = open_catalog()
    measurement = catalog.add_measurement(catalog.database("default"), "m")
    random = np.random.default_rng(20240501)
    count = 0
    for _ in range(60):
        more = int(random.integers(0, 12)) if random.random() < 0.9 else 200
        if more:
            add_series(measurement, *(f"host-{i}" for i in range(count, count + more)))
        count += more
        flush(catalog)
        rows = catalog._rows.get(measurement.id, [])
        assert len(rows) <= count // 32 + 8
        assert all(n <= 64 for _, n in rows)
    measurement = open_catalog().database("default").measurements["m"]
    assert len(measurement.index) == count
    keys = measurement.index.keys(np.arange(count, dtype=np.uint32))
    assert [keys[i] for i in range(count)] == [encode_key("m", {"host": f"host-{i}"}) for i in range(count)]


def test_the_copy_has_the_small_tables(open_catalog: Open, directory: str) -> None:
    catalog = open_catalog()
    database = catalog.create_database("db")
    catalog.create_policy(database, PolicyInfo("week", 0, 0, 1, True))
    catalog.add_measurement(database, "m")
    catalog.commit(checkpoint=None, added=[new_entry(catalog, database)], removed=[])
    catalog.drop_measurement(database, "m", Stamp(1))
    whole, copy = describe_file(OsFiles(), directory), describe_file(OsFiles(), directory, COPY)
    assert whole["segments"]
    assert copy == whole | {"segments": [], "transactions": copy["transactions"], "max_stamp": copy["max_stamp"]}


def test_a_damaged_or_missing_copy_is_written_anew(open_catalog: Open, directory: str) -> None:
    open_catalog().create_database("db")
    copy = Path(directory, COPY)
    for damage in (copy.unlink, lambda: copy.write_bytes(b"rubbish")):
        damage()
        open_catalog()
        assert [d["name"] for d in describe_file(OsFiles(), directory, COPY)["databases"]] == ["default", "db"]


def test_a_copy_that_cannot_be_written_is_tried_again(open_catalog: Open, directory: str) -> None:
    catalog = open_catalog()
    obstacle = Path(directory, COPY + ".new")
    obstacle.mkdir()
    catalog.create_database("db")
    assert catalog.copy_error is not None
    flush(catalog)
    assert catalog.copy_error is not None
    obstacle.rmdir()
    flush(catalog)
    assert catalog.copy_error is None
    assert [d["name"] for d in describe_file(OsFiles(), directory, COPY)["databases"]] == ["default", "db"]


def test_a_leftover_of_an_unfinished_start_does_no_harm(open_catalog: Open, directory: str) -> None:
    for name in (META, COPY):
        for suffix in (".new", ".new-journal"):
            Path(directory, name + suffix).write_bytes(b"half")
    assert open_catalog().copy_error is None
    assert sorted(p.name for p in Path(directory).iterdir()) == [COPY, META, "segments", "wal"]


@pytest.mark.parametrize("beside", ["segments/1.seg", "wal/1.wal", COPY, "meta.sqlite.damaged-1"])
def test_a_missing_file_beside_data_is_damage(directory: str, beside: str) -> None:
    Path(directory, beside).write_bytes(b"data")
    with pytest.raises(Corruption, match="missing"):
        Catalog.open(OsFiles(), directory)


def test_describing_changes_nothing(open_catalog: Open, directory: str) -> None:
    catalog = open_catalog()
    measurement = catalog.add_measurement(catalog.database("default"), "m")
    add_series(measurement, "a", "b")
    flush(catalog)
    before = Path(directory, META).read_bytes()
    described = describe_file(OsFiles(), directory)
    assert described == describe(catalog)
    assert described["databases"][0]["measurements"] == [
        {"id": measurement.id, "name": "m", "series": 2, "dropped_series": 0, "tags": {"host": 2}, "fields": []}
    ]
    assert Path(directory, META).read_bytes() == before
    with pytest.raises(FileNotFoundError):
        describe_file(OsFiles(), directory, "nothing.sqlite")


def test_writers_readers_and_commits_at_once(open_catalog: Open) -> None:
    catalog = open_catalog()
    database = catalog.database("default")
    done = threading.Event()
    failures: list[BaseException] = []

    def guarded(work: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            try:
                while not done.is_set():
                    work()
            except BaseException as problem:
                failures.append(problem)

        return run

    def read() -> None:
        describe(catalog)
        database.series_count()

    threads = [threading.Thread(target=guarded(w)) for w in (read, lambda: flush(catalog))]
    for thread in threads:
        thread.start()
    for i in range(80):
        measurement = catalog.add_measurement(database, f"m{i}")
        catalog.add_field(measurement, "v", FieldType.FLOAT)
        add_series(measurement, *(f"h{j}" for j in range(20)))
        if i % 20 == 0:
            catalog.create_database(f"db{i}")
    done.set()
    for thread in threads:
        thread.join()
    assert failures == []
    flush(catalog)
    found = describe(catalog)
    assert describe(open_catalog()) == found | {"transactions": found["transactions"] + 1}
    assert sum(m["series"] for m in found["databases"][0]["measurements"]) == 1_600
