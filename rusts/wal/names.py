"""Which ids the current log file has named, so that each file can be read alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from rusts.model.batch import Rows
from rusts.model.series import KeyTable
from rusts.model.types import FieldType
from rusts.wal.record import NewNames

__all__ = ["FileNames", "Names"]


class Names(Protocol):
    """What the log asks the catalog when a file uses an id for the first time."""

    def measurement_name(self, measurement: int) -> str:
        """The measurement's name."""
        ...

    def field_name(self, field: int) -> tuple[str, FieldType]:
        """The field's name and type."""
        ...

    def series_keys(self, measurement: int, numbers: npt.NDArray[np.uint32]) -> KeyTable:
        """The canonical keys of the series `numbers`."""
        ...

    def durable_series(self, measurement: int) -> int:
        """Series numbers below this one are in meta.sqlite."""
        ...

    def is_durable(self, id: int) -> bool:
        """True if the measurement or field `id` is in meta.sqlite."""
        ...


class _Named:
    """What the file has named of one measurement, or need not name.

    Series below `below` are done; from `base` on, ``named[number - base]`` says it for each.
    """

    __slots__ = ("base", "below", "fields", "named")

    def __init__(self, durable: int) -> None:
        self.fields: set[int] = set()
        self.below = durable
        self.base = durable
        self.named: npt.NDArray[np.bool_] = np.zeros(0, dtype=np.bool_)

    def fresh(self, series: npt.NDArray[np.uint32], highest: int) -> npt.NDArray[np.uint32]:
        """Those of `series` (at most `highest`) that are not named yet: ascending, each once."""
        size = highest + 1 - self.base
        if size > len(self.named):
            grown = np.zeros(max(size, 2 * len(self.named)), dtype=np.bool_)
            grown[: len(self.named)] = self.named
            self.named = grown
        above = series[series >= self.below]
        return np.unique(above[~self.named[above - np.uint32(self.base)]])

    def add(self, numbers: npt.NDArray[np.uint32]) -> None:
        """`numbers` are named now."""
        self.named[numbers - np.uint32(self.base)] = True
        rest = self.named[self.below - self.base :]
        first = int(rest.argmin())  # the first that is not
        self.below += len(rest) if rest[first] else first


class FileNames:
    """The names in one log file. `missing` finds what a write needs, `add` notes that it was written."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._measurements: dict[int, _Named] = {}
        self._begun: dict[int, _Named] = {}
        """Measurements that the write in hand is the first to use."""

    def missing(self, batches: Sequence[Rows]) -> NewNames | None:
        """The names that `batches` need and that are neither in this file nor in meta.sqlite; None for none."""
        new: NewNames | None = None
        self._begun.clear()
        for rows in batches:
            known = self._measurements.get(rows.measurement) or self._begun.get(rows.measurement)
            if known is None:
                new = NewNames() if new is None else new
                known = self._begin(rows.measurement, new)
            if not known.fields >= rows.columns.keys():
                new = NewNames() if new is None else new
                self._find_fields(rows, known, new)
            series = rows.series
            if len(series) == 0:
                continue
            highest = int(series[0]) if len(series) == 1 else int(series.max())
            if highest >= known.below:
                fresh = known.fresh(series, highest)
                if len(fresh):
                    new = NewNames() if new is None else new
                    _merge_series(rows.measurement, fresh, new)
        if not new:
            return None
        new.series = [(m, numbers, self._names.series_keys(m, numbers)) for m, numbers, _ in new.series]
        return new

    def _begin(self, measurement: int, new: NewNames) -> _Named:
        known = _Named(self._names.durable_series(measurement))
        if self._names.is_durable(measurement):
            self._measurements[measurement] = known
        else:
            new.measurements.append((measurement, self._names.measurement_name(measurement)))
            self._begun[measurement] = known
        return known

    def _find_fields(self, rows: Rows, known: _Named, new: NewNames) -> None:
        for field in rows.columns:
            if field in known.fields:
                continue
            if self._names.is_durable(field):
                known.fields.add(field)
            elif all(number != field for number, _, _, _ in new.fields):
                new.fields.append((field, rows.measurement, *self._names.field_name(field)))

    def add(self, new: NewNames) -> None:
        """`new` is in the file now."""
        self._measurements |= self._begun
        for field, measurement, _, _ in new.fields:
            self._measurements[measurement].fields.add(field)
        for measurement, numbers, _ in new.series:
            known = self._measurements[measurement]
            known.fresh(numbers, int(numbers[-1]))  # makes room
            known.add(numbers)


def _merge_series(measurement: int, fresh: npt.NDArray[np.uint32], new: NewNames) -> None:
    """Two batches of one write may be of one measurement."""
    none = KeyTable.of(())
    for index, (other, numbers, _) in enumerate(new.series):
        if other == measurement:
            new.series[index] = (measurement, np.union1d(numbers, fresh), none)
            return
    new.series.append((measurement, fresh, none))
