from __future__ import annotations

import pytest

from rusts.influxql import ast
from rusts.influxql.parser import parse
from rusts.influxql.plancache import PlanCache, depends_on_time
from tests.support.model_store import batch_of
from tests.support.storage import FakeStorage


def select(text: str) -> ast.Select:
    (statement,) = parse(text)
    assert isinstance(statement, ast.Select)
    return statement


@pytest.mark.parametrize(
    ("text", "depends"),
    [
        ("SELECT v FROM m", False),
        ("SELECT v FROM m WHERE time > now() - 1h", True),
        ("SELECT v FROM m WHERE host = 'a' AND (time > 5 AND time < (now() + 1h))", True),
        ("SELECT mean(v) FROM m GROUP BY time(1m)", True),
        ("SELECT mean(v) FROM m WHERE time < 9 GROUP BY time(1m)", False),
        ("SELECT mean(v) FROM m GROUP BY host", False),
        ("SELECT max(a) FROM (SELECT v AS a FROM m WHERE time > now() - 1h)", True),
        ("SELECT mean(v) FROM m WHERE time < 9 GROUP BY time(1m, now())", True),
    ],
)
def test_what_depends_on_the_time(text: str, depends: bool):
    assert depends_on_time(select(text), 0) == depends


def test_a_plan_is_kept_while_the_schema_stays(storage: FakeStorage):
    cache = PlanCache()
    statement = select("SELECT * FROM m")

    def plan(statement: ast.Select, database: str = "db0", now: int = 0):
        return cache.plan(statement, storage, database=database, policy=None, now=now)

    first = plan(statement)
    assert plan(statement, now=1) is first
    assert plan(select("SELECT * FROM m")) == first
    assert plan(select("SELECT * FROM m")) is not first
    assert plan(statement, "db1").columns != first.columns
    storage.write("db0", None, [batch_of("m", [({}, 1, {"new": 1.0})])])
    assert plan(statement).columns == ("time", "b", "dc", "host", "i", "new", "s", "v")


def test_a_plan_that_depends_on_the_time_is_made_anew(storage: FakeStorage):
    cache = PlanCache()
    statement = select("SELECT v FROM m WHERE time > now()")
    plans = [cache.plan(statement, storage, database="db0", policy=None, now=now) for now in (1, 2)]
    assert [plan.plan.points[0].range.start for plan in plans] == [2, 3]


def test_no_more_plans_than_fit(storage: FakeStorage):
    cache = PlanCache()
    statements = [select(f"SELECT v FROM m WHERE time > {i}") for i in range(600)]
    for statement in statements:
        cache.plan(statement, storage, database="db0", policy=None, now=0)
    assert len(cache._kept) == 512
