"""What alters the catalog and is on disk before the call returns: databases, policies, drops, deletes, accounts.

Each is one transaction of meta.sqlite; then its copy is written. Memory changes between the two.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace

import apsw
from pyroaring import BitMap

from rusts.catalog import account_tables, delete_tables, policies, tables
from rusts.catalog.accounts import AccountBook, write_user
from rusts.catalog.metafile import Work
from rusts.catalog.names import Names
from rusts.catalog.schema import (
    DEFAULT_DATABASE,
    DEFAULT_POLICY,
    Checkpoint,
    Database,
    Measurement,
    Policy,
    SegmentEntry,
)
from rusts.catalog.tombstones import Tombstone
from rusts.errors import InvalidRequest
from rusts.index.postings import numbers_of
from rusts.model.accounts import Token, User
from rusts.model.store import ContinuousQuery, PolicyInfo
from rusts.model.types import Stamp

__all__ = ["Alterations"]

_AUTOGEN = PolicyInfo(DEFAULT_POLICY, 0, 0, 1, True)


class Alterations(Names):
    """See the module. Thread-safe; what takes names away runs under the engine's write lock.

    Every method that alters raises OSError where the device fails or is full and Corruption where meta.sqlite is
    damaged; memory then is as before, and the same call may be made again.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.RLock()
        self._segments: dict[int, SegmentEntry] = {}
        self._checkpoints: dict[tuple[int, int], Checkpoint] = {}
        self._book = AccountBook()

    def _transact(self, work: Work, stamp: Stamp | None = None) -> None:
        """Do `work` in one durable transaction. Anything it raises undoes it."""
        raise NotImplementedError

    def _write_copy(self) -> None:
        """Bring meta.copy.sqlite up to date."""
        raise NotImplementedError

    def _write_series_anew(self, measurement: int) -> None:
        """The next commit writes all series of the measurement, whatever is on disk."""
        raise NotImplementedError

    # -- databases and policies

    def create_database(self, name: str, policy: PolicyInfo | None = None) -> Database:
        """Make the database `name` with `policy`, or ``autogen``; the one that is there if it agrees.

        Raises InvalidRequest as InfluxDB 1.x says: "invalid name", or where the database has another policy.
        """
        with self._lock:
            found = self._databases.get(name)
            if found is not None:
                if policy is not None:
                    present = found.policies.get(policy.name)
                    asked = policies.normal(replace(policy, default=True))
                    if present is None or present.info != asked:
                        raise InvalidRequest(policies.CONFLICT, "name")
                return found
            policies.check_name(name)
            made = policies.normal(replace(policy or _AUTOGEN, default=True))
            policies.check_created(made, ())
            database = self._make_database(name, made)

            def work(connection: apsw.Connection) -> None:
                self._write_database(connection, database)

            self._transact(work)
            self._add_database(database)
            self._write_copy()
            return database

    def _make_database(self, name: str, policy: PolicyInfo = _AUTOGEN) -> Database:
        return Database(self._new_id(), name, self._make_policies(policy))

    def _make_policies(self, policy: PolicyInfo = _AUTOGEN) -> dict[str, Policy]:
        return {policy.name: Policy.of(self._new_id(), policies.normal(policy))}

    def _write_database(self, connection: apsw.Connection, database: Database) -> None:
        tables.write_database(connection, database.id, database.name)
        for policy in database.policies.values():
            tables.write_policy(connection, database.id, policy)

    def create_policy(self, database: Database, policy: PolicyInfo) -> None:
        """Make `policy` in `database`; nothing happens if the same one is there. Raises InvalidRequest."""
        with self._lock:
            policy = policies.normal(policy)
            if policies.check_created(policy, [p.info for p in database.policies.values()]):
                self._put_policy(database, Policy.of(self._new_id(), policy))

    def alter_policy(
        self,
        database: Database,
        name: str,
        duration: int | None = None,
        shard_duration: int | None = None,
        replication: int | None = None,
        default: bool = False,
    ) -> None:
        """Change what is not None of a policy; with `default` it becomes the default one.

        Raises PolicyNotFound, InvalidRequest.
        """
        with self._lock:
            policy = self.policy(database, name)
            changed = policies.altered(policy.info, duration, shard_duration, replication)
            self._put_policy(database, Policy.of(policy.id, replace(changed, default=policy.default or default)))

    def _put_policy(self, database: Database, policy: Policy) -> None:
        """Store `policy`, a new one or, by its id, a changed one; one that is the default takes that from the other."""
        all_of_them = {p.id: p for p in database.policies.values()}
        if policy.default:
            all_of_them = {i: replace(p, default=False) for i, p in all_of_them.items()}
        all_of_them[policy.id] = policy

        def work(connection: apsw.Connection) -> None:
            for each in all_of_them.values():
                tables.write_policy(connection, database.id, each)

        self._transact(work)
        database.policies = {p.name: p for p in all_of_them.values()}
        self._write_copy()

    # -- dropping

    def drop_policy(self, database: Database, name: str) -> list[SegmentEntry]:
        """Drop a policy; returns its segments, which are no longer listed. Raises PolicyNotFound."""
        with self._lock:
            policy = self.policy(database, name)
            gone = [s for s in self._segments.values() if s.policy == policy.id]
            lost = [t.id for t in self.deletes.tombstones() if t.policy == policy.id]

            def work(connection: apsw.Connection) -> None:
                tables.delete_policy(connection, policy.id)
                delete_tables.delete_tombstones(connection, lost)

            self._drop([policy.id], [], gone, [(database.id, policy.id)], work)
            self.deletes.forget([], [policy.id], None)
            database.policies = {n: p for n, p in database.policies.items() if n != name}
            self._write_copy()
            return gone

    def drop_database(self, name: str) -> list[SegmentEntry]:
        """Drop a database, if it is there; returns its segments, which are no longer listed.

        ``default`` is made anew at once, empty.
        """
        with self._lock:
            database = self._databases.get(name)
            if database is None:
                return []
            gone = [s for s in self._segments.values() if s.database == database.id]
            dropped_policies = [p.id for p in database.policies.values()]
            measurements = list(database.measurements.values())
            heir = self._make_database(name) if name == DEFAULT_DATABASE else None

            def work(connection: apsw.Connection) -> None:
                tables.delete_database(connection, database.id, dropped_policies)
                account_tables.delete_grants(connection, database.id)
                delete_tables.delete_of_databases(connection, [database.id])
                if heir is not None:
                    self._write_database(connection, heir)

            pairs = [(database.id, p) for p in dropped_policies]
            self._drop([database.id, *dropped_policies], measurements, gone, pairs, work)
            self.deletes.forget([], dropped_policies, database.id)
            self._book.set_users(self._book.without_database(name))
            del self._by_id[database.id]
            del self._databases[name]
            if heir is not None:
                self._add_database(heir)
            self._write_copy()
            return gone

    def drop_measurement(self, database: Database, name: str, stamp: Stamp) -> None:
        """Drop a measurement, if it is there. Its points in segments are nobody's from then on."""
        with self._lock:
            measurement = database.measurements.get(name)
            if measurement is None:
                return
            self._drop(
                [], [measurement], [], [], lambda connection: delete_tables.write_purge(connection, database.id, stamp)
            )
            self.deletes.purges[database.id] = stamp
            del database.measurements[name]
            self._write_copy()

    def _drop(
        self,
        ids: list[int],
        measurements: list[Measurement],
        segments: list[SegmentEntry],
        checkpoints: list[tuple[int, int]],
        more: Work,
    ) -> None:
        """Take things out of meta.sqlite for good, then out of memory, but for databases and their maps."""
        numbers = [m.id for m in measurements]
        # A parent's file may still be there, or come back in a power loss, when nobody names it any more.
        ids = [*ids, *numbers, *(i for s in segments for i in (s.id, *s.parents))]

        def work(connection: apsw.Connection) -> None:
            more(connection)
            for measurement in measurements:
                tables.delete_measurement(connection, measurement.id)
            delete_tables.delete_of_measurements(connection, numbers)
            tables.delete_segments(connection, [s.id for s in segments])
            tables.delete_checkpoints(connection, checkpoints)
            tables.write_dropped(connection, ids)

        self._transact(work)
        self._dropped.update(ids)
        self.deletes.forget(numbers, [], None)
        for measurement in measurements:
            self._forget_measurement(measurement)
        for segment in segments:
            del self._segments[segment.id]
        for pair in checkpoints:
            self._checkpoints.pop(pair, None)

    # -- deletes

    def next_tombstone_id(self) -> int:
        """An id for a tombstone. May raise OSError."""
        return self._new_id()

    def record_delete(
        self, database: Database, stamp: Stamp, tombstones: Sequence[Tombstone], dropped: Mapping[int, BitMap]
    ) -> None:
        """Record what was deleted at `stamp`: `tombstones`, and by measurement the numbers of `dropped` series.

        What belongs to a measurement that is not there any more is left out.
        """
        with self._lock:
            held = self.deletes.dropped_series
            tombstones = [t for t in tombstones if t.measurement in self._measurements]
            dropped = {
                number: BitMap.union(numbers, held.get(number, BitMap()))
                for number, numbers in dropped.items()
                if numbers and number in self._measurements
            }
            if not tombstones and not dropped:
                return

            def work(connection: apsw.Connection) -> None:
                for tombstone in tombstones:
                    delete_tables.write_tombstone(connection, tombstone)
                self.deletes.write_dropped(connection, dropped)
                delete_tables.write_purge(connection, database.id, stamp)

            self._transact(work)
            self.deletes.add(tombstones)
            for number, numbers in dropped.items():
                held[number] = numbers
                self._measurements[number].index.drop(numbers_of(numbers))
            self.deletes.purges[database.id] = stamp
            self._write_copy()

    def finish_purge(self, database: int, stamp: Stamp, tombstones: Sequence[int]) -> None:
        """No file holds anything that was deleted in the database up to `stamp`, or that `tombstones` hide."""
        with self._lock:
            done = self.deletes.purges.get(database) == stamp

            def work(connection: apsw.Connection) -> None:
                delete_tables.delete_tombstones(connection, tombstones)
                if done:
                    delete_tables.delete_of_databases(connection, [database])

            self._transact(work)
            self.deletes.remove(set(tombstones))
            if done:
                del self.deletes.purges[database]
                for number in self.deletes.dropped_series:
                    measurement = self._measurements.get(number)
                    if measurement is not None and measurement.database == database:
                        # Their keys are no use any more.
                        self._write_series_anew(number)
            self._write_copy()

    # -- continuous queries

    def put_continuous_query(self, database: Database, query: ContinuousQuery) -> None:
        """Keep `query`, instead of one of the same name if there is one."""
        with self._lock:
            held = database.continuous.get(query.name)
            number = self._new_id() if held is None else held[0]
            self._transact(lambda c: tables.write_continuous_query(c, number, database.id, query))
            database.continuous = {**database.continuous, query.name: (number, query)}
            self._write_copy()

    def drop_continuous_query(self, database: Database, name: str) -> None:
        """Forget a continuous query; nothing happens if it is not there."""
        with self._lock:
            held = database.continuous.get(name)
            if held is not None:
                self._transact(lambda c: tables.delete_continuous_query(c, held[0]))
                database.continuous = {n: q for n, q in database.continuous.items() if n != name}
                self._write_copy()

    # -- accounts (see `model.accounts.Accounts`)

    @property
    def accounts_version(self) -> int:
        """Grows with every change of a user or a token."""
        return self._book.version

    def users(self) -> list[User]:
        """All users, in the order of their creation."""
        return [user for _, user in self._book.users.values()]

    def user(self, name: str) -> User | None:
        """The user `name`, None if there is none."""
        held = self._book.users.get(name)
        return None if held is None else held[1]

    def put_user(self, user: User) -> None:
        """Keep `user`, instead of the one of the same name if there is one. Raises DatabaseNotFound for a grant."""
        with self._lock:
            databases = {name: self.database(name).id for name in user.grants}
            held = self._book.users.get(user.name)
            number = self._new_id() if held is None else held[0]
            kept = replace(user, grants=dict(user.grants))
            self._transact(lambda c: write_user(c, number, kept, databases))
            self._book.set_users({**self._book.users, user.name: (number, kept)})
            self._write_copy()

    def drop_user(self, name: str) -> None:
        """Forget a user; nothing happens if there is none of that name."""
        with self._lock:
            held = self._book.users.get(name)
            if held is not None:
                self._transact(lambda c: account_tables.delete_user(c, held[0]))
                self._book.set_users({n: u for n, u in self._book.users.items() if n != name})
                self._write_copy()

    def tokens(self) -> list[Token]:
        """All tokens, in the order of their creation."""
        return [token for _, token in self._book.tokens.values()]

    def put_token(self, token: Token) -> None:
        """Keep `token`, instead of the one with the same id if there is one."""
        with self._lock:
            held = self._book.tokens.get(token.id)
            number = self._new_id() if held is None else held[0]
            self._transact(lambda c: account_tables.write_token(c, number, token))
            self._book.set_tokens({**self._book.tokens, token.id: (number, token)})
            self._write_copy()

    def drop_token(self, id: str) -> None:
        """Forget a token; nothing happens if there is none with that id."""
        with self._lock:
            held = self._book.tokens.get(id)
            if held is not None:
                self._transact(lambda c: account_tables.delete_token(c, held[0]))
                self._book.set_tokens({i: t for i, t in self._book.tokens.items() if i != id})
                self._write_copy()
