"""From request bodies to the store: small ones together on the event loop, large ones in the ingest thread.

Bodies of up to 64 KiB that become complete in the same turn of the event loop are joined, parsed by one call
and written by one call: what a call costs is then paid once, and a thread is never crossed. A large body
goes to the one ingest thread, which parses and writes it slice by slice.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

from rusts import errors
from rusts.api.body import BodyBudget, inflate
from rusts.api.errors import BodyTooLarge
from rusts.api.reports import Report, report_bodies
from rusts.clock import Clock
from rusts.engine.maintenance import Check
from rusts.engine.rejects import Rejected
from rusts.lineprotocol import parser
from rusts.logging import get_logger, request_context
from rusts.model.batch import Batch
from rusts.model.store import Commit, PolicyInfo, Reject, WriteOutcome
from rusts.node import Storage

__all__ = ["SMALL_BODY", "Ingest", "Target"]

SMALL_BODY: Final = 64 << 10
"""Bytes up to which a body is parsed on the event loop."""

_TOGETHER: Final = 256 << 10
"""Bytes that are parsed by one call on the event loop; more would hold up other requests."""

_PATIENCE: Final = 2
"""Turns of the event loop for which bodies are gathered while more arrive."""

_SLICE: Final = 2 << 20
"""Bytes of a large body that are parsed by one call; bounds the memory that parsing takes."""

_INFLATED_KEPT: Final = 32 << 20
"""A gzip body that inflates to more is inflated twice, once to check it and once to parse it."""

_QUEUED: Final = 512
"""Large bodies that may wait for the ingest thread."""

_REMEMBERED: Final = 10.0
"""Seconds for which a write that the disk refused makes the server unwell, unless a later one is accepted."""

logger = get_logger("rusts.api.ingest")


@dataclass(frozen=True, slots=True)
class Target:
    """Where a body goes and how it is read."""

    database: str
    policy: str | None = None
    unit: int = 1
    """Nanoseconds per unit of the body's timestamps; 0 = each by its magnitude."""
    create: bool = False
    """Make the database and the policy if they do not exist."""
    atomic: bool = False
    """Store nothing unless every line can be stored."""
    group: tuple[str, str | None, bool] = field(init=False)
    """Bodies of one group may be written by one call."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "group", (self.database, self.policy, self.create))


class Outcome(Protocol):
    """Waits for what becomes of one body; an `asyncio.Future` is one. Used on the event loop only."""

    def done(self) -> bool:
        """Nobody waits any more."""
        ...

    def set_result(self, report: Report | None, /) -> None:
        """All of the body is stored (None), or the report says what is not."""
        ...

    def set_exception(self, problem: Exception, /) -> None:
        """Nothing of it is stored, and why."""
        ...


@dataclass(slots=True)
class _Pending:
    body: bytes
    unit: int
    now: int
    outcome: Outcome


class _Mailbox:
    """Hands what other threads found to futures of the event loop, many for one wake-up."""

    loop: asyncio.AbstractEventLoop

    def __init__(self) -> None:
        self._letters: deque[tuple[Outcome, Report | None, Exception | None]] = deque()
        self._woken = False

    def put(self, outcome: Outcome, report: Report | None, problem: Exception | None) -> None:
        """Settle `outcome` soon. Called from any thread."""
        self._letters.append((outcome, report, problem))
        if not self._woken:
            self._woken = True
            self.loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        # Cleared before the letters are taken: one that comes later wakes the loop again.
        self._woken = False
        while self._letters:
            _settle(*self._letters.popleft())


def _settle(outcome: Outcome, report: Report | None, problem: Exception | None) -> None:
    """Tell who waits. Others wait behind: what goes wrong with one answer must not keep them from theirs."""
    try:
        if outcome.done():
            return
        if problem is None:
            outcome.set_result(report)
        else:
            outcome.set_exception(problem)
    except Exception:
        logger.exception("an answer could not be given")


class Ingest:
    """Writes bodies to a store. Its methods are called on the event loop that `start` was given."""

    def __init__(self, store: Storage, clock: Clock, thread: Executor, *, budget: int, max_inflated: int) -> None:
        self._store = store
        self._clock = clock
        self._thread = thread
        self._max_inflated = max_inflated
        self._pending: dict[tuple[str, str | None, bool], list[_Pending]] = {}
        self._last_now = 0
        self._arrived = 0
        self._queued = 0
        self._refused: tuple[float, str] | None = None
        self.budget = BodyBudget(budget)
        self._loop: asyncio.AbstractEventLoop
        self._mailbox = _Mailbox()

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Work on `loop`, the only one that ever calls; to be called before anything else, any number of times."""
        self._loop = self._mailbox.loop = loop

    def _now(self, unit: int) -> int:
        """The time of points without one: distinct for each body before it is cut to the precision."""
        self._last_now = now = max(self._clock.now_ns(), self._last_now + 1)
        return now - now % unit if unit > 1 else now

    def has_database(self, name: str) -> bool:
        """Whether a database is called so."""
        return name in self._store.databases()

    def check(self) -> Check:
        """Whether the log takes writes, by what became of the last ones. Called from any thread."""
        refused = self._refused
        if refused is None or (age := self._clock.monotonic() - refused[0]) > _REMEMBERED:
            return Check("writes", True, "ok")
        return Check("writes", False, f"refused {age:.0f} s ago: {refused[1]}")

    def _settled(self, problem: Exception | None) -> None:
        """Points were accepted, or not. Called from any thread: each looks at one reference, or replaces it."""
        if problem is None:
            self._refused = None
        elif isinstance(problem, errors.DiskFull | errors.LogUnavailable):
            self._refused = self._clock.monotonic(), str(problem)

    # -- small bodies

    def small(self, target: Target, body: bytes, outcome: Outcome) -> None:
        """Write a body of up to `SMALL_BODY` bytes together with others that are there by then; settles `outcome`.

        It fails with what `Store.write` raises.
        """
        pending = self._pending
        self._arrived += 1
        if not pending:
            self._loop.call_soon(self._gather, self._arrived, _PATIENCE)
        waiting = _Pending(body, target.unit, self._now(target.unit), outcome)
        group = pending.get(target.group)
        if group is None:
            pending[target.group] = [waiting]
        else:
            group.append(waiting)

    def _gather(self, seen: int, patience: int) -> None:
        """Write what is there, unless more came while the loop turned: then more may come in the next turn.

        What a call to parse and to write costs is shared by the bodies; a lone client waits for nobody.
        """
        if patience and self._arrived > seen:
            self._loop.call_soon(self._gather, self._arrived, patience - 1)
        else:
            self._drain()

    def _drain(self) -> None:
        groups, self._pending = self._pending, {}
        for group, waiting in groups.items():
            begin = size = 0
            for i, one in enumerate(waiting):
                size += len(one.body)
                if size > _TOGETHER and i > begin:
                    self._write_together(group, waiting[begin:i])
                    begin, size = i, len(one.body)
            self._write_together(group, waiting[begin:] if begin else waiting)

    def _write_together(self, group: tuple[str, str | None, bool], waiting: list[_Pending]) -> None:
        database, policy, create = group
        if self._store.must_wait():
            self._in_thread(self._store.wait_turn, waiting, lambda: self._write_together(group, waiting))
            return
        if len(waiting) == 1:
            one = waiting[0]
            buffer, ends, units, nows = one.body, [len(one.body)], [one.unit], [one.now]
        else:
            buffer = b"".join([w.body for w in waiting])
            end = 0
            ends = [end := end + len(w.body) for w in waiting]
            units = [w.unit for w in waiting]
            nows = [w.now for w in waiting]
        reports: Sequence[Report | None] | None = None
        try:
            parsed = parser.parse(buffer, ends=ends, units=units, now=nows)
            if not parsed.batches:
                self._require_database(database)
                done, rejects = None, []
            else:
                written = self._store.write(database, policy, parsed.batches)
                # A write whose points were all dropped has not come to the log.
                done, rejects = written.commit if written.accepted else None, written.rejects
            if parsed.errors or rejects:
                reports = [report or None for report in report_bodies(buffer, ends, parsed, rejects)]
                self._note(database, filter(None, reports))
        except (errors.DatabaseNotFound, errors.PolicyNotFound) as problem:
            if create:
                self._create_first(group, waiting)
            else:
                self._fail(waiting, problem)
        except Exception as problem:
            self._fail(waiting, problem)
        else:
            if done is None:
                self._succeed(waiting, reports)
            elif done.done():
                self._refused = None
                self._succeed(waiting, reports)
            else:
                # Also where the log has failed already: `done` is true of what holds, so it cannot tell that.
                done.add_done_callback(lambda problem: self._committed(waiting, reports, problem))

    def _require_database(self, database: str) -> None:
        if not self.has_database(database):
            raise errors.DatabaseNotFound(database)

    def _create_first(self, group: tuple[str, str | None, bool], waiting: list[_Pending]) -> None:
        """Make what is missing in the ingest thread (its catalog is synced to disk), then write."""
        created = group[0], group[1], False
        make = partial(self._make, group[0], group[1])
        self._in_thread(make, waiting, lambda: self._write_together(created, waiting))

    def _in_thread(self, work: Callable[[], None], waiting: list[_Pending], then: Callable[[], None]) -> None:
        """Do `work`, which may block, in the ingest thread, and `then` go on here; what it raises fails the bodies."""

        def go_on(done: asyncio.Future[None]) -> None:
            problem = done.exception()
            if isinstance(problem, Exception):
                self._fail(waiting, problem)
            else:
                then()

        self._loop.run_in_executor(self._thread, work).add_done_callback(go_on)

    def _succeed(self, waiting: list[_Pending], reports: Sequence[Report | None] | None) -> None:
        if reports is None:
            for one in waiting:
                _settle(one.outcome, None, None)
        else:
            for one, report in zip(waiting, reports, strict=True):
                _settle(one.outcome, report, None)

    def _fail(self, waiting: list[_Pending], problem: Exception) -> None:
        self._settled(problem)
        for one in waiting:
            _settle(one.outcome, None, problem)

    def _committed(
        self, waiting: list[_Pending], reports: Sequence[Report | None] | None, problem: Exception | None
    ) -> None:
        """The log has settled the write. Called from the log's thread."""
        self._settled(problem)
        for i, one in enumerate(waiting):
            self._mailbox.put(one.outcome, reports[i] if reports else None, problem)

    # -- large bodies

    async def large(self, target: Target, pieces: list[bytes], *, gzip: bool, request_id: bytes) -> Report | None:
        """Write a body of any size in the ingest thread. The caller holds its bytes in `budget`.

        Raises what `Store.write` raises, BadBody, BodyTooLarge, and MemoryExceeded if too many bodies wait.
        """
        if self._queued >= _QUEUED:
            raise errors.MemoryExceeded(f"{self._queued} request bodies are waiting already")
        outcome: asyncio.Future[Report | None] = self._loop.create_future()
        now = self._now(target.unit)
        self._queued += 1
        try:
            self._thread.submit(self._write_large, target, pieces, gzip, now, request_id.decode("latin-1"), outcome)
            return await outcome
        finally:
            self._queued -= 1

    def _write_large(
        self, target: Target, pieces: list[bytes], gzip: bool, now: int, request_id: str, outcome: Outcome
    ) -> None:
        """The ingest thread's part of `large`."""
        with request_context(request_id):
            try:
                if gzip:
                    chunks = _inflate_checked(pieces, self._max_inflated)
                else:
                    chunks = iter([b"".join(pieces)])
                    pieces.clear()
                write = self._write_atomic if target.atomic else self._write_slices
                report, commits = write(target, chunks, now)
                if report is not None:
                    self._note(target.database, [report])
            except Exception as problem:
                self._settled(problem)
                self._mailbox.put(outcome, None, problem)
            else:

                def settled(problem: Exception | None) -> None:
                    if commits:
                        self._settled(problem)
                    self._mailbox.put(outcome, report, problem)

                _after(commits, settled)

    def _write_slices(self, target: Target, chunks: Iterator[bytes], now: int) -> tuple[Report | None, list[Commit]]:
        total = Report()
        commits: list[Commit] = []
        lines = 0
        before = b""
        for piece in _slices(chunks):
            # Counted only where another slice follows: most bodies are one, and counting costs a tenth of parsing.
            lines += before.count(b"\n")
            before = piece
            parsed = parser.parse(piece, ends=[len(piece)], units=[target.unit], now=[now])
            rejects: Sequence[Reject] = ()
            if parsed.batches:
                written = self._write(target, parsed.batches)
                if written.accepted:
                    commits.append(written.commit)
                rejects = written.rejects
            else:
                self._require(target)
            total.add(report_bodies(piece, [len(piece)], parsed, rejects)[0], lines)
        return (total or None), commits

    def _write_atomic(self, target: Target, chunks: Iterator[bytes], now: int) -> tuple[Report | None, list[Commit]]:
        """All or nothing, so all of it is parsed before any of it is written."""
        body = bytearray()
        for chunk in chunks:
            body += chunk
            if len(body) > _INFLATED_KEPT:
                raise BodyTooLarge(_INFLATED_KEPT)
        buffer = bytes(body)
        parsed = parser.parse(buffer, ends=[len(buffer)], units=[target.unit], now=[now])
        if parsed.errors or not parsed.batches:
            self._require(target)
            report = report_bodies(buffer, [len(buffer)], parsed, [])[0]
            report.accepted = 0
            return (report or None), []
        written = self._write(target, parsed.batches)
        report = report_bodies(buffer, [len(buffer)], parsed, written.rejects)[0]
        report.accepted = written.accepted
        return (report or None), [written.commit] if written.accepted else []

    def _write(self, target: Target, batches: Sequence[Batch]) -> WriteOutcome:
        """Write in the ingest thread, where the database may be made first."""
        try:
            return self._store.write(target.database, target.policy, batches, atomic=target.atomic)
        except (errors.DatabaseNotFound, errors.PolicyNotFound):
            if not target.create:
                raise
        self._make(target.database, target.policy)
        return self._store.write(target.database, target.policy, batches, atomic=target.atomic)

    def _make(self, database: str, policy: str | None) -> None:
        """Make the database and the policy, which keeps points for ever, unless they are there. Blocks."""
        self._store.create_database(database)
        if policy is not None and all(known.name != policy for known in self._store.policies(database)):
            self._store.create_policy(database, PolicyInfo(policy, 0, 0, 1, default=False))

    def _require(self, target: Target) -> None:
        """The database of a body without points must exist, or be made, all the same."""
        if target.create:
            self._make(target.database, target.policy)
        else:
            self._require_database(target.database)

    def _note(self, database: str, reports: Iterable[Report]) -> None:
        """Keep what was not stored where operators look for it."""
        now = self._clock.now_ns()
        for report in reports:
            listed = {fault.kind: fault for fault in reversed(report.faults + report.conflicts)}
            for kind, points in report.kinds.items():
                if (first := listed.get(kind)) is not None:
                    rejected = Rejected(now, database, kind, first.reason, points, first.line, first.head)
                    self._store.rejected.add(rejected)


