from __future__ import annotations

import json
import random
import re
from datetime import datetime

import numpy as np
import pytest

from rusts.influxql import ast
from rusts.influxql.parser import parse as parse_influxql
from rusts.lineprotocol.parser import parse
from tools import tsbs
from tools.tsbsqueries import DEVOPS, KINDS, Hosts, answer_difference, difference, influxql_texts, make


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


@pytest.mark.parametrize("hosts", [Hosts(100, 24), Hosts(4000, 2)])
@pytest.mark.parametrize("kind", DEVOPS)
def test_all_kinds_parse_and_ask_for_what_is_there(kind: str, hosts: Hosts) -> None:
    texts = influxql_texts(kind, 30, hosts)
    assert texts == influxql_texts(kind, 30, hosts)
    assert len(set(texts)) > 20 or kind == "lastpoint"
    for text in texts:
        (statement,) = parse_influxql(text)
        assert isinstance(statement, ast.Select)
        assert all(int(host) < hosts.count for host in re.findall(r"'host_(\d+)'", text))
        times = [datetime.fromisoformat(time).timestamp() for time in re.findall(r"'(2016-[^']*)'", text)]
        start = tsbs.START_NS // 1_000_000_000
        assert times == sorted(times)
        assert all(start <= time <= start + hosts.hours * 3600 for time in times)


def test_there_are_all_kinds_of_the_suite() -> None:
    assert len(DEVOPS) == 15
    (text,) = influxql_texts("single-groupby-5-8-1", 1, Hosts(100, 24))
    assert text.count("max(") == 5
    assert text.count("hostname = ") == 8


def influx_answer(values: list[list[object]], **more: object) -> bytes:
    series = {"name": "cpu", "columns": ["time", "mean"], "values": values, **more}
    return json.dumps({"results": [{"statement_id": 0, "series": [series]}]}).encode()


def test_influxql_answers_are_compared() -> None:
    there = influx_answer([[1, 2.5], [1, 7], [2, None]])
    assert answer_difference(there, there) == ""
    assert answer_difference(there, influx_answer([[1, 7], [1, 2.500000000000001], [2, None]], partial=True)) == ""
    assert "2.6" in answer_difference(there, influx_answer([[1, 2.6], [1, 7], [2, None]]))
    assert "0" in answer_difference(there, influx_answer([[1, 2.5], [1, 7], [2, 0]]))
    assert "times" in answer_difference(there, influx_answer([[2, None], [1, 2.5], [1, 7]]))
    assert "3 rows there, 2 here" in answer_difference(there, influx_answer([[1, 2.5], [2, None]]))
    assert "tags" in answer_difference(there, influx_answer([[1, 2.5], [1, 7], [2, None]], tags={"host": "a"}))
    assert "1 series there, 0 here" in answer_difference(there, b'{"results":[{"statement_id":0}]}')
    assert "error" in answer_difference(there, b'{"results":[{"statement_id":0,"error":"no"}]}')
