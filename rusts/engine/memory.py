"""The memory budget: one number, split into accounted pools; nothing grows outside them."""

from __future__ import annotations

import ctypes
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa

from rusts.errors import MemoryExceeded

__all__ = ["Budget", "Pool", "anonymous_memory", "machine_memory", "return_unused"]

_TRIM: Final = getattr(ctypes.CDLL(None), "malloc_trim", None)

_CGROUP_LIMITS: Final = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def machine_memory() -> int:
    """Bytes of memory that this process may use: the cgroup's limit, or the machine's memory."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for path in _CGROUP_LIMITS:
        try:
            text = Path(path).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdigit():
            return min(total, int(text))
    return total


class Pool:
    """An accounted part of the budget. Thread-safe."""

    def __init__(self, name: str, limit: int) -> None:
        self.name = name
        self.limit = limit
        self.used = 0
        self._lock = threading.Lock()

    def take(self, nbytes: int) -> None:
        """Account for `nbytes` more. Raises MemoryExceeded where that passes the limit."""
        with self._lock:
            if self.used + nbytes > self.limit:
                raise MemoryExceeded(
                    f"the {self.name} pool is full: {self.used:,} of {self.limit:,} bytes in use, {nbytes:,} more asked"
                )
            self.used += nbytes

    def give(self, nbytes: int) -> None:
        """Give back `nbytes` that were taken."""
        with self._lock:
            self.used -= nbytes


@dataclass(frozen=True, slots=True)
class Budget:
    """The pools: write buffer (all memtables), query, cache (decoded columns), replay."""

    write_buffer: Pool
    query: Pool
    cache: Pool
    replay: Pool

    @staticmethod
    def of(total: int) -> Budget:
        """Split `total` bytes: 30 % write buffer, 30 % query, 15 % cache, 10 % replay.

        What is left is for flushing and merging, which take a slice of rows at a time, whatever they work on.
        """

        def pool(name: str, percent: int) -> Pool:
            return Pool(name, total * percent // 100)

        return Budget(
            pool("write buffer", 30),
            pool("query", 30),
            pool("cache", 15),
            pool("replay", 10),
        )


def anonymous_memory() -> int:
    """Bytes of memory of this process that no file backs (RssAnon), 0 where the system does not tell."""
    try:
        text = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("RssAnon:")), 0)


def return_unused() -> None:
    """Give memory that was freed back to the system: Arrow's pool, and the C library's heaps where it can.

    The C library keeps what its threads free for their next turn; after a burst of writes or a large
    query that can be several times what is in use.
    """
    pa.default_memory_pool().release_unused()
    if _TRIM is not None:
        _TRIM(0)
