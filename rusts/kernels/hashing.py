# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# distutils: extra_compile_args = -O3
"""Hash tables over byte keys: the series of one measurement, by canonical key, with their tags as codes.

A canonical key is the measurement, then each tag's key and value in the byte order of the keys, each text
after its length as u32 little-endian. All keys of one set of tables begin with the same `prefix` bytes
(length and text of the measurement). Keys are not stored: a series is the codes of its tags.

The tables, all little-endian arrays that the caller owns and grows (capacity first, used part behind it):

``slots`` uint64[2**k]
    Series by key, open addressing with linear probing. 0 is free; else the upper half of the key's hash
    above (number + 1); a lower half of ``DEAD`` is a series that was taken out.
``codes`` uint32[tags, series]
    The text id of each tag of each series, 0 = the series lacks the tag.
``counts`` uint16[series]
    How many tags a series has; ``HOLE`` = the number names no series.
``texts`` uint8[], ``starts`` int64[texts + 1]
    Text id g is ``texts[starts[g]:starts[g + 1]]``; text 0 is empty. One text of two tags has two ids.
``owners`` uint32[texts], ``ranks`` uint32[texts]
    The tag that a text is a value of, and its place among that tag's values (from 1; 0 is "").
``text_slots`` uint64[2**k]
    Text ids by (tag, text): upper half of the hash above the id; 0 is free.
``names`` uint8[], ``name_starts`` int64[tags + 1]
    The tag keys in the order of their creation.
``order`` int64[tags]
    The tags in the byte order of their keys.
``sizes`` int64[tags + 1]
    How many distinct values each tag has, the empty one included; behind them the number of text ids.

The hash is SipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012) under a secret
seed, so that nobody can choose tag values that collide.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

try:
    import cython
except ImportError:
    from rusts.kernels import standin as cython

__all__ = [
    "DEAD",
    "GROW",
    "HOLE",
    "MALFORMED",
    "NEW_TAG",
    "UNKNOWN",
    "add_series",
    "build_keys",
    "find_series",
    "find_text",
    "hash_keys",
    "key_ends",
    "kill_series",
    "rehash",
    "seed_state",
]

SOURCE_DIGEST = "92bd5c06c446929b"

UNKNOWN: Final = 0xFFFFFFFF
"""The number that `find_series` gives for a key that it does not know."""

DEAD: Final = 0xFFFFFFFF
HOLE: Final = 0xFFFF

GROW: Final = 1
NEW_TAG: Final = 2
MALFORMED: Final = 3
"""Why `add_series` stopped: a table is full, a tag key is new (or not in order), the bytes are no key."""

_MASK: Final = 0xFFFFFFFFFFFFFFFF


def seed_state(key: bytes) -> npt.NDArray[np.uint64]:
    """uint64[4]: the state in which SipHash begins under the 16 bytes of `key`."""
    k0, k1 = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:16], "little")
    words = (k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573)
    return np.array(words, dtype=np.uint64)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _u64(x: cython.ulonglong) -> cython.ulonglong:
    if cython.compiled:
        return x
    else:
        return x & _MASK


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _low(x: cython.ulonglong) -> cython.ulonglong:
    """The lower 32 bits."""
    if cython.compiled:
        return cython.cast(cython.uint, x)
    else:
        return x & 0xFFFFFFFF


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _load64(data: cython.const[cython.uchar][::1], at: cython.Py_ssize_t) -> cython.ulonglong:
    if cython.compiled:
        return (
            cython.cast(cython.ulonglong, data[at])
            | cython.cast(cython.ulonglong, data[at + 1]) << 8
            | cython.cast(cython.ulonglong, data[at + 2]) << 16
            | cython.cast(cython.ulonglong, data[at + 3]) << 24
            | cython.cast(cython.ulonglong, data[at + 4]) << 32
            | cython.cast(cython.ulonglong, data[at + 5]) << 40
            | cython.cast(cython.ulonglong, data[at + 6]) << 48
            | cython.cast(cython.ulonglong, data[at + 7]) << 56
        )
    else:
        return int.from_bytes(data[at : at + 8], "little")


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _load32(data: cython.const[cython.uchar][::1], at: cython.Py_ssize_t) -> cython.Py_ssize_t:
    return (
        cython.cast(cython.Py_ssize_t, data[at])
        | cython.cast(cython.Py_ssize_t, data[at + 1]) << 8
        | cython.cast(cython.Py_ssize_t, data[at + 2]) << 16
        | cython.cast(cython.Py_ssize_t, data[at + 3]) << 24
    )


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _equal(
    a: cython.const[cython.uchar][::1],
    at: cython.Py_ssize_t,
    b: cython.const[cython.uchar][::1],
    bt: cython.Py_ssize_t,
    size: cython.Py_ssize_t,
) -> cython.bint:
    i: cython.Py_ssize_t = 0
    while i + 8 <= size:
        if _load64(a, at + i) != _load64(b, bt + i):
            return False
        i += 8
    while i < size:
        if a[at + i] != b[bt + i]:
            return False
        i += 1
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _siphash(
    data: cython.const[cython.uchar][::1],
    at: cython.Py_ssize_t,
    end: cython.Py_ssize_t,
    seed: cython.const[cython.ulonglong][::1],
    salt: cython.ulonglong,
) -> cython.ulonglong:
    """SipHash-1-3 of ``data[at:end]``; `salt` (below 2**63) separates hash functions under one seed."""
    v0: cython.ulonglong = seed[0] ^ salt
    v1: cython.ulonglong = seed[1]
    v2: cython.ulonglong = seed[2] ^ salt
    v3: cython.ulonglong = seed[3]
    m: cython.ulonglong
    words: cython.Py_ssize_t = (end - at) >> 3
    step: cython.Py_ssize_t
    i: cython.Py_ssize_t
    for step in range(words + 4):
        if step < words:
            m = _load64(data, at)
            at += 8
        elif step == words:
            m = cython.cast(cython.ulonglong, ((words << 3) + end - at) & 0xFF) << 56
            for i in range(end - at):
                m |= cython.cast(cython.ulonglong, data[at + i]) << (8 * i)
        else:
            m = 0
            if step == words + 1:
                v2 ^= 0xFF
        v3 ^= m
        v0 = _u64(v0 + v1)
        v2 = _u64(v2 + v3)
        v1 = _u64(v1 << 13) | (v1 >> 51)
        v3 = _u64(v3 << 16) | (v3 >> 48)
        v1 ^= v0
        v3 ^= v2
        v0 = _u64(v0 << 32) | (v0 >> 32)
        v2 = _u64(v2 + v1)
        v0 = _u64(v0 + v3)
        v1 = _u64(v1 << 17) | (v1 >> 47)
        v3 = _u64(v3 << 21) | (v3 >> 43)
        v1 ^= v2
        v3 ^= v0
        v2 = _u64(v2 << 32) | (v2 >> 32)
        v0 ^= m
    return v0 ^ v1 ^ v2 ^ v3


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _tag_at(
    data: cython.const[cython.uchar][::1],
    at: cython.Py_ssize_t,
    size: cython.Py_ssize_t,
    names: cython.const[cython.uchar][::1],
    name_starts: cython.const[cython.longlong][::1],
    order: cython.const[cython.longlong][::1],
    tags: cython.Py_ssize_t,
    place: cython.Py_ssize_t,
) -> cython.Py_ssize_t:
    """The first place >= `place` in `order` of the tag whose key is ``data[at:at + size]``; `tags` if none."""
    tag: cython.Py_ssize_t
    while place < tags:
        tag = order[place]
        if name_starts[tag + 1] - name_starts[tag] == size and _equal(data, at, names, name_starts[tag], size):
            return place
        place += 1
    return place


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _is_series(
    data: cython.const[cython.uchar][::1],
    at: cython.Py_ssize_t,
    end: cython.Py_ssize_t,
    number: cython.Py_ssize_t,
    codes: cython.const[cython.uint][:, ::1],
    counts: cython.const[cython.ushort][::1],
    texts: cython.const[cython.uchar][::1],
    starts: cython.const[cython.longlong][::1],
    names: cython.const[cython.uchar][::1],
    name_starts: cython.const[cython.longlong][::1],
    order: cython.const[cython.longlong][::1],
    tags: cython.Py_ssize_t,
) -> cython.bint:
    """Whether the tags ``data[at:end]`` are those of the series `number`."""
    place: cython.Py_ssize_t = 0
    found: cython.Py_ssize_t = 0
    size: cython.Py_ssize_t
    text: cython.Py_ssize_t
    while at < end:
        if end - at < 8:
            return False
        size = _load32(data, at)
        at += 4
        if size > end - at - 4:
            return False
        place = _tag_at(data, at, size, names, name_starts, order, tags, place)
        if place == tags:
            return False
        at += size
        size = _load32(data, at)
        at += 4
        if size > end - at:
            return False
        text = codes[order[place], number]
        if text == 0 or starts[text + 1] - starts[text] != size or not _equal(data, at, texts, starts[text], size):
            return False
        at += size
        place += 1
        found += 1
    return found == counts[number]


def _plain(array: Any) -> Any:
    """`array` as it is, or, uncompiled, as a view whose items are Python's integers."""
    if cython.compiled:
        return array
    else:
        return memoryview(array)


