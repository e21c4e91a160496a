"""Where a customer is: locale, last position, and the time zone; in any order of events.

An event's zone is `context.timezone`, else its property `timezone`, if that names an IANA zone; its position is
`context.position`, else its properties `latitude` and `longitude`. The customer's zone is that of the latest event
that has one, or a position: by the position when it has only that. Without anything, UTC.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from stream_app.domain.event import Position
from stream_app.domain.local_time import UTC_NAME, known_zone
from stream_app.domain.profile.values import Latest, later, number
from stream_app.domain.zone_at import zone_at

if TYPE_CHECKING:
    from stream_app.domain.event import Event

MAX_LOCALE = 512


class Fix(msgspec.Struct, array_like=True, gc=False):
    """A position (WGS84 degrees; `accuracy_m`: the fix's radius in metres), and its place on the timeline."""

    latitude: float
    longitude: float
    accuracy_m: float | None
    time: int
    event_id: str


class Whereabouts(msgspec.Struct, array_like=True, gc=False):
    """The latest of each."""

    locale: Latest | None = None
    zone: Latest | None = None
    fix: Fix | None = None


def locate(where: Whereabouts, event: Event) -> None:
    """Take in an event."""
    context, zone = event.context, where.zone
    name: object = None
    position = position_of(event)
    if context is not None:
        locale, name = context.locale, context.timezone
        if locale and len(locale) <= MAX_LOCALE:
            where.locale = later(where.locale, locale, event)
    if position is not None:
        _fix(where, position, event)
    if zone is None or name != zone.value:  # else known
        if not known_zone(name):
            name = event.properties.get("timezone")
        if not known_zone(name):
            return
    where.zone = later(zone, str(name), event)


def position_of(event: Event) -> Position | None:
    """Return where an event says that the customer was."""
    context = event.context
    if context is not None and context.position is not None:
        return context.position
    return _named(event.properties) if "latitude" in event.properties else None


def _named(properties: dict[str, Any]) -> Position | None:
    """Return the position that properties `latitude`, `longitude` and `accuracy_m` name."""
    latitude, longitude = number(properties["latitude"]), number(properties.get("longitude"))
    if latitude is None or longitude is None or not (-90 <= latitude <= 90 and -180 <= longitude <= 180):  # noqa: PLR2004
        return None
    accuracy = number(properties.get("accuracy_m"))
    return Position(float(latitude), float(longitude), None if accuracy is None else float(accuracy))


def _fix(where: Whereabouts, position: Position, event: Event) -> None:
    fix = where.fix
    if fix is None or event.order > (fix.time, fix.event_id):
        where.fix = Fix(
            position.latitude, position.longitude, position.accuracy_m, event.time, event.event_id
        )


def zone_of(where: Whereabouts) -> str | None:
    """Return the IANA name of the time zone; None where nothing tells it."""
    zone, fix = where.zone, where.fix
    if zone is None and fix is None:
        return None
    if zone is None or (fix is not None and (fix.time, fix.event_id) > (zone.time, zone.event_id)):
        return UTC_NAME if fix is None else zone_at(fix.latitude, fix.longitude)
    return str(zone.value)
