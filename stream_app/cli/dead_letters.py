"""`raccord dead-letters`: what was refused, why, and how to send it again."""

from __future__ import annotations

import json
import sys
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Producer, TopicPartition
from rich.console import Console
from rich.table import Table

from stream_app.agents.dead_letters import TRUNCATED
from stream_app.app import topics_of
from stream_app.cli.worker import reach, read_settings
from stream_app.domain.refusal import Reason
from stream_app.errors import EnvironmentMissing, UserError
from stream_app.wire import parse_dead_letter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stream_app.settings import Settings
    from stream_app.wire import DeadLetter

app = typer.Typer()

_SHOWN_BYTES = 2_000

Why = Annotated[Reason | None, typer.Option(help="Only those with this reason.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line, for programs.")]


@app.command("list")
def list_letters(
    reason: Why = None,
    limit: Annotated[int, typer.Option(min=0, help="How many lines; the counts are of all.")] = 20,
    as_json: Json = False,
) -> None:
    """List dead letters: counts by reason, then one line each, without their contents."""
    settings = read_settings()
    counts: Counter[str] = Counter()
    rows: list[dict[str, str]] = []
    for message, letter in _letters(settings, reason):
        counts[letter.reason.value] += 1
        if as_json:
            typer.echo(json.dumps(_described(message, letter)))
        elif len(rows) < limit:
            rows.append(_described(message, letter))
    if as_json:
        return
    console = Console(highlight=False)
    console.print(", ".join(f"{name} {count}" for name, count in counts.most_common()) or "no dead letters")
    if rows:
        table = Table("id", "reason", "from", "detail")
        for row in rows:
            table.add_row(row["id"], row["reason"], row["from"], row["detail"])
        console.print(table)


@app.command()
def show(
    letter_id: Annotated[str, typer.Argument(metavar="ID", help="PARTITION/OFFSET, as `list` gives it.")],
    raw: Annotated[bool, typer.Option(help="Write the value's bytes to stdout as they are.")] = False,
) -> None:
    """Show one dead letter with its value: it may hold personal data."""
    settings = read_settings()
    message, letter = _one(settings, letter_id)
    value = message.value()
    if raw:
        sys.stdout.buffer.write(value or b"")
        return
    shown = None if value is None else value[:_SHOWN_BYTES].decode(errors="backslashreplace")
    typer.echo(
        json.dumps(
            {
                **_described(message, letter),
                "timestamp": letter.timestamp,
                "stage": letter.stage,
                "version": letter.version,
                "key": None if message.key() is None else message.key().decode(errors="backslashreplace"),
                "headers": [
                    [name, None if content is None else content.decode(errors="backslashreplace")]
                    for name, content in letter.headers
                ],
                "bytes": 0 if value is None else len(value),
                "value": shown,
            },
            indent=2,
            ensure_ascii=False,
        )
    )


@app.command()
def replay(
    letter_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="One: PARTITION/OFFSET.")] = None,
    reason: Why = None,
    every: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
) -> None:
    """Send dead letters to their own topics again: key, value and headers as they came."""
    if (letter_id is not None) + (reason is not None) + every != 1:
        raise UserError("say which: an ID, --reason REASON, or --all")
    settings = read_settings()
    topics = topics_of(settings)
    inputs = {*topics.inputs.values(), topics.commands}
    failed: list[object] = []
    producer = Producer(
        {
            "bootstrap.servers": settings.bootstrap_servers,
            "partitioner": "murmur2_random",
            "enable.idempotence": True,
            "message.max.bytes": 16_777_216,
            "log_level": 2,
            "on_delivery": lambda error, _: failed.append(error) if error is not None else None,
        }
    )
    found = [_one(settings, letter_id)] if letter_id is not None else list(_letters(settings, reason))
    sent = skipped = 0
    for message, letter in found:
        if letter.topic not in inputs or any(name == TRUNCATED for name, _ in _headers(message)):
            skipped += 1  # an internal message, or one that was cut: the original is where the letter says
            continue
        producer.produce(letter.topic, message.value(), message.key(), headers=list(letter.headers))
        producer.poll(0)
        sent += 1
    if producer.flush(30) or failed:
        raise EnvironmentMissing("the broker did not take all records: try again")
    typer.echo(
        f"{sent} sent again"
        + (f", {skipped} skipped: the originals are where `list` says" if skipped else "")
    )


def _described(message: Any, letter: DeadLetter) -> dict[str, str]:
    return {
        "id": f"{message.partition()}/{message.offset()}",
        "reason": letter.reason.value,
        "from": f"{letter.topic}/{letter.partition}/{letter.offset}",
        "detail": letter.detail,
    }


def _headers(message: Any) -> list[tuple[str, bytes | None]]:
    return list(message.headers() or [])


def _one(settings: Settings, letter_id: str) -> tuple[Any, DeadLetter]:
    partition, _, offset = letter_id.partition("/")
    if not (partition.isdigit() and offset.isdigit()):
        msg = f"{letter_id!r} is no dead letter's id: take PARTITION/OFFSET from `raccord dead-letters list`"
        raise UserError(msg)
    if int(partition) < settings.partitions:
        for message, letter in _letters(settings, None, int(partition), int(offset)):
            if message.offset() == int(offset):
                return message, letter
            break
    msg = f"there is no dead letter {letter_id}"
    raise UserError(msg)


def _letters(
    settings: Settings, reason: Reason | None, partition: int | None = None, offset: int = OFFSET_BEGINNING
) -> Iterator[tuple[Any, DeadLetter]]:
    topic = topics_of(settings).dead_letters
    reach(settings, [topic])
    consumer = Consumer(
        {
            "bootstrap.servers": settings.bootstrap_servers,
            "log_level": 2,
            "group.id": "raccord-dead-letters",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "auto.offset.reset": "latest",
            "fetch.queue.backoff.ms": 5,
            "fetch.message.max.bytes": 16_777_216,
        }
    )
    try:
        open_ends = set(range(settings.partitions)) if partition is None else {partition}
        consumer.assign([TopicPartition(topic, p, offset) for p in sorted(open_ends)])
        while open_ends:
            for message in consumer.consume(500, 1.0):
                error = message.error()
                if error is None:
                    letter = parse_dead_letter(_headers(message))
                    if reason is None or letter.reason is reason:
                        yield message, letter
                elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
                    open_ends.discard(message.partition())
                else:
                    msg = f"reading {topic} failed: {error.str()}"
                    raise EnvironmentMissing(msg)
    finally:
        consumer.close()
