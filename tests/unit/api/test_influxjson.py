"""JSON, CSV and MessagePack of InfluxQL answers, byte by byte."""

from __future__ import annotations

import itertools
import json
import os
import random
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from rusts.api import cells, msgpack
from rusts.api.influxcsv import encode_csv
from rusts.api.influxjson import encode_chunks, encode_json
from rusts.api.msgpack import encode_msgpack
from rusts.influxql.results import Cuts, Frame, StatementResult, first_rows, frame_of
from rusts.model.batch import Column
from rusts.model.series import TagColumn
from rusts.model.types import FieldType
from tests.support.model_store import column_of

SEED = int(os.environ.get("RUSTS_SEED", "20240601"))

HOSTS = TagColumn(np.array([0, 1], dtype=np.uint32), ["a", "b<"])


def two_series(continued: bool = False) -> Frame:
    """Three rows: two of host a, one of host b<."""
    return Frame(
        "m",
        ("time", "v", "s"),
        np.array([0, 2, 3], dtype=np.int64),
        [column_of(FieldType.FLOAT, [1.0, None, 1e21]), column_of(FieldType.STRING, ["x&", None, ""])],
        np.array([1_000_000_000, 1_500_000_000, -1], dtype=np.int64),
        ("host",),
        [HOSTS],
        continued,
    )


def result(*frames: Frame, **more: Any) -> StatementResult:
    return StatementResult(0, iter(frames), **more)


def as_json(*results: StatementResult, **options: Any) -> bytes:
    return b"".join(encode_json(results, **options))


def as_chunks(rows: int, *results: StatementResult, **options: Any) -> list[Any]:
    text = b"".join(encode_chunks(results, rows, **options))
    return [json.loads(line) for line in text.splitlines()]


SERIES_A = {
    "name": "m",
    "tags": {"host": "a"},
    "columns": ["time", "v", "s"],
    "values": [["1970-01-01T00:00:01Z", 1, "x&"], ["1970-01-01T00:00:01.5Z", None, None]],
}
SERIES_B = {
    "name": "m",
    "tags": {"host": "b<"},
    "columns": ["time", "v", "s"],
    "values": [["1969-12-31T23:59:59.999999999Z", 1e21, ""]],
}


def test_the_bytes_are_those_of_influxdb():
    assert as_json(result(two_series())) == (
        b'{"results":[{"statement_id":0,"series":['
        b'{"name":"m","tags":{"host":"a"},"columns":["time","v","s"],"values":'
        b'[["1970-01-01T00:00:01Z",1,"x\\u0026"],["1970-01-01T00:00:01.5Z",null,null]]},'
        b'{"name":"m","tags":{"host":"b\\u003c"},"columns":["time","v","s"],"values":'
        b'[["1969-12-31T23:59:59.999999999Z",1e+21,""]]}]}]}\n'
    )


def test_pretty_is_the_same_indented():
    pretty = as_json(result(two_series(), messages=["w"]), pretty=True)
    plain = json.loads(as_json(result(two_series(), messages=["w"])))
    text = json.dumps(plain, indent=4).replace("&", "\\u0026").replace("<", "\\u003c").replace("1e+21", "1e+21")
    assert pretty.decode() == text.replace(": 1.0", ": 1") + "\n"


def test_no_results_no_rows_and_what_a_result_says_beside():
    assert as_json() == b"{}\n"
    assert as_json(result()) == b'{"results":[{"statement_id":0}]}\n'
    assert as_json(result(messages=["careful"], error="it failed")) == (
        b'{"results":[{"statement_id":0,"messages":[{"level":"warning","text":"careful"}],"error":"it failed"}]}\n'
    )
    assert as_json(result(frame_of("databases", ["name"], []))) == (
        b'{"results":[{"statement_id":0,"series":[{"name":"databases","columns":["name"]}]}]}\n'
    )
    assert as_json(result(frame_of("", ["count"], [[3]]))) == (
        b'{"results":[{"statement_id":0,"series":[{"columns":["count"],"values":[[3]]}]}]}\n'
    )


def test_an_error_comes_behind_the_rows_that_were_there():
    failing = result()

    def frames() -> Iterator[Frame]:
        yield frame_of("m", ["n"], [[1]])
        failing.error = "too late"

    failing.frames = frames()
    (told,) = json.loads(as_json(failing))["results"]
    assert (told["series"][0]["values"], told["error"]) == ([[1]], "too late")


@pytest.mark.parametrize(
    ("unit", "times"),
    [(1, [1_000_000_000, 1_500_000_000, -1]), (1_000_000, [1000, 1500, 0]), (1_000_000_000, [1, 1, 0])],
)
def test_times_in_a_unit_are_cut_towards_zero(unit: int, times: list[int]):
    (told,) = json.loads(as_json(result(two_series()), unit=unit))["results"]
    assert [row[0] for series in told["series"] for row in series["values"]] == times


