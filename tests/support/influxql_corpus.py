"""The corpus of InfluxQL statements: its files, and how one of its requests is made and its answer kept.

A file holds one statement per line below headers `# topic: NAME`. A line `@name=value …` sets options of the
requests that follow, until the next header; a value may be quoted as in a shell. The options: `db`, `rp`, `epoch`,
`params`, `pretty`, `chunked`, `chunk_size` (parameters of the request), `accept`, `method`, and `compare`:
`shape` where values are random, `columns` where rows are the server's own.

A file of scenarios has blocks below `== NAME` instead, each on databases of its own. There a line
`write DATABASE[/POLICY] LINE` writes a line, `flush` puts what is in memory into files where the server can, and
every other line is a statement.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

__all__ = [
    "ANSWERS",
    "CORPUS",
    "Answer",
    "Case",
    "Requester",
    "Scenario",
    "Step",
    "ask",
    "cases",
    "golden",
    "keep",
    "parse_json",
    "scenarios",
]

CORPUS: Final = Path(__file__).resolve().parents[1] / "differential" / "corpus"
ANSWERS: Final = Path(__file__).resolve().parents[1] / "golden" / "influxql"

_DEFAULTS: Final = {"db": "main", "epoch": "ns"}
_PARAMETERS: Final = ("db", "rp", "epoch", "params", "chunked", "chunk_size")

Requester = Callable[[str, str, bytes, Mapping[str, str]], tuple[int, Mapping[str, str], bytes]]
"""Method, target, body, headers -> status, headers by lower-case name, body."""

Answer = dict[str, Any]
"""`status` with `json` (a document), `documents` (several, one per line) or `text` (anything else)."""


@dataclass(frozen=True, slots=True)
class Case:
    """One request. `place` is FILE:LINE."""

    place: str
    topic: str
    statement: str
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Step:
    """A statement (`case`), a write (database, policy, line), or, with neither, a flush."""

    case: Case | None = None
    write: tuple[str, str | None, str] | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """Steps that build upon one another, on a server without databases."""

    name: str
    steps: tuple[Step, ...]


def cases(folder: Path = CORPUS) -> dict[str, list[Case]]:
    """The statements of every file of `folder`, by the file's name without suffix. Raises ValueError for a bad file."""
    return {path.stem: list(_read(path)) for path in sorted(folder.glob("*.txt"))}


def scenarios(folder: Path = CORPUS / "scenarios") -> dict[str, list[Scenario]]:
    """The scenarios of every file of `folder`, by the file's name without suffix."""
    return {path.stem: list(_read_scenarios(path)) for path in sorted(folder.glob("*.txt"))}


def _options(line: str) -> dict[str, str]:
    pairs = (word.partition("=") for word in shlex.split(line[1:]))
    return {name: value for name, _, value in pairs}


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if line.strip():
            yield f"{path.stem}:{number}", line


def _read(path: Path) -> Iterator[Case]:
    topic, options = "", dict(_DEFAULTS)
    for place, line in _lines(path):
        if line.startswith("# topic: "):
            topic, options = line.removeprefix("# topic: "), dict(_DEFAULTS)
        elif line.startswith("#"):
            continue
        elif line.startswith("@"):
            options = options | _options(line)
        elif not topic:
            raise ValueError(f"{place}: a statement before the first topic")
        else:
            yield Case(place, topic, line, options)


def _read_scenarios(path: Path) -> Iterator[Scenario]:
    name, topic = "", ""
    steps: list[Step] = []
    options: dict[str, str] = {}
    for place, line in _lines(path):
        if line.startswith(("== ", "# topic: ")) and steps:
            yield Scenario(name, tuple(steps))
            steps = []
        if line.startswith("# topic: "):
            topic = line.removeprefix("# topic: ")
        elif line.startswith("== "):
            name, options = f"{path.stem}:{line.removeprefix('== ')}", {"epoch": "ns"}
        elif line.startswith("#"):
            continue
        elif line.startswith("@"):
            options = options | _options(line)
        elif line == "flush":
            steps.append(Step())
        elif line.startswith("write "):
            _, where, point = line.split(" ", 2)
            database, _, policy = where.partition("/")
            steps.append(Step(write=(database, policy or None, point)))
        else:
            steps.append(Step(case=Case(place, topic, line, options)))
    if steps:
        yield Scenario(name, tuple(steps))


def ask(requester: Requester, case: Case) -> Answer:
    """The answer to one request. Raises OSError, ValueError for a body that is not what its header says."""
    parameters = {name: case.options[name] for name in _PARAMETERS if name in case.options}
    encoded = urlencode({"q": case.statement, **parameters})
    # influxd looks for this one in the URL only.
    suffix = f"pretty={case.options['pretty']}" if "pretty" in case.options else ""
    headers = {"Accept": case.options["accept"]} if "accept" in case.options else {}
    if case.options.get("method") == "GET":
        status, got, body = requester("GET", f"/query?{encoded}&{suffix}", b"", headers)
    else:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        status, got, body = requester("POST", f"/query?{suffix}", encoded.encode(), headers)
    return {"status": status, **_content(got.get("content-type", ""), body, case)}


def _content(kind: str, body: bytes, case: Case) -> Answer:
    if kind.startswith("application/x-msgpack"):
        return {"json": msgspec.msgpack.decode(body, ext_hook=_msgpack_time)}
    if not kind.startswith("application/json") or "pretty" in case.options:
        return {"text": body.decode()}
    try:
        documents = [parse_json(line) for line in body.splitlines()]
    except ValueError:
        return {"text": body.decode()}
    return {"json": documents[0]} if len(documents) == 1 else {"documents": documents}


def _msgpack_time(code: int, data: memoryview) -> int:
    seconds, nanoseconds = int.from_bytes(data[:8], "big", signed=True), int.from_bytes(data[8:], "big")
    if code != 5 or len(data) != 12:
        raise ValueError(f"extension type {code} of {len(data)} bytes")
    return seconds * 1_000_000_000 + nanoseconds


def _integer(text: str) -> float:
    # Floats without a fraction look like integers; only this one would lose something.
    return -0.0 if text == "-0" else int(text)


def parse_json(body: bytes) -> Any:
    """A JSON document; numbers keep 64 bits, and -0 its sign. Raises ValueError."""
    return json.loads(body, parse_int=_integer)


def golden(name: str) -> list[dict[str, Any]]:
    """The recorded answers of one file of statements or scenarios, in their order."""
    path = ANSWERS / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def keep(name: str, entries: Iterable[Mapping[str, Any]]) -> None:
    """Store recorded answers as `golden` reads them: one line of JSON each."""
    ANSWERS.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(entry, ensure_ascii=False, separators=(",", ":")) + "\n" for entry in entries)
    (ANSWERS / f"{name}.jsonl").write_text("".join(lines), "utf-8")