def hash_keys(
    data: npt.NDArray[np.uint8],
    offsets: npt.NDArray[np.int64],
    seed: npt.NDArray[np.uint64],
    skip: int = 0,
) -> npt.NDArray[np.uint64]:
    """uint64[n]: SipHash-1-3 of each key ``data[offsets[i]:offsets[i + 1]]`` behind its first `skip` bytes.

    Raises ValueError where offsets descend or leave the data.
    """
    _check_offsets(data, offsets)
    hashes = np.empty(max(0, len(offsets) - 1), dtype=np.uint64)
    keys: cython.const[cython.uchar][::1] = _plain(data)
    ends: cython.const[cython.longlong][::1] = _plain(offsets)
    state: cython.const[cython.ulonglong][::1] = _plain(seed)
    out: cython.ulonglong[::1] = _plain(hashes)
    behind: cython.Py_ssize_t = skip
    i: cython.Py_ssize_t
    with cython.nogil:
        for i in range(out.shape[0]):
            out[i] = _siphash(keys, min(ends[i] + behind, ends[i + 1]), ends[i + 1], state, 0)
    return hashes


def _check_offsets(data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]) -> None:
    view: cython.const[cython.longlong][::1] = _plain(offsets)
    i: cython.Py_ssize_t
    last: cython.longlong = 0
    for i in range(view.shape[0]):
        if view[i] < last:
            raise ValueError("offsets of keys descend")
        last = view[i]
    if last > len(data):
        raise ValueError("offsets of keys pass their data")


