# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# distutils: extra_compile_args = -O3
"""Aggregates over slices of sorted columns, and their merging into cells.

A *slice* is the rows ``begins[i]:ends[i]`` of a batch: a part of one series' run, so its times ascend. The
first functions find slices (`bounds` cuts runs to a time range, `split` cuts them at bucket borders), the
next reduce a column over each slice, the last merge such partial results into cells (`cells[i]` is
the cell of partial i; several partials may share one).

Values of an ordered state travel as int64 *keys* that sort as the values do (the caller maps floats and unsigned
numbers), so one merging function serves every type. `valid` is bool[rows] or None for "all of them".
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

try:
    import cython
except ImportError:
    from rusts.kernels import standin as cython

__all__ = [
    "SOURCE_DIGEST",
    "add_counts",
    "add_floats",
    "add_integers",
    "bounds",
    "count_valid",
    "edge_rows",
    "extreme_floats",
    "extreme_integers",
    "find_cells",
    "merge_edges",
    "merge_extremes",
    "merge_moments",
    "moments",
    "split",
    "sum_floats",
    "sum_integers",
]

SOURCE_DIGEST = "4810bea3e1a92773"

_NO_ROWS = np.empty(0, dtype=np.uint8)
_NO_ROWS.flags.writeable = False


def _check_slices(rows: int, begins: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> None:
    if len(begins) != len(ends):
        raise ValueError("slices need as many begins as ends")
    if len(begins) and (int(begins.min()) < 0 or int(ends.max()) > rows or bool((begins > ends).any())):
        raise ValueError("a slice lies outside its column")


def _check_cells(cells: npt.NDArray[np.int64], partials: int, total: int) -> None:
    if len(cells) != partials:
        raise ValueError("each partial needs its cell")
    if partials and (int(cells.min()) < 0 or int(cells.max()) >= total):
        raise ValueError("a partial names a cell that is not there")


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
    _check_slices(len(times), begins, ends)
    if len(low) != len(begins) or len(high) != len(begins):
        raise ValueError("each slice needs its bounds")
    first = np.empty(len(begins), dtype=np.int64)
    last = np.empty(len(begins), dtype=np.int64)
    t: cython.const[cython.longlong][::1] = memoryview(times)
    b: cython.const[cython.longlong][::1] = memoryview(begins)
    e: cython.const[cython.longlong][::1] = memoryview(ends)
    lo: cython.const[cython.longlong][::1] = memoryview(low)
    hi: cython.const[cython.longlong][::1] = memoryview(high)
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
    _check_slices(len(times), begins, ends)
    if interval <= 0:
        raise ValueError("an interval must be positive")
    t: cython.const[cython.longlong][::1] = memoryview(times)
    b: cython.const[cython.longlong][::1] = memoryview(begins)
    e: cython.const[cython.longlong][::1] = memoryview(ends)
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


# -- reducing a column over each slice


def count_valid(
    valid: npt.NDArray[np.bool_], begins: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """How many rows of each slice are valid: int64[slices]. Raises ValueError on slices outside."""
    _check_slices(len(valid), begins, ends)
    counts = np.empty(len(begins), dtype=np.int64)
    v: cython.const[cython.uchar][::1] = memoryview(_validity(valid, len(valid)))
    b: cython.const[cython.longlong][::1] = memoryview(begins)
    e: cython.const[cython.longlong][::1] = memoryview(ends)
    c: cython.longlong[::1] = memoryview(counts)
    i: cython.Py_ssize_t
    j: cython.longlong
    total: cython.longlong
    n: cython.Py_ssize_t = len(begins)
    with cython.nogil:
        for i in range(n):
            total = 0
            for j in range(b[i], e[i]):
                total += v[j]
            c[i] = total
    return counts


def sum_floats(
    values: npt.NDArray[np.float64],
    valid: npt.NDArray[np.bool_] | None,
    begins: npt.NDArray[np.int64],
    ends: npt.NDArray[np.int64],
) -> npt.NDArray[np.float64]:
    """The sum of the valid values of each slice: float64[slices]. Raises ValueError on slices outside."""
    _check_slices(len(values), begins, ends)
    sums = np.empty(len(begins), dtype=np.float64)
    x: cython.const[cython.double][::1] = memoryview(values)
    v: cython.const[cython.uchar][::1] = memoryview(_validity(valid, len(values)))
    b: cython.const[cython.longlong][::1] = memoryview(begins)
    e: cython.const[cython.longlong][::1] = memoryview(ends)
    s: cython.double[::1] = memoryview(sums)
    some: cython.bint = valid is not None
    i: cython.Py_ssize_t
    j: cython.longlong
    one: cython.double
    two: cython.double
    three: cython.double
    four: cython.double
    n: cython.Py_ssize_t = len(begins)
    with cython.nogil:
        for i in range(n):
            # Four sums side by side: one alone waits for each addition to end before the next begins.
            one = two = three = four = 0.0
            j = b[i]
            if some:
                for j in range(b[i], e[i]):
                    if v[j]:
                        one += x[j]
            else:
                while j + 4 <= e[i]:
                    one += x[j]
                    two += x[j + 1]
                    three += x[j + 2]
                    four += x[j + 3]
                    j += 4
                while j < e[i]:
                    one += x[j]
                    j += 1
            s[i] = (one + two) + (three + four)
    return sums


def sum_integers(
    values: npt.NDArray[np.uint64],
    valid: npt.NDArray[np.bool_] | None,
    begins: npt.NDArray[np.int64],
    ends: npt.NDArray[np.int64],
) -> npt.NDArray[np.uint64]:
    """The sum, modulo 2**64, of the valid values of each slice: uint64[slices]. For int64 pass a view.

    Raises ValueError on slices outside.
    """
    _check_slices(len(values), begins, ends)
    sums = np.empty(len(begins), dtype=np.uint64)
    x: cython.const[cython.ulonglong][::1] = memoryview(values)
    v: cython.const[cython.uchar][::1] = memoryview(_validity(valid, len(values)))
    b: cython.const[cython.longlong][::1] = memoryview(begins)
    e: cython.const[cython.longlong][::1] = memoryview(ends)
    s: cython.ulonglong[::1] = memoryview(sums)
    some: cython.bint = valid is not None
    i: cython.Py_ssize_t
    j: cython.longlong
    total: cython.ulonglong
    mask: cython.ulonglong = 0xFFFFFFFFFFFFFFFF
    n: cython.Py_ssize_t = len(begins)
    with cython.nogil:
        for i in range(n):
            total = 0
            if some:
                for j in range(b[i], e[i]):
                    if v[j]:
                        total += x[j]
            else:
                for j in range(b[i], e[i]):
                    total += x[j]
            s[i] = total & mask
    return sums


def extreme_floats(
    values: npt.NDArray[np.float64],
    valid: npt.NDArray[np.bool_] | None,
    begins: npt.NDArray[np.int64],
    ends: npt.NDArray[np.int64],
    largest: bool,
) -> npt.NDArray[np.int64]:
    """The row of the smallest (`largest`: largest) value of each slice, the first of equal ones: int64[slices].

    -1 where the slice has no valid value. NaN is chosen only where there is nothing else. Raises ValueError
    on slices outside.
    """
    _check_slices(len(values), begins, ends)
    rows = np.empty(len(begins), dtype=np.int64)
    x: cython.const[cython.double][::1] = memoryview(values)
    v: cython.const[cython.uchar][::1] = memoryview(_validity(valid, len(values)))
    b: cython.const[cython.longlong][::1] = memoryview(begins)
    e: cython.const[cython.longlong][::1] = memoryview(ends)
    r: cython.longlong[::1] = memoryview(rows)
    some: cython.bint = valid is not None
    most: cython.bint = largest
    i: cython.Py_ssize_t
    j: cython.longlong
    best: cython.longlong
    nan: cython.bint
    value: cython.double
    n: cython.Py_ssize_t = len(begins)
    with cython.nogil:
        for i in range(n):
            best = -1
            nan = False
            value = 0.0
            for j in range(b[i], e[i]):
                if some and not v[j]:
                    continue
                if best < 0 or (x[j] > value if most else x[j] < value) or (nan and x[j] == x[j]):
                    best = j
                    value = x[j]
                    nan = value != value  # noqa: PLR0124
            r[i] = best
    return rows


def extreme_integers(
    values: npt.NDArray[np.int64],
    valid: npt.NDArray[np.bool_] | None,
    begins: npt.NDArray[np.int64],
    ends: npt.NDArray[np.int64],
    largest: bool,
) -> npt.NDArray[np.int64]:
    """The row of the smallest (`largest`: largest) key of each slice, the first of equal ones: int64[slices].

    -1 where the slice has no valid value. Raises ValueError on slices outside.
    """
    _check_slices(len(values), begins, ends)
    rows = np.empty(len(begins), dtype=np.int64)
    x: cython.const[cython.longlong][::1] = memoryview(values)
    v: cython.const[cython.uchar][::1] = memoryview(_validity(valid, len(values)))
    b: cython.const[cython.longlong][::1] = memoryview(begins)
    e: cython.const[cython.longlong][::1] = memoryview(ends)
    r: cython.longlong[::1] = memoryview(rows)
    some: cython.bint = valid is not None
    most: cython.bint = largest
    i: cython.Py_ssize_t
    j: cython.longlong
    best: cython.longlong
    value: cython.longlong
    n: cython.Py_ssize_t = len(begins)
    with cython.nogil:
        for i in range(n):
            best = -1
            value = 0
            for j in range(b[i], e[i]):
                if some and not v[j]:
                    continue
                if best < 0 or (x[j] > value if most else x[j] < value):
                    best = j
                    value = x[j]
            r[i] = best
    return rows


def edge_rows(
    valid: npt.NDArray[np.bool_] | None, begins: npt.NDArray[np.int64], ends: npt.NDArray[np.int64], last: bool
) -> npt.NDArray[np.int64]:
    """The first (`last`: last) valid row of each slice, -1 where there is none: int64[slices].

    Raises ValueError on slices outside `valid`.
    """
    if valid is None:
        rows = ends - 1 if last else begins.copy()
        rows[begins >= ends] = -1
        return rows
    _check_slices(len(valid), begins, ends)
    rows = np.empty(len(begins), dtype=np.int64)
    v: cython.const[cython.uchar][::1] = memoryview(_validity(valid, len(valid)))
    b: cython.const[cython.longlong][::1] = memoryview(begins)
    e: cython.const[cython.longlong][::1] = memoryview(ends)
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


def moments(
    values: npt.NDArray[np.float64],
    valid: npt.NDArray[np.bool_] | None,
    begins: npt.NDArray[np.int64],
    ends: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Mean and sum of squared differences from it over each slice: two float64[slices], 0 without values.

    The mean is found first, then the differences. Raises ValueError on slices outside.
    """
    _check_slices(len(values), begins, ends)
    means = np.zeros(len(begins), dtype=np.float64)
    squares = np.zeros(len(begins), dtype=np.float64)
    x: cython.const[cython.double][::1] = memoryview(values)
    v: cython.const[cython.uchar][::1] = memoryview(_validity(valid, len(values)))
    b: cython.const[cython.longlong][::1] = memoryview(begins)
    e: cython.const[cython.longlong][::1] = memoryview(ends)
    m: cython.double[::1] = memoryview(means)
    q: cython.double[::1] = memoryview(squares)
    some: cython.bint = valid is not None
    i: cython.Py_ssize_t
    j: cython.longlong
    count: cython.longlong
    mean: cython.double
    total: cython.double
    n: cython.Py_ssize_t = len(begins)
    with cython.nogil:
        for i in range(n):
            count = 0
            mean = 0.0
            # A running mean, not a sum: the sum of large values might overflow.
            for j in range(b[i], e[i]):
                if some and not v[j]:
                    continue
                count += 1
                mean += x[j] / count - mean / count
            total = 0.0
            if count:
                for j in range(b[i], e[i]):
                    if some and not v[j]:
                        continue
                    total += (x[j] - mean) * (x[j] - mean)
            m[i] = mean
            q[i] = total
    return means, squares


