"""A disk with a log directory, a clock that the test moves, and a log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rusts.wal.sync import LogMode
from rusts.wal.writer import Log
from tests.support.disk import SimulatedDisk
from tests.support.wal import DIRECTORY, PlainNames


class ManualClock:
    def __init__(self) -> None:
        self.seconds = 1000.0
        self.slept: list[float] = []

    def now_ns(self) -> int:
        return int(self.seconds * 1e9)

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def disk() -> SimulatedDisk:
    disk = SimulatedDisk()
    disk.make_dir(DIRECTORY)
    return disk


OpenLog = Callable[..., Log]


@pytest.fixture
def open_log(disk: SimulatedDisk, clock: ManualClock) -> OpenLog:
    def open(mode: LogMode = LogMode.PERIODIC, files: SimulatedDisk | None = None, **options: Any) -> Log:
        names = options.pop("names", None) or PlainNames()
        return Log(files or disk, DIRECTORY, mode, names, clock, **options)

    return open
