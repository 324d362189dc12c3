# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# distutils: extra_compile_args = -O3
"""Aggregates over slices of sorted columns, and their merging into cells.

A *slice* is the rows ``begins[i]:ends[i]`` of a batch: a part of one series' run, so its times ascend. The
first functions find slices (`bounds` cuts runs to a time range, `split` cuts them at bucket borders). The next,
one for each family of states, reduce a column over each slice and merge the result into the slice's cell
(`cells[i]` is the cell of slice i; several slices may share one) in one call: a batch often has one short slice,
and then calls cost more than rows. The last merge what is known already.

`valid` is bool[rows] or None for "all of them". `counts`, int64[cells] or None, is where a function adds how many
values it met: of several functions over the same slices, one is given it. A ValueError leaves cells unchanged.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

try:
    import cython
except ImportError:
    from rusts.kernels import standin as cython

__all__ = [
    "FLOAT",
    "SIGNED",
    "SOURCE_DIGEST",
    "UNSIGNED",
    "add_counts",
    "add_floats",
    "add_integers",
    "bounds",
    "count",
    "edge_rows",
    "edges",
    "extreme_floats",
    "extreme_integers",
    "find_cells",
    "moments",
    "split",
    "sum_floats",
    "sum_integers",
]

SOURCE_DIGEST = "cae2771bfa863b9d"

SIGNED = 0
UNSIGNED = 1
FLOAT = 2
"""What words are, for `edges`: int64, uint64 or float64."""

_NO_ROWS = np.empty(0, dtype=np.uint8)
_NO_ROWS.flags.writeable = False
_NO_COUNTS = np.empty(0, dtype=np.int64)

WORD = cython.declare(cython.ulonglong, 0xFFFFFFFFFFFFFFFF)
GREATEST = cython.declare(cython.longlong, 0x7FFFFFFFFFFFFFFF)
LEAST = cython.declare(cython.longlong, ~GREATEST)
INFINITY_BITS = cython.declare(cython.longlong, 0x7FF0000000000000)

_SIGNED = cython.declare(cython.int, SIGNED)
_UNSIGNED = cython.declare(cython.int, UNSIGNED)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _inside(
    begins: cython.const[cython.longlong][::1], ends: cython.const[cython.longlong][::1], rows: cython.longlong
) -> cython.bint:
    """Whether each slice lies inside a column of `rows` rows."""
    i: cython.Py_ssize_t
    outside: cython.bint = False
    for i in range(begins.shape[0]):
        outside = outside or begins[i] < 0 or ends[i] > rows or begins[i] > ends[i]
    return not outside


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _there(cells: cython.const[cython.longlong][::1], total: cython.longlong) -> cython.bint:
    """Whether each cell is one of `total`."""
    i: cython.Py_ssize_t
    outside: cython.bint = False
    for i in range(cells.shape[0]):
        outside = outside or cells[i] < 0 or cells[i] >= total
    return not outside


@cython.cfunc
def _check_slices(
    rows: cython.Py_ssize_t,
    begins: cython.const[cython.longlong][::1],
    ends: cython.const[cython.longlong][::1],
) -> None:
    if begins.shape[0] != ends.shape[0]:
        raise ValueError("slices need as many begins as ends")
    if not _inside(begins, ends, rows):
        raise ValueError("a slice lies outside its column")


@cython.cfunc
def _check_cells(
    cells: cython.const[cython.longlong][::1], partials: cython.Py_ssize_t, total: cython.Py_ssize_t
) -> None:
    if cells.shape[0] != partials:
        raise ValueError("each partial needs its cell")
    if not _there(cells, total):
        raise ValueError("a partial names a cell that is not there")


@cython.cfunc
def _check_counts(counts: npt.NDArray[np.int64] | None, total: cython.Py_ssize_t) -> npt.NDArray[np.int64]:
    if counts is None:
        return _NO_COUNTS
    if len(counts) != total:
        raise ValueError("each cell needs its count")
    return counts


def _validity(valid: npt.NDArray[np.bool_] | None, rows: int) -> npt.NDArray[np.uint8]:
    if valid is None:
        return _NO_ROWS
    if len(valid) != rows:
        raise ValueError("a validity must be as long as its column")
    return np.ascontiguousarray(valid).view(np.uint8)


# -- finding slices


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _first_at(
    times: cython.const[cython.longlong][::1], begin: cython.longlong, end: cython.longlong, value: cython.longlong
) -> cython.longlong:
    """The first position in ``begin:end`` whose time is not below `value`."""
    middle: cython.longlong
    while begin < end:
        middle = (begin + end) >> 1
        if times[middle] < value:
            begin = middle + 1
        else:
            end = middle
    return begin


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _first_above(
    times: cython.const[cython.longlong][::1], begin: cython.longlong, end: cython.longlong, value: cython.longlong
) -> cython.longlong:
    """The first position in ``begin:end`` whose time is above `value`."""
    middle: cython.longlong
    while begin < end:
        middle = (begin + end) >> 1
        if times[middle] <= value:
            begin = middle + 1
        else:
            end = middle
    return begin


def bounds(
    times: npt.NDArray[np.int64],
    begins: npt.NDArray[np.int64],
    ends: npt.NDArray[np.int64],
    low: npt.NDArray[np.int64],
    high: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Of each slice the part with ``low[i] <= time <= high[i]`` (ns): its begins and ends, int64[slices].

    Raises ValueError if a slice lies outside `times`.
    """
    if len(low) != len(begins) or len(high) != len(begins):
        raise ValueError("each slice needs its bounds")
    first = np.empty(len(begins), dtype=np.int64)
    last = np.empty(len(begins), dtype=np.int64)
    t: cython.const[cython.longlong][::1] = memoryview(times)
    b: cython.const[cython.longlong][::1] = memoryview(begins)
    e: cython.const[cython.longlong][::1] = memoryview(ends)
    lo: cython.const[cython.longlong][::1] = memoryview(low)
    hi: cython.const[cython.longlong][::1] = memoryview(high)
    _check_slices(t.shape[0], b, e)
    f: cython.longlong[::1] = memoryview(first)
    la: cython.longlong[::1] = memoryview(last)
    i: cython.Py_ssize_t
    n: cython.Py_ssize_t = len(begins)
    with cython.nogil:
        for i in range(n):
            f[i] = _first_at(t, b[i], e[i], lo[i])
            la[i] = _first_above(t, f[i], e[i], hi[i])
    return first, last


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
@cython.cdivision(True)
def _bucket(time: cython.longlong, first_end: cython.longlong, interval: cython.ulonglong) -> cython.ulonglong:
    """The bucket of `time`: 0 before `first_end`, then one more for every `interval`."""
    if time < first_end:
        return 0
    return (cython.cast(cython.ulonglong, time) - cython.cast(cython.ulonglong, first_end)) // interval + 1


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
@cython.inline
def _below(time: cython.longlong, first_end: cython.longlong, border: cython.ulonglong) -> cython.bint:
    """Whether `time` is less than `border` ns after `first_end`."""
    if time < first_end:
        return True
    return cython.cast(cython.ulonglong, time) - cython.cast(cython.ulonglong, first_end) < border


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _split(
    times: cython.const[cython.longlong][::1],
    begins: cython.const[cython.longlong][::1],
    ends: cython.const[cython.longlong][::1],
    first_end: cython.longlong,
    interval: cython.ulonglong,
    piece: cython.longlong[::1],
    bucket: cython.ulonglong[::1],
    begin: cython.longlong[::1],
    end: cython.longlong[::1],
    fill: cython.bint,
) -> cython.Py_ssize_t:
    """Cut the slices at bucket borders; without `fill` only count the parts. Returns how many there are."""
    parts: cython.Py_ssize_t = 0
    i: cython.Py_ssize_t
    at: cython.longlong
    stop: cython.longlong
    step: cython.longlong
    middle: cython.longlong
    number: cython.ulonglong
    last: cython.ulonglong
    border: cython.ulonglong
    for i in range(begins.shape[0]):
        at = begins[i]
        if at >= ends[i]:
            continue
        last = _bucket(times[ends[i] - 1], first_end, interval)
        while at < ends[i]:
            number = _bucket(times[at], first_end, interval)
            stop = ends[i]
            if number != last:
                # A later bucket has a row, so the border fits in 64 bits. Growing steps, then halving ones.
                border = number * interval
                middle = at
                step = 1
                while middle + step < stop and _below(times[middle + step], first_end, border):
                    middle += step
                    step += step
                stop = min(stop, middle + step)
                while middle + 1 < stop:
                    step = (middle + stop) >> 1
                    if _below(times[step], first_end, border):
                        middle = step
                    else:
                        stop = step
            if fill:
                piece[parts] = i
                bucket[parts] = number
                begin[parts] = at
                end[parts] = stop
            parts += 1
            at = stop
    return parts


