from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rusts import errors
from rusts.influxql import ast
from rusts.influxql.context import Services, Session
from rusts.influxql.parser import parse
from rusts.influxql.printer import text as printed
from rusts.influxql.statements import Statements
from rusts.model.accounts import Privilege
from rusts.query.limits import Tracker
from tests.support.storage import FakeStorage

Ask = Callable[..., list[dict[str, Any]]]


def outcomes(ask: Ask, text: str, **session: Any) -> list[str]:
    """What each statement says went wrong, "" where nothing did."""
    return [result.get("error", "") for result in ask(text, **session)]


def policies(ask: Ask, database: str) -> list[list[Any]]:
    (result,) = ask(f"SHOW RETENTION POLICIES ON {database}")
    found: list[list[Any]] = result["series"][0]["values"]
    return found


def test_results_come_in_order_and_nothing_runs_after_a_failure(ask: Ask, storage: FakeStorage):
    text = 'SHOW DATABASES; CREATE DATABASE ""; CREATE DATABASE c; SHOW DATABASES'
    results = ask(text)
    assert [result["statement_id"] for result in results] == [0, 1, 2, 3]
    assert [result.get("error") for result in results] == [None, "invalid name", "not executed", "not executed"]
    assert "c" not in storage.databases()
    assert ask(";") == []


def test_databases_and_policies(ask: Ask):
    conflict = "retention policy conflicts with an existing policy"
    short = "retention policy duration must be at least 1h0m0s"
    for text, error in (
        ('CREATE DATABASE "a/b"', "invalid name"),
        ("CREATE DATABASE x WITH DURATION 30m", short),
        ("CREATE DATABASE x WITH DURATION 2h REPLICATION 1 SHARD DURATION 30m NAME rp1", ""),
        ("CREATE DATABASE x", ""),
        ("CREATE DATABASE x WITH DURATION 3h", conflict),
        ("CREATE DATABASE x WITH NAME rp1", ""),
        ("CREATE DATABASE x WITH NAME rp2", conflict),
        ("CREATE RETENTION POLICY r ON x DURATION 30m REPLICATION 1", short),
        ("CREATE RETENTION POLICY r ON x DURATION 2d REPLICATION 1", ""),
        ("CREATE RETENTION POLICY r ON x DURATION 2d REPLICATION 1", ""),
        ("CREATE RETENTION POLICY r ON x DURATION 3d REPLICATION 1", "retention policy already exists"),
        ("CREATE RETENTION POLICY r2 ON x DURATION INF REPLICATION 2 DEFAULT", ""),
        ("CREATE RETENTION POLICY r ON nodb DURATION 2d REPLICATION 1", "database not found: nodb"),
        ("ALTER RETENTION POLICY r ON x REPLICATION 3 DEFAULT", ""),
        ("ALTER RETENTION POLICY nope ON x DEFAULT", "retention policy not found: nope"),
    ):
        assert outcomes(ask, text) == [error], text
    assert policies(ask, "x") == [
        ["rp1", "2h0m0s", "1h0m0s", 1, False],
        ["r", "48h0m0s", "24h0m0s", 3, True],
        ["r2", "0s", "168h0m0s", 2, False],
    ]
    gone = "DROP RETENTION POLICY r2 ON x; DROP RETENTION POLICY nope ON x; DROP RETENTION POLICY r ON nodb"
    assert outcomes(ask, gone) == ["", "", ""]
    assert [row[0] for row in policies(ask, "x")] == ["rp1", "r"]
    assert outcomes(ask, "DROP DATABASE x; DROP DATABASE x") == ["", ""]


def test_data_is_dropped_and_deleted(ask: Ask):
    field = "fields not supported in WHERE clause during deletion"
    assert outcomes(ask, "DROP SERIES FROM m WHERE time > 1") == ["DROP SERIES doesn't support time in WHERE clause"]
    assert outcomes(ask, "DROP SERIES FROM m WHERE v > 1") == [field]
    assert outcomes(ask, "DELETE FROM m WHERE v * 2 > i") == ["DELETE cannot tell what to delete by v * 2 > i"]
    assert outcomes(ask, "DELETE FROM m WHERE time >= 4s") == [""]
    (result,) = ask("SELECT v FROM m")
    assert [row[1] for row in result["series"][0]["values"]] == [1, 2.5, 4]
    assert outcomes(ask, "DELETE WHERE v > 3; DROP SERIES FROM m WHERE host = 'b'") == ["", ""]
    (result,) = ask("SELECT v FROM m")
    assert [row[1] for row in result["series"][0]["values"]] == [1]
    assert outcomes(ask, "DROP MEASUREMENT n; DROP MEASUREMENT nope; DROP SHARD 9999") == ["", "", ""]
    (result,) = ask("SHOW MEASUREMENTS")
    assert result["series"][0]["values"] == [["m"]]
    for text in ("DROP MEASUREMENT m", "DELETE FROM m", "DROP SERIES FROM m"):
        assert outcomes(ask, text, database="") == ["database not found: "]
        assert outcomes(ask, text, database="nodb") == ["database not found: nodb"]


