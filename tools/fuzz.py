"""Feed random input to a kernel's builds and to its reference until a count or a time is reached.

    python tools/fuzz.py lineproto --inputs 100000 --seed 1 [--seconds 60] [--build both|compiled|pure]

Prints the seed first and what disagreed last; exit code 1 when something did. The same seed and
build give the same inputs.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rusts import kernels
from tests.support import fuzzing


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=sorted(fuzzing.TARGETS))
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32))
    parser.add_argument("--build", choices=("both", "compiled", "pure"), default="both")
    options = parser.parse_args()
    print(f"seed {options.seed}, kernels {kernels.summary()}", flush=True)
    begin = time.monotonic()
    try:
        done = fuzzing.run(
            options.target, seed=options.seed, inputs=options.inputs, seconds=options.seconds, build=options.build
        )
    except AssertionError as problem:
        print(f"disagreement: {problem}")
        return 1
    print(f"{done} inputs agree, {time.monotonic() - begin:.1f} s")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
