"""Runs plans: asks the store for states or rows and makes tables of them.

The first table is made as `execute` returns or soon after; raw rows are read as the result is iterated. Inside a plan
rows are in ascending order of time, whatever the slice on top asks for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from rusts.model.batch import Column
from rusts.model.store import ScanStats, Store
from rusts.model.types import FieldType
from rusts.query.aggregate import chosen, folded, reduced
from rusts.query.fill import defaulted, fill
from rusts.query.foldcache import FoldCache
from rusts.query.grouping import ordered, slice_groups, slice_rows
from rusts.query.limits import Tracker
from rusts.query.optimizer import optimize
from rusts.query.plan import Plan, Slice
from rusts.query.rows import all_rows, stream_rows
from rusts.query.sources import Context
from rusts.query.steps import (
    ChooseStep,
    DefaultStep,
    FillStep,
    FilterStep,
    FoldStep,
    JoinStep,
    Physical,
    PointsPart,
    ProjectStep,
    ReduceStep,
    RowsStep,
    SliceStep,
    Step,
    TransformStep,
    UnaryStep,
)
from rusts.query.table import Table
from rusts.query.tables import filtered, joined, projected, transformed

__all__ = ["Result", "execute"]


@dataclass
class Result:
    """An answer. Iterate it once; its `stats` and `warnings` are complete at the end. Then `close` it.

    `columns` and `types` are those of each table's columns, in order (where measurements differ in the type of a
    column, a table's own column says which it is); `group_by` names each table's tags.
    """

    measurement: str
    group_by: tuple[str, ...]
    columns: tuple[str, ...]
    types: tuple[FieldType, ...]
    stats: ScanStats
    tracker: Tracker
    _tables: Iterator[Table]

    def __iter__(self) -> Iterator[Table]:
        for table in self._tables:
            self.tracker.check()
            if len(table):
                self.tracker.add_rows(len(table))
                self.tracker.add_series(table.groups - table.continued)
                yield table

    @property
    def warnings(self) -> list[str]:
        """Why the answer may be incomplete; empty as a rule."""
        return self.stats.warnings

    def close(self) -> None:
        """Give back the memory that the query held. Idempotent."""
        self.tracker.close()


def execute(
    store: Store,
    plan: Plan | Physical,
    tracker: Tracker | None = None,
    folds: FoldCache | None = None,
    spent: dict[int, float] | None = None,
) -> Result:
    """Start `plan` on `store`. Blocks: call it, and iterate the result, on a thread that may.

    `tracker` watches the query and can cancel it from another thread; None = no limits. `folds` keeps what it folds
    for later queries. `spent` receives the seconds that each step takes, by its ``id``. Raises
    DatabaseNotFound, PolicyNotFound, InvalidRequest (a function that is not defined for its field's type),
    LimitExceeded, Timeout, QueryCancelled, MemoryExceeded; so may each step of the iteration.
    """
    tracker = tracker or Tracker()
    try:
        physical = optimize(plan, store, tracker) if isinstance(plan, Plan) else plan
        context = Context(store, tracker, run, folds, spent, physical.root.slice.groups_descending)
        stats = ScanStats()
        tables = _begun(run(physical.root, context), context, stats)
    except BaseException:
        tracker.close()
        raise
    root = physical.root
    return Result(
        physical.measurement,
        root.group_by,
        tuple(output.label for output in root.outputs),
        tuple(output.type for output in root.outputs),
        stats,
        tracker,
        tables,
    )


def _begun(tables: Iterator[Table], context: Context, stats: ScanStats) -> Iterator[Table]:
    """The same tables, the first of them made: what can go wrong goes wrong before an answer begins.

    `stats` holds what was touched up to the last table that was taken.
    """
    first = next(tables, None)
    context.total(stats)

    def all_of_them() -> Iterator[Table]:
        if first is not None:
            yield first
            for table in tables:
                context.total(stats)
                yield table
            context.total(stats)

    return all_of_them()


def run(step: SliceStep, context: Context) -> Iterator[Table]:
    """The tables of a slice, measurement after measurement."""
    for _, each in step.steps:
        if each is None:
            continue
        above: list[ProjectStep] = []
        below = each
        while isinstance(below, ProjectStep) and not step.slice.order_by:
            above.append(below)
            below = below.input
        if isinstance(below, RowsStep) and not step.slice.order_by and _streams(below):
            began = context.tracker.seconds()
            for table in stream_rows(below, step.slice, context):
                for project in reversed(above):
                    table = projected(table, project, context.tracker)
                yield table
            _note(context, below, began)
            continue
        made = _table(each, context, step.slice)
        if made is not None:
            yield _sliced(made, step, each)


def _streams(step: RowsStep) -> bool:
    return len(step.source.parts) == 1 and isinstance(step.source.parts[0], PointsPart)


def _sliced(table: Table, step: SliceStep, made_by: Step) -> Table:
    top = step.slice
    table = slice_groups(table, top, step.group_by)
    if top.order_by:
        # Backwards first, so that rows that compare equal stay in the asked order of time.
        if top.descending:
            table = slice_rows(table, Slice(top.input, descending=True))
        labels = {output.label: number for number, output in enumerate(made_by.outputs)}
        columns = [*table.columns, Column(FieldType.INTEGER, table.times)]
        labels.setdefault("time", len(table.columns))
        table = ordered(table, [(columns[labels[label]], down) for label, down in top.order_by])
        top = replace(top, descending=False)
    return slice_rows(table, top)


def _table(step: Step, context: Context, top: Slice) -> Table | None:
    """All rows of a step; None if there are none. `top` is the slice above it."""
    context.tracker.check()
    began = context.tracker.seconds()
    table = _made(step, context, top)
    _note(context, step, began)
    return table


def _note(context: Context, step: Step, began: float) -> None:
    if context.spent is not None:
        context.spent[id(step)] = context.spent.get(id(step), 0.0) + context.tracker.seconds() - began


def _made(step: Step, context: Context, top: Slice) -> Table | None:
    match step:
        case RowsStep():
            return all_rows(step, context, descending=top.descending)
        case FoldStep():
            return folded(step, context)
        case ReduceStep():
            return reduced(step, context, descending=top.descending and context.backwards)
        case ChooseStep():
            return chosen(step, context, descending=top.descending and context.backwards)
        case JoinStep(inputs=inputs):
            tables = [_table(each, context, top) for each in inputs]
            return joined(tables, [each.outputs for each in inputs], context.tracker)
        case FillStep() | DefaultStep() | TransformStep() | ProjectStep() | FilterStep():
            table = _table(step.input, context, top)
            return None if table is None or not len(table) else _above(step, table, context, top)


def _above(step: UnaryStep, table: Table, context: Context, top: Slice) -> Table | None:
    match step:
        case FillStep():
            return fill(table, step.buckets, step.range, step.fill, step.counts, context.tracker)
        case DefaultStep(default=default):
            return defaulted(table, default)
        case TransformStep():
            return transformed(table, step, context.tracker, descending=top.descending)
        case ProjectStep():
            return projected(table, step, context.tracker)
        case FilterStep():
            return filtered(table, step)
