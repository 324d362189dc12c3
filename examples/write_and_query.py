"""Write a few points and read them back."""

from __future__ import annotations

import json
import os
import urllib.request

URL = os.environ.get("RUSTS_URL", "http://localhost:8086")

LINES = """
weather,city=Oslo temperature=-3.5,humidity=71i 1700000000
weather,city=Oslo temperature=-4.0,humidity=74i 1700003600
weather,city=Bergen temperature=4.5,humidity=90i 1700000000
"""


def post(path: str, body: str) -> bytes:
    request = urllib.request.Request(URL + path, body.encode(), {"Content-Type": "text/plain"})
    with urllib.request.urlopen(request) as response:
        return response.read()


def main() -> None:
    post("/write?precision=s", LINES)

    rows = json.loads(post("/query?format=rows", json.dumps({"measurement": "weather", "order": "desc", "limit": 2})))
    for row in rows["rows"]:
        print(row["time"], row["city"], row["temperature"])

    question = {
        "measurement": "weather",
        "aggregation": {"function": "Mean", "field": "temperature", "group_by": ["city"]},
    }
    for series in json.loads(post("/query", json.dumps(question)))["series"]:
        print(series["tags"]["city"], series["values"][0][1])


if __name__ == "__main__":
    main()
