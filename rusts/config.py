"""Settings: one table (the fields of `Settings`), read from flags, environment, file and defaults.

A flag beats the environment, the environment the file, the file the default. A setting called
``wal-mode`` is the flag ``--wal-mode``, the variable ``RUSTS_WAL_MODE`` and the key ``wal-mode`` of a
TOML file. Sizes are bytes (``64MB``, ``1GiB``, ``25m``), durations seconds (``60s``, ``100ms``, ``1h30m``).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, NamedTuple

import tomli

from rusts.errors import BadConfig
from rusts.logging import parse_levels

__all__ = [
    "Address",
    "Setting",
    "Settings",
    "example_file",
    "load",
    "misspelt_environment",
    "parse_address",
    "parse_duration",
    "parse_size",
    "settings_table",
]


class Address(NamedTuple):
    """Where to listen."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", re.ASCII)
_SIZE_UNITS: Final[dict[str, int]] = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
    # One letter counts in 1,024s, as in influxdb.conf.
    "k": 2**10,
    "m": 2**20,
    "g": 2**30,
    "t": 2**40,
}
_DURATION: Final = re.compile(r"(?:\d+(?:\.\d+)?(?:ns|us|ms|s|m|h|d|w))+", re.ASCII)
_DURATION_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ns|us|ms|s|m|h|d|w)", re.ASCII)
_DURATION_UNITS: Final[dict[str, float]] = {
    "ns": 1e-9,
    "us": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86400.0,
    "w": 604800.0,
}


def parse_size(text: str) -> int:
    """Bytes of ``64MB`` (10^6), ``64MiB`` or ``64m`` (2^20), or a bare number. Raises ValueError."""
    match = _SIZE.fullmatch(text.strip())
    unit = _SIZE_UNITS.get(match.group(2).lower()) if match else None
    if match is None or unit is None:
        raise ValueError("want a size as 64MB, 64MiB or 67108864")
    return int(float(match.group(1)) * unit) if "." in match.group(1) else int(match.group(1)) * unit


def parse_duration(text: str) -> float:
    """Seconds of ``60s``, ``100ms``, ``1h30m``, or a bare number of seconds. Raises ValueError."""
    text = text.strip()
    if re.fullmatch(r"\d+(\.\d+)?", text, re.ASCII):
        return float(text)
    if _DURATION.fullmatch(text) is None:
        raise ValueError("want a duration as 60s, 100ms or 1h30m")
    return sum(float(number) * _DURATION_UNITS[unit] for number, unit in _DURATION_PART.findall(text))


def parse_address(text: str) -> Address:
    """``host:port``, ``[ipv6]:port``, or ``:port`` for every interface. Raises ValueError."""
    host, colon, port = text.strip().rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError("want an address as 127.0.0.1:8086")
    return Address(host or "0.0.0.0", int(port))


def _parse_flag(text: str) -> bool:
    word = text.strip().lower()
    if word in ("true", "yes", "on", "1"):
        return True
    if word in ("false", "no", "off", "0"):
        return False
    raise ValueError("want true or false")


def _parse_count(text: str) -> int:
    digits = text.strip().replace("_", "")
    if not digits.isascii() or not digits.isdigit():
        raise ValueError("want a whole number")
    return int(digits)


def _parse_text(text: str) -> str:
    if not text:
        raise ValueError("it must not be empty")
    return text


def _parse_any(text: str) -> str:
    return text


def _parse_levels(text: str) -> str:
    parse_levels(text)
    return text


def _parse_memory(text: str) -> int | float:
    """Bytes, or a share of the machine's memory below one."""
    if text.strip().endswith("%"):
        share = float(text.strip()[:-1]) / 100
        if not 0 < share <= 1:
            raise ValueError("want a share above 0% and up to 100%")
        return share
    return parse_size(text)


