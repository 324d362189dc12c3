"""SeriesIndex: numbers, tags, holes, drops, limits, and readers beside the writer."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from pyroaring import BitMap

from rusts.errors import Bug, Corruption
from rusts.index import series
from rusts.index.series import UNKNOWN, SeriesIndex
from rusts.model.series import KeyTable, encode_key


def table(*tags: dict[str, str]) -> KeyTable:
    return KeyTable.of([encode_key("m", t) for t in tags])


def filled(*tags: dict[str, str]) -> SeriesIndex:
    index = SeriesIndex("m")
    index.add(table(*tags), np.arange(len(tags)))
    return index


def texts(index: SeriesIndex, key: str) -> list[str]:
    column = index.tag(key)
    assert column.codes.dtype == np.uint32
    assert column.values[0] == ""
    return [column.values[code] for code in column.codes.tolist()]


def test_an_empty_index_knows_nothing() -> None:
    index = SeriesIndex("m")
    assert len(index) == index.count() == 0
    assert index.tag_keys() == []
    assert texts(index, "a") == []
    assert index.distinct("a") == 0
    assert index.lookup(table({})).tolist() == [UNKNOWN]
    assert index.live() == BitMap()
    assert len(index.keys(np.empty(0, dtype=np.uint32))) == 0


def test_tags_are_columns_and_late_ones_are_empty_before() -> None:
    index = filled({"b": "x"}, {"b": "y", "a": "1"})
    assert index.tag_keys() == ["a", "b"]
    assert texts(index, "a") == ["", "1"]
    index.add(table({}, {"é": "ü", "b": "x"}), np.arange(2))
    assert index.tag_keys() == ["a", "b", "é"]
    assert texts(index, "b") == ["x", "y", "", "x"]
    assert texts(index, "é") == ["", "", "", "ü"]
    assert texts(index, "nobody") == ["", "", "", ""]
    assert [index.distinct(k) for k in ("a", "b", "é", "nobody")] == [1, 2, 1, 0]


def test_a_value_of_two_tags_is_two_values() -> None:
    index = filled({"a": "same", "b": "same"}, {"a": "b", "b": "a"})
    assert texts(index, "a") == ["same", "b"]
    assert texts(index, "b") == ["same", "a"]
    assert index.tag("b").values[1:] == ["same", "a"]


def test_only_the_asked_positions_are_added() -> None:
    index = SeriesIndex("m")
    keys = table({"a": "0"}, {"a": "1"}, {"a": "2"}, {"a": "3"})
    assert index.add(keys, np.array([3, 1])).tolist() == [0, 1]
    assert index.lookup(keys).tolist() == [UNKNOWN, 1, UNKNOWN, 0]
    assert index.add(keys, np.array([], dtype=np.int64)).tolist() == []


def test_many_tag_keys_and_long_values() -> None:
    wide = {f"key{i}": "v" * i for i in range(1, 300)}
    index = filled({}, wide, {"key7": "w" * 60_000})
    assert index.lookup(table(wide, {}, {"key7": "w" * 60_000})).tolist() == [1, 0, 2]
    assert index.key(1) == encode_key("m", wide)


def test_a_bad_key_is_our_bug_when_added_and_corruption_when_restored() -> None:
    index = SeriesIndex("m")
    bad = KeyTable.of([b"\1\0\0\0m\1"])
    with pytest.raises(Bug, match="BUG: series of 'm'"):
        index.add(bad, np.arange(1))
    with pytest.raises(Corruption, match="of 'm'"):
        index.restore(0, bad)


def test_restoring_twice_changes_nothing() -> None:
    keys = table({"a": "0"}, {"a": "1"}, {"a": "2"})
    index = SeriesIndex("m")
    for _ in range(2):
        index.restore(0, keys)
    index.restore(2, table({"a": "2"}, {"a": "3"}))
    assert len(index) == index.count() == 4
    assert index.lookup(keys).tolist() == [0, 1, 2]
    with pytest.raises(Corruption, match="number 1 has another key"):
        index.restore(1, table({"a": "9"}))


def test_numbers_that_the_log_leaves_out_are_holes_until_they_come() -> None:
    index = SeriesIndex("m")
    assert not index.restore_numbers(np.array([2, 5], dtype=np.uint32), table({"a": "2"}, {"a": "5"}))
    assert len(index) == 6
    assert index.count() == 2
    assert index.live() == BitMap([2, 5])
    assert [len(index.key(n)) > 0 for n in range(6)] == [False, False, True, False, False, True]
    assert texts(index, "a") == ["", "", "2", "", "", "5"]
    assert index.lookup(table({})).tolist() == [UNKNOWN], "a hole is not the series without tags"
    assert index.restore_numbers(np.array([1, 2, 7]), table({"b": "1"}, {"a": "2"}, {"a": "7"}))
    assert index.live() == BitMap([1, 2, 5, 7])
    assert index.lookup(table({"b": "1"}, {"a": "7"})).tolist() == [1, 7]
    # What goes to disk and comes back has its holes too.
    again = SeriesIndex("m")
    again.restore(0, index.keys(np.arange(8, dtype=np.uint32)))
    assert again.live() == index.live()
    again.restore(0, table({"a": "0"}))
    assert again.live() == BitMap([0, 1, 2, 5, 7])
    assert again.add(table({"new": "1"}), np.arange(1)).tolist() == [8]


@pytest.mark.parametrize("numbers", [[1, 1], [2, 1], [-1, 0]])
def test_restored_numbers_ascend(numbers: list[int]) -> None:
    with pytest.raises(Corruption, match="ascend"):
        SeriesIndex("m").restore_numbers(np.array(numbers), table({"a": "0"}, {"a": "1"}))


def test_a_dropped_series_is_unknown_and_its_key_gets_a_new_number() -> None:
    index = filled({"a": "0"}, {"a": "1"}, {"a": "2"})
    index.drop(np.array([0, 2], dtype=np.uint32))
    index.drop(np.array([0], dtype=np.uint32))
    assert index.live() == BitMap([1])
    assert index.dropped() == BitMap([0, 2])
    assert (len(index), index.count(), index.distinct("a")) == (3, 1, 1)
    keys = table({"a": "0"}, {"a": "1"}, {"a": "2"})
    assert index.lookup(keys).tolist() == [UNKNOWN, 1, UNKNOWN]
    assert index.add(keys, np.array([0])).tolist() == [3]
    assert index.lookup(keys).tolist() == [3, 1, UNKNOWN]
    index.drop(np.array([0], dtype=np.uint32))
    assert index.lookup(keys).tolist() == [3, 1, UNKNOWN], "dropping the old number leaves the new one"
    assert index.distinct("a") == 2
    for n in range(100):
        index.add(table({"b": str(n)}), np.arange(1))
    assert index.lookup(keys).tolist() == [3, 1, UNKNOWN], "the larger table leaves out what was dropped"


def test_the_limit_of_values_refuses_only_what_is_new() -> None:
    index = filled({"a": "0", "b": "x"}, {"a": "1"})
    keys = table({"a": "2"}, {"a": "1", "b": "x"}, {"a": "3", "b": "y"}, {"a": "2", "b": "y"}, {"c": "1"}, {"c": "2"})
    none, *_ = index.excess_values(keys, np.arange(6), 8)
    assert none.tolist() == []
    refused, tag, value, count = index.excess_values(keys, np.arange(6), 3)
    assert (refused.tolist(), tag, value, count) == ([2], "a", "3", 4)
    refused, tag, value, count = index.excess_values(keys, np.arange(6), 1)
    assert (refused.tolist(), tag, value, count) == ([0, 2, 3, 5], "a", "2", 3)
    refused, *_ = index.excess_values(keys, np.array([1, 4]), 1)
    assert refused.tolist() == []
    assert len(index) == 2


def test_very_many_values_are_decoded_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series, "_LIST_MAX", 4)
    index = filled(*({"a": str(i), "b": "é"} for i in range(10)))
    values = index.tag("a").values
    assert not isinstance(values, list)
    assert list(values) == ["", *map(str, range(10))]
    assert [values[i] for i in (0, 1, 10, -1)] == ["", "0", "9", "9"]
    assert values[1:3] == ["0", "1"]
    assert len(values) == 11
    with pytest.raises(IndexError):
        values[11]
    assert index.tag("b").values == ["", "é"]


def test_a_series_takes_little_memory() -> None:
    index = SeriesIndex("m")
    count = 20_000
    index.add(
        table(*({"a": f"a{i % 10}", "b": f"b{i % 100}", "c": f"c{i // 20}"} for i in range(count))), np.arange(count)
    )
    assert index.nbytes < 50 * count


def test_readers_beside_the_writer_see_whole_states() -> None:
    index = SeriesIndex("m")
    keys = [{"a": str(i % 7), **({f"t{i}": "x"} if i % 50 == 0 else {}), "b": str(i)} for i in range(3_000)]
    done = threading.Event()
    failures: list[str] = []

    def read() -> None:
        while not done.is_set():
            length = len(index)
            if not length:
                continue
            column = index.tag("a")
            if len(column.codes) < length or [column.values[c] for c in column.codes[:10].tolist()] != [
                str(i % 7) for i in range(min(10, len(column.codes)))
            ]:
                failures.append("tag")
            last = index.key(length - 1)
            if last != encode_key("m", keys[length - 1]):
                failures.append("key")
            if index.lookup(KeyTable.of([last]))[0] != length - 1:
                failures.append("lookup")

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for begin in range(0, len(keys), 10):
        index.add(table(*keys[begin : begin + 10]), np.arange(10))
    done.set()
    for thread in threads:
        thread.join()
    assert failures == []


def test_what_was_dropped_before_it_came_back_stays_dropped() -> None:
    index = SeriesIndex("m")
    index.drop(np.array([1, 4], dtype=np.uint32))
    assert index.count() == 0
    assert not index.restore(0, table({"a": "0"}, {"a": "1"}, {"a": "2"}))
    assert (len(index), index.live(), index.count()) == (3, BitMap([0, 2]), 2)
    index.reserve_dropped()
    assert (len(index), index.count()) == (5, 2)
    # Its key has had a newer number all along, which stays what it is found by.
    again = {"a": "1"}
    assert index.add(table(again), np.arange(1)).tolist() == [5]
    assert not index.restore_numbers(np.array([1, 4]), table(again, {"a": "4"}))
    assert index.lookup(table(again, {"a": "4"})).tolist() == [5, UNKNOWN]
    assert index.live() == BitMap([0, 2, 5])
    assert index.restore_numbers(np.array([3]), table({"a": "3"}))
    assert index.distinct("a") == 4
    assert index.key(1) == b""


def test_the_keys_of_dropped_series_do_not_go_to_disk() -> None:
    index = filled({"a": "0"}, {"a": "1"}, {"a": "2"})
    numbers = np.arange(3, dtype=np.uint32)
    assert index.live_keys(numbers).data.tobytes() == index.keys(numbers).data.tobytes()
    index.drop(np.array([1], dtype=np.uint32))
    kept = index.live_keys(numbers)
    assert [kept[i] for i in range(3)] == [index.key(0), b"", index.key(2)]
    some = index.live_keys(np.array([1, 2], dtype=np.uint32))
    assert [some[i] for i in range(2)] == [b"", index.key(2)]
    assert len(index.live_keys(np.empty(0, dtype=np.uint32))) == 0


def test_values_are_those_of_live_series_sorted_by_bytes() -> None:
    index = filled({"a": "z"}, {"a": "é", "b": "1"}, {"a": "B"}, {}, {"a": "z", "b": "2"})
    assert index.values("a").to_pylist() == ["B", "z", "é"]
    assert index.values("nobody").to_pylist() == []
    assert index.values("a", np.array([1, 3, 4], dtype=np.uint32)).to_pylist() == ["z", "é"]
    assert index.distinct("a", np.array([3], dtype=np.uint32)) == 0
    index.drop(np.array([2, 4], dtype=np.uint32))
    assert index.values("a").to_pylist() == ["z", "é"]
    assert index.values("b").to_pylist() == ["1"]
    assert (index.distinct("a"), index.distinct("b")) == (2, 1)


def test_a_tag_key_goes_with_its_last_series() -> None:
    index = filled({"a": "0"}, {"a": "1", "b": "x"}, {"c": "y"})
    index.drop(np.array([1], dtype=np.uint32))
    for _ in range(2):
        assert index.tag_keys() == ["a", "c"]
    index.add(table({"b": "x"}), np.arange(1))
    assert index.tag_keys() == ["a", "b", "c"]
    index.drop(np.array([0, 2], dtype=np.uint32))
    assert index.tag_keys() == ["b"]
