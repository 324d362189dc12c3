"""Which names a log file needs."""

from __future__ import annotations

import numpy as np

from rusts.wal.names import FileNames
from rusts.wal.record import NewNames
from tests.support.wal import PlainNames, rows, series_key


def shown(new: NewNames | None) -> tuple[list[int], list[int], list[tuple[int, list[int]]]]:
    if new is None:
        return [], [], []
    for measurement, numbers, keys in new.series:
        assert [keys[i] for i in range(len(keys))] == [series_key(measurement, n) for n in numbers.tolist()]
    return (
        [m for m, _ in new.measurements],
        [f for f, _, _, _ in new.fields],
        [(m, numbers.tolist()) for m, numbers, _ in new.series],
    )


def test_each_name_once() -> None:
    names = FileNames(PlainNames())
    write = [rows(7, [2, 0, 2], [1, 2, 3], {102: [1, 2, 3]}), rows(8, [0], [1], {200: [1]})]
    new = names.missing(write)
    assert shown(new) == ([7, 8], [102, 200], [(7, [0, 2]), (8, [0])])
    # Until it is written it is not there.
    again = names.missing(write)
    assert shown(again) == shown(new)
    assert again is not None
    names.add(again)
    assert names.missing(write) is None
    new = names.missing([rows(7, [1, 2, 3], [1, 2, 3], {102: [1, 2, 3], 103: [1, 2, 3]})])
    assert shown(new) == ([], [103], [(7, [1, 3])])


def test_what_is_durable_needs_no_name() -> None:
    catalog = PlainNames()
    catalog.durable = {7, 102}
    catalog.series = {7: 3}
    names = FileNames(catalog)
    assert names.missing([rows(7, [0, 1, 2], [1, 2, 3], {102: [1, 2, 3]})]) is None
    new = names.missing([rows(7, [1, 3, 5], [1, 2, 3], {102: [1, 2, 3], 103: [1, 1, 1]})])
    assert shown(new) == ([], [103], [(7, [3, 5])])
    assert new is not None
    # A flush in between moves the boundary; what was found stays right.
    catalog.series = {7: 100}
    names.add(new)
    assert shown(names.missing([rows(7, [4, 5, 6], [1, 2, 3], {102: [1, 2, 3]})])) == ([], [], [(7, [4, 6])])


def test_two_batches_of_one_measurement() -> None:
    names = FileNames(PlainNames())
    new = names.missing([rows(7, [3, 1], [1, 2], {102: [1, 2]}), rows(7, [1, 2], [1, 2], {102: [1, 2], 103: [1, 2]})])
    assert shown(new) == ([7], [102, 103], [(7, [1, 2, 3])])
    assert new is not None
    names.add(new)
    assert names.missing([rows(7, [1, 2, 3], [1, 2, 3], {103: [1, 2, 3]})]) is None


def test_an_empty_batch_names_its_measurement_only() -> None:
    assert shown(FileNames(PlainNames()).missing([rows(7, [], [], {})])) == ([7], [], [])


def test_random_writes_name_every_series_once() -> None:
    seed = 4
    rng = np.random.default_rng(seed)
    catalog = PlainNames()
    catalog.series = {7: 50}
    names = FileNames(catalog)
    named: set[int] = set()
    for _ in range(300):
        count = int(rng.integers(1, 60))
        series = rng.integers(0, rng.integers(1, 2000), count).tolist()
        new = names.missing([rows(7, series, [0] * count, {102: [0] * count})])
        found = shown(new)[2]
        expected = sorted({s for s in series if s >= 50} - named)
        assert found == ([(7, expected)] if expected else []), f"seed {seed}"
        if new is not None and rng.random() < 0.8:
            names.add(new)
            named |= set(expected)
