"""A lost meta.sqlite comes back from its copy and from what segments say; what cannot come back is said."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rusts.catalog.catalog import COPY, META, Catalog
from rusts.catalog.rebuild import rebuild
from rusts.catalog.schema import FIRST_IDS
from rusts.errors import Corruption, FormatTooNew
from rusts.files import OsFiles
from rusts.model.store import PolicyInfo
from rusts.model.time import NANOSECONDS
from rusts.model.types import FieldType, Stamp
from rusts.segment.reader import SectionDescription, SegmentDescription
from tests.support.catalogs import add_series, describe_entry, describe_section, flush, new_entry

Open = Callable[[], Catalog]
Described = tuple[str, SegmentDescription]


@pytest.fixture
def before(open_catalog: Open) -> tuple[Catalog, list[Described]]:
    """A catalog with two databases, a merged and a live segment, and how these describe themselves."""
    catalog = open_catalog()
    database = catalog.create_database("db")
    catalog.create_policy(database, PolicyInfo("week", 7 * NANOSECONDS["d"], 0, 1, True))
    cpu, disk = (catalog.add_measurement(database, name) for name in ("cpu", "disk"))
    catalog.add_field(cpu, "v", FieldType.FLOAT)
    catalog.add_field(disk, "v", FieldType.STRING)
    add_series(cpu, *"abcdef")
    add_series(disk, "a")
    old, merged, other = (new_entry(catalog, database, clock=c) for c in (5, 9, 7))
    merged = replace(merged, parents=(old.id,))
    catalog.commit(checkpoint=None, added=[merged, other], removed=[])
    segments = [
        describe_entry(entry, "db", "week", sections)
        for entry, sections in (
            (old, [describe_section(cpu, [0])]),
            (merged, [describe_section(cpu, [0, 4])]),
            (other, [describe_section(cpu, [2, 4]), describe_section(disk, [0])]),
        )
    ]
    catalog.close()
    return catalog, segments


@pytest.mark.parametrize("lost", ["missing", "rubbish", "flipped"])
def test_the_list_and_the_names_come_back(before: tuple[Catalog, list[Described]], directory: str, lost: str) -> None:
    old, segments = before
    path = Path(directory, META)
    if lost == "missing":
        path.unlink()
    else:
        path.write_bytes(b"rubbish" if lost == "rubbish" else path.read_bytes()[:-4] + b"\0\0\0\0")
        Path(directory, META + "-journal").write_bytes(b"of the old file")
    with pytest.raises(Corruption):
        Catalog.open(OsFiles(), directory)
    left = {p.name for p in Path(directory).iterdir()}

    catalog, notes = rebuild(OsFiles(), directory, iter(segments))
    assert notes == []
    catalog.close()
    aside = {f"{name}.damaged-1" for name in left if name.startswith(META)}
    assert {p.name for p in Path(directory).iterdir()} == {META, COPY, "segments", "wal"} | aside

    catalog = Catalog.open(OsFiles(), directory)
    database = catalog.database("db")
    assert database.id == old.database("db").id
    assert database.policies == old.database("db").policies
    assert sorted(s.id for s in catalog.segments()) == [s.header.segment for _, s in segments[1:]]
    assert catalog.max_stamp() == Stamp(9, 3)
    assert catalog.checkpoints() == {}
    cpu = database.measurements["cpu"]
    assert {n: f for m in database.measurements.values() for n, f in m.fields.items()}.keys() == {"v"}
    assert sorted(cpu.index.live()) == [0, 2, 4]
    # The log has what no segment has yet.
    known = old.database("db").measurements["cpu"]
    catalog.restore_series(cpu.id, np.arange(6, dtype=np.uint32), known.index.keys(np.arange(6, dtype=np.uint32)))
    assert cpu.index.count() == 6
    assert catalog.durable_series(cpu.id) == 0, "the rows on disk lack what the log brought"
    flush(catalog)
    assert catalog.durable_series(cpu.id) == 6
    assert catalog.next_segment_id() > max(s.header.segment for _, s in segments)
    catalog.close()
    catalog = Catalog.open(OsFiles(), directory)
    assert catalog.database("db").measurements["cpu"].index.count() == 6
    catalog.close()


def test_a_second_damage_sets_a_second_file_aside(before: tuple[Catalog, list[Described]], directory: str) -> None:
    for number in (1, 2):
        Path(directory, META).write_bytes(b"rubbish")
        catalog, _ = rebuild(OsFiles(), directory, before[1])
        catalog.close()
        assert Path(directory, f"{META}.damaged-{number}").read_bytes() == b"rubbish"


@pytest.mark.parametrize("lost", ["missing", "rubbish"])
def test_without_the_copy_policies_last_for_ever_and_that_is_said(
    before: tuple[Catalog, list[Described]], directory: str, lost: str
) -> None:
    _, segments = before
    Path(directory, META).unlink()
    copy = Path(directory, COPY)
    copy.unlink()
    if lost == "rubbish":
        copy.write_bytes(b"rubbish")
    catalog, notes = rebuild(OsFiles(), directory, segments)
    assert len(notes) == 1
    assert "durations" in notes[0]
    assert Path(directory, f"{COPY}.damaged-1").exists() == (lost == "rubbish")
    database = catalog.database("db")
    week = catalog.policy(database, "week")
    assert (week.id, week.duration) == (segments[0][1].header.policy, 0)
    assert catalog.policy(database, None).name == "autogen"
    assert catalog.owner(*FIRST_IDS) is not None
    assert len(catalog.segments()) == 2
    catalog.close()


def test_what_was_dropped_stays_dropped(before: tuple[Catalog, list[Described]], directory: str) -> None:
    segments = before[1]
    catalog = Catalog.open(OsFiles(), directory)
    dropped = catalog.database("db").measurements["disk"].id
    catalog.drop_measurement(catalog.database("db"), "disk", Stamp(1))
    catalog.close()
    Path(directory, META).unlink()
    catalog, _ = rebuild(OsFiles(), directory, segments)
    assert list(catalog.database("db").measurements) == ["cpu"]
    assert catalog.measurement(dropped) is None
    catalog.drop_database("db")
    catalog.close()
    Path(directory, META).unlink()
    catalog, notes = rebuild(OsFiles(), directory, segments)
    assert notes == []
    assert [d.name for d in catalog.databases()] == ["default"]
    assert catalog.segments() == []
    catalog.close()


def test_a_segment_that_cannot_be_read_to_its_end_is_left_out_and_named(
    before: tuple[Catalog, list[Described]], directory: str
) -> None:
    segments = before[1]

    name, cut = segments[2]

    class Broken(list[SectionDescription]):
        def __iter__(self) -> Iterator[SectionDescription]:
            yield from cut.sections
            raise Corruption(name, 5, "bad")

    Path(directory, META).unlink()
    catalog, notes = rebuild(OsFiles(), directory, [segments[1], (name, replace(cut, sections=Broken()))])
    assert [s.file_name for s in catalog.segments()] == [segments[1][0]]
    assert len(notes) == 1
    assert name in notes[0]
    catalog.close()


def test_two_databases_of_one_name_keep_their_points(directory: str) -> None:
    catalog = Catalog.open(OsFiles(), directory)
    entry = new_entry(catalog, catalog.database("default"))
    catalog.close()
    for name in (META, COPY):
        Path(directory, name).unlink()
    entries = [replace(entry, id=500, database=100, policy=101), replace(entry, id=501, database=200, policy=201)]
    catalog, _ = rebuild(OsFiles(), directory, [describe_entry(e, "default", "autogen", []) for e in entries])
    assert [d.name for d in catalog.databases()] == ["default", "default#100", "default#200"]
    assert catalog.owner(200, 201) is not None
    catalog.close()


def test_a_copy_of_a_later_format_is_not_thrown_away(directory: str) -> None:
    catalog = Catalog.open(OsFiles(), directory)
    catalog._file.transact(lambda c: (c.execute("PRAGMA user_version = 9"), None)[1], {})
    catalog.close()
    Path(directory, META).rename(Path(directory, COPY))
    with pytest.raises(FormatTooNew):
        rebuild(OsFiles(), directory, [])
