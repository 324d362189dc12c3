"""InfluxDB 2.x's API: writes at ``/api/v2/write``, and what is not offered of the rest."""

from __future__ import annotations

import re
from typing import Final

from rusts import errors
from rusts.api.buckets import find_bucket
from rusts.api.errors import Answer, v2_error, v2_exception
from rusts.api.ingest import Target
from rusts.api.middleware import Incoming
from rusts.api.reports import Report
from rusts.api.v1 import partial_text
from rusts.api.writes import WriteRequest, query_parameters
from rusts.model.store import Store
from rusts.model.time import NANOSECONDS

__all__ = ["V2Writes"]

_ID: Final = re.compile(r"[0-9a-f]{16}", re.ASCII)
_PRECISIONS: Final = {unit: NANOSECONDS[unit] for unit in ("ns", "us", "ms", "s")}


class V2Writes:
    """The dialect of ``/api/v2/write``. A bucket is a database, or ``database/policy``; the organisation is ignored.

    The id of a bucket that is there will do as well: it is made of its names, so what it means never changes.
    """

    name = "v2"
    gzip = frozenset((b"gzip", b"x-gzip"))
    parameters = False

    def __init__(self, store: Store) -> None:
        """`store` has the buckets."""
        self._store = store

    def request(self, query: bytes) -> WriteRequest:
        """Read ``bucket`` and ``precision``."""
        parameters = query_parameters(query)
        bucket = parameters.get("bucket", "")
        database, _, policy = bucket.partition("/")
        if _ID.fullmatch(bucket) and (found := find_bucket(self._store, bucket)) is not None:
            database, policy = found.database, found.policy.name
        if not database:
            return WriteRequest(None, lambda _: v2_error(404, "bucket not found"))
        precision = parameters.get("precision", "ns")
        if precision not in _PRECISIONS:
            text = "invalid precision; valid precision units are ns, us, ms, and s"
            return WriteRequest(None, lambda _: v2_error(400, text), database=database)
        return WriteRequest(Target(database, policy or None, _PRECISIONS[precision], create=True))

    def encoding_refusal(self, encoding: bytes) -> Answer | None:
        """2.x takes a body of an unknown encoding as it is."""
        return None

    def partial(self, report: Report, request: WriteRequest, incoming: Incoming) -> Answer:
        """400 invalid with 1.x's text: the good lines are stored."""
        return v2_error(400, partial_text(report), lines=report.lines())

    def failure(self, problem: BaseException, request: WriteRequest, incoming: Incoming) -> Answer | None:
        """2.x's answer to an exception."""
        if isinstance(problem, errors.Forbidden):
            return v2_error(403, "insufficient permissions for write")
        return v2_exception(problem)

    def broken(self) -> Answer:
        """A 5xx: the client keeps its points."""
        return v2_error(500, "internal error")
