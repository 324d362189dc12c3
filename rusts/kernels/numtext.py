# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# distutils: extra_compile_args = -O3
"""Numbers, strings and rows of columns as text, as Go's encoding/json and strconv print them.

A float64 gets the fewest digits that read back as the same number, of those the nearest to it: without an exponent
from 1e-6 up to 1e21, else as ``1e+21``, ``1e-7``. The digits come from the Schubfach algorithm
(R. Giulietti, "The Schubfach way to render doubles", 2020): scale the number and the ends of its rounding interval by a
128-bit power of ten, and take the shortest decimal between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

try:
    import cython
except ImportError:
    from rusts.kernels import standin as cython

__all__ = [
    "BOOLEAN",
    "FLOAT",
    "INTEGER",
    "STRING",
    "TIME",
    "UNSIGNED",
    "ZONED_TIME",
    "Cells",
    "csv_cell",
    "json_string",
    "rows",
]

SOURCE_DIGEST = "16fe0f1737e8903c"

FLOAT: Final = 1
INTEGER: Final = 2
UNSIGNED: Final = 3
BOOLEAN: Final = 4
STRING: Final = 5
TIME: Final = 6
ZONED_TIME: Final = 7

Cells = tuple[int, Any, Any, Any]
"""A column as `rows` takes it: kind, values, validity (bool[n] or None), offsets (int64[n + 1] of STRING, ZONED_TIME).

