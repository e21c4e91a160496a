"""A store as rules know it, read from a row of a reference feed or of a case file.

    {"id": "berlin-1", "latitude": 52.52, "longitude": 13.4, "hours": "Mo-Sa 09:00-20:00; PH off"}

| field | meaning | absent or empty |
|---|---|---|
| `id` | text or whole number: what events call `store_id` | refused |
| `latitude`, `longitude` | WGS84 degrees, as numbers or text | refused |
| `name` | | |
| `hours` | OpenStreetMap's notation; what notation.py and hours.py take of it | unknown |
| `timezone` | IANA name | that at the position |
| `country` | ISO 3166-1 alpha-2, or 3166-2 for a region's own holidays (`DE-BY`) | that at the position |
| `holidays` | the dates that `PH` is on, ISO 8601; if there, the only ones | the country's |

There is no flag for a store that is closed: `hours: "off"` says it, and `2026 Dec 1-2026 Dec 24 off` says until when.
A row's other fields are kept for payloads and conditions, as far as they are plain values.
"""

from __future__ import annotations

import math
from datetime import date
from typing import TYPE_CHECKING, Any

import msgspec

from stream_app.domain.local_time import known_zone
from stream_app.domain.places.hours import read_hours
from stream_app.domain.places.notation import HoursError
from stream_app.domain.places.public_holidays import known_country
from stream_app.domain.profile.values import MAX_TEXT, number, text
from stream_app.domain.zone_at import zone_at

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_HOLIDAYS = 1_000
MAX_DEPTH = 8
"""How deep lists and mappings of a row are kept."""
_INT64 = 63


class StoreError(ValueError):
    """A row that is no store. It says which field is wrong and what to do, and holds none of the row's values."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(f"store.{field}: {detail}")
        self.field = field
        self.detail = detail


class Store(msgspec.Struct, frozen=True, kw_only=True):
    """A store; `row` is all that its row says, as plain values."""

    id: str
    latitude: float
    longitude: float
    name: str | None = None
    hours: str | None = None
    timezone: str | None = None
    country: str | None = None
    holidays: tuple[date, ...] | None = None
    row: dict[str, Any] = {}


def read_store(row: Mapping[str, Any]) -> Store:
    """Read a row.

    Raises:
        StoreError: It is no store.
    """
    name = text(row.get("id"))
    if name is None:
        raise StoreError("id", f"must be a text of 1 to {MAX_TEXT} characters, or a whole number")
    holidays = _holidays(row.get("holidays"))
    hours = _hours(row.get("hours"))
    country = _country(row.get("country"))
    return Store(
        id=name,
        latitude=_degrees(row, "latitude", 90),
        longitude=_degrees(row, "longitude", 180),
        name=text(row.get("name")),
        hours=hours,
        timezone=_timezone(row.get("timezone")),
        country=country,
        holidays=holidays,
        row=dict(_plain_items(row, MAX_DEPTH)),
    )


def zone_name(store: Store) -> str:
    """Return the IANA name of a store's time zone."""
    return store.timezone or zone_at(store.latitude, store.longitude)


def _degrees(row: Mapping[str, Any], field: str, most: int) -> float:
    value = number(row.get(field))
    if value is None or not -most <= value <= most:
        raise StoreError(field, f"must be a number of degrees from -{most} to {most} (WGS84)")
    return float(value)


def _said(field: str, value: Any) -> str | None:
    """Return a text; None for one that isn't there or is empty, as a column of a table may be."""
    if value is None:
        return None
    if type(value) is not str:
        raise StoreError(field, "must be a text; leave it out where it isn't known")
    return value.strip() or None


def _hours(value: Any) -> str | None:
    said = _said("hours", value)
    if said is None:
        return None
    try:
        read_hours(said)
    except HoursError as fault:
        raise StoreError("hours", f"{fault}; or leave `hours` out: then `store.open` is absent") from fault
    return said


def _timezone(value: Any) -> str | None:
    said = _said("timezone", value)
    if said is not None and not known_zone(said):
        raise StoreError(
            "timezone",
            "must be the IANA name of a zone, as Europe/Berlin; left out, it is that at the position",
        )
    return said


def _country(value: Any) -> str | None:
    said = _said("country", value)
    if said is None:
        return None
    code = said.upper()
    if not known_country(code):
        raise StoreError(
            "country",
            "must be an ISO 3166 code whose holidays are known, as DE or DE-BY; left out, it is that at the position",
        )
    return code


def _holidays(value: Any) -> tuple[date, ...] | None:
    if value is None:
        return None
    if not isinstance(value, (list, tuple)) or len(value) > MAX_HOLIDAYS:
        raise StoreError("holidays", f"must be a list of at most {MAX_HOLIDAYS} dates, as 2026-12-25")
    try:
        return tuple(sorted({date.fromisoformat(day) for day in value}))
    except (TypeError, ValueError) as fault:
        raise StoreError("holidays", "must be dates in ISO 8601, as 2026-12-25") from fault


def _plain_items(row: Mapping[Any, Any], depth: int) -> list[tuple[str, Any]]:
    pairs = ((key, _plain(value, depth - 1)) for key, value in row.items() if type(key) is str)
    return [(key, value) for key, value in pairs if value is not None]


def _plain(value: Any, depth: int) -> Any:
    """Return a value as JSON has it; None for what isn't plain."""
    kind = type(value)
    if kind is str or kind is bool:
        return value
    if kind is int:
        return value if value.bit_length() <= _INT64 else None
    if kind is float:
        return value if math.isfinite(value) else None
    if depth and kind in (list, tuple):
        return [plain for item in value if (plain := _plain(item, depth - 1)) is not None]
    return dict(_plain_items(value, depth)) if depth and kind is dict else None
