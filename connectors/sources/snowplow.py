"""Reader of a folder with Snowplow's enriched web events (`snowplow_web_events.csv`, atomic.events columns).

https://docs.snowplow.io/docs/fundamentals/canonical-event/. What becomes of a row:

- `domain_userid`, the first-party cookie, -> cookie; `user_id` -> user_id. `network_userid` stays a property:
  a third-party cookie says which network, not which person, and joins strangers in this very data.
- time: `derived_tstamp` (the device's time, corrected by the server), else `collector_tstamp`; sent:
  `dvce_sent_tstamp`; received: `collector_tstamp`.
- page_view -> Page Viewed, page_ping -> Page Pinged, transaction -> Order Completed, a structured event with
  the action `login` -> Signed In, else its action in words; self-describing events: their name in words. A
  cookie banner's answer (`consent_preferences`) is Consent Preferences, not Consent Changed: to allow cookies
  isn't to allow messages.
- Copies (the tracker sends again when it gets no answer) stay: to drop them is the pipeline's business. Where
  a copy's derived time differs, it is another content under the same id: a conflict.
"""

from __future__ import annotations

import math
from array import array
from typing import TYPE_CHECKING, Any

import msgspec

from connectors.planned import Planned
from connectors.sources.rows import (
    Row,
    Table,
    UnmappableRowError,
    as_it_stands,
    milliseconds,
)
from stream_app.domain.event import ChannelEvent, Context, Position

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILE = "snowplow_web_events.csv"
REQUIRED = (
    "event_id",
    "event",
    "event_name",
    "collector_tstamp",
    "derived_tstamp",
    "user_id",
    "domain_userid",
)
TYPES = {"page_view": "Page Viewed", "page_ping": "Page Pinged", "transaction": "Order Completed"}
PROPERTIES = {
    "app_id": "app_id",
    "platform": "platform",
    "domain_sessionid": "session_id",
    "network_userid": "network_userid",
    "page_url": "url",
    "page_urlpath": "path",
    "page_title": "title",
    "page_referrer": "referrer",
    "mkt_medium": "campaign_medium",
    "mkt_source": "campaign_source",
    "mkt_campaign": "campaign_id",
    "se_category": "category",
    "se_label": "label",
    "tr_orderid": "order_id",
    "tr_currency": "currency",
}
NUMBERS = {"tr_total": "total", "se_value": "value"}
OBJECTS = "unstruct_event_"
"""Columns with a self-describing event's data begin like this: a JSON list of one object."""


def read(folder: Path) -> Iterator[Planned]:
    """Yield a record per row in the order in which the collector got them (`at` is that time).

    Exports have no order. The file is read twice: once for times and places (a few dozen bytes of memory per
    row), then row by row. A row without a collector's time comes after the row above it. A row that can't be
    mapped is handed on as it stands, for the dead letters; one without identifiers is an event all the same.

    Raises:
        SourceError: there is no such file in the folder, it can't be read, or it lacks columns.
    """
    with Table(folder / FILE, REQUIRED) as table:
        times, offsets = array("q"), array("q")
        for row in table:
            times.append(_collected(table, row, times[-1] if times else 0))
            offsets.append(row.offset)
        for place in sorted(range(len(times)), key=times.__getitem__):
            yield _planned(table, table.at(place + 1, offsets[place]), times[place])


def _collected(table: Table, row: Row, above: int) -> int:
    place = table.columns["collector_tstamp"]
    if place >= len(row.fields):
        return above
    try:
        return milliseconds(row.fields[place], "collector_tstamp")
    except UnmappableRowError:
        return above


def _planned(table: Table, row: Row, at: int) -> Planned:
    try:
        table.check(row)
        event = _event(
            {name: row.fields[place] for name, place in table.columns.items() if row.fields[place]}
        )
    except UnmappableRowError as problem:
        return as_it_stands(row, at, problem)
    key = event.identifiers.get("cookie") or event.identifiers.get("user_id") or ""
    return Planned(channel="web", at=at, event=event, key=key.encode() or None)


def _event(fields: dict[str, str]) -> ChannelEvent:
    """Map the fields of a row; those that are empty are not among them."""
    event_id = fields.get("event_id")
    if event_id is None:
        raise UnmappableRowError("event_id: empty")
    collected = milliseconds(fields.get("collector_tstamp", ""), "collector_tstamp")
    derived, sent = fields.get("derived_tstamp"), fields.get("dvce_sent_tstamp")
    identifiers = {"user_id": fields.get("user_id"), "cookie": fields.get("domain_userid")}
    return ChannelEvent(
        event_id,
        collected if derived is None else milliseconds(derived, "derived_tstamp"),
        "web",
        _type(fields),
        {namespace: value for namespace, value in identifiers.items() if value is not None},
        _properties(fields),
        sent_at=None if sent is None else milliseconds(sent, "dvce_sent_tstamp"),
        received_at=collected,
        context=_context(fields),
    )


def _type(fields: dict[str, str]) -> str:
    kind = fields.get("event", "")
    if kind in TYPES:
        return TYPES[kind]
    name = fields.get("se_action", "") if kind == "struct" else fields.get("event_name", "")
    if name == "login":
        return "Signed In"
    if not name:
        raise UnmappableRowError("event, event_name: no kind of event")
    return name.replace("_", " ").title()


def _properties(fields: dict[str, str]) -> dict[str, Any]:
    properties: dict[str, Any] = {
        name: fields[column] for column, name in PROPERTIES.items() if column in fields
    }
    for column, name in NUMBERS.items():
        if column in fields:
            properties[name] = _number(fields[column], column)
    for column, text in fields.items():
        if column.startswith(OBJECTS):
            properties.update(_object(text, column))
    return properties


def _object(text: str, column: str) -> dict[str, Any]:
    """Return the fields of a self-describing event; those that are objects themselves are left out."""
    try:
        (data,) = msgspec.json.decode(text, type=list[dict[str, Any]])
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:  # the last: lists in lists in lists
        raise UnmappableRowError(f"{column}: not a JSON list of one object") from error
    return {name: value for name, value in data.items() if not _nested(value)}


def _nested(value: Any) -> bool:
    """Tell whether a value is more than a scalar or a list of scalars."""
    if isinstance(value, list):
        return any(isinstance(item, dict | list) for item in value)
    return isinstance(value, dict)


def _context(fields: dict[str, str]) -> Context:
    latitude, longitude = fields.get("geo_latitude"), fields.get("geo_longitude")
    position = None
    if latitude is not None and longitude is not None:
        position = Position(_number(latitude, "geo_latitude"), _number(longitude, "geo_longitude"))
    return Context(
        locale=fields.get("br_lang"),
        timezone=fields.get("os_timezone") or fields.get("geo_timezone"),
        position=position,
    )


def _number(text: str, column: str) -> float:
    try:
        number = float(text)
    except ValueError as error:
        raise UnmappableRowError(f"{column}: not a number") from error
    if not math.isfinite(number):
        raise UnmappableRowError(f"{column}: not a finite number")
    return number
