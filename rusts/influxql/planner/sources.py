"""FROM: which measurements a statement reads, and what the store knows of them. Each question is asked once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from rusts import errors
from rusts.influxql import ast
from rusts.model.store import Store
from rusts.model.types import FieldType

__all__ = ["Measurement", "Schema", "matching"]


@dataclass(frozen=True, slots=True)
class Measurement:
    """A measurement to read; `policy` None is the database's default one."""

    database: str
    policy: str | None
    name: str


def matching(names: Sequence[str], pattern: str) -> list[str]:
    """Those of `names` in which the regular expression is found. Raises InvalidRequest if it is none."""
    try:
        found = pc.match_substring_regex(pa.array(names, pa.string()), pattern)
    except pa.ArrowInvalid as problem:
        raise errors.InvalidRequest(f"error parsing regexp: {problem}") from None
    return [name for name, hit in zip(names, found.to_pylist(), strict=True) if hit]


@dataclass(slots=True)
class Schema:
    """A store's databases, policies, fields and tags, as one statement with a default `database` and `policy` sees
    them."""

    store: Store
    database: str | None
    policy: str | None
    _databases: frozenset[str] | None = field(default=None, init=False)
    _fields: dict[tuple[str, str], Mapping[str, FieldType]] = field(default_factory=dict, init=False)
    _tags: dict[tuple[str, str], Sequence[str]] = field(default_factory=dict, init=False)

    def check_databases(self, select: ast.Select) -> None:
        """Raise InvalidRequest if a source, at any depth, is in no database or in an unknown one."""
        for source in select.sources:
            if isinstance(source, ast.Subquery):
                self.check_databases(source.select)
            else:
                self.check_database(source.database or self.database)

    def check_database(self, name: str | None) -> str:
        """`name`, if there is such a database. Raises InvalidRequest."""
        if not name:
            raise errors.InvalidRequest("database name required")
        if self._databases is None:
            self._databases = frozenset(self.store.databases())
        if name not in self._databases:
            raise errors.InvalidRequest(f"database not found: {name}")
        return name

    def measurements(self, source: ast.MeasurementName) -> Iterator[Measurement]:
        """What `source` stands for, in the order of names. Raises PolicyNotFound."""
        database = self.check_database(source.database or self.database)
        if source.name == "" and source.pattern is None:
            raise errors.InvalidRequest("invalid measurement")
        policy = source.policy or self.policy
        if policy and all(policy != each.name for each in self.store.policies(database)):
            raise errors.PolicyNotFound(policy)
        if source.name is not None:
            yield Measurement(database, policy or None, source.name)
        elif source.pattern is not None:
            for name in matching(self.store.measurements(database), source.pattern):
                yield Measurement(database, policy or None, name)

    def fields(self, measurement: Measurement) -> Mapping[str, FieldType]:
        """The types of the measurement's fields."""
        key = measurement.database, measurement.name
        if key not in self._fields:
            self._fields[key] = self.store.field_types(*key)
        return self._fields[key]

    def tags(self, measurement: Measurement) -> Sequence[str]:
        """The measurement's tag keys."""
        key = measurement.database, measurement.name
        if key not in self._tags:
            self._tags[key] = self.store.tag_keys(*key)
        return self._tags[key]
