"""The corpus has statements for everything that the language has."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.differential.differences import KINDS, RULES
from tests.support.influxql_corpus import cases, golden, scenarios

FORMS = (
    "SHOW DATABASES",
    "SHOW MEASUREMENTS",
    "SHOW SERIES",
    "SHOW TAG KEYS",
    "SHOW TAG VALUES",
    "SHOW FIELD KEYS",
    "SHOW RETENTION POLICIES",
    "SHOW SHARDS",
    "SHOW SHARD GROUPS",
    "SHOW STATS",
    "SHOW DIAGNOSTICS",
    "SHOW QUERIES",
    "SHOW CONTINUOUS QUERIES",
    "SHOW SUBSCRIPTIONS",
    "SHOW USERS",
    "SHOW GRANTS",
    "SHOW SERIES CARDINALITY",
    "SHOW MEASUREMENT CARDINALITY",
    "SHOW TAG KEY CARDINALITY",
    "SHOW TAG VALUES CARDINALITY",
    "SHOW FIELD KEY CARDINALITY",
    "CREATE DATABASE",
    "DROP DATABASE",
    "CREATE RETENTION POLICY",
    "ALTER RETENTION POLICY",
    "DROP RETENTION POLICY",
    "DROP MEASUREMENT",
    "DROP SERIES",
    "DROP SHARD",
    "DELETE",
    "CREATE USER",
    "DROP USER",
    "SET PASSWORD",
    "GRANT",
    "REVOKE",
    "KILL QUERY",
    "EXPLAIN",
    "EXPLAIN ANALYZE",
    "CREATE CONTINUOUS QUERY",
    "DROP CONTINUOUS QUERY",
    "subscriptions",
    "several statements",
    "bad statements",
)

CLAUSES = (
    "fields",
    "tags selected",
    "alias",
    "wildcard",
    "casts",
    "field patterns",
    "measurement patterns",
    "several sources",
    "qualified names",
    "quoting",
    "case, space and comments",
    "arithmetic",
    "bit operators",
    "arithmetic of aggregates",
    "nested functions",
    "time as text",
    "time as numbers",
    "now",
    "time arithmetic",
    "durations",
    "time with and, or and parentheses",
    "beginning and end of time",
    "tag equals",
    "tag not equals",
    "tag matches",
    "tag does not match",
    "numbers compared",
    "strings compared",
    "booleans compared",
    "fields compared with one another",
    "and, or and parentheses",
    "group by tags",
    "group by *",
    "group by pattern",
    "group by time",
    "group by time with offset",
    "group by days and weeks",
    "tz",
    "fill(null)",
    "fill(none)",
    "fill(previous)",
    "fill(linear)",
    "fill(number)",
    "order by time",
    "limit",
    "offset",
    "slimit",
    "soffset",
    "subqueries",
    "subqueries within subqueries",
    "INTO",
    "INTO :MEASUREMENT",
    "into answers",
    "aggregates' time",
    "selectors' time and companions",
    "types kept",
    "rewritten points",
    "names and types over time",
    "epoch",
    "pretty",
    "chunked",
    "bound parameters",
    "CSV",
    "MessagePack",
    "GET",
)

FUNCTIONS = (
    *("count", "count distinct", "distinct", "integral", "mean", "median", "mode", "spread", "stddev", "sum"),
    *("bottom", "first", "last", "max", "min", "percentile", "sample", "top"),
    *("abs", "acos", "asin", "atan", "atan2", "ceil", "cos", "exp", "floor", "ln", "log", "log2", "log10"),
    *("pow", "round", "sin", "sqrt", "tan"),
    *("cumulative_sum", "derivative", "difference", "elapsed", "moving_average"),
    *("non_negative_derivative", "non_negative_difference"),
    *("exponential_moving_average", "double_exponential_moving_average", "triple_exponential_moving_average"),
    *("triple_exponential_derivative", "kaufmans_efficiency_ratio", "kaufmans_adaptive_moving_average"),
    *("chande_momentum_oscillator", "relative_strength_index", "holt_winters", "holt_winters_with_fit"),
)

TOPICS = (*FORMS, *CLAUSES, *FUNCTIONS)


@pytest.fixture(scope="module")
def counts() -> Counter[str]:
    """How many statements each topic has."""
    found = Counter(case.topic for file in cases().values() for case in file)
    steps = (step for file in scenarios().values() for scenario in file for step in scenario.steps)
    return found + Counter(step.case.topic for step in steps if step.case is not None)


@pytest.mark.parametrize("topic", TOPICS)
def test_every_topic_has_five_statements(counts: Counter[str], topic: str):
    assert counts[topic] >= 5


def test_the_table_knows_every_topic(counts: Counter[str]):
    assert set(counts) == set(TOPICS)
    assert len(TOPICS) == len(set(TOPICS))


def test_statements_in_all(counts: Counter[str]):
    assert sum(counts.values()) >= 800


def test_every_statement_is_recorded():
    for name, file in cases().items():
        recorded = [(entry["q"], entry["options"]) for entry in golden(name)]
        assert recorded == [(case.statement, dict(case.options)) for case in file], name
    for name, found in scenarios().items():
        recorded_steps = [(entry["name"], len(entry["answers"])) for entry in golden(name)]
        asked = [(one.name, sum(bool(step.case or step.write) for step in one.steps)) for one in found]
        assert recorded_steps == asked, name


def test_kinds_of_difference():
    names = [kind.name for kind in (*RULES, *KINDS)]
    assert len(KINDS) <= 10
    assert len(names) == len(set(names))
    assert all(kind.reason for kind in (*RULES, *KINDS))
