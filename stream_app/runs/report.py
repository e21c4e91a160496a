"""What a run ends with: tables for people, a file for machines, and one line that says whether it went well."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rich.console import Console

    from stream_app.runs.audit import Books
    from stream_app.runs.comparison import Comparison


def as_json(books: Books, extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return the books for machines."""
    return {
        "balanced": books.balanced,
        "events": {
            channel: {
                "read": books.read[channel],
                "applied": books.applied[channel],
                "duplicate": books.duplicates[channel],
                "dead_lettered": books.dead_by_channel[channel],
            }
            for channel in sorted(books.read)
        },
        "dead_letters": dict(sorted(books.dead_letters.items())),
        "dropped_by_policy": books.dropped,
        "lost": books.lost,
        "doubled": books.doubled,
        "customers": books.customers,
        "triggers": {
            rule: {"fired": books.fired[rule], "retracted": books.retracted[rule]}
            for rule in sorted(books.fired)
        },
        "held_back": [
            {"rule": rule, "reason": reason, "decisions": count}
            for (rule, reason), count in sorted(books.held_back.items())
        ],
        **extra,
    }


def write(path: Path, report: Mapping[str, Any]) -> None:
    """Write the report as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=2) + "\n")


def tables(console: Console, books: Books) -> None:
    """Print the books."""
    events = Table(title="Events by channel", title_justify="left")
    for name in ("channel", "read", "applied", "duplicate", "dead-lettered"):
        events.add_column(name, justify="left" if name == "channel" else "right")
    for channel in sorted(books.read):
        row = (books.read, books.applied, books.duplicates, books.dead_by_channel)
        events.add_row(channel, *(f"{counter[channel]:,}" for counter in row))
    totals = (books.read, books.applied, books.duplicates, books.dead_by_channel)
    events.add_section()
    events.add_row("all", *(f"{sum(counter.values()):,}" for counter in totals))
    console.print(events)

    reasons = Table(title="Dead letters by reason", title_justify="left")
    reasons.add_column("reason")
    reasons.add_column("records", justify="right")
    for reason, count in books.dead_letters.most_common():
        reasons.add_row(reason, f"{count:,}")
    console.print(reasons)

    triggers = Table(title="Triggers", title_justify="left")
    for name in ("rule", "fired", "retracted", "held back, by reason"):
        triggers.add_column(name, justify="right" if name in {"fired", "retracted"} else "left")
    rules = sorted({*books.fired, *(rule for rule, _ in books.held_back)})
    for rule in rules:
        held = [
            f"{reason} {count:,}" for (name, reason), count in sorted(books.held_back.items()) if name == rule
        ]
        triggers.add_row(rule, f"{books.fired[rule]:,}", f"{books.retracted[rule]:,}", ", ".join(held))
    console.print(triggers)


def customers(console: Console, books: Books, compared: Comparison) -> None:
    """Print how right the customers are; where recall isn't called reachable, it is of all that a person did."""
    found = compared.accuracy
    rates = Table(title="Customers against the truth", title_justify="left")
    rates.add_column("over")
    for name in ("precision", "recall", "reachable recall", "F1"):
        rates.add_column(name, justify="right")
    for name, score, reachable in (
        ("pairs of events", found.pairwise, found.reachable_pairwise_recall),
        ("events (B-cubed)", found.b_cubed, found.reachable_b_cubed_recall),
    ):
        row = (score.precision, score.recall, reachable, score.f1)
        rates.add_row(name, *(f"{rate:.3f}" for rate in row))
    console.print(rates)
    for line in (
        "reachable: of what a person's own events connect; nobody can know of the rest",
        f"customers with events of several persons: {found.over_merge:.1%}",
        f"customers: {books.customers:,} found, {compared.expected_customers:,} by the rules",
        f"persons who caused the events: {found.persons:,}",
        f"events with another customer than by the rules: {compared.misplaced:,}",
    ):
        console.print(line, soft_wrap=True)


def closing_line(name: str, books: Books, *, ok: bool) -> str:
    """Return the line that a run ends with."""
    return (
        f"{name}: {'ok' if ok else 'FAILED'} events={sum(books.read.values())} customers={books.customers} "
        f"triggers={sum(books.fired.values())} retractions={sum(books.retracted.values())} "
        f"duplicates={books.doubled} lost={books.lost}"
    )
