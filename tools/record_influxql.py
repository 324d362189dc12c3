"""Record what influxd answers to the corpus of InfluxQL statements: `python -m tools.record_influxql [FILE …]`.

Starts an influxd (`tools.peers`), writes the data sets, asks every statement of tests/differential/corpus, once with
the data in its cache and once after a restart, and stores the answers in tests/golden/influxql, one file for each of
the corpus. A statement whose answer is not the same both times is named and makes the command fail: it proves nothing.
"""

from __future__ import annotations

import argparse
import http.client
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from tests.differential.differences import explained
from tests.support import influxql_corpus as corpus
from tests.support.influxql_compare import difference
from tests.support.influxql_data import SETUP, writes
from tests.support.influxql_generator import generate
from tools import peers

_SEED: Final = 20_200
_GENERATED: Final = 400

__all__ = ["Peer", "load", "main", "run_scenario"]


class Peer:
    """Requests to a server on one connection that is kept open."""

    def __init__(self, server: peers.Server) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)

    def __call__(
        self, method: str, target: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, Mapping[str, str], bytes]:
        try:
            return self._once(method, target, body, headers)
        except (http.client.HTTPException, ConnectionError):
            # A server may end an idle connection.
            self._connection.close()
            return self._once(method, target, body, headers)

    def _once(
        self, method: str, target: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, Mapping[str, str], bytes]:
        self._connection.request(method, target, body, dict(headers))
        answer = self._connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def generated(seed: int, count: int) -> list[corpus.Case]:
    """`count` random statements as cases."""
    options = {"db": "main", "epoch": "ns"}
    texts = enumerate(generate(seed, count), 1)
    return [corpus.Case(f"generated:{i}", "generated", text, options) for i, text in texts]


def write(requester: corpus.Requester, database: str, policy: str | None, body: str) -> corpus.Answer:
    """One write request; its status and, where it is refused, the error."""
    parameters = {"db": database, **({"rp": policy} if policy else {})}
    status, _, answer = requester("POST", f"/write?{urlencode(parameters)}", body.encode(), {})
    return {"status": status, **({"json": corpus.parse_json(answer)} if answer else {})}


def load(requester: corpus.Requester) -> None:
    """Make the databases and write the data sets. Raises RuntimeError if anything is refused."""
    for statement in SETUP:
        answer = corpus.ask(requester, corpus.Case("setup", "", statement))
        if "error" in str(answer):
            raise RuntimeError(f"{statement}: {answer}")
    for one in writes():
        answer = write(requester, one.database, one.policy, one.body)
        if answer["status"] != 204:
            raise RuntimeError(f"{one.database}: {answer}")


def run_scenario(requester: corpus.Requester, scenario: corpus.Scenario) -> list[corpus.Answer]:
    """The answer of each step but flushes, which only rusts is told of."""
    answers = []
    for step in scenario.steps:
        if step.case is not None:
            answers.append(corpus.ask(requester, step.case))
        elif step.write is not None:
            answers.append(write(requester, *step.write))
    return answers


def _clean(requester: corpus.Requester) -> None:
    """Remove what a scenario made."""
    for statement, drop in (("SHOW DATABASES", 'DROP DATABASE "{}"'), ("SHOW USERS", 'DROP USER "{}"')):
        answer = corpus.ask(requester, corpus.Case("clean", "", statement))
        for row in answer["json"]["results"][0]["series"][0].get("values", []):
            corpus.ask(requester, corpus.Case("clean", "", drop.format(row[0].replace('"', '\\"'))))


def _entry(case: corpus.Case, answer: corpus.Answer) -> dict[str, Any]:
    return {"q": case.statement, "options": dict(case.options), "answer": answer}


def _record_statements(server: peers.Server, files: Mapping[str, list[corpus.Case]]) -> list[str]:
    peer = Peer(server)
    load(peer)
    first = {name: [corpus.ask(peer, case) for case in cases] for name, cases in files.items()}
    peer.close()
    server.stop()
    again = peers.start("influxd", server.directory)
    try:
        peer = Peer(again)
        unstable = []
        for name, cases in files.items():
            second = [corpus.ask(peer, case) for case in cases]
            pairs = zip(cases, first[name], second, strict=True)
            unstable += [
                f"{c.place}: {c.statement}" for c, a, b in pairs if difference(c, a, b) and explained(c, a, b) is None
            ]
            corpus.keep(name, map(_entry, cases, first[name]))
        return unstable
    finally:
        again.kill()


def _record_scenarios(server: peers.Server, files: Mapping[str, list[corpus.Scenario]]) -> None:
    peer = Peer(server)
    for name, found in files.items():
        entries = []
        for scenario in found:
            _clean(peer)
            entries.append({"name": scenario.name, "answers": run_scenario(peer, scenario)})
        corpus.keep(name, entries)


def main(arguments: list[str] | None = None) -> int:
    """The command; 1 if an answer is not the same twice."""
    parser = argparse.ArgumentParser(description="record influxd's answers to the corpus")
    parser.add_argument("files", nargs="*", metavar="FILE", help="names of corpus files, without .txt; all if none")
    chosen = parser.parse_args(arguments).files
    everything = corpus.cases() | {"generated": generated(_SEED, _GENERATED)}
    files = {name: found for name, found in everything.items() if not chosen or name in chosen}
    sequences = {name: found for name, found in corpus.scenarios().items() if not chosen or name in chosen}
    with tempfile.TemporaryDirectory(prefix="influxd-") as folder:
        server = peers.start("influxd", Path(folder) / "statements")
        try:
            unstable = _record_statements(server, files)
        finally:
            server.kill()
        server = peers.start("influxd", Path(folder) / "scenarios")
        try:
            _record_scenarios(server, sequences)
        finally:
            server.kill()
    for line in unstable:
        print(f"not the same twice: {line}", file=sys.stderr)
    print(f"{sum(map(len, files.values()))} statements, {sum(map(len, sequences.values()))} scenarios")
    return 1 if unstable else 0


if __name__ == "__main__":
    sys.exit(main())
