"""Numbers, strings and rows as text: both builds against Python's repr and json, and against each other."""

from __future__ import annotations

import csv
import importlib
import io
import json
import math
import os
import struct
from datetime import datetime, timedelta
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rusts.kernels import pure

SEED = int(os.environ.get("RUSTS_SEED", "20240501"))
PROOF = bool(os.environ.get("RUSTS_PROOF"))
BUILT = importlib.import_module("rusts.kernels.numtext")
PURE = pure("numtext")


@pytest.fixture(params=[BUILT, PURE], ids=["built", "pure"])
def numtext(request: pytest.FixtureRequest) -> ModuleType:
    module = request.param
    assert isinstance(module, ModuleType)
    return module


def go_float(value: float) -> str:
    """`value` as Go's encoding/json prints it, from the digits of Python's repr."""
    if not math.isfinite(value):
        return "null"
    sign = "-" if math.copysign(1, value) < 0 else ""
    mantissa, _, exponent = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    power = int(exponent or 0) - len(fraction)
    digits = (whole + fraction).lstrip("0")
    if not digits:
        return sign + "0"
    power += len(digits) - len(digits.rstrip("0"))
    digits = digits.rstrip("0")
    point = len(digits) + power
    if 0 < point <= 21:
        if power >= 0:
            return sign + digits + "0" * power
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    tail = "." + digits[1:] if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{tail}e{'+' if point > 0 else '-'}{abs(point - 1)}"


def lines(numtext: ModuleType, kind: int, values: Any, validity: Any = None, csv: bool = False) -> list[str]:
    text, ends = numtext.rows([(kind, values, validity, None)], [b""], b"\n", csv, 0, len(values))
    assert ends.tolist() == [i + 1 for i, byte in enumerate(text.tolist()) if byte == 10]
    return text.tobytes().decode().split("\n")[:-1]


def strings(values: list[bytes]) -> tuple[int, npt.NDArray[np.uint8], None, npt.NDArray[np.int64]]:
    offsets = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum([len(v) for v in values], out=offsets[1:])
    return 5, np.frombuffer(b"".join(values), dtype=np.uint8), None, offsets


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5.0, "5"),
        (0.0, "0"),
        (-0.0, "-0"),
        (100.0, "100"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (-1.5e300, "-1.5e+300"),
        (1e-6, "0.000001"),
        (1e-7, "1e-7"),
        (9.999999e-7, "9.999999e-7"),
        (123456789.125, "123456789.125"),
        (0.1, "0.1"),
        (1 / 3, "0.3333333333333333"),
        (5e-324, "5e-324"),
        (1e-323, "1e-323"),
        (2.2250738585072014e-308, "2.2250738585072014e-308"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (2.0**53, "9007199254740992"),
        (2.0**60, "1152921504606847000"),
        (1e23, "1e+23"),
        (math.nan, "null"),
        (math.inf, "null"),
    ],
)
def test_floats_as_go_prints_them(numtext: ModuleType, value: float, text: str) -> None:
    assert lines(numtext, 1, np.array([value])) == [text]
    assert go_float(value) == text


def some_floats(rng: np.random.Generator, count: int) -> npt.NDArray[np.float64]:
    """Random bit patterns, ordinary numbers, decimals, powers, neighbours of powers, subnormals."""
    bits = rng.integers(0, 1 << 64, count, dtype=np.uint64)
    powers = np.concatenate([2.0 ** np.arange(-1074, 1024), 10.0 ** np.arange(-323, 309)])
    near = np.concatenate([np.nextafter(powers, np.inf), np.nextafter(powers, -np.inf)])
    return np.concatenate(
        [
            bits.view(np.float64),
            rng.normal(0, 1000, count),
            np.round(rng.normal(0, 1000, count), 2),
            rng.integers(-(10**6), 10**6, count) / 1000,
            10.0 ** rng.integers(-10, 25, count) * rng.integers(1, 1000, count),
            rng.random(count).astype(np.float32).astype(np.float64),
            (bits & np.uint64((1 << 52) - 1)).view(np.float64),
            powers,
            near,
        ]
    )


@pytest.mark.parametrize(("module", "count"), [(BUILT, 2_000_000 if PROOF else 20_000), (PURE, 1000)])
def test_floats_have_the_digits_of_repr(module: ModuleType, count: int) -> None:
    print(f"seed {SEED}")
    if module is BUILT and BUILT.__file__ == PURE.__file__:
        count = 1000
    values = some_floats(np.random.default_rng(SEED), count)
    for value, text in zip(values.tolist(), lines(module, 1, values), strict=True):
        assert text == go_float(value), f"{struct.pack('>d', value).hex()}"


