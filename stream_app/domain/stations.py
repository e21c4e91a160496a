"""Where weather stations are, at one partition: the nearest to a position, by the stores' own index.

What a station says is kept as that of any item is (`reference`): each word whole, 35 days and 512 words of it. Here is
only where it has been, a row of its own, so that a worker that starts reads a row for each station instead of all that
it said. A station mostly stays where it is; of one that moves (a ship) the last `MAX_SPOTS` positions are found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stream_app.domain.keys import label_key, label_of
from stream_app.domain.places import Store, StoreIndex

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from stream_app.domain.ports import Table

REACH_M = 50_000
"""How far away a station may be to say what the weather is."""
FRESH_MS = 6 * 3_600_000
"""How old what it said may be, ms; so old is still fresh. Stations and forecasts speak every one to three hours."""
MAX_SPOTS = 8
"""Positions of one station that are told apart."""
_STATION = "weather.station"

Spot = tuple[float, float]
"""Latitude and longitude."""


class Stations:
    """Where stations are."""

    def __init__(self, table: Table[dict[str, Any]]) -> None:
        """Keep rows in `table`, which others use too."""
        self._rows = table
        self._index: StoreIndex | None = None
        self._spots: dict[str, list[Spot]] = {}

    def put(self, station: str, row: Mapping[str, Any]) -> None:
        """Note where a station is; one that says nothing else is where it was."""
        spot, index = spot_of(row), self._known()
        spots = self._spots.setdefault(station, [])
        if spot is None or spot in spots:
            return
        spots.append(spot)
        while len(spots) > MAX_SPOTS:
            index.remove(_name(station, spots.pop(0)))
        index.put(_entry(station, spot))
        self._rows.put(label_key(_STATION) + label_key(station), {"spots": spots})

    def near(self, latitude: float, longitude: float) -> Iterator[tuple[str, Spot]]:
        """Yield (station, where) within reach, the nearest first; a station for each position that it has had."""
        for name, _ in self._known().within(latitude, longitude, REACH_M):
            station, _, spot = name.rpartition("\0")
            there, _, along = spot.partition(" ")
            yield station, (float(there), float(along))

    def reset(self) -> None:
        """Forget what is in memory: the rows were rolled back."""
        self._index = None
        self._spots = {}

    def _known(self) -> StoreIndex:
        if self._index is None:
            self._index, prefix = StoreIndex(), label_key(_STATION)
            for key, row in self._rows.scan(prefix):
                station = label_of(key, len(prefix))
                self._spots[station] = [(latitude, longitude) for latitude, longitude in row["spots"]]
                for spot in self._spots[station]:
                    self._index.put(_entry(station, spot))
        return self._index


def spot_of(row: Mapping[str, Any]) -> Spot | None:
    """Return where a row says that its station is."""
    latitude, longitude = row.get("latitude"), row.get("longitude")
    if isinstance(latitude, int | float) and isinstance(longitude, int | float):
        return float(latitude), float(longitude)
    return None


def _name(station: str, spot: Spot) -> str:
    return f"{station}\0{spot[0]!r} {spot[1]!r}"


def _entry(station: str, spot: Spot) -> Store:
    return Store(id=_name(station, spot), latitude=spot[0], longitude=spot[1])
