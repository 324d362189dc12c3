"""Writes a segment: sections batch by batch, then the footer; memory stays at a few batches."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rusts.errors import Bug
from rusts.files import TEMPORARY, Files, WriteFile
from rusts.model.batch import Column, SeriesRows, concat_columns, empty_column
from rusts.model.series import KeyTable
from rusts.model.types import FieldType
from rusts.segment.bloom import BloomBuilder
from rusts.segment.encoding import HOT, Encoded, Encoding, EncodingPolicy, encode
from rusts.segment.layout import (
    BATCH_ROWS,
    CHUNK,
    CLOCK,
    FIELD_TABLE,
    FIRST_FIELD,
    KEY_BLOCK,
    NODE,
    SECTION_TABLE,
    STAMP_CLOCK,
    STAMP_NODE,
    STATISTICS_ROWS,
    TIMES,
    ChunkFlag,
    ChunkRole,
    SectionFlag,
    SectionInput,
    SegmentHeader,
    SegmentSummary,
    pack_footer,
    pack_head,
    pack_tail,
    padding,
)
from rusts.segment.pack import pack_arrays
from rusts.segment.stats import Known, StatisticsBuilder, bits_of, long_pieces, survey

__all__ = ["write_segment"]

BLOOM_SERIES: Final = 32
"""Sections of fewer series have no bloom filter: their directory is as small."""

_WRITE_BYTES: Final = 1 << 20
_WRITE_PARTS: Final = 512

_NOTHING: Final = Known(0, None, None, None)


def write_segment(
    files: Files,
    path: str,
    header: SegmentHeader,
    sections: Iterable[SectionInput],
    policy: EncodingPolicy = HOT,
) -> SegmentSummary:
    """Write a segment, durable under `path` when this returns; sections without rows are left out.

    `sections` and their chunks are taken one after another. On any error nothing is left but, at worst,
    a file under a temporary name. Raises OSError, and Bug if the rows are not sorted as they must be.
    """
    temporary = path + TEMPORARY
    with contextlib.suppress(FileNotFoundError):
        files.remove(temporary)  # left by a crash
    file = files.create(temporary)
    try:
        writer = _Writer(file, policy)
        for section in sections:
            writer.section(section)
        summary = writer.finish(header)
        file.sync()
        file.close()
        files.publish(temporary, path)
    except BaseException:
        file.close()
        with contextlib.suppress(OSError):
            files.remove(temporary)
        raise
    return summary


class _Writer:
    def __init__(self, file: WriteFile, policy: EncodingPolicy) -> None:
        self._file = file
        self._policy = policy
        self._parts: list[Any] = [pack_head()]
        self._gathered = self._offset = len(self._parts[0])
        self._chunks = bytearray()
        self._chunk_count = 0
        self._sections: list[tuple[int, ...]] = []
        self._fields: list[tuple[Any, ...]] = []
        self._texts: dict[str, int] = {}
        self._text = bytearray()
        self._rows = 0
        self._series = 0
        self._min_time = 0
        self._max_time = -1

    def section(self, section: SectionInput) -> None:
        first_chunk = self._chunk_count
        rows = _SectionWriter(self, section, self._policy).write()
        if rows is None:
            return
        for id, name, type in section.fields:
            self._fields.append((id, *self._named(name), int(type), 0))
        self._sections.append(
            (
                section.measurement,
                rows.rows,
                rows.series,
                rows.min_time,
                rows.max_time,
                *self._named(section.name),
                len(self._fields) - len(section.fields),
                len(section.fields),
                first_chunk,
                self._chunk_count - first_chunk,
                BATCH_ROWS,
                SectionFlag.STAMPED if section.stamped else 0,
            )
        )
        self._min_time = min(self._min_time, rows.min_time) if self._rows else rows.min_time
        self._max_time = max(self._max_time, rows.max_time) if self._rows else rows.max_time
        self._rows += rows.rows
        self._series += rows.series

    def chunk(self, encoded: Encoded, column: int, batch: int, known: Known = _NOTHING, flags: int = 0) -> None:
        data = memoryview(encoded.data).cast("B")
        bounded = encoded.role is ChunkRole.VALUES and known.low is not None
        self._chunks += CHUNK.pack(
            self._offset,
            data.nbytes,
            bits_of(known.low),
            bits_of(known.high),
            encoded.parameter,
            zlib.crc32(data),
            column,
            batch,
            encoded.rows,
            encoded.nulls,
            encoded.encoding,
            encoded.version,
            encoded.role,
            flags | (ChunkFlag.BOUNDED if bounded else 0),
        )
        self._chunk_count += 1
        self._append(data, bytes(padding(self._offset + data.nbytes)))

    def finish(self, header: SegmentHeader) -> SegmentSummary:
        if len({s[0] for s in self._sections}) != len(self._sections):
            raise Bug("a segment has two sections of one measurement")
        summary = SegmentSummary(self._rows, 0, self._min_time, self._max_time, self._series)
        footer = pack_footer(
            header,
            summary,
            np.array(self._sections, dtype=SECTION_TABLE),
            np.array(self._fields, dtype=FIELD_TABLE),
            bytes(self._chunks),
            bytes(self._text),
        )
        self._append(footer, pack_tail(self._offset, footer))
        self._file.write(*self._parts)
        return SegmentSummary(self._rows, self._offset, self._min_time, self._max_time, self._series)

    def _append(self, *parts: Any) -> None:
        """Write `parts`, at the latest in `finish`: small chunks go to the file together."""
        size = sum(map(len, parts))
        self._parts += parts
        self._gathered += size
        self._offset += size
        if self._gathered >= _WRITE_BYTES or len(self._parts) >= _WRITE_PARTS:
            self._file.write(*self._parts)
            self._parts = []
            self._gathered = 0

    def _named(self, name: str) -> tuple[int, int]:
        """Offset and length of a name in the footer's text, where each name is once."""
        data = name.encode()
        at = self._texts.get(name)
        if at is None:
            at = self._texts[name] = len(self._text)
            self._text += data
        return at, len(data)


