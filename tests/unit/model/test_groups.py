from __future__ import annotations

import random

import numpy as np
import pytest

from rusts.model.groups import group_series
from rusts.model.series import TagColumn


class Fixed:
    """A set of series given by their tags."""

    def __init__(self, tags: list[dict[str, str]]) -> None:
        self._tags = tags

    def __len__(self) -> int:
        return len(self._tags)

    def tag_keys(self) -> list[str]:
        return sorted({key for tags in self._tags for key in tags})

    def tag(self, key: str) -> TagColumn:
        # In an order that is not theirs, and with one that no series has.
        values = ["", "nobody", *sorted({tags.get(key, "") for tags in self._tags} - {""}, reverse=True)]
        codes = [values.index(tags.get(key, "")) for tags in self._tags]
        return TagColumn(np.array(codes, dtype=np.uint32), values)

    def key(self, index: int) -> bytes:
        raise NotImplementedError


@pytest.mark.parametrize("count", [0, 1, 7, 5000])
@pytest.mark.parametrize("keys", [["a"], ["b", "a"], ["a", "b", "nope"]])
def test_groups_are_sorted_by_their_tuples_of_values(count: int, keys: list[str]) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    words = ["", "x", "é", "z", "\U0001f600", "\uffff", *(f"w{i}" for i in range(1500))]
    series = [{"a": rng.choice(words), "b": rng.choice(words[:6])} for _ in range(count)]
    groups = group_series(Fixed(series), keys)
    tuples = [tuple(tags.get(key, "") for key in keys) for tags in series]
    wanted = sorted(set(tuples), key=lambda words: [word.encode() for word in words])
    found = [tuple(tag.values[code] for tag, code in zip(groups.tags, row, strict=True)) for row in _rows(groups.tags)]
    assert groups.count == len(wanted)
    assert found == wanted
    of = groups.of(np.arange(count, dtype=np.uint32))
    assert [wanted[g] for g in of.tolist()] == tuples


def _rows(tags: list[TagColumn]) -> list[tuple[int, ...]]:
    return list(zip(*(tag.codes.tolist() for tag in tags), strict=True))


def test_without_keys_all_series_are_one_group_or_each_is_its_own() -> None:
    series = Fixed([{"a": "x"}, {"a": "y"}])
    assert (group_series(series, []).count, group_series(Fixed([]), []).count) == (1, 0)
    assert group_series(series, []).of(np.array([0, 1])).tolist() == [0, 0]
    each = group_series(series, None)
    assert (each.count, each.tags, each.of(np.array([1, 0])).tolist()) == (2, [], [1, 0])
