"""`raccord identity suspects`: what looks wrong about who is who."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from stream_app.app import load_policy
from stream_app.cli.identity_show import opened
from stream_app.cli.worker import read_settings
from stream_app.runs.suspects import find_suspects

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stream_app.runs.suspects import Suspects


def suspects(
    top: Annotated[int, typer.Option(min=1, max=10_000, help="How many of each to show.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")] = False,
) -> None:
    """List what may join strangers: the largest components, who joins most, what is shared, which links are refused.

    It shows identifiers, and is meant for operators. All of the customer stage's changelog is read, a partition at a
    time, into a temporary folder: that takes room on disk, and memory for one component only.
    """
    settings = read_settings()
    with opened(settings, load_policy(settings)) as (reader, topics):
        found = find_suspects(reader, topics.changelogs["customer"], settings.partitions, top)
    if as_json:
        typer.echo(json.dumps(msgspec.to_builtins(found), ensure_ascii=False))
    else:
        _print(found)


def _print(found: Suspects) -> None:
    console = Console(highlight=False)
    console.print(f"{found.components} components, {found.identifiers} identifiers")
    _table(
        console,
        "largest components",
        ("identifiers", "customers", "strongest"),
        ((one.identifiers, one.customers, " ".join(one.strongest)) for one in found.largest),
    )
    _table(
        console,
        "identifiers that join most",
        ("identifier", "neighbours", "combinations", "events", "shared"),
        (
            (one.identifier, one.neighbours, one.combinations, one.events, "yes" if one.shared else "")
            for one in found.joining
        ),
    )
    _table(
        console,
        f"shared identifiers ({found.quarantined_count} in all)",
        ("identifier", "seen with", "allowed"),
        ((one.identifier, f"{one.seen_with} {one.of}", one.allowed) for one in found.quarantined),
    )
    _table(console, "refused links", ("reason", "links"), found.refused.items())


def _table(console: Console, title: str, columns: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> None:
    """Print a table, if there is anything in it."""
    table = Table(*columns, title=title, title_justify="left")
    for row in rows:
        table.add_row(*map(str, row))
    if table.row_count:
        console.print(table, markup=False)
