"""Random plans of the nodes that InfluxQL needs, against the same worked out over plain rows."""

from __future__ import annotations

import itertools
import math
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rusts import query
from rusts.clock import SystemClock
from rusts.engine.engine import Engine, EngineSettings
from rusts.files import OsFiles
from rusts.model.store import Store, TimeRange, Window
from rusts.query.expression import Binary, Expression, Function, Literal, Op, Ref
from rusts.query.plan import (
    EVER,
    Aggregate,
    Call,
    Choose,
    Filter,
    Join,
    Nested,
    Plan,
    Points,
    Project,
    Rows,
    Slice,
    Source,
    TableNode,
    Transform,
    TransformCall,
    Union,
)
from tests.support.model_store import ModelStore, batch_of, python_values

PROOF = bool(os.environ.get("RUSTS_PROOF"))
# The proof draws new cases each time. One of some ten thousand has rows of several groups at one time, and how two
# transformations line up on them is not settled; a test that all depend on does not draw lots for that.
SEED = int(os.environ.get("RUSTS_SEED", random.SystemRandom().randrange(1 << 32) if PROOF else 20_260_601))
CASES = 10_000 if PROOF else 600
HOSTS = ("", "a", "b")
OPS: dict[Op, Callable[[Any, Any], Any]] = {
    Op.ADD: lambda a, b: a + b,
    Op.SUB: lambda a, b: a - b,
    Op.MUL: lambda a, b: a * b,
    Op.DIV: lambda a, b: a / b if b else 0.0,
    Op.LT: lambda a, b: a < b,
    Op.GE: lambda a, b: a >= b,
    Op.NE: lambda a, b: a != b,
}

# A point: measurement, tags, time, fields. A table: {(measurement, values of tags): [(time, {label: value})]}.
Point = tuple[str, dict[str, str], int, dict[str, Any]]
Table = dict[tuple[str, tuple[str, ...]], list[tuple[int, dict[str, Any]]]]


def some_points(rng: random.Random) -> list[Point]:
    """No two points of a measurement have one time, so that the order of rows is settled."""
    points: list[Point] = []
    for name in "mn":
        for time in rng.sample(range(-20, 60), rng.randrange(25)):
            fields: dict[str, Any] = {"f": rng.choice([0.5, -1.5, 2.0, 8.0]), "i": rng.randrange(-4, 5)}
            if rng.random() < 0.4:
                del fields[rng.choice("fi")]
            host = rng.choice(HOSTS)
            points.append((name, {"host": host} if host else {}, time, fields))
    return points


# -- expressions


def some_number(rng: random.Random, names: list[str], depth: int = 2) -> Expression:
    if depth == 0 or rng.random() < 0.4:
        return Ref(rng.choice(names)) if rng.random() < 0.8 else Literal(rng.choice([2, 0, 1.5]))
    if rng.random() < 0.15:
        return Function("abs", (some_number(rng, names, depth - 1),))
    op = rng.choice([Op.ADD, Op.SUB, Op.MUL, Op.DIV])
    return Binary(op, some_number(rng, names, depth - 1), some_number(rng, names, depth - 1))


def some_condition(rng: random.Random, names: list[str]) -> Expression:
    one = Binary(rng.choice([Op.LT, Op.GE, Op.NE]), some_number(rng, names, 1), some_number(rng, names, 1))
    return one if rng.random() < 0.7 else Binary(rng.choice([Op.AND, Op.OR]), one, some_condition(rng, names))


def value_of(expression: Expression, row: dict[str, Any], condition: bool = False) -> Any:
    """In a condition whole numbers are divided as such."""
    match expression:
        case Ref(name=name):
            return row.get(name)
        case Literal(value=value):
            return value
        case Function(args=(inner,)):
            value = value_of(inner, row, condition)
            return None if value is None else abs(value)
        case Binary(op=op, left=left, right=right):
            one, other = value_of(left, row, condition), value_of(right, row, condition)
            if op in (Op.AND, Op.OR):
                return one and other if op is Op.AND else one or other
            if one is None or other is None:
                return False if op.comparison else None
            if condition and op is Op.DIV and isinstance(one, int) and isinstance(other, int):
                return int(one / other) if other else 0
            return OPS[op](one, other)
        case _:
            raise AssertionError(expression)


def refs(expression: Expression) -> set[str]:
    match expression:
        case Ref(name=name):
            return {name}
        case Function(args=args):
            return set().union(*map(refs, args))
        case Binary(left=left, right=right):
            return refs(left) | refs(right)
        case _:
            return set()


