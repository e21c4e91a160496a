"""CloudEvents 1.0 in Kafka records: JSON format (structured mode) and binary mode, as parts of an event.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md and
formats/json-format.md. `id`, `time` and `type` are the event's; the extension attributes `senttime` and
`receivedtime` its sent and received time; `data` is an object with `identifiers`, and, as far as there are
any, `properties`, `context` and `channel`. Attributes and members that aren't known are passed over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stream_app.domain.refusal import Reason, Refused
from stream_app.wire.json_text import parse_json
from stream_app.wire.shape import event_of, invalid, missing
from stream_app.wire.timestamps import parse_timestamp

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from stream_app.domain.event import ChannelEvent
    from stream_app.wire.limits import Limits

STRUCTURED = "application/cloudevents+json"
CONTENT_TYPE = "content-type"
PREFIX = "ce_"
SPEC_VERSION = "1.0"
_FAMILY = "application/cloudevents"
_TIMES = {"time": "time", "senttime": "sent_at", "receivedtime": "received_at"}
_TEXTS = {"id": "event_id", "type": "type"}


def attributes_of(headers: Iterable[tuple[str, bytes | None]]) -> dict[str, str] | None:
    """Return the CloudEvents attributes among a record's headers, and `datacontenttype`; None without any.

    A content type of the CloudEvents family counts as an attribute, any other only beside `ce_` headers.

    Raises:
        Refused: such a header is there twice, or isn't UTF-8.
    """
    found: dict[str, str] = {}
    for name, value in headers:
        if name.startswith(PREFIX):
            key = name[len(PREFIX) :]
        elif name.lower() == CONTENT_TYPE:
            key = "datacontenttype"
        else:
            continue
        if key in found:
            raise Refused(Reason.INVALID_FIELD, "a CloudEvents header is there twice")
        try:
            found[key] = (value or b"").decode()
        except UnicodeDecodeError:
            raise Refused(Reason.INVALID_UTF8, "a CloudEvents header is not UTF-8") from None
    content_type = found.get("datacontenttype", "").lower()
    if len(found) > ("datacontenttype" in found) or content_type.startswith(_FAMILY):
        return found
    return None


def is_structured(attributes: Mapping[str, str]) -> bool:
    """Say whether headers announce structured mode; other formats than JSON, and batches, are refused."""
    content_type = attributes.get("datacontenttype", "").partition(";")[0].strip().lower()
    if not content_type.startswith(_FAMILY):
        return False
    if content_type != STRUCTURED:
        raise Refused(Reason.UNDECODABLE, f"of the CloudEvents formats, only {STRUCTURED} is read")
    return True


def structured_event(value: bytes, limits: Limits) -> ChannelEvent:
    """Make an event of a CloudEvent in the JSON format.

    Raises:
        Refused: it can't be taken.
    """
    return event_of(structured_parts(value, limits), limits)


def binary_event(attributes: Mapping[str, str], value: bytes, limits: Limits) -> ChannelEvent:
    """Make an event of a CloudEvent in binary mode whose value is JSON.

    Raises:
        Refused: it can't be taken.
    """
    return event_of(binary_parts(attributes, value, limits), limits)


def structured_parts(value: bytes, limits: Limits) -> dict[str, Any]:
    """Return the parts of an event in the CloudEvents JSON format, by the names of the event's fields."""
    document = parse_json(value, limits.json_depth)
    if not isinstance(document, dict):
        raise Refused(Reason.UNDECODABLE, "the JSON is no object, so no CloudEvent")
    parts = attribute_parts(document)
    if "data_base64" in document:
        raise Refused(Reason.INVALID_FIELD, "data_base64 is not read: send data as a JSON object")
    return parts | _data_parts(document.get("data"))


def binary_parts(attributes: Mapping[str, str], value: bytes, limits: Limits) -> dict[str, Any]:
    """Return the parts of an event in binary mode whose value is JSON."""
    parts = attribute_parts(attributes)
    return parts | _data_parts(parse_json(value, limits.json_depth))


def attribute_parts(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts that the context attributes hold; what the specification requires must be there."""
    version = attributes.get("specversion")
    if version is None:
        missing("specversion")
    if version != SPEC_VERSION:
        invalid("specversion", SPEC_VERSION)
    for required in ("id", "source", "type", "time"):
        value = attributes.get(required)
        if value is None or value == "":
            missing(required)
    if not isinstance(attributes["source"], str):
        invalid("source", "a string")
    parts: dict[str, Any] = {}
    for attribute, field in _TEXTS.items():
        if not isinstance(attributes[attribute], str):
            invalid(attribute, "a string")
        parts[field] = attributes[attribute]
    for attribute, field in _TIMES.items():
        if attributes.get(attribute) is not None:
            parts[field] = _time(attributes[attribute], attribute)
    return parts


def _data_parts(data: object) -> dict[str, Any]:
    if data is None:
        missing("data")
    if not isinstance(data, dict):
        invalid("data", "an object")
    channel = data.get("channel")
    return {
        "identifiers": data.get("identifiers"),
        "properties": data.get("properties"),
        "context": data.get("context"),
        "channel": "" if channel is None else channel,
    }


def _time(value: object, attribute: str) -> int:
    if not isinstance(value, str):
        invalid(attribute, "an RFC 3339 timestamp")
    try:
        return parse_timestamp(value)
    except ValueError:
        invalid(attribute, "an RFC 3339 timestamp")
