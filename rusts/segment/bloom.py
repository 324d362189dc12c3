"""Bloom filters over series keys and tag values: which sections cannot have what a query looks for.

Elements are hashed with MurmurHash3 x64-128 (seed 0), and an element's bits chosen by double hashing
(Kirsch and Mitzenmacher, "Less Hashing, Same Performance: Building a Better Bloom Filter", 2006). A
filter holds each series' canonical key, and each of its tags as the canonical key spells it: key and
value, each after its u32 little-endian length.
"""

from __future__ import annotations

from typing import Final

import mmh3
import numpy as np
import numpy.typing as npt

from rusts.model.series import KeyTable

__all__ = ["BloomBuilder", "BloomFilter", "element_hash", "hash_spans", "tag_element"]

_BITS_PER_ELEMENT: Final = 10
_HASHES: Final = 7
"""With 10 bits an element and 7 hashes, fewer than 1 of 100 absent elements is taken for present."""

_SLICE: Final = 1 << 13
_MASK: Final = (1 << 64) - 1
_C1: Final = np.uint64(0x87C37B91114253D5)
_C2: Final = np.uint64(0x4CF5AD432745937F)
_FMIX1: Final = np.uint64(0xFF51AFD7ED558CCD)
_FMIX2: Final = np.uint64(0xC4CEB9FE1A85EC53)

Hashes = npt.NDArray[np.uint64]


def tag_element(key: str, value: str) -> bytes:
    """The element that says that some series has the tag."""
    texts = key.encode(), value.encode()
    return b"".join(len(text).to_bytes(4, "little") + text for text in texts)


def element_hash(element: bytes) -> tuple[int, int]:
    """Both halves of an element's hash."""
    first, second = mmh3.hash64(element, seed=0, x64arch=True, signed=False)
    return first, second


