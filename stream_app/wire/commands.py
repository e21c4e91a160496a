"""Records of the topic `identity.commands` -> what an operator asks for, and back.

Told apart as channel events are (see `decoding`): Avro in single-object encoding or Confluent's wire format, a
CloudEvent (structured or binary mode), or, since people write commands by hand, a plain JSON object with the
schema's field names and an RFC 3339 time. In a CloudEvent, `id` is the command's id, `time` its time, and
`data` holds the rest. Members that aren't known are passed over.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

import msgspec
from fastavro import schemaless_writer

from stream_app.domain.commands import PAIR_OPS, Op
from stream_app.domain.refusal import Reason, Refused
from stream_app.wire.cloudevents import attribute_parts, attributes_of, is_structured
from stream_app.wire.json_text import parse_json
from stream_app.wire.known import current
from stream_app.wire.limits import Limits
from stream_app.wire.shape import invalid, missing
from stream_app.wire.timestamps import parse_timestamp
from stream_app.wire.writers import Writers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stream_app.wire.registry import Registry

SUBJECT = "identity_command"

_OPS = {op.value: op for op in Op}
_JSON_BEGINS = b" \t\r\n\xef\xbb\xbf"


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
        self._current = current(SUBJECT)
        self._writers = Writers(SUBJECT, registry)

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
        limits = self._limits
        if len(value) > limits.value_bytes:
            raise Refused(Reason.TOO_LARGE, f"the value is longer than {limits.value_bytes} bytes")
        attributes = attributes_of(headers) if headers else None
        if attributes is None or is_structured(attributes):
            return _command(self._parts(value, structured=attributes is not None), limits, timestamp)
        above = _attribute_parts(attributes)
        parts = self._json(value) if _is_json(value) else self._avro(value)
        return _command(parts | above, limits, timestamp)

    def _parts(self, value: bytes, *, structured: bool) -> dict[str, Any]:
        """Return the fields of a record whose headers say no more than that it is `structured`, if at all."""
        if not structured and not _is_json(value):
            return self._avro(value)
        document = self._json(value)
        if structured or "specversion" in document:
            data = document.get("data")
            if data is None:
                missing("data")
            if not isinstance(data, dict):
                invalid("data", "an object")
            return data | _attribute_parts(document)
        if document.get("time") is not None:
            document["time"] = _time(document["time"])
        return document

    def _json(self, value: bytes) -> dict[str, Any]:
        document = parse_json(value, self._limits.json_depth)
        if not isinstance(document, dict):
            raise Refused(Reason.UNDECODABLE, "the JSON is no object, so no command")
        return document

    def _avro(self, value: bytes) -> dict[str, Any]:
        known, start = self._writers.of(value)
        return known.read(value, start, self._current)


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


def _is_json(value: bytes) -> bool:
    return value.lstrip(_JSON_BEGINS)[:1] == b"{"


def _attribute_parts(attributes: dict[str, Any]) -> dict[str, Any]:
    parts = attribute_parts(attributes)
    return {"command_id": parts["event_id"], "time": parts["time"]}


def _time(value: object) -> int:
    try:
        return parse_timestamp(value if isinstance(value, str) else "")
    except ValueError:
        invalid("time", "an RFC 3339 timestamp")


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
