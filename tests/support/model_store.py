"""A Store made of dicts: slow, small and obviously right. The oracle of the query's and the engine's tests.

Points live in ``{measurement: {series key: {time: {field: value}}}}`` as plain Python values; every request
walks all of them. Nothing here is vectorised on purpose. It keeps no log and knows no limits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from rusts.model.batch import Batch, Column, SeriesRows
from rusts.model.changes import Changes
from rusts.model.series import KeyTable, decode_key, encode_key
from rusts.model.store import FoldRequest, FoldResult, Reject, ScanRequest, ScanStats, WriteOutcome
from rusts.model.types import DTYPES, FieldType
from tests.support.model_catalog import ModelCatalog, ModelDatabase, ModelSeries, tag_column
from tests.support.model_points import Point, Tags, Value, bucket_of, fold_cell, holds, partial_of

__all__ = [
    "ModelScan",
    "ModelStore",
    "Point",
    "Settled",
    "Tags",
    "Value",
    "batch_of",
    "column_of",
    "python_values",
]


def column_of(type: FieldType, values: Sequence[Value | None]) -> Column:
    """A column of Python values; None = no value."""
    valid = np.array([v is not None for v in values], dtype=np.bool_)
    validity = None if valid.all() else valid
    if type is FieldType.STRING:
        return Column(type, pa.array(["" if v is None else v for v in values], type=pa.large_string()), validity)
    return Column(type, np.array([0 if v is None else v for v in values], dtype=DTYPES[type]), validity)


def python_values(column: Column) -> list[Any]:
    """The column as Python values, None where there is none."""
    values = column.values.to_pylist() if column.type is FieldType.STRING else column.values.tolist()
    return [v if ok else None for v, ok in zip(values, column.valid().tolist(), strict=True)]


def type_of(value: Value) -> FieldType:
    """The field type that a Python value stands for (an int is INTEGER)."""
    if isinstance(value, bool):
        return FieldType.BOOLEAN
    if isinstance(value, int):
        return FieldType.INTEGER
    return FieldType.FLOAT if isinstance(value, float) else FieldType.STRING


def batch_of(
    measurement: str,
    points: Sequence[tuple[Tags, int, Mapping[str, Value]]],
    types: Mapping[str, FieldType] | None = None,
) -> Batch:
    """`points` (tags, time, fields) as a Batch, in their order; row i "begins at byte" i.

    A field's type comes from its values unless `types` names it (as it must for UNSIGNED).
    """
    keys: dict[bytes, int] = {}
    series = [keys.setdefault(encode_key(measurement, tags), len(keys)) for tags, _, _ in points]
    cells: dict[tuple[str, FieldType], list[Value | None]] = {}
    for row, (_, _, fields) in enumerate(points):
        for name, value in fields.items():
            key = (name, (types or {}).get(name) or type_of(value))
            cells.setdefault(key, [None] * len(points))[row] = value
    return Batch(
        measurement,
        KeyTable.of(list(keys)),
        np.array(series, dtype=np.uint32),
        np.array([time for _, time, _ in points], dtype=np.int64),
        {key: column_of(key[1], values) for key, values in cells.items()},
        np.arange(len(points), dtype=np.int64),
    )


class Settled:
    """The Commit of a write that was durable at once."""

    def done(self) -> bool:
        return True

    def add_done_callback(self, call: Callable[[Exception | None], None]) -> None:
        call(None)

    def wait(self, timeout: float | None = None) -> None:
        del timeout


@dataclass
class ModelScan:
    """Rows in chunks of `chunk_rows`."""

    series: ModelSeries
    field_types: Mapping[str, FieldType]
    stats: ScanStats
    rows: list[tuple[int, int, Point]]
    chunk_rows: int
    check: Callable[[int], None] | None

    def __iter__(self) -> Iterator[SeriesRows]:
        for at in range(0, len(self.rows), self.chunk_rows):
            rows = sorted(self.rows[at : at + self.chunk_rows], key=lambda r: (r[1], r[0]))
            if self.check is not None:
                self.check(len(rows) * 8 * (1 + len(self.field_types)))
            numbers = sorted({series for _, series, _ in rows})
            starts = [0]
            for number in numbers:
                starts.append(starts[-1] + sum(1 for r in rows if r[1] == number))
            yield SeriesRows(
                np.array(numbers, dtype=np.uint32),
                np.array(starts, dtype=np.int64),
                np.array([time for time, _, _ in rows], dtype=np.int64),
                {name: column_of(type, [p.get(name) for _, _, p in rows]) for name, type in self.field_types.items()},
            )


class ModelStore(ModelCatalog):
    """See the module. `chunk_rows`: how many rows a scan yields at a time; `now_ns`: when it is, for policies."""

    def __init__(self, chunk_rows: int = 1 << 30, now_ns: Callable[[], int] = lambda: 0) -> None:
        super().__init__()
        self._chunk_rows = chunk_rows
        self._now_ns = now_ns

    # -- writing

    def write(self, database: str, policy: str | None, batches: Sequence[Batch]) -> WriteOutcome:
        """Point by point: the rules of field types and of the name `time`, then the upsert."""
        held = self._database(database)
        into = self._policy(held, policy)
        duration = held.policies[into].duration
        oldest = self._now_ns() - duration if duration else -(1 << 63)
        dropped: dict[str, tuple[str, list[int]]] = {}
        accepted = 0
        for batch in batches:
            columns = [(name, type, python_values(column)) for (name, type), column in batch.columns.items()]
            for row in range(len(batch)):
                key = batch.keys[int(batch.series[row])]
                cells = [(name, type, values[row]) for name, type, values in columns if values[row] is not None]
                if int(batch.times[row]) < oldest:
                    fault: tuple[str, str] | None = ("beyond_retention", "points beyond retention policy")
                else:
                    fault = self._fault(held, batch.measurement, key, cells)
                if fault is not None:
                    kind, message = fault
                    dropped.setdefault(kind, (message, []))[1].append(int(batch.starts[row]))
                    continue
                types = held.types.setdefault(batch.measurement, {})
                types.update({name: type for name, type, _ in cells if name != "time"})
                places = held.series.setdefault(batch.measurement, {})
                if key not in places:
                    places[key] = held.next_place
                    held.next_place += 1
                series = held.points.setdefault((into, batch.measurement), {}).setdefault(key, {})
                point = series.setdefault(int(batch.times[row]), {})
                point.update({name: value for name, _, value in cells if name != "time"})
                accepted += 1
        rejects = [Reject(kind, text, np.array(at, dtype=np.int64)) for kind, (text, at) in dropped.items()]
        return WriteOutcome(accepted, rejects, Settled())

    @staticmethod
    def _fault(
        held: ModelDatabase, measurement: str, key: bytes, cells: Sequence[tuple[str, FieldType, Value]]
    ) -> tuple[str, str] | None:
        if "time" in decode_key(key)[1]:
            return "invalid_tag_key", f'invalid tag key: input tag "time" on measurement "{measurement}" is invalid'
        if all(name == "time" for name, _, _ in cells):
            text = f'invalid field name: input field "time" on measurement "{measurement}" is invalid'
            return "invalid_field_name", text
        known = dict(held.types.get(measurement, {}))
        for name, type, _ in cells:
            if name != "time" and known.setdefault(name, type) is not type:
                text = (
                    f'field type conflict: input field "{name}" on measurement "{measurement}" is type {type.text}, '
                    f"already exists as type {known[name].text}"
                )
                return "field_type_conflict", text
        return None

    # -- reading

    def scan(self, request: ScanRequest) -> ModelScan:
        keys, types, rows = self._select(request, request.fields)
        rows.sort(key=lambda r: (-r[0] if request.descending else r[0], r[1]))
        stats = ScanStats(rows_scanned=len(rows), series=len(keys))
        series = ModelSeries(keys, self.tag_keys(request.database, request.measurement))
        return ModelScan(series, types, stats, rows, self._chunk_rows, request.check)

    def changes(self, database: str, policy: str | None, measurement: str) -> Changes | None:
        """None: nothing that this store answers may be kept."""
        del database, policy, measurement

    def fold(self, request: FoldRequest) -> FoldResult:
        names = tuple(dict.fromkeys(state.field for state in request.states))
        keys, types, rows = self._select(request, names)
        tags = [decode_key(key)[1] for key in keys]
        cells: dict[tuple[tuple[str, ...], int], list[tuple[int, Point]]] = {}
        for time, number, point in rows:
            if request.group_by is None:
                group: tuple[Any, ...] = (number,)
            else:
                group = tuple(tags[number].get(k, "") for k in request.group_by)
            cells.setdefault((group, bucket_of(time, request.range, request.window)), []).append((time, point))
        if request.check is not None:
            request.check(len(rows) * 8)
        states = {
            state: [fold_cell(state, types.get(state.field), cells[cell]) for cell in sorted(cells)]
            for state in request.states
        }
        filled = [i for i in range(len(cells)) if any(parts[i][0] for parts in states.values())]
        kept = [sorted(cells)[i] for i in filled]
        groups = sorted({group for group, _ in kept})
        by_series = request.group_by is None
        columns = [tag_column([str(group[i]) for group in groups]) for i in range(len(request.group_by or ()))]
        every_tag = self.tag_keys(request.database, request.measurement)
        return FoldResult(
            groups=len(keys) if by_series else len(groups),
            tags=columns,
            series=ModelSeries(keys, every_tag) if by_series else None,
            group=np.array([g[0] if by_series else groups.index(g) for g, _ in kept], dtype=np.int64),
            bucket=np.array([bucket for _, bucket in kept], dtype=np.int64),
            states={
                state: partial_of(state, types.get(state.field), [parts[i] for i in filled])
                for state, parts in states.items()
            },
            field_types=types,
            stats=ScanStats(rows_scanned=len(rows), series=len(keys)),
        )

    def _select(
        self, request: ScanRequest | FoldRequest, fields: tuple[str, ...] | None
    ) -> tuple[list[bytes], dict[str, FieldType], list[tuple[int, int, Point]]]:
        """Keys of the series that have rows, types of the asked fields, and (time, series, asked cells)."""
        held = self._database(request.database)
        policy = self._policy(held, request.policy)
        types = held.types.get(request.measurement, {})
        asked = {n: types[n] for n in (sorted(types) if fields is None else fields) if n in types}
        stored = held.points.get((policy, request.measurement), {})
        keys: list[bytes] = []
        rows: list[tuple[int, int, Point]] = []
        for key in sorted(stored, key=held.series.get(request.measurement, {}).__getitem__):
            tags = decode_key(key)[1]
            found = [
                (time, {n: v for n, v in point.items() if n in asked})
                for time, point in stored[key].items()
                if request.range.start <= time < request.range.end and holds(request.predicate, tags, point)
            ]
            found = [(time, cells) for time, cells in found if cells]
            if found:
                rows += [(time, len(keys), cells) for time, cells in found]
                keys.append(key)
        return keys, asked, rows
