"""The encoders: whatever pieces an answer comes in, the bytes are those of the whole."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from rusts import errors
from rusts.api import cells, encode
from rusts.model.batch import Column
from rusts.model.series import TagColumn
from rusts.model.store import ScanStats
from rusts.model.types import FieldType
from rusts.query import Result, Table, Tracker
from tests.support.model_store import column_of

TYPES = (FieldType.FLOAT, FieldType.STRING, FieldType.BOOLEAN, FieldType.INTEGER, FieldType.UNSIGNED)
COLUMNS = ("f", 's"<', "b", "i", "time")
Cells = list[list[Any]]


def row(time: int) -> list[Any]:
    """A row of every type, with gaps."""
    values = [time / 4, f'x"{time}\n', time % 2 == 0, -time, (1 << 64) - 1 - time]
    return [time, *(None if (time + i) % 5 == 0 else value for i, value in enumerate(values))]


SERIES: list[tuple[str, Cells]] = [
    ("a", [row(t) for t in range(7)]),
    ("", [row(50)]),
    ('é"', [row(t) for t in range(3)]),
]


def table(series: list[tuple[str, Cells]], continued: bool = False, tagged: bool = True) -> Table:
    rows = [r for _, part in series for r in part]
    starts = np.cumsum([0, *(len(part) for _, part in series)])
    # Values that no group uses, and codes that do not begin at 0.
    values = ["unused", *dict.fromkeys(tag for tag, _ in series)]
    codes = np.array([values.index(tag) for tag, _ in series], dtype=np.uint32)
    columns: list[Column] = [column_of(type, [r[i + 1] for r in rows]) for i, type in enumerate(TYPES)]
    times = np.array([r[0] for r in rows], dtype=np.int64)
    return Table("m<", [TagColumn(codes, values)] if tagged else [], starts, times, columns, continued)


def result(tables: Iterator[Table] | list[Table], tagged: bool = True, warnings: tuple[str, ...] = ()) -> Result:
    stats = ScanStats(warnings=list(warnings))
    return Result("m<", ("host",) if tagged else (), COLUMNS, TYPES, stats, Tracker(), iter(tables))


def pieces() -> list[list[Table]]:
    """The same answer in one table, in one a series, and with series cut over tables."""
    cut = [
        table([("a", SERIES[0][1][:3])]),
        table([("a", SERIES[0][1][3:4])], continued=True),
        table([("a", SERIES[0][1][4:]), SERIES[1]], continued=True),
        table([SERIES[2]]),
    ]
    return [[table(SERIES)], [table([each]) for each in SERIES], cut]


@pytest.fixture(params=[100_000, 13, 1], ids=["large", "small", "single"])
def step(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many cells are written at a time."""
    monkeypatch.setattr(cells, "_CELLS", request.param)


def text_of(pieces: Iterator[bytes]) -> str:
    return re.sub(r'("seconds": ?)[\d.e-]+', r"\g<1>0", b"".join(pieces).decode())


@pytest.mark.usefixtures("step")
@pytest.mark.parametrize("tables", pieces(), ids=["whole", "series", "cut"])
def test_json_series(tables: list[Table]) -> None:
    text = text_of(encode.encode_json(result(tables)))
    answer = json.loads(text)
    assert [(s["tags"]["host"], s["values"]) for s in answer["series"]] == SERIES
    assert answer["series"][1]["columns"] == ["time", *COLUMNS]
    assert answer["stats"]["rows"] == 11
    assert answer["stats"]["series"] == 3
    assert text == text_of(encode.encode_json(result(pieces()[0])))
    begin = (
        '{"series":[{"measurement":"m\\u003c","tags":{"host":"a"},"columns":["time","f","s\\"\\u003c","b","i","time"],'
    )
    assert text.startswith(begin + '"values":[[0,null,"x\\"0\\n",true,0,18446744073709551615],[1,0.25,')
    assert text.endswith('"seconds":0}}\n')


@pytest.mark.usefixtures("step")
@pytest.mark.parametrize("tables", pieces(), ids=["whole", "series", "cut"])
def test_pretty_is_the_same_indented_by_four(tables: list[Table]) -> None:
    for rows in (False, True):
        compact = json.loads(text_of(encode.encode_json(result(pieces()[0]), rows=rows)))
        pretty = text_of(encode.encode_json(result(tables), rows=rows, pretty=True))
        assert json.loads(pretty) == compact
        if not rows:
            plain = json.dumps(compact, indent=4, ensure_ascii=False) + "\n"
            assert pretty.replace("\\u003c", "<") == plain


