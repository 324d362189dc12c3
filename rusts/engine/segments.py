"""Live segments: opened when they are first read, kept while somebody reads them, removed after.

A `Segment` is what readers hold. When compaction replaces it, it is marked as replaced, and once the last
reader has let go of it the next `ReaderPool.sweep` removes its file; a crash in between leaves a file that
the next start removes, because its successor names it as parent.
"""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict, deque
from typing import Final

from rusts.catalog.catalog import SegmentEntry
from rusts.errors import Corruption
from rusts.files import Files
from rusts.logging import get_logger
from rusts.model.types import Stamp
from rusts.segment.cache import ColumnCache
from rusts.segment.reader import SegmentReader

__all__ = ["DIRECTORY", "NEVER", "ReaderPool", "Segment", "segment_path"]

DIRECTORY: Final = "segments"

NEVER: Final = Stamp(0)

logger = get_logger("rusts.engine")
_OPEN_READERS: Final = 512


def segment_path(directory: str, file_name: str) -> str:
    """Where the segment file `file_name` of the data directory lies."""
    return f"{directory}/{DIRECTORY}/{file_name}"


class ReaderPool:
    """Opens segment readers and keeps the `limit` last used ones open. Thread-safe."""

    def __init__(self, files: Files, directory: str, cache: ColumnCache, limit: int = _OPEN_READERS) -> None:
        self._files = files
        self._directory = directory
        self._cache = cache
        self._limit = limit
        self._open: OrderedDict[int, SegmentReader] = OrderedDict()
        self._lock = threading.Lock()
        self.let_go: deque[SegmentEntry] = deque()
        """Replaced segments that nobody reads any more. The garbage collector appends to it at any moment, also while
        this thread holds a lock, so nothing else is done about them there and then."""

    def get(self, entry: SegmentEntry) -> SegmentReader:
        """The reader of `entry`. Raises OSError, Corruption or FormatTooNew."""
        with self._lock:
            reader = self._open.get(entry.id)
            if reader is not None:
                self._open.move_to_end(entry.id)
                return reader
        reader = self._opened(entry, self._cache)
        with self._lock:
            self._open[entry.id] = reader
            while len(self._open) > self._limit:
                # Whoever still reads from it holds it; the file is closed with the last reference.
                self._open.popitem(last=False)
        return reader

    def uncached(self, entry: SegmentEntry) -> SegmentReader:
        """A reader of one's own that leaves the cache alone: for reading a whole segment once."""
        return self._opened(entry, None)

    def _opened(self, entry: SegmentEntry, cache: ColumnCache | None) -> SegmentReader:
        path = segment_path(self._directory, entry.file_name)
        reader = SegmentReader.open(self._files, path, cache)
        if reader.header.segment != entry.id:
            reader.close()
            raise Corruption(path, 0, f"it holds segment {reader.header.segment}, not {entry.id}")
        return reader

    def sweep(self) -> None:
        """Remove the files of replaced segments that nobody reads any more."""
        while self.let_go:
            self._remove(self.let_go.popleft())

    def _remove(self, entry: SegmentEntry) -> None:
        """Remove a file; if that fails now, the next start does it."""
        with self._lock:
            self._open.pop(entry.id, None)
        self._cache.forget(entry.id)
        try:
            self._files.remove(segment_path(self._directory, entry.file_name))
        except OSError as error:
            logger.warning("a replaced segment could not be removed", segment=entry.file_name, error=str(error))

    def close(self) -> None:
        """Remove what is to be removed, and close every reader."""
        self.sweep()
        with self._lock:
            readers = list(self._open.values())
            self._open.clear()
        for reader in readers:
            reader.close()


class Segment:
    """A live segment: its catalog entry and, when asked for, its reader."""

    __slots__ = ("__weakref__", "_pool", "_removal", "clean", "entry")

    def __init__(self, entry: SegmentEntry, pool: ReaderPool, clean: Stamp = NEVER) -> None:
        """`clean`: nothing is in it that was deleted up to this stamp, as far as is known."""
        self.entry = entry
        self.clean = clean
        self._pool = pool
        self._removal: weakref.finalize[[SegmentEntry], Segment] | None = None

    def reader(self) -> SegmentReader:
        """The open reader. Raises OSError, Corruption or FormatTooNew."""
        return self._pool.get(self.entry)

    def replaced(self) -> None:
        """No longer live: the file goes after the last reference to this object."""
        if self._removal is None:
            self._removal = weakref.finalize(self, self._pool.let_go.append, self.entry)
            self._removal.atexit = False
