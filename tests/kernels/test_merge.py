"""The merge of sorted sources: both builds against a stable sort."""

from __future__ import annotations

import importlib
import os
import random
from types import ModuleType

import numpy as np
import pytest

from rusts.kernels import pure

SEED = int(os.environ.get("RUSTS_SEED", "20240602"))
PURE = pure("merge")
BUILT = importlib.import_module("rusts.kernels.merge")
ROUNDS = 3000 if os.environ.get("RUSTS_PROOF") == "1" else 100


@pytest.fixture(params=[BUILT, PURE], ids=["built", "pure"])
def kernel(request: pytest.FixtureRequest) -> ModuleType:
    module = request.param
    assert isinstance(module, ModuleType)
    return module


@pytest.mark.parametrize("seed", range(SEED, SEED + ROUNDS))
def test_merge_order_is_a_stable_sort(kernel: ModuleType, seed: int) -> None:
    rng = random.Random(seed)
    ends = [0, 1, (1 << 63) - 1, -(1 << 63)]
    sources = [
        sorted(
            (rng.choice([0, 1, 2, (1 << 32) - 1]), rng.choice([*ends, rng.randint(-9, 9)]))
            for _ in range(rng.choice([0, 1, 5, 30]))
        )
        for _ in range(rng.randint(1, 9))
    ]
    rows = [row for source in sources for row in source]
    series = np.array([s for s, _ in rows], dtype=np.uint32)
    times = np.array([t for _, t in rows], dtype=np.int64)
    offsets = np.cumsum([0, *map(len, sources)], dtype=np.int64)
    order, firsts = kernel.merge_order(series, times, offsets)
    wanted = sorted(range(len(rows)), key=rows.__getitem__)
    assert order.tolist() == wanted
    begins = [i for i in range(len(rows)) if i == 0 or rows[wanted[i]] != rows[wanted[i - 1]]]
    if firsts is None:
        assert len(begins) == len(rows)
    else:
        assert len(begins) < len(rows)
        assert firsts.tolist() == begins


@pytest.mark.parametrize("offsets", [[0], [1, 2], [0, 1], [0, 3], [0, 2, 1, 2], []])
def test_offsets_that_do_not_fit_are_refused(kernel: ModuleType, offsets: list[int]) -> None:
    two = np.zeros(2, dtype=np.uint32), np.zeros(2, dtype=np.int64)
    with pytest.raises(ValueError, match="offsets"):
        kernel.merge_order(*two, np.array(offsets, dtype=np.int64))
    with pytest.raises(ValueError, match="offsets"):
        kernel.merge_order(two[0][:1], two[1], np.array([0, 2], dtype=np.int64))
