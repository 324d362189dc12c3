"""A dict against the engine: write, delete, drop, flush, merge, crash, reopen, query, in any order."""

from __future__ import annotations

import os
import random
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rusts.model.partial import State, StateKind
from rusts.model.predicate import And, CompareOp, FieldCompare, Or, Predicate, TagIn, TagRegex
from rusts.model.store import FoldRequest, PolicyInfo, ScanRequest, TimeRange, Window
from rusts.wal.sync import LogMode
from tests.support.disk import SimulatedDisk
from tests.support.engines import EVERYTHING, open_engine
from tests.support.model_store import ModelStore, Tags, Value, batch_of, python_values

PROOF = bool(os.environ.get("RUSTS_PROOF"))
HOUR = 3_600_000_000_000

TAGS = st.dictionaries(st.sampled_from(["host", "rack", "z é"]), st.sampled_from(["a", "b", "c=,d"]), max_size=2)
NEAR = st.integers(-3, 12).map(lambda n: n * HOUR // 2)
TIMES = NEAR | st.sampled_from([-(2**63) + 2, 2**63 - 2])
VALUES = st.fixed_dictionaries(
    {},
    optional={
        "i": st.integers(-(2**63), 2**63 - 1),
        "f": st.floats(allow_nan=False, allow_infinity=False),
        "s": st.text(max_size=4),
        "b": st.booleans(),
        # One field that clients do not agree about.
        "x": st.integers(0, 9) | st.floats(0, 9),
    },
).filter(bool)
POINTS = st.lists(st.tuples(TAGS, TIMES, VALUES), min_size=1, max_size=12)
Points = list[tuple[Tags, int, dict[str, Value]]]

POLICIES = st.none() | st.just("short")
ON_TAGS = st.builds(TagIn, st.sampled_from(["host", "rack", "none"]), st.sampled_from([("a",), ("",), ("b", "c=,d")]))
ON_TAGS |= st.builds(TagRegex, st.just("host"), st.sampled_from(["^a", "b|c", "^$"]), st.booleans())
ON_FIELDS = st.builds(FieldCompare, st.just("i"), st.sampled_from(list(CompareOp)), st.integers(-5, 5))
ON_FIELDS |= st.builds(FieldCompare, st.just("b"), st.just(CompareOp.EQ), st.booleans())
BOTH = st.tuples(ON_TAGS, ON_FIELDS)
PREDICATES = st.none() | ON_TAGS | ON_FIELDS | BOTH.map(And) | BOTH.map(Or)
NAMES = st.lists(st.sampled_from(["m", "n", "never"]), max_size=2)


def rows_of(store: Any, measurement: str, range: TimeRange, policy: str | None = None, **options: Any) -> list[Any]:
    """Every row of a scan, sorted, as (key, time, fields)."""
    scan = store.scan(ScanRequest("default", policy, measurement, range, **options))
    rows = []
    for chunk in scan:
        keys = [scan.series.key(int(n)) for n in chunk.row_series()]
        columns = {name: python_values(column) for name, column in chunk.columns.items()}
        for at, (key, time) in enumerate(zip(keys, chunk.times.tolist(), strict=True)):
            fields = {n: (type(v), v) for n, vs in columns.items() if (v := vs[at]) is not None}
            rows.append((key, time, sorted(fields.items(), key=lambda kv: kv[0])))
    return sorted(rows, key=lambda r: (r[0], r[1]))


def cells_of(store: Any, measurement: str, range: TimeRange, window: Window | None) -> dict[Any, Any]:
    """Count, extremes and edges of the integer field for each host and bucket."""
    kinds = (StateKind.COUNT, StateKind.MIN, StateKind.MAX, StateKind.FIRST, StateKind.LAST)
    states = tuple(State(kind, "i") for kind in kinds)
    found = store.fold(FoldRequest("default", None, measurement, range, states, group_by=("host",), window=window))
    cells = {}
    for at, (group, bucket) in enumerate(zip(found.group.tolist(), found.bucket.tolist(), strict=True)):
        host = found.tags[0].values[found.tags[0].codes[group]]
        values = []
        for state in states:
            partial = found.states[state]
            count = int(partial.count[at])
            value = None if partial.value is None or not count else int(partial.value[at])
            time = None if partial.time is None or not count else int(partial.time[at])
            values.append((state.kind, count, value, time))
        cells[host, bucket] = values
    return cells


def schema_of(store: Any) -> Any:
    """All that there is of names, series and tags."""
    found: dict[str, Any] = {"policies": store.policies("default"), "databases": store.databases()}
    for name in store.measurements("default"):
        series = store.select_series("default", name)
        keys = sorted(series.key(n) for n in range(len(series)))
        assert store.series_count("default", name) == len(keys)
        tags = {key: store.tag_values("default", name, key).to_pylist() for key in store.tag_keys("default", name)}
        assert tags == {key: [v for v in values if v] for key, values in tags.items()}
        assert all(store.tag_value_count("default", name, key) == len(values) for key, values in tags.items())
        found[name] = keys, tags
    return found


class EngineMachine(RuleBasedStateMachine):
    """The engine and the model take the same steps; whatever is asked, both answer the same."""

    @initialize(mode=st.sampled_from([LogMode.PERIODIC, LogMode.EVERY_WRITE]))
    def start(self, mode: LogMode) -> None:
        self.mode = mode
        self.disk = SimulatedDisk()
        self.engine = open_engine(self.disk, mode, memtable_points=40)
        self.model = ModelStore()
        self.model.create_database("default")
        for store in (self.engine, self.model):
            store.create_policy("default", PolicyInfo("short", 0, 0, 1, False))

    @rule(measurement=st.sampled_from(["m", "n"]), points=POINTS, policy=POLICIES)
    def write(self, measurement: str, points: Points, policy: str | None) -> None:
        batch = batch_of(measurement, points)
        got = self.engine.write("default", policy, [batch])
        want = self.model.write("default", policy, [batch_of(measurement, points)])
        assert got.accepted == want.accepted
        assert sum(r.dropped for r in got.rejects) == sum(r.dropped for r in want.rejects)
        self.engine.log_step(0.0)
        got.commit.wait(0.0)

    @rule(names=NAMES, a=TIMES, b=TIMES, predicate=PREDICATES, policy=POLICIES)
    def delete(self, names: list[str], a: int, b: int, predicate: Predicate | None, policy: str | None) -> None:
        asked = TimeRange(min(a, b), max(a, b) + 1)
        for store in (self.engine, self.model):
            store.delete("default", names, asked, predicate, policy=policy)

    @rule(names=NAMES, predicate=st.none() | ON_TAGS)
    def delete_whatever_the_time(self, names: list[str], predicate: Predicate | None) -> None:
        for store in (self.engine, self.model):
            store.delete("default", names, EVERYTHING, predicate)

    @rule(names=NAMES, predicate=st.none() | ON_TAGS)
    def drop_series(self, names: list[str], predicate: Predicate | None) -> None:
        for store in (self.engine, self.model):
            store.drop_series("default", names, predicate)

    @rule(name=st.sampled_from(["m", "n", "never"]))
    def drop_measurement(self, name: str) -> None:
        for store in (self.engine, self.model):
            store.drop_measurement("default", name)

    @rule()
    def drop_and_make_policy(self) -> None:
        for store in (self.engine, self.model):
            store.drop_policy("default", "short")
            store.create_policy("default", PolicyInfo("short", 0, 0, 1, False))

    @rule()
    def flush(self) -> None:
        self.engine.flush()

    @rule()
    def flush_what_is_due(self) -> None:
        self.engine.clock.sleep(1.0)
        self.engine.log_step(0.0)
        self.engine.clock.sleep(60.0)
        self.engine.flush_step(0.0)

    @rule()
    def compact(self) -> None:
        self.engine.compact()

    @rule()
    def restart(self) -> None:
        self.engine.close()
        self.engine = open_engine(self.disk, self.mode, memtable_points=40)

    @rule(seed=st.integers(0, 2**32))
    def crash(self, seed: int) -> None:
        power = self.mode is LogMode.EVERY_WRITE
        self.disk = self.disk.crash(random.Random(seed) if power else "all")
        self.engine = open_engine(self.disk, self.mode, memtable_points=40)

    @rule(
        measurement=st.sampled_from(["m", "n", "never"]),
        a=TIMES,
        b=TIMES,
        descending=st.booleans(),
        predicate=PREDICATES,
        policy=POLICIES,
    )
    def scan(
        self, measurement: str, a: int, b: int, descending: bool, predicate: Predicate | None, policy: str | None
    ) -> None:
        asked = TimeRange(min(a, b), max(a, b) + 1)
        for fields in (None, ("i",), ("s", "x")):
            options = {"fields": fields, "descending": descending, "predicate": predicate, "policy": policy}
            assert rows_of(self.engine, measurement, asked, **options) == rows_of(
                self.model, measurement, asked, **options
            )

    @rule(a=NEAR, b=NEAR, window=st.none() | st.sampled_from([Window(HOUR), Window(5 * HOUR, HOUR // 2)]))
    def fold(self, a: int, b: int, window: Window | None) -> None:
        asked = TimeRange(min(a, b), max(a, b) + 1)
        assert cells_of(self.engine, "m", asked, window) == cells_of(self.model, "m", asked, window)

    @precondition(lambda self: hasattr(self, "engine"))
    @invariant()
    def same_schema(self) -> None:
        for measurement in ("m", "n"):
            got = self.engine.field_types("default", measurement)
            assert got == self.model.field_types("default", measurement)
        assert schema_of(self.engine) == schema_of(self.model)

    @rule(name=st.sampled_from(["m", "n"]), a=TIMES, b=TIMES, predicate=st.none() | ON_TAGS)
    def series_with_points(self, name: str, a: int, b: int, predicate: Predicate | None) -> None:
        asked = TimeRange(min(a, b), max(a, b) + 1)
        found = []
        for store in (self.engine, self.model):
            series = store.select_series("default", name, predicate, asked)
            found.append(sorted(series.key(n) for n in range(len(series))))
        assert found[0] == found[1]

    def teardown(self) -> None:
        if hasattr(self, "engine"):
            assert rows_of(self.engine, "m", EVERYTHING) == rows_of(self.model, "m", EVERYTHING)
            assert not self.engine.quarantined
            self.engine.close()


EngineMachine.TestCase.settings = settings(
    max_examples=2_000 if PROOF else 40,
    stateful_step_count=40 if PROOF else 25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
test_engine_equals_the_model = EngineMachine.TestCase
