"""What the simulated disk forgets, fails and keeps: the crash sweeps rest on it."""

from __future__ import annotations

import contextlib
import errno
import random
from collections.abc import Callable

import apsw
import pytest

from tests.support.disk import READS, SimulatedDisk


def make(**options: int) -> SimulatedDisk:
    disk = SimulatedDisk(**options)
    disk.make_dir("d")
    return disk


def put(disk: SimulatedDisk, path: str, data: bytes, *, sync: bool = True, link: bool = True) -> None:
    file = disk.create(path)
    file.write(data)
    if sync:
        file.sync()
    if link:
        disk.sync_dir("d")


def test_power_loss_keeps_what_was_synced_and_linked() -> None:
    disk = make()
    put(disk, "d/both", b"x")
    put(disk, "d/name", b"x", sync=False)
    put(disk, "d/bytes", b"x", link=False)
    after = disk.crash("synced")
    assert after.paths() == ["d/both", "d/name"]
    assert after.read("d/both") == b"x"
    assert after.read("d/name") == b""


def test_kill_keeps_all_and_a_later_power_loss_does_not() -> None:
    disk = make()
    put(disk, "d/a", b"x", sync=False, link=False)
    after = disk.crash("all")
    assert after.read("d/a") == b"x"
    assert after.crash("synced").paths() == []
    disk = make()
    put(disk, "d/a", b"one")
    disk.append("d/a").write(b"two")
    after = disk.crash("all")
    assert after.read("d/a") == b"onetwo"
    assert not after.synced("d/a")
    assert after.crash("synced").read("d/a") == b"one"


def test_a_dead_disk_does_nothing() -> None:
    disk = make()
    put(disk, "d/a", b"x")
    file = disk.open("d/a")
    disk.crash()
    acts: list[Callable[[], object]] = [
        lambda: disk.read("d/a"),
        lambda: file.pread(1, 0),
        lambda: disk.create("d/b"),
        lambda: disk.sync_dir("d"),
        lambda: disk.remove("d/a"),
    ]
    for act in acts:
        with pytest.raises(OSError, match="dead"):
            act()


def test_removed_and_renamed_names_come_back() -> None:
    disk = make()
    put(disk, "d/a", b"old")
    put(disk, "d/b", b"x")
    disk.remove("d/b")
    assert disk.crash("synced").paths() == ["d/a", "d/b"]
    disk = make()
    put(disk, "d/a", b"old")
    put(disk, "d/a.tmp", b"new", link=False)
    disk.publish("d/a.tmp", "d/a")
    after = disk.crash("synced")
    assert after.paths() == ["d/a"]
    assert after.read("d/a") == b"new"


def test_publish_wants_synced_bytes() -> None:
    disk = make()
    put(disk, "d/a.tmp", b"new", sync=False)
    with pytest.raises(AssertionError, match="before it is synced"):
        disk.publish("d/a.tmp", "d/a")


def test_moving_between_directories_loses_nothing() -> None:
    for n in range(1, 4):
        disk = make()
        disk.make_dir("e")
        put(disk, "d/a", b"x")
        disk.cut_at(n)
        with pytest.raises(OSError, match="simulated"):
            disk.publish("d/a", "e/a")
        for keep in ("synced", "all", random.Random(n)):
            after = disk.crash(keep)  # type: ignore[arg-type]
            assert after.paths()
            assert all(after.read(path) == b"x" for path in after.paths())


@pytest.mark.parametrize("seed", range(30))
def test_a_random_power_loss_mixes_old_and_new_pages(seed: int) -> None:
    disk = make()
    put(disk, "d/a", b"a" * 4096 * 4)
    file = disk.append("d/a")
    file.write(b"b" * 5000)
    data = disk.crash(random.Random(seed)).read("d/a")
    assert data[: 4096 * 4] == b"a" * 4096 * 4
    rest = data[4096 * 4 :]
    assert len(rest) <= 5000
    pages = rest[:4096], rest[4096:]
    assert all(not page.strip(b"b") or not page.strip(b"\0") for page in pages)


