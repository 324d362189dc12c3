"""Random input for a kernel's builds and its reference: what tools/fuzz.py and the kernel's tests run."""

from __future__ import annotations

import importlib
import random
import time
from collections.abc import Callable
from types import ModuleType
from typing import Final

from rusts import kernels
from tests.support import lineproto_compare, lineproto_inputs

__all__ = ["TARGETS", "run"]

BODIES: Final = 100
"""Bodies that are parsed together, as the server does with small requests."""

_UNITS: Final = (1, 1, 1, 1_000, 1_000_000, 1_000_000_000, 60_000_000_000, 3_600_000_000_000, 0)


def lineproto(rng: random.Random, builds: list[ModuleType]) -> int:
    """Bodies of nearly right line protocol; gives how many inputs that was."""
    bodies = [lineproto_inputs.body(rng) for _ in range(BODIES)]
    units = [rng.choice(_UNITS) for _ in bodies]
    now = [rng.randrange(-(10**18), 10**18) for _ in bodies]
    lineproto_compare.agree(builds, bodies, units, now)
    return BODIES


TARGETS: Final[dict[str, Callable[[random.Random, list[ModuleType]], int]]] = {"lineproto": lineproto}
"""For each kernel a step that draws inputs, feeds every build and raises AssertionError where one disagrees."""


def run(target: str, *, seed: int, inputs: int, seconds: float | None = None, build: str = "both") -> int:
    """Feed `target` until `inputs` or `seconds` are reached; gives how many inputs agreed. Raises AssertionError.

    `build`: ``both``, ``compiled`` or ``pure``. The same seed and build give the same inputs.
    """
    builds = [importlib.import_module(f"rusts.kernels.{target}")] if build != "pure" else []
    if build != "compiled":
        builds.append(kernels.pure(target))
    rng = random.Random(seed)
    stop = time.monotonic() + seconds if seconds is not None else None
    done = 0
    while done < inputs and (stop is None or time.monotonic() < stop):
        done += TARGETS[target](rng, builds)
    return done
