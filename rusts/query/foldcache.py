"""Folds that are kept: what a dashboard asks again and again is not computed again.

A fold's cells stay as long as no write or delete touches their times (`rusts.model.changes`). A fold over a
range that has moved on takes the buckets that lie whole in both ranges, and folds what is left at either end.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from rusts.model.changes import Changes
from rusts.model.partial import Partial, State
from rusts.model.predicate import Predicate
from rusts.model.series import TagColumn
from rusts.model.store import FoldRequest, FoldResult, ScanStats, Store, TimeRange, Window
from rusts.query.window import begin_of

__all__ = ["FoldCache"]

_WORTH_ROWS: Final = 4
"""A fold is kept whole or in part if it read so many rows a cell, or was answered without reading."""

_ENTRY_BYTES: Final = 1 << 10

_Key = tuple[str, str | None, str, Predicate | None, tuple[str, ...], Window | None, tuple[State, ...]]


@dataclass(frozen=True, slots=True)
class _Entry:
    """A fold over `range`, as of `version` of `changes`."""

    changes: Changes
    version: int
    range: TimeRange
    result: FoldResult
    nbytes: int

    def unchanged(self) -> int | None:
        """The time from which on points may have changed; None = nothing has."""
        return self.changes.since(self.version)


class FoldCache:
    """At most `limit` bytes of folds, the latest used ones. Thread-safe; what it gives must not be changed."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.nbytes = 0
        self.hits = self.misses = 0
        self._lock = threading.Lock()
        self._entries: OrderedDict[_Key, _Entry] = OrderedDict()

    def fold(self, store: Store, request: FoldRequest) -> FoldResult:
        """As ``store.fold(request)``; its stats say in `from_cache` how many cells were kept. Raises as that does."""
        changes = store.changes(request.database, request.policy, request.measurement)
        if changes is None or request.group_by is None:
            return store.fold(request)
        key = (
            request.database,
            request.policy,
            request.measurement,
            request.predicate,
            request.group_by,
            request.window,
            request.states,
        )
        # Before the points are read: what is written meanwhile then counts as a change.
        version = changes.version
        entry = self._take(key)
        if entry is not None and entry.changes is changes:
            low = entry.unchanged()
            if entry.range == request.range and (low is None or low >= request.range.end):
                self.hits += 1
                kept = entry.result
                return replace(kept, stats=ScanStats(series=kept.stats.series, from_cache=len(kept.group)))
            if request.window is not None:
                result = _extended(store, request, request.window, entry, low)
                if result is not None:
                    self.hits += 1
                    self._keep(key, changes, version, request, result)
                    return result
        self.misses += 1
        result = store.fold(request)
        if result.stats.rows_scanned >= _WORTH_ROWS * len(result.group):
            self._keep(key, changes, version, request, result)
        return result

    def clear(self) -> None:
        """Forget everything: memory is short."""
        with self._lock:
            self._entries.clear()
            self.nbytes = 0

    def _take(self, key: _Key) -> _Entry | None:
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None:
                self._entries.move_to_end(key)
            return entry

    def _keep(self, key: _Key, changes: Changes, version: int, request: FoldRequest, result: FoldResult) -> None:
        if result.stats.warnings:
            return  # it may be incomplete
        entry = _Entry(changes, version, request.range, result, _size(result))
        if entry.nbytes > self.limit // 4:
            return
        with self._lock:
            before = self._entries.pop(key, None)
            if before is not None:
                self.nbytes -= before.nbytes
            self._entries[key] = entry
            self.nbytes += entry.nbytes
            while self.nbytes > self.limit:
                _, oldest = self._entries.popitem(last=False)
                self.nbytes -= oldest.nbytes


def _size(result: FoldResult) -> int:
    arrays: list[Any] = [result.group, result.bucket, *(tag.codes for tag in result.tags)]
    for partial in result.states.values():
        arrays += [partial.count, partial.value, partial.time, partial.m2]
    return _ENTRY_BYTES + sum(int(array.nbytes) for array in arrays if array is not None)


def _extended(
    store: Store, request: FoldRequest, window: Window, entry: _Entry, changed: int | None
) -> FoldResult | None:
    """The asked fold from an entry's whole buckets and folds of what it lacks; None if that is not worth it."""
    wanted, kept = request.range, entry.range
    begin = max(_next_begin(wanted.start, window), _next_begin(kept.start, window))
    end = min(wanted.end, kept.end) if changed is None else min(wanted.end, kept.end, changed)
    end = begin_of(end, window)
    if end - begin < (wanted.end - wanted.start) // 2:
        return None
    parts: list[FoldResult] = []
    for start, stop in ((wanted.start, begin), (end, wanted.end)):
        if start < stop:
            parts.append(store.fold(replace(request, range=TimeRange(start, stop))))
    old = entry.result
    if any(not _same_groups(part, old) for part in parts):
        return None
    inside = np.flatnonzero((old.bucket >= begin) & (old.bucket < end))
    middle = FoldResult(
        old.groups,
        old.tags,
        None,
        old.group[inside],
        old.bucket[inside],
        {state: _taken(partial, inside) for state, partial in old.states.items()},
        old.field_types,
        ScanStats(series=old.stats.series, from_cache=len(inside)),
    )
    return _joined([middle, *parts])


def _next_begin(time: int, window: Window) -> int:
    """The begin of the first bucket that does not begin before `time`."""
    begin = begin_of(time, window)
    return begin if begin == time else begin + window.interval


def _same_groups(one: FoldResult, other: FoldResult) -> bool:
    return (
        one.groups == other.groups
        and one.field_types == other.field_types
        and all(map(_same_tag, one.tags, other.tags))
    )


def _same_tag(one: TagColumn, other: TagColumn) -> bool:
    if not np.array_equal(one.codes, other.codes):
        return False
    if one.values is other.values:
        return True
    return all(one.values[code] == other.values[code] for code in np.unique(one.codes).tolist())


def _taken(partial: Partial, rows: npt.NDArray[np.intp]) -> Partial:
    def some(values: Any) -> Any:
        if values is None:
            return None
        return values.take(pa.array(rows)) if isinstance(values, pa.Array) else values[rows]

    return Partial(partial.kind, partial.count[rows], some(partial.value), some(partial.time), some(partial.m2))


def _joined(parts: Sequence[FoldResult]) -> FoldResult:
    """Folds over ranges of which no two share a bucket, as one."""
    first = parts[0]
    group = np.concatenate([part.group for part in parts])
    bucket = np.concatenate([part.bucket for part in parts])
    order = np.lexsort((bucket, group))
    stats = first.stats
    for part in parts[1:]:
        stats = stats.plus(part.stats)
    states = {}
    for state in first.states:
        whole = _concatenated([part.states[state] for part in parts])
        states[state] = _taken(whole, order)
    return FoldResult(first.groups, first.tags, None, group[order], bucket[order], states, first.field_types, stats)


def _concatenated(partials: Sequence[Partial]) -> Partial:
    def whole(pieces: list[Any]) -> Any:
        if pieces[0] is None:
            return None
        return pa.concat_arrays(pieces) if isinstance(pieces[0], pa.Array) else np.concatenate(pieces)

    return Partial(
        partials[0].kind,
        np.concatenate([partial.count for partial in partials]),
        whole([partial.value for partial in partials]),
        whole([partial.time for partial in partials]),
        whole([partial.m2 for partial in partials]),
    )
