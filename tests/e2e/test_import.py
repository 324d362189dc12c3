"""Each Parquet file of tests/data imports by one command and comes back equal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

DATA = Path(__file__).resolve().parents[1] / "data" / "parquet"


def expected_rows(table: pa.Table, time: str, tags: list[str]) -> list[dict[str, Any]]:
    """The points of a table, by the rule that the later row of one series and time wins per cell."""
    times = table[time].cast(pa.timestamp("ns")).cast(pa.int64()).to_pylist()
    rest = [name for name in table.column_names if name != time]
    points: dict[tuple[Any, ...], dict[str, Any]] = {}
    for at, row in zip(times, table.select(rest).to_pylist(), strict=True):
        point = points.setdefault((at, *(row[tag] for tag in tags)), dict.fromkeys(rest) | {"time": at})
        point.update((name, value) for name, value in row.items() if value is not None)
    return sorted(points.values(), key=lambda point: (point["time"], *(point[tag] for tag in tags)))


@pytest.mark.parametrize(
    ("name", "time", "tags"),
    [
        ("temperature", None, ["location", "state"]),
        ("with-microseconds", "time", ["location", "state"]),
        ("sql_query_log", "time", ["bucketID", "command", "env", "grpcCode", "method", "orgID", "role"]),
    ],
)
def test_a_file_comes_back_equal(serve, rows_of, name: str, time: str | None, tags: list[str]) -> None:
    server = serve("--flush-points", "100")
    path = DATA / f"{name}.parquet"
    command = [sys.executable, "-m", "rusts.cli.importer", "parquet", str(path), "-m", name]
    command += ["-s", f"http://127.0.0.1:{server.port}", "--tags", ",".join(tags), "-b", "70"]
    command += ["-t", time] if time else []
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "200"})
    assert done.returncode == 0, done.stderr
    table = pq.read_table(path)
    assert f"{table.num_rows} of {table.num_rows} rows are in" in done.stderr
    expected = expected_rows(table, time or "timestamp", tags)
    for flushed in (False, True):
        if flushed:
            assert server.request("POST", "/admin/flush")[0] in (200, 204)
        rows = rows_of(server.json_query({"measurement": name}))
        rows.sort(key=lambda row: (row["time"], *(row[tag] for tag in tags)))
        assert rows == expected


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "rusts.cli.importer", "parquet", str(tmp_path / "none.parquet")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "none.parquet" in done.stderr
    assert "Traceback" not in done.stderr
