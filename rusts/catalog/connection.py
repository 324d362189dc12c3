"""SQLite as the catalog uses it: checksummed pages, one file after a commit, our own errors.

SQLite's cksumvfs keeps a checksum in the last 8 bytes of each page and checks it whenever a page is read.
It is one per process and lies on whatever VFS was the default when it was loaded, so there a router
stands, which sends each file on to the VFS that `Files.sqlite_vfs` names: SQLite's own, or that of a
simulated disk.
"""

from __future__ import annotations

import contextlib
import errno
import threading
from collections.abc import Iterator
from typing import Any, Final

import apsw
import apsw.sqlite_extra

from rusts.errors import Corruption
from rusts.files import Files

__all__ = ["CHECKSUM_BYTES", "PAGE_BYTES", "check_head", "connect", "translated"]

PAGE_BYTES: Final = 4096
CHECKSUM_BYTES: Final = 8
"""Reserved at the end of each page; with any other number cksumvfs would check nothing."""

_CHECKED: Final = "cksmvfs"
_ROUTER: Final = "rusts-router"
_DAMAGED: Final = (apsw.CorruptError, apsw.NotADBError, apsw.FormatError)
_BUSY_MS: Final = 5_000
_loading: Final = threading.Lock()
_router: _Router | None = None


class _Router(apsw.VFS):
    """Names of files are ``<vfs>|<path>``; an empty VFS is the one that was the default before."""

    def __init__(self, default: str) -> None:
        self._default = default
        super().__init__(_ROUTER, "", makedefault=True)

    def _split(self, name: str) -> tuple[str, str]:
        vfs, _, path = name.partition("|")
        return vfs or self._default, path

    def xFullPathname(self, name: str) -> str:
        return name

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        vfs, path = self._split(name if isinstance(name, str) else name.filename())
        return apsw.VFSFile(vfs, path, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        vfs, path = self._split(filename)
        with _relay(vfs) as below:
            below.xDelete(path, syncdir)

    def xAccess(self, pathname: str, flags: int) -> bool:
        vfs, path = self._split(pathname)
        with _relay(vfs) as below:
            return bool(below.xAccess(path, flags))


@contextlib.contextmanager
def _relay(vfs: str) -> Iterator[apsw.VFS]:
    # The only way in apsw to call a VFS by its name is one that inherits from it.
    below = apsw.VFS(f"rusts-relay-{threading.get_ident()}", vfs)
    try:
        yield below
    finally:
        below.unregister()


def _load() -> None:
    """Put the router and cksumvfs in place, once a process; the default VFS stays what it was."""
    global _router  # noqa: PLW0603 (SQLite's list of VFSes is a global too)
    with _loading:
        if _router is not None:
            return
        default = apsw.vfs_names()[0]
        _router = _Router(default)
        try:
            loader = apsw.Connection(":memory:")
            apsw.sqlite_extra.load(loader, "cksumvfs")
            loader.close()
        finally:
            apsw.set_default_vfs(default)


def connect(files: Files, path: str, *, create: bool = False, read_only: bool = False) -> apsw.Connection:
    """Open the database `path`, or make an empty one. Raises apsw.Error."""
    _load()
    if read_only:
        flags = apsw.SQLITE_OPEN_READONLY
    else:
        flags = apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if create else 0)
    connection = apsw.Connection(f"{files.sqlite_vfs()}|{path}", flags=flags, vfs=_CHECKED)
    try:
        connection.set_busy_timeout(_BUSY_MS)
        if create:
            connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            connection.reserve_bytes(reserve=CHECKSUM_BYTES)
        if not read_only:
            connection.execute("PRAGMA journal_mode = DELETE")
            connection.execute("PRAGMA synchronous = EXTRA")
        # Else large sorts would go to files outside the data directory.
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def check_head(files: Files, path: str) -> None:
    """Raise Corruption unless the file begins as ours do.

    The byte that says how much of a page is reserved also switches the checksums on: one that is
    flipped would switch them off, so it is looked at before anything that was read is believed.
    """
    file = files.open(path)
    try:
        head, size = file.pread(100, 0), file.size()
    finally:
        file.close()
    if len(head) < 100:
        raise Corruption(path, 0, f"it has {len(head)} bytes, too few for a header")
    if head[:16] != b"SQLite format 3\0":
        raise Corruption(path, 0, "it is no SQLite database")
    if int.from_bytes(head[16:18], "big") != PAGE_BYTES:
        raise Corruption(path, 16, "its pages have another size")
    if head[20] != CHECKSUM_BYTES:
        raise Corruption(path, 20, "its pages have no checksums")
    pages = int.from_bytes(head[28:32], "big")
    if size != pages * PAGE_BYTES:
        raise Corruption(path, 28, f"it should have {pages} pages, but has {size} bytes")


@contextlib.contextmanager
def translated(path: str) -> Iterator[None]:
    """Turn SQLite's errors into Corruption (bytes that are not what was written) and OSError (the device)."""
    try:
        yield
    except apsw.Error as problem:
        raise _translate(path, problem) from problem


def _translate(path: str, problem: apsw.Error) -> Exception:
    extended = getattr(problem, "extendedresult", 0)
    if extended == apsw.SQLITE_IOERR_DATA:
        return Corruption(path, 0, "the checksum of a page is wrong")
    if isinstance(problem, _DAMAGED):
        return Corruption(path, 0, str(problem))
    if isinstance(problem, apsw.FullError):
        return OSError(errno.ENOSPC, f"SQLite: {problem}", path)
    if isinstance(problem, apsw.BusyError | apsw.LockedError):
        return OSError(errno.EBUSY, f"SQLite: {problem}", path)
    if isinstance(problem, apsw.PermissionsError | apsw.ReadOnlyError):
        return OSError(errno.EACCES, f"SQLite: {problem}", path)
    if isinstance(problem, apsw.CantOpenError):
        return OSError(errno.ENOENT, f"SQLite: {problem}", path)
    if isinstance(problem, apsw.IOError):
        return OSError(errno.EIO, f"SQLite: {problem}", path)
    return problem
