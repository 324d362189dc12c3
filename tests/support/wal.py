"""What log tests share: a catalog of names, rows made from plain values, and plain values made from rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rusts.files import Files
from rusts.model.batch import Column, Rows
from rusts.model.series import KeyTable, encode_key
from rusts.model.types import DTYPES, FieldType
from rusts.wal.reader import Damage, replay
from rusts.wal.record import LogPosition, WriteRecord

__all__ = ["DIRECTORY", "TYPES", "PlainNames", "column", "plain", "read_log", "rows", "series_key", "split"]

DIRECTORY = "data/wal"

TYPES = {
    101: FieldType.FLOAT,
    102: FieldType.INTEGER,
    103: FieldType.UNSIGNED,
    104: FieldType.BOOLEAN,
    105: FieldType.STRING,
}
"""The fields of every measurement in these tests; other ids are integers."""


def series_key(measurement: int, number: int) -> bytes:
    return encode_key(f"m{measurement}", {"host": f"h{number}"})


class PlainNames:
    """A catalog that has a name for every id; sets say what it holds durably."""

    def __init__(self) -> None:
        self.durable: set[int] = set()
        self.series: dict[int, int] = {}

    def measurement_name(self, measurement: int) -> str:
        return f"m{measurement}"

    def field_name(self, field: int) -> tuple[str, FieldType]:
        return f"f{field}", TYPES.get(field, FieldType.INTEGER)

    def series_keys(self, measurement: int, numbers: npt.NDArray[np.uint32]) -> KeyTable:
        return KeyTable.of([series_key(measurement, number) for number in numbers.tolist()])

    def durable_series(self, measurement: int) -> int:
        return self.series.get(measurement, 0)

    def is_durable(self, id: int) -> bool:
        return id in self.durable


def column(type: FieldType, values: Sequence[Any]) -> Column:
    """A column of plain values; None is a null."""
    validity = None if all(v is not None for v in values) else np.array([v is not None for v in values])
    if type is FieldType.STRING:
        return Column(type, pa.array(["" if v is None else v for v in values], pa.large_string()), validity)
    return Column(type, np.array([0 if v is None else v for v in values], dtype=DTYPES[type]), validity)


def rows(
    measurement: int,
    series: Sequence[int],
    times: Sequence[int],
    columns: Mapping[int, Sequence[Any]],
    types: Mapping[int, FieldType] = TYPES,
) -> Rows:
    return Rows(
        measurement,
        np.array(series, dtype=np.uint32),
        np.array(times, dtype=np.int64),
        {field: column(types.get(field, FieldType.INTEGER), values) for field, values in columns.items()},
    )


def plain(batch: Rows) -> tuple[int, list[int], list[int], dict[int, tuple[FieldType, list[Any]]]]:
    """The rows as plain values, floats as their 64 bits; None is a null."""
    columns = {}
    for field, found in batch.columns.items():
        values = found.values
        if found.type is FieldType.STRING:
            listed = values.to_pylist()
        else:
            assert values.dtype == DTYPES[found.type]
            listed = (values.view(np.int64) if found.type is FieldType.FLOAT else values).tolist()
        valid = found.valid().tolist()
        assert len(listed) == len(batch.times)
        columns[field] = (found.type, [v if ok else None for v, ok in zip(listed, valid, strict=True)])
    assert batch.series.dtype == np.uint32
    assert batch.times.dtype == np.int64
    return batch.measurement, batch.series.tolist(), batch.times.tolist(), columns


def split(
    items: Sequence[tuple[LogPosition, LogPosition, WriteRecord] | Damage],
) -> tuple[list[tuple[LogPosition, LogPosition, WriteRecord]], list[Damage]]:
    """What a replay gave: the records, and the damage."""
    return [i for i in items if not isinstance(i, Damage)], [i for i in items if isinstance(i, Damage)]


def read_log(files: Files, directory: str = DIRECTORY, **options: Any) -> tuple[list[WriteRecord], list[Damage]]:
    records, damage = split(list(replay(files, directory, **options)))
    return [record for _, _, record in records], damage
