"""The request sequence of TSBS: drop and make the database, load, ask."""

from __future__ import annotations

import gzip
import json
import urllib.parse

from tools import peers

DB = "tsbs"


def test_create_load_and_query(server: peers.Server):
    status, body = server.request("GET", "/query?q=show%20databases")
    assert status == 200
    json.loads(body)["results"][0]["series"][0]
    plain = {"Content-Type": "text/plain"}
    assert server.request("POST", "/query?q=drop+database+" + DB, b"", plain)[0] == 200
    create = urllib.parse.urlencode({"consistency": "all", "q": f"CREATE DATABASE {DB} WITH REPLICATION 1"})
    assert server.request("GET", "/query?" + create)[0] == 200
    assert [DB] in json.loads(server.request("GET", "/query?q=show%20databases")[1])["results"][0]["series"][0][
        "values"
    ]
    lines = "".join(
        f"cpu,hostname=host_{h},region=eu usage_user={i}i,usage_system={h}i {1_451_606_400 + i}000000000\n"
        for i in range(100)
        for h in range(4)
    ).encode()
    target = f"/write?consistency=all&db={DB}"
    assert server.request("POST", target, lines, plain)[0] == 204
    assert server.request("POST", target, gzip.compress(lines), {**plain, "Content-Encoding": "gzip"})[0] == 204
    single = (
        "SELECT max(usage_user) from cpu where (hostname = 'host_1' or hostname = 'host_3') and "
        "time >= '2016-01-01T00:00:10Z' and time < '2016-01-01T00:01:00Z' group by time(1m)"
    )
    lastpoint = 'SELECT * from cpu group by "hostname" order by time desc limit 1'
    for query, chunked in ((single, False), (single, True), (lastpoint, False)):
        values = {"q": query, "db": DB, **({"chunked": "true", "chunk_size": "10000"} if chunked else {})}
        status, body = server.request("POST", "/query?" + urllib.parse.urlencode(values))
        assert status == 200
        series = json.loads(body)["results"][0]["series"]
        if query is single:
            assert series[0]["values"] == [["2016-01-01T00:00:00Z", 59]]
        else:
            assert [each["tags"]["hostname"] for each in series] == ["host_3", "host_2", "host_1", "host_0"]
            assert series[1]["values"] == [["2016-01-01T00:01:39Z", "eu", 2, 99]]
