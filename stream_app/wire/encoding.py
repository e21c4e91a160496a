"""`ChannelEvent` -> bytes, in every format that the decoder reads; what producers and simulators send.

All encoders raise ValueError for what no format can hold: an integer beyond 64 bits, a number that isn't
finite, a lone surrogate, a value nested more than two levels deep.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from stream_app.wire.chosen import encode_payload
from stream_app.wire.cloudevents import CONTENT_TYPE, SPEC_VERSION, STRUCTURED
from stream_app.wire.known import current
from stream_app.wire.timestamps import format_timestamp

if TYPE_CHECKING:
    from stream_app.domain.event import ChannelEvent

Headers = list[tuple[str, bytes]]
SOURCE = "/raccord"
_ID_BITS = 32


def encode_single_object(event: ChannelEvent) -> bytes:
    """Encode an event in Avro single-object encoding."""
    return frame_single_object(encode_payload(event))


def frame_single_object(payload: bytes) -> bytes:
    """Put the mark of the current schema before a payload."""
    return current("channel_event").mark + payload


def encode_confluent(event: ChannelEvent, schema_id: int) -> bytes:
    """Encode an event in Confluent's wire format, under the number that the registry gave to the schema."""
    return confluent_mark(schema_id) + encode_payload(event)


def confluent_mark(schema_id: int) -> bytes:
    """Return the five bytes that precede a value in Confluent's wire format."""
    if schema_id >> _ID_BITS:
        raise ValueError("a schema's number has at most 32 bits")
    return b"\x00" + schema_id.to_bytes(4, "big")


def encode_cloudevent_structured(event: ChannelEvent, source: str = SOURCE) -> tuple[bytes, Headers]:
    """Encode an event in the CloudEvents JSON format; return the record's value and headers."""
    document = _attributes(event, source) | {"datacontenttype": "application/json", "data": _data(event)}
    return _json(document), [(CONTENT_TYPE, STRUCTURED.encode())]


def encode_cloudevent_binary(event: ChannelEvent, source: str = SOURCE) -> tuple[bytes, Headers]:
    """Encode an event as a CloudEvent, binary mode, JSON data; return the record's value and headers."""
    headers = [(f"ce_{name}", value.encode()) for name, value in _attributes(event, source).items()]
    return _json(_data(event)), [*headers, (CONTENT_TYPE, b"application/json")]


def _attributes(event: ChannelEvent, source: str) -> dict[str, str]:
    attributes = {
        "specversion": SPEC_VERSION,
        "id": event.event_id,
        "source": source,
        "type": event.type,
        "time": format_timestamp(event.time),
    }
    if event.sent_at is not None:
        attributes["senttime"] = format_timestamp(event.sent_at)
    if event.received_at is not None:
        attributes["receivedtime"] = format_timestamp(event.received_at)
    return attributes


def _data(event: ChannelEvent) -> dict[str, Any]:
    data: dict[str, Any] = {
        "channel": event.channel,
        "identifiers": event.identifiers,
        "properties": event.properties,
    }
    context = event.context
    if context is not None:
        position = context.position
        data["context"] = {
            "locale": context.locale,
            "timezone": context.timezone,
            "position": None
            if position is None
            else {
                "latitude": position.latitude,
                "longitude": position.longitude,
                "accuracy_m": position.accuracy_m,
            },
            "consent": context.consent,
        }
    return data


def _json(document: dict[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
