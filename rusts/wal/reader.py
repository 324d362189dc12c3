"""Reading the log: replay at the start of the server, and a look into one file for people.

What cannot be read is never passed over in silence: it comes out as `Damage`, and reading goes on at
the next good record, which its mark and the checksum of its header give away.
"""

from __future__ import annotations

import os
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Final

from rusts.errors import Corruption
from rusts.files import Files, ReadFile
from rusts.model.types import Stamp
from rusts.wal.columns import RowGatherer, decode_rows
from rusts.wal.record import (
    FILE_HEADER_BYTES,
    MARK,
    RECORD_HEADER_BYTES,
    FileHeader,
    LogPosition,
    NewNames,
    RecordHeader,
    WriteRecord,
    decode_names,
    file_name,
    file_number,
    unpack_file_header,
    unpack_record_header,
)

__all__ = ["Damage", "RecordInfo", "inspect_file", "log_bytes", "read_file_header", "replay", "replay_names"]

_WINDOW_BYTES: Final = 1 << 20

Replayed = tuple[LogPosition, LogPosition, WriteRecord]
"""Where a record starts, where it ends, and what it says."""

Wanted = Callable[[int, int, LogPosition, Stamp], bool]
"""(database, policy, where the record ends, its stamp): is it to be read?"""


_Found = tuple[int, RecordHeader, bytes, bytes]
"""A good record: its offset, header, names section and rows section."""


@dataclass(frozen=True, slots=True)
class Damage:
    """`length` bytes at `offset` of `file` that are no good record.

    `torn`: it is the end of a file that nothing says was written in full, as every crash may leave one.
    """

    file: str
    offset: int
    length: int
    reason: str
    torn: bool = False


@dataclass(frozen=True, slots=True)
class RecordInfo:
    """A record and what it takes on disk, for people: sizes in bytes."""

    position: LogPosition
    size: int
    names_size: int
    rows_size: int
    record: WriteRecord


class _Window:
    """A file through a window of a megabyte that moves on."""

    def __init__(self, file: ReadFile, end: int) -> None:
        self._file = file
        self.end = end
        """Bytes behind it are not looked at."""
        self._start = 0
        self._data = b""

    def find(self, offset: int, size: int) -> tuple[bytes, int]:
        """Bytes that hold ``offset:offset + size``, and where in them `offset` is; fewer at the file's end."""
        at = offset - self._start
        if at < 0 or at + size > len(self._data):
            length = min(max(size, _WINDOW_BYTES), self.end - offset)
            self._data = self._file.pread(length, offset) if length > 0 else b""
            self._start = offset
            at = 0
        return self._data, at

    def take(self, offset: int, size: int) -> bytes:
        """The bytes ``offset:offset + size``; fewer at the file's end."""
        if size == 0:
            return b""
        if size > _WINDOW_BYTES:
            return self._file.pread(min(size, self.end - offset), offset)
        data, at = self.find(offset, size)
        return data[at : at + size]


