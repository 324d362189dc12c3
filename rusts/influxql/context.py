"""What running a statement takes: the store, who keeps users, the queries that run, and whose request it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from rusts import errors
from rusts.clock import Clock
from rusts.influxql import ast
from rusts.influxql.planner.sources import matching as matching_pattern
from rusts.influxql.privileges import Principal
from rusts.influxql.results import Cell, StatementResult
from rusts.influxql.running import RunningQueries
from rusts.model.accounts import Accounts
from rusts.model.store import PolicyInfo, Store
from rusts.query.foldcache import FoldCache
from rusts.query.limits import Tracker

__all__ = ["Context", "Figure", "Figures", "Services", "Session", "matching"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One series of SHOW STATS or SHOW DIAGNOSTICS: a row of named values."""

    name: str
    values: Mapping[str, Cell]
    tags: Mapping[str, str] = field(default_factory=dict)


class Figures(Protocol):
    """What a server tells of itself."""

    def statistics(self) -> Iterable[Figure]:
        """Counts of what was done."""
        ...

    def diagnostics(self) -> Iterable[Figure]:
        """What the server is and how it is set up."""
        ...


@dataclass(frozen=True, slots=True)
class Services:
    """What all requests share."""

    store: Store
    accounts: Accounts
    running: RunningQueries
    clock: Clock
    hash_password: Callable[[str], str]
    verify_password: Callable[[str, str | None], bool]
    figures: Figures
    folds: FoldCache | None = None
    """Finished buckets of queries that are asked again."""


@dataclass(frozen=True, slots=True)
class Session:
    """One request. `database` "" and `policy` None: not given. `who` None: everybody may do everything."""

    database: str = ""
    policy: str | None = None
    who: Principal | None = None
    reading: bool = False
    """It came by a method that should change nothing."""
    audit: Callable[[ast.Statement, str], None] | None = None
    """Told of each statement that changed something, or would have, and what came of it."""


@dataclass(frozen=True, slots=True)
class Context:
    """One statement under way. `result` takes its messages."""

    services: Services
    session: Session
    tracker: Tracker
    result: StatementResult

    @property
    def store(self) -> Store:
        """Where the data is."""
        return self.services.store

    def named(self, database: str | None) -> str:
        """`database`, else that of the request. Raises InvalidRequest where neither is given."""
        name = database or self.session.database
        if not name:
            raise errors.InvalidRequest("database name required")
        return name

    def existing(self, database: str | None) -> str:
        """As `named`; raises DatabaseNotFound where there is none of the name."""
        name = self.named(database)
        if name not in self.store.databases():
            raise errors.DatabaseNotFound(name)
        return name

    def policy_of(self, database: str, policy: str | None) -> PolicyInfo:
        """The policy of that name, else the default one. Raises DatabaseNotFound, PolicyNotFound."""
        policies = self.store.policies(database)
        for each in policies:
            if each.name == policy if policy else each.default:
                return each
        raise errors.PolicyNotFound(policy or "autogen")

    def measurements(self, database: str, sources: Sequence[ast.Source]) -> list[str]:
        """The measurements that `sources` name, sorted; all of them where there are no sources."""
        names = self.store.measurements(database)
        if not sources:
            return names
        wanted: set[str] = set()
        for source in sources:
            if isinstance(source, ast.MeasurementName):
                wanted.update(matching(names, source))
        return [name for name in names if name in wanted]


def matching(names: Sequence[str], source: ast.MeasurementName) -> list[str]:
    """Those of `names` that `source` means."""
    if source.pattern is None:
        return [name for name in names if name == source.name]
    return matching_pattern(names, source.pattern)