def hash_spans(data: npt.NDArray[np.uint8], begins: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> Hashes:
    """uint64[n, 2]: both halves of the hash of each ``data[begins[i]:ends[i]]``.

    The library hashes one text a call; here all of a slice go through the algorithm's rounds together.
    """
    hashes = np.empty((len(begins), 2), dtype=np.uint64)
    padded = np.append(data, np.zeros(16, dtype=np.uint8))
    for at in range(0, len(begins), _SLICE):
        cut = slice(at, at + _SLICE)
        hashes[cut, 0], hashes[cut, 1] = _hash_slice(padded, begins[cut], ends[cut] - begins[cut])
    return hashes


def _hash_slice(
    padded: npt.NDArray[np.uint8], begins: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
) -> tuple[Hashes, Hashes]:
    words = np.lib.stride_tricks.as_strided(padded[:8].view("<u8"), (len(padded) - 7,), (1,), writeable=False)
    h1 = np.zeros(len(begins), dtype=np.uint64)
    h2 = h1.copy()
    blocks = lengths >> 4
    for block in range(int(blocks.max(initial=0))):
        active = np.flatnonzero(blocks > block)
        at = begins[active] + 16 * block
        a, b = h1[active], h2[active]
        a ^= _mix1(words[at])
        a = _rotate(a, 27)
        a += b
        a = a * np.uint64(5) + np.uint64(0x52DCE729)
        b ^= _mix2(words[at + 8])
        b = _rotate(b, 31)
        b += a
        b = b * np.uint64(5) + np.uint64(0x38495AB5)
        h1[active], h2[active] = a, b
    at = begins + (blocks << 4)
    rest = lengths & 15
    h2 ^= _mix2(words[at + 8] & _low_bytes(rest - 8))
    h1 ^= _mix1(words[at] & _low_bytes(rest))
    size = lengths.astype(np.uint64)
    h1 ^= size
    h2 ^= size
    h1 += h2
    h2 += h1
    h1, h2 = _finish(h1), _finish(h2)
    h1 += h2
    h2 += h1
    return h1, h2


def _low_bytes(count: npt.NDArray[np.int64]) -> Hashes:
    """A mask of the lowest `count` bytes, between none and all 8."""
    masks = np.array([(1 << (8 * i)) - 1 for i in range(9)], dtype=np.uint64)
    return masks[np.clip(count, 0, 8)]


def _rotate(values: Hashes, by: int) -> Hashes:
    return (values << np.uint64(by)) | (values >> np.uint64(64 - by))


def _mix1(words: Hashes) -> Hashes:
    return _rotate(words * _C1, 31) * _C2


def _mix2(words: Hashes) -> Hashes:
    return _rotate(words * _C2, 33) * _C1


def _finish(values: Hashes) -> Hashes:
    values = (values ^ (values >> np.uint64(33))) * _FMIX1
    values = (values ^ (values >> np.uint64(33))) * _FMIX2
    return values ^ (values >> np.uint64(33))


class BloomBuilder:
    """Gathers the elements of a section, block of series by block."""

    def __init__(self) -> None:
        self._keys: list[Hashes] = []
        self._tags: list[Hashes] = []

    def add(self, keys: KeyTable) -> None:
        """Add the series `keys` and their tags."""
        self._keys.append(hash_spans(keys.data, keys.offsets[:-1], keys.offsets[1:]))
        begins, ends = tag_spans(keys)
        self._tags.append(_distinct(hash_spans(keys.data, begins, ends)))

    def finish(self) -> tuple[npt.NDArray[np.uint8], int]:
        """The filter's bits as bytes, a multiple of 8, and the number of hashes an element."""
        hashes = np.concatenate([*self._keys, _distinct(np.concatenate(self._tags))])
        bits = max(64, -(-_BITS_PER_ELEMENT * len(hashes) // 64) * 64)
        flags = np.zeros(bits, dtype=np.bool_)
        for number in range(_HASHES):
            at = (hashes[:, 0] + np.uint64(number) * hashes[:, 1]) % np.uint64(bits)
            flags[at.astype(np.int64)] = True
        return np.packbits(flags, bitorder="little"), _HASHES


def _distinct(hashes: Hashes) -> Hashes:
    return hashes[np.unique(hashes[:, 0], return_index=True)[1]]


def tag_spans(keys: KeyTable) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Begins and ends in ``keys.data`` of every tag (key and value with their lengths) of every series."""
    padded = np.append(keys.data, np.zeros(4, dtype=np.uint8))
    lengths = np.lib.stride_tricks.as_strided(padded[:4].view("<u4"), (len(padded) - 3,), (1,), writeable=False)
    begins: list[npt.NDArray[np.int64]] = []
    ends: list[npt.NDArray[np.int64]] = []
    stop = keys.offsets[1:]
    at = keys.offsets[:-1] + 4 + lengths[keys.offsets[:-1]]
    while True:
        more = at < stop
        if not more.all():
            at, stop = at[more], stop[more]
        if len(at) == 0:
            break
        value = at + 4 + lengths[at]
        end = value + 4 + lengths[value]
        begins.append(at)
        ends.append(end)
        at = end
    if not begins:
        nothing = np.empty(0, dtype=np.int64)
        return nothing, nothing
    return np.concatenate(begins), np.concatenate(ends)


class BloomFilter:
    """A filter as read from a segment: `bits` uint8[n], `hashes` an element."""

    def __init__(self, bits: npt.NDArray[np.uint8], hashes: int) -> None:
        if len(bits) == 0 or not 0 < hashes < 64:
            raise ValueError("a bloom filter of a wrong size")
        self._bits = bits
        self._hashes = hashes

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        return self._bits.nbytes

    def might_contain(self, element: bytes) -> bool:
        """False only if the element was never added."""
        first, second = element_hash(element)
        for number in range(self._hashes):
            at = ((first + number * second) & _MASK) % (8 * len(self._bits))
            if not self._bits[at >> 3] >> (at & 7) & 1:
                return False
        return True