def split(
    times: npt.NDArray[np.int64],
    begins: npt.NDArray[np.int64],
    ends: npt.NDArray[np.int64],
    first_end: int,
    interval: int,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Cut slices where a bucket ends: bucket 0 ends at `first_end` (int64 ns), each later one `interval` ns on.

    Returns per part the number of its slice int64, its bucket uint64 and its begin and end int64. Raises
    ValueError if a slice lies outside `times` or `interval` is not positive.
    """
    if interval <= 0:
        raise ValueError("an interval must be positive")
    t: cython.const[cython.longlong][::1] = memoryview(times)
    b: cython.const[cython.longlong][::1] = memoryview(begins)
    e: cython.const[cython.longlong][::1] = memoryview(ends)
    _check_slices(t.shape[0], b, e)
    first: cython.longlong = first_end
    width: cython.ulonglong = interval
    none = np.empty(0, dtype=np.int64)
    nothing: cython.longlong[::1] = memoryview(none)
    no_buckets: cython.ulonglong[::1] = memoryview(none.view(np.uint64))
    parts: cython.Py_ssize_t
    with cython.nogil:
        parts = _split(t, b, e, first, width, nothing, no_buckets, nothing, nothing, False)
    piece = np.empty(parts, dtype=np.int64)
    bucket = np.empty(parts, dtype=np.uint64)
    begin = np.empty(parts, dtype=np.int64)
    end = np.empty(parts, dtype=np.int64)
    p: cython.longlong[::1] = memoryview(piece)
    k: cython.ulonglong[::1] = memoryview(bucket)
    pb: cython.longlong[::1] = memoryview(begin)
    pe: cython.longlong[::1] = memoryview(end)
    with cython.nogil:
        _split(t, b, e, first, width, p, k, pb, pe, True)
    return piece, bucket, begin, end


# -- reducing a column over each slice, into cells


def count(
    cells: npt.NDArray[np.int64],
    valid: npt.NDArray[np.bool_],
    begins: npt.NDArray[np.int64],
    ends: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
) -> None:
    """Count the valid rows. Raises ValueError on slices or cells outside."""
    c: cython.const[cython.longlong][::1] = memoryview(cells)
    v: cython.const[cython.uchar][::1] = memoryview(_validity(valid, len(valid)))
    b: cython.const[cython.longlong][::1] = memoryview(begins)
    e: cython.const[cython.longlong][::1] = memoryview(ends)
    m: cython.longlong[::1] = memoryview(counts)
    _check_slices(v.shape[0], b, e)
    _check_cells(c, b.shape[0], m.shape[0])
    i: cython.Py_ssize_t
    j: cython.longlong
    total: cython.longlong
    n: cython.Py_ssize_t = b.shape[0]
    with cython.nogil:
        for i in range(n):
            total = 0
            for j in range(b[i], e[i]):
                total += v[j]
            m[c[i]] += total


def sum_floats(
    cells: npt.NDArray[np.int64],
    values: npt.NDArray[np.float64],
    valid: npt.NDArray[np.bool_] | None,
    begins: npt.NDArray[np.int64],
    ends: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64] | None,
    sums: npt.NDArray[np.float64],
) -> None:
    """Add the valid values to `sums` float64[cells]. Raises ValueError on slices or cells outside."""
    c: cython.const[cython.longlong][::1] = memoryview(cells)
    x: cython.const[cython.double][::1] = memoryview(values)
    v: cython.const[cython.uchar][::1] = memoryview(_validity(valid, len(values)))
    b: cython.const[cython.longlong][::1] = memoryview(begins)
    e: cython.const[cython.longlong][::1] = memoryview(ends)
    s: cython.double[::1] = memoryview(sums)
    _check_slices(x.shape[0], b, e)
    _check_cells(c, b.shape[0], s.shape[0])
    m: cython.longlong[::1] = memoryview(_check_counts(counts, s.shape[0]))
    counting: cython.bint = counts is not None
    some: cython.bint = valid is not None
    i: cython.Py_ssize_t
    j: cython.longlong
    number: cython.longlong
    one: cython.double
    two: cython.double
    three: cython.double
    four: cython.double
    n: cython.Py_ssize_t = b.shape[0]
    with cython.nogil:
        for i in range(n):
            # Four sums side by side: one alone waits for each addition to end before the next begins.
            one = two = three = four = 0.0
            j = b[i]
            if some:
                number = 0
                for j in range(b[i], e[i]):
                    if v[j]:
                        one += x[j]
                        number += 1
            else:
                number = e[i] - b[i]
                while j + 4 <= e[i]:
                    one += x[j]
                    two += x[j + 1]
                    three += x[j + 2]
                    four += x[j + 3]
                    j += 4
                while j < e[i]:
                    one += x[j]
                    j += 1
            s[c[i]] += (one + two) + (three + four)
            if counting:
                m[c[i]] += number


def sum_integers(
    cells: npt.NDArray[np.int64],
    values: npt.NDArray[np.uint64],
    valid: npt.NDArray[np.bool_] | None,
    begins: npt.NDArray[np.int64],
    ends: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64] | None,
    sums: npt.NDArray[np.uint64],
) -> None:
    """Add the valid values to `sums` uint64[cells], modulo 2**64. For int64 pass a view.

    Raises ValueError on slices or cells outside.
    """
    c: cython.const[cython.longlong][::1] = memoryview(cells)
    x: cython.const[cython.ulonglong][::1] = memoryview(values)
    v: cython.const[cython.uchar][::1] = memoryview(_validity(valid, len(values)))
    b: cython.const[cython.longlong][::1] = memoryview(begins)
    e: cython.const[cython.longlong][::1] = memoryview(ends)
    s: cython.ulonglong[::1] = memoryview(sums)
    _check_slices(x.shape[0], b, e)
    _check_cells(c, b.shape[0], s.shape[0])
    m: cython.longlong[::1] = memoryview(_check_counts(counts, s.shape[0]))
    counting: cython.bint = counts is not None
    some: cython.bint = valid is not None
    i: cython.Py_ssize_t
    j: cython.longlong
    number: cython.longlong
    total: cython.ulonglong
    n: cython.Py_ssize_t = b.shape[0]
    with cython.nogil:
        for i in range(n):
            total = s[c[i]]
            number = e[i] - b[i]
            if some:
                number = 0
                for j in range(b[i], e[i]):
                    if v[j]:
                        total += x[j]
                        number += 1
            else:
                for j in range(b[i], e[i]):
                    total += x[j]
            s[c[i]] = total & WORD
            if counting:
                m[c[i]] += number


def extreme_floats(
    cells: npt.NDArray[np.int64],
    values: npt.NDArray[np.float64],
    valid: npt.NDArray[np.bool_] | None,
    times: npt.NDArray[np.int64],
    begins: npt.NDArray[np.int64],
    ends: npt.NDArray[np.int64],
    largest: bool,
    counts: npt.NDArray[np.int64] | None,
    seen: npt.NDArray[np.bool_],
    cell_values: npt.NDArray[np.float64],
    cell_times: npt.NDArray[np.int64],
) -> None:
    """Keep per cell the smallest (`largest`: largest) valid value and, of equal ones, the earliest time.

    Of equal ones in a slice, whose times ascend, the first. NaN is chosen only where there is nothing else, zeros
    are equal and kept without a sign. `seen` tells which cells hold a value; it, `cell_values` and
    `cell_times` are changed. Raises ValueError on slices or cells outside.
    """
    c: cython.const[cython.longlong][::1] = memoryview(cells)
    x: cython.const[cython.double][::1] = memoryview(values)
    v: cython.const[cython.uchar][::1] = memoryview(_validity(valid, len(values)))
    b: cython.const[cython.longlong][::1] = memoryview(begins)
    e: cython.const[cython.longlong][::1] = memoryview(ends)
    t: cython.const[cython.longlong][::1] = memoryview(times)
    s: cython.uchar[::1] = memoryview(seen.view(np.uint8))
    cv: cython.double[::1] = memoryview(cell_values)
    ct: cython.longlong[::1] = memoryview(cell_times)
    _check_slices(x.shape[0], b, e)
    _check_cells(c, b.shape[0], s.shape[0])
    if t.shape[0] != x.shape[0] or cv.shape[0] != s.shape[0] or ct.shape[0] != s.shape[0]:
        raise ValueError("values and times must be as many as their rows and cells")
    m: cython.longlong[::1] = memoryview(_check_counts(counts, s.shape[0]))
    counting: cython.bint = counts is not None
    some: cython.bint = valid is not None
    most: cython.bint = largest
    i: cython.Py_ssize_t
    j: cython.longlong
    number: cython.longlong
    best: cython.longlong
    cell: cython.longlong
    better: cython.bint
    nan: cython.bint
    value: cython.double
    n: cython.Py_ssize_t = b.shape[0]
    with cython.nogil:
        for i in range(n):
            number = e[i] - b[i]
            best = -1
            nan = False
            value = 0.0
            for j in range(b[i], e[i]):
                if some and not v[j]:
                    number -= 1
                    continue
                if best < 0 or (x[j] > value if most else x[j] < value) or (nan and x[j] == x[j]):
                    best = j
                    value = x[j]
                    nan = value != value  # noqa: PLR0124
            if best < 0:
                continue
            cell = c[i]
            if counting:
                m[cell] += number
            value += 0.0
            if not s[cell]:
                better = True
            elif value == cv[cell] or (nan and cv[cell] != cv[cell]):
                better = t[best] < ct[cell]
            elif nan or cv[cell] != cv[cell]:
                better = not nan
            else:
                better = value > cv[cell] if most else value < cv[cell]
            if better:
                s[cell] = 1
                cv[cell] = value
                ct[cell] = t[best]


def extreme_integers(
    cells: npt.NDArray[np.int64],
    values: npt.NDArray[np.int64],
    valid: npt.NDArray[np.bool_] | None,
    times: npt.NDArray[np.int64],
    begins: npt.NDArray[np.int64],
    ends: npt.NDArray[np.int64],
    unsigned: bool,
    largest: bool,
    counts: npt.NDArray[np.int64] | None,
    seen: npt.NDArray[np.bool_],
    cell_keys: npt.NDArray[np.int64],
    cell_times: npt.NDArray[np.int64],
) -> None:
    """Keep per cell the key of the smallest (`largest`: largest) valid value and, of equal ones, the earliest time.

    An int64 is its own key; `unsigned`: `values` is a view of uint64, their keys have the highest bit flipped and
    sort as they do. Everything else as `extreme_floats`.
    """
    c: cython.const[cython.longlong][::1] = memoryview(cells)
    x: cython.const[cython.longlong][::1] = memoryview(values)
    v: cython.const[cython.uchar][::1] = memoryview(_validity(valid, len(values)))
    b: cython.const[cython.longlong][::1] = memoryview(begins)
    e: cython.const[cython.longlong][::1] = memoryview(ends)
    t: cython.const[cython.longlong][::1] = memoryview(times)
    s: cython.uchar[::1] = memoryview(seen.view(np.uint8))
    ck: cython.longlong[::1] = memoryview(cell_keys)
    ct: cython.longlong[::1] = memoryview(cell_times)
    _check_slices(x.shape[0], b, e)
    _check_cells(c, b.shape[0], s.shape[0])
    if t.shape[0] != x.shape[0] or ck.shape[0] != s.shape[0] or ct.shape[0] != s.shape[0]:
        raise ValueError("keys and times must be as many as their rows and cells")
    m: cython.longlong[::1] = memoryview(_check_counts(counts, s.shape[0]))
    counting: cython.bint = counts is not None
    some: cython.bint = valid is not None
    most: cython.bint = largest
    flip: cython.longlong = LEAST if unsigned else 0
    i: cython.Py_ssize_t
    j: cython.longlong
    number: cython.longlong
    best: cython.longlong
    cell: cython.longlong
    key: cython.longlong
    better: cython.bint
    n: cython.Py_ssize_t = b.shape[0]
    with cython.nogil:
        for i in range(n):
            number = e[i] - b[i]
            best = -1
            key = 0
            for j in range(b[i], e[i]):
                if some and not v[j]:
                    number -= 1
                    continue
                if best < 0 or ((x[j] ^ flip) > key if most else (x[j] ^ flip) < key):
                    best = j
                    key = x[j] ^ flip
            if best < 0:
                continue
            cell = c[i]
            if counting:
                m[cell] += number
            if not s[cell]:
                better = True
            elif key == ck[cell]:
                better = t[best] < ct[cell]
            else:
                better = key > ck[cell] if most else key < ck[cell]
            if better:
                s[cell] = 1
                ck[cell] = key
                ct[cell] = t[best]


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _key(word: cython.longlong, order: cython.int) -> cython.longlong:
    """A number that sorts as the value whose bits are `word`; of floats, every NaN is one and below the others."""
    if order == _SIGNED:
        return word
    if order == _UNSIGNED:
        return word ^ LEAST
    if (word & GREATEST) > INFINITY_BITS:
        return LEAST
    return word ^ ((word >> 63) & GREATEST)


def edges(
    cells: npt.NDArray[np.int64],
    values: npt.NDArray[np.int64],
    valid: npt.NDArray[np.bool_] | None,
    times: npt.NDArray[np.int64],
    begins: npt.NDArray[np.int64],
    ends: npt.NDArray[np.int64],
    order: int,
    last: bool,
    counts: npt.NDArray[np.int64] | None,
    seen: npt.NDArray[np.bool_],
    cell_keys: npt.NDArray[np.int64],
    cell_times: npt.NDArray[np.int64],
) -> None:
    """Keep per cell the key of the first (`last`: last) valid value and, of those at one time, the largest.

    `values` is a view of what `order` says; keys sort as the values do: negative zero is below zero; NaN, whose
    sign and payload are lost, below everything. Values between are not looked at: a slice that has any counts 1.
    Everything else as `extreme_integers`.
    """
    c: cython.const[cython.longlong][::1] = memoryview(cells)
    x: cython.const[cython.longlong][::1] = memoryview(values)
    v: cython.const[cython.uchar][::1] = memoryview(_validity(valid, len(values)))
    b: cython.const[cython.longlong][::1] = memoryview(begins)
    e: cython.const[cython.longlong][::1] = memoryview(ends)
    t: cython.const[cython.longlong][::1] = memoryview(times)
    s: cython.uchar[::1] = memoryview(seen.view(np.uint8))
    ck: cython.longlong[::1] = memoryview(cell_keys)
    ct: cython.longlong[::1] = memoryview(cell_times)
    _check_slices(x.shape[0], b, e)
    _check_cells(c, b.shape[0], s.shape[0])
    if t.shape[0] != x.shape[0] or ck.shape[0] != s.shape[0] or ct.shape[0] != s.shape[0]:
        raise ValueError("keys and times must be as many as their rows and cells")
    m: cython.longlong[::1] = memoryview(_check_counts(counts, s.shape[0]))
    counting: cython.bint = counts is not None
    some: cython.bint = valid is not None
    kind: cython.int = order
    backwards: cython.bint = last
    i: cython.Py_ssize_t
    j: cython.longlong
    cell: cython.longlong
    key: cython.longlong
    better: cython.bint
    n: cython.Py_ssize_t = b.shape[0]
    with cython.nogil:
        for i in range(n):
            if backwards:
                j = e[i] - 1
                while some and j >= b[i] and not v[j]:
                    j -= 1
            else:
                j = b[i]
                while some and j < e[i] and not v[j]:
                    j += 1
            if j < b[i] or j >= e[i]:
                continue
            cell = c[i]
            key = _key(x[j], kind)
            if counting:
                m[cell] += 1
            if not s[cell]:
                better = True
            elif t[j] == ct[cell]:
                better = key > ck[cell]
            else:
                better = t[j] > ct[cell] if backwards else t[j] < ct[cell]
            if better:
                s[cell] = 1
                ck[cell] = key
                ct[cell] = t[j]


def moments(
    cells: npt.NDArray[np.int64],
    values: npt.NDArray[np.float64],
    valid: npt.NDArray[np.bool_] | None,
    begins: npt.NDArray[np.int64],
    ends: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64] | None,
    cell_counts: npt.NDArray[np.int64],
    cell_means: npt.NDArray[np.float64],
    cell_squares: npt.NDArray[np.float64],
) -> None:
    """Merge count, mean and sum of squared differences from it of the valid values.

    Of each slice the mean is found first, then the differences; slices merge as Chan, Golub and LeVeque (1979)
    do. The last three arrays are changed. Raises ValueError on slices or cells outside.
    """
    c: cython.const[cython.longlong][::1] = memoryview(cells)
    x: cython.const[cython.double][::1] = memoryview(values)
    v: cython.const[cython.uchar][::1] = memoryview(_validity(valid, len(values)))
    b: cython.const[cython.longlong][::1] = memoryview(begins)
    e: cython.const[cython.longlong][::1] = memoryview(ends)
    cx: cython.longlong[::1] = memoryview(cell_counts)
    cm: cython.double[::1] = memoryview(cell_means)
    cq: cython.double[::1] = memoryview(cell_squares)
    _check_slices(x.shape[0], b, e)
    _check_cells(c, b.shape[0], cx.shape[0])
    if cm.shape[0] != cx.shape[0] or cq.shape[0] != cx.shape[0]:
        raise ValueError("means and squares must be as many as their counts")
    m: cython.longlong[::1] = memoryview(_check_counts(counts, cx.shape[0]))
    counting: cython.bint = counts is not None
    some: cython.bint = valid is not None
    i: cython.Py_ssize_t
    j: cython.longlong
    cell: cython.longlong
    number: cython.longlong
    total: cython.longlong
    mean: cython.double
    squares: cython.double
    delta: cython.double
    share: cython.double
    n: cython.Py_ssize_t = b.shape[0]
    with cython.nogil:
        for i in range(n):
            number = 0
            mean = 0.0
            # A running mean, not a sum: the sum of large values might overflow.
            for j in range(b[i], e[i]):
                if some and not v[j]:
                    continue
                number += 1
                mean += x[j] / number - mean / number
            if number == 0:
                continue
            squares = 0.0
            for j in range(b[i], e[i]):
                if some and not v[j]:
                    continue
                squares += (x[j] - mean) * (x[j] - mean)
            cell = c[i]
            if counting:
                m[cell] += number
            if cx[cell] == 0:
                cx[cell] = number
                cm[cell] = mean
                cq[cell] = squares
                continue
            total = cx[cell] + number
            share = cython.cast(cython.double, number) / cython.cast(cython.double, total)
            delta = mean - cm[cell]
            cq[cell] += squares + delta * delta * (share * cython.cast(cython.double, cx[cell]))
            cm[cell] += delta * share
            cx[cell] = total


def edge_rows(
    valid: npt.NDArray[np.bool_] | None, begins: npt.NDArray[np.int64], ends: npt.NDArray[np.int64], last: bool
) -> npt.NDArray[np.int64]:
    """The first (`last`: last) valid row of each slice, -1 where there is none: int64[slices].

    For values that no cell here can hold. Raises ValueError on slices outside `valid`.
    """
    if valid is None:
        rows = ends - 1 if last else begins.copy()
        rows[begins >= ends] = -1
        return rows
    rows = np.empty(len(begins), dtype=np.int64)
    v: cython.const[cython.uchar][::1] = memoryview(_validity(valid, len(valid)))
    b: cython.const[cython.longlong][::1] = memoryview(begins)
    e: cython.const[cython.longlong][::1] = memoryview(ends)
    _check_slices(v.shape[0], b, e)
    r: cython.longlong[::1] = memoryview(rows)
    backwards: cython.bint = last
    i: cython.Py_ssize_t
    j: cython.longlong
    n: cython.Py_ssize_t = len(begins)
    with cython.nogil:
        for i in range(n):
            r[i] = -1
            if backwards:
                j = e[i] - 1
                while j >= b[i]:
                    if v[j]:
                        r[i] = j
                        break
                    j -= 1
            else:
                for j in range(b[i], e[i]):
                    if v[j]:
                        r[i] = j
                        break
    return rows


# -- cells, and what is known already


def find_cells(
    groups: npt.NDArray[np.int64],
    buckets: npt.NDArray[np.int64],
    slots: npt.NDArray[np.int64],
    cell_groups: npt.NDArray[np.int64],
    cell_buckets: npt.NDArray[np.int64],
    used: int,
    cells: npt.NDArray[np.int64],
) -> int:
    """The cell of each (group, bucket), new ones in order of appearance: fills `cells`, returns how many are used.

    A hash table: `slots` (a power of two of them, -1 = empty) holds numbers of cells, whose keys are the first
    `used` elements of `cell_groups` and `cell_buckets`. Raises ValueError if there is no room for one new
    cell for each pair with half of the slots left empty.
    """
    count = len(groups)
    size = len(slots)
    if len(buckets) != count or len(cells) != count:
        raise ValueError("each pair needs its cell")
    if size & (size - 1) or 2 * (used + count) > size or used + count > min(len(cell_groups), len(cell_buckets)):
        raise ValueError("the table has no room for as many new cells")
    g: cython.const[cython.longlong][::1] = memoryview(groups)
    k: cython.const[cython.longlong][::1] = memoryview(buckets)
    s: cython.longlong[::1] = memoryview(slots)
    cg: cython.longlong[::1] = memoryview(cell_groups)
    ck: cython.longlong[::1] = memoryview(cell_buckets)
    out: cython.longlong[::1] = memoryview(cells)
    total: cython.longlong = used
    mask: cython.ulonglong = size - 1
    word: cython.ulonglong = 0xFFFFFFFFFFFFFFFF
    odd: cython.ulonglong = 0x9E3779B97F4A7C15
    i: cython.Py_ssize_t
    at: cython.ulonglong
    cell: cython.longlong
    n: cython.Py_ssize_t = count
    with cython.nogil:
        for i in range(n):
            # Fibonacci hashing; the buckets are multiples of one number, so the high half must take part.
            at = ((cython.cast(cython.ulonglong, g[i]) * odd) & word) ^ (cython.cast(cython.ulonglong, k[i]) & word)
            at = (at * odd) & word
            at = (at ^ (at >> 32)) & mask
            while True:
                cell = s[at]
                if cell < 0:
                    cell = total
                    s[at] = cell
                    cg[cell] = g[i]
                    ck[cell] = k[i]
                    total += 1
                    break
                if cg[cell] == g[i] and ck[cell] == k[i]:
                    break
                at = (at + 1) & mask
            out[i] = cell
    return total


def add_counts(cells: npt.NDArray[np.int64], counts: npt.NDArray[np.int64], total: npt.NDArray[np.int64]) -> None:
    """``total[cells[i]] += counts[i]``. Raises ValueError on a cell that is not there."""
    c: cython.const[cython.longlong][::1] = memoryview(cells)
    x: cython.const[cython.longlong][::1] = memoryview(counts)
    t: cython.longlong[::1] = memoryview(total)
    _check_cells(c, x.shape[0], t.shape[0])
    i: cython.Py_ssize_t
    n: cython.Py_ssize_t = len(counts)
    with cython.nogil:
        for i in range(n):
            t[c[i]] += x[i]


def add_floats(cells: npt.NDArray[np.int64], sums: npt.NDArray[np.float64], total: npt.NDArray[np.float64]) -> None:
    """``total[cells[i]] += sums[i]``. Raises ValueError on a cell that is not there."""
    c: cython.const[cython.longlong][::1] = memoryview(cells)
    x: cython.const[cython.double][::1] = memoryview(sums)
    t: cython.double[::1] = memoryview(total)
    _check_cells(c, x.shape[0], t.shape[0])
    i: cython.Py_ssize_t
    n: cython.Py_ssize_t = len(sums)
    with cython.nogil:
        for i in range(n):
            t[c[i]] += x[i]


def add_integers(cells: npt.NDArray[np.int64], sums: npt.NDArray[np.uint64], total: npt.NDArray[np.uint64]) -> None:
    """``total[cells[i]] += sums[i]`` modulo 2**64. Raises ValueError on a cell that is not there."""
    c: cython.const[cython.longlong][::1] = memoryview(cells)
    x: cython.const[cython.ulonglong][::1] = memoryview(sums)
    t: cython.ulonglong[::1] = memoryview(total)
    _check_cells(c, x.shape[0], t.shape[0])
    i: cython.Py_ssize_t
    mask: cython.ulonglong = 0xFFFFFFFFFFFFFFFF
    n: cython.Py_ssize_t = len(sums)
    with cython.nogil:
        for i in range(n):
            t[c[i]] = (t[c[i]] + x[i]) & mask