def test_random_power_losses_are_not_all_alike() -> None:
    def lengths(seed: int) -> int:
        disk = make()
        put(disk, "d/a", b"", link=True)
        disk.append("d/a").write(b"b" * 9000)
        return len(disk.crash(random.Random(seed)).read("d/a"))

    found = {lengths(seed) for seed in range(40)}
    assert {0, 9000} < found
    assert len(found) > 5


def test_truncation_is_durable_after_a_sync() -> None:
    disk = make()
    put(disk, "d/a", b"0123456789")
    file = disk.append("d/a")
    file.truncate(4)
    assert disk.read("d/a") == b"0123"
    assert not disk.synced("d/a")
    file.sync()
    assert disk.crash("synced").read("d/a") == b"0123"


def test_the_nth_io_fails() -> None:
    disk = make()
    disk.fail_at(2, errno.ENOSPC, part=0.5)
    file = disk.create("d/a")
    with pytest.raises(OSError, match="No space") as caught:
        file.write(b"0123456789")
    assert caught.value.errno == errno.ENOSPC
    assert disk.read("d/a") == b"01234"
    file.write(b"x")
    assert file.tell() == 6


def test_faults_by_kind_and_more_than_once() -> None:
    disk = make()
    put(disk, "d/a", b"x")
    disk.fail_at(1, kinds=READS, times=2)
    file = disk.append("d/a")
    file.write(b"y")
    for _ in range(2):
        with pytest.raises(OSError, match="read"):
            disk.read("d/a")
    assert disk.read("d/a") == b"xy"
    disk.fail_at(1)
    disk.heal()
    file.write(b"z")


def test_the_disk_is_dead_behind_a_cut() -> None:
    disk = make()
    disk.cut_at(2, part=0.3)
    file = disk.create("d/a")
    with pytest.raises(OSError, match="in write"):
        file.write(b"0123456789")
    with pytest.raises(OSError, match="dead"):
        file.sync()
    assert disk.crash("all").read("d/a") == b"012"


def test_a_second_sync_after_a_failed_one_lies() -> None:
    disk = make()
    put(disk, "d/a", b"")
    file = disk.append("d/a")
    file.write(b"x")
    disk.fail_at(1)
    with pytest.raises(OSError, match="sync"):
        file.sync()
    file.sync()
    assert disk.crash("synced").read("d/a") != b"x"


def test_the_quota_gives_way_to_what_fits() -> None:
    disk = make(quota=10)
    file = disk.create("d/a")
    file.write(b"0123456")
    with pytest.raises(OSError, match="quota") as caught:
        file.write(b"abcdef")
    assert caught.value.errno == errno.ENOSPC
    assert disk.read("d/a") == b"0123456abc"
    assert disk.free_space("d") == (0, 10)
    disk.remove("d/a")
    assert disk.free_space("d") == (10, 10)


def test_counting_and_tracing() -> None:
    disk = make()
    assert disk.io_count == 1
    disk.trace = []
    disk.write_atomic("d/a", b"x")
    disk.read("d/a")
    assert [op for op, _ in disk.trace] == ["create", "write", "sync", "rename", "sync_dir"]
    assert disk.io_count == 6


def test_syncs_can_be_watched_and_bytes_flipped() -> None:
    disk = make()
    seen: list[str] = []
    disk.on_sync = seen.append
    put(disk, "d/a", b"abc")
    assert seen == ["d/a"]
    disk.corrupt("d/a", 1, 0x01)
    assert disk.read("d/a") == disk.crash("synced").read("d/a") == b"acc"


# -- SQLite


def connect(disk: SimulatedDisk) -> apsw.Connection:
    connection = apsw.Connection("d/meta.sqlite", vfs=disk.sqlite_vfs())
    connection.pragma("journal_mode", "DELETE")
    connection.pragma("synchronous", "EXTRA")
    return connection


