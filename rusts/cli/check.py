"""``rusts check``: reads every byte of a data directory and says what is not as it was written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated, Final

import typer

from rusts.catalog.describe import describe_file
from rusts.engine.segments import DIRECTORY as SEGMENTS
from rusts.errors import Corruption
from rusts.files import Files, OsFiles
from rusts.segment.reader import SegmentReader
from rusts.wal.reader import Damage, replay

__all__ = ["check", "findings"]

_LOG: Final = "wal"
_QUARANTINE: Final = "quarantine"


def check(
    directory: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="The data directory.")],
) -> None:
    """Read every byte of a data directory and report damage. The server on it must be stopped.

    Exit code 0: all is well; 1: damage was found; 2: the directory could not be read.
    """
    files = OsFiles()
    lock = files.lock(str(directory))
    try:
        bad = 0
        for is_damage, sentence in findings(files, str(directory)):
            bad += is_damage
            print(("damaged: " if is_damage else "ok: ") + sentence)
    finally:
        lock.release()
    if bad:
        raise typer.Exit(1)


def findings(files: Files, directory: str) -> Iterator[tuple[bool, str]]:
    """Sentences about each part of the directory, each with "is it damage". Raises OSError, FormatTooNew."""
    listed: list[str] | None = None
    for name in ("meta.sqlite", "meta.copy.sqlite"):
        try:
            described = describe_file(files, directory, name)
        except FileNotFoundError:
            yield True, f"{name} is missing"
            continue
        except Corruption as problem:
            yield True, str(problem)
            continue
        yield False, f"{name}, {len(described['databases'])} databases"
        if name == "meta.sqlite":
            listed = [segment["file"] for segment in described["segments"]]
    yield from _segments(files, f"{directory}/{SEGMENTS}", listed)
    yield from _log(files, f"{directory}/{_LOG}")
    quarantine = f"{directory}/{_QUARANTINE}"
    if files.exists(quarantine) and (names := files.list_dir(quarantine)):
        yield True, f"{len(names)} files are in quarantine: {', '.join(sorted(names)[:10])}"


def _segments(files: Files, directory: str, listed: list[str] | None) -> Iterator[tuple[bool, str]]:
    names = sorted(name for name in files.list_dir(directory) if name.endswith(".seg"))
    good = rows = 0
    for name in names:
        problems: list[Corruption] = []
        try:
            with closing(SegmentReader.open(files, f"{directory}/{name}")) as reader:
                problems = reader.verify()
                rows += reader.rows
        except Corruption as problem:
            problems = [problem]
        yield from ((True, str(problem)) for problem in problems)
        good += not problems
    yield False, f"{good} of {len(names)} segments, {rows} rows"
    if listed is not None:
        for name in sorted(set(listed) - set(names)):
            yield True, f"segment {name} is listed in meta.sqlite, but missing"
        # Not damage: the next start removes or quarantines it.
        for name in sorted(set(names) - set(listed)):
            yield False, f"segment {name} is not listed in meta.sqlite (a merge or flush that did not finish)"


def _log(files: Files, directory: str) -> Iterator[tuple[bool, str]]:
    records = rows = 0
    for item in replay(files, directory):
        if isinstance(item, Damage):
            what = "torn tail" if item.torn else "damage"
            yield not item.torn, f"{item.file}: {what} of {item.length} bytes at {item.offset}: {item.reason}"
        else:
            records += 1
            rows += sum(len(r) for r in item[2].rows)
    yield False, f"log, {records} records, {rows} rows"
