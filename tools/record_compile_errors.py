"""Record what influxd says of wrong SELECTs: `python -m tools.record_compile_errors`.

Starts an influxd (`tools.peers`), writes the points of tests/golden/influxql/compile_errors.json, asks each of its
statements, and stores the errors there. To add statements, add them with any error. A statement that gives none, or
one of the parser, is named and makes the command fail.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from tools import peers

__all__ = ["GOLDEN", "main"]

GOLDEN: Final = Path(__file__).resolve().parents[1] / "tests/golden/influxql/compile_errors.json"


def _ask(server: peers.Server, statement: str) -> str | None:
    """The error that the statement gives, None if it gives none."""
    _, body = server.request("POST", "/query?" + urlencode({"db": "d", "q": statement}))
    answer: dict[str, Any] = json.loads(body)
    error = answer.get("error") or answer["results"][0].get("error")
    return None if error is None else str(error)


def main() -> int:
    """Re-record the file; the exit code."""
    golden = json.loads(GOLDEN.read_text())
    wrong = 0
    with peers.running("influxd") as server:
        server.create_database("d")
        server.request("POST", "/write?db=d", "\n".join(golden["points"]).encode())
        errors = {}
        for statement in golden["errors"]:
            error = _ask(server, statement)
            if error is None or error.startswith("error parsing query"):
                print(f"no compile error: {statement}: {error}")
                wrong += 1
            else:
                errors[statement] = error
    GOLDEN.write_text(json.dumps({"points": golden["points"], "errors": errors}, indent=1, ensure_ascii=False) + "\n")
    print(f"{len(errors)} statements")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
