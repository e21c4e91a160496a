"""The command line's assembly: which commands there are, and what becomes of their errors.

A command is a module of this package that exports either `app`, a typer application (a group of commands),
or a function with the module's name (a single command). A line in `COMMANDS` is all it takes to add one. Its
module is imported only when it is called, so that `raccord --help` does not wait for Kafka clients.
"""

from __future__ import annotations

import importlib
import os
import sys
from importlib.metadata import version as version_of
from typing import TYPE_CHECKING, Annotated

import typer

from stream_app.cli.variables import warn_of_unknown
from stream_app.errors import Exit, UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = {
    "demo": "Play simulated shoppers through the whole pipeline and check the books.",
    "worker": "Run the pipeline against a Kafka cluster.",
    "replay": "Play recorded behaviour through a deployment of its own, keeping its event times.",
    "simulate": "Make seeded omnichannel shoppers and the truth about them.",
    "watch": "Show triggers as they happen.",
    "identity": "Say who is who, and who isn't; ask why; check cases.",
    "rules": "List, check and validate rules; why a trigger was sent, or wasn't.",
    "kpis": "What customers add up to: conversion, revenue by model, ROI, retention, ...",
    "topics": "Create, check and list the topics.",
    "dead-letters": "List, show and replay what was refused.",
    "kafka": "The embedded, one-node Apache Kafka: start, stop, status, logs.",
}
"""Name of the command -> its line in `raccord --help`. The module has the name with underscores."""

EXIT_CODES = (
    "Exit codes: 0 fine; 1 it ran, and what it checked does not hold; 2 called wrongly, or refers to "
    "something that does not exist; 3 something around it is missing (network, port, disk, Python, Java, a "
    "broker that answers); 70 a worker that can't go on: start it again; 130 Ctrl-C."
)


def run(arguments: Sequence[str]) -> int:
    """Run the command line and return the process's exit code."""
    called = _called(arguments)
    root = assemble(called)
    if called in COMMANDS:
        warn_of_unknown(os.environ)
    try:
        root(args=list(arguments), prog_name="raccord")
    except UserError as error:
        sys.stderr.write(f"raccord: {error.message}\n")
        return error.code
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else Exit.OK if end.code is None else Exit.FAILED
    return Exit.OK


def assemble(called: str | None) -> typer.Typer:
    """Return the root command, in which only the command `called` is more than a name and a line of help."""
    root = typer.Typer(
        name="raccord",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        help="Every channel in, one customer, timely triggers out.",
        epilog=EXIT_CODES,
    )
    root.callback()(_root_options)
    for name, line in COMMANDS.items():
        if name == called:
            _add(root, name, line)
        else:
            root.command(name, help=line)(_not_loaded)
    return root


def _add(root: typer.Typer, name: str, line: str) -> None:
    module = importlib.import_module(f"stream_app.cli.{name.replace('-', '_')}")
    group = getattr(module, "app", None)
    if isinstance(group, typer.Typer):
        root.add_typer(group, name=name, help=line, no_args_is_help=True)
    else:
        root.command(name)(getattr(module, name.replace("-", "_")))


def _called(arguments: Sequence[str]) -> str | None:
    """Return the command an argument list calls: the first argument that is no option of the root."""
    return next((argument for argument in arguments if not argument.startswith("-")), None)


def _not_loaded() -> None:
    """Stand in for a command that is not the one called."""


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"raccord {version_of('raccord')}")
        raise typer.Exit


def _root_options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    del version
