"""The functions of InfluxQL as the planner sees them: which kind each is of and what it takes."""

from __future__ import annotations

from typing import Final

__all__ = [
    "AGGREGATES",
    "ANY_TYPE",
    "AVERAGES",
    "BOOLEAN_TOO",
    "DIFFERENCES",
    "FORECASTS",
    "MATH",
    "SELECTORS",
    "TRANSFORMS",
]

AGGREGATES: Final = frozenset(("count", "sum", "mean", "median", "mode", "stddev", "spread"))
"""One value for a group and bucket, and none of its points."""

SELECTORS: Final = frozenset(("max", "min", "first", "last", "percentile"))
"""One point of a group and bucket."""

DIFFERENCES: Final = frozenset(
    ("derivative", "non_negative_derivative", "difference", "non_negative_difference", "elapsed")
)

AVERAGES: Final[dict[str, tuple[int, tuple[str, ...]]]] = {
    "exponential_moving_average": (4, ("exponential", "simple")),
    "double_exponential_moving_average": (4, ("exponential", "simple")),
    "triple_exponential_moving_average": (4, ("exponential", "simple")),
    "relative_strength_index": (4, ("exponential", "simple")),
    "triple_exponential_derivative": (4, ("exponential", "simple")),
    "kaufmans_efficiency_ratio": (3, ()),
    "kaufmans_adaptive_moving_average": (3, ()),
    "chande_momentum_oscillator": (4, ("none", "exponential", "simple")),
}
"""Those of a period: how many arguments they take at most, and the names of their ways to warm up."""

FORECASTS: Final = frozenset(("holt_winters", "holt_winters_with_fit"))

TRANSFORMS: Final = frozenset(DIFFERENCES | set(AVERAGES) | FORECASTS | {"moving_average", "cumulative_sum"})
"""Rows out of a group's rows; over values of points, or of another call per bucket."""

MATH: Final[dict[str, int]] = {
    **dict.fromkeys(
        (
            "abs",
            "acos",
            "asin",
            "atan",
            "ceil",
            "cos",
            "exp",
            "floor",
            "ln",
            "log2",
            "log10",
            "round",
            "sin",
            "sqrt",
            "tan",
        ),
        1,
    ),
    **dict.fromkeys(("atan2", "log", "pow"), 2),
}
"""Functions of a row, with the number of their arguments."""

ANY_TYPE: Final = frozenset(("count", "first", "last", "distinct", "elapsed", "mode", "sample"))
"""``f(*)`` stands for all fields with these; with the others strings are left out."""

BOOLEAN_TOO: Final = ANY_TYPE | {"min", "max"}
"""``f(*)`` stands for booleans, too, with these."""
