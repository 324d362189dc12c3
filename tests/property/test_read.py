"""Reads against a Store made of dicts: random points, random deletes, random flushes, random requests."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest

from rusts.engine import fold as fold_module
from rusts.engine import merge as merge_module
from rusts.engine import scan as scan_module
from rusts.engine.fold import fold
from rusts.engine.scan import scan
from rusts.model.partial import State, StateKind
from rusts.model.predicate import And, CompareOp, FieldCompare, FieldRegex, Or, Predicate, TagIn, TagRegex
from rusts.model.store import FoldRequest, ScanRequest, TimeRange, Window
from rusts.model.time import MAX_TIME, MIN_TIME
from rusts.model.types import FieldType
from tests.support.readview import NAME, World, cells_of, rows_of, same_cells

ROUNDS = 4000 if os.environ.get("RUSTS_PROOF") == "1" else 120

TYPES = {
    "f": FieldType.FLOAT,
    "g": FieldType.FLOAT,
    "i": FieldType.INTEGER,
    "u": FieldType.UNSIGNED,
    "b": FieldType.BOOLEAN,
    "s": FieldType.STRING,
}


def random_value(rng: random.Random, type: FieldType) -> Any:
    if type is FieldType.FLOAT:
        return rng.choice([0.0, 1.0, -2.5, 3.25, float(rng.randint(-9, 9)), rng.uniform(-5, 5)])
    if type is FieldType.INTEGER:
        return rng.choice([0, rng.randint(-5, 5), (1 << 53) + 1, -(1 << 63), (1 << 63) - 1])
    if type is FieldType.UNSIGNED:
        return rng.choice([0, rng.randint(0, 9), (1 << 64) - 1, 1 << 63])
    if type is FieldType.BOOLEAN:
        return rng.random() < 0.5
    return rng.choice(["", "a", "ab", "é", "b b", "z"])


def random_time(rng: random.Random, around: int) -> int:
    if rng.random() < 0.03:
        return rng.choice([MAX_TIME, 0, -1, MIN_TIME + 3 * 10**15, -(10**18)])
    return around + rng.randint(0, 60)


def random_world(rng: random.Random, directory: str | None) -> World:
    names = rng.sample(sorted(TYPES), rng.randint(1, len(TYPES)))
    batch_rows, statistics_rows = rng.choice([3, 16, 1000]), rng.choice([2, 8])
    world = World({n: TYPES[n] for n in names}, batch_rows, statistics_rows, directory)
    around = rng.choice([0, -30, 1_700_000_000_000])
    for _ in range(rng.randint(1, 8)):
        points = []
        for _ in range(rng.choice([1, 5, 60])):
            tags = {k: rng.choice(["", "x", "y", "é"]) for k in ("a", "b") if rng.random() < 0.8}
            chosen = rng.sample(names, rng.randint(1, len(names)))
            fields = {n: random_value(rng, TYPES[n]) for n in chosen}
            points.append((tags, random_time(rng, around), fields))
        world.write(points)
        step = rng.random()
        if step < 0.5:
            world.flush()
        elif step < 0.7:
            world.seal()
        if rng.random() < 0.25:
            world.delete(random_range(rng, world), random_predicate(rng, names) if rng.random() < 0.7 else None)
        if rng.random() < 0.5:
            around += rng.choice([20, 60, 200])
    return world


def random_predicate(rng: random.Random, names: list[str], depth: int = 0) -> Predicate:
    kind = rng.randint(0, 5 if depth < 2 else 3)
    if kind == 0:
        return TagIn(rng.choice(["a", "b", "c"]), tuple(rng.sample(["", "x", "y", "é", "no"], 2)), rng.random() < 0.5)
    if kind == 1:
        return TagRegex(rng.choice(["a", "b", "c"]), rng.choice(["^x", "y$", "", "x|y"]), rng.random() < 0.5)
    if kind == 2:
        return FieldRegex(rng.choice(names), rng.choice(["^a", "b", "^$", "z|é"]), rng.random() < 0.5)
    if kind == 3:
        name = rng.choice([*names, "missing"])
        constant = rng.choice([0, 1, 2.5, -0.5, 0.0, True, "a", "", (1 << 53) + 1, 1 << 63, 1e300, float("inf"), -1])
        return FieldCompare(name, rng.choice(list(CompareOp)), constant)
    parts = tuple(random_predicate(rng, names, depth + 1) for _ in range(rng.randint(0, 3)))
    return And(parts) if kind == 4 else Or(parts)


def random_range(rng: random.Random, world: World) -> TimeRange:
    if rng.random() < 0.3:
        return TimeRange(MIN_TIME, MAX_TIME + 1)
    times = [int(s.section.directory().low[0]) for s in world.segments] or [0]
    start = rng.choice(times) + rng.randint(-30, 60)
    return TimeRange(start, start + rng.choice([0, 1, 30, 300]))


def check_scan(world: World, rng: random.Random, range: TimeRange, predicate: Predicate | None) -> None:
    names = sorted(world.types)
    fields = None if rng.random() < 0.5 else tuple(rng.sample([*names, "missing"], rng.randint(0, len(names))))
    request = ScanRequest("db", None, NAME, range, predicate, fields, rng.random() < 0.5)
    found = rows_of(scan(world.view(), request), request.descending)
    wanted = rows_of(world.model.scan(request), request.descending)
    assert sorted(found, key=str) == sorted(wanted, key=str), request


def check_fold(world: World, rng: random.Random, range: TimeRange, predicate: Predicate | None) -> None:
    names = sorted(world.types)
    kinds = list(StateKind)
    style = rng.random()
    if style < 0.2:
        kinds = [StateKind.LAST]
    elif style < 0.4:
        kinds = [StateKind.FIRST]
    elif style < 0.6:
        kinds = [StateKind.COUNT, StateKind.SUM]
    asked = dict.fromkeys(State(rng.choice(kinds), rng.choice([*names, "missing"])) for _ in "x" * rng.randint(1, 4))
    states = tuple(s for s in asked if s != State(StateKind.MOMENTS, "s"))
    window = None if rng.random() < 0.5 else Window(rng.choice([1, 7, 60, 10**15, 1 << 61]), rng.randint(0, 5))
    group_by = rng.choice([None, (), ("a",), ("b", "a"), ("a", "missing")])
    request = FoldRequest("db", None, NAME, range, states, predicate, group_by, window)
    found = cells_of(fold(world.view(), request), group_by)
    wanted = {
        (group, max(bucket, MIN_TIME)): cell
        for (group, bucket), cell in cells_of(world.model.fold(request), group_by).items()
    }
    assert same_cells(found, wanted), request


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_reads_are_the_models(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    check_reads(seed, monkeypatch, None)


@pytest.mark.parametrize("seed", range(10_000, 10_000 + ROUNDS // 4))
def test_reads_of_segment_files_are_the_models(seed: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("rusts.segment.writer.BATCH_ROWS", 16)
    for room in ("writer", "reader", "stats"):
        monkeypatch.setattr(f"rusts.segment.{room}.STATISTICS_ROWS", 4)
    check_reads(seed, monkeypatch, str(tmp_path))


def check_reads(seed: int, monkeypatch: pytest.MonkeyPatch, directory: str | None) -> None:
    rng = random.Random(seed)
    monkeypatch.setattr(fold_module, "_SMALL_GRID", rng.choice([0, 1 << 16]))
    monkeypatch.setattr(merge_module, "MERGE_ROWS", rng.choice([4, 1 << 19]))
    monkeypatch.setattr(scan_module, "_FIRST_ROWS", rng.choice([4, 1 << 12]))
    world = random_world(rng, directory)
    names = sorted(world.types)
    for _ in range(8):
        predicate = random_predicate(rng, names) if rng.random() < 0.6 else None
        check_scan(world, rng, random_range(rng, world), predicate)
        check_fold(world, rng, random_range(rng, world), predicate)
    assert not world.corruptions
