"""Crash sweeps of the whole engine: the N-th I/O fails or is the last one ever, for every N.

The work writes, overwrites, deletes, drops, flushes, merges and makes databases and policies; SQLite's I/O counts
like ours. After the crash a new engine opens what is left, and must hold everything that was acknowledged, nothing
that nobody wrote, and nothing whose deletion was acknowledged; then it must go on working, flush, and still hold it.
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable

import pytest

from rusts.engine.engine import Engine
from rusts.errors import Corruption, RetryLater
from rusts.model.predicate import CompareOp, FieldCompare, TagIn
from rusts.model.series import decode_key
from rusts.model.store import PolicyInfo, TimeRange
from rusts.wal.sync import LogMode
from tests.support.disk import SimulatedDisk
from tests.support.engines import EVERYTHING, Cell, Cells, History, Point, contents, open_engine, write

PROOF = bool(os.environ.get("RUSTS_PROOF"))
HOUR = 3_600_000_000_000


def points(rng: random.Random, database: str, count: int) -> list[Point]:
    """Points that often meet: few series, few times, in two partitions."""
    made: list[Point] = []
    for _ in range(count):
        fields = {"i": rng.randrange(1000), "f": rng.random(), "s": f"text {rng.randrange(9)}", "b": rng.random() < 0.5}
        chosen = rng.sample(sorted(fields), rng.randint(1, 4))
        tags = {"host": f"h{rng.randrange(3)}"} | ({"rack": "r1"} if rng.random() < 0.3 else {})
        measurement = rng.choice(["cpu", "mem"])
        made.append((database, measurement, tags, rng.randrange(4) * HOUR, {name: fields[name] for name in chosen}))
    return made


def work(engine: Engine, history: History, seed: int) -> None:
    """Every kind of durable act, some of them several times. Raises what the disk makes of it."""
    rng = random.Random(seed)

    def delete(chosen: Callable[[Cell], bool], act: Callable[[], None]) -> None:
        history.attempt_delete(chosen)
        act()
        history.promise_delete(chosen)

    def of_host(host: str, measurement: str = "cpu") -> Callable[[Cell], bool]:
        return lambda cell: cell[:2] == ("default", measurement) and ("host", host) in cell[2]

    def put(database: str, count: int) -> None:
        batch = points(rng, database, count)
        history.attempt(batch)
        write(engine, batch)
        history.promise(batch)

    put("default", 8)
    engine.create_database("other")
    put("other", 3)
    engine.flush()
    for _ in range(3):
        put("default", 6)
        put("other", 2)
        engine.flush()
    put("default", 5)
    engine.compact()
    put("default", 4)
    engine.log_step(0.0)

    put("default", 12)
    h0 = TagIn("host", ("h0",))
    early = TimeRange(0, 2 * HOUR)
    delete(
        lambda cell: of_host("h0")(cell) and cell[3] < 2 * HOUR,
        lambda: engine.delete("default", ["cpu"], early, h0),
    )
    put("default", 5)
    large = {cell[:4] for cell, value in history.known().items() if cell[4] == "i" and float(value) > 500}
    large = {cell for cell in large if cell[0] == "default"}
    over = FieldCompare("i", CompareOp.GT, 500)
    delete(lambda cell: cell[:4] in large, lambda: engine.delete("default", ["cpu", "mem"], EVERYTHING, over))
    engine.flush()
    put("default", 5)
    delete(of_host("h1", "mem"), lambda: engine.drop_series("default", ["mem"], TagIn("host", ("h1",))))
    put("default", 5)
    engine.compact()
    delete(lambda cell: cell[:2] == ("default", "mem"), lambda: engine.drop_measurement("default", "mem"))
    put("default", 6)
    engine.create_policy("other", PolicyInfo("week", 0, 0, 1, False))
    engine.drop_policy("other", "week")
    put("other", 3)
    delete(lambda cell: cell[0] == "other", lambda: engine.drop_database("other"))
    engine.create_database("other")
    put("other", 3)
    engine.flush()

    def drop_partitions() -> None:
        for info in engine.partitions():
            if info.database == "default":
                engine.drop_partition(info.id)

    delete(lambda cell: cell[0] == "default", drop_partitions)
    put("default", 5)
    engine.compact()
    put("default", 5)
    engine.log_step(0.0)


def io_count(mode: LogMode, seed: int) -> int:
    disk = SimulatedDisk()
    engine = open_engine(disk, mode)
    before = disk.io_count
    history = History()
    work(engine, history, seed)
    history.check(contents(engine))
    return disk.io_count - before


def check_series(engine: Engine, found: Cells) -> None:
    """SHOW and the points speak of the same series, but for some that a partition took its last points from."""
    for database in engine.databases():
        for measurement in engine.measurements(database):
            series = engine.select_series(database, measurement)
            shown = [tuple(decode_key(series.key(n))[1].items()) for n in range(len(series))]
            assert len(set(shown)) == len(shown)
            assert {cell[2] for cell in found if cell[:2] == (database, measurement)} <= set(shown)


def reopened(disk: SimulatedDisk, history: History, mode: LogMode) -> None:
    """A new engine on what the crash left: complete, and as good as new."""
    engine = open_engine(disk, mode)
    found = contents(engine)
    history.check(found)
    check_series(engine, found)
    history.settle(found)
    again = points(random.Random(1), "default", 5)
    history.attempt(again)
    write(engine, again)
    history.promise(again)
    engine.flush()
    engine.compact()
    history.check(contents(engine))
    engine.close()
    last = open_engine(disk.crash("synced"), mode)
    history.check(contents(last))
    last.close()


CASES = [
    pytest.param(LogMode.EVERY_WRITE, "synced", id="every-write loses nothing to power loss"),
    pytest.param(LogMode.EVERY_WRITE, "random", id="every-write whatever reached the device"),
    pytest.param(LogMode.PERIODIC, "all", id="periodic loses nothing to kill -9"),
    pytest.param(LogMode.OS_DEFAULT, "all", id="os-default loses nothing to kill -9"),
]


@pytest.mark.parametrize(("mode", "keep"), CASES)
def test_the_nth_io_is_the_last(mode: LogMode, keep: str) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    total = io_count(mode, seed)
    assert total > 50
    step = 1 if PROOF else max(1, total // 30)
    for n in range(1 + random.Random(seed).randrange(step), total + 1, step):
        disk = SimulatedDisk()
        engine = open_engine(disk, mode)
        history = History()
        disk.cut_at(n)
        with pytest.raises((OSError, RetryLater, Corruption)):
            work(engine, history, seed)
        kept = random.Random(seed + n) if keep == "random" else keep
        reopened(disk.crash(kept), history, mode)  # type: ignore[arg-type]


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("mode", [LogMode.EVERY_WRITE, LogMode.PERIODIC])
def test_the_nth_io_fails_once(mode: LogMode, error: int) -> None:
    """One error, then the disk works again: the engine goes on, and what it acknowledged stays."""
    seed = random.randrange(2**32)
    print("seed", seed)
    total = io_count(mode, seed)
    step = 1 if PROOF else max(1, total // 25)
    for n in range(1 + random.Random(seed).randrange(step), total + 1, step):
        disk = SimulatedDisk()
        engine = open_engine(disk, mode)
        history = History()
        disk.fail_at(n, error)
        try:
            work(engine, history, seed)
        except (OSError, RetryLater, Corruption):
            history.check(contents(engine))
        disk.heal()
        engine.flush_step(0.0)
        engine.flush_step(0.0)
        after = points(random.Random(2), "default", 5)
        history.attempt(after)
        write(engine, after)
        history.promise(after)
        history.check(contents(engine))
        engine.flush()
        reopened(disk.crash("synced"), history, mode)


def test_a_lost_promise_is_noticed() -> None:
    """The sweep itself must be able to fail: in `periodic`, power loss may take what was acknowledged."""
    disk = SimulatedDisk()
    engine = open_engine(disk, LogMode.PERIODIC)
    history = History()
    batch = points(random.Random(3), "default", 8)
    history.attempt(batch)
    write(engine, batch)
    history.promise(batch)
    with pytest.raises(AssertionError, match="allowed"):
        history.check(contents(open_engine(disk.crash("synced"), LogMode.PERIODIC)))
