from __future__ import annotations

import asyncio
import gzip
import re
from collections.abc import Callable
from typing import Any

import pytest

from rusts import errors
from rusts.api import ingest
from rusts.model.store import ScanRequest, TimeRange, WriteOutcome
from rusts.model.time import MAX_TIME, MIN_TIME
from rusts.wal.sync import GroupCommit
from tests.support.asgi import Client
from tests.support.model_store import python_values
from tests.support.storage import FakeStorage

POISON = ("partial write", "unable to parse", "retention policy not found", "points beyond", "hinted handoff")


def points(storage: FakeStorage, measurement: str, database: str = "default") -> list[tuple[int, dict[str, object]]]:
    """(time, fields) of every point of a measurement."""
    request = ScanRequest(database, None, measurement, TimeRange(MIN_TIME, MAX_TIME + 1))
    found = []
    for chunk in storage.scan(request):
        columns = {name: python_values(column) for name, column in chunk.columns.items()}
        for row, time in enumerate(chunk.times.tolist()):
            found.append((time, {name: values[row] for name, values in columns.items()}))
    return sorted(found, key=lambda p: p[0])


def test_a_good_write_is_204_with_no_body(client: Client, storage: FakeStorage):
    response = client.request("POST", "/write?db=default&precision=s", b"cpu,host=a v=1 5\ncpu v=2 6")
    assert (response.status, response.body) == (204, b"")
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-influxdb-version"]
    assert response.headers["x-influxdb-build"] == "OSS"
    assert "content-length" not in response.headers
    assert points(storage, "cpu") == [(5_000_000_000, {"v": 1.0}), (6_000_000_000, {"v": 2.0})]


@pytest.mark.parametrize("body", [b"", b"\n\n", b"# nothing\n", b"   \n# x\n\n"])
def test_nothing_to_write_is_204(client: Client, storage: FakeStorage, body: bytes):
    assert client.request("POST", "/write?db=default", body).status == 204
    assert storage.writes == []


def test_no_db_is_the_database_default(client: Client, storage: FakeStorage, open_client: Callable[..., Client]):
    assert client.request("POST", "/write", b"cpu v=1").status == 204
    assert client.request("POST", "/write?db=&rp=&precision=", b"cpu v=1").status == 204
    assert len(points(storage, "cpu")) == 2
    response = open_client(require_db="true").request("POST", "/write", b"cpu v=1")
    assert (response.status, response.json()) == (400, {"error": "database is required"})
    assert response.headers["x-influxdb-error"] == "database is required"


@pytest.mark.parametrize("body", [b"cpu v=1", b"", b"bad"])
def test_unknown_database(client: Client, body: bytes):
    response = client.request("POST", "/write?db=nodb", body)
    assert response.status == 404
    assert response.body == b'{"error":"database not found: \\"nodb\\""}\n'
    assert response.headers["x-influxdb-error"] == 'database not found: "nodb"'


def test_unknown_databases_may_be_created(open_client: Callable[..., Client], storage: FakeStorage):
    client = open_client(auto_create_databases="true")
    assert client.request("POST", "/write?db=new", b"cpu v=1 1").status == 204
    assert points(storage, "cpu", "new") == [(1, {"v": 1.0})]
    assert client.request("POST", "/write?db=forbidden", b"cpu v=1 1").status == 400


def test_unknown_policy_is_1_x_s_500(client: Client):
    response = client.request("POST", "/write?db=default&rp=norp", b"cpu v=1")
    assert (response.status, response.json()) == (500, {"error": "retention policy not found: norp"})


@pytest.mark.parametrize(
    ("precision", "unit"),
    [
        ("n", 1),
        ("ns", 1),
        ("u", 1000),
        ("us", 1000),
        ("ms", 10**6),
        ("s", 10**9),
        ("m", 60 * 10**9),
        ("h", 3600 * 10**9),
    ],
)
def test_precisions(client: Client, storage: FakeStorage, precision: str, unit: int):
    assert client.request("POST", f"/write?precision={precision}", b"cpu v=1 7\nnow v=1").status == 204
    assert points(storage, "cpu") == [(7 * unit, {"v": 1.0})]
    assert points(storage, "now")[0][0] % unit == 0


def test_wrong_precision_and_consistency(client: Client):
    response = client.request("POST", "/write?precision=fortnight", b"cpu v=1")
    assert response.status == 400
    assert response.json()["error"].startswith('invalid precision "fortnight" (use n, ')
    response = client.request("POST", "/write?consistency=most", b"cpu v=1")
    assert (response.status, response.json()) == (400, {"error": "invalid consistency level"})
    for level in ("any", "one", "quorum", "all", ""):
        assert client.request("POST", f"/write?consistency={level}", b"cpu v=1").status == 204


