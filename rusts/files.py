"""Every durable act of rusts. Each verb says what survives a crash.

Two kinds of crash are meant. *Kill*: the process ends, the kernel and its page cache live on. *Power loss*:
only what was synced is certain. A file's bytes are certain after its `sync`, its name (new, renamed or
gone) after `sync_dir` of its directory. Errors of the device come out as `OSError`; `is_full` tells
a full device from a failing one.

Nothing else in rusts opens a file of the data directory, so tests put a simulated disk in its place.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from typing import Any, Final, Protocol

from rusts import errors

__all__ = ["Buffer", "DirectoryLock", "Files", "OsFiles", "ReadFile", "WriteFile", "is_full"]

Buffer = Any
"""Any contiguous object with the buffer protocol: bytes, bytearray, memoryview, numpy array."""

LOCK_NAME: Final = "lock"
"""The file in a data directory that its server holds locked; its text is the server's pid."""

TEMPORARY: Final = ".tmp"
"""How the name of a file that was never published ends: nobody needs such a file after a crash."""

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_PARTS_MAX: Final = 1024  # IOV_MAX on Linux


def is_full(problem: OSError) -> bool:
    """True if the device or the quota is full: a later try may pass."""
    return problem.errno in _FULL


class ReadFile(Protocol):
    """An open file to read from. Reads may come from any thread."""

    path: str

    def pread(self, length: int, offset: int) -> bytes:
        """The `length` bytes at `offset`, fewer at the file's end."""
        ...

    def size(self) -> int:
        """Bytes in the file now."""
        ...

    def close(self) -> None:
        """Give the descriptor back; twice does no harm."""
        ...


class WriteFile(Protocol):
    """A file that grows at its end. One thread writes; another may `sync` meanwhile."""

    path: str

    def write(self, *parts: Buffer) -> int:
        """Append all of `parts`, return their bytes. Survives a kill, not a power loss.

        Short writes are gone on with. After an error `tell` says how much was appended.
        """
        ...

    def sync(self) -> None:
        """Make all bytes written before the call survive a power loss (fdatasync).

        After an error nobody knows what is on the device, and a second try may say yes without having
        written anything: never sync such a file again.
        """
        ...

    def truncate(self, size: int) -> None:
        """Cut the file to `size` bytes; survives a power loss after `sync`."""
        ...

    def tell(self) -> int:
        """Bytes in the file: where the next write goes."""
        ...

    def close(self) -> None:
        """Give the descriptor back without syncing; twice does no harm."""
        ...


class DirectoryLock(Protocol):
    """A held lock of a data directory; it ends with the process at the latest."""

    def release(self) -> None:
        """Let others in."""
        ...


class Files(Protocol):
    """The verbs on files and directories. Paths are `str`. All methods are thread-safe."""

    def make_dir(self, path: str) -> None:
        """Make the directory and its parents; they survive a power loss. It may exist."""
        ...

    def list_dir(self, path: str) -> list[str]:
        """Names in the directory, sorted. Raises FileNotFoundError."""
        ...

    def exists(self, path: str) -> bool:
        """True if a file or directory of that name is there."""
        ...

    def size(self, path: str) -> int:
        """Bytes of the file. Raises FileNotFoundError."""
        ...

    def create(self, path: str) -> WriteFile:
        """A new, empty file. Raises FileExistsError. Its name survives a power loss after `sync_dir`."""
        ...

    def append(self, path: str) -> WriteFile:
        """An existing file, to be written at its end. Raises FileNotFoundError."""
        ...

    def open(self, path: str) -> ReadFile:
        """An existing file to read from. Raises FileNotFoundError."""
        ...

    def read(self, path: str) -> bytes:
        """All bytes of the file. Raises FileNotFoundError."""
        ...

    def publish(self, temporary: str, path: str) -> None:
        """Rename the written *and synced* file `temporary` to `path`, replacing it; survives a power loss.

        After a crash in the middle the old file or the new one is there, whole. Where the two are in different
        directories, the file may then be in both, never in neither.
        """
        ...

    def write_atomic(self, path: str, data: Buffer) -> None:
        """Replace or make `path` with `data`; survives a power loss. A crash leaves the old or the new whole."""
        ...

    def sync_dir(self, path: str) -> None:
        """Make every name made, renamed or removed in the directory so far survive a power loss."""
        ...

    def remove(self, path: str) -> None:
        """Unlink the file. Without `sync_dir` it may be back after a power loss. Raises FileNotFoundError."""
        ...

    def free_space(self, path: str) -> tuple[int, int]:
        """Bytes free for us and bytes in all on the device that holds `path`."""
        ...

    def lock(self, path: str) -> DirectoryLock:
        """Lock the data directory `path` for this process. Raises `errors.DirectoryLocked` with the holder's pid."""
        ...

    def sqlite_vfs(self) -> str:
        """Name of the SQLite VFS that reaches these files; empty: SQLite's own default."""
        ...


