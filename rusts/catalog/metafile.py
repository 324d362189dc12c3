"""meta.sqlite as a file: one connection, one durable transaction at a time, and doubt after a failure.

The checksum of a page tells that it is some page which was written once, not that it is the latest, or in
its place. So a digest of all rows is kept with them, and every transaction moves it along.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Final

import apsw

from rusts.catalog import tables
from rusts.catalog.connection import check_head, connect, translated
from rusts.catalog.tables import signed, unsigned
from rusts.errors import Corruption
from rusts.files import Files

__all__ = ["MetaFile", "Work", "load", "publish"]

Work = Callable[[apsw.Connection], None]

_NEW: Final = ".new"


def load(files: Files, path: str, take: Work, *, read_only: bool = False) -> apsw.Connection:
    """Open the file `path`, check all of it, and let `take` read its tables.

    Raises Corruption (also where `take` raises KeyError or ValueError: rows that do not fit together),
    FormatTooNew and OSError.
    """
    with translated(path):
        connection = connect(files, path, read_only=read_only)
        try:
            # One read transaction: a server that runs beside us writes nothing meanwhile. Its first read
            # plays back a journal that a crash left; before that the header may be anything.
            connection.execute("BEGIN")
            connection.pragma("schema_version")
            check_head(files, path)
            tables.check_version(connection, path)
            try:
                if tables.digest(connection) != unsigned(tables.read_state(connection)["digest"]):
                    raise Corruption(path, 0, "its rows are not those of its last transaction")
                take(connection)
            except (KeyError, ValueError, apsw.SQLError) as problem:
                raise Corruption(path, 0, f"its tables do not fit together: {problem!r}") from problem
            connection.execute("COMMIT")
        except BaseException:
            connection.close(True)
            raise
    return connection


def publish(files: Files, path: str, fill: Work) -> None:
    """Make (or replace) the file `path`: under another name first, then renamed. A crash leaves the old or the new."""
    temporary = path + _NEW
    for name in (temporary, temporary + "-journal"):
        if files.exists(name):
            files.remove(name)
    with translated(temporary):
        connection = connect(files, temporary, create=True)
        try:
            connection.execute("BEGIN IMMEDIATE")
            tables.create(connection)
            fill(connection)
            tables.write_state(connection, {"digest": signed(tables.digest(connection))})
            connection.execute("COMMIT")
        finally:
            connection.close(True)
    files.publish(temporary, path)


class MetaFile:
    """The open meta.sqlite. The caller holds a lock around each call.

    `sequence` counts the transactions. It is on disk too, which tells after a failure whether the
    transaction that failed is there all the same.
    """

    def __init__(self, files: Files, path: str) -> None:
        self._files = files
        self._path = path
        self._connection: apsw.Connection | None = None
        self._digest = 0
        self.sequence = 0
        self.version = tables.VERSION
        """The format of the open file."""
        self.unsure = False
        """The file has a transaction that its caller was told had failed; it must be written anew."""

    def adopt(self, connection: apsw.Connection, sequence: int) -> None:
        """Go on with a connection that has just been loaded."""
        self._use(connection, tables.read_state(connection)["digest"])
        self.sequence = sequence

    def _use(self, connection: apsw.Connection, digest: int) -> None:
        self._connection = connection
        self.version = tables.version(connection)
        self._digest = digest

        def changed(change: apsw.PreUpdate) -> None:
            if change.table_name == "state":
                return
            if change.old is not None:
                self._digest -= tables.row_digest(change.table_name, change.old)
            if change.new is not None:
                self._digest += tables.row_digest(change.table_name, change.new)

        connection.preupdate_hook(changed)

    def connect(self) -> None:
        """Open the file if it is not open. Sets `unsure`. Raises OSError, Corruption."""
        if self._connection is not None:
            return
        with translated(self._path):
            connection = connect(self._files, self._path)
            try:
                state = tables.read_state(connection)
                check_head(self._files, self._path)
            except BaseException:
                connection.close(True)
                raise
        sequence = state.get("sequence")
        if sequence not in (self.sequence, self.sequence + 1):
            connection.close(True)
            raise Corruption(self._path, 0, f"it is at transaction {sequence}, not at {self.sequence}")
        self.unsure |= sequence != self.sequence
        self._use(connection, state["digest"])

    def transact(self, work: Work, state: dict[str, int]) -> None:
        """Do `work` and store the numbers `state`, durably or not at all. Raises OSError, Corruption.

        After an error `connect` must be called before the next transaction, to see what became of this one.
        """
        connection = self._connection
        assert connection is not None
        try:
            with translated(self._path):
                connection.execute("BEGIN IMMEDIATE")
                work(connection)
                tables.write_state(
                    connection, {**state, "sequence": self.sequence + 1, "digest": signed(unsigned(self._digest))}
                )
                connection.execute("COMMIT")
        except BaseException:
            self.close()
            raise
        self.sequence += 1

    def close(self) -> None:
        """Let go of the file; an open transaction is undone."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(apsw.Error):
                connection.close(True)
