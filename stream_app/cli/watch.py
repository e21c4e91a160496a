"""`raccord watch`: triggers as they are sent."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, TopicPartition

from stream_app.app import topics_of
from stream_app.cli.worker import reach, read_settings
from stream_app.wire import OutputReader, open_registry

app = typer.Typer()

_POLL_S = 0.5


@app.callback()
def _group() -> None:
    """Show what the pipeline sends, as it happens."""


@app.command()
def triggers(
    from_beginning: Annotated[bool, typer.Option(help="Also those that were sent before.")] = False,
    seconds: Annotated[float | None, typer.Option(min=0, help="Stop after so long.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, for programs.")] = False,
) -> None:
    """Show triggers as they are sent, until Ctrl-C."""
    settings = read_settings()
    topics = list(topics_of(settings).triggers.values())
    reach(settings, topics)
    reader = OutputReader(open_registry(settings.registry_url) if settings.registry_url else None)
    consumer = Consumer(
        {
            "bootstrap.servers": settings.bootstrap_servers,
            "log_level": 2,
            "group.id": "raccord-watch",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "fetch.queue.backoff.ms": 5,
        }
    )
    try:
        start = OFFSET_BEGINNING if from_beginning else OFFSET_END
        consumer.assign([TopicPartition(t, p, start) for t in topics for p in range(settings.partitions)])
        deadline = None if seconds is None else time.monotonic() + seconds
        while deadline is None or time.monotonic() < deadline:
            for message in consumer.consume(100, _POLL_S):
                if message.error() is None:
                    _, trigger = reader.read(message.value() or b"")
                    typer.echo(json.dumps(trigger, default=str) if as_json else line(trigger))
    finally:
        consumer.close()


def line(trigger: dict[str, Any]) -> str:
    """Return a trigger as a line for people; no address is shown."""
    sent = datetime.fromtimestamp(trigger["sent"] / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    return (
        f"{sent}  {trigger['action']:7}  {trigger['rule']} v{trigger['version']}  "
        f"customer {trigger['customer_id'][:12]}  opened by {trigger['opened_by']}  id {trigger['trigger_id'][:12]}"
    )