class _OsReadFile:
    __slots__ = ("_fd", "path")

    def __init__(self, path: str) -> None:
        self._fd = -1
        self.path = path
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def pread(self, length: int, offset: int) -> bytes:
        data = os.pread(self._fd, length, offset)
        if len(data) == length or not data:
            return data
        # One call reads 2 GiB at most, and a signal may cut it short.
        chunks = [data]
        done = len(data)
        while done < length and (data := os.pread(self._fd, length - done, offset + done)):
            chunks.append(data)
            done += len(data)
        return b"".join(chunks)

    def size(self) -> int:
        return os.fstat(self._fd).st_size

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        self.close()


class _OsWriteFile:
    __slots__ = ("_end", "_fd", "path")

    def __init__(self, path: str, flags: int) -> None:
        self._fd = -1
        self.path = path
        self._fd = os.open(path, flags | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._end = os.fstat(self._fd).st_size

    def write(self, *parts: Buffer) -> int:
        if len(parts) == 1:
            return self._write_one(parts[0])
        if len(parts) > _PARTS_MAX:
            return self._write_one(b"".join(parts))
        total = sum(memoryview(part).nbytes for part in parts)
        done = os.writev(self._fd, parts)
        self._end += done
        if done < total:
            self._write_one(memoryview(b"".join(parts))[done:])
        return total

    def _write_one(self, part: Buffer) -> int:
        done = os.write(self._fd, part)
        self._end += done
        view = memoryview(part)
        total = view.nbytes
        if done < total:
            view = view.cast("B")
            while done < total:
                more = os.write(self._fd, view[done:])
                self._end += more
                done += more
        return total

    def sync(self) -> None:
        os.fdatasync(self._fd)

    def truncate(self, size: int) -> None:
        os.ftruncate(self._fd, size)
        self._end = size

    def tell(self) -> int:
        return self._end

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        self.close()


class _OsDirectoryLock:
    def __init__(self, directory: str) -> None:
        path = os.path.join(directory, LOCK_NAME)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            text = os.pread(self._fd, 32, 0).strip()
            os.close(self._fd)
            raise errors.DirectoryLocked(directory, int(text) if text.isdigit() else None) from None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, b"%d\n" % os.getpid(), 0)

    def release(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            # The file stays: removing it would let two servers lock two files of one name.
            os.close(fd)


class OsFiles:
    """The operating system's files."""

    def make_dir(self, path: str) -> None:
        missing = []
        current = os.path.abspath(path)
        while not os.path.isdir(current):
            missing.append(current)
            current = os.path.dirname(current)
        for directory in reversed(missing):
            with contextlib.suppress(FileExistsError):
                os.mkdir(directory)
            self.sync_dir(os.path.dirname(directory))

    def list_dir(self, path: str) -> list[str]:
        return sorted(os.listdir(path))

    def exists(self, path: str) -> bool:
        return os.path.exists(path)

    def size(self, path: str) -> int:
        return os.stat(path).st_size

    def create(self, path: str) -> WriteFile:
        return _OsWriteFile(path, os.O_CREAT | os.O_EXCL)

    def append(self, path: str) -> WriteFile:
        return _OsWriteFile(path, 0)

    def open(self, path: str) -> ReadFile:
        return _OsReadFile(path)

    def read(self, path: str) -> bytes:
        with _closing(self.open(path)) as file:
            return file.pread(file.size(), 0)

    def publish(self, temporary: str, path: str) -> None:
        os.replace(temporary, path)
        source, target = os.path.dirname(temporary), os.path.dirname(path)
        self.sync_dir(target)
        if source != target:
            self.sync_dir(source)

    def write_atomic(self, path: str, data: Buffer) -> None:
        temporary = path + TEMPORARY
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        try:
            file = self.create(temporary)
            try:
                file.write(data)
                file.sync()
            finally:
                file.close()
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        self.publish(temporary, path)

    def sync_dir(self, path: str) -> None:
        fd = os.open(path or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def remove(self, path: str) -> None:
        os.unlink(path)

    def free_space(self, path: str) -> tuple[int, int]:
        stat = os.statvfs(path)
        return stat.f_bavail * stat.f_frsize, stat.f_blocks * stat.f_frsize

    def lock(self, path: str) -> DirectoryLock:
        return _OsDirectoryLock(path)

    def sqlite_vfs(self) -> str:
        return ""


@contextlib.contextmanager
def _closing(file: ReadFile) -> Iterator[ReadFile]:
    try:
        yield file
    finally:
        file.close()
