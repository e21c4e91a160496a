"""`raccord identity assert | deny | withdraw | block | release | erase`: what an operator tells the pipeline.

A command is checked against the policy, written to the topic of commands, and acknowledged by all replicas
before its id is printed. That is all: the workers act on it as they do on events. A value that the policy has
hashed is hashed here: the topic is kept for ever.
"""

from __future__ import annotations

import getpass
import json
import sys
import time as clock
import uuid
from typing import TYPE_CHECKING, Annotated, Any

import typer
from confluent_kafka import KafkaException, Producer

from stream_app.app import identifier_of, load_policy, topics_of
from stream_app.cli.worker import reach, read_settings
from stream_app.domain.commands import Op
from stream_app.domain.labels import Labels
from stream_app.domain.refusal import Refused
from stream_app.errors import EnvironmentMissing, Exit, UserError
from stream_app.wire import CommandDecoder, IdentityCommand, encode_command, format_timestamp, parse_timestamp

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_app.settings import Settings

DELIVERY_S = 20.0
"""How long the broker may take to acknowledge a command."""

A = Annotated[str, typer.Argument(metavar="A", help="An identifier: namespace:value.")]
B = Annotated[str, typer.Argument(metavar="B", help="Another one.")]
One = Annotated[str, typer.Argument(metavar="ID", help="An identifier: namespace:value.")]
Reason = Annotated[str, typer.Option(help="Why; it stays with what is decided, for whoever asks later.")]
Operator = Annotated[str, typer.Option(help="Who says so; by default whoever is logged in.")]
Time = Annotated[
    str,
    typer.Option(
        help="When it was decided, like 2026-03-01T10:00:00Z; of commands about the same the latest stands. "
        "Default: now."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")]


def assert_pair(
    a: A, b: B, reason: Reason, operator: Operator = "", time: Time = "", as_json: Json = False
) -> None:
    """Say that two identifiers are one customer's, whatever the limits say."""
    _give(Op.ASSERT, {"A": a, "B": b}, reason, operator, time, as_json=as_json)


def deny(a: A, b: B, reason: Reason, operator: Operator = "", time: Time = "", as_json: Json = False) -> None:
    """Say that two identifiers are not one customer's: un-merge them, and keep them apart."""
    _give(Op.DENY, {"A": a, "B": b}, reason, operator, time, as_json=as_json)


def withdraw(
    a: A, b: B, reason: Reason, operator: Operator = "", time: Time = "", as_json: Json = False
) -> None:
    """Take back what was said about two identifiers: events alone decide again."""
    _give(Op.WITHDRAW, {"A": a, "B": b}, reason, operator, time, as_json=as_json)


def block(
    identifier: One, reason: Reason, operator: Operator = "", time: Time = "", as_json: Json = False
) -> None:
    """Have an identifier link nothing: as if no event had carried it."""
    _give(Op.BLOCK, {"ID": identifier}, reason, operator, time, as_json=as_json)


def release(
    identifier: One, reason: Reason, operator: Operator = "", time: Time = "", as_json: Json = False
) -> None:
    """Have an identifier link again that was blocked or found to be shared."""
    _give(Op.RELEASE, {"ID": identifier}, reason, operator, time, as_json=as_json)


def erase(
    identifier: One,
    reason: Reason,
    operator: Operator = "",
    time: Time = "",
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    as_json: Json = False,
) -> None:
    """Erase the customer that holds an identifier, with all events up to the command's time, for good.

    Events after that time begin a new customer. Live, the workers act within moments; in a replay once all that
    happened before that time has been read.
    """
    _give(
        Op.ERASE,
        {"ID": identifier},
        reason,
        operator,
        time,
        confirm=None if yes else _confirm,
        as_json=as_json,
    )


def _give(
    op: Op,
    written: dict[str, str],
    reason: str,
    operator: str,
    time: str,
    *,
    confirm: Callable[[], None] | None = None,
    as_json: bool,
) -> None:
    """Check a command, write it, and print its id. `written`: argument -> what stands there."""
    settings = read_settings()
    now = int(clock.time() * 1000)
    identifier = identifier_of(settings, policy := load_policy(settings))
    try:
        identifiers = identifier.named(written)
        texts = tuple(map(identifier.concealed_text, written.values()))
        command = _command(op, texts, reason, operator or _login(), _time(time, now))
        value = encode_command(command)
        CommandDecoder().decode(value, timestamp=now)
    except Refused as refusal:
        raise UserError(refusal.detail) from refusal
    except ValueError:
        raise UserError("what you wrote holds bytes that are no text") from None
    if confirm is not None:
        confirm()
    # One identifier's commands stay in order, and the key tells nobody whom they are about.
    key = Labels(policy, settings.customer_key.get_secret_value().encode()).of(identifiers[0])
    message = _write(settings, key.encode(), value)
    if not as_json:
        typer.echo(command.command_id)
        return
    where = {"topic": message.topic(), "partition": message.partition(), "offset": message.offset()}
    shown = {"command_id": command.command_id, "op": op.value, "time": format_timestamp(command.time)}
    typer.echo(json.dumps({**shown, **where}))


def _command(op: Op, identifiers: tuple[str, ...], reason: str, operator: str, time: int) -> IdentityCommand:
    a, b = (*identifiers, None)[:2]
    return IdentityCommand(str(uuid.uuid4()), op, str(a), b, time, operator, reason)


def _time(text: str, now: int) -> int:
    if not text:
        return now
    try:
        time = parse_timestamp(text)
    except ValueError:
        raise UserError("--time: write a time with its offset, such as 2026-03-01T10:00:00Z") from None
    if time > now:
        raise UserError("--time lies in the future: a command holds from when it is given, at the latest")
    return time


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        raise UserError("nobody seems to be logged in: say who you are with --operator NAME") from None


def _confirm() -> None:
    """Ask; an answer that can't be had is a no.

    Raises:
        UserError: it is a no.
    """
    question = "Erase the customer that holds this identifier? Nothing brings the events back."
    typed = sys.stdin.isatty()
    try:
        wanted = typer.confirm(question, err=True)
    except typer.Abort:
        wanted = typed = False
    if not typed:
        typer.echo(err=True)  # nobody's Enter has ended the question's line
    if not wanted:
        raise UserError("not confirmed, so nothing was written (--yes confirms beforehand)", Exit.FAILED)


def _write(settings: Settings, key: bytes, value: bytes) -> Any:
    """Write one record and wait for it; return the delivered message.

    Raises:
        EnvironmentMissing: no broker answers, or it doesn't take the record.
        UserError: the topic is missing.
    """
    topic = topics_of(settings).commands
    reach(settings, [topic])
    delivered: list[Any] = []
    refused: list[str] = []

    def report(error: Any, message: Any) -> None:
        if error is None:
            delivered.append(message)
        else:
            refused.append(error.str())

    producer = Producer(
        {
            "bootstrap.servers": settings.bootstrap_servers,
            "partitioner": "murmur2_random",
            "acks": "all",
            "enable.idempotence": True,
            "message.timeout.ms": int(DELIVERY_S * 1000),
            "log_level": 2,
        }
    )
    try:
        producer.produce(topic, value, key, on_delivery=report)
    except KafkaException as error:
        refused.append(error.args[0].str())
    producer.flush(DELIVERY_S + 5)
    if not delivered:
        why = refused[0] if refused else "it does not answer"
        msg = f"the broker did not take the command ({why}): try again; said twice, it does no harm"
        raise EnvironmentMissing(msg)
    return delivered[0]
