"""What each statement requires of who asks for it, as data; and InfluxDB 1.x's words where that is missing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from rusts import errors
from rusts.influxql import ast
from rusts.influxql.printer import text
from rusts.model.accounts import Privilege

__all__ = ["Principal", "Required", "authorize", "changes", "required_privileges"]


@dataclass(frozen=True, slots=True)
class Required:
    """`privilege` in `database`; a database of None: to be an administrator."""

    database: str | None
    privilege: Privilege = Privilege.ALL


class Principal(Protocol):
    """Who asks."""

    @property
    def name(self) -> str:
        """For texts."""
        ...

    @property
    def admin(self) -> bool:
        """May do everything."""
        ...

    @property
    def first(self) -> bool:
        """There are no accounts yet: nothing is allowed but making the first administrator."""
        ...

    def may(self, wanted: Privilege, database: str) -> bool:
        """Whether `wanted` is granted in the database."""
        ...

    def sees(self, database: str) -> bool:
        """Whether the database is shown to them at all."""
        ...


_ADMIN: Final = Required(None)

_OPEN: Final = (ast.ShowDatabases, ast.ShowQueries)
"""Statements for everyone; what they show depends on who asks."""

_READING: Final = (
    ast.ShowMeasurements,
    ast.ShowSeries,
    ast.ShowTagKeys,
    ast.ShowTagValues,
    ast.ShowFieldKeys,
    ast.ShowCardinality,
    ast.ShowRetentionPolicies,
    ast.ShowContinuousQueries,
)
_WRITING: Final = (ast.DropSeries, ast.Delete, ast.DropContinuousQuery)

_CHANGING: Final = (
    ast.CreateDatabase,
    ast.DropDatabase,
    ast.CreateRetentionPolicy,
    ast.AlterRetentionPolicy,
    ast.DropRetentionPolicy,
    ast.DropMeasurement,
    ast.DropSeries,
    ast.DropShard,
    ast.CreateContinuousQuery,
    ast.DropContinuousQuery,
    ast.CreateSubscription,
    ast.DropSubscription,
    ast.KillQuery,
    ast.CreateUser,
    ast.SetPassword,
    ast.DropUser,
    ast.Grant,
    ast.GrantAdmin,
    ast.Revoke,
    ast.RevokeAdmin,
)


def changes(statement: ast.Statement) -> bool:
    """Whether InfluxDB 1.x calls the statement a change, which is not for GET. (DELETE it lets pass.)"""
    return isinstance(statement, _CHANGING) or (isinstance(statement, ast.Select) and statement.target is not None)


def required_privileges(statement: ast.Statement, database: str) -> list[Required]:
    """All of them are required. `database` is the one that the request names, "" for none."""
    match statement:
        case ast.Select():
            return _of_select(statement, database)
        case ast.Explain(select=select):
            return _of_select(select, database)
        case ast.ShowGrants() | ast.ShowUsers():
            return [_ADMIN]
        case ast.CreateContinuousQuery(database=its, select=select):
            return [Required(its, Privilege.READ), *_of_target(select, its)]
    if isinstance(statement, _OPEN):
        return []
    if isinstance(statement, _READING):
        return [Required(getattr(statement, "database", None) or database, Privilege.READ)]
    if isinstance(statement, _WRITING):
        return [Required(getattr(statement, "database", None) or database, Privilege.WRITE)]
    return [_ADMIN]


def _of_select(select: ast.Select, database: str) -> list[Required]:
    found: dict[Required, None] = {}
    for source in select.sources:
        if isinstance(source, ast.Subquery):
            found |= dict.fromkeys(_of_select(source.select, database))
        else:
            found[Required(source.database or database, Privilege.READ)] = None
    return [*found, *_of_target(select, database)]


def _of_target(select: ast.Select, database: str) -> list[Required]:
    target = select.target
    return [] if target is None else [Required(target.database or database, Privilege.WRITE)]


def authorize(statements: Iterable[ast.Statement], principal: Principal, database: str) -> None:
    """Raises Forbidden unless `principal` may run all of `statements`."""
    if principal.admin:
        return
    for number, statement in enumerate(statements):
        if principal.first:
            # Whoever comes first may make an administrator, and nothing else.
            if number == 0 and isinstance(statement, ast.CreateUser) and statement.admin:
                continue
            raise errors.Forbidden("error authorizing query: create admin user first or disable authentication")
        if isinstance(statement, ast.SetPassword) and statement.user == principal.name:
            continue
        for required in required_privileges(statement, database):
            if required.database is None:
                raise _refusal(statement, principal, "admin privilege")
            if not principal.may(required.privilege, required.database):
                raise _refusal(statement, principal, f"{required.privilege.name} on {required.database}")


def _refusal(statement: ast.Statement, principal: Principal, wanted: str) -> errors.Forbidden:
    return errors.Forbidden(
        f"error authorizing query: {principal.name} not authorized to execute statement "
        f"'{text(statement)}', requires {wanted}"
    )
