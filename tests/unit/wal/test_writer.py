"""The log while it is written: order, names, rotation, durability by mode, and every kind of failure."""

from __future__ import annotations

import errno
import threading
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from rusts.clock import SystemClock
from rusts.errors import DiskFull, LogUnavailable, RustsError
from rusts.files import OsFiles
from rusts.model.store import Commit
from rusts.model.types import Stamp
from rusts.wal.reader import read_file_header, replay, replay_names
from rusts.wal.record import FILE_HEADER_BYTES, LogPosition, file_name
from rusts.wal.sync import DONE, LogMode
from rusts.wal.writer import Log
from tests.support.disk import SimulatedDisk
from tests.support.wal import DIRECTORY, PlainNames, plain, read_log, rows, series_key, split

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.wal.conftest import ManualClock, OpenLog

LOGGED = [LogMode.EVERY_WRITE, LogMode.PERIODIC, LogMode.OS_DEFAULT]


def put(log: Log, number: int, count: int = 1) -> tuple[LogPosition, Commit]:
    """Write number `number`: its stamp and its values say so."""
    return log.append(1, 2, Stamp(number), [rows(7, [number % 3] * count, [number] * count, {102: [number] * count})])


def numbers(disk: SimulatedDisk) -> list[int]:
    """Which writes a replay of the disk finds, undamaged."""
    records, damage = read_log(disk)
    assert damage == []
    return [record.stamp.clock for record in records]


def path(number: int) -> str:
    return f"{DIRECTORY}/{file_name(number)}"


@pytest.mark.parametrize("mode", LOGGED)
def test_what_goes_in_comes_out(open_log: OpenLog, disk: SimulatedDisk, mode: LogMode) -> None:
    log = open_log(mode)
    written = [rows(7, [2, 0], [5, 6], {101: [1.5, None], 105: ["a", "b"]}), rows(8, [0], [1], {200: [7]})]
    ends = [log.first]
    for number in range(3):
        start, _ = log.append(10 + number, 20, Stamp(5 + number, 3), written)
        assert start == ends[-1]
        ends.append(log.end())
    log.close()
    records, damage = split(list(replay(disk, DIRECTORY)))
    assert damage == []
    assert [(start, end) for start, end, _ in records] == list(pairwise(ends))
    first, second, _ = (record for _, _, record in records)
    assert (first.database, first.policy, first.stamp) == (10, 20, Stamp(5, 3))
    assert [plain(b) for b in first.rows] == [plain(b) for b in written]
    assert first.measurements == [(7, "m7"), (8, "m8")]
    assert [f[:3] for f in first.fields] == [(101, 7, "f101"), (105, 7, "f105"), (200, 8, "f200")]
    assert [(m, n.tolist(), keys[0]) for m, n, keys in first.series] == [
        (7, [0, 2], series_key(7, 0)),
        (8, [0], series_key(8, 0)),
    ]
    assert (second.measurements, second.fields, second.series) == ([], [], [])
    assert [plain(b) for b in second.rows] == [plain(b) for b in written]


def test_no_log_in_mode_none(open_log: OpenLog, disk: SimulatedDisk) -> None:
    log = open_log(LogMode.NONE)
    (one, commit), (two, _) = put(log, 1), put(log, 2)
    assert commit is DONE
    assert log.first == one < two < log.end()
    assert log.rotate() == log.end()
    assert not log.wait_work(0)
    log.sync_once()
    end = log.end()
    log.release(end)
    log.close()
    assert numbers(disk) == []
    # The next run's positions are larger, although this one has logged nothing, and even after a power loss.
    assert open_log(LogMode.PERIODIC, disk.crash("synced")).first > end


def test_each_run_begins_a_new_file(open_log: OpenLog, disk: SimulatedDisk) -> None:
    for run in range(3):
        log = open_log()
        assert log.first == LogPosition(run + 1, FILE_HEADER_BYTES)
        put(log, run)
        log.close()
    assert numbers(disk) == [0, 1, 2]
    header = read_file_header(disk, path(3))
    assert (header.number, header.previous, header.previous_end) == (3, 2, 0)


