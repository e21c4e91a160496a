"""Walks of the simulated shoppers past their shops: where they lead, who goes on them, what they leave alone."""

from __future__ import annotations

import math
from collections import defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from connectors.simulators import QUIET, Habits, Simulation
from connectors.simulators.catalogue import catalogue
from connectors.simulators.walks import FARTHEST, LONGEST, PACE, _moved
from stream_app.domain.event import Position
from stream_app.domain.places.nearby import distance_m

if TYPE_CHECKING:
    from stream_app.domain.event import ChannelEvent

SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
Walks = list[list["ChannelEvent"]]


def simulation(habits: Habits | None = None, shoppers: int = 600) -> Simulation:
    return Simulation(1, shoppers=shoppers, days=2, noise=QUIET, habits=habits)


def events(played: Simulation) -> list[ChannelEvent]:
    return [record.event for record in played.records() if record.event is not None]


def walks_of(made: list[ChannelEvent]) -> Walks:
    """Return the walks, each as its fixes in order."""
    hers = defaultdict(list)
    for event in sorted(made, key=lambda event: event.time):
        if event.type == "Screen Viewed" and event.properties["screen"] == "shops":
            assert event.channel == "app"
            hers[event.identifiers["device"]].append(event)
    walks: Walks = []
    for fixes in hers.values():
        for before, fix in pairwise([None, *fixes]):
            if before is None or fix.time - before.time > 6 * MINUTE:
                walks.append([])
            walks[-1].append(fix)
    return walks


@pytest.fixture(scope="module")
def walks() -> Walks:
    return walks_of(events(simulation(Habits(walks=0.5))))


def position(event: ChannelEvent) -> Position:
    assert event.context is not None
    assert event.context.position is not None
    return event.context.position


def metres(one: Position, other: Position) -> float:
    return distance_m(one.latitude, one.longitude, other.latitude, other.longitude)


def nearest(event: ChannelEvent) -> float:
    shops = [store.context.position for store in catalogue(1).stores]
    return min(metres(position(event), shop) for shop in shops if shop is not None)


def test_a_walk_is_several_fixes_along_a_street_at_walking_pace(walks: Walks):
    lengths = [len(fixes) for fixes in walks]
    assert len(walks) > 100
    assert sum(length >= 3 for length in lengths) > 0.9 * len(walks)
    good = 0
    for fixes in walks:
        for one, then in pairwise(fixes):
            assert 90 * SECOND <= then.time - one.time <= 5 * MINUTE
            error = position(one).accuracy_m + position(then).accuracy_m
            walked = PACE * (then.time - one.time) / SECOND
            if error < 50:
                good += 1
                assert abs(metres(position(one), position(then)) - walked) < 3 * error + 5
    assert good > 100


def test_it_leads_past_a_shop_in_and_out_of_300_metres_and_past_some_at_a_distance(walks: Walks):
    within = [[nearest(fix) <= 300 for fix in fixes if position(fix).accuracy_m <= 100] for fixes in walks]
    in_and_out = sum(True in fixes and False in fixes for fixes in within)
    never = sum(True not in fixes for fixes in within)
    assert in_and_out > 0.4 * len(walks)
    assert 0.1 * len(walks) < never < 0.6 * len(walks)
    for fixes in walks:
        for fix in fixes:
            assert nearest(fix) < math.hypot(LONGEST, FARTHEST) + 5 * position(fix).accuracy_m


def test_fixes_are_as_exact_as_satellites_houses_and_masts_allow(walks: Walks):
    exact = [position(fix).accuracy_m for fixes in walks for fix in fixes]
    assert 0.6 < sum(one <= 25 for one in exact) / len(exact) < 0.8
    assert 0.05 < sum(one > 100 for one in exact) / len(exact) < 0.15
    assert min(exact) >= 5
    assert len(set(exact)) > 100


def test_most_walks_are_at_hours_when_shops_are_open_and_some_are_not(walks: Walks):
    closed = sum(
        not 8 <= fixes[0].time // HOUR % 24 < 18 for fixes in walks
    )  # 09:00 to 19:00 in Paris in March
    assert 0.02 < closed / len(walks) < 0.3


def test_who_does_not_let_the_app_know_where_she_is_is_nowhere():
    assert not walks_of(events(simulation(Habits(walks=1.0, shows_position=0.0))))
    assert not walks_of(events(simulation(Habits(walks=0.0))))
    all_of_them, some = (
        {
            fixes[0].identifiers["device"]
            for fixes in walks_of(events(simulation(Habits(walks=1.0, shows_position=share))))
        }
        for share in (1.0, 0.6)
    )
    assert some < all_of_them
    assert 0.5 < len(some) / len(all_of_them) < 0.7


def test_who_agrees_to_be_told_by_where_she_is_lets_the_app_know_it():
    played = simulation(Habits(walks=1.0))
    made = events(played)
    walkers = {played.truth.shopper_of[fixes[0].event_id] for fixes in walks_of(made)}
    everyone = simulation(Habits(walks=1.0, shows_position=1.0))
    could = {everyone.truth.shopper_of[fixes[0].event_id] for fixes in walks_of(events(everyone))}
    agreed = {
        played.truth.shopper_of[event.event_id]
        for event in made
        if event.type == "Consent Changed"
        and event.properties["purpose"] == "location"
        and event.properties["consent"]
    }
    assert len(agreed & could) > 50
    assert agreed & could <= walkers


def is_passed_on(event: ChannelEvent) -> bool:
    """Tell whether an event is passed on with the first act that names her account, which a walk may be."""
    return event.type == "Consent Changed" or "preferred_store" in event.properties


def test_walks_add_events_and_change_none():
    without = {event.event_id: event for event in events(simulation(Habits(walks=0.0)))}
    many = {event.event_id: event for event in events(simulation(Habits(walks=1.0)))}
    assert len(many) > len(without)
    assert all(many.get(name) == event for name, event in without.items() if not is_passed_on(event))


def test_who_fills_a_basket_goes_to_town_more_often():
    played = simulation(Habits(walks=0.08), shoppers=1500)
    made = events(played)
    filled = defaultdict(list)
    for event in made:
        if event.type == "Product Added" and event.channel == "app":
            filled[event.identifiers["device"]].append(event.time)
    walks = walks_of(made)
    after = [
        any(0 < fixes[0].time - time < 2 * HOUR for time in filled[fixes[0].identifiers["device"]])
        for fixes in walks
    ]
    assert 0.15 < sum(after) / len(after) < 0.8


def test_metres_become_degrees_as_the_domain_measures_them():
    lyon = Position(45.764, 4.8357, 25.0)
    for east, north in ((500, 0), (0, -500), (300, 400), (-300, 400)):
        assert metres(lyon, _moved(lyon, east, north, 10.0)) == pytest.approx(500, abs=1)
