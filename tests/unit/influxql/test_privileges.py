from __future__ import annotations

import pytest

from rusts import errors
from rusts.auth.principal import Principal
from rusts.influxql.parser import parse
from rusts.influxql.privileges import Required, authorize, required_privileges
from rusts.model.accounts import Privilege

READ, WRITE = Privilege.READ, Privilege.WRITE


@pytest.mark.parametrize(
    ("text", "required"),
    [
        ("SELECT * FROM a", [Required("db0", READ)]),
        ("SELECT * FROM a, x..b", [Required("db0", READ), Required("x", READ)]),
        ("SELECT * FROM (SELECT v FROM x..b)", [Required("x", READ)]),
        ("SELECT v INTO y..b FROM a", [Required("db0", READ), Required("y", WRITE)]),
        ("EXPLAIN SELECT v FROM x..b", [Required("x", READ)]),
        ("SHOW DATABASES", []),
        ("SHOW QUERIES", []),
        ("SHOW TAG KEYS ON x", [Required("x", READ)]),
        ("SHOW MEASUREMENTS", [Required("db0", READ)]),
        ("SHOW SERIES CARDINALITY", [Required("db0", READ)]),
        ("DELETE FROM m", [Required("db0", WRITE)]),
        ("DROP SERIES FROM m", [Required("db0", WRITE)]),
        ("DROP MEASUREMENT m", [Required(None)]),
        ("CREATE DATABASE x", [Required(None)]),
        ("SHOW USERS", [Required(None)]),
        ("SHOW STATS", [Required(None)]),
        ("KILL QUERY 1", [Required(None)]),
        ("DROP CONTINUOUS QUERY c ON x", [Required("x", WRITE)]),
    ],
)
def test_required(text: str, required: list[Required]):
    (statement,) = parse(text)
    assert required_privileges(statement, "db0") == required


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("SELECT * FROM a", ""),
        ("SHOW DATABASES; SELECT * FROM x..a", "'SELECT * FROM x..a', requires READ on x"),
        ("SELECT v INTO b FROM a", "'SELECT v INTO b FROM a', requires WRITE on db0"),
        ("CREATE DATABASE x", "'CREATE DATABASE x', requires admin privilege"),
        ("SET PASSWORD FOR ro = 'p'", ""),
        ("SET PASSWORD FOR rw = 'p'", "'SET PASSWORD FOR rw = [REDACTED]', requires admin privilege"),
    ],
)
def test_refusals_are_worded_as_in_1x(text: str, refused: str):
    reader = Principal("ro", grants={"db0": READ})
    if not refused:
        authorize(parse(text), reader, "db0")
        return
    with pytest.raises(errors.Forbidden) as caught:
        authorize(parse(text), reader, "db0")
    assert str(caught.value) == f"error authorizing query: ro not authorized to execute statement {refused}"


def test_an_administrator_may_do_everything_and_the_first_comer_only_become_one():
    authorize(parse("DROP DATABASE x"), Principal("root", admin=True), "")
    first = Principal("", first=True)
    authorize(parse("CREATE USER a WITH PASSWORD 'p' WITH ALL PRIVILEGES"), first, "")
    for text in ("SHOW DATABASES", "CREATE USER a WITH PASSWORD 'p'"):
        with pytest.raises(errors.Forbidden, match="create admin user first or disable authentication"):
            authorize(parse(text), first, "")
