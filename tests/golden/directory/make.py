"""Writes a small data directory as the present version does, with all that it answers as JSON beside it.

``python -m tests.golden.directory.make tests/golden/directory/versionN`` makes it. A directory that was shipped is
never written again: a version that changes a format adds one of its own.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rusts.engine.engine import Engine, EngineSettings
from rusts.files import OsFiles
from rusts.lineprotocol.parser import parse
from rusts.model.accounts import Privilege, Token, User
from rusts.model.predicate import CompareOp, FieldCompare, TagIn
from rusts.model.series import decode_key
from rusts.model.store import ContinuousQuery, PolicyInfo, ScanRequest, TimeRange
from rusts.model.time import MAX_TIME, MIN_TIME
from rusts.model.types import FieldType
from rusts.wal.sync import LogMode
from tests.support.engines import ManualClock
from tests.support.model_store import python_values

__all__ = ["answers", "make", "open_directory"]

HOUR = 3_600_000_000_000
START = 1_700_000_000_000_000_000

KEPT = ("meta.sqlite", "meta.copy.sqlite", "segments", "wal")
"""What belongs to a data directory at rest."""


def regular(first: int, rows: int, hosts: int = 4) -> str:
    """A row a minute and host: every type of field."""
    lines = []
    for n in range(first, first + rows):
        for host in range(hosts):
            time = START + n * 60_000_000_000
            lines.append(
                f"cpu,host=h{host},rack=r{host % 2} usage={n * 0.25 + host},count={n * host}i,total={n}u,"
                f'state="{"up" if n % 3 else "down"}",ok={str(n % 2 == 0).lower()} {time}'
            )
    return "\n".join(lines)


ODD = "\n".join(
    [
        f"edge v=-0.0,i=-9223372036854775808i {MIN_TIME}",
        f"edge v=1.7976931348623157e308,i=9223372036854775807i,u=18446744073709551615u {MAX_TIME}",
        'edge v=5e-324,s="" 0',
        "größe\\,\\ x,ключ=значение,a\\ b=c\\=d fié=1,ok=t -1",
        'text,t=1 s="two\nlines, \\"quoted\\" \\\\",empty="" 1',
        "sparse,only=tag a=1 1",
        "sparse b=2i 1",
        "sparse,only=tag b=3i 1",
    ]
)

H2 = TagIn("host", ("h2",))
HIGH = FieldCompare("usage", CompareOp.GT, 20.0)
MINUTE = 60_000_000_000


def delete(engine: Engine) -> None:
    """Deletes of every kind, of points in segments and in memory."""
    engine.delete("default", ["cpu"], TimeRange(START + 10 * MINUTE, START + 20 * MINUTE), H2)
    engine.delete("default", ["cpu"], TimeRange(START, START + 100 * MINUTE), HIGH)
    engine.drop_series("second", ["m"], TagIn("t", ("b",)))
    engine.drop_measurement("default", "sparse")


def alter(engine: Engine) -> None:
    """Policies, accounts, a continuous query; a database that comes and goes."""
    engine.create_database("fourth", PolicyInfo("year", 365 * 24 * HOUR, 0, 1, True))
    engine.drop_database("fourth")
    engine.create_policy("third", PolicyInfo("week", 7 * 24 * HOUR, 0, 1, False))
    engine.alter_policy("third", "week", duration=8 * 24 * HOUR)
    engine.put_user(User("admin", "$scrypt$hash", True, {"second": Privilege.READ}))
    engine.put_token(Token("id", "for telegraf", b"hash", ("write:second",), 1, 2))
    engine.put_continuous_query("third", ContinuousQuery("q", "CREATE CONTINUOUS QUERY q ON third BEGIN SELECT 1 END"))


WRITES: list[tuple[str, str | Callable[[Engine], None]]] = [
    ("default", regular(0, 60)),
    ("default", ODD),
    ("second", "m,t=a v=1 1\nm,t=b v=2 2\nm v=3 3"),
    ("default", "FLUSH"),
    ("default", regular(50, 60)),
    ("second", "m,t=a v=10 1\nm,t=a w=1i 1\nother f=f 5"),
    ("default", "FLUSH"),
    ("default", "cpu,host=h0,rack=r0 usage=-1 " + str(START) + "\ncpu,host=h9 usage=9 " + str(START - 400 * 24 * HOUR)),
    ("default", "FLUSH"),
    ("default", "COMPACT"),
    ("default", "cpu,host=h1,rack=r1 count=-5i " + str(START) + "\nlate,host=new x=1 7"),
    ("default", "FLUSH"),
    ("default", alter),
    ("default", delete),
    ("default", "sparse,only=tag a=\"of another type\" 1\ncpu,host=h2,rack=r0 usage=1 " + str(START + 15 * MINUTE)),
    ("default", "FLUSH"),
    # From here on it is in the log alone.
    ("second", "m,t=a v=100 1\nm,t=c v=4 4"),
    ("default", regular(108, 4) + "\n" + f'text,t=1 s="later" 1\nedge u=7u {MIN_TIME}'),
    ("third", "born,in=log v=1,s=\"x\" 1\nborn,in=log v=2 1"),
    ("third", "born,in=log v=3 7\nborn,not=long v=4 8"),
    ("third", lambda engine: engine.delete("third", ["born"], TimeRange(5, 9))),
    ("third", "born,in=log v=5 8"),
]  # fmt: skip


def open_directory(directory: Path) -> Engine:
    """The engine on `directory`, its log replayed."""
    settings = EngineSettings(wal_mode=LogMode.PERIODIC, min_free_space=0, wal_file_bytes=8_000)
    engine = Engine.open(OsFiles(), str(directory), settings, ManualClock())
    engine.recover_step()
    return engine


def answers(engine: Engine) -> dict[str, Any]:
    """Everything that the engine knows, as JSON; of a series its points in order of time."""
    found: dict[str, Any] = {}
    if engine.users():
        found["users"] = [[u.name, u.admin, {d: p.name for d, p in u.grants.items()}] for u in engine.users()]
        found["tokens"] = [[t.id, t.description, list(t.scopes)] for t in engine.tokens()]
    for database in engine.databases():
        queries = [[query.name, query.text] for query in engine.continuous_queries(database)]
        policies = [[p.name, p.duration, p.shard_duration, p.default] for p in engine.policies(database)]
        if queries or len(policies) > 1:
            found[database] = {"queries": queries, "policies": policies}
        for measurement in engine.measurements(database):
            types = engine.field_types(database, measurement)
            scan = engine.scan(ScanRequest(database, None, measurement, TimeRange(MIN_TIME, MAX_TIME + 1)))
            shown = engine.select_series(database, measurement)
            keys = [decode_key(shown.key(n))[1] for n in range(len(shown))]
            series: dict[str, list[Any]] = {json.dumps(tags, ensure_ascii=False, sort_keys=True): [] for tags in keys}
            for chunk in scan:
                keys = [decode_key(scan.series.key(int(n)))[1] for n in chunk.row_series()]
                columns = {name: python_values(column) for name, column in sorted(chunk.columns.items())}
                for row, (tags, time) in enumerate(zip(keys, chunk.times.tolist(), strict=True)):
                    cells = {n: _plain(types[n], v) for n, vs in columns.items() if (v := vs[row]) is not None}
                    series[json.dumps(tags, ensure_ascii=False, sort_keys=True)].append([time, cells])
            assert not scan.stats.warnings
            fields = {name: type.text for name, type in types.items()}
            found[f"{database} {measurement}"] = {"fields": fields, "series": dict(sorted(series.items()))}
    return found


def _plain(type: FieldType, value: Any) -> Any:
    return value.hex() if type is FieldType.FLOAT else value


def make(directory: Path) -> dict[str, Any]:
    """Write the directory, as a kill -9 would leave it, and return what it answers."""
    engine = open_directory(directory)
    for database in ("second", "third"):
        engine.create_database(database)
    for database, body in WRITES:
        if not isinstance(body, str):
            body(engine)
        elif body == "FLUSH":
            engine.flush()
        elif body == "COMPACT":
            engine.compact()
        else:
            parsed = parse(body.encode())
            assert not parsed.errors
            assert not engine.write(database, None, parsed.batches).rejects
    found = answers(engine)
    engine.close(flush=False)
    return found


def main() -> None:
    """See the module."""
    directory = Path(sys.argv[1])
    os.makedirs(directory)
    text = json.dumps(make(directory), ensure_ascii=False, indent=1, sort_keys=True)
    for path in directory.iterdir():
        if path.name not in KEPT:
            path.unlink()
    (directory / "answers.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
