from __future__ import annotations

import math
from pathlib import Path

import pytest

from tests.support.influxql_corpus import Case, Step, cases, parse_json, scenarios
from tests.support.influxql_data import writes
from tests.support.influxql_generator import generate


def test_statements_with_options(tmp_path: Path):
    (tmp_path / "some.txt").write_text(
        """# topic: one
SELECT a
@epoch= params='{"a": 1}'
SELECT b

@db="odd name"
SELECT c
# topic: two
SELECT d
"""
    )
    (file,) = cases(tmp_path).values()
    assert file == [
        Case("some:2", "one", "SELECT a", {"db": "main", "epoch": "ns"}),
        Case("some:4", "one", "SELECT b", {"db": "main", "epoch": "", "params": '{"a": 1}'}),
        Case("some:7", "one", "SELECT c", {"db": "odd name", "epoch": "", "params": '{"a": 1}'}),
        Case("some:9", "two", "SELECT d", {"db": "main", "epoch": "ns"}),
    ]


def test_a_statement_needs_a_topic(tmp_path: Path):
    (tmp_path / "some.txt").write_text("SELECT a\n")
    with pytest.raises(ValueError, match="some:1"):
        cases(tmp_path)


def test_scenarios(tmp_path: Path):
    (tmp_path / "some.txt").write_text(
        """# topic: one
== first
@db=a
write a/p m,t=x v=1 1
flush
SELECT a
== second
write a m v=1
SELECT b
"""
    )
    first, second = scenarios(tmp_path)["some"]
    assert (first.name, second.name) == ("some:first", "some:second")
    assert first.steps == (
        Step(write=("a", "p", "m,t=x v=1 1")),
        Step(),
        Step(case=Case("some:6", "one", "SELECT a", {"epoch": "ns", "db": "a"})),
    )
    assert second.steps[0] == Step(write=("a", None, "m v=1"))
    assert second.steps[1].case == Case("some:9", "one", "SELECT b", {"epoch": "ns"})


def test_numbers_of_json():
    zero, large, float_ = parse_json(b"[-0, 9007199254740993, 1e21]")
    assert math.copysign(1, zero) == -1
    assert (large, float_) == (9007199254740993, 1e21)


def test_the_data_and_the_generator_are_the_same_each_time():
    assert writes() == writes()
    assert generate(3, 50) == generate(3, 50)
    assert len(set(generate(4, 500))) == 500