# -- merging partial results into cells


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
    _check_cells(cells, len(counts), len(total))
    c: cython.const[cython.longlong][::1] = memoryview(cells)
    x: cython.const[cython.longlong][::1] = memoryview(counts)
    t: cython.longlong[::1] = memoryview(total)
    i: cython.Py_ssize_t
    n: cython.Py_ssize_t = len(counts)
    with cython.nogil:
        for i in range(n):
            t[c[i]] += x[i]


def add_floats(cells: npt.NDArray[np.int64], sums: npt.NDArray[np.float64], total: npt.NDArray[np.float64]) -> None:
    """``total[cells[i]] += sums[i]``. Raises ValueError on a cell that is not there."""
    _check_cells(cells, len(sums), len(total))
    c: cython.const[cython.longlong][::1] = memoryview(cells)
    x: cython.const[cython.double][::1] = memoryview(sums)
    t: cython.double[::1] = memoryview(total)
    i: cython.Py_ssize_t
    n: cython.Py_ssize_t = len(sums)
    with cython.nogil:
        for i in range(n):
            t[c[i]] += x[i]


def add_integers(cells: npt.NDArray[np.int64], sums: npt.NDArray[np.uint64], total: npt.NDArray[np.uint64]) -> None:
    """``total[cells[i]] += sums[i]`` modulo 2**64. Raises ValueError on a cell that is not there."""
    _check_cells(cells, len(sums), len(total))
    c: cython.const[cython.longlong][::1] = memoryview(cells)
    x: cython.const[cython.ulonglong][::1] = memoryview(sums)
    t: cython.ulonglong[::1] = memoryview(total)
    i: cython.Py_ssize_t
    mask: cython.ulonglong = 0xFFFFFFFFFFFFFFFF
    n: cython.Py_ssize_t = len(sums)
    with cython.nogil:
        for i in range(n):
            t[c[i]] = (t[c[i]] + x[i]) & mask