def test_a_run_without_writes_leaves_no_file(open_log: OpenLog, disk: SimulatedDisk) -> None:
    log = open_log()
    log.sync_once()
    assert not log.wait_work(0)
    log.close()
    assert disk.list_dir(DIRECTORY) == []


def test_positions_are_behind_every_checkpoint(open_log: OpenLog) -> None:
    assert open_log(after=LogPosition(41, 10**9)).first == LogPosition(42, FILE_HEADER_BYTES)


@pytest.mark.parametrize("mode", LOGGED)
def test_files_change_when_they_are_full(open_log: OpenLog, disk: SimulatedDisk, mode: LogMode) -> None:
    log = open_log(mode, file_bytes=1000)
    starts = [put(log, number, 5)[0] for number in range(20)]
    log.close()
    assert starts == sorted(set(starts))
    files = disk.list_dir(DIRECTORY)
    assert len(files) > 3
    assert numbers(disk) == list(range(20))
    for number in range(2, len(files) + 1):
        header = read_file_header(disk, path(number))
        assert (header.previous, header.previous_end) == (number - 1, disk.size(path(number - 1)))
    # Each file stands alone.
    for name in files[:-1]:
        disk.remove(f"{DIRECTORY}/{name}")
    records, _ = read_log(disk)
    assert records[0].measurements == [(7, "m7")]
    assert [f[:3] for f in records[0].fields] == [(102, 7, "f102")]
    named = {number for record in records for _, found, _ in record.series for number in found.tolist()}
    assert named == {number for record in records for batch in record.rows for number in batch.series.tolist()}


def test_rotate_begins_a_file_unless_it_is_empty(open_log: OpenLog, disk: SimulatedDisk) -> None:
    log = open_log()
    assert log.rotate() == log.first
    put(log, 1)
    second = log.rotate()
    assert second == LogPosition(2, FILE_HEADER_BYTES) == log.end() == log.rotate()
    assert put(log, 2)[0] == second
    log.close()
    assert numbers(disk) == [1, 2]


# -- durability


def test_every_write_is_durable_when_its_ticket_says_so(open_log: OpenLog, disk: SimulatedDisk) -> None:
    log = open_log(LogMode.EVERY_WRITE)
    commits = [put(log, number)[1] for number in range(3)]
    assert log.wait_work(0)
    assert not any(commit.done() for commit in commits)
    assert numbers(disk) == []  # the log thread writes
    during: list[bool] = []
    disk.on_sync = lambda _: during.append(commits[0].done())
    disk.trace = []
    log.sync_once()
    assert during == [False]
    assert all(commit.done() for commit in commits)
    assert [op for op, _ in disk.trace] == ["create", "write", "sync", "sync_dir"]  # one sync for three
    assert numbers(disk.crash("synced")) == [0, 1, 2]


def test_a_write_during_a_sync_waits_for_the_next(open_log: OpenLog, disk: SimulatedDisk) -> None:
    log = open_log(LogMode.EVERY_WRITE)
    first = put(log, 1)[1]
    late: list[Commit] = []
    disk.on_sync = lambda _: late.append(put(log, 2)[1]) if not late else None
    log.sync_once()
    assert first.done()
    assert not late[0].done()
    assert log.wait_work(0)
    log.sync_once()
    assert late[0].done()
    assert numbers(disk.crash("synced")) == [1, 2]


def test_a_callback_may_write(open_log: OpenLog, disk: SimulatedDisk) -> None:
    log = open_log(LogMode.EVERY_WRITE)
    put(log, 1)[1].add_done_callback(lambda error: log.release(put(log, 2)[0]))
    log.sync_once()
    log.close()
    assert numbers(disk) == [1, 2]


