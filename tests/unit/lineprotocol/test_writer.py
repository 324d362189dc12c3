"""parse(write(x)) == x for every batch that line protocol can say, and ValueError for the others."""

from __future__ import annotations

import os
import struct
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rusts.lineprotocol import parse, write
from rusts.model.batch import Batch, Column
from rusts.model.series import KeyTable, encode_key
from rusts.model.time import MAX_TIME, MIN_TIME
from rusts.model.types import DTYPES, FieldType

PROOF = bool(os.environ.get("RUSTS_PROOF"))

# Names are made of what needs care, and of what does not.
NAMES = (
    st.text(
        st.one_of(st.sampled_from(',= "\\#\t\0\r\néß日😀\ufeff'), st.characters(codec="utf-8")), min_size=1, max_size=8
    )
    .map(lambda text: text.replace("\n", "\\\n"))
    .filter(lambda text: not text.endswith("\\"))
)
FIELDS = NAMES.filter(lambda name: name[0] not in "\t\0")
MEASUREMENTS = FIELDS.filter(lambda name: name[0] != "#")
TAGS = st.dictionaries(NAMES, NAMES, max_size=3)
VALUES: dict[FieldType, st.SearchStrategy[Any]] = {
    FieldType.FLOAT: st.floats(allow_nan=False, allow_infinity=False),
    FieldType.INTEGER: st.integers(-(2**63), 2**63 - 1),
    FieldType.UNSIGNED: st.integers(0, 2**64 - 1),
    FieldType.BOOLEAN: st.booleans(),
    FieldType.STRING: st.text(st.one_of(st.sampled_from('"\\\n\r ,='), st.characters(codec="utf-8")), max_size=12),
}


def column(kind: FieldType, values: list[Any]) -> Column:
    """A column of `values`, None where a row has none."""
    blank = "" if kind is FieldType.STRING else 0
    full = [blank if value is None else value for value in values]
    array = pa.array(full, pa.large_string()) if kind is FieldType.STRING else np.array(full, dtype=DTYPES[kind])
    validity = np.array([value is not None for value in values])
    return Column(kind, array, None if validity.all() else validity)


@st.composite
def batches(draw: st.DrawFn) -> list[Batch]:
    made = []
    for measurement in draw(st.lists(MEASUREMENTS, unique=True, min_size=1, max_size=3)):
        rows = draw(st.integers(1, 5))
        keys = list(dict.fromkeys(encode_key(measurement, draw(TAGS)) for _ in range(draw(st.integers(1, rows)))))
        series = [min(row, len(keys) - 1) for row in range(rows)]  # each key has a row, in the order of the keys
        times = draw(st.lists(st.integers(MIN_TIME, MAX_TIME), min_size=rows, max_size=rows))
        always = draw(st.sampled_from(FieldType))
        names = st.tuples(FIELDS, st.sampled_from(FieldType))
        kinds = draw(st.lists(names, unique=True, min_size=0, max_size=4))
        columns = {}
        for position, (name, kind) in enumerate([("f", always), *((name + "_", kind) for name, kind in kinds)]):
            value = VALUES[kind] if position == 0 else st.none() | VALUES[kind]
            columns[name, kind] = column(kind, draw(st.lists(value, min_size=rows, max_size=rows)))
        made.append(
            Batch(
                measurement,
                KeyTable.of(keys),
                np.array(series, dtype=np.uint32),
                np.array(times, dtype=np.int64),
                {key: each for key, each in columns.items() if each.valid().any()},
                np.zeros(rows, dtype=np.int64),
            )
        )
    return made


def plain(batch: Batch) -> Any:
    """All of a batch but the offsets of its lines; floats by their bits."""
    columns = {}
    for key, each in batch.columns.items():
        values = each.values.to_pylist() if each.type is FieldType.STRING else each.values.tolist()
        if each.type is FieldType.FLOAT:
            values = [struct.pack("<d", value) for value in values]
        columns[key] = [value if ok else None for value, ok in zip(values, each.valid().tolist(), strict=True)]
    keys = [batch.keys[i] for i in range(len(batch.keys))]
    return batch.measurement, keys, batch.series.tolist(), batch.times.tolist(), columns


@settings(max_examples=20_000 if PROOF else 120, deadline=None)
@given(batches())
def test_what_is_written_parses_back(made: list[Batch]) -> None:
    parsed = parse(write(made))
    assert parsed.errors == []
    assert [plain(batch) for batch in parsed.batches] == [plain(batch) for batch in made]


def one(measurement: str = "m", tags: dict[str, str] | None = None, name: str = "f", value: Any = 1.0) -> Batch:
    kind = FieldType.STRING if isinstance(value, str) else FieldType.FLOAT
    return Batch(
        measurement,
        KeyTable.of([encode_key(measurement, tags or {})]),
        np.zeros(1, dtype=np.uint32),
        np.array([5], dtype=np.int64),
        {(name, kind): column(kind, [value])},
        np.zeros(1, dtype=np.int64),
    )


def test_text_is_what_influxdb_takes() -> None:
    batch = one('a b,c=d"e', {"k =": "v,w", "é": "\\x"}, "f g", 'say "\\hi"\n')
    assert write([batch]).decode() == ('a\\ b\\,c\\=d\\"e,k\\ \\==v\\,w,é=\\x f\\ g="say \\"\\\\hi\\"\n" 5\n')
    assert write([]) == b""


def test_a_leading_byte_order_mark_is_kept() -> None:
    assert parse(write([one("\ufeffm")])).batches[0].measurement == "\ufeffm"


@pytest.mark.parametrize(
    "batch",
    [
        one(""),
        one("m\\"),
        one("#m"),
        one("\tm"),
        one("\0m"),
        one("a\nb"),
        one(tags={"t\\": "v"}),
        one(tags={"t": "v\\"}),
        one(tags={"t": "a\nb"}),
        one(name=""),
        one(name="f\\"),
        one(name="a\nb"),
        one(name="\tf"),
        one(name="\0f"),
        one(value=float("nan")),
        one(value=float("inf")),
        one(value=float("-inf")),
        one(value=None),
    ],
    ids=str,
)
def test_what_cannot_be_said_is_refused(batch: Batch) -> None:
    with pytest.raises(ValueError, match=r"line protocol|has no field"):
        write([batch])
