from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from rusts import config, errors
from rusts.clock import SystemClock
from rusts.engine.memory import machine_memory
from rusts.node import Node
from tests.support.storage import FakeStorage


def settings(**named: str) -> config.Settings:
    return config.load({name.replace("_", "-"): text for name, text in named.items()}, {})


def eventually(true: object) -> None:
    """Waits until `true()` holds."""
    deadline = time.monotonic() + 10
    while not true():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.005)


class Steps(FakeStorage):
    """Counts what workers call."""

    def __init__(self) -> None:
        super().__init__()
        self.called: dict[str, set[str]] = {}
        self.trouble: Exception | None = None

    def _step(self, name: str) -> None:
        self.called.setdefault(name, set()).add(threading.current_thread().name)
        time.sleep(0.002)

    def log_step(self, timeout: float) -> None:
        self._step("log")

    def flush_step(self, timeout: float) -> None:
        self._step("flush")
        if self.trouble is not None:
            raise self.trouble

    def maintenance_step(self, timeout: float) -> None:
        self._step("maintenance")

    def recover_step(self) -> None:
        self._step("recovery")


def test_each_step_has_its_thread_and_close_ends_them():
    storage = Steps()
    node = Node(settings(), storage, SystemClock())
    before = threading.active_count()
    node.start()
    eventually(lambda: len(storage.called) == 4)
    assert {name: list(threads) for name, threads in storage.called.items()} == {
        "log": ["rusts-log"],
        "flush": ["rusts-flush"],
        "maintenance": ["rusts-maintenance"],
        "recovery": ["rusts-recovery"],
    }
    assert not node.stopping
    node.close()
    assert node.stopping
    assert storage.closed
    assert threading.active_count() == before


def test_a_worker_that_fails_is_shown_and_goes_on():
    storage = Steps()
    storage.trouble = OSError("the disk is on fire")
    node = Node(settings(), storage, SystemClock())
    node.start()
    eventually(lambda: not node.health()[-1].ok)
    check = node.health()[-1]
    assert (check.name, check.message) == ("workers", "rusts-flush: OSError: the disk is on fire")
    storage.trouble = None
    eventually(lambda: node.health()[-1].ok)
    node.close()


def test_memory_is_a_share_or_a_size():
    assert Node(settings(), FakeStorage(), SystemClock()).memory_bytes == int(machine_memory() * 0.6)
    assert Node(settings(memory_limit="100MB"), FakeStorage(), SystemClock()).memory_bytes == 100_000_000


def test_a_real_node_keeps_what_it_was_given(tmp_path: Path):
    given = settings(data_dir=str(tmp_path / "data"), wal_mode="every-write", memory_limit="200MB")
    node = Node.open(given)
    assert node.store.databases() == ["default"]
    with pytest.raises(errors.DirectoryLocked):
        Node.open(given)
    node.start()
    eventually(node.store.ready)
    node.store.create_database("db0")
    node.close()
    again = Node.open(given)
    assert again.store.databases() == ["default", "db0"]
    again.close()
