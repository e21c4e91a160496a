"""`raccord topics`: create, check and list the topics of a deployment."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from stream_app.app import topics_of
from stream_app.cli.worker import read_settings
from stream_app.engine import topics as kafka_topics
from stream_app.engine.errors import FatalError
from stream_app.errors import EnvironmentMissing, Exit

app = typer.Typer()

Json = Annotated[bool, typer.Option("--json", help="For programs.")]


@app.command()
def create() -> None:
    """Create the topics that are missing, with the right settings."""
    settings = read_settings()
    try:
        made = kafka_topics.create(
            settings.bootstrap_servers, topics_of(settings).specs(settings), settings.replicas
        )
    except FatalError as error:
        raise EnvironmentMissing(str(error)) from error
    for name in made:
        typer.echo(f"created {name}")
    typer.echo(f"{len(made)} topics created")


@app.command()
def check() -> None:
    """Say which topics are missing or wrongly configured; exit code 1 when there are any."""
    settings = read_settings()
    try:
        found = kafka_topics.problems(settings.bootstrap_servers, topics_of(settings).specs(settings))
    except FatalError as error:
        raise EnvironmentMissing(str(error)) from error
    for problem in found:
        typer.echo(problem)
    typer.echo(f"{len(found)} problems")
    if found:
        raise typer.Exit(Exit.FAILED)


@app.command("list")
def list_topics(as_json: Json = False) -> None:
    """List the topics with their settings; asks no broker."""
    settings = read_settings()
    specs = topics_of(settings).specs(settings)
    width = max(len(spec.name) for spec in specs)
    for spec in specs:
        if as_json:
            typer.echo(json.dumps({"name": spec.name, "partitions": spec.partitions, **spec.config}))
        else:
            typer.echo(f"{spec.name:{width}}  {spec.partitions} partitions  {spec.config['cleanup.policy']}")