class _LogReader:
    """The records of one file, from `start` on, up to `end` (None: as far as they go).

    `whole`: its records are known to reach `end`; a shorter file is damaged, not torn.
    """

    def __init__(self, files: Files, path: str, header: FileHeader, start: int, end: int | None) -> None:
        self.path = path
        self._files = files
        self._header = header
        self._start = max(start, FILE_HEADER_BYTES)
        self._end = end

    def read(self, rows: bool, wanted: Wanted | None = None) -> Iterator[_Found | Damage]:
        """Offset, header, names section and rows section (empty without `rows`) of each good record, and the damage.

        Damage is in its place among the records. Records that are not `wanted` are passed over unread.
        Raises FormatTooNew, OSError.
        """
        with closing(self._files.open(self.path)) as file:
            size = file.size()
            window = _Window(file, size if self._end is None else min(size, self._end))
            yield from self._read(window, rows, wanted)
            if self._end is not None and size > self._end:
                yield Damage(self.path, self._end, size - self._end, "an unfinished write", torn=True)

    def _read(self, window: _Window, rows: bool, wanted: Wanted | None) -> Iterator[_Found | Damage]:
        offset = self._start
        bad: Damage | None = None
        while offset < window.end:
            header = self._header_at(window, offset)
            if header is None:
                found = self._next_record(window, offset + 1)
                bad = self._extended(bad, offset, found - offset, "no record header")
                offset = found
                continue
            end = offset + header.size
            if wanted is not None and not wanted(header.database, header.policy, self.position(end), header.stamp):
                if bad is not None:
                    yield bad
                    bad = None
                offset = end
                continue
            names, body = self._sections(window, offset, header, rows)
            if names is None or body is None:
                bad = self._extended(bad, offset, header.size, "the checksum of a record does not match")
            else:
                if bad is not None:
                    yield bad
                    bad = None
                yield offset, header, names, body
            offset = end
        yield from self._tail(window, offset, bad)

    def position(self, offset: int) -> LogPosition:
        """`offset` in this file as a place in the log."""
        return LogPosition(self._header.number, offset)

    def _extended(self, bad: Damage | None, offset: int, length: int, reason: str) -> Damage:
        if bad is None:
            return Damage(self.path, offset, length, reason)
        return Damage(self.path, bad.offset, bad.length + length, bad.reason)

    def _tail(self, window: _Window, offset: int, bad: Damage | None) -> Iterator[Damage]:
        """What is wrong with the end of the file."""
        if self._end is None:
            if bad is not None:
                yield Damage(self.path, bad.offset, bad.length, "a torn record at the end", torn=True)
            return
        if bad is not None:
            yield bad
        if offset < self._end:
            yield Damage(self.path, offset, self._end - offset, "the end of the file is missing")

    def _header_at(self, window: _Window, offset: int) -> RecordHeader | None:
        """The good record header at `offset`, if there is one and its record fits into the file."""
        data, at = window.find(offset, RECORD_HEADER_BYTES)
        header = unpack_record_header(data, at, self.path, self._header.salt, offset)
        return header if header is not None and offset + header.size <= window.end else None

    def _sections(
        self, window: _Window, offset: int, header: RecordHeader, rows: bool
    ) -> tuple[bytes | None, bytes | None]:
        """Both sections, None for one with a wrong checksum."""
        at = offset + RECORD_HEADER_BYTES
        names = body = b""
        if header.names_size:
            names = window.take(at, header.names_size)
        if rows:
            body = window.take(at + header.names_size, header.rows_size)
        return (
            names if zlib.crc32(names) == header.names_crc else None,
            body if not rows or zlib.crc32(body) == header.rows_crc else None,
        )

    def _next_record(self, window: _Window, offset: int) -> int:
        """Where the next good record header is at or behind `offset`; the end of the file if there is none."""
        while offset < window.end:
            data, at = window.find(offset, RECORD_HEADER_BYTES)
            found = data.find(MARK, at)
            if found < 0:
                # The last bytes may be the begin of a mark.
                offset += max(1, len(data) - at - len(MARK) + 1)
                continue
            offset += found - at
            if self._header_at(window, offset) is not None:
                return offset
            offset += 1
        return window.end


def _log_files(files: Files, directory: str, start: LogPosition | None, before: LogPosition | None) -> list[int]:
    numbers = [n for name in files.list_dir(directory) if (n := file_number(name)) is not None]
    return sorted(n for n in numbers if (start is None or n >= start.file) and (before is None or n < before.file))


def read_file_header(files: Files, path: str) -> FileHeader:
    """What the log file says of itself. Raises Corruption, FormatTooNew, OSError, ValueError for another name."""
    number = file_number(os.path.basename(path))
    if number is None:
        raise ValueError(f"{path} is not named as a log file is")
    with closing(files.open(path)) as file:
        return unpack_file_header(file.pread(FILE_HEADER_BYTES, 0), path, number)