def find_series(
    data: npt.NDArray[np.uint8],
    offsets: npt.NDArray[np.int64],
    prefix: int,
    seed: npt.NDArray[np.uint64],
    length: int,
    slots: npt.NDArray[np.uint64],
    codes: npt.NDArray[np.uint32],
    counts: npt.NDArray[np.uint16],
    texts: npt.NDArray[np.uint8],
    starts: npt.NDArray[np.int64],
    names: npt.NDArray[np.uint8],
    name_starts: npt.NDArray[np.int64],
    order: npt.NDArray[np.int64],
    numbers: npt.NDArray[np.uint32],
) -> None:
    """Put into `numbers` (uint32[n]) the number of each of n keys, `UNKNOWN` for one that is not there.

    The first `prefix` bytes of the keys are taken for granted. Series from `length` on do not exist yet for
    the caller. Safe beside one writer. Raises ValueError on bad offsets.
    """
    _check_offsets(data, offsets)
    keys: cython.const[cython.uchar][::1] = _plain(data)
    ends: cython.const[cython.longlong][::1] = _plain(offsets)
    state: cython.const[cython.ulonglong][::1] = _plain(seed)
    table: cython.const[cython.ulonglong][::1] = _plain(slots)
    matrix: cython.const[cython.uint][:, ::1] = _plain(codes)
    tag_counts: cython.const[cython.ushort][::1] = _plain(counts)
    text_data: cython.const[cython.uchar][::1] = _plain(texts)
    text_starts: cython.const[cython.longlong][::1] = _plain(starts)
    tag_names: cython.const[cython.uchar][::1] = _plain(names)
    tag_starts: cython.const[cython.longlong][::1] = _plain(name_starts)
    tag_order: cython.const[cython.longlong][::1] = _plain(order)
    out: cython.uint[::1] = _plain(numbers)
    skip: cython.Py_ssize_t = prefix
    known: cython.ulonglong = length
    unknown: cython.uint = UNKNOWN
    tags: cython.Py_ssize_t = tag_order.shape[0]
    mask: cython.ulonglong = table.shape[0] - 1
    i: cython.Py_ssize_t
    at: cython.Py_ssize_t
    number: cython.ulonglong
    upper: cython.ulonglong
    slot: cython.ulonglong
    entry: cython.ulonglong
    if len(numbers) != len(offsets) - 1:
        raise ValueError("want a number for each key")
    with cython.nogil:
        for i in range(out.shape[0]):
            out[i] = unknown
            at = ends[i] + skip
            if at > ends[i + 1]:
                continue
            upper = _siphash(keys, at, ends[i + 1], state, 0) >> 32
            slot = upper & mask
            while True:
                entry = table[slot]
                if entry == 0:
                    break
                if entry >> 32 == upper:
                    number = _low(entry) - 1
                    if number < known and _is_series(
                        keys,
                        at,
                        ends[i + 1],
                        number,
                        matrix,
                        tag_counts,
                        text_data,
                        text_starts,
                        tag_names,
                        tag_starts,
                        tag_order,
                        tags,
                    ):
                        out[i] = cython.cast(cython.uint, number)
                        break
                slot = (slot + 1) & mask


