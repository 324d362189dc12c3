"""Serving: the application on uvicorn, from the first request to the last."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
from collections.abc import Generator
from typing import Final

import uvicorn
import uvloop
from starlette.types import ASGIApp

from rusts import __version__, config, kernels, logging
from rusts.api.admin import open_to_all
from rusts.api.app import App, create_app
from rusts.api.fastwrite import FastWriteProtocol
from rusts.node import BACKLOG, Node

__all__ = ["serve"]

_KEEP_ALIVE_SECONDS: Final = 300

log = logging.get_logger("rusts.server")


class _Server(uvicorn.Server):
    """uvicorn's server, but for the signals: it would raise them again, and so end the process before the flush."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop)
        try:
            yield
        finally:
            # A second signal, while the node flushes, must not cut it short.
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)
                signal.signal(number, signal.SIG_IGN)

    def _stop(self) -> None:
        self.force_exit = self.should_exit
        self.should_exit = True


def serve(node: Node, listener: socket.socket) -> None:
    """Serve the node on a listening socket until SIGINT or SIGTERM; requests under way are finished first."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(create_app(node), node, listener))


async def _run(app: ASGIApp, node: Node, listener: socket.socket) -> None:
    settings = node.settings
    server = _Server(
        uvicorn.Config(
            app,
            # The access log sees what passes the application; the short way does not.
            http=FastWriteProtocol if isinstance(app, App) else "httptools",
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            ssl_certfile=settings.tls_certificate or None,
            ssl_keyfile=settings.tls_key or None,
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=max(1, round(settings.drain_timeout)),
            backlog=BACKLOG,
        )
    )
    # What start-up made lives as long as the process: the collector, which `cli.launch` has switched off, need
    # not look at it.
    gc.freeze()
    gc.enable()
    host, port = listener.getsockname()[:2]
    if warning := open_to_all(settings):
        log.warning(warning)
    log.info(
        "serving",
        bind=str(config.Address(host, port)),
        tls=bool(settings.tls_certificate),
        auth=settings.auth,
        data_dir=os.path.abspath(settings.data_dir),
        wal_mode=settings.wal_mode,
        version=__version__,
        kernels=kernels.summary(),
        pid=os.getpid(),
    )
    await server.serve(sockets=[listener])
