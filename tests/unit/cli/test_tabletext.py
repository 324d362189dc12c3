from __future__ import annotations

import datetime
import decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rusts.cli.tabletext import Lines, Unfit, lay_out, lines_of
from rusts.lineprotocol.parser import parse


def lines(columns: dict[str, pa.Array], tags: tuple[str, ...] = (), time: str = "t") -> Lines:
    batch = pa.record_batch(columns)
    return lines_of(batch, lay_out(batch.schema, "m", time, tags))


def text(columns: dict[str, pa.Array], tags: tuple[str, ...] = ()) -> str:
    return lines(columns, tags).text.tobytes().decode()


TIMES = pa.array([1, 2], pa.int64())


@pytest.mark.parametrize(
    ("times", "ns"),
    [
        (pa.array([7], pa.int64()), 7),
        (pa.array([7], pa.timestamp("ns")), 7),
        (pa.array([7], pa.timestamp("us")), 7_000),
        (pa.array([-7], pa.timestamp("ms", "UTC")), -7_000_000),
        (pa.array([7], pa.timestamp("s", "Europe/Berlin")), 7_000_000_000),
        (pa.array([datetime.date(1970, 1, 2)], pa.date64()), 86_400_000_000_000),
        (pa.array([datetime.date(1970, 1, 3)], pa.date32()), 172_800_000_000_000),
    ],
)
def test_times(times: pa.Array, ns: int) -> None:
    assert text({"t": times, "v": pa.array([True])}) == f"m v=true {ns}\n"


@pytest.mark.parametrize(
    ("values", "written"),
    [
        (pa.array([-5], pa.int8()), "-5i"),
        (pa.array([2**64 - 1], pa.uint64()), "18446744073709551615u"),
        (pa.array([0.1], pa.float64()), "0.1"),
        (pa.array([0.5], pa.float32()), "0.5"),
        (pa.array([1e300]), "1e+300"),
        (pa.array([np.float16(0.5)], pa.float16()), "0.5"),
        (pa.array([decimal.Decimal("12.50")]), "12.5"),
        (pa.array([False]), "false"),
        (pa.array(['say "a\\b"\nend']), '"say \\"a\\\\b\\"\nend"'),
        (pa.array([""], pa.large_string()), '""'),
        (pa.array(["x"], pa.string_view()), '"x"'),
        (pa.array(["x"]).dictionary_encode(), '"x"'),
    ],
)
def test_values(values: pa.Array, written: str) -> None:
    assert text({"t": TIMES[:1], "v": values}) == f"m v={written} 1\n"


def test_names_are_escaped_and_tags_sorted() -> None:
    batch = pa.record_batch({"t": TIMES[:1], "b c": ["x, y"], "a": ["p=q"], "v,w": [1]})
    made = lines_of(batch, lay_out(batch.schema, "m n", "t", ["b c", "a"]))
    assert made.text.tobytes() == rb"m\ n,a=p\=q,b\ c=x\,\ y v\,w=1i 1" + b"\n"


def test_tags_of_other_types() -> None:
    columns = {"t": TIMES, "n": pa.array([7, None]), "b": pa.array([True, False]), "v": pa.array([1.5, 2.5])}
    assert text(columns, ("n", "b")) == "m,b=true,n=7 v=1.5 1\nm,b=false v=2.5 2\n"


def test_nulls_and_empty_tags_are_absent() -> None:
    columns = {
        "t": TIMES,
        "h": pa.array(["", None]),
        "v": pa.array([None, 2.5]),
        "w": pa.array(["x", None]),
    }
    assert text(columns, ("h",)) == 'm w="x" 1\nm v=2.5 2\n'


def test_rows_that_are_no_points_are_counted_by_reason() -> None:
    made = lines(
        {
            "t": pa.array([1, None, 2**63 - 1, 4, 5, 6]),
            "h": pa.array(["a", "a", "a", "b\nc", "d\\", "e"]),
            "v": pa.array([1.0, 2.0, 3.0, 4.0, 5.0, None]),
        },
        ("h",),
    )
    assert made.text.tobytes() == b"m,h=a v=1 1\n"
    assert sum(made.lost.values()) == 5
    assert sorted(made.lost.values()) == [1, 1, 1, 2]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_no_point_can_have(unit: str) -> None:
    made = lines({"t": pa.array([2**63 - 1, -(2**63), 0], pa.timestamp(unit)), "v": pa.array([1, 2, 3])})
    assert made.text.tobytes() == b"m v=3i 0\n"
    assert made.lost.total() == 2


