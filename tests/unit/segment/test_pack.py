from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from rusts.segment.pack import pack_arrays, unpack_arrays

ARRAYS: list[npt.NDArray[Any]] = [
    np.array([7, 8, 9, 12, 4_000_000_000], dtype=np.uint64),
    np.arange(1000, dtype=np.int64) * 1_000_000_007 - 5,
    np.array([np.nan, -0.0, np.inf, 1.5]),
    np.frombuffer(b"hello world", dtype=np.uint8),
    np.full(300, -3, dtype=np.int64),
    np.zeros(0, dtype=np.int64),
    np.array([np.iinfo(np.int64).max, np.iinfo(np.int64).min], dtype=np.int64),
]


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
@pytest.mark.parametrize("rising", [(), (0, 1, 4, 5, 6)])
def test_round_trip(compression: str, rising: tuple[int, ...]) -> None:
    blob = pack_arrays(ARRAYS, compression, rising)
    found = unpack_arrays(blob, len(ARRAYS), 1 << 20)
    for array, back in zip(ARRAYS, found, strict=True):
        assert back.dtype == array.dtype
        assert back.tobytes() == array.tobytes()


def test_dense_numbers_take_no_room() -> None:
    blob = pack_arrays([np.arange(5, 1_000_000, dtype=np.uint64)], "lz4", rising=(0,))
    assert len(blob) < 64


def test_small_things_are_not_compressed() -> None:
    assert len(pack_arrays([np.zeros(0, dtype=np.uint8)], "lz4")) == 8 + 8


def damaged() -> list[tuple[str, bytes]]:
    good = pack_arrays(ARRAYS, "lz4")
    plain = pack_arrays([np.arange(2, dtype=np.int64)], "lz4")
    return [
        ("shorter than its head", good[:7]),
        ("instead of 7", plain),
        ("unknown compression", b"\x09" + good[1:]),
        ("cannot be decompressed|bytes instead", good[:-3]),
        ("claims", good[:4] + struct.pack("<I", 1 << 31) + good[8:]),
    ]


@pytest.mark.parametrize(("reason", "blob"), damaged(), ids=[r for r, _ in damaged()])
def test_damage_is_a_value_error(reason: str, blob: bytes) -> None:
    with pytest.raises(ValueError, match=reason):
        unpack_arrays(blob, len(ARRAYS), 1 << 20)


@pytest.mark.parametrize(
    ("at", "value", "reason"),
    [
        (8, 9, "head is wrong"),  # kind
        (8, 3, "head is wrong"),
        (9, 3, "head is wrong"),  # width
        (9, 8, "cut off"),
        (10, 8, "head is wrong"),  # flags
        (10, 1, "cut off"),
        (15, 1, "claims"),  # count
        (12, 1, "left over"),
        (12, 3, "cut off"),
    ],
)
def test_a_wrong_array_head_is_a_value_error(at: int, value: int, reason: str) -> None:
    blob = bytearray(pack_arrays([np.arange(2, dtype=np.int64)], "lz4"))
    assert len(blob) == 8 + 8 + 2
    blob[at] = value
    with pytest.raises(ValueError, match=reason):
        unpack_arrays(bytes(blob), 1, 1 << 20)