def test_periodic_is_in_the_kernel_at_once_and_on_the_device_after_a_sync(
    open_log: OpenLog, disk: SimulatedDisk, clock: ManualClock
) -> None:
    log = open_log(sync_interval=0.1)
    assert put(log, 1)[1] is DONE
    assert numbers(disk) == [1]
    clock.seconds += 0.02
    put(log, 2)
    assert not log.wait_work(0.01)  # not yet due
    assert log.wait_work(1)
    assert clock.seconds == pytest.approx(1000.05)
    log.sync_once()
    put(log, 3)
    assert not log.failed
    after = disk.crash("synced")
    assert numbers(after) == [1, 2]


def test_periodic_syncs_files_that_are_full_already(open_log: OpenLog, disk: SimulatedDisk) -> None:
    log = open_log(file_bytes=500)
    for number in range(10):
        put(log, number, 3)
    log.sync_once()
    disk.trace = []
    log.sync_once()
    assert disk.trace == []
    assert numbers(disk.crash("synced")) == list(range(10))


def test_os_default_never_syncs(open_log: OpenLog, disk: SimulatedDisk) -> None:
    log = open_log(LogMode.OS_DEFAULT, file_bytes=500)
    disk.trace = []
    for number in range(10):
        assert put(log, number, 3)[1] is DONE
    assert not log.wait_work(0)
    log.sync_once()
    log.close()
    assert {op for op, _ in disk.trace} == {"create", "write"}
    assert numbers(disk.crash("all")) == list(range(10))


def test_close_leaves_nothing_unsynced(open_log: OpenLog, disk: SimulatedDisk) -> None:
    for mode in (LogMode.EVERY_WRITE, LogMode.PERIODIC):
        log = open_log(mode)
        commit = put(log, 1)[1]
        log.close()
        assert commit.done()
        with pytest.raises(LogUnavailable, match="closed"):
            put(log, 2)
        log.close()
    assert numbers(disk.crash("synced")) == [1, 1]


# -- a full device


@pytest.mark.parametrize("mode", [LogMode.PERIODIC, LogMode.OS_DEFAULT])
@pytest.mark.parametrize("part", [None, 0.0, 0.1, 0.5, 0.99])
def test_a_full_device_refuses_a_write_and_keeps_the_rest(
    open_log: OpenLog, disk: SimulatedDisk, mode: LogMode, part: float | None
) -> None:
    log = open_log(mode)
    put(log, 1)
    end = log.end()
    for _ in range(3):
        disk.fail_at(1, errno.ENOSPC, part=part)
        with pytest.raises(DiskFull):
            put(log, 99)
    assert log.end() == end
    assert put(log, 2)[0] == end
    log.close()
    assert numbers(disk) == [1, 2]


@pytest.mark.parametrize("nth", [1, 2])
def test_a_full_device_at_the_first_write_of_a_file(open_log: OpenLog, disk: SimulatedDisk, nth: int) -> None:
    log = open_log(file_bytes=1)
    put(log, 1)
    for _ in range(3):
        disk.fail_at(nth, errno.ENOSPC, part=0.3)
        with pytest.raises(DiskFull):
            put(log, 99)
    put(log, 2)
    log.close()
    assert numbers(disk) == [1, 2]
    assert disk.list_dir(DIRECTORY) == [file_name(1), file_name(2)]


def test_a_file_that_cannot_be_cut_is_given_up(open_log: OpenLog, disk: SimulatedDisk) -> None:
    log = open_log()
    put(log, 1)
    disk.fail_at(1, errno.EIO, part=0.7, times=2)  # the write, then the truncation
    with pytest.raises(LogUnavailable):
        put(log, 99)
    put(log, 2)
    log.sync_once()
    records, damage = read_log(disk.crash("synced"))
    assert [r.stamp.clock for r in records] == [1, 2]
    assert [(d.file, d.torn) for d in damage] == [(path(1), True)]