def test_not_a_number_is_left_out_and_counted() -> None:
    made = lines({"t": TIMES, "v": pa.array([float("nan"), float("-inf")]), "w": pa.array([1, 2])})
    assert made.text.tobytes() == b"m w=1i 1\nm w=2i 2\n"
    assert made.blank == {"v": 2}
    assert not made.lost


def test_columns_that_can_be_no_field_are_named() -> None:
    schema = pa.schema(
        {
            "t": pa.int64(),
            "v": pa.int64(),
            "list": pa.list_(pa.int64()),
            "bytes": pa.binary(),
            "when": pa.timestamp("s"),
            "time": pa.int64(),
            "struct": pa.struct({"a": pa.int64()}),
            "nothing": pa.null(),
            "broken\n": pa.int64(),
        }
    )
    layout = lay_out(schema, "m", "t", [])
    assert layout.fields == ("v",)
    assert [name for name, _ in layout.left_out] == ["list", "bytes", "when", "time", "struct", "nothing", "broken\n"]


@pytest.mark.parametrize(
    ("time", "tags", "words"),
    [
        ("when", [], "no timestamp column 'when'; columns that hold times: t"),
        ("v", [], "timestamp column 'v' is double"),
        ("t", ["host"], "no tag column 'host'"),
        ("t", ["t"], "holds the times"),
        ("t", ["v"], "is double"),
        ("t", ["h"], "no column can be a field"),
    ],
)
def test_what_cannot_be_imported(time: str, tags: list[str], words: str) -> None:
    schema = pa.schema({"t": pa.timestamp("s"), "h": pa.string(), "v": pa.float64()})
    if words.startswith("no column"):
        schema = schema.remove(2)
    with pytest.raises(Unfit, match=words):
        lay_out(schema, "m", time, tags)


def test_a_column_that_comes_twice() -> None:
    schema = pa.schema([("t", pa.int64()), ("v", pa.int64()), ("v", pa.int64())])
    with pytest.raises(Unfit, match="more than once"):
        lay_out(schema, "m", "t", [])


def test_bodies_are_cut_between_rows() -> None:
    made = lines({"t": pa.array(range(10)), "v": pa.array(["x" * n for n in range(10)])})
    whole = made.text.tobytes()
    for limit in (1, 20, 40, 1000):
        pieces = list(made.bodies(limit))
        assert b"".join(body for _, body in pieces) == whole
        assert sum(rows for rows, _ in pieces) == 10
        assert all(len(body) <= limit or rows == 1 for rows, body in pieces)


_names = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\n\r\\\0"), min_size=1, max_size=8)


@given(
    rows=st.lists(
        st.tuples(
            st.integers(-(2**62), 2**62),
            st.one_of(st.none(), _names),
            st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)),
            st.one_of(st.none(), st.text(st.characters(exclude_categories=("Cs",)), max_size=12)),
            st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_the_parser_reads_back_what_was_written(rows: list[tuple[Any, ...]]) -> None:
    times, tags, floats, strings, integers = (list(column) for column in zip(*rows, strict=True))
    made = lines(
        {
            "t": pa.array(times, pa.int64()),
            "h": pa.array(tags, pa.string()),
            "f": pa.array(floats, pa.float64()),
            "s": pa.array(strings, pa.string()),
            "i": pa.array(integers, pa.int64()),
        },
        ("h",),
    )
    kept = [row for row in rows if row[2:] != (None, None, None)]
    assert len(made) == len(kept)
    parsed = parse(made.text.tobytes())
    assert parsed.errors == []
    assert parsed.points == len(kept)
    if not kept:
        return
    (batch,) = parsed.batches
    assert batch.times.tolist() == [row[0] for row in kept]
    for (name, _), column in batch.columns.items():
        at = {"f": 2, "s": 3, "i": 4}[name]
        values = column.values.to_pylist() if name == "s" else column.values.tolist()
        read = [value if valid else None for value, valid in zip(values, column.valid().tolist(), strict=True)]
        assert read == [row[at] for row in kept]
