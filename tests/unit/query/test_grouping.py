"""Groups: which of them a limit counts first."""

from __future__ import annotations

import numpy as np

from rusts.model.series import TagColumn
from rusts.model.types import FieldType
from rusts.query.grouping import limit_order, slice_groups
from rusts.query.plan import Points, Rows, Slice
from rusts.query.table import Table
from tests.support.model_store import column_of, python_values


def tag(*values: str) -> TagColumn:
    words = list(dict.fromkeys(values))
    return TagColumn(np.array([words.index(value) for value in values], dtype=np.uint32), words)


def test_one_tag_counts_by_its_values() -> None:
    assert limit_order([tag("", "a", "b")], ["t"]).tolist() == [0, 1, 2]
    assert limit_order([], []).tolist() == [0]


def test_keys_that_a_group_has_count_before_values() -> None:
    # d|d3, a|d|1|d9, d|f|d1|x, and none at all.
    tags = [tag("", "", "", "1"), tag("", "d1", "d3", "d9"), tag("", "x", "", "")]
    assert limit_order(tags, ["a", "d", "f"]).tolist() == [0, 3, 2, 1]


def test_values_are_compared_as_one_text() -> None:
    assert limit_order([tag("a", "a1"), tag("x", "x")], ["k", "l"]).tolist() == [1, 0]


def test_the_groups_that_are_left_stay_sorted_by_their_values() -> None:
    tags = [tag("", "", "1"), tag("d1", "d3", "d9"), tag("x", "", "")]
    column = column_of(FieldType.INTEGER, [1, 2, 3, 4, 5])
    table = Table("m", tags, np.array([0, 1, 3, 5]), np.arange(5), [column])
    keys = ("a", "d", "f")
    root = Slice(Rows(Points("d", "m")), series_limit=2, keys_first=True)
    left = slice_groups(table, root, keys)
    assert (left.starts.tolist(), python_values(left.columns[0])) == ([0, 2, 4], [2, 3, 4, 5])
    root = Slice(Rows(Points("d", "m")), series_limit=2, series_offset=1, keys_first=True)
    left = slice_groups(table, root, keys)
    assert (left.starts.tolist(), python_values(left.columns[0])) == ([0, 1, 3], [1, 2, 3])
    ends = Slice(Rows(Points("d", "m")), series_limit=5, series_offset=4, keys_first=True)
    assert slice_groups(table, ends, keys).groups == 0


def test_without_keys_first_groups_count_by_their_values() -> None:
    tags = [tag("", "1"), tag("d1", "d9")]
    table = Table("m", tags, np.array([0, 1, 2]), np.arange(2), [column_of(FieldType.INTEGER, [1, 2])])
    left = slice_groups(table, Slice(Rows(Points("d", "m")), series_limit=1), ("a", "d"))
    assert python_values(left.columns[0]) == [1]


def test_groups_that_do_not_lie_side_by_side() -> None:
    tags = [tag("", "", "1"), tag("d1", "d3", "d9"), tag("", "x", "")]
    column = column_of(FieldType.INTEGER, [1, 2, 3, 4, 5])
    table = Table("m", tags, np.array([0, 1, 3, 5]), np.arange(5), [column])
    left = slice_groups(table, Slice(Rows(Points("d", "m")), series_limit=2, keys_first=True), ("a", "d", "f"))
    assert (left.starts.tolist(), left.times.tolist()) == ([0, 1, 3], [0, 3, 4])
    assert python_values(left.columns[0]) == [1, 4, 5]
    assert [[each.values[code] for code in each.codes] for each in left.tags] == [["", "1"], ["d1", "d9"], ["", ""]]
