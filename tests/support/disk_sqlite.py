"""SQLite on a simulated disk.

`SimulatedDisk.sqlite_vfs()` gives the name of an apsw VFS whose files live on this disk, with SQLite's locking
between the connections of this process; its I/Os are counted, failed and cut like all others. It does what
SQLite's unix VFS does for durability: a new journal's directory is synced with the journal's first sync, and
after a journal is deleted if SQLite asks for it (synchronous EXTRA).
SQLite's cksumvfs is one VFS per process that lies on whatever VFS is the default when it is loaded. To stack it
on a simulated disk, load it while a router is the default, an `apsw.VFS` whose `xOpen` returns
``apsw.VFSFile(name of the VFS below, path, flags)``, as `rusts.catalog.connection` does: SQLite → cksmvfs →
router → this VFS. The VFSs are kept in a pool and reused by later disks, as one in use must never be unregistered.
"""

from __future__ import annotations

import errno
import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import apsw

if TYPE_CHECKING:
    from tests.support.disk import Inode, SimulatedDisk

__all__ = ["vfs_for"]

SECTOR: Final = 4096


@contextmanager
def _as_sqlite(code: int) -> Iterator[None]:
    """Turn a fault into the error that SQLite's own VFS would return."""
    try:
        yield
    except OSError as problem:
        if problem.errno == errno.ENOSPC:
            raise apsw.FullError(str(problem)) from None
        failure = apsw.IOError(str(problem))
        failure.extendedresult = code  # type: ignore[attr-defined]
        raise failure from None


class _SqliteFile:
    """An open file as SQLite sees it."""

    def __init__(self, vfs: _DiskVfs, disk: SimulatedDisk, path: str, inode: Inode, flags: int, made: bool) -> None:
        self._vfs = vfs
        self._disk = disk
        self._path = path
        self._inode = inode
        self._remove_at_close = bool(flags & apsw.SQLITE_OPEN_DELETEONCLOSE)
        # The name of a new journal must be as durable as its bytes, or it could not undo anything.
        self._sync_directory = made and bool(flags & (apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_SUPER_JOURNAL))

    def xRead(self, amount: int, offset: int) -> bytes:
        with _as_sqlite(apsw.SQLITE_IOERR_READ), self._disk.mutex:
            self._disk.count_io("read", self._path)
            return bytes(self._inode.data[offset : offset + amount])

    def xWrite(self, data: bytes, offset: int) -> None:
        with _as_sqlite(apsw.SQLITE_IOERR_WRITE), self._disk.mutex:
            self._disk.write_into(self._path, self._inode, offset, bytes(data))

    def xTruncate(self, size: int) -> None:
        with _as_sqlite(apsw.SQLITE_IOERR_TRUNCATE), self._disk.mutex:
            self._disk.count_io("truncate", self._path)
            self._inode.truncate(size)

    def xSync(self, flags: int) -> None:
        with _as_sqlite(apsw.SQLITE_IOERR_FSYNC):
            self._disk.sync_file(self._path, self._inode)
            if self._sync_directory:
                self._disk.sync_dir(os.path.dirname(self._path))
                self._sync_directory = False

    def xFileSize(self) -> int:
        return len(self._inode.data)

    def xLock(self, level: int) -> None:
        locks = self._inode.locks
        with self._disk.mutex:
            mine = locks.get(id(self), apsw.SQLITE_LOCK_NONE)
            if level <= mine:
                return
            others = max((held for file, held in locks.items() if file != id(self)), default=apsw.SQLITE_LOCK_NONE)
            if level == apsw.SQLITE_LOCK_SHARED and others >= apsw.SQLITE_LOCK_PENDING:
                raise apsw.BusyError("simulated: locked")
            if level == apsw.SQLITE_LOCK_RESERVED and others >= apsw.SQLITE_LOCK_RESERVED:
                raise apsw.BusyError("simulated: locked")
            if level == apsw.SQLITE_LOCK_EXCLUSIVE and others >= apsw.SQLITE_LOCK_SHARED:
                if others < apsw.SQLITE_LOCK_RESERVED:
                    locks[id(self)] = apsw.SQLITE_LOCK_PENDING
                raise apsw.BusyError("simulated: locked")
            locks[id(self)] = level

    def xUnlock(self, level: int) -> None:
        with self._disk.mutex:
            if level == apsw.SQLITE_LOCK_NONE:
                self._inode.locks.pop(id(self), None)
            else:
                self._inode.locks[id(self)] = level

    def xCheckReservedLock(self) -> bool:
        return any(level >= apsw.SQLITE_LOCK_RESERVED for level in self._inode.locks.values())

    def xFileControl(self, op: int, pointer: int) -> bool:
        return False

    def xSectorSize(self) -> int:
        return SECTOR

    def xDeviceCharacteristics(self) -> int:
        return apsw.SQLITE_IOCAP_POWERSAFE_OVERWRITE

    def xClose(self) -> None:
        with self._disk.mutex:
            self._inode.locks.pop(id(self), None)
            if self._remove_at_close and self._path in self._disk.names and not self._disk.dead:
                self._disk.remove(self._path)
        self._vfs.open_files -= 1


