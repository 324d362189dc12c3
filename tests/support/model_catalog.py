"""The model store's databases: what is altered, deleted and asked of them, over plain dicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from rusts import errors
from rusts.catalog import policies
from rusts.model.predicate import Predicate
from rusts.model.series import TagColumn, decode_key
from rusts.model.store import ContinuousQuery, PartitionInfo, PolicyInfo, TimeRange
from rusts.model.types import FieldType
from tests.support.model_points import Point, holds

__all__ = ["ModelCatalog", "ModelDatabase", "ModelSeries", "tag_column"]


@dataclass
class ModelSeries:
    """The series of a scan: a list of keys."""

    keys: list[bytes]
    every_tag: list[str]

    def __len__(self) -> int:
        return len(self.keys)

    def tag_keys(self) -> list[str]:
        return self.every_tag

    def tag(self, key: str) -> TagColumn:
        return tag_column([decode_key(k)[1].get(key, "") for k in self.keys])

    def key(self, index: int) -> bytes:
        return self.keys[index]


def tag_column(values: list[str]) -> TagColumn:
    """`values` as a dictionary-encoded column."""
    distinct = list(dict.fromkeys(values))
    codes = np.array([distinct.index(v) for v in values], dtype=np.uint32)
    return TagColumn(codes, distinct)


@dataclass
class ModelDatabase:
    """Policies in the order of their creation; fields and series are shared, points are per policy.

    `series` gives each live series its place: that of a series dropped and written again is behind all others.
    """

    policies: dict[str, PolicyInfo] = field(default_factory=dict)
    types: dict[str, dict[str, FieldType]] = field(default_factory=dict)
    series: dict[str, dict[bytes, int]] = field(default_factory=dict)
    points: dict[tuple[str, str], dict[bytes, dict[int, Point]]] = field(default_factory=dict)
    continuous: dict[str, ContinuousQuery] = field(default_factory=dict)
    next_place: int = 0


class ModelCatalog:
    """All of a Store but writing and reading points."""

    def __init__(self) -> None:
        self._databases: dict[str, ModelDatabase] = {}
        self._partitions: dict[tuple[str, str, int], int] = {}

    # -- deleting

    def delete(
        self,
        database: str,
        measurements: Sequence[str],
        range: TimeRange,
        predicate: Predicate | None = None,
        *,
        policy: str | None = None,
    ) -> None:
        held = self._database(database)
        chosen = None if policy is None else self._policy(held, policy)
        for (into, measurement), stored in held.points.items():
            if measurement not in measurements or chosen not in (None, into):
                continue
            for key, points in list(stored.items()):
                tags = decode_key(key)[1]
                for time, point in list(points.items()):
                    if range.start <= time < range.end and holds(predicate, tags, point):
                        del points[time]
                if not points:
                    del stored[key]
        for measurement in measurements:
            left = {key for (_, m), stored in held.points.items() if m == measurement for key in stored}
            places = held.series.get(measurement, {})
            for key in set(places) - left:
                del places[key]

    def drop_series(self, database: str, measurements: Sequence[str], predicate: Predicate | None = None) -> None:
        held = self._database(database)
        for measurement in measurements:
            places = held.series.get(measurement, {})
            for key in [key for key in places if holds(predicate, decode_key(key)[1], {})]:
                del places[key]
                for (_, m), stored in held.points.items():
                    if m == measurement:
                        stored.pop(key, None)

    def drop_measurement(self, database: str, name: str) -> None:
        held = self._database(database)
        held.types.pop(name, None)
        held.series.pop(name, None)
        held.points = {key: stored for key, stored in held.points.items() if key[1] != name}

    def drop_partition(self, id: int) -> None:
        for info in self.partitions():
            if info.id == id:
                held = self._databases[info.database]
                for (policy, measurement), stored in held.points.items():
                    if policy == info.policy:
                        for key, points in list(stored.items()):
                            for time in [t for t in points if info.start <= t < info.end]:
                                del points[time]
                            if not points:
                                del stored[key]
                        self.delete(info.database, [measurement], TimeRange(0, 0))

    # -- databases, policies, continuous queries

    def create_database(self, name: str, policy: PolicyInfo | None = None) -> None:
        held = self._databases.get(name)
        if held is None:
            policies.check_name(name)
            made = policies.normal(policy or PolicyInfo("autogen", 0, 0, 1, True))
            policies.check_created(made, ())
            self._databases[name] = ModelDatabase({made.name: replace(made, default=True)})
        elif policy is not None:
            present = held.policies.get(policy.name)
            if present is None or not present.default or not policies.is_same(policies.normal(policy), present):
                raise errors.InvalidRequest(policies.CONFLICT)

    def drop_database(self, name: str) -> None:
        self._databases.pop(name, None)

    def create_policy(self, database: str, policy: PolicyInfo) -> None:
        held = self._database(database)
        policy = policies.normal(policy)
        if policies.check_created(policy, held.policies.values()):
            self._put_policy(held, policy)

    def alter_policy(
        self,
        database: str,
        name: str,
        *,
        duration: int | None = None,
        shard_duration: int | None = None,
        replication: int | None = None,
        default: bool | None = None,
    ) -> None:
        held = self._database(database)
        changed = policies.altered(held.policies[self._policy(held, name)], duration, shard_duration, replication)
        self._put_policy(held, replace(changed, default=changed.default or bool(default)))

    @staticmethod
    def _put_policy(held: ModelDatabase, policy: PolicyInfo) -> None:
        if policy.default:
            held.policies = {name: replace(p, default=False) for name, p in held.policies.items()}
        held.policies[policy.name] = policy

    def drop_policy(self, database: str, name: str) -> None:
        held = self._database(database)
        held.policies.pop(name, None)
        held.points = {key: stored for key, stored in held.points.items() if key[0] != name}
        self.delete(database, list(held.series), TimeRange(0, 0))

    def put_continuous_query(self, database: str, query: ContinuousQuery) -> None:
        self._database(database).continuous[query.name] = query

    def drop_continuous_query(self, database: str, name: str) -> None:
        self._database(database).continuous.pop(name, None)

    # -- asking

    def databases(self) -> list[str]:
        return list(self._databases)

    def policies(self, database: str) -> list[PolicyInfo]:
        return list(self._database(database).policies.values())

    def continuous_queries(self, database: str) -> list[ContinuousQuery]:
        return list(self._database(database).continuous.values())

    def partitions(self) -> list[PartitionInfo]:
        """As 1.x cuts time: slices as wide as the policy's shard duration."""
        found: list[PartitionInfo] = []
        for name, held in self._databases.items():
            for policy in held.policies.values():
                times = {
                    time
                    for (p, _), stored in held.points.items()
                    if p == policy.name
                    for points in stored.values()
                    for time in points
                }
                slices = {policies.shard_slices(TimeRange(t, t + 1), policy.shard_duration) for t in times}
                for each in sorted(slices, key=lambda r: r.start):
                    number = self._partitions.setdefault((name, policy.name, each.start), len(self._partitions) + 1)
                    expiry = each.end + policy.duration
                    found.append(PartitionInfo(number, name, policy.name, each.start, each.end, expiry))
        return found

    def measurements(self, database: str) -> list[str]:
        return sorted(name for name, series in self._database(database).series.items() if series)

    def field_types(self, database: str, measurement: str) -> dict[str, FieldType]:
        return dict(sorted(self._database(database).types.get(measurement, {}).items()))

    def tag_keys(
        self,
        database: str,
        measurement: str,
        predicate: Predicate | None = None,
        range: TimeRange | None = None,
    ) -> list[str]:
        keys = self._keys(database, measurement, predicate, range)
        return sorted({tag for key in keys for tag in decode_key(key)[1]})

    def select_series(
        self,
        database: str,
        measurement: str,
        predicate: Predicate | None = None,
        range: TimeRange | None = None,
    ) -> ModelSeries:
        return ModelSeries(self._keys(database, measurement, predicate, range), self.tag_keys(database, measurement))

    def series_count(
        self,
        database: str,
        measurement: str | None = None,
        predicate: Predicate | None = None,
        range: TimeRange | None = None,
    ) -> int:
        names = self.measurements(database) if measurement is None else [measurement]
        return sum(len(self._keys(database, name, predicate, range)) for name in names)

    def tag_values(
        self,
        database: str,
        measurement: str,
        key: str,
        predicate: Predicate | None = None,
        range: TimeRange | None = None,
    ) -> pa.LargeStringArray:
        keys = self._keys(database, measurement, predicate, range)
        values = {tags[key].encode() for k in keys if key in (tags := decode_key(k)[1])}
        return pa.array([value.decode() for value in sorted(values)], type=pa.large_string())

    def tag_value_count(
        self,
        database: str,
        measurement: str,
        key: str,
        predicate: Predicate | None = None,
        range: TimeRange | None = None,
    ) -> int:
        return len(self.tag_values(database, measurement, key, predicate, range))

    def _keys(
        self, database: str, measurement: str, predicate: Predicate | None, range: TimeRange | None
    ) -> list[bytes]:
        held = self._database(database)
        places = held.series.get(measurement, {})
        keys = [key for key in sorted(places, key=places.__getitem__) if holds(predicate, decode_key(key)[1], {})]
        if range is None:
            return keys
        seen: set[bytes] = set()
        for policy in held.policies.values():
            wide = policies.shard_slices(range, policy.shard_duration)
            for key, points in held.points.get((policy.name, measurement), {}).items():
                if any(wide.start <= time < wide.end for time in points):
                    seen.add(key)
        return [key for key in keys if key in seen]

    def _database(self, name: str) -> ModelDatabase:
        if name not in self._databases:
            raise errors.DatabaseNotFound(name)
        return self._databases[name]

    @staticmethod
    def _policy(held: ModelDatabase, name: str | None) -> str:
        if name is None:
            name = next((p.name for p in held.policies.values() if p.default), "default")
        if name not in held.policies:
            raise errors.PolicyNotFound(name)
        return name
