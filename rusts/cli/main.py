"""``rusts``: the tools beside the server."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from rusts import __version__, config, errors, kernels
from rusts.cli import check, client, inspect, token

__all__ = ["app", "main"]

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Tools for rusts' data directories.")
app.add_typer(inspect.app, name="inspect")
app.add_typer(token.app, name="token")
app.command()(check.check)
app.command()(client.query)
app.command()(client.write)


@app.command("config")
def show_config() -> None:
    """Print a configuration file with every setting, its default and what it does."""
    print(config.example_file(), end="")


def _version(wanted: bool) -> None:
    if wanted:
        print(f"rusts {__version__} (kernels: {kernels.summary()})")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del version


def main() -> None:
    """The console command. Ends the process: 0 well, 1 damage was found, 2 it could not be looked for."""
    try:
        app()
    except errors.WorldError as problem:
        print(f"rusts: {problem}", file=sys.stderr)
        sys.exit(2)
    except OSError as problem:
        print(f"rusts: {problem.filename or ''}: {problem.strerror or problem}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