def test_times_of_a_zone():
    summer = 1_690_000_000_000_000_000
    frame = Frame("m", ("time",), np.array([0, 2]), [], np.array([0, summer], dtype=np.int64))
    (told,) = json.loads(as_json(result(frame, zone="Europe/Berlin")))["results"]
    assert told["series"][0]["values"] == [["1970-01-01T01:00:00+01:00"], ["2023-07-22T06:26:40+02:00"]]


@pytest.mark.parametrize("cells_at_a_time", [1, 4, 100_000])
def test_series_over_several_frames_and_pieces(monkeypatch: pytest.MonkeyPatch, cells_at_a_time: int):
    monkeypatch.setattr(cells, "_CELLS", cells_at_a_time)
    last = Frame(
        "m",
        ("time", "v", "s"),
        np.array([0, 1], dtype=np.int64),
        [column_of(FieldType.FLOAT, [5.0]), column_of(FieldType.STRING, ["e"])],
        np.array([9_000_000_000], dtype=np.int64),
        ("host",),
        [TagColumn(HOSTS.codes[1:], HOSTS.values)],
        continued=True,
    )
    (told,) = json.loads(as_json(result(two_series(), last)))["results"]
    longer = {**SERIES_B, "values": [*SERIES_B["values"], ["1970-01-01T00:00:09Z", 5, "e"]]}  # type: ignore[misc]
    assert told["series"] == [SERIES_A, longer]
    for size in (1, 2, 3):
        chunks = as_chunks(size, result(two_series(), last))
        merged: list[dict[str, Any]] = []
        open_series = False
        for number, document in enumerate(chunks):
            (part,) = document["results"]
            (series,) = part["series"]
            assert len(series["values"]) <= size
            assert part.get("partial", False) == (number + 1 < len(chunks))
            if open_series:
                assert (merged[-1]["name"], merged[-1]["tags"]) == (series["name"], series["tags"])
                merged[-1]["values"] += series["values"]
            else:
                merged.append({key: series[key] for key in ("name", "tags", "columns", "values")})
            open_series = series.get("partial", False)
        assert not open_series
        assert merged == [SERIES_A, longer]


def test_each_statement_is_a_document_of_its_own():
    first, second = as_chunks(10, result(), StatementResult(1, iter(()), error="no", messages=["m"]))
    assert first == {"results": [{"statement_id": 0}]}
    assert second["results"][0]["error"] == "no"
    assert as_chunks(10) == []


def test_some_statements_are_not_cut_by_rows():
    by_series = as_chunks(1, StatementResult(0, iter((two_series(),)), cuts=Cuts.SERIES))
    assert [document["results"][0] for document in by_series] == [
        {"statement_id": 0, "series": [series]} for series in (SERIES_A, SERIES_B)
    ]
    assert as_chunks(1, StatementResult(0, iter((two_series(),)), cuts=Cuts.NONE)) == [
        {"results": [{"statement_id": 0, "series": [SERIES_A, SERIES_B]}]}
    ]


def test_messages_come_with_the_last_document_of_a_statement():
    chunks = as_chunks(1, result(two_series(), messages=["w"]))
    assert ["messages" in chunk["results"][0] for chunk in chunks] == [False, False, True]


@pytest.mark.parametrize(
    ("limit", "rows", "cut"),
    [(1, [1], [True]), (2, [2], [False]), (3, [2, 1], [False, False]), (9, [2, 1], [False] * 2)],
)
def test_the_first_rows(limit: int, rows: list[int], cut: list[bool]):
    (told,) = json.loads(b"".join(encode_json(first_rows([result(two_series())], limit))))["results"]
    assert [len(series["values"]) for series in told["series"]] == rows
    assert [series.get("partial", False) for series in told["series"]] == cut


def test_what_follows_the_first_rows_is_left_out():
    pair = [result(two_series()), StatementResult(1, iter((two_series(),)))]
    assert len(json.loads(b"".join(encode_json(first_rows(pair, 3))))["results"]) == 1
    again = [result(two_series(), two_series(continued=True))]
    (told,) = json.loads(b"".join(encode_json(first_rows(again, 3))))["results"]
    assert [series.get("partial", False) for series in told["series"]] == [False, True]


def test_csv():
    text = b"".join(encode_csv([result(two_series()), result(), result(frame_of("", ["key"], [['a,"b'], [""]]))]))
    assert text.decode() == (
        "name,tags,time,v,s\n"
        "m,host=a,1000000000,1,x&\n"
        "m,host=a,1500000000,,\n"
        "m,host=b<,-1,1000000000000000000000,\n"
        "\n"
        "name,tags,key\n"
        ',,"a,""b"\n'
        ",,\n"
    )