# -- plans


class Maker:
    """Makes random nodes."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def source(self, depth: int) -> tuple[Source, list[str]]:
        """A source and the names of its fields."""
        rng = self.rng
        kind = rng.random()
        if depth and kind < 0.3:
            node, labels = self.table(depth - 1)
            limit = rng.choice([None, None, 3])
            return Nested(Slice(node, limit=limit, offset=rng.choice([0, 1]))), labels
        if kind < 0.5:
            first = self.points("m")
            return Union((first, replace(first, measurement="n"))), ["f", "i"]
        return self.points(rng.choice("mn")), ["f", "i"]

    def points(self, name: str) -> Points:
        start = self.rng.choice([EVER.start, -10, 5])
        return Points("d", name, range=TimeRange(start, self.rng.choice([EVER.end, 30, 55])))

    def filtered(self, depth: int) -> tuple[Source, list[str]]:
        source, names = self.source(depth)
        if self.rng.random() < 0.4 and names:
            return Filter(source, some_condition(self.rng, names)), names
        return source, names

    def table(self, depth: int) -> tuple[TableNode, list[str]]:
        """Tables and their labels."""
        rng = self.rng
        group_by = rng.choice([(), ("host",)])
        if rng.random() < 0.3:
            node: TableNode = self.rows(depth, group_by)
        else:
            node = self.aggregates(depth, group_by)
        labels = labels_of(node)
        kind = rng.random()
        if kind < 0.2:
            node = Transform(node, tuple(TransformCall("cumulative_sum", each, f"t{each}") for each in labels))
        elif kind < 0.4:
            node = Project(node, tuple((f"p{n}", some_number(rng, labels)) for n in range(rng.randrange(1, 3))))
        elif kind < 0.55:
            node = Filter(node, some_condition(rng, labels))
        return node, labels_of(node)

    def rows(self, depth: int, group_by: tuple[str, ...]) -> Rows:
        source, names = self.filtered(depth)
        columns = [("c0", Ref(self.rng.choice(names))), ("c1", some_number(self.rng, names))]
        return Rows(source, tuple(columns[: self.rng.randrange(1, 3)]), group_by)

    def aggregates(self, depth: int, group_by: tuple[str, ...]) -> TableNode:
        rng = self.rng
        source, names = self.filtered(depth)
        window = rng.choice([None, Window(10), Window(7, 3)])
        if rng.random() < 0.15:
            return Choose(source, "top", Ref(names[0]), "top", 2, (), group_by, window)
        if rng.random() < 0.15:
            beside = (("beside", Ref(names[-1])), ("host", Ref("host")))
            return Aggregate(source, (Call("max", Ref(names[0]), "max"),), group_by, window, beside)
        one, other = (
            Aggregate(source, self.calls(names, prefix, size), group_by, window)
            for prefix, size in (("a", rng.randrange(1, 3)), ("b", 2))
        )
        return Join((one, other)) if rng.random() < 0.25 and window is not None else one

    def calls(self, names: list[str], prefix: str, size: int) -> tuple[Call, ...]:
        return tuple(
            Call(self.rng.choice(["count", "sum", "max", "median"]), Ref(self.rng.choice(names)), f"{prefix}{n}")
            for n in range(size)
        )


def labels_of(node: TableNode) -> list[str]:
    match node:
        case Rows(columns=columns) | Project(columns=columns):
            return [label for label, _ in columns or ()]
        case Aggregate(calls=calls, companions=companions):
            return [*(call.label for call in calls), *(label for label, _ in companions if label != "host")]
        case Choose(label=label):
            return [label]
        case Transform(calls=calls):
            return [call.label for call in calls]
        case Join(inputs=inputs):
            return [label for each in inputs for label in labels_of(each)]
        case _:
            return labels_of(node.input)  # type: ignore[arg-type,union-attr]


# -- what they mean


class Meaning:
    """Works nodes out, row by row."""

    def __init__(self, points: list[Point]) -> None:
        self.all = points

    def points(self, node: Any) -> list[Point]:
        """The rows of a source."""
        match node:
            case Points(measurement=name, range=range):
                return [p for p in self.all if p[0] == name and range.start <= p[2] < range.end]
            case Union(inputs=inputs):
                return [p for each in inputs for p in self.points(each)]
            case Filter(input=inner, condition=condition):
                return [p for p in self.points(inner) if value_of(condition, {**p[1], **p[3]}, True)]
            case Nested(input=top):
                keys = group_by_of(top.input)
                return [
                    (name, dict(zip(keys, group, strict=True)), time, row)
                    for (name, group), rows in self.sliced(top).items()
                    for time, row in rows
                ]
            case _:
                raise AssertionError(node)

    def start(self, node: Any) -> int:
        match node:
            case Points(range=range) | Nested(range=range):
                return 0 if range.start == EVER.start else range.start
            case Union(inputs=inputs):
                return self.start(inputs[0])
            case _:
                return self.start(node.input)

    def grouped(
        self, source: Any, keys: tuple[str, ...], *, as_they_come: bool = False
    ) -> dict[tuple[str, tuple[str, ...]], list[Point]]:
        groups: dict[tuple[str, tuple[str, ...]], list[Point]] = {}
        for point in self.points(source):
            groups.setdefault((point[0], tuple(point[1].get(key, "") for key in keys)), []).append(point)
        if as_they_come:
            return dict(sorted(groups.items()))
        return {group: sorted(groups[group], key=lambda p: p[2]) for group in sorted(groups)}

    def table(self, node: Any) -> Table:
        found = self._table(node)
        return {group: found[group] for group in sorted(found) if found[group]}

    def _table(self, node: Any) -> Table:
        match node:
            case Rows(input=source, columns=columns, group_by=keys):
                fields = set().union(*(refs(expression) for _, expression in columns))
                return {
                    group: [
                        (p[2], {label: value_of(expression, p[3]) for label, expression in columns})
                        for p in points
                        if any(p[3].get(name) is not None for name in fields) or (fields and nested(source))
                    ]
                    for group, points in self.grouped(source, keys, as_they_come=whole_groups(source)).items()
                }
            case Aggregate() | Choose():
                return {
                    group: [row for cell in self.cells(node, points) for row in self.cell(node, *cell)]
                    for group, points in self.grouped(node.input, node.group_by).items()
                }
            case Transform(input=inner, calls=calls):
                # Several calls are joined by time, though the rows of whole groups come group after group.
                turn = (lambda rows: sorted(rows, key=lambda row: row[0])) if len(calls) > 1 else list
                return {group: turn(self.sums(rows, calls)) for group, rows in self.table(inner).items()}
            case Project(input=inner, columns=columns):
                return {
                    group: [(t, {label: value_of(e, row) for label, e in columns}) for t, row in rows]
                    for group, rows in self.table(inner).items()
                }
            case Filter(input=inner, condition=condition):
                return {
                    group: [(t, row) for t, row in rows if value_of(condition, row, True)]
                    for group, rows in self.table(inner).items()
                }
            case Join(inputs=inputs):
                tables = [self.table(each) for each in inputs]
                joined: Table = {}
                for group in set().union(*tables):
                    rows: dict[int, dict[str, Any]] = {}
                    for table in tables:
                        for time, row in table.get(group, []):
                            rows.setdefault(time, {}).update(row)
                    joined[group] = sorted(rows.items())
                return joined
            case _:
                raise AssertionError(node)

    def cells(self, node: Aggregate | Choose, points: list[Point]) -> Iterator[tuple[int, list[Point]]]:
        window = node.window
        if window is None:
            yield self.start(node.input), points
            return
        assert isinstance(window, Window)
        begin = lambda p: (p[2] - window.offset) // window.interval * window.interval + window.offset  # noqa: E731
        for time, cell in itertools.groupby(points, begin):
            yield time, list(cell)

    def cell(self, node: Any, time: int, points: list[Point]) -> list[tuple[int, dict[str, Any]]]:
        """The rows of one cell."""
        if isinstance(node, Choose):
            name = node.field.name
            valued = [p for p in points if p[3].get(name) is not None]
            best = sorted(valued, key=lambda p: (-p[3][name], p[2]))[: node.count]
            return [(p[2], {node.label: p[3][name]}) for p in sorted(best, key=lambda p: p[2])]
        row: dict[str, Any] = {}
        for call in node.calls:
            values = [p for p in points if p[3].get(call.field.name) is not None]
            row[call.label] = None
            if not values:
                continue
            numbers = sorted(p[3][call.field.name] for p in values)
            half = len(numbers) // 2
            row[call.label] = {
                "count": len(numbers),
                "sum": sum(numbers),
                "max": numbers[-1],
                "median": float(numbers[half] if len(numbers) % 2 else (numbers[half - 1] + numbers[half]) / 2),
            }[call.function]
            if call.function == "max":
                picked = next(p for p in values if p[3][call.field.name] == numbers[-1])
                if len(node.calls) == 1 and node.window is None:
                    time = picked[2]
                known = {**picked[1], **picked[3]}
                for label, ref in node.companions:
                    # A name that means nothing is no column for the query around this one: a tag of that name is.
                    if ref.name in known or not nested(node.input):
                        row[label] = known.get(ref.name)
        return [(time, row)] if any(row[call.label] is not None for call in node.calls) else []

    def sums(self, rows: list[tuple[int, dict[str, Any]]], calls: Any) -> list[tuple[int, dict[str, Any]]]:
        total: dict[str, Any] = {}
        made = []
        for time, row in rows:
            now = {}
            for call in calls:
                if row.get(call.column) is not None:
                    total[call.label] = now[call.label] = total.get(call.label, 0) + row[call.column]
            if now:
                made.append((time, now))
        return made

    def sliced(self, top: Slice) -> Table:
        return {
            group: kept
            for group, rows in self.table(top.input).items()
            if (kept := rows[top.offset : None if top.limit is None else top.offset + top.limit])
        }


def nested(source: Any) -> bool:
    while isinstance(source, Filter):
        source = source.input
    return isinstance(source, Nested)


def whole_groups(source: Any) -> bool:
    """Whether it is a subquery of aggregates without buckets: its rows stay in the order of its groups."""
    while isinstance(source, Filter):
        source = source.input
    if not isinstance(source, Nested):
        return False
    node: Any = source.input.input
    while not isinstance(node, Rows | Aggregate | Choose):
        node = node.inputs[0] if isinstance(node, Join) else node.input
    return not isinstance(node, Rows) and node.window is None


def group_by_of(node: Any) -> tuple[str, ...]:
    while not isinstance(node, Rows | Aggregate | Choose):
        node = node.inputs[0] if isinstance(node, Join) else node.input
    return node.group_by


# -- the test


@pytest.fixture(params=["model", "model in chunks", "engine"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param != "engine":
        yield ModelStore(4 if "chunks" in request.param else 1 << 30)
        return
    engine = Engine.open(
        OsFiles(), str(tmp_path), EngineSettings(min_free_space=0, wal_sync_interval=3600.0), SystemClock()
    )
    engine.recover_step()
    yield engine
    engine.close()


def same(one: Any, other: Any) -> bool:
    if one is None or other is None or isinstance(one, str | bool) or isinstance(other, str | bool):
        return one is None and other is None if one is None or other is None else one == other
    return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)


def test_plans_mean_what_they_say(store: Store) -> None:
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    for case in range(CASES):
        if case % 50 == 0:
            points = some_points(rng)
            database = f"d{case}"
            store.create_database(database)
            for name in "mn":
                mine = [(tags, time, fields) for n, tags, time, fields in points if n == name]
                if mine:
                    store.write(database, None, [batch_of(name, mine)])
            if isinstance(store, Engine) and rng.random() < 0.5:
                store.flush()
        node, _ = Maker(rng).table(2)
        top = Slice(node, limit=rng.choice([None, 2]), offset=rng.choice([0, 0, 1]))
        context = f"case {case}\n{top}\n{points}"
        got: Table = {}
        plan = Plan(in_database(top, database))
        for table in query.execute(store, plan):
            labels = query.execute(store, plan).columns
            rows = zip(*map(python_values, table.columns), strict=True)
            cells = [
                (t, dict(zip(labels, row, strict=True))) for t, row in zip(table.times.tolist(), rows, strict=True)
            ]
            for group in range(table.groups):
                key = table.measurement, tuple(tag.values[tag.codes[group]] for tag in table.tags)
                got.setdefault(key, []).extend(cells[table.starts[group] : table.starts[group + 1]])
        wanted = Meaning(points).sliced(top)
        assert list(got) == list(wanted), context
        for group, rows_of_group in wanted.items():
            assert [time for time, _ in got[group]] == [time for time, _ in rows_of_group], (
                f"{context}\n{got}\n{wanted}"
            )
            for (_, one), (_, other) in zip(got[group], rows_of_group, strict=True):
                assert all(same(value, other.get(label)) for label, value in one.items()), f"{context}\n{got}\n{wanted}"


def in_database(node: Any, database: str) -> Any:
    """The plan with `database` in the place of d."""
    match node:
        case Points():
            return replace(node, database=database)
        case Union(inputs=inputs) | Join(inputs=inputs):
            return replace(node, inputs=tuple(in_database(each, database) for each in inputs))
        case _:
            return replace(node, input=in_database(node.input, database))
