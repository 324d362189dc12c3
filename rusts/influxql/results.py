"""What statements answer, before it is bytes: a result for each statement, in frames of columns.

A frame holds rows of one or more series of an answer, in columns; a SELECT's frames are the tables of its plan, SHOW's
are made here. An encoder iterates the frames of a result, and asks for its messages and its error after that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rusts.model.batch import Column
from rusts.model.series import TagColumn
from rusts.model.types import DTYPES, FieldType
from rusts.query.table import Table

__all__ = ["Cell", "Cuts", "Frame", "StatementResult", "first_rows", "frame_of", "frame_of_table", "text_column"]

Cell = str | bool | int | float | None
"""A value of the small answers that are made of Python's own."""

_ONE: Final = np.zeros(1, dtype=np.uint32)


@dataclass(slots=True)
class Frame:
    """Rows of the series of an answer, one series after another.

    Series s has the rows ``starts[s]:starts[s + 1]`` (`starts` int64[series + 1], starts[0] == 0) and for the tag
    ``tag_keys[i]`` the value ``tags[i].values[tags[i].codes[s]]``. `columns` names what a row holds: with `times`
    (int64[rows] ns) first the time, then `cells`. A `name` of "" is none. With `continued`, the first series goes on
    from the frame before; with `cut`, the last one has more rows than are told. A series without rows is told by its
    columns alone.
    """

    name: str
    columns: tuple[str, ...]
    starts: npt.NDArray[np.int64]
    cells: Sequence[Column]
    times: npt.NDArray[np.int64] | None = None
    tag_keys: tuple[str, ...] = ()
    tags: Sequence[TagColumn] = ()
    continued: bool = False
    cut: bool = False

    def __len__(self) -> int:
        return int(self.starts[-1])

    @property
    def series(self) -> int:
        """How many series there are."""
        return len(self.starts) - 1


class Cuts(StrEnum):
    """Where an answer in chunks is cut, as InfluxDB does it."""

    ROWS = "rows"
    """After so many rows, and behind each series."""
    SERIES = "series"
    """Behind each series, which is whole, and nobody is told that more follows."""
    NONE = "none"


@dataclass(slots=True)
class StatementResult:
    """The answer to one statement. Iterate `frames` once; what it raises stands in `error` when it has ended.

    `messages` are warnings for the client. Times are shown in the IANA zone `zone`, None = UTC.
    """

    id: int
    frames: Iterator[Frame]
    messages: list[str] = field(default_factory=list)
    error: str | None = None
    zone: str | None = None
    cuts: Cuts = Cuts.ROWS


def text_column(texts: Sequence[str] | pa.Array) -> Column:
    """A column of strings without nulls."""
    return Column(FieldType.STRING, pa.array(texts, pa.large_string()) if not isinstance(texts, pa.Array) else texts)


def frame_of(
    name: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    tags: Sequence[tuple[str, str]] = (),
    times: Sequence[int] | None = None,
) -> Frame:
    """One series of few rows. `rows` leave the time out, if there are `times`."""
    count = len(columns) - (times is not None)
    cells = [_column([row[i] for row in rows]) for i in range(count)]
    return Frame(
        name,
        tuple(columns),
        np.array([0, len(rows)], dtype=np.int64),
        cells,
        None if times is None else np.array(times, dtype=np.int64),
        tuple(key for key, _ in tags),
        [TagColumn(_ONE, [value]) for _, value in tags],
    )


def _column(values: Sequence[Cell]) -> Column:
    known = [value for value in values if value is not None]
    valid = None if len(known) == len(values) else np.array([value is not None for value in values], dtype=np.bool_)
    if all(isinstance(value, bool) for value in known):
        return Column(FieldType.BOOLEAN, np.array([bool(value) for value in values], dtype=np.bool_), valid)
    if all(isinstance(value, int) for value in known):
        return _numbers(FieldType.INTEGER, values, valid)
    if all(isinstance(value, int | float) for value in known):
        return _numbers(FieldType.FLOAT, values, valid)
    texts = ["" if value is None else str(value) for value in values]
    return Column(FieldType.STRING, pa.array(texts, pa.large_string()), valid)


def _numbers(type: FieldType, values: Sequence[Any], valid: npt.NDArray[np.bool_] | None) -> Column:
    return Column(type, np.array([0 if value is None else value for value in values], dtype=DTYPES[type]), valid)


def frame_of_table(table: Table, columns: tuple[str, ...], group_by: tuple[str, ...]) -> Frame:
    """A table of a plan's answer; `columns` begins with the name of the time. Groups without rows are left out."""
    starts, tags, continued = table.starts, table.tags, table.continued
    filled = starts[1:] > starts[:-1]
    if not filled.all():
        continued = continued and bool(filled[0])
        tags = [TagColumn(tag.codes[filled], tag.values) for tag in tags]
        starts = np.append(starts[:-1][filled], starts[-1])
    if len(group_by) > 1 and any(b < a for a, b in pairwise(group_by)):
        # Tags are told by name, in whatever order the query has them.
        order = sorted(range(len(group_by)), key=group_by.__getitem__)
        group_by = tuple(group_by[i] for i in order)
        tags = [tags[i] for i in order]
    return Frame(table.measurement, columns, starts, table.columns, table.times, group_by, tags, continued)


def first_rows(results: Iterable[StatementResult], limit: int) -> Iterator[StatementResult]:
    """`results` until there are `limit` rows of them together; a series that has more than is told is marked."""
    left = limit

    def bounded(frames: Iterator[Frame]) -> Iterator[Frame]:
        nonlocal left
        held: Frame | None = None
        for frame in frames:
            if held is not None:
                if left == 0:
                    held.cut = frame.continued
                    break
                yield held
            if len(frame) > left:
                held, left = _head(frame, left), 0
                break
            left -= len(frame)
            held = frame
        if held is not None:
            yield held

    for result in results:
        result.frames = bounded(result.frames)
        yield result
        if left == 0:
            return


def _head(frame: Frame, rows: int) -> Frame:
    """The first `rows` of a frame that has more."""
    last = int(np.searchsorted(frame.starts, rows, side="left"))
    return replace(
        frame,
        starts=np.append(frame.starts[:last], rows),
        cells=[column.slice(0, rows) for column in frame.cells],
        times=None if frame.times is None else frame.times[:rows],
        tags=[TagColumn(tag.codes[:last], tag.values) for tag in frame.tags],
        cut=bool(frame.starts[last] > rows),
    )