def find_text(
    text: bytes,
    tag: int,
    seed: npt.NDArray[np.uint64],
    text_slots: npt.NDArray[np.uint64],
    texts: npt.NDArray[np.uint8],
    starts: npt.NDArray[np.int64],
    owners: npt.NDArray[np.uint32],
    known: int,
) -> int:
    """The id, below `known`, of `text` as a value of `tag`; 0 if it has none. Safe beside one writer."""
    key: cython.const[cython.uchar][::1] = _plain(text)
    state: cython.const[cython.ulonglong][::1] = _plain(seed)
    table: cython.const[cython.ulonglong][::1] = _plain(text_slots)
    text_data: cython.const[cython.uchar][::1] = _plain(texts)
    text_starts: cython.const[cython.longlong][::1] = _plain(starts)
    text_owners: cython.const[cython.uint][::1] = _plain(owners)
    return _low(_find_text(key, 0, len(text), tag, state, table, text_data, text_starts, text_owners, known))


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _find_text(
    data: cython.const[cython.uchar][::1],
    at: cython.Py_ssize_t,
    size: cython.Py_ssize_t,
    tag: cython.Py_ssize_t,
    seed: cython.const[cython.ulonglong][::1],
    text_slots: cython.const[cython.ulonglong][::1],
    texts: cython.const[cython.uchar][::1],
    starts: cython.const[cython.longlong][::1],
    owners: cython.const[cython.uint][::1],
    known: cython.Py_ssize_t,
) -> cython.ulonglong:
    """The text's id; where it has none, the upper half of its hash above 32 zero bits."""
    upper: cython.ulonglong = _siphash(data, at, at + size, seed, tag + 1) >> 32
    mask: cython.ulonglong = text_slots.shape[0] - 1
    slot: cython.ulonglong = upper & mask
    entry: cython.ulonglong
    text: cython.Py_ssize_t
    while True:
        entry = text_slots[slot]
        if entry == 0:
            return upper << 32
        if entry >> 32 == upper:
            text = _low(entry)
            if (
                text < known
                and owners[text] == tag
                and starts[text + 1] - starts[text] == size
                and _equal(data, at, texts, starts[text], size)
            ):
                return text
        slot = (slot + 1) & mask


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _put(table: cython.ulonglong[::1], entry: cython.ulonglong) -> cython.void:
    """Store `entry` in the first free slot of its chain."""
    mask: cython.ulonglong = table.shape[0] - 1
    slot: cython.ulonglong = (entry >> 32) & mask
    while table[slot] != 0:
        slot = (slot + 1) & mask
    table[slot] = entry


