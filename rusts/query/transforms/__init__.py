"""Transformations: functions that make rows of a group's rows (derivative, moving averages, integral, forecasts)."""

from __future__ import annotations

from typing import Final

from rusts.query.transforms.averages import AVERAGES
from rusts.query.transforms.base import TransformFunction
from rusts.query.transforms.differences import DIFFERENCES
from rusts.query.transforms.holt_winters import FORECASTS
from rusts.query.transforms.integral import INTEGRAL

__all__ = ["TRANSFORMS"]

TRANSFORMS: Final[dict[str, TransformFunction]] = {
    function.name: function for function in (*DIFFERENCES, *AVERAGES, INTEGRAL, *FORECASTS)
}
"""Every transformation by its name, in lower case."""
