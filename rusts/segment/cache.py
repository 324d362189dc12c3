"""Columns, directories and statistics as decoded, kept while there is room: a bounded LRU."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any, Protocol

__all__ = ["CacheKey", "ColumnCache", "Sized"]

CacheKey = tuple[int, int, int, int, int]
"""Segment id, measurement id, chunk role, column number, batch."""


class Sized(Protocol):
    """Something that knows how much memory it takes."""

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        ...


class ColumnCache:
    """Decoded parts of segments, the least recently used dropped first. Thread-safe.

    What is in it is shared between readers and must not be changed.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: OrderedDict[CacheKey, tuple[Any, int]] = OrderedDict()
        self._lock = threading.Lock()
        self._nbytes = 0
        self.hits = 0
        self.misses = 0

    @property
    def limit(self) -> int:
        """Bytes that the entries may take together."""
        return self._limit

    @property
    def nbytes(self) -> int:
        """Bytes that the entries take now."""
        return self._nbytes

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: CacheKey) -> Any:
        """What is kept under `key`, or None."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                self.misses += 1
                return None
            self._entries.move_to_end(key)
            self.hits += 1
            return entry[0]

    def put(self, key: CacheKey, value: Sized, nbytes: int | None = None) -> None:
        """Keep `value` (of `nbytes`, by default its own) unless it is larger than half the limit."""
        size = value.nbytes if nbytes is None else nbytes
        if 2 * size > self._limit:
            return
        with self._lock:
            old = self._entries.pop(key, None)
            if old is not None:
                self._nbytes -= old[1]
            self._entries[key] = (value, size)
            self._nbytes += size
            self._shrink(self._limit)

    def resize(self, limit: int) -> None:
        """Set the limit, dropping what is over it."""
        with self._lock:
            self._limit = limit
            self._shrink(limit)

    def forget(self, segment: int) -> None:
        """Drop everything of a segment that no longer exists."""
        with self._lock:
            for key in [k for k in self._entries if k[0] == segment]:
                self._nbytes -= self._entries.pop(key)[1]

    def clear(self) -> None:
        """Drop everything."""
        with self._lock:
            self._entries.clear()
            self._nbytes = 0

    def _shrink(self, limit: int) -> None:
        while self._nbytes > limit:
            _, (_, size) = self._entries.popitem(last=False)
            self._nbytes -= size
