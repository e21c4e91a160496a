"""`raccord demo`: simulated shoppers through the whole pipeline, and the books checked."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from connectors.simulators import Simulation
from stream_app.app import load_policy
from stream_app.domain.identifiers import Identifier
from stream_app.errors import Exit
from stream_app.runs import report
from stream_app.runs.feed import Speed
from stream_app.runs.session import HOUR_MS, Options, Session
from stream_app.runs.show import Show

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connectors.planned import Planned
    from connectors.simulators import Truth
    from stream_app.domain.policy import IdentityPolicy

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
        records = list(simulation.records())
        truth = simulation.truth
    with Session(Options("demo", folder, workers=workers, keep=keep), show) as session:
        # Paced, so that the clock moves as it would in a shop: a till that reports late reports after the trigger.
        speed = Speed(days * DAY_SECONDS / seconds) if seconds else Speed(None)
        session.feed(records, speed, len(records), CLOSING_MS)
        session.drain()
        books = session.audit()
        misplaced = _misplaced(records, truth, books.owner, load_policy(session.settings))
    true_customers = len(truth.components)
    expected = {
        "customers": true_customers,
        "events": truth.events,
        "dead_letters": dict(sorted(truth.dead_letters.items())),
    }
    found = report.as_json(
        books,
        {"seed": seed, "shoppers": shoppers, "days": days, "misplaced": misplaced, "expected": expected},
    )
    ok = (
        books.balanced
        and books.customers == true_customers
        and not misplaced
        and sum(books.applied.values()) == truth.events
        and found["dead_letters"] == expected["dead_letters"]
    )
    report.write(folder / "report.json", {**found, "ok": ok})
    report.tables(Console(highlight=False), books, true_customers)
    typer.echo(f"events with another customer than in truth: {misplaced:,}")
    typer.echo(f"report: {folder / 'report.json'}")
    typer.echo(report.closing_line("demo", books, ok=ok))
    if not ok:
        raise typer.Exit(Exit.FAILED)


def _misplaced(records: list[Planned], truth: Truth, owner: Mapping[str, str], policy: IdentityPolicy) -> int:
    """Count events that are not with exactly those events with which they truly belong."""
    component = {
        identifier: number for number, members in enumerate(truth.components) for identifier in members
    }
    identifier_of = Identifier(policy)
    where: dict[str, int] = {}
    for record in records:
        if record.event is not None and record.event.event_id in owner:
            identifiers, _ = identifier_of.identify(record.event)
            where.setdefault(record.event.event_id, component[identifiers[0]])
    customers = {(owner[event_id], number) for event_id, number in where.items()}
    by_customer = Counter(customer for customer, _ in customers)
    by_component = Counter(number for _, number in customers)
    return sum(
        by_customer[owner[event_id]] > 1 or by_component[number] > 1 for event_id, number in where.items()
    )
