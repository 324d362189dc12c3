"""SELECT ... INTO: the rows of an answer as points."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from rusts import errors
from rusts.influxql import ast
from rusts.influxql.context import Context
from rusts.influxql.results import Frame, frame_of
from rusts.model.batch import Batch, Column, FieldKey
from rusts.model.series import KeyTable, encode_key
from rusts.model.store import Commit
from rusts.query import Result, Table

__all__ = ["write_into"]


def write_into(context: Context, result: Result, target: ast.Target) -> Iterator[Frame]:
    """Write what `result` gives, table by table, and tell how many points that were.

    Its group's tags are a point's tags, its columns that have a value its fields. Raises what `Store.write` raises,
    and InvalidRequest where points are dropped.
    """
    database = context.existing(target.database)
    policy = context.policy_of(database, target.policy).name
    written = 0
    commits: list[Commit] = []
    refused = 0
    reason = ""
    for table in result:
        batch = _batch(target.name or table.measurement, table, result)
        if batch is None:
            continue
        outcome = context.store.write(database, policy, [batch])
        written += outcome.accepted
        if outcome.rejects and not reason:
            reason = outcome.rejects[0].message
        refused += sum(reject.dropped for reject in outcome.rejects)
        commits = [commit for commit in (*commits, outcome.commit) if not commit.done()]
        context.tracker.check()
    for commit in commits:
        commit.wait()
    if reason:
        raise errors.InvalidRequest(f"partial write: {reason} dropped={refused}")
    yield frame_of("result", ["time", "written"], [[written]], times=[0])


def _batch(measurement: str, table: Table, result: Result) -> Batch | None:
    """The rows that have a value, as points; None if there are none."""
    some = np.zeros(len(table), dtype=np.bool_)
    for column in table.columns:
        some |= column.valid()
    rows = np.flatnonzero(some)
    if not len(rows):
        return None
    of_row = np.repeat(np.arange(table.groups, dtype=np.int64), np.diff(table.starts))[rows]
    used, series = np.unique(of_row, return_inverse=True)
    keys = _keys(measurement, table, result.group_by, used.tolist())
    columns: dict[FieldKey, Column] = {}
    for name, column in zip(result.columns, table.columns, strict=True):
        column = column if len(rows) == len(table) else column.take(rows)
        if column.validity is None or column.validity.any():
            columns[name, column.type] = column
    times: npt.NDArray[np.int64] = table.times[rows]
    return Batch(measurement, keys, series.astype(np.uint32), times, columns, np.arange(len(rows), dtype=np.int64))


def _keys(measurement: str, table: Table, group_by: Sequence[str], groups: Sequence[int]) -> KeyTable:
    return KeyTable.of(
        [
            encode_key(
                measurement,
                {key: tag.values[tag.codes[group]] for key, tag in zip(group_by, table.tags, strict=True)},
            )
            for group in groups
        ]
    )