def merge_extremes(
    cells: npt.NDArray[np.int64],
    keys: npt.NDArray[np.int64],
    times: npt.NDArray[np.int64],
    largest: bool,
    seen: npt.NDArray[np.bool_],
    cell_keys: npt.NDArray[np.int64],
    cell_times: npt.NDArray[np.int64],
) -> None:
    """Keep per cell the smallest (`largest`: largest) key and, of equal ones, the earliest time.

    `seen` tells which cells hold a key; it, `cell_keys` and `cell_times` are changed. Raises ValueError on a
    cell that is not there.
    """
    _merge(cells, keys, times, 1 if largest else -1, 0, seen, cell_keys, cell_times)


def merge_edges(
    cells: npt.NDArray[np.int64],
    keys: npt.NDArray[np.int64],
    times: npt.NDArray[np.int64],
    last: bool,
    seen: npt.NDArray[np.bool_],
    cell_keys: npt.NDArray[np.int64],
    cell_times: npt.NDArray[np.int64],
) -> None:
    """Keep per cell the first (`last`: last) time and, of equal ones, the larger key.

    Everything else as `merge_extremes`.
    """
    _merge(cells, keys, times, 0, 1 if last else -1, seen, cell_keys, cell_times)


def _merge(
    cells: npt.NDArray[np.int64],
    keys: npt.NDArray[np.int64],
    times: npt.NDArray[np.int64],
    by_key: int,
    by_time: int,
    seen: npt.NDArray[np.bool_],
    cell_keys: npt.NDArray[np.int64],
    cell_times: npt.NDArray[np.int64],
) -> None:
    _check_cells(cells, len(keys), len(seen))
    if len(times) != len(keys) or len(cell_keys) != len(seen) or len(cell_times) != len(seen):
        raise ValueError("keys and times must be as many as their cells")
    c: cython.const[cython.longlong][::1] = memoryview(cells)
    k: cython.const[cython.longlong][::1] = memoryview(keys)
    t: cython.const[cython.longlong][::1] = memoryview(times)
    s: cython.uchar[::1] = memoryview(seen.view(np.uint8))
    ck: cython.longlong[::1] = memoryview(cell_keys)
    ct: cython.longlong[::1] = memoryview(cell_times)
    key_sign: cython.int = by_key
    time_sign: cython.int = by_time
    i: cython.Py_ssize_t
    cell: cython.longlong
    better: cython.bint
    n: cython.Py_ssize_t = len(keys)
    with cython.nogil:
        for i in range(n):
            cell = c[i]
            if not s[cell]:
                better = True
            elif key_sign != 0:
                better = t[i] < ct[cell] if k[i] == ck[cell] else (k[i] > ck[cell]) == (key_sign > 0)
            elif t[i] == ct[cell]:
                better = k[i] > ck[cell]
            else:
                better = (t[i] > ct[cell]) == (time_sign > 0)
            if better:
                s[cell] = 1
                ck[cell] = k[i]
                ct[cell] = t[i]


