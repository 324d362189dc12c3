"""``rusts query`` and ``rusts write``: a server asked and written to over HTTP, from a shell."""

from __future__ import annotations

import base64
import contextlib
import http.client
import os
import ssl
import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import IO, Annotated, Any, Final, cast
from urllib.parse import urlencode, urlsplit

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rusts.lineprotocol.parser import slices

__all__ = ["Format", "query", "write"]

_TIMEOUT_SECONDS: Final = 300.0
_PIECE: Final = 1 << 20
_BODY_BYTES: Final = 8_000_000
_SHOWN: Final = 10_000
"""Rows of a chunk: a table is laid out a chunk at a time."""

console = Console(stderr=True, highlight=False, soft_wrap=True)

_Server = Annotated[
    str, typer.Option("-s", "--server", envvar="RUSTS_SERVER", help="URL of the server.", show_envvar=True)
]
_Database = Annotated[str, typer.Option("-d", "--db", help="Database.")]
_Policy = Annotated[str, typer.Option("--rp", help="Retention policy; without it the default one.")]
_User = Annotated[str, typer.Option("-u", "--user", help="User; the password is RUSTS_PASSWORD in the environment.")]


class Format(StrEnum):
    """How rows are printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


class _Failed(Exception):
    """The server could not be reached, or refused."""


class _Connection:
    """One server, asked over one connection."""

    def __init__(self, server: str, user: str) -> None:
        parts = urlsplit(server if "://" in server else f"http://{server}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise typer.BadParameter(f"{server!r} is no URL: want one as http://localhost:8086", param_hint="--server")
        self._server = server
        if parts.scheme == "https":
            secure = ssl.create_default_context()
            self._connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                parts.hostname, parts.port, timeout=_TIMEOUT_SECONDS, context=secure
            )
        else:
            self._connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=_TIMEOUT_SECONDS)
        self._path = parts.path.rstrip("/")
        self._headers: dict[str, str] = {}
        if token := os.environ.get("RUSTS_TOKEN"):
            self._headers["Authorization"] = f"Token {token}"
        elif user:
            pair = f"{user}:{os.environ.get('RUSTS_PASSWORD', '')}".encode()
            self._headers["Authorization"] = "Basic " + base64.b64encode(pair).decode()

    def post(
        self, path: str, parameters: dict[str, str], body: bytes, headers: dict[str, str]
    ) -> http.client.HTTPResponse:
        """One request; the answer's body is not read yet. Raises _Failed unless it went well."""
        target = f"{self._path}{path}?{urlencode({name: text for name, text in parameters.items() if text})}"
        try:
            self._connection.request("POST", target, body, {**self._headers, **headers})
            response = self._connection.getresponse()
            if response.status < http.client.BAD_REQUEST:
                return response
            answer = response.read()
        except (OSError, http.client.HTTPException) as problem:
            raise _Failed(f"{self._server}: {problem or type(problem).__name__}") from None
        with contextlib.suppress(msgspec.DecodeError):
            document = msgspec.json.decode(answer)
            if isinstance(document, dict) and "error" in document:
                raise _Failed(str(document["error"]))
        raise _Failed(f"{response.status} {answer.decode('utf-8', 'replace').strip()[:1000]}")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def query(
    text: Annotated[str, typer.Argument(metavar="STATEMENTS", help="InfluxQL; - reads it from standard input.")],
    db: _Database = "",
    rp: _Policy = "",
    format: Annotated[Format, typer.Option("-f", "--format", help="How rows are printed.")] = Format.TABLE,
    epoch: Annotated[str, typer.Option("--epoch", help="Times as numbers: ns, us, ms, s, m or h.")] = "",
    server: _Server = "http://localhost:8086",
    user: _User = "",
) -> None:
    """Run InfluxQL statements on a server and print what they answer. The exit code is 1 if one fails."""
    text = sys.stdin.read() if text == "-" else text
    parameters = {"db": db, "rp": rp, "epoch": epoch}
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    if format is Format.TABLE:
        parameters |= {"chunked": "true", "chunk_size": str(_SHOWN)}
    elif format is Format.CSV:
        headers["Accept"] = "text/csv"
    with contextlib.closing(_Connection(server, user)) as connection:
        try:
            response = connection.post("/query", parameters, urlencode({"q": text}).encode(), headers)
            complete = _print_tables(response) if format is Format.TABLE else _copy(response)
        except (_Failed, OSError, http.client.HTTPException) as problem:
            console.print(f"[red]{escape(str(problem) or type(problem).__name__)}[/]")
            raise typer.Exit(1) from None
    if not complete:
        raise typer.Exit(1)


