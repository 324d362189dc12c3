"""Reads and checks a JSON query, and makes a plan of it. The request is described in docs/http.md."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from rusts.errors import InvalidRequest
from rusts.model.predicate import CompareOp, FieldCompare, Predicate, TagIn, TagRegex, conjunction
from rusts.model.store import TimeRange, Window
from rusts.model.time import MAX_TIME, MIN_TIME, parse_rfc3339
from rusts.query.expression import Ref
from rusts.query.functions import FUNCTIONS
from rusts.query.plan import EVER, Aggregate, Call, Fill, FillMode, Plan, Points, Rows, Slice

__all__ = ["parse"]

_MEMBERS: Final = (
    "measurement",
    "db",
    "rp",
    "time_range",
    "fields",
    "tag_filters",
    "field_filters",
    "aggregation",
    "aggregations",
    "interval_nanos",
    "offset_nanos",
    "group_by",
    "fill",
    "order",
    "limit",
    "offset",
    "series_limit",
)
_AGGREGATION: Final = ("function", "field", "fields", "percentile", "as", "interval_nanos", "offset_nanos", "group_by")
_SHARED: Final = ("interval_nanos", "offset_nanos", "group_by")
_FUNCTIONS: Final = {name.replace("_", ""): name for name in FUNCTIONS}
_FUNCTION_NAMES: Final = (
    "Count, Sum, Mean, Min, Max, First, Last, Spread, StdDev, Median, Percentile, CountDistinct, Mode"
)
_TAG_OPS: Final = {
    name.lower(): name for name in ("Eq", "Ne", "In", "NotIn", "Regex", "NotRegex", "Exists", "NotExists")
}
_FIELD_OPS: Final = {
    "eq": CompareOp.EQ,
    "ne": CompareOp.NE,
    "lt": CompareOp.LT,
    "le": CompareOp.LE,
    "gt": CompareOp.GT,
    "ge": CompareOp.GE,
}
_FILLS: Final = {"null": FillMode.NULL, "previous": FillMode.PREVIOUS, "linear": FillMode.LINEAR}
_NO_QUERY: Final = 'missing required parameter "q"'
_LARGEST: Final = (1 << 63) - 1


def parse(body: bytes) -> Plan:
    """The plan of a JSON query.

    Raises InvalidRequest. Its text begins with the path of the faulty member, which is also its `field`; a
    body that is no JSON object with `measurement` gets the text of InfluxDB 1.x for a request without a query.
    """
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as problem:
        hint = f" (and the body is no JSON query: {problem})" if body.lstrip()[:1] == b"{" else ""
        raise InvalidRequest(_NO_QUERY + hint) from None
    if not isinstance(request, dict) or "measurement" not in request:
        raise InvalidRequest(_NO_QUERY)
    request = {name: value for name, value in request.items() if value is not None}
    _known(request, _MEMBERS, "")
    points = Points(
        _text(request.get("db", "default"), "db"),
        _text(request.get("measurement"), "measurement"),
        _text(request["rp"], "rp") if "rp" in request else None,
        _time_range(request.get("time_range")),
        conjunction(
            [
                *_each(request, "tag_filters", _tag_filter),
                *_each(request, "field_filters", _field_filter),
            ]
        ),
    )
    aggregations = _aggregations(request)
    shared = _shared(request, aggregations)
    node = _aggregate(request, points, aggregations, shared) if aggregations else _rows(request, points, shared)
    return Plan(
        Slice(
            node,
            descending=_descending(request.get("order", "asc")),
            limit=_whole(request["limit"], "limit", 1) if "limit" in request else None,
            offset=_whole(request.get("offset", 0), "offset", 0),
            series_limit=_whole(request["series_limit"], "series_limit", 1) if "series_limit" in request else None,
        )
    )


# -- the parts


def _time_range(value: Any) -> TimeRange:
    if value is None:
        return EVER
    if not isinstance(value, dict):
        raise _wrong("time_range", "an object with start and end", value)
    _known(value, ("start", "end"), "time_range.")
    start, end = value.get("start"), value.get("end")
    range = TimeRange(
        EVER.start if start is None else _time(start, "time_range.start"),
        EVER.end if end is None else _time(end, "time_range.end"),
    )
    if range.end < range.start:
        raise InvalidRequest("time_range.end: is before time_range.start", "time_range.end")
    return range


def _time(value: Any, path: str) -> int:
    if isinstance(value, str):
        try:
            return parse_rfc3339(value)
        except ValueError as problem:
            raise InvalidRequest(f"{path}: {problem}", path) from None
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong(path, "integer nanoseconds or an RFC 3339 time", value)
    return min(max(value, MIN_TIME), MAX_TIME + 1)


def _tag_filter(value: Any, path: str) -> Predicate:
    if not isinstance(value, dict):
        raise _wrong(path, "an object with key, op and value or values", value)
    _known(value, ("key", "op", "value", "values"), f"{path}.")
    key = _text(value.get("key"), f"{path}.key")
    op = _choice(value.get("op", "In" if "values" in value else "Eq"), _TAG_OPS, f"{path}.op")
    if op in ("Exists", "NotExists"):
        return TagIn(key, ("",), negated=op == "Exists")
    if op in ("In", "NotIn"):
        return TagIn(key, tuple(_texts(value.get("values"), f"{path}.values", empty=True)), negated=op == "NotIn")
    text = _text(value.get("value"), f"{path}.value", empty=True)
    if op in ("Eq", "Ne"):
        return TagIn(key, (text,), negated=op == "Ne")
    try:
        pc.match_substring_regex(pa.scalar(""), text)
    except pa.ArrowInvalid as problem:
        raise InvalidRequest(f"{path}.value: {problem}", f"{path}.value") from None
    return TagRegex(key, text, negated=op == "NotRegex")


def _field_filter(value: Any, path: str) -> Predicate:
    if not isinstance(value, dict):
        raise _wrong(path, "an object with field, op and value", value)
    _known(value, ("field", "op", "value"), f"{path}.")
    field = _text(value.get("field"), f"{path}.field")
    op = _choice(value.get("op", "Eq"), _FIELD_OPS, f"{path}.op")
    constant = value.get("value")
    if not isinstance(constant, str | int | float):
        raise _wrong(f"{path}.value", "a number, a string or a boolean", constant)
    if isinstance(constant, str | bool) and op not in (CompareOp.EQ, CompareOp.NE):
        raise InvalidRequest(f"{path}.op: strings and booleans are compared with Eq and Ne only", f"{path}.op")
    return FieldCompare(field, op, constant)


def _aggregations(request: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The aggregations, each with its path."""
    if "aggregation" in request and "aggregations" in request:
        raise InvalidRequest("aggregations: stands beside aggregation; give one of them", "aggregations")
    found = []
    if "aggregation" in request:
        found = [("aggregation", request["aggregation"])]
    elif "aggregations" in request:
        several = request["aggregations"]
        if not isinstance(several, list) or not several:
            raise _wrong("aggregations", "a list of aggregations", several)
        found = [(f"aggregations[{index}]", each) for index, each in enumerate(several)]
    for path, value in found:
        if not isinstance(value, dict):
            raise _wrong(path, "an object with function and field", value)
        _known(value, _AGGREGATION, f"{path}.")
    return found


