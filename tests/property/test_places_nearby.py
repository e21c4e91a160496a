"""Stores near a position, against a look at each of them: anywhere on Earth, at any radius."""

from __future__ import annotations

import math

import h3
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.domain.places import Store, StoreIndex, distance_m, read_store
from stream_app.domain.places.nearby import EARTH_RADIUS, FINEST, clearance

Position = tuple[float, float]

PENTAGONS = [h3.cell_to_latlng(cell) for cell in h3.get_pentagons(0)]
CENTRES: list[Position] = [
    *((90.0, 0.0), (-90.0, 0.0), (0.0, 180.0), (-17.0, -180.0), (66.5, 179.999)),
    *((52.52, 13.405), (0.0, 0.0)),
    *PENTAGONS,  # where cells are smallest and have five sides
]
turns = st.floats(0, 360)
radii = st.one_of(
    st.floats(0, 5.3).map(lambda exponent: 10**exponent),  # 1 m to 200 km
    st.integers(0, FINEST).map(clearance),
    st.floats(200_000, 5_000_000),
)


def moved(position: Position, turn: float, metres: float) -> Position:
    """Return where one gets to from a position, in a direction in degrees."""
    latitude, longitude = map(math.radians, position)
    way, turn = metres / EARTH_RADIUS, math.radians(turn)
    height = math.sin(latitude) * math.cos(way) + math.cos(latitude) * math.sin(way) * math.cos(turn)
    there = math.asin(max(-1.0, min(1.0, height)))
    along = math.atan2(
        math.sin(turn) * math.sin(way) * math.cos(latitude), math.cos(way) - math.sin(latitude) * height
    )
    return math.degrees(there), (math.degrees(longitude + along) + 540) % 360 - 180


def store(name: str, position: Position) -> Store:
    return read_store({"id": name, "latitude": position[0], "longitude": position[1]})


anywhere = st.tuples(st.floats(-90, 90), st.floats(-180, 180))
centres = st.one_of(st.sampled_from(CENTRES), anywhere)


@st.composite
def near(draw: st.DrawFn, centre: Position, radius: float) -> Position:
    """Draw a position about as far from another as the radius, or anywhere."""
    far = radius * draw(st.sampled_from((0.0, 0.3, 0.9, 0.999, 1.0, 1.001, 1.2, 3.0)))
    return draw(st.one_of(st.just(moved(centre, draw(turns), far)), anywhere))


@given(st.data())
@settings(max_examples=400)
def test_what_is_near_is_what_a_look_at_each_store_finds(data: st.DataObject):
    radius, centre = data.draw(radii), data.draw(centres)
    places = data.draw(st.lists(near(centre, radius), max_size=12))
    stores = [store(f"s{n:02}", place) for n, place in enumerate(places)]
    index = StoreIndex(stores)
    for position in [centre, *data.draw(st.lists(near(centre, radius), max_size=4))]:
        away = ((distance_m(*position, one.latitude, one.longitude), one.id) for one in stores)
        expected = [(name, far) for far, name in sorted(found for found in away if found[0] <= radius)]
        assert index.within(*position, radius) == expected


@given(st.data())
def test_stores_that_come_move_and_go_leave_what_a_new_index_has(data: st.DataObject):
    radius, centre = data.draw(radii), data.draw(st.sampled_from(CENTRES))
    index, there = StoreIndex(), {}
    names = st.sampled_from(("a", "b", "c", "d"))
    for name, place in data.draw(st.lists(st.tuples(names, st.none() | near(centre, radius)), max_size=12)):
        if place is None:
            index.remove(name)
            there.pop(name, None)
        else:
            there[name] = store(name, place)
            index.put(there[name])
        asked = (*centre, data.draw(radii))
        assert index.within(*asked) == StoreIndex(there.values()).within(*asked)
        assert len(index) == len(there)


@given(st.sampled_from(CENTRES) | anywhere, turns, st.floats(0, 15_000_000))
def test_a_distance_is_what_was_gone(position: Position, turn: float, metres: float):
    there = moved(position, turn, metres)
    assert math.isclose(distance_m(*position, *there), metres, rel_tol=1e-6, abs_tol=1e-3)