def test_integers(numtext: ModuleType) -> None:
    signed = [0, 1, -1, 9, 10, 99, 100, -(1 << 63), (1 << 63) - 1, *(s * 10**e + d for e in range(19) for s in (1, -1)
              for d in (-1, 0, 1) if abs(s * 10**e + d) < 1 << 63)]  # fmt: skip
    assert lines(numtext, 2, np.array(signed, dtype=np.int64)) == [str(v) for v in signed]
    unsigned = [0, (1 << 64) - 1, 10**19, 10**19 - 1, 1 << 63, *(10**e for e in range(20))]
    assert lines(numtext, 3, np.array(unsigned, dtype=np.uint64)) == [str(v) for v in unsigned]


def test_booleans_and_gaps(numtext: ModuleType) -> None:
    values, validity = np.array([True, False, True]), np.array([True, True, False])
    assert lines(numtext, 4, values, validity) == ["true", "false", "null"]
    assert lines(numtext, 4, values, validity, csv=True) == ["true", "false", ""]
    gap = np.array([math.nan, math.inf, -math.inf, 1.5])
    assert lines(numtext, 1, gap, csv=True) == ["NaN", "+Inf", "-Inf", "1.5"]


def go_string(text: str) -> str:
    plain = json.dumps(text, ensure_ascii=False)
    for mark in "<>&\u2028\u2029":
        plain = plain.replace(mark, f"\\u{ord(mark):04x}")
    return plain.replace("\\b", "\\u0008").replace("\\f", "\\u000c")


HARD = ["", "plain", 'quo"te', "back\\slash"]
HARD += ["\x00\x1f\x7f", "\t\r\n\b\f", "<a>&", "é€𝄞", "\u2028\u2029", "\u2027\u202a"]


def test_json_strings(numtext: ModuleType) -> None:
    for text in HARD:
        # A backslash before b or f is escaped itself, so go_string's replacement cannot meet it here.
        assert numtext.json_string(text.encode()).decode() == go_string(text)
        assert json.loads(numtext.json_string(text.encode())) == text
    together, ends = numtext.rows([strings([t.encode() for t in HARD])], [b""], b"", False, 0, len(HARD))
    assert together.tobytes().decode() == "".join(go_string(text) for text in HARD)
    assert ends[-1] == len(together)


def test_csv_cells(numtext: ModuleType) -> None:
    assert numtext.csv_cell(b"plain") == b"plain"
    assert numtext.csv_cell(b"") == b'""'
    assert numtext.csv_cell(b'a "b", c') == b'"a ""b"", c"'
    assert numtext.csv_cell(b" lead") == b'" lead"'
    values = [text.replace("\x00", "") for text in HARD]
    text, _ = numtext.rows([strings([v.encode() for v in values])] * 2, [b"", b","], b"\n", True, 0, len(values))
    assert list(csv.reader(io.StringIO(text.tobytes().decode(), newline=""))) == [[v, v] for v in values]


def test_rows_put_text_around_cells(numtext: ModuleType) -> None:
    times = np.arange(5, dtype=np.int64) * 10
    columns = [(2, times, None, None), (1, times / 4, np.array([1, 1, 0, 1, 1], dtype=np.bool_), None),
               strings([b"a", b"bb", b"", b"dddd", b"e"])]  # fmt: skip
    text, ends = numtext.rows(columns, [b"{t:", b",v:", b",s:"], b"}\n", False, 1, 4)
    assert text.tobytes() == b'{t:10,v:2.5,s:"bb"}\n{t:20,v:null,s:""}\n{t:30,v:7.5,s:"dddd"}\n'
    assert ends.tolist() == [20, 39, 61]
    assert numtext.rows(columns, [b"", b"", b""], b"", False, 2, 2)[0].tobytes() == b""


def test_a_sliced_string_column_keeps_its_buffers(numtext: ModuleType) -> None:
    kind, data, _, offsets = strings([b"aa", b"b", b"cccc", b"d"])
    text, _ = numtext.rows([(kind, data, None, offsets[1:])], [b""], b" ", False, 0, 2)
    assert text.tobytes() == b'"b" "cccc" '


def test_arguments_that_do_not_fit_are_refused(numtext: ModuleType) -> None:
    numbers = np.arange(3, dtype=np.int64)
    data = np.zeros(4, dtype=np.uint8)
    wrong: list[tuple[Any, ...]] = [
        ([(2, numbers, None, None)], [], b"", False, 0, 3),
        ([(2, numbers, None, None)], [b""], b"", False, -1, 2),
        ([(2, numbers, None, None)], [b""], b"", False, 2, 1),
        ([(2, numbers, None, None)], [b""], b"", False, 0, 5),
        ([(9, numbers, None, None)], [b""], b"", False, 0, 3),
        ([(2, numbers.astype(np.int32), None, None)], [b""], b"", False, 0, 3),
        ([(2, numbers, np.ones(2, dtype=np.bool_), None)], [b""], b"", False, 0, 3),
        ([(5, data, None, np.array([0, 3, 2, 4]))], [b""], b"", False, 0, 3),
        ([(5, data, None, np.array([0, 1, 2, 5]))], [b""], b"", False, 0, 3),
        ([(5, data, None, np.array([-1, 1, 2, 4]))], [b""], b"", False, 0, 3),
        ([(5, data, None, np.array([0, 1]))], [b""], b"", False, 0, 3),
    ]
    for arguments in wrong:
        with pytest.raises(ValueError):  # noqa: PT011 (numpy words some of them)
            numtext.rows(*arguments)


