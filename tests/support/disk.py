"""A disk in memory that can fail, fill up, stop in the middle and forget what was not synced.

`SimulatedDisk` is a `rusts.files.Files`. It knows for each file what the page cache holds and what the device
holds, and the same for the names in each directory; a `sync` or `sync_dir` moves one to the other.

    disk = SimulatedDisk()
    disk.fail_at(7, errno.ENOSPC)     # the 7th I/O from now raises; the ones behind it pass
    disk.fail_at(7, part=0.5)         # if it is a write, half of it is done before it raises
    disk.cut_at(7)                    # the 7th I/O is done by half, and nothing is ever done again
    after = disk.crash("synced")      # power loss: the disk as the next process finds it
    after = disk.crash("all")         # kill -9: the page cache lives on
    after = disk.crash(random)        # power loss: of what was not synced, any part may be there

What counts as an I/O: create, write, truncate, sync, rename, remove, sync_dir, make_dir; reads only if asked for
(`fail_at(..., kinds=READS)`). So a sweep runs some work on an unlimited disk, takes `io_count`, and repeats it
with `cut_at(n)` for every n up to that. The faults that may happen, and may not:

* A failed or cut write leaves any prefix of its bytes; it never touches other bytes.
* A failed sync drops the file's unsynced pages from what a later sync would write, as Linux does: a second
  sync says yes and has written nothing.
* Pages (4 KiB) are written whole or not at all, in any order; a file that grew may be cut at any byte between
  its old and its new size, and pages in between that were not written are zeros.
* A rename is atomic. Renames, new and removed names are lost or kept one by one until `sync_dir`.
* Synced bytes stay as they are (`corrupt` is there to flip them).

SQLite's I/O comes here too: see `tests.support.disk_sqlite`.
"""

from __future__ import annotations

import errno
import os
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from rusts import errors
from rusts.files import TEMPORARY, Buffer, DirectoryLock, ReadFile, WriteFile
from tests.support.disk_sqlite import vfs_for

__all__ = ["CHANGES", "READS", "SimulatedDisk"]

CHANGES: Final = frozenset({"create", "write", "truncate", "sync", "rename", "remove", "sync_dir", "make_dir"})
READS: Final = frozenset({"read"})
PAGE: Final = 4096

Keep = Literal["synced", "all"] | random.Random


