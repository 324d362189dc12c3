from __future__ import annotations

import json
import random

import numpy as np
import pytest

from rusts.lineprotocol.parser import parse
from tools import tsbs
from tools.tsbsqueries import KINDS, difference, make


@pytest.mark.parametrize("fractions", [False, True])
@pytest.mark.parametrize("rows_a_body", [1, 7, 100, 5000])
def test_the_text_says_what_the_arrays_hold(fractions: bool, rows_a_body: int) -> None:
    rows = tsbs.cpu_rows(3, 250, seed=5, first_step=4, fractions=fractions)
    bodies = list(rows.bodies(rows_a_body))
    assert [body.count(b"\n") for body in bodies[:-1]] == [rows_a_body] * (len(bodies) - 1)
    (batch,) = parse(b"".join(bodies)).batches
    assert len(batch) == rows.rows == 750
    assert len(batch.keys) == 3
    assert batch.times.tolist() == np.repeat(rows.times, 3).tolist()
    assert rows.times[0] == tsbs.START_NS + 4 * tsbs.STEP_NS
    for i, name in enumerate(tsbs.CPU_FIELDS):
        (column,) = [column for (key, _), column in batch.columns.items() if key == name]
        written = rows.values[:, :, i].reshape(-1)
        assert np.floor(column.values).tolist() == written.tolist()
        assert (len(set(column.values.tolist())) == rows.rows) == fractions


def test_the_seed_decides() -> None:
    first, again, other = (tsbs.cpu_rows(2, 50, seed=seed).values for seed in (1, 1, 2))
    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()
    assert 0 <= first.min() <= first.max() <= 100


def test_every_line_is_a_point_of_its_own() -> None:
    (batch,) = parse(b"".join(tsbs.one_line_bodies(300, series=70))).batches
    assert len(set(zip(batch.series.tolist(), batch.times.tolist(), strict=True))) == 300


def test_every_row_is_a_series_of_its_own() -> None:
    bodies = list(tsbs.cardinality_bodies(rows_a_body=50, shape=(3, 4, 10)))
    assert [body.count(b"\n") for body in bodies] == [50, 50, 20]
    (batch,) = parse(b"".join(bodies)).batches
    assert len(batch.keys) == 120


def test_queries_follow_their_seed() -> None:
    for kind in KINDS:
        assert make(kind, 3, 100) == make(kind, 3, 100)
        for query in make(kind, 20, 100, seed=random.randrange(100)):
            span = query.json_query.get("time_range", {"start": tsbs.START_NS, "end": tsbs.START_NS})
            assert tsbs.START_NS <= span["start"] <= span["end"] <= tsbs.START_NS + 24 * 3_600_000_000_000


def answers(values: list[list[object]], column: str = "mean") -> tuple[bytes, bytes]:
    theirs = {"name": "cpu", "tags": {"hostname": "a"}, "columns": ["time", column], "values": [[1, 2.5], [2, None]]}
    mine = {"measurement": "cpu", "tags": {"hostname": "a"}, "columns": ["time", "mean_v"], "values": values}
    return json.dumps({"results": [{"series": [theirs]}]}).encode(), json.dumps({"series": [mine]}).encode()


def test_answers_are_compared() -> None:
    assert difference(*answers([[1, 2.5000000000000004], [2, None]])) == ""
    assert "rows" in difference(*answers([[1, 2.5]]))
    assert "2.6" in difference(*answers([[1, 2.6], [2, None]]))
    assert "0" in difference(*answers([[1, 2.5], [2, 0]]))
