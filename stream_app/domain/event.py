"""The event, in its two shapes: as a channel sent it, and as the domain works with it.

All times are integers: milliseconds since the Unix epoch, UTC.
"""

from __future__ import annotations

from typing import Any

import msgspec

Scalar = None | bool | int | float | str
"""What a property holds at its leaves."""


class Position(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """Where the customer was: WGS84 degrees; `accuracy_m` is the fix's radius in metres, if known."""

    latitude: float
    longitude: float
    accuracy_m: float | None = None


class Context(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """What surrounds an event. `consent` maps a purpose to the answer given with the event itself."""

    locale: str | None = None
    timezone: str | None = None
    position: Position | None = None
    consent: dict[str, bool] | None = None


class ChannelEvent(msgspec.Struct):
    """An event as its channel sent it: decoded, not yet validated or normalised.

    `identifiers` maps a namespace to one value, a list of values, or None (absent). `properties` holds
    scalars, lists of scalars or objects, and objects (JSON's shapes, at most two levels deep).
    """

    event_id: str
    time: int
    channel: str
    type: str
    identifiers: dict[str, Any]
    properties: dict[str, Any]
    sent_at: int | None = None
    received_at: int | None = None
    context: Context | None = None


class Event(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """A valid event: what every stage behind ingest works with.

    `identifiers` are "namespace:value" after normalising, strongest first (by priority, then value), never
    empty, without repeats. `received` is the broker's time of arrival, `source` is "topic/partition/offset".
    """

    event_id: str
    time: int
    channel: str
    type: str
    identifiers: tuple[str, ...]
    properties: dict[str, Any]
    received: int
    source: str
    context: Context | None = None

    @property
    def order(self) -> tuple[int, str]:
        """Place on the timeline: event time, then event id (never arrival)."""
        return (self.time, self.event_id)


class Brief(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """The beginning of an `Event`, as far as it says whose the event is: reading it skips the rest."""

    event_id: str
    time: int
    channel: str
    type: str
    identifiers: tuple[str, ...]
