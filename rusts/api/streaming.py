"""Answers that stream: a query runs on a thread and its answer is sent piece by piece, as the client takes it."""

from __future__ import annotations

import asyncio
import contextvars
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from typing import Final, TypeVar

from starlette.types import Receive, Send

from rusts import errors
from rusts.api.errors import Header
from rusts.api.middleware import Incoming
from rusts.logging import get_logger
from rusts.query.limits import Tracker

__all__ = ["Streamed"]

_GZIPPED: Final[tuple[Header, ...]] = ((b"content-encoding", b"gzip"), (b"vary", b"Accept-Encoding"))
_GZIP: Final = 16 + zlib.MAX_WBITS
_GZIP_LEVEL: Final = 2
"""The first levels make JSON of numbers nearly as small as the last ones, several times faster."""
_WATCH_SECONDS: Final = 0.1
"""A query that takes longer is ended when its client goes away; shorter ones end by themselves."""

_T = TypeVar("_T")

logger = get_logger("rusts.api.query")


class Streamed:
    """A query's answer. The query and the encoding run on `thread`, one piece at a time."""

    def __init__(
        self,
        thread: Executor,
        tracker: Tracker,
        pieces: Callable[[], Iterator[bytes]],
        content: str,
        *,
        gzip: bool,
        ended: Callable[[BaseException | None], None],
    ) -> None:
        """`pieces` starts the query. `ended` is called once, with what ended it if it was not its own end."""
        self._thread = thread
        self._tracker = tracker
        self._start = pieces
        self._headers: list[Header] = [(b"content-type", content.encode())]
        self._deflate = None
        if gzip:
            self._deflate = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP)
            self._headers += _GZIPPED
        self._tell = ended
        self._pieces: Iterator[bytes] = iter(())
        self._first: list[bytes] = []
        self._ended = False

    async def start(self, receive: Receive) -> None:
        """Run the query until its first pieces are there. Raises what starting it raises.

        A client that goes away meanwhile ends it.
        """
        loop = asyncio.get_running_loop()
        watchers: list[asyncio.Task[None]] = []
        # To watch costs more than a small query, so it begins a little later.
        timer = loop.call_later(_WATCH_SECONDS, lambda: watchers.append(loop.create_task(self._watch(receive))))
        try:
            await self._on_thread(self._begin)
        except asyncio.CancelledError:
            self._tracker.cancel()
            raise
        finally:
            timer.cancel()
            for watcher in watchers:
                watcher.cancel()

    def _begin(self) -> None:
        try:
            self._pieces = self._start()
        except BaseException as problem:
            self._end(problem)
            raise
        # Two pieces, so that an answer of one is known to be whole.
        self._first = [piece for piece in (self._next(), self._next()) if piece]

    def _end(self, problem: BaseException | None) -> None:
        if not self._ended:
            self._ended = True
            self._tracker.close()
            self._tell(problem)

    def _next(self) -> bytes:
        """The next piece, b"" only at the end. On a thread."""
        while not self._ended:
            try:
                piece = next(self._pieces, None)
            except BaseException as problem:
                self._end(problem)
                raise
            if piece is None:
                self._end(None)
                return self._deflate.flush() if self._deflate else b""
            if self._deflate:
                piece = self._deflate.compress(piece)
            if piece:
                return piece
        return b""

    async def _on_thread(self, work: Callable[[], _T]) -> _T:
        context = contextvars.copy_context()
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: context.run(work))

    async def send(self, incoming: Incoming, receive: Receive, send: Send) -> None:
        """Send head and pieces; a client that goes away ends the query."""
        headers = [*incoming.response_headers(), *self._headers]
        if self._ended:
            whole = b"".join(self._first)
            headers.append((b"content-length", b"%d" % len(whole)))
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": whole})
            return
        watcher = asyncio.create_task(self._watch(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            for piece in self._first:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            while piece := await self._on_thread(self._next):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        except errors.RustsError as problem:
            # The head is sent: the connection is closed before the answer's end, so that nobody takes it for whole.
            logger.warning("a query ended after its answer had begun", error=str(problem))
        finally:
            watcher.cancel()
            if not self._ended:
                self._tracker.cancel()
                await self._on_thread(self._close)

    def _close(self) -> None:
        """The client is gone, or the server goes."""
        try:
            close = getattr(self._pieces, "close", None)
            if close is not None:
                close()
        finally:
            self._end(errors.QueryCancelled("the client went away"))

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._tracker.cancel()
