"""Reads the statements that define and remove: databases, policies, data, continuous queries, subscriptions, users.

Each method begins behind the words that say which statement it is. All raise ParseError.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rusts.influxql import ast
from rusts.influxql.ast import Dimension, Privilege, Statement
from rusts.influxql.lexer import ParseError
from rusts.influxql.literals import duration_text, parse_duration
from rusts.influxql.selects import SelectParser
from rusts.query.expression import Binary, CalendarDuration, Duration, Expression, Function, Now, Paren

__all__ = ["DefinitionParser"]

_MOST_REPLICAS: Final = (1 << 31) - 1
_LARGEST: Final = (1 << 63) - 1
_LARGEST_UNSIGNED: Final = (1 << 64) - 1
_MONTH: Final = 30 * 86_400_000_000_000
_PRIVILEGES: Final = {"READ": Privilege.READ, "WRITE": Privilege.WRITE, "ALL": Privilege.ALL}


class DefinitionParser(SelectParser):
    """Reads statements that define and remove."""

    def name(self) -> str:
        """A name."""
        return self.tokens.need("IDENT")

    def from_clause(self) -> tuple[ast.Source, ...]:
        """FROM, if it is next."""
        return self.sources() if self.tokens.take("FROM") else ()

    # -- databases and policies

    def create_database(self) -> Statement:
        """CREATE DATABASE, whose words were the last tokens; so in all that follow."""
        tokens = self.tokens
        name = self.name()
        if not tokens.take("WITH"):
            return ast.CreateDatabase(name)
        if tokens.kinds[tokens.at] not in ("DURATION", "NAME", "REPLICATION", "SHARD"):
            raise tokens.found("DURATION, NAME, REPLICATION, SHARD")
        duration = self._policy_duration() if tokens.take("DURATION") else None
        replication = self._replication() if tokens.take("REPLICATION") else None
        shard_duration = self._shard_duration(endless=True) if tokens.take("SHARD") else None
        policy = self.name() if tokens.take("NAME") else None
        return ast.CreateDatabase(name, ast.PolicyOptions(duration, replication, shard_duration, policy))

    def create_policy(self) -> Statement:
        """CREATE RETENTION."""
        tokens = self.tokens
        name, database = self._policy_name()
        tokens.need("DURATION")
        duration = self._policy_duration()
        tokens.need("REPLICATION")
        replication = self._replication()
        shard_duration = self._shard_duration() if tokens.take("SHARD") else None
        return ast.CreateRetentionPolicy(name, database, duration, replication, shard_duration, tokens.take("DEFAULT"))

    def alter_policy(self) -> Statement:
        """ALTER."""
        tokens = self.tokens
        tokens.need("RETENTION")
        name, database = self._policy_name()
        options: dict[str, int] = {}
        while True:
            word = tokens.kinds[tokens.at]
            if word not in ("DURATION", "REPLICATION", "SHARD", "DEFAULT"):
                break
            if word in options:
                raise ParseError(f"found duplicate {word} option{tokens.place(tokens.at)}")
            tokens.at += 1
            if word == "DURATION":
                options[word] = self._policy_duration()
            elif word == "REPLICATION":
                options[word] = self._replication()
            else:
                options[word] = self._shard_duration() if word == "SHARD" else 1
        if not options:
            raise tokens.found("DURATION, REPLICATION, SHARD, DEFAULT")
        return ast.AlterRetentionPolicy(
            name,
            database,
            options.get("DURATION"),
            options.get("REPLICATION"),
            options.get("SHARD"),
            "DEFAULT" in options,
        )

    def drop_policy(self) -> Statement:
        """DROP RETENTION."""
        return ast.DropRetentionPolicy(*self._policy_name())

    def _policy_name(self) -> tuple[str, str]:
        self.tokens.need("POLICY")
        return self._name_on()

    def _name_on(self) -> tuple[str, str]:
        name = self.name()
        self.tokens.need("ON")
        return name, self.name()

    def _policy_duration(self) -> int:
        """A duration in ns, 0 for INF."""
        tokens = self.tokens
        if tokens.take("INF"):
            return 0
        text = tokens.need("LENGTH")
        at = tokens.at - 1
        try:
            ns = parse_duration(text)
        except OverflowError as problem:
            raise ParseError(f"{problem}{tokens.place(at)}") from None
        if ns is None:
            raise ParseError(f"invalid duration{tokens.place(at)}")
        return ns

    def _shard_duration(self, endless: bool = False) -> int:
        tokens = self.tokens
        tokens.need("DURATION")
        if tokens.kinds[tokens.at] == "INF" and not endless:
            raise ParseError(f"invalid duration INF for shard duration{tokens.place(tokens.at)}")
        return self._policy_duration()

    def _replication(self) -> int:
        tokens = self.tokens
        digits = tokens.need("INTEGER")
        at = tokens.at - 1
        value = int(digits) if len(digits) < 20 else _LARGEST + 1
        if value > _LARGEST:
            raise ParseError(f'strconv.Atoi: parsing "{digits}": value out of range{tokens.place(at)}')
        if not 1 <= value <= _MOST_REPLICAS:
            raise ParseError(f"invalid value {value}: must be 1 <= n <= {_MOST_REPLICAS}{tokens.place(at)}")
        return value

    def unsigned(self) -> int:
        """A number from 0 to 2**64 - 1."""
        tokens = self.tokens
        digits = tokens.need("INTEGER")
        value = int(digits) if len(digits) <= 20 else _LARGEST_UNSIGNED + 1
        if not 0 <= value <= _LARGEST_UNSIGNED:
            reason = "invalid syntax" if value < 0 else "value out of range"
            raise ParseError(f'strconv.ParseUint: parsing "{digits}": {reason}{tokens.place(tokens.at - 1)}')
        return value

    # -- data

    def drop_series(self) -> Statement:
        """DROP SERIES."""
        return ast.DropSeries(*self._dropped())

    def delete(self) -> Statement:
        """DELETE."""
        return ast.Delete(*self._dropped())

    def _dropped(self) -> tuple[tuple[ast.Source, ...], Expression | None]:
        tokens = self.tokens
        if tokens.kinds[tokens.at] not in ("FROM", "WHERE"):
            raise tokens.found("FROM, WHERE")
        sources = self.from_clause()
        for source in sources:
            assert isinstance(source, ast.MeasurementName)
            if source.policy is not None:
                raise ParseError("retention policy not supported at line 1, char 1")
            if source.database is not None:
                raise ParseError("database not supported at line 1, char 1")
        return sources, self.condition()

    # -- continuous queries and subscriptions

    def create_continuous_query(self) -> Statement:
        """CREATE CONTINUOUS."""
        tokens = self.tokens
        tokens.need("QUERY")
        name, database = self._name_on()
        every = span = None
        if tokens.take("RESAMPLE"):
            every = self._resample("EVERY")
            span = self._resample("FOR")
            if every is None and span is None:
                raise tokens.found("EVERY, FOR")
        tokens.need("BEGIN")
        select = self.select(target_needed=True)
        interval = self._interval(select)
        if span is not None and span < max(interval, every or 0):
            least, got = duration_text(max(interval, every or 0)), duration_text(span)
            raise ParseError(f"FOR duration must be >= GROUP BY time duration: must be a minimum of {least}, got {got}")
        tokens.need("END")
        return ast.CreateContinuousQuery(name, database, select, every, span)

    def _resample(self, word: str) -> int | None:
        tokens = self.tokens
        if not tokens.take(word):
            return None
        if tokens.kinds[tokens.at] != "LENGTH":
            raise tokens.found("duration")
        return self._policy_duration() or None

    def _interval(self, select: ast.Select) -> int:
        """The ns of GROUP BY time, 0 without it; a query that calls a function must have it."""
        interval, trouble = _interval(select.dimensions)
        if not interval and any(_calls(field.expression) for field in select.fields):
            tokens = self.tokens
            expected = f"GROUP BY time(...), {trouble}" if trouble else "GROUP BY time(...)"
            place = tokens.place(tokens.at - 1)
            raise ParseError(f"found {tokens.values[tokens.at - 1]}, expected {expected}{place}")
        if trouble:
            raise ParseError(trouble)
        return interval

    def drop_continuous_query(self) -> Statement:
        """DROP CONTINUOUS."""
        self.tokens.need("QUERY")
        return ast.DropContinuousQuery(*self._name_on())

    def create_subscription(self) -> Statement:
        """CREATE SUBSCRIPTION."""
        tokens = self.tokens
        names = self._subscription_name()
        tokens.need("DESTINATIONS")
        mode = tokens.kinds[tokens.at]
        if mode not in ("ALL", "ANY"):
            raise tokens.found("ALL, ANY")
        tokens.at += 1
        return ast.CreateSubscription(*names, mode, self.items(self._string))

    def drop_subscription(self) -> Statement:
        """DROP SUBSCRIPTION."""
        return ast.DropSubscription(*self._subscription_name())

    def _subscription_name(self) -> tuple[str, str, str]:
        tokens = self.tokens
        name, database = self._name_on()
        if not tokens.adjacent() and tokens.kinds[tokens.at] != "EOF":
            raise tokens.found_space(".")
        tokens.need(".")
        return name, database, self.name()

    def _string(self) -> str:
        return self.tokens.need("STRING")

    # -- users

    def create_user(self) -> Statement:
        """CREATE USER."""
        tokens = self.tokens
        name = self.name()
        tokens.need("WITH")
        tokens.need("PASSWORD")
        password = self._string()
        admin = tokens.take("WITH")
        if admin:
            tokens.need("ALL")
            tokens.need("PRIVILEGES")
        return ast.CreateUser(name, password, admin)

    def set_password(self) -> Statement:
        """SET."""
        tokens = self.tokens
        tokens.need("PASSWORD")
        tokens.need("FOR")
        name = self.name()
        tokens.need("=")
        return ast.SetPassword(name, self._string())

    def grant(self) -> Statement:
        """GRANT."""
        privilege, database, user = self._granted("TO")
        return ast.GrantAdmin(user) if database is None else ast.Grant(privilege, database, user)

    def revoke(self) -> Statement:
        """REVOKE."""
        privilege, database, user = self._granted("FROM")
        return ast.RevokeAdmin(user) if database is None else ast.Revoke(privilege, database, user)

    def _granted(self, word: str) -> tuple[Privilege, str | None, str]:
        """Privilege, database (None = all, and to be an admin) and user; `word` stands before the user."""
        tokens = self.tokens
        privilege = _PRIVILEGES.get(tokens.kinds[tokens.at])
        if privilege is None:
            raise tokens.found("READ, WRITE, ALL [PRIVILEGES]")
        tokens.at += 1
        database = None
        if privilege is Privilege.ALL:
            tokens.take("PRIVILEGES")
            if tokens.kinds[tokens.at] not in ("ON", word):
                raise tokens.found(f"ON, {word}")
        if privilege is not Privilege.ALL or tokens.kinds[tokens.at] == "ON":
            tokens.need("ON")
            database = self.name()
        tokens.need(word)
        return privilege, database, self.name()


def _interval(dimensions: Sequence[Dimension]) -> tuple[int, str]:
    """The ns of the first ``time(...)`` (a month counts as 30 days), 0 if there is none; what is wrong with it."""
    for dimension in dimensions:
        match dimension.expression:
            case Function(name="time", args=args) if not 1 <= len(args) <= 2:
                return 0, "time dimension expected 1 or 2 arguments"
            case Function(name="time", args=(Duration(ns=ns), *_)):
                return ns, ""
            case Function(name="time", args=(CalendarDuration(months=months), *_)):
                return months * _MONTH, ""
            case Function(name="time"):
                return 0, "time dimension must have duration argument"
            case _:
                pass
    return 0, ""


def _calls(expression: Expression) -> bool:
    """True if a function is called anywhere in the expression."""
    match expression:
        case Function() | Now():
            return True
        case Binary(left=left, right=right):
            return _calls(left) or _calls(right)
        case Paren(inner=inner):
            return _calls(inner)
        case _:
            return False