@dataclass(frozen=True, slots=True)
class _Written:
    rows: int
    series: int
    min_time: int
    max_time: int


class _SectionWriter:
    def __init__(self, writer: _Writer, section: SectionInput, policy: EncodingPolicy) -> None:
        self._writer = writer
        self._section = section
        self._policy = policy
        self._directory = _DirectoryBuilder(section.stamped)
        self._fields = [(FIRST_FIELD + i, id, type) for i, (id, _, type) in enumerate(section.fields)]
        self._statistics = {column: StatisticsBuilder(type) for column, _, type in self._fields if type.numeric}

    def write(self) -> _Written | None:
        """Write every chunk of the section; None, and nothing written, if it has no rows."""
        types = {id: type for _, id, type in self._fields}
        if self._section.stamped:
            types |= {STAMP_CLOCK: FieldType.UNSIGNED, STAMP_NODE: FieldType.UNSIGNED}
        batches = 0
        for rows in _batches(self._section.chunks, types):
            self._batch(rows, batches)
            batches += 1
        if batches == 0:
            return None
        return self._finish()

    def _batch(self, rows: SeriesRows, batch: int) -> None:
        overlaps, goes_on, first = self._directory.add(rows)
        flags = ChunkFlag.OVERLAPS if overlaps else 0
        self._column(Column(FieldType.INTEGER, rows.times), TIMES, batch, flags, times=True)
        if self._section.stamped:
            self._column(rows.columns[STAMP_CLOCK], CLOCK, batch)
            self._column(rows.columns[STAMP_NODE], NODE, batch)
        pieces = long_pieces(np.diff(rows.starts), goes_on, last=len(rows) < BATCH_ROWS)
        ordinals = pieces + first
        for column, id, _ in self._fields:
            values = rows.columns.get(id)
            if values is None:
                continue
            known = self._column(values, column, batch)
            statistics = self._statistics.get(column)
            if statistics is not None:
                statistics.add(pieces, ordinals, rows.starts, values, known)

    def _column(self, values: Column, column: int, batch: int, flags: int = 0, *, times: bool = False) -> Known:
        known = survey(values)
        for encoded in encode(values, known, self._policy, times=times):
            self._writer.chunk(encoded, column, batch, known, flags)
        return known

    def _finish(self) -> _Written:
        series, rows, low, high = self._directory.finish()
        arrays = [series.astype(np.uint64), rows, low, high]
        self._packed(ChunkRole.DIRECTORY, arrays, TIMES, 0, len(series), rising=(0,))
        long = np.flatnonzero(rows >= STATISTICS_ROWS)
        for column, statistics in self._statistics.items():
            merged = statistics.finish(long)
            if merged is not None:
                self._packed(ChunkRole.STATISTICS, merged, column, 0, len(long))
        bloom = BloomBuilder() if len(series) >= BLOOM_SERIES else None
        for block, begin in enumerate(range(0, len(series), KEY_BLOCK)):
            keys = self._keys(series[begin : begin + KEY_BLOCK])
            self._packed(ChunkRole.KEYS, [np.diff(keys.offsets), keys.data], TIMES, block, len(keys))
            if bloom is not None:
                bloom.add(keys)
        if bloom is not None:
            bits, hashes = bloom.finish()
            self._packed(ChunkRole.BLOOM, [bits], TIMES, 0, len(series), parameter=hashes)
        return _Written(int(rows.sum()), len(series), int(low.min()), int(high.max()))

    def _keys(self, series: npt.NDArray[np.uint32]) -> KeyTable:
        keys = self._section.keys(series)
        if len(keys) != len(series):
            raise Bug(f"{len(keys)} keys for {len(series)} series")
        return keys

    def _packed(
        self,
        role: ChunkRole,
        arrays: list[npt.NDArray[Any]],
        column: int,
        block: int,
        rows: int,
        *,
        rising: tuple[int, ...] = (),
        parameter: int = 0,
    ) -> None:
        data = pack_arrays(arrays, self._policy.compression, rising)
        self._writer.chunk(Encoded(role, Encoding.PACK, data, rows, 0, parameter), column, block)


