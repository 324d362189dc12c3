"""What operators read: the figures of ``/metrics`` and ``/debug/vars``, taken when they are asked for."""

from __future__ import annotations

import os
import platform
import socket
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rusts import __version__
from rusts.engine.memory import anonymous_memory
from rusts.influxql.context import Figure
from rusts.influxql.running import RunningQueries
from rusts.metrics import Sample
from rusts.model.time import format_duration, format_rfc3339
from rusts.node import Node

__all__ = ["ServerFigures", "debug_vars", "samples", "server_stats", "uptime_seconds"]

_NO_LABELS: tuple[str, ...] = ()


def uptime_seconds(node: Node) -> float:
    """How long the node has been up."""
    return max(0, node.clock.now_ns() - node.started_ns) / 1e9


def server_stats(node: Node) -> dict[str, Any]:
    """The member ``server`` of ``/stats``."""
    return {
        "version": __version__,
        "started": format_rfc3339(node.started_ns),
        "uptime_seconds": round(uptime_seconds(node), 3),
        "wal_mode": node.settings.wal_mode,
        "memory_limit": node.memory_bytes,
        "memory_anonymous": anonymous_memory(),
    }


def _gauge(name: str, help: str, value: float) -> Sample:
    return Sample(name, help, [(_NO_LABELS, value)])


def _count(name: str, help: str, value: float) -> Sample:
    return Sample(name, help, [(_NO_LABELS, value)], kind="counter")


def samples(node: Node) -> Iterator[Sample]:
    """The storage's figures, for `Registry.source`."""
    stats = node.store.stats()
    memtable, disk, segments = stats["memtable"], stats["disk"], stats["segments"]
    yield Sample("rusts_info", "Version of the server", [((__version__,), 1)], labels=("version",))
    yield _gauge("rusts_memory_anonymous_bytes", "Memory that no file backs (RssAnon)", anonymous_memory())
    yield _gauge("rusts_memory_limit_bytes", "Memory for all pools together", node.memory_bytes)
    yield _gauge("rusts_disk_free_bytes", "Free bytes of the data directory's disk", disk["free_bytes"])
    yield _gauge(
        "rusts_disk_used_bytes", "Used bytes of the data directory's disk", disk["total_bytes"] - disk["free_bytes"]
    )
    yield Sample(
        "rusts_memtable_bytes",
        "Bytes of points that are not in segments yet",
        [(("active",), memtable["active_size"]), (("flushing",), memtable["flushing_size"])],
        labels=("state",),
    )
    yield Sample(
        "rusts_memtable_points",
        "Points that are not in segments yet",
        [(("active",), memtable["active_points"]), (("flushing",), memtable["flushing_points"])],
        labels=("state",),
    )
    yield _count("rusts_points_written", "Points taken", stats["points_written"])
    yield _count("rusts_flushes", "Memtables put into segments", stats["flushes"])
    yield _count("rusts_compactions", "Merges of segments", stats["compactions"])
    yield _count("rusts_compacted_bytes", "Bytes of segments that merges have written", stats["compacted_bytes"])
    yield _gauge("rusts_segments", "Live segments", segments["count"])
    yield _gauge(
        "rusts_segments_quarantined", "Segments that are not read because they are damaged", segments["quarantined"]
    )
    tiers = [((tier,), float(size)) for tier, size in segments["bytes_by_tier"].items()]
    yield Sample("rusts_storage_bytes", "Bytes of live segments", tiers, labels=("tier",))
    yield _gauge("rusts_series", "Series", stats["series"])
    yield _gauge(
        "rusts_clock_lead_seconds", "How far write stamps run ahead of the wall clock", stats["clock_lead_ms"] / 1e3
    )
    yield from _log(stats["wal"])
    yield from _databases(stats["databases"])
    rejected = [(labels, float(count)) for labels, count in node.store.rejected.counts().items()]
    yield Sample(
        "rusts_points_rejected", "Lines and points refused", rejected, kind="counter", labels=("database", "reason")
    )


def _log(wal: dict[str, Any]) -> Iterator[Sample]:
    yield _gauge("rusts_wal_replay_bytes_left", "Bytes of log that queries still wait for", wal["replay_bytes_left"])
    yield _gauge("rusts_wal_queued_bytes", "Bytes that wait for the log thread", wal["queued_bytes"])
    yield _gauge("rusts_wal_unsynced_seconds", "Age of the oldest write that is not synced", wal["unsynced_seconds"])
    yield _gauge("rusts_wal_failed", "1 while the log cannot be synced", wal["failed"])
    yield _count("rusts_wal_records", "Records written to the log", wal["records"])
    yield _count("rusts_wal_bytes", "Bytes written to the log", wal["bytes"])
    yield _count("rusts_wal_syncs", "Syncs of the log", wal["syncs"])
    yield _count("rusts_wal_sync_seconds", "Time spent in syncs of the log", wal["sync_seconds"])


