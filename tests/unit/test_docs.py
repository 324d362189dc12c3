"""What the manuals promise to list, they list: every route, metric and module; and their links lead somewhere.

Every setting is looked for in test_config.py, the examples of docs/http.md are run elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from rusts import config
from rusts.api.app import create_app
from rusts.api.ingest import Ingest
from rusts.api.routes import routes
from rusts.clock import SystemClock
from rusts.node import Node
from tests.support.asgi import Client
from tests.support.storage import FakeStorage

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@pytest.fixture
def node() -> Iterator[Node]:
    node = Node(config.load({}, {}), FakeStorage(), SystemClock())
    yield node
    node.close()


def test_http_md_has_every_route_and_no_other(node: Node):
    ingest = Ingest(node.store, node.clock, node.ingest, budget=1, max_inflated=1)
    served = {(method, route.path) for route in routes(node, ingest, None) for method in route.methods}
    table = (DOCS / "http.md").read_text().partition("\n\n| method and path |")[2].partition("\n\n")[0]
    described = {
        (method, path)
        for cell in (line.split(" | ")[0] for line in table.splitlines()[2:])
        for method in re.findall(r"[A-Z]{3,}", cell)
        for path in re.findall(r"`(/[^`]*)`", cell)
    }
    assert described == served


def test_operations_md_has_every_metric_and_no_other(node: Node):
    client = Client(create_app(node))
    try:
        text = client.request("GET", "/metrics").body.decode()
    finally:
        client.close()
    served = {name for name in re.findall(r"^# TYPE (\S+)", text, re.MULTILINE) if name.startswith("rusts_")}
    table = (DOCS / "operations.md").read_text().partition("\n\n| metric |")[2].partition("\n\n")[0]
    assert set(re.findall(r"`(rusts_[a-z_]+)`", table)) == served


def test_design_md_has_every_module_in_its_room():
    drawing = (DOCS / "design.md").read_text().partition("\nrusts/\n")[2].partition("\n```")[0]
    for module in sorted((ROOT / "rusts").rglob("*.py")):
        room, name = module.relative_to(ROOT / "rusts").parts[:-1], module.stem
        if name != "__init__":
            assert re.search(rf"\b{name}\b", drawing), f"{name} is not in the drawing"
            assert not room or f" {room[0]}/" in drawing, f"{room[0]}/ is not in the drawing"


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_links_between_the_manuals_lead_somewhere(page: Path):
    for target in re.findall(r"\]\((?!https?://)([^)#\s]*)", page.read_text()):
        assert not target or (page.parent / target).exists(), target
