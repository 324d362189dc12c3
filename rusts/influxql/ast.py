"""InfluxQL statements as trees.

Nodes are frozen: a parsed statement may be kept and run again. Expressions are `rusts.query.expression`'s.
A name that a statement does not give is None. Durations are ns. `rusts.influxql.printer.text` prints any node.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from rusts.query.expression import Expression

__all__ = [
    "AlterRetentionPolicy",
    "Cardinality",
    "CreateContinuousQuery",
    "CreateDatabase",
    "CreateRetentionPolicy",
    "CreateSubscription",
    "CreateUser",
    "Delete",
    "Dimension",
    "DropContinuousQuery",
    "DropDatabase",
    "DropMeasurement",
    "DropRetentionPolicy",
    "DropSeries",
    "DropShard",
    "DropSubscription",
    "DropUser",
    "Explain",
    "FillKind",
    "FillOption",
    "Grant",
    "GrantAdmin",
    "KeyCondition",
    "KeyOp",
    "KillQuery",
    "MeasurementName",
    "PolicyOptions",
    "Privilege",
    "Revoke",
    "RevokeAdmin",
    "Select",
    "SelectField",
    "SetPassword",
    "ShowCardinality",
    "ShowContinuousQueries",
    "ShowDatabases",
    "ShowDiagnostics",
    "ShowFieldKeys",
    "ShowGrants",
    "ShowMeasurements",
    "ShowQueries",
    "ShowRetentionPolicies",
    "ShowSeries",
    "ShowShardGroups",
    "ShowShards",
    "ShowStats",
    "ShowSubscriptions",
    "ShowTagKeys",
    "ShowTagValues",
    "ShowUsers",
    "SortField",
    "Source",
    "Statement",
    "Subquery",
    "Target",
]


# -- parts of statements


@dataclass(frozen=True, slots=True)
class MeasurementName:
    """``database.policy.name`` or ``database.policy./pattern/``: exactly one of `name` and `pattern` is given."""

    database: str | None = None
    policy: str | None = None
    name: str | None = None
    pattern: str | None = None


@dataclass(frozen=True, slots=True)
class Subquery:
    """A SELECT as a source."""

    select: Select


Source = MeasurementName | Subquery


@dataclass(frozen=True, slots=True)
class Target:
    """Where INTO writes; `name` None stands for ``:MEASUREMENT``, the name of what is read."""

    database: str | None = None
    policy: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class SelectField:
    """A column; `alias` is what AS says."""

    expression: Expression
    alias: str | None = None


@dataclass(frozen=True, slots=True)
class Dimension:
    """A term of GROUP BY: as a rule a `Ref`, a `Wildcard`, a `Pattern`, or the `Function` time (see `Select`)."""

    expression: Expression


class FillKind(StrEnum):
    """What `fill()` says."""

    NULL = "null"
    NONE = "none"
    PREVIOUS = "previous"
    LINEAR = "linear"
    VALUE = "value"


@dataclass(frozen=True, slots=True)
class FillOption:
    """``fill(mode)``; `value` goes with VALUE only."""

    mode: FillKind = FillKind.NULL
    value: float | int | None = None


@dataclass(frozen=True, slots=True)
class SortField:
    """A term of ORDER BY. An empty `name` (``ORDER BY DESC``) means time."""

    name: str = ""
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Select:
    """SELECT. Limits and offsets of 0 count as not given.

    GROUP BY time is a `Function` ``time`` in `dimensions`, with arguments as they are written: any expressions, for
    it is the planner that refuses what is no interval. `CalendarDuration` is beyond 1.x, as are `having` and an ORDER
    BY of anything but time. ``fill(null)`` is the same as no fill.
    """

    fields: tuple[SelectField, ...]
    sources: tuple[Source, ...]
    condition: Expression | None = None
    dimensions: tuple[Dimension, ...] = ()
    fill: FillOption = FillOption()
    order: tuple[SortField, ...] = ()
    limit: int = 0
    offset: int = 0
    series_limit: int = 0
    series_offset: int = 0
    zone: str | None = None
    target: Target | None = None
    having: Expression | None = None


class KeyOp(StrEnum):
    """The operators of WITH KEY."""

    EQ = "="
    NE = "!="
    MATCH = "=~"
    NOT_MATCH = "!~"
    IN = "IN"


@dataclass(frozen=True, slots=True)
class KeyCondition:
    """``WITH KEY op keys``: `keys` has one name, or several after IN; the match operators have `pattern` instead."""

    op: KeyOp
    keys: tuple[str, ...] = ()
    pattern: str | None = None


class Privilege(StrEnum):
    """What a user may do with a database."""

    READ = "READ"
    WRITE = "WRITE"
    ALL = "ALL PRIVILEGES"


@dataclass(frozen=True, slots=True)
class PolicyOptions:
    """CREATE DATABASE ... WITH: None = not given. A duration of 0 is without end."""

    duration: int | None = None
    replication: int | None = None
    shard_duration: int | None = None
    name: str | None = None


# -- queries


@dataclass(frozen=True, slots=True)
class Explain:
    """EXPLAIN [ANALYZE]."""

    select: Select
    analyze: bool = False


@dataclass(frozen=True, slots=True)
class ShowDatabases:
    """SHOW DATABASES."""


@dataclass(frozen=True, slots=True)
class ShowMeasurements:
    """SHOW MEASUREMENTS; `source` is what WITH MEASUREMENT says."""

    database: str | None = None
    source: MeasurementName | None = None
    condition: Expression | None = None
    order: tuple[SortField, ...] = ()
    limit: int = 0
    offset: int = 0


@dataclass(frozen=True, slots=True)
class ShowSeries:
    """SHOW SERIES."""

    database: str | None = None
    sources: tuple[Source, ...] = ()
    condition: Expression | None = None
    order: tuple[SortField, ...] = ()
    limit: int = 0
    offset: int = 0


@dataclass(frozen=True, slots=True)
class ShowTagKeys:
    """SHOW TAG KEYS."""

    database: str | None = None
    sources: tuple[Source, ...] = ()
    condition: Expression | None = None
    order: tuple[SortField, ...] = ()
    limit: int = 0
    offset: int = 0
    series_limit: int = 0
    series_offset: int = 0


@dataclass(frozen=True, slots=True)
class ShowTagValues:
    """SHOW TAG VALUES."""

    key: KeyCondition
    database: str | None = None
    sources: tuple[Source, ...] = ()
    condition: Expression | None = None
    order: tuple[SortField, ...] = ()
    limit: int = 0
    offset: int = 0


@dataclass(frozen=True, slots=True)
class ShowFieldKeys:
    """SHOW FIELD KEYS."""

    database: str | None = None
    sources: tuple[Source, ...] = ()
    order: tuple[SortField, ...] = ()
    limit: int = 0
    offset: int = 0


class Cardinality(StrEnum):
    """What SHOW ... CARDINALITY counts."""

    SERIES = "SERIES"
    MEASUREMENT = "MEASUREMENT"
    TAG_KEY = "TAG KEY"
    TAG_VALUES = "TAG VALUES"
    FIELD_KEY = "FIELD KEY"


@dataclass(frozen=True, slots=True)
class ShowCardinality:
    """SHOW `what` [EXACT] CARDINALITY; `key` goes with TAG VALUES only."""

    what: Cardinality
    exact: bool = False
    database: str | None = None
    sources: tuple[Source, ...] = ()
    key: KeyCondition | None = None
    condition: Expression | None = None
    dimensions: tuple[Dimension, ...] = ()
    limit: int = 0
    offset: int = 0


@dataclass(frozen=True, slots=True)
class ShowRetentionPolicies:
    """SHOW RETENTION POLICIES."""

    database: str | None = None


@dataclass(frozen=True, slots=True)
class ShowShards:
    """SHOW SHARDS."""


@dataclass(frozen=True, slots=True)
class ShowShardGroups:
    """SHOW SHARD GROUPS."""


@dataclass(frozen=True, slots=True)
class ShowStats:
    """SHOW STATS [FOR 'module']."""

    module: str | None = None


@dataclass(frozen=True, slots=True)
class ShowDiagnostics:
    """SHOW DIAGNOSTICS [FOR 'module']."""

    module: str | None = None


@dataclass(frozen=True, slots=True)
class ShowQueries:
    """SHOW QUERIES."""


@dataclass(frozen=True, slots=True)
class ShowContinuousQueries:
    """SHOW CONTINUOUS QUERIES."""


@dataclass(frozen=True, slots=True)
class ShowSubscriptions:
    """SHOW SUBSCRIPTIONS."""


@dataclass(frozen=True, slots=True)
class ShowUsers:
    """SHOW USERS."""


@dataclass(frozen=True, slots=True)
class ShowGrants:
    """SHOW GRANTS FOR."""

    user: str


# -- databases, policies, data


@dataclass(frozen=True, slots=True)
class CreateDatabase:
    """CREATE DATABASE; `policy` None = without WITH."""

    name: str
    policy: PolicyOptions | None = None


@dataclass(frozen=True, slots=True)
class DropDatabase:
    """DROP DATABASE."""

    name: str


@dataclass(frozen=True, slots=True)
class CreateRetentionPolicy:
    """CREATE RETENTION POLICY; a duration of 0 is without end, `shard_duration` None = not given."""

    name: str
    database: str
    duration: int
    replication: int
    shard_duration: int | None = None
    default: bool = False


@dataclass(frozen=True, slots=True)
class AlterRetentionPolicy:
    """ALTER RETENTION POLICY; None = as it is."""

    name: str
    database: str
    duration: int | None = None
    replication: int | None = None
    shard_duration: int | None = None
    default: bool = False


@dataclass(frozen=True, slots=True)
class DropRetentionPolicy:
    """DROP RETENTION POLICY."""

    name: str
    database: str


@dataclass(frozen=True, slots=True)
class DropMeasurement:
    """DROP MEASUREMENT."""

    name: str


@dataclass(frozen=True, slots=True)
class DropSeries:
    """DROP SERIES: sources, a condition, or both."""

    sources: tuple[Source, ...] = ()
    condition: Expression | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """DELETE: sources, a condition, or both."""

    sources: tuple[Source, ...] = ()
    condition: Expression | None = None


@dataclass(frozen=True, slots=True)
class DropShard:
    """DROP SHARD."""

    shard: int


# -- continuous queries, subscriptions, running queries


@dataclass(frozen=True, slots=True)
class CreateContinuousQuery:
    """CREATE CONTINUOUS QUERY; `every` and `span` are what RESAMPLE EVERY and FOR say, None = not given."""

    name: str
    database: str
    select: Select
    every: int | None = None
    span: int | None = None


@dataclass(frozen=True, slots=True)
class DropContinuousQuery:
    """DROP CONTINUOUS QUERY."""

    name: str
    database: str


@dataclass(frozen=True, slots=True)
class CreateSubscription:
    """CREATE SUBSCRIPTION; `mode` is ALL or ANY."""

    name: str
    database: str
    policy: str
    mode: str
    destinations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DropSubscription:
    """DROP SUBSCRIPTION."""

    name: str
    database: str
    policy: str


@dataclass(frozen=True, slots=True)
class KillQuery:
    """KILL QUERY [ON host]."""

    query: int
    host: str | None = None


# -- users


@dataclass(frozen=True, slots=True)
class CreateUser:
    """CREATE USER [WITH ALL PRIVILEGES]."""

    name: str
    password: str = field(repr=False)
    admin: bool = False


@dataclass(frozen=True, slots=True)
class SetPassword:
    """SET PASSWORD FOR."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class DropUser:
    """DROP USER."""

    name: str


