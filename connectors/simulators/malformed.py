"""Malformed records: one way or more to break a record for each reason that a producer can cause."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from connectors.planned import Planned
from stream_app.domain.event import ChannelEvent
from stream_app.domain.refusal import Reason

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from connectors.simulators.settings import Noise

STRUCTURED_HEADERS = [("content-type", b"application/cloudevents+json; charset=UTF-8")]
SINGLE_OBJECT_MARKER = b"\xc3\x01"


class Accident(msgspec.Struct, frozen=True):
    """Where and when a malformed record turns up; `number` counts them, `random` is for its details."""

    number: int
    channel: str
    at: int
    key: bytes
    random: Random
    noise: Noise


def malformed(reason: Reason, accident: Accident) -> Planned:
    """Make a record that must be refused for this reason.

    Raises:
        KeyError: for `poison`, which no producer can cause, and `conflict`, which needs a good event.
    """
    planned = _MAKERS[reason](accident)
    planned.note = f"malformed:{reason.value}"
    return planned


def _raw(accident: Accident, raw: bytes | None, *, json: bool = False) -> Planned:
    return Planned(
        channel=accident.channel,
        at=accident.at,
        raw=raw,
        headers=list(STRUCTURED_HEADERS) if json else [],
        encoding="cloudevents_structured" if json else "single_object",
        key=accident.key,
    )


def _event(accident: Accident, time: int, identifiers: dict[str, Any]) -> Planned:
    event = ChannelEvent(
        f"{accident.random.getrandbits(96):024x}", time, accident.channel, "Product Viewed", identifiers, {}
    )
    return Planned(channel=accident.channel, at=accident.at, event=event, key=accident.key)


def _cloud_event(accident: Accident, properties: dict[str, Any]) -> dict[str, Any]:
    """Return a good event in CloudEvents' JSON format (CloudEvents 1.0.2, JSON event format, 3)."""
    return {
        "specversion": "1.0",
        "id": f"{accident.random.getrandbits(96):024x}",
        "source": f"/simulator/{accident.channel}",
        "type": "Product Viewed",
        "time": "2025-03-03T12:00:00Z",
        "datacontenttype": "application/json",
        "data": {"identifiers": {"cookie": "c0ffee"}, "properties": properties},
    }


def _empty(accident: Accident) -> Planned:
    return _raw(accident, b"" if accident.number % 2 else None)


def _undecodable(accident: Accident) -> Planned:
    """Garbage, a log line, or half an event."""
    way = accident.number % 3
    if way == 0:
        return _raw(accident, b"\x9f" + accident.random.randbytes(80))
    if way == 1:
        return _raw(accident, b"ERROR till-agent: upstream connect error or disconnect/reset before headers")
    whole = msgspec.json.encode(_cloud_event(accident, {"sku": "SKU-1001"}))
    return _raw(accident, whole[: len(whole) // 2], json=True)


def _unknown_schema(accident: Accident) -> Planned:
    return _raw(accident, SINGLE_OBJECT_MARKER + accident.random.randbytes(72))


def _invalid_utf8(accident: Accident) -> Planned:
    whole = msgspec.json.encode(_cloud_event(accident, {"name": "MARK"}))
    return _raw(accident, whole.replace(b"MARK", b"th\xe9i\xe8re"), json=True)


def _too_large(accident: Accident) -> Planned:
    padding = "x" * accident.noise.too_large_bytes
    return _raw(accident, msgspec.json.encode(_cloud_event(accident, {"page": padding})), json=True)


def _too_deep(accident: Accident) -> Planned:
    levels = accident.noise.too_deep_levels
    whole = msgspec.json.encode(_cloud_event(accident, {"tree": "MARK"}))
    return _raw(accident, whole.replace(b'"MARK"', b"[" * levels + b"]" * levels), json=True)


def _missing_field(accident: Accident) -> Planned:
    event = _cloud_event(accident, {"sku": "SKU-1001"})
    del event["id" if accident.number % 2 else "type"]
    return _raw(accident, msgspec.json.encode(event), json=True)


def _invalid_field(accident: Accident) -> Planned:
    event = _cloud_event(accident, {"sku": "SKU-1001"})
    if accident.number % 2:
        event["time"] = "yesterday"
    else:
        event["type"] = 42
    return _raw(accident, msgspec.json.encode(event), json=True)


def _time_out_of_range(accident: Accident) -> Planned:
    """Seconds where milliseconds belong: an event of January 1970."""
    return _event(accident, accident.at // 1000, {"cookie": f"{accident.random.getrandbits(80):020x}"})


def _no_identifier(accident: Accident) -> Planned:
    useless: tuple[dict[str, Any], ...] = ({}, {"user_id": "guest"}, {"cookie": None, "email": "null"})
    return _event(accident, accident.at, dict(useless[accident.number % len(useless)]))


_MAKERS: dict[Reason, Callable[[Accident], Planned]] = {
    Reason.EMPTY: _empty,
    Reason.UNDECODABLE: _undecodable,
    Reason.UNKNOWN_SCHEMA: _unknown_schema,
    Reason.INVALID_UTF8: _invalid_utf8,
    Reason.TOO_LARGE: _too_large,
    Reason.TOO_DEEP: _too_deep,
    Reason.MISSING_FIELD: _missing_field,
    Reason.INVALID_FIELD: _invalid_field,
    Reason.TIME_OUT_OF_RANGE: _time_out_of_range,
    Reason.NO_IDENTIFIER: _no_identifier,
}

REASONS = tuple(_MAKERS)
"""The reasons that malformed records can have, in the order in which they take turns."""
