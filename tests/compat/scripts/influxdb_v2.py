"""influxdb-client (v2): synchronous, asynchronous and batching writes, ping, health, buckets, delete."""

import asyncio
import json
import sys
import urllib.parse
import urllib.request

from influxdb_client import BucketRetentionRules, InfluxDBClient, Point, WriteOptions, WritePrecision
from influxdb_client.client.influxdb_client_async import InfluxDBClientAsync
from influxdb_client.client.write_api import ASYNCHRONOUS, SYNCHRONOUS
from influxdb_client.rest import ApiException

port = int(sys.argv[1])
url = f"http://127.0.0.1:{port}"


def count(database: str, measurement: str) -> int:
    query = urllib.parse.urlencode({"db": database, "q": f"SELECT count(v) FROM {measurement}"})
    with urllib.request.urlopen(f"{url}/query?{query}") as answer:
        series = json.load(answer)["results"][0].get("series")
    return series[0]["values"][0][1] if series else 0


client = InfluxDBClient(url, token="any", org="home")
assert client.ping()
assert client.health().status == "pass"
assert client.ready().status == "ready"
assert client.version()

buckets = client.buckets_api()
bucket = buckets.create_bucket(
    bucket_name="py2", retention_rules=BucketRetentionRules(type="expire", every_seconds=0), org="home"
)
assert bucket.name == "py2"
found = buckets.find_bucket_by_name("py2")
assert found.id == bucket.id
assert buckets.find_bucket_by_name("nothing") is None
assert buckets.find_bucket_by_id(bucket.id).name == "py2"
assert "py2" in [each.name for each in buckets.find_buckets().buckets]
try:
    buckets.create_bucket(bucket_name="py2", org="home")
except ApiException as problem:
    assert problem.status == 422, problem.status
else:
    raise AssertionError("a bucket can be made once")

with client.write_api(write_options=SYNCHRONOUS) as api:
    api.write("py2", record=Point("sync").tag("host", "a b").field("v", 1).time(1_700_000_000, WritePrecision.S))
    api.write("py2", record=["sync v=2i 1700000001000000000", "sync v=3i 1700000002000000000"])
    api.write("py2", record={"measurement": "sync", "fields": {"v": 4}, "time": 5}, write_precision=WritePrecision.MS)
    api.write("py2", record=Point("sync"))  # no field: an empty body
    api.write("made-on-demand", record="m v=1")
    try:
        api.write("py2", record="sync v=")
    except ApiException as problem:
        assert problem.status == 400
        assert "unable to parse" in json.loads(problem.body)["message"]
    else:
        raise AssertionError("a bad line must be raised")
assert count("py2", "sync") == 4
assert count("made-on-demand", "m") == 1

with client.write_api(write_options=ASYNCHRONOUS) as api:
    api.write("py2", record="later v=1").get()
assert count("py2", "later") == 1

with client.write_api(write_options=WriteOptions(batch_size=300, flush_interval=200)) as api:
    for i in range(1000):
        api.write("py2", record=f"batch,host=h{i % 7} v={i}i {1_700_000_000_000_000_000 + i}")
assert count("py2", "batch") == 1000


async def asynchronous() -> None:
    async with InfluxDBClientAsync(url, token="any", org="home", enable_gzip=True) as aio:
        assert await aio.ping()
        assert await aio.write_api().write("py2", record=[Point("aio").field("v", i).time(i) for i in range(10)])


asyncio.run(asynchronous())
assert count("py2", "aio") == 10

client.delete_api().delete(
    "1970-01-01T00:00:00Z", "2100-01-01T00:00:00Z", '_measurement="batch" AND host="h3"', bucket="py2", org="home"
)
assert count("py2", "batch") == 1000 - len(range(3, 1000, 7))

try:
    client.query_api().query('from(bucket: "py2") |> range(start: -1h)')
except ApiException as problem:
    assert problem.status == 501
    assert "InfluxQL" in json.loads(problem.body)["message"]
else:
    raise AssertionError("Flux must be refused")

buckets.delete_bucket(bucket)
assert buckets.find_bucket_by_name("py2") is None
client.close()
