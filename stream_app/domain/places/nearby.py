"""Which stores are near a position: cells of H3 find candidates, the exact distance decides.

The question is asked for nearly every position of every customer, and nearly always the answer is none: it takes one
look-up. A store stands in its own cell and in the six around it (five next to a pentagon), so that whoever is in any
of these finds it; `grid_disk` knows where the sphere bends, where it ends and where 180 degrees are. (Asked from
the position outwards, `grid_disk` alone took 12 us at each, where the whole answer takes 2.)

Complete, as no store within the radius is further away than a neighbouring cell. The proof:

1. H3's cells are the hexagons of one regular grid on the faces of an icosahedron, and on its net the grid goes on
   across edges. At its twelve corners the angle is five sixths of a full turn, and the cell there is a pentagon.
2. On that surface, who leaves a cell and crosses the ring around it has gone at least the length of a hexagon's side:
   the shortest such way is the side between two cells of the ring. Next to a pentagon too, any three sides in a row
   are those of a hexagon.
3. The faces are projected on the sphere from its centre (gnomonic). At an angle t from a face's centre that shortens
   ways by cos(t) across and by cos(t) squared along the radius, no more. A face reaches out to its corners,
   at 37.377 degrees: no way gets shorter than by 0.6315.

So a store that is not in the position's cell or the ring around it is at least `clearance(resolution)` away, and a
query takes the finest resolution whose clearance is no less than the radius. From `MAX_RADIUS` on all stores are
candidates. Each resolution that is asked for has its table, made when it first is.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from h3.api.basic_int import grid_disk, latlng_to_cell

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stream_app.domain.places.store import Store

EARTH_RADIUS = 6_371_008.8
"""Metres: the mean radius of WGS84's ellipsoid, (2a + b) / 3, as the IUGG defines it (R1; Moritz, Geodetic Reference
System 1980). Against the ellipsoid, distances are off by 0.6 % at most."""
FINEST = 9
"""Resolution; there a clearance is 140 m. Finer ones would save no candidates worth a table."""

_SPACING = 0.381966011250105
"""Between the centres of neighbouring cells of resolution 0 on a face, where the sphere's radius is 1: H3's
RES0_U_GNOMONIC. Each resolution's is the square root of 7 shorter than the one before."""
_CORNER = math.acos(math.sqrt((5 + 2 * math.sqrt(5)) / 15))
"""The angle between an icosahedron's face's centre and its corner: 37.377 degrees."""
_ROUNDING = 0.999_999
"""Positions next to the side of a cell may be taken for either side's."""
_SLACK = 1e-9
"""Degrees, a tenth of a millimetre: more than distances are off by rounding."""


def clearance(resolution: int) -> float:
    """Return how far at least it is from a cell to what lies beyond its neighbours, m."""
    side = _SPACING / math.sqrt(3) / math.sqrt(7) ** resolution
    return EARTH_RADIUS * side * math.cos(_CORNER) ** 2 * _ROUNDING


_CLEARANCES = tuple((resolution, clearance(resolution)) for resolution in range(FINEST, -1, -1))
MAX_RADIUS = _CLEARANCES[-1][1]
"""Up to which cells are used, m: 887 km."""


def distance_m(latitude: float, longitude: float, other_latitude: float, other_longitude: float) -> float:
    """Return the great-circle distance between two positions, in metres on a sphere (haversine)."""
    here, there = math.radians(latitude), math.radians(other_latitude)
    up = math.sin((there - here) / 2)
    along = math.sin(math.radians(other_longitude - longitude) / 2)
    share = up * up + math.cos(here) * math.cos(there) * along * along
    return 2 * EARTH_RADIUS * math.asin(math.sqrt(min(share, 1.0)))


class _Spot(NamedTuple):
    id: str
    latitude: float
    longitude: float


class StoreIndex:
    """Stores by position. One store's row may come again, moved or not: `put` replaces it."""

    __slots__ = ("_spots", "_tables")

    def __init__(self, stores: Iterable[Store] = ()) -> None:
        """Take in stores."""
        self._spots: dict[str, _Spot] = {}
        self._tables: dict[int, dict[int, list[_Spot]]] = {}
        """Resolution -> cell -> the stores in it and in the cells around it."""
        for store in stores:
            self.put(store)

    def __len__(self) -> int:
        """Return how many stores there are."""
        return len(self._spots)

    def put(self, store: Store) -> None:
        """Take in a store, in place of the one with its id."""
        spot = _Spot(store.id, store.latitude, store.longitude)
        if self._spots.get(store.id) == spot:
            return
        self.remove(store.id)
        self._spots[store.id] = spot
        for resolution, table in self._tables.items():
            _enter(table, resolution, spot)

    def remove(self, store_id: str) -> None:
        """Forget a store; one that isn't there is forgotten already."""
        spot = self._spots.pop(store_id, None)
        if spot is None:
            return
        for resolution, table in self._tables.items():
            for cell in _cells(resolution, spot):
                table[cell].remove(spot)
                if not table[cell]:
                    del table[cell]

    def within(self, latitude: float, longitude: float, radius_m: float) -> list[tuple[str, float]]:
        """Return (id, distance in m) of the stores no further away than the radius, the nearest first.

        What is no position (out of range, NaN) is near nothing.
        """
        if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):  # noqa: PLR2004 - also false for NaN
            return []
        candidates = self._candidates(latitude, longitude, radius_m)
        if not candidates:
            return []
        # No way is shorter than its part along a meridian, and that is cheap to know.
        reach = math.degrees(radius_m / EARTH_RADIUS) + _SLACK
        near = (
            (spot.id, distance_m(latitude, longitude, spot.latitude, spot.longitude))
            for spot in candidates
            if -reach <= spot.latitude - latitude <= reach
        )
        return sorted(
            (found for found in near if found[1] <= radius_m), key=lambda found: (found[1], found[0])
        )

    def _candidates(self, latitude: float, longitude: float, radius_m: float) -> Iterable[_Spot]:
        for resolution, clearance in _CLEARANCES:
            if radius_m <= clearance:
                table = self._tables.get(resolution)
                if table is None:
                    table = self._made(resolution)
                return table.get(latlng_to_cell(latitude, longitude, resolution), ())
        return self._spots.values()

    def _made(self, resolution: int) -> dict[int, list[_Spot]]:
        table = self._tables[resolution] = {}
        for spot in self._spots.values():
            _enter(table, resolution, spot)
        return table


def _enter(table: dict[int, list[_Spot]], resolution: int, spot: _Spot) -> None:
    for cell in _cells(resolution, spot):
        table.setdefault(cell, []).append(spot)


def _cells(resolution: int, spot: _Spot) -> list[int]:
    """Return a spot's cell and those around it."""
    return list(grid_disk(latlng_to_cell(spot.latitude, spot.longitude, resolution), 1))
