"""The log alone, one thread: microseconds and bytes of a write by size of request, and replay.

Rows of the Time Series Benchmark Suite's `cpu-only` use case (10 tags, 10 integer fields, 100 hosts), logged as a
server logs them: one line a request, 16 one-line requests put together, 5,000 lines a request. The peer is the
plainest log there is, measured in the same run: the request's text, through LZ4 where that helps, with a
CRC, appended to a file. Everything that was logged is replayed and compared before anything is reported.

    python benches/wal.py [--runs 5] [--quick]
"""

from __future__ import annotations

import os
import struct
import sys
import time
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import lz4.block
import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from rusts.clock import SystemClock  # noqa: E402
from rusts.files import OsFiles  # noqa: E402
from rusts.lineprotocol import parse  # noqa: E402
from rusts.model.batch import Rows  # noqa: E402
from rusts.model.series import KeyTable  # noqa: E402
from rusts.model.types import FieldType, Stamp  # noqa: E402
from rusts.wal.reader import Damage, log_bytes, replay, replay_names  # noqa: E402
from rusts.wal.sync import LogMode  # noqa: E402
from rusts.wal.writer import Log  # noqa: E402
from tools.measure import Figure, Options, Report, WrongAnswer, alternate, check, main, middle, workspace  # noqa: E402
from tools.tsbs import cpu_rows  # noqa: E402

SIZES = {"1 row": 1, "16 rows": 16, "5000 rows": 5000}
BUDGET_US = {"1 row": 15, "16 rows": 25, "5000 rows": 400}
"""What `append` may take, names, checksums and the write into the page cache included."""
MEASUREMENT = 1
HOSTS = 100
HEADER = struct.Struct("<III")


class Names:
    """A catalog of one measurement."""

    def __init__(self, fields: dict[int, tuple[str, FieldType]], keys: KeyTable) -> None:
        self.fields = fields
        self.keys = keys

    def measurement_name(self, measurement: int) -> str:
        return "cpu"

    def field_name(self, field: int) -> tuple[str, FieldType]:
        return self.fields[field]

    def series_keys(self, measurement: int, numbers: npt.NDArray[np.uint32]) -> KeyTable:
        return KeyTable.of([self.keys[number] for number in numbers.tolist()])

    def durable_series(self, measurement: int) -> int:
        return 0

    def is_durable(self, id: int) -> bool:
        return False


