"""What alters databases, policies, continuous queries and accounts, and what is dropped as a whole."""

from __future__ import annotations

from rusts.engine.deleting import Deleting
from rusts.engine.policydata import PolicyData
from rusts.model.accounts import Token, User
from rusts.model.store import ContinuousQuery, PolicyInfo

__all__ = ["Altering"]


class Altering(Deleting):
    """See the module, and `model.store.Store` for what each method promises. All of it is durable at once."""

    def create_database(self, name: str, policy: PolicyInfo | None = None) -> None:
        """Make the database with `policy` or ``autogen``. Raises InvalidRequest where it is there with another one."""
        self.catalog.create_database(name, policy)

    def drop_database(self, name: str) -> None:
        """Drop the database with all that is in it; nothing happens if it is not there."""
        self.wait_replayed()
        with self.write_lock:
            found = self.catalog.find_database(name)
            if found is None:
                return
            self.catalog.drop_database(name)
            self._let_go([data for data in self.policies_data.values() if data.database == found.id])
        self._free()

    def create_policy(self, database: str, policy: PolicyInfo) -> None:
        """Make a policy; nothing happens if the same one is there. Raises DatabaseNotFound, InvalidRequest."""
        self.catalog.create_policy(self.catalog.database(database), policy)

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
        """Change what is given. Raises DatabaseNotFound, PolicyNotFound, InvalidRequest."""
        found = self.catalog.database(database)
        self.catalog.alter_policy(found, name, duration, shard_duration, replication, bool(default))

    def drop_policy(self, database: str, name: str) -> None:
        """Drop a policy with its points; nothing happens if it is not there. Raises DatabaseNotFound."""
        self.wait_replayed()
        found = self.catalog.database(database)
        policy = found.policies.get(name)
        if policy is None:
            return
        data = self.data_of(found.id, policy.id)
        held = self.series_in(data)
        with self.write_lock:
            if name not in found.policies:
                return
            self.catalog.drop_policy(found, name)
            self._let_go([data])
        self.drop_empty(found, held)
        self._free()

    def drop_measurement(self, database: str, name: str) -> None:
        """Drop a measurement; nothing happens if it is not there. Raises DatabaseNotFound."""
        self.wait_replayed()
        with self.write_lock:
            found = self.catalog.database(database)
            measurement = found.measurements.get(name)
            if measurement is None:
                return
            stamp = self.stamps.next()
            self.catalog.drop_measurement(found, name, stamp)
            self.mark_delete(stamp)
            for data in self.policies_data.values():
                if data.database == found.id:
                    for memtable in data.memtables():
                        self.budget.write_buffer.used -= memtable.forget(measurement.id)

    def _let_go(self, dropped: list[PolicyData]) -> None:
        """Forget what databases and policies that are dropped have in memory. Under the write lock."""
        for data in dropped:
            self.policies_data.pop((data.database, data.policy), None)
            for memtable in data.memtables():
                self.budget.write_buffer.used -= memtable.nbytes
            data.sealed.clear()
            self.let_go_of_segments(data, {segment.entry.id for segment in data.segments})

    def _free(self) -> None:
        """Remove the files that what was dropped leaves behind. Raises OSError."""
        self.readers.sweep()
        # Names that only the log has yet may have come with what was dropped.
        self.catalog.commit(checkpoint=None, added=[], removed=[])
        self.release_log()

    # -- continuous queries

    def put_continuous_query(self, database: str, query: ContinuousQuery) -> None:
        """Keep `query`, instead of one of the same name. Raises DatabaseNotFound."""
        self.catalog.put_continuous_query(self.catalog.database(database), query)

    def drop_continuous_query(self, database: str, name: str) -> None:
        """Forget a continuous query; nothing happens if it is not there. Raises DatabaseNotFound."""
        self.catalog.drop_continuous_query(self.catalog.database(database), name)

    # -- accounts

    def put_user(self, user: User) -> None:
        """Keep `user`, instead of the one of the same name. Raises DatabaseNotFound for a grant."""
        self.catalog.put_user(user)

    def drop_user(self, name: str) -> None:
        """Forget a user; nothing happens if there is none of that name."""
        self.catalog.drop_user(name)

    def put_token(self, token: Token) -> None:
        """Keep `token`, instead of the one with the same id."""
        self.catalog.put_token(token)

    def drop_token(self, id: str) -> None:
        """Forget a token; nothing happens if there is none with that id."""
        self.catalog.drop_token(id)
