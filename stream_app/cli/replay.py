"""`raccord replay`: recorded behaviour through the whole pipeline, keeping its event times."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from connectors.simulators import read_jsonl
from connectors.sources import SourceError, rees46, snowplow
from stream_app.errors import Exit, UserError
from stream_app.runs import report
from stream_app.runs.feed import Speed
from stream_app.runs.session import HOUR_MS, Options, Session
from stream_app.runs.show import Show
from stream_app.settings import NO_POLICY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connectors.planned import Planned

CLOSING_MS = 48 * HOUR_MS


class Format(StrEnum):
    """What the recorded data look like."""

    rees46 = "rees46"
    snowplow = "snowplow"
    simulation = "simulation"


def replay(
    path: Annotated[Path, typer.Argument(help="A file (rees46, simulation) or a folder (snowplow).")],
    format: Annotated[Format, typer.Option(help="What the data look like.")],  # noqa: A002 - the option's name
    speed: Annotated[str, typer.Option(help="`max`, or a factor: 60x plays an hour in a minute.")] = "max",
    workers: Annotated[int, typer.Option(min=1, max=8, help="Worker processes.")] = 1,
    folder: Annotated[Path, typer.Option(help="For the report, logs and state.")] = Path(".raccord/replay"),
    keep: Annotated[bool, typer.Option(help="Leave the topics and the state behind.")] = False,
    sending_policy: Annotated[
        Path | None, typer.Option(help="What may be sent; without it, everything that a rule wants.")
    ] = None,
) -> None:
    """Play recorded behaviour through a deployment of its own, keeping its event times, and check the books.

    The deployment - topics, workers, state - is thrown away afterwards; --keep leaves topics and state.
    """
    pace = Speed.parse(speed)
    if not path.exists():
        msg = f"there is no {path}"
        raise UserError(msg)
    # Recorded behaviour has neither consent nor addresses: the rules are shown as they are.
    settings = {"RACCORD_SENDING_POLICY": str(sending_policy or NO_POLICY)}
    show = Show()
    try:
        with Session(Options("replay", folder, workers, keep=keep, settings=settings), show) as session:
            session.feed(_records(format, path), pace, None, CLOSING_MS)
            session.drain()
            books = session.audit()
    except SourceError as error:
        raise UserError(str(error)) from error
    ok = books.balanced
    triggers = sorted(
        (
            {
                name: message[name]
                for name in ("trigger_id", "rule", "customer_id", "opened_by", "due", "sent", "key")
            }
            for message in books.net.values()
        ),
        key=lambda message: (message["due"], message["opened_by"]),
    )
    report.write(
        folder / "report.json", {**report.as_json(books, {"source": format.value}), "net": triggers, "ok": ok}
    )
    report.tables(Console(highlight=False), books)
    typer.echo(f"report: {folder / 'report.json'}")
    typer.echo(report.closing_line("replay", books, ok=ok))
    if not ok:
        raise typer.Exit(Exit.FAILED)


def _records(kind: Format, path: Path) -> Iterator[Planned]:
    if kind is Format.rees46:
        return rees46.read(path)
    if kind is Format.snowplow:
        return snowplow.read(path)
    return read_jsonl(path)
