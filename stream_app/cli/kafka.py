"""`raccord kafka`: the embedded broker of this project, running in the background."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from stream_app.embedded.broker import EmbeddedKafka
from stream_app.embedded.logs import follow, last_lines
from stream_app.errors import Exit, UserError

app = typer.Typer()

DEFAULT_FOLDER = Path(".raccord/kafka")
SHOWN_LINES = 40

Folder = Annotated[Path, typer.Option("--folder", help="Where the broker's data, logs and state are.")]


@app.command()
def start(
    folder: Folder = DEFAULT_FOLDER,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port for clients; by default one that is free.")
    ] = None,
) -> None:
    """Start the broker in the background and wait until it answers."""
    kafka = EmbeddedKafka(folder, port, background=True, report=_say)
    before = kafka.state
    if before is not None and port not in {None, before.port}:
        raise UserError(
            f"Kafka of {folder} already runs on port {before.port}: stop it first to move it to {port}."
        )
    address = kafka.start()
    typer.echo(f"Apache Kafka {'runs already' if before else 'runs'}: KAFKA_BOOTSTRAP_SERVERS={address}")


@app.command()
def stop(folder: Folder = DEFAULT_FOLDER) -> None:
    """Stop the broker; its data stay."""
    stopped = EmbeddedKafka(folder).stop()
    typer.echo("Apache Kafka is stopped" if stopped else f"no Apache Kafka runs in {folder}")


@app.command()
def status(
    folder: Folder = DEFAULT_FOLDER,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")] = False,
) -> None:
    """Tell whether the broker runs, and where; exit code 1 when it does not."""
    state = EmbeddedKafka(folder).state
    if as_json:
        known = {} if state is None else {**asdict(state), "bootstrap_servers": state.bootstrap_servers}
        typer.echo(json.dumps({"running": state is not None, **known}))
    elif state is None:
        typer.echo(f"no Apache Kafka runs in {folder}")
    else:
        typer.echo(
            f"Apache Kafka {state.kafka} answers at {state.bootstrap_servers} (pid {state.pid}, {state.java})"
        )
    if state is None:
        raise typer.Exit(Exit.FAILED)


@app.command()
def logs(
    folder: Folder = DEFAULT_FOLDER,
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=0, help="How many of the last lines.")
    ] = SHOWN_LINES,
    follow_it: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is added.")] = False,
) -> None:
    """Show the broker's log."""
    path = folder / "kafka.log"
    if not path.exists():
        raise UserError(f"There is no log at {path}: no Kafka was started in {folder}.")
    for line in last_lines(path, lines):
        typer.echo(line)
    if follow_it:
        for line in follow(path):
            typer.echo(line)


def _say(line: str) -> None:
    typer.echo(line, err=True)
