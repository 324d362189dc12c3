"""The corpus of InfluxQL statements gets influxd's answers, wherever the data lies.

By default every statement runs on one layout of the data and every seventh on each other; with RUSTS_PROOF=1 all of
them run on all.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.differential.differences import explained
from tests.support.influxql_compare import difference, misspelt
from tests.support.influxql_corpus import Answer, Case, Scenario, cases, golden, scenarios
from tests.support.influxql_server import Layout, RustsServer

PROOF = os.environ.get("RUSTS_PROOF") == "1"
SHOWN = 40

CASES = cases()
SCENARIOS = scenarios()


@pytest.fixture(scope="module", params=list(Layout))
def layout(request: pytest.FixtureRequest) -> Layout:
    chosen: Layout = request.param
    return chosen


@pytest.fixture(scope="module")
def server(layout: Layout, new_directory: Callable[[], Path]) -> Iterator[RustsServer]:
    with RustsServer(new_directory()) as running:
        running.load(layout)
        yield running


def chosen(number: int, layout: Layout) -> bool:
    """Whether the statement with this number runs on this layout."""
    return PROOF or layout is Layout.BOTH or number % 7 == list(Layout).index(layout)


def bugs(pairs: list[tuple[Case, Answer, Answer]]) -> list[str]:
    """What differs and is no listed kind, a paragraph each."""
    found = []
    for case, expected, actual in pairs:
        problem = difference(case, expected, actual)
        if problem is not None and explained(case, expected, actual) is None:
            found.append(f"{case.place}: {case.statement}\n    {problem}")
    return found


def check(pairs: list[tuple[Case, Answer, Answer]]) -> None:
    """Fail with the first of what differs."""
    found = bugs(pairs)
    assert not found, f"{len(found)} of {len(pairs)} answers differ\n" + "\n".join(found[:SHOWN])


@pytest.mark.parametrize("name", list(CASES))
def test_statements(server: RustsServer, layout: Layout, name: str):
    recorded = golden(name)
    pairs, spelt = [], []
    for i, case in enumerate(CASES[name]):
        if chosen(i, layout):
            actual = server.ask(case)
            pairs.append((case, recorded[i]["answer"], actual))
            if "text" not in actual and "accept" not in case.options and (problem := misspelt(server.last)):
                spelt.append(f"{case.place}: {case.statement}\n    {problem}")
    check(pairs)
    assert not spelt, "\n".join(spelt[:SHOWN])


def test_generated_statements(server: RustsServer, layout: Layout):
    recorded = [entry for i, entry in enumerate(golden("generated")) if chosen(i, layout)]
    generated = [Case("generated", "generated", entry["q"], entry["options"]) for entry in recorded]
    check([(case, entry["answer"], server.ask(case)) for case, entry in zip(generated, recorded, strict=True)])


def play(server: RustsServer, scenario: Scenario, between: Callable[[RustsServer], None]) -> list[Answer]:
    """The answers of a scenario's steps; `between` is done to the server before each statement."""
    answers = []
    for step in scenario.steps:
        if step.case is not None:
            between(server)
            answers.append(server.ask(step.case))
        elif step.write is not None:
            answers.append(server.write(*step.write))
        else:
            server.flush()
    return answers


def _compacted(server: RustsServer) -> None:
    server.flush()
    server.compact()


BETWEEN: dict[str, Callable[[RustsServer], None]] = {
    "as it is": lambda server: None,
    "flushed": RustsServer.flush,
    "compacted": _compacted,
    "restarted": RustsServer.restart,
}


@pytest.mark.parametrize("between", list(BETWEEN) if PROOF else ["as it is", "compacted"])
@pytest.mark.parametrize("scenario", [one for file in SCENARIOS.values() for one in file], ids=lambda one: one.name)
def test_scenarios(new_directory: Callable[[], Path], scenario: Scenario, between: str):
    recorded = next(entry for entry in golden(scenario.name.partition(":")[0]) if entry["name"] == scenario.name)
    expected: list[dict[str, Any]] = recorded["answers"]
    with RustsServer(new_directory()) as server:
        answers = play(server, scenario, BETWEEN[between])
    asked = [step for step in scenario.steps if step.case is not None or step.write is not None]
    as_cases = [step.case or Case(scenario.name, "", f"write {step.write}") for step in asked]
    check(list(zip(as_cases, expected, answers, strict=True)))
