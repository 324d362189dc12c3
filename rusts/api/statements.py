"""The few InfluxQL statements that clients send before they write: CREATE DATABASE and SHOW DATABASES.

This stands in until the InfluxQL room is there; anything else is refused in so many words.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from rusts import errors
from rusts.catalog.schema import DEFAULT_POLICY
from rusts.node import Storage

__all__ = ["Create", "Show", "as_csv", "execute", "parse"]

_QUOTED: Final = r"\"(?:[^\"\\]|\\[\"\\n])*\""
_BARE: Final = r"[A-Za-z_][A-Za-z0-9_]*"
_NAME: Final = rf"(?:{_QUOTED}|{_BARE})"
_DURATION: Final = r"(?:INF|(?:\d+(?:ns|ms|[uµsmhdw]))+)(?![A-Za-z0-9_])"
_WITH: Final = (
    r"\s+WITH(?=\s+(?:DURATION|REPLICATION|SHARD|NAME)\b)"
    rf"(?:\s+DURATION\s+(?P<duration>{_DURATION}))?"
    r"(?:\s+REPLICATION\s+(?P<replication>\d+)\b)?"
    rf"(?:\s+SHARD\s+DURATION\s+(?P<shard>{_DURATION}))?"
    rf"(?:\s+NAME(?:\s+|(?=\"))(?P<policy>{_NAME}))?"
)
_STATEMENT: Final = re.compile(
    r"(?:(?P<show>SHOW\s+DATABASES)"
    rf"|(?P<drop>DROP\s+DATABASE)(?:\s+|(?=\")){_NAME}"
    rf"|CREATE\s+DATABASE(?:\s+|(?=\"))(?P<name>{_NAME})(?P<with>{_WITH})?)\s*(?:;[\s;]*|\Z)",
    re.ASCII | re.IGNORECASE,
)
_ESCAPE: Final = re.compile(r"\\(.)")
_PLAIN: Final = re.compile(_BARE, re.ASCII)
_FOREVER: Final = re.compile(r"INF|0+[a-zµ]+(?:0+[a-zµ]+)*", re.IGNORECASE)
_MAX_REPLICATION: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Show:
    """SHOW DATABASES."""


@dataclass(frozen=True, slots=True)
class Create:
    """CREATE DATABASE."""

    name: str
    text: str
    """The statement as InfluxDB prints it."""


def parse(text: str) -> list[Show | Create]:
    """The statements of `text`. Raises InvalidRequest where one cannot be read, or cannot be done as it says."""
    found: list[Show | Create] = []
    at = len(text) - len(text.lstrip(" \t\r\n;"))
    while at < len(text):
        statement = _STATEMENT.match(text, at)
        if statement is None:
            raise errors.InvalidRequest(
                "error parsing query: this version of rusts knows CREATE DATABASE and SHOW DATABASES only; "
                "ask for data with the JSON query API (docs/http.md)"
            )
        if statement["drop"]:
            raise errors.InvalidRequest("DROP DATABASE is not supported yet")
        found.append(Show() if statement["show"] else _create(statement))
        at = statement.end()
    return found


def _create(statement: re.Match[str]) -> Create:
    """The statement, if what it wants kept is what a new database has. A single node keeps one copy of anything."""
    name = _unquoted(statement["name"])
    words = ["CREATE", "DATABASE", _identifier(name)]
    if statement["with"]:
        words.append("WITH")
    if duration := statement["duration"]:
        if _FOREVER.fullmatch(duration) is None:
            raise _unsupported("DURATION", "points are kept for ever")
        words += ["DURATION", "0s"]
    if replication := statement["replication"]:
        if not 1 <= int(replication[:11]) <= _MAX_REPLICATION:
            raise errors.InvalidRequest(
                f"error parsing query: REPLICATION: invalid value {replication[:11]}: "
                f"must be 1 <= n <= {_MAX_REPLICATION}"
            )
        words += ["REPLICATION", str(int(replication))]
    if statement["shard"]:
        raise _unsupported("SHARD DURATION", "leave it out")
    if policy := statement["policy"]:
        if _unquoted(policy) != DEFAULT_POLICY:
            raise _unsupported("NAME", f"the retention policy of a new database is called {DEFAULT_POLICY}")
        words += ["NAME", DEFAULT_POLICY]
    return Create(name, " ".join(words))


def _unsupported(option: str, instead: str) -> errors.InvalidRequest:
    return errors.InvalidRequest(f"CREATE DATABASE ... WITH {option} is not supported yet: {instead}")


def _unquoted(name: str) -> str:
    if not name.startswith('"'):
        return name
    return _ESCAPE.sub(lambda m: "\n" if m[1] == "n" else m[1], name[1:-1])


def _identifier(name: str) -> str:
    """`name` as InfluxQL writes it: in quotes unless it is a plain word."""
    if _PLAIN.fullmatch(name):
        return name
    escaped = name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def execute(store: Storage, found: Iterable[Show | Create], *, reading: bool) -> dict[str, Any]:
    """The answer to statements, as InfluxDB 1.x words it. Blocks; `reading`: they came by GET.

    Nothing runs after a statement that failed.
    """
    results: list[dict[str, Any]] = []
    failed = False
    for statement in found:
        result: dict[str, Any] = {"statement_id": len(results)}
        results.append(result)
        if failed:
            result["error"] = "not executed"
        elif isinstance(statement, Show):
            series: dict[str, Any] = {"name": "databases", "columns": ["name"]}
            if names := store.databases():
                series["values"] = [[name] for name in names]
            result["series"] = [series]
        else:
            if reading:
                warning = (
                    f"deprecated use of '{statement.text}' in a read only context, please use a POST request instead"
                )
                result["messages"] = [{"level": "warning", "text": warning}]
            try:
                store.create_database(statement.name)
            except errors.InvalidRequest as problem:
                result["error"] = str(problem)
                failed = True
    return {"results": results} if results else {}


def as_csv(answer: Mapping[str, Any]) -> bytes:
    """What `execute` gave as InfluxDB 1.x writes CSV: ``name,tags,<columns>``, an empty line between two headers.

    Statements without rows, and errors, leave nothing.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for result in answer.get("results", ()):
        for series in result.get("series", ()):
            if out.tell():
                out.write("\n")
            writer.writerow(["name", "tags", *series["columns"]])
            writer.writerows([series["name"], "", *row] for row in series.get("values", ()))
    return out.getvalue().encode()