def fill(disk: SimulatedDisk, acknowledged: list[int]) -> None:
    connection = connect(disk)
    try:
        connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b)")
        acknowledged.append(0)
        for number in range(1, 4):
            with connection:
                connection.execute("INSERT INTO t VALUES (?, ?)", (number, "x" * 3000))
            acknowledged.append(number)
    finally:
        connection.close(True)


def test_sqlite_lives_on_the_disk() -> None:
    disk = make()
    fill(disk, [])
    assert disk.paths() == ["d/meta.sqlite"]
    assert disk.synced("d/meta.sqlite")
    connection = connect(disk.crash("synced"))
    assert connection.execute("SELECT count(*), sum(length(b)) FROM t").fetchall() == [(3, 9000)]
    connection.close()


@pytest.mark.parametrize("how", ["cut", "fail", "full"])
def test_sqlite_keeps_what_it_committed(how: str) -> None:
    disk = make()
    fill(disk, [])
    for n in range(1, disk.io_count):
        for keep in ("synced", "all", random.Random(n)):
            disk = make()
            if how == "cut":
                disk.cut_at(n)
            else:
                disk.fail_at(n, errno.EIO if how == "fail" else errno.ENOSPC, part=0.5)
            acknowledged: list[int] = []
            with contextlib.suppress(apsw.Error):
                fill(disk, acknowledged)
            if not acknowledged:
                continue
            connection = connect(disk.crash(keep))  # type: ignore[arg-type]
            found = [row[0] for row in connection.execute("SELECT a FROM t ORDER BY a")]
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            connection.close()
            wanted = acknowledged[1:]
            assert found in (wanted, [*wanted, len(wanted) + 1]), f"{how} at {n}, then {keep}"


@pytest.mark.parametrize("level", ["OFF", "FULL"])
def test_a_sqlite_that_syncs_too_little_is_found_out(level: str) -> None:
    """The harness must be able to fail: FULL leaves the journal's removal to luck, so a commit may be undone."""
    disk = make()
    connection = connect(disk)
    connection.pragma("synchronous", level)
    connection.execute("CREATE TABLE t (a)")
    connection.close()
    after = connect(disk.crash("synced"))
    assert after.execute("SELECT count(*) FROM sqlite_schema").fetchall() == [(0,)]
    after.close()


def test_sqlite_connections_lock_each_other_out() -> None:
    disk = make()
    fill(disk, [])
    one, two = connect(disk), connect(disk)
    one.execute("BEGIN IMMEDIATE")
    with pytest.raises(apsw.BusyError):
        two.execute("BEGIN IMMEDIATE")
    assert two.execute("SELECT count(*) FROM t").fetchall() == [(3,)]
    one.execute("DELETE FROM t; COMMIT")
    assert two.execute("SELECT count(*) FROM t").fetchall() == [(0,)]
    reader = two.execute("SELECT name FROM sqlite_schema")
    next(reader)
    with pytest.raises(apsw.BusyError):
        one.execute("INSERT INTO t VALUES (1, 2)")
    reader.close()
    one.execute("INSERT INTO t VALUES (1, 2)")
    one.close()
    two.close()


def test_a_sqlite_read_can_fail() -> None:
    disk = make()
    fill(disk, [])
    connection = connect(disk)
    disk.fail_at(1, kinds=READS, times=100)
    with pytest.raises(apsw.IOError):
        connection.execute("SELECT * FROM t").fetchall()
    disk.heal()
    assert len(connection.execute("SELECT * FROM t").fetchall()) == 3
    connection.close()


def test_vfses_are_used_again() -> None:
    names = set()
    for _ in range(5):
        disk = make()
        fill(disk, [])
        names.add(disk.sqlite_vfs())
        disk.crash()
    assert len(names) == 1
