from __future__ import annotations

from typing import Any

import pytest

from tests.support.influxql_compare import difference, misspelt
from tests.support.influxql_corpus import Case


def answer(*rows: list[Any], **series: Any) -> dict[str, Any]:
    one = {"name": "m", "columns": ["time", "v"], "values": [list(row) for row in rows], **series}
    return {"status": 200, "json": {"results": [{"statement_id": 0, "series": [one]}]}}


CASE = Case("here:1", "fields", "SELECT v FROM m", {})
EXPECTED = answer([1, 0.5], [2, None], [3, 7])


@pytest.mark.parametrize(
    "actual",
    [
        answer([1, 0.5 * (1 + 1e-10)], [2, None], [3, 7]),
        answer([1, 0.5], [2, None], [3, 7.0]),
        answer([1, 0.5], [2, None], [3, 7 + 1e-12]),
    ],
)
def test_the_same(actual: dict[str, Any]):
    assert difference(CASE, EXPECTED, actual) is None


@pytest.mark.parametrize(
    "actual",
    [
        answer([1, 0.5 * (1 + 1e-8)], [2, None], [3, 7]),
        answer([1, 0.5], [2, 0], [3, 7]),
        answer([1, 0.5], [2, None], [3, 8]),
        answer([1, 0.5], [2, None], [3, True]),
        answer([1, 0.5], [2, None], [3, "7"]),
        answer([1, 0.5], [2, None]),
        answer([2, None], [1, 0.5], [3, 7]),
        answer([1, 0.5], [2, None], [3, 7], name="n"),
        answer([1, 0.5], [2, None], [3, 7], tags={}),
        {**EXPECTED, "status": 400},
        {"status": 200, "json": {"results": [{"statement_id": 0}]}},
        {"status": 200, "text": "words"},
    ],
)
def test_not_the_same(actual: dict[str, Any]):
    assert difference(CASE, EXPECTED, actual) is not None


def test_the_order_of_keys_counts():
    series = {"columns": ["time", "v"], "name": "m", "values": [[1, 0.5], [2, None], [3, 7]]}
    turned = {"status": 200, "json": {"results": [{"statement_id": 0, "series": [series]}]}}
    assert difference(CASE, EXPECTED, turned) is not None


def test_large_integers_are_compared_exactly():
    assert difference(CASE, answer([1, 2**53 + 1]), answer([1, 2**53])) is not None


def test_shape_and_columns():
    shape, columns = (Case("here:1", "sample", "…", {"compare": how}) for how in ("shape", "columns"))
    assert difference(shape, EXPECTED, answer([5, 5], [6, 6], [7, 7])) is None
    assert difference(shape, EXPECTED, answer([5, 5])) is not None
    assert difference(columns, EXPECTED, answer([5, 5])) is None
    assert difference(columns, EXPECTED, answer([5, 5], columns=["time", "w"])) is not None


@pytest.mark.parametrize(
    "text",
    [
        '{"a":[1,-0,0.5,1e+21,1.5e-7,0.000001,100000000000000000000,123.25,null,true,"1.0 e5"]}\n',
        '{"a":"\\u003c<&\\u0026é日\\u2028\\"\\n"}\n',
        '{"a":1}\n{"b":[]}\n',
    ],
)
def test_spelt_as_influxd_does(text: str):
    assert misspelt(text.encode()) is None


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1}',
        '{"a": 1}\n',
        '{"a":1.0}\n',
        '{"a":-0.0}\n',
        '{"a":1e21}\n',
        '{"a":1e-07}\n',
        '{"a":0.0000001}\n',
        '{"a":"\\u00e9"}\n',
        '{"a":0.50}\n',
    ],
)
def test_not_spelt_as_influxd_does(text: str):
    assert misspelt(text.encode()) is not None
