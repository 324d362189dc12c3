"""What all benches share: their options, alternating runs, figures beside what they have to reach."""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from rusts import __version__, kernels

__all__ = ["Figure", "Options", "Report", "WrongAnswer", "alternate", "check", "main", "middle", "workspace"]

T = TypeVar("T")


class WrongAnswer(Exception):
    """A server did not hold or answer what it should have: nothing measured on it counts."""


@dataclass(frozen=True)
class Options:
    """How much to measure: `runs` alternating runs; `quick` = smaller loads, to see that a bench works."""

    runs: int
    quick: bool

    def pick(self, full: T, quick: T) -> T:
        """The amount for this kind of run."""
        return quick if self.quick else full


@dataclass(frozen=True)
class Figure:
    """One measured value and what it has to reach: at least `least`, at most `most`, or nothing."""

    what: str
    value: float
    unit: str
    least: float | None = None
    most: float | None = None

    @property
    def reached(self) -> bool:
        """Whether the value is what it has to be."""
        return (self.least is None or self.value >= self.least) and (self.most is None or self.value <= self.most)

    @property
    def wanted(self) -> str:
        """What it has to reach, as text."""
        if self.least is not None:
            return f">= {self.least:g}"
        return f"<= {self.most:g}" if self.most is not None else ""


@dataclass
class Report:
    """A bench's figures, and every single measurement behind them."""

    bench: str
    figures: list[Figure] = field(default_factory=list)
    measured: dict[str, Any] = field(default_factory=dict)

    def as_json(self, options: Options) -> dict[str, Any]:
        """All of it, with the machine and the build that it was measured on."""
        return {
            "bench": self.bench,
            "figures": [asdict(figure) | {"reached": figure.reached} for figure in self.figures],
            "measured": self.measured,
            "runs": options.runs,
            "quick": options.quick,
            "rusts": __version__,
            "kernels": kernels.summary(),
            "python": platform.python_version(),
        }


def alternate(runs: int, contenders: Mapping[str, Callable[[], T]]) -> dict[str, list[T]]:
    """Run each contender in turn, `runs` times round, so that what the machine does meanwhile hits all."""
    results: dict[str, list[T]] = {name: [] for name in contenders}
    for number in range(runs):
        for name, run in contenders.items():
            results[name].append(run())
            print(f"run {number + 1}/{runs} {name}: {_short(results[name][-1])}", file=sys.stderr, flush=True)
    return results


def middle(values: Sequence[float]) -> float:
    """The median."""
    return float(statistics.median(values))


def check(condition: bool, text: str) -> None:
    """Raises WrongAnswer with `text` unless `condition` holds."""
    if not condition:
        raise WrongAnswer(text)


@contextmanager
def workspace() -> Iterator[Path]:
    """A directory for servers and request files, removed at the end."""
    with tempfile.TemporaryDirectory(prefix="rusts-bench-") as path:
        yield Path(path)


def main(measure: Callable[[Options], Report], description: str | None) -> None:
    """A bench's command: measures, prints the report as JSON."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="alternating runs, of which the median counts")
    parser.add_argument("--quick", action="store_true", help="smaller loads: the figures mean little")
    arguments = parser.parse_args()
    options = Options(arguments.runs, arguments.quick)
    print(json.dumps(measure(options).as_json(options), indent=1))


def _short(result: object) -> str:
    if isinstance(result, Mapping):
        return ", ".join(f"{k} {v:,.4g}" for k, v in result.items() if isinstance(v, int | float))
    return f"{result:,.4g}" if isinstance(result, int | float) else str(result)[:200]
