"""Short ways from InfluxQL text to a plan and an answer, over a store of line protocol."""

from __future__ import annotations

from typing import Any, Final

from rusts.influxql import ast
from rusts.influxql.parser import parse
from rusts.influxql.planner import Planned, plan_select
from rusts.lineprotocol.parser import parse as parse_lines
from rusts.query import execute
from tests.support.model_store import ModelStore, python_values

__all__ = ["NOW", "answer", "plan", "select_of", "store_of"]

NOW: Final = 1_700_000_000_000_000_000
"""What ``now()`` is in these tests, ns."""


def store_of(points: str | list[str], database: str = "d") -> ModelStore:
    """A store with one database and the points of some line protocol."""
    text = points if isinstance(points, str) else "\n".join(points)
    store = ModelStore()
    store.create_database(database)
    assert not store.write(database, None, parse_lines(text.encode()).batches).rejects
    return store


def select_of(text: str) -> ast.Select:
    """The statement, which is one SELECT."""
    (select,) = parse(text)
    assert isinstance(select, ast.Select)
    return select


def plan(text: str, store: ModelStore, database: str | None = "d", policy: str | None = None) -> Planned:
    """The plan of a SELECT."""
    return plan_select(select_of(text), store, database=database, policy=policy, now=NOW)


def answer(text: str, store: ModelStore, database: str = "d") -> list[dict[str, Any]]:
    """The series that a SELECT gives: name, tags, columns and values, times as ns."""
    planned = plan(text, store, database)
    series: list[dict[str, Any]] = []
    result = execute(store, planned.plan)
    for table in result:
        tags = [[tag.values[code] for code in tag.codes.tolist()] for tag in table.tags]
        columns = [python_values(column) for column in table.columns]
        for group in range(table.groups):
            rows = range(int(table.starts[group]), int(table.starts[group + 1]))
            values = [[int(table.times[row]), *(column[row] for column in columns)] for row in rows]
            if not group and table.continued:
                series[-1]["values"] += values
                continue
            series.append(
                {
                    "name": table.measurement,
                    "tags": {key: tags[number][group] for number, key in enumerate(result.group_by)},
                    "columns": list(planned.columns),
                    "values": values,
                }
            )
    result.close()
    return series
