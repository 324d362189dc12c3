"""Statements that ask for too much, and the data that they ask it of."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np

__all__ = ["DATABASE", "POINTS", "SERIES", "data", "greedy", "huge", "long"]

DATABASE = "hostile"
SERIES = 2_000
POINTS = 500

_BATCH = 20
"""Series in one request."""


def data() -> Iterator[bytes]:
    """Line protocol: `SERIES` series of `POINTS` points each in 2020, and a few that go from 1970 to 2100."""
    random = np.random.default_rng(1)
    base = 1_577_836_800_000_000_000
    for first in range(0, SERIES, _BATCH):
        lines = []
        for host in range(first, first + _BATCH):
            head = f"load,host=h{host:04},region=r{host % 20}"
            values = random.normal(50, 10, POINTS)
            lines += [
                f'{head} v={value:.6f},n={i * host}i,s="text {i % 7}",b={"true" if i % 3 else "false"}'
                f" {base + i * 10_000_000_000}"
                for i, value in enumerate(values.tolist())
            ]
        yield "\n".join(lines).encode()
    yield "\n".join(
        f"ages,era=e{era} v={year - 1970}.5,n={year}i {int(datetime(year, 1, 1, tzinfo=UTC).timestamp())}000000000"
        for era in range(10)
        for year in range(1970, 2101)
    ).encode()


def greedy() -> dict[str, str]:
    """Short statements that ask for very much, by what they do."""
    everything = "time >= '1677-09-21T00:12:44Z' AND time <= '2262-04-11T23:47:16Z'"
    texts: dict[str, str] = {}
    for fill in ("", "fill(none)", "fill(0)", "fill(previous)", "fill(linear)"):
        for interval in ("1ns", "1ms"):
            texts[f"buckets {interval} {fill}"] = f"SELECT mean(v) FROM ages GROUP BY time({interval}), * {fill}"
            texts[f"buckets ever {interval} {fill}"] = (
                f"SELECT mean(v) FROM ages WHERE {everything} GROUP BY time({interval}), * {fill}"
            )
            texts[f"buckets load {interval} {fill}"] = f"SELECT mean(v) FROM load GROUP BY time({interval}), * {fill}"
    buckets = "GROUP BY time(1ms), *"
    for call in (
        "derivative(mean(v))",
        "moving_average(mean(v), 10)",
        "holt_winters(mean(v), 10, 4)",
        "holt_winters_with_fit(mean(v), 10, 4)",
        "cumulative_sum(count(v))",
        "difference(last(v))",
        "elapsed(first(v))",
        "exponential_moving_average(mean(v), 5)",
        "integral(v)",
        "top(v, 3)",
        "percentile(v, 50)",
        "median(v)",
        "mode(v)",
        "distinct(v)",
    ):
        texts[f"buckets {call}"] = f"SELECT {call} FROM ages WHERE {everything} {buckets}"
        texts[f"seconds {call}"] = f"SELECT {call} FROM load WHERE time < '2021-01-01T00:00:00Z' GROUP BY time(1s), *"
        texts[f"nested {call}"] = f"SELECT max(x) FROM (SELECT {call} AS x FROM ages {buckets}) GROUP BY time(1ms)"
        texts[f"everything {call}"] = f"SELECT {call.replace('mean(v)', 'v').replace('(count(v))', '(v)')} FROM /.*/"
    texts |= {
        "zone buckets": f"SELECT mean(v) FROM ages {buckets} tz('Europe/Berlin')",
        "calendar buckets": f"SELECT mean(v) FROM ages WHERE {everything} GROUP BY time(1mo), *",
        "hours of a zone": f"SELECT mean(v) FROM ages WHERE {everything} GROUP BY time(1h), * tz('Europe/Berlin')",
        "minutes of a zone": f"SELECT median(v) FROM ages WHERE {everything} GROUP BY time(1m) tz('Europe/Berlin')",
        "join": "SELECT "
        + ", ".join(f"mean(v) + max(n) * {i} - stddev(v)" for i in range(50))
        + f" FROM ages {buckets}",
        "join seconds": "SELECT mean(v), median(n), mode(v), spread(n), derivative(mean(v)), top(v, 1) FROM load "
        "GROUP BY time(1s), *",
        "join transforms": "SELECT "
        + ", ".join(f"moving_average(mean(v), {i})" for i in range(2, 102))
        + " FROM load WHERE time < '2021-01-01T00:00:00Z' GROUP BY time(10s), *",
        "join transforms of rows": "SELECT "
        + ", ".join(f"moving_average(v, {i})" for i in range(2, 102))
        + " FROM load",
        "median": "SELECT median(v) FROM load",
        "median *": "SELECT median(*), mode(*), distinct(v) FROM /.*/",
        "all functions *": "SELECT mean(*), median(*), mode(*), count(*), first(*), last(*), max(*) FROM /.*/ GROUP "
        "BY *",
        "percentile": "SELECT percentile(v, 99), * FROM load GROUP BY *",
        "percentiles": "SELECT " + ", ".join(f"percentile(v, {i})" for i in range(1, 100)) + " FROM load",
        "mode": "SELECT mode(s), mode(v), mode(n) FROM load GROUP BY time(10s)",
        "top all": "SELECT top(v, 2000000000) FROM load",
        "top tags": "SELECT top(v, host, region, 2000000000) FROM load",
        "bottom all": "SELECT bottom(v, 9223372036854775807), * FROM load",
        "distinct": "SELECT distinct(v) FROM load",
        "count distinct": "SELECT count(distinct(v)), count(distinct(n)), count(distinct(s)) FROM load GROUP BY *",
        "sample": "SELECT sample(v, 1000000000) FROM load",
        "sample *": "SELECT sample(v, 9223372036854775807), * FROM load GROUP BY *",
        "moving": "SELECT moving_average(v, 1000000000) FROM load",
        "moving long": "SELECT moving_average(v, 9223372036854775807) FROM load GROUP BY *",
        "moving half": "SELECT moving_average(v, 500000) FROM load",
        "ema": "SELECT exponential_moving_average(v, 1000000000), kaufmans_adaptive_moving_average(v, "
        "1000000) FROM load",
        "rsi": "SELECT relative_strength_index(v, 2000000000, 2000000000), chande_momentum_oscillator(v, "
        "500000) FROM load",
        "ker": "SELECT kaufmans_efficiency_ratio(v, 500000), triple_exponential_derivative(v, 500000) FROM load",
        "holt": "SELECT holt_winters(mean(v), 2147483648, 4) FROM ages GROUP BY time(52w)",
        "holt most": "SELECT holt_winters(mean(v), 9223372036854775807, 9223372036854775807) FROM ages GROUP BY "
        "time(52w)",
        "holt season": "SELECT holt_winters(mean(v), 100, 2000000000) FROM load GROUP BY time(10s)",
        "holt all": "SELECT holt_winters(mean(v), 100, 10) FROM load GROUP BY time(10s), *",
        "holt days": "SELECT holt_winters_with_fit(mean(v), 100000, 30) FROM ages GROUP BY time(1d), *",
        "limit": "SELECT v FROM load LIMIT 9223372036854775807 OFFSET 9223372036854775807",
        "offset": "SELECT * FROM load LIMIT 10 OFFSET 999990",
        "limits": "SELECT v FROM load GROUP BY * LIMIT 9223372036854775807 SLIMIT 9223372036854775807 SOFFSET 1000",
        "regex group": "SELECT mean(v), median(v) FROM /.*/ GROUP BY /.*/",
        "regex group time": "SELECT mean(v) FROM /.*/ GROUP BY time(1ms), /.*/",
        "regex plus": "SELECT v FROM load WHERE host =~ /(a+)+$/",
        "regex nested": "SELECT v FROM load WHERE host =~ /((((a*)*)*)*)*((h|h)*)*x/",
        "regex repeat": "SELECT v FROM load WHERE host =~ /a{1000}{1000}/",
        "regex repeats": "SELECT v FROM load WHERE host =~ /((a{100}){100}){100}/",
        "regex thousand": "SELECT v FROM load WHERE host =~ /(.{1,1000}){1,1000}/ OR s =~ /(x+x+)+y/",
        "regex field": "SELECT count(s) FROM load WHERE s =~ /(.*)*(.*)*(.*)*(t|e|x)*$/",
        "regex measurement": "SELECT v FROM /((l|l)*(o|o)*)*[^xyz]{0,1000}/ LIMIT 1",
        "regex column": "SELECT /((v|n)+)+$/ FROM load LIMIT 1",
        "values": "SHOW TAG VALUES WITH KEY =~ /.*/",
        "values where": "SHOW TAG VALUES FROM /.*/ WITH KEY =~ /.*/ WHERE host =~ /(.*)*1$/ AND region !~ /(r+)+$/",
        "series": "SHOW SERIES",
        "series where": "SHOW SERIES FROM /.*/ WHERE time > 0 AND host =~ /.*/",
        "cardinality": "SHOW SERIES EXACT CARDINALITY; SHOW TAG VALUES EXACT CARDINALITY WITH KEY =~ /.*/",
        "into itself": "SELECT * INTO load FROM load GROUP BY *",
        "into others": "SELECT v INTO copies FROM load",
        "into measurements": "SELECT mean(v) INTO hostile.autogen.:MEASUREMENT FROM /.*/ GROUP BY time(1s), *",
        "explain": f"EXPLAIN ANALYZE SELECT mean(v) FROM ages {buckets}",
        "field arithmetic": "SELECT (v + n) * (v - n) / (v * n) FROM load WHERE v + n > 10 AND v * n < 1000000",
        "powers": "SELECT pow(v, 1000000), exp(v) * exp(v), 9223372036854775807 * n * n * n FROM load",
        "everything subquery": "SELECT count(v) FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM load)))",
        "sort": "SELECT * FROM load ORDER BY v DESC",
        "kept": "SELECT mean(v) FROM load GROUP BY time(1s), * HAVING mean > 1000",
    }
    return texts


def huge() -> dict[str, str]:
    """Statements of great length or depth, by what they do."""
    return {
        "brackets": f"SELECT {'(' * 5_000}v{')' * 5_000} FROM load",
        "brackets where": f"SELECT v FROM load WHERE {'(' * 5_000}v > 0{')' * 5_000}",
        "brackets open": "SELECT " + "(" * 900_000,
        "calls": f"SELECT {'abs(' * 5_000}v{')' * 5_000} FROM load",
        "signs": f"SELECT {'-(' * 3_000}v{')' * 3_000} FROM load",
        "subqueries": "SELECT v FROM (" * 60 + "SELECT v FROM load" + ")" * 60 + " LIMIT 1",
        "subqueries median": "SELECT median(v) AS v FROM (" * 40 + "SELECT v FROM load" + ")" * 40,
        "subqueries wide": "SELECT v FROM " + ", ".join(["(SELECT v FROM load)"] * 2_000) + " LIMIT 1",
        "sources": "SELECT v FROM " + ", ".join(["load"] * 100_000) + " LIMIT 1",
        "other sources": "SELECT v FROM " + ", ".join(f"m{i}" for i in range(100_000)),
        "ors of tags": "SELECT v FROM load WHERE " + " OR ".join(f"host = 'h{i:05}'" for i in range(50_000)),
        "ors of fields": "SELECT v FROM load WHERE " + " OR ".join(f"v = {i}.5" for i in range(60_000)),
        "ors of both": "SELECT v FROM load WHERE "
        + " OR ".join(f"(host = 'h{i:04}' AND v > {i})" for i in range(25_000)),
        "ors of patterns": "SELECT v FROM load WHERE " + " OR ".join(f"host =~ /h{i}.*x/" for i in range(40_000)),
        "ors of times": "SELECT v FROM load WHERE " + " OR ".join(f"time = {i}" for i in range(60_000)),
        "ands": "SELECT v FROM load WHERE " + " AND ".join(f"v != {i}" for i in range(60_000)),
        "sums": "SELECT " + " + ".join(["v"] * 200_000) + " FROM load",
        "columns": "SELECT " + ", ".join(["v"] * 100_000) + " FROM load",
        "columns apart": "SELECT " + ", ".join(f"v + {i}" for i in range(80_000)) + " FROM load",
        "aggregates": "SELECT " + ", ".join(["mean(v)"] * 80_000) + " FROM load",
        "percentiles": "SELECT " + ", ".join(f"percentile(v, {i / 1000:g})" for i in range(40_000)) + " FROM load",
        "transforms": "SELECT " + ", ".join(f"moving_average(v, {i + 2})" for i in range(30_000)) + " FROM load",
        "dimensions": "SELECT mean(v) FROM load GROUP BY " + ", ".join(f"t{i}" for i in range(100_000)),
        "patterns of dimensions": "SELECT mean(v) FROM load GROUP BY " + ", ".join(["/.*/"] * 100_000),
        "stars": "SELECT " + ", ".join(["*"] * 100_000) + " FROM load",
        "statements": ";".join(["SELECT v FROM load LIMIT 1"] * 10_000),
        "statements count": ";".join(["SELECT count(v) FROM load"] * 10_000),
        "statements heavy": ";".join(["SELECT median(v) FROM load GROUP BY *"] * 10_000),
        "statements show": ";".join(["SHOW SERIES"] * 10_000),
        "statements empty": ";" * 1_000_000,
        "pattern long": f"SELECT v FROM load WHERE host =~ /{'(a|b)*' * 150_000}/",
        "pattern plain": f"SELECT v FROM load WHERE host =~ /{'a' * 1_000_000}/",
        "pattern classes": f"SELECT v FROM load WHERE host =~ /{'[^a-z]' * 150_000}/",
        "pattern words": f"SELECT v FROM load WHERE host =~ /^({'|'.join(f'h{i:05}' for i in range(100_000))})$/",
        "pattern brackets": f"SELECT v FROM load WHERE host =~ /{'(' * 50_000}a{')' * 50_000}/",
        "string": f"SELECT v FROM load WHERE host = '{'x' * 1_000_000}'",
        "name": f'SELECT "{"x" * 1_000_000}" FROM load',
        "digits": f"SELECT {'9' * 1_000_000} * v FROM load",
        "duration": f"SELECT mean(v) FROM load GROUP BY time({'1w' * 400_000})",
        "comments": "SELECT v /* " + "*" * 900_000 + " FROM load",
        "quotes": "SELECT v FROM load WHERE host = '" + "\\'" * 400_000,
        "delete": "DELETE FROM load WHERE " + " OR ".join(f"host = 'x{i:05}'" for i in range(50_000)),
        "delete patterns": "DELETE FROM load WHERE " + " OR ".join(f"host =~ /x{i}$/" for i in range(40_000)),
        "drop": "DROP SERIES FROM load WHERE " + " OR ".join(f"host = 'x{i:05}'" for i in range(50_000)),
        "keys": "SHOW TAG VALUES WITH KEY IN (" + ", ".join(f"k{i}" for i in range(120_000)) + ")",
        "policies": ";".join(
            f'CREATE RETENTION POLICY "p{i}" ON nowhere DURATION 1h REPLICATION 1' for i in range(14_000)
        ),
    }


def long() -> dict[str, str]:
    """Statements that are as long as is taken, or nearly, by what they do."""
    return {
        "many sources": "SELECT v FROM " + ", ".join(["load"] * 20_000) + " LIMIT 1",
        "many other sources": "SELECT v FROM " + ", ".join(f"m{i}" for i in range(20_000)),
        "many subqueries": "SELECT v FROM " + ", ".join(["(SELECT v FROM ages)"] * 6_000) + " LIMIT 1",
        "many ors of tags": "SELECT v FROM load WHERE " + " OR ".join(f"host = 'h{i:05}'" for i in range(12_000)),
        "many ors of fields": "SELECT v FROM load WHERE " + " OR ".join(f"v = {i}.5" for i in range(12_000)),
        "many ors of both": "SELECT v FROM load WHERE "
        + " OR ".join(f"(host = 'h{i:04}' AND v > {i})" for i in range(4_000)),
        "many ors of patterns": "SELECT v FROM load WHERE " + " OR ".join(f"host =~ /h{i}.*x/" for i in range(12_000)),
        "many ors of field patterns": "SELECT v FROM load WHERE "
        + " OR ".join(f"s =~ /h{i}.*x/" for i in range(12_000)),
        "many ors of times": "SELECT v FROM load WHERE " + " OR ".join(f"time = {i}" for i in range(12_000)),
        "many columns": "SELECT " + ", ".join(["v"] * 24_000) + " FROM load",
        "many columns apart": "SELECT " + ", ".join(f"v + {i}" for i in range(12_000)) + " FROM load",
        "many columns of a group": "SELECT " + ", ".join(["v"] * 24_000) + " FROM load GROUP BY *",
        "many aggregates": "SELECT " + ", ".join(["mean(v)"] * 9_000) + " FROM load GROUP BY *",
        "many aggregates apart": "SELECT "
        + ", ".join(f"mean(v) + {i}" for i in range(7_000))
        + " FROM load GROUP BY time(10s)",
        "many percentiles": "SELECT " + ", ".join(f"percentile(v, {i / 1000:g})" for i in range(7_000)) + " FROM load",
        "many transforms": "SELECT " + ", ".join(f"moving_average(v, {i + 2})" for i in range(7_000)) + " FROM load",
        "many transforms of buckets": "SELECT "
        + ", ".join(f"moving_average(mean(v), {i + 2})" for i in range(5_000))
        + " FROM ages GROUP BY time(52w)",
        "many dimensions": "SELECT mean(v) FROM load GROUP BY " + ", ".join(f"t{i}" for i in range(1_000)),
        "many patterns of dimensions": "SELECT mean(v) FROM load GROUP BY " + ", ".join(["/.*/"] * 1_000),
        "many stars": "SELECT " + ", ".join(["*"] * 24_000) + " FROM load",
        "many keys": "SHOW TAG VALUES WITH KEY IN (" + ", ".join(f"k{i}" for i in range(20_000)) + ")",
        "many delete": "DELETE FROM load WHERE " + " OR ".join(f"host = 'x{i:05}'" for i in range(12_000)),
        "many delete patterns": "DELETE FROM load WHERE " + " OR ".join(f"host =~ /x{i}$/" for i in range(12_000)),
        "many drop": "DROP SERIES FROM load WHERE " + " OR ".join(f"host = 'x{i:05}'" for i in range(12_000)),
    }
