"""Who may run which statements, in InfluxDB 1.x's words; the 403s are those that influxd 1.6.7 gave."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest

from rusts import logging
from rusts.auth import passwords
from tests.support.asgi import Client, Response


@pytest.fixture
def client(open_client: Callable[..., Client], monkeypatch: pytest.MonkeyPatch) -> Client:
    # Passwords that cost nothing to make.
    monkeypatch.setattr(passwords, "_LOG_N", 2)
    return open_client(auth="true")


def query(client: Client, text: str, name: str = "", database: str = "db0") -> Response:
    headers = {}
    if name:
        password = "pw" if name == "adm" else "p"
        headers["Authorization"] = "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()
    target = "/query?" + urlencode({"q": text, **({"db": database} if database else {})})
    return client.request("POST", target, headers=headers)


def refused(answer: Response) -> str:
    assert answer.status == 403
    text: str = answer.json()["error"]
    assert answer.headers["x-influxdb-error"] == text
    return text


FIRST = "CREATE USER adm WITH PASSWORD 'pw' WITH ALL PRIVILEGES"


@pytest.fixture
def people(client: Client) -> Client:
    assert query(client, FIRST).json() == {"results": [{"statement_id": 0}]}
    statements = ["CREATE DATABASE db0", "CREATE DATABASE db1"]
    statements += [f"CREATE USER {name} WITH PASSWORD 'p'" for name in ("ro", "wo", "rw", "no")]
    statements += ["GRANT READ ON db0 TO ro", "GRANT WRITE ON db0 TO wo", "GRANT ALL ON db0 TO rw"]
    answer = query(client, ";".join(statements), "adm").json()
    assert answer == {"results": [{"statement_id": number} for number in range(len(statements))]}
    return client


@pytest.mark.parametrize(
    "text",
    ["SHOW DATABASES", "CREATE DATABASE x", "CREATE USER ro WITH PASSWORD 'p'", f"SHOW DATABASES; {FIRST}"],
)
def test_only_the_first_administrator_may_be_made(client: Client, text: str):
    words = "error authorizing query: create admin user first or disable authentication"
    assert refused(query(client, text)) == words
    assert query(client, FIRST).status == 200
    assert query(client, FIRST).status == 401
    assert query(client, "SHOW USERS", "adm").json()["results"][0]["series"][0]["values"] == [["adm", True]]


ADMIN, READ, WRITE = "admin privilege", "READ on db0", "WRITE on db0"


@pytest.mark.parametrize(
    ("name", "text", "missing"),
    [
        ("ro", "SELECT * FROM a", None),
        ("wo", "SELECT * FROM a", READ),
        ("no", "SELECT * FROM a", READ),
        ("rw", "SELECT * FROM db1..a", "READ on db1"),
        ("ro", "SELECT * FROM nodb..a", "READ on nodb"),
        ("ro", "SELECT * INTO b FROM a", WRITE),
        ("wo", "SELECT * INTO b FROM a", READ),
        ("rw", "SELECT * INTO b FROM a", None),
        ("ro", "SHOW MEASUREMENTS", None),
        ("wo", "SHOW MEASUREMENTS", READ),
        ("ro", "SHOW MEASUREMENTS ON db1", "READ on db1"),
        ("no", "SHOW RETENTION POLICIES", READ),
        ("no", "SHOW SERIES CARDINALITY", READ),
        ("no", "EXPLAIN SELECT * FROM a", READ),
        ("ro", "DELETE FROM zz", WRITE),
        ("wo", "DELETE FROM zz", None),
        ("rw", "DROP MEASUREMENT a", ADMIN),
        ("rw", "CREATE DATABASE x", ADMIN),
        ("rw", "SHOW USERS", ADMIN),
        ("rw", "SHOW GRANTS FOR ro", ADMIN),
        ("rw", "KILL QUERY 3", ADMIN),
        ("rw", "DROP USER ro", ADMIN),
        ("rw", "SHOW STATS", ADMIN),
        ("rw", "SHOW SHARDS", ADMIN),
        ("rw", "SHOW DIAGNOSTICS", ADMIN),
        ("no", "SHOW DATABASES", None),
    ],
)
def test_what_each_statement_needs(people: Client, name: str, text: str, missing: str | None):
    answer = query(people, text, name)
    if missing is None:
        assert answer.status == 200, answer.body
    else:
        words = f"error authorizing query: {name} not authorized to execute statement '{text}', requires {missing}"
        assert refused(answer) == words


def test_a_password_is_not_told_back(people: Client):
    words = refused(query(people, "SET PASSWORD FOR adm = 'secret'", "ro"))
    assert words == (
        "error authorizing query: ro not authorized to execute statement 'SET PASSWORD FOR adm = [REDACTED]', "
        "requires admin privilege"
    )


def test_of_several_statements_none_is_run(people: Client):
    assert "requires READ on db1" in refused(query(people, "SHOW DATABASES; SELECT * FROM db1..a; SHOW USERS", "ro"))
    refused(query(people, "DELETE FROM a; CREATE DATABASE new", "wo"))
    assert query(people, "SELECT * FROM a", "ro", database="").json()["error"].endswith("requires READ on ")


def test_databases_are_filtered(people: Client):
    def seen(name: str) -> Any:
        (series,) = query(people, "SHOW DATABASES", name).json()["results"][0]["series"]
        return series.get("values")

    assert seen("adm") == [["default"], ["db0"], ["db1"]]
    assert [seen(name) for name in ("ro", "wo", "rw", "no")] == [[["db0"]], [["db0"]], [["db0"]], None]


def test_the_json_query_api_needs_read(people: Client):
    for name, status in (("ro", 200), ("rw", 200), ("wo", 403), ("no", 403)):
        headers = {"Authorization": "Token " + f"{name}:p"}
        body = b'{"measurement":"cpu","db":"db0"}'
        assert people.request("POST", "/query", body, headers).status == status


def test_changes_are_audited_without_passwords(people: Client, capsys: pytest.CaptureFixture[str]):
    logging.configure("json")
    try:
        query(people, "CREATE USER eve WITH PASSWORD 'secret'; GRANT READ ON db0 TO eve; DROP DATABASE db1", "adm")
        query(people, "DELETE FROM a", "wo")
        query(people, "SELECT * FROM a; SHOW DATABASES", "ro")
        query(people, "DROP DATABASE db0", "rw")
        text = capsys.readouterr().err
        lines = [json.loads(line) for line in text.splitlines()]
    finally:
        logging.configure()
    assert "secret" not in text
    audited = [(line["who"], line["action"], line["outcome"][:40]) for line in lines if line["room"] == "rusts.audit"]
    assert audited == [
        ("adm", "CREATE USER eve WITH PASSWORD [REDACTED]", "ok"),
        ("adm", "GRANT READ ON db0 TO eve", "ok"),
        ("adm", "DROP DATABASE db1", "ok"),
        ("wo", "DELETE FROM a", "ok"),
        ("rw", "POST /query", "error authorizing query: rw not authorized to execute statement"[:40]),
    ]
