"""Whole numbers in as few bytes as their range needs: ``value = base + scale * stored``.

All arithmetic is modulo 2**64, so that int64 and uint64 columns, extremes included, share one code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

__all__ = ["Narrowed", "narrow", "widen"]

_MASK: Final = (1 << 64) - 1
_SAMPLE: Final = 64


@dataclass(frozen=True, slots=True)
class Narrowed:
    """`stored` is an unsigned array of 1, 2, 4 or 8 bytes a value; `base` the 64 bits of the smallest value."""

    stored: npt.NDArray[Any]
    base: int
    scale: int


def _width(span: int) -> int:
    return 1 if span < 1 << 8 else 2 if span < 1 << 16 else 4 if span < 1 << 32 else 8


_UNSIGNED: Final[dict[int, np.dtype[Any]]] = {
    1: np.dtype("u1"),
    2: np.dtype("<u2"),
    4: np.dtype("<u4"),
    8: np.dtype("<u8"),
}


def narrow(values: npt.NDArray[Any], low: int, high: int) -> Narrowed:
    """`values` (int64 or uint64, not empty) whose smallest is `low` and largest `high`.

    Where a common divisor of the distances from `low` saves bytes, `scale` is that divisor: times of
    a regular interval fit two bytes instead of eight.
    """
    span = high - low
    base = low & _MASK
    distance = values.view(np.uint64)
    if base:
        distance = distance - np.uint64(base)
    width = _width(span)
    if width > 1:
        scaled = _divide(distance, span, width)
        if scaled is not None:
            return Narrowed(scaled[0], base, scaled[1])
    return Narrowed(distance.astype(_UNSIGNED[width]), base, 1)


def _divide(distance: npt.NDArray[np.uint64], span: int, width: int) -> tuple[npt.NDArray[Any], int] | None:
    """The distances divided by a common divisor, and that, if it makes them narrower."""
    step = max(1, len(distance) // _SAMPLE)
    # A sample proposes the divisor; every value then has its say.
    divisor = int(np.gcd.reduce(np.append(distance[::step], np.uint64(span))))
    if divisor < 2 or _width(span // divisor) == width:
        return None
    quotient = distance // np.uint64(divisor)
    rest = distance - quotient * np.uint64(divisor)
    if rest.any():
        divisor = int(np.gcd(np.gcd.reduce(rest[rest != 0]), np.uint64(divisor)))
        if divisor < 2 or _width(span // divisor) == width:
            return None
        quotient = distance // np.uint64(divisor)
    return quotient.astype(_UNSIGNED[_width(span // divisor)]), divisor


def widen(stored: npt.NDArray[Any], base: int, scale: int) -> npt.NDArray[np.uint64]:
    """The 64 bits of each value. `stored` may be any unsigned dtype and is not changed."""
    values = stored.astype(np.uint64)
    if scale != 1:
        values *= np.uint64(scale)
    if base:
        values += np.uint64(base)
    return values
