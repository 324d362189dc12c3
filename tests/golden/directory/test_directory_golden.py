"""A data directory that a version wrote opens in every later one, and answers what it answered then."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from rusts.engine.maintenance import Check
from tests.golden.directory.make import KEPT, answers, make, open_directory

HERE = Path(__file__).parent
VERSIONS = sorted(path.name for path in HERE.iterdir() if path.name.startswith("version"))


@pytest.fixture(params=VERSIONS)
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """A copy of the directory, and what it must answer."""
    source = HERE / request.param
    target = tmp_path / "data"
    target.mkdir()
    for name in KEPT:
        copy = shutil.copytree if (source / name).is_dir() else shutil.copyfile
        copy(source / name, target / name)
    return target, json.loads((source / "answers.json").read_text(encoding="utf-8"))


def unwell(checks: list[Check]) -> list[Check]:
    return [check for check in checks if not check.ok]


def test_there_is_one() -> None:
    assert "version1" in VERSIONS
    size = sum(path.stat().st_size for path in (HERE / "version1").rglob("*") if path.is_file())
    assert size < 400_000


def test_it_answers_what_it_answered_then(golden: tuple[Path, dict[str, Any]]) -> None:
    directory, right = golden
    engine = open_directory(directory)
    assert answers(engine) == right
    assert unwell(engine.health()) == []
    engine.flush()
    engine.compact()
    assert answers(engine) == right
    engine.close()
    engine = open_directory(directory)
    assert answers(engine) == right
    engine.close()


def test_it_does_so_without_its_catalog(golden: tuple[Path, dict[str, Any]]) -> None:
    directory, right = golden
    (directory / "meta.sqlite").unlink()
    engine = open_directory(directory)
    assert answers(engine) == right
    assert [check.name for check in unwell(engine.health())] == ["start"]
    engine.close()


def test_this_version_answers_the_same_of_the_same_writes(tmp_path: Path) -> None:
    latest = json.loads((HERE / VERSIONS[-1] / "answers.json").read_text(encoding="utf-8"))
    assert make(tmp_path / "data") == latest