class _DiskVfs(apsw.VFS):
    """The VFS of one simulated disk at a time."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.open_files = 0
        self.disk: weakref.ref[SimulatedDisk] | None = None
        super().__init__(name, "")

    def free(self) -> bool:
        """No disk needs it any more."""
        disk = None if self.disk is None else self.disk()
        return self.open_files == 0 and (disk is None or disk.dead)

    def _disk(self) -> SimulatedDisk:
        disk = None if self.disk is None else self.disk()
        if disk is None:
            raise apsw.IOError("simulated: the disk is gone")
        return disk

    def xFullPathname(self, name: str) -> str:
        return name

    def xOpen(self, name: Any, flags: list[int]) -> Any:
        disk = self._disk()
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        with _as_sqlite(apsw.SQLITE_CANTOPEN), disk.mutex:
            made = False
            if path is None:
                inode, path = disk.unnamed(), ""
            elif path in disk.names:
                if flags[0] & apsw.SQLITE_OPEN_EXCLUSIVE and flags[0] & apsw.SQLITE_OPEN_CREATE:
                    raise apsw.CantOpenError(f"simulated: {path} exists")
                inode = disk.names[path]
                disk.count_io("read", path)
            else:
                if not flags[0] & apsw.SQLITE_OPEN_CREATE:
                    raise apsw.CantOpenError(f"simulated: there is no {path}")
                disk.create(path)
                inode = disk.names[path]
                made = True
        flags[1] = flags[0]
        self.open_files += 1
        return _SqliteFile(self, disk, path, inode, flags[0], made)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        disk = self._disk()
        with _as_sqlite(apsw.SQLITE_IOERR_DELETE), disk.mutex:
            if filename not in disk.names and not disk.dead:
                missing = apsw.IOError("simulated: no such file")
                missing.extendedresult = apsw.SQLITE_IOERR_DELETE_NOENT  # type: ignore[attr-defined]
                raise missing
            disk.remove(filename)
        if syncdir:
            with _as_sqlite(apsw.SQLITE_IOERR_DIR_FSYNC):
                disk.sync_dir(os.path.dirname(filename))

    def xAccess(self, pathname: str, flags: int) -> bool:
        disk = self._disk()
        with disk.mutex:
            # As SQLite's own: an empty file counts as none.
            return pathname in disk.names and (flags != apsw.SQLITE_ACCESS_EXISTS or bool(disk.names[pathname].data))


_vfs_lock = threading.Lock()
_vfs_pool: list[_DiskVfs] = []


def vfs_for(disk: SimulatedDisk) -> str:
    """The disk's VFS; the first time it takes one that no living disk uses, or makes one."""
    with _vfs_lock:
        for vfs in _vfs_pool:
            if vfs.disk is not None and vfs.disk() is disk:
                return vfs.name
        for vfs in _vfs_pool:
            if vfs.free():
                break
        else:
            vfs = _DiskVfs(f"rusts-disk-{len(_vfs_pool)}")
            _vfs_pool.append(vfs)
        vfs.disk = weakref.ref(disk)
        return vfs.name
