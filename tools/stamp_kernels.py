"""Write each kernel's SOURCE_DIGEST, or with --check say which is out of date.

A compiled kernel carries the digest of the source it was built from; `rusts.kernels.stale` compares.
Usage: python tools/stamp_kernels.py [--check]
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from rusts.kernels import NAMES, source_digest  # noqa: E402


def main() -> int:
    """Stamp or check every kernel; 1 when a check fails."""
    check = "--check" in sys.argv[1:]
    wrong = []
    for name in NAMES:
        path = ROOT / "rusts" / "kernels" / f"{name}.py"
        source = path.read_bytes()
        line = f'SOURCE_DIGEST = "{source_digest(source)}"\n'.encode()
        stamped, found = re.subn(rb'^SOURCE_DIGEST = "[0-9a-f]*"\n', line, source, flags=re.MULTILINE)
        if found != 1:
            wrong.append(f"{name}: {found} lines SOURCE_DIGEST, want 1")
        elif stamped != source:
            if check:
                wrong.append(f"{name}: digest out of date")
            else:
                path.write_bytes(stamped)
                print(f"{name}: stamped; compile it again")
    for text in wrong:
        print(text, file=sys.stderr)
    if wrong and check:
        print("run: python tools/stamp_kernels.py", file=sys.stderr)
    return bool(wrong)


if __name__ == "__main__":
    raise SystemExit(main())
