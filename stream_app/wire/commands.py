"""Records of the topic `identity.commands` -> what an operator asks for, and back.

In any of the formats that `documents` reads: people write commands by hand. In a CloudEvent, `id` is the command's id.
Members that aren't known are passed over.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

import msgspec
from fastavro import schemaless_writer

from stream_app.domain.commands import PAIR_OPS, Op
from stream_app.domain.refusal import Reason, Refused
from stream_app.wire.documents import Documents
from stream_app.wire.known import current
from stream_app.wire.limits import Limits
from stream_app.wire.shape import invalid, missing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stream_app.wire.registry import Registry

SUBJECT = "identity_command"

_OPS = {op.value: op for op in Op}


class IdentityCommand(msgspec.Struct, frozen=True):
    """A command as its operator wrote it: of the right shape, its identifiers not yet normalised.

    `a` and `b` are "namespace:value"; `b` is there for assert, deny and withdraw, and only for them. `time` is
    in ms since the epoch.
    """

    command_id: str
    op: Op
    a: str
    b: str | None
    time: int
    operator: str
    reason: str

    @property
    def named(self) -> dict[str, str]:
        """The identifiers by the names of their fields."""
        return {"a": self.a} if self.b is None else {"a": self.a, "b": self.b}


class CommandDecoder:
    """Reads commands within limits, in any of the formats."""

    def __init__(self, registry: Registry | None = None, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._documents = Documents(SUBJECT, registry, self._limits, id_is="command_id")

    def decode(
        self,
        value: bytes | None,
        headers: Iterable[tuple[str, bytes | None]] | None = None,
        timestamp: int | None = None,
    ) -> IdentityCommand:
        """Read a record.

        Args:
            value: the record's value.
            headers: the record's headers.
            timestamp: the record's, in ms; the command's time may be at most `max_future` after it. None leaves
                the future open up to the year 9000.

        Raises:
            Refused: the record can't be taken; the detail names fields, never what is in them.
            RegistryUnavailable: the registry gave no answer; try again.
        """
        if not value:
            raise Refused(Reason.EMPTY, "the record has no value")
        return _command(self._documents.read(value, headers), self._limits, timestamp)


def encode_command(command: IdentityCommand) -> bytes:
    """Encode a command in Avro single-object encoding.

    Raises:
        ValueError: a text in it is none (a lone surrogate), or its time has more than 64 bits.
    """
    known = current(SUBJECT)
    stream = BytesIO()
    stream.write(known.mark)
    schemaless_writer(stream, known.parsed, msgspec.structs.asdict(command))
    return stream.getvalue()


def _command(parts: dict[str, Any], limits: Limits, timestamp: int | None) -> IdentityCommand:
    """Check the fields one by one, in the schema's order."""
    command_id = _text(parts, "command_id", limits.event_id_chars)
    if parts.get("op") is None:
        missing("op")
    op = _OPS.get(parts["op"]) if isinstance(parts["op"], str) else None
    if op is None:
        invalid("op", f"one of {', '.join(_OPS)}")
    a = _text(parts, "a", limits.string_bytes)
    b = None
    if op in PAIR_OPS:
        b = _text(parts, "b", limits.string_bytes)
    elif parts.get("b") is not None:
        raise Refused(Reason.INVALID_FIELD, f"b is there, and {op} takes one identifier")
    time = parts.get("time")
    if time is None:
        missing("time")
    if not isinstance(time, int) or isinstance(time, bool):
        invalid("time", "a time in milliseconds")
    latest = limits.latest(timestamp)
    if not limits.earliest <= time <= latest:
        raise Refused(Reason.TIME_OUT_OF_RANGE, "time is too far in the past or the future")
    operator = _text(parts, "operator", limits.name_chars)
    return IdentityCommand(command_id, op, a, b, time, operator, _text(parts, "reason", limits.reason_chars))


def _text(parts: dict[str, Any], field: str, limit: int) -> str:
    value = parts.get(field)
    if value is None:
        missing(field)
    if not isinstance(value, str):
        invalid(field, "a string")
    if not value.strip():
        raise Refused(Reason.MISSING_FIELD, f"{field} is empty")
    if len(value) > limit:
        raise Refused(Reason.TOO_LARGE, f"{field} is longer than {limit} characters")
    return value
