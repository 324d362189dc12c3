"""Field types and write stamps."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Final, NamedTuple

import numpy as np

__all__ = ["DTYPES", "FieldType", "Stamp"]


class FieldType(IntEnum):
    """The type of a field. The numbers are on disk: never change or reuse one."""

    FLOAT = 1
    INTEGER = 2
    UNSIGNED = 3
    BOOLEAN = 4
    STRING = 5

    @property
    def text(self) -> str:
        """The name that InfluxQL's SHOW FIELD KEYS prints."""
        return self.name.lower()

    @property
    def numeric(self) -> bool:
        """True for FLOAT, INTEGER and UNSIGNED."""
        return self <= FieldType.UNSIGNED


DTYPES: Final[dict[FieldType, np.dtype[Any]]] = {
    FieldType.FLOAT: np.dtype(np.float64),
    FieldType.INTEGER: np.dtype(np.int64),
    FieldType.UNSIGNED: np.dtype(np.uint64),
    FieldType.BOOLEAN: np.dtype(np.bool_),
}
"""The dtype of a column's values; strings are `pyarrow.LargeStringArray` instead."""


class Stamp(NamedTuple):
    """When a write happened: hybrid logical clock, then node. Compared in that order.

    `clock` is 44 bits of Unix milliseconds above 20 bits of counter (u64); `node` is the
    node number (u16, 0 on a single node).
    """

    clock: int
    node: int = 0
