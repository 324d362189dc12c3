"""Reads a segment: the footer when it is opened, everything else when it is asked for.

A reader is safe for any number of threads: the file is read by pread, what is decoded is never
changed, and two threads that want the same chunk at once at worst both decode it. Every chunk's CRC
is checked before it is decoded.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rusts.errors import Corruption
from rusts.files import Files
from rusts.model.batch import Column
from rusts.model.series import KeyTable
from rusts.model.types import FieldType
from rusts.segment.bloom import BloomFilter, tag_element
from rusts.segment.cache import ColumnCache
from rusts.segment.chunkfile import ChunkFile
from rusts.segment.encoding import Encoding, decode, decode_validity
from rusts.segment.layout import (
    CLOCK,
    FIRST_FIELD,
    KEY_BLOCK,
    NODE,
    STATISTICS_ROWS,
    TAIL_BYTES,
    TIMES,
    ChunkFlag,
    ChunkRecord,
    ChunkRole,
    Footer,
    SectionFlag,
    SegmentHeader,
    parse_footer,
    parse_tail,
)
from rusts.segment.pack import unpack_arrays
from rusts.segment.stats import ChunkStats, RunStats, expand, value_of

__all__ = [
    "Directory",
    "Section",
    "SectionDescription",
    "SegmentDescription",
    "SegmentReader",
    "describe_segment",
]

_READ_AHEAD: Final = 1 << 14
"""Bytes read from the file's end when it is opened: most footers are in them."""

