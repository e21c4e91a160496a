"""Segments through the handlers: each entry and exit once, and nothing dangling when customers change."""

from __future__ import annotations

import random
from collections import defaultdict

import pytest

from stream_app.domain.keys import membership_of
from stream_app.settings import Settings
from stream_app.wire import encode_single_object
from tests.agents.road import Road, at, event

DAY = 24 * 60
COOKIE, ANA, BEN = {"cookie": "1"}, {"email": "ana@example.org"}, {"email": "ben@example.org"}


@pytest.fixture
def road() -> Road:
    return Road()


def crossings(road: Road) -> list[tuple[str, str, str]]:
    return [(one["customer_id"], one["segment"], one["action"]) for one in road.read(road.topics.segments)]


def inside(told: list[tuple[str, str, str]]) -> dict[str, set[str]]:
    """Return who is in what, as a consumer sees it; entries and exits alternate."""
    found: dict[str, set[str]] = defaultdict(set)
    for customer, segment, action in told:
        assert (segment in found[customer]) == (action == "left"), (customer, segment, action)
        (found[customer].discard if action == "left" else found[customer].add)(segment)
    return {customer: segments for customer, segments in found.items() if segments}


def live(road: Road) -> dict[str, set[str]]:
    """Return customer -> segments, as the latest profiles say."""
    found: dict[str, set[str]] = {}
    for record in list(road.sent.by_topic[road.topics.profiles]):
        customer = record.key.decode()
        found.pop(customer, None)
        if record.value is not None:
            found[customer] = set(road.reader.read(record.value)[1]["segments"])
    return {customer: segments for customer, segments in found.items() if segments}


def added(name: str, time: int, who: dict[str, str], sku: str = "a"):
    return event(name, time, "Product Added", who, cart_id=f"k{who}", sku=sku, price=5)


def ordered(name: str, time: int, who: dict[str, str]):
    return event(name, time, "Order Completed", who, order_id=name, revenue=400, currency="EUR")


def test_an_entry_is_published_once_and_the_profile_says_it_too(road):
    road.play(added("e1", 0, COOKIE))
    (entered,) = road.read(road.topics.segments)
    assert (entered["segment"], entered["version"], entered["action"]) == ("cart_holder", 1, "entered")
    assert (entered["time"], entered["values"]) == (at(0), {"customer.cart_items": 1})
    assert live(road) == {entered["customer_id"]: {"cart_holder"}}
    road.play(added("e2", 1, COOKIE, "b"), event("e3", 2, "Page Viewed", COOKIE))
    assert crossings(road) == []
    assert road.customer.tally["segments", "cart_holder", "entered"] == 1


def test_what_happens_and_is_undone_within_an_epoch_is_nothing(road):
    road.play(added("e1", 0, COOKIE), event("e2", 1, "Cart Emptied", COOKIE))
    assert crossings(road) == []


def test_a_late_event_takes_an_entry_back(road):
    road.play(added("e1", 5, COOKIE))
    road.play(event("e2", 6, "Cart Emptied", COOKIE))
    road.play(event("e0", 1, "Cart Emptied", COOKIE))
    assert [action for _, _, action in crossings(road)] == ["entered", "left"]


def test_when_a_visitor_logs_in_the_old_id_leaves_and_the_new_one_enters(road):
    road.play(added("e1", 0, COOKIE))
    road.play(event("e2", 1, "Signed In", COOKIE | ANA))
    told = crossings(road)
    assert {action for _, _, action in told} == {"entered", "left"}
    assert inside(told) == live(road)
    assert len(inside(told)) == 1
    assert len({customer for customer, _, _ in told}) == 2


def test_when_two_customers_become_one_only_that_one_is_in_segments(road):
    road.play(*(ordered(f"o{n}", n, ANA) for n in range(2)), added("e1", 9, ANA))
    road.play(ordered("o9", 5, BEN), added("e2", 9, BEN, "b"))
    road.play(event("e3", 10, "Signed In", ANA | {"phone": "+33639981234"}))
    road.play(event("e4", 11, "Signed In", BEN | {"phone": "+33639981234"}))
    told = inside(crossings(road))
    assert told == live(road)
    assert list(told.values()) == [{"cart_holder", "new_customer", "vip"}]


def test_a_split_gives_each_what_is_hers(road):
    road.play(added("e1", 0, ANA), event("e2", 1, "Signed In", ANA | {"phone": "+33639981234"}))
    road.play(ordered("o1", 2, BEN | {"phone": "+33639981234"}))
    road.say("deny", "email:ana@example.org", "email:ben@example.org", time=5)
    road.play()
    told = inside(crossings(road))
    assert told == live(road)
    assert sorted(map(sorted, told.values())) == [["cart_holder"], ["new_customer"]]


