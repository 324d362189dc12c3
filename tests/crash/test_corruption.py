"""Corruption sweep: bytes are flipped, files cut and removed, anywhere in a data directory that the engine made.

Each time the engine must start and answer. What it answers was written, and is the newest value unless a damaged file
held that; what is missing was in a damaged file; the damage has a name. And it goes on: it takes
writes, flushes, merges, and starts again to the same answers.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from rusts.engine.engine import Engine
from rusts.model.partial import State, StateKind
from rusts.model.predicate import And, CompareOp, FieldCompare, TagRegex
from rusts.model.series import decode_key
from rusts.model.store import FoldRequest, ScanRequest, TimeRange
from rusts.segment.reader import SegmentReader
from rusts.wal.reader import Damage, inspect_file
from rusts.wal.sync import LogMode
from tests.support.disk import SimulatedDisk
from tests.support.engines import EVERYTHING, Cell, Cells, Point, open_engine, write
from tests.support.logs import captured_logs
from tests.support.model_store import Value, python_values

PROOF = bool(os.environ.get("RUSTS_PROOF"))
SINGLE = 4_000 if PROOF else 200
PAIRS = 2_000 if PROOF else 80
GONE = 1_000 if PROOF else 70

HOUR = 3_600_000_000_000
META, COPY = "/data/meta.sqlite", "/data/meta.copy.sqlite"
OPTIONS = {"memtable_points": 40, "wal_file_bytes": 1_500}

Image = dict[str, bytes]


def points(rng: random.Random, database: str, count: int, first_host: int = 0) -> list[Point]:
    """Points that often meet, in three partitions."""
    made: list[Point] = []
    for _ in range(count):
        fields: dict[str, Value] = {"i": rng.randrange(10**6), "f": rng.random(), "s": f"text {rng.randrange(10**6)}"}
        chosen = rng.sample(sorted(fields), rng.randint(1, 3))
        tags = {"host": f"h{first_host + rng.randrange(5)}"}
        name = rng.choice(["cpu", "mem"])
        made.append((database, name, tags, rng.randrange(6) * HOUR, {key: fields[key] for key in chosen}))
    return made


@dataclass
class Directory:
    """A data directory, and what each of its files says: sources in order, the later one wins.

    What was `deleted` is in some of them all the same, and only meta.sqlite and its copy know.
    """

    image: Image
    sources: list[tuple[str, Cells]] = field(default_factory=list)
    deleted: set[Cell] = field(default_factory=set)

    def allowed(self, damaged: set[str]) -> dict[Cell, list[Value | None]]:
        """For each cell the values that may be found once the `damaged` files have lost anything they hold."""
        allowed: dict[Cell, list[Value | None]] = {}
        settled: set[Cell] = set()
        for path, cells in reversed(self.sources):
            for cell, value in cells.items():
                if cell not in settled:
                    allowed.setdefault(cell, []).append(value)
                    if path not in damaged:
                        settled.add(cell)
        for cell, values in allowed.items():
            if cell in self.deleted and not {META, COPY} <= damaged:
                values[:] = [None]
            elif cell in self.deleted or cell not in settled:
                values.append(None)
        return allowed

    def disk(self, changed: dict[str, bytes | None]) -> SimulatedDisk:
        """The directory on a disk of its own, with files `changed` (None: removed)."""
        disk = SimulatedDisk()
        for folder in ("/data/segments", "/data/wal"):
            disk.make_dir(folder)
        for path, data in {**self.image, **changed}.items():
            if data is not None:
                file = disk.create(path)
                file.write(data)
                file.sync()
                disk.sync_dir(os.path.dirname(path))
        return disk

    def files(self, kind: str) -> list[str]:
        return [path for path in sorted(self.image) if kind in path]


def made(seed: int) -> Directory:
    """Flushed, merged and unflushed points in three databases; a log of several files, some of it flushed."""
    rng = random.Random(seed)
    disk = SimulatedDisk()
    engine = open_engine(disk, LogMode.PERIODIC, **OPTIONS)
    for name in ("other", "quiet"):
        engine.create_database(name)
    for _ in range(4):
        write(engine, points(rng, "default", 45))
        write(engine, points(rng, "other", 40))
        engine.flush_step(0.0)
    engine.compact()
    write(engine, points(rng, "quiet", 10))  # keeps the log from here on
    for turn in range(3):
        write(engine, points(rng, "default", 25, first_host=turn))
        write(engine, points(rng, "other", 6, first_host=9 * turn))
        write(engine, points(rng, "default", 20))
        engine.flush_step(0.0)
    for turn in range(5):
        write(engine, points(rng, "default", 6, first_host=20 * turn))
        write(engine, points(rng, "quiet", 3))
        if turn % 2 == 0:
            _delete_some(engine, rng, first_host=1000 + 10 * turn)
    directory = Directory({path: bytes(disk.names[path].data) for path in disk.paths()})
    assert len(directory.files("/wal/")) > 3
    assert len(directory.files("/segments/")) > 3
    _read_sources(directory, engine)
    newest = {cell: values[0] for cell, values in directory.allowed(set()).items()}
    found = answers(engine)[0]
    directory.deleted = {cell for cell in newest if cell not in found}
    assert len(directory.deleted) > 10
    assert {cell: value for cell, value in newest.items() if cell in found} == found
    return directory


def _delete_some(engine: Engine, rng: random.Random, first_host: int) -> None:
    """Points of hosts that nobody else has, some in segments by now: deleted by series, by time, and by value."""
    write(engine, points(rng, "default", 12, first_host))
    hosts = TagRegex("host", f"^h{first_host // 10}")
    engine.drop_series("default", ["mem"], And((hosts, TagRegex("host", "[01]$"))))
    if rng.random() < 0.5:
        engine.flush_step(0.0)
    write(engine, points(rng, "default", 6, first_host + 2))
    engine.delete("default", ["cpu", "mem"], TimeRange(0, 3 * HOUR), hosts)
    engine.delete("default", ["cpu"], EVERYTHING, And((hosts, FieldCompare("i", CompareOp.GT, 300_000))))


def _read_sources(directory: Directory, engine: Engine) -> None:
    disk, catalog = engine.files, engine.catalog
    databases = {d.id: d.name for d in catalog.databases()}
    segments: list[tuple[object, str, Cells]] = []
    for path in directory.files("/segments/"):
        reader = SegmentReader.open(disk, path)
        cells: Cells = {}
        for section in reader.sections.values():
            keys = section.keys()[1]
            tags = [tuple(decode_key(keys[i])[1].items()) for i in range(len(section.series))]
            runs = [i for i, n in enumerate(section.starts[1:] - section.starts[:-1]) for _ in range(int(n))]
            times = section.times(0).tolist()
            for number, (name, _) in section.fields.items():
                column = section.column(number, 0)
                for run, time, value in zip(runs, times, python_values(column) if column else [], strict=False):
                    if value is not None:
                        cells[databases[reader.header.database], section.name, tags[run], time, name] = value
        segments.append((reader.header.min_stamp, path, cells))
    directory.sources += [(path, cells) for _, path, cells in sorted(segments, key=lambda s: s[0])]  # type: ignore[arg-type,return-value]
    for path in directory.files("/wal/"):
        for item in inspect_file(disk, path):
            assert not isinstance(item, Damage)
            record = item.record
            checkpoint = catalog.checkpoint(record.database, record.policy)
            if checkpoint is not None and (item.position.file, item.position.offset + item.size) <= checkpoint:
                continue
            cells = {}
            for rows in record.rows:
                measurement = catalog.measurement(rows.measurement)
                assert measurement is not None
                for meta in measurement.fields.values():
                    if meta.id in rows.columns:
                        values = python_values(rows.columns[meta.id])
                        for number, time, value in zip(rows.series.tolist(), rows.times.tolist(), values, strict=True):
                            if value is not None:
                                tags = tuple(decode_key(measurement.index.key(number))[1].items())
                                cells[databases[record.database], measurement.name, tags, time, meta.name] = value
            directory.sources.append((path, cells))


def answers(engine: Engine) -> tuple[Cells, list[str]]:
    """Every cell that a reader finds, and the warnings; a fold must agree with the scan."""
    cells: Cells = {}
    warnings: list[str] = []
    for database in engine.databases():
        called = "quiet" if database.startswith("recovered-") else database
        for measurement in engine.measurements(database):
            scan = engine.scan(ScanRequest(database, None, measurement, EVERYTHING))
            counts = dict.fromkeys(scan.field_types, 0)
            for chunk in scan:
                tags = [tuple(decode_key(scan.series.key(int(n)))[1].items()) for n in chunk.row_series()]
                times = chunk.times.tolist()
                for name, column in chunk.columns.items():
                    for t, time, value in zip(tags, times, python_values(column), strict=True):
                        if value is not None:
                            cell = called, measurement, t, time, name
                            assert cell not in cells
                            cells[cell] = value
                            counts[name] += 1
            warnings += scan.stats.warnings
            states = tuple(State(StateKind.COUNT, name) for name in counts)
            if states:
                folded = engine.fold(FoldRequest(database, None, measurement, EVERYTHING, states))
                for state in states:
                    assert int(folded.states[state].count.sum()) == counts[state.field]
                assert bool(folded.stats.warnings) == bool(scan.stats.warnings)
    return cells, warnings


def settled(engine: Engine) -> tuple[Cells, list[str]]:
    """`answers` once all damage is known.

    A segment may be given up while the last measurement is read, after it helped to answer for the first;
    and a new engine meets the damage anew.
    """
    while True:
        known = len(engine.quarantined)
        found = answers(engine)
        if len(engine.quarantined) == known:
            return found


def check(directory: Directory, changed: dict[str, bytes | None], what: str, may_hide: bool, further: bool) -> bool:
    """Start on the changed directory and see; True if anything is missing. `may_hide`: nothing could tell."""
    damaged = set(changed)
    if META in damaged and len(damaged) > 1:
        # Names that only meta.sqlite and a damaged file had: rows in the log that rely on them go too.
        damaged |= set(directory.files("/wal/"))
    allowed = directory.allowed(damaged)
    disk = directory.disk(changed)
    with captured_logs() as logs:
        engine = open_engine(disk, LogMode.PERIODIC, **OPTIONS)
        _compare(answers(engine)[0], allowed, what)
        found, warnings = settled(engine)
    _compare(found, allowed, what)
    whole = {cell: values[0] for cell, values in allowed.items() if values[0] is not None}
    torn = any("torn" in entry["msg"] for entry in logs)
    if found != whole and not may_hide:
        assert engine.damage or warnings or torn, f"{what}: something is missing, and nothing says so"
    unwell = [c.name for c in engine.health() if not c.ok]
    assert ("start" in unwell) == bool(engine.damage)
    assert ("segments" in unwell) == bool(engine.quarantined)
    assert bool(warnings) <= bool(engine.quarantined), what
    if further:
        _go_on(engine, disk, found, what)
    else:
        engine.close(flush=False)
    return found != whole


def _compare(found: Cells, allowed: dict[Cell, list[Value | None]], what: str) -> None:
    for cell, values in allowed.items():
        assert found.get(cell) in values, f"{what}: {cell} is {found.get(cell)!r}, not one of {values!r}"
    invented = set(found) - set(allowed)
    assert not invented, f"{what}: nobody wrote {sorted(map(str, invented))[:3]}"


def _go_on(engine: Engine, disk: SimulatedDisk, found: Cells, what: str) -> None:
    """New points, of old and new series; they and what was found stay, whatever happens to the engine."""
    more = [*points(random.Random(5), "default", 12), *points(random.Random(6), "default", 12, first_host=500)]
    write(engine, more)
    expected = dict(found)
    for database, measurement, tags, time, fields in more:
        for name, value in fields.items():
            expected[database, measurement, tuple(tags.items()), time, name] = value
    assert settled(engine)[0] == expected, what
    engine = open_engine(disk.crash("all"), LogMode.PERIODIC, **OPTIONS)
    assert settled(engine)[0] == expected, f"{what}: after a crash"
    engine.flush()
    engine.compact()
    assert settled(engine)[0] == expected, f"{what}: after flushing and merging"
    engine.close()
    engine = open_engine(engine.files.crash("synced"), LogMode.PERIODIC, **OPTIONS)  # type: ignore[attr-defined]
    assert settled(engine)[0] == expected, f"{what}: after power loss"
    engine.close()


def flipped(data: bytes, rng: random.Random) -> bytes:
    """One to three bytes near each other changed."""
    copy = bytearray(data)
    place = rng.randrange(len(copy))
    for at in range(place, min(len(copy), place + rng.randint(1, 3))):
        copy[at] ^= rng.randrange(1, 256)
    return bytes(copy)


def places(directory: Directory, rng: random.Random, count: int) -> Iterator[tuple[int, str]]:
    """`count` files, every kind equally often."""
    kinds = [directory.files("/wal/"), directory.files("/segments/"), [META], [COPY]]
    weights = [4, 4, 2, 1]
    for n in range(count):
        yield n, rng.choice(rng.choices(kinds, weights)[0])


def sweep(run: Callable[[random.Random, Directory], None]) -> None:
    seed = int(os.environ.get("RUSTS_SEED", random.randrange(2**32)))
    print("seed", seed)
    run(random.Random(seed), made(seed))


def test_flipped_bytes() -> None:
    def run(rng: random.Random, directory: Directory) -> None:
        lost = 0
        for n, path in places(directory, rng, SINGLE):
            what = f"{n}: bytes flipped in {path}"
            lost += check(directory, {path: flipped(directory.image[path], rng)}, what, False, n % 3 == 0)
        assert lost, "the sweep itself must hit something"

    sweep(run)


def test_files_cut_or_removed() -> None:
    def run(rng: random.Random, directory: Directory) -> None:
        for n, path in places(directory, rng, GONE):
            cut = None if rng.random() < 0.4 else directory.image[path][: rng.randrange(len(directory.image[path]))]
            logs = directory.files("/wal/")
            # The first and the last file of a log may be missing for good reasons, and the last may end anywhere.
            hidden = path == logs[-1] or (cut is None and path == logs[0])
            what = f"{n}: {path} cut to {None if cut is None else len(cut)} bytes"
            lost = check(directory, {path: cut}, what, hidden, n % 3 == 0)
            assert not (lost and path in (META, COPY)), what

    sweep(run)


def test_two_files_at_once() -> None:
    def run(rng: random.Random, directory: Directory) -> None:
        for n, path in places(directory, rng, PAIRS):
            other = META if path != META else rng.choice([COPY, *directory.files("/segments/")])
            changed: dict[str, bytes | None] = {path: flipped(directory.image[path], rng), other: None}
            check(directory, changed, f"{n}: bytes flipped in {path}, {other} missing", False, n % 3 == 0)

    sweep(run)
