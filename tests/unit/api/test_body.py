from __future__ import annotations

import asyncio
import gzip
import random

import pytest
from starlette.types import Message

from rusts.api.body import BodyBudget, ClientGone, inflate, inflate_small, read_rest
from rusts.api.errors import BadBody, BodyTooLarge
from rusts.errors import MemoryExceeded

BIG = 1 << 40


def plain(pieces: list[bytes], limit: int = BIG) -> bytes:
    return b"".join(inflate(pieces, limit))


def test_inflates_whatever_the_pieces_are():
    seed = random.randrange(1 << 30)
    print("seed", seed)
    rng = random.Random(seed)
    data = rng.randbytes(100_000) + b"a" * 3_000_000
    packed = gzip.compress(data)
    assert plain([packed]) == data
    size = rng.randrange(1, 5000)
    assert plain([packed[i : i + size] for i in range(0, len(packed), size)]) == data
    assert plain([packed + packed]) == data + data
    assert plain([packed, packed]) == data + data
    assert max(map(len, inflate([packed], BIG))) <= 1 << 20


def test_an_empty_body_is_empty():
    assert plain([]) == plain([b""]) == b""
    assert plain([gzip.compress(b"")]) == b""


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda z: b"hello world", "gzip: invalid header"),
        (lambda z: z[:-1], "unexpected EOF"),
        (lambda z: z[:3], "unexpected EOF"),
        (lambda z: z[:1], "unexpected EOF"),
        (lambda z: z[:-8] + bytes([z[-8] ^ 1]) + z[-7:], "gzip: invalid checksum"),
        (lambda z: z + b"junk", "gzip: invalid header"),
        (lambda z: z[:10] + b"\xff" * 10 + z[20:], "flate: corrupt input"),
    ],
)
def test_damage_is_told_in_influxdb_s_words(damage, text):
    with pytest.raises(BadBody, match=text):
        plain([damage(gzip.compress(b"cpu v=1\n" * 100))])


def test_the_limit_holds_for_inflated_bytes():
    packed = gzip.compress(b"x" * 5_000_000)
    assert len(plain([packed], 5_000_000)) == 5_000_000
    with pytest.raises(BodyTooLarge):
        plain([packed], 4_999_999)
    assert inflate_small(packed, 4_999_999) is None
    assert inflate_small(gzip.compress(b"abc"), 3) == b"abc"


def read(pieces: list[bytes | None], limit: int, budget: BodyBudget) -> list[bytes]:
    messages: list[Message] = [
        {"type": "http.disconnect"} if piece is None else {"type": "http.request", "body": piece, "more_body": True}
        for piece in pieces
    ]
    if messages[-1]["type"] == "http.request":
        messages[-1]["more_body"] = False

    async def receive() -> Message:
        return messages.pop(0)

    return asyncio.run(read_rest(b"ab", receive, limit, budget))


def test_a_body_is_held_to_its_limit_and_accounted_for():
    budget = BodyBudget(10)
    assert b"".join(read([b"cd", b"ef"], 6, budget)) == b"abcdef"
    assert budget.used == 6
    budget.give(6)
    with pytest.raises(BodyTooLarge):
        read([b"cd", b"efg"], 6, budget)
    assert budget.used == 0
    with pytest.raises(MemoryExceeded):
        read([b"cd", b"efghijklm"], 100, budget)
    assert budget.used == 0
    with pytest.raises(ClientGone):
        read([b"cd", None], 100, budget)
    assert budget.used == 0
