"""What a catalog holds, as JSON: for ``rusts inspect meta``."""

from __future__ import annotations

from typing import Any

from rusts.catalog.catalog import META, Catalog
from rusts.catalog.schema import Database, Measurement, SegmentEntry
from rusts.catalog.tombstones import Tombstone
from rusts.files import Files

__all__ = ["describe", "describe_file"]


def describe_file(files: Files, directory: str, name: str = META) -> dict[str, Any]:
    """`describe` of the file `name` in the data directory, without changing it.

    The server may be running. Raises FileNotFoundError, Corruption, FormatTooNew.
    """
    path = f"{directory}/{name}"
    if not files.exists(path):
        raise FileNotFoundError(path)
    return describe(Catalog.read(files, path))


def describe(catalog: Catalog) -> dict[str, Any]:
    """Everything in the catalog but the series keys, which are counted."""
    stamp = catalog.max_stamp()
    return {
        "format": catalog.format,
        "node": catalog.node,
        "transactions": catalog.transactions,
        "max_stamp": {"clock": stamp.clock, "node": stamp.node},
        "databases": [_database(d) for d in catalog.databases()],
        "dropped_ids": catalog.dropped_ids(),
        "users": [
            {"name": u.name, "admin": u.admin, "grants": {d: p.name.lower() for d, p in u.grants.items()}}
            for u in catalog.users()
        ],
        "tokens": [{"id": t.id, "description": t.description, "scopes": list(t.scopes)} for t in catalog.tokens()],
        "tombstones": [_tombstone(t) for t in catalog.deletes.tombstones()],
        "purges": [
            {"database": database, "clock": stamp.clock, "node": stamp.node}
            for database, stamp in catalog.deletes.purges.items()
        ],
        "segments": [_segment(s) for s in catalog.segments()],
        "checkpoints": [
            {"database": database, "policy": policy, "file": position.file, "offset": position.offset}
            for (database, policy), position in catalog.checkpoints().items()
        ],
    }


def _database(database: Database) -> dict[str, Any]:
    return {
        "id": database.id,
        "name": database.name,
        "policies": [
            {
                "id": p.id,
                "name": p.name,
                "duration_ns": p.duration,
                "shard_duration_ns": p.shard_duration,
                "replication": p.replication,
                "default": p.default,
            }
            for p in database.policies.values()
        ],
        "continuous_queries": [{"id": i, "name": q.name, "text": q.text} for i, q in database.continuous.values()],
        "measurements": [_measurement(m) for m in list(database.measurements.values())],
    }


def _measurement(measurement: Measurement) -> dict[str, Any]:
    index = measurement.index
    return {
        "id": measurement.id,
        "name": measurement.name,
        "series": index.count(),
        "dropped_series": len(index.dropped()),
        "tags": {key: index.distinct(key) for key in index.tag_keys()},
        "fields": [{"id": f.id, "name": f.name, "type": f.type.text} for f in measurement.fields.values()],
    }


def _tombstone(tombstone: Tombstone) -> dict[str, Any]:
    return {
        "id": tombstone.id,
        "stamp": list(tombstone.stamp),
        "database": tombstone.database,
        "policy": tombstone.policy,
        "measurement": tombstone.measurement,
        "low": tombstone.low,
        "high": tombstone.high,
        "series": None if tombstone.series is None else len(tombstone.series),
        "spans": None if tombstone.spans is None else len(tombstone.spans),
    }


def _segment(entry: SegmentEntry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "file": entry.file_name,
        "database": entry.database,
        "policy": entry.policy,
        "min_time": entry.min_time,
        "max_time": entry.max_time,
        "min_stamp": list(entry.min_stamp),
        "max_stamp": list(entry.max_stamp),
        "rows": entry.rows,
        "bytes": entry.bytes,
        "tier": int(entry.tier),
        "start": entry.start,
        "width": entry.width,
        "parents": list(entry.parents),
    }
