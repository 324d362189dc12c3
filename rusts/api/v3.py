"""InfluxDB 3's API: writes at ``/api/v3/write_lp``."""

from __future__ import annotations

import re
from typing import Any, Final

from rusts.api.errors import Answer, json_answer, v3_error, v3_exception
from rusts.api.ingest import Target
from rusts.api.middleware import Incoming
from rusts.api.reports import LISTED, LineFault, Report
from rusts.api.writes import WriteRequest, query_parameters
from rusts.model.time import NANOSECONDS

__all__ = ["V3Writes", "is_v3_name"]

_PRECISIONS: Final[dict[str, int]] = {
    "auto": 0,
    "n": 1,
    "u": NANOSECONDS["us"],
    "nanosecond": NANOSECONDS["ns"],
    "microsecond": NANOSECONDS["us"],
    "millisecond": NANOSECONDS["ms"],
    "second": NANOSECONDS["s"],
    **{unit: NANOSECONDS[unit] for unit in ("ns", "us", "ms", "s")},
}
_FLAGS: Final = {"true": True, "false": False}
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(/[A-Za-z0-9_-]+)?", re.ASCII)
_BAD_NAME: Final = (
    "invalid character in database or rp name: must be ASCII, containing only letters, numbers, underscores, or hyphens"
)
_HEAD: Final = 20


def is_v3_name(name: str) -> bool:
    """Whether a database may be called so in InfluxDB 3; ``db/policy`` is no such name."""
    return _NAME.fullmatch(name) is not None and "/" not in name


def _fault(fault: LineFault) -> dict[str, Any]:
    return {"error_message": fault.reason, "line_number": fault.line, "original_line": fault.head[:_HEAD]}


def _refused(answer: Answer, database: str | None = None) -> WriteRequest:
    return WriteRequest(None, lambda _: answer, database=database)


class V3Writes:
    """The dialect of ``/api/v3/write_lp``."""

    name = "v3"
    gzip = frozenset((b"gzip",))
    parameters = False

    def request(self, query: bytes) -> WriteRequest:
        """Read ``db``, ``precision``, ``accept_partial``, ``no_sync`` (allowed, and without effect)."""
        if not query:
            return _refused(v3_error(400, "missing query parameter 'db'"))
        parameters = query_parameters(query)
        database = parameters.get("db")
        if database is None:
            return _refused(v3_error(400, "serde error: missing field `db`"))
        if _NAME.fullmatch(database) is None:
            return _refused(json_answer(400, {"error": _BAD_NAME}))
        precision = parameters.get("precision", "auto")
        if precision not in _PRECISIONS:
            text = f"serde error: unknown variant `{precision}`, expected one of {', '.join(_PRECISIONS)}"
            return _refused(v3_error(400, text), database.partition("/")[0])
        for name in ("accept_partial", "no_sync"):
            if parameters.get(name, "true") not in _FLAGS:
                text = f"serde error: {name}: provided string was not `true` or `false`"
                return _refused(v3_error(400, text), database.partition("/")[0])
        atomic = not _FLAGS[parameters.get("accept_partial", "true")]
        name, _, policy = database.partition("/")
        return WriteRequest(Target(name, policy or None, _PRECISIONS[precision], create=True, atomic=atomic))

    def encoding_refusal(self, encoding: bytes) -> Answer | None:
        """InfluxDB 3 knows gzip only."""
        if encoding == b"identity":
            return None
        return v3_error(400, f"unacceptable content-encoding: {encoding.decode('latin-1')}")

    def partial(self, report: Report, request: WriteRequest, incoming: Incoming) -> Answer:
        """400; one object where all was refused, a list where the good lines are stored."""
        faults = sorted(report.faults + report.conflicts, key=lambda fault: fault.line)[:LISTED]
        if request.target is not None and request.target.atomic:
            return v3_error(400, "line protocol parsing error", data=_fault(faults[0]))
        return v3_error(400, "partial write of line protocol occurred", data=[_fault(fault) for fault in faults])

    def failure(self, problem: BaseException, request: WriteRequest, incoming: Incoming) -> Answer | None:
        """The v3 answer to an exception."""
        return v3_exception(problem)

    def broken(self) -> Answer:
        """A 5xx: the client keeps its points."""
        return v3_error(500, "internal error")
