"""Where the servers under test keep their data."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

MEMORY = Path("/dev/shm")
NEEDED = 1 << 30


@pytest.fixture(scope="module")
def new_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Path]]:
    """Makes empty directories: in memory where there is enough, as syncs of a disk are most of what scenarios cost."""
    with contextlib.ExitStack() as stack:
        root = tmp_path_factory.mktemp("differential")
        if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > NEEDED:
            root = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=MEMORY, prefix="rusts-")))
        yield lambda: Path(tempfile.mkdtemp(dir=root))
