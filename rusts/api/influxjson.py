"""Answers to InfluxQL as JSON, byte for byte as InfluxDB 1.x writes it: one document, or one a chunk.

Encoders are generators of byte strings. Statements run as their results are iterated, so everything here blocks.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from rusts.api.cells import Style, cells_of, quoted, steps, together
from rusts.influxql.results import Cuts, Frame, StatementResult
from rusts.kernels import numtext
from rusts.query.zones import zone_of

__all__ = ["CHUNK_ROWS", "encode_chunks", "encode_json", "in_unit"]

_SECOND: Final = 1_000_000_000

CHUNK_ROWS: Final = 10_000
"""How many rows a chunk has where the client does not say."""


def encode_json(
    results: Iterable[StatementResult], *, unit: int | None = None, pretty: bool = False
) -> Iterator[bytes]:
    """One document, ``{"results":[...]}``, or ``{}`` where there are no results.

    Times are whole multiples of `unit` ns since the epoch, None = RFC 3339.
    """
    return together(_document(results, _Form(Style(pretty), unit)))


def encode_chunks(
    results: Iterable[StatementResult], rows: int, *, unit: int | None = None, pretty: bool = False
) -> Iterator[bytes]:
    """A document for every `rows` rows of a series, and at least one for each statement, each on a line of its own.

    A series that goes on in the next document is marked, and so is a statement that does. What a statement's result
    says of its `cuts` goes before `rows`.
    """
    form = _Form(Style(pretty), unit)
    for result in results:
        if result.cuts is Cuts.NONE:
            yield from together(_document((result,), form))
        else:
            limit = max(1, rows) if result.cuts is Cuts.ROWS else sys.maxsize
            yield from together(_statement_chunks(result, limit, form))


class _Form:
    """How the client wants it: the layout of JSON and of times."""

    def __init__(self, style: Style, unit: int | None) -> None:
        self.style = style
        self.unit = unit
        line = style.line
        self.begin = b"{" + line(1) + b'"results"' + style.colon + b"["
        self.end = line(1) + b"]" + line(0) + b"}\n"
        self.series = b"," + line(3) + b'"series"' + style.colon + b"["
        self.values = b"," + line(5) + b'"values"' + style.colon + b"["
        self.values_end = line(5) + b"]"
        self.series_end = line(4) + b"}"
        self.partial = b'"partial"' + style.colon + b"true"

    def statement(self, result: StatementResult) -> bytes:
        """The begin of a result."""
        style = self.style
        return style.line(2) + b"{" + style.line(3) + b'"statement_id"' + style.colon + b"%d" % result.id

    def outcome(self, result: StatementResult, partial: bool = False) -> bytes:
        """The end of a result, behind its series."""
        style = self.style
        between = b"," + style.line(3)
        text = b""
        if result.messages and not partial:
            told = [
                style.object([(b'"level"', b'"warning"'), (b'"text"', quoted(message))], 4)
                for message in result.messages
            ]
            text = between + b'"messages"' + style.colon + style.array(told, 3)
        if partial:
            text += between + self.partial
        if result.error is not None:
            text += between + b'"error"' + style.colon + quoted(result.error)
        return text + style.line(2) + b"}"

    def heads(self, frame: Frame) -> _Heads:
        """What stands before the values of the frame's series."""
        style = self.style
        between = b"," + style.line(5)
        name = style.line(5) + b'"name"' + style.colon + quoted(frame.name) + between if frame.name else style.line(5)
        columns = b'"columns"' + style.colon + style.array([quoted(column) for column in frame.columns], 5)
        return _Heads(style.line(4) + b"{" + name, between + columns if frame.tag_keys else columns, frame, style)

    def cells(self, frame: Frame, zone: str | None) -> list[numtext.Cells]:
        """The frame's columns, its times first."""
        cells = cells_of(frame.cells)
        if frame.times is None:
            return cells
        if self.unit is not None:
            return [(numtext.INTEGER, in_unit(frame.times, self.unit), None, None), *cells]
        if zone is None:
            return [(numtext.TIME, frame.times, None, None), *cells]
        east = np.append(zone_of(zone).shifts(frame.times) // _SECOND, 0)
        return [(numtext.ZONED_TIME, frame.times, None, east), *cells]


class _Heads:
    """The text before each series' values: name, tags, columns."""

    def __init__(self, name: bytes, columns: bytes, frame: Frame, style: Style) -> None:
        self._name = name
        self._columns = columns
        self._frame = frame
        self._style = style
        self._keys = [quoted(key) for key in frame.tag_keys]

    def __call__(self, series: int) -> bytes:
        """The head of series number `series`."""
        if not self._keys:
            return self._name + self._columns
        members = [
            (key, quoted(tag.values[tag.codes[series]])) for key, tag in zip(self._keys, self._frame.tags, strict=True)
        ]
        style = self._style
        return self._name + b'"tags"' + style.colon + style.object(members, 5) + self._columns


@dataclass(slots=True)
class _Piece:
    """Rows of one series: each row's text begins with a comma, and ends at ``ends``."""

    head: bytes | None
    """What stands before the series' values, None where the series goes on."""
    rows: int
    text: Any
    ends: Any
    cut: bool = False


def _pieces(frame: Frame, form: _Form, zone: str | None) -> Iterator[_Piece]:
    """The frame's rows, series by series, at most a few megabytes of text at a time."""
    heads = form.heads(frame)
    starts = frame.starts.tolist()
    if not starts[-1]:
        for series in range(frame.series):
            yield _Piece(heads(series), 0, b"", ())
        return
    style = form.style
    cells = form.cells(frame, zone)
    inner = style.line(7)
    before = [b"," + style.line(6) + b"[" + inner, *[b"," + inner] * (len(cells) - 1)]
    behind = style.line(6) + b"]"
    series = 0
    for lo, hi in steps(cells, starts[-1]):
        text, ends = numtext.rows(cells, before, behind, False, lo, hi)
        view = memoryview(text)  # type: ignore[arg-type]
        while series < frame.series and starts[series] < hi:
            first, last = max(starts[series], lo), min(starts[series + 1], hi)
            begin = int(ends[first - lo - 1]) if first > lo else 0
            end = int(ends[last - lo - 1]) if last > lo else 0
            goes_on = first > starts[series] or (series == 0 and frame.continued)
            yield _Piece(
                None if goes_on else heads(series),
                last - first,
                view[begin:end],
                ends[first - lo : last - lo] - begin,
                frame.cut and last == starts[-1],
            )
            if starts[series + 1] > hi:
                break
            series += 1


# -- one document


def _document(results: Iterable[StatementResult], form: _Form) -> Iterator[Any]:
    some = False
    for result in results:
        yield (b"," if some else form.begin) + form.statement(result)
        some = True
        yield from _series(result, form)
        yield form.outcome(result)
    yield form.end if some else b"{}\n"


def _series(result: StatementResult, form: _Form) -> Iterator[Any]:
    style = form.style
    # What ends the series that is open: its values, if there are any, then itself.
    open_end = b""
    told = b""
    for frame in result.frames:
        for piece in _pieces(frame, form, result.zone):
            text = piece.text
            if piece.head is not None:
                yield (open_end + b"," if open_end else form.series) + piece.head
                open_end = form.series_end
                told = form.values
            if piece.rows:
                if told:
                    yield told
                    told = b""
                    text = text[1:]
                yield text
                partial = b"," + style.line(5) + form.partial if piece.cut else b""
                open_end = form.values_end + partial + form.series_end
    if open_end:
        yield open_end + style.line(3) + b"]"


# -- chunks


def _statement_chunks(result: StatementResult, limit: int, form: _Form) -> Iterator[Any]:
    """Each chunk is written when it is known what follows it."""
    head: bytes | None = None
    waiting: list[Any] = []
    rows = 0
    for frame in result.frames:
        for piece in _pieces(frame, form, result.zone):
            if piece.head is not None:
                if head is not None:
                    yield from _chunk(result, form, head, waiting, rows, more_rows=False, more=result.cuts is Cuts.ROWS)
                head, waiting, rows = piece.head, [], 0
            at = 0
            while at < piece.rows:
                assert head is not None
                if rows == limit:
                    yield from _chunk(result, form, head, waiting, rows, more_rows=True, more=True)
                    waiting, rows = [], 0
                take = min(limit - rows, piece.rows - at)
                begin = int(piece.ends[at - 1]) if at else 0
                waiting.append(piece.text[begin : int(piece.ends[at + take - 1])])
                at += take
                rows += take
    if head is not None:
        yield from _chunk(result, form, head, waiting, rows, more_rows=False, more=False)
    else:
        yield form.begin + form.statement(result) + form.outcome(result) + form.end


def _chunk(
    result: StatementResult,
    form: _Form,
    head: bytes,
    waiting: Sequence[Any],
    rows: int,
    *,
    more_rows: bool,
    more: bool,
) -> Iterator[Any]:
    yield form.begin + form.statement(result) + form.series + head
    if rows:
        yield form.values
        yield waiting[0][1:]
        yield from waiting[1:]
        yield form.values_end
    if more_rows:
        yield b"," + form.style.line(5) + form.partial
    yield form.series_end + form.style.line(3) + b"]" + form.outcome(result, partial=more) + form.end


def in_unit(times: Any, unit: int) -> Any:
    """int64[n] ns as whole multiples of `unit`, cut towards zero as Go divides."""
    if unit == 1:
        return times
    return np.where(times < 0, -(-times // unit), times // unit)