def add_series(
    data: npt.NDArray[np.uint8],
    offsets: npt.NDArray[np.int64],
    positions: npt.NDArray[np.int64],
    numbers: npt.NDArray[np.int64],
    begin: int,
    prefix: bytes,
    seed: npt.NDArray[np.uint64],
    slots: npt.NDArray[np.uint64],
    codes: npt.NDArray[np.uint32],
    counts: npt.NDArray[np.uint16],
    texts: npt.NDArray[np.uint8],
    starts: npt.NDArray[np.int64],
    owners: npt.NDArray[np.uint32],
    ranks: npt.NDArray[np.uint32],
    text_slots: npt.NDArray[np.uint64],
    names: npt.NDArray[np.uint8],
    name_starts: npt.NDArray[np.int64],
    order: npt.NDArray[np.int64],
    sizes: npt.NDArray[np.int64],
    stop: npt.NDArray[np.int64],
) -> int:
    """Make the key at ``positions[i]`` the series ``numbers[i]``, for every i from `begin` on.

    Returns how many positions are done (counted from 0, `begin` included). If that is less than all, ``stop[0]``
    says why: `GROW` (``stop[1]`` bytes of text are asked), `NEW_TAG` (its key is ``data[stop[1]:stop[2]]``; the
    caller adds it and calls again) or `MALFORMED`. `codes` and `counts` must have room for all, and `slots` for
    twice as many. A key that is there already gets the new number; an empty key makes a hole.
    Raises ValueError on bad offsets, positions or numbers.
    """
    _check_offsets(data, offsets)
    if len(positions) and (positions.min() < 0 or positions.max() >= len(offsets) - 1):
        raise ValueError("positions pass the keys")
    if len(numbers) != len(positions) or codes.shape[1] != len(counts):
        raise ValueError("want a number for each position")
    if len(numbers) and (numbers.min() < 0 or numbers.max() >= len(counts) or 2 * numbers.max() >= len(slots)):
        raise ValueError("no room for the series")
    keys: cython.const[cython.uchar][::1] = _plain(data)
    ends: cython.const[cython.longlong][::1] = _plain(offsets)
    where: cython.const[cython.longlong][::1] = _plain(positions)
    which: cython.const[cython.longlong][::1] = _plain(numbers)
    head: cython.const[cython.uchar][::1] = _plain(prefix)
    state: cython.const[cython.ulonglong][::1] = _plain(seed)
    table: cython.ulonglong[::1] = _plain(slots)
    matrix: cython.uint[:, ::1] = _plain(codes)
    tag_counts: cython.ushort[::1] = _plain(counts)
    text_data: cython.uchar[::1] = _plain(texts)
    text_starts: cython.longlong[::1] = _plain(starts)
    text_owners: cython.uint[::1] = _plain(owners)
    text_ranks: cython.uint[::1] = _plain(ranks)
    text_table: cython.ulonglong[::1] = _plain(text_slots)
    tag_names: cython.const[cython.uchar][::1] = _plain(names)
    tag_starts: cython.const[cython.longlong][::1] = _plain(name_starts)
    tag_order: cython.const[cython.longlong][::1] = _plain(order)
    tag_sizes: cython.longlong[::1] = _plain(sizes)
    why: cython.longlong[::1] = _plain(stop)
    skip: cython.Py_ssize_t = len(prefix)
    tags: cython.Py_ssize_t = tag_order.shape[0]
    mask: cython.ulonglong = table.shape[0] - 1
    done: cython.Py_ssize_t = begin
    total: cython.Py_ssize_t = where.shape[0]
    number: cython.Py_ssize_t
    at: cython.Py_ssize_t
    end: cython.Py_ssize_t
    size: cython.Py_ssize_t
    place: cython.Py_ssize_t
    tag: cython.Py_ssize_t
    text: cython.Py_ssize_t
    found: cython.Py_ssize_t
    reason: cython.Py_ssize_t
    i: cython.Py_ssize_t
    hit: cython.ulonglong
    entry: cython.ulonglong
    slot: cython.ulonglong
    upper: cython.ulonglong
    old: cython.ulonglong
    dead: cython.ulonglong = DEAD
    with cython.nogil:
        while done < total:
            at = ends[where[done]]
            end = ends[where[done] + 1]
            number = which[done]
            if at == end:
                tag_counts[number] = 0xFFFF
                done += 1
                continue
            text = tag_sizes[tags]
            # A tag takes at least 10 bytes of a key, so this many texts could be new.
            size = (end - at) // 10 + 1
            reason = 0
            if (
                text_starts[text] + end - at > text_data.shape[0]
                or text + size >= text_owners.shape[0]
                or 2 * (text + size) > text_table.shape[0]
            ):
                why[0] = 1
                why[1] = end - at
                break
            if end - at < skip or not _equal(keys, at, head, 0, skip):
                why[0] = 3
                break
            at += skip
            place = 0
            found = 0
            upper = _siphash(keys, at, end, state, 0) >> 32
            while at < end:
                if end - at < 8:
                    reason = 3
                    break
                size = _load32(keys, at)
                at += 4
                if size > end - at - 4:
                    reason = 3
                    break
                place = _tag_at(keys, at, size, tag_names, tag_starts, tag_order, tags, place)
                if place == tags:
                    reason = 2
                    why[1] = at
                    why[2] = at + size
                    break
                at += size
                size = _load32(keys, at)
                at += 4
                if size == 0 or size > end - at:
                    reason = 3
                    break
                tag = tag_order[place]
                hit = _find_text(
                    keys, at, size, tag, state, text_table, text_data, text_starts, text_owners, tag_sizes[tags]
                )
                text = _low(hit)
                if text == 0:
                    text = tag_sizes[tags]
                    for i in range(size):
                        text_data[text_starts[text] + i] = keys[at + i]
                    text_starts[text + 1] = text_starts[text] + size
                    text_owners[text] = cython.cast(cython.uint, tag)
                    text_ranks[text] = cython.cast(cython.uint, tag_sizes[tag])
                    tag_sizes[tag] += 1
                    tag_sizes[tags] = text + 1
                    _put(text_table, hit | text)
                matrix[tag, number] = cython.cast(cython.uint, text)
                at += size
                place += 1
                found += 1
            if reason:
                for i in range(tags):
                    matrix[i, number] = 0
                why[0] = reason
                break
            tag_counts[number] = found
            entry = upper << 32 | cython.cast(cython.ulonglong, number + 1)
            slot = upper & mask
            while table[slot] != 0:
                old = table[slot]
                if (
                    old >> 32 == upper
                    and _low(old) != dead
                    and _is_series(
                        keys,
                        ends[where[done]] + skip,
                        end,
                        _low(old) - 1,
                        matrix,
                        tag_counts,
                        text_data,
                        text_starts,
                        tag_names,
                        tag_starts,
                        tag_order,
                        tags,
                    )
                ):
                    break
                slot = (slot + 1) & mask
            table[slot] = entry
            done += 1
    return done


