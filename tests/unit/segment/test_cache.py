from __future__ import annotations

import numpy as np

from rusts.segment.cache import ColumnCache


def array(size: int) -> np.ndarray:
    return np.zeros(size, dtype=np.uint8)


def test_the_least_recently_used_goes_first() -> None:
    cache = ColumnCache(100)
    for i in range(3):
        cache.put((1, 1, 1, 0, i), array(30))
    assert cache.get((1, 1, 1, 0, 0)) is not None
    cache.put((1, 1, 1, 0, 3), array(40))
    assert cache.get((1, 1, 1, 0, 1)) is None
    assert cache.get((1, 1, 1, 0, 0)) is not None
    assert cache.nbytes == 100
    assert len(cache) == 3
    assert (cache.hits, cache.misses) == (2, 1)


def test_what_would_push_out_most_others_is_not_kept() -> None:
    cache = ColumnCache(100)
    cache.put((1, 1, 1, 0, 0), array(51))
    assert len(cache) == 0
    assert cache.limit == 100


def test_replacing_counts_once() -> None:
    cache = ColumnCache(100)
    cache.put((1, 1, 1, 0, 0), array(50))
    cache.put((1, 1, 1, 0, 0), array(20))
    assert cache.nbytes == 20


def test_forget_resize_and_clear() -> None:
    cache = ColumnCache(100)
    cache.put((1, 1, 1, 0, 0), array(30))
    cache.put((2, 1, 1, 0, 0), array(30))
    cache.put((2, 1, 1, 0, 1), array(30))
    cache.forget(1)
    assert cache.nbytes == 60
    cache.resize(40)
    assert cache.nbytes == 30
    assert cache.get((2, 1, 1, 0, 1)) is not None
    cache.clear()
    assert (cache.nbytes, len(cache)) == (0, 0)