def _shared(request: dict[str, Any], aggregations: Sequence[tuple[str, dict[str, Any]]]) -> dict[str, tuple[str, Any]]:
    """What holds for the whole query, wherever it stands: name -> (path, value)."""
    found: dict[str, tuple[str, Any]] = {}
    for prefix, holder in [("", request), *((f"{path}.", value) for path, value in aggregations)]:
        for name in _SHARED:
            value = holder.get(name)
            if value is None:
                continue
            path = prefix + name
            if name in found and found[name][1] != value:
                text = f"{path}: is not the same as {found[name][0]}; it holds for the whole query"
                raise InvalidRequest(text, path)
            found.setdefault(name, (path, value))
    return found


def _rows(request: dict[str, Any], points: Points, shared: dict[str, tuple[str, Any]]) -> Rows:
    for name in ("interval_nanos", "offset_nanos"):
        if name in shared:
            raise InvalidRequest(f"{shared[name][0]}: needs an aggregation", shared[name][0])
    if "fill" in request:
        raise InvalidRequest("fill: needs an aggregation with interval_nanos", "fill")
    columns = None
    if "fields" in request:
        columns = tuple((name, Ref(name)) for name in _texts(request["fields"], "fields"))
    return Rows(points, columns, _group_by(shared))


def _aggregate(
    request: dict[str, Any],
    points: Points,
    aggregations: Sequence[tuple[str, dict[str, Any]]],
    shared: dict[str, tuple[str, Any]],
) -> Aggregate | Fill:
    if "fields" in request:
        raise InvalidRequest("fields: stands beside an aggregation, which names its own field or fields", "fields")
    calls = [call for path, value in aggregations for call in _calls(value, path)]
    window = None
    if "interval_nanos" in shared:
        path, value = shared["interval_nanos"]
        offset_path, offset = shared.get("offset_nanos", ("", 0))
        window = Window(_whole(value, path, 1), _whole(offset, offset_path, -_LARGEST))
    elif "offset_nanos" in shared:
        path = shared["offset_nanos"][0]
        raise InvalidRequest(f"{path}: needs interval_nanos", path)
    node = Aggregate(points, tuple(calls), _group_by(shared), window)
    fill = request.get("fill", "none")
    if isinstance(fill, str) and fill.lower() == "none":
        return node
    if window is None:
        raise InvalidRequest("fill: needs interval_nanos", "fill")
    if isinstance(fill, int | float) and not isinstance(fill, bool):
        return Fill(node, FillMode.VALUE, float(fill))
    if not isinstance(fill, str) or fill.lower() not in _FILLS:
        raise _wrong("fill", '"none", "null", "previous", "linear" or a number', fill)
    return Fill(node, _FILLS[fill.lower()])


