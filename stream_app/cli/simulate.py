"""`raccord simulate`: seeded omnichannel shoppers, to a file or into the channels of a deployment."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import typer

from connectors.simulators import Simulation, with_backoffice, write_jsonl
from stream_app.app import topics_of
from stream_app.cli.worker import reach, read_settings
from stream_app.errors import UserError
from stream_app.runs.feed import Feed, Speed
from stream_app.runs.show import Show


def simulate(
    to: Annotated[Path | None, typer.Option(help="A file of JSON lines; the truth is put beside it.")] = None,
    shoppers: Annotated[int, typer.Option(min=1, help="How many shoppers.")] = 500,
    days: Annotated[int, typer.Option(min=1, help="For how many days they shop.")] = 2,
    seed: Annotated[int, typer.Option(help="The same seed gives the same shoppers.")] = 1,
    speed: Annotated[str, typer.Option(help="`max`, or a factor: 60x plays an hour in a minute.")] = "max",
    markers: Annotated[
        bool, typer.Option(help="Clock markers, for workers with RACCORD_TIME=events.")
    ] = True,
) -> None:
    """Make seeded shoppers and the truth about them: into a file, or into the channels that exist."""
    pace = Speed.parse(speed)
    simulation = Simulation(seed, shoppers=shoppers, days=days)
    if to is not None:
        try:
            truth = write_jsonl(simulation, to)
        except OSError as error:
            raise UserError(f"{to} can't be written: {error.strerror}") from error
        typer.echo(f"{truth.records} records in {to}, the truth beside it")
        return
    settings = read_settings()
    channels = topics_of(settings).inputs
    reach(settings, list(channels.values()))
    feed = Feed(settings.bootstrap_servers, channels, settings.partitions)
    with Show().playing(None) as playing:
        clock = feed.play(
            with_backoffice(simulation, settings.references), pace, markers=markers, progress=playing.sent
        )
    if markers:
        feed.mark(clock)
        feed.flush()
    typer.echo(f"{feed.sent} records sent")
