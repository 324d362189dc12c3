from __future__ import annotations

import pytest

from tests.support.statements import answer, plan, store_of

STORE = store_of(
    [
        "m,host=a,dc=x f=1,i=2i,s=\"a\",b=true 0",
        "n,host=a,zone=z f=1i,g=2i 0",
        "o,both=t both=1,v=1 0",
    ]
)  # fmt: skip


def columns(text: str) -> list[str]:
    return list(plan(text, STORE).columns)[1:]


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ("f, f, f AS f_1", ["f", "f_2", "f_1"]),
        ("f AS i, i", ["i", "i_1"]),
        ("i, f AS i", ["i_1", "i"]),
        ("f AS a, i AS a", ["a", "a"]),
        ("f AS time", ["time"]),
        ("-f, (f), f+1, f*i+2, abs(f)+i, mean", ["f", "f_1", "f_2", "f_i", "abs_i", "mean"]),
        ("abs(1) + f, 1 + f + (2 * 3)", ["f", "f_1"]),
        ("(f - f), ((f) + i), (f + 7 - f), ((f)), (abs(f))", ["f_f", "f_i", "f_f_1", "f", "abs"]),
        ("mean(f), mean(f), mean(i)", ["mean", "mean_1", "mean_2"]),
        ("mean(f) - mean(i), abs(mean(f)) + max(i)", ["mean_mean", "abs_max"]),
        ("count(distinct(f)), count(i)", ["count", "count_1"]),
        ("distinct(f)", ["distinct"]),
        ("DISTINCT f", ["distinct"]),
        ("top(f, host, dc, 2), host", ["top", "host", "dc", "host_1"]),
        ("top(f, host, 2) AS x", ["x", "host"]),
        ("time, f", ["f"]),
        ("*", ["b", "dc", "f", "host", "i", "s"]),
        ("*, f", ["b", "dc", "f", "host", "i", "s", "f_1"]),
        ("*::tag, f", ["dc", "host", "f"]),
        ("*::field", ["b", "f", "i", "s"]),
        ("/f|host/", ["f", "host"]),
        ("/f|host/ AS x, * AS y", ["f", "host", "b", "dc", "f_1", "host_1", "i", "s"]),
        ("b & 1, b ^ i", ["b", "b_i"]),
        ("mean(*)", ["mean_f", "mean_i"]),
        ("mean(*) AS x", ["x_f", "x_i"]),
        ("max(*)", ["max_b", "max_f", "max_i"]),
        ("count(*)", ["count_b", "count_f", "count_i", "count_s"]),
        ("mean(/f|s/), first(/s/)", ["mean_f", "first_s"]),
        ("derivative(*)", ["derivative_f", "derivative_i"]),
        ("abs(mean(*))", ["abs_f", "abs_i"]),
        ("pow(*, f)", ["pow_f", "pow_i"]),
        ("pow(f, *)", ["pow"]),
        ("percentile(*, 50)", ["percentile_f", "percentile_i"]),
        ("last(/zz/)", []),
    ],
)
def test_names(fields: str, names: list[str]) -> None:
    assert columns(f"SELECT {fields} FROM m") == names


def test_wildcards_leave_out_what_is_grouped_by() -> None:
    assert columns("SELECT * FROM m GROUP BY host") == ["b", "dc", "f", "i", "s"]
    assert columns("SELECT * FROM m GROUP BY *") == ["b", "f", "i", "s"]
    assert columns("SELECT host, f FROM m GROUP BY host") == ["host", "f"]
    assert columns("SELECT * FROM m GROUP BY (host)") == ["b", "dc", "f", "i", "s"]


def test_wildcards_are_fields_only_where_groups_have_one() -> None:
    assert columns("SELECT * FROM m GROUP BY /host/") == ["b", "f", "i", "s"]
    assert columns("SELECT *::tag, f FROM m GROUP BY /host/") == ["f"]
    assert columns("SELECT /./ FROM m GROUP BY *, dc") == ["b", "f", "i", "s"]
    assert columns("SELECT dc FROM m GROUP BY /host/") == ["dc"]