def _readers(
    files: Files, directory: str, start: LogPosition | None, before: LogPosition | None
) -> Iterator[tuple[int, _LogReader] | Damage]:
    """The files in order, each with what the file behind it says about its end, and files that are missing."""
    numbers = _log_files(files, directory, start, before)
    headers: list[FileHeader | None] = []
    damage: dict[int, Damage] = {}
    for number in numbers:
        path = os.path.join(directory, file_name(number))
        try:
            headers.append(read_file_header(files, path))
        except Corruption as problem:
            damage[number] = Damage(path, 0, files.size(path), problem.reason)
            headers.append(None)
    before_it = 0
    for index, (number, header) in enumerate(zip(numbers, headers, strict=True)):
        path = os.path.join(directory, file_name(number))
        successor = next((h for h in headers[index + 1 :] if h is not None and h.previous == number), None)
        if header is None:
            found = damage[number]
            # A file that ends in its header was being made, unless a later one says that it had records.
            unknown = successor is None or successor.previous_end == 0
            yield replace(found, torn=unknown and found.length <= FILE_HEADER_BYTES)
        else:
            if before_it and header.previous > before_it:
                missing = os.path.join(directory, file_name(header.previous))
                yield Damage(missing, 0, 0, "the file is missing")
            end = 0 if successor is None else successor.previous_end
            first = start.offset if start is not None and start.file == number else 0
            yield number, _LogReader(files, path, header, first, end or None)
        before_it = number


def replay(
    files: Files,
    directory: str,
    start: LogPosition | None = None,
    *,
    before: LogPosition | None = None,
    wanted: Wanted | None = None,
    gather_rows: int = 0,
    apart: Sequence[Stamp] = (),
) -> Iterator[Replayed | Damage]:
    """Every record at or behind `start` in the files before that of `before`, and the damage in its place among them.

    `start` is where a record starts or ended, None for the oldest there is; `before` is the `Log.first` of a log that
    is being written meanwhile. Records that are not `wanted` are left out. With `gather_rows`, small records of
    one database and policy are put together where that saves work, up to about so many rows at a time: one
    record, from where the first begins to where the last ends, at the stamp of the last. What was written before one of
    the ascending stamps `apart` is not put together with what was written after it. Records of one
    database and policy still come in order; a log of many small writes replays several times faster.
    One record, or so many rows, are in memory at a time. Raises FormatTooNew, OSError.
    """
    for source in _readers(files, directory, start, before):
        if isinstance(source, Damage):
            yield source
        elif gather_rows:
            yield from _gathered(source[1], wanted, gather_rows, apart)
        else:
            for item in source[1].read(rows=True, wanted=wanted):
                yield item if isinstance(item, Damage) else _decoded(source[1], item)


def _decoded(reader: _LogReader, item: _Found) -> Replayed | Damage:
    offset, header, names, body = item
    try:
        record = _record(header, decode_names(names, reader.path, offset))
        record.rows = decode_rows(body, reader.path, offset)
    except Corruption as problem:
        return Damage(reader.path, offset, header.size, problem.reason)
    return reader.position(offset), reader.position(offset + header.size), record


class _Gathering:
    """Records of one database and policy that become one."""

    def __init__(self, reader: _LogReader) -> None:
        self._reader = reader
        self._rows = RowGatherer()
        self._first = self._end = 0
        self._last: RecordHeader | None = None

    def take(self, offset: int, header: RecordHeader, body: bytes) -> int:
        """Add the rows of a record if they fit to those before; returns how many. Raises Corruption."""
        before = self._rows.rows
        if not self._rows.take(body, self._reader.path, offset):
            return 0
        if self._last is None:
            self._first = offset
        self._last = header
        self._end = offset + header.size
        return self._rows.rows - before

    def drain(self) -> Iterator[Replayed]:
        """What was taken, if anything was."""
        if self._last is not None:
            record = _record(self._last, NewNames())
            record.rows = self._rows.drain()
            self._last = None
            yield self._reader.position(self._first), self._reader.position(self._end), record


