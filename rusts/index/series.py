"""The series of one measurement: key to number, number to key, and each tag as a column of codes."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyroaring import BitMap

from rusts.errors import Bug, Corruption
from rusts.index.match import Matcher
from rusts.index.postings import Postings, bitmap_of_numbers, numbers_of
from rusts.index.tables import Tables, TagValues, arrow_values, empty_tables, texts_of
from rusts.kernels import hashing
from rusts.model.predicate import Predicate
from rusts.model.series import KeyTable, TagColumn, decode_key

__all__ = ["UNKNOWN", "SeriesIndex"]

UNKNOWN: Final = hashing.UNKNOWN
"""What `SeriesIndex.lookup` gives for a key that has no number."""

_LIST_MAX: Final = 1 << 16
"""Up to this many distinct values a tag column gives a list; beyond it decodes a value when it is asked for."""

_SEED: Final = hashing.seed_state(os.urandom(16))
"""Secret, and only of this process: nothing that depends on it leaves memory."""

_FIXED: Final = 5_000
"""About what an index with nothing in it takes."""


class SeriesIndex:
    """Series of the measurement `name`, numbered from 0 in order of their creation.

    One writer at a time (the engine's write lock); any number of readers beside it, without a lock: they
    work on `tables`, one consistent state that the writer replaces when it is done. A number is never
    given twice. A dropped series keeps its number, but its key is unknown from then on; its tags are forgotten
    when the index is made anew.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        text = name.encode()
        self._prefix = len(text).to_bytes(4, "little") + text
        self.tables = empty_tables()
        self._tag_ids: dict[str, int] = {}
        self._sizes = np.ones(1, dtype=np.int64)
        self._stop = np.zeros(3, dtype=np.int64)
        self._gone = BitMap()
        self._holes = BitMap()
        self._postings = Postings()
        self._values: dict[int, tuple[int, list[str]]] = {}
        self._values_lock = threading.Lock()
        self._used_keys: tuple[int, BitMap, list[str]] = 0, self._gone, []

    def __len__(self) -> int:
        """The first number that no series has; dropped series count."""
        return self.tables.length

    # -- keys

    def lookup(self, keys: KeyTable) -> npt.NDArray[np.uint32]:
        """uint32[n]: the number of each of n keys of this measurement, `UNKNOWN` where it has none."""
        t = self.tables
        numbers = np.empty(len(keys.offsets) - 1, dtype=np.uint32)
        hashing.find_series(
            keys.data,
            keys.offsets,
            len(self._prefix),
            _SEED,
            t.length,
            t.slots,
            t.codes,
            t.counts,
            t.texts,
            t.starts,
            t.names,
            t.name_starts,
            t.order,
            numbers,
        )
        return numbers

    def add(self, keys: KeyTable, positions: npt.NDArray[Any]) -> npt.NDArray[np.uint32]:
        """Give new numbers to the keys at `positions`, which are distinct and were unknown before.

        Returns uint32[len(positions)]. Raises Bug on bytes that are no canonical key of this measurement.
        """
        first = self.tables.length
        try:
            self._append(keys, np.ascontiguousarray(positions, dtype=np.int64))
        except ValueError as problem:
            raise Bug(f"series of {self.name!r} cannot be added: {problem}") from None
        return np.arange(first, self.tables.length, dtype=np.uint32)

    def restore(self, first: int, keys: KeyTable) -> bool:
        """`restore_numbers` of `first`, `first` + 1 and so on."""
        return self.restore_numbers(np.arange(first, first + len(keys), dtype=np.int64), keys)

    def restore_numbers(self, numbers: npt.NDArray[Any], keys: KeyTable) -> bool:
        """Take back series that had `numbers` (strictly ascending) in an earlier life, from meta.sqlite or the log.

        What is there already stays. Numbers that are left out stay without a series until they
        are restored too; so does one whose key is empty. Returns whether such an earlier number got its series now.
        A number that was dropped never gets one. Raises Corruption where a number has another key, or the bytes are
        no key.
        """
        wanted = np.ascontiguousarray(numbers, dtype=np.int64)
        if not len(wanted):
            return False
        try:
            keys = self._without_dropped(wanted, keys)
            if wanted[0] < 0 or (np.diff(wanted) <= 0).any():
                raise ValueError("numbers do not ascend")
            length = self.tables.length
            held = int(np.searchsorted(wanted, length))
            fill = self._check_held(wanted[:held], keys)
            if len(fill):
                self._insert(keys, fill, wanted[fill])
                self._publish(length)
                self._holes = self._holes - BitMap(wanted[fill].tolist())
            if held < len(wanted):
                # One dense table: numbers that are left out get an empty key, which takes no bytes.
                sizes = np.zeros(int(wanted[-1]) + 2 - length, dtype=np.int64)
                sizes[0] = keys.offsets[held]
                sizes[wanted[held:] - length + 1] = np.diff(keys.offsets[held:])
                self._append(KeyTable(keys.data, np.cumsum(sizes)), np.arange(len(sizes) - 1))
            return len(fill) > 0
        except ValueError as problem:
            raise Corruption("series", int(wanted[0]), f"of {self.name!r}: {problem}") from None

    def _without_dropped(self, numbers: npt.NDArray[Any], keys: KeyTable) -> KeyTable:
        """`keys`, those of dropped `numbers` (ascending) emptied: a key in the table could hide its newer number."""
        if not self._gone or int(numbers[-1]) < self._gone.min() or int(numbers[0]) > self._gone.max():
            return keys
        kept = ~np.isin(numbers, numbers_of(self._gone))
        if bool(kept.all()):
            return keys
        sizes = np.diff(keys.offsets)
        data = keys.data[int(keys.offsets[0]) : int(keys.offsets[-1])][np.repeat(kept, sizes)]
        return KeyTable(data, np.concatenate(([0], np.cumsum(sizes * kept))))

    def _check_held(self, numbers: npt.NDArray[np.int64], keys: KeyTable) -> npt.NDArray[np.int64]:
        """The positions of numbers that wait for their key; raises ValueError where a number has another key."""
        count = len(numbers)
        present = self.keys(numbers.astype(np.uint32))
        if np.array_equal(present.offsets, keys.offsets[: count + 1]) and np.array_equal(
            present.data, keys.data[: int(keys.offsets[count])]
        ):
            return np.empty(0, dtype=np.int64)
        has_key = np.diff(keys.offsets[: count + 1]) > 0
        waits = np.diff(present.offsets) == 0
        for at in np.flatnonzero(has_key & ~waits).tolist():
            if present[at] != keys[at]:
                raise ValueError(f"number {numbers[at]} has another key")
        return np.flatnonzero(has_key & waits)

    def _append(self, keys: KeyTable, positions: npt.NDArray[np.int64]) -> None:
        """New series at the end; an empty key makes a number without series. Raises ValueError on bad keys."""
        first = self.tables.length
        count = len(positions)
        if count == 0:
            return
        self._reserve(first + count)
        sizes = keys.offsets[positions + 1] - keys.offsets[positions]
        holes = np.flatnonzero(sizes == 0)
        self._insert(keys, positions, np.arange(first, first + count))
        if len(holes):
            # Replaced, not changed: a reader may be going through the old one.
            self._holes = self._holes | BitMap((holes + first).tolist())
        self._publish(first + count)

    def _insert(self, keys: KeyTable, positions: npt.NDArray[np.int64], numbers: npt.NDArray[np.int64]) -> None:
        done = 0
        while True:
            t = self.tables
            done = hashing.add_series(
                keys.data,
                keys.offsets,
                positions,
                numbers,
                done,
                self._prefix,
                _SEED,
                t.slots,
                t.codes,
                t.counts,
                t.texts,
                t.starts,
                t.owners,
                t.ranks,
                t.text_slots,
                t.names,
                t.name_starts,
                t.order,
                self._sizes,
                self._stop,
            )
            if done == len(positions):
                return
            reason, begin, end = self._stop.tolist()
            if reason == hashing.GROW:
                self._grow_texts(begin)
            elif reason == hashing.NEW_TAG:
                self._new_tag(keys.data[begin:end].tobytes())
            else:
                raise ValueError("bytes are no canonical key")

    def _publish(self, length: int) -> None:
        self.tables = self.tables._replace(length=length, known_texts=int(self._sizes[-1]))

    def _new_tag(self, name: bytes) -> None:
        t = self.tables
        text = name.decode(errors="replace")
        if text in self._tag_ids:
            raise ValueError(f"tag {text!r} is out of order")
        tag = len(t.tags)
        codes = t.codes
        if tag == len(codes):
            codes = np.zeros((2 * tag, codes.shape[1]), np.uint32)
            codes[:tag] = t.codes
        names = [*(t.names[a:b].tobytes() for a, b in zip(t.name_starts, t.name_starts[1:], strict=False)), name]
        table = KeyTable.of(names)
        self._sizes = np.insert(self._sizes, tag, 1)
        self.tables = t._replace(
            tags=(*t.tags, text),
            codes=codes,
            names=table.data,
            name_starts=table.offsets,
            order=np.array(sorted(range(len(names)), key=names.__getitem__), dtype=np.int64),
        )
        self._tag_ids[text] = tag

    def _reserve(self, length: int) -> None:
        """Room for `length` series."""
        t = self.tables
        slots, codes, counts = t.slots, t.codes, t.counts
        if length > len(counts):
            # Pages that were never written take no memory, so room is cheap; copying it is not.
            room = max(length, len(counts) * 2 if len(counts) < _LIST_MAX else len(counts) * 3 // 2)
            codes = np.zeros((len(t.codes), room), np.uint32)
            codes[: len(t.tags), : t.length] = t.codes[: len(t.tags), : t.length]
            counts = np.zeros(room, np.uint16)
            counts[: t.length] = t.counts[: t.length]
        if 2 * length > len(slots):
            slots = np.zeros(1 << (2 * length - 1).bit_length(), np.uint64)
            hashing.rehash(t.slots, slots)
        if slots is not t.slots or counts is not t.counts:
            self.tables = t._replace(slots=slots, codes=codes, counts=counts)

    def _grow_texts(self, asked: int) -> None:
        """Room for a key of `asked` bytes more."""
        t = self.tables
        known = int(self._sizes[-1])
        used = int(t.starts[known])
        texts, starts, owners, ranks, text_slots = t.texts, t.starts, t.owners, t.ranks, t.text_slots
        if used + asked > len(texts):
            texts = np.empty(max(2 * len(texts), used + asked), np.uint8)
            texts[:used] = t.texts[:used]
        most = known + asked // 10 + 2
        if most >= len(owners):
            room = max(2 * len(owners), most + 1)
            starts = np.zeros(room + 1, np.int64)
            starts[: known + 1] = t.starts[: known + 1]
            owners = np.zeros(room, np.uint32)
            owners[:known] = t.owners[:known]
            ranks = np.zeros(room, np.uint32)
            ranks[:known] = t.ranks[:known]
        if 2 * most > len(text_slots):
            text_slots = np.zeros(1 << (2 * most - 1).bit_length(), np.uint64)
            hashing.rehash(t.text_slots, text_slots)
        self.tables = t._replace(texts=texts, starts=starts, owners=owners, ranks=ranks, text_slots=text_slots)

    def keys(self, numbers: npt.NDArray[np.uint32]) -> KeyTable:
        """The canonical keys of the series `numbers` (uint32[n]), dropped ones while known; empty for no series."""
        t = self.tables
        wanted = np.ascontiguousarray(numbers, dtype=np.uint32)
        ends = hashing.key_ends(wanted, len(self._prefix), t.codes, t.counts[: t.length], t.starts, t.name_starts)
        data = hashing.build_keys(
            wanted, ends, self._prefix, t.codes, t.texts, t.starts, t.names, t.name_starts, t.order
        )
        return KeyTable(data, ends)

    def live_keys(self, numbers: npt.NDArray[np.uint32]) -> KeyTable:
        """`keys` of the ascending `numbers`, empty for dropped ones: what is to be kept on disk."""
        return self._without_dropped(numbers, self.keys(numbers)) if len(numbers) else self.keys(numbers)

    def key(self, number: int) -> bytes:
        """The canonical key of the series `number`."""
        return self.keys(np.array([number], dtype=np.uint32)).data.tobytes()

    # -- tags

    def tag_keys(self) -> list[str]:
        """Every tag key that some live series has, sorted by its bytes."""
        t, gone = self.tables, self._gone
        keys = [t.tags[tag] for tag in t.order.tolist()]
        if not gone:
            return keys
        length, seen, used = self._used_keys
        if length != t.length or seen is not gone:
            used = [key for key in keys if len(self._used(t, key, None))]
            self._used_keys = t.length, gone, used
        return list(used)

    def tag(self, key: str) -> TagColumn:
        """The tag `key` over the series 0..len-1: codes uint32[len] and values, of which the first is "".

        A key that no series has gives empty strings.
        """
        t = self.tables
        tag = self._tag_ids.get(key)
        if tag is None or tag >= len(t.tags):
            return TagColumn(np.zeros(t.length, dtype=np.uint32), [""])
        # The values first: they may only be more than the codes know.
        return TagColumn(t.ranks.take(t.codes[tag, : t.length], mode="clip"), self._values_of(t, tag))

    def _values_of(self, t: Tables, tag: int) -> Sequence[str]:
        with self._values_lock:
            seen, values = self._values.get(tag, (1, [""]))
        if seen >= t.known_texts:
            return values
        fresh = texts_of(t, tag, seen)
        if len(values) + len(fresh) > _LIST_MAX:
            return TagValues(t, texts_of(t, tag))
        if len(fresh):
            # A new list: somebody may be going through the old one.
            values = [*values, *arrow_values(t, fresh).to_pylist()]
        with self._values_lock:
            if self._values.get(tag, (1, values))[0] < t.known_texts:
                self._values[tag] = t.known_texts, values
        return values

    def distinct(self, key: str, numbers: npt.NDArray[np.uint32] | None = None) -> int:
        """How many values of the tag `key` the series `numbers` have (None: all live ones), the empty one left out."""
        tag = self._tag_ids.get(key)
        if tag is not None and numbers is None and not self._gone:
            return int(self._sizes[tag]) - 1
        return len(self._used(self.tables, key, numbers))

    def values(self, key: str, numbers: npt.NDArray[np.uint32] | None = None) -> pa.LargeStringArray:
        """Those values themselves, sorted by their bytes."""
        t = self.tables
        found = arrow_values(t, self._used(t, key, numbers))
        return found.take(pc.array_sort_indices(found))

    def _used(self, t: Tables, key: str, numbers: npt.NDArray[np.uint32] | None) -> npt.NDArray[np.int64]:
        """int64[n]: the texts, but for the empty one, that are values of the tag in the series `numbers`."""
        tag = self._tag_ids.get(key)
        if tag is None or tag >= len(t.tags):
            return np.empty(0, dtype=np.int64)
        if numbers is None and not self._gone:
            return texts_of(t, tag)
        codes = t.codes[tag, : t.length]
        used = np.zeros(t.known_texts, dtype=np.bool_)
        used[codes[self._live_mask(t.length)] if numbers is None else codes[numbers]] = True
        return np.flatnonzero(used[1:]) + 1

    def _live_mask(self, length: int) -> npt.NDArray[np.bool_]:
        mask = np.ones(length, dtype=np.bool_)
        for dead in (self._gone, self._holes):
            numbers = numbers_of(dead)
            mask[numbers[: np.searchsorted(numbers, length)]] = False
        return mask

    def excess_values(
        self, keys: KeyTable, positions: npt.NDArray[Any], limit: int
    ) -> tuple[npt.NDArray[np.int64], str, str, int]:
        """Which of the new keys at `positions` would give a tag more than `limit` distinct values, were they added.

        Returns their positions (int64[n]) and, of the first one: the tag, its value, and how many values
        there would be; ``("", "", 0)`` if there is none. A key that is refused takes no room from the next.
        """
        sizes = {name: int(self._sizes[tag]) - 1 for name, tag in self._tag_ids.items()}
        if max(sizes.values(), default=0) + len(positions) <= limit:
            return np.empty(0, dtype=np.int64), "", "", 0
        if self._gone:
            sizes = {name: self.distinct(name) for name in sizes}
        fresh: dict[str, set[str]] = {}
        refused: list[int] = []
        first = "", "", 0
        for position in positions.tolist():
            new = [
                (tag, value)
                for tag, value in decode_key(keys[position])[1].items()
                if value not in fresh.get(tag, ()) and not self._has_value(tag, value)
            ]
            excess = [item for item in new if sizes.get(item[0], 0) + len(fresh.get(item[0], ())) >= limit]
            if not excess:
                for tag, value in new:
                    fresh.setdefault(tag, set()).add(value)
                continue
            if not refused:
                tag, value = excess[0]
                first = tag, value, sizes.get(tag, 0) + len(fresh.get(tag, ())) + 1
            refused.append(position)
        return np.array(refused, dtype=np.int64), *first

    def _has_value(self, key: str, value: str) -> bool:
        t = self.tables
        tag = self._tag_ids.get(key)
        return tag is not None and bool(
            hashing.find_text(value.encode(), tag, _SEED, t.text_slots, t.texts, t.starts, t.owners, t.known_texts)
        )

    # -- which series

    def match(self, predicate: Predicate) -> BitMap:
        """The live series for which `predicate` (over tags only) holds. Raises InvalidRequest on a bad pattern."""
        found = Matcher(self.tables, self._postings, _SEED).match(predicate)
        # Union and intersection gave a bitmap of our own, a lone leaf may have given the kept one.
        return found - self._gone - self._holes

    def live(self) -> BitMap:
        """Every series that was not dropped."""
        return BitMap(range(self.tables.length)) - self._gone - self._holes

    def count(self) -> int:
        """How many live series there are."""
        length = self.tables.length
        return length - int((self._gone | self._holes).range_cardinality(0, length))

    def drop(self, numbers: npt.NDArray[np.uint32]) -> None:
        """Forget the series `numbers` (ascending): their keys become unknown. Writer's lock; twice does no harm.

        Numbers that are not there yet are dropped when they come; until then `reserve_dropped` must keep them from
        being given to others.
        """
        wanted = np.ascontiguousarray(numbers, dtype=np.uint32)
        if not len(wanted):
            return
        self._gone = self._gone | bitmap_of_numbers(wanted)
        wanted = wanted[: np.searchsorted(wanted, self.tables.length)]
        keys = self.keys(wanted)
        hashes = hashing.hash_keys(keys.data, keys.offsets, _SEED, len(self._prefix))
        hashing.kill_series(hashes, wanted, self.tables.slots)

    def reserve_dropped(self) -> None:
        """Make sure that no number which was dropped before its series came back is given to another one."""
        missing = self._gone.max() + 1 - self.tables.length if self._gone else 0
        if missing > 0:
            self._append(KeyTable.of([b""] * missing), np.arange(missing))

    def dropped(self) -> BitMap:
        """Every series that was dropped."""
        return self._gone

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the index takes."""
        return self.tables.nbytes + self._postings.nbytes + _FIXED
