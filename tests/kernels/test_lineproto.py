"""The line protocol kernel: both builds against the reference parser, Python's `float` and Python's UTF-8."""

from __future__ import annotations

import importlib
import itertools
import os
import random
import struct
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType

import numpy as np
import pytest

from rusts.kernels import compiled, pure
from rusts.lineprotocol import parser
from rusts.model.types import FieldType
from tests.support import fuzzing
from tests.support import lineproto_compare as compare
from tests.support import lineproto_inputs as inputs
from tests.support import lineproto_reference as reference

SEED = int(os.environ.get("RUSTS_SEED", "20240501"))
PROOF = bool(os.environ.get("RUSTS_PROOF"))
BUILT = importlib.import_module("rusts.kernels.lineproto")
PURE = pure("lineproto")
COMPILED = BUILT if compiled("lineproto") else None
"""The build that takes the larger counts."""


@pytest.fixture(params=[BUILT, PURE], ids=["built", "pure"])
def kernel(request: pytest.FixtureRequest) -> ModuleType:
    module = request.param
    assert isinstance(module, ModuleType)
    return module


def test_random_bodies_agree_with_the_reference() -> None:
    print(f"RUSTS_SEED={SEED}")
    assert fuzzing.run("lineproto", seed=SEED, inputs=10_000_000 if PROOF else 8_000) > 0


