"""Groups of series by their tags."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rusts.model.series import SeriesSet, TagColumn

__all__ = ["Groups", "group_series"]

_FEW: Final = 1 << 10
"""Up to this many texts are sorted by Python, more of them by Arrow."""


class Groups:
    """`count` groups; `of` int64[series] is the group of each series of the set, None if each is its own group.

    Group g has for key i the value ``tags[i].values[tags[i].codes[g]]``.
    """

    __slots__ = ("_of", "count", "tags")

    def __init__(self, count: int, tags: list[TagColumn], of: npt.NDArray[np.int64] | None) -> None:
        self.count = count
        self.tags = tags
        self._of = of

    def of(self, numbers: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.int64]:
        """int64[n]: the group of each series, by its number in the set."""
        return numbers.astype(np.int64, copy=False) if self._of is None else self._of[numbers]


def group_series(series: SeriesSet, keys: Sequence[str] | None) -> Groups:
    """Group the series by the tags `keys`; None = every series is a group.

    Groups are sorted by their tuple of values, in the order of the UTF-8 bytes.
    """
    if keys is None:
        return Groups(len(series), [], None)
    if not keys or len(series) == 0:
        empty = [TagColumn(np.empty(0, dtype=np.uint32), [""]) for _ in keys]
        return Groups(min(1, len(series)), empty, np.zeros(len(series), dtype=np.int64))
    ranks: list[npt.NDArray[np.int64]] = []
    used: list[npt.NDArray[np.int64]] = []
    columns = [series.tag(key) for key in keys]
    for column in columns:
        codes, inverse = _distinct(column.codes.astype(np.int64), len(column.values))
        order = _sorted_texts(column.values, codes)
        rank = np.empty(len(order), dtype=np.int64)
        rank[order] = np.arange(len(order))
        ranks.append(rank[inverse])
        used.append(codes[order])
    # Tuples are numbered key by key; what is kept small after each key cannot overflow with the next.
    group, tuples = ranks[0], [np.arange(len(used[0]))]
    for rank, codes in zip(ranks[1:], used[1:], strict=True):
        pairs, group = _distinct(group * len(codes) + rank, len(tuples[0]) * len(codes))
        before, last = np.divmod(pairs, len(codes))
        tuples = [*(t[before] for t in tuples), last]
    tags = [
        TagColumn(codes[of].astype(np.uint32), column.values)
        for codes, of, column in zip(used, tuples, columns, strict=True)
    ]
    return Groups(len(tuples[0]), tags, group)


def _distinct(numbers: npt.NDArray[np.int64], bound: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The distinct `numbers` (all in ``0..bound-1``), ascending, and the index of each number among them."""
    if bound > 4 * len(numbers) + _FEW:
        distinct, inverse = np.unique(numbers, return_inverse=True)
        return distinct, inverse.astype(np.int64, copy=False)
    # Nearly as few numbers as there may be: marking them is far cheaper than sorting.
    seen = np.zeros(bound, dtype=np.bool_)
    seen[numbers] = True
    return np.flatnonzero(seen), (np.cumsum(seen) - 1)[numbers]


def _sorted_texts(values: Sequence[str], codes: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """The order that sorts the texts ``values[code]`` of `codes`."""
    if len(codes) <= _FEW:
        texts = [values[code] for code in codes.tolist()]
        return np.array(sorted(range(len(texts)), key=texts.__getitem__), dtype=np.int64)
    texts_of_all = pa.array(list(values), pa.large_string()).take(pa.array(codes))
    order: npt.NDArray[Any] = pc.array_sort_indices(texts_of_all).to_numpy()
    return order