def test_erasure_leaves_nobody_in_a_segment(road):
    road.play(added("e1", 0, ANA))
    road.say("erase", "email:ana@example.org", time=5)
    road.play(clock=at(6))
    told = crossings(road)
    assert [action for _, _, action in told] == ["entered", "left"]
    assert inside(told) == live(road) == {}


def test_days_pass_and_segments_change_though_nothing_happens(road):
    road.play(ordered("o1", 0, ANA), ordered("o2", 1, ANA), clock=at(2))
    assert {(segment, action) for _, segment, action in crossings(road)} == {("new_customer", "entered")}
    road.play(clock=at(30 * DAY) + 1)
    (left,) = road.read(road.topics.segments)
    assert (left["segment"], left["action"], left["time"]) == ("new_customer", "left", at(30 * DAY))
    road.play(clock=at(400 * DAY))
    assert [(one["segment"], one["action"], one["time"]) for one in road.read(road.topics.segments)] == [
        ("lapsing", "entered", at(1 + 90 * DAY)),
        ("lapsing", "left", at(1 + 365 * DAY)),
    ]
    assert live(road) == {}


def test_who_is_erased_leaves_no_timer_and_no_row(road):
    road.play(ordered("o1", 0, ANA), ordered("o2", 1, ANA), clock=at(2))
    assert len(list(road.customer.table("segments").scan(b""))) == 1
    road.say("erase", "email:ana@example.org", time=5)
    road.play(clock=at(6))
    assert list(road.customer.table("segments").scan(b"")) == []
    assert road.customer.timers.due(at(500 * DAY), 100) == []


def test_an_aborted_epoch_leaves_memberships_as_they_were(road):
    road.play(added("e1", 0, COOKIE))
    road.read(road.topics.segments)
    road.raw("web", encode_single_object(event("e2", 1, "Cart Emptied", COOKIE)))
    road.settle()
    road.customer.handler.flush()
    assert [action for _, _, action in crossings(road)] == ["left"]
    road.customer.abort()
    road.play(event("e3", 2, "Cart Emptied", COOKIE))
    assert [action for _, _, action in crossings(road)] == ["left"]


@pytest.mark.parametrize("seed", range(12))
def test_whatever_becomes_of_customers_consumers_and_profiles_agree_on_who_is_in_what(road, seed):
    draw = random.Random(seed)
    names = [{"cookie": f"c{n}"} for n in range(5)] + [{"email": f"a{n}@example.org"} for n in range(3)]
    names += [{"phone": f"+3363998123{n}"} for n in range(2)]
    kinds = (
        "Product Added",
        "Cart Emptied",
        "Order Completed",
        "Order Cancelled",
        "Complaint Raised",
        "Page Viewed",
    )
    for epoch in range(20):
        for number in range(draw.randint(1, 4)):
            who = draw.choice(names) | (draw.choice(names) if draw.random() < 0.3 else {})
            about = {"order_id": f"o{draw.randrange(6)}", "revenue": 600, "currency": "EUR", "sku": "a"}
            about["cart_id"] = f"k{draw.randrange(4)}"
            time = draw.randrange(60 * DAY)
            one = event(f"e{epoch}.{number}", time, draw.choice(kinds), who, **about)
            road.raw("web", encode_single_object(one))
        if draw.random() < 0.3:
            a, b = ("email:a0@example.org", draw.choice(("email:a1@example.org", "phone:+33639981230")))
            op = draw.choice(("deny", "assert", "withdraw", "erase"))
            road.say(op, a, None if op == "erase" else b, time=epoch)
        road.play(clock=at((60 + 20 * epoch) * DAY) if draw.random() < 0.3 else None)
    for _ in range(3):
        road.play(clock=at(900 * DAY))
    assert inside(crossings(road)) == live(road)
    timers = {key for _, key in road.customer.timers.due(at(10**9), 10**6)}
    rows = {key for key, row in road.customer.table("segments").scan(b"") if row.timer is not None}
    assert {membership_of(key).encode() for key in timers if membership_of(key)} == rows


def test_a_deployment_without_segments_publishes_none(tmp_path):
    road = Road(Settings(partitions=1, segments=tmp_path))
    road.play(added("e1", 0, COOKIE))
    assert crossings(road) == []
