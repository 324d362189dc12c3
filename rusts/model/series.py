"""Series keys: their canonical bytes, their text, and a set of series with its tags.

The canonical key of a series is the measurement, then each tag key and tag value in the
byte order of the keys, unescaped, each after its length as u32 little-endian. It crosses
nodes, names a series in the log and in segments, and its hash places the series.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

__all__ = [
    "KeyTable",
    "SeriesSet",
    "TagColumn",
    "decode_key",
    "encode_key",
    "escape_measurement",
    "escape_tag",
    "key_text",
]


@dataclass(frozen=True, slots=True)
class KeyTable:
    """Many canonical keys in one buffer: key i is ``data[offsets[i]:offsets[i + 1]]``.

    `data` is uint8[bytes], `offsets` int64[n + 1] with offsets[0] == 0.
    """

    data: npt.NDArray[np.uint8]
    offsets: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> bytes:
        return self.data[self.offsets[index] : self.offsets[index + 1]].tobytes()

    @staticmethod
    def of(keys: Sequence[bytes]) -> KeyTable:
        """Pack `keys` into one table."""
        offsets = np.zeros(len(keys) + 1, dtype=np.int64)
        np.cumsum([len(k) for k in keys], out=offsets[1:])
        return KeyTable(np.frombuffer(b"".join(keys), dtype=np.uint8), offsets)


def encode_key(measurement: str, tags: dict[str, str]) -> bytes:
    """The canonical key of `measurement` with `tags`; tags with an empty value do not exist."""
    parts: list[bytes] = []
    items = sorted((k.encode(), v.encode()) for k, v in tags.items() if v)
    for text in (measurement.encode(), *(t for item in items for t in item)):
        parts.append(len(text).to_bytes(4, "little"))
        parts.append(text)
    return b"".join(parts)


def decode_key(key: bytes) -> tuple[str, dict[str, str]]:
    """Measurement and tags of a canonical key. Raises ValueError on bytes that are none."""
    texts: list[str] = []
    at = 0
    while at < len(key):
        end = at + 4 + int.from_bytes(key[at : at + 4], "little")
        if at + 4 > len(key) or end > len(key):
            raise ValueError("a canonical series key ends inside a text")
        texts.append(key[at + 4 : end].decode())
        at = end
    if len(texts) % 2 == 0:
        raise ValueError("a canonical series key has a tag without a value, or no measurement")
    return texts[0], dict(zip(texts[1::2], texts[2::2], strict=True))


_MEASUREMENT = str.maketrans({",": "\\,", " ": "\\ "})
_TAG = str.maketrans({",": "\\,", " ": "\\ ", "=": "\\="})


def escape_measurement(name: str) -> str:
    """The name of a measurement as line protocol writes it."""
    return name.translate(_MEASUREMENT)


def escape_tag(text: str) -> str:
    """The key or the value of a tag as line protocol writes it."""
    return text.translate(_TAG)


def key_text(key: bytes) -> str:
    """The key as SHOW SERIES prints it: line protocol's escaped ``m,tag=value``."""
    measurement, tags = decode_key(key)
    parts = [escape_measurement(measurement)]
    parts += (f"{escape_tag(k)}={escape_tag(v)}" for k, v in tags.items())
    return ",".join(parts)


@dataclass(frozen=True, slots=True)
class TagColumn:
    """One tag over n series, dictionary encoded: series i has ``values[codes[i]]``.

    `codes` is uint32[n]. A series without the tag has the empty string (InfluxQL's rule);
    `values` may hold values that no series of the set uses, and is not sorted.
    """

    codes: npt.NDArray[np.uint32]
    values: Sequence[str]


class SeriesSet(Protocol):
    """The n series that a scan or a fold speaks of, numbered 0..n-1 in it."""

    def __len__(self) -> int: ...

    def tag_keys(self) -> list[str]:
        """Every tag key that some series of the measurement has, sorted."""
        ...

    def tag(self, key: str) -> TagColumn:
        """The tag `key` over the set; a key that nobody has gives a column of empty strings."""
        ...

    def key(self, index: int) -> bytes:
        """The canonical key of series `index`."""
        ...
