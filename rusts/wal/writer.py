"""The log: appends writes to its newest file, syncs them, begins new files and removes old ones.

A write is one record, whole or absent: what an error leaves of one is cut off, and where that cannot be done
the file is given up. A file whose fdatasync failed is never synced nor written again.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
from collections.abc import Iterator, Sequence
from typing import Final

from rusts import errors
from rusts.clock import Clock
from rusts.files import Files, WriteFile, is_full
from rusts.model.batch import Rows
from rusts.model.store import Commit
from rusts.model.types import Stamp
from rusts.wal.columns import RowEncoder
from rusts.wal.names import FileNames, Names
from rusts.wal.record import (
    FILE_HEADER_BYTES,
    VERSION,
    FileHeader,
    LogPosition,
    encode_names,
    file_name,
    file_number,
    pack_file_header,
    pack_record_header,
)
from rusts.wal.sync import DONE, GroupCommit, LogMode, UnsyncedAge

__all__ = ["Log"]

_STALL_INTERVALS: Final = 10
"""So many intervals old may the oldest unsynced write be; then writers wait, up to as long again."""

_QUEUE_BYTES_MAX: Final = 256 << 20
"""In `every-write`: so many bytes may wait for the log thread, then writers wait."""


_Settled = list[tuple[GroupCommit, Exception | None]]
"""Tickets, and what to settle them with."""


class _LogFile:
    """A file of the log while it can still change; it is made on disk by its first `write`.

    `end` is where the next record begins, those in `queue` counted; `good` is where the records end that
    the kernel has (0 while there is no file). `broken`: an error left bytes that count for nothing.
    """

    __slots__ = ("broken", "end", "good", "handle", "header", "linked", "names", "path", "queue")

    def __init__(self, path: str, header: FileHeader, names: Names) -> None:
        self.path = path
        self.header = header
        self.names = FileNames(names)
        self.handle: WriteFile | None = None
        self.linked = False
        """The name survives a power loss."""
        self.broken = False
        self.end = FILE_HEADER_BYTES
        self.good = 0
        self.queue: list[bytes] = []

    @property
    def number(self) -> int:
        return self.header.number

    @property
    def position(self) -> LogPosition:
        return LogPosition(self.header.number, self.end)

    def begun(self) -> bool:
        """It has records, or will have."""
        return self.end > FILE_HEADER_BYTES

    def write(self, files: Files, *records: bytes) -> None:
        """Hand `records` to the kernel. Raises OSError; the file is then as it was before, or `broken`."""
        handle = self.handle
        if handle is not None:
            try:
                handle.write(*records)
            except OSError:
                self._undo(handle)
                raise
        else:
            handle = files.create(self.path)
            try:
                handle.write(pack_file_header(self.header), *records)
            except OSError:
                handle.close()
                try:
                    files.remove(self.path)
                except OSError:
                    self.broken = True
                raise
            self.handle = handle
        self.good = handle.tell()

    def _undo(self, handle: WriteFile) -> None:
        try:
            handle.truncate(self.good)
        except OSError:
            self.broken = True

    def sync(self, files: Files) -> None:
        """What was written, and the file's name, survive a power loss. Raises OSError."""
        if self.handle is not None:
            self.handle.sync()
            if not self.linked:
                files.sync_dir(os.path.dirname(self.path))
                self.linked = True

    def close(self) -> None:
        """Give the descriptor back."""
        if self.handle is not None:
            self.handle.close()


