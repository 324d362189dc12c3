"""Deletes: what they hide is found and recorded; what segments still hold of it is purged later by compaction.

A delete has a stamp. It seals the memtables that it touches, so that a source is older than it as a whole, or not at
all. Series that lose their last point are dropped: their numbers are never given again, so nothing need hide what
segments still have of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from rusts.catalog.schema import Database, Measurement, Policy, SegmentEntry
from rusts.catalog.tombstones import EVERY_POLICY, Spans, Tombstone
from rusts.engine import scan
from rusts.engine.asking import Asking, all_numbers
from rusts.engine.policydata import PolicyData
from rusts.engine.presence import present
from rusts.engine.pruning import match_series
from rusts.engine.rowfilter import split_predicate
from rusts.engine.sources import UNREADABLE
from rusts.engine.view import Matched, ReadView
from rusts.errors import Corruption, InvalidRequest
from rusts.index.postings import bitmap_of_numbers, numbers_of
from rusts.model.predicate import Predicate
from rusts.model.store import TimeRange
from rusts.model.time import MAX_TIME, MIN_TIME
from rusts.model.types import Stamp

__all__ = ["Deleting"]

Numbers = npt.NDArray[np.uint32]


@dataclass(slots=True)
class _Target:
    """One measurement of a delete: the series in question, and all there was of them, by policy, at its stamp."""

    measurement: Measurement
    matched: Matched
    views: dict[int, ReadView]
    tombstones: list[Tombstone] = field(default_factory=list)


class Deleting(Asking):
    """See the module, and `model.store.Store` for what each method promises. All of it is durable at once."""

    def delete(
        self,
        database: str,
        measurements: Sequence[str],
        range: TimeRange,
        predicate: Predicate | None = None,
        *,
        policy: str | None = None,
    ) -> None:
        """Delete points by time, tags and fields.

        Raises DatabaseNotFound, PolicyNotFound, InvalidRequest (a bad pattern), Corruption (it must be known which
        rows a condition on fields holds for, and a segment cannot be read), OSError.
        """
        self.wait_replayed()
        low, high = max(range.start, MIN_TIME), min(range.end - 1, MAX_TIME)
        found = self.catalog.database(database)
        chosen = list(found.policies.values()) if policy is None else [self.catalog.policy(found, policy)]
        if low > high:
            return
        of_series, of_rows = split_predicate(predicate)
        everything = (low, high) == (MIN_TIME, MAX_TIME) and len(chosen) == len(found.policies)
        if everything and of_rows is None:
            self.drop_series(database, measurements, of_series)
            return
        stamp, targets = self._begin(found, measurements, of_series, chosen)
        try:
            for target in targets:
                if of_rows is None:
                    owner = found.id, EVERY_POLICY if policy is None else chosen[0].id, target.measurement.id
                    series = None if of_series is None else all_numbers(target.matched)
                    number = self.catalog.next_tombstone_id()
                    target.tombstones.append(Tombstone(number, stamp, *owner, low, high, series))
                else:
                    self._find_points(found, chosen, target, stamp, TimeRange(low, high + 1), predicate)
            self._record(found, stamp, targets)
        finally:
            self.pending_deletes.discard(stamp)

    def drop_series(self, database: str, measurements: Sequence[str], predicate: Predicate | None = None) -> None:
        """Drop series by tags. Raises DatabaseNotFound, InvalidRequest (a field in the condition), OSError."""
        self.wait_replayed()
        if split_predicate(predicate)[1] is not None:
            raise InvalidRequest("fields not supported in WHERE clause during deletion")
        with self.write_lock:
            found = self.catalog.database(database)
            dropped = {
                known.id: known.index.live() if predicate is None else known.index.match(predicate)
                for known in _known(found, measurements)
            }
            dropped = {number: series for number, series in dropped.items() if series}
            if dropped:
                stamp = self._stamp_delete(found, set(dropped), found.policies.values())
                self.catalog.record_delete(found, stamp, [], dropped)
                self.mark_delete(stamp)

    def drop_partition(self, id: int) -> None:
        """Drop the points in the time of a partition; nothing happens if there is none. Raises OSError.

        Partitions of other widths may have older values of its points, so theirs in that time go too.
        """
        for info in self.partitions():
            if info.id == id:
                found = self.catalog.database(info.database)
                data = self.data_of(found.id, self.catalog.policy(found, info.policy).id)
                with self.write_lock:
                    inside = [s.entry for s in data.segments if _lies_in(s.entry, info.start, info.end)]
                names = list(found.measurements)
                self.delete(info.database, names, TimeRange(info.start, info.end), policy=info.policy)
                with self.write_lock:
                    ids = {entry.id for entry in inside}
                    # Else a merge has just replaced one of them, and what is deleted is purged later.
                    if ids and self.catalog.commit(checkpoint=None, added=[], removed=list(ids)):
                        self.let_go_of_segments(data, ids)
                self.readers.sweep()

    # -- the steps of a delete

    def _stamp_delete(self, database: Database, measurements: set[int], policies: Iterable[Policy]) -> Stamp:
        """The stamp of a delete; everything that is there of the measurements is older. Under the write lock."""
        for policy in policies:
            data = self.policies_data.get((database.id, policy.id))
            if data is not None and not measurements.isdisjoint(data.active.tables):
                self._seal(data)
        return self.stamps.next()

    def _begin(
        self, database: Database, measurements: Sequence[str], predicate: Predicate | None, chosen: Sequence[Policy]
    ) -> tuple[Stamp, list[_Target]]:
        """Begin a delete in the policies `chosen`. Its stamp is pending until the caller takes it out."""
        with self.write_lock:
            known = _known(database, measurements)
            matches = {measurement.id: match_series(measurement.index, predicate) for measurement in known}
            known = [measurement for measurement in known if len(matches[measurement.id])]
            stamp = self._stamp_delete(database, {measurement.id for measurement in known}, chosen)
            targets = [
                _Target(
                    measurement,
                    matches[measurement.id],
                    {p.id: self.view_of(database, p, measurement) for p in database.policies.values()},
                )
                for measurement in known
            ]
            self.pending_deletes.add(stamp)
        return stamp, targets

    def _find_points(
        self,
        database: Database,
        chosen: Sequence[Policy],
        target: _Target,
        stamp: Stamp,
        range: TimeRange,
        predicate: Predicate | None,
    ) -> None:
        """A tombstone for each policy that has rows for which `predicate` holds: only they are deleted."""
        for policy in chosen:
            spans = _spans(target.views[policy.id], range, predicate)
            if len(spans):
                owner = database.id, policy.id, target.measurement.id
                number = self.catalog.next_tombstone_id()
                bounds = range.start, range.end - 1
                target.tombstones.append(Tombstone(number, stamp, *owner, *bounds, None, spans))
        touched = [t.spans.series for t in target.tombstones if t.spans is not None]
        series = np.unique(np.concatenate(touched)) if touched else np.empty(0, dtype=np.uint32)
        target.matched = Matched(target.measurement.index, series, target.matched.total)

    def _record(self, database: Database, stamp: Stamp, targets: Sequence[_Target]) -> None:
        """Make a delete known, and drop those of its series of which nothing is left."""
        empty = [(target, all_numbers(target.matched)[~self._filled(target)]) for target in targets]
        with self.write_lock:
            dropped = {
                target.measurement.id: bitmap_of_numbers(self._not_newer(database, target, numbers, stamp))
                for target, numbers in empty
                if len(numbers)
            }
            tombstones = [tombstone for target in targets for tombstone in target.tombstones]
            self.catalog.record_delete(database, stamp, tombstones, dropped)
            self.mark_delete(stamp)

    def _not_newer(self, database: Database, target: _Target, numbers: Numbers, stamp: Stamp) -> Numbers:
        """Those of the series `numbers` that nobody wrote to while we looked. Under the write lock."""
        newer = {
            policy.id: self.view_of(database, policy, target.measurement).newer_than(stamp)
            for policy in database.policies.values()
        }
        matched = Matched(target.measurement.index, numbers, len(target.measurement.index))
        return numbers[~self._filled(_Target(target.measurement, matched, newer))]

    def _filled(self, target: _Target) -> npt.NDArray[np.bool_]:
        """bool[n]: which of the series have a row once the tombstones are there; in doubt, they have."""
        filled = np.zeros(len(target.matched), dtype=np.bool_)
        broken: list[SegmentEntry] = []

        def damaged(entry: SegmentEntry, error: Exception) -> None:
            self.quarantine(entry, error)
            broken.append(entry)

        for policy, view in target.views.items():
            hidden = [tombstone for tombstone in target.tombstones if tombstone.concerns(policy)]
            view = replace(view, on_corruption=damaged, tombstones=(*view.tombstones, *hidden))
            filled |= present(view, target.matched, MIN_TIME, MAX_TIME)
            if broken or view.quarantined:
                filled[:] = True
        return filled

    # -- series that lose their last points with a policy

    def series_in(self, data: PolicyData) -> dict[int, Numbers]:
        """The series with points in a policy, by measurement; those of a segment that cannot be read are left out."""
        with self.write_lock:
            entries = [segment.entry for segment in data.segments]
            views = [table.view() for memtable in data.memtables() for table in memtable.tables.values()]
        found: dict[int, list[Numbers]] = {}
        for view in views:
            found.setdefault(view.measurement, []).append(view.series(MIN_TIME, MAX_TIME))
        for entry in entries:
            try:
                for number, section in self.readers.get(entry).sections.items():
                    found.setdefault(number, []).append(section.series)
            except UNREADABLE as error:
                self.quarantine(entry, error)
        return {number: np.unique(np.concatenate(parts)) for number, parts in found.items()}

    def drop_empty(self, database: Database, held: Mapping[int, Numbers]) -> None:
        """Drop those of the series `held` (by measurement) that have no point any more."""
        names = [m.name for number in held if (m := self.catalog.measurement(number)) is not None]
        stamp, targets = self._begin(database, names, None, list(database.policies.values()))
        try:
            for target in targets:
                live = numbers_of(target.measurement.index.live())
                series = np.intersect1d(held[target.measurement.id], live, assume_unique=True)
                target.matched = Matched(target.measurement.index, series, target.matched.total)
            self._record(database, stamp, targets)
        finally:
            self.pending_deletes.discard(stamp)


def _lies_in(entry: SegmentEntry, start: int, end: int) -> bool:
    return start <= entry.min_time and entry.max_time < end


def _known(database: Database, names: Sequence[str]) -> list[Measurement]:
    return [database.measurements[name] for name in dict.fromkeys(names) if name in database.measurements]


def _spans(view: ReadView, range: TimeRange, predicate: Predicate | None) -> Spans:
    """The points of a view for which `predicate` holds. What lies side by side is one span."""
    if view.quarantined:
        entry, reason = view.quarantined[0]
        raise Corruption(entry.file_name, 0, f"points cannot be found by their fields: {reason}")
    series: list[Numbers] = []
    low: list[npt.NDArray[np.int64]] = []
    high: list[npt.NDArray[np.int64]] = []
    for numbers, times, chosen in scan.judged(view, range, predicate):
        at = np.flatnonzero(chosen)
        if not len(at):
            continue
        fresh = np.append(True, (np.diff(at) > 1) | (numbers[at][1:] != numbers[at][:-1]))
        firsts = np.flatnonzero(fresh)
        lasts = np.append(firsts[1:] - 1, len(at) - 1)
        series.append(numbers[at[firsts]])
        low.append(times[at[firsts]])
        high.append(times[at[lasts]])
    if not series:
        return Spans(np.empty(0, np.uint32), np.empty(0, np.int64), np.empty(0, np.int64))
    numbers, first, last = np.concatenate(series), np.concatenate(low), np.concatenate(high)
    order = np.lexsort((first, numbers))
    return Spans(numbers[order], first[order], last[order])
