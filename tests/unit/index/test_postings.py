"""Bitmaps of tag values: made, kept, grown, bounded."""

from __future__ import annotations

import numpy as np
import pytest
from pyroaring import BitMap

from rusts.index.postings import Postings, bitmap_of, numbers_of
from rusts.index.series import SeriesIndex
from rusts.model.series import KeyTable, encode_key


@pytest.mark.parametrize("share", [0.0, 0.001, 0.05, 0.0625, 0.5, 1.0])
@pytest.mark.parametrize("length", [0, 1, 5000, 65_536, 65_537, 300_000])
def test_a_bitmap_of_a_mask_holds_its_positions(length: int, share: float) -> None:
    mask = np.random.default_rng(20240501).random(length) < share
    bitmap = bitmap_of(mask)
    assert np.array_equal(numbers_of(bitmap), np.flatnonzero(mask))
    assert bitmap == BitMap(np.flatnonzero(mask).tolist())


def test_a_sparse_block_between_full_ones() -> None:
    mask = np.ones(4 * 65_536 + 100, dtype=np.bool_)
    mask[65_536 : 2 * 65_536] = False
    mask[2 * 65_536 + 5 : 3 * 65_536] = False
    assert np.array_equal(numbers_of(bitmap_of(mask)), np.flatnonzero(mask))


def index_of(count: int) -> SeriesIndex:
    index = SeriesIndex("m")
    index.add(KeyTable.of([encode_key("m", {"a": str(i % 3), "b": str(i)}) for i in range(count)]), np.arange(count))
    return index


def test_a_kept_bitmap_grows_with_the_index_and_old_readers_keep_theirs() -> None:
    index = SeriesIndex("m")
    keys = KeyTable.of([encode_key("m", {"a": str(i % 3)} | ({"b": str(i)} if i else {})) for i in range(30)])
    index.add(keys, np.arange(10))
    old = index.tables
    postings = Postings()
    text = int(old.codes[0, 1])
    first = postings.get(old, 0, text)
    assert first == BitMap(range(1, 10, 3))
    assert postings.get(old, 0, text) is first
    index.add(keys, np.arange(10, 30))
    assert postings.get(index.tables, 0, text) == BitMap(range(1, 30, 3))
    assert first == BitMap(range(1, 10, 3))
    assert postings.get(old, 0, text) == first
    assert postings.get(index.tables, 0, 0) == BitMap()


def test_what_is_kept_is_bounded() -> None:
    index = index_of(3_000)
    t = index.tables
    postings = Postings()
    tag = t.tags.index("b")
    for text in np.unique(t.codes[tag, : t.length]).tolist():
        assert len(postings.get(t, tag, text)) == 1
    assert 0 < postings.nbytes <= 65_536 + 4 * 3_000
