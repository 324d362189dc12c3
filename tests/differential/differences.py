"""The ways in which rusts answers otherwise than influxd 1.6.7, each on purpose.

RULES are those of the wire contract that were decided beforehand, and `sample`, which is random. KINDS are what is
left, at most ten. One applies where its predicate holds for a statement, influxd's answer and ours; a predicate looks
at no more than what makes the kind, so that anything else about the answer still has to agree.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from tests.support.influxql_compare import difference
from tests.support.influxql_corpus import Answer, Case
from tests.support.influxql_data import writes

__all__ = ["KINDS", "RULES", "Kind", "explained"]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of difference, why it is wanted, and `applies(case, influxd's answer, ours)`."""

    name: str
    reason: str
    applies: Callable[[Case, Answer, Answer], bool]


def explained(case: Case, expected: Answer, actual: Answer) -> Kind | None:
    """The kind that a difference belongs to, or None: then it is a bug."""
    return next((kind for kind in (*RULES, *KINDS) if kind.applies(case, expected, actual)), None)


def _results(answer: Answer) -> list[dict[str, Any]]:
    document = answer.get("json")
    return document.get("results", []) if isinstance(document, dict) else []


def _not_json(case: Case, expected: Answer, actual: Answer) -> bool:
    """influxd sent a complaint of its JSON encoder; ours is an answer with rows."""
    return expected.get("text", "").startswith("json: error") and bool(_results(actual)) and "error" not in str(actual)


def _panicked(case: Case, expected: Answer, actual: Answer) -> bool:
    return "[panic:" in str(expected) and "panic" not in str(actual)


def _integral(case: Case, expected: Answer, actual: Answer) -> bool:
    """Several groups in another order, windows whose edge lies between two points, or the time of a sum backwards."""
    if "integral(" not in case.statement.lower():
        return False
    if "time(" in case.statement.lower() and _same_frame(expected, actual):
        return True
    if difference(case, _sorted_series(expected), _sorted_series(actual)) is None:
        return True
    return "TIME DESC" in case.statement.upper() and _columns(expected) == _columns(actual)


def _offset_alone(case: Case, expected: Answer, actual: Answer) -> bool:
    rows = _OFFSET.search(case.statement) and not _LIMIT.search(case.statement)
    series = _SOFFSET.search(case.statement) and not _SLIMIT.search(case.statement)
    return bool(rows or series) and "error" not in str(actual)


def _absolute_integers(case: Case, expected: Answer, actual: Answer) -> bool:
    return "abs(" in case.statement.lower() and (
        difference(case, _absolute(expected), _absolute(actual)) is None or "WHERE abs(" in case.statement
    )


def _limits(case: Case, expected: Answer, actual: Answer) -> bool:
    return any(one(case, expected, actual) for one in (_offset_alone, _limit_below, _limit_of_columns, _series_limit))


def _series_limit(case: Case, expected: Answer, actual: Answer) -> bool:
    """influxd has fewer series than the limit, and ours begin with them or hold them."""
    limit = _SLIMIT.search(case.statement)
    if limit is None or not len(_series(expected)) < len(_series(actual)) <= int(limit[1]):
        return False
    return all(
        any(difference(case, {"json": theirs}, {"json": ours}) is None for ours in _series(actual))
        for theirs in _series(expected)
    )


def _limit_below(case: Case, expected: Answer, actual: Answer) -> bool:
    """`top(f, 2) … LIMIT 3`, and `FROM (… GROUP BY tag LIMIT 3)`."""
    chosen = re.search(r"\b(top|bottom)\(", case.statement, re.IGNORECASE) and _LIMIT.search(case.statement)
    nested = re.search(r"\(SELECT [^()]*GROUP BY [^()]*LIMIT \d+[^()]*\)", case.statement)
    return bool(chosen or nested) and "error" not in str(expected) and "error" not in str(actual)


def _limit_of_columns(case: Case, expected: Answer, actual: Answer) -> bool:
    """influxd's answer has more rows than the limit, and begins with ours or holds them."""
    limit = _LIMIT.search(case.statement)
    if limit is None:
        return False
    most = max((len(rows) for rows in _rows(expected)), default=0)
    return most > int(limit[1]) and all(len(rows) <= int(limit[1]) for rows in _rows(actual))


