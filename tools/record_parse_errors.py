"""Record how influxd reads InfluxQL texts: `python -m tools.record_parse_errors`.

Asks an influxd (`tools.peers`) again for every text in tests/golden/influxql/errors.json and printed.json, and writes
both anew: an error goes to the first, a statement as influxd prints it to the second. To add a text, add
``{"query": "..."}`` (and its "params", if it has bound parameters) to either and run this.

influxd runs with authentication and the user who asks may do nothing, so each statement is parsed, printed in the
refusal, and never executed. An entry whose answer rusts does not share has by hand rusts' own ("error" or "printed")
and why it "differs".
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from tools import peers

__all__ = ["main"]

_GOLDEN: Final = Path(__file__).resolve().parents[1] / "tests/golden/influxql"
_REFUSED: Final = re.compile(
    r"error authorizing query: \w+ not authorized to execute statement '(.*)', requires [\w\" ]+", re.DOTALL
)
_PREFIX: Final = "error parsing query: "


def _ask(server: peers.Server, user: str, query: str, params: Any) -> tuple[int, dict[str, Any]]:
    values = {"q": query, **({} if params is None else {"params": json.dumps(params)})}
    target = "/query?" + urlencode({"db": "db0", "u": user, "p": "secret"})
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    status, body = server.request("POST", target, urlencode(values).encode(), form)
    return status, json.loads(body)


def _read(server: peers.Server, case: dict[str, Any]) -> tuple[str, str] | None:
    """The file that the case belongs to and what influxd says; None if it does not tell."""
    _, answer = _ask(server, "nobody", case["query"], case.get("params"))
    error = answer.get("error", "")
    refused = _REFUSED.fullmatch(error)
    if refused is not None:
        return "printed", refused[1]
    return ("errors", error[len(_PREFIX) :]) if error.startswith(_PREFIX) else None


def main() -> int:
    """The command line."""
    cases = [case for name in ("errors", "printed") for case in json.loads((_GOLDEN / f"{name}.json").read_text())]
    recorded: dict[str, list[dict[str, Any]]] = {"errors": [], "printed": []}
    silent = 0
    with tempfile.TemporaryDirectory() as folder:
        server = peers.start("influxd", Path(folder), ["HTTP_AUTH_ENABLED=true"])
        try:
            _ask(server, "", "CREATE USER root WITH PASSWORD 'secret' WITH ALL PRIVILEGES", None)
            _ask(server, "root", "CREATE USER nobody WITH PASSWORD 'secret'", None)
            _ask(server, "root", "CREATE DATABASE db0", None)
            for case in cases:
                answer = _read(server, case)
                if answer is None:
                    silent += 1
                    print(f"influxd neither refuses nor prints {case['query']!r}", file=sys.stderr)
                else:
                    recorded[answer[0]].append({**case, "influxd": answer[1]})
        finally:
            server.kill()
    for name, entries in recorded.items():
        lines = ",\n ".join(json.dumps(entry, ensure_ascii=False) for entry in entries)
        (_GOLDEN / f"{name}.json").write_text(f"[\n {lines}\n]\n")
        print(f"{len(entries)} {name}")
    return 1 if silent else 0


if __name__ == "__main__":
    sys.exit(main())
