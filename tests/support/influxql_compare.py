"""Compares the answer of one server to a corpus statement with the recorded one."""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from typing import Any, Final

from tests.support.influxql_corpus import Answer, Case

__all__ = ["TOLERANCE", "difference", "misspelt"]

TOLERANCE: Final = 1e-9
"""The relative difference up to which two floats are the same."""


def difference(case: Case, expected: Answer, actual: Answer) -> str | None:
    """The first place where `actual` is not what was recorded, or None.

    Floats agree to `TOLERANCE`; everything else, order and the keys of objects included, is the same.
    With the option `compare=shape` values are left out but counted, with `compare=columns` rows are left out.
    """
    compare = case.options.get("compare", "")
    if compare:
        rows = compare == "shape"
        expected, actual = _shape(expected, rows), _shape(actual, rows)
    return _differ(expected, actual, "answer")


def _shape(node: Any, rows: bool) -> Any:
    """`node` with the rows of every series replaced by their number, or left out."""
    if isinstance(node, list):
        return [_shape(one, rows) for one in node]
    if not isinstance(node, dict):
        return node
    if "columns" not in node:
        return {name: _shape(value, rows) for name, value in node.items()}
    kept = {name: value for name, value in node.items() if name != "values"}
    return {**kept, "rows": len(node.get("values", []))} if rows else kept


def _differ(expected: Any, actual: Any, path: str) -> str | None:
    if isinstance(expected, dict) and isinstance(actual, dict):
        if list(expected) != list(actual):
            return f"{path}: keys {_short(list(expected))} expected, {_short(list(actual))} found"
        times = [[row[0] for row in one.get("values", ())] for one in (expected, actual) if _by_time(one)]
        if times and times[0] != times[-1]:
            return f"{path}.values: times {_short(times[0])} expected, {_short(times[-1])} found"
        parts = ((expected[name], actual[name], f"{path}.{name}") for name in expected)
    elif isinstance(expected, list) and isinstance(actual, list):
        if len(expected) != len(actual):
            return f"{path}: {len(expected)} expected, {len(actual)} found: {_short(expected)} | {_short(actual)}"
        parts = ((a, b, f"{path}[{i}]") for i, (a, b) in enumerate(zip(expected, actual, strict=True)))
    else:
        return None if _same(expected, actual) else f"{path}: {_short(expected)} expected, {_short(actual)} found"
    return next((found for found in (_differ(*part) for part in parts) if found is not None), None)


def _by_time(node: dict[str, Any]) -> bool:
    return bool(node.get("columns", ())[:1] == ["time"])


def _same(expected: Any, actual: Any) -> bool:
    if isinstance(expected, bool) or isinstance(actual, bool):
        return expected is actual
    if isinstance(expected, float) or isinstance(actual, float):
        # A float without a fraction was written, and is read, as an integer.
        numbers = isinstance(expected, int | float) and isinstance(actual, int | float)
        return numbers and math.isclose(expected, actual, rel_tol=TOLERANCE)
    if isinstance(expected, int) and isinstance(actual, int) and _may_be_float(expected) and _may_be_float(actual):
        return math.isclose(expected, actual, rel_tol=TOLERANCE)
    return bool(type(expected) is type(actual) and expected == actual)


def _may_be_float(value: int) -> bool:
    """Large floats are written like integers too: they are the ones that a float can say."""
    return abs(value) > 2**53 and _go(repr(float(value))) == str(value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 300 else f"{text[:300]}…"


_NUMBER: Final = re.compile(r'"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*')


def misspelt(body: bytes) -> str | None:
    """What in a JSON answer is not written as influxd writes it, or None: spaces, the last newline, forms of floats."""
    lines = body.decode().split("\n")
    if lines.pop() != "":
        return "no newline at the end"
    for line in lines:
        for token in _NUMBER.findall(line):
            if token[0] != '"' and token != _go(token):
                return f"{token} for {_go(token)}"
        plain = re.sub(r"\\u([0-9a-f]{4})", lambda found: _unescaped(found[1]), line)
        # Numbers as texts: only what stands between them is compared.
        document = json.loads(line, parse_int=_Number, parse_float=_Number)
        written = json.dumps(document, ensure_ascii=False, separators=(",", ":"), default=str)
        if _NUMBER.sub(_blank, plain) != _NUMBER.sub(_blank, written):
            return f"{line[:200]} for {written[:200]}"
    return None


def _blank(token: re.Match[str]) -> str:
    return token[0] if token[0].startswith('"') else "0"


class _Number(int):
    """Stands for any number."""

    def __new__(cls, text: str) -> _Number:
        return super().__new__(cls, 0)


def _unescaped(code: str) -> str:
    # Escaped or not, these are the same character; others must be escaped.
    return chr(int(code, 16)) if code in ("003c", "003e", "0026", "2028", "2029") else f"\\u{code}"


def _go(token: str) -> str:
    """A number as Go's encoding/json writes it."""
    if not any(sign in token for sign in ".eE"):
        return token
    value = float(token)
    if value == 0:
        return "-0" if math.copysign(1, value) < 0 else "0"
    if 1e-6 <= abs(value) < 1e21:
        text = format(Decimal(repr(value)), "f")
        return text.removesuffix(".0")
    mantissa, _, exponent = repr(value).partition("e")
    if not exponent:
        mantissa, _, exponent = f"{value:e}".partition("e")
    return f"{mantissa.removesuffix('.0')}e{exponent[0]}{exponent[1:].lstrip('0')}"