@pytest.mark.usefixtures("step")
@pytest.mark.parametrize("tables", pieces(), ids=["whole", "series", "cut"])
def test_json_rows(tables: list[Table]) -> None:
    text = text_of(encode.encode_json(result(tables), rows=True))
    flat = [dict(zip(["time", "host", *COLUMNS[:-1], "time_1"], [r[0], host, *r[1:]], strict=True))
            for host, rows in SERIES for r in rows]  # fmt: skip
    assert json.loads(text)["rows"] == flat


@pytest.mark.usefixtures("step")
@pytest.mark.parametrize("tables", pieces(), ids=["whole", "series", "cut"])
def test_csv(tables: list[Table]) -> None:
    text = b"".join(encode.encode_csv(result(tables))).decode()
    head, *lines = csv.reader(io.StringIO(text, newline=""))
    assert head == ["time", "host", *COLUMNS[:-1], "time_1"]

    def cell(value: Any) -> str:
        if value is None:
            return ""
        return (
            str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
        )

    assert lines == [[str(r[0]), host, *map(cell, r[1:])] for host, rows in SERIES for r in rows]


@pytest.mark.parametrize("tables", pieces(), ids=["whole", "series", "cut"])
def test_arrow(tables: list[Table]) -> None:
    with pa.ipc.open_stream(b"".join(encode.encode_arrow(result(tables)))) as reader:
        read = reader.read_all()
    read.validate(full=True)
    assert read.schema.metadata == {b"measurement": b"m<"}
    assert read.schema.names == ["time", "host", *COLUMNS[:-1], "time_1"]
    assert read.schema.types[:3] == [pa.timestamp("ns", "UTC"), pa.large_string(), pa.float64()]
    columns = [read.column(0).cast(pa.int64()), *read.columns[1:]]
    rows = [list(r) for r in zip(*(column.to_pylist() for column in columns), strict=True)]
    assert rows == [[r[0], host, *r[1:]] for host, part in SERIES for r in part]


def test_without_groups_and_without_rows() -> None:
    text = text_of(encode.encode_json(result([table(SERIES, tagged=False)], tagged=False)))
    assert json.loads(text)["series"][0]["tags"] == {}
    assert text_of(encode.encode_json(result([]))).startswith('{"series":[],"stats":{"rows":0,')
    assert text_of(encode.encode_json(result([]), rows=True)).startswith('{"rows":[],"stats":{')
    assert json.loads(text_of(encode.encode_json(result([]), pretty=True)))["series"] == []
    assert b"".join(encode.encode_csv(result([]))) == b'time,host,f,"s""<",b,i,time_1\n'
    with pa.ipc.open_stream(b"".join(encode.encode_arrow(result([])))) as reader:
        assert reader.read_all().num_rows == 0


def test_messages_tell_that_an_answer_is_incomplete() -> None:
    text = text_of(encode.encode_json(result([], warnings=('segment "x" is damaged',))))
    wanted = '{"series":[],"messages":[{"level":"warning","text":"segment \\"x\\" is damaged"}],"stats":{"rows":0,'
    assert text.startswith(wanted)


def test_long_strings_are_cut_into_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "_TEXT", 1000)
    monkeypatch.setattr(cells, "_PIECE", 2000)
    rows = [[time, None, "y" * 400, None, None, None] for time in range(50)]
    out = list(encode.encode_json(result([table([("a", rows)])])))
    assert len(out) > 5
    assert max(map(len, out)) < 4000
    assert json.loads(b"".join(out))["series"][0]["values"] == rows


Encoder = Callable[[Result], Iterator[bytes]]


@pytest.mark.parametrize("encoder", [encode.encode_json, encode.encode_csv, encode.encode_arrow])
def test_the_result_is_closed_whatever_happens(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "_PIECE", 1)
    closed: list[bool] = []
    monkeypatch.setattr(Tracker, "close", lambda self: closed.append(True))

    def failing() -> Iterator[Table]:
        yield table(SERIES)
        raise errors.Timeout("late")

    with pytest.raises(errors.Timeout):
        list(encoder(result(failing())))
    assert closed
    closed.clear()
    started = encoder(result([table(SERIES)]))
    next(started)
    started.close()  # type: ignore[attr-defined]
    assert closed
