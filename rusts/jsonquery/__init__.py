"""The JSON query API: a request's body becomes a plan."""

from __future__ import annotations

from rusts.jsonquery.request import parse

__all__ = ["parse"]
