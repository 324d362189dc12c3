from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rusts.api.influxjson import encode_json
from rusts.clock import SystemClock
from rusts.influxql.context import Figure, Services, Session
from rusts.influxql.parser import parse
from rusts.influxql.running import RunningQueries
from rusts.influxql.statements import Statements
from rusts.query.limits import Tracker
from tests.support.model_store import batch_of
from tests.support.storage import FakeStorage


class Figures:
    """What a server could tell."""

    def statistics(self) -> Iterator[Figure]:
        yield Figure("runtime", {"Sys": 2, "Alloc": 1})
        yield Figure("database", {"numSeries": 3}, {"database": "db0"})

    def diagnostics(self) -> Iterator[Figure]:
        yield Figure("build", {"Version": "1"})


@pytest.fixture
def storage() -> FakeStorage:
    """A store with the database db0 of four series of m and one of n, and the empty db1."""
    store = FakeStorage()
    store.drop_database("default")
    store.create_database("db0")
    store.create_database("db1")
    second = 1_000_000_000
    m = [
        ({"host": "a", "dc": "x"}, second, {"v": 1.0, "s": "text", "i": 3, "b": True}),
        ({"host": "b", "dc": "x"}, 2 * second, {"v": 2.5, "i": -5}),
        ({"host": "a"}, 3 * second, {"v": 4.0, "i": 7}),
        ({}, 4 * second, {"v": 0.5}),
    ]
    store.write("db0", None, [batch_of("m", m), batch_of("n", [({"t": "z,1"}, 5 * second, {"f": 5.0})])])
    return store


@pytest.fixture
def running() -> RunningQueries:
    return RunningQueries(SystemClock())


@pytest.fixture
def services(storage: FakeStorage, running: RunningQueries) -> Services:
    return Services(
        storage,
        storage,
        running,
        SystemClock(),
        lambda password: f"hash of {password}",
        lambda password, stored: stored == f"hash of {password}",
        Figures(),
    )


@pytest.fixture
def ask(services: Services) -> Callable[..., list[dict[str, Any]]]:
    """A function that runs a text (with members of a `Session`) and gives its results as JSON says them."""
    statements = Statements(services)

    def run(text: str, database: str = "db0", **session: Any) -> list[dict[str, Any]]:
        results = statements.run(parse(text), Session(database, **session), Tracker())
        found: list[dict[str, Any]] = json.loads(b"".join(encode_json(results, unit=1))).get("results", [])
        return found

    return run
