from __future__ import annotations

import asyncio
import gzip
import threading

import pytest

from rusts import logging
from tests.support.asgi import Client
from tests.support.storage import FakeStorage

LISTED = b'name,tags,name\ndatabases,,default\ndatabases,,"a,b"\n'
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def test_no_query(client: Client):
    for method, body in (("GET", b""), ("POST", b""), ("POST", b'{"q":"SHOW DATABASES"}'), ("POST", b"[1]")):
        response = client.request(method, "/query?db=x&q=", body, {"Content-Type": "application/json"})
        assert response.status == 400
        assert response.body == b'{"error":"missing required parameter \\"q\\""}\n'


@pytest.mark.parametrize(
    "statement",
    [
        'CREATE DATABASE "tele graf"',
        'create database "tele graf";',
        '  CREATE  DATABASE "tele graf" WITH REPLICATION 1 ',
    ],
)
def test_create_database(client: Client, storage: FakeStorage, statement: str):
    response = client.request("POST", "/query", f"q={statement.replace(' ', '+')}".encode(), FORM)
    assert (response.status, response.json()) == (200, {"results": [{"statement_id": 0}]})
    assert response.headers["content-type"] == "application/json"
    assert storage.databases() == ["default", "tele graf"]


def test_create_database_by_get_works_and_warns(client: Client, storage: FakeStorage):
    response = client.request("GET", "/query?consistency=all&q=create%20DATABASE%20benchmark%20WITH%20REPLICATION%201")
    (result,) = response.json()["results"]
    assert result["messages"][0]["level"] == "warning"
    assert result["messages"][0]["text"] == (
        "deprecated use of 'CREATE DATABASE benchmark WITH REPLICATION 1' in a read only context, "
        "please use a POST request instead"
    )
    response = client.request("GET", "/query?q=CREATE%20DATABASE%20%22a%20b%22")
    assert """'CREATE DATABASE "a b"'""" in response.json()["results"][0]["messages"][0]["text"]
    assert "benchmark" in storage.databases()


@pytest.mark.parametrize("where", ["url", "form", "multipart", "file", "influxql", "json"])
def test_q_wherever_it_stands(client: Client, where: str):
    text = b"SHOW DATABASES"
    part = b'--x\r\nContent-Disposition: form-data; name="q"%s\r\n\r\nSHOW DATABASES\r\n--x--\r\n'
    multipart = {"Content-Type": "multipart/form-data; boundary=x"}
    response = {
        "url": lambda: client.request("POST", "/query?q=SHOW%20DATABASES", b"", {"Content-Type": "text/plain"}),
        "form": lambda: client.request("POST", "/query?q=nonsense", b"q=SHOW+DATABASES", FORM),
        "multipart": lambda: client.request("POST", "/query", part % b"", multipart),
        "file": lambda: client.request("POST", "/query", part % b'; filename="q.txt"', multipart),
        "influxql": lambda: client.request("POST", "/query", text, {"Content-Type": "application/vnd.influxql"}),
        "json": lambda: client.request(
            "POST", "/query?q=SHOW%20DATABASES", b'{"measurement":"x"}', {"Content-Type": "application/json"}
        ),
    }[where]()
    assert response.status == 200
    series = {"name": "databases", "columns": ["name"], "values": [["default"]]}
    assert response.json() == {"results": [{"statement_id": 0, "series": [series]}]}


def test_show_databases_with_none_has_no_values(client: Client, storage: FakeStorage):
    storage._databases.clear()
    (result,) = client.request("GET", "/query?q=show%20databases").json()["results"]
    assert result["series"] == [{"name": "databases", "columns": ["name"]}]


@pytest.mark.parametrize("name", ['""', '"a/b"', '"."', '".."', '"a\\\\b"', '"a\\nb"'])
def test_invalid_names(client: Client, name: str):
    response = client.request("POST", "/query", b"q=CREATE+DATABASE+" + name.encode(), FORM)
    assert (response.status, response.json()) == (200, {"results": [{"statement_id": 0, "error": "invalid name"}]})


def test_nothing_but_semicolons(client: Client):
    response = client.request("GET", "/query?q=;")
    assert (response.status, response.json()) == (200, {})


def test_nothing_but_blanks_is_no_query(client: Client):
    response = client.request("GET", "/query?q=%20%20")
    assert (response.status, response.json()) == (400, {"error": 'missing required parameter "q"'})


def test_several_statements(client: Client, storage: FakeStorage):
    text = 'q=;create database a; CREATE DATABASE "b";;SHOW DATABASES ;'
    first, second, third = client.request("POST", "/query", text.encode(), FORM).json()["results"]
    assert (first, second) == ({"statement_id": 0}, {"statement_id": 1})
    assert third["statement_id"] == 2
    assert third["series"][0]["values"] == [["default"], ["a"], ["b"]]


def test_nothing_runs_if_one_statement_cannot_be_read(client: Client, storage: FakeStorage):
    assert client.request("POST", "/query", b"q=CREATE DATABASE a; SELEC", FORM).status == 400
    assert storage.databases() == ["default"]


def test_nothing_runs_after_a_statement_that_failed(client: Client, storage: FakeStorage):
    response = client.request("POST", "/query", b'q=CREATE DATABASE ""; CREATE DATABASE a', FORM)
    assert [result["error"] for result in response.json()["results"]] == ["invalid name", "not executed"]
    assert storage.databases() == ["default"]


