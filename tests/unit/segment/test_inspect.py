from __future__ import annotations

import io
import json
from pathlib import Path

import pyarrow as pa
import pytest

from rusts.model.series import KeyTable, encode_key
from rusts.model.types import FieldType
from rusts.segment.encoding import COLD, HOT
from rusts.segment.inspect import arrow_schema, summary, write_arrow
from rusts.segment.layout import SectionInput
from tests.support.segments import FIELDS, open_segment, rows_of, section_of, write

TYPES = {id: type for id, _, type in FIELDS}


@pytest.mark.parametrize("policy", [HOT, COLD])
def test_a_summary_names_everything(tmp_path: Path, policy: object) -> None:
    path = str(tmp_path / "1.seg")
    points = {(s, t * 1_000_000_000): {11: t, 15: "x"} | ({12: 0.5} if t else {}) for s in range(2) for t in range(700)}
    write(path, [section_of([rows_of(points, TYPES)])], policy)
    found = summary(open_segment(path))
    json.dumps(found)
    assert found["database"] == "telegraf"
    assert found["tier"] == "hot"
    assert found["max_time"] == "1970-01-01T00:11:39Z"
    assert found["partition"] == {"start": "1970-01-01T00:00:00Z", "width_seconds": 7200.0}
    assert (found["rows"], found["series"], found["bytes"]) == (1400, 2, Path(path).stat().st_size)
    (measurement,) = found["measurements"]
    columns = {c["name"]: c for c in measurement["columns"]}
    assert list(columns) == ["time", "usage", "load", "count", "up", "state"]
    assert (columns["load"]["values"], columns["load"]["nulls"], columns["load"]["type"]) == (1398, 2, "float")
    assert columns["usage"]["encodings"] == (["arrow"] if policy is HOT else ["pcodec"])
    assert columns["count"]["bytes_per_value"] is None
    assert columns["time"]["bytes"] > 0
    assert measurement["directory_bytes"] > 0


def test_a_summary_of_nothing(tmp_path: Path) -> None:
    path = str(tmp_path / "1.seg")
    write(path, [])
    assert summary(open_segment(path))["min_time"] is None


@pytest.mark.parametrize("to_path", [True, False])
def test_a_section_as_an_arrow_file(tmp_path: Path, to_path: bool) -> None:
    path = str(tmp_path / "1.seg")
    tags = [{"host": "a"}, {"host": "b", "load": "x"}, {}]
    points = {(0, 5): {11: 1, 15: "p"}, (1, 5): {12: 0.5}, (1, 6): {15: "q"}, (2, 9): {14: True, 12: 1.5}}
    types = {**TYPES}
    section = SectionInput(
        7,
        "cpu",
        [*FIELDS, (16, "time", FieldType.INTEGER)],
        [rows_of(points, types)],
        lambda numbers: KeyTable.of([encode_key("cpu", tags[int(n)]) for n in numbers]),
    )
    write(path, [section])
    target = tmp_path / "x.arrow"
    sink = str(target) if to_path else io.BytesIO()
    found = open_segment(path).sections[7]
    assert write_arrow(found, sink) == 4
    data = target.read_bytes() if to_path else sink.getvalue()
    table = pa.ipc.open_file(pa.BufferReader(data)).read_all()
    assert table.schema == arrow_schema(found)[0]
    rows = table.set_column(0, "time", table["time"].cast(pa.int64())).to_pylist()
    nothing = dict.fromkeys(["host", "load", "usage", "load (field)", "count", "up", "state", "time (field)"])
    assert rows == [
        nothing | {"time": 5, "host": "a", "usage": 1, "state": "p"},
        nothing | {"time": 5, "host": "b", "load": "x", "load (field)": 0.5},
        nothing | {"time": 6, "host": "b", "load": "x", "state": "q"},
        nothing | {"time": 9, "up": True, "load (field)": 1.5},
    ]


def test_several_batches_share_their_dictionaries(tmp_path: Path) -> None:
    path = str(tmp_path / "1.seg")
    points = {(s, t): {11: t} for s in range(2) for t in range(40_000)}
    write(path, [section_of([rows_of(points, TYPES)])])
    section = open_segment(path).sections[7]
    assert section.batches == 2
    sink = io.BytesIO()
    assert write_arrow(section, sink) == 80_000
    table = pa.ipc.open_file(pa.BufferReader(sink.getvalue())).read_all()
    assert table["usage"].to_pylist() == 2 * list(range(40_000))
    assert table["host"].to_pylist() == ["host_0"] * 40_000 + ["host_1"] * 40_000