@dataclass(frozen=True, slots=True)
class Grant:
    """GRANT privilege ON database TO user."""

    privilege: Privilege
    database: str
    user: str


@dataclass(frozen=True, slots=True)
class GrantAdmin:
    """GRANT ALL PRIVILEGES TO user."""

    user: str


@dataclass(frozen=True, slots=True)
class Revoke:
    """REVOKE privilege ON database FROM user."""

    privilege: Privilege
    database: str
    user: str


@dataclass(frozen=True, slots=True)
class RevokeAdmin:
    """REVOKE ALL PRIVILEGES FROM user."""

    user: str


Statement = (
    Select
    | Explain
    | ShowDatabases
    | ShowMeasurements
    | ShowSeries
    | ShowTagKeys
    | ShowTagValues
    | ShowFieldKeys
    | ShowCardinality
    | ShowRetentionPolicies
    | ShowShards
    | ShowShardGroups
    | ShowStats
    | ShowDiagnostics
    | ShowQueries
    | ShowContinuousQueries
    | ShowSubscriptions
    | ShowUsers
    | ShowGrants
    | CreateDatabase
    | DropDatabase
    | CreateRetentionPolicy
    | AlterRetentionPolicy
    | DropRetentionPolicy
    | DropMeasurement
    | DropSeries
    | Delete
    | DropShard
    | CreateContinuousQuery
    | DropContinuousQuery
    | CreateSubscription
    | DropSubscription
    | KillQuery
    | CreateUser
    | SetPassword
    | DropUser
    | Grant
    | GrantAdmin
    | Revoke
    | RevokeAdmin
)
