"""Random line protocol, mostly nearly right: what the fuzz runner and the kernel's tests feed."""

from __future__ import annotations

import random

__all__ = ["body", "number"]

_NAMES = [
    b"m",
    b"n",
    b"cpu",
    b"a",
    b"b",
    b"c",
    b"time",
    b"a\\ b",
    b"a\\,b",
    b"a\\=b",
    b'a\\"b',
    b'"',
    b"'x'",
    b"a\\b",
    b"\\",
    b"a\\",
    b"\\\\",
    b"\xc3\xa9",
    b"\xe6\x97\xa5\xe6\x9c\xac",
    b"\xf0\x9f\x98\x80",
    b"usage_user",
    b"\t",
    b"x\t",
    b"\0",
    b"a\\\nb",
    b"\\n",
    b"#",
    b"long_name_of_more_than_sixteen_bytes",
    b"",
]
_STRINGS = [
    b"",
    b"x",
    b"a b",
    b"a,b=c",
    b"line\nbreak",
    b'\\"',
    b"\\\\",
    b"\\n",
    b"\\",
    b"C:\\\\x",
    b"\xc3\xa9t\xc3\xa9",
    b"\xff",
    b"exactly8",
    b"more than eight bytes",
    b'eight by\\"tes',
    b"\r\n",
    b"#",
    b"\xed\xa0\x80",
    b"0123456789abcdef",
]
_VALUES = [
    b"1",
    b"0",
    b"-0",
    b"1i",
    b"0i",
    b"-5i",
    b"12u",
    b"1.5",
    b"-2.25",
    b".5",
    b"5.",
    b"1e3",
    b"1.e3",
    b"1E+3",
    b"1e-3",
    b"t",
    b"T",
    b"true",
    b"True",
    b"TRUE",
    b"f",
    b"F",
    b"false",
    b"False",
    b"FALSE",
    b"",
    b"-",
    b".",
    b"-.",
    b"e",
    b"1e",
    b"1e+",
    b"1e5i",
    b"1.5i",
    b"1.5u",
    b"-1u",
    b"-i",
    b"i",
    b"u",
    b"NaN",
    b"nan",
    b"Inf",
    b"-Inf",
    b"+1",
    b"0x1",
    b"1_0",
    b"--1",
    b"tru",
    b"truee",
    b"9223372036854775807i",
    b"9223372036854775808i",
    b"-9223372036854775808i",
    b"-9223372036854775809i",
    b"18446744073709551615u",
    b"18446744073709551616u",
    b"99999999999999999999i",
    b"000000000000000000000012i",
    b"007i",
    b"1e999",
    b"1e-400",
    b"1e308",
    b"1.8e308",
    b"62.288713455200195",
    b"0.1",
    b"123456789012345678901234567890",
    b"0.000000000000000000000000000001",
    b"'a'",
    b"1\\",
    b"tRUE",
    b"4.9e-324",
    b"2.2250738585072011e-308",
    b"9007199254740993",
    b"1.2.3",
    b"1-",
    b"1e5e5",
    b"1e5.5",
    b"1e-+5",
    b"1i1",
    b".e5",
]
_TIMES = [
    b"",
    b"1",
    b"0",
    b"-1",
    b"-0",
    b"007",
    b"1451606400000000000",
    b"9223372036854775806",
    b"9223372036854775807",
    b"9223372036854775808",
    b"-9223372036854775806",
    b"-9223372036854775807",
    b"-9223372036854775808",
    b"-9223372036854775809",
    b"1.5",
    b"1e9",
    b"-",
    b"x",
    b"+1",
    b"1 1",
    b"1 ",
    b"1\t",
    b"\t1",
    b"#x",
    b"4999999999",
    b"5000000000",
    b"-5000000000000",
    b"4999999999999999",
    b"00000000000000000000000000000001",
    b"99999999999999999999999",
    b"1451606400",
    b"1451606400000",
]
_ENDS = [b"\n"] * 12 + [b"\r\n", b"\r\n", b"\n\n", b"\r", b" \n", b"", b"\\\n", b'\n# comment "\n', b"\t\n"]
_STARTS = [b""] * 20 + [b" ", b"\t", b"\0", b"  ", b"#", b" #", b",", b"\xef\xbb\xbf"]
_BYTES = b' ,="\\\n\r\t\0#.-+eiutfn09am\x80\xc3\xff'


def body(rng: random.Random) -> bytes:
    """A body of up to a few lines: made of likely pieces, now and then with a byte changed, dropped or doubled."""
    lines = [_line(rng) for _ in range(rng.choice((1, 1, 1, 2, 3, 5)))]
    if len(lines) > 2 and rng.random() < 0.5:
        lines[2] = lines[0]
    text = b"".join(lines)
    while text and rng.random() < 0.3:
        at = rng.randrange(len(text))
        new = bytes((rng.choice(_BYTES),))
        text = text[:at] + rng.choice((new, b"", new + text[at : at + 1])) + text[at + 1 :]
    return text


def number(rng: random.Random) -> str:
    """The text of a number, of any length and size, that Python's `float` reads."""
    digits = "".join(rng.choice("0123456789") for _ in range(rng.choice((1, 2, 5, 15, 16, 17, 17, 18, 19, 20, 25, 40))))
    point = rng.randrange(len(digits) + 1)
    text = (
        rng.choice(("", "-"))
        + digits[:point]
        + rng.choice((".", ".", "") if 0 < point < len(digits) else ("",))
        + digits[point:]
    )
    if rng.random() < 0.6:
        size = rng.choice((3, 25, 60, 310, 345))
        text += rng.choice("eE") + rng.choice(("", "+", "-")) + str(rng.randrange(size))
    return text


def _line(rng: random.Random) -> bytes:
    parts = [rng.choice(_STARTS), _name(rng)]
    for _ in range(rng.choice((0, 0, 1, 1, 2, 3, 6))):
        parts += (b",", _name(rng), b"=", _name(rng))
    parts.append(b" " if rng.random() < 0.97 else rng.choice((b"", b"  ", b"\t", b" \t")))
    for i in range(rng.choice((1, 1, 2, 3, 4))):
        parts += (b"," if i else b"", _name(rng), b"=", _value(rng))
    time = rng.choice(_TIMES)
    if time or rng.random() < 0.1:
        parts += (b" ", time)
    parts.append(rng.choice(_ENDS))
    return b"".join(parts)


def _name(rng: random.Random) -> bytes:
    return rng.choice(_NAMES[:8]) if rng.random() < 0.8 else rng.choice(_NAMES)


def _value(rng: random.Random) -> bytes:
    pick = rng.random()
    if pick < 0.25:
        return b'"' + rng.choice(_STRINGS) + (b'"' if rng.random() < 0.95 else rng.choice((b"", b'"x', b'""')))
    if pick < 0.45:
        return number(rng).encode() + rng.choice((b"", b"", b"i", b"u"))
    return rng.choice(_VALUES[:25]) if pick < 0.85 else rng.choice(_VALUES)