def rehash(old: npt.NDArray[np.uint64], new: npt.NDArray[np.uint64]) -> None:
    """Put the live entries of `old` into `new`, which is free and large enough (a power of two)."""
    source: cython.const[cython.ulonglong][::1] = _plain(old)
    table: cython.ulonglong[::1] = _plain(new)
    dead: cython.ulonglong = DEAD
    i: cython.Py_ssize_t
    if 2 * len(old) > 4 * len(new):
        raise ValueError("the new table is too small")
    with cython.nogil:
        for i in range(source.shape[0]):
            if source[i] != 0 and _low(source[i]) != dead:
                _put(table, source[i])


def kill_series(hashes: npt.NDArray[np.uint64], numbers: npt.NDArray[np.uint32], slots: npt.NDArray[np.uint64]) -> None:
    """Take the series `numbers` out of `slots`; `hashes` (uint64[n]) are those of their keys behind the prefix.

    A number that is not there (its key has a newer number) is passed over.
    """
    if len(hashes) != len(numbers):
        raise ValueError("want a hash for each number")
    uppers: cython.const[cython.ulonglong][::1] = _plain(hashes)
    which: cython.const[cython.uint][::1] = _plain(numbers)
    table: cython.ulonglong[::1] = _plain(slots)
    mask: cython.ulonglong = table.shape[0] - 1
    dead: cython.ulonglong = DEAD
    i: cython.Py_ssize_t
    slot: cython.ulonglong
    upper: cython.ulonglong
    wanted: cython.ulonglong
    with cython.nogil:
        for i in range(uppers.shape[0]):
            upper = uppers[i] >> 32
            wanted = upper << 32 | (cython.cast(cython.ulonglong, which[i]) + 1)
            slot = upper & mask
            while table[slot] != 0:
                if table[slot] == wanted:
                    table[slot] = wanted | dead
                    break
                slot = (slot + 1) & mask