def _gathered(
    reader: _LogReader, wanted: Wanted | None, limit: int, apart: Sequence[Stamp]
) -> Iterator[Replayed | Damage]:
    gatherings: dict[tuple[int, int], _Gathering] = {}
    rows = era = 0
    for item in reader.read(rows=True, wanted=wanted):
        if not isinstance(item, Damage):
            offset, header, names, body = item
            key = header.database, header.policy
            if apart and bisect_right(apart, header.stamp) != era:
                era = bisect_right(apart, header.stamp)
                for older in gatherings.values():
                    yield from older.drain()
                rows = 0
            gathering = gatherings.get(key)
            if gathering is None:
                gathering = gatherings[key] = _Gathering(reader)
            try:
                taken = 0 if names else gathering.take(offset, header, body)
                if not taken:
                    yield from gathering.drain()
                    # It did not fit to what was there; now it may begin the next.
                    taken = 0 if names else gathering.take(offset, header, body)
                if not taken:
                    yield _decoded(reader, item)
                rows += taken
            except Corruption as problem:
                item = Damage(reader.path, offset, header.size, problem.reason)
        if isinstance(item, Damage) or rows >= limit:
            for gathering in gatherings.values():
                yield from gathering.drain()
            rows = 0
        if isinstance(item, Damage):
            yield item
    for gathering in gatherings.values():
        yield from gathering.drain()


def replay_names(
    files: Files, directory: str, start: LogPosition | None = None, *, before: LogPosition | None = None
) -> Iterator[Replayed | Damage]:
    """As `replay`, but reads names only: records have no rows, and those without names are left out.

    Of each file its last record and the one with the largest stamp come in any case, so that who reads
    all knows the end of the log and the largest stamp.
    """
    for source in _readers(files, directory, start, before):
        if isinstance(source, Damage):
            yield source
            continue
        number, reader = source
        newest: tuple[int, RecordHeader, bool] | None = None
        last: tuple[int, RecordHeader, bool] | None = None
        for item in reader.read(rows=False):
            if isinstance(item, Damage):
                yield item
                continue
            offset, header, section, _ = item
            if section:
                try:
                    record = _record(header, decode_names(section, reader.path, offset))
                except Corruption as problem:
                    yield Damage(reader.path, offset, header.size, problem.reason)
                    continue
                yield LogPosition(number, offset), LogPosition(number, offset + header.size), record
            last = offset, header, bool(section)
            if newest is None or header.stamp > newest[1].stamp:
                newest = last
        for found in dict.fromkeys(f for f in (newest, last) if f is not None):
            offset, header, told = found
            if not told:
                record = _record(header, NewNames())
                yield LogPosition(number, offset), LogPosition(number, offset + header.size), record


def _record(header: RecordHeader, names: NewNames) -> WriteRecord:
    return WriteRecord(header.database, header.policy, header.stamp, names.measurements, names.fields, names.series, [])


def log_bytes(
    files: Files, directory: str, start: LogPosition | None = None, *, before: LogPosition | None = None
) -> int:
    """Bytes that `replay` would read."""
    total = 0
    for number in _log_files(files, directory, start, before):
        size = files.size(os.path.join(directory, file_name(number)))
        total += size - min(size, start.offset) if start is not None and start.file == number else size
    return total


def inspect_file(files: Files, path: str) -> Iterator[RecordInfo | Damage]:
    """Every record of the log file at `path`, and its damage. Raises Corruption (no header), FormatTooNew, OSError."""
    header = read_file_header(files, path)
    reader = _LogReader(files, path, header, 0, None)
    for item in reader.read(rows=True):
        if isinstance(item, Damage):
            yield item
            continue
        decoded = _decoded(reader, item)
        if isinstance(decoded, Damage):
            yield decoded
        else:
            start, _, record = decoded
            found = item[1]
            yield RecordInfo(start, found.size, found.names_size, found.rows_size, record)
