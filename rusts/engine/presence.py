"""Which series have rows: in a range of time, for SHOW; or any that are left, after a delete."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rusts.engine.sources import UNREADABLE, Meter, Pieces, RowsSource, SectionSource, SegmentDamaged, select
from rusts.engine.tombstones import cut_out, later_than
from rusts.engine.view import Matched, ReadView
from rusts.model.store import ScanStats

__all__ = ["present"]

Mask = npt.NDArray[np.bool_]


def present(view: ReadView, matched: Matched, low: int, high: int) -> Mask:
    """bool[n]: which of the `matched` series have a row with ``low <= time <= high``.

    The first and the last row of a run are known without decoding; times are decoded only for series that
    those do not settle. A segment that cannot be read settles nothing.
    """
    found = np.zeros(len(matched), dtype=np.bool_)
    uncertain: list[Pieces] = []
    for segment in view.segments:
        entry = segment.entry
        if len(matched) == 0 or entry.min_time > high or entry.max_time < low:
            continue
        try:
            section = segment.reader().sections.get(view.measurement.id)
            if section is None:
                continue
            source = SectionSource(entry, section, Meter(ScanStats(), None))
        except UNREADABLE as error:
            view.on_corruption(entry, error)
            continue
        except SegmentDamaged as damage:
            view.on_corruption(entry, damage.error)
            continue
        pieces = cut_out(select(source, matched, low, high), later_than(view.tombstones, entry.max_stamp))
        edge = (pieces.low == source.low[pieces.runs]) | (pieces.high == source.high[pieces.runs])
        found[pieces.positions[edge]] = True
        uncertain.append(pieces.take(~edge))
    for table in view.memtables:
        if table.min_time > high or table.max_time < low:
            continue
        hidden = later_than(view.tombstones, table.max_stamp)
        if hidden:
            rows = RowsSource(table.select(_wanted(matched, found), low, high + 1, []))
            uncertain.append(cut_out(select(rows, matched, low, high), hidden))
        else:
            found[matched.find(table.series(low, high))[1]] = True
    for pieces in uncertain:
        open_ = pieces.take(~found[pieces.positions])
        try:
            for slices in open_.batches():
                found[open_.positions[slices.piece[slices.begins < slices.ends]]] = True
        except SegmentDamaged as damage:
            view.on_corruption(damage.entry, damage.error)
    return found


def _wanted(matched: Matched, found: Mask) -> npt.NDArray[np.uint32]:
    """The numbers of the series that are still to be found."""
    left = np.flatnonzero(~found)
    return left.astype(np.uint32) if matched.numbers is None else matched.numbers[left]
