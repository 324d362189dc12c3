"""What the catalog knows by name and by id, in memory: databases, policies, measurements and fields."""

from __future__ import annotations

import threading
from typing import Final

import numpy as np
import numpy.typing as npt

from rusts.catalog.deletes import Deletes
from rusts.catalog.policies import default_shard_duration
from rusts.catalog.schema import DEFAULT_POLICY, Database, FieldMeta, Measurement, Policy
from rusts.errors import Bug, DatabaseNotFound, PolicyNotFound
from rusts.index.postings import numbers_of
from rusts.logging import get_logger
from rusts.model.series import KeyTable
from rusts.model.types import FieldType

__all__ = ["Names"]

_COUNTER_BITS: Final = 48

logger = get_logger("rusts.catalog")


class Names:
    """The names. Readers need no lock; what makes or restores names runs under the engine's write lock.

    An id is the node's number (16 bits) above a counter (48 bits), one counter for everything that has an id.
    """

    def __init__(self) -> None:
        self.node = 0
        """The number of this node: the upper 16 bits of each id that it gives."""
        self._id_lock = threading.Lock()
        self._next_id = 1
        self._ids_end = 1
        """Ids from here on are not promised to disk yet: see `_promise_ids`."""
        self._databases: dict[str, Database] = {}
        self._by_id: dict[int, Database] = {}
        self._measurements: dict[int, Measurement] = {}
        self._fields: dict[int, FieldMeta] = {}
        self._new_measurements: dict[int, Measurement] = {}
        self._new_fields: dict[int, tuple[int, FieldMeta]] = {}
        """Measurements by id, and fields by id with their measurement, that are not on disk yet."""
        self._dropped: set[int] = set()
        self.deletes = Deletes()
        """What was deleted and is not purged yet; changed by the catalog alone."""

    def _promise_ids(self) -> None:
        """Make sure, on disk, that the next ids are never given again after a crash. Raises OSError."""
        raise NotImplementedError

    def _disk_differs(self) -> None:
        """What is on disk contradicts memory: the next transaction must write all of it anew."""
        raise NotImplementedError

    # -- asking

    def databases(self) -> list[Database]:
        """All databases, in the order of their creation."""
        return list(self._databases.values())

    def find_database(self, name: str) -> Database | None:
        """The database `name`, None if there is none."""
        return self._databases.get(name)

    def database(self, name: str) -> Database:
        """The database `name`. Raises DatabaseNotFound."""
        found = self._databases.get(name)
        if found is None:
            raise DatabaseNotFound(name)
        return found

    def policy(self, database: Database, name: str | None) -> Policy:
        """The policy `name` of `database`, or its default one. Raises PolicyNotFound."""
        found = database.policies.get(name) if name is not None else database.default_policy
        if found is None:
            # A database without a default policy has lost the one that every database begins with.
            raise PolicyNotFound(name or "autogen")
        return found

    def owner(self, database: int, policy: int) -> tuple[Database, Policy] | None:
        """The database and policy with these ids, None if one was dropped."""
        found = self._by_id.get(database)
        if found is None:
            return None
        return next(((found, p) for p in found.policies.values() if p.id == policy), None)

    def measurement(self, number: int) -> Measurement | None:
        """The measurement with the id `number`, None if it was dropped."""
        return self._measurements.get(number)

    def was_dropped(self, id: int) -> bool:
        """Whether a database, policy, measurement or segment with this id was dropped."""
        return id in self._dropped

    def dropped_ids(self) -> list[int]:
        """The ids of all databases, policies, measurements and segments that were dropped, ascending."""
        return sorted(self._dropped)

    # -- what the log asks (wal's protocol `Names`)

    def measurement_name(self, measurement: int) -> str:
        """The name of a measurement. Raises Bug where there is none."""
        return self._known(measurement).name

    def field_name(self, field: int) -> tuple[str, FieldType]:
        """Name and type of a field. Raises Bug where there is none."""
        meta = self._fields.get(field)
        if meta is None:
            raise Bug(f"no field has the id {field}")
        return meta.name, meta.type

    def series_keys(self, measurement: int, numbers: npt.NDArray[np.uint32]) -> KeyTable:
        """The canonical keys of series of a measurement."""
        return self._known(measurement).index.keys(numbers)

    def is_durable(self, id: int) -> bool:
        """Whether the measurement or field with this id is in meta.sqlite."""
        return id not in self._new_measurements and id not in self._new_fields

    def _known(self, measurement: int) -> Measurement:
        found = self._measurements.get(measurement)
        if found is None:
            raise Bug(f"no measurement has the id {measurement}")
        return found

    # -- making names in memory

    def add_measurement(self, database: Database, name: str) -> Measurement:
        """Make the measurement `name`, which `database` does not have. On disk with the next commit."""
        measurement = Measurement(self._new_id(), name, database.id)
        self._new_measurements[measurement.id] = measurement
        self._add_measurement(database, measurement)
        return measurement

    def add_field(self, measurement: Measurement, name: str, type: FieldType) -> FieldMeta:
        """Make the field `name`, which `measurement` does not have. On disk with the next commit."""
        field = FieldMeta(self._new_id(), name, type)
        self._add_field(measurement, field)
        return field

    def _new_id(self) -> int:
        while True:
            with self._id_lock:
                if self._next_id < self._ids_end:
                    self._next_id += 1
                    return self.node << _COUNTER_BITS | (self._next_id - 1)
            self._promise_ids()

    def _seen(self, id: int) -> None:
        """Never give `id`, which the log or a segment has."""
        if id >> _COUNTER_BITS == self.node:
            with self._id_lock:
                self._next_id = max(self._next_id, (id & ((1 << _COUNTER_BITS) - 1)) + 1)

    def reserve_id(self, id: int) -> None:
        """Never give an id that a file has, whatever is known of what it names."""
        self._seen(id)

    def restore_database(self, id: int, name: str) -> Database | None:
        """The database with this id, made with that name if it is not known; None if it was dropped."""
        self._seen(id)
        found = self._by_id.get(id)
        if found is not None or id in self._dropped:
            return found
        if name in self._databases:
            # Only where meta.sqlite and its copy were lost. Both keep their points, the older one under another name.
            logger.warning("two databases have one name", database=name)
            name = f"{name}#{id}"
        database = Database(id, name)
        self._add_database(database)
        self._disk_differs()
        return database

    def restore_policy(self, database: Database, id: int, name: str) -> Policy | None:
        """The policy with this id, made with that name, for ever, if it is not known; None if it was dropped."""
        self._seen(id)
        found = next((p for p in database.policies.values() if p.id == id), None)
        if found is not None or id in self._dropped:
            return found
        if name in database.policies:
            logger.warning("two policies have one name", database=database.name, policy=name)
            name = f"{name}#{id}"
        policy = Policy(id, name, 0, default_shard_duration(0), 1, name == DEFAULT_POLICY)
        database.policies = {**database.policies, name: policy}
        self._disk_differs()
        return policy

    def restore_measurement(self, database: int, id: int, name: str) -> None:
        """Take back a measurement that the log names; nothing happens if it is known or was dropped."""
        self._seen(id)
        owner = self._by_id.get(database)
        if owner is None or id in self._measurements or id in self._dropped:
            return
        rival = owner.measurements.get(name)
        if rival is not None:
            # Only where meta.sqlite and a part of the log were lost: the later one is what was written to last.
            logger.warning(
                "two measurements have one name", database=owner.name, measurement=name, kept=max(id, rival.id)
            )
            if rival.id > id:
                return
            self._forget_measurement(rival)
            self._disk_differs()
        measurement = Measurement(id, name, database)
        self._new_measurements[id] = measurement
        self._add_measurement(owner, measurement)

    def restore_field(self, measurement: int, id: int, name: str, type: FieldType) -> None:
        """Take back a field that the log names; nothing happens if it is known or its measurement was dropped."""
        self._seen(id)
        owner = self._measurements.get(measurement)
        if owner is None or id in self._fields:
            return
        rival = owner.fields.get(name)
        if rival is not None:
            logger.warning("two fields have one name", measurement=owner.name, field=name, kept=max(id, rival.id))
            if rival.id > id:
                return
        self._add_field(owner, FieldMeta(id, name, type))

    def _add_database(self, database: Database) -> None:
        self._databases[database.name] = database
        self._by_id[database.id] = database

    def _add_measurement(self, database: Database, measurement: Measurement) -> None:
        gone = self.deletes.dropped_series.get(measurement.id)
        if gone is not None:
            measurement.index.drop(numbers_of(gone))
        self._measurements[measurement.id] = measurement
        database.measurements[measurement.name] = measurement

    def _add_field(self, measurement: Measurement, field: FieldMeta) -> None:
        self._new_fields[field.id] = measurement.id, field
        self._fields[field.id] = field
        measurement.fields = {**measurement.fields, field.name: field}

    def _forget_measurement(self, measurement: Measurement) -> None:
        self._dropped.add(measurement.id)
        self._measurements.pop(measurement.id, None)
        self._new_measurements.pop(measurement.id, None)
        for field in measurement.fields.values():
            self._fields.pop(field.id, None)
            self._new_fields.pop(field.id, None)
