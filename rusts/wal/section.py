"""A section of a record: its bytes, compressed where that helps, and how integers are stored in it."""

from __future__ import annotations

import struct
from typing import Any, Final

import lz4.block
import numpy as np
import numpy.typing as npt

__all__ = [
    "RAW",
    "Cursor",
    "decode_integers",
    "encode_integers",
    "narrow",
    "pack_section",
    "read_integers",
    "unpack_section",
]

MAX_SECTION_BYTES: Final = 1 << 30
"""The largest section, decompressed. Who writes more at once must write several records."""

_PLAIN, _LZ4 = 0, 1
_COMPRESS_FROM: Final = 512  # below it LZ4 saves less than the call costs
_LZ4_RATIO_MAX: Final = 255

RAW: Final = 0
"""The code of values that are stored as they lie in memory."""

_U1, _U2, _U4, _I1, _I2, _I4, _B1, _B2, _B4 = range(1, 10)
_WIDTHS: Final[dict[int, np.dtype[Any]]] = {
    _U1: np.dtype("<u1"),
    _U2: np.dtype("<u2"),
    _U4: np.dtype("<u4"),
    _I1: np.dtype("<i1"),
    _I2: np.dtype("<i2"),
    _I4: np.dtype("<i4"),
    _B1: np.dtype("<u1"),
    _B2: np.dtype("<u2"),
    _B4: np.dtype("<u4"),
}
_INT64: Final = np.dtype("<i8")
_SIGN: Final = 1 << 63

_U8S: Final = struct.Struct("<B")
_U32S: Final = struct.Struct("<I")
_I64S: Final = struct.Struct("<q")


class Cursor:
    """Reads a section from its begin to its end; every step checks what is left. Raises ValueError."""

    __slots__ = ("at", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    @property
    def left(self) -> int:
        """Bytes not read yet."""
        return len(self.data) - self.at

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        start = self.at
        end = start + size
        if size < 0 or end > len(self.data):
            raise ValueError(f"{size} bytes were expected where {len(self.data) - start} are left")
        self.at = end
        return self.data[start:end]

    def unpack(self, form: struct.Struct) -> tuple[Any, ...]:
        """The next values, as `form` says."""
        start = self.at
        if start + form.size > len(self.data):
            raise ValueError("it ends inside a number")
        self.at = start + form.size
        return form.unpack_from(self.data, start)

    def count(self, form: struct.Struct, least: int) -> int:
        """A number of things that take at least `least` bytes each."""
        (number,) = self.unpack(form)
        if number * least > self.left:
            raise ValueError(f"it is too short for {number} entries")
        return int(number)

    def array(self, dtype: np.dtype[Any], count: int) -> npt.NDArray[Any]:
        """The next `count` values of `dtype`: aligned, read-only."""
        return np.frombuffer(self.take(count * dtype.itemsize), dtype=dtype)

    def finish(self) -> None:
        """Raise unless everything was read."""
        if self.left:
            raise ValueError(f"{self.left} bytes too many")


def pack_section(body: bytes) -> bytes:
    """`body` with the byte that says whether it is compressed."""
    if len(body) > MAX_SECTION_BYTES:
        raise ValueError(f"a log record of {len(body)} bytes is larger than {MAX_SECTION_BYTES}")
    if len(body) >= _COMPRESS_FROM:
        packed: bytes = lz4.block.compress(body, store_size=False)
        if len(packed) < len(body) - (len(body) >> 3):
            return b"\x01" + _U32S.pack(len(body)) + packed
    return b"\x00" + body


def unpack_section(section: bytes) -> bytes:
    """The body that `pack_section` was given. Raises ValueError."""
    cursor = Cursor(section)
    (codec,) = cursor.unpack(_U8S)
    if codec == _PLAIN:
        return section[1:]
    if codec != _LZ4:
        raise ValueError(f"unknown compression {codec}")
    (size,) = cursor.unpack(_U32S)
    packed = cursor.take(cursor.left)
    if size > min(MAX_SECTION_BYTES, _LZ4_RATIO_MAX * len(packed) + 64):
        raise ValueError(f"{len(packed)} bytes cannot decompress to {size}")
    try:
        body: bytes = lz4.block.decompress(packed, uncompressed_size=size)
    except lz4.block.LZ4BlockError as problem:
        raise ValueError(f"LZ4: {problem}") from None
    if len(body) != size:
        raise ValueError(f"{len(body)} bytes came out of LZ4, not {size}")
    return body


def narrow(values: npt.NDArray[Any], data: list[bytes]) -> int:
    """Append integers of any width to `data` in as few bytes each as all of them need; returns the code."""
    low, high = int(values.min()), int(values.max())
    code = RAW
    if low >= 0:
        code = _U1 if high < 1 << 8 else _U2 if high < 1 << 16 else _U4 if high < 1 << 32 else RAW
    elif low >= -1 << 31 and high < 1 << 31:
        code = _I1 if low >= -1 << 7 and high < 1 << 7 else _I2 if low >= -1 << 15 and high < 1 << 15 else _I4
    span = high - low
    based = _B1 if span < 1 << 8 else _B2 if span < 1 << 16 else _B4 if span < 1 << 32 else RAW
    if based != RAW and (code == RAW or _WIDTHS[based].itemsize < _WIDTHS[code].itemsize):
        # The base is an int64, as is what is added to it: uint64 values wrap around to their own bits.
        base = low if low < _SIGN else low - (1 << 64)
        data += (_I64S.pack(base), (values - values.dtype.type(low)).astype(_WIDTHS[based]).tobytes())
        return based
    if code == RAW:
        data.append(values.tobytes())
    else:
        data.append(values.astype(_WIDTHS[code]).tobytes())
    return code


def encode_integers(values: npt.NDArray[Any]) -> list[bytes]:
    """Integers after the byte that says how they are stored (for `decode_integers`)."""
    if len(values) == 0:
        return [bytes([RAW])]
    data: list[bytes] = []
    code = narrow(values if values.dtype == _INT64 else values.astype(_INT64), data)
    return [bytes([code]), *data]


def decode_integers(cursor: Cursor, count: int) -> npt.NDArray[np.int64]:
    """int64[count]: what `encode_integers` was given. Raises ValueError."""
    (code,) = cursor.unpack(_U8S)
    return read_integers(cursor, code, count, _INT64)


def read_integers(cursor: Cursor, code: int, count: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """`count` integers stored as `code`, as `dtype`. Raises ValueError."""
    if code == RAW:
        return cursor.array(dtype, count)
    width = _WIDTHS.get(code)
    if width is None:
        raise ValueError(f"unknown storage {code} of integers")
    if code < _B1:
        return cursor.array(width, count).astype(dtype)
    (base,) = cursor.unpack(_I64S)
    wide = cursor.array(width, count).astype(np.uint64)
    with np.errstate(over="ignore"):
        wide += np.uint64(base % (1 << 64))
    return wide.view(np.int64).astype(dtype) if dtype != np.uint64 else wide
