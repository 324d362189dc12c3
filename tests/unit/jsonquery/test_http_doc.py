"""Every example of docs/http.md about the JSON query API, run and compared byte by byte."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from rusts import errors, jsonquery, query
from rusts.api.encode import encode_csv, encode_json
from tests.support.model_store import ModelStore, batch_of

DOC = Path(__file__).parents[3] / "docs" / "http.md"
TEXT = DOC.read_text(encoding="utf-8").partition("\n## JSON query API\n")[2].partition("\n## ")[0]
EXAMPLES = re.findall(r"```request ?(\S*)\n(.*?)\n```\n\n```(response|error)\n(.*?)```", TEXT, re.DOTALL)


def points() -> list[tuple[dict[str, str], int, dict[str, Any]]]:
    lines = re.findall(r"```lineprotocol\n(.*?)```", TEXT, re.DOTALL)[0].splitlines()
    found = []
    for line in lines:
        key, fields, time = line.split(" ")
        values: dict[str, Any] = {}
        for field in fields.split(","):
            name, _, text = field.partition("=")
            if text in ("true", "false"):
                values[name] = text == "true"
            elif text.startswith('"'):
                values[name] = text.strip('"')
            else:
                values[name] = int(text[:-1]) if text.endswith("i") else float(text)
        found.append((dict(tag.split("=") for tag in key.split(",")[1:]), int(time), values))
    return found


@pytest.fixture(scope="module")
def store() -> ModelStore:
    store = ModelStore()
    store.create_database("default")
    store.write("default", None, [batch_of("cpu", points())])
    return store


def test_the_document_has_examples() -> None:
    assert len(EXAMPLES) == TEXT.count("```request") >= 14
    assert len(points()) == 5


@pytest.mark.parametrize(("form", "request_text", "kind", "answer"), EXAMPLES, ids=[e[1][:60] for e in EXAMPLES])
def test_example(store: ModelStore, form: str, request_text: str, kind: str, answer: str) -> None:
    if kind == "error":
        with pytest.raises(errors.UserError) as raised:
            query.execute(store, jsonquery.parse(request_text.encode()))
        assert str(raised.value) == answer.rstrip("\n")
        return
    result = query.execute(store, jsonquery.parse(request_text.encode()))
    pieces = encode_csv(result) if form == "csv" else encode_json(result, rows=form == "format=rows")
    text = b"".join(pieces).decode()
    assert re.sub(r'"stats":\{.*?\}', '"stats":{...}', text) == answer
