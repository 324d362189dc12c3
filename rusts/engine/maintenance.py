"""What operators see of an engine: counters, health checks, statistics, cardinality."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rusts.catalog.schema import Database
from rusts.segment.layout import Tier

if TYPE_CHECKING:
    from rusts.engine.engine import Engine

__all__ = ["Check", "Counters", "cardinality", "checks", "stats"]


@dataclass(slots=True)
class Counters:
    """What an engine has done since it was opened."""

    points: int = 0
    flushes: int = 0
    compactions: int = 0
    compacted_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    ok: bool
    message: str


def checks(engine: Engine) -> list[Check]:
    """Log, disk, flush, segments, catalog and start-up damage."""
    listed = [s.entry for d in list(engine.policies_data.values()) for s in list(d.segments)]
    bad = [e.file_name for e in listed if e.id in engine.quarantined]
    low = engine.disk_low()
    return [
        Check("log", not engine.log.failed, "syncing failed" if engine.log.failed else "ok"),
        Check("disk", not low, f"{engine.free_bytes:,} of {engine.total_bytes:,} bytes free"),
        Check("flush", engine.flush_error is None, engine.flush_error or "ok"),
        Check("segments", not bad, f"{len(bad)} quarantined: {', '.join(bad[:10])}" if bad else f"{len(listed)} live"),
        Check("catalog", engine.catalog.copy_error is None, engine.catalog.copy_error or "ok"),
        Check("start", not engine.damage, "; ".join(engine.damage[:10]) or "ok"),
    ]


def stats(engine: Engine) -> dict[str, Any]:
    """Sizes in bytes, counts; the memtables split in the active ones and those that are being flushed."""
    datas = list(engine.policies_data.values())
    active = [d.active for d in datas]
    flushing = [s.memtable for d in datas for s in (*d.sealed, *d.waiting)]
    flushing += [d.replayed for d in datas if d.replayed is not None]
    segments = [s.entry for d in datas for s in list(d.segments)]
    buffer = engine.budget.write_buffer
    databases = {d.name: _database(engine, d) for d in engine.catalog.databases()}
    return {
        "memtable": {
            "active_size": sum(m.nbytes for m in active),
            "active_points": sum(m.points for m in active),
            "flushing_size": sum(m.nbytes for m in flushing),
            "flushing_points": sum(m.points for m in flushing),
            "limit": buffer.limit,
        },
        "wal": engine.log.stats() | {"replay_bytes_left": engine.replay_bytes_left()},
        "segments": {
            "count": len(segments),
            "bytes": sum(e.bytes for e in segments),
            "bytes_by_tier": {t.name.lower(): sum(e.bytes for e in segments if e.tier == t) for t in Tier},
            "rows": sum(e.rows for e in segments),
            "quarantined": len(engine.quarantined),
        },
        "series": sum(d["series"] for d in databases.values()),
        "memory": {
            pool.name.replace(" ", "_"): {"used": pool.used, "limit": pool.limit}
            for pool in (buffer, engine.budget.query, engine.budget.replay)
        },
        "caches": {"columns": {"bytes": engine.cache.nbytes, "limit": engine.cache.limit}},
        "disk": {"free_bytes": engine.free_bytes, "total_bytes": engine.total_bytes},
        "points_written": engine.counters.points,
        "flushes": engine.counters.flushes,
        "compactions": engine.counters.compactions,
        "compacted_bytes": engine.counters.compacted_bytes,
        "clock_lead_ms": engine.stamps.lead_ms(),
        "databases": databases,
    }


def _database(engine: Engine, database: Database) -> dict[str, Any]:
    mine = [d for (number, _), d in list(engine.policies_data.items()) if number == database.id]
    entries = [s.entry for d in mine for s in list(d.segments)]
    memtables = [m for d in mine for m in d.memtables()]
    return {
        "measurements": len(database.measurements),
        "series": database.series_count(),
        "series_bytes": sum(m.index.nbytes for m in list(database.measurements.values())),
        "segments": len(entries),
        "bytes": sum(e.bytes for e in entries),
        "rows": sum(e.rows for e in entries),
        "memtable_points": sum(m.points for m in memtables),
        "memtable_bytes": sum(m.nbytes for m in memtables),
    }


def cardinality(database: Database, top: int) -> dict[str, Any]:
    """Series of the database, the measurements with most series, and the tags with most values."""
    measurements = list(database.measurements.values())
    by_series = sorted(measurements, key=lambda m: (-len(m.index), m.name))[:top]
    tags = [(m.index.distinct(key), m.name, key, len(m.index)) for m in measurements for key in m.index.tag_keys()]
    tags.sort(key=lambda t: (-t[0], t[1], t[2]))
    return {
        "database": database.name,
        "series": database.series_count(),
        "measurements": [{"measurement": m.name, "series": len(m.index)} for m in by_series],
        "tags": [{"measurement": m, "tag": t, "values": n, "series": s} for n, m, t, s in tags[:top]],
    }
