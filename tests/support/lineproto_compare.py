"""What a kernel read, as plain points and bad lines, so that it can be compared with the reference."""

from __future__ import annotations

import struct
from types import ModuleType
from typing import Any
from unittest.mock import patch

from rusts.lineprotocol import LineError, Parsed, parser
from rusts.model.batch import Batch, Column
from rusts.model.series import decode_key
from rusts.model.types import FieldType
from tests.support import lineproto_reference as reference

__all__ = ["agree", "plain", "points_of", "read_with"]


def points_of(batches: list[Batch]) -> list[reference.Point]:
    """The points of `batches` in the order of their lines."""
    points = []
    for batch in batches:
        keys = [decode_key(batch.keys[i]) for i in range(len(batch.keys))]
        assert len(set(map(str, keys))) == len(keys), "a series has two keys"
        assert sorted(set(batch.series.tolist())) == list(range(len(keys))), "a key has no row"
        columns = {key: _values(column) for key, column in batch.columns.items()}
        for row in range(len(batch)):
            measurement, tags = keys[batch.series[row]]
            assert measurement == batch.measurement
            fields = {key: values[row] for key, values in columns.items() if values[row] is not None}
            points.append(reference.Point(int(batch.starts[row]), measurement, tags, fields, int(batch.times[row])))
    return sorted(points, key=lambda point: point.start)


def plain(parsed: Parsed) -> tuple[list[Any], list[reference.Bad]]:
    """Points (floats by their bits) and bad lines."""
    return [_exact(point) for point in points_of(parsed.batches)], [_bad(error) for error in parsed.errors]


def read_with(kernel: ModuleType, buffer: bytes, ends: list[int], units: list[int], now: list[int]) -> Parsed:
    """`parse` by `kernel`, whichever build it is."""
    with patch.object(parser, "lineproto", kernel):
        return parser.parse(buffer, ends=ends, units=units, now=now)


def agree(kernels: list[ModuleType], bodies: list[bytes], units: list[int], now: list[int]) -> None:
    """Every kernel reads the bodies as the reference does. AssertionError names the first body that differs."""
    buffer = b"".join(bodies)
    ends = [0] * len(bodies)
    end = 0
    for i, body in enumerate(bodies):
        end = ends[i] = end + len(body)
    points, bad = reference.read(buffer, ends, units, now)
    want = [_exact(point) for point in points]
    for kernel in kernels:
        got, errors = plain(read_with(kernel, buffer, ends, units, now))
        if (got, errors) != (want, bad):
            begin = 0
            for end in ends:
                pick = [[x for x in xs if begin <= x.start < end] for xs in (got, want)]
                faults = [[x for x in xs if begin <= x.start < end] for xs in (errors, bad)]
                assert pick[0] == pick[1], (
                    f"{kernel.__file__}: {buffer[begin:end]!r} at {begin} gives other points: {pick}"
                )
                assert faults[0] == faults[1], (
                    f"{kernel.__file__}: {buffer[begin:end]!r} at {begin} gives other faults: {faults}"
                )
                begin = end
            raise AssertionError("points or faults outside every body")


def _values(column: Column) -> list[Any]:
    values = column.values.to_pylist() if column.type is FieldType.STRING else column.values.tolist()
    return [value if ok else None for value, ok in zip(values, column.valid().tolist(), strict=True)]


def _exact(point: reference.Point) -> Any:
    """Floats by bits, so that -0.0 is not 0.0."""
    fields = {
        key: struct.pack("<d", value) if key[1] is FieldType.FLOAT else value for key, value in point.fields.items()
    }
    return reference.Point(point.start, point.measurement, point.tags, fields, point.time)


def _bad(error: LineError) -> reference.Bad:
    return reference.Bad(error.start, error.end, error.column, error.reason)
