"""From names to ids: a parsed batch against the catalog, and why points of it are dropped.

A point is dropped whole, never in part, and only for its own fault: the rest of the batch goes on.
New measurements, fields and series are decided here, in memory; the log names them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from rusts.catalog.catalog import Catalog
from rusts.catalog.schema import Database, Measurement, Policy
from rusts.index.series import UNKNOWN
from rusts.model.batch import Batch, Column, FieldKey, Rows
from rusts.model.series import decode_key
from rusts.model.store import Reject
from rusts.model.types import FieldType

__all__ = ["Limits", "resolve"]

_TIME_TAG: Final = b"\x04\x00\x00\x00time"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one database may hold; 0 = no limit. Only what is new is refused."""

    series_per_database: int = 0
    values_per_tag: int = 0


class _Drops:
    """The rows of a batch that are dropped, and why."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.keep: npt.NDArray[np.bool_] | None = None
        self.rejects: list[Reject] = []

    def drop(self, kind: str, message: str, rows: npt.NDArray[np.bool_]) -> None:
        """Drop `rows` (bool[n]) unless another reason took them before."""
        if self.keep is None:
            self.keep = np.ones(len(self.batch.times), dtype=np.bool_)
        rows = rows & self.keep
        if rows.any():
            self.rejects.append(Reject(kind, message, self.batch.starts[rows]))
            self.keep &= ~rows


def resolve(
    catalog: Catalog, database: Database, policy: Policy, batch: Batch, limits: Limits, now_ns: int
) -> tuple[Rows | None, list[Reject]]:
    """`batch` as rows by id, None where no point of it is left, and the rejects in InfluxDB's words."""
    drops = _Drops(batch)
    columns = _without_time(drops, batch)
    if policy.duration:
        drops.drop("beyond_retention", "points beyond retention policy", batch.times < now_ns - policy.duration)
    numbers, measurement = _known_series(database, batch)
    unknown = numbers == UNKNOWN
    if unknown.any():
        _check_tag_names(drops, batch, unknown)
    if measurement is None and not _any_left(drops):
        return None, drops.rejects
    if measurement is None:
        measurement = catalog.add_measurement(database, batch.measurement)
    fields = _fields(drops, catalog, measurement, columns)
    if unknown.any():
        if drops.keep is not None:
            # A series that only dropped points name is not made.
            unknown &= np.bincount(batch.series[drops.keep], minlength=len(numbers)) > 0
        numbers = _new_series(drops, database, measurement, numbers, unknown, limits)
    return _rows(drops, measurement, numbers, fields), drops.rejects


def _any_left(drops: _Drops) -> bool:
    return drops.keep is None or bool(drops.keep.any())


def _without_time(drops: _Drops, batch: Batch) -> dict[FieldKey, Column]:
    """The columns but those named ``time``, which is no field's name: alone it costs the point, else itself."""
    timely = [key for key in batch.columns if key[0] == "time"]
    if not timely:
        return batch.columns
    columns = {key: column for key, column in batch.columns.items() if key[0] != "time"}
    has_time = np.zeros(len(batch), dtype=np.bool_)
    for key in timely:
        has_time |= batch.columns[key].valid()
    has_other = np.zeros(len(batch), dtype=np.bool_)
    for column in columns.values():
        has_other |= column.valid()
    text = f'invalid field name: input field "time" on measurement "{batch.measurement}" is invalid'
    drops.drop("invalid_field_name", text, has_time & ~has_other)
    stripped = has_time & has_other
    if stripped.any():
        text += '. Field "time" has been stripped from point.'
        drops.rejects.append(Reject("field_stripped", text, batch.starts[stripped]))
    return columns


def _known_series(database: Database, batch: Batch) -> tuple[npt.NDArray[np.uint32], Measurement | None]:
    measurement = database.measurements.get(batch.measurement)
    if measurement is None:
        return np.full(len(batch.keys), UNKNOWN, dtype=np.uint32), None
    return measurement.index.lookup(batch.keys), measurement


def _check_tag_names(drops: _Drops, batch: Batch, unknown: npt.NDArray[np.bool_]) -> None:
    if _TIME_TAG not in batch.keys.data.tobytes():
        return
    bad = [k for k in np.flatnonzero(unknown) if "time" in decode_key(batch.keys[int(k)])[1]]
    if bad:
        text = f'invalid tag key: input tag "time" on measurement "{batch.measurement}" is invalid'
        drops.drop("invalid_tag_key", text, np.isin(batch.series, np.array(bad, dtype=np.uint32)))


