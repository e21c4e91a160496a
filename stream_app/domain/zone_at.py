"""The time zone at a position, of the boundaries that `timezonefinder` ships.

Its data takes about 35 MB and a third of a second to load: only who asks pays. Positions are rounded to a hundredth of
a degree (a kilometre), so that a walk through a town is one look-up; next to a border that may be the neighbour's
zone. At sea the zone is that of the meridian (Etc/GMT-1).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from stream_app.domain.local_time import UTC_NAME, known_zone

if TYPE_CHECKING:
    from timezonefinder import TimezoneFinder

_DECIMALS = 2


def zone_at(latitude: float, longitude: float) -> str:
    """Return the IANA name of the zone at a position, WGS84 degrees; UTC for what is no position."""
    return _zone_at(round(latitude, _DECIMALS), round(longitude, _DECIMALS))


@lru_cache(maxsize=1 << 14)
def _zone_at(latitude: float, longitude: float) -> str:
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):  # noqa: PLR2004 - also false for NaN
        return UTC_NAME
    name = _finder().timezone_at(lat=latitude, lng=longitude)
    return name if name is not None and known_zone(name) else UTC_NAME


@lru_cache(maxsize=1)
def _finder() -> TimezoneFinder:
    from timezonefinder import TimezoneFinder  # noqa: PLC0415 - numpy and the data are for who needs them

    return TimezoneFinder()
