"""The kernels as a set: the lists agree, both builds can be had, and a stale one is noticed."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from rusts import kernels

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(kernels.__file__).parent


def test_list_files_and_pyproject_agree() -> None:
    files = {path.stem for path in FOLDER.glob("*.py")} - {"__init__", "standin"}
    assert files == set(kernels.NAMES)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extensions = {e["name"]: e["sources"] for e in project["tool"]["setuptools"]["ext-modules"]}
    assert extensions == {f"rusts.kernels.{name}": [f"rusts/kernels/{name}.py"] for name in kernels.NAMES}


@pytest.mark.parametrize("name", kernels.NAMES)
def test_every_kernel_has_one_digest_line(name: str) -> None:
    source = (FOLDER / f"{name}.py").read_text()
    assert len(re.findall(r'^SOURCE_DIGEST = "[0-9a-f]{16}"$', source, re.MULTILINE)) == 1


@pytest.mark.parametrize("name", kernels.NAMES)
def test_pure_is_the_source_beside_the_other_build(name: str) -> None:
    pure = kernels.pure(name)
    assert pure.__file__ == str(FOLDER / f"{name}.py")
    other = importlib.import_module(f"rusts.kernels.{name}")
    assert pure is not other
    assert set(pure.__all__) == set(other.__all__)


def test_pure_kernels_run_without_cython() -> None:
    code = """
import sys
sys.modules["cython"] = None
from rusts import kernels
for name in kernels.NAMES:
    assert kernels.pure(name).cython is kernels.standin, name
parsed = kernels.pure("lineproto").parse(b"m,b=1,a=2 v=1.5,w=2i,x=t,y=\\"z\\" 7\\nbad")
assert parsed[3] == 1 and parsed[2] == [1], parsed
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert run.returncode == 0, run.stderr


def test_digest_ignores_its_own_line_and_line_ends() -> None:
    digest = kernels.source_digest(b'a = 1\nSOURCE_DIGEST = "0000000000000000"\nb = 2\n')
    assert digest == kernels.source_digest(b'a = 1\r\nSOURCE_DIGEST = "0123456789abcdef"\r\nb = 2\r\n')
    assert digest != kernels.source_digest(b'a = 1\nSOURCE_DIGEST = "0000000000000000"\nb = 3\n')
    assert re.fullmatch("[0-9a-f]{16}", digest)


def test_a_changed_source_makes_a_compiled_kernel_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "lineproto"
    if not kernels.compiled(name):
        pytest.skip("this tree has no compiled kernels")
    source = (FOLDER / f"{name}.py").read_bytes()
    beside = tmp_path / f"{name}.py"
    monkeypatch.setattr(kernels, "NAMES", (name,))
    monkeypatch.setattr(kernels, "_source", lambda _: beside)
    module = importlib.import_module(f"rusts.kernels.{name}")
    monkeypatch.setattr(module, "SOURCE_DIGEST", kernels.source_digest(source))

    assert kernels.stale() == []  # no source at all: nothing to compare with
    beside.write_bytes(source)
    assert kernels.stale() == []
    assert kernels.summary() == "compiled"
    beside.write_bytes(source.replace(b"\n", b"\r\n"))
    assert kernels.stale() == []
    beside.write_bytes(source + b"# later\n")
    assert kernels.stale() == [name]
    assert kernels.summary() == "compiled; stale: lineproto"


def test_summary_names_what_is_pure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "stale", list)
    monkeypatch.setattr(kernels, "compiled", lambda name=None: name != "merge")
    assert kernels.summary() == "compiled; pure: merge"
    monkeypatch.setattr(kernels, "compiled", lambda name=None: False)
    assert kernels.summary() == "pure"