def merge_moments(
    cells: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
    means: npt.NDArray[np.float64],
    squares: npt.NDArray[np.float64],
    cell_counts: npt.NDArray[np.int64],
    cell_means: npt.NDArray[np.float64],
    cell_squares: npt.NDArray[np.float64],
) -> None:
    """Merge counts, means and sums of squared differences as Chan, Golub and LeVeque (1979) do.

    The last three arrays are changed. Raises ValueError on a cell that is not there.
    """
    _check_cells(cells, len(counts), len(cell_counts))
    if not (len(means) == len(squares) == len(counts) and len(cell_means) == len(cell_squares) == len(cell_counts)):
        raise ValueError("means and squares must be as many as their counts")
    c: cython.const[cython.longlong][::1] = memoryview(cells)
    x: cython.const[cython.longlong][::1] = memoryview(counts)
    m: cython.const[cython.double][::1] = memoryview(means)
    q: cython.const[cython.double][::1] = memoryview(squares)
    cx: cython.longlong[::1] = memoryview(cell_counts)
    cm: cython.double[::1] = memoryview(cell_means)
    cq: cython.double[::1] = memoryview(cell_squares)
    i: cython.Py_ssize_t
    cell: cython.longlong
    total: cython.longlong
    delta: cython.double
    share: cython.double
    n: cython.Py_ssize_t = len(counts)
    with cython.nogil:
        for i in range(n):
            if x[i] == 0:
                continue
            cell = c[i]
            if cx[cell] == 0:
                cx[cell] = x[i]
                cm[cell] = m[i]
                cq[cell] = q[i]
                continue
            total = cx[cell] + x[i]
            share = cython.cast(cython.double, x[i]) / cython.cast(cython.double, total)
            delta = m[i] - cm[cell]
            cq[cell] += q[i] + delta * delta * (share * cython.cast(cython.double, cx[cell]))
            cm[cell] += delta * share
            cx[cell] = total
