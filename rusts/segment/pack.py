"""Packed arrays: a few numpy arrays, narrowed, in one compressed blob.

Directories, keys, statistics, bloom filters and the columns of small batches are stored so: an Arrow
stream costs some 350 bytes and three calls, which large chunks do not feel and these do.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rusts.segment.narrow import narrow, widen

__all__ = ["PACK_VERSION", "pack_arrays", "unpack_arrays"]

PACK_VERSION: Final = 1

_HEAD: Final = struct.Struct("<BBHI")
_ARRAY: Final = struct.Struct("<BBBBI")
_PARAMETER: Final = struct.Struct("<Q")
_HAS_BASE: Final = 1
_HAS_SCALE: Final = 2
_RISING: Final = 4
_DTYPES: Final[dict[int, np.dtype[Any]]] = {
    1: np.dtype(np.int64),
    2: np.dtype(np.uint64),
    3: np.dtype(np.float64),
    4: np.dtype(np.uint8),
}
_KINDS: Final = {dtype: kind for kind, dtype in _DTYPES.items()}
_BYTES: Final = 4
_FLOATS: Final = 3
_CODECS: Final = {"lz4": (1, "lz4_raw"), "zstd": (2, "zstd")}
_CODEC_NAMES: Final = dict(_CODECS.values())
_MASK: Final = (1 << 64) - 1
_WORTH: Final = 48
"""Fewer bytes than this are not worth a call of a compressor."""


def pack_arrays(arrays: Sequence[npt.NDArray[Any]], compression: str, rising: Sequence[int] = ()) -> bytes:
    """`arrays` (int64, uint64, float64 or uint8, each of one dimension) as one blob.

    `compression` is "lz4" or "zstd". The arrays at the positions `rising` are stored as their differences.
    """
    parts: list[Any] = []
    for i, array in enumerate(arrays):
        kind = _KINDS[array.dtype]
        count = len(array)
        if kind in (_BYTES, _FLOATS) or count == 0:
            parts += (_head(kind, array.itemsize, count), np.ascontiguousarray(array).data)
            continue
        first = None
        if i in rising:
            first = int(array[0]) & _MASK
            array = array[1:] - array[:-1]
        low, high = (int(array.min()), int(array.max())) if len(array) else (0, 0)
        if low == high:
            parts.append(_head(kind, 0, count, low & _MASK, 1, first))
            continue
        small = narrow(array, low, high)
        parts += (_head(kind, small.stored.itemsize, count, small.base, small.scale, first), small.stored.data)
    raw = b"".join(parts)
    if len(raw) >= _WORTH:
        code, name = _CODECS[compression]
        small_raw: bytes = pa.compress(raw, codec=name, asbytes=True)
        if len(small_raw) < len(raw):
            return _HEAD.pack(code, len(arrays), 0, len(raw)) + small_raw
    return _HEAD.pack(0, len(arrays), 0, len(raw)) + raw


def _head(kind: int, width: int, count: int, base: int = 0, scale: int = 1, first: int | None = None) -> bytes:
    present = [(_HAS_BASE, base, base != 0), (_HAS_SCALE, scale, scale != 1), (_RISING, first, first is not None)]
    flags = sum(flag for flag, _, there in present if there)
    head = _ARRAY.pack(kind, width, flags, 0, count)
    return head + b"".join(_PARAMETER.pack(value) for _, value, there in present if there)


def unpack_arrays(data: bytes, expected: int, limit: int) -> list[npt.NDArray[Any]]:
    """The `expected` arrays of a blob that may unpack to at most `limit` bytes. Raises ValueError.

    The arrays may be views of read-only memory.
    """
    if len(data) < _HEAD.size:
        raise ValueError("a packed blob is shorter than its head")
    code, count, _, size = _HEAD.unpack_from(data)
    if count != expected:
        raise ValueError(f"a packed blob has {count} arrays instead of {expected}")
    if size > limit:
        raise ValueError(f"a packed blob claims {size} bytes")
    body: Any = memoryview(data)[_HEAD.size :]
    if code:
        name = _CODEC_NAMES.get(code)
        if name is None:
            raise ValueError(f"a packed blob has the unknown compression {code}")
        try:
            body = pa.decompress(body, decompressed_size=size, codec=name)
        except (pa.ArrowException, OSError) as problem:
            raise ValueError(f"a packed blob cannot be decompressed: {problem}") from None
    if len(body) != size:
        raise ValueError(f"a packed blob has {len(body)} bytes instead of {size}")
    arrays: list[npt.NDArray[Any]] = []
    at = 0
    for _ in range(count):
        array, at = _unpack(body, at, limit)
        arrays.append(array)
    if at != size:
        raise ValueError("a packed blob has bytes left over")
    return arrays


def _unpack(body: Any, at: int, limit: int) -> tuple[npt.NDArray[Any], int]:
    size = len(body)
    if at + _ARRAY.size > size:
        raise ValueError("a packed array is cut off")
    kind, width, flags, _, count = _ARRAY.unpack_from(body, at)
    at += _ARRAY.size
    dtype = _DTYPES.get(kind)
    if dtype is None or width not in (0, 1, 2, 4, 8) or flags > _HAS_BASE | _HAS_SCALE | _RISING:
        raise ValueError("a packed array's head is wrong")
    parameters = {_HAS_BASE: 0, _HAS_SCALE: 1, _RISING: 0}
    for flag in parameters:
        if flags & flag:
            if at + _PARAMETER.size > size:
                raise ValueError("a packed array is cut off")
            (parameters[flag],) = _PARAMETER.unpack_from(body, at)
            at += _PARAMETER.size
    if count > limit:
        raise ValueError(f"a packed array claims {count} values")
    rising = bool(flags & _RISING)
    stored_count = max(0, count - rising)
    end = at + stored_count * width
    if end > size:
        raise ValueError("a packed array is cut off")
    if kind in (_BYTES, _FLOATS):
        if width != dtype.itemsize or flags:
            raise ValueError("a packed array's head is wrong")
        return np.frombuffer(body, dtype=dtype, count=count, offset=at), end
    if width == 0:
        values = np.full(stored_count, parameters[_HAS_BASE], dtype=np.uint64)
    else:
        stored = np.frombuffer(body, dtype=f"<u{width}", count=stored_count, offset=at)
        values = widen(stored, parameters[_HAS_BASE], parameters[_HAS_SCALE])
    if rising and count:
        whole = np.empty(count, dtype=np.uint64)
        whole[0] = parameters[_RISING]
        np.cumsum(values, out=whole[1:])
        whole[1:] += np.uint64(parameters[_RISING])
        values = whole
    return values.view(dtype), end
