"""The budget, and what happens to writes when memory or disk runs out: they are told to retry, and then go on."""

from __future__ import annotations

import errno

import pytest

from rusts.engine.engine import Engine, EngineSettings
from rusts.engine.memory import Budget, Pool, machine_memory
from rusts.errors import DiskFull, LogUnavailable, MemoryExceeded
from rusts.wal.sync import LogMode
from tests.support.disk import SimulatedDisk
from tests.support.engines import Cells, History, ManualClock, Point, contents, open_engine, write

SYNCS = frozenset({"sync"})


def some(first: int, count: int = 20) -> list[Point]:
    return [("default", "m", {"t": str(n % 3)}, n, {"v": n, "s": "x" * 50}) for n in range(first, first + count)]


def filled(engine: Engine) -> int:
    """Write until a write is refused; returns how many points were taken."""
    for taken in range(0, 100_000, 100):
        try:
            write(engine, some(taken, 100))
        except MemoryExceeded:
            return taken
    raise AssertionError("no write was refused")


def test_a_pool_refuses_what_passes_its_limit() -> None:
    pool = Pool("query", 100)
    pool.take(60)
    with pytest.raises(MemoryExceeded, match="the query pool is full: 60 of 100 bytes in use, 41 more asked"):
        pool.take(41)
    assert pool.used == 60
    pool.take(40)
    pool.give(100)
    assert pool.used == 0


def test_the_pools_are_the_budget() -> None:
    budget = Budget.of(1 << 30)
    pools = (budget.write_buffer, budget.query, budget.cache, budget.replay)
    assert sum(p.limit for p in pools) == pytest.approx(0.85 * (1 << 30), abs=len(pools))
    assert machine_memory() > 1 << 20


def test_a_full_write_buffer_refuses_writes_until_it_is_flushed() -> None:
    disk = SimulatedDisk()
    engine = open_engine(disk, memory_bytes=200_000)
    taken = filled(engine)
    assert 0 < taken < 10_000
    assert len(contents(engine)) == 2 * taken, "reads go on, and nothing of a refused write is there"
    engine.flush_step(0.0)
    assert engine.budget.write_buffer.used < engine.budget.write_buffer.limit // 2
    write(engine, some(1_000_000))
    assert len(contents(engine)) == 2 * (taken + 20)
    engine.close()


def test_a_slow_flush_does_not_cut_memtables_into_crumbs() -> None:
    """While one memtable waits for its flush, writes gather in the next, however full the buffer is."""
    engine = open_engine(SimulatedDisk(), memory_bytes=200_000)
    taken = filled(engine)
    sealed = [s for data in engine.policies_data.values() for s in data.sealed]
    assert len(sealed) == 1
    engine.flush()
    assert len(contents(engine)) == 2 * taken
    assert len(engine.catalog.segments()) <= 2
    engine.close()


def test_a_write_buffer_that_cannot_be_flushed_keeps_refusing_and_loses_nothing() -> None:
    disk = SimulatedDisk()
    engine = open_engine(disk, memory_bytes=200_000)
    taken = filled(engine)
    disk.fail_at(1, errno.ENOSPC, times=1_000)
    engine.flush_step(0.0)
    assert engine.flush_error is not None
    assert [c.name for c in engine.health() if not c.ok] == ["flush"]
    with pytest.raises(MemoryExceeded):
        write(engine, some(taken))
    disk.heal()
    engine.flush_step(0.0)
    assert engine.flush_error is None
    write(engine, some(taken))
    assert len(contents(engine)) == 2 * (taken + 20)
    engine.close()


def test_a_disk_that_gets_low_refuses_writes_until_there_is_room() -> None:
    disk = SimulatedDisk(quota=10_000_000)
    settings = EngineSettings(wal_mode=LogMode.PERIODIC, min_free_space=5_000_000, query_wait=0.0)
    engine = Engine.open(disk, "/data", settings, ManualClock())
    engine.recover_step()
    write(engine, some(0))
    disk.quota = 3_000_000
    write(engine, some(100))  # nobody has looked yet
    engine.maintenance_step(0.0)
    with pytest.raises(DiskFull, match="bytes of disk are free"):
        write(engine, some(200))
    assert [c.name for c in engine.health() if not c.ok] == ["disk"]
    assert len(contents(engine)) == 80
    disk.quota = 10_000_000
    engine.maintenance_step(0.0)
    write(engine, some(200))
    assert len(contents(engine)) == 120
    engine.close()


@pytest.mark.parametrize("mode", [LogMode.PERIODIC, LogMode.EVERY_WRITE])
def test_a_failed_sync_refuses_writes_until_all_points_are_safe(mode: LogMode) -> None:
    disk = SimulatedDisk()
    engine = open_engine(disk, mode)
    history = History()

    def put(points: list[Point]) -> None:
        history.attempt(points)
        write(engine, points)
        history.promise(points)

    put(some(0))
    disk.fail_at(1, errno.EIO, kinds=SYNCS)
    history.attempt(some(100))
    if mode is LogMode.EVERY_WRITE:
        with pytest.raises(LogUnavailable):
            write(engine, some(100))
    else:
        write(engine, some(100))
        history.promise(some(100))
        engine.log_step(0.0)
        engine.clock.sleep(1.0)
        engine.log_step(0.0)
    with pytest.raises(LogUnavailable):
        write(engine, some(200))
    assert [c.name for c in engine.health() if not c.ok] == ["log"]
    history.check(contents(engine))
    engine.flush_step(0.0)
    assert all(c.ok for c in engine.health())
    put(some(300))
    history.check(contents(engine))
    engine.flush()
    after = open_engine(disk.crash("synced"), mode)
    history.check(contents(after))
    after.close()


def test_the_device_stays_broken_for_a_while() -> None:
    disk = SimulatedDisk()
    engine = open_engine(disk, LogMode.EVERY_WRITE)
    write(engine, some(0))
    disk.fail_at(1, errno.EIO, kinds=SYNCS, times=1_000)
    with pytest.raises(LogUnavailable):
        write(engine, some(100))
    found: Cells = contents(engine)
    for _ in range(3):
        with pytest.raises(OSError, match="simulated"):
            engine.flush_step(0.0)
        with pytest.raises(LogUnavailable):
            write(engine, some(200))
    assert contents(engine) == found
    disk.heal()
    engine.flush_step(0.0)
    write(engine, some(200))
    found = contents(engine)
    last = open_engine(disk.crash("synced"), LogMode.EVERY_WRITE)
    assert contents(last) == found
    last.close()