def key_ends(
    numbers: npt.NDArray[np.uint32],
    prefix: int,
    codes: npt.NDArray[np.uint32],
    counts: npt.NDArray[np.uint16],
    starts: npt.NDArray[np.int64],
    name_starts: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64]:
    """int64[n + 1]: the offsets of the keys of the series `numbers` in one buffer; a hole's key is empty.

    Raises ValueError where a number is none.
    """
    if len(numbers) and int(numbers.max()) >= len(counts):
        raise ValueError("no such series")
    offsets = np.zeros(len(numbers) + 1, dtype=np.int64)
    which: cython.const[cython.uint][::1] = _plain(numbers)
    matrix: cython.const[cython.uint][:, ::1] = _plain(codes)
    tag_counts: cython.const[cython.ushort][::1] = _plain(counts)
    text_starts: cython.const[cython.longlong][::1] = _plain(starts)
    tag_starts: cython.const[cython.longlong][::1] = _plain(name_starts)
    out: cython.longlong[::1] = _plain(offsets)
    skip: cython.Py_ssize_t = prefix
    tags: cython.Py_ssize_t = tag_starts.shape[0] - 1
    i: cython.Py_ssize_t
    tag: cython.Py_ssize_t
    text: cython.Py_ssize_t
    size: cython.longlong
    with cython.nogil:
        for i in range(which.shape[0]):
            size = 0
            if tag_counts[which[i]] != 0xFFFF:
                size = skip
                for tag in range(tags):
                    text = matrix[tag, which[i]]
                    if text != 0:
                        size += 8 + tag_starts[tag + 1] - tag_starts[tag] + text_starts[text + 1] - text_starts[text]
            out[i + 1] = out[i] + size
    return offsets


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _copy_text(
    source: cython.const[cython.uchar][::1],
    begin: cython.Py_ssize_t,
    end: cython.Py_ssize_t,
    out: cython.uchar[::1],
    at: cython.Py_ssize_t,
) -> cython.Py_ssize_t:
    """Write ``source[begin:end]`` behind its length; returns the end of what was written."""
    size: cython.Py_ssize_t = end - begin
    i: cython.Py_ssize_t
    for i in range(4):
        out[at + i] = cython.cast(cython.uchar, (size >> (8 * i)) & 0xFF)
    at += 4
    for i in range(size):
        out[at + i] = source[begin + i]
    return at + size


def build_keys(
    numbers: npt.NDArray[np.uint32],
    offsets: npt.NDArray[np.int64],
    prefix: bytes,
    codes: npt.NDArray[np.uint32],
    texts: npt.NDArray[np.uint8],
    starts: npt.NDArray[np.int64],
    names: npt.NDArray[np.uint8],
    name_starts: npt.NDArray[np.int64],
    order: npt.NDArray[np.int64],
) -> npt.NDArray[np.uint8]:
    """uint8[bytes]: the canonical keys of the series `numbers`; `offsets` are `key_ends` of the same tables."""
    if len(offsets) != len(numbers) + 1:
        raise ValueError("want the offsets that key_ends gave")
    data = np.empty(int(offsets[len(numbers)]), dtype=np.uint8)
    which: cython.const[cython.uint][::1] = _plain(numbers)
    ends: cython.const[cython.longlong][::1] = _plain(offsets)
    head: cython.const[cython.uchar][::1] = _plain(prefix)
    matrix: cython.const[cython.uint][:, ::1] = _plain(codes)
    text_data: cython.const[cython.uchar][::1] = _plain(texts)
    text_starts: cython.const[cython.longlong][::1] = _plain(starts)
    tag_names: cython.const[cython.uchar][::1] = _plain(names)
    tag_starts: cython.const[cython.longlong][::1] = _plain(name_starts)
    tag_order: cython.const[cython.longlong][::1] = _plain(order)
    out: cython.uchar[::1] = _plain(data)
    i: cython.Py_ssize_t
    j: cython.Py_ssize_t
    at: cython.Py_ssize_t
    tag: cython.Py_ssize_t
    text: cython.Py_ssize_t
    with cython.nogil:
        for i in range(which.shape[0]):
            at = ends[i]
            if at == ends[i + 1]:
                continue
            for j in range(head.shape[0]):
                out[at + j] = head[j]
            at += head.shape[0]
            for j in range(tag_order.shape[0]):
                tag = tag_order[j]
                text = matrix[tag, which[i]]
                if text != 0:
                    at = _copy_text(tag_names, tag_starts[tag], tag_starts[tag + 1], out, at)
                    at = _copy_text(text_data, text_starts[text], text_starts[text + 1], out, at)
    return data
