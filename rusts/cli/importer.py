"""``rusts-import``: rows of files into a server.

Files are read and sent piece by piece, so that memory stays bounded however large they are. The exit code
is 0 only if every row of every file is in.
"""

from __future__ import annotations

import contextlib
import http.client
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import quote, urlsplit

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from rusts.cli.tabletext import Layout, Lines, Unfit, lay_out, lines_of

__all__ = ["Refused", "Sender", "Unreachable", "app", "main"]

_BODY_BYTES: Final = 8_000_000
_TIMEOUT_SECONDS: Final = 60.0
_ATTEMPTS: Final = 10
_PAUSE_SECONDS: Final = 0.25
_LONGEST_PAUSE_SECONDS: Final = 10.0
_FIRST_SERVER_ERROR: Final = 500
_READ_BUFFER_BYTES: Final = 1 << 20
_SAMPLE_LINES: Final = 3

console = Console(stderr=True, highlight=False, soft_wrap=True)
app = typer.Typer(add_completion=False, no_args_is_help=True, help="Bring rows of files into a rusts server.")


class Refused(Exception):
    """The server will not take the whole of a request, however often it is sent."""


class Unreachable(Exception):
    """The server did not take a request, though it was sent again and again."""


class Sender:
    """Writes line protocol to one database of one server; sends again what may pass later."""

    def __init__(
        self,
        server: str,
        database: str,
        *,
        attempts: int = _ATTEMPTS,
        on_retry: Callable[[str], None] = lambda reason: None,
    ) -> None:
        """`server` is a URL as ``http://localhost:8086``. Raises ValueError on anything else."""
        parts = urlsplit(server if "://" in server else f"http://{server}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{server!r} is no URL of a server: want one as http://localhost:8086")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname, parts.port, timeout=_TIMEOUT_SECONDS)
        self._target = f"{parts.path.rstrip('/')}/api/v2/write?bucket={quote(database, safe='')}&precision=ns"
        self._attempts = attempts
        self.on_retry = on_retry
        """Called with the reason before a request is sent again."""

    def send(self, body: bytes) -> None:
        """Returns once the server has taken all of `body`.

        A 5xx answer and a cut connection are tried again, after a pause that doubles (or that the server
        names). Writing the same rows twice changes nothing. Raises Refused, Unreachable.
        """
        pause = _PAUSE_SECONDS
        reason = ""
        for attempt in range(self._attempts):
            if attempt:
                self.on_retry(reason)
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            try:
                self._connection.request("POST", self._target, body, {"Content-Type": "text/plain; charset=utf-8"})
                response = self._connection.getresponse()
                answer = response.read()
            except (OSError, http.client.HTTPException) as problem:
                self._connection.close()
                reason = str(problem) or type(problem).__name__
                continue
            if response.status == http.client.NO_CONTENT:
                return
            reason = f"{response.status} {_message(answer)}"
            if response.status < _FIRST_SERVER_ERROR:
                raise Refused(reason)
            wanted = response.getheader("Retry-After", "")
            if wanted.isascii() and wanted.isdigit():
                pause = min(max(pause, float(wanted)), _LONGEST_PAUSE_SECONDS)
        raise Unreachable(reason)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


@dataclass
class _Outcome:
    """What became of the rows so far, over all files."""

    rows: int = 0
    sent: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    blank: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    failures: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """True if every row of every file is in."""
        return not self.lost and not self.refused and not self.failures


@app.callback()
def _commands() -> None:
    """Without this, typer would leave the name of the only command out."""