class Log:
    """The write-ahead log in `directory`, which exists. All methods are thread-safe.

    It never writes to files that it finds there: its first write begins a new one. `after` is the largest
    position that anything durable speaks of (a checkpoint); positions given out here are larger,
    whatever became of the files. A file of `file_bytes` or more takes no further record. `sync_interval`
    is how many seconds a write may stay unsynced in `periodic`.
    """

    def __init__(
        self,
        files: Files,
        directory: str,
        mode: LogMode,
        names: Names,
        clock: Clock,
        *,
        file_bytes: int = 64 << 20,
        sync_interval: float = 0.1,
        after: LogPosition | None = None,
    ) -> None:
        self._files = files
        self._directory = directory
        self._mode = mode
        self._names = names
        self._clock = clock
        self._file_bytes = file_bytes
        self._interval = sync_interval
        self._patience = _STALL_INTERVALS * sync_interval
        self._encoder = RowEncoder()
        self._sync_lock = threading.Lock()
        """Held by whoever syncs or removes files; taken before `_changed`."""
        self._changed = threading.Condition(threading.Lock())
        """Guards all that follows."""
        self._work = threading.Event()
        """There may be something to write or to sync."""
        self._retired: list[_LogFile] = []
        """Files before `_file` that have records in their queue or bytes that no sync has covered."""
        self._group: GroupCommit | None = None
        self._queued = 0
        self._age = UnsyncedAge()
        self._stalled = False
        """A writer has waited for the device in vain; until a sync ends, others need not wait too."""
        self._closed = False
        self.failed = False
        """A sync failed: no write is taken until `recover_failure` has made a new file."""
        self._records = self._bytes = self._syncs = 0
        self._sync_seconds = 0.0
        found = self._numbers()
        last = found[-1] if found else 0
        self._file = self._new_file(max(last, after.file if after else 0) + 1, last, 0)
        self.first = self._file.position
        """Where the first write since this log was opened goes; what is before it is for replay."""
        if mode is LogMode.NONE:
            # Nothing is logged, but a file must stand for the positions that checkpoints will name, or the
            # next run might give them out again.
            self._make_current([])

    def _numbers(self) -> list[int]:
        names = self._files.list_dir(self._directory)
        return sorted(number for name in names if (number := file_number(name)) is not None)

    def _new_file(self, number: int, previous: int, previous_end: int) -> _LogFile:
        header = FileHeader(VERSION, secrets.randbits(32), number, previous, previous_end, self._clock.now_ns())
        return _LogFile(os.path.join(self._directory, file_name(number)), header, self._names)

    # -- writing

    def append(self, database: int, policy: int, stamp: Stamp, rows: Sequence[Rows]) -> tuple[LogPosition, Commit]:
        """Log one write: where its record begins, and the ticket of its durability.

        The order of returns is the order in the log. In `periodic` and `os-default` the bytes are in the kernel
        when it returns. Raises DiskFull, LogUnavailable; then nothing of the write is in the log. Raises
        ValueError for a record larger than the format allows.
        """
        body = b"" if self._mode is LogMode.NONE else self._encoder.encode(rows)
        with self._changed:
            self._admit()
            file = self._file
            if self._mode is LogMode.NONE:
                start = file.position
                file.end += 1
                return start, DONE
            if file.end >= self._file_bytes and file.begun():
                file = self._rotate()
            new = file.names.missing(rows)
            names = b"" if new is None else encode_names(new)
            start = file.position
            record = pack_record_header(file.header.salt, file.end, stamp, database, policy, names, body) + names + body
            commit = self._queue(file, record) if self._mode is LogMode.EVERY_WRITE else self._write(file, record)
            if new is not None:
                file.names.add(new)
            file.end += len(record)
            self._records += 1
            self._bytes += len(record)
            return start, commit

    def _admit(self) -> None:
        """Wait while the device is behind. Raises LogUnavailable."""
        if self._is_behind():
            if not self._stalled:
                self._changed.wait_for(lambda: self._closed or self.failed or not self._is_behind(), self._patience)
            if self._is_behind():
                self._stalled = True
                raise errors.LogUnavailable("the device takes too long to sync the log")
        if self._closed:
            raise errors.LogUnavailable("the log is closed")
        if self.failed:
            raise errors.LogUnavailable("the log could not be synced")

    def must_wait(self) -> bool:
        """The device is so far behind that `append` would wait for it: for callers that must not block."""
        return self._is_behind()

    def wait_turn(self) -> None:
        """Wait until `append` need not wait. Raises LogUnavailable where it would."""
        with self._changed:
            self._admit()

    def _is_behind(self) -> bool:
        if self._queued >= _QUEUE_BYTES_MAX:
            return True
        oldest = self._age.oldest()
        return oldest is not None and self._clock.monotonic() - oldest > self._patience

    def _queue(self, file: _LogFile, record: bytes) -> Commit:
        """Leave the record to the log thread."""
        file.queue.append(record)
        self._queued += len(record)
        if self._group is None:
            self._group = GroupCommit()
            self._work.set()
        return self._group

    def _write(self, file: _LogFile, record: bytes) -> Commit:
        """Hand the record to the kernel. Raises DiskFull, LogUnavailable."""
        try:
            file.write(self._files, record)
        except OSError as problem:
            if file.broken:
                self._abandon(file)
            raise _refusal(problem) from problem
        if self._mode is LogMode.PERIODIC and self._age.wrote(self._clock.monotonic()):
            self._work.set()
        return DONE

    def _rotate(self) -> _LogFile:
        """The current file takes no more records."""
        file = self._file
        self._retire(file)
        self._file = self._new_file(file.number + 1, file.number, file.end)
        return self._file

    def _retire(self, file: _LogFile) -> None:
        if self._mode is LogMode.OS_DEFAULT:
            file.close()
        else:
            self._retired.append(file)

    def _abandon(self, file: _LogFile) -> None:
        """Nothing more goes into `file`, nor into any after it; its records end at ``file.good``.

        Positions after it may have been given out: the next file's are larger.
        """
        number = self._file.number + 1
        if file.good > FILE_HEADER_BYTES:
            self._retire(file)
            self._file = self._new_file(number, file.number, file.good)
        else:
            self._discard(file)
            self._file = self._new_file(number, file.header.previous, file.header.previous_end)

    def _discard(self, file: _LogFile) -> None:
        """`file` has no records: nothing is lost with it, so nothing need speak of it."""
        file.close()
        if file.handle is not None:
            with contextlib.suppress(OSError):
                self._files.remove(file.path)

    def end(self) -> LogPosition:
        """Behind every record there is, and not behind any to come."""
        with self._changed:
            return self._file.position

    def rotate(self) -> LogPosition:
        """Begin a new file, unless the current one has no records; returns where its first record will be."""
        with self._changed:
            if self._mode is not LogMode.NONE and self._file.begun():
                self._rotate()
            return self._file.position

    # -- syncing

    def wait_work(self, timeout: float) -> bool:
        """Wait until `sync_once` is due, at most `timeout` seconds; False if it is not."""
        if not self._work.wait(timeout):
            return False
        if self._mode is LogMode.PERIODIC:
            with self._changed:
                oldest = self._age.waiting()
            # Half of the interval gathers writes, the other half is for the device.
            rest = 0.0 if oldest is None else oldest + self._interval / 2 - self._clock.monotonic()
            if rest > 0:
                self._clock.sleep(min(rest, timeout))
                return rest <= timeout
        return True

    @contextlib.contextmanager
    def _syncing(self) -> Iterator[_Settled]:
        """Hold `_sync_lock`, then settle the tickets in the list: who waits for one may call the log at once."""
        settled: _Settled = []
        try:
            with self._sync_lock:
                yield settled
        finally:
            for group, error in settled:
                group.settle(error)

    def sync_once(self) -> None:
        """Write what is queued, fdatasync what is not synced, and settle the tickets of the writes in it.

        Does not raise for the device's errors: the tickets tell them, and after a failed sync `failed` is set.
        """
        with self._syncing() as settled:
            self._sync(settled)

    def _sync(self, settled: _Settled) -> None:
        with self._changed:
            self._work.clear()
            group = self._take_group()
            if group is None and not self._retired and self._age.waiting() is None:
                return
            work = [(file, file.queue) for file in (*self._retired, self._file) if file.good or file.queue]
            current, self._retired = self._file, []
            self._age.begin()
            for file, _ in work:
                file.queue = []
        began = self._clock.monotonic()
        for file, queue in work:
            try:
                if queue:
                    file.write(self._files, *queue)
            except OSError as problem:
                self._give_up(file, group, problem, settled)
                return
            try:
                file.sync(self._files)
            except OSError as problem:
                self._fail([f for f, _ in work], group, problem, settled)
                return
            if file is not current:
                file.close()
        if group is not None:
            settled.append((group, None))
        with self._changed:
            self._age.end()
            self._stalled = False
            self._syncs += 1
            self._sync_seconds += self._clock.monotonic() - began
            self._changed.notify_all()

    def _take_group(self) -> GroupCommit | None:
        group, self._group = self._group, None
        self._queued = 0
        return group

    def _drop(self, group: GroupCommit | None, error: Exception, settled: _Settled) -> None:
        """What waits to be written or synced never will be. Under `_changed`."""
        settled += [(g, error) for g in (group, self._take_group()) if g is not None]
        self._retired = []
        self._age.forget()
        self._stalled = False
        self._changed.notify_all()

    def _give_up(self, file: _LogFile, group: GroupCommit | None, problem: OSError, settled: _Settled) -> None:
        """`file` could not be written: what is queued for it and for later files is lost."""
        with self._changed:
            self._drop(group, _refusal(problem), settled)
            self._abandon(file)

    def _fail(self, files: list[_LogFile], group: GroupCommit | None, problem: OSError, settled: _Settled) -> None:
        """One of `files` could not be synced: none of them, nor any later one, is touched again."""
        with self._changed:
            self.failed = True
            touched = [*files, *self._retired, self._file]
            self._drop(group, errors.LogUnavailable(f"the log could not be synced: {problem}"), settled)
            previous, previous_end = touched[0].header.previous, touched[0].header.previous_end
            for file in touched:
                if file.good > FILE_HEADER_BYTES:
                    previous, previous_end = file.number, 0
                    file.close()
                else:
                    self._discard(file)
            self._file = self._new_file(self._file.number + 1, previous, previous_end)

    def recover_failure(self) -> bool:
        """After a failed sync: make a new file, and take writes again once it is synced. False: not yet.

        What was not synced may be lost by a power loss, and no ticket said otherwise in `every-write`; the
        caller brings it into segments before it removes the failed file by `release`.
        """
        with self._syncing() as settled:
            if self.failed:
                try:
                    self._make_current(settled)
                except OSError:
                    return False
                with self._changed:
                    self.failed = False
                    self._changed.notify_all()
            return True

    def _make_current(self, settled: _Settled) -> None:
        """The current file is on disk, synced, name and all. Raises OSError."""
        with self._changed:
            file = self._file
            if file.handle is None:
                try:
                    file.write(self._files)
                except OSError:
                    if file.broken:
                        self._abandon(file)
                    raise
        try:
            file.sync(self._files)
        except OSError as problem:
            self._fail([file], None, problem, settled)
            raise

    # -- removing

    def release(self, before: LogPosition) -> None:
        """Remove the files whose records are all before `before`. Raises OSError; a later call goes on.

        If that is every record, the current file goes too. The newest file always stays, if only with its
        header: the next run of the server counts on from its number.
        """
        with self._syncing() as settled:
            self._sync(settled)
            if not self.failed:
                self._remove(before, settled)

    def _remove(self, before: LogPosition, settled: _Settled) -> None:
        with self._changed:
            limit = min(before.file, self._file.number)
            if self._file.begun() and before >= self._file.position and self._mode is not LogMode.NONE:
                limit = self._rotate().number
            for file in [f for f in self._retired if f.number < limit]:
                file.close()
                self._retired.remove(file)
        numbers = self._numbers()
        doomed = [number for number in numbers if number < limit]
        if not doomed:
            return
        if len(doomed) == len(numbers):
            self._make_current(settled)
        for number in doomed:
            # One after another, so that a power loss leaves no hole in the numbers.
            self._files.remove(os.path.join(self._directory, file_name(number)))
            self._files.sync_dir(self._directory)

    # -- the rest

    def stats(self) -> dict[str, int | float | str]:
        """Counters since the log was opened, and its present state; sizes in bytes."""
        with self._changed:
            oldest = self._age.oldest()
            return {
                "mode": self._mode.value,
                "file": self._file.number,
                "records": self._records,
                "bytes": self._bytes,
                "queued_bytes": self._queued,
                "syncs": self._syncs,
                "sync_seconds": self._sync_seconds,
                "unsynced_seconds": 0.0 if oldest is None else max(0.0, self._clock.monotonic() - oldest),
                "failed": int(self.failed),
            }

    def close(self) -> None:
        """Sync (but in `os-default`), refuse further writes, close the files; `failed` tells if the sync failed."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self.sync_once()
        with self._sync_lock, self._changed:
            for file in (*self._retired, self._file):
                file.close()


def _refusal(problem: OSError) -> errors.RetryLater:
    if is_full(problem):
        return errors.DiskFull(f"the device is full: {problem}", seconds=10)
    return errors.LogUnavailable(f"the log could not be written: {problem}")
