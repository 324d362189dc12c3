"""``rusts inspect``: what is in a file of a data directory, as JSON or as a plain Arrow file."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer

from rusts.catalog.describe import describe_file
from rusts.files import OsFiles
from rusts.model.time import format_rfc3339
from rusts.segment.inspect import summary, write_arrow
from rusts.segment.reader import SegmentReader
from rusts.wal.reader import Damage, RecordInfo, inspect_file
from rusts.wal.record import file_number

__all__ = ["app"]

_FILE = typer.Argument(exists=True, help="The file to look into.")

app = typer.Typer(no_args_is_help=True, help="Look into a log, a segment or the catalog; nothing is changed.")


def _print(value: object) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


@app.command()
def wal(
    path: Annotated[Path, typer.Argument(exists=True, help="A log file, or the directory that holds them.")],
) -> None:
    """One JSON object a line for each record of the log, and for each damage."""
    files = [path]
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if file_number(p.name) is not None)
    for file in files:
        for item in inspect_file(OsFiles(), str(file)):
            line = _damage(item) if isinstance(item, Damage) else _record(item)
            print(json.dumps(line, ensure_ascii=False))


def _damage(damage: Damage) -> dict[str, Any]:
    return {
        "damage": damage.reason,
        "file": damage.file,
        "offset": damage.offset,
        "bytes": damage.length,
        "torn_tail": damage.torn,
    }


def _record(info: RecordInfo) -> dict[str, Any]:
    record = info.record
    rows = sum(len(r) for r in record.rows)
    return {
        "file": info.position.file,
        "offset": info.position.offset,
        "bytes": info.size,
        "names_bytes": info.names_size,
        "rows_bytes": info.rows_size,
        "written": format_rfc3339((record.stamp.clock >> 20) * 1_000_000),
        "stamp": list(record.stamp),
        "database": record.database,
        "policy": record.policy,
        "rows": rows,
        "measurements": {str(id): name for id, name in record.measurements},
        "fields": [{"id": f, "measurement": m, "name": n, "type": t.text} for f, m, n, t in record.fields],
        "new_series": sum(len(numbers) for _, numbers, _ in record.series),
    }


@app.command()
def segment(
    path: Annotated[Path, _FILE],
    arrow: Annotated[Path | None, typer.Option(help="Write the rows of a measurement there, as an Arrow file.")] = None,
    measurement: Annotated[str | None, typer.Option(help="Which one, where the segment holds several.")] = None,
) -> None:
    """Header, sizes and encodings of a segment; with --arrow its rows."""
    with closing(SegmentReader.open(OsFiles(), str(path))) as reader:
        if arrow is None:
            _print(summary(reader))
            return
        sections = {section.name: section for section in reader.sections.values()}
        names = ", ".join(sorted(sections))
        if measurement is None and len(sections) > 1:
            raise typer.BadParameter(f"the segment holds {names}: name one with --measurement")
        found = sections.get(measurement or next(iter(sections), ""))
        if found is None:
            raise typer.BadParameter(f"no measurement {measurement} in the segment: it holds {names}")
        rows = write_arrow(found, str(arrow))
        print(f"{rows} rows of {found.name} written to {arrow}")


@app.command()
def meta(
    directory: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="The data directory.")],
    copy: Annotated[bool, typer.Option("--copy", help="Look into meta.copy.sqlite instead.")] = False,
) -> None:
    """Databases, policies, measurements, fields and segments, as the catalog has them."""
    _print(describe_file(OsFiles(), str(directory), "meta.copy.sqlite" if copy else "meta.sqlite"))
