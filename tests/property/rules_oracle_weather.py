"""The oracle's weather and seasons: read from the docs once more, by looking at all that was ever said.

`weather` is the whole row of the nearest station within 50 km that spoke in the six hours up to then; where she is, is
the store of `near`, else her last position if `location` is consented to on all channels that the message may take,
else the shop that she prefers. `season` is by the date on her clock, turned round south of the equator.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tests.property.rules_oracle_policy import Judge
from tests.property.rules_oracle_texts import as_key, traits
from tests.property.rules_oracle_zones import local, zone_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tests.property.rules_oracle_fold import Firing
    from tests.property.rules_oracle_reference import Said
    from tests.property.rules_oracle_texts import Happening, Raw

Where = tuple[float, float]
EARTH_KM = 6371.0088
REACH_KM = 50
FRESH = 6 * 3_600_000
PLACE = ("latitude", "longitude")
"""Rules don't see where a station is."""
MEASURED = ("temperature_c", "precipitation_mm", "wind_kmh")
OF_MONTHS = ("winter",) * 2 + ("spring",) * 3 + ("summer",) * 3 + ("autumn",) * 3 + ("winter",)
OTHER_SIDE = {"winter": "summer", "spring": "autumn", "summer": "winter", "autumn": "spring"}


def outdoors(
    firing: Firing, known: Sequence[Happening], said: Sequence[Said], policy: Raw, time: int
) -> dict[str, Any]:
    """Return `weather` and `season` at a time; `known`: her events up to then."""
    where = _where(firing, known, said, policy, time)
    season = OF_MONTHS[local(time, zone_of(known, policy)).month - 1]
    return {
        "weather": {} if where is None else weather(said, where, time),
        "season": season if where is None or where[0] >= 0 else OTHER_SIDE[season],
    }


def _where(
    firing: Firing, known: Sequence[Happening], said: Sequence[Said], policy: Raw, time: int
) -> Where | None:
    fixes = [where for event in known if (where := _of(event.properties)) is not None]
    if fixes and Judge(policy, frozenset(), known, firing, time).located:
        return fixes[-1]
    preferred = traits(known).get("preferred_store") or _most_often(known)
    rows = [one for one in said if one.kind == "store" and one.item == as_key(preferred) and one.time <= time]
    row: Raw = {}
    for one in sorted(rows, key=lambda one: one.time):
        row = {} if one.fields is None else row | one.fields
    return _of(row)


def _most_often(known: Iterable[Happening]) -> str | None:
    seen = [(as_key(event.properties.get("store_id")), event.time) for event in known]
    last = {store: time for store, time in seen if store}
    stores = [store for store, _ in seen]
    return max(last, key=lambda store: (stores.count(store), last[store], store), default=None)


def _of(fields: Mapping[str, Any]) -> Where | None:
    latitude, longitude = fields.get("latitude"), fields.get("longitude")
    return None if latitude is None or longitude is None else (latitude, longitude)


def weather(said: Iterable[Said], where: Where, time: int) -> Raw:
    """Return what a station says of a place at a time; nothing where none does."""
    latest: dict[str, Said] = {}
    for one in said:
        known = latest.get(one.item)
        if one.kind == "weather" and one.time <= time and (known is None or known.time <= one.time):
            latest[one.item] = one
    found = [
        (distance, one.item, one.fields)
        for one in latest.values()
        if one.fields is not None
        and one.time >= time - FRESH
        and (there := _of(one.fields)) is not None
        and (distance := _apart_km(where, there)) <= REACH_KM
    ]
    if not found:
        return {}
    _, station, fields = min(found, key=lambda one: one[:2])
    told = {name: _measured(name, value) for name, value in fields.items()}
    return {name: value for name, value in told.items() if name not in PLACE} | {"station_id": station}


def _measured(name: str, value: Any) -> Any:
    """Return what is measured as a number, also where a provider writes text."""
    return float(value) if name in MEASURED else value


def _apart_km(one: Where, other: Where) -> float:
    """Return how far apart two places are: by the angle between them, seen from the middle of the Earth."""
    here, there = _from_the_middle(*one), _from_the_middle(*other)
    return EARTH_KM * 2 * math.asin(min(1.0, math.dist(here, there) / 2))


def _from_the_middle(latitude: float, longitude: float) -> tuple[float, float, float]:
    up, along = math.radians(latitude), math.radians(longitude)
    return (math.cos(up) * math.cos(along), math.cos(up) * math.sin(along), math.sin(up))
