"""Aggregates, selectors and choices of rows against what influxd 1.6.7 answered (tests/golden/influxql/functions)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from rusts.model.types import FieldType
from rusts.query.functions import FUNCTIONS, Cells, cells_of, compute
from rusts.query.selection import SELECTIONS
from tests.support.function_goldens import Golden, Rows, goldens, typed
from tests.support.model_store import column_of, python_values

SECOND = 1_000_000_000
CASES = goldens("aggregates")
FUNCTION_CASES = [case for case in CASES if case.function in FUNCTIONS]
SELECTION_CASES = [case for case in CASES if case.function in SELECTIONS]


def cells_in(golden: Golden) -> tuple[Cells, list[tuple[str, int]]]:
    """The golden's source cut into cells, and each one's group and bucket; a group's rows ascend in time."""
    rows = [
        (group, time // golden.interval * golden.interval if golden.interval else 0, time, value)
        for group, values in golden.source.groups.items()
        for time, value in (values[::-1] if golden.source.descending else values)
    ]
    names = list(dict.fromkeys((group, bucket) for group, bucket, _, _ in rows))
    numbers = np.array([names.index((group, bucket)) for group, bucket, _, _ in rows], dtype=np.int64)
    column = column_of(golden.source.type, [typed(golden.source.type, value) for *_, value in rows])
    times = np.array([time for _, _, time, _ in rows], dtype=np.int64)
    cells, _ = cells_of(column, times, numbers, len(names), golden.source.descending)
    return cells, names


def expected(golden: Golden) -> dict[str, Rows]:
    """The rows that have a value."""
    groups = {name: [row for row in rows if row[1] is not None] for name, rows in golden.groups.items()}
    return {name: rows for name, rows in groups.items() if rows}


def gathered(names: list[tuple[str, int]], rows: list[list[Rows]], descending: bool) -> dict[str, Rows]:
    """Each cell's rows as groups; the cells of a group in the order of the query."""
    groups: dict[str, Rows] = {}
    for (group, _), some in sorted(zip(names, rows, strict=True), key=lambda each: each[0][1], reverse=descending):
        if some:
            groups.setdefault(group, []).extend(some)
    return groups


def same(got: dict[str, Rows], want: dict[str, Rows]) -> bool:
    """Equal but for the last digits of floats."""
    if got.keys() != want.keys() or any(len(got[name]) != len(want[name]) for name in want):
        return False
    pairs = [
        (a, b)
        for name in want
        for one, other in zip(got[name], want[name], strict=True)
        for a, b in zip(one, other, strict=True)
    ]
    return all(math.isclose(a, b, rel_tol=1e-9) if isinstance(a, float) else a == b for a, b in pairs)


def test_the_goldens_name_every_function() -> None:
    assert {case.function for case in CASES} >= (FUNCTIONS.keys() | SELECTIONS.keys()) - {"count_distinct", "sample"}


@pytest.mark.parametrize("name", sorted({case.function for case in FUNCTION_CASES}))
def test_function(name: str) -> None:
    for golden in FUNCTION_CASES:
        if golden.function != name:
            continue
        function = FUNCTIONS[name]
        if golden.source.type not in function.accepts:
            assert (
                golden.error == f"unsupported {name} iterator type: *query.{golden.source.type.text}InterruptIterator"
            )
            continue
        cells, names = cells_in(golden)
        outcome = compute(function, cells, float(golden.arguments[0]) if golden.arguments else None)
        values = python_values(outcome.column)
        times = [bucket for _, bucket in names]
        if outcome.times is not None and not golden.interval:
            times = outcome.times.tolist()
        rows = [[[time, value]] if value is not None else [] for time, value in zip(times, values, strict=True)]
        got = gathered(names, rows, golden.source.descending)
        assert same(got, expected(golden)), golden.query


@pytest.mark.parametrize("name", sorted({case.function for case in SELECTION_CASES}))
def test_selection(name: str) -> None:
    selection = SELECTIONS[name]
    for golden in SELECTION_CASES:
        if golden.function != name:
            continue
        keyed = "h" in golden.arguments
        refusal = selection.refusal(golden.source.type, keyed)
        assert refusal == golden.error, golden.query
        if refusal is not None:
            continue
        cells, names = cells_in(golden)
        # The hosts write in turn.
        hosts = (cells.times // SECOND - 1000) % 3
        chosen = selection.choose(cells, golden.arguments[-1] if golden.arguments else 0, hosts if keyed else None)
        values = python_values(cells.column(cells.values[chosen.rows]))
        rows: list[list[Rows]] = []
        for at, (_, bucket) in enumerate(names):
            rows.append([])
            for place in range(int(chosen.starts[at]), int(chosen.starts[at + 1])):
                row = int(chosen.rows[place])
                time = int(cells.times[row]) if selection.times else bucket
                made: list[Any] = [time, values[place]]
                rows[-1].append([*made, "abc"[int(hosts[row])]] if keyed else made)
        assert same(gathered(names, rows, golden.source.descending), expected(golden)), golden.query


def many(values: list[Any], type: FieldType = FieldType.INTEGER, cells: list[int] | None = None) -> Cells:
    owners = np.array(cells or [0] * len(values), dtype=np.int64)
    times = np.arange(len(values), dtype=np.int64)
    return cells_of(column_of(type, values), times, owners, int(owners.max(initial=-1)) + 1)[0]


def test_sample_takes_any_rows_once() -> None:
    cells = many(list(range(50)), cells=[0] * 40 + [1] * 8 + [2] * 2)
    seen: set[int] = set()
    for _ in range(50):
        chosen = SELECTIONS["sample"].choose(cells, 5, None)
        assert chosen.starts.tolist() == [0, 5, 10, 12]
        rows = chosen.rows.tolist()
        assert rows == sorted(set(rows))
        assert [row for row in rows if row >= 48] == [48, 49]
        seen.update(rows)
    assert seen == set(range(50))


def test_top_of_the_extremes_does_not_overflow() -> None:
    low, high = -(1 << 63), (1 << 63) - 1
    assert SELECTIONS["top"].choose(many([low, 0, high]), 1, None).rows.tolist() == [2]
    unsigned = many([0, (1 << 64) - 1, 5], FieldType.UNSIGNED)
    assert SELECTIONS["top"].choose(unsigned, 2, None).rows.tolist() == [1, 2]
    assert SELECTIONS["bottom"].choose(unsigned, 2, None).rows.tolist() == [0, 2]


@pytest.mark.parametrize("name", sorted(SELECTIONS))
def test_nothing_of_nothing(name: str) -> None:
    chosen = SELECTIONS[name].choose(many([]), 3, np.zeros(0, dtype=np.int64))
    assert chosen.starts.tolist() == [0]
    assert chosen.rows.tolist() == []
