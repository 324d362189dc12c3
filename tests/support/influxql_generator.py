"""Random valid SELECTs over the data sets of the InfluxQL corpus.

`generate(seed, count)` gives the same texts for the same arguments under every Python. Every statement is bounded in
time where it groups by time, so no answer depends on when it is asked, and none uses `sample`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tests.support.influxql_data import DAY, HOUR, SECOND, T0

__all__ = ["generate"]


@dataclass(frozen=True, slots=True)
class _Table:
    """What a statement may ask of one measurement. `steps` are intervals that suit its points."""

    name: str
    numbers: tuple[str, ...]
    tags: dict[str, tuple[str, ...]]
    start: int
    end: int
    steps: tuple[str, ...]
    strings: tuple[str, ...] = ()
    booleans: tuple[str, ...] = ()
    bounds: tuple[float, float] = (0, 100)

    @property
    def fields(self) -> tuple[str, ...]:
        return self.numbers + self.strings + self.booleans


_FEW: Final = ("10s", "30s", "45s", "1m", "100s", "2m")
_TABLES: Final = (
    _Table(
        "cpu",
        ("usage", "idle", "n"),
        {"host": ("a", "b", "c", "nope"), "region": ("west", "east")},
        T0,
        T0 + 300 * SECOND,
        _FEW,
        ("note",),
        ("up",),
    ),
    _Table("sparse", ("a", "b", "c", "d"), {"k": ("p", "q"), "extra": ("e1", "")}, T0, T0 + 900 * SECOND, _FEW),
    _Table(
        "tagged",
        ("v", "w"),
        {"a": ("a0", "a1"), "b": ("b0", "b1", "b2"), "c": ("c0", "c3"), "f": ("rare", ""), "g": ("v 7", "")},
        T0,
        T0 + 20 * SECOND,
        ("1s", "2s", "3s", "7s"),
        bounds=(0, 50),
    ),
    _Table(
        "daily",
        ("v", "k"),
        {"city": ("x", "y")},
        T0 + 31 * DAY,
        T0 + 121 * DAY,
        ("6h", "1d", "3d", "1w"),
        bounds=(0, 360),
    ),
    _Table("wave", ("v", "i"), {"t": ("x", "y")}, T0, T0 + HOUR, ("1m", "2m", "3m", "5m"), bounds=(10, 200)),
    _Table("counter", ("c", "f"), {"t": ("x",)}, T0, T0 + 240 * SECOND, ("5s", "10s", "30s", "1m"), bounds=(0, 150)),
    _Table(
        "iot",
        ("velocity", "fuel", "load"),
        {'"name"': ("truck_0", "truck_3"), "fleet": ("North", "South"), "driver": ("d1", "")},
        T0,
        T0 + 4 * HOUR,
        ("5m", "10m", "30m", "1h"),
    ),
    _Table("rewrites", ("v", "w"), {"t": ("x", "y")}, T0 - 5 * SECOND, T0 + 10 * SECOND, ("1s", "3s", "4s"), ("s",)),
)

_AGGREGATES: Final = ("count", "mean", "median", "mode", "spread", "stddev", "sum", "integral")
_SELECTORS: Final = ("first", "last", "max", "min", "percentile")
_MATHS: Final = ("abs", "ceil", "floor", "round", "sqrt", "sin", "cos", "tan", "atan", "asin", "acos")
_LOGARITHMS: Final = ("ln", "log2", "log10")
_AVERAGES: Final = (
    "exponential_moving_average",
    "double_exponential_moving_average",
    "triple_exponential_moving_average",
    "triple_exponential_derivative",
    "relative_strength_index",
    "chande_momentum_oscillator",
    "kaufmans_efficiency_ratio",
    "kaufmans_adaptive_moving_average",
)
_TRANSFORMS: Final = (
    "derivative",
    "non_negative_derivative",
    "difference",
    "non_negative_difference",
    "elapsed",
    "cumulative_sum",
    "moving_average",
    *_AVERAGES,
)
_ZONES: Final = ("Europe/Berlin", "America/New_York", "Asia/Kolkata", "UTC")


def generate(seed: int, count: int) -> list[str]:
    """`count` statements, all of them different."""
    writer = _Writer(random.Random(seed))
    found: dict[str, None] = {}
    while len(found) < count:
        found[writer.statement()] = None
    return list(found)


class _Writer:
    """Writes one statement at a time."""

    def __init__(self, draw: random.Random) -> None:
        self._draw = draw

    def statement(self) -> str:
        """A whole SELECT."""
        table = self._draw.choice(_TABLES)
        shapes = (
            self._raw,
            self._aggregate,
            self._aggregate,
            self._selector,
            self._transform,
            self._several,
            self._over,
        )
        shape = self._draw.choice(shapes)
        text = shape(table)
        return text.replace("integral(", "sum(") if shape in (self._several, self._over) else text

    def _chance(self, probability: float) -> bool:
        return self._draw.random() < probability

    def _some(self, names: Sequence[str], most: int) -> list[str]:
        return self._draw.sample(list(names), self._draw.randint(1, min(most, len(names))))

    # Shapes of statements.

    def _raw(self, table: _Table) -> str:
        choice = self._draw.randrange(6)
        if choice == 0:
            columns = "*"
        elif choice == 1:
            columns = self._draw.choice(("*::field", f"/{table.numbers[0]}|{table.numbers[-1]}/", "*::field, *::tag"))
        elif choice == 2:
            columns = ", ".join(self._expression(table.numbers, 2) for _ in range(self._draw.randint(1, 2)))
        elif choice == 3:
            columns = ", ".join([self._draw.choice(table.fields), *self._some(list(table.tags), 2)])
        elif choice == 4:
            second = f"{self._draw.choice(table.numbers)} - {self._expression(table.numbers, 1)}"
            columns = f"{self._draw.choice(table.fields)} AS x, {second} AS y"
        else:
            columns = ", ".join(self._some(table.fields, 3))
        return self._finish(f"SELECT {columns} FROM {table.name}", table, self._range(table, 0.4), None)

    def _aggregate(self, table: _Table) -> str:
        calls = [self._call(table) for _ in range(self._draw.choice((1, 1, 2, 3)))]
        if self._chance(0.3):
            calls = [f"{self._call(table, True)} {self._draw.choice('+-*/')} {self._operand(table)}"]
        if self._chance(0.15):
            calls = [f"{self._draw.choice(('round', 'floor', 'abs', 'sqrt'))}({self._call(table, True)})"]
        step = self._draw.choice(table.steps) if self._chance(0.6) else None
        head = f"SELECT {', '.join(calls)} FROM {table.name}"
        return self._finish(head, table, self._range(table, 1 if step else 0.5), step)

    def _selector(self, table: _Table) -> str:
        choice = self._draw.randrange(4)
        field = self._draw.choice(table.numbers)
        others = [n for n in (*table.fields, *table.tags) if n != field]
        if choice == 0:
            call = self._choosing(table, field)
        elif choice == 1:
            call = self._draw.choice(
                (f"distinct({field})", f"count(distinct({field}))", f"DISTINCT {field}", f"mode({field})")
            )
            others = []
        else:
            call = self._select_one(field)
        companions = self._some(others, 2) if others and self._chance(0.6) else []
        step = self._draw.choice(table.steps) if self._chance(0.4) else None
        head = f"SELECT {', '.join([call, *companions])} FROM {table.name}"
        return self._finish(head, table, self._range(table, 1 if step else 0.5), step)

    def _transform(self, table: _Table) -> str:
        over = self._chance(0.6)
        inner = self._call(table, True) if over else self._draw.choice(table.numbers)
        calls = [self._transformed(inner)]
        if over and self._chance(0.05):
            fit = self._draw.choice(("", "_with_fit"))
            calls = [f"holt_winters{fit}({inner}, {self._draw.randint(1, 5)}, {self._draw.choice((0, 0, 2, 4))})"]
        if self._chance(0.2):
            calls.append(self._transformed(self._call(table, True) if over else self._draw.choice(table.numbers)))
        elif self._chance(0.2):
            calls = [f"{calls[0]} {self._draw.choice('+-*')} {self._number(table)}"]
        step = self._draw.choice(table.steps) if over else None
        head = f"SELECT {', '.join(calls)} FROM {table.name}"
        return self._finish(head, table, self._range(table, 1 if over else 0.5), step)

    def _several(self, table: _Table) -> str:
        names = self._draw.choice(
            ("mix_int, mix_float", "/^mix_(int|float)$/", "mix_float, mix_int, mix_bool", "/mix/")
        )
        mixed = _Table("mix", ("w",), {"t": ("t0", "t1")}, T0, T0 + 6 * SECOND, ("1s", "2s", "4s"), bounds=(0, 6))
        calls = self._draw.choice(("w", "*", "w, t", self._call(mixed), f"{self._call(mixed)}, {self._call(mixed)}"))
        step = self._draw.choice(mixed.steps) if "(" in calls and self._chance(0.5) else None
        return self._finish(f"SELECT {calls} FROM {names}", mixed, self._range(mixed, 1 if step else 0.4), step)

    def _over(self, table: _Table) -> str:
        """A statement over a subquery."""
        field = self._draw.choice(table.numbers)
        span = self._range(table, 1)
        tags = self._some(list(table.tags), 2)
        by = ", ".join(tags)
        choice = self._draw.randrange(4)
        if choice == 0:
            inner = f"SELECT {self._call(table, True)} AS x FROM {table.name} WHERE {span}"
            inner += f" GROUP BY time({self._draw.choice(table.steps)}), {by}{self._fill(0.4)}"
        elif choice == 1:
            inner = f"SELECT {field} AS x, {self._draw.choice(table.numbers)} AS y FROM {table.name}"
            inner += self._where(table, "")
        elif choice == 2:
            inner = f"SELECT {self._expression(table.numbers, 2)} AS x FROM {table.name}"
            inner += f"{self._where(table, span)} GROUP BY {by}"
        else:
            inner = f"SELECT {self._call(table, True)} AS x FROM {table.name} GROUP BY {by}"
        if self._chance(0.2):
            inner = f"SELECT x {self._draw.choice('+*')} 2 AS x FROM ({inner}) GROUP BY {by}"
        outer = _Table(
            "",
            ("x",),
            {name: table.tags[name] for name in tags},
            table.start,
            table.end,
            table.steps,
            bounds=table.bounds,
        )
        step = None
        kind = self._draw.randrange(5)
        if kind == 0:
            columns = self._draw.choice(("x", "*", "x * 2", f"x, {tags[0]}"))
        elif kind == 1:
            columns = self._choosing(outer, "x")
        elif kind == 2:
            columns = self._transformed("x")
        else:
            columns = self._call(outer, True)
            step = self._draw.choice(table.steps) if self._chance(0.4) else None
        return self._finish(f"SELECT {columns} FROM ({inner})", outer, span if step else self._range(table, 0.3), step)

    # Parts of statements.

    def _number(self, table: _Table) -> str:
        low, high = table.bounds
        if self._chance(0.5):
            return str(self._draw.randint(int(low), int(high)))
        return repr(round(self._draw.uniform(low, high), 2))

    def _expression(self, names: Sequence[str], depth: int) -> str:
        if depth == 0 or self._chance(0.2):
            return self._draw.choice((*names, *names, "2", "0.5", "7")) if depth < 2 else self._draw.choice(names)
        choice = self._draw.randrange(5)
        if choice == 0:
            name = self._draw.choice(_MATHS)
            inner = self._draw.choice(names)
            # What these make is never infinite, which JSON cannot say.
            tame = (f"exp({inner} / 50)", f"pow({inner}, 2)", f"atan2({inner}, 2)", f"log(abs({inner}) + 1, 3)")
            tame += (f"{self._draw.choice(_LOGARITHMS)}(abs({inner}) + 1)",)
            return self._draw.choice(tame) if self._chance(0.35) else f"{name}({inner})"
        if choice == 1:
            return f"({self._expression(names, depth - 1)} {self._draw.choice('+-*/')} {self._draw.choice(names)})"
        return f"{self._draw.choice(names)} {self._draw.choice('+-*/')} {self._expression(names, depth - 1)}"

    def _select_one(self, field: str) -> str:
        name = self._draw.choice(_SELECTORS)
        return (
            f"percentile({field}, {self._draw.choice((1, 25, 50, 90, 99.9))})"
            if name == "percentile"
            else f"{name}({field})"
        )

    def _choosing(self, table: _Table, field: str) -> str:
        name, count = self._draw.choice(("top", "bottom")), self._draw.randint(1, 4)
        tags = f", {', '.join(self._some(list(table.tags), 2))}" if self._chance(0.4) else ""
        return f"{name}({field}{tags}, {count})"

    def _call(self, table: _Table, one: bool = False) -> str:
        """An aggregate or a selector; with `one`, of a single numeric field."""
        if not one and self._chance(0.15):
            field = self._draw.choice(("*", f"/{table.numbers[0]}/"))
            return f"{self._draw.choice(('count', 'first', 'last'))}({field})"
        if not one and self._chance(0.15):
            return f"{self._draw.choice(('count', 'first', 'last'))}({self._draw.choice(table.fields)})"
        field = self._draw.choice(table.numbers)
        return self._select_one(field) if self._chance(0.4) else f"{self._draw.choice(_AGGREGATES)}({field})"

    def _operand(self, table: _Table) -> str:
        return self._call(table, True) if self._chance(0.5) else self._number(table)

    def _transformed(self, inner: str) -> str:
        name = self._draw.choice(_TRANSFORMS)
        if name in _AVERAGES:
            return f"{name}({inner}, {self._draw.randint(2, 6)})"
        if name == "moving_average":
            return f"{name}({inner}, {self._draw.randint(2, 4)})"
        unit = self._draw.choice(("", ", 1s", ", 1m", ", 10ms"))
        return f"{name}({inner}{unit})" if name.endswith("derivative") or name == "elapsed" else f"{name}({inner})"

    def _range(self, table: _Table, probability: float) -> str:
        """A range of time within the table's or around it; nothing with the complement of `probability`."""
        if not self._chance(probability):
            return ""
        width = table.end - table.start
        start = table.start + self._draw.choice((0, 0, width // 3, -width // 4, width // 7 + 1))
        end = start + self._draw.choice((width, width, width // 2, width + width // 5, 1 + width // 3))
        return f"time {self._draw.choice(('>=', '>=', '>'))} {start} AND time {self._draw.choice(('<', '<='))} {end}"

    def _condition(self, table: _Table, depth: int) -> str:
        if depth and self._chance(0.5):
            left, right = self._condition(table, depth - 1), self._condition(table, depth - 1)
            return f"({left} {self._draw.choice(('AND', 'OR'))} {right})"
        choice = self._draw.randrange(8)
        if choice < 3:
            tag = self._draw.choice(sorted(table.tags))
            value = self._draw.choice(table.tags[tag])
            operator = self._draw.choice(("=", "=", "!=", "=~", "!~"))
            return f"{tag} {operator} /^{value}/" if "~" in operator else f"{tag} {operator} '{value}'"
        field = self._draw.choice(table.numbers)
        operator = self._draw.choice(("=", "!=", *("<", "<=", ">", ">=") * 3))
        if choice == 3:
            return f"{field} {operator} {self._draw.choice(table.numbers)}"
        if choice == 4:
            left = f"{field} {self._draw.choice('+-*')} {self._draw.choice(table.numbers)}"
            return f"{left} {operator} {self._number(table)}"
        if choice == 5 and table.strings:
            return f"{table.strings[0]} {self._draw.choice(('=', '!='))} '{self._draw.choice(('start', '', 'late'))}'"
        if choice == 6 and table.booleans:
            return f"{table.booleans[0]} = {self._draw.choice(('true', 'false'))}"
        return f"{field} {operator} {self._number(table)}"

    def _where(self, table: _Table, span: str) -> str:
        parts = [span] if span else []
        if self._chance(0.5):
            parts.append(self._condition(table, 2))
        self._draw.shuffle(parts)
        return f" WHERE {' AND '.join(parts)}" if parts else ""

    def _fill(self, probability: float) -> str:
        modes = ("null", "none", "previous", "linear", "0", "-3.5")
        return f" fill({self._draw.choice(modes)})" if self._chance(probability) else ""

    def _finish(self, head: str, table: _Table, span: str, step: str | None) -> str:
        """`head` with WHERE, GROUP BY and what follows."""
        text = head + self._where(table, span)
        groups = []
        if step is not None:
            offset = f", {self._draw.choice(('1s', '-1s', '7s', '1h'))}" if self._chance(0.2) else ""
            groups.append(f"time({step}{offset})")
        # influxd answers the series of an integral in any order.
        choice = 5 if "integral" in head else self._draw.randrange(6)
        if choice == 0:
            groups.append("*")
        elif choice == 1:
            groups.append(f"/^{sorted(table.tags)[0]}/")
        elif choice < 4:
            groups += self._some(list(table.tags), 2)
        if groups:
            self._draw.shuffle(groups)
            text += f" GROUP BY {', '.join(groups)}"
        if step is not None:
            text += self._fill(0.6)
        if self._chance(0.25):
            text += f" ORDER BY time {self._draw.choice(('ASC', 'DESC', 'DESC'))}"
        # An offset without its limit is a kind of difference of its own.
        for limit, offset, probability, most in (("LIMIT", "OFFSET", 0.3, 6), ("SLIMIT", "SOFFSET", 0.12, 2)):
            if self._chance(probability):
                text += f" {limit} {self._draw.randint(1, most)}"
                text += f" {offset} {self._draw.randint(1, 2)}" if self._chance(0.4) else ""
        if step is not None and self._chance(0.15):
            text += f" tz('{self._draw.choice(_ZONES)}')"
        return text