def test_a_header_that_cannot_be_removed_is_passed_over(open_log: OpenLog, disk: SimulatedDisk) -> None:
    log = open_log()
    put(log, 1)
    log.rotate()
    disk.fail_at(2, errno.EIO, part=0.1, times=2)  # the write of the header, then the removal
    with pytest.raises(LogUnavailable):
        put(log, 99)
    put(log, 2)
    log.close()
    assert disk.list_dir(DIRECTORY) == [file_name(1), file_name(2), file_name(3)]
    records, damage = read_log(disk)
    assert [r.stamp.clock for r in records] == [1, 2]
    assert [(d.file, d.torn) for d in damage] == [(path(2), True)]


def test_names_of_a_refused_write_are_written_again(open_log: OpenLog, disk: SimulatedDisk) -> None:
    log = open_log()
    put(log, 0)
    disk.fail_at(1, errno.ENOSPC, part=0.5)
    with pytest.raises(DiskFull):
        log.append(1, 2, Stamp(9), [rows(8, [4], [1], {200: [1]})])
    log.append(1, 2, Stamp(1), [rows(8, [4], [1], {200: [1]})])
    log.close()
    records, _ = read_log(disk)
    assert records[1].measurements == [(8, "m8")]
    assert [(m, n.tolist()) for m, n, _ in records[1].series] == [(8, [4])]


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("nth", [1, 2])
def test_every_write_tells_all_who_wait_that_the_device_is_full(
    open_log: OpenLog, disk: SimulatedDisk, error: int, nth: int
) -> None:
    log = open_log(LogMode.EVERY_WRITE, file_bytes=300)
    if nth == 2:
        put(log, 1)
        log.sync_once()
    waiting = [put(log, number)[1] for number in range(10, 20)]  # over several files
    end = log.end()
    disk.fail_at(nth, error, part=0.5, kinds=frozenset({"write"}))
    log.sync_once()
    for commit in waiting:
        with pytest.raises(DiskFull if error == errno.ENOSPC else LogUnavailable):
            commit.wait(0)
    assert not log.failed
    start, commit = put(log, 2)
    assert start >= end
    log.sync_once()
    commit.wait(0)
    records, damage = read_log(disk.crash("synced"))
    assert damage == []
    # What was told to have failed may be there all the same, if a file of it was synced before the error.
    assert [r.stamp.clock for r in records] == ([2] if nth == 1 else [1, 10, 2])


# -- a device that does not sync


@pytest.mark.parametrize("mode", [LogMode.EVERY_WRITE, LogMode.PERIODIC])
def test_a_failed_sync_is_never_tried_again_on_that_file(open_log: OpenLog, disk: SimulatedDisk, mode: LogMode) -> None:
    log = open_log(mode)
    put(log, 1)
    log.sync_once()
    commit = put(log, 2)[1]
    late: list[Commit] = []
    disk.on_sync = lambda _: late.append(put(log, 3)[1])
    disk.fail_at(1, kinds=frozenset({"sync"}))
    log.sync_once()
    disk.on_sync = None
    assert log.failed
    if mode is LogMode.EVERY_WRITE:
        for waiting in (commit, *late):
            with pytest.raises(LogUnavailable, match="could not be synced"):
                waiting.wait(0)
    end = log.end()
    for _ in range(2):
        with pytest.raises(LogUnavailable):
            put(log, 99)
    disk.trace = []
    log.sync_once()
    log.release(end)
    assert disk.trace == []
    assert log.recover_failure()
    assert log.recover_failure()
    assert not log.failed
    start, commit = put(log, 4)
    assert start >= end
    log.sync_once()
    commit.wait(0)
    log.release(start)
    log.close()
    assert ("sync", path(1)) not in disk.trace
    assert disk.list_dir(DIRECTORY) == [file_name(start.file)]
    assert numbers(disk.crash("synced")) == [4]