Values are float64[n], int64[n], uint64[n], bool[n]; for STRING uint8[bytes] of UTF-8, string i being
``values[offsets[i]:offsets[i + 1]]``. Of the times, int64[n] ns since the epoch, TIME is printed as UTC and
ZONED_TIME i ``offsets[i]`` seconds east of it, which is told in whole minutes (the last offset means nothing).
"""

_MASK: Final = 0xFFFFFFFFFFFFFFFF
_FIRST_POWER: Final = -292
_LAST_POWER: Final = 324
_CELL_BYTES: Final = 38
_ESCAPE_GROWTH: Final = 6


def _powers() -> npt.NDArray[np.uint64]:
    """uint64[617, 2]: 10^e for e = -292..324 as its 128 leading bits, rounded up: high word, low word."""
    table = np.empty((_LAST_POWER - _FIRST_POWER + 1, 2), dtype=np.uint64)
    for row, exponent in enumerate(range(_FIRST_POWER, _LAST_POWER + 1)):
        shift = 127 - (exponent * 1741647 >> 19)
        if exponent >= 0:
            power = 10**exponent
            bits = power << shift if shift >= 0 else -(-power >> -shift)
        else:
            bits = -(-(1 << shift) // 10**-exponent)
        table[row] = bits >> 64, bits & 0xFFFFFFFFFFFFFFFF
    return table


# As memoryviews, whose elements are Python integers where this file runs uncompiled.
_POWERS: Final = memoryview(_powers())  # type: ignore[arg-type]
_PAIRS: Final = memoryview(b"".join(b"%02d" % i for i in range(100)))
_HEX: Final = memoryview(b"0123456789abcdef")
_WORDS: Final = memoryview(b"nulltruefalseNaNInf")


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _u64(x: cython.ulonglong) -> cython.ulonglong:
    """The lower 64 bits."""
    if cython.compiled:
        return x
    else:
        return x & _MASK


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _low(x: cython.ulonglong) -> cython.ulonglong:
    """The lower 32 bits."""
    if cython.compiled:
        return cython.cast(cython.uint, x)
    else:
        return x & 0xFFFFFFFF


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _high_product(a: cython.ulonglong, b: cython.ulonglong) -> cython.ulonglong:
    """The upper 64 of the 128 bits of a x b."""
    a0: cython.ulonglong = _low(a)
    a1: cython.ulonglong = a >> 32
    b0: cython.ulonglong = _low(b)
    b1: cython.ulonglong = b >> 32
    middle: cython.ulonglong = a0 * b1 + (a0 * b0 >> 32)
    other: cython.ulonglong = a1 * b0 + _low(middle)
    return a1 * b1 + (middle >> 32) + (other >> 32)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _length(value: cython.ulonglong) -> cython.Py_ssize_t:
    """How many decimal digits `value` has. (A literal above 32 bits would be a Python object.)"""
    more: cython.Py_ssize_t = 0
    while value >= 1000000000:
        value //= 1000000000
        more += 9
    if value < 10000:
        if value < 100:
            return more + (1 if value < 10 else 2)
        return more + (3 if value < 1000 else 4)
    if value < 1000000:
        return more + (5 if value < 100000 else 6)
    if value < 100000000:
        return more + (7 if value < 10000000 else 8)
    return more + 9


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _digits(
    out: cython.uchar[::1],
    at: cython.Py_ssize_t,
    value: cython.ulonglong,
    length: cython.Py_ssize_t,
    pairs: cython.const[cython.uchar][::1],
) -> cython.Py_ssize_t:
    """Write the last `length` decimal digits of `value`."""
    pos: cython.Py_ssize_t = at + length
    pair: cython.Py_ssize_t
    small: cython.uint
    rest: cython.ulonglong
    while value >= 100000000:
        rest = value // 100000000
        small = value - rest * 100000000
        value = rest
        for _ in range(4):
            pair = 2 * (small % 100)
            small //= 100
            pos -= 2
            out[pos] = pairs[pair]
            out[pos + 1] = pairs[pair + 1]
    small = value
    while pos - at >= 2:
        pair = 2 * (small % 100)
        small //= 100
        pos -= 2
        out[pos] = pairs[pair]
        out[pos + 1] = pairs[pair + 1]
    if pos > at:
        out[at] = 48 + small % 10
    return at + length


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _integer(
    out: cython.uchar[::1],
    at: cython.Py_ssize_t,
    bits: cython.ulonglong,
    signed: cython.bint,
    pairs: cython.const[cython.uchar][::1],
) -> cython.Py_ssize_t:
    """Write 64 `bits` as an integer."""
    if signed and bits >> 63:
        out[at] = 45
        at += 1
        bits = _u64(0 - bits)
    return _digits(out, at, bits, _length(bits), pairs)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _float(
    out: cython.uchar[::1],
    at: cython.Py_ssize_t,
    bits: cython.ulonglong,
    powers: cython.const[cython.ulonglong][:, ::1],
    pairs: cython.const[cython.uchar][::1],
) -> cython.Py_ssize_t:
    """Write the finite float64 with these `bits`."""
    one: cython.ulonglong = 1
    fraction: cython.ulonglong = bits & ((one << 52) - 1)
    biased: cython.int = (bits >> 52) & 0x7FF
    significand: cython.ulonglong = fraction
    q: cython.int = -1074
    k: cython.int
    h: cython.int
    row: cython.Py_ssize_t
    closer: cython.bint = False
    odd: cython.ulonglong
    high: cython.ulonglong
    low: cython.ulonglong
    lower: cython.ulonglong
    middle: cython.ulonglong
    upper: cython.ulonglong
    digits: cython.ulonglong
    tenth: cython.ulonglong
    scaled: cython.ulonglong
    p0: cython.ulonglong
    p1: cython.ulonglong
    p2: cython.ulonglong
    d0: cython.ulonglong
    d1: cython.ulonglong
    d2: cython.ulonglong
    total: cython.ulonglong
    carry: cython.ulonglong
    below: cython.bint
    above: cython.ulonglong
    length: cython.Py_ssize_t
    point: cython.Py_ssize_t
    i: cython.Py_ssize_t
    if bits >> 63:
        out[at] = 45
        at += 1
    if biased != 0:
        significand = fraction | (one << 52)
        q = biased - 1075
        closer = fraction == 0 and biased > 1
    elif fraction == 0:
        out[at] = 48
        return at + 1
    if -52 <= q <= 0 and (significand & ((one << -q) - 1)) == 0:
        significand >>= -q
        return _digits(out, at, significand, _length(significand), pairs)

    odd = significand & 1
    k = (q * 1262611 - 524031) >> 22 if closer else (q * 1262611) >> 22
    h = q + (-k * 1741647 >> 19) + 1
    row = -k + 292
    high = powers[row, 0]
    low = powers[row, 1]
    # The product of the power (128 bits) and the number makes three words; those of the interval's ends lie the
    # power, shifted, above and below it. Each end then is its upper word, odd where anything is cut off.
    scaled = (4 * significand) << h
    p0 = _u64(low * scaled)
    p1 = _u64(high * scaled)
    carry = _high_product(low, scaled)
    p1 = _u64(p1 + carry)
    p2 = _high_product(high, scaled) + (p1 < carry)
    middle = p2 | (p1 > 1)
    h += 1
    d0 = _u64(low << h)
    d1 = _u64(high << h) | (low >> (64 - h))
    d2 = high >> (64 - h)
    carry = _u64(p0 + d0) < d0
    total = _u64(p1 + d1)
    above = total < d1
    total = _u64(total + carry)
    above += total < carry
    upper = ((p2 + d2 + above) | (total > 1)) - odd
    if closer:
        h -= 1
        d0 = _u64(low << h)
        d1 = _u64(high << h) | (low >> (64 - h))
        d2 = high >> (64 - h)
    carry = p0 < d0
    total = _u64(p1 - d1)
    above = p1 < d1
    above += total < carry
    total = _u64(total - carry)
    lower = ((p2 - d2 - above) | (total > 1)) + odd
    digits = middle >> 2
    tenth = digits // 10
    below = digits >= 10 and lower <= 40 * tenth
    above = digits >= 10 and 40 * tenth + 40 <= upper
    if below != above:
        digits = tenth + above
        k += 1
    else:
        below = lower <= 4 * digits
        above = 4 * digits + 4 <= upper
        if below != above:
            digits += above
        elif middle > 4 * digits + 2 or (middle == 4 * digits + 2 and digits & 1):
            digits += 1
    if digits % 100000000 == 0:
        digits //= 100000000
        k += 8
    while digits % 10 == 0:
        digits //= 10
        k += 1

    length = _length(digits)
    point = length + k
    if -5 <= point <= 21:
        if point <= 0:
            out[at] = 48
            out[at + 1] = 46
            at += 2
            for i in range(-point):
                out[at + i] = 48
            return _digits(out, at - point, digits, length, pairs)
        if k >= 0:
            at = _digits(out, at, digits, length, pairs)
            for i in range(k):
                out[at + i] = 48
            return at + k
        _digits(out, at + 1, digits, length, pairs)
        for i in range(point):
            out[at + i] = out[at + i + 1]
        out[at + point] = 46
        return at + length + 1
    _digits(out, at + 1, digits, length, pairs)
    out[at] = out[at + 1]
    if length > 1:
        out[at + 1] = 46
        at += length + 1
    else:
        at += 1
    out[at] = 101
    out[at + 1] = 43 if point > 0 else 45
    digits = point - 1 if point > 0 else 1 - point
    return _digits(out, at + 2, digits, _length(digits), pairs)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _time(
    out: cython.uchar[::1],
    at: cython.Py_ssize_t,
    bits: cython.ulonglong,
    east: cython.longlong,
    zoned: cython.bint,
    pairs: cython.const[cython.uchar][::1],
) -> cython.Py_ssize_t:
    """Write int64 `bits` of ns since the epoch as Go's RFC3339Nano: up to nine decimals, trailing zeros cut.

    The calendar is that of H. Hinnant's "chrono-Compatible Low-Level Date Algorithms": years begin in March, so that a
    leap day is the last one of its year.
    """
    second: cython.ulonglong
    fraction: cython.ulonglong
    # Seconds count from so long before the epoch that they are positive: a literal above 32 bits would be an object.
    before: cython.ulonglong = 240000
    before *= 86400
    day: cython.ulonglong
    era: cython.ulonglong
    year: cython.ulonglong
    month: cython.ulonglong
    length: cython.Py_ssize_t = 9
    ahead: cython.longlong
    if bits >> 63:
        bits = _u64(0 - bits)
        second = bits // 1000000000
        fraction = bits - second * 1000000000
        second = before - second
        if fraction:
            second -= 1
            fraction = 1000000000 - fraction
    else:
        second = bits // 1000000000
        fraction = bits - second * 1000000000
        second += before
    second += east
    day = second // 86400
    second -= day * 86400
    # 479,468 days from 1 March of the year 0 to where the seconds began.
    day += 479468
    era = day // 146097
    day -= era * 146097
    year = (day - day // 1460 + day // 36524 - day // 146096) // 365
    day -= 365 * year + year // 4 - year // 100
    year += 400 * era
    month = (5 * day + 2) // 153
    day -= (153 * month + 2) // 5
    if month >= 10:
        year += 1
        month -= 12
    at = _digits(out, at, year, 4, pairs)
    out[at] = 45
    at = _digits(out, at + 1, month + 3, 2, pairs)
    out[at] = 45
    at = _digits(out, at + 1, day + 1, 2, pairs)
    out[at] = 84
    at = _digits(out, at + 1, second // 3600, 2, pairs)
    out[at] = 58
    at = _digits(out, at + 1, second // 60 % 60, 2, pairs)
    out[at] = 58
    at = _digits(out, at + 1, second % 60, 2, pairs)
    if fraction:
        while fraction % 10 == 0:
            fraction //= 10
            length -= 1
        out[at] = 46
        at = _digits(out, at + 1, fraction, length, pairs)
    if not zoned or east == 0:
        out[at] = 90
        return at + 1
    out[at] = 45 if east < 0 else 43
    ahead = (-east if east < 0 else east) // 60
    at = _digits(out, at + 1, ahead // 60, 2, pairs)
    out[at] = 58
    return _digits(out, at + 1, ahead % 60, 2, pairs)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _json_text(
    out: cython.uchar[::1],
    at: cython.Py_ssize_t,
    data: cython.const[cython.uchar][::1],
    start: cython.Py_ssize_t,
    stop: cython.Py_ssize_t,
    digits: cython.const[cython.uchar][::1],
) -> cython.Py_ssize_t:
    """Write UTF-8 text as a JSON string, quotes included."""
    i: cython.Py_ssize_t
    byte: cython.uchar
    short: cython.uchar
    out[at] = 34
    at += 1
    for i in range(start, stop):
        byte = data[i]
        if byte >= 32 and byte not in (34, 92, 60, 62, 38):
            # U+2028 and U+2029 are E2 80 A8 and E2 80 A9; Go escapes them because JavaScript ends lines there.
            if byte in (0xA8, 0xA9) and i - start >= 2 and data[i - 1] == 0x80 and data[i - 2] == 0xE2:
                out[at - 2] = 92
                out[at - 1] = 117
                out[at] = 50
                out[at + 1] = 48
                out[at + 2] = 50
                out[at + 3] = 56 + (byte - 0xA8)
                at += 4
                continue
            out[at] = byte
            at += 1
            continue
        out[at] = 92
        short = 0
        if byte in (34, 92):
            short = byte
        elif byte == 10:
            short = 110
        elif byte == 13:
            short = 114
        elif byte == 9:
            short = 116
        if short:
            out[at + 1] = short
            at += 2
            continue
        out[at + 1] = 117
        out[at + 2] = 48
        out[at + 3] = 48
        out[at + 4] = digits[byte >> 4]
        out[at + 5] = digits[byte & 15]
        at += 6
    out[at] = 34
    return at + 1


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _csv_text(
    out: cython.uchar[::1],
    at: cython.Py_ssize_t,
    data: cython.const[cython.uchar][::1],
    start: cython.Py_ssize_t,
    stop: cython.Py_ssize_t,
) -> cython.Py_ssize_t:
    """Write text as a CSV cell: quoted where it holds a quote, comma or line end, begins with white space, or is
    empty (an empty cell without quotes is a null)."""
    i: cython.Py_ssize_t
    byte: cython.uchar
    quoted: cython.bint = start == stop or data[start] == 32 or data[start] == 9
    for i in range(start, stop):
        byte = data[i]
        if byte in (34, 44, 10, 13):
            quoted = True
            break
    if quoted:
        out[at] = 34
        at += 1
    for i in range(start, stop):
        byte = data[i]
        out[at] = byte
        at += 1
        if byte == 34:
            out[at] = 34
            at += 1
    if quoted:
        out[at] = 34
        at += 1
    return at


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _copy(
    out: cython.uchar[::1],
    at: cython.Py_ssize_t,
    data: cython.const[cython.uchar][::1],
    start: cython.Py_ssize_t,
    stop: cython.Py_ssize_t,
) -> cython.Py_ssize_t:
    i: cython.Py_ssize_t
    for i in range(stop - start):
        out[at + i] = data[start + i]
    return at + stop - start


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _rows(
    out: cython.uchar[::1],
    ends: cython.longlong[::1],
    kinds: cython.const[cython.uchar][::1],
    bits: cython.const[cython.ulonglong][:, ::1],
    valid: cython.const[cython.uchar][:, ::1],
    offsets: cython.const[cython.longlong][:, ::1],
    texts: cython.const[cython.uchar][::1],
    fixed: cython.const[cython.uchar][::1],
    cuts: cython.const[cython.longlong][::1],
    csv: cython.bint,
    powers: cython.const[cython.ulonglong][:, ::1],
    pairs: cython.const[cython.uchar][::1],
    digits: cython.const[cython.uchar][::1],
    words: cython.const[cython.uchar][::1],
) -> cython.Py_ssize_t:
    """All rows; see `rows`. `fixed[cuts[c]:cuts[c + 1]]` stands before column c, the last part behind the row."""
    at: cython.Py_ssize_t = 0
    columns: cython.Py_ssize_t = kinds.shape[0]
    row: cython.Py_ssize_t
    column: cython.Py_ssize_t
    string: cython.Py_ssize_t
    kind: cython.uchar
    word: cython.ulonglong
    east: cython.longlong
    for row in range(ends.shape[0]):
        string = 0
        for column in range(columns):
            at = _copy(out, at, fixed, cuts[column], cuts[column + 1])
            kind = kinds[column]
            if not valid[column, row]:
                if not csv:
                    at = _copy(out, at, words, 0, 4)
            elif kind == 1:
                word = bits[column, row]
                if (word >> 52) & 0x7FF != 0x7FF:
                    at = _float(out, at, word, powers, pairs)
                elif not csv:
                    at = _copy(out, at, words, 0, 4)
                elif _u64(word << 12):
                    at = _copy(out, at, words, 13, 16)
                else:
                    out[at] = 45 if word >> 63 else 43
                    at = _copy(out, at + 1, words, 16, 19)
            elif kind in (2, 3):
                at = _integer(out, at, bits[column, row], kind == 2, pairs)
            elif kind >= 6:
                if not csv:
                    out[at] = 34
                    at += 1
                east = offsets[string, row] if kind == 7 else 0
                at = _time(out, at, bits[column, row], east, kind == 7, pairs)
                if not csv:
                    out[at] = 34
                    at += 1
            elif kind == 4:
                at = _copy(out, at, words, 4, 8) if bits[column, row] else _copy(out, at, words, 8, 13)
            elif csv:
                at = _csv_text(out, at, texts, offsets[string, row], offsets[string, row + 1])
            else:
                at = _json_text(out, at, texts, offsets[string, row], offsets[string, row + 1], digits)
            if kind in (5, 7):
                string += 1
        at = _copy(out, at, fixed, cuts[columns], cuts[columns + 1])
        ends[row] = at
    return at


def rows(
    columns: Sequence[Cells], before: Sequence[bytes], behind: bytes, csv: bool, start: int, stop: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """The rows ``start:stop`` of `columns` as text.

    A row is ``before[0]``, the first column's cell, ``before[1]``, the second's ..., then `behind`. In JSON (not
    `csv`) a cell without a value is ``null``, as is a float that is not finite, and strings are quoted; in CSV it is
    empty, and strings are quoted where they must be. Returns the text (uint8[bytes]) and where each row ends in it
    (int64[stop - start]). Raises ValueError where the arguments do not fit together.
    """
    count = stop - start
    width = len(columns)
    if len(before) != width or start < 0 or count < 0:
        raise ValueError("each column needs the text before it, and rows are counted from 0 upwards")
    kinds = np.empty(width, dtype=np.uint8)
    bits = np.empty((width, count), dtype=np.uint64)
    valid = np.ones((width, count), dtype=np.uint8)
    texts: list[npt.NDArray[np.uint8]] = []
    cuts: list[npt.NDArray[np.int64]] = []
    text_bytes = 0
    for index, (kind, values, validity, offsets) in enumerate(columns):
        kinds[index] = kind
        if validity is not None:
            valid[index] = validity[start:stop]
        if kind == STRING:
            ends = offsets[start : stop + 1]
            sound = len(ends) == count + 1 and ends[0] >= 0 and ends[count] <= len(values)
            if not sound or bool((ends[1:] < ends[:count]).any()):
                raise ValueError("the offsets of a string column are not ascending within its bytes")
            texts.append(values[ends[0] : ends[count]])
            cuts.append(ends - (ends[0] - text_bytes))
            text_bytes += int(ends[count] - ends[0])
        elif kind == BOOLEAN:
            bits[index] = values[start:stop]
        elif (FLOAT <= kind <= UNSIGNED or kind in (TIME, ZONED_TIME)) and values.dtype.itemsize == 8:
            bits[index] = values[start:stop].view(np.uint64)
            if kind == ZONED_TIME:
                cuts.append(offsets[start : stop + 1])
        else:
            raise ValueError(f"{kind} with {values.dtype} is no kind of column")
    fixed = np.frombuffer(b"".join((*before, behind, b"\0")), dtype=np.uint8)
    fixed_cuts = np.zeros(width + 2, dtype=np.int64)
    np.cumsum([len(text) for text in (*before, behind)], out=fixed_cuts[1:])
    # What is not touched of this upper bound never becomes memory.
    out = np.empty(
        count * (len(fixed) + _CELL_BYTES * width) + _ESCAPE_GROWTH * text_bytes + _CELL_BYTES, dtype=np.uint8
    )
    row_ends = np.empty(count, dtype=np.int64)
    size = _run(
        out,
        row_ends,
        kinds,
        bits,
        valid,
        np.stack(cuts) if cuts else _NO_OFFSETS,
        np.concatenate(texts) if texts else fixed,
        fixed,
        fixed_cuts,
        csv,
    )
    return out[:size], row_ends


_NO_OFFSETS: Final = np.zeros((1, 1), dtype=np.int64)


def _run(
    out: Any, ends: Any, kinds: Any, bits: Any, valid: Any, offsets: Any, texts: Any, fixed: Any, cuts: Any, csv: bool
) -> int:
    """Open the views, drop the lock, write the rows."""
    out_view: cython.uchar[::1] = memoryview(out)
    ends_view: cython.longlong[::1] = memoryview(ends)
    kinds_view: cython.const[cython.uchar][::1] = memoryview(kinds)
    bits_view: cython.const[cython.ulonglong][:, ::1] = memoryview(bits)
    valid_view: cython.const[cython.uchar][:, ::1] = memoryview(valid)
    offsets_view: cython.const[cython.longlong][:, ::1] = memoryview(offsets)
    texts_view: cython.const[cython.uchar][::1] = memoryview(texts)
    fixed_view: cython.const[cython.uchar][::1] = memoryview(fixed)
    cuts_view: cython.const[cython.longlong][::1] = memoryview(cuts)
    powers: cython.const[cython.ulonglong][:, ::1] = _POWERS
    pairs: cython.const[cython.uchar][::1] = _PAIRS
    digits: cython.const[cython.uchar][::1] = _HEX
    words: cython.const[cython.uchar][::1] = _WORDS
    as_csv: cython.bint = csv
    size: cython.Py_ssize_t
    with cython.nogil:
        size = _rows(
            out_view,
            ends_view,
            kinds_view,
            bits_view,
            valid_view,
            offsets_view,
            texts_view,
            fixed_view,
            cuts_view,
            as_csv,
            powers,
            pairs,
            digits,
            words,
        )
    return size


def json_string(text: bytes) -> bytes:
    """UTF-8 `text` as a JSON string, escaped as Go's encoding/json does (also ``<``, ``>``, ``&``, U+2028, U+2029)."""
    out = bytearray(_ESCAPE_GROWTH * len(text) + 2)
    out_view: cython.uchar[::1] = memoryview(out)
    text_view: cython.const[cython.uchar][::1] = memoryview(text)
    digits: cython.const[cython.uchar][::1] = _HEX
    return bytes(out[: _json_text(out_view, 0, text_view, 0, len(text), digits)])


def csv_cell(text: bytes) -> bytes:
    """`text` as a CSV cell, quoted where it must be."""
    out = bytearray(2 * len(text) + 2)
    out_view: cython.uchar[::1] = memoryview(out)
    text_view: cython.const[cython.uchar][::1] = memoryview(text)
    return bytes(out[: _csv_text(out_view, 0, text_view, 0, len(text))])
