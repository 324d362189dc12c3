"""Each exchange of docs/http.md, in the order of the document, against one new server."""

from __future__ import annotations

import re
from pathlib import Path

from rusts import config
from rusts.api.app import create_app
from rusts.clock import SystemClock
from rusts.node import Node
from tests.e2e.conftest import Serve
from tests.support.asgi import Client
from tests.support.storage import FakeStorage

DOC = (Path(__file__).parents[2] / "docs" / "http.md").read_text()
EXCHANGES = re.findall(r"```exchange\n> (\S+) (\S+)\n(.*?)< (\d+)\n(.*?)```", DOC, re.DOTALL)


def test_the_exchanges_of_the_manual(serve: Serve) -> None:
    assert len(EXCHANGES) == DOC.count("```exchange") >= 8
    server = serve()
    for method, target, text, status, expected in EXCHANGES:
        body, headers = text.rstrip("\n"), {}
        if re.match(r"[A-Z][A-Za-z-]+: ", text):
            lines, _, body = body.partition("\n\n")
            headers = dict(line.split(": ", 1) for line in lines.splitlines())
        answered, answer = server.request(method, target, body.encode() or None, headers)
        assert (answered, answer.decode()) == (int(status), expected), f"{method} {target}"


def test_the_manual_lists_every_route() -> None:
    node = Node(config.load({}, {}), FakeStorage(), SystemClock())
    app = create_app(node)
    client = Client(app)
    for path in app._paths:
        assert f"`{path}`" in DOC or path == "/api/v2/query", path
    client.close()
    node.close()
