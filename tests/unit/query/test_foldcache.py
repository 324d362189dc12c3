"""Kept folds against folds made anew: the answers are the same whatever is written between."""

from __future__ import annotations

import dataclasses
import os
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from rusts.model.batch import Batch
from rusts.model.changes import Changes
from rusts.model.partial import Partial, State, StateKind
from rusts.model.store import FoldRequest, FoldResult, TimeRange, Window, WriteOutcome
from rusts.query.foldcache import FoldCache
from tests.support.model_store import ModelStore, batch_of

SEED = int(os.environ.get("RUSTS_SEED", "11"))
TEN = Window(10)
ROUNDS = 2000 if os.environ.get("RUSTS_PROOF") else 60
STATES = (State(StateKind.COUNT, "v"), State(StateKind.SUM, "v"), State(StateKind.LAST, "s"))


class Noted(ModelStore):
    """The model, with its changes noted and its folds counted."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: dict[str, Changes] = {}
        self.folds = 0
        self.create_database("db")

    def write(self, database: str, policy: str | None, batches: Sequence[Batch]) -> WriteOutcome:
        outcome = super().write(database, policy, batches)
        for batch in batches:
            self.noted.setdefault(batch.measurement, Changes()).note(int(batch.times.min()))
        return outcome

    def changes(self, database: str, policy: str | None, measurement: str) -> Changes | None:
        return self.noted.get(measurement)

    def fold(self, request: FoldRequest) -> FoldResult:
        self.folds += 1
        return super().fold(request)

    def put(self, points: dict[int, float], host: str = "a") -> None:
        rows = [({"host": host}, time, {"v": value, "s": f"s{value}"}) for time, value in points.items()]
        self.write("db", None, [batch_of("m", rows)])


def request(start: int, end: int, window: Window | None = TEN) -> FoldRequest:
    return FoldRequest("db", None, "m", TimeRange(start, end), STATES, None, ("host",), window)


def plain(result: FoldResult) -> Any:
    def listed(values: Any) -> Any:
        return values.to_pylist() if isinstance(values, pa.Array) else None if values is None else values.tolist()

    def partial(of: Partial) -> Any:
        return [listed(each) for each in (of.count, of.value, of.time, of.m2)]

    tags = [[tag.values[tag.codes[group]] for group in result.group.tolist()] for tag in result.tags]
    states = {str(state): partial(each) for state, each in result.states.items()}
    return tags, result.bucket.tolist(), states


@pytest.fixture
def store() -> Noted:
    made = Noted()
    for step in range(4):
        made.put({time: float(time) for time in range(step * 25, step * 25 + 25)})
    return made


def test_the_same_question_is_answered_once(store: Noted):
    cache = FoldCache(1 << 20)
    first = cache.fold(store, request(0, 50))
    again = cache.fold(store, request(0, 50))
    assert plain(first) == plain(again)
    assert (store.folds, cache.hits, cache.misses) == (1, 1, 1)
    assert again.stats.from_cache == 5


def test_a_range_that_moves_on_folds_its_ends_only(store: Noted):
    cache = FoldCache(1 << 20)
    cache.fold(store, request(0, 80))
    store.put({100: 1.0})
    asked: list[TimeRange] = []
    fold = store.fold
    store.fold = lambda r: (asked.append(r.range), fold(r))[1]  # type: ignore[method-assign]
    result = cache.fold(store, request(5, 95))
    assert asked == [TimeRange(5, 10), TimeRange(80, 95)]
    assert plain(result) == plain(Noted.fold(store, request(5, 95)))
    assert result.stats.from_cache == 7


def test_a_late_write_is_seen(store: Noted):
    cache = FoldCache(1 << 20)
    for late in (95, 41, 3):
        cache.fold(store, request(0, 100))
        store.put({late: 1000.0})
        assert plain(cache.fold(store, request(0, 100))) == plain(store.fold(request(0, 100)))


def test_a_new_group_is_seen(store: Noted):
    cache = FoldCache(1 << 20)
    cache.fold(store, request(0, 90))
    store.put({95: 1.0}, host="0")
    assert plain(cache.fold(store, request(0, 100))) == plain(store.fold(request(0, 100)))


def test_a_measurement_made_anew_has_nothing_kept(store: Noted):
    cache = FoldCache(1 << 20)
    cache.fold(store, request(0, 90))
    store.noted["m"] = Changes()
    cache.fold(store, request(0, 90))
    assert cache.misses == 2


def test_memory_is_bounded_and_the_latest_used_stay(store: Noted):
    cache = FoldCache(64_000)
    for start in range(0, 90, 2):
        cache.fold(store, request(start, start + 20, Window(5 + start)))
        assert cache.nbytes <= cache.limit
        assert len(cache._entries) >= 1
    folds = store.folds
    cache.fold(store, request(88, 108, Window(93)))
    assert store.folds == folds
    cache.clear()
    assert cache.nbytes == 0


def test_one_bucket_without_a_window_is_kept_whole(store: Noted):
    cache = FoldCache(1 << 20)
    first = cache.fold(store, request(0, 50, None))
    assert plain(cache.fold(store, request(0, 50, None))) == plain(first)
    assert plain(cache.fold(store, request(1, 50, None))) == plain(store.fold(request(1, 50, None)))
    assert cache.hits == 1


@pytest.mark.parametrize("seed", range(SEED, SEED + ROUNDS))
def test_random_questions_and_writes(seed: int):
    rng = random.Random(seed)
    store, cache = Noted(), FoldCache(1 << 20)
    store.put({0: 0.0})
    for _ in range(12):
        for _ in range(rng.randrange(3)):
            times = rng.sample(range(-40, 140), rng.randrange(1, 30))
            store.put({time: rng.choice([1.0, 2.5, -3.0]) for time in times}, host=rng.choice("ab"))
        start = rng.randrange(-40, 60)
        window = rng.choice([None, Window(10), Window(7, 3)])
        asked = request(start, start + rng.choice([5, 50, 90]), window)
        if rng.random() < 0.1:
            asked = dataclasses.replace(asked, group_by=None)
        assert plain(cache.fold(store, asked)) == plain(store.fold(asked))
        assert isinstance(cache.fold(store, asked).group, np.ndarray)
