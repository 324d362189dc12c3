"""influxdb3-python: writes by the v2 and by the v3 API."""

import json
import sys
import urllib.parse
import urllib.request

from influxdb_client_3 import InfluxDBClient3, Point, WriteOptions, write_client_options
from influxdb_client_3.write_client.client.write_api import SYNCHRONOUS

port = int(sys.argv[1])
url = f"http://127.0.0.1:{port}"


def count(database: str, measurement: str) -> int:
    query = urllib.parse.urlencode({"db": database, "q": f"SELECT count(v) FROM {measurement}"})
    with urllib.request.urlopen(f"{url}/query?{query}") as answer:
        series = json.load(answer)["results"][0].get("series")
    return series[0]["values"][0][1] if series else 0


for name, values in (("v2", {}), ("v3", {"use_v2_api": False}), ("v3s", {"use_v2_api": False, "no_sync": True})):
    options = WriteOptions(write_type=SYNCHRONOUS.write_type, **values)
    with InfluxDBClient3(
        host=url, database="py3", token="any", write_client_options=write_client_options(write_options=options)
    ) as client:
        assert client.get_server_version()
        client.write(Point(name).tag("host", "a").field("v", 1).time(1_700_000_000_000_000_000))
        client.write(f"{name},host=b v=2i 1700000000\n{name},host=c v=3i 1700000001", write_precision="s")
        try:
            client.write(f"{name} v=4i\n{name} v=")
        except Exception as problem:
            assert "400" in str(getattr(problem, "status", problem)) or "partial" in str(problem), problem
        else:
            raise AssertionError("a bad line must be raised")
    assert count("py3", name) == 4, (name, count("py3", name))
