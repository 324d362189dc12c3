"""Each example of docs/influxql.md, in the order of the document, against one new server in this process."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, get_args
from urllib.parse import urlencode

import pytest

from rusts import config
from rusts.api.app import create_app
from rusts.influxql import ast
from rusts.influxql.parser import parse
from rusts.influxql.planner.rules import AGGREGATES, MATH, SELECTORS, TRANSFORMS
from rusts.node import Node
from rusts.query.selection import SELECTIONS
from tests.support.asgi import Client

DOC: Final = (Path(__file__).parents[2] / "docs" / "influxql.md").read_text()
BLOCKS: Final = re.findall(r"```influxql\n(.*?)```", DOC, re.DOTALL)
EXAMPLES: Final = [
    (statement, expected)
    for block in BLOCKS
    for statement, expected in re.findall(r"^> (.*)\n((?:(?!> ).*\n)*)", block, re.MULTILINE)
]


@contextmanager
def opened(directory: Path) -> Iterator[Client]:
    """A server with the points of the document, half of them in segments."""
    settings = {"data-dir": str(directory), "flush-interval": "1h", "log-level": "error"}
    node = Node.open(config.load(settings, {}))
    client = Client(create_app(node))
    try:
        node.store.recover_step()
        assert answer(client, "CREATE DATABASE garden") == ""
        points = re.search(r"```lineprotocol\n(.*?)```", DOC, re.DOTALL)
        assert points is not None
        lines = points[1].splitlines()
        for half in (lines[: len(lines) // 2], lines[len(lines) // 2 :]):
            written = client.request("POST", "/write?db=garden&precision=s", "\n".join(half).encode())
            assert written.status == 204, written.body
            node.store.flush()
        yield client
    finally:
        client.close()
        node.close()


def answer(client: Client, statement: str) -> str:
    """The answer as CSV, or what is wrong with the statement, or what it is warned of.

    Statements with rows are asked twice: in CSV errors are not told.
    """
    target = "/query?" + urlencode({"db": "garden", "epoch": "s"})
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    form = urlencode({"q": statement}).encode()
    document = client.request("POST", target, form, headers).json()
    result = document["results"][0] if "results" in document else document
    if "error" in result:
        return f"error: {result['error']}\n"
    warnings = "".join(f"warning: {message['text']}\n" for message in result.get("messages", ()))
    if "series" not in result:
        return warnings
    return warnings + client.request("POST", target, form, {**headers, "Accept": "text/csv"}).body.decode()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with opened(tmp_path_factory.mktemp("garden")) as client:
        yield client


def test_the_examples_of_the_manual(client: Client):
    assert len(EXAMPLES) == len(re.findall("^> ", DOC, re.MULTILINE)) > 100
    wrong = []
    for statement, expected in EXAMPLES:
        actual = answer(client, statement)
        if expected != actual and (expected or actual.startswith("error: ")):
            wrong.append(f"{statement}\n{actual}")
    assert not wrong, "\n".join(wrong)


def test_every_function_is_described_and_has_an_example():
    table = DOC.partition("## Functions")[2].partition("\n## ")[0]
    used = " ".join(statement.lower() for statement, _ in EXAMPLES)
    for name in {*AGGREGATES, *SELECTORS, *TRANSFORMS, *SELECTIONS, *MATH, "integral"}:
        assert re.search(rf"`{name}\b", table), f"{name} is not described"
        assert f"{name}(" in used, f"{name} has no example"


def test_every_statement_has_an_example():
    """Each but those that would end or empty what the examples need."""
    parsed = [parse(statement) for statement, expected in EXAMPLES if "error parsing query" not in expected]
    shown = {type(statement).__name__ for (statement,) in parsed}
    known = {kind.__name__ for kind in get_args(ast.Statement)}
    assert known - shown == {"DropShard", "DropSubscription"}
