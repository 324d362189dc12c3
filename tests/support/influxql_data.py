"""The data sets under the InfluxQL corpus: what is created, and what is written in which order.

All of it is ours, small, and the same at every run. `cpu` and `iot` are what agents write; every other
measurement is there for one thing, said beside it. Times are ns; T0 is 2020-01-01T00:00:00Z.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Final

__all__ = ["DATABASES", "SETUP", "T0", "Write", "writes"]

T0: Final = 1_577_836_800_000_000_000
SECOND: Final = 1_000_000_000
HOUR: Final = 3600 * SECOND
DAY: Final = 24 * HOUR

DATABASES: Final = ("main", "second", "odd name", "void")

SETUP: Final = (
    "CREATE DATABASE main",
    'CREATE RETENTION POLICY "other" ON main DURATION INF REPLICATION 1 SHARD DURATION 1d',
    "CREATE DATABASE second WITH DURATION INF REPLICATION 1 NAME base",
    'CREATE RETENTION POLICY "years" ON second DURATION INF REPLICATION 1',
    'CREATE DATABASE "odd name"',
    "CREATE DATABASE void",
)
"""Statements that make the databases, in order."""


@dataclass(frozen=True, slots=True)
class Write:
    """One write request: the lines of `body`, times in ns."""

    database: str
    policy: str | None
    body: str


def writes() -> list[Write]:
    """Every write request in its order; later ones rewrite points of earlier ones."""
    main = [
        *_cpu(random.Random(1), ("a", "b", "c"), T0),
        *_ints(),
        *_floats(),
        *_strings(),
        *_booleans(),
        *_sparse(random.Random(2)),
        *_tagged(random.Random(3)),
        *_times(),
        *_daily(random.Random(4)),
        *_wave(),
        *_ties(),
        *_counter(random.Random(5)),
        *_iot(random.Random(6)),
        *_mixed(),
        *_both(),
        f"one,only=one v=1.5 {T0}",
    ]
    # Every second line first: two requests of one measurement lie in one another.
    answer = [Write("main", None, "\n".join(main[::2])), Write("main", None, "\n".join(main[1::2]))]
    answer += [Write("main", None, body) for body in _rewrites()]
    answer.append(Write("main", "other", "\n".join(_cpu(random.Random(7), ("b", "d"), T0 + HOUR))))
    answer.append(Write("main", "other", "\n".join(f"elsewhere,k=v x={i}i {T0 + i * DAY}" for i in range(4))))
    answer.append(Write("second", None, "\n".join(_cpu(random.Random(8), ("a", "z"), T0)[:40])))
    answer.append(
        Write("second", "years", "\n".join(f"slow,unit=u{i % 3} v={i}.25 {T0 + i * HOUR}" for i in range(24)))
    )
    answer.append(Write("odd name", None, "\n".join(_odd_names())))
    return answer


def _number(value: float) -> str:
    return repr(round(value, 4))


def _cpu(draw: random.Random, hosts: tuple[str, ...], start: int) -> list[str]:
    """A sample each 10 s for 5 min, a second later on each next host: floats, an integer, a boolean, a rare string."""
    lines = []
    for i in range(30):
        for number, host in enumerate(hosts):
            region = "west" if host in "ad" else "east"
            fields = [
                f"usage={_number(draw.uniform(0, 100))}",
                f"idle={_number(draw.gauss(50, 10))}",
                f"n={draw.randrange(-5, 40)}i",
                f"up={draw.choice(['true', 'false'])}",
            ]
            if draw.random() < 0.2:
                fields.append(f'note="{draw.choice(["start", "stop", "high load", ""])}"')
            lines.append(f"cpu,host={host},region={region} {','.join(fields)} {start + (i * 10 + number) * SECOND}")
    return lines


def _ints() -> list[str]:
    """Integers at the ends of their range, zeros, negatives."""
    top, low = 2**63 - 1, -(2**63)
    values = [top, 1, 0, -1, low, 7, 7, 1000000007, -13, 9007199254740993, top, top, 2, 3, 5, 8]
    lines = [f"ints,t=x i={v}i,j={i - 4}i {T0 + i * SECOND}" for i, v in enumerate(values)]
    return lines + [f"ints,t=y i={i * i}i,j={7 - i}i {T0 + i * 2 * SECOND + 1}" for i in range(9)]


def _floats() -> list[str]:
    """Floats whose text is long, huge, tiny or a negative zero."""
    texts = ["0", "-0.0", "1e300", "-1e250", "1e-300", "0.1", "0.2", "3", "3", "1e21", "1e20", "123456789.125"]
    texts += ["1e-7", "0.000001", "-2.5", "1e15"]
    lines = [f"floats,t=x f={v},g={i}.5 {T0 + i * SECOND}" for i, v in enumerate(texts)]
    return lines + [f"floats,t=y f={0.5 * i},g=-{i} {T0 + i * SECOND + 500_000_000}" for i in range(6)]


def _strings() -> list[str]:
    """Strings: empty, quotes, other scripts, newlines, numbers in disguise."""
    texts = ["", "plain", 'with \\"quotes\\"', "it's", "日本語", "a\nb", "back\\\\slash", "<&>", "12", "true", "plain"]
    lines = [f'strings,t=x s="{s}",n={i}i {T0 + i * SECOND}' for i, s in enumerate(texts)]
    return lines + [f'strings,t=y s="y{i}",z="{"z" * i}" {T0 + i * SECOND + 250_000_000}' for i in range(5)]


def _booleans() -> list[str]:
    lines = [f"bools,t=x b={'tf'[i % 3 == 0]},c={'ft'[i > 4]} {T0 + i * SECOND}" for i in range(8)]
    return lines + [f"bools,t=y b=true {T0 + i * SECOND + 500_000}" for i in range(3)]


def _sparse(draw: random.Random) -> list[str]:
    """Fields that most rows lack, and a tag that every second series lacks; long holes in time."""
    lines = []
    for i in range(40):
        time = T0 + i * 7_500_000_000 + (600 * SECOND if i > 25 else 0)
        tags = ["sparse", f"k={'pq'[i % 2]}", *(["extra=e1"] if i % 4 == 1 else [])]
        fields = [
            f"{name}={draw.randrange(100)}{'i' if name in 'ab' else '.5'}" for name in "abcd" if draw.random() < 0.4
        ]
        if fields:
            lines.append(f"{','.join(tags)} {','.join(fields)} {time}")
    return lines


def _tagged(draw: random.Random) -> list[str]:
    """Many tags, many series, two points in each."""
    lines = []
    for i in range(36):
        tags = {"a": f"a{i % 2}", "b": f"b{i % 3}", "c": f"c{i % 4}", "d": f"d{i}", "e": "same"}
        if i % 5 == 0:
            tags["f"] = "rare"
        if i % 7 == 0:
            tags["g"] = f"v {i}"
        text = ",".join(f"{k}={v}".replace(" ", "\\ ") for k, v in tags.items())
        lines += [
            f"tagged,{text} v={draw.randrange(50)}i,w={_number(draw.random())} {T0 + i * 250_000_000 + 10 * j * SECOND}"
            for j in (0, 1)
        ]
    return lines


def _times() -> list[str]:
    """Before 1970, at 0, with single ns, and far in the future."""
    moments = [
        -(2**62),
        -86_400 * SECOND,
        -1,
        0,
        1,
        999_999_999,
        SECOND,
        T0 + 1,
        T0 + 1_000,
        7_258_118_400 * SECOND,
        2**62 + 2**61,
    ]
    return [f"times,t=x v={i}i {moment}" for i, moment in enumerate(moments)]


def _daily(draw: random.Random) -> list[str]:
    """Four a day from February to May 2020: summer time begins in Europe and in America."""
    start = T0 + 31 * DAY
    return [
        f"daily,city={city} v={_number(draw.gauss(i, 5))},k={i}i {start + i * 6 * HOUR + number * 600 * SECOND}"
        for i in range(360)
        for number, city in enumerate(("x", "y")[: 1 + (i % 3 == 0)])
    ]


def _wave() -> list[str]:
    """A trend with a season of 8, for forecasts and technical analysis; a second series without pattern."""
    lines = [
        f"wave,t=x v={_number(20 + 0.3 * i + season)},i={100 + i + 10 * (i % 8)}i {T0 + i * 60 * SECOND}"
        for i in range(48)
        for season in (5 * math.sin(i * math.pi / 4),)
    ]
    return lines + [
        f"wave,t=y v={_number(50 + 30 * math.sin(i * i))},i={(i * 7919) % 101}i {T0 + (i * 60 + 30) * SECOND}"
        for i in range(20)
    ]


def _ties() -> list[str]:
    """Equal values, and three series at the same times: everywhere else no two series have a point at one time."""
    return [
        f"ties,t={t},u={'mn'[t == 'r']} v={(i * k) % 3}i,f={(i + k) % 4}.5 {T0 + i * SECOND}"
        for i in range(12)
        for k, t in enumerate("pqr", 1)
    ]


def _counter(draw: random.Random) -> list[str]:
    """A counter that falls back to 0, at uneven times."""
    lines, value, time = [], 0, T0
    for i in range(40):
        value = 0 if i in (13, 29) else value + draw.randrange(20)
        time += draw.choice([1, 1, 2, 5, 17]) * SECOND + draw.randrange(3) * 100_000_000
        lines.append(f"counter,t=x c={value}i,f={value / 4} {time}")
    return lines


def _iot(draw: random.Random) -> list[str]:
    """Trucks: what subqueries are asked about."""
    lines = []
    for truck in range(5):
        tags = f"iot,name=truck_{truck},fleet={('North', 'South')[truck % 2]}" + (
            f",driver=d{truck}" if truck != 3 else ""
        )
        for i in range(48):
            if draw.random() < 0.9:
                speed = max(0.0, draw.gauss(30, 30))
                fields = f"velocity={_number(speed)},fuel={_number(1 - i / 50)},load={draw.randrange(0, 2000, 100)}i"
                lines.append(f"{tags} {fields} {T0 + (i * 300 + truck * 7) * SECOND}")
    return lines


def _mixed() -> list[str]:
    """The field v has another type in each measurement."""
    kinds = {"mix_float": "{}.5", "mix_int": "{}i", "mix_string": '"s{}"', "mix_bool": "true"}
    return [
        f"{name},t=t{i % 2} v={text.format(i)},w={i} {T0 + i * SECOND}"
        for name, text in kinds.items()
        for i in range(6)
    ]


def _both() -> list[str]:
    """`v` is a field and a tag; `t` is only a tag, `f` only a field."""
    return [f"both,v=tag{i % 2},t=t{i % 3} v={i},f={i * 2}i {T0 + i * SECOND}" for i in range(6)]


def _rewrites() -> list[str]:
    """The same points over and over: other fields, other values, older times, within one body and across."""
    first = [f"rewrites,t=x v={i},w={i}i {T0 + i * SECOND}" for i in range(10)]
    second = [f"rewrites,t=x v={i * 100} {T0 + i * SECOND}" for i in range(3, 8)] + [f"rewrites,t=y v=1 {T0 + 1}"]
    third = [f'rewrites,t=x s="late" {T0 + i * SECOND}' for i in (2, 4)] + [
        f"rewrites,t=y v={i} {T0 + 1}" for i in (2, 3)
    ]
    fourth = [f"rewrites,t=x v=-1,w=-1i {T0 + i * SECOND}" for i in (9, 0, -5)]
    return ["\n".join(lines) for lines in (first, second, third, fourth)]


def _odd_names() -> list[str]:
    """Names that need quotes or escapes in one language or the other."""
    return [
        f"my\\ measurement,my\\ tag=a\\ b,host=h1 my\\ field=1,value=10i {T0}",
        f"my\\ measurement,my\\ tag=c\\,d,host=h2 my\\ field=2,value=20i {T0 + SECOND}",
        f"my\\ measurement,my\\ tag=e\\=f my\\ field=3,value=30i {T0 + 2 * SECOND}",
        f'quo"te,t=x v=1 {T0}',
        f'quo"te,t=y v=2 {T0 + SECOND}',
        f"select,from=where group=1,order=2 {T0}",
        f"select,from=limit group=3,order=4 {T0 + SECOND}",
        f"日本,都市=東京 気温=20.5 {T0}",
        f"日本,都市=大阪 気温=22.5 {T0 + SECOND}",
        f"emoji,face=😀 v=1i {T0}",
        f"emoji,face=ü v=2i {T0 + SECOND}",
        f"a.b.c,x.y=1.2 v.w=1 {T0}",
        f"1st,2nd=x 3rd=1 {T0}",
        f"dash-ed,tag-key=tag-value field-key=5 {T0}",
        f"comma\\,name,t=x v=1 {T0}",
        f"equals=name,t=x v=1 {T0}",
        f"UPPER,Host=A V=1 {T0}",
        f"upper,host=a v=2 {T0}",
        f"sla/sh,t=/x/ v=1 {T0}",
        f"back\\slash,t=\\d v=1 {T0}",
        f"it's,t=it's v=1 {T0}",
        f"x,value=tag time_=1,name=2 {T0}",
    ]
