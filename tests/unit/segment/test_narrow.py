from __future__ import annotations

import numpy as np
import pytest

from rusts.segment.narrow import narrow, widen

I64 = np.iinfo(np.int64)
U64 = np.iinfo(np.uint64)


@pytest.mark.parametrize(
    ("values", "width", "scale"),
    [
        ([5], 1, 1),
        ([0, 255], 1, 1),
        ([-1, 0, 255], 2, 1),
        ([10, 11, 65_545], 2, 1),
        ([10, 65_545], 1, 65_535),
        ([0, 1, 1 << 32], 8, 1),
        ([I64.min, I64.max], 1, 2**64 - 1),
        ([I64.min, I64.min + 1, I64.max], 8, 1),
        # Times every ten seconds need one byte, not eight.
        ([1_700_000_000_000_000_000 + 10_000_000_000 * i for i in range(200)], 1, 10_000_000_000),
        ([1_700_000_000_000_000_000 + 10_000_000_000 * i for i in range(60_000)], 2, 10_000_000_000),
        # A sample of the values proposes a divisor that not all of them have.
        ([0, *[6_000 * i for i in range(1, 640)], 3_000 * 1_281], 2, 3_000),
        ([0, *[60_000 * i for i in range(1, 640)], 60_000 * 700 + 1], 4, 1),
    ],
)
def test_as_few_bytes_as_the_range_needs(values: list[int], width: int, scale: int) -> None:
    array = np.array(values, dtype=np.int64)
    before = array.copy()
    small = narrow(array, min(values), max(values))
    assert (small.stored.itemsize, small.scale) == (width, scale)
    assert widen(small.stored, small.base, small.scale).view(np.int64).tolist() == values
    assert np.array_equal(array, before)


def test_unsigned_extremes() -> None:
    values = np.array([U64.max, 0, 1 << 63, U64.max - 1], dtype=np.uint64)
    small = narrow(values, 0, int(U64.max))
    assert np.array_equal(widen(small.stored, small.base, small.scale), values)
    high = np.array([U64.max, U64.max - 200], dtype=np.uint64)
    small = narrow(high, int(high.min()), int(high.max()))
    assert small.stored.itemsize == 1
    assert np.array_equal(widen(small.stored, small.base, small.scale), high)
