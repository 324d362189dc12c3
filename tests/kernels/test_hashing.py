"""The hash tables of series: both builds against CPython's SipHash, a dict, and each other."""

from __future__ import annotations

import importlib
import os
import random
import subprocess
import sys
from types import ModuleType

import numpy as np
import pytest

from rusts.index import match, series
from rusts.index.series import UNKNOWN, SeriesIndex
from rusts.kernels import pure
from rusts.model.series import KeyTable, encode_key

SEED = int(os.environ.get("RUSTS_SEED", "20240501"))
BUILT = importlib.import_module("rusts.kernels.hashing")
PURE = pure("hashing")


@pytest.fixture(params=[BUILT, PURE], ids=["built", "pure"])
def hashing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = request.param
    assert isinstance(module, ModuleType)
    use(module, monkeypatch)
    return module


def use(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series, "hashing", module)
    monkeypatch.setattr(match, "hashing", module)


def keys_of(count: int, random: random.Random) -> list[bytes]:
    """Distinct keys of the measurement m, with tags missing here and there, of every length."""
    keys = set()
    while len(keys) < count:
        tags = {k: "v" * random.randrange(20) + str(random.randrange(50)) for k in "abcdefgh" if random.random() < 0.6}
        keys.add(encode_key("m", tags))
    return sorted(keys, key=lambda key: random.random())


def test_the_hash_is_cpythons_siphash(hashing: ModuleType) -> None:
    if sys.hash_info.algorithm != "siphash13":
        pytest.skip(f"this Python hashes with {sys.hash_info.algorithm}")
    texts = [bytes(range(1, n + 1)) for n in range(1, 40)]
    code = f"import sys; sys.stdout.write(' '.join(str(hash(t)) for t in {texts!r}))"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "0"}
    )
    table = KeyTable.of(texts)
    got = hashing.hash_keys(table.data, table.offsets, hashing.seed_state(bytes(16)))
    # CPython keeps -1 for errors; it does not come up here.
    assert got.view(np.int64).tolist() == [int(word) for word in run.stdout.split()]


def test_a_hash_depends_on_the_seed_and_skips_what_it_is_told(hashing: ModuleType) -> None:
    table = KeyTable.of([b"head-tail", b"tail", b"hea", b""])
    zero, one = hashing.seed_state(bytes(16)), hashing.seed_state(b"\1" + bytes(15))
    plain = hashing.hash_keys(table.data, table.offsets, zero)
    assert (plain != hashing.hash_keys(table.data, table.offsets, one)).all()
    skipped = hashing.hash_keys(table.data, table.offsets, zero, 5)
    assert skipped[0] == plain[1]
    assert skipped[2] == plain[3], "a key shorter than what is skipped hashes as nothing"


@pytest.mark.parametrize("offsets", [[0, 5, 3], [0, 100], [-1, 2]])
def test_bad_offsets_are_refused(hashing: ModuleType, offsets: list[int]) -> None:
    data, ends = np.zeros(10, np.uint8), np.array(offsets, dtype=np.int64)
    with pytest.raises(ValueError, match="offsets"):
        hashing.hash_keys(data, ends, hashing.seed_state(bytes(16)))
    with pytest.raises(ValueError, match="offsets"):
        SeriesIndex("m").lookup(KeyTable(data, ends))


def test_series_are_found_again_and_give_back_their_keys(hashing: ModuleType) -> None:
    print("seed", SEED)
    keys = keys_of(400, random.Random(SEED))
    index = SeriesIndex("m")
    for begin in range(0, 300, 60):
        table = KeyTable.of(keys[begin : begin + 60])
        assert (index.lookup(table) == UNKNOWN).all()
        assert index.add(table, np.arange(60)).tolist() == list(range(begin, begin + 60))
    numbers = index.lookup(KeyTable.of(keys))
    assert numbers[:300].tolist() == list(range(300))
    assert (numbers[300:] == UNKNOWN).all()
    table = index.keys(np.arange(300, dtype=np.uint32))
    assert [table[i] for i in range(300)] == keys[:300]


@pytest.mark.parametrize(("writer", "reader"), [(BUILT, PURE), (PURE, BUILT)], ids=["built-pure", "pure-built"])
def test_one_build_reads_the_tables_of_the_other(
    writer: ModuleType, reader: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    print("seed", SEED)
    keys = keys_of(200, random.Random(SEED))
    use(writer, monkeypatch)
    index = SeriesIndex("m")
    index.add(KeyTable.of(keys[:100]), np.arange(100))
    use(reader, monkeypatch)
    assert index.lookup(KeyTable.of(keys)).tolist() == [*range(100), *[UNKNOWN] * 100]
    index.add(KeyTable.of(keys[100:]), np.arange(100))
    index.drop(np.array([5], dtype=np.uint32))
    use(writer, monkeypatch)
    expected = list(range(200))
    expected[5] = UNKNOWN
    assert index.lookup(KeyTable.of(keys)).tolist() == expected
    assert index.key(5) == keys[5]


def test_both_builds_make_the_same_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    print("seed", SEED)
    table = KeyTable.of(keys_of(300, random.Random(SEED)))
    made = []
    for module in (BUILT, PURE):
        use(module, monkeypatch)
        index = SeriesIndex("m")
        index.add(table, np.arange(300))
        made.append(index.tables)
    for one, other in zip(*made, strict=True):
        if isinstance(one, np.ndarray) and one.dtype != np.uint8:
            assert np.array_equal(one, other)
        elif not isinstance(one, np.ndarray):
            assert one == other


def text(raw: bytes) -> bytes:
    return len(raw).to_bytes(4, "little") + raw


@pytest.mark.parametrize(
    "key",
    [
        b"\1",
        text(b"n"),
        text(b"m") + text(b"a"),
        text(b"m") + text(b"a") + b"\5\0\0\0xy",
        text(b"m") + text(b"a") + text(b"v") + b"\0",
        text(b"m") + text(b"b") + text(b"v") + text(b"a") + text(b"v"),
        text(b"m") + text(b"a") + text(b"v") + text(b"a") + text(b"v"),
        text(b"m") + text(b"a") + text(b""),
        text(b"m") + b"\xff\xff\xff\xff" + b"x" * 20,
    ],
    ids=["short", "measurement", "no-value", "cut-value", "rest", "order", "twice", "empty-value", "huge"],
)
def test_bytes_that_are_no_key_are_refused_and_leave_nothing(hashing: ModuleType, key: bytes) -> None:
    index = SeriesIndex("m")
    good = encode_key("m", {"a": "v", "b": "w"})
    table = KeyTable.of([good, key])
    with pytest.raises(ValueError, match=r"key|order"):
        index._append(table, np.arange(2))
    assert len(index) == 0
    assert index.lookup(table)[1] == UNKNOWN
    assert index.add(table, np.array([0])).tolist() == [0]
    assert index.key(0) == good
    assert index.lookup(table).tolist() == [0, UNKNOWN]


def test_numbers_and_positions_out_of_range_are_refused(hashing: ModuleType) -> None:
    index = SeriesIndex("m")
    table = KeyTable.of([encode_key("m", {})])
    for positions in ([1], [-1]):
        with pytest.raises(ValueError, match="positions"):
            index._insert(table, np.array(positions), np.zeros(1, np.int64))
    for number in (-1, 1 << 20):
        with pytest.raises(ValueError, match="room"):
            index._insert(table, np.zeros(1, np.int64), np.array([number]))
    with pytest.raises(ValueError, match="no such series"):
        index.key(1 << 20)
