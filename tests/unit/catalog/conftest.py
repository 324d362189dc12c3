"""A data directory and a catalog in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rusts.catalog.catalog import Catalog
from rusts.files import OsFiles


@pytest.fixture
def directory(tmp_path: Path) -> str:
    for name in ("segments", "wal"):
        (tmp_path / name).mkdir()
    return str(tmp_path)


@pytest.fixture
def open_catalog(directory: str) -> Iterator[Callable[[], Catalog]]:
    """Opens the directory's catalog, as often as a test likes; what was open before is dropped as by a kill."""
    opened: list[Catalog] = []

    def open_it() -> Catalog:
        while opened:
            opened.pop().close()
        opened.append(Catalog.open(OsFiles(), directory))
        return opened[-1]

    yield open_it
    for catalog in opened:
        catalog.close()


@pytest.fixture
def catalog(open_catalog: Callable[[], Catalog]) -> Catalog:
    return open_catalog()