def test_recovery_waits_for_a_device_that_syncs(open_log: OpenLog, disk: SimulatedDisk) -> None:
    log = open_log()
    put(log, 1)
    disk.fail_at(1)
    log.sync_once()
    for nth in (1, 2, 3, 4):
        disk.fail_at(nth, part=0.5)
        assert not log.recover_failure()
        assert log.failed
        disk.heal()
    assert log.recover_failure()
    put(log, 2)
    log.close()
    after = disk.crash("all")
    records, damage = read_log(after)
    assert [r.stamp.clock for r in records] == [1, 2]
    assert all(d.torn for d in damage)


def test_a_failed_sync_of_the_directory_counts_too(open_log: OpenLog, disk: SimulatedDisk) -> None:
    log = open_log(LogMode.EVERY_WRITE)
    commit = put(log, 1)[1]
    disk.fail_at(1, kinds=frozenset({"sync_dir"}))
    log.sync_once()
    assert log.failed
    with pytest.raises(LogUnavailable):
        commit.wait(0)


def test_after_a_failed_sync_an_older_end_may_be_torn(open_log: OpenLog, disk: SimulatedDisk) -> None:
    """The failed file's end is not known to be on disk: what is missing of it is no damage."""
    log = open_log()
    put(log, 1)
    log.sync_once()
    put(log, 2)
    disk.fail_at(1)
    log.sync_once()
    assert log.recover_failure()
    put(log, 3)
    log.sync_once()
    records, damage = read_log(disk.crash("synced"))
    assert [r.stamp.clock for r in records] == [1, 3]
    assert damage == []


# -- a slow device


def test_writers_wait_for_a_slow_device_and_then_give_up(
    open_log: OpenLog, disk: SimulatedDisk, clock: ManualClock
) -> None:
    log = open_log(sync_interval=0.001)
    put(log, 1)
    during: list[object] = []

    def slow(_: str) -> None:
        clock.seconds += 0.5
        for _ in range(2):
            with pytest.raises(LogUnavailable, match="too long") as caught:
                put(log, 99)
            during.append(caught.value)

    disk.on_sync = slow
    log.sync_once()
    assert len(during) == 2
    disk.on_sync = None
    put(log, 2)
    log.close()
    assert numbers(disk) == [1, 2]


def test_a_writer_goes_on_when_the_device_does(open_log: OpenLog, disk: SimulatedDisk, clock: ManualClock) -> None:
    log = open_log(sync_interval=1.0)
    put(log, 1)
    writer = threading.Thread(target=put, args=(log, 2))
    started = threading.Event()

    def slow(_: str) -> None:
        if not started.is_set():
            started.set()
            clock.seconds += 50
            writer.start()
            writer.join(0.05)
            assert writer.is_alive()

    disk.on_sync = slow
    log.sync_once()
    writer.join(10)
    log.close()
    assert numbers(disk) == [1, 2]


