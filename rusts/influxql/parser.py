"""Reads InfluxQL: a text into statements.

The language is that of InfluxDB 1.6.7, its error texts too. What goes beyond it stands in `rusts.influxql.selects`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from rusts.influxql import ast
from rusts.influxql.ast import Cardinality, KeyCondition, KeyOp, Statement
from rusts.influxql.definitions import DefinitionParser
from rusts.influxql.lexer import ParseError

__all__ = ["MAX_TOKENS", "ParseError", "parse"]

MAX_TOKENS: Final = 50_000
"""Names, literals, operators and brackets of a statement: what reads and plans it takes so much time for each."""


_Branch = Callable[["_Parser"], Statement]
_Branches = Mapping[str, _Branch]


def parse(text: str, parameters: Mapping[str, object] | None = None) -> list[Statement]:
    """The statements of `text`, which are separated by semicolons; none if it says nothing.

    `parameters` are the values that ``$name`` stands for, as JSON gives them (see `rusts.influxql.literals.bind`).
    Raises ParseError for the first fault.
    """
    return _Parser(text.strip(), parameters or {}).statements()


class _Parser(DefinitionParser):
    """Reads statements."""

    def statements(self) -> list[Statement]:
        tokens = self.tokens
        statements: list[Statement] = []
        while True:
            while tokens.take(";"):
                pass
            if tokens.kinds[tokens.at] == "EOF":
                return statements
            try:
                length = tokens.kinds.index(";", tokens.at) - tokens.at
            except ValueError:
                length = len(tokens.kinds) - tokens.at
            if length > MAX_TOKENS:
                raise ParseError(f"statement is too long: more than {MAX_TOKENS} words and signs")
            statements.append(self._choose(_STATEMENTS))
            if tokens.kinds[tokens.at] not in (";", "EOF"):
                raise tokens.found(";")

    def _choose(self, branches: _Branches) -> Statement:
        """What the next word begins; it is stepped over."""
        tokens = self.tokens
        branch = branches.get(tokens.kinds[tokens.at])
        if branch is None:
            raise tokens.found(", ".join(branches))
        tokens.at += 1
        return branch(self)

    # -- SHOW

    def _show_measurements(self) -> Statement:
        database = self._on()
        source = None
        if self.tokens.take("WITH"):
            self.tokens.need("MEASUREMENT")
            if not self.tokens.take("=") and not self.tokens.take("=~"):
                raise self.tokens.found("=, =~")
            source = self.measurement()
        return ast.ShowMeasurements(
            database, source, self.condition(), self.order_by(), self.count("LIMIT"), self.count("OFFSET")
        )

    def _show_series(self) -> Statement:
        exact = self.tokens.take("EXACT")
        if self.tokens.take("CARDINALITY"):
            return self._cardinality(Cardinality.SERIES, exact)
        return ast.ShowSeries(
            self._on(), self.from_clause(), self.condition(), self.order_by(), self.count("LIMIT"), self.count("OFFSET")
        )

    def _show_tag_keys(self) -> Statement:
        return ast.ShowTagKeys(
            self._on(),
            self.from_clause(),
            self.condition(),
            self.order_by(),
            self.count("LIMIT"),
            self.count("OFFSET"),
            self.count("SLIMIT"),
            self.count("SOFFSET"),
        )

    def _show_tag_values(self) -> Statement:
        if self.tokens.kinds[self.tokens.at] in ("EXACT", "CARDINALITY"):
            return self._counted(Cardinality.TAG_VALUES)
        database, sources, key = self._on(), self.from_clause(), self._with_key()
        return ast.ShowTagValues(
            key, database, sources, self.condition(), self.order_by(), self.count("LIMIT"), self.count("OFFSET")
        )

    def _show_field_keys(self) -> Statement:
        return ast.ShowFieldKeys(
            self._on(), self.from_clause(), self.order_by(), self.count("LIMIT"), self.count("OFFSET")
        )

    def _counted(self, what: Cardinality) -> Statement:
        """EXACT and CARDINALITY, and what they count."""
        exact = self.tokens.take("EXACT")
        if not self.tokens.take("CARDINALITY"):
            raise self.tokens.found("CARDINALITY" if exact else "EXACT, CARDINALITY")
        return self._cardinality(what, exact)

    def _cardinality(self, what: Cardinality, exact: bool) -> Statement:
        return ast.ShowCardinality(
            what,
            exact,
            self._on(),
            self.from_clause(),
            self._with_key() if what is Cardinality.TAG_VALUES else None,
            self.condition(),
            self.dimensions(),
            self.count("LIMIT"),
            self.count("OFFSET"),
        )

    def _show_policies(self) -> Statement:
        self.tokens.need("POLICIES")
        return ast.ShowRetentionPolicies(self._on())

    def _show_grants(self) -> Statement:
        self.tokens.need("FOR")
        return ast.ShowGrants(self.tokens.need("IDENT"))

    def _on(self) -> str | None:
        """ON and a database, if they are next; an empty name is none."""
        return (self.tokens.need("IDENT") or None) if self.tokens.take("ON") else None

    def _for(self) -> str | None:
        return self.tokens.need("STRING") if self.tokens.take("FOR") else None

    def _with_key(self) -> KeyCondition:
        tokens = self.tokens
        tokens.need("WITH")
        tokens.need("KEY")
        op = _KEY_OPS.get(tokens.kinds[tokens.at])
        if op is None:
            raise tokens.found("IN, =, =~")
        tokens.at += 1
        if op in (KeyOp.MATCH, KeyOp.NOT_MATCH):
            pattern = tokens.regex()
            if pattern is None:
                raise tokens.found("regex", looked=True)
            return KeyCondition(op, pattern=pattern)
        if op is not KeyOp.IN:
            return KeyCondition(op, (tokens.need("IDENT"),))
        tokens.need("(")
        keys = self.items(self.name)
        tokens.need(")")
        return KeyCondition(op, keys)

    # -- queries

    def _explain(self) -> Statement:
        analyze = self.tokens.take("ANALYZE")
        return ast.Explain(self.select(), analyze)

    def _kill(self) -> Statement:
        self.tokens.need("QUERY")
        return ast.KillQuery(self.unsigned(), self.name() if self.tokens.take("ON") else None)


def _then(word: str, branch: _Branch) -> _Branch:
    """`branch` behind a further `word`."""

    def parse(parser: _Parser) -> Statement:
        parser.tokens.need(word)
        return branch(parser)

    return parse


_KEY_OPS: Final = {op.value: op for op in KeyOp}

# In the order in which errors name them.
_SHOW_FIELD: Final[_Branches] = {
    "KEY": lambda parser: parser._counted(Cardinality.FIELD_KEY),
    "KEYS": _Parser._show_field_keys,
}
_SHOW_TAG: Final[_Branches] = {
    "KEY": lambda parser: parser._counted(Cardinality.TAG_KEY),
    "KEYS": _Parser._show_tag_keys,
    "VALUES": _Parser._show_tag_values,
}
_SHOW: Final[_Branches] = {
    "CONTINUOUS": _then("QUERIES", lambda _: ast.ShowContinuousQueries()),
    "DATABASES": lambda _: ast.ShowDatabases(),
    "DIAGNOSTICS": lambda parser: ast.ShowDiagnostics(parser._for()),
    "FIELD": lambda parser: parser._choose(_SHOW_FIELD),
    "GRANTS": _Parser._show_grants,
    "MEASUREMENT": lambda parser: parser._counted(Cardinality.MEASUREMENT),
    "MEASUREMENTS": _Parser._show_measurements,
    "QUERIES": lambda _: ast.ShowQueries(),
    "RETENTION": _Parser._show_policies,
    "SERIES": _Parser._show_series,
    "SHARD": _then("GROUPS", lambda _: ast.ShowShardGroups()),
    "SHARDS": lambda _: ast.ShowShards(),
    "STATS": lambda parser: ast.ShowStats(parser._for()),
    "SUBSCRIPTIONS": lambda _: ast.ShowSubscriptions(),
    "TAG": lambda parser: parser._choose(_SHOW_TAG),
    "USERS": lambda _: ast.ShowUsers(),
}
_CREATE: Final[_Branches] = {
    "CONTINUOUS": _Parser.create_continuous_query,
    "DATABASE": _Parser.create_database,
    "USER": _Parser.create_user,
    "RETENTION": _Parser.create_policy,
    "SUBSCRIPTION": _Parser.create_subscription,
}
_DROP: Final[_Branches] = {
    "CONTINUOUS": _Parser.drop_continuous_query,
    "DATABASE": lambda parser: ast.DropDatabase(parser.name()),
    "MEASUREMENT": lambda parser: ast.DropMeasurement(parser.name()),
    "RETENTION": _Parser.drop_policy,
    "SERIES": _Parser.drop_series,
    "SHARD": lambda parser: ast.DropShard(parser.unsigned()),
    "SUBSCRIPTION": _Parser.drop_subscription,
    "USER": lambda parser: ast.DropUser(parser.name()),
}
_STATEMENTS: Final[_Branches] = {
    "SELECT": _Parser.selected,
    "DELETE": _Parser.delete,
    "SHOW": lambda parser: parser._choose(_SHOW),
    "CREATE": lambda parser: parser._choose(_CREATE),
    "DROP": lambda parser: parser._choose(_DROP),
    "EXPLAIN": _Parser._explain,
    "GRANT": _Parser.grant,
    "REVOKE": _Parser.revoke,
    "ALTER": _Parser.alter_policy,
    "SET": _Parser.set_password,
    "KILL": _Parser._kill,
}
