"""Tickets."""

from __future__ import annotations

import threading

import pytest

from rusts.errors import LogUnavailable, Timeout
from rusts.wal.sync import DONE, GroupCommit, LogMode, UnsyncedAge


def test_modes_are_named_as_operators_write_them() -> None:
    assert [mode.value for mode in LogMode] == ["every-write", "periodic", "os-default", "none"]


def test_done_is_done() -> None:
    seen: list[Exception | None] = []
    DONE.add_done_callback(seen.append)
    DONE.wait(0)
    assert DONE.done()
    assert seen == [None]


def test_a_group_is_settled_once_for_all() -> None:
    group = GroupCommit()
    seen: list[Exception | None] = []
    group.add_done_callback(seen.append)
    assert not group.done()
    with pytest.raises(Timeout):
        group.wait(0)
    assert seen == []
    group.settle(None)
    assert group.done()
    group.wait(0)
    group.add_done_callback(seen.append)
    assert seen == [None, None]


def test_a_failed_group_raises() -> None:
    group = GroupCommit()
    problem = LogUnavailable("no")
    waiter = threading.Thread(target=group.settle, args=(problem,))
    waiter.start()
    with pytest.raises(LogUnavailable):
        group.wait(10)
    waiter.join()
    seen: list[Exception | None] = []
    group.add_done_callback(seen.append)
    assert seen == [problem]


def test_age_of_the_oldest() -> None:
    age = UnsyncedAge()
    assert age.oldest() is None
    assert age.wrote(5.0)
    assert not age.wrote(6.0)
    age.begin()
    assert (age.oldest(), age.waiting()) == (5.0, None)
    assert age.wrote(7.0)
    assert (age.oldest(), age.waiting()) == (5.0, 7.0)
    age.end()
    assert (age.oldest(), age.waiting()) == (7.0, 7.0)
    age.forget()
    assert age.oldest() is None
