"""The `influx` 1.x shell: statements, output formats, inserts, imports; and our own `rusts query` and `rusts write`."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.compat.conftest import SERVER, Script
from tools import peers


def execute(shell: Script, statement: str, *options: str) -> str:
    return shell("-execute", statement, *options)


def test_statements_and_formats(shell: Script):
    execute(shell, "DROP DATABASE shell1; CREATE DATABASE shell1")
    assert "shell1" in execute(shell, "SHOW DATABASES").split()
    on = ("-database", "shell1")
    execute(shell, 'INSERT m,host=a\\ b v=1.5,s="x y" 1000000000', *on)
    execute(shell, "INSERT INTO autogen m,host=c v=2 2000000000", *on)
    column = execute(shell, "SELECT * FROM m", *on)
    assert [line.split() for line in column.splitlines()[:3]] == [
        ["name:", "m"],
        ["time", "host", "s", "v"],
        ["----", "----", "-", "-"],
    ]
    assert "a b  x y 1.5" in column
    answer = json.loads(execute(shell, "SELECT v FROM m", *on, "-format", "json"))
    assert answer["results"][0]["series"][0]["values"] == [[1000000000, 1.5], [2000000000, 2]]
    rows = list(csv.reader(io.StringIO(execute(shell, "SELECT v FROM m WHERE host = 'c'", *on, "-format", "csv"))))
    assert rows == [["name", "time", "v"], ["m", "2000000000", "2"]]
    assert "1970-01-01T00:00:01Z" in execute(shell, "SELECT v FROM m", *on, "-precision", "rfc3339")
    assert "tags: host=a b" in execute(shell, "SELECT v FROM m GROUP BY host", *on)
    execute(shell, "DROP DATABASE shell1")


def test_errors_are_told(shell: Script):
    with pytest.raises(AssertionError, match="error parsing query: found SELEC"):
        execute(shell, "SELEC 1")
    with pytest.raises(AssertionError, match="database not found: nowhere"):
        execute(shell, "SELECT v FROM m", "-database", "nowhere")


def test_import(shell: Script, tmp_path: Path):
    lines = "\n".join(f"m,host=h{i % 5} v={i}i {i}" for i in range(12_000))
    file = tmp_path / "import.txt"
    file.write_text(f"# DDL\nCREATE DATABASE shell2\n\n# DML\n# CONTEXT-DATABASE: shell2\n\n{lines}\n")
    said = shell("-import", "-path", str(file), "-precision", "s")
    assert "Failed 0 inserts" in said
    counted = execute(shell, "SELECT count(v), max(v) FROM m", "-database", "shell2", "-format", "csv")
    assert counted.splitlines()[1] == "m,0,12000,11999"
    execute(shell, "DROP DATABASE shell2")


@pytest.mark.skipif(SERVER == "influxd", reason="rusts' own commands")
def test_our_own_commands(server: peers.Server, tmp_path: Path):
    def rusts(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "rusts.cli.main", *arguments, "--server", f"http://127.0.0.1:{server.port}"]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, check=False)

    assert rusts("query", "CREATE DATABASE own").returncode == 0
    file = tmp_path / "points.lp"
    file.write_text("m,host=a v=1 1\nm,host=b v=2 2\n")
    assert rusts("write", str(file), "--db", "own").returncode == 0
    assert rusts("write", "-", "--db", "own", stdin="m,host=c v=3 3\n").returncode == 0
    answer = rusts("query", "SELECT v, host FROM m", "--db", "own", "--format", "json")
    assert json.loads(answer.stdout)["results"][0]["series"][0]["values"][2][1:] == [3, "c"]
    table = rusts("query", "SELECT v, host FROM m", "--db", "own").stdout
    assert "host" in table
    assert "1970-01-01" in table
    rows = rusts("query", "SELECT v FROM m", "--db", "own", "--format", "csv").stdout.splitlines()
    assert len(rows) == 4
    wrong = rusts("query", "SELEC", "--db", "own")
    assert wrong.returncode != 0
    assert "error parsing query" in wrong.stderr