def _choice(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.strip().lower() not in words:
            raise ValueError("want one of " + ", ".join(words))
        return text.strip().lower()

    return parse


def _setting(
    default: str,
    parse: Callable[[str], Any],
    help: str,
    *,
    environment: tuple[str, ...] = (),
    section: str = "",
    secret: bool = False,
) -> Any:
    metadata = {
        "default": default,
        "parse": parse,
        "help": help,
        "environment": environment,
        "section": section,
        "secret": secret,
    }
    return field(default_factory=lambda: parse(default), metadata=metadata, repr=not secret)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Every setting of a server, typed; the one table that flags, environment, file and manual are made from."""

    data_dir: str = _setting(
        "./data",
        _parse_text,
        "directory that holds log, segments and catalog",
        environment=("DATA_DIR",),
        section="Server",
    )
    bind: Address = _setting("127.0.0.1:8086", parse_address, "address to serve HTTP on", environment=("BIND_ADDRESS",))
    drain_timeout: float = _setting("30s", parse_duration, "how long a stopping server waits for requests under way")
    memory_limit: int | float = _setting(
        "60%", _parse_memory, "memory for all pools together: a size, or a share of the cgroup's or machine's memory"
    )

    wal_mode: str = _setting(
        "periodic",
        _choice("every-write", "periodic", "os-default", "none"),
        "what a 204 promises: every-write = on disk; periodic = in the kernel, on disk within wal-sync-interval; "
        "os-default = in the kernel; none = no log",
        section="Log",
    )
    wal_sync_interval: float = _setting("100ms", parse_duration, "periodic: time between two syncs of the log")
    wal_file_size: int = _setting("64MB", parse_size, "a log file is closed at this size")

    memory_buffer_size: int = _setting(
        "64MB",
        parse_size,
        "a memtable is flushed at this size",
        environment=("MEMORY_BUFFER_SIZE",),
        section="Storage",
    )
    flush_points: int = _setting("1000000", _parse_count, "a memtable is flushed at this number of points")
    flush_interval: float = _setting(
        "60s", parse_duration, "a memtable is flushed at this age", environment=("FLUSH_INTERVAL",)
    )
    min_free_space: int = _setting("100MB", parse_size, "below this much free disk, writes are told to retry")
    max_series_per_database: int = _setting("0", _parse_count, "refuse new series beyond this number (0 = no limit)")
    max_values_per_tag: int = _setting(
        "0", _parse_count, "refuse new values of a tag beyond this number (0 = no limit)"
    )

    max_body_size: int = _setting("25000000", parse_size, "largest write body as sent", section="HTTP")
    max_inflated_size: int = _setting("250MB", parse_size, "largest write body once inflated")
    require_db: bool = _setting(
        "false", _parse_flag, "refuse a /write without db, instead of writing to the database default"
    )
    auto_create_databases: bool = _setting(
        "false", _parse_flag, "/write makes a database that does not exist, instead of answering 404"
    )
    tls_certificate: str = _setting("", _parse_any, "serve HTTPS with the certificate (chain) in this PEM file")
    tls_key: str = _setting("", _parse_any, "PEM file with the certificate's key; empty = in the same file")

    auth: bool = _setting(
        "false", _parse_flag, "ask who comes, and allow what they may; off = whoever comes may do all", section="Access"
    )
    admin_user: str = _setting("", _parse_any, "make this administrator if there is none", secret=True)
    admin_password: str = _setting("", _parse_any, "the password of the administrator that is made", secret=True)
    shared_secret: str = _setting("", _parse_any, "take JSON Web Tokens that are signed with this secret", secret=True)
    open_metrics: bool = _setting("false", _parse_flag, "with auth: /metrics and /debug/vars ask nobody who they are")

    query_threads: int = _setting("4", _parse_count, "queries that run at the same time", section="Queries")
    query_timeout: float = _setting("60s", parse_duration, "a query is ended after this time (0 = never)")
    max_select_point: int = _setting("0", _parse_count, "rows that a query may answer with (0 = no limit)")
    max_select_series: int = _setting("0", _parse_count, "series that a query may answer with (0 = no limit)")
    max_select_buckets: int = _setting(
        "5000000", _parse_count, "cells, groups times time buckets, that a query may make (0 = no limit)"
    )

    max_concurrent_queries: int = _setting(
        "0", _parse_count, "requests of /query that may run or wait at the same time (0 = no limit)"
    )
    max_row_limit: int = _setting(
        "0", _parse_count, "rows of an InfluxQL answer that is not chunked; what is more is left out (0 = no limit)"
    )
    query_cache_size: int = _setting(
        "32MB", parse_size, "memory for finished time buckets of queries that are asked again (0 = none)"
    )
    log_queries_after: float = _setting(
        "0s", parse_duration, "log queries that took this long, with what they read (0 = none)"
    )

    access_log: bool = _setting("false", _parse_flag, "log one line for every request", section="Logging")
    log_format: str = _setting(
        "auto", _choice("auto", "json", "logfmt"), "form of the log; auto = for people on a terminal, else logfmt"
    )
    log_level: str = _setting(
        "info",
        _parse_levels,
        "error, warn, info, debug or trace; for one room as info,rusts.wal=debug",
        environment=("LOG_LEVEL", "RUST_LOG"),
    )


class Setting(NamedTuple):
    """One row of the table: how a setting is called, its default, what it does."""

    name: str
    default: str
    help: str
    environment: tuple[str, ...]
    """Variables that set it, the strongest first."""
    flag: bool
    """True where it is on or off."""
    section: str
    parse: Callable[[str], Any]
    secret: bool
    """True where it is no flag, because others may read those; a variable ``…_FILE`` may name a file that holds it."""


def settings_table() -> Iterator[Setting]:
    """The rows of the table, in the order of the manual."""
    section = ""
    for f in fields(Settings):
        name = f.name.replace("_", "-")
        m = f.metadata
        section = m["section"] or section
        environment = ("RUSTS_" + f.name.upper(), *m["environment"])
        flag = m["parse"] is _parse_flag
        yield Setting(name, m["default"], m["help"], environment, flag, section, m["parse"], m["secret"])


# Keys of influxdb.conf: which setting of ours does that, or why none is needed.
_INFLUXDB_KEYS: Final[dict[str, str]] = {
    "bind-address": "bind",
    "reporting-disabled": "nothing is ever reported",
    "meta.dir": "data-dir",
    "data.dir": "data-dir",
    "data.wal-dir": "data-dir",
    "data.wal-fsync-delay": "wal-sync-interval",
    "data.cache-max-memory-size": "memory-limit",
    "data.cache-snapshot-memory-size": "memory-buffer-size",
    "data.cache-snapshot-write-cold-duration": "flush-interval",
    "data.max-series-per-database": "max-series-per-database",
    "data.max-values-per-tag": "max-values-per-tag",
    "data.index-version": "there is one kind of index",
    "data.query-log-enabled": "log-level",
    "data.validate-keys": "names are always checked for UTF-8",
    "coordinator.query-timeout": "query-timeout",
    "coordinator.max-concurrent-queries": "max-concurrent-queries",
    "coordinator.log-queries-after": "log-queries-after",
    "coordinator.max-select-point": "max-select-point",
    "coordinator.max-select-series": "max-select-series",
    "coordinator.max-select-buckets": "max-select-buckets",
    "http.max-row-limit": "max-row-limit",
    "http.enabled": "HTTP is always served",
    "http.bind-address": "bind",
    "http.max-body-size": "max-body-size",
    "http.log-enabled": "access-log",
    "http.auth-enabled": "auth",
    "http.shared-secret": "shared-secret",
    "http.https-certificate": "tls-certificate",
    "http.https-private-key": "tls-key",
    "http.https-enabled": "tls-certificate",
    "http.write-tracing": "log-level",
    "logging.format": "log-format",
    "logging.level": "log-level",
    "monitor.store-enabled": "numbers are at /metrics and /stats",
}


def _hint(key: str) -> str:
    """Why `key` is refused, with the name that was perhaps meant."""
    names = [s.name for s in settings_table()]
    known = _INFLUXDB_KEYS.get(key.replace("_", "-"))
    if known in names:
        return f'unknown setting "{key}": here it is called "{known}"'
    if known:
        return f'unknown setting "{key}": {known}'
    close = difflib.get_close_matches(key.rpartition(".")[2].replace("_", "-"), names, n=1)
    return f'unknown setting "{key}"' + (f': did you mean "{close[0]}"?' if close else "")


def _flatten(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _read_file(path: str) -> dict[str, str]:
    try:
        table = tomli.loads(Path(path).read_text("utf-8"))
    except OSError as problem:
        raise BadConfig(f"{path}: {problem.strerror}") from problem
    except (tomli.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise BadConfig(f"{path}: not TOML: {problem}") from problem
    names = {s.name for s in settings_table()}
    values: dict[str, str] = {}
    for key, value in _flatten(table):
        if key not in names:
            raise BadConfig(f"{path}: {_hint(key)}")
        if not isinstance(value, str | int | float):
            raise BadConfig(f'{path}: setting "{key}" must be a text, a number, true or false')
        values[key] = str(value).lower() if isinstance(value, bool) else str(value)
    return values


def _read_secret(path: str) -> str:
    """What the file holds, without the line end behind it."""
    try:
        return Path(path).read_text("utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as problem:
        raise BadConfig(f"{path}: {getattr(problem, 'strerror', None) or problem}") from problem


def load(flags: Mapping[str, str], environment: Mapping[str, str], path: str | None = None) -> Settings:
    """The settings of a server.

    `flags` holds the texts of the flags that were given, by setting name. `path` is a TOML file, or None.
    Raises BadConfig, with a text of one line that names the source, the setting and what it wants.
    """
    file_values = _read_file(path) if path is not None else {}
    unknown = set(flags) - {s.name for s in settings_table()}
    if unknown:
        raise BadConfig(_hint(min(unknown)))
    values: dict[str, Any] = {}
    for setting in settings_table():
        found: tuple[str, str] | None = None
        if setting.name in flags:
            found = f"--{setting.name}", flags[setting.name]
        elif variables := [v for v in setting.environment if environment.get(v)]:
            found = variables[0], environment[variables[0]]
        elif setting.secret and (named := environment.get(variable := setting.environment[0] + "_FILE")):
            found = variable, _read_secret(named)
        elif setting.name in file_values:
            found = f"{path}: {setting.name}", file_values[setting.name]
        if found is None:
            continue
        source, text = found
        try:
            values[setting.name.replace("-", "_")] = setting.parse(text)
        except ValueError as problem:
            raise BadConfig(f'{source}: wrong value "{text}": {problem}') from None
    return Settings(**values)


def misspelt_environment(environment: Mapping[str, str]) -> list[str]:
    """A sentence for each ``RUSTS_*`` variable that is nearly, but not, a setting's.

    Others are left alone: an orchestrator may set variables of that prefix for a service called rusts.
    """
    settings = list(settings_table())
    known = [s.environment[0] for s in settings]
    known += [s.environment[0] + "_FILE" for s in settings if s.secret]
    sentences = []
    for variable in sorted(environment):
        close = difflib.get_close_matches(variable, known, n=1, cutoff=0.85)
        if variable.startswith("RUSTS_") and variable not in known and close:
            sentences.append(f"{variable} is no setting: did you mean {close[0]}?")
    return sentences


def example_file() -> str:
    """A TOML file with every setting at its default, commented out, each under what it does."""
    lines = [
        "# Settings of rusts-server: rusts-server --config rusts.toml",
        "# A flag beats the environment, the environment this file, this file the default shown here.",
    ]
    section = ""
    for setting in settings_table():
        if setting.section != section:
            section = setting.section
            lines += ["", f"# == {section} =="]
        value = setting.default if setting.flag or setting.default.isdigit() else f'"{setting.default}"'
        lines += ["", f"# {setting.help[0].upper()}{setting.help[1:]}.", f"# {setting.name} = {value}"]
    return "\n".join(lines) + "\n"