def _fill_below(case: Case, expected: Answer, actual: Answer) -> bool:
    """influxd's rows are not in the order of time: it ran through the groups of a filled subquery one by one."""
    filled = re.search(r"FROM \(.*\btime\(.*\)", case.statement) is not None
    times = [[row[0] for row in rows] for rows in _rows(expected)]
    return filled and any(one not in (sorted(one), sorted(one, reverse=True)) for one in times)


def _equals(case: Case, expected: Answer, actual: Answer) -> bool:
    """The same rows but for what depends on the order of equal values, or of points at one time."""
    statement = case.statement.lower()
    if "mode(" in statement and _same_frame(expected, actual):
        return _others("mode", expected) == _others("mode", actual)
    if "percentile(" in statement:
        return _framed(expected) == _framed(actual) and _only("percentile", expected) == _only("percentile", actual)
    if not re.search(r"\bfrom ties\b", statement) or not _same_frame(expected, actual):
        return False
    # In this measurement every time has a point in each series.
    chosen = [name for name in ("top", "bottom") if f"{name}(" in statement]
    return bool(re.search(r"\b(first|last)\(", statement)) or (
        bool(chosen) and all(_only(name, expected) == _only(name, actual) for name in chosen)
    )


def _percentile_ends(case: Case, expected: Answer, actual: Answer) -> bool:
    """Each of influxd's series has the first rows of ours, and no more."""
    statement = case.statement.lower()
    if "percentile(" not in statement or "time(" not in statement or _names(expected) != _names(actual):
        return False
    cut = [ours[: len(theirs)] for theirs, ours in zip(_rows(expected), _rows(actual), strict=True)]
    return difference(case, {"json": _rows(expected)}, {"json": cut}) is None and cut != _rows(actual)


def _below_types(case: Case, expected: Answer, actual: Answer) -> bool:
    """A mathematical function in a subquery; the rows agree but for numbers."""
    return _MATHEMATICS_BELOW.search(case.statement) is not None and _same_frame(expected, actual)


def _policies(case: Case, expected: Answer, actual: Answer) -> bool:
    """Of SHOW: more is found, in measurements with points beside the default policy; less, for its time or a drop."""
    statement = case.statement.upper()
    if not statement.startswith("SHOW ") or "error" in str(expected) or "error" in str(actual):
        return False
    theirs, ours = _shown(expected), _shown(actual)
    if re.search(r"^SHOW TAG (KEYS|VALUES) .*WHERE .*\bTIME\b", statement) or case.place.startswith("definition:"):
        return all(name in theirs and _within(rows, theirs[name]) for name, rows in ours.items())
    if not re.search(r"^SHOW (FIELD KEYS|SERIES .*\bTIME\b|.*CARDINALITY)", statement) or not set(theirs) <= set(ours):
        return False
    once_a_shard = _LONG if statement.startswith("SHOW SERIES") else frozenset()
    return all(
        _more(name[0], theirs.get(name), ours[name]) or (name[0] in once_a_shard and theirs[name] > ours[name])
        for name in ours
        if ours[name] != theirs.get(name)
    )


def _more(name: str | None, theirs: list[list[Any]] | None, ours: list[list[Any]]) -> bool:
    """Ours have what another policy has beside: a measurement, or more of it."""
    if name is not None and name not in _BESIDE:
        return False
    if theirs is None:
        return True
    if isinstance(ours[0][0], int):
        return bool(theirs[0][0] < ours[0][0] <= theirs[0][0] + len(_BESIDE))
    return _within(theirs, ours) and (
        name is not None or all(row[0].partition(",")[0] in _BESIDE for row in ours if row not in theirs)
    )


def _shown(answer: Answer) -> dict[tuple[str | None, str], list[list[Any]]]:
    """The rows by name and tags of their series."""
    return {(series.get("name"), str(series.get("tags"))): series.get("values", []) for series in _series(answer)}


def _within(some: list[list[Any]], all_: list[list[Any]]) -> bool:
    return all(row in all_ for row in some)


_BESIDE: Final = frozenset(
    re.split(r"[, ]", line, maxsplit=1)[0] for one in writes() if one.policy for line in one.body.splitlines()
)
"""The measurements with points in another policy than the default one."""

_LONG: Final = frozenset(("daily", "times"))
"""The measurements with points in several of influxd's shards."""

_MATHEMATICS_BELOW: Final = re.compile(
    r"FROM \(\s*SELECT\b.*\b(a?(cos|sin|tan)|atan2|exp|ln|log|log2|log10|pow|sqrt)\(", re.IGNORECASE
)
_LIMIT: Final = re.compile(r"(?<!S)LIMIT (\d+)", re.IGNORECASE)
_OFFSET: Final = re.compile(r"(?<!S)OFFSET \d+", re.IGNORECASE)
_SLIMIT: Final = re.compile(r"SLIMIT (\d+)", re.IGNORECASE)
_SOFFSET: Final = re.compile(r"SOFFSET \d+", re.IGNORECASE)


