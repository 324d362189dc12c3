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
_CREATE: Final = re.compile(
    rf"\s*CREATE\s+DATABASE\s+{_NAME}(?:\s+WITH\s+REPLICATION\s+\d+)?\s*;?\s*", re.ASCII | re.IGNORECASE
)
_SHOW: Final = re.compile(r"\s*SHOW\s+DATABASES\s*;?\s*", re.ASCII | re.IGNORECASE)
_ESCAPE: Final = re.compile(r"\\(.)")


def execute(store: Storage, text: str, *, reading: bool) -> dict[str, Any]:
    """The answer to one statement, as InfluxDB 1.x words it. Blocks; `reading`: it came by GET.

    Raises InvalidRequest for any other statement.
    """
    if not text.strip(" \t\r\n;"):
        return {}
    if _SHOW.fullmatch(text):
        series: dict[str, Any] = {"name": "databases", "columns": ["name"]}
        if names := store.databases():
            series["values"] = [[name] for name in names]
        return {"results": [{"statement_id": 0, "series": [series]}]}
    match = _CREATE.fullmatch(text)
    if match is None:
        raise errors.InvalidRequest(
            "error parsing query: this version of rusts knows CREATE DATABASE and SHOW DATABASES only; "
            "ask for data with the JSON query API (docs/http.md)"
        )
    quoted = match["quoted"]
    name = match["bare"] if quoted is None else _ESCAPE.sub(lambda m: "\n" if m[1] == "n" else m[1], quoted)
    result: dict[str, Any] = {"statement_id": 0}
    if name in ("", ".", "..") or "/" in name or "\\" in name or not name.isprintable():
        result["error"] = "invalid name"
    else:
        store.create_database(name)
    if reading:
        warning = (
            f"deprecated use of 'CREATE DATABASE {name}' in a read only context, please use a POST request instead"
        )
        result["messages"] = [{"level": "warning", "text": warning}]
    return {"results": [result]}