_ABSENT: Final = -1
_LONGEST_KEY: Final = 1 << 17


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Directory:
    """The runs of a section, one a series.

    `series` uint32[n] ascending; run r is the rows ``starts[r]:starts[r + 1]`` of the section (int64[n + 1]);
    `low` and `high` int64[n] are its first and last time in ns.
    """

    series: npt.NDArray[np.uint32]
    starts: npt.NDArray[np.int64]
    low: npt.NDArray[np.int64]
    high: npt.NDArray[np.int64]

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the arrays take."""
        return self.series.nbytes + self.starts.nbytes + self.low.nbytes + self.high.nbytes


class SegmentReader:
    """An open segment. `header` says what it is, `sections` has a section for each measurement id in it.

    `rows`, `series`, `bytes`, `min_time` and `max_time` (ns, inclusive) are of the whole file. The file is
    closed by `close`, or with the last reference to the reader and its sections.
    """

    def __init__(self, chunks: ChunkFile) -> None:
        footer = chunks.footer
        self._chunks = chunks
        self.path = chunks.path
        self.bytes = chunks.size
        self.footer = footer
        self.header: SegmentHeader = footer.header
        self.rows = footer.rows
        self.series = footer.series
        self.min_time = footer.min_time
        self.max_time = footer.max_time
        self.sections: Mapping[int, Section] = _Sections(chunks)

    @classmethod
    def open(cls, files: Files, path: str, cache: ColumnCache | None = None) -> SegmentReader:
        """Open the segment at `path`. Raises OSError, Corruption or FormatTooNew."""
        file = files.open(path)
        try:
            size = file.size()
            at = max(0, size - _READ_AHEAD)
            end = file.pread(size - at, at)
            offset, length, crc = parse_tail(path, size, end[-TAIL_BYTES:])
            if offset >= at:
                data = end[offset - at : offset - at + length]
            else:
                data = file.pread(at - offset, offset) + end[: length - (at - offset)]
            return cls(ChunkFile(file, size, parse_footer(path, offset, data, crc), offset, cache))
        except BaseException:
            file.close()
            raise

    def close(self) -> None:
        """Close the file; twice does no harm."""
        self._chunks.close()

    def verify(self) -> list[Corruption]:
        """Every place of the file that is not what was written there. Raises OSError."""
        return self._chunks.verify()


class _Sections(Mapping[int, "Section"]):
    """The sections of a segment by measurement id, each made when it is first asked for."""

    def __init__(self, chunks: ChunkFile) -> None:
        self._chunks = chunks
        self._rows = {id: row for row, id in enumerate(chunks.footer.sections["measurement"].tolist())}
        self._made: dict[int, Section] = {}

    def __getitem__(self, measurement: int) -> Section:
        section = self._made.get(measurement)
        if section is None:
            section = self._made[measurement] = Section(self._chunks, self._rows[measurement])
        return section

    def __iter__(self) -> Iterator[int]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


class Section:
    """One measurement's rows in a segment, sorted by (series, time), in batches of `batch_rows`.

    `fields` gives name and type of each field id; `rows`, `series_count`, `batches`, `min_time` and
    `max_time` (ns, inclusive) are known without reading anything. Methods that read raise OSError,
    Corruption or FormatTooNew.
    """

    def __init__(self, file: ChunkFile, row: int) -> None:
        self._file = file
        footer = file.footer
        (
            self.measurement, self.rows, self.series_count, self.min_time, self.max_time,
            name_offset, name_length, first_field, field_count, first_chunk, chunk_count, self.batch_rows, flags,
        ) = footer.sections[row].tolist()  # fmt: skip
        if first_field + field_count > len(footer.fields) or first_chunk + chunk_count > len(footer.chunks):
            raise file.footer_damage("a section's tables reach outside the footer")
        if not 0 < self.batch_rows < 1 << 31:
            raise file.footer_damage("a section's batches have no size")
        self.stamped = bool(flags & SectionFlag.STAMPED)
        self.batches = -(-self.rows // self.batch_rows)
        self._first_chunk = first_chunk
        self._chunks = footer.chunks[first_chunk : first_chunk + chunk_count]
        self.fields: dict[int, tuple[str, FieldType]] = {}
        self._columns: dict[int, int] = {}
        try:
            self.name = _text(footer, name_offset, name_length)
            for i, (id, offset, length, type, _) in enumerate(
                footer.fields[first_field : first_field + field_count].tolist()
            ):
                self.fields[id] = _text(footer, offset, length), FieldType(type)
                self._columns[id] = FIRST_FIELD + i
        except ValueError as problem:
            raise file.footer_damage(f"a section's fields are wrong: {problem}") from None
        self._grid = self._index(FIRST_FIELD + field_count)
        self._directory: weakref.ref[Directory] | None = None

    @property
    def chunks(self) -> npt.NDArray[Any]:
        """The section's lines of the chunk table (dtype `layout.CHUNK_TABLE`), for tools."""
        return self._chunks

    def _index(self, columns: int) -> npt.NDArray[np.int32]:
        """int32[columns, batches]: which line of the section's chunks has the values; `_ABSENT` = none."""
        grid = np.full((columns, self.batches), _ABSENT, dtype=np.int32)
        values = np.flatnonzero(self._chunks["role"] == ChunkRole.VALUES)
        column, batch = self._chunks["column"][values], self._chunks["batch"][values]
        if len(values) and (int(column.max()) >= columns or int(batch.max()) >= self.batches):
            raise self._file.footer_damage("a chunk is of no column or no batch of its section")
        grid[column, batch] = values
        return grid

    # What the directory knows.

    def directory(self) -> Directory:
        """The runs of the section."""
        directory = self._directory() if self._directory is not None else None
        if directory is None:
            key = (self.measurement, ChunkRole.DIRECTORY, 0, 0)
            directory = self._file.cached(key, self._read_directory)
            self._directory = weakref.ref(directory)
        return directory

    @property
    def series(self) -> npt.NDArray[np.uint32]:
        """uint32[n]: the series of each run, ascending."""
        return self.directory().series

    @property
    def starts(self) -> npt.NDArray[np.int64]:
        """int64[n + 1]: where each run begins in the section's rows."""
        return self.directory().starts

    def _read_directory(self) -> Directory:
        record = self._one(ChunkRole.DIRECTORY)
        series, rows, low, high = self._arrays(record, 4, 32 * self.series_count + 1024)
        count = self.series_count
        sizes = len(series) == len(rows) == len(low) == len(high) == count
        if not sizes or series.dtype != np.uint64 or any(a.dtype != np.int64 for a in (rows, low, high)):
            raise Corruption(self._file.path, record.offset, "a directory is not of the section's size")
        starts = np.zeros(count + 1, dtype=np.int64)
        np.cumsum(rows, out=starts[1:])
        if count and (int(rows.min()) < 1 or int(series.max()) >= 1 << 32 or int(starts[-1]) != self.rows):
            raise Corruption(self._file.path, record.offset, "a directory's runs are wrong")
        return Directory(series.astype(np.uint32), starts, low, high)

    def keys(self) -> tuple[npt.NDArray[np.uint32], KeyTable]:
        """The series numbers, and the canonical key of each, in the same order."""
        data, lengths = [], []
        for block in range(-(-self.series_count // KEY_BLOCK)):
            record = self._one(ChunkRole.KEYS, block)
            sizes, texts = self._arrays(record, 2, _LONGEST_KEY * min(KEY_BLOCK, self.series_count))
            if sizes.dtype != np.int64 or texts.dtype != np.uint8 or len(sizes) != record.rows:
                raise Corruption(self._file.path, record.offset, "keys of the wrong type")
            if len(sizes) and (int(sizes.min()) < 0 or int(sizes.sum()) != len(texts)):
                raise Corruption(self._file.path, record.offset, "the lengths of keys do not add up")
            lengths.append(sizes)
            data.append(texts)
        offsets = np.zeros(self.series_count + 1, dtype=np.int64)
        if lengths:
            whole = np.concatenate(lengths)
            if len(whole) != self.series_count:
                raise self._file.footer_damage("not a key for each series")
            np.cumsum(whole, out=offsets[1:])
        return self.series, KeyTable(np.concatenate(data) if data else np.empty(0, dtype=np.uint8), offsets)

    def run_stats(self, field: int) -> RunStats | None:
        """Statistics of the runs of >= `STATISTICS_ROWS` rows; None if the field has none."""
        column = self._columns[field]
        record = self._find(ChunkRole.STATISTICS, column)
        if record is None:
            return None
        type = self.fields[field][1]

        def read() -> RunStats:
            has = np.diff(self.starts) >= STATISTICS_ROWS
            arrays = self._arrays(record, 4, 32 * record.rows + 1024)
            try:
                return expand(has, arrays, type)
            except ValueError as problem:
                raise Corruption(self._file.path, record.offset, str(problem)) from None

        return self._file.cached((self.measurement, ChunkRole.STATISTICS, column, 0), read)

    def might_have_series(self, key: bytes) -> bool:
        """False only if no series has the canonical key `key`."""
        bloom = self._bloom()
        return bloom is None or bloom.might_contain(key)

    def might_have_tag(self, key: str, value: str) -> bool:
        """False only if no series has the tag `key` with the (not empty) `value`."""
        bloom = self._bloom()
        return bloom is None or bloom.might_contain(tag_element(key, value))

    def _bloom(self) -> BloomFilter | None:
        record = self._find(ChunkRole.BLOOM)
        if record is None:
            return None

        def read() -> BloomFilter:
            (bits,) = self._arrays(record, 1, self._file.size)
            try:
                return BloomFilter(bits, record.parameter)
            except ValueError as problem:
                raise Corruption(self._file.path, record.offset, str(problem)) from None

        return self._file.cached((self.measurement, ChunkRole.BLOOM, 0, 0), read)

    # What the footer knows.

    def chunk_stats(self, field: int, batch: int) -> ChunkStats | None:
        """Nulls and bounds of a field in a batch; None if no row there has a value."""
        record = self._values(self._columns[field], batch)
        if record is None:
            return None
        if not record.flags & ChunkFlag.BOUNDED:
            return ChunkStats(record.nulls, None, None)
        type = self.fields[field][1]
        return ChunkStats(record.nulls, value_of(type, record.min), value_of(type, record.max))

    def time_range(self, batch: int) -> tuple[int, int]:
        """The smallest and the largest time of a batch."""
        record = self._times_record(batch)
        low, high = value_of(FieldType.INTEGER, record.min), value_of(FieldType.INTEGER, record.max)
        return int(low), int(high)

    # The rows.

    def times(self, batch: int) -> npt.NDArray[np.int64]:
        """int64[rows of the batch]: the times in ns. Read-only."""
        record = self._times_record(batch)
        column = self._file.cached(
            (self.measurement, ChunkRole.VALUES, TIMES, batch), lambda: self._decode(FieldType.INTEGER, record)
        )
        times: npt.NDArray[np.int64] = column.values
        return times

    def column(self, field: int, batch: int) -> Column | None:
        """The field over the rows of a batch, read-only; None if no row there has a value."""
        return self._column(self.fields[field][1], self._columns[field], batch)

    def stamps(self, batch: int) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint16]]:
        """The stamps' clocks and nodes over the rows of a batch of a stamped section."""
        clock, node = (self._column(FieldType.UNSIGNED, column, batch) for column in (CLOCK, NODE))
        if clock is None or node is None:
            raise self._file.footer_damage("a stamped batch has no stamps")
        return clock.values, node.values.astype(np.uint16)

    def _column(self, type: FieldType, column: int, batch: int) -> Column | None:
        record = self._values(column, batch)
        if record is None:
            return None
        return self._file.cached(
            (self.measurement, ChunkRole.VALUES, column, batch), lambda: self._decode(type, record)
        )

    def _times_record(self, batch: int) -> ChunkRecord:
        record = self._values(TIMES, batch)
        if record is None or not record.flags & ChunkFlag.BOUNDED:
            raise self._file.footer_damage(f"batch {batch} has no times")
        return record

    def _values(self, column: int, batch: int) -> ChunkRecord | None:
        line = int(self._grid[column, batch])
        return None if line == _ABSENT else self._file.record(self._first_chunk + line)

    def _decode(self, type: FieldType, record: ChunkRecord) -> Column:
        expected = min(self.batch_rows, self.rows - record.batch * self.batch_rows)
        if record.rows != expected or record.nulls > record.rows:
            raise Corruption(self._file.path, record.offset, f"a chunk of {record.rows} rows instead of {expected}")
        data = self._file.read(record)
        validity = None
        apart = self._find(ChunkRole.VALIDITY, record.column, record.batch) if record.nulls else None
        try:
            if apart is not None:
                validity = decode_validity(apart, self._file.read(apart))
            column = decode(type, record, data, validity)
        except ValueError as problem:
            raise Corruption(self._file.path, record.offset, str(problem)) from None
        if type is not FieldType.STRING:
            column.values.flags.writeable = False
        if column.validity is not None:
            column.validity.flags.writeable = False
        return column

    def _find(self, role: ChunkRole, column: int = 0, batch: int = 0) -> ChunkRecord | None:
        chunks = self._chunks
        lines = np.flatnonzero((chunks["role"] == role) & (chunks["column"] == column) & (chunks["batch"] == batch))
        return self._file.record(self._first_chunk + int(lines[0])) if len(lines) else None

    def _one(self, role: ChunkRole, block: int = 0) -> ChunkRecord:
        record = self._find(role, 0, block)
        if record is None:
            raise self._file.footer_damage(f"a section has no chunk of {role.name.lower()}")
        return record

    def _arrays(self, record: ChunkRecord, count: int, limit: int) -> list[npt.NDArray[Any]]:
        data = self._file.read(record)
        try:
            if record.encoding != Encoding.PACK:
                raise ValueError(f"arrays in encoding {record.encoding}")
            return unpack_arrays(data, count, limit)
        except ValueError as problem:
            raise Corruption(self._file.path, record.offset, str(problem)) from None