def test_no_line_parsed(client: Client, storage: FakeStorage):
    response = client.request("POST", "/write", b"bad\n\nalso bad,\n")
    assert response.status == 400
    error = "unable to parse 'bad': missing fields\nunable to parse 'also bad,': invalid field format"
    assert response.json()["error"] == error
    assert [line["line"] for line in response.json()["lines"]] == [1, 3]
    assert response.json()["lines"][0] == {"line": 1, "column": 4, "reason": "missing fields"}
    assert response.headers["x-influxdb-error"] == error.replace("\n", " ")
    assert storage.writes == []


def test_some_lines_bad(client: Client, storage: FakeStorage):
    response = client.request("POST", "/write", b"cpu v=1 1\nbad\ncpu v=2 2\nalso bad,\n")
    assert response.status == 400
    assert response.json()["error"] == (
        "partial write: unable to parse 'bad': missing fields\n"
        "unable to parse 'also bad,': invalid field format dropped=0"
    )
    assert [line["line"] for line in response.json()["lines"]] == [2, 4]
    assert len(points(storage, "cpu")) == 2


def test_one_bad_line_in_ten_thousand(client: Client, storage: FakeStorage):
    lines = [b"cpu v=%d %d" % (i, i) for i in range(10_000)]
    lines[7_777] = b"cpu v= 5"
    response = client.request("POST", "/write", b"\n".join(lines))
    assert response.status == 400
    assert response.json()["lines"] == [{"line": 7_778, "column": 7, "reason": "missing field value"}]
    assert len(points(storage, "cpu")) == 9_999


def test_a_hundred_lines_are_listed(client: Client):
    response = client.request("POST", "/write", b"bad\n" * 1000)
    assert len(response.json()["lines"]) == 100
    assert response.json()["error"].count("unable to parse") == 100
    assert len(response.headers["x-influxdb-error"]) <= 1024


def test_type_conflicts(client: Client, storage: FakeStorage):
    body = b'a b=1 1\na b="x",c=1 2\na b=2 3\na b=true 4\nbad'
    response = client.request("POST", "/write", body)
    assert response.status == 400
    assert response.json()["error"] == (
        'partial write: field type conflict: input field "b" on measurement "a" is type string, '
        "already exists as type float dropped=2"
    )
    assert [line["line"] for line in response.json()["lines"]] == [2, 4, 5]
    assert [time for time, _ in points(storage, "a")] == [1, 3]
    counts = storage.rejected.counts()
    assert counts == {("default", "field_type_conflict"): 2, ("default", "parse"): 1}
    kept = {r["reason"]: r for r in storage.rejected.last()}
    assert kept["field_type_conflict"]["line"] == 2
    assert kept["field_type_conflict"]["text"] == 'a b="x",c=1 2'
    assert kept["parse"]["text"] == "bad"


def test_time_as_a_tag_or_the_only_field(client: Client):
    response = client.request("POST", "/write", b"m,time=1 v=1 1\nm v=1 1")
    assert response.json()["error"] == (
        'partial write: invalid tag key: input tag "time" on measurement "m" is invalid dropped=1'
    )
    response = client.request("POST", "/write", b"m time=1 1")
    assert response.json()["error"] == (
        'partial write: invalid field name: input field "time" on measurement "m" is invalid dropped=1'
    )


def test_gzip(client: Client, storage: FakeStorage):
    body = gzip.compress(b"cpu v=1 1\n")
    for i, encoding in enumerate(("gzip", "x-gzip")):
        response = client.request("POST", f"/write?precision=s&x={i}", body, {"Content-Encoding": encoding})
        assert response.status == 204
    large = gzip.compress(b"".join(b"gz,host=h%d v=%d %d\n" % (i % 50, i, i) for i in range(20_000)))
    pieces = [large[i : i + 1000] for i in range(0, len(large), 1000)]
    assert client.request("POST", "/write", pieces, {"Content-Encoding": "gzip"}).status == 204
    assert len(points(storage, "gz")) == 20_000
    assert client.request("POST", "/write", b"cpu v=1 1", {"Content-Encoding": "deflate"}).status == 204


