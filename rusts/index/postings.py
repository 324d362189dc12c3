"""Which series have a tag value: roaring bitmaps, made from the tag's codes when first asked for."""

from __future__ import annotations

import array
import threading
from collections import OrderedDict
from typing import Final

import numpy as np
import numpy.typing as npt
from pyroaring import BitMap

from rusts.index.tables import Tables

__all__ = ["Postings", "bitmap_of", "bitmap_of_numbers", "numbers_of"]

_BLOCK: Final = 1 << 16
_ARRAY_MAX: Final = 4096
_COOKIE: Final = 12346
_SMALL: Final = 2048


def bitmap_of(mask: npt.NDArray[np.bool_]) -> BitMap:
    """The positions where `mask` (bool[n], n <= 2**32) is true.

    A large bitmap is written in the portable serialized form (Roaring bitmaps' format specification: a cookie,
    keys and cardinalities, offsets, then containers of bits or of sorted uint16) and read by the library:
    giving it the numbers one by one takes a hundred times as long.
    """
    count = int(np.count_nonzero(mask))
    if count <= _SMALL:
        return BitMap(array.array("I", np.flatnonzero(mask).astype(np.uint32).tobytes()))
    heads: list[tuple[int, int]] = []
    containers: list[bytes] = []
    for key, begin in enumerate(range(0, len(mask), _BLOCK)):
        block = mask[begin : begin + _BLOCK]
        held = int(np.count_nonzero(block))
        if not held:
            continue
        heads.append((key, held - 1))
        if held > _ARRAY_MAX:
            containers.append(np.packbits(block, bitorder="little").tobytes().ljust(_BLOCK // 8, b"\0"))
        else:
            containers.append(np.flatnonzero(block).astype("<u2").tobytes())
    sizes = np.array([0, *map(len, containers[:-1])], dtype=np.uint32)
    offsets = np.cumsum(sizes, dtype=np.uint32) + np.uint32(8 + 8 * len(heads))
    head = np.array([_COOKIE, len(heads)], dtype="<u4").tobytes() + np.array(heads, dtype="<u2").tobytes()
    return BitMap.deserialize(b"".join((head, offsets.astype("<u4").tobytes(), *containers)))


def bitmap_of_numbers(numbers: npt.NDArray[np.uint32]) -> BitMap:
    """The members `numbers`, ascending."""
    if len(numbers) <= _SMALL:
        return BitMap(array.array("I", numbers.tobytes()))
    mask = np.zeros(int(numbers[-1]) + 1, dtype=np.bool_)
    mask[numbers] = True
    return bitmap_of(mask)


def numbers_of(bitmap: BitMap) -> npt.NDArray[np.uint32]:
    """uint32[n]: the members of `bitmap`, ascending."""
    return np.frombuffer(bitmap.to_array(), dtype=np.uint32)


class Postings:
    """The bitmaps of one index, kept while there is room: 64 KiB and 4 bytes a series. Thread-safe.

    A bitmap that is kept grows with the index: only series that are newer than it are looked at again.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[int, int], tuple[int, BitMap, int]] = OrderedDict()
        self._lock = threading.Lock()
        self.nbytes = 0

    def get(self, tables: Tables, tag: int, text: int) -> BitMap:
        """The series whose `tag` has the text id `text` (0: that lack it). Shared: not to be changed."""
        key = tag, text
        with self._lock:
            length, bitmap, _ = self._kept.get(key, (0, None, 0))
            if bitmap is not None:
                self._kept.move_to_end(key)
        if bitmap is not None and length == tables.length:
            return bitmap
        if bitmap is None or length > tables.length:
            # A reader that still holds an older state gets a bitmap of its own.
            made = bitmap_of(tables.codes[tag, : tables.length] == text)
        else:
            fresh = np.flatnonzero(tables.codes[tag, length : tables.length] == text) + length
            made = bitmap | BitMap(array.array("I", fresh.astype(np.uint32).tobytes())) if len(fresh) else bitmap
        if length <= tables.length:
            self._keep(key, tables, made)
        return made

    def _keep(self, key: tuple[int, int], tables: Tables, bitmap: BitMap) -> None:
        size = _memory(bitmap)
        limit = _BLOCK + 4 * tables.length
        with self._lock:
            self.nbytes += size - self._kept.pop(key, (0, None, 0))[2]
            self._kept[key] = tables.length, bitmap, size
            while self.nbytes > limit:
                _, (_, _, freed) = self._kept.popitem(last=False)
                self.nbytes -= freed


def _memory(bitmap: BitMap) -> int:
    """About how many bytes of memory `bitmap` takes."""
    held = bitmap.get_statistics()
    containers = held["n_bytes_array_containers"] + held["n_bytes_run_containers"] + held["n_bytes_bitset_containers"]
    return int(containers) + 24 * int(held["n_containers"]) + 200