def test_users_and_grants(ask: Ask, storage: FakeStorage):
    for text, error in (
        ("CREATE USER \"\" WITH PASSWORD 'p'", "username required"),
        ("CREATE USER u WITH PASSWORD 'p'", ""),
        ("CREATE USER u WITH PASSWORD 'p'", ""),
        ("CREATE USER u WITH PASSWORD 'q'", "user already exists"),
        ("CREATE USER u WITH PASSWORD 'p' WITH ALL PRIVILEGES", "user already exists"),
        ("CREATE USER a WITH PASSWORD 'p' WITH ALL PRIVILEGES", ""),
        ("GRANT READ ON db0 TO u", ""),
        ("GRANT READ ON nodb TO u", "database not found: nodb"),
        ("GRANT READ ON db0 TO nope", "user not found"),
        ("GRANT ALL ON db1 TO u", ""),
        ("REVOKE WRITE ON db1 FROM u", ""),
        ("REVOKE READ ON nodb FROM u", "database not found: nodb"),
        ("SET PASSWORD FOR u = 'n'", ""),
        ("SET PASSWORD FOR nope = 'n'", "user not found"),
        ("GRANT ALL PRIVILEGES TO u", ""),
        ("REVOKE ALL PRIVILEGES FROM a", ""),
        ("GRANT ALL PRIVILEGES TO nope", "user not found"),
        ("DROP USER nope", "user not found"),
    ):
        assert outcomes(ask, text) == [error], text
    (users,), (grants,) = ask("SHOW USERS"), ask("SHOW GRANTS FOR u")
    assert users["series"] == [{"columns": ["user", "admin"], "values": [["u", True], ["a", False]]}]
    assert grants["series"][0]["values"] == [["db0", "READ"], ["db1", "READ"]]
    user = storage.user("u")
    assert user is not None
    assert user.password_hash == "hash of n"
    assert user.grants == {"db0": Privilege.READ, "db1": Privilege.READ}
    # What was revoked stays listed, and so does what was never granted.
    assert outcomes(ask, "REVOKE READ ON db1 FROM u; REVOKE ALL ON db0 FROM a") == ["", ""]
    told = [result["series"][0]["values"] for result in ask("SHOW GRANTS FOR u; SHOW GRANTS FOR a")]
    assert told == [[["db0", "READ"], ["db1", "NO PRIVILEGES"]], [["db0", "NO PRIVILEGES"]]]
    assert outcomes(ask, "REVOKE ALL ON db0 FROM u; DROP USER u; SHOW GRANTS FOR u") == ["", "", "user not found"]


def test_continuous_queries_are_kept_and_told_not_to_run(ask: Ask):
    cq = "CREATE CONTINUOUS QUERY cq ON db0 BEGIN SELECT mean(v) INTO avg FROM m GROUP BY time(1m) END"
    (made,), (again,) = ask(cq), ask(cq)
    assert "does not run it" in made["messages"][0]["text"]
    assert again == made
    assert outcomes(ask, cq.replace("mean", "max")) == ["continuous query already exists"]
    assert outcomes(ask, cq.replace("ON db0", "ON nodb")) == ["database not found: nodb"]
    (shown,) = ask("SHOW CONTINUOUS QUERIES")
    full = cq.replace("avg", "db0.autogen.avg").replace("FROM m", "FROM db0.autogen.m")
    assert shown["series"][0]["values"] == [["cq", full]]
    assert outcomes(ask, "DROP CONTINUOUS QUERY cq ON db0; DROP CONTINUOUS QUERY cq ON nodb") == ["", ""]
    (shown,) = ask("SHOW CONTINUOUS QUERIES")
    assert "values" not in shown["series"][0]


def test_subscriptions_are_refused(ask: Ask):
    (error,) = outcomes(ask, "CREATE SUBSCRIPTION s ON db0.autogen DESTINATIONS ALL 'udp://h:1'")
    assert error.startswith("subscriptions are not supported")