def _copy(response: http.client.HTTPResponse) -> bool:
    """Print the answer as it comes. True if no statement failed, as far as its form tells."""
    tail = b""
    while piece := response.read(_PIECE):
        sys.stdout.buffer.write(piece)
        tail = (tail + piece)[-_PIECE:]
    sys.stdout.buffer.flush()
    with contextlib.suppress(msgspec.DecodeError):
        return all("error" not in result for result in msgspec.json.decode(tail).get("results", ()))
    return True


def _print_tables(response: http.client.HTTPResponse) -> bool:
    complete = True
    for line in response:
        document: dict[str, Any] = msgspec.json.decode(line)
        for result in document.get("results", ()):
            for message in result.get("messages", ()):
                console.print(f"[yellow]{escape(str(message.get('text')))}[/]")
            for series in result.get("series", ()):
                _print_series(series)
            if "error" in result:
                console.print(f"[red]{escape(str(result['error']))}[/]")
                complete = False
    return complete


def _print_series(series: dict[str, Any]) -> None:
    tags = ", ".join(f"{key}={value}" for key, value in series.get("tags", {}).items())
    title = " ".join(filter(None, (series.get("name", ""), f"({tags})" if tags else "")))
    table = Table(*map(escape, series["columns"]), title=escape(title) or None, title_justify="left")
    for row in series.get("values", ()):
        table.add_row(*("" if cell is None else escape(_cell(cell)) for cell in row))
    Console(highlight=False, soft_wrap=not sys.stdout.isatty()).print(table)


def _cell(cell: object) -> str:
    return str(cell).lower() if isinstance(cell, bool) else str(cell)


def write(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Line protocol; - reads it from standard input.")],
    db: _Database = "default",
    rp: _Policy = "",
    precision: Annotated[str, typer.Option("--precision", help="Unit of the times: ns, us, ms, s, m or h.")] = "ns",
    server: _Server = "http://localhost:8086",
    user: _User = "",
) -> None:
    """Write line protocol to a server. The exit code is 0 only if every line is in."""
    parameters = {"db": db, "rp": rp, "precision": precision}
    lines = 0
    with contextlib.ExitStack() as stack:
        source = cast(IO[bytes], sys.stdin.buffer) if file == "-" else stack.enter_context(Path(file).open("rb"))
        connection = stack.enter_context(contextlib.closing(_Connection(server, user)))
        refusals: list[str] = []
        try:
            for body in _bodies(source):
                try:
                    connection.post("/write", parameters, body, {"Content-Type": "text/plain; charset=utf-8"}).read()
                except _Failed as problem:
                    refusals.append(str(problem))
                    if len(refusals) > 1 and refusals[-1] == refusals[-2]:
                        break
                else:
                    lines += body.count(b"\n") + (not body.endswith(b"\n"))
        except (OSError, http.client.HTTPException) as problem:
            refusals.append(str(problem))
    for refusal in dict.fromkeys(refusals):
        console.print(f"[red]{escape(refusal[:2000])}[/]")
    if refusals:
        raise typer.Exit(1)
    console.print(f"{lines} lines are in")


def _bodies(source: IO[bytes]) -> Iterator[bytes]:
    """What the file holds, in requests that end where a line does; a newline inside a string ends none."""
    rest = b""
    while piece := source.read(_BODY_BYTES):
        rest += piece
        start = 0
        for end in slices(rest, _BODY_BYTES)[:-1]:
            yield rest[start:end]
            start = end
        rest = rest[start:]
    if rest:
        yield rest
