"""The log on a disk that fails, fills up or stops at its 1st, 2nd, 3rd … I/O.

A short life of a log (writes, syncs, full files, a removal, a new run) is played over and over, each time with
the fault one I/O later, until it gets through without one. Afterwards the log must hold what its mode has promised:
every acknowledged write, each once, in order, unchanged; and it must take writes again.
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from rusts.clock import SystemClock
from rusts.errors import RetryLater
from rusts.model.batch import Rows
from rusts.model.store import Commit
from rusts.model.types import Stamp
from rusts.wal.reader import Damage, replay, replay_names
from rusts.wal.record import LogPosition, WriteRecord
from rusts.wal.sync import LogMode
from rusts.wal.writer import Log
from tests.support.disk import Keep, SimulatedDisk
from tests.support.wal import DIRECTORY, PlainNames, plain, read_log, rows, series_key, split

PROOF = bool(os.environ.get("RUSTS_PROOF"))
SEEDS = 40 if PROOF else 2
LIMIT = 10_000

Fault = Callable[[SimulatedDisk, int], None]
FAULTS: dict[str, Fault] = {
    "stops": lambda disk, n: disk.cut_at(n, part=0.4),
    "fails once": lambda disk, n: disk.fail_at(n, part=0.6),
    "fails for a while": lambda disk, n: disk.fail_at(n, part=0.2, times=5),
    "is full once": lambda disk, n: disk.fail_at(n, errno.ENOSPC, part=0.5),
    "is full for a while": lambda disk, n: disk.fail_at(n, errno.ENOSPC, part=0.1, times=4),
}


@dataclass
class Life:
    """What a log was told and what it said."""

    written: list[int] = field(default_factory=list)
    """Stamps of writes that were taken, in order."""
    tickets: dict[int, Commit] = field(default_factory=dict)
    synced: set[int] = field(default_factory=set)
    """Written before a sync that succeeded: safe from power loss."""
    released: set[int] = field(default_factory=set)
    """Told to be needed no more."""
    ends: list[LogPosition] = field(default_factory=list)
    broken_sync: bool = False


def content(number: int) -> list[object]:
    count = 1 + number % 4 * 15
    return [plain(b) for b in batch(number, count)]


def batch(number: int, count: int) -> list[Rows]:
    columns = {102: [number] * count, 105: [f"t{number}"] * count}
    return [rows(7 + number % 2, [number % 5] * count, [number] * count, columns)]


def live(disk: SimulatedDisk, mode: LogMode, life: Life) -> None:
    """Two runs of a log, as far as the disk lets them go."""
    number = 0
    for run in range(2):
        # The last end that was given out may be a checkpoint by now, whether or not its record got to the disk.
        after = life.ends[-1] if life.ends else None
        try:
            log = Log(disk, DIRECTORY, mode, PlainNames(), SystemClock(), file_bytes=700, sync_interval=60, after=after)
        except OSError:
            return
        for step in range(10):
            number += 1
            try:
                start, ticket = log.append(1, 2, Stamp(number), batch(number, 1 + number % 4 * 15))
            except RetryLater:
                start, ticket = log.end(), None
            else:
                assert life.ends == [] or start >= life.ends[-1]
                life.ends.append(log.end())
                life.written.append(number)
                life.tickets[number] = ticket
            if step % 3 == 2:
                before = [] if log.failed else list(life.written)
                log.sync_once()
                if log.failed:
                    life.broken_sync = True
                    log.recover_failure()
                elif mode is LogMode.PERIODIC and log.stats()["unsynced_seconds"] == 0:
                    life.synced |= set(before)
            if step == 6 and run == 0 and not log.failed:
                needed = life.written[:-3]
                # As the engine: what goes from the log is in segments before.
                life.released |= set(needed)
                position = life.ends[-4] if len(life.ends) > 3 else log.first
                try:
                    log.release(position)
                except OSError:
                    life.broken_sync |= log.failed
        log.close()
        life.broken_sync |= log.failed


def expected(mode: LogMode, life: Life, keep: Keep) -> set[int]:
    """What must be in the log."""
    if mode is LogMode.EVERY_WRITE:
        kept = set()
        for number, ticket in life.tickets.items():
            if ticket.done():
                try:
                    ticket.wait(0)
                except RetryLater:
                    continue
                kept.add(number)
    elif mode is LogMode.NONE:
        kept = set()
    elif keep == "all":
        kept = set(life.written)
    else:
        # After a failed sync the engine brings everything into segments; the log alone promises no more.
        kept = set() if life.broken_sync else life.synced
    return kept - life.released


def check(disk: SimulatedDisk, mode: LogMode, life: Life, keep: Keep, what: str) -> None:
    items = list(replay(disk, DIRECTORY))
    records, damage = split(items)
    found = [record.stamp.clock for _, _, record in records]
    assert found == sorted(set(found)), what
    missing = expected(mode, life, keep) - set(found)
    assert not missing, f"{what}: {sorted(missing)} are lost"
    for start, end, record in records:
        assert [plain(b) for b in record.rows] == content(record.stamp.clock), what
        assert start < end
    if keep in ("all", "synced") and not life.broken_sync and not (mode is LogMode.OS_DEFAULT and keep == "synced"):
        assert all(d.torn for d in damage), f"{what}: {damage}"
    check_names(items, what)
    names = [i for i in replay_names(disk, DIRECTORY) if not isinstance(i, Damage)]
    assert max((r.stamp for _, _, r in names), default=None) == max((r.stamp for _, _, r in records), default=None)
    # The next run goes on behind it.
    log = Log(disk, DIRECTORY, mode, PlainNames(), SystemClock())
    assert all(log.first > end for _, end, _ in records), what
    log.append(1, 2, Stamp(1000), batch(1000, 1))
    log.close()
    if mode is not LogMode.NONE:
        assert [r.stamp.clock for r in read_log(disk)[0]] == [*found, 1000], what


def check_names(items: list[tuple[LogPosition, LogPosition, WriteRecord] | Damage], what: str) -> None:
    """Where no record of a file is damaged, each file names all that it uses."""
    named: set[object] = set()
    file = 0
    damaged = {item.file for item in items if isinstance(item, Damage)}
    if damaged:
        return
    for item in items:
        assert not isinstance(item, Damage)
        start, _, record = item
        if start.file != file:
            file = start.file
            named = set()
        named |= {m for m, _ in record.measurements} | {f for f, _, _, _ in record.fields}
        for measurement, numbers, keys in record.series:
            for index, number in enumerate(numbers.tolist()):
                assert keys[index] == series_key(measurement, number)
                named.add((measurement, number))
        for found in record.rows:
            used = {found.measurement, *found.columns, *((found.measurement, n) for n in found.series.tolist())}
            assert used <= named, what


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("mode", list(LogMode))
def test_sweep(mode: LogMode, fault: str) -> None:
    for n in range(1, LIMIT):
        disk = SimulatedDisk()
        disk.make_dir(DIRECTORY)
        undisturbed = n > disk.io_count + _ios(mode)
        FAULTS[fault](disk, n)
        life = Life()
        live(disk, mode, life)
        keeps: list[Keep] = ["synced", "all", *(random.Random(1000 * n + seed) for seed in range(SEEDS))]
        for index, keep in enumerate(keeps):
            check(disk.crash(keep), mode, life, keep, f"{mode}, the disk {fault} at I/O {n}, crash {index}")
        if undisturbed:
            return
    raise AssertionError("the sweep does not end")


def _ios(mode: LogMode) -> int:
    """How many I/Os an undisturbed life takes."""
    if mode not in _counted:
        disk = SimulatedDisk()
        disk.make_dir(DIRECTORY)
        live(disk, mode, Life())
        _counted[mode] = disk.io_count
    return _counted[mode]


_counted: dict[LogMode, int] = {}


@pytest.mark.parametrize("seed", range(400 if PROOF else 25))
def test_power_fails_again_and_again(seed: int) -> None:
    """Runs that end in a power loss at any moment, one after another on one disk: what was synced stays for ever."""
    rng = random.Random(seed)
    disk = SimulatedDisk()
    disk.make_dir(DIRECTORY)
    safe: set[int] = set()
    number = 0
    for run in range(5):
        log = Log(disk, DIRECTORY, LogMode.EVERY_WRITE, PlainNames(), SystemClock(), file_bytes=900)
        disk.cut_at(rng.randrange(1, 25), part=rng.random())
        tickets: dict[int, Commit] = {}
        while not disk.dead:
            number += 1
            try:
                _, tickets[number] = log.append(1, 2, Stamp(number), batch(number, 1 + number % 4 * 15))
            except RetryLater:
                break
            if rng.random() < 0.4:
                log.sync_once()
        for stamp, ticket in tickets.items():
            if ticket.done():
                try:
                    ticket.wait(0)
                except RetryLater:
                    continue
                safe.add(stamp)
        disk = disk.crash(rng.choice(["synced", "all", rng]))
        found = {r.stamp.clock for r in read_log(disk)[0]}
        assert safe <= found, f"seed {seed}, run {run}"


def test_the_sweep_can_fail() -> None:
    """A log that acknowledges before it syncs loses writes, and the sweep's check says so."""

    class Hasty(SimulatedDisk):
        def sync_file(self, path: str, inode: object) -> None:
            pass

    disk = Hasty()
    disk.make_dir(DIRECTORY)
    life = Life()
    live(disk, LogMode.EVERY_WRITE, life)
    with pytest.raises(AssertionError, match="are lost"):
        check(disk.crash("synced"), LogMode.EVERY_WRITE, life, "synced", "no sync")
