"""Send a body with faults in it: the good lines are stored, each bad one is named."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request

URL = os.environ.get("RUSTS_URL", "http://localhost:8086")

BODY = b"""\
power,meter=1 watts=120.5 1700000000
power,meter=1 watts= 1700000060
power,meter=1 watts="much" 1700000120
power,meter=1 watts=119 1700000180
"""


def main() -> None:
    try:
        urllib.request.urlopen(urllib.request.Request(f"{URL}/write?precision=s", BODY))
    except urllib.error.HTTPError as problem:
        answer = json.load(problem)
        print(problem.code, answer["error"].partition(":")[0])
        for line in answer["lines"]:
            print(f"line {line['line']}, column {line['column']}: {line['reason']}")
    else:
        raise SystemExit("the server took everything?")

    with urllib.request.urlopen(f"{URL}/admin/rejected") as response:
        latest = json.load(response)["rejected"]
    print(f"the server remembers {len(latest)} refusals, the last of {latest[0]['points']} line")


if __name__ == "__main__":
    main()
