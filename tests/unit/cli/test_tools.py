"""`rusts inspect`, `rusts check` and `rusts config` on a small data directory."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from rusts import config
from rusts.cli import main
from rusts.clock import SystemClock
from rusts.engine.engine import Engine, EngineSettings
from rusts.files import OsFiles
from tests.support.model_store import batch_of


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(main.app, list(arguments))
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Three points in a segment, one more in the log."""
    path = tmp_path / "data"
    engine = Engine.open(OsFiles(), str(path), EngineSettings(), SystemClock())
    engine.recover_step()
    engine.create_database("db0")
    points = [({"host": f"h{i}"}, i, {"v": float(i), "s": "x"}) for i in range(3)]
    engine.write("db0", None, [batch_of("cpu", points)])
    engine.flush()
    engine.write("db0", None, [batch_of("mem", [({}, 9, {"free": 5})])])
    engine.log_step(0)
    engine.close(flush=False)
    return path


def only(path: Path, pattern: str) -> Path:
    (found,) = path.glob(pattern)
    return found


def test_inspect_meta(directory: Path):
    described = json.loads(run("inspect", "meta", str(directory)))
    assert [d["name"] for d in described["databases"]] == ["default", "db0"]
    assert [s["rows"] for s in described["segments"]] == [3]
    copy = json.loads(run("inspect", "meta", "--copy", str(directory)))
    assert [d["name"] for d in copy["databases"]] == ["default", "db0"]


def test_inspect_wal(directory: Path):
    lines = [json.loads(line) for line in run("inspect", "wal", str(directory / "wal")).splitlines()]
    assert sum(line["rows"] for line in lines) == 1
    (record,) = lines
    assert list(record["measurements"].values()) == ["mem"]
    assert [(f["name"], f["type"]) for f in record["fields"]] == [("free", "integer")]
    assert record["new_series"] == 1
    assert json.loads(run("inspect", "wal", str(only(directory / "wal", "*.wal")))) == record


def test_inspect_wal_shows_damage(directory: Path):
    path = only(directory / "wal", "*.wal")
    path.write_bytes(path.read_bytes()[:-1])
    (line,) = [json.loads(line) for line in run("inspect", "wal", str(path)).splitlines()]
    assert line["torn_tail"] is True
    assert "ok: log, 0 records" in run("check", str(directory))


def test_inspect_segment(directory: Path, tmp_path: Path):
    path = only(directory / "segments", "*.seg")
    described = json.loads(run("inspect", "segment", str(path)))
    assert (described["rows"], described["database"]) == (3, "db0")
    out = tmp_path / "rows.arrow"
    assert run("inspect", "segment", str(path), "--arrow", str(out)) == f"3 rows of cpu written to {out}\n"
    table = pa.ipc.open_file(str(out)).read_all()
    assert sorted(table["v"].to_pylist()) == [0.0, 1.0, 2.0]
    assert "no measurement nope" in run(
        "inspect", "segment", str(path), "--arrow", str(out), "--measurement", "nope", code=2
    )


def test_check_of_a_good_directory(directory: Path):
    text = run("check", str(directory))
    assert "damaged" not in text
    assert "ok: 1 of 1 segments, 3 rows" in text
    assert "ok: log, 1 records, 1 rows" in text


@pytest.mark.parametrize("what", ["segments/*.seg", "meta.sqlite", "meta.copy.sqlite"])
def test_check_finds_a_flipped_byte(directory: Path, what: str):
    path = only(directory, what)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    text = run("check", str(directory), code=1)
    assert "damaged: " in text
    assert path.name in text


def test_check_finds_missing_files(directory: Path):
    only(directory, "segments/*.seg").unlink()
    (directory / "meta.copy.sqlite").unlink()
    text = run("check", str(directory), code=1)
    assert "is listed in meta.sqlite, but missing" in text
    assert "damaged: meta.copy.sqlite is missing" in text


def test_a_running_server_is_named(directory: Path, capsys: pytest.CaptureFixture[str], monkeypatch):
    lock = OsFiles().lock(str(directory))
    monkeypatch.setattr("sys.argv", ["rusts", "check", str(directory)])
    with pytest.raises(SystemExit) as ended:
        main.main()
    lock.release()
    assert ended.value.code == 2
    assert "is in use by process" in capsys.readouterr().err


def test_config_prints_the_example():
    assert run("config") == config.example_file()


def test_version():
    assert run("--version").startswith("rusts ")
