# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# distutils: extra_compile_args = -O3 -ffp-contract=off
"""Recurrences over runs of numbers: moving sums, exponential averages, the Holt-Winters method with its fit.

Run r is the rows ``starts[r]:starts[r + 1]``. Each value depends on the one before it, so that numpy has
no say here. The order of the operations is part of what is promised: last digits are compared with another server's,
and a simplex walks elsewhere for one of them. Hence no fused multiply-add.
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
    "adaptive_average",
    "descend",
    "exponential_averages",
    "forecast",
    "last_standing",
    "moving_sums",
    "squared_error",
]

SOURCE_DIGEST = "c0e8a5d2d1058645"

NAN = cython.declare(cython.double, float("nan"))
INFINITY = cython.declare(cython.double, float("inf"))


def _check_runs(starts: npt.NDArray[np.int64], rows: int) -> None:
    if len(starts) < 1 or starts[0] != 0 or starts[len(starts) - 1] != rows or bool((np.diff(starts) < 0).any()):
        raise ValueError("starts must rise from 0 to the number of rows")


def moving_sums(values: npt.NDArray[np.float64], starts: npt.NDArray[np.int64], width: int) -> npt.NDArray[np.float64]:
    """float64[rows]: the sum of each row and the ``width - 1`` before it in its run (all of them if `width` is 0).

    What leaves the window is taken off before the new value is added. Raises ValueError on starts that do not fit.
    """
    rows = len(values)
    _check_runs(starts, rows)
    if width < 0:
        raise ValueError("width must not be negative")
    sums = np.empty(rows, dtype=np.float64)
    x: cython.const[cython.double][::1] = memoryview(values)
    s: cython.const[cython.longlong][::1] = memoryview(starts)
    o: cython.double[::1] = memoryview(sums)
    # No run is longer than that.
    back: cython.Py_ssize_t = min(width, rows) if width else rows + 1
    runs: cython.Py_ssize_t = len(starts) - 1
    r: cython.Py_ssize_t
    i: cython.Py_ssize_t
    total: cython.double
    with cython.nogil:
        for r in range(runs):
            total = 0.0
            for i in range(s[r], s[r + 1]):
                if i - s[r] >= back:
                    total -= x[i - back]
                total += x[i]
                o[i] = total
    return sums


def exponential_averages(
    values: npt.NDArray[np.float64], starts: npt.NDArray[np.int64], warm: int, weight: float, simple: bool, depth: int
) -> npt.NDArray[np.float64]:
    """float64[depth, rows]: an exponential average, the average of that, and so on; each new value has `weight`.

    The first `warm` values of a run are averaged plainly if `simple`, else the k-th of them has the weight
    ``2 / (k + 1)``. With `simple` a further average begins only where the one below it has had its `warm` values, and
    is equal to it before that. Raises ValueError on a `warm` or a depth below 1 or starts that do not fit.
    """
    rows = len(values)
    _check_runs(starts, rows)
    if warm < 1 or depth < 1:
        raise ValueError("warm-up and depth must be at least 1")
    averages = np.empty((depth, rows), dtype=np.float64)
    s: cython.const[cython.longlong][::1] = memoryview(starts)
    # Beyond the rows there is no difference.
    p: cython.Py_ssize_t = min(warm, rows + 1)
    alpha: cython.double = weight
    plain: cython.bint = simple
    runs: cython.Py_ssize_t = len(starts) - 1
    r: cython.Py_ssize_t
    i: cython.Py_ssize_t
    lag: cython.Py_ssize_t
    begin: cython.Py_ssize_t
    k: cython.double
    last: cython.double
    source = values
    for level in range(depth):
        x: cython.const[cython.double][::1] = memoryview(source)
        o: cython.double[::1] = memoryview(averages[level])
        lag = level * (p - 1) if plain else 0
        with cython.nogil:
            for r in range(runs):
                last = 0.0
                begin = s[r] + lag
                for i in range(s[r], s[r + 1]):
                    k = i - begin
                    if i <= begin:
                        last = x[i]
                    elif i - begin >= p:
                        last = last + (x[i] - last) * alpha
                    elif plain:
                        last = (last * k + x[i]) / (k + 1.0)
                    else:
                        last = last + (x[i] - last) * (2.0 / (k + 2.0))
                    o[i] = last
        source = averages[level]
    return averages


def adaptive_average(
    values: npt.NDArray[np.float64], weights: npt.NDArray[np.float64], starts: npt.NDArray[np.int64], period: int
) -> npt.NDArray[np.float64]:
    """float64[rows]: the last average moved towards each value by its weight.

    For the first ``period + 1`` values of a run the value before (0 before the first) stands for the last average.
    Raises ValueError on lengths that differ or starts that do not fit.
    """
    rows = len(values)
    _check_runs(starts, rows)
    if len(weights) != rows or period < 1:
        raise ValueError("there must be a weight for each value, and a period")
    averages = np.empty(rows, dtype=np.float64)
    x: cython.const[cython.double][::1] = memoryview(values)
    w: cython.const[cython.double][::1] = memoryview(weights)
    s: cython.const[cython.longlong][::1] = memoryview(starts)
    o: cython.double[::1] = memoryview(averages)
    p: cython.Py_ssize_t = min(period, rows + 1)
    runs: cython.Py_ssize_t = len(starts) - 1
    r: cython.Py_ssize_t
    i: cython.Py_ssize_t
    last: cython.double
    with cython.nogil:
        for r in range(runs):
            last = 0.0
            for i in range(s[r], s[r + 1]):
                o[i] = last + w[i] * (x[i] - last)
                last = o[i] if i - s[r] >= p else x[i]
    return averages


def last_standing(
    firsts: npt.NDArray[np.int64], lasts: npt.NDArray[np.int64], starts: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """int64[runs]: which row of each run is left (the run's begin if it is empty).

    Each row takes the place of the one so far, unless its `firsts` is greater than that one's `lasts`.
    Raises ValueError on lengths that differ or starts that do not fit.
    """
    _check_runs(starts, len(firsts))
    if len(lasts) != len(firsts):
        raise ValueError("there must be a last for each first")
    runs: cython.Py_ssize_t = len(starts) - 1
    left = np.empty(runs, dtype=np.int64)
    f: cython.const[cython.longlong][::1] = memoryview(firsts)
    g: cython.const[cython.longlong][::1] = memoryview(lasts)
    s: cython.const[cython.longlong][::1] = memoryview(starts)
    o: cython.longlong[::1] = memoryview(left)
    r: cython.Py_ssize_t
    i: cython.Py_ssize_t
    holder: cython.longlong
    with cython.nogil:
        for r in range(runs):
            holder = s[r]
            for i in range(s[r] + 1, s[r + 1]):
                if f[i] <= g[holder]:
                    holder = i
            o[r] = holder
    return left


# -- Holt-Winters


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
@cython.inline
def _divide(one: cython.double, other: cython.double) -> cython.double:
    """The quotient as IEEE 754 has it (but for the sign of a zero divisor): Python raises, C does not."""
    if other != 0.0:
        return one / other
    if one > 0.0:
        return INFINITY
    if one < 0.0:
        return -INFINITY
    return NAN


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _power(base: cython.double, exponent: cython.Py_ssize_t) -> cython.double:
    """By squaring, so that the last digit is the same with any C library."""
    product: cython.double = 1.0
    while exponent:
        if exponent % 2:
            product *= base
        base *= base
        exponent //= 2
    return product


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _walk(
    y: cython.const[cython.double][::1],
    point: cython.double[::1],
    at: cython.Py_ssize_t,
    season: cython.Py_ssize_t,
    steps: cython.Py_ssize_t,
    made: cython.double[::1],
    write: cython.bint,
) -> cython.double:
    """Run the model with the parameters ``point[at:at + 6 + season]``; the sum of squared errors over `y`.

    The parameters are alpha, beta, gamma, phi (forced into 0..1 where they stand), level, trend, and the seasonal
    factors, which are left as the run has moved them. `steps` values are made, and written to `made` if `write`.
    """
    i: cython.Py_ssize_t
    t: cython.Py_ssize_t
    for i in range(at, at + 4):
        point[i] = min(point[i], 1.0)
        point[i] = max(point[i], 0.0)
    alpha: cython.double = point[at]
    beta: cython.double = point[at + 1]
    gamma: cython.double = point[at + 2]
    phi: cython.double = point[at + 3]
    level: cython.double = point[at + 4]
    trend: cython.double = point[at + 5]
    damping: cython.double = phi
    value: cython.double = y[0]
    before: cython.double
    damped: cython.double
    old: cython.double = 1.0
    ahead: cython.double = 1.0
    fresh: cython.double
    error: cython.double
    total: cython.double = 0.0
    known: cython.Py_ssize_t = y.shape[0]
    factors: cython.Py_ssize_t = at + 6
    lag: cython.Py_ssize_t
    offset: cython.Py_ssize_t = season - 1
    if season == 1:
        point[factors] = 1.0
    if write:
        made[0] = value
    for t in range(1, steps):
        if season:
            lag = t % season
            old = point[factors + (t - season + offset) % season]
            ahead = point[factors + (t - season + lag + offset) % season]
        damped = level + phi * trend
        before = level
        level = alpha * _divide(value, old) + (1.0 - alpha) * damped
        fresh = gamma * _divide(value, damped) + (1.0 - gamma) * old
        trend = beta * (level - before) + (1.0 - beta) * phi * trend
        value = (level + damping * trend) * ahead
        damping += _power(phi, t)
        if season:
            point[factors + (t + offset) % season] = fresh
            offset += 1
        if write:
            made[t] = value
        if t < known and y[t] == y[t]:
            error = value - y[t]
            # No number is the worst of all errors.
            total += error * error if error <= 0.0 or error > 0.0 else INFINITY
    return total


def forecast(values: npt.NDArray[np.float64], point: npt.NDArray[np.float64], ahead: int) -> npt.NDArray[np.float64]:
    """float64[values + ahead]: what the model with the parameters `point` makes of `values`, and what follows.

    `values` float64[] at least one, NaN where one is missing, the first never. `point` float64[6 + season]
    is alpha, beta, gamma, phi, level, trend and the seasonal factors; it is changed.
    Raises ValueError on too few of either.
    """
    if len(values) < 1 or len(point) < 6 or ahead < 0:
        raise ValueError("values and six parameters are needed")
    steps: cython.Py_ssize_t = len(values) + ahead
    made = np.empty(steps, dtype=np.float64)
    y: cython.const[cython.double][::1] = memoryview(values)
    p: cython.double[::1] = memoryview(point)
    o: cython.double[::1] = memoryview(made)
    season: cython.Py_ssize_t = len(point) - 6
    with cython.nogil:
        _walk(y, p, 0, season, steps, o, True)
    return made


def squared_error(values: npt.NDArray[np.float64], point: npt.NDArray[np.float64]) -> float:
    """The sum of squared errors of ``forecast(values, point, 0)``; `point` is changed likewise."""
    if len(values) < 1 or len(point) < 6:
        raise ValueError("values and six parameters are needed")
    y: cython.const[cython.double][::1] = memoryview(values)
    p: cython.double[::1] = memoryview(point)
    season: cython.Py_ssize_t = len(point) - 6
    error: cython.double
    with cython.nogil:
        error = _walk(y, p, 0, season, y.shape[0], p, False)
    return error


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
@cython.inline
def _move(
    corners: cython.double[::1],
    size: cython.Py_ssize_t,
    to: cython.Py_ssize_t,
    start: cython.Py_ssize_t,
    end: cython.Py_ssize_t,
    share: cython.double,
) -> cython.void:
    """Corner `to` = `start` + share * (`end` - `start`)."""
    i: cython.Py_ssize_t
    for i in range(size):
        corners[to * size + i] = corners[start * size + i] + share * (
            corners[end * size + i] - corners[start * size + i]
        )


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
@cython.inline
def _copy(
    corners: cython.double[::1], size: cython.Py_ssize_t, to: cython.Py_ssize_t, start: cython.Py_ssize_t
) -> cython.void:
    i: cython.Py_ssize_t
    for i in range(size):
        corners[to * size + i] = corners[start * size + i]


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _step(
    y: cython.const[cython.double][::1],
    corners: cython.double[::1],
    errors: cython.double[::1],
    size: cython.Py_ssize_t,
) -> cython.double:
    """One step of the simplex of ``size + 1`` corners, behind which there is room for four points.

    Returns the variance of the errors at the corners.
    """
    season: cython.Py_ssize_t = size - 6
    steps: cython.Py_ssize_t = y.shape[0]
    centre: cython.Py_ssize_t = size + 1
    mirrored: cython.Py_ssize_t = size + 2
    further: cython.Py_ssize_t = size + 3
    nearer: cython.Py_ssize_t = size + 4
    worst: cython.Py_ssize_t = 0
    best: cython.Py_ssize_t = 0
    second: cython.Py_ssize_t
    i: cython.Py_ssize_t
    j: cython.Py_ssize_t
    total: cython.double
    error: cython.double
    other: cython.double
    n: cython.double = size
    for i in range(size + 1):
        if errors[i] > errors[worst]:
            worst = i
        if errors[i] < errors[best]:
            best = i
    second = best
    for i in range(size + 1):
        if errors[i] > errors[second] and errors[i] < errors[worst]:
            second = i
    for j in range(size):
        total = 0.0
        for i in range(size + 1):
            if i != worst:
                total += corners[i * size + j]
        corners[centre * size + j] = total / n
        corners[mirrored * size + j] = corners[centre * size + j] + (
            corners[centre * size + j] - corners[worst * size + j]
        )
    error = _walk(y, corners, mirrored * size, season, steps, corners, False)
    if error < errors[second] and error >= errors[best]:
        _copy(corners, size, worst, mirrored)
        errors[worst] = error
    if error < errors[best]:
        _move(corners, size, further, centre, mirrored, 2.0)
        other = _walk(y, corners, further * size, season, steps, corners, False)
        if other < error:
            _copy(corners, size, worst, further)
            errors[worst] = other
        else:
            _copy(corners, size, worst, mirrored)
            errors[worst] = error
    if error >= errors[second]:
        # Towards the centre from the better side; if that is no better either, all move towards the best corner.
        if error < errors[worst]:
            _move(corners, size, nearer, centre, mirrored, 0.5)
        else:
            for j in range(size):
                corners[nearer * size + j] = corners[centre * size + j] - 0.5 * (
                    corners[centre * size + j] - corners[worst * size + j]
                )
        other = _walk(y, corners, nearer * size, season, steps, corners, False)
        if other < errors[worst]:
            _copy(corners, size, worst, nearer)
            errors[worst] = other
        else:
            for i in range(size + 1):
                if i != best:
                    for j in range(size):
                        corners[i * size + j] = (
                            corners[best * size + j] + (corners[i * size + j] - corners[best * size + j]) / 2.0
                        )
            errors[worst] = _walk(y, corners, worst * size, season, steps, corners, False)
            errors[second] = _walk(y, corners, second * size, season, steps, corners, False)
    total = 0.0
    for i in range(size + 1):
        total += errors[i]
    error = total / (n + 1.0)
    total = 0.0
    for i in range(size + 1):
        total += (errors[i] - error) * (errors[i] - error) / n
    return total


def descend(
    values: npt.NDArray[np.float64],
    corners: npt.NDArray[np.float64],
    errors: npt.NDArray[np.float64],
    evaluated: int,
    steps: int,
) -> float:
    """Walk a simplex towards the parameters that fit `values` best (Nelder and Mead 1965); changes the arrays.

    `values` as for `forecast`. `corners` float64[size + 5, size], size = 6 + season: the simplex in the first
    ``size + 1`` rows, room to work in behind it. `errors` float64[size + 1]: the squared errors at the corners, of
    which the first `evaluated` are known. Evaluates up to `steps` of the others; if all are known, makes up to
    `steps` steps until the errors' standard deviation is below 1e-4. Returns that deviation's square (infinite before
    the first step). Raises ValueError on sizes that do not fit.
    """
    size: cython.Py_ssize_t = corners.shape[1]
    if size < 6 or corners.shape[0] != size + 5 or len(errors) != size + 1 or len(values) < 1 or evaluated < 0:
        raise ValueError("the simplex has one corner more than parameters")
    y: cython.const[cython.double][::1] = memoryview(values)
    c: cython.double[::1] = memoryview(corners.reshape(-1))
    e: cython.double[::1] = memoryview(errors)
    first: cython.Py_ssize_t = evaluated
    most: cython.Py_ssize_t = steps
    length: cython.Py_ssize_t = len(values)
    i: cython.Py_ssize_t
    spread: cython.double = INFINITY
    with cython.nogil:
        if first <= size:
            for i in range(first, min(first + most, size + 1)):
                e[i] = _walk(y, c, i * size, size - 6, length, c, False)
        else:
            while most > 0 and not spread < 1e-8:
                spread = _step(y, c, e, size)
                most -= 1
    return spread