@pytest.mark.parametrize("repeat", [1, 2_000])
@pytest.mark.parametrize(
    ("cut", "status", "text"),
    [
        (lambda z: b"cpu v=1 1\n" * 20, 400, "gzip: invalid header"),
        (lambda z: z[: len(z) // 2], 400, "unexpected EOF"),
        (lambda z: b"", 204, None),
    ],
)
def test_bad_gzip_stores_nothing(client: Client, storage: FakeStorage, cut, status: int, text: str, repeat: int):
    body = cut(gzip.compress(b"".join(b"cpu v=%d %d\n" % (i, i * 7919) for i in range(repeat))))
    response = client.request("POST", "/write", [body[:5], body[5:]], {"Content-Encoding": "gzip"})
    assert response.status == status
    assert text is None or response.json() == {"error": text}
    assert storage.writes == []


def test_body_limits(open_client: Callable[..., Client], storage: FakeStorage):
    client = open_client(max_body_size="2000", max_inflated_size="100000")
    line = b"cpu v=1 1\n"
    assert client.request("POST", "/write", line * 200).status == 204
    too_large = line * 200 + b"\n"
    for pieces in ([too_large], [too_large[:900], too_large[900:]]):
        response = client.request("POST", "/write", pieces)
        assert (response.status, response.json()) == (413, {"error": "Request Entity Too Large"})
    response = client.request("POST", "/write", b"", {"Content-Length": "2001"})
    assert response.status == 413
    packed = gzip.compress(line * 10_000)
    assert client.request("POST", "/write", packed, {"Content-Encoding": "gzip"}).status == 204
    response = client.request("POST", "/write", gzip.compress(line * 10_001), {"Content-Encoding": "gzip"})
    assert response.status == 413


@pytest.mark.parametrize("lines", [1, 20_000])
@pytest.mark.parametrize(
    "problem",
    [
        errors.MemoryExceeded("too much"),
        errors.DiskFull("full"),
        errors.LogUnavailable("no"),
        errors.Timeout("slow"),
    ],
)
def test_try_again_is_500_timeout(client: Client, storage: FakeStorage, problem: Exception, lines: int):
    storage.problem = problem
    response = client.request("POST", "/write", b"cpu v=1 1\n" * lines)
    assert (response.status, response.body) == (500, b'{"error":"timeout"}\n')


def test_stopping_is_503_with_retry_after(client: Client, storage: FakeStorage):
    storage.problem = errors.NotReady("the server is shutting down", seconds=7)
    response = client.request("POST", "/write", b"cpu v=1 1")
    assert (response.status, response.headers["retry-after"]) == (503, "7")
    assert response.json() == {"error": "the server is shutting down"}


@pytest.mark.parametrize("lines", [1, 20_000])
def test_a_fault_of_ours_is_a_5xx_that_keeps_points(client: Client, storage: FakeStorage, lines: int):
    storage.problem = ZeroDivisionError("partial write: a text that must not go out")
    response = client.request("POST", "/write", b"cpu v=1 1\n" * lines)
    assert response.status == 500
    assert not any(word in response.body.decode() for word in POISON)


def test_too_many_large_bodies_waiting(open_client: Callable[..., Client], storage: FakeStorage):
    client = open_client(memory_limit="1MB")
    response = client.request("POST", "/write", [b"x" * 100_000, b"y" * 100_000])
    assert (response.status, response.json()) == (500, {"error": "timeout"})
    assert client.request("POST", "/write", b"cpu v=1 1\n" * 10_000).status == 204


def test_large_bodies_report_lines_across_slices(client: Client, storage: FakeStorage, monkeypatch):
    monkeypatch.setattr(ingest, "_SLICE", 10_000)
    lines = [b"cpu,h=%d v=%d %d" % (i % 7, i, i) for i in range(10_000)]
    for at in (0, 3_333, 9_999):
        lines[at] = b"bad"
    lines[5_000] = b'cpu,h=1 v="text" 1'
    lines[5_001] = b'cpu,h=1 s="two\nlines" 0'
    response = client.request("POST", "/write", b"\n".join(lines))
    assert response.status == 400
    assert [line["line"] for line in response.json()["lines"]] == [1, 3_334, 5_001, 10_001]
    assert "dropped=1" in response.json()["error"]
    assert len(storage.writes) > 10
    assert len(points(storage, "cpu")) == 9_996


def test_bodies_of_one_turn_are_written_together(client: Client, storage: FakeStorage):
    responses = client.together(
        ("POST", "/write?precision=s", b"cpu v=1 1"),
        ("POST", "/write?precision=ms", b'bad\ncpu v=2 2\ncpu v="x" 9'),
        ("POST", "/write", b"cpu v=3 3\n"),
        ("POST", "/write?db=nodb", b"cpu v=4 4"),
        ("POST", "/write", b"worse"),
        ("POST", "/write", b""),
        ("POST", "/write", b"cpu v=true 9\nm,time=x v=1"),
        ("POST", "/write", b'cpu s="open 5'),
        ("POST", "/write", b'cpu s="x" 5'),
    )
    assert [r.status for r in responses] == [204, 400, 204, 404, 400, 204, 400, 400, 204]
    assert len(storage.writes) == 1
    assert points(storage, "cpu") == [
        (3, {"v": 3.0, "s": None}),
        (5, {"v": None, "s": "x"}),
        (2_000_000, {"v": 2.0, "s": None}),
        (1_000_000_000, {"v": 1.0, "s": None}),
    ]
    assert responses[1].json()["error"].startswith("partial write: field type conflict")
    assert [line["line"] for line in responses[1].json()["lines"]] == [1, 3]
    assert responses[4].json()["error"] == "unable to parse 'worse': missing fields"
    assert responses[6].json()["error"].endswith("dropped=2")
    assert "unbalanced quotes" in responses[7].json()["error"]


def test_points_without_time_of_two_bodies_stay_two(client: Client, storage: FakeStorage):
    client.together(*[("POST", "/write", b"cpu v=%d" % i) for i in range(50)])
    assert len(points(storage, "cpu")) == 50


def test_an_answer_waits_for_the_log(client: Client, storage: FakeStorage):
    storage.late = True

    async def run() -> None:
        small = asyncio.create_task(client.send("POST", "/write", b"cpu v=1 1"))
        large = asyncio.create_task(client.send("POST", "/write", b"cpu v=1 1\n" * 10_000))
        failing = asyncio.create_task(client.send("POST", "/write?precision=s", b"bad\ncpu v=1 1"))
        while len(storage.commits) < 2:
            await asyncio.sleep(0.001)
        assert not small.done()
        assert not large.done()
        assert not failing.done()
        for commit in storage.commits:
            await asyncio.to_thread(commit.settle, None)
        assert (await small).status == 204
        assert (await large).status == 204
        assert (await failing).status == 400
        refused = asyncio.create_task(client.send("POST", "/write", b"cpu v=1 1"))
        count = len(storage.commits)
        while len(storage.commits) == count:
            await asyncio.sleep(0.001)
        storage.commits[-1].settle(errors.LogUnavailable("the disk is gone"))
        assert (await refused).json() == {"error": "timeout"}

    client.runner.run(run())


def settle_writes(storage: FakeStorage, monkeypatch: pytest.MonkeyPatch, problems: list[Exception | None]) -> None:
    """Have each write answered with a ticket that is settled already; the last of `problems` stays."""
    write = storage.write

    def settled(*arguments: Any, **named: Any) -> WriteOutcome:
        outcome = write(*arguments, **named)
        commit = GroupCommit()
        commit.settle(problems.pop(0) if len(problems) > 1 else problems[0])
        outcome.commit = commit
        return outcome

    monkeypatch.setattr(storage, "write", settled)


@pytest.mark.parametrize(
    ("target", "status"), [("/write", 500), ("/api/v3/write_lp?db=default&accept_partial=false", 503)]
)
@pytest.mark.parametrize("tail", [b"", b"bad\n"])
@pytest.mark.parametrize("lines", [1, 20_000])
def test_a_log_that_has_failed_before_anybody_asks(
    client: Client, storage: FakeStorage, monkeypatch, target: str, status: int, tail: bytes, lines: int
):
    settle_writes(storage, monkeypatch, [errors.LogUnavailable("the disk is gone")])
    if tail and "v3" in target:
        status = 400
    assert client.request("POST", target, b"cpu v=1 1\n" * lines + tail).status == status
    both = client.together(("POST", "/write", b"cpu v=1 1"), ("POST", "/write", b"bad\ncpu v=1 1"))
    assert [r.json() for r in both] == [{"error": "timeout"}] * 2


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_one_slice_of_a_large_body_that_is_not_synced(client: Client, storage: FakeStorage, monkeypatch, failing: int):
    monkeypatch.setattr(ingest, "_SLICE", 50_000)
    problems: list[Exception | None] = [None] * 4
    problems[failing] = errors.LogUnavailable("the disk is gone")
    settle_writes(storage, monkeypatch, problems)
    response = client.request("POST", "/write", b"cpu v=1 1\n" * 20_000)
    assert len(storage.writes) > 3
    assert (response.status, response.json()) == (500, {"error": "timeout"})
    assert client.request("POST", "/write", b"cpu v=1 1\n" * 20_000).status == 204


def test_small_writes_wait_for_the_device_beside_the_loop(client: Client, storage: FakeStorage):
    storage.behind = True
    waited = client.together(*[("POST", "/write", b"cpu v=%d %d" % (i, i)) for i in range(3)])
    assert [r.status for r in waited] == [204, 204, 204]
    assert not storage.behind
    assert len(points(storage, "cpu")) == 3
    storage.behind, storage.problem = True, errors.LogUnavailable("the device takes too long to sync the log")
    refused = client.together(("POST", "/write", b"cpu v=9 9"))
    assert (refused[0].status, refused[0].json()) == (500, {"error": "timeout"})


def test_errors_follow_accept_and_pretty(client: Client):
    response = client.request("POST", "/write?pretty=true", b"bad")
    assert response.body.startswith(b'{\n    "error": "unable to parse')
    response = client.request("POST", "/write?db=a,b", b"x v=1", {"Accept": "text/csv"})
    assert response.headers["content-type"] == "text/csv"
    assert response.body == b'error\n"database not found: ""a,b"""\n'
    response = client.request("POST", "/write", b"bad", {"Accept": "application/x-msgpack"})
    assert response.headers["content-type"] == "application/json"


@pytest.mark.parametrize("query", ["precision=x", "consistency=x"])
def test_refusals_of_the_query_string_follow_accept_and_pretty(client: Client, query: str):
    for accept in ("text/csv", "application/csv"):
        response = client.request("POST", f"/write?{query}", b"cpu v=1", {"Accept": accept})
        assert (response.status, response.headers["content-type"]) == (400, "text/csv")
        assert response.body.startswith(b"error\n")
    assert client.request("POST", f"/write?{query}", b"cpu v=1").json()["error"].startswith("invalid ")
    assert client.request("POST", f"/write?{query}&pretty=true", b"cpu v=1").body.startswith(b'{\n    "error": ')


@pytest.mark.parametrize("query", ["", "&precision=x", "&consistency=x"])
@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"cpu v=1", {}),
        (b"x" * 2001, {}),
        ([b"x" * 2000, b"x"], {}),
        (b"", {"Content-Length": "2001"}),
        (b"no gzip", {"Content-Encoding": "gzip"}),
        ([b"no", b" gzip"], {"Content-Encoding": "gzip"}),
    ],
)
def test_an_unknown_database_is_told_before_anything_else(
    open_client: Callable[..., Client], query: str, body: bytes | list[bytes], headers: dict[str, str]
):
    client = open_client(max_body_size="2000")
    response = client.request("POST", f"/write?db=nodb{query}", body, headers)
    assert (response.status, response.json()) == (404, {"error": 'database not found: "nodb"'})
    response = client.request("POST", f"/write?db=nodb{query}", body, {**headers, "Accept": "text/csv"})
    assert response.body == b'error\n"database not found: ""nodb"""\n'
    known = client.request("POST", f"/write?db=default{query}", body, headers)
    made = open_client(max_body_size="2000", auto_create_databases="true")
    assert made.request("POST", f"/write?db=nodb{query}", body, headers).status == known.status


