"""The simulated weather: the same for a seed, told on time, with seasons, and read by the feed's own decoder."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

import schemas
from connectors.simulators import Simulation, with_backoffice
from connectors.simulators.catalogue import catalogue
from connectors.simulators.chances import DAY, HOUR
from connectors.simulators.skies import EVERY, said_on
from stream_app.domain.places import distance_m
from stream_app.domain.places.weather import CONDITIONS
from stream_app.domain.stations import FRESH_MS, REACH_M
from stream_app.runs.feed import encoded
from stream_app.wire import ReferenceDecoder

STORES = catalogue(1).stores
FEED = schemas.references()["weather"]
JANUARY, JULY = 20_454 * DAY, 20_635 * DAY
"""1 January and 1 July 2026."""


def test_each_shop_has_a_station_near_enough_that_speaks_often_enough_and_each_record_can_be_read():
    records = [
        one for one in with_backoffice(Simulation(1, shoppers=5, days=2), ("weather",)) if one.row is not None
    ]
    said = [ReferenceDecoder(FEED).decode(*encoded(one), one.key, one.at) for one in records]
    assert [one.time for one in said] == [one.at for one in records]
    by_station: dict[str, list[int]] = {}
    for one in said:
        assert one.fields is not None
        assert one.fields["condition"] in CONDITIONS
        by_station.setdefault(one.item, []).append(one.time)
    assert len(by_station) == len(STORES)
    assert all(
        later - time == EVERY < FRESH_MS for times in by_station.values() for time, later in pairwise(times)
    )
    for store in STORES:
        position = store.context.position
        assert position is not None
        assert any(
            one.fields is not None
            and distance_m(
                position.latitude, position.longitude, one.fields["latitude"], one.fields["longitude"]
            )
            < REACH_M
            for one in said
        )


def test_it_is_the_same_for_a_seed_and_another_for_another():
    assert list(said_on(1, STORES[0], JULY)) == list(said_on(1, STORES[0], JULY))
    assert list(said_on(1, STORES[0], JULY)) != list(said_on(2, STORES[0], JULY))
    assert list(said_on(1, STORES[0], JULY)) != list(said_on(1, STORES[1], JULY))


@pytest.mark.parametrize(("day", "least", "most"), [(JANUARY, -3, 8), (JULY, 17, 25)])
def test_it_is_cold_in_winter_and_warm_in_summer(day: int, least: float, most: float):
    rows = [row for store in STORES for n in range(30) for row in said_on(1, store, day + n * DAY)]
    assert least < sum(row["temperature_c"] for row in rows) / len(rows) < most
    skies = Counter(row["condition"] for row in rows)
    assert (skies["snow"] > 0) is (day == JANUARY)
    assert 0.1 < (skies["rain"] + skies["snow"]) / len(rows) < 0.35
    assert all(
        (row["precipitation_mm"] > 0) <= (row["condition"] in {"rain", "snow", "storm"}) for row in rows
    )
    nights = [row["temperature_c"] for row in rows if row["time"] % DAY < 6 * HOUR]
    assert sum(nights) / len(nights) < sum(row["temperature_c"] for row in rows) / len(rows)