def test_csv_escapes_tags_and_leaves_empty_ones_out():
    tags = [TagColumn(np.array([0], dtype=np.uint32), [text]) for text in ("x=1,y", "")]
    frame = Frame("m", ("time",), np.array([0, 1]), [], np.array([7], dtype=np.int64), ("a b", "none"), tags)
    assert b"".join(encode_csv([result(frame)], unit=1)) == b'name,tags,time\nm,"a\\ b=x\\=1\\,y",7\n'


def test_csv_floats_have_no_exponent():
    values = [1e-7, -2.5e-9, 1e21, 0.0, 1e300, float("nan")]
    frame = Frame("m", ("v",), np.array([0, 6]), [column_of(FieldType.FLOAT, values)])
    lines = b"".join(encode_csv([result(frame)])).decode().splitlines()[1:]
    plain = [line.rpartition(",")[2] for line in lines]
    assert plain == ["0.0000001", "-0.0000000025", "1" + "0" * 21, "0", "1" + "0" * 300, "NaN"]


def decoded(*results: StatementResult, **options: Any) -> Any:
    return msgspec.msgpack.decode(
        b"".join(encode_msgpack(results, **options)), ext_hook=lambda code, data: (code, bytes(data))
    )


def test_msgpack():
    time = 1_000_000_000
    (told,) = decoded(result(two_series(), messages=["w"]), unit=1)["results"]
    assert told["messages"] == [{"level": "warning", "text": "w"}]
    assert [series["values"] for series in told["series"]] == [
        [[time, 1.0, "x&"], [time + time // 2, None, None]],
        [[-1, 1e21, ""]],
    ]
    assert told["series"][0]["tags"] == {"host": "a"}
    (told,) = decoded(result(two_series()))["results"]
    assert told["series"][1]["values"][0][0] == (5, (-1).to_bytes(8, signed=True) + (999_999_999).to_bytes(4))
    assert decoded() == {}
    assert decoded(result())["results"] == [{"statement_id": 0, "series": []}]
    assert decoded(result(error="no"))["results"] == [{"error": "no"}]
    assert decoded(result(frame_of("d", ["name"], [])))["results"][0]["series"] == [{"name": "d", "columns": ["name"]}]


def random_column(rng: random.Random, rows: int) -> Column:
    makers = {
        FieldType.FLOAT: lambda: rng.uniform(-1e9, 1e9),
        FieldType.INTEGER: lambda: rng.randrange(-(1 << 63), 1 << 63),
        FieldType.UNSIGNED: lambda: rng.randrange(1 << 64),
        FieldType.BOOLEAN: lambda: rng.random() < 0.5,
        FieldType.STRING: lambda: "".join(rng.choices('aé,"\n<', k=rng.randrange(6))),
    }
    type = rng.choice(list(makers))
    make = makers[type]
    return column_of(type, [None if rng.random() < 0.2 else make() for _ in range(rows)])


def python_rows(columns: Sequence[Column], start: int, stop: int) -> list[list[Any]]:
    lists = []
    for column in columns:
        values = column.values.to_pylist() if isinstance(column.values, pa.Array) else column.values.tolist()
        lists.append([v if ok else None for v, ok in zip(values, column.valid().tolist(), strict=True)])
    return [list(row) for row in zip(*(each[start:stop] for each in lists), strict=True)]


def test_random_frames_say_the_same_in_every_form(monkeypatch: pytest.MonkeyPatch):
    print("seed", SEED)
    rng = random.Random(SEED)
    for _ in range(60):
        monkeypatch.setattr(cells, "_CELLS", rng.choice([1, 7, 100_000]))
        monkeypatch.setattr(msgpack, "_ROWS", rng.choice([1, 3, 1 << 14]))
        lengths = [rng.randrange(1, 5) for _ in range(rng.randrange(1, 5))]
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        columns = [random_column(rng, int(starts[-1])) for _ in range(rng.randrange(1, 4))]
        names = tuple(f"c{i}" for i in range(len(columns)))
        tags = [TagColumn(np.arange(len(lengths), dtype=np.uint32), [f"t{i}" for i in range(len(lengths))])]

        def frame() -> Frame:
            return Frame("m", names, starts, columns, None, ("tag",), tags)  # noqa: B023

        want = [python_rows(columns, *pair) for pair in zip(starts.tolist(), starts.tolist()[1:], strict=False)]
        (told,) = json.loads(as_json(result(frame())))["results"]
        assert [series["values"] for series in told["series"]] == want
        (told,) = decoded(result(frame()))["results"]
        assert [series["values"] for series in told["series"]] == want
        chunks = as_chunks(rng.randrange(1, 5), result(frame()))
        assert [row for chunk in chunks for row in chunk["results"][0]["series"][0]["values"]] == list(
            itertools.chain(*want)
        )
