# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# distutils: extra_compile_args = -O3
"""Line protocol into typed columns: one pass over the bytes, without the GIL.

How it goes fast: a client repeats itself. The series of a line is guessed to be the one that
followed the previous line's series last time, and each field to be the one that the series' last line
had there. A guess is one comparison of bytes; a right one needs no scanning, no hash and no table. Only a
wrong guess is tokenised, and only a distinct series is unescaped, sorted and made canonical.

Values go onto a *tape* of 8-byte cells, row after row. A *layout* is the sequence of columns of a
row. When all bytes are read, each measurement's columns are filled from the tape. No table grows
while bytes are read: the number of bytes bounds every count, memory for the worst case is reserved
(and not touched), so every index is in range by that construction (`Scanner.__init__` has the sums).

Where the grammar leaves something open, InfluxDB 1.6.7 was asked. A line ends at a newline that is
not inside a string and does not follow a backslash; a delimiter after a backslash is escaped; a
comment ends at its newline.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

try:
    import cython
except ImportError:
    from rusts.kernels import standin as cython

if cython.compiled:
    from cython.cimports.libc.string import memcmp, memcpy

__all__ = ["FAULTS_PER_BODY", "Scanner", "cut_points", "parse"]

SOURCE_DIGEST = "2d59507790b5a4bd"

FAULTS_PER_BODY = 100
"""So many bad lines of a body are described; the others are counted."""

FAULT_LIMIT = cython.declare(cython.Py_ssize_t, FAULTS_PER_BODY)
INFINITY = cython.declare(cython.double, float("inf"))

MASK_32 = cython.declare(cython.ulonglong, 0xFFFFFFFF)
MASK_64 = cython.declare(cython.ulonglong, 0xFFFFFFFFFFFFFFFF)
ODD = cython.declare(cython.ulonglong, 0x9E3779B97F4A7C15)

# Field types: the numbers of rusts.model.types.FieldType.
FLOAT = cython.declare(cython.int, 1)
INTEGER = cython.declare(cython.int, 2)
UNSIGNED = cython.declare(cython.int, 3)
BOOLEAN = cython.declare(cython.int, 4)
STRING = cython.declare(cython.int, 5)

KEY_LIMIT = cython.declare(cython.Py_ssize_t, 65535)
MAX_TIME = cython.declare(cython.ulonglong, 9223372036854775806)

# Faults: `rusts.lineprotocol.parser` has their texts.
MISSING_MEASUREMENT = cython.declare(cython.int, 1)
MISSING_TAG_KEY = cython.declare(cython.int, 2)
MISSING_TAG_VALUE = cython.declare(cython.int, 3)
INVALID_TAG_FORMAT = cython.declare(cython.int, 4)
DUPLICATE_TAGS = cython.declare(cython.int, 5)
MISSING_FIELDS = cython.declare(cython.int, 6)
MISSING_FIELD_KEY = cython.declare(cython.int, 7)
MISSING_FIELD_VALUE = cython.declare(cython.int, 8)
INVALID_FIELD_FORMAT = cython.declare(cython.int, 9)
INVALID_NUMBER = cython.declare(cython.int, 10)
INVALID_FLOAT = cython.declare(cython.int, 11)
INVALID_BOOLEAN = cython.declare(cython.int, 12)
UNBALANCED_QUOTES = cython.declare(cython.int, 13)
BAD_TIMESTAMP = cython.declare(cython.int, 14)
POINT_IS_INVALID = cython.declare(cython.int, 15)
KEY_TOO_LONG = cython.declare(cython.int, 16)
TIME_OUTSIDE_RANGE = cython.declare(cython.int, 17)
TIME_OVERFLOW = cython.declare(cython.int, 18)
INTEGER_OVERFLOW = cython.declare(cython.int, 19)
UNSIGNED_OVERFLOW = cython.declare(cython.int, 20)
INVALID_UTF8 = cython.declare(cython.int, 21)

# Bytes with a meaning.
NUL = cython.declare(cython.uchar, 0x00)
TAB = cython.declare(cython.uchar, 0x09)
LF = cython.declare(cython.uchar, 0x0A)
CR = cython.declare(cython.uchar, 0x0D)
SPACE = cython.declare(cython.uchar, 0x20)
QUOTE = cython.declare(cython.uchar, 0x22)
HASH = cython.declare(cython.uchar, 0x23)
PLUS = cython.declare(cython.uchar, 0x2B)
COMMA = cython.declare(cython.uchar, 0x2C)
MINUS = cython.declare(cython.uchar, 0x2D)
DOT = cython.declare(cython.uchar, 0x2E)
EQUALS = cython.declare(cython.uchar, 0x3D)
BACKSLASH = cython.declare(cython.uchar, 0x5C)

_POWERS = cython.declare(cython.double[::1], memoryview(np.array([float(f"1e{e}") for e in range(23)])))

# Numbers beyond 31 bits: as literals Cython would make Python objects of them.
HIGH_BITS = cython.declare(cython.ulonglong, 0x8080808080808080)
EACH_BYTE = cython.declare(cython.ulonglong, 0x0101010101010101)
QUOTES = cython.declare(cython.ulonglong, 0x2222222222222222)
BACKSLASHES = cython.declare(cython.ulonglong, 0x5C5C5C5C5C5C5C5C)
LARGEST_INTEGER = cython.declare(cython.ulonglong, 0x7FFFFFFFFFFFFFFF)
TOP_BIT = cython.declare(cython.ulonglong, 0x8000000000000000)
BYTE_7 = cython.declare(cython.ulonglong, 0x0100000000000000)
BIT_53 = cython.declare(cython.ulonglong, 0x20000000000000)
BIT_52 = cython.declare(cython.ulonglong, 0x10000000000000)
FRACTION = cython.declare(cython.ulonglong, 0xFFFFFFFFFFFFF)
AUTO_MICROSECONDS = cython.declare(cython.ulonglong, 5000000000000000)
AUTO_MILLISECONDS = cython.declare(cython.ulonglong, 5000000000000)
AUTO_SECONDS = cython.declare(cython.ulonglong, 5000000000)
SECOND = cython.declare(cython.longlong, 1000000000)
# The spellings of booleans, first byte highest, behind a 1 that tells the length.
SMALL_TRUE = cython.declare(cython.ulonglong, 0x174727565)
TITLE_TRUE = cython.declare(cython.ulonglong, 0x154727565)
LARGE_TRUE = cython.declare(cython.ulonglong, 0x154525545)
SMALL_FALSE = cython.declare(cython.ulonglong, 0x166616C7365)
TITLE_FALSE = cython.declare(cython.ulonglong, 0x146616C7365)
LARGE_FALSE = cython.declare(cython.ulonglong, 0x146414C5345)

_SECRET = cython.declare(cython.ulonglong[::1], memoryview(np.frombuffer(os.urandom(8 * 8192), dtype=np.uint64).copy()))


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _word(view: cython.const[cython.uchar][::1], at: cython.Py_ssize_t) -> cython.ulonglong:
    """The 8 bytes at `at`, little-endian."""
    if cython.compiled:
        word = cython.declare(cython.ulonglong, 0)
        memcpy(cython.address(word), cython.address(view[at]), 8)
        return word
    return int.from_bytes(view[at : at + 8], "little")


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _same(
    a: cython.const[cython.uchar][::1],
    at: cython.Py_ssize_t,
    b: cython.const[cython.uchar][::1],
    bt: cython.Py_ssize_t,
    n: cython.Py_ssize_t,
) -> cython.bint:
    """Whether the `n` bytes (at least one) at `at` of `a` are those at `bt` of `b`."""
    if cython.compiled:
        return memcmp(cython.address(a[at]), cython.address(b[bt]), n) == 0
    return a[at : at + n] == b[bt : bt + n]


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _copy(
    to: cython.uchar[::1],
    at: cython.Py_ssize_t,
    source: cython.const[cython.uchar][::1],
    start: cython.Py_ssize_t,
    n: cython.Py_ssize_t,
) -> cython.void:
    """Copy `n` bytes of `source` from `start` to `at` of `to`; they do not overlap."""
    if n > 0:
        if cython.compiled:
            memcpy(cython.address(to[at]), cython.address(source[start]), n)
        else:
            to[at : at + n] = source[start : start + n]


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _hash(view: cython.const[cython.uchar][::1], start: cython.Py_ssize_t, n: cython.Py_ssize_t) -> cython.ulonglong:
    """A keyed hash of `n` bytes: NH of UMAC (Black et al. 1999), so that nobody can aim at collisions."""
    total: cython.ulonglong = n
    word: cython.ulonglong
    key: cython.ulonglong
    i: cython.Py_ssize_t = 0
    k: cython.Py_ssize_t = 0
    shift: cython.int
    while i + 8 <= n:
        word = _word(view, start + i)
        key = _SECRET[k & 8191]
        total = (total + ((word + key) & MASK_32) * (((word >> 32) + (key >> 32)) & MASK_32)) & MASK_64
        i += 8
        k += 1
    word = 0
    shift = 0
    while i < n:
        word |= cython.cast(cython.ulonglong, view[start + i]) << shift
        shift += 8
        i += 1
    key = _SECRET[k & 8191]
    total = (total + ((word + key) & MASK_32) * (((word >> 32) + (key >> 32)) & MASK_32)) & MASK_64
    return _mix(total)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _mix(x: cython.ulonglong) -> cython.ulonglong:
    """Bring the high bits down, where a table looks."""
    x = ((x ^ (x >> 32)) * ODD) & MASK_64
    return x ^ (x >> 29)


def _powers_of_five() -> npt.NDArray[np.uint64]:
    """The top 128 bits of 5**q for q in -342..308, as (high, low) pairs.

    Down to -27 reciprocals are rounded up, so that an exact half shows as such in a product (Lemire, section 5).
    """
    words = np.empty(2 * 651, dtype=np.uint64)
    for q in range(-342, 309):
        power = 5 ** abs(q)
        bits = power.bit_length()
        if q < -27:
            wide = (1 << (2 * bits + 128)) // power + 1
            wide >>= wide.bit_length() - 128
        elif q < 0:
            wide = (1 << (bits + 127)) // power + 1
        else:
            wide = power << (128 - bits) if bits <= 128 else power >> (bits - 128)
        words[2 * (q + 342)] = wide >> 64
        words[2 * (q + 342) + 1] = wide & 0xFFFFFFFFFFFFFFFF
    return words


_FIVES = cython.declare(cython.ulonglong[::1], memoryview(_powers_of_five()))


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _high_word(a: cython.ulonglong, b: cython.ulonglong) -> cython.ulonglong:
    """The upper 64 bits of the product."""
    low: cython.ulonglong = a & MASK_32
    high: cython.ulonglong = a >> 32
    cross: cython.ulonglong = high * (b & MASK_32) + ((low * (b & MASK_32)) >> 32)
    other: cython.ulonglong = low * (b >> 32) + (cross & MASK_32)
    return high * (b >> 32) + (cross >> 32) + (other >> 32)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _float_bits(mantissa: cython.ulonglong, exponent: cython.Py_ssize_t) -> cython.ulonglong:
    """The bits of the double nearest to mantissa * 10**exponent, mantissa > 0; 0 where that is undecided.

    Lemire, "Number Parsing at a Gigabyte per Second" (2021), section 5; subnormal and infinite
    results, and the products that 128 bits leave in doubt, are left to the caller.
    """
    zeros: cython.int = 0
    high: cython.ulonglong
    low: cython.ulonglong
    extra: cython.ulonglong
    bits: cython.ulonglong
    top: cython.int
    power: cython.longlong
    at: cython.Py_ssize_t = 2 * (exponent + 342)
    if exponent < -342 or exponent > 308:
        return 0
    while mantissa < BYTE_7:
        mantissa <<= 8
        zeros += 8
    while mantissa < TOP_BIT:
        mantissa <<= 1
        zeros += 1
    high = _high_word(mantissa, _FIVES[at])
    low = (mantissa * _FIVES[at]) & MASK_64
    if (high & 0x1FF) == 0x1FF:
        extra = _high_word(mantissa, _FIVES[at + 1])
        low = (low + extra) & MASK_64
        if low < extra:
            high += 1
        if low == MASK_64 and (exponent < -27 or exponent > 55):
            return 0
    top = high >> 63
    bits = high >> (top + 9)
    power = ((217706 * exponent) >> 16) + 1086 - zeros + top
    if power <= 0:
        return 0
    if low <= 1 and -4 <= exponent <= 23 and (bits & 3) == 1 and ((bits << (top + 9)) & MASK_64) == high:
        bits -= 1
    bits = (bits + (bits & 1)) >> 1
    if bits >= BIT_53:
        bits = BIT_52
        power += 1
    if power >= 0x7FF:
        return 0
    return (bits & FRACTION) | (cython.cast(cython.ulonglong, power) << 52)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _invalid_utf8(
    view: cython.const[cython.uchar][::1], start: cython.Py_ssize_t, end: cython.Py_ssize_t
) -> cython.Py_ssize_t:
    """Where the first ill-formed sequence (Unicode 15, table 3-7) of ``[start, end)`` begins; -1 for none."""
    i: cython.Py_ssize_t = start
    more: cython.Py_ssize_t
    k: cython.Py_ssize_t
    c: cython.int
    low: cython.int
    high: cython.int
    while i < end:
        while i + 8 <= end and (_word(view, i) & HIGH_BITS) == 0:
            i += 8
        if i >= end:
            break
        c = view[i]
        if c < 0x80:
            i += 1
            continue
        low = 0x80
        high = 0xBF
        if 0xC2 <= c <= 0xDF:
            more = 1
        elif 0xE0 <= c <= 0xEF:
            more = 2
            if c == 0xE0:
                low = 0xA0
            elif c == 0xED:
                high = 0x9F
        elif 0xF0 <= c <= 0xF4:
            more = 3
            if c == 0xF0:
                low = 0x90
            elif c == 0xF4:
                high = 0x8F
        else:
            return i
        if i + more >= end or not low <= view[i + 1] <= high:
            return i
        for k in range(2, more + 1):
            if not 0x80 <= view[i + k] <= 0xBF:
                return i
        i += more + 1
    return -1


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _line_end(
    view: cython.const[cython.uchar][::1], start: cython.Py_ssize_t, end: cython.Py_ssize_t
) -> cython.Py_ssize_t:
    """Where the line that begins at `start` ends: at its newline, or at `end`.

    A newline does not count after a backslash, nor inside a string. A string begins at a quote
    behind the first unescaped space when more ``=`` than ``,`` have come since (InfluxDB's rule).
    """
    pos: cython.Py_ssize_t = start
    c: cython.uchar
    before: cython.uchar = LF
    fields: cython.bint = False
    quoted: cython.bint = False
    open_values: cython.Py_ssize_t = 0
    while pos < end and view[pos] in (SPACE, TAB, NUL):
        pos += 1
    if pos < end and view[pos] == HASH:
        while pos < end and view[pos] != LF:
            pos += 1
        return pos
    while pos < end:
        c = view[pos]
        if quoted:
            if c == BACKSLASH:
                pos += 1
            elif c == QUOTE:
                quoted = False
        elif before != BACKSLASH:
            if c == LF:
                return pos
            if c == SPACE:
                fields = True
            elif fields:
                if c == EQUALS:
                    open_values += 1
                elif c == COMMA:
                    open_values -= 1
                elif c == QUOTE and open_values > 0:
                    quoted = True
        before = c
        pos += 1
    return end


def cut_points(buffer: bytes | bytearray | memoryview, target: int) -> list[int]:
    """Ends of slices of `buffer`, each of at most `target` bytes where lines allow, all at line ends.

    A slice ends behind a newline (the last one at the end of `buffer`); a line longer than `target`
    is a slice of its own.
    """
    view: cython.const[cython.uchar][::1] = memoryview(buffer)
    end: cython.Py_ssize_t = view.shape[0]
    limit: cython.Py_ssize_t = target
    start: cython.Py_ssize_t = 0
    pos: cython.Py_ssize_t = 0
    after: cython.Py_ssize_t
    points = []
    while pos < end:
        if end - start <= limit:
            break
        after = _line_end(view, pos, end) + 1
        if after - start > limit and pos > start:
            points.append(pos)
            start = pos
        pos = after
    if start < end:
        points.append(end)
    return points


def _numbers(n: int) -> Any:
    return memoryview(np.empty(n, dtype=np.int64))


@cython.final
@cython.cclass
class Table:
    """Entries numbered from 0 in the order of their coming, found by hash (linear probing, at most half full)."""

    slots: cython.int[::1]
    hashes: cython.ulonglong[::1]
    mask: cython.Py_ssize_t
    count: cython.Py_ssize_t

    def __init__(self, entries: int) -> None:
        size = 64
        while size < 2 * (entries + 1):
            size *= 2
        self.slots = memoryview(np.empty(size, dtype=np.int32))
        self.hashes = memoryview(np.empty(entries + 1, dtype=np.uint64))
        self._clear(64)
        self.count = 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _clear(self, size: cython.Py_ssize_t) -> cython.void:
        i: cython.Py_ssize_t
        self.mask = size - 1
        for i in range(size):
            self.slots[i] = -1

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def reset(self) -> cython.void:
        """Forget every entry."""
        if self.count > 0:
            self._clear(64)
            self.count = 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def add(self, hash: cython.ulonglong) -> cython.Py_ssize_t:
        """The number of a new entry with `hash`."""
        entry: cython.Py_ssize_t
        if 2 * (self.count + 1) > self.mask:
            self._clear(2 * (self.mask + 1))
            for entry in range(self.count):
                self._place(entry)
        self.hashes[self.count] = hash
        self._place(self.count)
        self.count += 1
        return self.count - 1

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _place(self, entry: cython.Py_ssize_t) -> cython.void:
        at: cython.Py_ssize_t = self.hashes[entry] & self.mask
        while self.slots[at] >= 0:
            at = (at + 1) & self.mask
        self.slots[at] = entry


@cython.final
@cython.cclass
class Scanner:
    """The memory that reading up to `capacity` bytes may need, used again from call to call.

    Bounds, for n bytes: a key is followed by a space (n/2 series and measurements), a field is at least
    ``,a=1`` (n/4 cells and columns) and so is a tag, a row at least ``m a=1`` where bodies meet (n/5 rows
    and layouts), a string at least ``,a=""`` (n/5), and a canonical key at most 2.5 times its text.
    """

    buf: cython.const[cython.uchar][::1]
    capacity: cython.Py_ssize_t
    # Of the body being read.
    unit: cython.longlong
    now: cython.longlong
    # Of the line being read: what is wrong with it, or what was found.
    fault: cython.int
    fault_at: cython.Py_ssize_t
    fault_detail: cython.Py_ssize_t
    at: cython.Py_ssize_t
    kind: cython.int
    high: cython.bint
    truth: cython.bint
    time: cython.longlong
    # The tape, by the three types that a cell may have.
    cells: cython.Py_ssize_t
    tape: cython.longlong[::1]
    tape_unsigned: cython.ulonglong[::1]
    tape_float: cython.double[::1]
    # Rows: series (number in its batch), time, offset of the line, layout, first cell.
    rows: cython.Py_ssize_t
    row_series: cython.uint[::1]
    row_time: cython.longlong[::1]
    row_start: cython.longlong[::1]
    row_layout: cython.longlong[::1]
    row_cell: cython.longlong[::1]
    # Strings: their bytes in the buffer, and how many remain when unescaped.
    strings: cython.Py_ssize_t
    string_start: cython.longlong[::1]
    string_bytes: cython.longlong[::1]
    string_size: cython.longlong[::1]
    # Series as sent: text in the buffer, canonical series, layout of its last row, which series came next.
    series: Table
    series_start: cython.longlong[::1]
    series_bytes: cython.longlong[::1]
    series_key: cython.longlong[::1]
    series_layout: cython.longlong[::1]
    series_next: cython.longlong[::1]
    last_series: cython.Py_ssize_t
    # Canonical keys, one after another in `key_text`; number in its batch or -1.
    keys: Table
    key_text: cython.uchar[::1]
    key_top: cython.Py_ssize_t
    key_start: cython.longlong[::1]
    key_bytes: cython.longlong[::1]
    key_measurement: cython.longlong[::1]
    key_number: cython.longlong[::1]
    # The tags of the key being made canonical.
    tag_at: cython.longlong[::1]
    tag_start: cython.longlong[::1]
    tag_order: cython.longlong[::1]
    tag_text: cython.uchar[::1]
    # Names, unescaped, of measurements and fields.
    names: cython.uchar[::1]
    name_top: cython.Py_ssize_t
    # Measurements.
    measurements: Table
    measurement_name: cython.longlong[::1]
    measurement_bytes: cython.longlong[::1]
    measurement_layout: cython.longlong[::1]
    measurement_rows: cython.longlong[::1]
    measurement_series: cython.longlong[::1]
    measurement_first: cython.longlong[::1]
    measurement_last: cython.longlong[::1]
    measurement_fill: cython.longlong[::1]
    measurement_times: cython.longlong[::1]
    measurement_starts: cython.longlong[::1]
    measurement_keys: cython.longlong[::1]
    measurement_text: cython.longlong[::1]
    measurement_base: cython.longlong[::1]
    measurement_order: cython.longlong[::1]
    measurement_count: cython.Py_ssize_t
    # Columns: text with its "=" as first sent, and where the values go.
    columns: Table
    column_start: cython.longlong[::1]
    column_bytes: cython.longlong[::1]
    column_type: cython.longlong[::1]
    column_measurement: cython.longlong[::1]
    column_name: cython.longlong[::1]
    column_name_bytes: cython.longlong[::1]
    column_after: cython.longlong[::1]
    column_rows: cython.longlong[::1]
    column_mark: cython.longlong[::1]
    column_next: cython.longlong[::1]
    column_values: cython.longlong[::1]
    column_offsets: cython.longlong[::1]
    column_valid: cython.longlong[::1]
    # Layouts.
    layouts: Table
    layout_start: cython.longlong[::1]
    layout_cells: cython.longlong[::1]
    layout_rows: cython.longlong[::1]
    layout_measurement: cython.longlong[::1]
    layout_columns: cython.longlong[::1]
    layout_target: cython.longlong[::1]
    layout_plain: cython.longlong[::1]
    layout_top: cython.Py_ssize_t
    row_columns: cython.longlong[::1]
    # Bad lines: start, end, where, what.
    faults: cython.Py_ssize_t
    fault_lines: cython.longlong[::1]
    # Sizes of what `_plan` lays out.
    kept_size: cython.Py_ssize_t
    passing_size: cython.Py_ssize_t
    small_size: cython.Py_ssize_t
    text_size: cython.Py_ssize_t
    string_rows: cython.Py_ssize_t
    sparse: cython.bint

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.buf = memoryview(b"")
        cells = capacity // 4 + 1
        rows = capacity // 5 + 1
        series = capacity // 2 + 1
        tape = np.empty(cells, dtype=np.int64)
        self.tape = memoryview(tape)
        self.tape_unsigned = memoryview(tape.view(np.uint64))
        self.tape_float = memoryview(tape.view(np.float64))
        self.row_series = memoryview(np.empty(rows, dtype=np.uint32))
        self.row_time = _numbers(rows)
        self.row_start = _numbers(rows)
        self.row_layout = _numbers(rows)
        self.row_cell = _numbers(rows)
        self.string_start = _numbers(rows)
        self.string_bytes = _numbers(rows)
        self.string_size = _numbers(rows)
        self.series = Table(series)
        self.series_start = _numbers(series)
        self.series_bytes = _numbers(series)
        self.series_key = _numbers(series)
        self.series_layout = _numbers(series)
        self.series_next = _numbers(series)
        self.keys = Table(series)
        self.key_text = memoryview(np.empty(3 * capacity + 64, dtype=np.uint8))
        self.key_start = _numbers(series)
        self.key_bytes = _numbers(series)
        self.key_measurement = _numbers(series)
        self.key_number = _numbers(series)
        self.tag_at = _numbers(cells + 1)
        self.tag_start = _numbers(cells)
        self.tag_order = _numbers(cells)
        self.tag_text = memoryview(np.empty(3 * capacity + 64, dtype=np.uint8))
        self.names = memoryview(np.empty(capacity + 64, dtype=np.uint8))
        self.measurements = Table(series)
        self.measurement_name = _numbers(series)
        self.measurement_bytes = _numbers(series)
        self.measurement_layout = _numbers(series)
        self.measurement_rows = _numbers(series)
        self.measurement_series = _numbers(series)
        self.measurement_first = _numbers(series)
        self.measurement_last = _numbers(series)
        self.measurement_fill = _numbers(series)
        self.measurement_times = _numbers(series)
        self.measurement_starts = _numbers(series)
        self.measurement_keys = _numbers(series)
        self.measurement_text = _numbers(series)
        self.measurement_base = _numbers(series)
        self.measurement_order = _numbers(series)
        self.columns = Table(cells)
        self.column_start = _numbers(cells)
        self.column_bytes = _numbers(cells)
        self.column_type = _numbers(cells)
        self.column_measurement = _numbers(cells)
        self.column_name = _numbers(cells)
        self.column_name_bytes = _numbers(cells)
        self.column_after = _numbers(cells)
        self.column_rows = _numbers(cells)
        self.column_mark = _numbers(cells)
        self.column_next = _numbers(cells)
        self.column_values = _numbers(cells)
        self.column_offsets = _numbers(cells)
        self.column_valid = _numbers(cells)
        self.layouts = Table(rows)
        self.layout_start = _numbers(rows)
        self.layout_cells = _numbers(rows)
        self.layout_rows = _numbers(rows)
        self.layout_measurement = _numbers(rows)
        self.layout_plain = _numbers(rows)
        self.layout_columns = _numbers(cells)
        self.layout_target = _numbers(cells)
        self.row_columns = _numbers(cells)
        self.fault_lines = _numbers(0)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _reset(self) -> cython.void:
        self.cells = self.rows = self.strings = 0
        self.key_top = self.name_top = self.layout_top = 0
        self.measurement_count = self.faults = self.fault_detail = 0
        self.last_series = -1
        self.series.reset()
        self.keys.reset()
        self.measurements.reset()
        self.columns.reset()
        self.layouts.reset()

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _fail(self, fault: cython.int, at: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Note what is wrong with the line, and where; gives -1, which callers hand on."""
        self.fault = fault
        self.fault_at = at
        return -1

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _ends(self, pos: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.bint:
        """Whether the line ends at `pos`, which no backslash precedes."""
        if pos >= end or self.buf[pos] == LF:
            return True
        return self.buf[pos] == CR and pos + 1 < end and self.buf[pos + 1] == LF

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _blanks(self, pos: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Where the spaces, tabs and NULs at `pos` are over."""
        while pos < end and self.buf[pos] in (SPACE, TAB, NUL):
            pos += 1
        return pos

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _body(self, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Read one body's lines; gives how many are bad."""
        pos: cython.Py_ssize_t = start
        line: cython.Py_ssize_t
        after: cython.Py_ssize_t
        cells: cython.Py_ssize_t
        strings: cython.Py_ssize_t
        bad: cython.Py_ssize_t = 0
        c: cython.uchar
        if end - pos >= 3 and self.buf[pos] == 0xEF and self.buf[pos + 1] == 0xBB and self.buf[pos + 2] == 0xBF:
            pos += 3
        while pos < end:
            line = pos
            pos = self._blanks(pos, end)
            if pos >= end:
                break
            c = self.buf[pos]
            if c == LF:
                pos += 1
                continue
            if c == CR and self._ends(pos, end):
                pos += 2
                continue
            if c == HASH:
                pos = _line_end(self.buf, pos, end) + 1
                continue
            cells = self.cells
            strings = self.strings
            after = self._row(line, pos, end)
            if after < 0:
                self.cells = cells
                self.strings = strings
                after = _line_end(self.buf, line, end)
                if bad < FAULT_LIMIT:
                    self._report(line, after - 1 if after < end and self.buf[after - 1] == CR else after)
                bad += 1
            elif after < end and self.buf[after] == CR:
                after += 1
            pos = after + 1
        return bad

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _report(self, line: cython.Py_ssize_t, stop: cython.Py_ssize_t) -> cython.void:
        """Describe the bad line ``[line, stop)`` by what `_fail` noted."""
        i: cython.Py_ssize_t = 5 * self.faults
        self.fault_lines[i] = line
        self.fault_lines[i + 1] = stop
        self.fault_lines[i + 2] = self.fault_at
        self.fault_lines[i + 3] = self.fault
        self.fault_lines[i + 4] = self.fault_detail
        self.faults += 1

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _row(self, line: cython.Py_ssize_t, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Read the point that begins at `start`; gives where its line ends, or -1."""
        pos: cython.Py_ssize_t = start
        field: cython.Py_ssize_t
        value: cython.Py_ssize_t
        n: cython.Py_ssize_t
        j: cython.Py_ssize_t = 0
        cell: cython.Py_ssize_t = self.cells
        layout: cython.Py_ssize_t
        first: cython.Py_ssize_t = 0
        guesses: cython.Py_ssize_t = 0
        column: cython.Py_ssize_t
        found: cython.Py_ssize_t
        before: cython.Py_ssize_t = -1
        straight: cython.bint = True
        key_bytes: cython.Py_ssize_t
        measurement: cython.Py_ssize_t
        kind: cython.int
        high: cython.bint
        c: cython.uchar
        number: cython.ulonglong
        negative: cython.bint

        # The series: the guess, or find it.
        series: cython.Py_ssize_t = self.series_next[self.last_series] if self.last_series >= 0 else -1
        if series >= 0:
            n = self.series_bytes[series]
            if (
                end - pos > n
                and self.buf[pos + n] == SPACE
                and _same(self.buf, self.series_start[series], self.buf, pos, n)
            ):
                pos += n
            else:
                series = -1
        if series < 0:
            series = self._series(pos, end)
            if series < 0:
                return -1
            pos = self.at
        key_bytes = pos - start
        measurement = self.key_measurement[self.series_key[series]]
        layout = self.series_layout[series]
        if layout < 0:
            layout = self.measurement_layout[measurement]
        if layout >= 0:
            first = self.layout_start[layout]
            guesses = self.layout_cells[layout]
        pos = self._blanks(pos, end)

        # The fields.
        while True:
            field = pos
            column = -1
            if straight:
                if j < guesses:
                    column = self.layout_columns[first + j]
            elif before >= 0:
                column = self.column_after[before]
            if column >= 0:
                n = self.column_bytes[column]
                if end - pos > n and _same(self.buf, self.column_start[column], self.buf, pos, n):
                    pos += n
                else:
                    column = -1
            if column < 0:
                pos = self._field_key(pos, end)
                if pos < 0:
                    return -1
            value = pos
            if key_bytes + 4 + value - 1 - field > KEY_LIMIT:
                self.fault_detail = key_bytes + 4 + value - 1 - field
                return self._fail(KEY_TOO_LONG, field)

            if self._ends(pos, end):
                return self._fail(MISSING_FIELD_VALUE, pos)
            c = self.buf[pos]
            high = False
            if c in (MINUS, DOT) or 0x30 <= c <= 0x39:
                negative = c == MINUS
                if negative:
                    pos += 1
                number = 0
                n = pos
                while pos < end and 0x30 <= self.buf[pos] <= 0x39 and pos - n < 19:
                    number = number * 10 + (self.buf[pos] - 0x30)
                    pos += 1
                n = pos - n
                if (
                    0 < n < 19
                    and pos + 1 < end
                    and self.buf[pos] == 0x69  # i
                    and self.buf[pos + 1] in (COMMA, SPACE)
                ):
                    kind = INTEGER
                    pos += 1
                    self.tape[cell] = -cython.cast(cython.longlong, number) if negative else number
                else:
                    pos = self._number(value, end, cell)
                    if pos < 0:
                        return -1
                    kind = self.kind
            elif c == QUOTE:
                pos = self._string(pos, end)
                if pos < 0:
                    return -1
                kind = STRING
                high = self.high
                self.tape[cell] = self.strings - 1
            elif c in (COMMA, SPACE):
                return self._fail(MISSING_FIELD_VALUE, pos)
            elif c in (0x6E, 0x4E):  # n N
                return self._fail(INVALID_NUMBER, pos)
            else:
                pos = self._boolean(pos, end)
                if pos < 0:
                    return -1
                kind = BOOLEAN
                self.tape[cell] = self.truth

            if column < 0 or self.column_type[column] != kind:
                found = self._column(measurement, field, value - field, kind)
                if found < 0:
                    return -1
                if straight and (j >= guesses or self.layout_columns[first + j] != found):
                    straight = False
                if before >= 0:
                    self.column_after[before] = found
                column = found
            if high:
                n = _invalid_utf8(self.buf, value, pos)
                if n >= 0:
                    return self._fail(INVALID_UTF8, n)
            self.row_columns[j] = column
            before = column
            j += 1
            cell += 1
            if pos < end and self.buf[pos] == COMMA:
                pos += 1
                continue
            break

        if pos < end and self.buf[pos] == SPACE:
            pos = self._time(pos, end)
            if pos < 0:
                return -1
        else:  # A value ends at a comma, a space or with the line.
            self.time = self.now

        # The row holds: nothing below can fail.
        if not straight or j != guesses:
            layout = self._layout(measurement, j)
            self.measurement_layout[measurement] = layout
        self.series_layout[series] = layout
        self.layout_rows[layout] += 1
        n = self.series_key[series]
        if self.key_number[n] < 0:
            self.key_number[n] = self.measurement_series[measurement]
            self.measurement_series[measurement] += 1
        self.row_series[self.rows] = self.key_number[n]
        self.row_time[self.rows] = self.time
        self.row_start[self.rows] = line
        self.row_layout[self.rows] = layout
        self.row_cell[self.rows] = self.cells
        self.rows += 1
        self.cells = cell
        if self.last_series >= 0:
            self.series_next[self.last_series] = series
        self.last_series = series
        return pos

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _series(self, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """The series whose text begins at `start`, `at` the space behind it; or -1."""
        pos: cython.Py_ssize_t = start
        slot: cython.Py_ssize_t
        found: cython.Py_ssize_t
        key: cython.Py_ssize_t
        n: cython.Py_ssize_t
        c: cython.uchar
        every: cython.uchar = 0
        hash: cython.ulonglong
        escaped: cython.bint = False
        before: cython.uchar = LF
        while pos < end:
            c = self.buf[pos]
            if c in (SPACE, LF) and before != BACKSLASH:
                break
            if c == BACKSLASH:
                escaped = True
            every |= c
            before = c
            pos += 1
        if pos >= end or self.buf[pos] == LF:
            if pos < end and pos > start and self.buf[pos - 1] == CR:
                pos -= 1
            # InfluxDB looks at the tags together only when fields follow.
            if self._tags(start, pos, escaped) >= 0 or self.fault in (DUPLICATE_TAGS, KEY_TOO_LONG):
                self._fail(MISSING_FIELDS, pos)
            return -1
        self.at = pos
        n = pos - start
        hash = _hash(self.buf, start, n)
        slot = hash & self.series.mask
        while True:
            found = self.series.slots[slot]
            if found < 0:
                break
            if (
                self.series.hashes[found] == hash
                and self.series_bytes[found] == n
                and _same(self.buf, self.series_start[found], self.buf, start, n)
            ):
                return found
            slot = (slot + 1) & self.series.mask
        key = self._tags(start, pos, escaped)
        if key < 0:
            return -1
        if every >= 0x80:
            slot = _invalid_utf8(self.buf, start, pos)
            if slot >= 0:
                return self._fail(INVALID_UTF8, slot)
        key = self._key(key)
        found = self.series.add(hash)
        self.series_start[found] = start
        self.series_bytes[found] = n
        self.series_key[found] = key
        self.series_layout[found] = -1
        self.series_next[found] = -1
        return found

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _unescape(
        self,
        to: cython.uchar[::1],
        at: cython.Py_ssize_t,
        start: cython.Py_ssize_t,
        end: cython.Py_ssize_t,
        quote: cython.bint,
    ) -> cython.Py_ssize_t:
        """Write the text ``[start, end)`` without its escapes to `at`; gives where it ends. `quote`: ``\\"`` is one."""
        c: cython.uchar
        while start < end:
            c = self.buf[start]
            if c == BACKSLASH and start + 1 < end:
                c = self.buf[start + 1]
                if c in (COMMA, SPACE, EQUALS) or (quote and c == QUOTE):
                    start += 1
                else:
                    c = BACKSLASH
            to[at] = c
            at += 1
            start += 1
        return at

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _piece(
        self,
        to: cython.uchar[::1],
        at: cython.Py_ssize_t,
        start: cython.Py_ssize_t,
        end: cython.Py_ssize_t,
        escaped: cython.bint,
        quote: cython.bint,
    ) -> cython.Py_ssize_t:
        """Write the text ``[start, end)``, unescaped, behind its length; gives where it ends."""
        n: cython.Py_ssize_t
        if escaped:
            n = self._unescape(to, at + 4, start, end, quote) - at - 4
        else:
            n = end - start
            _copy(to, at + 4, self.buf, start, n)
        to[at] = n & 0xFF
        to[at + 1] = (n >> 8) & 0xFF
        to[at + 2] = (n >> 16) & 0xFF
        to[at + 3] = (n >> 24) & 0xFF
        return at + 4 + n

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _tags(self, start: cython.Py_ssize_t, end: cython.Py_ssize_t, escaped: cython.bint) -> cython.Py_ssize_t:
        """Write the canonical key of the series text ``[start, end)`` at `key_top`; gives its length, or -1."""
        pos: cython.Py_ssize_t = start + 1
        key: cython.Py_ssize_t
        value: cython.Py_ssize_t
        top: cython.Py_ssize_t
        at: cython.Py_ssize_t
        tags: cython.Py_ssize_t = 0
        i: cython.Py_ssize_t
        n: cython.Py_ssize_t
        c: cython.uchar
        ordered: cython.bint = True
        if self.buf[start] == COMMA:
            return self._fail(MISSING_MEASUREMENT, start)
        while pos < end and not (self.buf[pos] == COMMA and self.buf[pos - 1] != BACKSLASH):
            pos += 1
        top = self._piece(self.key_text, self.key_top, start, pos, escaped, True)
        at = top
        while pos < end:
            key = pos + 1
            if key >= end or self.buf[key] in (COMMA, EQUALS):
                return self._fail(MISSING_TAG_KEY, key)
            pos = key + 1
            while pos < end:
                c = self.buf[pos]
                if c in (EQUALS, COMMA) and self.buf[pos - 1] != BACKSLASH:
                    break
                pos += 1
            if pos >= end or self.buf[pos] == COMMA:
                return self._fail(MISSING_TAG_VALUE, pos)
            value = pos + 1
            if value >= end or self.buf[value] == COMMA:
                return self._fail(MISSING_TAG_VALUE, value)
            pos = value + 1
            while pos < end:
                c = self.buf[pos]
                if c in (EQUALS, COMMA) and self.buf[pos - 1] != BACKSLASH:
                    break
                pos += 1
            if pos < end and self.buf[pos] == EQUALS:
                return self._fail(INVALID_TAG_FORMAT, pos)
            self.tag_start[tags] = key
            self.tag_order[tags] = tags
            self.tag_at[tags] = at
            at = self._piece(self.key_text, at, key, value - 1, escaped, False)
            at = self._piece(self.key_text, at, value, pos, escaped, False)
            tags += 1
            self.tag_at[tags] = at
            if ordered and tags > 1 and self._compare(tags - 2, tags - 1) >= 0:
                ordered = False
        if not ordered:
            if not self._sort(tags):
                return -1
            n = 0
            for i in range(tags):
                key = self.tag_order[i]
                value = self.tag_at[key + 1] - self.tag_at[key]
                _copy(self.tag_text, n, self.key_text, self.tag_at[key], value)
                n += value
            _copy(self.key_text, top, self.tag_text, 0, n)
        if end - start > KEY_LIMIT:
            self.fault_detail = end - start
            return self._fail(KEY_TOO_LONG, start)
        return at - self.key_top

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _compare(self, a: cython.Py_ssize_t, b: cython.Py_ssize_t) -> cython.int:
        """-1, 0 or 1: how the key of tag `a` stands to that of tag `b`, by bytes."""
        i: cython.Py_ssize_t = self.tag_at[a]
        j: cython.Py_ssize_t = self.tag_at[b]
        m: cython.Py_ssize_t = self._length(i)
        n: cython.Py_ssize_t = self._length(j)
        k: cython.Py_ssize_t
        x: cython.uchar
        y: cython.uchar
        for k in range(4, 4 + min(m, n)):
            x = self.key_text[i + k]
            y = self.key_text[j + k]
            if x != y:
                return -1 if x < y else 1
        if m == n:
            return 0
        return -1 if m < n else 1

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _length(self, at: cython.Py_ssize_t) -> cython.Py_ssize_t:
        return (
            self.key_text[at]
            | cython.cast(cython.Py_ssize_t, self.key_text[at + 1]) << 8
            | cython.cast(cython.Py_ssize_t, self.key_text[at + 2]) << 16
            | cython.cast(cython.Py_ssize_t, self.key_text[at + 3]) << 24
        )

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _sort(self, tags: cython.Py_ssize_t) -> cython.bint:
        """Put `tag_order` into the order of the keys (Shell's sort); False where a key comes twice."""
        gap: cython.Py_ssize_t = 1
        i: cython.Py_ssize_t
        j: cython.Py_ssize_t
        tag: cython.Py_ssize_t
        order: cython.int
        twice: cython.Py_ssize_t = -1
        while gap < tags // 3:
            gap = 3 * gap + 1
        while gap > 0:
            for i in range(gap, tags):
                tag = self.tag_order[i]
                j = i
                while j >= gap:
                    order = self._compare(self.tag_order[j - gap], tag)
                    if order < 0 or (order == 0 and self.tag_order[j - gap] < tag):
                        break
                    self.tag_order[j] = self.tag_order[j - gap]
                    j -= gap
                self.tag_order[j] = tag
            gap //= 3
        for i in range(1, tags):
            tag = self.tag_order[i]
            if self._compare(self.tag_order[i - 1], tag) == 0 and (twice < 0 or self.tag_start[tag] < twice):
                twice = self.tag_start[tag]
        if twice >= 0:
            self._fail(DUPLICATE_TAGS, twice)
        return twice < 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _key(self, n: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """The number of the canonical key of `n` bytes at `key_top`, new or known."""
        start: cython.Py_ssize_t = self.key_top
        hash: cython.ulonglong = _hash(self.key_text, start, n)
        slot: cython.Py_ssize_t = hash & self.keys.mask
        found: cython.Py_ssize_t
        while True:
            found = self.keys.slots[slot]
            if found < 0:
                break
            if (
                self.keys.hashes[found] == hash
                and self.key_bytes[found] == n
                and _same(self.key_text, self.key_start[found], self.key_text, start, n)
            ):
                return found
            slot = (slot + 1) & self.keys.mask
        found = self.keys.add(hash)
        self.key_start[found] = start
        self.key_bytes[found] = n
        self.key_measurement[found] = self._measurement(start + 4, self._length(start))
        self.key_number[found] = -1
        self.key_top = start + n
        return found

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _measurement(self, start: cython.Py_ssize_t, n: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """The measurement whose name is the `n` bytes at `start` of `key_text`, new or known."""
        hash: cython.ulonglong = _hash(self.key_text, start, n)
        slot: cython.Py_ssize_t = hash & self.measurements.mask
        found: cython.Py_ssize_t
        while True:
            found = self.measurements.slots[slot]
            if found < 0:
                break
            if (
                self.measurements.hashes[found] == hash
                and self.measurement_bytes[found] == n
                and _same(self.key_text, self.measurement_name[found], self.key_text, start, n)
            ):
                return found
            slot = (slot + 1) & self.measurements.mask
        found = self.measurements.add(hash)
        self.measurement_name[found] = start
        self.measurement_bytes[found] = n
        self.measurement_layout[found] = -1
        self.measurement_rows[found] = 0
        self.measurement_series[found] = 0
        self.measurement_first[found] = -1
        self.measurement_last[found] = -1
        return found

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _field_key(self, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Where the value of the field that begins at `start` begins, or -1."""
        pos: cython.Py_ssize_t = start
        c: cython.uchar
        before: cython.uchar = LF
        while pos < end:
            c = self.buf[pos]
            if before != BACKSLASH:
                if c == EQUALS:
                    if pos == start:
                        return self._fail(MISSING_FIELD_KEY, pos)
                    return pos + 1
                if c in (COMMA, SPACE, LF):
                    break
            if c == CR and self._ends(pos, end):
                break
            before = c
            pos += 1
        return self._fail(INVALID_FIELD_FORMAT, pos)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _column(
        self, measurement: cython.Py_ssize_t, start: cython.Py_ssize_t, n: cython.Py_ssize_t, kind: cython.int
    ) -> cython.Py_ssize_t:
        """The column of `measurement` for the field whose key and ``=`` are `n` bytes at `start`; -1: no UTF-8."""
        name: cython.Py_ssize_t = self.name_top
        size: cython.Py_ssize_t = self._unescape(self.names, name, start, start + n - 1, True) - name
        hash: cython.ulonglong = _hash(self.names, name, size)
        slot: cython.Py_ssize_t
        found: cython.Py_ssize_t
        hash = _mix((hash + measurement * 8 + kind) & MASK_64)
        slot = hash & self.columns.mask
        while True:
            found = self.columns.slots[slot]
            if found < 0:
                break
            if (
                self.columns.hashes[found] == hash
                and self.column_measurement[found] == measurement
                and self.column_type[found] == kind
                and self.column_name_bytes[found] == size
                and _same(self.names, self.column_name[found], self.names, name, size)
            ):
                return found
            slot = (slot + 1) & self.columns.mask
        found = _invalid_utf8(self.buf, start, start + n)
        if found >= 0:
            return self._fail(INVALID_UTF8, found)
        found = self.columns.add(hash)
        self.column_start[found] = start
        self.column_bytes[found] = n
        self.column_type[found] = kind
        self.column_measurement[found] = measurement
        self.column_name[found] = name
        self.column_name_bytes[found] = size
        self.column_after[found] = -1
        self.column_rows[found] = 0
        self.column_mark[found] = -1
        self.column_next[found] = -1
        self.name_top = name + size
        return found

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _layout(self, measurement: cython.Py_ssize_t, cells: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """The layout of the `cells` columns in `row_columns`, new or known."""
        hash: cython.ulonglong = cells
        slot: cython.Py_ssize_t
        found: cython.Py_ssize_t
        i: cython.Py_ssize_t
        first: cython.Py_ssize_t
        for i in range(cells):
            hash = (hash + (self.row_columns[i] + 1) * (_SECRET[i & 8191] | 1)) & MASK_64
        hash = _mix(hash)
        slot = hash & self.layouts.mask
        while True:
            found = self.layouts.slots[slot]
            if found < 0:
                break
            if self.layouts.hashes[found] == hash and self.layout_cells[found] == cells:
                first = self.layout_start[found]
                i = 0
                while i < cells and self.layout_columns[first + i] == self.row_columns[i]:
                    i += 1
                if i == cells:
                    return found
            slot = (slot + 1) & self.layouts.mask
        found = self.layouts.add(hash)
        first = self.layout_top
        for i in range(cells):
            self.layout_columns[first + i] = self.row_columns[i]
        self.layout_start[found] = first
        self.layout_cells[found] = cells
        self.layout_rows[found] = 0
        self.layout_measurement[found] = measurement
        self.layout_top = first + cells
        return found

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _number(self, start: cython.Py_ssize_t, end: cython.Py_ssize_t, cell: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Read the number at `start` into `cell` and its type into `kind`; gives where it ends, or -1."""
        pos: cython.Py_ssize_t = start
        c: cython.uchar = 0
        negative: cython.bint = self.buf[start] == MINUS
        mantissa: cython.ulonglong = 0
        digits: cython.int = 0
        seen: cython.bint = False
        point: cython.bint = False
        lost: cython.bint = False
        dropped: cython.Py_ssize_t = 0
        exponent: cython.Py_ssize_t = 0
        power: cython.Py_ssize_t = 0
        below: cython.bint = False
        if negative:
            pos += 1
        while pos < end:
            c = self.buf[pos]
            if 0x30 <= c <= 0x39:
                seen = True
                if digits < 19:
                    mantissa = mantissa * 10 + (c - 0x30)
                    if mantissa > 0:
                        digits += 1
                    if point:
                        exponent -= 1
                else:
                    dropped += 1
                    if c != 0x30:
                        lost = True
                    if not point:
                        exponent += 1
            elif c == DOT and not point:
                point = True
            else:
                break
            pos += 1
        if pos < end and seen:
            if c == 0x69 and not point:  # i
                if not self._parted(pos + 1, end):
                    return self._fail(INVALID_NUMBER, start)
                if dropped > 0 or mantissa > (LARGEST_INTEGER + (1 if negative else 0)):
                    self.fault_detail = pos
                    return self._fail(INTEGER_OVERFLOW, start)
                self.kind = INTEGER
                if negative:
                    self.tape_unsigned[cell] = (0 - mantissa) & MASK_64
                else:
                    self.tape_unsigned[cell] = mantissa
                return pos + 1
            if c == 0x75 and not point and not negative:  # u
                if not self._parted(pos + 1, end):
                    return self._fail(INVALID_NUMBER, start)
                if dropped == 1:
                    c = self.buf[pos - 1] - 0x30
                    if mantissa <= (MASK_64 - c) // 10:
                        mantissa = mantissa * 10 + c
                        dropped = 0
                if dropped > 0:
                    self.fault_detail = pos
                    return self._fail(UNSIGNED_OVERFLOW, start)
                self.kind = UNSIGNED
                self.tape_unsigned[cell] = mantissa
                return pos + 1
            if c in (0x65, 0x45):  # e E
                pos += 1
                if pos < end and self.buf[pos] in (PLUS, MINUS):
                    below = self.buf[pos] == MINUS
                    pos += 1
                seen = False
                while pos < end and 0x30 <= self.buf[pos] <= 0x39:
                    seen = True
                    if power < 100000:
                        power = power * 10 + (self.buf[pos] - 0x30)
                    pos += 1
                exponent += -power if below else power
        if not seen or not self._parted(pos, end):
            return self._fail(self._number_fault(start, end), start)
        self.kind = FLOAT
        if mantissa == 0:
            self.tape_float[cell] = -0.0 if negative else 0.0
            return pos
        if not lost:
            if mantissa <= BIT_53 and -22 <= exponent <= 22:
                # Both are exact doubles, so one rounding is the right one (Clinger 1990).
                if exponent < 0:
                    self.tape_float[cell] = cython.cast(cython.double, mantissa) / _POWERS[-exponent]
                else:
                    self.tape_float[cell] = cython.cast(cython.double, mantissa) * _POWERS[exponent]
                if negative:
                    self.tape_float[cell] = -self.tape_float[cell]
                return pos
            mantissa = _float_bits(mantissa, exponent)
            if mantissa > 0:
                self.tape_unsigned[cell] = mantissa | TOP_BIT if negative else mantissa
                return pos
        with cython.gil:
            self.tape_float[cell] = float(bytes(self.buf[start:pos]))
        if self.tape_float[cell] == INFINITY or self.tape_float[cell] == -INFINITY:
            return self._fail(INVALID_FLOAT, start)
        return pos

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def _parted(self, pos: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.bint:
        """Whether a value may end at `pos`."""
        return self._ends(pos, end) or self.buf[pos] in (COMMA, SPACE)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _number_fault(self, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.int:
        """What InfluxDB calls the text at `start`, which is no number: it looks for strange bytes first."""
        pos: cython.Py_ssize_t = start
        c: cython.uchar
        before: cython.uchar = 0
        points: cython.Py_ssize_t = 0
        scientific: cython.bint = False
        if self.buf[pos] == MINUS:
            pos += 1
        while not self._parted(pos, end):
            c = self.buf[pos]
            if c == DOT:
                points += 1
            elif c in (0x65, 0x45):
                scientific = True
            elif c in (PLUS, MINUS):
                if before not in (0x65, 0x45):
                    return INVALID_NUMBER
            elif not 0x30 <= c <= 0x39:
                return INVALID_NUMBER
            before = c
            pos += 1
        if scientific and points < 2:
            return INVALID_FLOAT
        return INVALID_NUMBER

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _string(self, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Read the string whose quote is at `start`; gives what follows the closing one, or -1."""
        pos: cython.Py_ssize_t = start + 1
        escapes: cython.Py_ssize_t = 0
        c: cython.uchar
        word: cython.ulonglong
        quotes: cython.ulonglong
        slashes: cython.ulonglong
        every: cython.ulonglong = 0
        while True:
            while pos + 8 <= end:
                word = _word(self.buf, pos)
                quotes = word ^ QUOTES
                slashes = word ^ BACKSLASHES
                # A byte of `quotes` or `slashes` is zero: borrow shows in its high bit.
                quotes = (quotes - EACH_BYTE) & ~quotes
                slashes = (slashes - EACH_BYTE) & ~slashes
                if (quotes | slashes) & HIGH_BITS:
                    break
                every |= word
                pos += 8
            if pos >= end:
                return self._fail(UNBALANCED_QUOTES, start)
            c = self.buf[pos]
            if c == QUOTE:
                break
            if c == BACKSLASH:
                pos += 1
                if pos >= end:
                    return self._fail(UNBALANCED_QUOTES, start)
                c = self.buf[pos]
                if c in (QUOTE, BACKSLASH):
                    escapes += 1
            every |= c
            pos += 1
        self.high = (every & HIGH_BITS) != 0
        self.string_start[self.strings] = start + 1
        self.string_bytes[self.strings] = pos - start - 1
        self.string_size[self.strings] = pos - start - 1 - escapes
        self.strings += 1
        pos += 1
        if not self._parted(pos, end):
            return self._fail(INVALID_FIELD_FORMAT, pos)
        return pos

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _boolean(self, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Read t T true True TRUE f F false False FALSE into `truth`; gives where it ends, or -1."""
        pos: cython.Py_ssize_t = start
        word: cython.ulonglong = 1
        while pos - start < 6 and not self._parted(pos, end):
            word = word << 8 | self.buf[pos]
            pos += 1
        if word in (0x174, 0x154, SMALL_TRUE, TITLE_TRUE, LARGE_TRUE):
            self.truth = True
        elif word in (0x166, 0x146, SMALL_FALSE, TITLE_FALSE, LARGE_FALSE):
            self.truth = False
        else:
            return self._fail(INVALID_BOOLEAN, start)
        return pos

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _time(self, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Read the timestamp behind the space at `start` into `time`; gives where the line ends, or -1."""
        pos: cython.Py_ssize_t = start
        text: cython.Py_ssize_t
        first: cython.Py_ssize_t
        c: cython.uchar
        negative: cython.bint = False
        number: cython.ulonglong = 0
        digits: cython.int = 0
        unit: cython.longlong = self.unit
        pos = self._blanks(pos, end)
        if self._ends(pos, end):
            self.time = self.now
            return pos
        text = pos
        if self.buf[pos] == MINUS:
            negative = True
            pos += 1
        first = pos
        while pos < end:
            c = self.buf[pos]
            if not 0x30 <= c <= 0x39:
                break
            if digits < 20:
                if digits < 19:
                    number = number * 10 + (c - 0x30)
                if number > 0:
                    digits += 1
            pos += 1
        if pos == first or not (self._ends(pos, end) or self.buf[pos] == SPACE):
            return self._fail(BAD_TIMESTAMP, text)
        self.fault_detail = pos
        while pos < end and self.buf[pos] == SPACE:
            pos += 1
        if not self._ends(pos, end):
            return self._fail(POINT_IS_INVALID, pos)
        if digits > 19 or number > (LARGEST_INTEGER + (1 if negative else 0)):
            return self._fail(TIME_OVERFLOW, text)
        if unit == 0:
            if number < AUTO_SECONDS:
                unit = SECOND
            elif number < AUTO_MILLISECONDS:
                unit = 1000000
            elif number < AUTO_MICROSECONDS:
                unit = 1000
            else:
                unit = 1
        if number > (MAX_TIME if unit == 1 else MAX_TIME // unit):
            return self._fail(TIME_OUTSIDE_RANGE, text)
        self.time = number * unit
        if negative:
            self.time = -self.time
        return pos

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _plan(self) -> cython.void:
        """Decide where each measurement's columns lie in the blocks that `_fill` fills."""
        layout: cython.Py_ssize_t
        m: cython.Py_ssize_t
        c: cython.Py_ssize_t
        i: cython.Py_ssize_t
        j: cython.Py_ssize_t
        rows: cython.Py_ssize_t
        kept: cython.Py_ssize_t = 0
        passing: cython.Py_ssize_t = 0
        small: cython.Py_ssize_t = 0
        base: cython.Py_ssize_t = 0
        strings: cython.Py_ssize_t = 0
        for layout in range(self.layouts.count):
            m = self.layout_measurement[layout]
            rows = self.layout_rows[layout]
            if self.measurement_rows[m] == 0:
                self.measurement_order[self.measurement_count] = m
                self.measurement_count += 1
            self.measurement_rows[m] += rows
            for j in range(self.layout_start[layout], self.layout_start[layout] + self.layout_cells[layout]):
                c = self.layout_columns[j]
                if self.column_mark[c] == layout:
                    continue  # The field comes twice in a row of this layout.
                self.column_mark[c] = layout
                if self.column_rows[c] == 0:
                    if self.measurement_last[m] >= 0:
                        self.column_next[self.measurement_last[m]] = c
                    else:
                        self.measurement_first[m] = c
                    self.measurement_last[m] = c
                self.column_rows[c] += rows
        self.sparse = False
        for i in range(self.measurement_count):
            m = self.measurement_order[i]
            rows = self.measurement_rows[m]
            self.measurement_times[m] = kept
            kept += rows
            self.measurement_starts[m] = passing
            passing += rows
            self.measurement_keys[m] = passing
            passing += self.measurement_series[m] + 1
            self.measurement_base[m] = base
            base += rows
            self.measurement_fill[m] = 0
            c = self.measurement_first[m]
            while c >= 0:
                self.column_valid[c] = -1
                if self.column_rows[c] < rows:
                    self.sparse = True
                    self.column_valid[c] = small
                    small += rows
                if self.column_type[c] == STRING:
                    self.column_values[c] = strings
                    strings += rows
                    self.column_offsets[c] = kept
                    kept += rows + 1
                elif self.column_type[c] == BOOLEAN:
                    self.column_values[c] = small
                    small += rows
                else:
                    self.column_values[c] = kept
                    kept += rows
                c = self.column_next[c]
        for layout in range(self.layouts.count):
            self.layout_plain[layout] = 1
            for j in range(self.layout_start[layout], self.layout_start[layout] + self.layout_cells[layout]):
                c = self.layout_columns[j]
                self.layout_target[j] = self.column_values[c]
                if self.column_type[c] >= BOOLEAN or self.column_valid[c] >= 0:
                    self.layout_plain[layout] = 0
        self.kept_size = kept
        self.passing_size = passing
        self.small_size = small
        self.string_rows = strings

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _fill(
        self,
        kept: cython.longlong[::1],
        passing: cython.longlong[::1],
        small: cython.uchar[::1],
        series: cython.uint[::1],
        references: cython.longlong[::1],
    ) -> cython.void:
        """Bring the rows into columns."""
        row: cython.Py_ssize_t
        layout: cython.Py_ssize_t
        m: cython.Py_ssize_t
        i: cython.Py_ssize_t
        j: cython.Py_ssize_t
        c: cython.Py_ssize_t
        cell: cython.Py_ssize_t
        first: cython.Py_ssize_t
        for row in range(self.rows):
            layout = self.row_layout[row]
            m = self.layout_measurement[layout]
            i = self.measurement_fill[m]
            self.measurement_fill[m] = i + 1
            kept[self.measurement_times[m] + i] = self.row_time[row]
            passing[self.measurement_starts[m] + i] = self.row_start[row]
            series[self.measurement_base[m] + i] = self.row_series[row]
            cell = self.row_cell[row]
            first = self.layout_start[layout]
            if self.layout_plain[layout]:
                for j in range(self.layout_cells[layout]):
                    kept[self.layout_target[first + j] + i] = self.tape[cell + j]
                continue
            for j in range(self.layout_cells[layout]):
                c = self.layout_columns[first + j]
                if self.column_valid[c] >= 0:
                    small[self.column_valid[c] + i] = 1
                if self.column_type[c] == STRING:
                    references[self.layout_target[first + j] + i] = self.tape[cell + j]
                elif self.column_type[c] == BOOLEAN:
                    small[self.layout_target[first + j] + i] = self.tape[cell + j]
                else:
                    kept[self.layout_target[first + j] + i] = self.tape[cell + j]

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _key_offsets(self, passing: cython.longlong[::1]) -> cython.Py_ssize_t:
        """Each measurement's offsets of the keys that its rows use; gives the bytes of all."""
        i: cython.Py_ssize_t
        m: cython.Py_ssize_t
        k: cython.Py_ssize_t
        at: cython.Py_ssize_t
        total: cython.Py_ssize_t = 0
        for k in range(self.keys.count):
            if self.key_number[k] >= 0:
                m = self.key_measurement[k]
                passing[self.measurement_keys[m] + self.key_number[k] + 1] = self.key_bytes[k]
        for i in range(self.measurement_count):
            m = self.measurement_order[i]
            at = self.measurement_keys[m]
            passing[at] = 0
            for k in range(self.measurement_series[m]):
                passing[at + k + 1] += passing[at + k]
            self.measurement_text[m] = total
            total += passing[at + self.measurement_series[m]]
        return total

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _fill_keys(self, passing: cython.longlong[::1], text: cython.uchar[::1]) -> cython.void:
        k: cython.Py_ssize_t
        m: cython.Py_ssize_t
        for k in range(self.keys.count):
            if self.key_number[k] >= 0:
                m = self.key_measurement[k]
                _copy(
                    text,
                    self.measurement_text[m] + passing[self.measurement_keys[m] + self.key_number[k]],
                    self.key_text,
                    self.key_start[k],
                    self.key_bytes[k],
                )

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _string_bytes(self, references: cython.longlong[::1]) -> cython.Py_ssize_t:
        """The bytes of all strings that `references` names."""
        i: cython.Py_ssize_t
        total: cython.Py_ssize_t = 0
        for i in range(self.string_rows):
            if references[i] >= 0:
                total += self.string_size[references[i]]
        return total

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def _fill_strings(
        self,
        c: cython.Py_ssize_t,
        references: cython.longlong[::1],
        kept: cython.longlong[::1],
        text: cython.uchar[::1],
        start: cython.Py_ssize_t,
    ) -> cython.Py_ssize_t:
        """Write the strings of column `c` to `start` of `text`, unescaped, and their offsets; gives where they end."""
        rows: cython.Py_ssize_t = self.measurement_rows[self.column_measurement[c]]
        offsets: cython.Py_ssize_t = self.column_offsets[c]
        i: cython.Py_ssize_t
        string: cython.Py_ssize_t
        pos: cython.Py_ssize_t
        end: cython.Py_ssize_t
        at: cython.Py_ssize_t = start
        kept[offsets] = 0
        for i in range(rows):
            string = references[self.column_values[c] + i]
            if string >= 0:
                pos = self.string_start[string]
                if self.string_size[string] == self.string_bytes[string]:
                    _copy(text, at, self.buf, pos, self.string_bytes[string])
                    at += self.string_bytes[string]
                else:
                    end = pos + self.string_bytes[string]
                    while pos < end:
                        if self.buf[pos] == BACKSLASH and pos + 1 < end and self.buf[pos + 1] in (QUOTE, BACKSLASH):
                            pos += 1
                        text[at] = self.buf[pos]
                        at += 1
                        pos += 1
            kept[offsets + i + 1] = at - start
        return at

    def read(
        self, buffer: bytes | bytearray | memoryview, ends: Sequence[int], units: Sequence[int], now: Sequence[int]
    ) -> tuple[list[Any], list[tuple[int, int, int, int, int]], list[int], int]:
        """`parse` with this scanner's memory; not thread-safe."""
        start: cython.Py_ssize_t = 0
        end: cython.Py_ssize_t
        bad: cython.Py_ssize_t
        size: cython.Py_ssize_t
        self.buf = buffer if cython.compiled else memoryview(buffer)
        size = self.buf.shape[0]
        if size > self.capacity:
            raise ValueError(f"{size} bytes for a scanner of {self.capacity}")
        self.fault_lines = _numbers(5 * min(size // 2 + len(ends), FAULTS_PER_BODY * len(ends)))
        self._reset()
        refused = []
        try:
            for body in range(len(ends)):
                end = ends[body]
                self.unit = units[body]
                self.now = now[body]
                if not start <= end <= size or self.unit < 0:
                    raise ValueError("ends must ascend within the buffer, and units be positive or 0")
                with cython.nogil:
                    bad = self._body(start, end)
                refused.append(bad)
                start = end
            with cython.nogil:
                self._plan()
            measurements = self._measurements() if self.rows else []
            faults = [
                (
                    self.fault_lines[5 * i],
                    self.fault_lines[5 * i + 1],
                    self.fault_lines[5 * i + 2],
                    self.fault_lines[5 * i + 3],
                    self.fault_lines[5 * i + 4],
                )
                for i in range(self.faults)
            ]
        finally:
            self.buf = b"" if cython.compiled else memoryview(b"")
        return measurements, faults, refused, self.rows

    def used(self) -> int:
        """About how many bytes of its memory the last call has touched."""
        return (
            8 * self.cells
            + 40 * self.rows
            + 24 * self.strings
            + 56 * self.series.count
            + 48 * self.keys.count
            + 128 * self.measurements.count
            + 120 * self.columns.count
            + 56 * self.layouts.count
            + 16 * self.layout_top
            + self.key_top
            + self.name_top
        )

    @cython.cfunc
    def _measurements(self) -> list[Any]:
        i: cython.Py_ssize_t
        m: cython.Py_ssize_t
        c: cython.Py_ssize_t
        at: cython.Py_ssize_t
        rows: cython.Py_ssize_t
        size: cython.Py_ssize_t
        kept_block = np.zeros(self.kept_size, np.int64) if self.sparse else np.empty(self.kept_size, np.int64)
        passing_block = np.empty(self.passing_size, np.int64)
        small_block = np.zeros(self.small_size, np.uint8)
        series_block = np.empty(self.rows, np.uint32)
        reference_block = np.full(self.string_rows, -1, np.int64)
        kept: cython.longlong[::1] = kept_block if cython.compiled else memoryview(kept_block)
        passing: cython.longlong[::1] = passing_block if cython.compiled else memoryview(passing_block)
        small: cython.uchar[::1] = small_block if cython.compiled else memoryview(small_block)
        series: cython.uint[::1] = series_block if cython.compiled else memoryview(series_block)
        references: cython.longlong[::1] = reference_block if cython.compiled else memoryview(reference_block)
        with cython.nogil:
            self._fill(kept, passing, small, series, references)
            size = self._key_offsets(passing)
        key_block = np.empty(size, np.uint8)
        keys: cython.uchar[::1] = key_block if cython.compiled else memoryview(key_block)
        with cython.nogil:
            self._fill_keys(passing, keys)
            size = self._string_bytes(references)
        text_block = np.empty(size, np.uint8)
        text: cython.uchar[::1] = text_block if cython.compiled else memoryview(text_block)
        written: cython.Py_ssize_t = 0
        names = bytes(self.names[: self.name_top])
        floats = kept_block.view(np.float64)
        out = []
        for i in range(self.measurement_count):
            m = self.measurement_order[i]
            rows = self.measurement_rows[m]
            columns = []
            c = self.measurement_first[m]
            while c >= 0:
                at = self.column_values[c]
                kind = self.column_type[c]
                values: Any
                if kind == FLOAT:
                    values = floats[at : at + rows]
                elif kind == INTEGER:
                    values = kept_block[at : at + rows]
                elif kind == UNSIGNED:
                    values = kept_block[at : at + rows].view(np.uint64)
                elif kind == BOOLEAN:
                    values = small_block[at : at + rows].view(np.bool_)
                else:
                    with cython.nogil:
                        size = self._fill_strings(c, references, kept, text, written)
                    at = self.column_offsets[c]
                    values = (kept_block[at : at + rows + 1], text_block[written:size])
                    written = size
                at = self.column_valid[c]
                validity = small_block[at : at + rows].view(np.bool_) if at >= 0 else None
                at = self.column_name[c]
                name = names[at : at + self.column_name_bytes[c]].decode()
                columns.append((name, kind, values, validity))
                c = self.column_next[c]
            at = self.measurement_keys[m]
            size = self.measurement_series[m]
            offsets = passing_block[at : at + size + 1]
            size = passing[at + size]
            at = self.measurement_text[m]
            key_data = key_block[at : at + size]
            name = bytes(key_data[4 : 4 + self.measurement_bytes[m]]).decode()
            at = self.measurement_starts[m]
            starts = passing_block[at : at + rows]
            at = self.measurement_times[m]
            times = kept_block[at : at + rows]
            at = self.measurement_base[m]
            out.append((name, key_data, offsets, series_block[at : at + rows], times, starts, columns))
        return out


# Scanners are kept for the next call, two of each size, unless strange input has made one fat.
_SIZES = (1 << 16, 1 << 21)
_IDLE: dict[int, list[Any]] = {size: [] for size in _SIZES}
_FAT = 1 << 23


def parse(
    buffer: bytes | bytearray | memoryview,
    ends: Sequence[int] | None = None,
    units: Sequence[int] = (1,),
    now: Sequence[int] = (0,),
) -> tuple[list[Any], list[tuple[int, int, int, int, int]], list[int], int]:
    """Read line protocol. Thread-safe; the GIL is released while bytes are read.

    `ends`: where each of several bodies in `buffer` ends (None: one body); `units` nanoseconds of a timestamp's
    unit and `now` nanoseconds for a missing timestamp, one a body; unit 0 means by magnitude.

    Gives four things. The measurements, in the order of their first good line, each (name, keys uint8[bytes], key
    offsets int64[k + 1], series uint32[n], times int64[n] ns, starts int64[n] offset of the line,
    fields), a field being (name, type number, values, validity bool[n] or None) with values of n
    elements, or for strings (offsets int64[n + 1], bytes uint8). The first `FAULTS_PER_BODY` bad lines of each
    body, each (start, end, position of the fault, fault number, detail). How many lines each
    body has refused. How many rows were read. ValueError when `ends` and the rest do not fit together.
    """
    if ends is None:
        ends = (len(buffer),)
    if not len(ends) == len(units) == len(now):
        raise ValueError("one unit and one time are needed for each body")
    size = len(buffer)
    for capacity in _SIZES:
        if size <= capacity:
            idle = _IDLE[capacity]
            try:
                scanner = idle.pop()
            except IndexError:
                scanner = Scanner(capacity)
            try:
                return scanner.read(buffer, ends, units, now)
            finally:
                if len(idle) < 2 and scanner.used() < _FAT:
                    idle.append(scanner)
    return Scanner(size).read(buffer, ends, units, now)
