"""What the monetary benchmark does with a year of tills, on a few rows made by hand."""

from __future__ import annotations

import random
from itertools import islice

import pytest

from tests.agents.road import Road
from tests.benchmarks.monetary import RETURNED, Line, arriving, cents, completed, refunded, told, worth

WEEK = 7 * 24 * 3600 * 1000
START = 1_600_000_000_000
JOURNAL = [
    Line("900", "s1", "b1", "p1", 1, 50, START),
    Line("900", "s1", "b1", "p2", 2, 199, START),
    Line("900", "s2", "b2", "p1", 1, 10, START + 1000),
    Line("901", "s1", "b3", "p3", 3, 333, START + 500),
    Line("901", "s1", "b4", "p3", 1, 0, START + WEEK),
]


def taken_in(events):
    """Return household -> (orders, cents) as published last, after all hops in memory."""
    road, coming, found = Road(), iter(events), {}
    while part := [*islice(coming, 20)]:
        road.play(*part)
        found |= worth(road.read(road.topics.profiles))
    return cents(found)


def test_a_households_monetary_value_is_the_sum_of_its_lines_however_they_come():
    for seed in range(5):
        draw = random.Random(seed)
        events = [*told(JOURNAL, draw)]
        draw.shuffle(events)
        assert taken_in(arriving(events, draw)) == {"900": (2, 259), "901": (2, 333)}


@pytest.mark.parametrize("channel", ["store", "web", "call_center"])
@pytest.mark.parametrize("turned", [False, True])
def test_what_is_returned_through_any_channel_is_taken_off(channel, turned):
    order = completed("b1", JOURNAL[:2])
    events = [order, completed("b2", JOURNAL[2:3]), refunded(order, channel)]
    assert taken_in(reversed(events) if turned else events) == {"900": (2, 10)}


def test_one_basket_in_so_many_is_returned():
    lines = [Line("900", "s1", f"b{n:03}", "p1", 1, 1, START + n) for n in range(RETURNED * 2)]
    orders = taken_in(told(lines, random.Random(1)))
    assert orders == {"900": (RETURNED * 2, RETURNED * 2 - 2)}