@app.command()
def parquet(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Parquet files.")],
    measurement: Annotated[str, typer.Option("-m", "--measurement", help="Measurement of the rows.")] = "imported",
    server: Annotated[str, typer.Option("-s", "--server", help="URL of the server.")] = "http://localhost:8086",
    database: Annotated[
        str, typer.Option("-d", "--database", help="Database; made if it is not there, as DATABASE or DATABASE/POLICY.")
    ] = "default",
    timestamp_column: Annotated[
        str,
        typer.Option("-t", "--timestamp-column", help="Column of the times: timestamp, date, or int64 nanoseconds."),
    ] = "timestamp",
    tags: Annotated[str, typer.Option("--tags", help="Columns that become tags, with commas between.")] = "",
    batch_size: Annotated[int, typer.Option("-b", "--batch-size", min=1, help="Rows a request.")] = 10000,
    schema_only: Annotated[
        bool, typer.Option("--schema-only", help="Show what each column would become, and read no rows.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read and convert every row, show the first, send nothing.")
    ] = False,
) -> None:
    """Import Parquet files. The exit code is 0 only if every row is in.

    Every column that is neither the times nor a tag becomes a field; those that cannot be one are named.
    A null is a cell without a value, and so are NaN and infinities, which line protocol does not have.
    Rows of one time with the same tags are one point: the later row wins, cell by cell.
    """
    names = [name.strip() for name in tags.split(",") if name.strip()]
    try:
        sender = Sender(server, database)
    except ValueError as problem:
        raise typer.BadParameter(str(problem), param_hint="--server") from None
    outcome = _Outcome()
    with contextlib.closing(sender), _progress() as progress:
        for path in files:
            try:
                with pq.ParquetFile(path, buffer_size=_READ_BUFFER_BYTES, pre_buffer=False) as file:
                    layout = lay_out(file.schema_arrow, measurement, timestamp_column, names)
                    _name_left_out(path, layout)
                    if schema_only:
                        _show_schema(path, file, layout)
                        continue
                    task = progress.add_task(path.name, total=file.metadata.num_rows)
                    sender.on_retry = _retry_notice(progress, task, path.name)
                    pieces = _pieces(file, layout, batch_size)
                    _import(pieces, None if dry_run else sender, outcome, progress, task)
            except Unreachable as problem:
                outcome.failures.append(f"{path}: gave up: {server} did not take a request: {problem}")
                break
            except (Unfit, pa.ArrowException, OSError) as problem:
                outcome.failures.append(f"{path}: {problem}")
    _report(outcome, dry_run=dry_run, schema_only=schema_only)
    if not outcome.complete:
        raise typer.Exit(1)


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console
    )


def _retry_notice(progress: Progress, task: TaskID, name: str) -> Callable[[str], None]:
    def notice(reason: str) -> None:
        progress.update(task, description=f"{escape(name)} [yellow]sending again: {escape(reason[:60])}[/]")

    return notice


def _pieces(file: pq.ParquetFile, layout: Layout, rows: int) -> Iterator[tuple[int, Lines]]:
    """The rows of the file, `rows` at a time: how many were read, and their lines."""
    columns = [layout.time, *layout.tags, *layout.fields]
    for batch in file.iter_batches(rows, columns=columns):
        yield len(batch), lines_of(batch, layout)


def _import(
    pieces: Iterator[tuple[int, Lines]], sender: Sender | None, outcome: _Outcome, progress: Progress, task: TaskID
) -> None:
    """Send the lines (or, without a `sender`, show the first few of them). Raises Unreachable."""
    shown = False
    name = progress.tasks[task].description
    for rows, lines in pieces:
        outcome.rows += rows
        outcome.lost += lines.lost
        outcome.blank += lines.blank
        if sender is None:
            if not shown and len(lines):
                end = lines.ends[min(_SAMPLE_LINES, len(lines))]
                sys.stdout.write(lines.text[lines.ends[0] : end].tobytes().decode())
                shown = True
            outcome.sent += len(lines)
        else:
            for count, body in lines.bodies(_BODY_BYTES):
                try:
                    sender.send(body)
                    outcome.sent += count
                except Refused as problem:
                    outcome.refused += count
                    console.print(f"[red]refused:[/] {escape(str(problem)[:1000])}")
        progress.update(task, advance=rows, description=name)


def _message(answer: bytes) -> str:
    """The text of an error answer."""
    with contextlib.suppress(msgspec.DecodeError):
        document = msgspec.json.decode(answer)
        if isinstance(document, dict):
            return str(document.get("message") or document.get("error") or document)
    return answer.decode("utf-8", "replace").strip()


def _name_left_out(path: Path, layout: Layout) -> None:
    for name, reason in layout.left_out:
        console.print(f"{escape(str(path))}: column [bold]{escape(name)}[/] is left out: it {escape(reason)}")


def _show_schema(path: Path, file: pq.ParquetFile, layout: Layout) -> None:
    table = Table("column", "type", "becomes", title=escape(f"{path} ({file.metadata.num_rows} rows)"))
    for column in file.schema_arrow:
        if column.name == layout.time:
            role = "time"
        elif column.name in layout.tags:
            role = "tag"
        else:
            role = "field" if column.name in layout.fields else "-"
        table.add_row(escape(column.name), escape(str(column.type)), role)
    Console(highlight=False).print(table)


def _report(outcome: _Outcome, *, dry_run: bool, schema_only: bool) -> None:
    for name, count in outcome.blank.items():
        console.print(f"column [bold]{escape(name)}[/]: {count} cells are NaN or infinite and were left out")
    for reason, count in outcome.lost.items():
        console.print(f"[red]{count} rows are no points:[/] {escape(reason)}")
    if outcome.refused:
        console.print(f"[red]{outcome.refused} rows were in requests that the server did not take whole[/]")
    for failure in outcome.failures:
        console.print(f"[red]{escape(failure)}[/]")
    if not schema_only:
        verb = "would be sent" if dry_run else "are in"
        console.print(f"{outcome.sent} of {outcome.rows} rows {verb}")


def main() -> None:
    """The console command."""
    app()


if __name__ == "__main__":
    main()
