"""The entry of ``rusts-server``: imports the server without the garbage collector at work.

What is imported stays for the life of the process. While it is, the collector would go through it again and again:
a seventh of the time that importing takes. `rusts.api.serve` switches it on again.
"""

from __future__ import annotations

import gc
import importlib

__all__ = ["main"]


def main() -> None:
    """The console command. Ends the process."""
    gc.disable()
    importlib.import_module("rusts.cli.server").main()


if __name__ == "__main__":
    main()