def _calls(value: dict[str, Any], path: str) -> Iterable[Call]:
    """One call for each field of an aggregation."""
    asked = value.get("function")
    name = _FUNCTIONS.get(asked.lower().replace("_", "")) if isinstance(asked, str) else None
    if name is None:
        raise _wrong(f"{path}.function", f"one of {_FUNCTION_NAMES}", asked)
    parameter = value.get("percentile")
    bounds = FUNCTIONS[name].parameter
    if bounds is None:
        if parameter is not None:
            raise InvalidRequest(f"{path}.percentile: belongs to the function Percentile", f"{path}.percentile")
    elif isinstance(parameter, bool) or not isinstance(parameter, int | float) or not 0 <= parameter <= 100:
        raise _wrong(f"{path}.percentile", "a number from 0 to 100", parameter)
    if "field" in value and "fields" in value:
        raise InvalidRequest(f"{path}.fields: stands beside field; give one of them", f"{path}.fields")
    if "fields" in value:
        fields = _texts(value["fields"], f"{path}.fields")
    else:
        fields = [_text(value.get("field"), f"{path}.field")]
    label = value.get("as")
    if label is not None:
        label = _text(label, f"{path}.as")
        if len(fields) > 1:
            raise InvalidRequest(f"{path}.as: names one column, but there are several fields", f"{path}.as")
    numbers = () if parameter is None else (float(parameter),)
    return [Call(name, Ref(field), label or f"{name}_{field}", numbers) for field in fields]


def _group_by(shared: dict[str, tuple[str, Any]]) -> tuple[str, ...]:
    if "group_by" not in shared:
        return ()
    path, value = shared["group_by"]
    return tuple(dict.fromkeys(_texts(value, path, none=True)))


def _descending(value: Any) -> bool:
    if not isinstance(value, str) or value.lower() not in ("asc", "desc"):
        raise _wrong("order", '"asc" or "desc"', value)
    return value.lower() == "desc"


# -- single values


def _each(request: dict[str, Any], name: str, read: Any) -> list[Predicate]:
    values = request.get(name, [])
    if not isinstance(values, list):
        raise _wrong(name, "a list of filters", values)
    return [read(value, f"{name}[{index}]") for index, value in enumerate(values)]


def _known(value: dict[str, Any], names: Sequence[str], prefix: str) -> None:
    for name in value:
        if name not in names:
            path = prefix + name
            raise InvalidRequest(f"{path}: unknown member; known are {', '.join(names)}", path)


def _text(value: Any, path: str, *, empty: bool = False) -> str:
    if not isinstance(value, str) or (not value and not empty):
        raise _wrong(path, "a string" if empty else "a string that is not empty", value)
    return value


def _texts(value: Any, path: str, *, empty: bool = False, none: bool = False) -> list[str]:
    if not isinstance(value, list) or (not value and not none):
        raise _wrong(path, "a list of strings", value)
    return [_text(each, f"{path}[{index}]", empty=empty) for index, each in enumerate(value)]


def _whole(value: Any, path: str, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _LARGEST:
        raise _wrong(path, f"an integer from {least} up" if least >= 0 else "an integer", value)
    return value


def _choice(value: Any, choices: dict[str, Any], path: str) -> Any:
    if not isinstance(value, str) or value.lower() not in choices:
        names = ", ".join(_TAG_OPS.values() if choices is _TAG_OPS else (name.capitalize() for name in choices))
        raise _wrong(path, f"one of {names}", value)
    return choices[value.lower()]


def _wrong(path: str, wanted: str, got: Any) -> InvalidRequest:
    """What is wrong, in one form; a long value is cut."""
    if got is None:
        return InvalidRequest(f"{path}: is missing; want {wanted}", path)
    if isinstance(got, dict | list):
        text = "an object" if isinstance(got, dict) else "an empty list" if not got else "a list"
    else:
        text = orjson.dumps(got).decode()
    if len(text) > 80:
        text = text[:77] + "..."
    return InvalidRequest(f"{path}: want {wanted}, got {text}", path)