def test_a_wrong_kernel_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The harness can fail: a kernel that shifts one time in a hundred bodies is caught."""

    class Wrong:
        __file__ = "wrong"
        FAULTS_PER_BODY = BUILT.FAULTS_PER_BODY

        def parse(self, *arguments: object) -> object:
            measurements, *rest = BUILT.parse(*arguments)
            measurements[-1][4][0] += 1
            return measurements, *rest

    with pytest.raises(AssertionError, match="gives other points"):
        compare.agree([Wrong()], [b"m v=1 1\n"] * 100, [1] * 100, [0] * 100)  # type: ignore[list-item]


def floats(kernel: ModuleType, texts: list[str]) -> list[float]:
    """What `kernel` makes of number texts: one line each."""
    lines = "".join(f"m v={text} {i}\n" for i, text in enumerate(texts)).encode()
    measurements, faults, _, rows = kernel.parse(lines)
    assert faults == []
    assert rows == len(texts)
    ((name, number, values, validity),) = measurements[0][6]
    assert (name, number, validity) == ("v", FieldType.FLOAT, None)
    return [float(value) for value in values]


def bits(value: float) -> bytes:
    return struct.pack("<d", value)


def test_random_floats_are_rounded_as_python_rounds_them(kernel: ModuleType) -> None:
    print(f"RUSTS_SEED={SEED}")
    rng = random.Random(SEED)
    count = (5_000_000 if PROOF else 60_000) if kernel is COMPILED else (100_000 if PROOF else 5_000)
    while count > 0:
        texts = [text for _ in range(5_000) if abs(float(text := inputs.number(rng))) != float("inf")]
        for text, value in zip(texts, floats(kernel, texts), strict=True):
            assert bits(value) == bits(float(text)), text
        count -= len(texts)


def test_floats_near_every_power_and_half_way(kernel: ModuleType) -> None:
    """Doubles, their neighbours and the exact middles between them, in 17 digits and in full."""
    print(f"RUSTS_SEED={SEED}")
    rng = random.Random(SEED)
    texts = ["4.9e-324", "2.4703282292062327e-324", "2.4703282292062328e-324", "2.2250738585072011e-308"]
    texts += [
        "1.7976931348623157e308",
        "1.7976931348623158e308",
        "9007199254740993",
        "9007199254740992.5",
        "-0.0",
        "0e9999999999",
    ]
    texts += [
        "1e23",
        "8.988465674311579e307",
        "5e-324",
        "1e-99999999999999",
        "0.000000000000000000000000000000000000001e39",
    ]
    for exponent in range(-1074, 1024, 1 if kernel is COMPILED else 29):
        value = float(np.ldexp(rng.choice((1.0, 1.5, rng.random() + 1)), exponent))
        texts.append(repr(value))
        above = float(np.nextafter(value, np.inf))
        if value > 0 and above < float("inf"):
            # The middle is exact in 54 bits, and this many digits say it exactly.
            numerator, denominator = value.as_integer_ratio()
            n2, d2 = above.as_integer_ratio()
            middle_over = numerator * d2 + n2 * denominator
            middle_under = 2 * denominator * d2
            if middle_under < 2**1100 and exponent < 100:
                shift = middle_under.bit_length()
                digits = middle_over * 10**shift // middle_under
                texts.append(f"{digits}e-{shift}")
    texts += [
        f"{m}e{e}" for e in range(-345, 309, 7) for m in (1, 9007199254740993, 18446744073709551615, 123456789012345678)
    ]
    texts = [text for text in texts if abs(float(text)) != float("inf")]
    for text, value in zip(texts, floats(kernel, texts), strict=True):
        assert bits(value) == bits(float(text)), text


@pytest.mark.parametrize("text", ["1e309", "1.7976931348623159e308", "-1e999", "9" * 400, "0.1e99999999999999999999"])
def test_floats_beyond_the_largest_are_refused(kernel: ModuleType, text: str) -> None:
    parsed = compare.read_with(kernel, f"m v={text} 1".encode(), [len(text) + 6], [1], [0])
    assert [(error.column, error.reason) for error in parsed.errors] == [(5, "invalid float")]


def test_utf8_is_judged_as_python_judges_it(kernel: ModuleType) -> None:
    """Every boundary of table 3-7 of the Unicode standard, in a key, a field key and a string, at every alignment."""
    leads = [
        0x41,
        0x7F,
        0x80,
        0xBF,
        0xC0,
        0xC1,
        0xC2,
        0xDF,
        0xE0,
        0xE1,
        0xEC,
        0xED,
        0xEE,
        0xEF,
        0xF0,
        0xF1,
        0xF3,
        0xF4,
        0xF5,
        0xFF,
    ]
    follows = [0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0]
    texts = [bytes(t) for n in (1, 2) for t in itertools.product(leads, *[follows] * (n - 1))]
    texts += [
        bytes((lead, second, third)) for lead in leads for second in follows for third in (0x41, 0x80, 0xBF, 0xC0)
    ]
    texts += [
        bytes((lead, second, 0x80, fourth))
        for lead in leads
        for second in follows
        for fourth in (0x41, 0x80, 0xBF, 0xC0)
    ]
    if kernel is not COMPILED:
        texts = texts[::7]
    bodies = []
    for i, text in enumerate(texts):
        pad = b"x" * (i % 9)
        bodies += [
            b"m,t=" + pad + text + b" v=1 1\n",
            b"m " + pad + text + b'="" 1\n',
            b'm v="' + pad + text + b'" 1\n',
        ]
    compare.agree([kernel], bodies, [1] * len(bodies), [0] * len(bodies))


def test_many_series_measurements_columns_and_layouts(kernel: ModuleType) -> None:
    """Enough of each for the tables to grow several times; with bad lines in between, which leave nothing behind."""
    print(f"RUSTS_SEED={SEED}")
    rng = random.Random(SEED)
    lines = []
    for i in range(6_000 if kernel is COMPILED else 800):
        measurement = rng.choice(("one", f"m{rng.randrange(300)}"))
        tags = "".join(f",{key}={rng.randrange(40)}" for key in rng.sample("abcdef", rng.randrange(5)))
        values = rng.choices(("1", "2i", "t", "3u", '"s"'), k=rng.randrange(1, 6))
        fields = ",".join(f"f{rng.randrange(60)}={value}" for value in values)
        lines.append(f"{measurement}{tags} {fields} {i}{rng.choice(('', '', '', 'x'))}\n".encode())
    body = b"".join(lines)
    for cut in (1, 7):
        ends = [sum(map(len, lines[:n])) for n in range(0, len(lines) + 1, len(lines) // cut)][1:]
        ends[-1] = len(body)
        points, bad = reference.read(body, ends, [1] * len(ends), [0] * len(ends))
        parsed = compare.read_with(kernel, body, ends, [1] * len(ends), [0] * len(ends))
        assert compare.points_of(parsed.batches) == points
        assert sum(parsed.refused) == len(bad)
        assert len(parsed.errors) == sum(min(n, parser.ERRORS_PER_BODY) for n in parsed.refused)


def test_tags_are_sorted_by_bytes_and_found_again(kernel: ModuleType) -> None:
    print(f"RUSTS_SEED={SEED}")
    rng = random.Random(SEED)
    bodies = []
    for count in (2, 3, 5, 12, 40, 4_000 if kernel is COMPILED else 400):
        keys = [f"{rng.randrange(10**6):x}{i}" for i in range(count)]
        for _ in range(3):
            rng.shuffle(keys)
            bodies.append(("m," + ",".join(f"{key}=v" for key in keys) + " v=1 1\n").encode())
        twice = [*keys, rng.choice(keys)]
        bodies.append(("m," + ",".join(f"{key}=v" for key in twice) + " v=1 1\n").encode())
    parsed = compare.read_with(
        kernel, b"".join(bodies), list(itertools.accumulate(map(len, bodies))), [1] * 24, [0] * 24
    )
    assert len(parsed.batches[0].keys) == 6
    assert parsed.refused == [0, 0, 0, 1] * 6
    compare.agree([kernel], bodies[:16], [1] * 16, [0] * 16)


def test_keys_up_to_the_limit(kernel: ModuleType) -> None:
    bodies = []
    for size in (65_534, 65_535, 65_536):
        bodies += [
            b"m,t=" + b"x" * (size - 4) + b" v=1 1\n",
            b"m,t=" + b"x" * (size - 4 - 4 - 3) + b" abc=1 1\n",
            b"m " + b"f" * (size - 5) + b"=1 1\n",
            b"m v=1," + b"\\," * ((size - 5) // 2) + b"=1 1\n",
        ]
    compare.agree([kernel], bodies, [1] * len(bodies), [0] * len(bodies))


def test_cut_points_are_line_ends_of_the_parser(kernel: ModuleType) -> None:
    """Parsing the slices gives what parsing the whole gives."""
    print(f"RUSTS_SEED={SEED}")
    rng = random.Random(SEED)
    for _ in range(400 if kernel is COMPILED else 60):
        body = b"".join(inputs.body(rng) for _ in range(rng.randrange(1, 12))).replace("\ufeff".encode(), b"")
        target = rng.choice((1, 10, 50, 200, 10_000))
        cuts = kernel.cut_points(body, target)
        assert cuts == sorted(set(cuts))
        assert (cuts or [0])[-1] == len(body)
        points, bad = reference.read(body, [len(body)], [1], [5])
        got: list[reference.Point] = []
        faults: list[reference.Bad] = []
        begin = 0
        for cut in cuts:
            piece = compare.read_with(kernel, body[begin:cut], [cut - begin], [1], [5])
            got += [moved(point, begin) for point in compare.points_of(piece.batches)]
            faults += [reference.Bad(e.start + begin, e.end + begin, e.column, e.reason) for e in piece.errors]
            lines = body[begin:cut]
            assert cut - begin <= target or reference.line_end(lines, 0) >= len(lines) - 1, "a slice could be smaller"
            begin = cut
        assert got == points
        assert faults == bad


def moved(point: reference.Point, by: int) -> reference.Point:
    return reference.Point(point.start + by, point.measurement, point.tags, point.fields, point.time)


def test_a_scanner_is_used_again_after_anything(kernel: ModuleType) -> None:
    """The same memory serves bodies of all kinds one after another: nothing of one shows in the next."""
    print(f"RUSTS_SEED={SEED}")
    rng = random.Random(SEED)
    scanner = kernel.Scanner(4_000)
    for _ in range(300 if kernel is COMPILED else 60):
        body = b"".join(inputs.body(rng) for _ in range(rng.choice((1, 1, 8))))[:4_000]
        used = scanner.read(body, [len(body)], [1], [0])
        fresh = kernel.Scanner(len(body)).read(body, [len(body)], [1], [0])
        assert str(used[0]) == str(fresh[0])
        assert [fault[:4] for fault in used[1]] == [fault[:4] for fault in fresh[1]]
        assert used[2:] == fresh[2:]


def test_results_do_not_share_memory_with_the_next_call(kernel: ModuleType) -> None:
    first = kernel.parse(b'm,t=a v=1,s="one",b=t 1\n')
    seen = str(first)
    kernel.parse(b'n,t=b v=2,s="two",b=f 2\nn,t=c w=3 3\n')
    assert str(first) == seen


def test_buffers_of_every_kind(kernel: ModuleType) -> None:
    text = b"m v=1 1\n"
    want = str(kernel.parse(text))
    assert str(kernel.parse(bytearray(text))) == want
    assert str(kernel.parse(memoryview(b"xx" + text)[2:])) == want
    assert kernel.parse(b"") == ([], [], [0], 0)
    assert kernel.parse(b"", [], [], []) == ([], [], [], 0)


@pytest.mark.parametrize(
    ("ends", "units", "now"),
    [([9], [1], [0]), ([4, 2], [1, 1], [0, 0]), ([8], [1, 1], [0]), ([8], [1], []), ([8], [-1], [0]), ([-1], [1], [0])],
)
def test_arguments_that_do_not_fit_are_refused(
    kernel: ModuleType, ends: list[int], units: list[int], now: list[int]
) -> None:
    with pytest.raises(ValueError, match=r"unit|ends"):
        kernel.parse(b"m v=1 1\n", ends, units, now)
    assert kernel.parse(b"m v=1 1\n")[3] == 1


def test_threads_do_not_meet(kernel: ModuleType) -> None:
    """Several threads parse at once; the pool of scanners gives each its own."""
    bodies = [f'm{i},t={i} v={i},s="{i}" {i}\n'.encode() * (200 if kernel is COMPILED else 20) for i in range(4)]
    want = [str(kernel.parse(body)) for body in bodies]
    rounds = 50 if kernel is COMPILED else 3
    with ThreadPoolExecutor(4) as threads:
        for got in threads.map(lambda i: (i, str(kernel.parse(bodies[i]))), list(range(4)) * rounds):
            assert got[1] == want[got[0]]


def test_a_scanner_that_strange_input_has_made_fat_is_not_kept() -> None:
    count = 100_000
    body = b"m " + ",".join(f"f{i}=1" for i in range(count)).encode() + b" 1\n"
    BUILT._IDLE[1 << 21].clear()
    assert len(BUILT.parse(body)[0][0][6]) == count
    assert BUILT._IDLE[1 << 21] == []
    BUILT.parse(b"m v=1 1\n" * 10_000)
    assert len(BUILT._IDLE[1 << 21]) == 1
