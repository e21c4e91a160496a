"""Bytes -> `ChannelEvent`, whichever of the formats a record is in; refusals say what is wrong.

A record is, in this order:
1. a CloudEvent when its headers say so (`content-type: application/cloudevents+json`, or `ce_*`);
2. Avro single-object encoding when it begins with C3 01: the fingerprint names a version of our own schema;
3. Confluent's wire format when it begins with 00: the registry knows the number that follows;
4. a CloudEvent in JSON when it begins with `{`.

What comes out is the event and its payload: Avro in the current schema without framing. When the record
already is in the current schema, the payload is the record's own bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from stream_app.domain.refusal import Reason, Refused
from stream_app.wire.chosen import binary_event, check_event, encode_payload, read_event, structured_event
from stream_app.wire.cloudevents import attribute_parts, attributes_of, is_structured
from stream_app.wire.known import FINGERPRINT_END, SINGLE_OBJECT, current
from stream_app.wire.limits import Limits
from stream_app.wire.shape import event_of
from stream_app.wire.writers import Writers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stream_app.domain.event import ChannelEvent
    from stream_app.wire.registry import Registry

SUBJECT = "channel_event"


class Decoded(msgspec.Struct, gc=False):
    """An event and its payload: the same event as Avro in the current schema, without framing."""

    event: ChannelEvent
    payload: bytes


class Decoder:
    """Tells the formats apart, record by record, and reads them within limits.

    Attributes:
        limits: these.
        mark: what a value in single-object encoding under the current schema begins with.
    """

    def __init__(self, registry: Registry | None = None, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._current = current(SUBJECT)
        self.mark = self._current.mark
        self._writers = Writers(SUBJECT, registry)

    def decode(
        self,
        value: bytes | None,
        headers: Iterable[tuple[str, bytes | None]] | None = None,
        channel: str = "",
        timestamp: int | None = None,
    ) -> Decoded:
        """Read a record.

        Args:
            value: the record's value.
            headers: the record's headers.
            channel: the channel that its topic belongs to: the event's, when it names none itself.
            timestamp: the record's, in ms; the event's times may be at most `max_future` after it.

        Raises:
            Refused: the record can't be taken; it will never be, by this version.
            RegistryUnavailable: the registry gave no answer; try again.
        """
        if not value:
            raise Refused(Reason.EMPTY, "the record has no value")
        limits = self.limits
        if len(value) > limits.value_bytes:
            raise Refused(Reason.TOO_LARGE, f"the value is longer than {limits.value_bytes} bytes")
        attributes = attributes_of(headers) if headers else None
        payload: bytes | None = None
        if attributes is not None:
            event, payload = self._cloudevent(attributes, value)
        elif value.startswith(self.mark):
            event, end = read_event(value, FINGERPRINT_END, limits)
            if end != len(value):
                _trailing()
            payload = value[FINGERPRINT_END:]
        elif value.lstrip(b" \t\r\n\xef\xbb\xbf")[:1] == b"{":
            event = structured_event(value, limits)
        else:
            event, payload = self._avro(value)
        if not event.channel and channel:
            event.channel = channel
            payload = None
        check_event(event, limits, timestamp)
        if payload is None:
            payload = self.payload_of(event)
        return Decoded(event, payload)

    @staticmethod
    def payload_of(event: ChannelEvent) -> bytes:
        """Return an event's payload, as `Decoded` has it.

        Raises:
            Refused: the schema can't hold the event.
        """
        try:
            return encode_payload(event)
        except ValueError as error:
            raise Refused(Reason.INVALID_FIELD, f"the event doesn't fit the schema: {error}") from None

    def _cloudevent(self, attributes: dict[str, str], value: bytes) -> tuple[ChannelEvent, bytes | None]:
        limits = self.limits
        if is_structured(attributes):
            return structured_event(value, limits), None
        if value[0] not in (SINGLE_OBJECT[0], 0):
            return binary_event(attributes, value, limits), None
        event, payload = self._avro(value)
        changed = False
        for field, part in attribute_parts(attributes).items():
            if getattr(event, field) != part:
                setattr(event, field, part)
                changed = True
        return event, None if changed else payload

    def _avro(self, value: bytes) -> tuple[ChannelEvent, bytes | None]:
        """Read single-object encoding or Confluent's wire format; no payload when the writer was another."""
        known, start = self._writers.of(value)
        if known.canonical != self._current.canonical:
            return event_of(known.read(value, start, self._current), self.limits), None
        event, end = read_event(value, start, self.limits)
        if end != len(value):
            _trailing()
        return event, value[start:]


def read_payload(payload: bytes, limits: Limits | None = None) -> ChannelEvent:
    """Read an event of its payload, as `Decoded` has it.

    Raises:
        Refused: the bytes are no payload.
    """
    event, end = read_event(payload, 0, limits or _UNBOUNDED)
    if end != len(payload):
        _trailing()
    return event


_UNBOUNDED = Limits(
    string_bytes=1 << 31, name_chars=1 << 31, identifiers=1 << 31, identifier_values=1 << 31,
    properties=1 << 31, items=1 << 31,
)  # fmt: skip


def _trailing() -> None:
    raise Refused(Reason.UNDECODABLE, "there are bytes behind the Avro value")
