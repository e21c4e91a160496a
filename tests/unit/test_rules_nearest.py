"""The nearest shops are sought in ever wider rings, and are those that all shops measured one by one would give."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from stream_app.domain.profile import Profile
from stream_app.domain.profile.whereabouts import Fix
from stream_app.domain.rules.nearest import MAX_DISTANCE_M, MAX_STORES, around
from stream_app.domain.rules.surroundings import Nowhere

if TYPE_CHECKING:
    from collections.abc import Sequence


class Shops(Nowhere):
    """Shops at some distances; counts how many were looked at."""

    def __init__(self, distances: Sequence[float]) -> None:
        self.shops = sorted((distance, f"s{number}") for number, distance in enumerate(distances))
        self.looked = 0

    def near(self, latitude: float, longitude: float, radius_m: float, time: int) -> list[tuple[str, float]]:
        found = [(shop, distance) for distance, shop in self.shops if distance <= radius_m]
        self.looked += len(found)
        return found


@pytest.fixture
def profile() -> Profile:
    profile = Profile()
    profile.where.fix = Fix(45.0, 5.0, None, 1, "f")
    return profile


@pytest.mark.parametrize("most", [1, MAX_STORES])
@pytest.mark.parametrize("farthest", [500, 3_000, 30_000, 90_000, 900_000])
def test_the_rings_find_what_all_of_them_measured_would(profile: Profile, most: int, farthest: int):
    for seed in range(50):
        random = Random(seed)
        shops = Shops([random.uniform(0, farthest) for _ in range(random.randrange(60))])
        every = shops.near(45.0, 5.0, MAX_DISTANCE_M, 0)
        assert list(around(shops, profile, 0, most, by_position=True)) == every[:most]


def test_a_shop_exactly_at_the_bound_is_near_and_one_beyond_is_not(profile: Profile):
    shops = Shops([MAX_DISTANCE_M, MAX_DISTANCE_M + 0.001])
    assert list(around(shops, profile, 0, 1, by_position=True)) == [("s0", MAX_DISTANCE_M)]


def test_where_shops_stand_close_few_are_looked_at(profile: Profile):
    shops = Shops([100.0 * number for number in range(300)])
    around(shops, profile, 0, 1, by_position=True)
    assert shops.looked < 20
