"""The arrays of an index as readers see them, and the texts in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa

__all__ = ["Tables", "TagValues", "arrow_values", "empty_tables", "texts_of"]


class Tables(NamedTuple):
    """One consistent state of an index, replaced whole by the writer. `kernels.hashing` explains the arrays.

    What lies behind `length` and `known_texts` is being written and must not be read.
    """

    length: int
    known_texts: int
    tags: tuple[str, ...]
    slots: npt.NDArray[np.uint64]
    codes: npt.NDArray[np.uint32]
    counts: npt.NDArray[np.uint16]
    texts: npt.NDArray[np.uint8]
    starts: npt.NDArray[np.int64]
    owners: npt.NDArray[np.uint32]
    ranks: npt.NDArray[np.uint32]
    text_slots: npt.NDArray[np.uint64]
    names: npt.NDArray[np.uint8]
    name_starts: npt.NDArray[np.int64]
    order: npt.NDArray[np.int64]

    @property
    def nbytes(self) -> int:
        """Bytes in use; room that was never written is no memory yet."""
        used = self.length * (4 * len(self.tags) + 2) + self.slots.nbytes
        used += int(self.starts[self.known_texts]) + self.known_texts * 16 + self.text_slots.nbytes
        return used + self.names.nbytes + self.name_starts.nbytes + self.order.nbytes


def empty_tables() -> Tables:
    """No series, with room for a few."""
    return Tables(
        length=0,
        known_texts=1,
        tags=(),
        slots=np.zeros(16, np.uint64),
        codes=np.zeros((2, 8), np.uint32),
        counts=np.zeros(8, np.uint16),
        texts=np.empty(256, np.uint8),
        starts=np.zeros(17, np.int64),
        owners=np.zeros(16, np.uint32),
        ranks=np.zeros(16, np.uint32),
        text_slots=np.zeros(32, np.uint64),
        names=np.empty(0, np.uint8),
        name_starts=np.zeros(1, np.int64),
        order=np.empty(0, np.int64),
    )


def texts_of(tables: Tables, tag: int, since: int = 1) -> npt.NDArray[np.int64]:
    """int64[n]: ids, from `since` (at least 1) on, of the texts that are values of `tag`, in order of their rank."""
    return np.flatnonzero(tables.owners[since : tables.known_texts] == tag) + since


def arrow_values(tables: Tables, texts: npt.NDArray[np.int64]) -> Any:
    """The texts `texts` as a `pyarrow.LargeStringArray`."""
    end = tables.known_texts
    offsets = pa.py_buffer(tables.starts[: end + 1])
    data = pa.py_buffer(tables.texts[: int(tables.starts[end])])
    return pa.LargeStringArray.from_buffers(end, offsets, data).take(pa.array(texts))


class TagValues(Sequence[str]):
    """Very many distinct values of a tag, each decoded when it is asked for; the first is the empty one."""

    def __init__(self, tables: Tables, texts: npt.NDArray[np.int64]) -> None:
        self._tables = tables
        self._texts = texts

    def __len__(self) -> int:
        return len(self._texts) + 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if index < 0:
            index += len(self)
        if not 0 <= index < len(self):
            raise IndexError(index)
        if index == 0:
            return ""
        text = self._texts[index - 1]
        starts = self._tables.starts
        return self._tables.texts[starts[text] : starts[text + 1]].tobytes().decode(errors="replace")

    def __iter__(self) -> Iterator[str]:
        yield ""
        yield from arrow_values(self._tables, self._texts).to_pylist()
