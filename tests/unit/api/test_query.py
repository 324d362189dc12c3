from __future__ import annotations

import pytest

from tests.support.asgi import Client
from tests.support.storage import FakeStorage

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
    "statement", ["SELECT * FROM cpu", "DROP DATABASE x", "CREATE DATABASE x WITH DURATION 1d", "CREATE DATABASE a b"]
)
def test_other_statements_are_refused_in_so_many_words(client: Client, statement: str):
    response = client.request("POST", "/query", f"q={statement}".encode(), FORM)
    assert response.status == 400
    assert response.json()["error"].startswith("error parsing query: ")
    assert "CREATE DATABASE and SHOW DATABASES only" in response.json()["error"]


def test_pretty(client: Client):
    assert client.request("GET", "/query?q=SHOW%20DATABASES&pretty=true").body.startswith(b'{\n    "results": [')