def _series(answer: Answer) -> list[dict[str, Any]]:
    return [series for result in _results(answer) for series in result.get("series", [])]


def _rows(answer: Answer) -> list[list[Any]]:
    return [series.get("values", []) for series in _series(answer)]


def _names(answer: Answer) -> list[tuple[Any, ...]]:
    """Name, tags and columns of every series."""
    return [(one.get("name"), one.get("tags"), one["columns"]) for one in _series(answer)]


def _framed(answer: Answer) -> list[tuple[Any, ...]]:
    """As `_names`, and how many rows."""
    return [(*names, len(rows)) for names, rows in zip(_names(answer), _rows(answer), strict=True)]


def _only(function: str, answer: Answer) -> list[list[list[Any]]] | None:
    """Of every series the columns that the function names; None where it names none."""
    found = _picked(answer, lambda name: name == function or name.startswith(f"{function}_"))
    return found if found and all(found) else None


def _others(function: str, answer: Answer) -> list[list[list[Any]]]:
    """Of every series the columns that the function does not name."""
    return _picked(answer, lambda name: name != function and not name.startswith(f"{function}_"))


def _picked(answer: Answer, wanted: Callable[[str], bool]) -> list[list[list[Any]]]:
    return [
        [[row[i] for row in series.get("values", ())] for i, name in enumerate(series["columns"]) if wanted(name)]
        for series in _series(answer)
    ]


def _columns(answer: Answer) -> list[tuple[Any, ...]]:
    """Of every series name, tags, and the values of each column but the time, wherever they stand."""
    return [
        (*names, [[row[i] for row in rows if row[i] is not None] for i in range(1, len(names[2]))])
        for names, rows in zip(_names(answer), _rows(answer), strict=True)
    ]


def _same_frame(expected: Answer, actual: Answer) -> bool:
    """The same series, columns and times."""
    frames = [
        [
            (one.get("name"), str(one.get("tags")), one["columns"], [row[0] for row in one.get("values", [])])
            for one in all_
        ]
        for all_ in (_series(expected), _series(actual))
    ]
    return frames[0] == frames[1]


def _sorted_series(answer: Answer) -> Answer:
    results = []
    for result in _results(answer):
        series = sorted(result.get("series", []), key=lambda one: (one.get("name", ""), str(one.get("tags", ""))))
        results.append({**result, "series": series})
    return {**answer, "json": results}


