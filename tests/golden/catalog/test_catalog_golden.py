"""A meta.sqlite of each format version is kept and opens for ever; the schema of the newest does not change."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rusts.catalog.catalog import COPY, META, Catalog
from rusts.catalog.describe import describe
from rusts.catalog.tables import VERSION, row_digest
from rusts.files import OsFiles
from rusts.model.series import decode_key
from rusts.model.store import PolicyInfo
from rusts.model.types import FieldType, Stamp
from tests.support.catalogs import add_records, add_series, flush, new_entry

HERE = Path(__file__).parent


def fill(directory: str) -> Catalog:
    """What the kept file of the newest version was made by."""
    catalog = Catalog.open(OsFiles(), directory)
    database = catalog.create_database("telegraf")
    catalog.create_policy(database, PolicyInfo("week", 604_800_000_000_000, 86_400_000_000_000, 1, True))
    cpu, gone = (catalog.add_measurement(database, name) for name in ("cpu", "gone"))
    for type in FieldType:
        catalog.add_field(cpu, f"{type.text} é", type)
    add_series(cpu, "a", "b", "ü")
    first = new_entry(catalog, database)
    catalog.commit(checkpoint=(first.database, first.policy, (3, 4_096)), added=[first], removed=[])
    add_series(cpu, *map(str, range(50)))
    catalog.restore_series(cpu.id, np.array([60]), cpu.index.keys(np.array([1], dtype=np.uint32)))
    merged = new_entry(catalog, database, (first.id,), clock=1 << 63)
    catalog.commit(checkpoint=None, added=[merged], removed=[first.id])
    catalog.drop_measurement(database, gone.name, Stamp(5))
    add_records(catalog, database, cpu, Stamp(1 << 63, 3))
    flush(catalog)
    return catalog


def known(described: Any, expected: Any) -> Any:
    """`described` without what `expected` does not speak of: later versions tell more."""
    if isinstance(described, dict):
        return {key: known(value, expected[key]) for key, value in described.items() if key in expected}
    if isinstance(described, list) and len(described) == len(expected):
        return [known(value, told) for value, told in zip(described, expected, strict=True)]
    return described


@pytest.mark.parametrize("version", range(1, VERSION + 1))
def test_every_version_opens(tmp_path: Path, version: int) -> None:
    (tmp_path / META).write_bytes(gzip.decompress((HERE / f"meta-v{version}.sqlite.gz").read_bytes()))
    expected = json.loads((HERE / f"meta-v{version}.json").read_text(encoding="utf-8"))
    assert known(describe(Catalog.read(OsFiles(), str(tmp_path / META))), expected) == expected
    catalog = Catalog.open(OsFiles(), str(tmp_path))
    upgraded = version < VERSION
    expected |= {"format": VERSION, "transactions": expected["transactions"] + 1 + upgraded}
    assert known(describe(catalog), expected) == expected
    index = catalog.database("telegraf").measurements["cpu"].index
    hosts = [decode_key(index.key(n))[1]["host"] if n in index.live() else None for n in range(len(index))]
    assert hosts == ["a", "b" if upgraded else None, "ü", *map(str, range(50)), *[None] * 7, "b"]
    assert (tmp_path / COPY).exists()
    catalog.close()


def test_what_is_written_today_reads_as_the_kept_file(tmp_path: Path) -> None:
    catalog = fill(str(tmp_path))
    assert describe(catalog) == json.loads((HERE / f"meta-v{VERSION}.json").read_text(encoding="utf-8"))
    catalog.close()


def schema_of(catalog: Catalog) -> list[object]:
    rows: list[object] = []
    query = "SELECT name, sql FROM sqlite_schema ORDER BY name"
    catalog._file.transact(lambda c: rows.extend(c.execute(query)), {})
    return rows


def test_the_schema_is_the_kept_files(tmp_path: Path) -> None:
    schemas = []
    for name in ("kept", "new"):
        path = tmp_path / name / META
        path.parent.mkdir()
        if name == "kept":
            path.write_bytes(gzip.decompress((HERE / f"meta-v{VERSION}.sqlite.gz").read_bytes()))
        catalog = Catalog.open(OsFiles(), str(path.parent))
        schemas.append(schema_of(catalog))
        catalog.close()
    assert schemas[0] == schemas[1]


def test_the_digest_of_a_row_is_what_the_format_says() -> None:
    row = b"databases" + b"\x08\0\0\0" + b"\x01\0\0\0\0\0\0\0" + b"\x07\0\0\0" + b"default"
    expected = hashlib.blake2b(row, digest_size=8).digest()
    assert row_digest("databases", (1, "default")) == int.from_bytes(expected, "little") == 9531132167690300736
    row = b"series" + b"".join(b"\x08\0\0\0" + bytes([n, 0, 0, 0, 0, 0, 0, 0]) for n in (1, 0, 2, 3))
    expected = hashlib.blake2b(row, digest_size=8).digest()
    assert row_digest("series", (1, 0, 2, 3, b"the keys")) == int.from_bytes(expected, "little")