def _fields(
    drops: _Drops, catalog: Catalog, measurement: Measurement, columns: dict[FieldKey, Column]
) -> dict[int, Column]:
    """Columns by field id; a column of another type than the field's drops the points that have it."""
    fields: dict[int, Column] = {}
    known = measurement.fields
    fresh: list[FieldKey] = []
    for key, column in columns.items():
        meta = known.get(key[0])
        if meta is None:
            fresh.append(key)
        elif meta.type is column.type:
            fields[meta.id] = column
        else:
            _conflict(drops, measurement, key, column, meta.type)
    # New fields come last: a point that conflicts elsewhere must not decide their type.
    for key, type in _decide(drops, fresh, columns).items():
        column = columns[key]
        if type is not column.type:
            _conflict(drops, measurement, key, column, type)
    for key in fresh:
        name, type = key
        column = columns[key]
        kept = column.valid() if drops.keep is None else column.valid() & drops.keep
        if kept.any():
            fields[catalog.add_field(measurement, name, type).id] = column
    return fields


def _conflict(drops: _Drops, measurement: Measurement, key: FieldKey, column: Column, exists: FieldType) -> None:
    text = (
        f'field type conflict: input field "{key[0]}" on measurement "{measurement.name}" '
        f"is type {column.type.text}, already exists as type {exists.text}"
    )
    drops.drop("field_type_conflict", text, column.valid())


def _decide(drops: _Drops, fresh: list[FieldKey], columns: dict[FieldKey, Column]) -> dict[FieldKey, FieldType]:
    """Of new fields that one batch writes with several types: for each such column the type that the field gets.

    Point by point, as InfluxDB does it: the first point that is taken decides. This is a loop over points
    in Python, but only over those that disagree about a field nobody has written before.
    """
    names = Counter(name for name, _ in fresh)
    rivals = [key for key in fresh if names[key[0]] > 1]
    if not rivals:
        return {}
    valid = np.stack([columns[key].valid() for key in rivals])
    if drops.keep is not None:
        valid &= drops.keep
    decided: dict[str, FieldType] = {}
    for row in np.flatnonzero(valid.any(axis=0)):
        here = [rivals[i] for i in np.flatnonzero(valid[:, row])]
        types = dict(here)
        if len(types) == len(here) and all(decided.get(name, type) is type for name, type in here):
            decided |= types
    # A field that no taken point has: any one type will do, the rest of its points go.
    undecided = {name: type for name, type in rivals if name not in decided}
    return {key: (decided | undecided)[key[0]] for key in rivals}


def _new_series(
    drops: _Drops,
    database: Database,
    measurement: Measurement,
    numbers: npt.NDArray[np.uint32],
    unknown: npt.NDArray[np.bool_],
    limits: Limits,
) -> npt.NDArray[np.uint32]:
    """`numbers` with the unknown series made, but for those past a limit, whose points are dropped."""
    batch = drops.batch
    positions = np.flatnonzero(unknown)
    if limits.values_per_tag:
        excess, tag, value, count = measurement.index.excess_values(batch.keys, positions, limits.values_per_tag)
        if len(excess):
            text = (
                f"max-values-per-tag limit exceeded ({count}/{limits.values_per_tag}): "
                f'measurement="{measurement.name}" tag="{tag}" value="{value}"'
            )
            drops.drop("max_values", text, np.isin(batch.series, excess))
            positions = np.setdiff1d(positions, excess)
    if limits.series_per_database:
        room = max(0, limits.series_per_database - database.series_count())
        if len(positions) > room:
            text = f"max-series-per-database limit exceeded: ({limits.series_per_database})"
            drops.drop("max_series", text, np.isin(batch.series, positions[room:]))
            positions = positions[:room]
    if len(positions) == 0:
        return numbers
    numbers = numbers.copy()
    numbers[positions] = measurement.index.add(batch.keys, positions)
    return numbers


def _rows(
    drops: _Drops, measurement: Measurement, numbers: npt.NDArray[np.uint32], fields: dict[int, Column]
) -> Rows | None:
    batch = drops.batch
    if drops.keep is None:
        return Rows(measurement.id, numbers[batch.series], batch.times, fields)
    if not drops.keep.any():
        return None
    kept = {field: column.take(drops.keep) for field, column in fields.items()}
    # A column that only dropped points filled is not written.
    kept = {field: column for field, column in kept.items() if column.validity is None or column.validity.any()}
    return Rows(measurement.id, numbers[batch.series[drops.keep]], batch.times[drops.keep], kept)