def test_a_database_made_later_is_found(client: Client, storage: FakeStorage):
    assert client.request("POST", "/write?db=later&precision=x", b"cpu v=1").status == 404
    storage.create_database("later")
    assert client.request("POST", "/write?db=later&precision=x", b"cpu v=1").status == 400


def test_request_ids(client: Client):
    new = [client.request("POST", "/write", b"cpu v=1").headers for _ in range(2)]
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}", new[0]["request-id"])
    assert new[0]["request-id"] == new[0]["x-request-id"] != new[1]["request-id"]
    headers = client.request("POST", "/write", b"bad", {"Request-Id": "b"}).headers
    assert (headers["request-id"], headers["x-request-id"]) == ("b", "b")
    headers = client.request("POST", "/write", b"bad", {"Request-Id": "b", "X-Request-Id": "a"}).headers
    assert (headers["request-id"], headers["x-request-id"]) == ("a", "a")


def test_a_client_that_goes_away_gets_no_answer(client: Client, storage: FakeStorage):
    async def run() -> None:
        messages = [
            {"type": "http.request", "body": b"cpu v=1", "more_body": True},
            {"type": "http.disconnect"},
        ]

        async def receive():
            return messages.pop(0)

        async def send(message):
            raise AssertionError(message)

        scope = {"type": "http", "method": "POST", "path": "/write", "query_string": b"", "headers": []}
        await client._app(scope, receive, send)

    client.runner.run(run())
    assert storage.writes == []


def test_binary_bodies_are_refused_line_by_line(client: Client):
    response = client.request("POST", "/write", bytes(range(256)) * 4)
    assert response.status == 400
    assert response.json()["error"]
    assert client.request("POST", "/write", b"cpu v=1").status == 204
