"""Which stores are near: who is in and who is out, what moves and goes, and the bound that makes it complete."""

from __future__ import annotations

import csv
import math
import os
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import h3
import pytest

from stream_app.domain.places import StoreIndex, distance_m, read_store
from stream_app.domain.places.nearby import EARTH_RADIUS, FINEST, MAX_RADIUS, clearance

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stream_app.domain.places import Store

GEO = Path(os.environ.get("GEO_DATA") or Path(__file__).parents[3] / "shared" / "data" / "geo")
needs_geo = pytest.mark.skipif(not GEO.exists(), reason=f"third-party data is not there (GEO_DATA): {GEO}")
DEGREE = math.pi / 180 * EARTH_RADIUS
"""Metres of a degree of latitude."""


def store(name: str, latitude: float, longitude: float) -> Store:
    return read_store({"id": name, "latitude": latitude, "longitude": longitude})


def ids(found: list[tuple[str, float]]) -> list[str]:
    return [name for name, _ in found]


# Distance


def test_a_distance_is_along_a_great_circle():
    assert distance_m(0, 0, 0, 0) == 0
    assert distance_m(10, 20, 11, 20) == pytest.approx(DEGREE)
    assert distance_m(60, 20, 60, 22) == pytest.approx(DEGREE, rel=1e-3)
    assert distance_m(0, 0, 0, 180) == distance_m(90, 0, -90, 0) == pytest.approx(math.pi * EARTH_RADIUS)
    assert distance_m(52.52, 13.405, 48.8566, 2.3522) == pytest.approx(877_500, rel=1e-3)  # Berlin, Paris


def test_a_distance_knows_poles_and_the_antimeridian():
    assert distance_m(0, 179.5, 0, -179.5) == pytest.approx(DEGREE)
    assert distance_m(89.5, 0, 89.5, 180) == pytest.approx(DEGREE)
    assert distance_m(90, 0, 90, 123) == pytest.approx(0, abs=1e-6)
    assert distance_m(5, 180, 5, -180) == pytest.approx(0, abs=1e-6)


def test_a_distance_is_as_far_there_as_back():
    assert distance_m(52.5, 13.4, 48.1, -71.6) == distance_m(48.1, -71.6, 52.5, 13.4)


# Within


def test_exactly_at_the_radius_is_inside_and_a_hair_beyond_is_not():
    index = StoreIndex([store("a", 52.52, 13.40)])
    for latitude in (52.521, 52.53, 52.6, 53.5):
        away = distance_m(latitude, 13.41, 52.52, 13.40)
        assert index.within(latitude, 13.41, away) == [("a", away)]
        assert index.within(latitude, 13.41, math.nextafter(away, 0)) == []


def test_the_nearest_comes_first_and_of_the_equally_near_the_lesser_id():
    index = StoreIndex([store("far", 52.53, 13.4), store("b", 52.52, 13.4), store("a", 52.52, 13.4)])
    assert ids(index.within(52.521, 13.4, 5_000)) == ["a", "b", "far"]


def test_a_store_across_the_antimeridian_is_near():
    index = StoreIndex(
        [store("fiji", -16.8, 179.999), store("other", -16.8, -179.999), store("edge", -16.8, 180)]
    )
    assert ids(index.within(-16.8, -179.9994, 250)) == ["other", "edge", "fiji"]
    assert ids(index.within(-16.8, 180, 1)) == ids(index.within(-16.8, -180, 1)) == ["edge"]


def test_stores_around_a_pole_are_near_whatever_their_longitude():
    index = StoreIndex([store(f"s{n}", 89.999, n * 40 - 180) for n in range(9)])
    assert len(index.within(90, 17, 112)) == 9
    assert len(index.within(89.999, 0, 223)) == 9
    assert index.within(-90, 0, 200_000) == []


@pytest.mark.parametrize("radius", [0, -1, math.nan])
def test_a_radius_of_nothing_finds_nothing_but_what_is_right_there(radius: float):
    index = StoreIndex([store("a", 52.52, 13.40)])
    assert ids(index.within(52.52, 13.40, radius)) == (["a"] if radius == 0 else [])
    assert index.within(52.52, 13.41, radius) == []


@pytest.mark.parametrize("radius", [MAX_RADIUS, 2_000_000, 30_000_000, math.inf])
def test_a_radius_beyond_all_cells_is_answered_too(radius: float):
    index = StoreIndex([store("berlin", 52.52, 13.4), store("sydney", -33.87, 151.2)])
    expected = ["berlin", "sydney"] if radius >= 30_000_000 else ["berlin"]
    assert ids(index.within(48.85, 2.35, radius)) == expected


@pytest.mark.parametrize(
    ("latitude", "longitude"), [(math.nan, 0), (0, math.nan), (91, 0), (0, 181), (0, -math.inf), (-90.1, 0)]
)
def test_what_is_no_position_is_near_nothing(latitude: float, longitude: float):
    index = StoreIndex([store("pole", 90, 0), store("zero", 0, 0), store("edge", 0, 180)])
    assert index.within(latitude, longitude, 1_000_000) == []


