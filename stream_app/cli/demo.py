"""`raccord demo`: simulated shoppers through the whole pipeline, and the books checked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from connectors.simulators import Simulation, with_backoffice
from stream_app.app import load_policy
from stream_app.cli.demo_figures import reported, shown_figures, verdict
from stream_app.errors import Exit
from stream_app.runs import report
from stream_app.runs.accuracy import figures
from stream_app.runs.comparison import compare
from stream_app.runs.feed import Speed
from stream_app.runs.figures_check import check
from stream_app.runs.kpis import Sums
from stream_app.runs.session import HOUR_MS, Options, Session
from stream_app.runs.show import Show

DAY_SECONDS = 24 * 3600
CLOSING_MS = 48 * HOUR_MS
"""How far the clock runs on after the last record: whatever is pending falls due."""


def demo(
    shoppers: Annotated[int, typer.Option(min=1, help="How many shoppers are simulated.")] = 3_000,
    days: Annotated[int, typer.Option(min=1, help="For how many days they shop.")] = 1,
    seed: Annotated[int, typer.Option(help="The same seed gives the same shoppers.")] = 1,
    seconds: Annotated[
        float, typer.Option(min=0, help="How long playing them takes; 0: as fast as it goes.")
    ] = 30.0,
    workers: Annotated[int, typer.Option(min=1, max=8, help="Worker processes.")] = 1,
    folder: Annotated[Path, typer.Option(help="For the report, logs and state.")] = Path(".raccord/demo"),
    keep: Annotated[bool, typer.Option(help="Leave the topics and the state behind.")] = False,
) -> None:
    """Play simulated shoppers through the whole pipeline and check the books."""
    show = Show()
    with show.step(f"simulating {shoppers:,} shoppers for {days} days, seed {seed}"):
        simulation = Simulation(seed, shoppers=shoppers, days=days)
        records = list(with_backoffice(simulation))
        truth = simulation.truth
    with Session(Options("demo", folder, workers=workers, keep=keep), show) as session:
        # Paced, so that the clock moves as it would in a shop: a till that reports late reports after the trigger.
        speed = Speed(days * DAY_SECONDS / seconds) if seconds else Speed(None)
        session.feed(records, speed, len(records), CLOSING_MS)
        session.drain()
        books, published = session.audit(), Sums(session.figures())
        with show.step("comparing customers with the truth"):
            policy, key = load_policy(session.settings), session.settings.customer_key.get_secret_value()
            compared = compare(records, truth, books.owner, policy, key.encode())
    checked = check(published, books)
    expected = {
        "customers": compared.expected_customers,
        "events": truth.events,
        "dead_letters": dict(sorted(truth.dead_letters.items())),
    }
    found = report.as_json(
        books,
        {
            "seed": seed,
            "shoppers": shoppers,
            "days": days,
            "misplaced": compared.misplaced,
            "accuracy": figures(compared.accuracy),
            "figures": reported(published, checked),
            "expected": expected,
        },
    )
    ok = (
        books.balanced
        and books.customers == compared.expected_customers
        and not compared.misplaced
        and sum(books.applied.values()) == truth.events
        and found["dead_letters"] == expected["dead_letters"]
        and not checked.differences
    )
    report.write(folder / "report.json", {**found, "ok": ok})
    console = Console(highlight=False)
    report.tables(console, books)
    report.customers(console, books, compared)
    for part in (*shown_figures(published), *verdict(checked)):
        console.print(part, markup=False, soft_wrap=isinstance(part, str))
    typer.echo(f"report: {folder / 'report.json'}")
    typer.echo(report.closing_line("demo", books, ok=ok))
    if not ok:
        raise typer.Exit(Exit.FAILED)