class Inode:
    """A file without its name."""

    def __init__(self, data: bytes = b"") -> None:
        self.data = bytearray(data)
        """What a reader sees: the page cache."""
        self.durable = bytearray(data)
        """What the device holds."""
        self.dirty: set[int] = set()
        """Pages of `data` that a sync has to write."""
        self.locks: dict[int, int] = {}
        """SQLite's lock level by open file."""

    def write(self, offset: int, data: bytes) -> None:
        end = offset + len(data)
        if not data:
            return
        first = min(offset, len(self.data)) // PAGE
        if offset > len(self.data):
            self.data += bytes(offset - len(self.data))
        self.data[offset:end] = data
        self.dirty.update(range(first, (end - 1) // PAGE + 1))

    def truncate(self, size: int) -> None:
        before = len(self.data)
        if size < before:
            del self.data[size:]
        else:
            self.data += bytes(size - before)
        self.dirty.update(range(min(size, before) // PAGE, max(0, max(size, before) - 1) // PAGE + 1))

    def clean(self) -> bool:
        return not self.dirty and len(self.data) == len(self.durable)

    def sync(self) -> None:
        self.durable = self._with_pages(self.dirty, len(self.data))
        self.dirty.clear()

    def drop_dirty(self) -> None:
        """What a failed fsync does: the pages count as written."""
        self.dirty.clear()

    def after_power_loss(self, chance: random.Random | None) -> bytes:
        if chance is None or self.clean():
            return bytes(self.durable)
        pages = {page for page in self.dirty if chance.random() < 0.5}
        old, new = len(self.durable), len(self.data)
        size = chance.choice([old, new, chance.randint(min(old, new), max(old, new))])
        return bytes(self._with_pages(pages, size))

    def _with_pages(self, pages: set[int], size: int) -> bytearray:
        image = bytearray(size)
        kept = min(size, len(self.durable))
        image[:kept] = self.durable[:kept]
        for page in pages:
            start = page * PAGE
            piece = self.data[start : min(start + PAGE, size)]
            if start < size:
                image[start : start + len(piece)] = piece
        return image


@dataclass(frozen=True)
class _NameChange:
    """A name made (`source` None), removed (`target` None) or moved, that its directories do not have on the device."""

    inode: Inode
    source: str | None
    target: str | None

    def directories(self) -> set[str]:
        return {os.path.dirname(path) for path in (self.source, self.target) if path is not None}

    def apply(self, names: dict[str, Inode]) -> None:
        if self.source is not None and (self.target is not None or names.get(self.source) is self.inode):
            names.pop(self.source, None)
        if self.target is not None:
            names[self.target] = self.inode


@dataclass
class _Fault:
    at: int
    error: int
    kinds: frozenset[str]
    part: float | None
    last: bool
    times: int


class _Struck(OSError):
    """A fault of the disk; `done` is the part of a write that is to be done before it is raised."""

    def __init__(self, error: int, op: str, path: str, done: float) -> None:
        super().__init__(error, f"simulated: {os.strerror(error)} in {op}", path)
        self.done = done


class SimulatedDisk:
    """See the module. `quota` bytes are what all files together may hold; None: no limit."""

    def __init__(self, *, quota: int | None = None) -> None:
        self.quota = quota
        self.io_count = 0
        """I/Os that change something, since the disk was made."""
        self.dead = False
        self.on_sync: Callable[[str], None] | None = None
        """Called with the path before each sync of a file, outside the disk's lock: it may block, wait or crash."""
        self.trace: list[tuple[str, str]] | None = None
        """Set it to a list, and each I/O that changes something is noted: (what, path)."""
        self.mutex = threading.RLock()
        """Guards everything here; the SQLite half takes it too, and uses `names` and the methods below `heal`."""
        self._directories = {"", "/"}
        self.names: dict[str, Inode] = {}
        self._durable_names: dict[str, Inode] = {}
        self._changes: list[_NameChange] = []
        self._faults: list[_Fault] = []
        self.locked: set[str] = set()

    # -- faults

    def fail_at(
        self,
        n: int,
        error: int = errno.EIO,
        *,
        kinds: frozenset[str] = CHANGES,
        part: float | None = None,
        times: int = 1,
    ) -> None:
        """The n-th I/O of one of `kinds` from now (1: the next) raises `error`, and the `times` - 1 that follow it.

        With `part`, a write does that part of its bytes first.
        """
        self._faults.append(_Fault(n, error, kinds, part, False, times))

    def cut_at(self, n: int, *, part: float = 0.5) -> None:
        """The n-th I/O from now does `part` of its bytes if it is a write, else nothing; then the disk is dead."""
        self._faults.append(_Fault(n, errno.EIO, CHANGES, part, True, 1))

    def heal(self) -> None:
        """No fault that was asked for happens any more; a dead disk stays dead."""
        self._faults.clear()

    def crash(self, keep: Keep = "synced") -> SimulatedDisk:
        """The disk as the next process finds it; this one is dead. See the module for `keep`."""
        with self.mutex:
            self.dead = True
            after = SimulatedDisk(quota=self.quota)
            after._directories = set(self._directories)
            names = dict(self.names if keep == "all" else self._durable_names)
            chance = keep if isinstance(keep, random.Random) else None
            if chance is not None:
                for change in self._changes:
                    if chance.random() < 0.5:
                        change.apply(names)
            for path, inode in names.items():
                data = bytes(inode.data) if keep == "all" else inode.after_power_loss(chance)
                fresh = Inode(data)
                if keep == "all":
                    fresh.durable = bytearray(inode.durable)
                    fresh.dirty = set(inode.dirty)
                after.names[path] = fresh
            if keep == "all":
                renewed = {id(inode): after.names[path] for path, inode in names.items()}
                after._durable_names = {
                    path: renewed.get(id(inode)) or Inode(bytes(inode.durable))
                    for path, inode in self._durable_names.items()
                }
                after._changes = [
                    _NameChange(renewed.get(id(c.inode)) or Inode(bytes(c.inode.durable)), c.source, c.target)
                    for c in self._changes
                ]
            else:
                after._durable_names = dict(after.names)
            return after

    def corrupt(self, path: str, offset: int, mask: int = 0xFF) -> None:
        """Flip bits of one byte, in the cache and on the device."""
        inode = self.names[path]
        for data in (inode.data, inode.durable):
            if offset < len(data):
                data[offset] ^= mask

    def paths(self) -> list[str]:
        """Every file there is now."""
        return sorted(self.names)

    def synced(self, path: str) -> bool:
        """All bytes of the file would survive a power loss (its name may not)."""
        return self.names[path].clean()

    # -- what both halves do to files

    def count_io(self, op: str, path: str) -> None:
        """Count one I/O; raise what is to happen to it. Under the lock."""
        if self.dead:
            raise OSError(errno.EIO, f"simulated: the disk is dead in {op}", path)
        if op in CHANGES:
            self.io_count += 1
            if self.trace is not None:
                self.trace.append((op, path))
        struck: _Fault | None = None
        for fault in self._faults:
            if op in fault.kinds:
                fault.at -= 1
                if fault.at <= 0 and fault.times > 0:
                    fault.times -= 1
                    struck = fault
        if struck is not None:
            self.dead = struck.last
            done = struck.part if struck.part is not None and op == "write" else 0.0
            raise _Struck(struck.error, op, path, done)

    def write_into(self, path: str, inode: Inode, offset: int, data: bytes) -> int:
        """Write `data` at `offset`; returns how much fitted, or raises after a part of it. Under the lock."""
        try:
            self.count_io("write", path)
        except _Struck as struck:
            inode.write(offset, data[: int(len(data) * struck.done)])
            raise
        if self.quota is not None:
            room = self.quota - self._used() + max(0, len(inode.data) - offset)
            if room < len(data):
                inode.write(offset, data[: max(0, room)])
                raise OSError(errno.ENOSPC, "simulated: the quota is used up", path)
        inode.write(offset, data)
        return len(data)

    def _used(self) -> int:
        return sum(len(inode.data) for inode in self.names.values())

    def sync_file(self, path: str, inode: Inode) -> None:
        hook = self.on_sync
        if hook is not None:
            hook(path)
        with self.mutex:
            try:
                self.count_io("sync", path)
            except OSError:
                if not self.dead:
                    inode.drop_dirty()
                raise
            inode.sync()

    def _change(self, change: _NameChange) -> None:
        change.apply(self.names)
        self._changes.append(change)

    def _find(self, path: str) -> Inode:
        inode = self.names.get(path)
        if inode is None:
            raise FileNotFoundError(errno.ENOENT, "simulated: no such file", path)
        return inode

    # -- Files

    def make_dir(self, path: str) -> None:
        with self.mutex:
            parts = path.split("/")
            for end in range(1, len(parts) + 1):
                directory = "/".join(parts[:end])
                if directory not in self._directories:
                    self.count_io("make_dir", directory)
                    self._directories.add(directory)

    def list_dir(self, path: str) -> list[str]:
        with self.mutex:
            self.count_io("read", path)
            if path not in self._directories:
                raise FileNotFoundError(errno.ENOENT, "simulated: no such directory", path)
            every = [*self.names, *self._directories]
            return sorted(os.path.basename(p) for p in every if p not in ("", "/") and os.path.dirname(p) == path)

    def exists(self, path: str) -> bool:
        with self.mutex:
            return path in self.names or path in self._directories

    def size(self, path: str) -> int:
        with self.mutex:
            self.count_io("read", path)
            return len(self._find(path).data)

    def create(self, path: str) -> WriteFile:
        with self.mutex:
            if os.path.dirname(path) not in self._directories:
                raise FileNotFoundError(errno.ENOENT, "simulated: no such directory", path)
            if path in self.names:
                raise FileExistsError(errno.EEXIST, "simulated: the file exists", path)
            self.count_io("create", path)
            inode = Inode()
            self._change(_NameChange(inode, None, path))
            return _SimulatedWriteFile(self, path, inode)

    def append(self, path: str) -> WriteFile:
        with self.mutex:
            return _SimulatedWriteFile(self, path, self._find(path))

    def open(self, path: str) -> ReadFile:
        with self.mutex:
            self.count_io("read", path)
            return _SimulatedReadFile(self, path, self._find(path))

    def read(self, path: str) -> bytes:
        file = self.open(path)
        return file.pread(file.size(), 0)

    def publish(self, temporary: str, path: str) -> None:
        with self.mutex:
            inode = self._find(temporary)
            if not self.dead and not inode.clean():
                raise AssertionError(f"{temporary} is published before it is synced")
            self.count_io("rename", path)
            self._change(_NameChange(inode, temporary, path))
        source, target = os.path.dirname(temporary), os.path.dirname(path)
        self.sync_dir(target)
        if source != target:
            self.sync_dir(source)

    def write_atomic(self, path: str, data: Buffer) -> None:
        temporary = path + TEMPORARY
        if self.exists(temporary):
            self.remove(temporary)
        file = self.create(temporary)
        try:
            file.write(data)
            file.sync()
        except OSError:
            if not self.dead:
                self.remove(temporary)
            raise
        finally:
            file.close()
        self.publish(temporary, path)

    def sync_dir(self, path: str) -> None:
        with self.mutex:
            self.count_io("sync_dir", path)
            for change in [c for c in self._changes if path in c.directories()]:
                change.apply(self._durable_names)
                self._changes.remove(change)

    def remove(self, path: str) -> None:
        with self.mutex:
            inode = self._find(path)
            self.count_io("remove", path)
            self._change(_NameChange(inode, path, None))

    def free_space(self, path: str) -> tuple[int, int]:
        with self.mutex:
            if self.quota is None:
                return 1 << 40, 1 << 40
            return max(0, self.quota - self._used()), self.quota

    def lock(self, path: str) -> DirectoryLock:
        with self.mutex:
            self.count_io("read", path)
            if path in self.locked:
                raise errors.DirectoryLocked(path, os.getpid())
            self.locked.add(path)
            return _SimulatedLock(self, path)

    def unnamed(self) -> Inode:
        """A file that has no name and dies with its last user."""
        return Inode()

    def sqlite_vfs(self) -> str:
        return vfs_for(self)


class _SimulatedReadFile:
    def __init__(self, disk: SimulatedDisk, path: str, inode: Inode) -> None:
        self.path = path
        self._disk = disk
        self._inode: Inode | None = inode

    def _open(self) -> Inode:
        if self._inode is None:
            raise OSError(errno.EBADF, "simulated: the file is closed", self.path)
        return self._inode

    def pread(self, length: int, offset: int) -> bytes:
        with self._disk.mutex:
            self._disk.count_io("read", self.path)
            return bytes(self._open().data[offset : offset + length])

    def size(self) -> int:
        with self._disk.mutex:
            return len(self._open().data)

    def close(self) -> None:
        self._inode = None


class _SimulatedWriteFile(_SimulatedReadFile):
    def write(self, *parts: Buffer) -> int:
        data = b"".join(bytes(memoryview(part).cast("B")) for part in parts)
        with self._disk.mutex:
            inode = self._open()
            return self._disk.write_into(self.path, inode, len(inode.data), data)

    def sync(self) -> None:
        self._disk.sync_file(self.path, self._open())

    def truncate(self, size: int) -> None:
        with self._disk.mutex:
            self._disk.count_io("truncate", self.path)
            self._open().truncate(size)

    def tell(self) -> int:
        return self.size()


class _SimulatedLock:
    def __init__(self, disk: SimulatedDisk, path: str) -> None:
        self._disk = disk
        self._path = path

    def release(self) -> None:
        self._disk.locked.discard(self._path)
