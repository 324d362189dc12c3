"""The few InfluxQL statements that clients send before they write: CREATE DATABASE and SHOW DATABASES.

This stands in until the InfluxQL room is there; anything else is refused in so many words.
"""

from __future__ import annotations

import re
from typing import Any, Final

from rusts import errors
from rusts.node import Storage

__all__ = ["execute"]

_NAME: Final = r"(?:\"(?P<quoted>(?:[^\"\\]|\\[\"\\n])*)\"|(?P<bare>[A-Za-z_][A-Za-z0-9_]*))"
# REPLICATION says nothing to a single node; other options would have to be kept, and are refused.
_STATEMENT: Final = re.compile(
    rf"(?:(?P<show>SHOW\s+DATABASES)|CREATE\s+DATABASE\s+{_NAME}(?P<with>\s+WITH\s+REPLICATION\s+\d+)?)\s*(?:;[\s;]*|\Z)",
    re.ASCII | re.IGNORECASE,
)
_ESCAPE: Final = re.compile(r"\\(.)")


def execute(store: Storage, text: str, *, reading: bool) -> dict[str, Any]:
    """The answer to the statements of `text`, as InfluxDB 1.x words it. Blocks; `reading`: they came by GET.

    Nothing runs unless all of it can be read, and nothing runs after a statement that failed. Raises
    InvalidRequest where any other statement stands.
    """
    results: list[dict[str, Any]] = []
    failed = False
    for statement in _parse(text):
        result: dict[str, Any] = {"statement_id": len(results)}
        results.append(result)
        if failed:
            result["error"] = "not executed"
        elif statement["show"]:
            series: dict[str, Any] = {"name": "databases", "columns": ["name"]}
            if names := store.databases():
                series["values"] = [[name] for name in names]
            result["series"] = [series]
        else:
            failed = not _create(store, statement, result, reading=reading)
    return {"results": results} if results else {}


def _parse(text: str) -> list[re.Match[str]]:
    found: list[re.Match[str]] = []
    at = len(text) - len(text.lstrip(" \t\r\n;"))
    while at < len(text):
        statement = _STATEMENT.match(text, at)
        if statement is None:
            raise errors.InvalidRequest(
                "error parsing query: this version of rusts knows CREATE DATABASE and SHOW DATABASES only; "
                "ask for data with the JSON query API (docs/http.md)"
            )
        found.append(statement)
        at = statement.end()
    return found


def _create(store: Storage, statement: re.Match[str], result: dict[str, Any], *, reading: bool) -> bool:
    """Make the database; False, and the reason in `result`, where its name is not allowed."""
    quoted = statement["quoted"]
    name = statement["bare"] if quoted is None else _ESCAPE.sub(lambda m: "\n" if m[1] == "n" else m[1], quoted)
    if reading:
        # InfluxDB prints the statement anew, in its own spelling.
        words = ["CREATE", "DATABASE", _identifier(name), *(statement["with"] or "").upper().split()]
        warning = f"deprecated use of '{' '.join(words)}' in a read only context, please use a POST request instead"
        result["messages"] = [{"level": "warning", "text": warning}]
    try:
        store.create_database(name)
    except errors.InvalidRequest as problem:
        result["error"] = str(problem)
        return False
    return True


def _identifier(name: str) -> str:
    """`name` as InfluxQL writes it: in quotes unless it is a plain word."""
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name, re.ASCII):
        return name
    escaped = name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
