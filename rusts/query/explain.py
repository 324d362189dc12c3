"""EXPLAIN: the steps of a plan as lines of text; and with a run, what each took and what was read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from rusts.model.predicate import And, FieldCompare, FieldRegex, Or, Predicate, TagIn, TagRegex
from rusts.model.store import ScanStats, Store, TimeRange
from rusts.model.time import NANOSECONDS, format_rfc3339
from rusts.query.executor import execute
from rusts.query.expression import references
from rusts.query.foldcache import FoldCache
from rusts.query.limits import Tracker
from rusts.query.optimizer import optimize
from rusts.query.plan import EVER, CalendarWindow, Plan, Slice
from rusts.query.steps import (
    ChooseStep,
    DefaultStep,
    FillStep,
    FilterStep,
    FoldStep,
    JoinStep,
    PointsPart,
    ProjectStep,
    ReduceStep,
    RowsStep,
    SliceStep,
    SourceStep,
    Step,
    TransformStep,
)
from rusts.query.window import Buckets

__all__ = ["analyze", "explain"]


@dataclass(slots=True)
class _Line:
    """A line of the tree, and those below it."""

    text: str
    below: list[_Line] = field(default_factory=list)


def explain(store: Store, plan: Plan) -> list[str]:
    """What would run, as a tree: each step with what it is told, the reads at the leaves. Raises as `execute`."""
    lines = _slice(optimize(plan, store, Tracker()).root, lambda _: "")
    return list(_printed(lines))


def analyze(store: Store, plan: Plan, tracker: Tracker | None = None, folds: FoldCache | None = None) -> list[str]:
    """`explain`, after a run: with the time of each step (and those below it), and the figures of all reads.

    Raises as `execute`.
    """
    tracker = tracker or Tracker()
    physical = optimize(plan, store, tracker)
    planned = tracker.seconds()
    spent: dict[int, float] = {}
    result = execute(store, physical, tracker, folds, spent)
    try:
        for _ in result:
            pass
    finally:
        result.close()
    total = tracker.seconds()

    def time_of(step: object) -> str:
        return f" [{_seconds(spent[id(step)])}]" if id(step) in spent else ""

    lines = list(_printed(_slice(physical.root, time_of)))
    lines.append(f"rows: {tracker.rows}, series: {tracker.series}")
    lines += _figures(result.stats)
    lines.append(f"planning: {_seconds(planned)}, execution: {_seconds(total - planned)}, total: {_seconds(total)}")
    return lines


def _figures(stats: ScanStats) -> Iterator[str]:
    yield f"segments: {stats.segments} read, {stats.segments_pruned} pruned"
    yield f"decoded: {stats.batches_decoded} batches, {stats.bytes_decoded} bytes, {stats.rows_scanned} rows"
    yield f"answered from: {stats.from_statistics} runs' statistics, {stats.from_cache} cached cells"
    yield f"series selected: {stats.series}"
    yield from (f"warning: {text}" for text in stats.warnings)


def _printed(lines: Sequence[_Line], indent: str = "") -> Iterator[str]:
    for number, line in enumerate(lines):
        last = number == len(lines) - 1
        yield f"{indent}{'└── ' if last else '├── '}{line.text}"
        yield from _printed(line.below, indent + ("    " if last else "│   "))


_Times = Callable[[object], str]


def _slice(step: SliceStep, time_of: _Times) -> list[_Line]:
    lines = []
    for name, each in step.steps:
        line = _Line(f"{name}: {_top(step.slice)}{time_of(each)}")
        line.below = (
            [_Line("nothing: the schema says that there are no rows")] if each is None else [_of(each, time_of)]
        )
        lines.append(line)
    return lines


def _top(top: Slice) -> str:
    parts = ["by time descending" if top.descending else "by time"]
    if top.order_by:
        parts = ["by " + ", ".join(f"{label}{' descending' if down else ''}" for label, down in top.order_by)]
    for name in ("limit", "offset", "series_limit", "series_offset"):
        value = getattr(top, name)
        if value:
            parts.append(f"{name.replace('_', ' ')} {value}")
    return ", ".join(parts)


def _of(step: Step, time_of: _Times) -> _Line:
    time = time_of(step)
    match step:
        case FoldStep():
            states = dict.fromkeys(
                f"{s.kind}({s.field})" for call in step.calls if call is not None for s in call.states
            )
            line = _Line(f"fold: {', '.join(states)}{_cells(step)}{time}")
            line.below = [_Line(text) for text in _folds(step)]
        case ReduceStep():
            calls = [f"{call.call.function}({call.call.field.name})" for call in step.calls if call is not None]
            line = _Line(f"aggregate: {', '.join(calls)}{_cells(step)}{time}", _source(step.source, time_of))
        case ChooseStep():
            line = _Line(f"choose: {step.selection.name}({step.field.name}){_cells(step)}{time}")
            line.below = _source(step.source, time_of)
        case RowsStep():
            text = f"scan: {', '.join(step.fields)}{_grouped(step.group_by)}{time}"
            line = _Line(text, _source(step.source, time_of))
        case JoinStep(inputs=inputs):
            line = _Line(f"join{time}", [_of(each, time_of) for each in inputs])
        case FillStep():
            line = _Line(f"fill: {step.fill.mode} {_range(step.range)}{time}", [_of(step.input, time_of)])
        case DefaultStep():
            line = _Line(f"default: {step.default.mode}{time}", [_of(step.input, time_of)])
        case TransformStep():
            calls = [call.function for call, _, _ in step.calls]
            line = _Line(f"transform: {', '.join(calls)}{time}", [_of(step.input, time_of)])
        case ProjectStep():
            line = _Line(f"project: {', '.join(o.label for o in step.outputs)}{time}", [_of(step.input, time_of)])
        case FilterStep(condition=condition):
            names = dict.fromkeys(ref.name for ref in references(condition))
            line = _Line(f"filter: by {', '.join(names)}{time}", [_of(step.input, time_of)])
    return line


def _cells(step: FoldStep | ReduceStep | ChooseStep) -> str:
    text = _grouped(step.group_by)
    return text if step.buckets is None else f"{text} per {_window(step.buckets)}"


def _grouped(keys: Sequence[str]) -> str:
    return f" by {', '.join(keys)}" if keys else ""


def _window(buckets: Buckets) -> str:
    window = buckets.window
    length = f"{window.months} months" if isinstance(window, CalendarWindow) else _duration(window.interval)
    return length if not window.offset else f"{length} and {_duration(window.offset)}"


def _duration(ns: int) -> str:
    unit = next(unit for unit in ("w", "d", "h", "m", "s", "ms", "us", "ns") if ns % NANOSECONDS[unit] == 0)
    return f"{ns // NANOSECONDS[unit]}{unit}"


def _folds(step: FoldStep) -> Iterator[str]:
    for request, begin in step.requests:
        where = _where(request.predicate)
        kind = "" if begin is None else " (one bucket)"
        yield f"{request.database}.{request.policy or ''}.{request.measurement} {_range(request.range)}{where}{kind}"


def _source(source: SourceStep, time_of: _Times) -> list[_Line]:
    lines = []
    for part in source.parts:
        beside = "" if part.condition is None else " and a condition row by row"
        if isinstance(part, PointsPart):
            points = part.points
            name = f"{points.database}.{points.policy or ''}.{points.measurement}"
            lines.append(_Line(f"{name} {_range(points.range)}{_where(points.predicate)}{beside}"))
        else:
            lines.append(_Line(f"subquery{beside}", _slice(part.query, time_of)))
    return lines


def _range(range: TimeRange) -> str:
    start = "" if range.start <= EVER.start else format_rfc3339(range.start)
    end = "" if range.end >= EVER.end else format_rfc3339(range.end)
    return f"[{start}, {end})" if start or end else "[all time]"


def _where(predicate: Predicate | None) -> str:
    return "" if predicate is None else f" where {_text(predicate)}"


def _text(predicate: Predicate) -> str:
    match predicate:
        case TagIn(key=key, values=values, negated=negated):
            # A query may name very many values.
            shown = ", ".join(f"'{value}'" for value in values[:5]) + (", ..." if len(values) > 5 else "")
            return f"{key} {'not ' if negated else ''}in ({shown})"
        case (
            TagRegex(key=name, pattern=pattern, negated=negated)
            | FieldRegex(field=name, pattern=pattern, negated=negated)
        ):
            return f"{name} {'!~' if negated else '=~'} /{pattern}/"
        case FieldCompare(field=name, op=op, value=value):
            return f"{name} {op} {value!r}"
        case And(parts=parts):
            return "(" + " and ".join(map(_text, parts)) + ")"
        case Or(parts=parts):
            return "(" + " or ".join(map(_text, parts)) + ")"


def _seconds(seconds: float) -> str:
    return f"{seconds * 1e3:.3f} ms"
