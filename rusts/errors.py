"""Every error that rusts raises on purpose, drawn as one tree.

    RustsError
      UserError                the request is at fault; the text names what to change
        InvalidRequest           a parameter or a JSON field is wrong
          NotDefined             a function is not defined for the type of its field
        DatabaseNotFound         no database of that name
        PolicyNotFound           no retention policy of that name
        LimitExceeded            a query or a write passed a limit set by the operator
        QueryCancelled           the client went away, or the query was killed
        NotAuthenticated         who asks is not known
          TooManyFailures        too many logins have failed: this one was not tried
        Forbidden                who asks may not do that
      RetryLater               nothing is wrong with the request; the same one may pass later
        NotReady                 starting up, shutting down, or log not yet replayed
        MemoryExceeded           an accounted pool is full
        DiskFull                 below ``min-free-space``, or the device said ENOSPC
        LogUnavailable           the log could not be made durable
        Timeout                  the work did not finish in its time
      WorldError               the machine or the data directory is at fault
        Corruption               bytes on disk are not what was written there
        DirectoryLocked          another server holds the data directory
        FormatTooNew             a file was written by a later version
        BadConfig                a setting is unknown or has a wrong value
      Bug                      an invariant of ours does not hold

Nothing here knows HTTP: `rusts.api.errors` turns these into a dialect's answer.
"""

from __future__ import annotations

__all__ = [
    "BadConfig",
    "Bug",
    "Corruption",
    "DatabaseNotFound",
    "DirectoryLocked",
    "DiskFull",
    "Forbidden",
    "FormatTooNew",
    "InvalidRequest",
    "LimitExceeded",
    "LogUnavailable",
    "MemoryExceeded",
    "NotAuthenticated",
    "NotDefined",
    "NotReady",
    "PolicyNotFound",
    "QueryCancelled",
    "RetryLater",
    "RustsError",
    "Timeout",
    "TooManyFailures",
    "UserError",
    "WorldError",
]


class RustsError(Exception):
    """The root of the tree."""


class UserError(RustsError):
    """The request is at fault."""


class InvalidRequest(UserError):
    """A parameter or a JSON field is wrong; `field` names it where there is one."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class NotDefined(InvalidRequest):
    """A function is not defined for the field's type, called `type`."""

    def __init__(self, function: str, field: str, type: str) -> None:
        super().__init__(f'{function} is not defined for field "{field}", whose type is {type}')
        self.function = function
        self.type = type


class DatabaseNotFound(UserError):
    """No database is called `name`."""

    def __init__(self, name: str) -> None:
        super().__init__(f'database not found: "{name}"')
        self.name = name


class PolicyNotFound(UserError):
    """The database has no retention policy called `name`."""

    def __init__(self, name: str) -> None:
        super().__init__(f"retention policy not found: {name}")
        self.name = name


class LimitExceeded(UserError):
    """A query passed a limit that the operator has set."""


class QueryCancelled(UserError):
    """The query was killed, or its client went away."""


class NotAuthenticated(UserError):
    """Nothing that came with the request tells who asks; `malformed`: what came cannot even be read."""

    def __init__(self, message: str, *, malformed: bool = False) -> None:
        super().__init__(message)
        self.malformed = malformed


class TooManyFailures(NotAuthenticated):
    """Too many logins have failed: for `seconds` more none is tried."""

    def __init__(self, seconds: int) -> None:
        super().__init__("authorization failed")
        self.seconds = seconds


class Forbidden(UserError):
    """Who asks may not do that."""


class RetryLater(RustsError):
    """The request may pass later, unchanged; `seconds` is a hint of when."""

    def __init__(self, message: str, seconds: int = 1) -> None:
        super().__init__(message)
        self.seconds = seconds


class NotReady(RetryLater):
    """Starting up, shutting down, or the log has not been replayed yet."""


class MemoryExceeded(RetryLater):
    """An accounted memory pool is full."""


class DiskFull(RetryLater):
    """The device is full, or has less than ``min-free-space`` left."""


class LogUnavailable(RetryLater):
    """The write-ahead log could not be made durable."""


class Timeout(RetryLater):
    """The work did not finish in the time it was given."""


class WorldError(RustsError):
    """The machine or the data directory is at fault."""


class Corruption(WorldError):
    """The bytes at `offset` of `file` are not what was written there."""

    def __init__(self, file: str, offset: int, reason: str) -> None:
        super().__init__(f"{file} is damaged at byte {offset}: {reason}")
        self.file = file
        self.offset = offset
        self.reason = reason


class DirectoryLocked(WorldError):
    """Another process, `pid`, holds the data directory."""

    def __init__(self, path: str, pid: int | None) -> None:
        holder = f"process {pid}" if pid else "another process"
        super().__init__(f"data directory {path} is in use by {holder}")
        self.path = path
        self.pid = pid


class FormatTooNew(WorldError):
    """`file` has format `version`, which a later rusts wrote; this one reads up to `known`."""

    def __init__(self, file: str, version: int, known: int) -> None:
        super().__init__(
            f"{file} has format version {version}; this rusts reads up to {known}: "
            "start the rusts version that wrote it, or a later one"
        )
        self.file = file
        self.version = version
        self.known = known


class BadConfig(WorldError):
    """A setting is unknown or its value is wrong."""


class Bug(RustsError):
    """An invariant of rusts does not hold; the text begins with ``BUG:``."""

    def __init__(self, message: str) -> None:
        super().__init__(f"BUG: {message}")
