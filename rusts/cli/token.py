"""``rusts token``: tokens of a running server (``--url``), or of the data directory of one that is stopped."""

from __future__ import annotations

import json
import os
import secrets
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final, Protocol

import typer

from rusts import config, errors
from rusts.auth.passwords import hash_password
from rusts.auth.tokens import new_token
from rusts.catalog.catalog import Catalog
from rusts.clock import SystemClock
from rusts.files import OsFiles
from rusts.model.accounts import User
from rusts.model.time import format_rfc3339

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Make, list and revoke tokens; get back in as administrator.")

_TOKEN_VARIABLE: Final = "RUSTS_TOKEN"
_SECONDS: Final = 30

_DIRECTORY = typer.Option("--data-dir", envvar=["RUSTS_DATA_DIR", "DATA_DIR"], help="Of a server that is stopped.")
_URL = typer.Option("--url", help=f"Of a running server; {_TOKEN_VARIABLE} holds an administrator's token for it.")


class _Keeper(Protocol):
    """Where tokens are kept."""

    def create(self, scopes: list[str], description: str, lasts: str) -> dict[str, Any]: ...

    def list(self) -> list[dict[str, Any]]: ...

    def revoke(self, identifier: str) -> bool: ...


class _Server:
    """A running server, asked over HTTP."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/") + "/admin/tokens"

    def _ask(self, method: str, path: str = "", body: object = None) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"}
        if token := os.environ.get(_TOKEN_VARIABLE):
            headers["Authorization"] = f"Bearer {token}"
        data = None if body is None else json.dumps(body).encode()
        if not self._url.startswith(("http://", "https://")):
            raise typer.BadParameter("--url: want http://… or https://…")
        request = urllib.request.Request(self._url + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
            text = answer.read()
        found: dict[str, Any] = json.loads(text) if text else {}
        return found

    def create(self, scopes: list[str], description: str, lasts: str) -> dict[str, Any]:
        return self._ask("POST", body={"scopes": scopes, "description": description, "expires_in": lasts})

    def list(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._ask("GET")["tokens"]
        return found

    def revoke(self, identifier: str) -> bool:
        try:
            self._ask("DELETE", "/" + identifier)
        except urllib.error.HTTPError as problem:
            if problem.code == 404:
                return False
            raise
        return True


class _Directory:
    """The catalog of a server that is stopped."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog

    def create(self, scopes: list[str], description: str, lasts: str) -> dict[str, Any]:
        now = SystemClock().now_ns()
        expires = now + int(config.parse_duration(lasts) * 1e9) if lasts else 0
        secret, token = new_token(description, scopes, now, expires)
        self.catalog.put_token(token)
        return {"id": token.id, "token": secret, "scopes": list(token.scopes)}

    def list(self) -> list[dict[str, Any]]:
        return [
            {
                "id": token.id,
                "scopes": list(token.scopes),
                "created": format_rfc3339(token.created_ns),
                "expires": format_rfc3339(token.expires_ns) if token.expires_ns else None,
                "description": token.description,
            }
            for token in self.catalog.tokens()
        ]

    def revoke(self, identifier: str) -> bool:
        found = any(token.id == identifier for token in self.catalog.tokens())
        self.catalog.drop_token(identifier)
        return found


@contextmanager
def _catalog(directory: Path) -> Iterator[Catalog]:
    """The catalog of the directory, which no server may hold. Raises DirectoryLocked, Corruption, OSError."""
    files = OsFiles()
    lock = files.lock(str(directory))
    try:
        catalog = Catalog.open(files, str(directory))
        try:
            yield catalog
        finally:
            catalog.close()
    finally:
        lock.release()


@contextmanager
def _keeper(directory: Path | None, url: str | None) -> Iterator[_Keeper]:
    """Ends the command where the server refuses, or what is asked for is wrong."""
    if (directory is None) == (url is None):
        raise typer.BadParameter("name one of --data-dir and --url")
    try:
        if url is not None:
            yield _Server(url)
        else:
            assert directory is not None
            with _catalog(directory) as catalog:
                yield _Directory(catalog)
    except urllib.error.HTTPError as problem:
        typer.echo(f"rusts: the server answered {problem.code}: {_reason(problem)}", err=True)
        raise typer.Exit(2) from None
    except (errors.InvalidRequest, ValueError) as problem:
        raise typer.BadParameter(str(problem)) from None
    except urllib.error.URLError as problem:
        typer.echo(f"rusts: {url}: {problem.reason}", err=True)
        raise typer.Exit(2) from None


def _reason(problem: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(problem.read())["error"])
    except (ValueError, KeyError, TypeError):
        return str(problem.reason)


_DataDir = Annotated[Path | None, _DIRECTORY]
_Url = Annotated[str | None, _URL]


@app.command()
def create(
    scope: Annotated[
        list[str], typer.Option(help="admin, metrics, read:DB, write:DB or all:DB; DB may be *. Several.")
    ],
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    expires: Annotated[str, typer.Option(help="How long it is taken, as 30d; for ever if absent.")] = "",
    data_dir: _DataDir = None,
    url: _Url = None,
) -> None:
    """Make a token and print it. Nobody can print it later."""
    with _keeper(None if url else data_dir, url) as keeper:
        made = keeper.create(scope, description, expires)
    typer.echo(f"id {made['id']}, may {' '.join(made['scopes'])}", err=True)
    typer.echo(made["token"])


@app.command("list")
def list_tokens(data_dir: _DataDir = None, url: _Url = None) -> None:
    """A line for each token: id, scopes, when it was made and ends, what it is for. Never its secret."""
    with _keeper(None if url else data_dir, url) as keeper:
        tokens = keeper.list()
    for token in tokens:
        ends = token["expires"] or "never"
        typer.echo("\t".join((token["id"], " ".join(token["scopes"]), token["created"], ends, token["description"])))


@app.command()
def revoke(
    identifier: Annotated[str, typer.Argument(metavar="ID", help="As `rusts token list` has it.")],
    data_dir: _DataDir = None,
    url: _Url = None,
) -> None:
    """The token is not taken any more, from now on."""
    with _keeper(None if url else data_dir, url) as keeper:
        known = keeper.revoke(identifier)
    if not known:
        typer.echo(f"rusts: no token has the id {identifier}", err=True)
        raise typer.Exit(1)


@app.command("reset-admin")
def reset_admin(
    data_dir: Annotated[Path, _DIRECTORY],
    user: Annotated[
        str, typer.Option(help="Whom to make an administrator; made if there is nobody of that name.")
    ] = "admin",
) -> None:
    """Give a user administrator's rights and a new password, which is printed. The server must be stopped."""
    password = secrets.token_urlsafe(18)
    with _catalog(data_dir) as catalog:
        known = catalog.user(user) or User(user, "")
        catalog.put_user(replace(known, password_hash=hash_password(password), admin=True))
    typer.echo(f"user {user} is an administrator; the password is", err=True)
    typer.echo(password)