@settings(deadline=None, max_examples=2000 if PROOF else 100)
@given(
    rows=st.lists(
        st.tuples(
            st.floats(),
            st.integers(-(1 << 63), (1 << 63) - 1),
            st.text(st.characters(exclude_categories=["Cs"])),
            st.booleans(),
        ),
        max_size=20,
    ),
    as_csv=st.booleans(),
)
def test_both_builds_write_the_same_bytes(rows: list[tuple[float, int, str, bool]], as_csv: bool) -> None:
    columns = [
        (1, np.array([r[0] for r in rows], dtype=np.float64), np.array([r[3] for r in rows], dtype=np.bool_), None),
        (2, np.array([r[1] for r in rows], dtype=np.int64), None, None),
        strings([r[2].encode() for r in rows]),
        (4, np.array([r[3] for r in rows], dtype=np.bool_), None, None),
    ]
    arguments = (columns, [b"[", b",", b",", b","], b"]\n", as_csv, 0, len(rows))
    text, ends = BUILT.rows(*arguments)
    pure_text, pure_ends = PURE.rows(*arguments)
    assert text.tobytes() == pure_text.tobytes()
    assert ends.tolist() == pure_ends.tolist()
    if not as_csv:
        for row, line in zip(rows, text.tobytes().decode().split("\n"), strict=False):
            number, integer, string, boolean = json.loads(line)
            assert (integer, string, boolean) == row[1:]
            expected = row[0] if row[3] and math.isfinite(row[0]) else None
            assert (None if number is None else float(number)) == expected


def go_time(ns: int, east: int = 0) -> str:
    """`ns` since the epoch as Go's RFC3339Nano prints it."""
    seconds, fraction = divmod(ns, 10**9)
    moment = datetime(1970, 1, 1) + timedelta(seconds=seconds + east)
    text = moment.isoformat() + (f".{fraction:09d}".rstrip("0") if fraction else "")
    return text + ("Z" if not east else f"{'-' if east < 0 else '+'}{abs(east) // 3600:02d}:{abs(east) // 60 % 60:02d}")


def test_times(numtext: ModuleType):
    limit = 9223372036854775806
    day = 86_400 * 10**9
    known = [0, 1, -1, limit, -limit, 951_782_400 * 10**9, 951_868_800 * 10**9 - 1, day - 1, -day, 10**9 + 120_000_000]
    rng = np.random.default_rng(SEED)
    drawn = rng.integers(-limit, limit, 20_000 if PROOF else 2_000)
    values = np.concatenate([known, drawn, drawn // 10**9 * 10**9, np.arange(-400, 400) * day]).astype(np.int64)
    assert lines(numtext, numtext.TIME, values, csv=True) == [go_time(ns) for ns in values.tolist()]
    assert lines(numtext, numtext.TIME, values[:3]) == [f'"{go_time(ns)}"' for ns in values[:3].tolist()]


@pytest.mark.parametrize("east", [0, 3600, -3600, 20_700, -12_600, 50_400])
def test_times_of_a_zone(numtext: ModuleType, east: int):
    values = np.array([0, -1, 10**9, 1_690_000_000_123_000_000], dtype=np.int64)
    cells = [(numtext.ZONED_TIME, values, None, np.full(5, east, dtype=np.int64))]
    text, _ = numtext.rows(cells, [b""], b"\n", True, 1, 4)
    assert bytes(text).decode().splitlines() == [go_time(ns, east) for ns in values.tolist()[1:]]


def test_times_beside_strings(numtext: ModuleType):
    offsets = np.array([0, 1, 3], dtype=np.int64)
    data = np.frombuffer(b"abc", dtype=np.uint8)
    times = np.array([0, 10**9], dtype=np.int64)
    cells = [
        (numtext.STRING, data, None, offsets),
        (numtext.ZONED_TIME, times, np.array([True, False]), np.array([3600, 0, 0], dtype=np.int64)),
        (numtext.STRING, data, None, offsets),
    ]
    text, _ = numtext.rows(cells, [b"[", b",", b","], b"]", False, 0, 2)
    assert bytes(text) == b'["a","1970-01-01T01:00:00+01:00","a"]["bc",null,"bc"]'
