from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from rusts import config
from rusts.api.app import create_app
from rusts.clock import SystemClock
from rusts.node import Node
from tests.support.asgi import Client
from tests.support.storage import FakeStorage


@pytest.fixture
def storage() -> FakeStorage:
    return FakeStorage()


@pytest.fixture
def open_client(storage: FakeStorage) -> Iterator[Callable[..., Client]]:
    """A function that serves the storage with settings, given as texts by name, and returns its client."""
    opened: list[tuple[Client, Node]] = []

    def open_with(**settings: str) -> Client:
        flags = {name.replace("_", "-"): text for name, text in settings.items()}
        node = Node(config.load(flags, {}), storage, SystemClock())
        client = Client(create_app(node))
        opened.append((client, node))
        return client

    yield open_with
    for client, node in opened:
        client.close()
        node.close()


@pytest.fixture
def client(open_client: Callable[..., Client]) -> Client:
    return open_client()
