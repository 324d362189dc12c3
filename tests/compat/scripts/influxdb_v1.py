"""influxdb-python (v1): points, queries, chunks, schema, users, data frames."""

import sys
from datetime import UTC, datetime

import pandas as pd
from influxdb import DataFrameClient, InfluxDBClient
from influxdb.exceptions import InfluxDBClientError

port = int(sys.argv[1])
client = InfluxDBClient("127.0.0.1", port)

assert client.ping()
client.drop_database("py1")
client.create_database("py1")
client.create_database("py1")
assert {"name": "py1"} in client.get_list_database()
client.switch_database("py1")

points = [
    {
        "measurement": "cpu load",
        "tags": {"host": f"h{i % 2}", "dc": "a,b=c d"},
        "time": f"2024-01-01T00:00:{i:02d}Z",
        "fields": {"value": i / 2, "count": i, "ok": i % 2 == 0, "text": f'say "{i}"'},
    }
    for i in range(20)
]
assert client.write_points(points)
assert client.write_points(points, time_precision="s", batch_size=7, tags={"more": "x"})
assert client.write(["m v=1 1", "m v=2 2"], {"db": "py1", "precision": "s"}, 204, "line")

rows = list(client.query("SELECT * FROM \"cpu load\" WHERE more = ''").get_points())
assert len(rows) == 20, rows
assert rows[3]["text"] == 'say "3"'
assert rows[3]["value"] == 1.5
assert rows[3]["count"] == 3
assert rows[3]["ok"] is False
assert rows[3]["time"] == "2024-01-01T00:00:03Z", rows[3]
assert rows[3]["dc"] == "a,b=c d"

result = client.query('SELECT mean(value) FROM "cpu load" GROUP BY host', epoch="ms")
assert [key for key, _ in result.items()] == [("cpu load", {"host": "h0"}), ("cpu load", {"host": "h1"})]
assert list(result.get_points(tags={"host": "h1"})) == [{"time": 0, "mean": 5.0}]

if sys.argv[2] != "influxd":  # which sends MessagePack in several documents, and this client reads one
    chunked = client.query('SELECT value FROM "cpu load"', chunked=True, chunk_size=7)
    assert sum(len(list(part.get_points())) for part in chunked) == 40

bound = client.query(
    'SELECT count(value) FROM "cpu load" WHERE host = $h AND value > $v', bind_params={"h": "h0", "v": 2.5}
)
assert next(iter(bound.get_points()))["count"] == 14

several = client.query("SELECT v FROM m; SELECT count(v) FROM m")
assert [len(list(each.get_points())) for each in several] == [2, 1]

assert client.get_list_measurements() == [{"name": "cpu load"}, {"name": "m"}]
assert "m" in client.get_list_series()
assert len(client.get_list_series("py1", "cpu load")) == 4

client.create_retention_policy("week", "7d", 1, database="py1", default=False)
client.alter_retention_policy("week", "py1", duration="14d", shard_duration="1d")
policies = {policy["name"]: policy for policy in client.get_list_retention_policies("py1")}
assert policies["week"]["duration"] == "336h0m0s", policies
assert policies["autogen"]["default"] is True
client.drop_retention_policy("week", "py1")

client.create_user("py1user", "se'cret", admin=False)
assert {"user": "py1user", "admin": False} in client.get_list_users()
client.grant_privilege("read", "py1", "py1user")
assert client.get_list_privileges("py1user") == [{"database": "py1", "privilege": "READ"}]
client.revoke_privilege("read", "py1", "py1user")
client.set_user_password("py1user", "other")
client.drop_user("py1user")

client.create_continuous_query("cq1", 'SELECT mean(value) INTO "mean" FROM "cpu load" GROUP BY time(1m)', "py1")
assert any(q["name"] == "cq1" for each in client.get_list_continuous_queries() for q in each.get("py1", []))
client.drop_continuous_query("cq1", "py1")

try:
    client.query("SELEC 1")
except InfluxDBClientError as problem:
    assert problem.code == 400
    assert "error parsing query" in str(problem)
else:
    raise AssertionError("a syntax error must be raised")
try:
    client.write(["m v=1 1", "m v=true 2"], {"db": "py1"}, 204, "line")
except InfluxDBClientError as problem:
    assert "field type conflict" in str(problem)
else:
    raise AssertionError("a conflict must be raised")

client.delete_series("py1", measurement="m")
assert client.get_list_measurements() == [{"name": "cpu load"}]

frames = DataFrameClient("127.0.0.1", port, database="py1")
index = pd.date_range("2024-02-01", periods=5, freq="s", tz=UTC, unit="ns")
frame = pd.DataFrame({"a": [1.0, 2.5, 3.0, 4.0, 5.0], "b": [1, 2, 3, 4, 5]}, index=index)
assert frames.write_points(frame, "frame", tags={"host": "x"})
back = frames.query("SELECT a, b FROM frame")["frame"]
assert back["a"].tolist() == frame["a"].tolist()
assert back["b"].tolist() == frame["b"].tolist()
assert back.index[0] == pd.Timestamp(datetime(2024, 2, 1, tzinfo=UTC))

with InfluxDBClient("127.0.0.1", port, database="py1", gzip=True) as zipped:
    assert zipped.write_points([{"measurement": "z", "fields": {"v": 1}}])
    assert len(list(zipped.query("SELECT v FROM z").get_points())) == 1
client.drop_measurement("z")
client.drop_database("py1")
