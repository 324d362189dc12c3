"""Rows like those of the Time Series Benchmark Suite's `cpu-only` use case, and rows for two other loads.

The suite's devops hosts: ten tags, ten integer fields that walk at random between 0 and 100, one row a
host every ten seconds from 2016-01-01 on, all hosts of one time before the next time. The same seed gives
the same rows. Text is made for whole blocks of rows with numpy, never row by row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["CPU_FIELDS", "START_NS", "STEP_NS", "CpuRows", "cardinality_bodies", "cpu_rows", "one_line_bodies"]

START_NS: Final = 1_451_606_400_000_000_000
"""2016-01-01T00:00:00Z."""

STEP_NS: Final = 10_000_000_000

CPU_FIELDS: Final = (
    "usage_user",
    "usage_system",
    "usage_idle",
    "usage_nice",
    "usage_iowait",
    "usage_irq",
    "usage_softirq",
    "usage_steal",
    "usage_guest",
    "usage_guest_nice",
)

_REGIONS: Final = ("eu-central-1", "eu-west-1", "us-east-1", "us-west-1", "us-west-2", "ap-northeast-1", "sa-east-1")
_SYSTEMS: Final = ("Ubuntu15.10", "Ubuntu16.04LTS", "Ubuntu16.10")
_TEAMS: Final = ("CHI", "LON", "NYC", "SF")
_ENVIRONMENTS: Final = ("production", "staging", "test")
_BLOCK_STEPS: Final = 200

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class CpuRows:
    """`hosts` x `steps` rows: `values` int64[steps, hosts, 10], `tags` one dict for each host.

    With `fractions` every field is a float, the value and twelve random decimals behind it: what compresses least.
    """

    tags: list[dict[str, str]]
    times: npt.NDArray[np.int64]
    values: npt.NDArray[np.int64]
    fractions: bool = False

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.times) * len(self.tags)

    def bodies(self, rows_a_body: int) -> Iterator[bytes]:
        """The rows as line protocol in the order of their times, `rows_a_body` rows a body."""
        hosts = len(self.tags)
        heads = _table([f"cpu,{','.join(f'{k}={v}' for k, v in tags.items())} ".encode() for tags in self.tags])
        suffix = "." if self.fractions else "i,"
        cells = [_table([f"{name}={value}{suffix}".encode() for value in range(101)]) for name in CPU_FIELDS]
        digits = _table([b"%04d" % number for number in range(10_000)])
        random = np.random.default_rng(self.values.ravel()[:10])
        rest = b""
        left = 0
        for first in range(0, len(self.times), _BLOCK_STEPS):
            times = self.times[first : first + _BLOCK_STEPS]
            block = self.values[first : first + _BLOCK_STEPS].reshape(-1, len(CPU_FIELDS))
            parts = [np.tile(heads, (len(times), 1))]
            for i, cell in enumerate(cells):
                parts.append(cell[block[:, i]])
                if self.fractions:
                    parts += [digits[random.integers(10_000, size=len(block))] for _ in range(3)]
                    parts.append(np.full((len(block), 1), ord(","), dtype=np.uint8))
            parts[-1][parts[-1] == ord(",")] = ord(" ")
            parts.append(_digits(np.repeat(times, hosts)))
            text, ends = _pack(parts)
            begin = 0
            for row in range(rows_a_body - left, len(ends) + 1, rows_a_body):
                end = int(ends[row - 1])
                yield rest + text[begin:end]
                rest, begin = b"", end
            left = (left + len(ends)) % rows_a_body
            rest += text[begin:]
        if rest:
            yield rest


def cpu_rows(hosts: int, steps: int, seed: int = 1, *, first_step: int = 0, fractions: bool = False) -> CpuRows:
    """`steps` times ten seconds of `hosts` hosts, from `first_step` on; the hosts' tags depend on `hosts` only."""
    random = np.random.default_rng(hosts)
    tags = []
    for host in range(hosts):
        region = _REGIONS[random.integers(len(_REGIONS))]
        tags.append(
            {
                "hostname": f"host_{host}",
                "region": region,
                "datacenter": region + "abc"[random.integers(3)],
                "rack": str(random.integers(100)),
                "os": _SYSTEMS[random.integers(len(_SYSTEMS))],
                "arch": ("x64", "x86")[random.integers(2)],
                "team": _TEAMS[random.integers(len(_TEAMS))],
                "service": str(random.integers(20)),
                "service_version": str(random.integers(2)),
                "service_environment": _ENVIRONMENTS[random.integers(len(_ENVIRONMENTS))],
            }
        )
    random = np.random.default_rng((hosts, seed))
    values = np.empty((steps, hosts, len(CPU_FIELDS)), dtype=np.int64)
    state = random.uniform(0, 100, (hosts, len(CPU_FIELDS)))
    for step in range(steps):
        values[step] = state
        state = np.clip(state + random.standard_normal(state.shape), 0, 100)
    times = START_NS + np.arange(first_step, first_step + steps, dtype=np.int64) * STEP_NS
    return CpuRows(tags, times, values, fractions)


def one_line_bodies(count: int, series: int = 1000, seed: int = 1) -> list[bytes]:
    """`count` bodies of one line each, each a new point: two tags and two fields, `series` series in turn."""
    random = np.random.default_rng(seed)
    values = random.integers(0, 10_000, (count, 2))
    return [
        b"sensor,site=site_%d,unit=unit_%d temperature=%d.%02d,count=%di %d\n"
        % (i % series % 10, i % series, 10 + a % 30, a % 100, b, START_NS + i // series * STEP_NS)
        for i, (a, b) in enumerate(values.tolist())
    ]


def cardinality_bodies(rows_a_body: int = 5000, shape: tuple[int, int, int] = (10, 100, 1000)) -> Iterator[bytes]:
    """One row for each of shape[0] x shape[1] x shape[2] series, the last tag running fastest."""
    a, b, c = shape
    numbers = np.arange(a * b * c, dtype=np.int64)
    tables = [
        _table([f"m,a=a{i}".encode() for i in range(a)]),
        _table([f",b=b{i}".encode() for i in range(b)]),
        _table([f",c=c{i} v=1i ".encode() for i in range(c)]),
    ]
    for first in range(0, len(numbers), rows_a_body):
        part = numbers[first : first + rows_a_body]
        codes = (part // (b * c), part // c % b, part % c)
        parts = [table[code] for table, code in zip(tables, codes, strict=True)]
        yield _pack([*parts, _digits(np.full(len(part), START_NS))])[0]


def _table(texts: list[bytes]) -> Bytes:
    """The texts as rows of one array, filled up with zeros on the right."""
    width = max(map(len, texts))
    return np.frombuffer(b"".join(text.ljust(width, b"\0") for text in texts), dtype=np.uint8).reshape(-1, width)


def _digits(times: npt.NDArray[np.int64]) -> Bytes:
    """The 19 digits of each time and a newline."""
    texts = np.char.mod("%d\n", times).astype("S20")
    return texts.view(np.uint8).reshape(len(times), 20)


def _pack(parts: list[Bytes]) -> tuple[bytes, npt.NDArray[np.int64]]:
    """The rows of the parts side by side without the zeros, and where each row ends."""
    grid = np.concatenate(parts, axis=1)
    kept = grid != 0
    return grid[kept].tobytes(), np.cumsum(kept.sum(axis=1))