def requests(size: int, count: int) -> tuple[list[bytes], list[Rows], Names]:
    """`count` requests of `size` rows each: their text and their rows by id."""
    texts = list(cpu_rows(HOSTS, -(-size * count // HOSTS)).bodies(size))[:count]
    whole = parse(b"".join(texts))
    check(not whole.errors and len(whole.batches) == 1, "the rows do not parse")
    batch = whole.batches[0]
    check(len(batch) == size * count, "rows are missing")
    ids = {key: 100 + n for n, key in enumerate(batch.columns)}
    names = Names({ids[key]: key for key in batch.columns}, batch.keys)
    pieces = []
    for start in range(0, size * count, size):
        stop = start + size
        columns = {ids[key]: column.slice(start, stop) for key, column in batch.columns.items()}
        pieces.append(Rows(MEASUREMENT, batch.series[start:stop], batch.times[start:stop], columns))
    return texts, pieces, names


def ours(pieces: list[Rows], names: Names, folder: Path) -> dict[str, float]:
    """Log every piece, replay it all."""
    rows = sum(len(piece) for piece in pieces)
    with TemporaryDirectory(dir=folder) as directory:
        log = Log(OsFiles(), directory, LogMode.PERIODIC, names, SystemClock(), sync_interval=60)
        batches = [[piece] for piece in pieces]
        begin = time.perf_counter()
        for number, batch in enumerate(batches):
            log.append(1, 2, Stamp(number), batch)
        append = time.perf_counter() - begin
        log.close()
        size = log_bytes(OsFiles(), directory)
        replayed, found = timed(lambda: _replayed(directory))
        check(found == rows, f"{found} of {rows} rows came back")
        named, _ = timed(lambda: sum(1 for _ in replay_names(OsFiles(), directory)))
    return {
        "append_us": append / len(pieces) * 1e6,
        "bytes_a_row": size / rows,
        "replay_rows_per_second": rows / replayed,
        "replay_mb_per_second": size / replayed / 1e6,
        "names_mb_per_second": size / named / 1e6,
    }


def _replayed(directory: str) -> int:
    rows = 0
    for item in replay(OsFiles(), directory, gather_rows=8192):
        if isinstance(item, Damage):
            raise WrongAnswer(f"damage: {item}")
        rows += sum(len(batch) for batch in item[2].rows)
    return rows


def text_log(texts: list[bytes], rows: int, folder: Path) -> dict[str, float]:
    """The peer."""
    path = folder / "text.log"
    file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_APPEND)
    size = 0
    begin = time.perf_counter()
    for text in texts:
        packed = lz4.block.compress(text, store_size=False)
        body = packed if len(packed) < len(text) else text
        size += os.write(file, HEADER.pack(len(body), len(text), zlib.crc32(body)) + body)
    append = time.perf_counter() - begin
    os.close(file)
    return {"append_us": append / len(texts) * 1e6, "bytes_a_row": size / rows}


def every_write(pieces: list[Rows], names: Names, folder: Path) -> dict[str, float]:
    """Groups of 16 writes, each made durable by one fdatasync, in turn with a bare write and fdatasync."""
    ours_seconds = bare_seconds = 0.0
    with TemporaryDirectory(dir=folder) as directory:
        log = Log(OsFiles(), directory, LogMode.EVERY_WRITE, names, SystemClock())
        bare = OsFiles().create(f"{directory}/bare")
        for start in range(0, len(pieces), 16):
            begin = time.perf_counter()
            for piece in pieces[start : start + 16]:
                _, commit = log.append(1, 2, Stamp(1), [piece])
            log.sync_once()
            commit.wait(0)
            middle_of = time.perf_counter()
            bare.write(b"x" * 3200)
            bare.sync()
            ours_seconds += middle_of - begin
            bare_seconds += time.perf_counter() - middle_of
        log.close()
        bare.close()
    groups = len(pieces) / 16
    return {"group_us": ours_seconds / groups * 1e6, "bare_us": bare_seconds / groups * 1e6}


def timed(work: Callable[[], int]) -> tuple[float, int]:
    """Seconds, and what came out."""
    begin = time.perf_counter()
    result = work()
    return time.perf_counter() - begin, result


def measure(options: Options) -> Report:
    """The figures."""
    report = Report("wal")
    with workspace() as folder:
        for name, size in SIZES.items():
            count = options.pick(max(40, 40_000 // size), max(4, 4000 // size))
            texts, pieces, names = requests(size, count)
            results = alternate(
                options.runs,
                {"ours": partial(ours, pieces, names, folder), "text": partial(text_log, texts, size * count, folder)},
            )
            report.measured[name] = results
            us, text_us = (middle([r["append_us"] for r in results[who]]) for who in ("ours", "text"))
            row, text_row = (middle([r["bytes_a_row"] for r in results[who]]) for who in ("ours", "text"))
            replayed = middle([r["replay_rows_per_second"] for r in results["ours"]])
            report.figures += [
                Figure(f"append of {name}", us, "us", most=BUDGET_US[name]),
                Figure("time beside a log of text", us / text_us, "x"),
                Figure(f"a row in records of {name}", row, "bytes"),
                Figure("bytes beside a log of text", row / text_row, "x", most=1),
                Figure(f"replay of {name} a record", replayed, "rows/s"),
            ]
        texts, pieces, names = requests(1, options.pick(1600, 160))
        results = alternate(options.runs, {"every-write": partial(every_write, pieces, names, folder)})
        report.measured["every-write"] = results["every-write"]
        ratio = middle([r["group_us"] / r["bare_us"] for r in results["every-write"]])
        report.figures.append(Figure("16 durable writes beside a bare write and fdatasync", ratio, "x"))
    return report


if __name__ == "__main__":
    main(measure, __doc__)
