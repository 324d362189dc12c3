"""Engines on a simulated disk, driven step by step, and what they hold as plain Python."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rusts.engine.engine import Engine, EngineSettings
from rusts.engine.resolve import Limits
from rusts.model.series import decode_key
from rusts.model.store import ScanRequest, TimeRange
from rusts.model.time import MAX_TIME, MIN_TIME
from rusts.wal.sync import LogMode
from tests.support.disk import SimulatedDisk
from tests.support.model_store import Tags, Value, batch_of, python_values

__all__ = ["EVERYTHING", "Cell", "Cells", "History", "ManualClock", "Point", "contents", "open_engine", "write"]

Point = tuple[str, str, Tags, int, dict[str, Value]]
"""Database, measurement, tags, time, fields."""

Cell = tuple[str, str, tuple[tuple[str, str], ...], int, str]
Cells = dict[Cell, Value]

EVERYTHING = TimeRange(MIN_TIME, MAX_TIME + 1)


class ManualClock:
    """A clock that stands still until it is told."""

    def __init__(self) -> None:
        self.seconds = 1_700_000_000.0

    def now_ns(self) -> int:
        return int(self.seconds * 1e9)

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


def open_engine(disk: SimulatedDisk, mode: LogMode = LogMode.PERIODIC, **settings: Any) -> Engine:
    """An engine on `disk` with its log replayed."""
    limits = settings.pop("limits", Limits())
    given = EngineSettings(wal_mode=mode, min_free_space=0, limits=limits, query_wait=0.0, **settings)
    engine = Engine.open(disk, "/data", given, ManualClock())
    engine.recover_step()
    return engine


def write(engine: Engine, points: Sequence[Point]) -> None:
    """Write `points` of one database; returns once they are as durable as the mode promises.

    Raises RetryLater or OSError if they may not be.
    """
    groups: dict[str, list[tuple[Tags, int, dict[str, Value]]]] = {}
    for _, measurement, tags, time, fields in points:
        groups.setdefault(measurement, []).append((tags, time, fields))
    batches = [batch_of(measurement, rows) for measurement, rows in groups.items()]
    outcome = engine.write(points[0][0], None, batches)
    assert not outcome.rejects
    if not outcome.commit.done():
        engine.log_step(0.0)
    outcome.commit.wait(0.0)


def contents(engine: Engine) -> Cells:
    """Every cell that a reader finds."""
    cells: Cells = {}
    for database in engine.databases():
        for measurement in engine.measurements(database):
            scan = engine.scan(ScanRequest(database, None, measurement, EVERYTHING))
            for chunk in scan:
                tags = [tuple(decode_key(scan.series.key(int(n)))[1].items()) for n in chunk.row_series()]
                times = chunk.times.tolist()
                for name, column in chunk.columns.items():
                    for t, time, value in zip(tags, times, python_values(column), strict=True):
                        if value is not None:
                            assert (database, measurement, t, time, name) not in cells
                            cells[database, measurement, t, time, name] = value
            assert not scan.stats.warnings
    return cells


class History:
    """What was written and what was promised: for each cell the values that a reader may find."""

    def __init__(self) -> None:
        self._may: dict[Cell, list[Value | None]] = {}

    def attempt(self, points: Iterable[Point]) -> None:
        """`points` are about to be written: each may be found from now on."""
        for cell, value in _cells(points):
            self._may.setdefault(cell, [None]).append(value)

    def promise(self, points: Iterable[Point]) -> None:
        """`points`, the last that were attempted, were acknowledged: nothing older may be found."""
        for cell, value in _cells(points):
            self._may[cell] = [value]

    def attempt_delete(self, chosen: Callable[[Cell], bool]) -> None:
        """The cells that `chosen` says are about to be deleted: each may be missing from now on."""
        for cell, allowed in self._may.items():
            if chosen(cell) and None not in allowed:
                allowed.append(None)

    def promise_delete(self, chosen: Callable[[Cell], bool]) -> None:
        """They, the last that were attempted, were deleted: none of them may be found."""
        self._may.update({cell: [None] for cell in self._may if chosen(cell)})

    def known(self) -> Cells:
        """The cells of which only one value may be found."""
        return {cell: value[0] for cell, value in self._may.items() if len(value) == 1 and value[0] is not None}

    def check(self, found: Cells) -> None:
        """Fail unless `found` keeps every promise and holds nothing that nobody wrote."""
        for cell, allowed in self._may.items():
            value = found.get(cell)
            assert any(_same(value, a) for a in allowed), f"{cell}: found {value!r}, allowed {allowed!r}"
        invented = set(found) - set(self._may)
        assert not invented, f"nobody wrote {sorted(map(str, invented))[:5]}"

    def settle(self, found: Cells) -> None:
        """A restart has decided what became of unpromised writes: only what was found may be found again."""
        self._may = {cell: [found.get(cell)] for cell in self._may}


def _cells(points: Iterable[Point]) -> list[tuple[Cell, Value]]:
    last: Cells = {}
    for database, measurement, tags, time, fields in points:
        for name, value in fields.items():
            last[database, measurement, tuple(sorted(tags.items())), time, name] = value
    return list(last.items())


def _same(a: Value | None, b: Value | None) -> bool:
    return type(a) is type(b) and a == b