class _DirectoryBuilder:
    """Gathers the runs of a section batch by batch, and checks that they are sorted."""

    def __init__(self, stamped: bool) -> None:
        self._stamped = stamped
        self._runs: list[tuple[npt.NDArray[Any], ...]] = []
        self._count = 0
        self._last_series = -1
        self._last_time = 0

    def add(self, rows: SeriesRows) -> tuple[bool, bool, int]:
        """Take the next batch's runs. Raises Bug if they are out of order.

        Returns whether the batch may hold two rows of one point, whether its first run went on from
        the batch before, and the first run's number in the section.
        """
        series, starts, times = rows.series, rows.starts, rows.times
        if not bool((starts[1:] > starts[:-1]).all()):
            raise Bug("rows for a segment have a series without rows")
        goes_on = int(series[0]) == self._last_series
        rising = times[1:] > times[:-1]
        rising[starts[1:-1] - 1] = True
        sorted_ = bool(rising.all())
        twice = False
        if not sorted_ and self._stamped:
            twice = True
            rising |= times[1:] == times[:-1]
            sorted_ = bool(rising.all())
        if goes_on:
            twice = twice or int(times[0]) == self._last_time
            sorted_ = sorted_ and (int(times[0]) > self._last_time or (twice and self._stamped))
        if not sorted_ or int(series[0]) < self._last_series or not bool((series[1:] > series[:-1]).all()):
            raise Bug(f"rows for a segment are not sorted by series and time, each point once (series {series[0]}...)")
        self._runs.append((series, np.diff(starts), times[starts[:-1]], times[starts[1:] - 1]))
        first = self._count - goes_on
        self._count += len(series) - goes_on
        self._last_series = int(series[-1])
        self._last_time = int(times[-1])
        return self._stamped and twice, goes_on, first

    def finish(self) -> tuple[npt.NDArray[Any], ...]:
        """Series uint32[n] ascending, rows, first and last time int64[n] of each run of the section."""
        series, rows, low, high = (np.concatenate(parts) for parts in zip(*self._runs, strict=True))
        firsts = np.flatnonzero(np.append(True, series[1:] != series[:-1]))
        lasts = np.append(firsts[1:], len(series)) - 1
        return series[firsts], np.add.reduceat(rows, firsts), low[firsts], high[lasts]


def _batches(chunks: Iterable[SeriesRows], types: dict[int, FieldType]) -> Iterator[SeriesRows]:
    """The rows of `chunks` in batches of `BATCH_ROWS`, the last one of fewer."""
    waiting: list[SeriesRows] = []
    gathered = 0
    for chunk in chunks:
        total = len(chunk)
        at = 0
        while at < total:
            end = min(total, at + BATCH_ROWS - gathered)
            waiting.append(_cut(chunk, at, end))
            gathered += end - at
            at = end
            if gathered == BATCH_ROWS:
                yield _joined(waiting, types)
                waiting = []
                gathered = 0
    if waiting:
        yield _joined(waiting, types)


def _cut(rows: SeriesRows, begin: int, end: int) -> SeriesRows:
    """Rows ``begin:end`` (at least one) without copying columns."""
    if begin == 0 and end == len(rows):
        return rows
    first = int(np.searchsorted(rows.starts, begin, side="right")) - 1
    last = int(np.searchsorted(rows.starts, end, side="left"))
    starts = np.clip(rows.starts[first : last + 1], begin, end) - begin
    columns = {id: column.slice(begin, end) for id, column in rows.columns.items()}
    return SeriesRows(rows.series[first:last], starts, rows.times[begin:end], columns)


def _joined(parts: list[SeriesRows], types: dict[int, FieldType]) -> SeriesRows:
    """The rows of `parts` one after another; a series at the end of one part and the start of the next is one run."""
    for part in parts:
        for id, column in part.columns.items():
            if types.get(id) is not column.type:
                raise Bug(f"a segment's field {id} is of type {column.type.text}, which its section does not say")
    if len(parts) == 1:
        return parts[0]
    series = np.concatenate([p.series for p in parts])
    lengths = np.concatenate([np.diff(p.starts) for p in parts])
    firsts = np.flatnonzero(np.append(True, series[1:] != series[:-1]))
    starts = np.zeros(len(firsts) + 1, dtype=np.int64)
    np.cumsum(np.add.reduceat(lengths, firsts), out=starts[1:])
    columns: dict[int, Column] = {}
    for id, type in types.items():
        if any(id in p.columns for p in parts):
            columns[id] = concat_columns(
                [p.columns[id] if id in p.columns else empty_column(type, len(p)) for p in parts]
            )
    times = np.concatenate([p.times for p in parts])
    return SeriesRows(series[firsts], starts, times, columns)
