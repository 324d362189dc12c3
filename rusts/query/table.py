"""The rows that flow through a plan and out of it: columns, cut into groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rusts.model.batch import Column
from rusts.model.series import TagColumn

__all__ = ["Table"]


@dataclass(slots=True)
class Table:
    """Rows of one or more groups, one after another. An answer calls a group a series.

    Group g has the rows ``starts[g]:starts[g + 1]`` (`starts` int64[groups + 1], starts[0] == 0), in time order
    (descending if the plan says so), and for the i-th tag of the plan's `group_by` the value
    ``tags[i].values[tags[i].codes[g]]``. `times` is int64[rows] ns since the epoch; `columns` has one Column of
    that length for each output. With `continued`, the first group goes on from the table before.
    """

    measurement: str
    tags: Sequence[TagColumn]
    starts: npt.NDArray[np.int64]
    times: npt.NDArray[np.int64]
    columns: Sequence[Column]
    continued: bool = False

    def __len__(self) -> int:
        return len(self.times)

    @property
    def groups(self) -> int:
        """How many groups there are."""
        return len(self.starts) - 1