@pytest.mark.parametrize("kind", ["multipart/form-data", "multipart/form-data; boundary=x"])
def test_a_multipart_body_that_is_none(client: Client, kind: str):
    response = client.request("POST", "/query", b"no form", {"Content-Type": kind})
    assert (response.status, response.json()) == (400, {"error": 'missing required parameter "q"'})


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("DROP DATABASE", "found EOF, expected identifier at line 1, char 15"),
        ("CREATE DATABASE a b", "found b, expected ; at line 1, char 19"),
        ("CREATE DATABASE x WITH REPLICATION 0", "invalid value 0: must be 1 <= n <= 2147483647"),
    ],
)
def test_a_statement_that_cannot_be_read_is_told_where(client: Client, statement: str, error: str):
    response = client.request("POST", "/query", f"q={statement}".encode(), FORM)
    assert response.status == 400
    assert response.json()["error"].startswith("error parsing query: ")
    assert error in response.json()["error"]


@pytest.mark.parametrize(
    ("options", "printed"),
    [
        ("REPLICATION 3", "REPLICATION 3"),
        ("duration inf replication 2147483647", "DURATION 0s REPLICATION 2147483647"),
        ('DURATION 1d REPLICATION 1 NAME "a b"', 'DURATION 24h0m0s REPLICATION 1 NAME "a b"'),
        ("name autogen", "NAME autogen"),
    ],
)
def test_options_of_a_database(client: Client, storage: FakeStorage, options: str, printed: str):
    text = f"CREATE DATABASE x WITH {options}; SHOW DATABASES"
    assert client.request("POST", "/query", f"q={text}".encode(), FORM).json()["results"][0] == {"statement_id": 0}
    assert storage.databases() == ["default", "x"]
    (result, _) = client.request("GET", f"/query?q={text.replace(' ', '%20')}").json()["results"]
    assert f"'CREATE DATABASE x WITH {printed}'" in result["messages"][0]["text"]


def test_answers_are_compressed_where_that_is_asked_for(client: Client):
    for accept in ("*/*", "text/csv"):
        headers = {"Accept": accept}
        plain = client.request("GET", "/query?q=SHOW%20DATABASES", b"", headers)
        assert "content-encoding" not in plain.headers
        packed = client.request(
            "GET", "/query?q=SHOW%20DATABASES", b"", {**headers, "Accept-Encoding": "deflate, gzip"}
        )
        assert packed.headers["content-encoding"] == "gzip"
        assert packed.headers["content-type"] == plain.headers["content-type"]
        assert gzip.decompress(packed.body) == plain.body
    refused = client.request("GET", "/query?q=SELEC", b"", {"Accept-Encoding": "gzip"})
    assert "content-encoding" not in refused.headers
    assert refused.status == 400


@pytest.mark.parametrize(
    ("statements", "body"),
    [
        ("SHOW DATABASES", LISTED),
        ('SHOW DATABASES;CREATE DATABASE "default"', LISTED),
        ('SHOW DATABASES;;CREATE DATABASE "default";SHOW DATABASES', LISTED + b"\n" + LISTED),
        ("CREATE DATABASE c", b""),
        ('CREATE DATABASE ""', b""),
        (";", b""),
    ],
)
def test_csv(client: Client, storage: FakeStorage, statements: str, body: bytes):
    storage.create_database("a,b")
    for kind in ("text/csv", "application/csv"):
        response = client.request("POST", "/query", f"q={statements}".encode(), {**FORM, "Accept": kind})
        assert (response.status, response.headers["content-type"]) == (200, "text/csv")
        assert response.body == body


def test_async_is_answered_at_once(client: Client, storage: FakeStorage, monkeypatch: pytest.MonkeyPatch):
    create, go_on, made = storage.create_database, threading.Event(), threading.Event()

    def slow(name: str) -> None:
        assert go_on.wait(30)
        try:
            create(name)
        finally:
            made.set()

    monkeypatch.setattr(storage, "create_database", slow)
    response = client.request("POST", "/query?async=true", b"q=CREATE DATABASE x", FORM)
    assert (response.status, response.body) == (204, b"")
    assert storage.databases() == ["default"]
    go_on.set()
    assert made.wait(30)
    assert storage.databases() == ["default", "x"]
    assert client.request("POST", "/query?async=true", b"q=SELEC", FORM).status == 400


def test_what_fails_after_an_async_answer_is_logged(
    client: Client, storage: FakeStorage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    logging.configure("json")

    async def logged() -> str:
        assert (await client.send("POST", "/query?async=true", b'q=CREATE DATABASE ""', FORM)).status == 204
        while not (said := capsys.readouterr().err):
            await asyncio.sleep(0.001)
        return said

    assert "invalid name" in client.runner.run(logged())

    def broken(name: str) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(storage, "create_database", broken)
    assert "Input/output error" in client.runner.run(logged())


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "application/vnd.influxql"])
def test_a_text_too_large_for_the_event_loop(client: Client, kind: str):
    text = b"q=" if "form" in kind else b""
    for size, status in ((1 << 20, 200), ((1 << 20) + 1, 413)):
        body = (text + b"SHOW DATABASES").ljust(size, b";")
        assert client.request("POST", "/query", body, {"Content-Type": kind}).status == status


def test_pretty(client: Client):
    assert client.request("GET", "/query?q=SHOW%20DATABASES&pretty=true").body.startswith(b'{\n    "results": [')