def test_a_queue_that_grows_too_long(open_log: OpenLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rusts.wal.writer._QUEUE_BYTES_MAX", 1000)
    log = open_log(LogMode.EVERY_WRITE, sync_interval=0.001)
    taken = 0
    while log.stats()["queued_bytes"] < 1000:  # type: ignore[operator]
        put(log, taken)
        taken += 1
    with pytest.raises(LogUnavailable, match="too long"):
        put(log, 99)
    log.sync_once()
    put(log, 1)
    log.close()


# -- removal


def test_release_removes_what_is_wholly_before(open_log: OpenLog, disk: SimulatedDisk) -> None:
    log = open_log(file_bytes=1)
    starts = [put(log, number)[0] for number in range(5)]
    log.release(starts[0])
    assert len(disk.list_dir(DIRECTORY)) == 5
    log.release(starts[2])
    assert disk.list_dir(DIRECTORY) == [file_name(n) for n in (3, 4, 5)]
    log.release(starts[2]._replace(offset=10**6))
    assert len(disk.list_dir(DIRECTORY)) == 3
    log.sync_once()
    assert numbers(disk.crash("synced")) == [2, 3, 4]


@pytest.mark.parametrize("mode", LOGGED)
def test_release_of_everything_leaves_an_empty_file(open_log: OpenLog, disk: SimulatedDisk, mode: LogMode) -> None:
    log = open_log(mode)
    commit = put(log, 1)[1]
    log.release(log.end())
    assert commit.done()
    assert disk.list_dir(DIRECTORY) == [file_name(2)]
    assert disk.size(path(2)) == FILE_HEADER_BYTES
    log.release(log.end())
    assert disk.list_dir(DIRECTORY) == [file_name(2)]
    after = disk.crash("synced")
    assert after.list_dir(DIRECTORY) == [file_name(2)]  # numbers go on from here after a power loss, too
    assert open_log(files=after).first.file == 3


def test_release_takes_files_of_earlier_runs(open_log: OpenLog, disk: SimulatedDisk) -> None:
    for number in range(3):
        log = open_log()
        put(log, number)
        log.close()
    log = open_log()
    log.release(log.first)
    assert disk.list_dir(DIRECTORY) == [file_name(4)]
    put(log, 9)
    log.close()
    assert numbers(disk) == [9]


def test_removal_leaves_no_hole(open_log: OpenLog, disk: SimulatedDisk) -> None:
    log = open_log(file_bytes=1)
    starts = [put(log, number)[0] for number in range(6)]
    log.sync_once()
    disk.trace = []
    log.release(starts[4])
    assert [op for op, _ in disk.trace] == ["remove", "sync_dir"] * 4


def test_a_failed_removal_is_told_and_taken_up_again(open_log: OpenLog, disk: SimulatedDisk) -> None:
    log = open_log(file_bytes=1)
    starts = [put(log, number)[0] for number in range(4)]
    log.sync_once()
    disk.fail_at(3)
    with pytest.raises(OSError, match="remove"):
        log.release(starts[3])
    log.release(starts[3])
    assert disk.list_dir(DIRECTORY) == [file_name(4)]


# -- and the rest


def test_stats(open_log: OpenLog, clock: ManualClock) -> None:
    log = open_log()
    put(log, 1)
    put(log, 2)
    clock.seconds += 0.5
    stats = log.stats()
    assert (stats["mode"], stats["records"], stats["file"], stats["failed"]) == ("periodic", 2, 1, 0)
    assert stats["bytes"] == log.end().offset - log.first.offset
    assert stats["unsynced_seconds"] == pytest.approx(0.5)
    log.sync_once()
    assert (log.stats()["syncs"], log.stats()["unsynced_seconds"]) == (1, 0.0)


@pytest.mark.parametrize("mode", LOGGED)
def test_many_writers_and_a_log_thread(tmp_path: Path, mode: LogMode) -> None:
    log = Log(OsFiles(), str(tmp_path), mode, PlainNames(), SystemClock(), file_bytes=4000, sync_interval=0.01)
    stop = threading.Event()
    order: list[tuple[LogPosition, int]] = []

    def sync() -> None:
        while not stop.is_set():
            if log.wait_work(0.01):
                log.sync_once()

    def write(worker: int) -> None:
        for number in range(100):
            stamp = worker * 1000 + number
            start, commit = put(log, stamp)
            order.append((start, stamp))
            if number % 10 == 0:
                commit.wait(10)

    syncer = threading.Thread(target=sync)
    writers = [threading.Thread(target=write, args=(worker,)) for worker in range(4)]
    for thread in (syncer, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    syncer.join()
    log.close()
    found, damage = split(list(replay(OsFiles(), str(tmp_path))))
    assert damage == []
    assert [(start, record.stamp.clock) for start, _, record in found] == sorted(order)
    assert len(found) == 400
    list(replay_names(OsFiles(), str(tmp_path)))


def test_a_write_that_is_too_large_is_refused(open_log: OpenLog, monkeypatch: pytest.MonkeyPatch) -> None:
    log = open_log()
    monkeypatch.setattr("rusts.wal.section.MAX_SECTION_BYTES", 100)
    with pytest.raises(ValueError, match="larger than"):
        put(log, 1, 1000)
    assert issubclass(DiskFull, RustsError)
