from __future__ import annotations

import mmh3
import numpy as np
import pytest

from rusts.model.series import KeyTable, encode_key
from rusts.segment.bloom import BloomBuilder, BloomFilter, element_hash, hash_spans, tag_element, tag_spans


def test_hashes_are_those_of_the_library() -> None:
    rng = np.random.default_rng(3)
    texts = [rng.bytes(n) for n in [*range(70), 1_000, 65_535]]
    table = KeyTable.of(texts)
    found = hash_spans(table.data, table.offsets[:-1], table.offsets[1:])
    for text, (first, second) in zip(texts, found.tolist(), strict=True):
        assert (first, second) == mmh3.hash64(text, signed=False) == element_hash(text)


def test_tags_are_found_in_keys() -> None:
    tags = [{}, {"a": "1"}, {"a": "1", "bé": "zwei"}, {"c": "3"}]
    table = KeyTable.of([encode_key("measure", t) for t in tags])
    begins, ends = tag_spans(table)
    found = sorted(table.data[b:e].tobytes() for b, e in zip(begins, ends, strict=True))
    assert found == sorted(tag_element(k, v) for t in tags for k, v in t.items())


def test_nothing_that_was_added_is_missed_and_little_else_found() -> None:
    builder = BloomBuilder()
    for block in range(4):
        numbers = range(block * 500, block * 500 + 500)
        builder.add(KeyTable.of([encode_key("m", {"host": f"h{i}", "dc": f"d{i % 7}"}) for i in numbers]))
    bits, hashes = builder.finish()
    bloom = BloomFilter(bits, hashes)
    assert all(bloom.might_contain(encode_key("m", {"host": f"h{i}", "dc": f"d{i % 7}"})) for i in range(2_000))
    assert all(bloom.might_contain(tag_element("host", f"h{i}")) for i in range(2_000))
    assert all(bloom.might_contain(tag_element("dc", f"d{i}")) for i in range(7))
    wrong = sum(bloom.might_contain(tag_element("host", f"h{i}")) for i in range(2_000, 12_000))
    assert wrong < 200
    assert bloom.nbytes < 2_000 * 2 * 10 / 8 * 1.1


def test_a_series_without_tags() -> None:
    builder = BloomBuilder()
    builder.add(KeyTable.of([encode_key("m", {})]))
    assert BloomFilter(*builder.finish()).might_contain(encode_key("m", {}))


@pytest.mark.parametrize(("size", "hashes"), [(0, 7), (8, 0), (8, 64)])
def test_a_filter_of_a_wrong_size_is_refused(size: int, hashes: int) -> None:
    with pytest.raises(ValueError, match="wrong size"):
        BloomFilter(np.zeros(size, dtype=np.uint8), hashes)
