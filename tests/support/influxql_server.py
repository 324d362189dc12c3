"""rusts in process with the corpus' data sets, the data lying where a test wants it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Self
from urllib.parse import urlencode

from rusts import config
from rusts.api.app import create_app
from rusts.node import Node
from tests.support.asgi import Client
from tests.support.influxql_corpus import Answer, Case, ask, parse_json
from tests.support.influxql_data import SETUP, writes
from tests.support.logs import configured_logs

__all__ = ["Layout", "RustsServer"]


class Layout(StrEnum):
    """Where the points are when the statements run."""

    MEMTABLE = "memtable"
    SEGMENTS = "segments"
    BOTH = "both"
    """The earlier half of the writes in segments, the later in the memtable."""
    COMPACTED = "compacted"
    """A segment for every write, then merged."""
    RESTARTED = "restarted"
    """As BOTH, then opened anew: the memtable comes from the log."""


class RustsServer:
    """A node below `directory`, and its application, called without sockets."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        # The audit log would tell of every statement that changes something.
        self._logs = configured_logs("error")
        self._logs.__enter__()
        self.last = b""
        """The body of the last answer, as it was sent."""
        self._open()
        # influxd starts without a database.
        self.ask(Case("setup", "", 'DROP DATABASE "default"'))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: object) -> None:
        self._client.close()
        self._node.close()
        self._logs.__exit__(None, None, None)

    def _open(self) -> None:
        settings = {"data-dir": str(self._directory), "flush-interval": "1h"}
        self._node = Node.open(config.load(settings, {}))
        # No workers: nothing is flushed or merged but where a test says so.
        self._node.store.recover_step()
        self._client = Client(create_app(self._node))

    def __call__(
        self, method: str, target: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, Mapping[str, str], bytes]:
        """One request; the form of `influxql_corpus.Requester`."""
        answer = self._client.request(method, target, body, headers)
        self.last = answer.body
        return answer.status, answer.headers, answer.body

    def ask(self, case: Case) -> Answer:
        """The answer to one statement of the corpus."""
        return ask(self, case)

    def write(self, database: str, policy: str | None, body: str) -> Answer:
        """One write request; its status and, where it is refused, the error."""
        parameters = {"db": database, **({"rp": policy} if policy else {})}
        status, _, answer = self("POST", f"/write?{urlencode(parameters)}", body.encode(), {})
        return {"status": status, **({"json": parse_json(answer)} if answer else {})}

    def flush(self) -> None:
        """Put what is in memory into segments."""
        self._node.store.flush()

    def compact(self) -> None:
        """Merge segments."""
        self._node.store.compact()

    def restart(self) -> None:
        """Open the directory anew, as after a kill: nothing is flushed."""
        self._client.close()
        self._node.store.close(flush=False)
        self._node.close()
        self._open()

    def load(self, layout: Layout) -> None:
        """Make the databases and write the data sets. Raises AssertionError if anything is refused."""
        for statement in SETUP:
            answer = self.ask(Case("setup", "", statement))
            assert answer["status"] == 200, answer
            assert "error" not in str(answer), answer
        requests = writes()
        for i, one in enumerate(requests, 1):
            answer = self.write(one.database, one.policy, one.body)
            assert answer["status"] == 204, (one.database, answer)
            halfway = layout in (Layout.BOTH, Layout.RESTARTED) and i == 1 + len(requests) // 2
            if layout is Layout.COMPACTED or halfway:
                self.flush()
        if layout is Layout.SEGMENTS:
            self.flush()
        elif layout is Layout.COMPACTED:
            self.compact()
        elif layout is Layout.RESTARTED:
            self.restart()
