"""Queries: a plan in, tables out, over whatever Store is handed in.

`execute` is the whole of it for a front: it resolves the plan against the schema, starts it, and returns a
`Result` whose tables are made as they are asked for. `explain` and `analyze` tell what it does.
"""

from __future__ import annotations

from rusts.query.executor import Result, execute
from rusts.query.explain import analyze, explain
from rusts.query.foldcache import FoldCache
from rusts.query.limits import Limits, MemoryPool, Tracker
from rusts.query.plan import Plan
from rusts.query.table import Table

__all__ = [
    "FoldCache",
    "Limits",
    "MemoryPool",
    "Plan",
    "Result",
    "Table",
    "Tracker",
    "analyze",
    "execute",
    "explain",
]
