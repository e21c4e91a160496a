"""`raccord rules shadow`: what would the shadow rules have done otherwise?"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from stream_app.app import topics_of
from stream_app.cli.worker import reach, read_settings
from stream_app.runs.audit import Auditor
from stream_app.runs.shadow_report import ONLY_SHADOW, compared
from stream_app.wire import OutputReader, open_registry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stream_app.runs.shadow_report import Compared
    from stream_app.settings import Settings


def shadow(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a rule, for programs.")] = False,
) -> None:
    """Count, by rule, what both would send, only the live one, only the shadow; with a few examples."""
    settings = read_settings()
    topics = topics_of(settings)
    reach(settings, [topics.shadow, *topics.triggers.values()])
    found = compared(
        _records(settings, [topics.shadow]),
        (one for topic in topics.triggers.values() for one in _records(settings, [topic])),
    )
    if as_json:
        for one in found:
            typer.echo(json.dumps(msgspec.to_builtins(one), ensure_ascii=False))
        return
    if not found:
        typer.echo("no differences so far")
        return
    table = Table("rule", "shadow", "live", "since", "both", "only live", "only shadow")
    for one in found:
        live = "-" if one.live_version is None else f"v{one.live_version}"
        counts = map(str, (one.both, one.only_live, one.only_shadow))
        table.add_row(one.rule, f"v{one.shadow_version}", live, _time(one.since), *counts)
    Console(highlight=False).print(table)
    for one in found:
        typer.echo("\n".join(_lines(one)))


def _records(settings: Settings, topics: list[str]) -> Iterator[dict[str, Any]]:
    """Yield what topics hold, in the order of sending."""
    reader = OutputReader(open_registry(settings.registry_url) if settings.registry_url else None)
    auditor = Auditor(settings.bootstrap_servers)
    records = [record for topic in topics for record in auditor.read(topic)]
    for record in sorted(records, key=lambda record: record.timestamp):
        yield reader.read(record.value)[1]


def _lines(one: Compared) -> Iterator[str]:
    yield f"{one.rule} v{one.shadow_version}"
    if one.reasons:
        yield "  the other side: " + ", ".join(f"{reason} {n}" for reason, n in sorted(one.reasons.items()))
    for example in one.examples:
        words = "only shadow" if example["outcome"] == ONLY_SHADOW else "only live"
        yield (
            f"  {words}: customer {example['customer_id'][:12]}, opened by {example['opened_by']}, due "
            f"{_time(example['due'])}; the other side: {example['reason'] or 'no reason'}"
        )


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
