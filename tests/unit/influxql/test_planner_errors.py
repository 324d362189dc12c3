"""Wrong SELECTs get InfluxDB's texts; `python -m tools.record_compile_errors` records them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rusts.errors import UserError
from tests.support.statements import plan, store_of

GOLDEN = json.loads(
    (Path(__file__).resolve().parents[2] / "golden/influxql/compile_errors.json").read_text(encoding="utf-8")
)
STORE = store_of(GOLDEN["points"])


@pytest.mark.parametrize("statement", GOLDEN["errors"])
def test_text(statement: str) -> None:
    with pytest.raises(UserError) as caught:
        plan(statement, STORE)
    assert str(caught.value) == GOLDEN["errors"][statement]


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ('SELECT f FROM ""', "invalid measurement"),
        ('SELECT f FROM m, d..""', "invalid measurement"),
        ('SELECT f FROM (SELECT f FROM "")', "invalid measurement"),
        (
            "SELECT triple_exponential_derivative(f, 3, 0) FROM m",
            "triple_exponential_derivative hold period must be greater than or equal to 1",
        ),
        (
            "SELECT triple_exponential_moving_average(f, 3, -2) FROM m",
            "triple_exponential_moving_average hold period must be greater than or equal to 0",
        ),
    ],
)
def test_other_texts(statement: str, problem: str) -> None:
    with pytest.raises(UserError) as caught:
        plan(statement, STORE)
    assert str(caught.value) == problem


def test_there_is_one_for_most_rules() -> None:
    assert len(GOLDEN["errors"]) > 350
