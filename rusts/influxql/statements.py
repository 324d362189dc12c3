"""Runs lists of statements: one result each, in their order; what follows a failure is not executed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from rusts import errors
from rusts.influxql import (
    ast,
    ddl,
    show,
    showserver,
    users,
)
from rusts.influxql.cardinality import show_cardinality
from rusts.influxql.context import Context, Services, Session
from rusts.influxql.names import qualified
from rusts.influxql.plancache import PlanCache
from rusts.influxql.printer import text
from rusts.influxql.privileges import changes
from rusts.influxql.results import Cuts, Frame, StatementResult
from rusts.influxql.selecting import explain, select
from rusts.query.limits import Tracker

__all__ = ["Statements", "error_text"]

_SHOWS: Final[dict[type, Callable[[Context, Any], Iterator[Frame]]]] = {
    ast.ShowDatabases: show.show_databases,
    ast.ShowMeasurements: show.show_measurements,
    ast.ShowSeries: show.show_series,
    ast.ShowTagKeys: show.show_tag_keys,
    ast.ShowTagValues: show.show_tag_values,
    ast.ShowFieldKeys: show.show_field_keys,
    ast.ShowCardinality: show_cardinality,
    ast.ShowRetentionPolicies: show.show_retention_policies,
    ast.ShowShards: showserver.show_shards,
    ast.ShowShardGroups: showserver.show_shard_groups,
    ast.ShowStats: showserver.show_stats,
    ast.ShowDiagnostics: showserver.show_diagnostics,
    ast.ShowQueries: showserver.show_queries,
    ast.ShowContinuousQueries: showserver.show_continuous_queries,
    ast.ShowSubscriptions: showserver.show_subscriptions,
    ast.ShowUsers: showserver.show_users,
    ast.ShowGrants: showserver.show_grants,
}
_CHANGES: Final[dict[type, Callable[[Context, Any], None]]] = {
    ast.CreateDatabase: ddl.create_database,
    ast.DropDatabase: ddl.drop_database,
    ast.CreateRetentionPolicy: ddl.create_retention_policy,
    ast.AlterRetentionPolicy: ddl.alter_retention_policy,
    ast.DropRetentionPolicy: ddl.drop_retention_policy,
    ast.DropMeasurement: ddl.drop_measurement,
    ast.DropSeries: ddl.drop_series,
    ast.Delete: ddl.delete,
    ast.DropShard: ddl.drop_shard,
    ast.CreateContinuousQuery: ddl.create_continuous_query,
    ast.DropContinuousQuery: ddl.drop_continuous_query,
    ast.CreateSubscription: ddl.refuse_subscription,
    ast.DropSubscription: ddl.refuse_subscription,
    ast.KillQuery: ddl.kill_query,
    ast.CreateUser: users.create_user,
    ast.SetPassword: users.set_password,
    ast.DropUser: users.drop_user,
    ast.Grant: users.grant,
    ast.GrantAdmin: users.grant_admin,
    ast.Revoke: users.revoke,
    ast.RevokeAdmin: users.revoke_admin,
}
_CUTS: Final[dict[type, Cuts]] = {
    ast.Select: Cuts.ROWS,
    ast.ShowSeries: Cuts.ROWS,
    ast.ShowFieldKeys: Cuts.ROWS,
    ast.ShowCardinality: Cuts.ROWS,
    ast.ShowTagKeys: Cuts.SERIES,
    ast.ShowTagValues: Cuts.SERIES,
}


def error_text(problem: BaseException) -> str:
    """What a result says of `problem`. (``/write`` quotes the name of a database, a query does not.)"""
    if isinstance(problem, errors.DatabaseNotFound):
        return f"database not found: {problem.name}"
    if isinstance(problem, errors.NotDefined):
        return f"unsupported {problem.function} iterator type: *query.{problem.type}InterruptIterator"
    return str(problem)


class Statements:
    """Runs statements with `services`. Thread-safe."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._plans = PlanCache()

    def run(self, statements: Sequence[ast.Statement], session: Session, tracker: Tracker) -> Iterator[StatementResult]:
        """A result for each statement, which runs while its frames are iterated, and does so before the next one's.

        Blocks. Raises NotReady where the first statement meets it, and what is nobody's fault but ours.
        """
        failed = False
        for number, statement in enumerate(statements):
            result = StatementResult(number, iter(()), cuts=_CUTS.get(type(statement), Cuts.NONE))
            if failed:
                result.error = "not executed"
            else:
                result.frames = self._frames(Context(self._services, session, tracker, result), statement)
            yield result
            failed = failed or result.error is not None

    def _frames(self, context: Context, statement: ast.Statement) -> Iterator[Frame]:
        result, session = context.result, context.session
        changing = changes(statement)
        try:
            context.tracker.check()
            if changing and session.reading:
                self._warn(context, statement)
            yield from self._execute(context, statement)
        except errors.NotReady as problem:
            if result.id == 0:
                raise
            result.error = error_text(problem)
        except (errors.UserError, errors.RetryLater, errors.WorldError) as problem:
            result.error = error_text(problem)
        except OSError as problem:
            result.error = f"{problem.strerror or problem}"
        except MemoryError:
            # Arrow's is one of these too.
            result.error = "out of memory"
        finally:
            if result.error is not None and changing:
                # 1.x does not lecture on what it refuses.
                result.messages.clear()
            if session.audit is not None and (changing or isinstance(statement, ast.Delete)):
                session.audit(statement, result.error or "ok")

    def _warn(self, context: Context, statement: ast.Statement) -> None:
        if isinstance(statement, ast.Select):
            statement = qualified(statement, context, context.session.database)
        context.result.messages.append(
            f"deprecated use of '{text(statement)}' in a read only context, please use a POST request instead"
        )

    def _execute(self, context: Context, statement: ast.Statement) -> Iterator[Frame]:
        match statement:
            case ast.Select():
                return select(context, statement, self._plans)
            case ast.Explain():
                return explain(context, statement, self._plans)
        if (shows := _SHOWS.get(type(statement))) is not None:
            return shows(context, statement)
        _CHANGES[type(statement)](context, statement)
        return iter(())
