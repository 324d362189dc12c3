"""Arrow tables as line protocol: which column becomes what, and the text of many rows at once.

Everything here works on whole columns with Arrow's kernels; no row is looked at by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rusts.model.time import MAX_TIME, MIN_TIME, NANOSECONDS

__all__ = ["Layout", "Lines", "Unfit", "lay_out", "lines_of"]

_MEASUREMENT: Final = ", "
_NAME: Final = ",= "
_TEXT: Final = pa.large_string()
_NOTHING: Final = pa.scalar("", _TEXT)
_DAY: Final = 86_400 * NANOSECONDS["s"]


class Unfit(ValueError):
    """The table cannot be imported as asked; the text says why."""


@dataclass(frozen=True)
class Layout:
    """What each column of a table becomes."""

    measurement: str
    time: str
    tags: tuple[str, ...]
    fields: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]
    """Columns that can be no field, each with the reason."""


@dataclass
class Lines:
    """Rows as line protocol, and what could not be written."""

    text: npt.NDArray[np.uint8]
    ends: npt.NDArray[np.int64]
    """int64[rows + 1]: row i is ``text[ends[i]:ends[i + 1]]``, with its newline."""
    lost: Counter[str] = field(default_factory=Counter)
    """Rows that are no point: how many, by reason."""
    blank: Counter[str] = field(default_factory=Counter)
    """Cells left out because line protocol has no NaN and no infinity: how many, by column."""

    def __len__(self) -> int:
        return len(self.ends) - 1

    def bodies(self, limit_bytes: int) -> Iterator[tuple[int, bytes]]:
        """The rows in pieces of at most `limit_bytes` (a longer row is a piece of its own): rows and text."""
        first = 0
        while first < len(self):
            last = int(np.searchsorted(self.ends, self.ends[first] + limit_bytes, side="right")) - 1
            last = max(last, first + 1)
            yield last - first, self.text[self.ends[first] : self.ends[last]].tobytes()
            first = last


def lay_out(schema: pa.Schema, measurement: str, time: str, tags: Sequence[str]) -> Layout:
    """Decide what becomes of each column of `schema`. Raises Unfit."""
    names = list(schema.names)
    if twice := sorted(name for name, count in Counter(names).items() if count > 1):
        raise Unfit(f"column {twice[0]!r} comes more than once")
    if problem := _name_problem(measurement):
        raise Unfit(f"measurement {measurement!r} {problem}")
    if time not in names:
        times = [f.name for f in schema if pa.types.is_temporal(f.type)]
        hint = f"; columns that hold times: {', '.join(times)}" if times else f"; columns: {', '.join(names)}"
        raise Unfit(f"there is no timestamp column {time!r}{hint}")
    if not _is_time(schema.field(time).type):
        raise Unfit(
            f"timestamp column {time!r} is {schema.field(time).type}: want timestamp, date, or int64 nanoseconds"
        )
    for tag in tags:
        if tag not in names:
            raise Unfit(f"there is no tag column {tag!r}; columns: {', '.join(names)}")
        if problem := "holds the times" if tag == time else _tag_problem(tag, schema.field(tag).type):
            raise Unfit(f"tag column {tag!r} {problem}")
    fields: list[str] = []
    left_out: list[tuple[str, str]] = []
    for column in schema:
        if column.name == time or column.name in tags:
            continue
        if problem := _field_problem(column.name, column.type):
            left_out.append((column.name, problem))
        else:
            fields.append(column.name)
    if not fields:
        raise Unfit("no column can be a field")
    return Layout(measurement, time, tuple(sorted(set(tags))), tuple(fields), tuple(left_out))


def lines_of(batch: pa.RecordBatch, layout: Layout) -> Lines:
    """The rows of `batch` as line protocol; times in ns."""
    lost: Counter[str] = Counter()
    blank: Counter[str] = Counter()
    kept = np.ones(len(batch), dtype=np.bool_)

    def drop(bad: npt.NDArray[np.bool_], reason: str) -> None:
        if count := int((bad & kept).sum()):
            lost[reason] += count
            np.logical_and(kept, ~bad, out=kept)

    times, missing, outside = _nanoseconds(batch.column(layout.time))
    drop(missing, f"column {layout.time!r} is null")
    drop(outside, f"column {layout.time!r} is outside the range of a point's time")
    head: Any = pa.scalar(_escape(layout.measurement, _MEASUREMENT), _TEXT)
    if layout.tags:
        texts = []
        for tag in layout.tags:
            text, bad = _tag_text(tag, batch.column(tag))
            drop(bad, f"tag {tag!r} has a line break, or a backslash at its end")
            texts.append(text)
        head = pc.binary_join_element_wise(head, *texts, _NOTHING, null_handling="skip")
    cells = []
    for name in layout.fields:
        text, unwritable = _field_text(name, batch.column(name))
        if unwritable:
            blank[name] += unwritable
        cells.append(text)
    # The empty text in front is never null: Arrow's join leaves a row out where all of its texts are.
    fieldset = pc.binary_join_element_wise(_NOTHING, *cells, _NOTHING, null_handling="skip")
    fieldset = pc.utf8_slice_codeunits(fieldset, 1)
    drop(_numpy(pc.equal(pc.binary_length(fieldset), 0)), "no field has a value")
    stamp = pc.binary_join_element_wise(pc.cast(pa.array(times), _TEXT), pa.scalar("\n", _TEXT), _NOTHING)
    lines = pc.binary_join_element_wise(head, fieldset, stamp, pa.scalar(" ", _TEXT))
    if not kept.all():
        lines = lines.filter(pa.array(kept))
    if isinstance(lines, pa.ChunkedArray):
        lines = lines.combine_chunks()
    _, ends, data = lines.buffers()
    bounds = np.frombuffer(ends, dtype=np.int64)[lines.offset : lines.offset + len(lines) + 1]
    return Lines(np.frombuffer(data or b"", dtype=np.uint8), bounds, lost, blank)


def _is_time(type: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(type) or pa.types.is_date(type) or type == pa.int64())


def _name_problem(name: str) -> str:
    """Why line protocol cannot hold the name, or nothing."""
    if not name:
        return "has an empty name"
    if "\n" in name or name.endswith("\\"):
        return "has a line break, or a backslash at its end, in its name"
    if name.startswith("#"):
        return "begins like a comment"
    return ""


def _tag_problem(name: str, type: pa.DataType) -> str:
    if name == "time":
        return "is called time, the name of a point's time"
    plain = _plain(type)
    if not (_is_string(plain) or pa.types.is_integer(plain) or pa.types.is_boolean(plain)):
        return f"is {type}: want a string, an integer or a boolean"
    return _name_problem(name)


def _field_problem(name: str, type: pa.DataType) -> str:
    if name == "time":
        return "is called time, the name of a point's time"
    plain = _plain(type)
    if pa.types.is_temporal(plain):
        return f"is {type}: a field holds no time"
    if not (
        _is_string(plain)
        or pa.types.is_integer(plain)
        or pa.types.is_floating(plain)
        or pa.types.is_decimal(plain)
        or pa.types.is_boolean(plain)
    ):
        return f"is {type}: a field holds a number, a boolean or a string"
    return _name_problem(name)


def _plain(type: pa.DataType) -> pa.DataType:
    """The type of the values where `type` is a dictionary."""
    return type.value_type if pa.types.is_dictionary(type) else type


def _is_string(type: pa.DataType) -> bool:
    return bool(pa.types.is_string(type) or pa.types.is_large_string(type) or pa.types.is_string_view(type))


def _escape(name: str, characters: str) -> str:
    for character in characters:
        name = name.replace(character, "\\" + character)
    return name


def _numpy(values: Any) -> npt.NDArray[Any]:
    """An array without nulls as numpy's."""
    return np.asarray(values.to_numpy(zero_copy_only=False))