def _text(footer: Footer, offset: int, length: int) -> str:
    if offset + length > len(footer.text):
        raise ValueError("a name reaches outside the footer's text")
    return footer.text[offset : offset + length].decode()


@dataclass(frozen=True, slots=True)
class SectionDescription:
    """A measurement as a segment knows it: `fields` are (id, name, type), `numbers` uint32[n] and `keys` its series."""

    measurement: int
    name: str
    fields: list[tuple[int, str, FieldType]]
    numbers: npt.NDArray[np.uint32]
    keys: KeyTable


@dataclass(frozen=True, slots=True)
class SegmentDescription:
    """All that a segment says of the catalog: enough to list it, and to name what is in it."""

    header: SegmentHeader
    rows: int
    bytes: int
    min_time: int
    max_time: int
    sections: list[SectionDescription]


def describe_segment(reader: SegmentReader) -> SegmentDescription:
    """What a catalog that lost everything learns from the segment. Raises OSError, Corruption, FormatTooNew."""
    sections = []
    for measurement, section in reader.sections.items():
        fields = [(id, name, type) for id, (name, type) in section.fields.items()]
        sections.append(SectionDescription(measurement, section.name, fields, *section.keys()))
    return SegmentDescription(reader.header, reader.rows, reader.bytes, reader.min_time, reader.max_time, sections)
