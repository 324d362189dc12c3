"""InfluxDB 1.x's API: writes at ``/write``, and the words of its errors."""

from __future__ import annotations

from typing import Final

from rusts.api.errors import Answer, v1_error, v1_exception
from rusts.api.ingest import Target
from rusts.api.middleware import Incoming
from rusts.api.reports import LISTED, LineFault, Report
from rusts.api.writes import WriteRequest, query_parameters
from rusts.model.time import NANOSECONDS

__all__ = ["V1Writes", "partial_text"]

_PRECISIONS: Final[dict[str, int]] = {
    "n": 1,
    "u": NANOSECONDS["us"],
    **{unit: NANOSECONDS[unit] for unit in ("ns", "us", "ms", "s", "m", "h")},
}
_CONSISTENCIES: Final = frozenset(("any", "one", "quorum", "all"))


def _listed(faults: list[LineFault], count: int) -> str:
    text = "\n".join(fault.message for fault in faults)
    return text if count <= LISTED else f"{text}\nand {count - len(faults)} more lines"


def partial_text(report: Report) -> str:
    """What InfluxDB 1.x says of a body that was not stored as a whole.

    What storage refused hides what could not be parsed, and only its first reason is told.
    """
    if report.conflicts:
        return f"partial write: {report.conflicts[0].message} dropped={report.dropped}"
    text = _listed(report.faults, report.unparsed)
    return f"partial write: {text} dropped=0" if report.accepted else text


class V1Writes:
    """The dialect of ``/write``."""

    name = "v1"
    gzip = frozenset((b"gzip", b"x-gzip"))
    parameters = True

    def __init__(self, default_database: str | None, create: bool) -> None:
        """`default_database` takes writes without ``db`` (None: they are refused); `create` makes unknown ones."""
        self._default = default_database
        self._create = create

    def request(self, query: bytes) -> WriteRequest:
        """Read ``db``, ``rp``, ``precision``, ``consistency``, ``pretty``; the database counts first, as in 1.x."""
        parameters = query_parameters(query)
        pretty = parameters.get("pretty") == "true"
        database = parameters.get("db") or self._default

        def refuse(text: str) -> WriteRequest:
            def refusal(incoming: Incoming) -> Answer:
                return v1_error(400, text, accept=incoming.accept, pretty=pretty)

            needs = None if self._create else database
            return WriteRequest(None, refusal, pretty=pretty, needs=needs, database=database)

        if database is None:
            return refuse("database is required")
        precision = parameters.get("precision", "ns")
        if precision not in _PRECISIONS:
            return refuse(f'invalid precision "{precision}" (use n, ns, u, us, ms, s, m or h)')
        if parameters.get("consistency", "one").lower() not in _CONSISTENCIES:
            return refuse("invalid consistency level")
        target = Target(database, parameters.get("rp"), _PRECISIONS[precision], create=self._create)
        return WriteRequest(target, pretty=pretty)

    def encoding_refusal(self, encoding: bytes) -> Answer | None:
        """1.x takes a body of an unknown encoding as it is."""
        return None

    def partial(self, report: Report, request: WriteRequest, incoming: Incoming) -> Answer:
        """400 with 1.x's text, and the lines beside it."""
        return v1_error(400, partial_text(report), lines=report.lines(), accept=incoming.accept, pretty=request.pretty)

    def failure(self, problem: BaseException, request: WriteRequest, incoming: Incoming) -> Answer | None:
        """1.x's answer to an exception."""
        return v1_exception(problem, writing=True, accept=incoming.accept, pretty=request.pretty)

    def broken(self) -> Answer:
        """A 5xx: the client keeps its points."""
        return v1_error(500, "internal error")
