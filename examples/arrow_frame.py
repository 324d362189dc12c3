"""Ask for an answer as an Arrow stream: no text between the server's columns and yours."""

from __future__ import annotations

import json
import os
import urllib.request

import pyarrow as pa

URL = os.environ.get("RUSTS_URL", "http://localhost:8086")


def main() -> None:
    body = b"".join(b"wave,axis=x height=%d %d\n" % (i * i, i) for i in range(1, 6))
    urllib.request.urlopen(urllib.request.Request(f"{URL}/write", body))

    question = json.dumps({"measurement": "wave", "fields": ["height"]}).encode()
    headers = {"Accept": "application/vnd.apache.arrow.stream"}
    with urllib.request.urlopen(urllib.request.Request(f"{URL}/query", question, headers)) as response:
        table = pa.ipc.open_stream(response.read()).read_all()
    print(table.num_rows, "rows of", ", ".join(table.column_names))
    print(table["height"].to_pylist())


if __name__ == "__main__":
    main()
