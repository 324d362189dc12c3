"""SHOW over the model store. InfluxDB 1.6.7 gave these answers to these statements over these points."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rusts.auth.principal import Principal
from rusts.model.accounts import Privilege
from tests.support.storage import FakeStorage

Ask = Callable[..., list[dict[str, Any]]]


def values(ask: Ask, text: str, **session: Any) -> Any:
    """What one statement answers: ``{name: rows}``, or the error."""
    (result,) = ask(text, **session)
    if "error" in result:
        return result["error"]
    return {series.get("name", ""): series.get("values") for series in result.get("series", ())}


HOSTS = [["host", "a"], ["host", "b"]]
KEYS = [["m"], ["m,dc=x,host=a"], ["m,dc=x,host=b"], ["m,host=a"]]
N_KEY = ["n,t=z\\,1"]
TAG = "invalid tag comparison operator"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("SHOW DATABASES", {"databases": [["db0"], ["db1"]]}),
        ("SHOW MEASUREMENTS", {"measurements": [["m"], ["n"]]}),
        ("SHOW MEASUREMENTS ON db1", {}),
        ("SHOW MEASUREMENTS ON nodb", {}),
        ("SHOW MEASUREMENTS WITH MEASUREMENT = m", {"measurements": [["m"]]}),
        ("SHOW MEASUREMENTS WITH MEASUREMENT =~ /m|n/ LIMIT 1", {"measurements": [["m"]]}),
        ("SHOW MEASUREMENTS LIMIT 1 OFFSET 1", {"measurements": [["n"]]}),
        ("SHOW MEASUREMENTS OFFSET 5", {}),
        ("SHOW MEASUREMENTS WHERE host = 'a'", {"measurements": [["m"]]}),
        ("SHOW MEASUREMENTS WHERE host = 'a' OR t =~ /z/", {"measurements": [["m"], ["n"]]}),
        ("SHOW MEASUREMENTS WHERE (host = 'a') AND dc = 'y'", {}),
        ("SHOW MEASUREMENTS WHERE host != 'a'", {}),
        ("SHOW MEASUREMENTS WHERE host != 'c'", {"measurements": [["m"]]}),
        ("SHOW MEASUREMENTS WHERE nope = ''", {}),
        ("SHOW MEASUREMENTS WHERE host =~ /.*/", {"measurements": [["m"]]}),
        ("SHOW MEASUREMENTS WHERE _name = 'n'", {"measurements": [["n"]]}),
        ("SHOW MEASUREMENTS WHERE v = 1", "right side of '=' must be a tag value string"),
        ("SHOW MEASUREMENTS WHERE 'a' = host", "left side of '=' must be a tag key"),
        ("SHOW MEASUREMENTS WHERE host < 'b'", TAG),
        ("SHOW MEASUREMENTS WHERE time > 1", "SHOW MEASUREMENTS doesn't support time in WHERE clause"),
        ("SHOW TAG KEYS", {"m": [["dc"], ["host"]], "n": [["t"]]}),
        ("SHOW TAG KEYS FROM m", {"m": [["dc"], ["host"]]}),
        ("SHOW TAG KEYS LIMIT 1 OFFSET 1", {"m": [["host"]]}),
        ("SHOW TAG KEYS WHERE nope = 'x'", {}),
        ("SHOW TAG KEYS ON nodb", "database not found: nodb"),
        ("SHOW TAG KEYS WHERE v > 1", TAG),
        ("SHOW TAG VALUES WITH KEY = host", {"m": HOSTS}),
        ("SHOW TAG VALUES WITH KEY != host", {"m": [["dc", "x"]], "n": [["t", "z,1"]]}),
        ("SHOW TAG VALUES WITH KEY =~ /h|d/", {"m": [["dc", "x"], *HOSTS]}),
        ("SHOW TAG VALUES WITH KEY !~ /h/", {"m": [["dc", "x"]], "n": [["t", "z,1"]]}),
        ("SHOW TAG VALUES WITH KEY IN (host, dc) LIMIT 2 OFFSET 1", {"m": HOSTS}),
        ("SHOW TAG VALUES WITH KEY IN (host, dc) LIMIT 1", {"m": [["dc", "x"]]}),
        ("SHOW TAG VALUES WITH KEY IN (host, dc) OFFSET 3", {}),
        ("SHOW TAG VALUES WITH KEY = host WHERE dc = 'x' AND host != 'a'", {"m": [["host", "b"]]}),
        ("SHOW TAG VALUES FROM m WITH KEY = host WHERE v = 2", {"m": HOSTS}),
        ("SHOW SERIES", {"": [*KEYS, N_KEY]}),
        ("SHOW SERIES LIMIT 2 OFFSET 3", {"": [KEYS[3], N_KEY]}),
        ("SHOW SERIES OFFSET 9", {}),
        ("SHOW SERIES FROM /m|n/ WHERE host =~ /a/", {"": [KEYS[1], KEYS[3]]}),
        ("SHOW SERIES WHERE host = ''", {"": [KEYS[0], N_KEY]}),
        ("SHOW SERIES WHERE nope = ''", {"": [*KEYS, N_KEY]}),
        ("SHOW SERIES WHERE v = 's'", {"": KEYS}),
        ("SHOW SERIES WHERE host = 1", {"": [*KEYS, N_KEY]}),
        ("SHOW SERIES WHERE 'a' = host", {"": [KEYS[1], KEYS[3]]}),
        ("SHOW SERIES WHERE host = host", {"": KEYS[1:]}),
        ("SHOW SERIES WHERE _name = 'n'", {"": [N_KEY]}),
        ("SHOW SERIES WHERE host", "invalid condition expression: host"),
        ("SHOW SERIES WHERE v > 2", TAG),
        ("SHOW FIELD KEYS FROM m LIMIT 2", {"m": [["b", "boolean"], ["i", "integer"]]}),
        ("SHOW FIELD KEYS FROM /n/", {"n": [["f", "float"]]}),
        ("SHOW FIELD KEYS OFFSET 1", {"m": [["i", "integer"], ["s", "string"], ["v", "float"]]}),
        ("SHOW RETENTION POLICIES", {"": [["autogen", "0s", "168h0m0s", 1, True]]}),
        ("SHOW SUBSCRIPTIONS", {}),
        ("SHOW USERS", {"": None}),
        ("SHOW CONTINUOUS QUERIES", {"db0": None, "db1": None}),
        ("SHOW STATS FOR 'database'", {"database": [[3]]}),
        ("SHOW STATS", {"runtime": [[1, 2]], "database": [[3]]}),
        ("SHOW DIAGNOSTICS", {"build": [["1"]]}),
        ("SHOW QUERIES", {"": None}),
        ("SHOW GRANTS FOR nope", "user not found"),
    ],
)
def test_show(ask: Ask, text: str, answer: Any):
    assert values(ask, text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("SERIES CARDINALITY", {"": [[5]]}),
        ("SERIES CARDINALITY ON nodb", {"": [[0]]}),
        ("SERIES CARDINALITY FROM m", {"m": [[4]]}),
        ("SERIES EXACT CARDINALITY", {"m": [[4]], "n": [[1]]}),
        ("SERIES EXACT CARDINALITY ON nodb", "database not found: nodb"),
        ("SERIES CARDINALITY WHERE host = 'a'", {"m": [[2]]}),
        ("SERIES CARDINALITY LIMIT 1 OFFSET 1", {}),
        ("SERIES CARDINALITY FROM m WHERE v = 2", {}),
        ("SERIES CARDINALITY WHERE time > 2s", "SHOW SERIES EXACT CARDINALITY doesn't support time in WHERE clause"),
        ("MEASUREMENT CARDINALITY", {"": [[2]]}),
        ("MEASUREMENT EXACT CARDINALITY WHERE host = 'a'", {"": [[1]]}),
        ("MEASUREMENT CARDINALITY FROM nope", {}),
        ("TAG KEY CARDINALITY", {"m": [[2]], "n": [[1]]}),
        ("TAG KEY EXACT CARDINALITY FROM m WHERE host = 'a'", {"m": [[2]]}),
        ("FIELD KEY CARDINALITY", {"m": [[4]], "n": [[1]]}),
        ("FIELD KEY CARDINALITY FROM m WHERE host = 'c'", {}),
        ("FIELD KEY CARDINALITY WHERE time > 2s", "SHOW FIELD KEY CARDINALITY doesn't support time in WHERE clause"),
        ("TAG VALUES CARDINALITY WITH KEY = host", {"m": [[2]]}),
        ("TAG VALUES CARDINALITY WITH KEY = nope", {}),
        ("TAG VALUES EXACT CARDINALITY FROM m WITH KEY IN (host, dc) WHERE host = 'a'", {"m": [[2]]}),
    ],
)
def test_cardinality(ask: Ask, text: str, answer: Any):
    assert values(ask, f"SHOW {text}") == answer


def grouped(ask: Ask, text: str) -> list[tuple[str, tuple[str, ...], int]]:
    (result,) = ask(text)
    return [
        (series.get("name", ""), tuple(series["tags"].values()), series["values"][0][0]) for series in result["series"]
    ]


def test_cardinality_by_groups(ask: Ask):
    hosts = [("m", ("",), 1), ("m", ("a",), 2), ("m", ("b",), 1), ("n", ("",), 1)]
    assert grouped(ask, "SHOW SERIES CARDINALITY GROUP BY host") == hosts
    keys = [("m", ("a",), 2), ("m", ("b",), 2), ("n", ("",), 1)]
    assert grouped(ask, "SHOW TAG KEY CARDINALITY GROUP BY host") == keys
    fields = [("m", ("",), 4), ("m", ("a",), 4), ("m", ("b",), 4), ("n", ("",), 1)]
    assert grouped(ask, "SHOW FIELD KEY CARDINALITY GROUP BY host") == fields
    measurements = [("", ("",), 2), ("", ("a",), 1), ("", ("b",), 1)]
    assert grouped(ask, "SHOW MEASUREMENT CARDINALITY GROUP BY host") == measurements
    found = grouped(ask, "SHOW TAG VALUES CARDINALITY FROM m WITH KEY IN (host, dc) GROUP BY *")
    assert found == [("m", ("", "a"), 1), ("m", ("x", "a"), 2), ("m", ("x", "b"), 2)]


@pytest.mark.parametrize(
    "text",
    [
        "SHOW TAG KEYS",
        "SHOW TAG VALUES WITH KEY = host",
        "SHOW SERIES",
        "SHOW MEASUREMENTS",
        "SHOW FIELD KEYS",
        "SHOW RETENTION POLICIES",
        "SHOW SERIES CARDINALITY",
        "SHOW TAG KEY CARDINALITY",
    ],
)
def test_a_database_must_be_named(ask: Ask, text: str):
    assert values(ask, text, database="") == "database name required"


def test_partitions_are_shards(ask: Ask, storage: FakeStorage):
    (partition,) = storage.partitions()
    (result,) = ask("SHOW SHARDS")
    first, second = result["series"]
    assert (first["name"], second["name"]) == ("db0", "db1")
    assert first["values"][0][:4] == [partition.id, "db0", "autogen", partition.id]
    assert "values" not in second
    (result,) = ask("SHOW SHARD GROUPS")
    assert result["series"][0]["values"][0][:3] == [partition.id, "db0", "autogen"]
    ask(f"DROP SHARD {partition.id}")
    assert values(ask, "SHOW MEASUREMENTS") in ({}, {"measurements": [["m"], ["n"]]})
    assert ask("SELECT * FROM m") == [{"statement_id": 0}]


def test_databases_are_shown_to_who_may_see_them(ask: Ask):
    reader = Principal("u", grants={"db1": Privilege.READ})
    assert values(ask, "SHOW DATABASES", who=reader) == {"databases": [["db1"]]}
    assert values(ask, "SHOW DATABASES", who=Principal("v")) == {"databases": None}
    assert values(ask, "SHOW CONTINUOUS QUERIES", who=reader) == {"db1": None}