def _nanoseconds(
    column: pa.Array,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Times int64[rows] in ns, and bool[rows]: which are null, which no point can have."""
    missing = _numpy(column.is_null())
    if pa.types.is_date(column.type):
        factor = _DAY if pa.types.is_date32(column.type) else NANOSECONDS["ms"]
    else:
        factor = NANOSECONDS[column.type.unit] if pa.types.is_timestamp(column.type) else 1
    if pa.types.is_date32(column.type):
        column = column.cast(pa.int32())
    raw = _numpy(pc.fill_null(column.cast(pa.int64()), 0))
    outside = (raw < -(-MIN_TIME // factor)) | (raw > MAX_TIME // factor)
    return np.where(outside, 0, raw) * factor, missing, outside


def _tag_text(name: str, column: pa.Array) -> tuple[pa.Array, npt.NDArray[np.bool_]]:
    """``,name=value`` per row, null without a value; and bool[rows]: whose value line protocol cannot hold."""
    codes = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    values = codes.dictionary.cast(_TEXT)
    bad = pc.or_(pc.ends_with(values, "\\"), pc.match_substring(values, "\n"))
    for character in _NAME:
        values = pc.replace_substring(values, character, "\\" + character)
    text = pc.binary_join_element_wise(pa.scalar(f",{_escape(name, _NAME)}=", _TEXT), values, _NOTHING)
    text = pc.if_else(pc.equal(pc.binary_length(values), 0), pa.scalar(None, _TEXT), text)
    indices = codes.indices
    return text.take(indices), _numpy(pc.fill_null(bad.take(indices), False))


def _field_text(name: str, column: pa.Array) -> tuple[pa.Array, int]:
    """``,name=value`` per row, null without a value; and how many values line protocol cannot hold."""
    type = _plain(column.type)
    if type != column.type:
        column = column.cast(type)
    unwritable = 0
    before, after = f",{_escape(name, _NAME)}=", ""
    if _is_string(type):
        before, after = before + '"', '"'
        text = column.cast(_TEXT)
        for character in '\\"':
            text = pc.replace_substring(text, character, "\\" + character)
    elif pa.types.is_boolean(type):
        text = column.cast(_TEXT)
    elif pa.types.is_integer(type):
        after = "u" if pa.types.is_unsigned_integer(type) else "i"
        text = column.cast(_TEXT)
    else:
        numbers = column.cast(pa.float64())
        finite = pc.is_finite(numbers)
        unwritable = pc.sum(pc.invert(finite)).as_py() or 0
        if unwritable:
            numbers = pc.if_else(finite, numbers, pa.scalar(None, pa.float64()))
        text = numbers.cast(_TEXT)
    return pc.binary_join_element_wise(pa.scalar(before, _TEXT), text, pa.scalar(after, _TEXT), _NOTHING), unwritable