def test_changes_that_come_by_get_are_made_with_a_warning(ask: Ask, storage: FakeStorage):
    for statement, shown in (
        ("CREATE DATABASE c", "CREATE DATABASE c"),
        ("CREATE USER w WITH PASSWORD 'secret'", "CREATE USER w WITH PASSWORD [REDACTED]"),
        ("SELECT v INTO t FROM m", "SELECT v INTO db0.autogen.t FROM db0.autogen.m"),
    ):
        (result,) = ask(statement, reading=True)
        text = f"deprecated use of '{shown}' in a read only context, please use a POST request instead"
        assert result["messages"] == [{"level": "warning", "text": text}]
    assert "c" in storage.databases()
    for statement in ("DELETE FROM zz", "SHOW DATABASES", "KILL QUERY 9"):
        (result,) = ask(statement, reading=True)
        assert "messages" not in result


def test_into(ask: Ask):
    (result,) = ask("SELECT * INTO copy FROM m GROUP BY *")
    assert result["series"] == [{"name": "result", "columns": ["time", "written"], "values": [[0, 4]]}]
    (shown,) = ask("SHOW SERIES FROM copy")
    assert shown["series"][0]["values"] == [["copy"], ["copy,dc=x,host=a"], ["copy,dc=x,host=b"], ["copy,host=a"]]
    (result,) = ask("SELECT v, host INTO db1..:MEASUREMENT FROM /m|n/")
    assert result["series"][0]["values"] == [[0, 4]]
    (copied,) = ask("SELECT * FROM m", database="db1")
    assert copied["series"][0]["columns"] == ["time", "host", "v"]
    assert copied["series"][0]["values"][3][1:] == [None, 0.5]
    (result,) = ask("SELECT mean(v) INTO buckets FROM m WHERE time < 10s GROUP BY time(1s)")
    assert result["series"][0]["values"] == [[0, 4]]
    (result,) = ask("SELECT nope INTO nothing FROM m")
    assert result["series"][0]["values"] == [[0, 0]]
    assert outcomes(ask, "SELECT v INTO nodb..x FROM m") == ["database not found: nodb"]
    assert outcomes(ask, "SELECT v INTO norp.x FROM m") == ["retention policy not found: norp"]
    (error,) = outcomes(ask, "SELECT s AS v INTO copy FROM m")
    assert error.startswith("partial write: field type conflict")


@pytest.mark.parametrize(
    ("text", "session", "error"),
    [
        ("SELECT v FROM m", {"database": ""}, "database name required"),
        ("SELECT v FROM m", {"database": "nodb"}, "database not found: nodb"),
        ("SELECT v FROM m", {"policy": "nope"}, "retention policy not found: nope"),
        ("KILL QUERY 9", {}, "no such query id: 9"),
    ],
)
def test_errors_are_worded_as_in_1x(ask: Ask, text: str, session: dict[str, Any], error: str):
    assert outcomes(ask, text, **session) == [error]


def test_what_changes_something_is_audited(ask: Ask):
    heard: list[tuple[str, str]] = []

    def audit(statement: ast.Statement, outcome: str) -> None:
        heard.append((printed(statement), outcome))

    ask("SHOW DATABASES; CREATE DATABASE c; DELETE FROM m; CREATE USER u WITH PASSWORD 'secret'", audit=audit)
    ask('CREATE DATABASE ""', audit=audit)
    assert heard == [
        ("CREATE DATABASE c", "ok"),
        ("DELETE FROM m", "ok"),
        ("CREATE USER u WITH PASSWORD [REDACTED]", "ok"),
        ('CREATE DATABASE ""', "invalid name"),
    ]


def test_a_killed_query_ends_with_an_error(services: Services):
    tracker = Tracker()
    query = services.running.begin(tracker, "db0", "", "-", lambda: "SELECT v FROM m")
    services.running.kill(query.id)
    (result,) = Statements(services).run(parse("SELECT v FROM m"), Session("db0"), tracker)
    assert list(result.frames) == []
    assert result.error == "query interrupted"


def test_while_the_log_is_replayed_a_query_is_told_to_come_again(
    services: Services, storage: FakeStorage, monkeypatch: pytest.MonkeyPatch
):
    def replaying(database: str) -> list[str]:
        raise errors.NotReady("replaying the log")

    monkeypatch.setattr(storage, "measurements", replaying)
    results = Statements(services).run(parse("SHOW MEASUREMENTS"), Session("db0"), Tracker())
    with pytest.raises(errors.NotReady):
        list(next(results).frames)


def test_a_disk_that_fails_is_an_error_of_its_statement(
    ask: Ask, storage: FakeStorage, monkeypatch: pytest.MonkeyPatch
):
    def broken(name: str, policy: object = None) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage, "create_database", broken)
    assert outcomes(ask, "CREATE DATABASE c; SHOW DATABASES") == ["No space left on device", "not executed"]