def test_an_index_without_stores_finds_none():
    assert StoreIndex().within(52.5, 13.4, 1_000) == []


# Changing


def test_a_store_that_moves_is_where_it_is_now_and_nowhere_else():
    index = StoreIndex([store("a", 52.52, 13.40)])
    for radius in (100, 1_000, 50_000):
        index.within(52.52, 13.40, radius)  # makes the table
    index.put(store("a", 48.85, 2.35))
    for radius in (100, 1_000, 50_000):
        assert index.within(52.52, 13.40, radius) == []
        assert ids(index.within(48.85, 2.35, radius)) == ["a"]
    assert len(index) == 1


def test_a_store_put_again_is_there_once():
    index = StoreIndex([store("a", 52.52, 13.40)])
    for _ in range(3):
        index.put(store("a", 52.52, 13.40))
        assert ids(index.within(52.52, 13.40, 100)) == ["a"]


def test_a_removed_store_is_gone_and_others_of_its_place_are_not():
    index = StoreIndex([store("a", 52.52, 13.40), store("b", 52.52, 13.40)])
    index.within(52.52, 13.40, 100)
    index.remove("a")
    index.remove("never there")
    assert ids(index.within(52.52, 13.40, 100)) == ids(index.within(52.52, 13.40, 5_000_000)) == ["b"]
    index.remove("b")
    assert (len(index), index.within(52.52, 13.40, 100)) == (0, [])


def test_stores_come_and_go_without_leaving_anything_behind():
    index = StoreIndex()
    index.within(0, 0, 100)
    for n in range(50):
        index.put(store("a", n, n))
    index.remove("a")
    assert [len(table) for table in index._tables.values()] == [0]


# The bound


def sides(resolution: int) -> Iterator[tuple[str, float]]:
    """Yield the sides of cells and their lengths in metres: of all cells, or of those where they are shortest."""
    if resolution <= 2:
        cells = [cell for base in h3.get_res0_cells() for cell in h3.cell_to_children(base, resolution)]
    else:
        cells = [cell for middle in h3.get_pentagons(resolution) for cell in h3.grid_disk(middle, 2)]
    for cell in cells:
        for side in h3.origin_to_directed_edges(cell):
            ends = h3.directed_edge_to_boundary(side)
            yield side, sum(distance_m(*a, *b) for a, b in pairwise(ends))


@pytest.mark.parametrize("resolution", range(FINEST + 1))
def test_no_side_of_a_cell_is_shorter_than_what_completeness_rests_on(resolution: int):
    shortest = min(length for _, length in sides(resolution))
    assert clearance(resolution) <= shortest <= 1.4 * clearance(resolution)


@pytest.mark.parametrize("resolution", range(FINEST + 1))
def test_who_goes_the_shortest_way_across_a_ring_of_cells_is_still_found(resolution: int):
    found = [*sides(resolution)]
    shortest = min(length for _, length in found)
    for side, length in found:
        ends = h3.directed_edge_to_boundary(side)
        (up, along), (there, across) = ends[0], ends[-1]
        if length > 1.02 * shortest or max(abs(up), abs(there)) > 85 or abs(along - across) > 90:
            continue
        # A little beyond either end of the side, where the two cells end that it lies between.
        position = (up + (up - there) / 1000, along + (along - across) / 1000)
        other = (there + (there - up) / 1000, across + (across - along) / 1000)
        away = distance_m(*position, *other)
        assert StoreIndex([store("a", *other)]).within(*position, away) == [("a", away)]


# Real stores


@pytest.fixture(scope="module")
def real() -> list[Store]:
    with (GEO / "ikea_stores.csv").open(encoding="utf-8") as file:
        rows = [(f"i{n}", row["latitude"], row["longitude"]) for n, row in enumerate(csv.DictReader(file))]
    with (GEO / "walmart_store_openings_1962_2006.csv").open(encoding="utf-8") as file:
        rows += [(f"w{n}", row["LAT"], row["LON"]) for n, row in enumerate(csv.DictReader(file))]
    return [store(*row) for row in rows]


@needs_geo
@pytest.mark.parametrize("radius", [200, 1_000, 10_000, 100_000])
def test_what_is_near_real_stores_is_what_a_look_at_each_of_them_finds(real: list[Store], radius: float):
    index = StoreIndex(real)
    assert len(index) == len(real) == 3199
    for one in real[::40]:
        position = (one.latitude + 0.003, one.longitude - 0.004)
        away = ((distance_m(*position, other.latitude, other.longitude), other.id) for other in real)
        expected = sorted(found for found in away if found[0] <= radius)
        assert index.within(*position, radius) == [(name, far) for far, name in expected]
