"""Log files that format version 1 wrote: every later version reads them.

`python -m tests.golden.wal.test_wal_golden` writes them; a file that was shipped is never written again, a new
format gets a new directory beside ``version1``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa
import pytest

from rusts.files import OsFiles
from rusts.model.batch import Column, Rows
from rusts.model.types import FieldType, Stamp
from rusts.wal.reader import Damage, read_file_header, replay
from rusts.wal.record import FileHeader, LogPosition, WriteRecord, file_name
from rusts.wal.sync import LogMode
from rusts.wal.writer import Log
from tests.support.wal import PlainNames, column, plain, series_key

GOLDEN = Path(__file__).parent / "version1"
SALTS = [0x12345678, 0x9ABCDEF0]


class StandingClock:
    def now_ns(self) -> int:
        return 1_700_000_000_000_000_000

    def monotonic(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        raise NotImplementedError


def writes() -> list[list[Rows]]:
    """What the files hold: stored plainly, every type; then narrowed and compressed in every way."""
    few = Rows(
        (5 << 48) + 1,
        np.array([0, 2, 0xFFFFFFFF], dtype=np.uint32),
        np.array([-9223372036854775806, 0, 9223372036854775806], dtype=np.int64),
        {
            101: column(FieldType.FLOAT, [0.1, -0.0, None]),
            102: column(FieldType.INTEGER, [-(1 << 63), None, (1 << 63) - 1]),
            103: column(FieldType.UNSIGNED, [0, 1, (1 << 64) - 1]),
            104: column(FieldType.BOOLEAN, [True, False, True]),
            105: column(FieldType.STRING, ["", "größe\n\0", None]),
        },
    )
    one = Rows(9, np.array([4], np.uint32), np.array([77], np.int64), {202: column(FieldType.INTEGER, [5])})
    n = np.arange(200)
    floats = n * 0.25
    floats[17] = np.nan
    many = Rows(
        9,
        (n % 7).astype(np.uint32) + np.uint32(300),
        1_700_000_000_000_000_000 + (n // 7) * 10_000_000_000,
        {
            207: Column(FieldType.FLOAT, (n % 50) / 100, n % 3 > 0),
            201: Column(FieldType.INTEGER, n - 100),
            202: Column(FieldType.INTEGER, n * 400 + (1 << 50)),
            203: Column(FieldType.INTEGER, n * 100_000_000),
            204: Column(FieldType.UNSIGNED, n.astype(np.uint64) + np.uint64(1 << 63)),
            205: Column(FieldType.BOOLEAN, n % 5 == 0, n % 2 > 0),
            206: Column(FieldType.STRING, pa.array([f"v{i % 9}é" for i in n], pa.large_string())),
            208: Column(FieldType.FLOAT, floats),
        },
    )
    return [[few, one], [one], [many, few]]


OTHERS = {
    204: FieldType.UNSIGNED,
    205: FieldType.BOOLEAN,
    206: FieldType.STRING,
    207: FieldType.FLOAT,
    208: FieldType.FLOAT,
}


class GoldenNames(PlainNames):
    def field_name(self, field: int) -> tuple[str, FieldType]:
        return (f"f{field}", OTHERS[field]) if field in OTHERS else super().field_name(field)


def write_files(directory: Path) -> None:
    """Write the golden files as this version would."""
    directory.mkdir(parents=True, exist_ok=True)
    with mock.patch("secrets.randbits", side_effect=SALTS):
        log = Log(OsFiles(), str(directory), LogMode.PERIODIC, GoldenNames(), StandingClock())
        for number, batches in enumerate(writes()):
            if number == 2:
                log.rotate()
            log.append((5 << 48) + 7, 8, Stamp((1 << 63) + number, 5), batches)
        log.close()


def records(directory: Path) -> list[tuple[LogPosition, LogPosition, WriteRecord]]:
    found = list(replay(OsFiles(), str(directory)))
    assert not any(isinstance(item, Damage) for item in found)
    return [item for item in found if not isinstance(item, Damage)]


def test_they_hold_what_was_written() -> None:
    found = records(GOLDEN)
    assert [[plain(b) for b in r.rows] for _, _, r in found] == [[plain(b) for b in w] for w in writes()]
    assert [(r.database, r.policy, r.stamp) for _, _, r in found] == [
        ((5 << 48) + 7, 8, Stamp((1 << 63) + n, 5)) for n in range(3)
    ]
    assert [start.file for start, _, _ in found] == [1, 1, 2]
    big = (5 << 48) + 1
    first, second, third = (r for _, _, r in found)
    assert first.measurements == [(big, f"m{big}"), (9, "m9")]
    fields = [(101 + n, big, f"f{101 + n}", FieldType(n + 1)) for n in range(5)]
    assert first.fields == [*fields, (202, 9, "f202", FieldType.INTEGER)]
    series: list[Any] = [(m, n.tolist(), [keys[i] for i in range(len(keys))]) for m, n, keys in first.series]
    wanted = {big: [0, 2, 0xFFFFFFFF], 9: [4]}
    assert series == [(m, ns, [series_key(m, n) for n in ns]) for m, ns in wanted.items()]
    assert (second.measurements, second.fields, second.series) == ([], [], [])
    assert third.measurements == [(9, "m9"), (big, f"m{big}")]


def test_their_headers() -> None:
    created = StandingClock().now_ns()
    end = (GOLDEN / file_name(1)).stat().st_size
    for number, previous, previous_end in ((1, 0, 0), (2, 1, end)):
        header = read_file_header(OsFiles(), str(GOLDEN / file_name(number)))
        assert header == FileHeader(1, SALTS[number - 1], number, previous, previous_end, created)


def test_this_version_still_writes_the_same_bytes(tmp_path: Path) -> None:
    write_files(tmp_path)
    # The second file has LZ4 blocks, and another version of LZ4 may find other matches.
    assert (tmp_path / file_name(1)).read_bytes() == (GOLDEN / file_name(1)).read_bytes()
    assert [plain(b) for _, _, r in records(tmp_path) for b in r.rows] == [
        plain(b) for _, _, r in records(GOLDEN) for b in r.rows
    ]


if __name__ == "__main__":
    if GOLDEN.exists():
        pytest.exit(f"{GOLDEN} is there already")
    write_files(GOLDEN)
    print(f"wrote {GOLDEN}", file=sys.stderr)
