"""Batches into line protocol that parses back to the same batches.

Each batch is written row by row in its order, fields in the order of the columns, timestamps in
nanoseconds; floats as Python prints them, which is the shortest text that reads back to the same value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import isfinite
from typing import Any, Final

from rusts.model.batch import Batch, Column
from rusts.model.series import decode_key
from rusts.model.types import FieldType

__all__ = ["write"]

_NAME: Final = str.maketrans({",": "\\,", " ": "\\ ", "=": "\\=", '"': '\\"'})
_TAG: Final = str.maketrans({",": "\\,", " ": "\\ ", "=": "\\="})
_STRING: Final = str.maketrans({"\\": "\\\\", '"': '\\"'})


def write(batches: Iterable[Batch]) -> bytes:
    """The points of `batches` as line protocol, one line each.

    Raises ValueError for what line protocol cannot say: an empty name, one that ends in a backslash or
    has a newline that no backslash precedes, a measurement or field key that begins with a tab or NUL, a
    measurement that begins with ``#``, a number that is not finite, and a row without any field.
    """
    lines: list[str] = []
    for batch in batches:
        lines += _lines(batch)
    text = "".join(lines)
    # A byte order mark at the start would be taken for one.
    return ("\n" + text if text.startswith("\ufeff") else text).encode()


def _lines(batch: Batch) -> list[str]:
    series = [_series(batch.keys[i]) for i in range(len(batch.keys))]
    fields = [_field_texts(name, column) for (name, _), column in batch.columns.items()]
    lines = []
    for row, (number, time) in enumerate(zip(batch.series.tolist(), batch.times.tolist(), strict=True)):
        texts = [text for column in fields if (text := column[row])]
        if not texts:
            raise ValueError(f"row {row} of measurement {batch.measurement!r} has no field")
        lines.append(f"{series[number]} {','.join(texts)} {time}\n")
    return lines


def _series(key: bytes) -> str:
    measurement, tags = decode_key(key)
    if measurement.startswith("#"):
        raise ValueError(f"line protocol would take the measurement {measurement!r} for a comment")
    parts = [_first_name(measurement)]
    parts += (f"{_name(tag, _TAG)}={_name(value, _TAG)}" for tag, value in tags.items())
    return ",".join(parts)


def _field_texts(name: str, column: Column) -> list[str]:
    """For each row ``key=value``, or an empty text where the row has no value."""
    text = _TEXTS[column.type]
    key = _first_name(name)
    values = column.values.to_pylist() if column.type is FieldType.STRING else column.values.tolist()
    if column.validity is None:
        return [f"{key}={text(value)}" for value in values]
    valid = column.validity.tolist()
    return [f"{key}={text(value)}" if ok else "" for value, ok in zip(values, valid, strict=True)]


def _first_name(name: str) -> str:
    """A measurement or a field key, escaped: blanks before it would be skipped."""
    if name[:1] in ("\t", "\0"):
        raise ValueError(f"line protocol has no way to write the name {name!r}")
    return _name(name, _NAME)


def _name(name: str, escapes: dict[int, str]) -> str:
    text = name.translate(escapes)
    if not text or text.endswith("\\") or "\n" in text.replace("\\\n", ""):
        raise ValueError(f"line protocol has no way to write the name {name!r}")
    return text


def _float(value: float) -> str:
    if not isfinite(value):
        raise ValueError(f"line protocol has no way to write the number {value}")
    return repr(value)


_TEXTS: Final[dict[FieldType, Callable[[Any], str]]] = {
    FieldType.FLOAT: _float,
    FieldType.INTEGER: "{}i".format,
    FieldType.UNSIGNED: "{}u".format,
    FieldType.BOOLEAN: lambda value: "true" if value else "false",
    FieldType.STRING: lambda value: f'"{value.translate(_STRING)}"',
}