def _slices(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The chunks as pieces of about `_SLICE` bytes that end where a line does."""
    held: list[bytes] = []
    size = 0
    for chunk in chunks:
        held.append(chunk)
        size += len(chunk)
        if size > _SLICE:
            buffer = b"".join(held)
            begin = 0
            # The last cut is the end of what is there so far, perhaps inside a line.
            for end in parser.slices(buffer, _SLICE)[:-1]:
                yield buffer[begin:end]
                begin = end
            held, size = [buffer[begin:]], len(buffer) - begin
    yield b"".join(held)


def _inflate_checked(pieces: list[bytes], limit: int) -> Iterator[bytes]:
    """The inflated bytes of a gzip body all of which has been checked, so that no part of a bad one is stored."""
    kept: list[bytes] = []
    size = 0
    for piece in inflate(pieces, limit):
        size += len(piece)
        if size <= _INFLATED_KEPT:
            kept.append(piece)
    if size <= _INFLATED_KEPT:
        pieces.clear()
        return iter(kept)
    del kept
    return inflate(pieces, limit)


def _after(commits: Sequence[Commit], call: Callable[[Exception | None], None]) -> None:
    """Call `call` once, when every one of `commits` is settled: with the first problem, or None.

    Each is asked by a callback, which is called at once if it is settled: only that tells of a failure.
    """
    if not commits:
        call(None)
        return
    problems: list[Exception | None] = []
    lock = threading.Lock()

    def settled(problem: Exception | None) -> None:
        with lock:
            problems.append(problem)
            complete = len(problems) == len(commits)
        if complete:
            call(next(filter(None, problems), None))

    for commit in commits:
        commit.add_done_callback(settled)
