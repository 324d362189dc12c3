"""Live segments: opened when they are first read, kept while somebody reads them, removed after.

A `Segment` is what readers hold. When compaction replaces it, it is marked as replaced, and its file
goes when the last reader has let go of it; a crash in between leaves a file that the next start
removes, because its successor names it as parent.
"""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from typing import Final

import structlog

from rusts.catalog.catalog import SegmentEntry
from rusts.files import Files
from rusts.segment.cache import ColumnCache
from rusts.segment.reader import SegmentReader

__all__ = ["DIRECTORY", "ReaderPool", "Segment", "segment_path"]

DIRECTORY: Final = "segments"

logger = structlog.get_logger("rusts.engine")
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

    def get(self, entry: SegmentEntry) -> SegmentReader:
        """The reader of `entry`. Raises OSError, Corruption or FormatTooNew."""
        with self._lock:
            reader = self._open.get(entry.id)
            if reader is not None:
                self._open.move_to_end(entry.id)
                return reader
        reader = SegmentReader.open(self._files, segment_path(self._directory, entry.file_name), self._cache)
        with self._lock:
            self._open[entry.id] = reader
            while len(self._open) > self._limit:
                # Whoever still reads from it holds it; the file is closed with the last reference.
                self._open.popitem(last=False)
        return reader

    def uncached(self, entry: SegmentEntry) -> SegmentReader:
        """A reader of one's own that leaves the cache alone: for reading a whole segment once."""
        return SegmentReader.open(self._files, segment_path(self._directory, entry.file_name))

    def forget(self, segment: int) -> None:
        """Drop the reader of a segment that no longer exists."""
        with self._lock:
            self._open.pop(segment, None)

    def remove(self, entry: SegmentEntry) -> None:
        """Remove the file of a replaced segment; if that fails now, the next start does it."""
        self.forget(entry.id)
        self._cache.forget(entry.id)
        try:
            self._files.remove(segment_path(self._directory, entry.file_name))
        except OSError as error:
            logger.warning("a replaced segment could not be removed", segment=entry.file_name, error=str(error))

    def close(self) -> None:
        """Close every reader."""
        with self._lock:
            readers = list(self._open.values())
            self._open.clear()
        for reader in readers:
            reader.close()


class Segment:
    """A live segment: its catalog entry and, when asked for, its reader."""

    __slots__ = ("__weakref__", "_pool", "_removal", "entry")

    def __init__(self, entry: SegmentEntry, pool: ReaderPool) -> None:
        self.entry = entry
        self._pool = pool
        self._removal: weakref.finalize[[SegmentEntry], Segment] | None = None

    def reader(self) -> SegmentReader:
        """The open reader. Raises OSError, Corruption or FormatTooNew."""
        return self._pool.get(self.entry)

    def replaced(self) -> None:
        """No longer live: the file goes with the last reference to this object."""
        if self._removal is None:
            self._removal = weakref.finalize(self, self._pool.remove, self.entry)
            self._removal.atexit = False
