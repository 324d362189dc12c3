"""Recorded deletes: what a tombstone says, and its bytes in a row of meta.sqlite."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import zstandard
from pyroaring import BitMap

from rusts.errors import Corruption
from rusts.model.types import Stamp

__all__ = ["EVERY_POLICY", "Spans", "Tombstone", "pack_numbers", "pack_spans", "unpack_numbers", "unpack_spans"]

EVERY_POLICY: Final = 0
"""Stands for all policies of the database; no policy has this id."""

_LEVEL: Final = 3
_SPANS_MAX: Final = 1 << 31


@dataclass(frozen=True, slots=True, eq=False)
class Spans:
    """Stretches of time of series: of the series ``series[i]`` the times ``low[i] <= t <= high[i]`` (ns).

    `series` uint32[n], `low` and `high` int64[n]; sorted by (series, low), and no two of a series touch.
    """

    series: npt.NDArray[np.uint32]
    low: npt.NDArray[np.int64]
    high: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.series)


@dataclass(frozen=True, slots=True, eq=False)
class Tombstone:
    """A delete: hides what was written to a measurement before `stamp`.

    Of the times from `low` to `high` (ns, inclusive), in one `policy` or in `EVERY_POLICY`: what lies in `spans`;
    without them every row of the series `series`; of all series if that is None too.
    """

    id: int
    stamp: Stamp
    database: int
    policy: int
    measurement: int
    low: int
    high: int
    series: npt.NDArray[np.uint32] | None = None
    """Ascending numbers."""
    spans: Spans | None = None

    def concerns(self, policy: int) -> bool:
        """Whether it hides rows of the policy."""
        return self.policy in (EVERY_POLICY, policy)


def pack_numbers(numbers: BitMap) -> bytes:
    """A roaring bitmap in its portable form."""
    return bytes(numbers.serialize())


def unpack_numbers(path: str, blob: bytes, crc: int) -> BitMap | None:
    """What `pack_numbers` was given, None for no bytes. Raises Corruption unless `crc` is that of `blob`."""
    if zlib.crc32(blob) != crc:
        raise Corruption(path, 0, "the checksum of series numbers is wrong")
    try:
        return BitMap.deserialize(blob) if blob else None
    except ValueError as problem:
        raise Corruption(path, 0, f"series numbers: {problem}") from None


def pack_spans(spans: Spans | None) -> bytes:
    """One Zstd frame: u32 series, i64 differences of `low`, u64 lengths; each column whole. No bytes for None."""
    if spans is None:
        return b""
    low = spans.low.view(np.uint64)
    steps = np.diff(low, prepend=np.uint64(0))
    lengths = spans.high.view(np.uint64) - low
    parts = (spans.series.astype("<u4"), steps.astype("<u8"), lengths.astype("<u8"))
    return zstandard.ZstdCompressor(level=_LEVEL).compress(b"".join(part.tobytes() for part in parts))


def unpack_spans(path: str, blob: bytes, crc: int) -> Spans | None:
    """What `pack_spans` was given. Raises Corruption unless `crc` is that of `blob`."""
    if zlib.crc32(blob) != crc:
        raise Corruption(path, 0, "the checksum of deleted spans is wrong")
    if not blob:
        return None
    try:
        if zstandard.frame_content_size(blob) > _SPANS_MAX:
            raise Corruption(path, 0, "deleted spans are too large")
        data = zstandard.ZstdDecompressor().decompress(blob, allow_extra_data=False)
    except zstandard.ZstdError as problem:
        raise Corruption(path, 0, f"deleted spans: {problem}") from None
    count, rest = divmod(len(data), 20)
    if rest:
        raise Corruption(path, 0, "deleted spans end early")
    series = np.frombuffer(data, "<u4", count).astype(np.uint32)
    low = np.cumsum(np.frombuffer(data, "<u8", count, 4 * count).astype(np.uint64), dtype=np.uint64)
    high = low + np.frombuffer(data, "<u8", count, 12 * count).astype(np.uint64)
    return Spans(series, low.view(np.int64), high.view(np.int64))
