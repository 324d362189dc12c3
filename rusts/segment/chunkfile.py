"""A segment's open file: its chunks by the footer's table, each checked when it is read."""

from __future__ import annotations

import weakref
import zlib
from collections.abc import Callable
from typing import Final, TypeVar

import numpy as np

from rusts.errors import Corruption
from rusts.files import ReadFile
from rusts.segment.cache import CacheKey, ColumnCache, Sized
from rusts.segment.encoding import check_known
from rusts.segment.layout import ALIGNMENT, CHUNK, HEAD_BYTES, ChunkRecord, Footer, parse_head

__all__ = ["ChunkFile"]

_VERIFY_BYTES: Final = 1 << 22

Value = TypeVar("Value", bound=Sized)


class ChunkFile:
    """The open file behind a reader and its sections: reads chunks, checks them, keeps what was decoded."""

    def __init__(
        self, file: ReadFile, size: int, footer: Footer, footer_offset: int, cache: ColumnCache | None
    ) -> None:
        self.file = file
        self.path = file.path
        self.size = size
        self.footer = footer
        self.footer_offset = footer_offset
        self.cache = cache
        self.close = weakref.finalize(self, file.close)
        self.close.atexit = False

    def record(self, index: int) -> ChunkRecord:
        """Line `index` of the chunk table."""
        return ChunkRecord(*CHUNK.unpack_from(self.footer.data, self.footer.chunk_offset + CHUNK.size * index))

    def read(self, record: ChunkRecord) -> bytes:
        """The bytes of a chunk. Raises OSError, Corruption or FormatTooNew."""
        check_known(self.path, record)
        if record.offset + record.length > self.footer_offset:
            raise Corruption(self.path, record.offset, "a chunk reaches into the footer")
        data = self.file.pread(record.length, record.offset)
        if len(data) != record.length:
            raise Corruption(self.path, record.offset, "a chunk is cut off")
        if zlib.crc32(data) != record.crc:
            raise Corruption(self.path, record.offset, "a chunk's checksum is wrong")
        return data

    def footer_damage(self, reason: str) -> Corruption:
        """What to raise where the footer's tables make no sense."""
        return Corruption(self.path, self.footer_offset, reason)

    def cached(self, key: tuple[int, int, int, int], make: Callable[[], Value]) -> Value:
        """What the cache has under `key` of this segment, else what `make` makes."""
        if self.cache is None:
            return make()
        whole: CacheKey = (self.footer.header.segment, *key)
        value = self.cache.get(whole)
        if value is None:
            value = make()
            self.cache.put(whole, value)
        found: Value = value
        return found

    def verify(self) -> list[Corruption]:
        """Check every byte of the file: each checksum, and that what no chunk owns is zero padding.

        Raises OSError.
        """
        found: list[Corruption] = []
        file, limit = self.file, self.footer_offset
        try:
            parse_head(self.path, file.pread(HEAD_BYTES, 0))
        except Corruption as problem:
            found.append(problem)
        at = HEAD_BYTES
        for index in np.argsort(self.footer.chunks["offset"], kind="stable").tolist():
            record = self.record(index)
            end = record.offset + record.length
            found += self._check_padding(at, record.offset)
            if record.offset % ALIGNMENT:
                found.append(Corruption(self.path, record.offset, "a chunk is not aligned"))
            if end > limit:
                found.append(Corruption(self.path, record.offset, "a chunk reaches into the footer"))
                return found
            crc = 0
            for part in range(record.offset, end, _VERIFY_BYTES):
                crc = zlib.crc32(file.pread(min(_VERIFY_BYTES, end - part), part), crc)
            if crc != record.crc:
                found.append(Corruption(self.path, record.offset, "a chunk's checksum is wrong"))
            at = end
        return found + self._check_padding(at, limit)

    def _check_padding(self, begin: int, end: int) -> list[Corruption]:
        if not 0 <= end - begin < ALIGNMENT:
            return [Corruption(self.path, begin, "chunks overlap, or bytes belong to none")]
        if self.file.pread(end - begin, begin).strip(b"\0"):
            return [Corruption(self.path, begin, "padding is not zero")]
        return []