def _databases(databases: dict[str, dict[str, Any]]) -> Iterable[Sample]:
    for key, help in (("series", "Series"), ("bytes", "Bytes of live segments"), ("rows", "Rows of live segments")):
        values = [((name,), float(d[key])) for name, d in databases.items()]
        yield Sample(f"rusts_database_{key}", f"{help} by database", values, labels=("database",))


def debug_vars(node: Node) -> dict[str, Any]:
    """The object of ``/debug/vars``, in the shape that Telegraf's inputs.influxdb reads."""
    stats = node.store.stats()
    anonymous = anonymous_memory()
    runtime = {
        "rusts": {
            "name": "rusts",
            "tags": {},
            "values": {key: stats[key] for key in ("points_written", "flushes", "compactions", "series")},
        }
    }
    databases = {
        f"database:{name}": {
            "name": "database",
            "tags": {"database": name},
            "values": {"numMeasurements": d["measurements"], "numSeries": d["series"], "diskBytes": d["bytes"]},
        }
        for name, d in stats["databases"].items()
    }
    return {
        "system": {
            "currentTime": format_rfc3339(node.clock.now_ns()),
            "started": format_rfc3339(node.started_ns),
            "uptime": int(uptime_seconds(node)),
        },
        "build": {"Version": __version__, "Python": platform.python_version()},
        "cmdline": sys.argv,
        "memstats": {"Alloc": anonymous, "Sys": anonymous, "NumGC": 0, "PauseNs": [0] * 256},
        **runtime,
        **databases,
    }


class ServerFigures:
    """What SHOW STATS and SHOW DIAGNOSTICS tell. Asking the storage takes its locks, so it blocks."""

    def __init__(self, node: Node, running: RunningQueries) -> None:
        self._node = node
        self._running = running

    def statistics(self) -> Iterator[Figure]:
        """Memory, queries, what storage has done, each database."""
        stats = self._node.store.stats()
        yield Figure("runtime", {"Alloc": anonymous_memory(), "Limit": self._node.memory_bytes})
        active = len(self._running.active())
        yield Figure("queryExecutor", {"queriesActive": active, "queriesFinished": self._running.executed})
        for name, numbers in stats["databases"].items():
            values = {"numMeasurements": numbers["measurements"], "numSeries": numbers["series"]}
            yield Figure("database", {**values, "diskBytes": numbers["bytes"]}, {"database": name})
        yield Figure("storage", _numbers(stats))
        for part in ("memtable", "disk", "segments", "wal"):
            yield Figure(part, _numbers(stats[part]))

    def diagnostics(self) -> Iterator[Figure]:
        """Version, settings that matter, machine, process."""
        node = self._node
        settings = node.settings
        yield Figure("build", {"Version": __version__, "Python": platform.python_version()})
        yield Figure("config", {"bind-address": str(settings.bind), "auth-enabled": settings.auth})
        yield Figure(
            "config-data",
            {
                "dir": os.path.abspath(settings.data_dir),
                "wal-mode": settings.wal_mode,
                "memory-limit": node.memory_bytes,
                "max-series-per-database": settings.max_series_per_database,
                "max-values-per-tag": settings.max_values_per_tag,
            },
        )
        yield Figure(
            "config-coordinator",
            {
                "log-queries-after": format_duration(round(settings.log_queries_after * 1e9)),
                "max-concurrent-queries": settings.max_concurrent_queries,
                "max-select-buckets": settings.max_select_buckets,
                "max-select-point": settings.max_select_point,
                "max-select-series": settings.max_select_series,
                "query-timeout": format_duration(round(settings.query_timeout * 1e9)),
            },
        )
        yield Figure("network", {"hostname": socket.gethostname()})
        yield Figure("runtime", {"machine": platform.machine(), "cpus": os.cpu_count(), "system": sys.platform})
        now = node.clock.now_ns()
        yield Figure(
            "system",
            {
                "PID": os.getpid(),
                "currentTime": format_rfc3339(now),
                "started": format_rfc3339(node.started_ns),
                "uptime": format_duration(max(0, now - node.started_ns)),
            },
        )


def _numbers(stats: Mapping[str, Any]) -> dict[str, int | float | str]:
    """The plain values among `stats`."""
    return {name: value for name, value in stats.items() if isinstance(value, int | float | str)}
