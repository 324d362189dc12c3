"""Send many points in gzip bodies, trying again where the server says that it may pass later."""

from __future__ import annotations

import gzip
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

URL = os.environ.get("RUSTS_URL", "http://localhost:8086")
BATCH = 5_000


def lines(count: int) -> Iterator[str]:
    for i in range(count):
        yield f"engine,unit=u{i % 20} rpm={900 + i % 700}i,oil={3 + i % 10 / 10} {1_700_000_000_000 + i}"


def send(body: bytes) -> None:
    headers = {"Content-Encoding": "gzip"}
    for attempt in range(10):
        request = urllib.request.Request(f"{URL}/api/v2/write?bucket=garage&precision=ms", body, headers)
        try:
            urllib.request.urlopen(request)
        except urllib.error.HTTPError as problem:
            if problem.code < 500:
                raise
            # 503 names a pause. Sending the same points twice changes nothing.
            time.sleep(float(problem.headers.get("Retry-After", 0.1 * 2**attempt)))
        else:
            return
    raise SystemExit("the server took nothing for ten attempts")


def main() -> None:
    batch: list[str] = []
    sent = 0
    for line in lines(20_000):
        batch.append(line)
        if len(batch) == BATCH:
            send(gzip.compress("\n".join(batch).encode(), 1))
            sent += len(batch)
            batch.clear()
    print(f"{sent} points sent")


if __name__ == "__main__":
    main()
