"""``rusts-server``: reads the settings, opens the node, serves HTTP until it is told to stop.

Exit codes: 0 after a stop by SIGTERM or SIGINT; 2 where it could not start because of a setting, the
address or the data directory, with one line on standard error that says which.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import socket
import sys
from collections.abc import Sequence
from typing import Final

import click

from rusts import __version__, config, errors, kernels, logging
from rusts.auth.first_admin import ensure_admin
from rusts.files import OsFiles
from rusts.node import BACKLOG, Node

__all__ = ["main", "version_text"]

EXIT_CANNOT_START: Final = 2


log = logging.get_logger("rusts.server")


def version_text() -> str:
    """The version, and whether the kernels are compiled or pure."""
    return f"rusts-server {__version__} (kernels: {kernels.summary()})"


def main(arguments: Sequence[str] | None = None) -> None:
    """The console command. Ends the process."""
    try:
        flags = _command().make_context("rusts-server", list(sys.argv[1:] if arguments is None else arguments)).params
        if flags.pop("version"):
            print(version_text())
            sys.exit(0)
        path = flags.pop("config") or os.environ.get("RUSTS_CONFIG")
        given = {name.replace("_", "-"): text for name, text in flags.items() if text is not None}
        settings = config.load(given, os.environ, path)
        logging.configure(settings.log_format, settings.log_level)
        sys.exit(_serve(settings))
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.ClickException as problem:
        _refuse(problem.format_message())
    except errors.WorldError as problem:
        _refuse(str(problem))


def _refuse(text: str) -> None:
    print(f"rusts-server: {' '.join(text.split())}", file=sys.stderr)
    sys.exit(EXIT_CANNOT_START)


def _command() -> click.Command:
    """The flags: one for each setting, as its text; on/off settings may be given without a value."""
    options: list[click.Parameter] = [
        click.Option(["--config"], metavar="FILE", help="TOML file with settings; see rusts.toml.example."),
        click.Option(["--version"], is_flag=True, help="Print the version, and whether kernels are compiled or pure."),
    ]
    for setting in config.settings_table():
        if setting.secret:
            continue
        text = (
            f"{setting.help[0].upper()}{setting.help[1:]}. Default {setting.default}; {', '.join(setting.environment)}."
        )
        if setting.flag:
            options.append(
                click.Option([f"--{setting.name}"], is_flag=False, flag_value="true", metavar="[true|false]", help=text)
            )
        else:
            options.append(click.Option([f"--{setting.name}"], metavar="VALUE", help=text))
    return click.Command(
        "rusts-server",
        params=options,
        help="A time-series database that speaks InfluxDB's protocols and keeps its data in Arrow.",
        context_settings={"max_content_width": 120, "help_option_names": ["-h", "--help"]},
    )


def _check_certificate(settings: config.Settings) -> None:
    """Raises BadConfig if HTTPS is wanted and cannot be served."""
    if not settings.tls_certificate:
        if settings.tls_key:
            raise errors.BadConfig("tls-key is of no use without tls-certificate")
        return
    # Only here: who serves plain HTTP need not load it.
    ssl = importlib.import_module("ssl")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(settings.tls_certificate, settings.tls_key or None)
    except OSError as problem:
        # What ssl raises is an OSError too, with a text of its own.
        reason = problem.strerror if isinstance(problem, FileNotFoundError | PermissionError) else str(problem)
        raise errors.BadConfig(f"tls-certificate {settings.tls_certificate}: {reason}") from problem


def _serve(settings: config.Settings) -> int:
    _check_certificate(settings)
    listener, problem = _bind(settings.bind)
    if listener is None:
        # A server on the same directory is the likelier reason, and the one that can be named.
        _check_directory_is_free(settings.data_dir)
        raise errors.BadConfig(f"cannot listen on {settings.bind}: {problem}")
    try:
        node = Node.open(settings)
    except OSError as trouble:
        listener.close()
        raise errors.BadConfig(f"cannot use data directory {settings.data_dir}: {trouble.strerror}") from trouble
    except BaseException:
        listener.close()
        raise
    for sentence in config.misspelt_environment(os.environ):
        log.warning(sentence)
    if old := kernels.stale():
        log.warning("compiled kernels are older than their sources: build them again", kernels=" ".join(old))
    node.start()
    try:
        if settings.auth and ensure_admin(node.store, settings.admin_user, settings.admin_password):
            log.info("the first administrator was made", name=settings.admin_user)
        # Imported only now: a tenth of a second in which the log is being replayed already.
        serve = importlib.import_module("rusts.api.serve").serve
        serve(node, listener)
    finally:
        log.info("stopping: flushing what is in memory")
        node.close()
        log.info("stopped")
    return 0


def _bind(address: config.Address) -> tuple[socket.socket | None, str]:
    """A bound socket that does not listen yet, or None and why."""
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as problem:
        return None, str(problem.strerror)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
        # Taken for good: another process may have bound it too, with the same option, until one of us listens.
        listener.listen(BACKLOG)
    except OSError as problem:
        listener.close()
        return None, str(problem.strerror)
    return listener, ""


def _check_directory_is_free(path: str) -> None:
    """Raises DirectoryLocked if a server holds the directory."""
    if os.path.isdir(path):
        with contextlib.suppress(OSError):
            OsFiles().lock(path).release()


if __name__ == "__main__":
    main()
