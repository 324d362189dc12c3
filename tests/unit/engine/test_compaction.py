"""The plan of compaction, over plain lists."""

from __future__ import annotations

import random

from rusts.catalog.schema import SegmentEntry
from rusts.engine.compaction import MAX_BYTES, MIN_FILES, plan
from rusts.model.types import Stamp

WIDTH = 7_200_000_000_000


def entry(number: int, size: int, start: int = 0, width: int = WIDTH, stamp: int | None = None) -> SegmentEntry:
    written = number if stamp is None else stamp
    return SegmentEntry(
        id=number,
        file_name=f"{number:016x}.seg",
        database=1,
        policy=1,
        min_time=start,
        max_time=start + width - 1,
        min_stamp=Stamp(written * 10),
        max_stamp=Stamp(written * 10 + 5),
        rows=size,
        bytes=size,
        tier=1,
        start=start,
        width=width,
    )


def ids(entries: list[SegmentEntry]) -> list[int]:
    return [e.id for e in entries]


def test_few_or_falling_sizes_are_left_alone() -> None:
    assert plan([]) == []
    assert plan([entry(i, 100) for i in range(1, MIN_FILES)]) == []
    assert plan([entry(1, 1000), entry(2, 100), entry(3, 10), entry(4, 1)]) == []


def test_like_sizes_are_merged() -> None:
    assert ids(plan([entry(i, 100) for i in range(1, 6)])) == [1, 2, 3, 4, 5]
    assert ids(plan([entry(1, 10_000)] + [entry(i, 100) for i in range(2, 7)])) == [2, 3, 4, 5, 6]


def test_partitions_are_merged_apart() -> None:
    other = [entry(i, 100, start=WIDTH) for i in range(10, 13)]
    assert ids(plan([entry(i, 100) for i in range(1, 5)] + other)) == [1, 2, 3, 4]


def test_a_quiet_partition_becomes_one_file() -> None:
    falling = [entry(1, 1000), entry(2, 100), entry(3, 10)]
    assert ids(plan(falling, quiet_since=Stamp(1000))) == [1, 2, 3]
    assert plan(falling, quiet_since=Stamp(30)) == []
    assert plan([entry(1, 1000)], quiet_since=Stamp(1000)) == []


def test_large_files_are_not_merged() -> None:
    assert plan([entry(1, MAX_BYTES), entry(2, MAX_BYTES)], quiet_since=Stamp(1000)) == []


def test_nothing_written_in_between_is_jumped_over() -> None:
    wide = entry(9, 100, width=12 * WIDTH, stamp=2)
    members = [entry(1, 100, stamp=1)] + [entry(i, 100, stamp=i) for i in range(3, 7)]
    assert plan([*members, wide]) == []
    elsewhere = entry(9, 100, start=-12 * WIDTH, width=12 * WIDTH, stamp=2)
    assert ids(plan([*members, elsewhere])) == [1, 3, 4, 5, 6]


def test_any_history_converges_to_few_files() -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    rng = random.Random(seed)
    live: list[SegmentEntry] = []
    written = rewritten = 0
    for number in range(1, 2001):
        size = rng.randint(50, 150)
        written += size
        live.append(entry(number, size))
        while chosen := plan(live):
            assert [e.id for e in live if e in chosen] == ids(chosen)
            total = sum(e.bytes for e in chosen)
            rewritten += total
            at = live.index(chosen[0])
            merged = entry(10_000 + number, total, stamp=chosen[0].min_stamp.clock // 10)
            live[at : at + len(chosen)] = [merged]
    assert len(live) <= 16
    assert rewritten <= 12 * written