def _absolute(node: Any) -> Any:
    """`node` with the sign of every number but a row's time taken away."""
    if isinstance(node, dict):
        return {key: _absolute(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_absolute(one) for one in node]
    return abs(node) if isinstance(node, int | float) and not isinstance(node, bool) else node


def _without_default(node: Any) -> Any:
    """`node` without what shows the database `default`."""
    if isinstance(node, dict):
        return {key: _without_default(value) for key, value in node.items()}
    if isinstance(node, list):
        shown = [one for one in node if isinstance(one, dict) and one.get("name") == "default"]
        return [_without_default(one) for one in node if one != ["default"] and one not in shown]
    return node


def _without(node: Any, *names: str) -> Any:
    """`node` without the keys `names` of its objects, at any depth."""
    if isinstance(node, dict):
        return {key: _without(value, *names) for key, value in node.items() if key not in names}
    return [_without(one, *names) for one in node] if isinstance(node, list) else node


def _default_database(case: Case, expected: Answer, actual: Answer) -> bool:
    if "SHOW" not in case.statement.upper():
        return False
    ours = _without_default(actual)
    if not any(series.get("values", True) for series in _series(ours)):
        ours = _without(ours, "values")
    none_left = [{key: value for key, value in result.items() if value != []} for result in _results(ours)]
    return None in (
        difference(case, expected, ours),
        difference(case, expected, {**ours, "json": {"results": none_left}}),
    )


def _announced(case: Case, expected: Answer, actual: Answer) -> bool:
    created = case.statement.upper().startswith("CREATE CONTINUOUS QUERY")
    return created and difference(case, expected, _without(actual, "messages")) is None


def _lines_of_writes(case: Case, expected: Answer, actual: Answer) -> bool:
    return case.statement.startswith("write ") and difference(case, expected, _without(actual, "lines")) is None


def _microseconds(case: Case, expected: Answer, actual: Answer) -> bool:
    return case.options.get("epoch") == "us"


def _not_executed(case: Case, expected: Answer, actual: Answer) -> bool:
    """Ours: the statement's error in its place, `not executed` for each that follows."""
    errors = [result.get("error") for result in _results(actual)]
    failed = next((i for i, error in enumerate(errors) if error), len(errors))
    return (
        "not executed" in str(expected) and len(errors) > failed + 1 and set(errors[failed + 1 :]) == {"not executed"}
    )


def _bad_parameters(case: Case, expected: Answer, actual: Answer) -> bool:
    prefix = "error parsing query parameters: "
    return all(str(one.get("json", {}).get("error", "")).startswith(prefix) for one in (expected, actual))


def _comments(case: Case, expected: Answer, actual: Answer) -> bool:
    return "/**/" in case.statement and expected["status"] == 400 and actual["status"] == 200


def _empty_password(case: Case, expected: Answer, actual: Answer) -> bool:
    """The refusal, or that the user was not made whom the corpus names with one."""
    if case.statement == "SHOW USERS":
        kept = [row for row in _rows(expected)[0] if row != ["eve", False]]
        return case.place.startswith("users:") and _rows(actual) == [kept]
    refused = [result.get("error") for result in _results(actual)] == ["password required"]
    return case.statement.endswith(" ''") and "PASSWORD" in case.statement and refused


RULES: Final[tuple[Kind, ...]] = (
    Kind("default", "rusts always has the database `default`, which takes writes that name none", _default_database),
    Kind("announcement", "CREATE CONTINUOUS QUERY warns that nothing runs them yet", _announced),
    Kind("lines", "a refused write lists the lines and their reasons", _lines_of_writes),
    Kind(
        "epoch=us", "us is microseconds; influxd takes it, as every unit that it does not know, for ns", _microseconds
    ),
    Kind(
        "not executed",
        "a statement that fails has its error in its place, and each behind it says `not executed`; influxd at times "
        "loses the error",
        _not_executed,
    ),
    Kind("bad parameters", "what is wrong with the JSON of `params` is said in other words", _bad_parameters),
    Kind("comments", "a comment may stand anywhere; influxd takes /**/ right behind a word for a pattern", _comments),
    Kind("empty password", "an empty password is refused", _empty_password),
)

KINDS: Final[tuple[Kind, ...]] = (
    Kind(
        "infinity",
        "a value is infinite: influxd sends its encoder's complaint instead of JSON, rusts sends null",
        _not_json,
    ),
    Kind("panic", "influxd panics, and says so in the result", _panicked),
    Kind(
        "integral",
        "influxd answers the groups of integral() in a random order; where a window's edge lies between two points it "
        "takes the value before the edge for the one after it, so areas are wrong; backwards in time the row of all "
        "points has the end of the range for its time, not 0",
        _integral,
    ),
    Kind(
        "limits",
        "OFFSET without LIMIT gives one row, SOFFSET without SLIMIT no series; SLIMIT counts series without rows; a "
        "LIMIT n cuts what top() and bottom() look at to n + 1 points of each series, lets n + 1 points of each series "
        "out of a grouped subquery whose groups are merged again, and limits functions whose rows are at different "
        "times one by one, so more rows than the limit come",
        _limits,
    ),
    Kind("absolute integers", "abs() of an integer does nothing", _absolute_integers),
    Kind(
        "fill below",
        "a function over a filled subquery whose groups are merged again runs through them one by one, out of order",
        _fill_below,
    ),
    Kind(
        "equals",
        "which of several equal values mode() and percentile() take, and which of several points at one time comes "
        "first, depends on an unstable sort and the order of a heap",
        _equals,
    ),
    Kind(
        "percentile ends",
        "where two windows after one another hold too few points for a percentile, the series ends",
        _percentile_ends,
    ),
    Kind(
        "policies",
        "SHOW … CARDINALITY and SHOW FIELD KEYS, and SHOW SERIES with a time, look at the default policy only, SHOW "
        "TAG KEYS and SHOW TAG VALUES at no time; names of a dropped policy stay, and a series counts once for each "
        "of its shards; rusts shows all policies, at the time that is asked for, and nothing that is gone",
        _policies,
    ),
    Kind(
        "subquery types",
        "a mathematical function over integers in a subquery is taken for an integer outside, so fractions are lost",
        _below_types,
    ),
)