def test_wildcards_are_over_all_sources() -> None:
    everything = ["b", "dc", "f", "g", "host", "i", "s", "zone"]
    assert columns("SELECT * FROM m, n") == everything
    assert columns("SELECT * FROM /m|n/") == everything
    assert columns("SELECT mean(*) FROM m, n") == ["mean_f", "mean_g", "mean_i"]
    assert columns("SELECT * FROM m, (SELECT max(v) AS q FROM o GROUP BY both)") == [
        *("b", "both", "dc", "f", "host", "i", "q", "s"),
    ]


def test_a_name_of_a_field_and_a_tag() -> None:
    assert columns("SELECT * FROM o") == ["both", "both_1", "v"]


def test_wildcards_over_subqueries() -> None:
    assert columns("SELECT * FROM (SELECT max(f), i FROM m GROUP BY host)") == ["host", "i", "max"]
    assert columns("SELECT mean(*) FROM (SELECT f + i AS x, s FROM m)") == ["mean_x"]
    assert columns("SELECT * FROM (SELECT * FROM (SELECT f FROM m GROUP BY dc)) GROUP BY *") == ["dc", "f"]


MIXED = store_of(
    [
        "a,t=x v=1i,w=1 1",
        "b,t=x v=1.5,w=2 2",
        "c,t=x v=\"text\",w=3 3",
        "e,t=x,v=tag w=4 4",
        "f v=true 5",
    ]
)  # fmt: skip


def rows(text: str) -> dict[str, list[list[object]]]:
    return {series["name"]: series["values"] for series in answer(text, MIXED)}


def test_a_field_has_one_type_over_all_sources() -> None:
    assert rows("SELECT v FROM /./") == {"a": [[1, 1.0]], "b": [[2, 1.5]]}
    assert rows("SELECT v FROM c, f") == {"c": [[3, "text"]]}
    assert rows("SELECT count(v), max(w) FROM a, c") == {"a": [[0, 1, 1.0]], "c": [[0, None, 3.0]]}
    assert rows("SELECT v, w FROM c, a, e") == {"a": [[1, 1, 1.0]], "c": [[3, None, 3.0]], "e": [[4, None, 4.0]]}
    assert rows("SELECT v + 1 FROM a, c") == {"a": [[1, 2]]}
    assert rows("SELECT DISTINCT v FROM a, c") == {"a": [[0, 1]]}


def test_so_it_has_in_conditions() -> None:
    assert rows("SELECT w FROM c, a WHERE v = 'text'") == {}
    assert rows("SELECT v FROM c, f WHERE v = true") == {}
    assert rows("SELECT w FROM a, e WHERE v = 'tag'") == {"e": [[4, 4.0]]}


def test_columns_of_subqueries_keep_their_types() -> None:
    assert rows("SELECT v FROM a, (SELECT v FROM c)") == {"a": [[1, 1]], "c": [[3, "text"]]}
    assert rows("SELECT v FROM c, (SELECT v FROM a)") == {"a": [[1, 1]]}


def test_bit_operators_of_booleans_and_others_are_false() -> None:
    found = answer("SELECT b & true, b | 1, b ^ i, (b & 1) | true, b | nope, nope ^ b FROM m", STORE)
    assert found[0]["values"] == [[0, True, False, False, True, True, True]]


def test_nothing_is_computed_with_durations() -> None:
    assert answer("SELECT f, f + 1h, pow(i, 1h) FROM m", STORE)[0]["values"] == [[0, 1.0, None, None]]


def test_time_may_have_an_alias() -> None:
    assert plan("SELECT time AS t, f FROM m", STORE).columns == ("t", "f")


def test_unknown_names_are_columns() -> None:
    assert columns("SELECT nope, f FROM m") == ["nope", "f"]
    assert columns("SELECT * FROM nope") == []
