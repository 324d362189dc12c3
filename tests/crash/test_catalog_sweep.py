"""Every I/O of meta.sqlite and its copy fails once, or is the last before a crash: whole steps are there, no halves."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import random
from collections.abc import Callable
from typing import Any

import pytest
from pyroaring import BitMap

from rusts.catalog.catalog import Catalog
from rusts.catalog.describe import describe
from rusts.catalog.rebuild import rebuild
from rusts.catalog.tombstones import Tombstone
from rusts.errors import Corruption
from rusts.model.accounts import Privilege, Token, User
from rusts.model.store import ContinuousQuery, PolicyInfo
from rusts.model.time import NANOSECONDS
from rusts.model.types import FieldType, Stamp
from rusts.segment.reader import SegmentDescription
from tests.support.catalogs import add_series, describe_entry, describe_section, flush, new_entry
from tests.support.disk import SimulatedDisk

DAY = NANOSECONDS["d"]

SEED = int(os.environ.get("RUSTS_SEED", "20240501"))

EVERY = 1 if os.environ.get("RUSTS_PROOF") else 10
"""Of the I/Os every one is tried in the proof, else every tenth."""


def make_database(catalog: Catalog) -> None:
    catalog.create_database("db")


def first_flush(catalog: Catalog) -> None:
    database = catalog.database("db")
    measurement = database.measurements.get("cpu") or catalog.add_measurement(database, "cpu")
    if "v" not in measurement.fields:
        catalog.add_field(measurement, "v", FieldType.FLOAT)
    add_series(measurement, *map(str, range(100)))
    catalog.commit(checkpoint=(1, 2, (1, 100)), added=[new_entry(catalog, database)], removed=[])


def merge(catalog: Catalog) -> None:
    database = catalog.database("db")
    add_series(database.measurements["cpu"], *map(str, range(1_000)))
    old = tuple(s.id for s in catalog.segments())
    catalog.commit(checkpoint=(1, 2, (2, 50)), added=[new_entry(catalog, database, old)], removed=old)


def make_another_database(catalog: Catalog) -> None:
    catalog.create_database("other")


def make_policy(catalog: Catalog) -> None:
    catalog.create_policy(catalog.database("db"), PolicyInfo("week", 7 * DAY, 0, 1, True))


def alter_policy(catalog: Catalog) -> None:
    catalog.alter_policy(catalog.database("db"), "week", duration=8 * DAY)


def put_user(catalog: Catalog) -> None:
    catalog.put_user(User("u", "hash", True, {"db": Privilege.READ}))


def put_token(catalog: Catalog) -> None:
    catalog.put_token(Token("t", "d", b"h", ("all",)))


def put_continuous_query(catalog: Catalog) -> None:
    catalog.put_continuous_query(catalog.database("db"), ContinuousQuery("q", "text"))


def delete(catalog: Catalog) -> None:
    database = catalog.database("db")
    measurement = database.measurements["cpu"]
    tombstone = Tombstone(catalog.next_tombstone_id(), Stamp(8), database.id, 0, measurement.id, 1, 9)
    catalog.record_delete(database, Stamp(8), [tombstone], {measurement.id: BitMap(range(100, 700))})


def purge(catalog: Catalog) -> None:
    catalog.finish_purge(catalog.database("db").id, Stamp(8), [t.id for t in catalog.deletes.tombstones()])


def drop_segments(catalog: Catalog) -> None:
    catalog.commit(checkpoint=None, added=[], removed=[s.id for s in catalog.segments()])


def drop_policy(catalog: Catalog) -> None:
    if "week" in catalog.database("db").policies:
        catalog.drop_policy(catalog.database("db"), "week")


def drop_measurement(catalog: Catalog) -> None:
    catalog.drop_measurement(catalog.database("db"), "cpu", Stamp(9))


def drop_database(catalog: Catalog) -> None:
    catalog.drop_database("db")


STEPS: list[Callable[[Catalog], None]] = [
    make_database,
    first_flush,
    merge,
    make_another_database,
    make_policy,
    alter_policy,
    put_user,
    put_token,
    put_continuous_query,
    delete,
    purge,
    drop_segments,
    drop_policy,
    drop_measurement,
    drop_database,
]


def seen(catalog: Catalog) -> dict[str, Any]:
    """What the catalog holds, without the numbers that a retry changes."""
    found = describe(catalog)
    return {
        "databases": [
            (
                d["name"],
                [(m["name"], m["series"], len(m["fields"])) for m in d["measurements"]],
                [(p["name"], p["duration_ns"], p["default"]) for p in d["policies"]],
                [(q["name"], q["text"]) for q in d["continuous_queries"]],
            )
            for d in found["databases"]
        ],
        "accounts": (found["users"], found["tokens"]),
        "deletes": ([(t["low"], t["high"]) for t in found["tombstones"]], [p["clock"] for p in found["purges"]]),
        "segments": [len(s["parents"]) for s in found["segments"]],
        "checkpoints": [(c["file"], c["offset"]) for c in found["checkpoints"]],
    }


def new_disk() -> SimulatedDisk:
    disk = SimulatedDisk()
    disk.make_dir("/data/wal")
    return disk


@pytest.fixture(scope="module")
def expected() -> list[dict[str, Any]]:
    """What is seen before, between and after the steps."""
    catalog = Catalog.open(new_disk(), "/data")
    states = [seen(catalog)]
    for step in STEPS:
        step(catalog)
        states.append(seen(catalog))
    catalog.close()
    return states


def ios_of(work: Callable[[SimulatedDisk], None]) -> int:
    """How many I/Os `work` does on a disk that is well."""
    disk = new_disk()
    work(disk)
    return disk.io_count


def start(disk: SimulatedDisk) -> None:
    Catalog.open(disk, "/data").close()


def live(disk: SimulatedDisk) -> None:
    catalog = Catalog.open(disk, "/data")
    for step in STEPS:
        step(catalog)
    catalog.close()


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
def test_a_step_whose_io_fails_once_can_be_repeated(expected: list[dict[str, Any]], error: int) -> None:
    begin, end = ios_of(start), ios_of(live)
    assert end - begin > 100
    errors = []
    for at in range(1, end - begin + 1, EVERY):
        disk = new_disk()
        catalog = Catalog.open(disk, "/data")
        disk.fail_at(at, error)
        for number, step in enumerate(STEPS, 1):
            before = seen(catalog)
            try:
                step(catalog)
            except OSError as problem:
                errors.append(problem.errno)
                # New names may be there in memory; what is listed may not have changed.
                after = seen(catalog)
                assert after["segments"] == before["segments"]
                assert after["checkpoints"] == before["checkpoints"]
                step(catalog)
            assert seen(catalog) == expected[number], f"I/O {at} failed"
        flush(catalog)
        assert catalog.copy_error is None
        catalog.close()
        catalog = Catalog.open(disk.crash("synced"), "/data")
        assert seen(catalog) == expected[-1], f"I/O {at} failed"
        catalog.close()
    assert len(errors) > 30 // EVERY
    assert set(errors) == {error}


def test_a_crash_at_every_io_leaves_whole_steps(expected: list[dict[str, Any]]) -> None:
    print("seed", SEED)
    begin, end = ios_of(start), ios_of(live)
    for at, keep in itertools.product(range(1, end - begin + 1, EVERY), ("synced", "all", "some")):
        disk = new_disk()
        catalog = Catalog.open(disk, "/data")
        disk.cut_at(at)
        done = 0
        with contextlib.suppress(OSError):
            for step in STEPS:
                step(catalog)
                done += 1
        catalog.close()
        after = disk.crash(random.Random(SEED + at) if keep == "some" else keep)  # type: ignore[arg-type]
        catalog = Catalog.open(after, "/data")
        # A step that was cut may be there all the same, or not; nothing in between.
        assert seen(catalog) in expected[done : done + 2], f"cut at I/O {at}, kept {keep}"
        assert catalog.copy_error is None
        catalog.close()


def test_a_start_that_is_cut_can_be_repeated(expected: list[dict[str, Any]]) -> None:
    print("seed", SEED)
    for at, keep in itertools.product(range(1, ios_of(start) + 1, EVERY), ("synced", "all", "some")):
        disk = new_disk()
        disk.cut_at(at)
        with contextlib.suppress(OSError):
            Catalog.open(disk, "/data").close()
        after = disk.crash(random.Random(SEED + at) if keep == "some" else keep)  # type: ignore[arg-type]
        if not after.exists("/data"):
            after.make_dir("/data/wal")
        catalog = Catalog.open(after, "/data")
        assert seen(catalog) == expected[0]
        assert catalog.copy_error is None
        catalog.close()


def test_a_rebuild_that_is_cut_can_be_repeated(expected: list[dict[str, Any]]) -> None:
    print("seed", SEED)

    def damaged() -> tuple[SimulatedDisk, list[tuple[str, SegmentDescription]]]:
        disk = new_disk()
        catalog = Catalog.open(disk, "/data")
        for step in STEPS[:2]:
            step(catalog)
        section = describe_section(catalog.database("db").measurements["cpu"], range(100))
        catalog.close()
        disk.corrupt("/data/meta.sqlite", 5_000)
        return disk, [describe_entry(e, "db", "autogen", [section]) for e in catalog.segments()]

    disk, segments = damaged()
    before = disk.io_count
    rebuild(disk, "/data", segments)[0].close()
    for at, keep in itertools.product(range(1, disk.io_count - before + 1, EVERY), ("synced", "all", "some")):
        disk, segments = damaged()
        disk.cut_at(at)
        with contextlib.suppress(OSError):
            rebuild(disk, "/data", segments)[0].close()
        after = disk.crash(random.Random(SEED + at) if keep == "some" else keep)  # type: ignore[arg-type]
        try:
            catalog = Catalog.open(after, "/data")
        except Corruption:
            catalog, notes = rebuild(after, "/data", segments)
            assert notes == []
        assert seen(catalog) == expected[2] | {"checkpoints": []}
        assert any(path.startswith("/data/meta.sqlite.damaged-") for path in after.paths())
        catalog.close()


def test_a_full_disk_refuses_changes_and_takes_them_again(expected: list[dict[str, Any]]) -> None:
    disk = new_disk()
    catalog = Catalog.open(disk, "/data")
    disk.quota = sum(disk.size(path) for path in disk.paths())
    for _ in range(2):
        with pytest.raises(OSError, match="quota") as caught:
            make_database(catalog)
        assert caught.value.errno == errno.ENOSPC
        assert seen(catalog) == expected[0]
    # A start on a full disk goes on too: there are reads and deletes to be done.
    catalog.close()
    disk = disk.crash("all")
    catalog = Catalog.open(disk, "/data")
    assert catalog.copy_error is not None
    disk.quota = None
    make_database(catalog)
    assert seen(catalog) == expected[1]
    flush(catalog)
    assert catalog.copy_error is None
    catalog.close()
