"""What follows from what shoppers do: as often as asked, in an order that makes sense, and changing nothing else."""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec
import pytest

import schemas
from connectors.simulators import QUIET, Habits, IdentityNoise, Simulation

if TYPE_CHECKING:
    from stream_app.domain.event import ChannelEvent

SHARES = (
    "wishes", "goes_to_look", "scans", "card_first", "click_and_collect", "returns", "complaints", "unsubscribes",
)  # fmt: skip
NONE = msgspec.structs.replace(Habits(), **dict.fromkeys(SHARES, 0.0))
DAY = 86_400_000


def play(habits: Habits, shoppers: int = 400, days: int = 3) -> list[ChannelEvent]:
    """Return what shoppers do, in order of time, with nothing going wrong on the way."""
    simulation = Simulation(1, shoppers=shoppers, days=days, noise=QUIET, habits=habits)
    return sorted(
        (record.event for record in simulation.records() if record.event is not None),
        key=lambda event: (event.time, event.event_id),
    )


@pytest.fixture(scope="module")
def usual() -> list[ChannelEvent]:
    return play(Habits())


def only(**shares: float) -> Habits:
    return msgspec.structs.replace(NONE, **shares)


def of(events: list[ChannelEvent], *types: str) -> list[ChannelEvent]:
    return [event for event in events if event.type in types]


def by_order(events: list[ChannelEvent], type_: str) -> dict[str, list[ChannelEvent]]:
    found = defaultdict(list)
    for event in of(events, type_):
        found[event.properties["order_id"]].append(event)
    return found


def test_whatever_shoppers_do_is_documented(usual: list[ChannelEvent]):
    types = schemas.event_types()
    for event in usual:
        documented = types[event.type]
        assert event.channel in documented.channels, event.type
        assert event.properties.keys() <= documented.properties.keys(), event.type


def test_sequels_add_events_and_move_none(usual: list[ChannelEvent]):
    everything = {event.event_id: event for event in usual}
    without = play(NONE)
    assert len(without) < len(usual)
    for event in without:
        if event.type == "Consent Changed" or event.properties.keys() == {"preferred_store"}:
            continue  # what she agreed to and chose is passed on with the first act that names her account
        same = everything[event.event_id]
        assert (same.time, same.type, same.identifiers) == (event.time, event.type, event.identifiers)
        assert event.properties.items() <= same.properties.items()


@pytest.mark.parametrize("share", SHARES)
def test_one_rate_leaves_alone_what_the_others_lead_to(share: str, usual: list[ChannelEvent]):
    everything = {event.event_id for event in usual}
    assert {event.event_id for event in play(only(**{share: getattr(Habits(), share)}))} <= everything


def test_events_are_hardly_more_for_it(usual: list[ChannelEvent]):
    assert 1.01 < len(usual) / len(play(NONE)) < 1.04


@pytest.mark.parametrize(
    ("share", "cause", "effect"),
    [
        ("wishes", ("web", "app", "Product Viewed"), "Product Added to Wishlist"),
        ("card_first", ("store", "Order Completed"), "Till Opened"),
        ("unsubscribes", ("email", "Email Delivered"), "Unsubscribed"),
    ],
)
def test_it_happens_as_often_as_asked(share: str, cause: tuple[str, ...], effect: str):
    events = play(only(**{share: 0.2}))
    *channels, type_ = cause
    causes = [event for event in of(events, type_) if event.channel in channels]
    assert 0.15 < len(of(events, effect)) / len(causes) < 0.25


def test_an_order_to_collect_is_ordered_then_ready_then_collected_or_cancelled():
    events = play(only(click_and_collect=1.0), days=8)
    ordered, ready = by_order(events, "Order Completed"), by_order(events, "Order Ready for Pickup")
    collected, cancelled = by_order(events, "Order Collected"), by_order(events, "Order Cancelled")
    assert len(collected) > 10 * len(cancelled) > 0
    assert len(ready) > len(collected) + len(cancelled)
    for order, (notice,) in ready.items():
        (bought,) = ordered[order]
        assert bought.properties["shipping_method"] == "click and collect"
        assert bought.time < notice.time < bought.time + DAY
        assert notice.identifiers.items() <= bought.identifiers.items()
        ends = collected.get(order, []) + cancelled.get(order, [])
        assert len(ends) <= 1
        assert all(end.time > notice.time for end in ends)


def test_what_is_brought_back_was_bought_and_costs_the_same():
    events = play(only(returns=1.0), days=8)
    ordered, refunded = by_order(events, "Order Completed"), by_order(events, "Order Refunded")
    assert len(refunded) > 100
    for order, (back,) in refunded.items():
        (bought,) = ordered[order]
        assert bought.time < back.time
        assert bought.properties["total"] == back.properties["total"]


def test_half_of_the_complaints_are_put_right_later(usual: list[ChannelEvent]):
    events = play(only(complaints=0.5))
    raised = {event.properties["case_id"]: event for event in of(events, "Complaint Raised")}
    resolved = of(events, "Complaint Resolved")
    assert 0.35 < len(resolved) / len(raised) < 0.65
    assert all(raised[event.properties["case_id"]].time < event.time for event in resolved)
    assert of(usual, "Complaint Raised")


def test_who_scans_is_in_the_shop():
    entered = set()
    scans = 0
    for event in play(only(scans=0.5, goes_to_look=0.5)):
        place = (event.identifiers.get("device"), event.properties.get("store_id"))
        if event.type == "Visit Started":
            entered.add(place)
        elif event.type == "Product Scanned":
            scans += 1
            assert place in entered
    assert scans > 50


def test_some_buy_in_the_shop_what_they_saw_in_the_app_and_some_leave_it():
    seen: dict[str, set[str]] = defaultdict(set)
    bought, left = 0, 0
    simulation = Simulation(1, shoppers=400, days=3, noise=QUIET, habits=only(goes_to_look=1.0))
    records = sorted(
        (record.event for record in simulation.records() if record.event), key=lambda event: event.time
    )
    shopper_of = simulation.truth.shopper_of
    skus: Counter[tuple[str, str]] = Counter()
    for event in records:
        who = shopper_of[event.event_id]
        if event.type == "Product Viewed" and event.channel == "app":
            seen[who].add(event.properties["sku"])
        elif event.type == "Product Scanned":
            assert event.properties["sku"] in seen[who]
            skus[who, event.properties["sku"]] += 1
        elif event.type == "Order Completed" and event.channel == "store":
            bought += sum(skus[who, line["sku"]] > 0 for line in event.properties["products"])
    left = skus.total() - bought
    assert min(bought, left) > 0.2 * skus.total() > 20


def test_nobody_signs_in_before_signing_up_nor_signs_up_twice():
    habits = msgspec.structs.replace(Habits(), newcomers=0.5)
    simulation = Simulation(
        1, shoppers=400, days=3, noise=QUIET, habits=habits, identity_noise=IdentityNoise(kiosks=0.5)
    )
    since = {}
    uses = defaultdict(list)
    for record in simulation.records():
        event = record.event
        if event is not None and "user_id" in event.identifiers:
            account = event.identifiers["user_id"]
            uses[account].append(event.time)
            if event.type == "Signed Up":
                assert account not in since
                since[account] = event.time
    assert 0.3 < len(since) / len(uses) < 0.6
    assert all(min(uses[account]) == time for account, time in since.items())


def test_birthdays_are_dates_and_told_by_those_who_tell_them(usual: list[ChannelEvent]):
    told = [event.properties.get("birthday") for event in of(usual, "Signed Up", "Identify")]
    assert all(dt.date.fromisoformat(date).year < 2007 for date in told if date is not None)
    assert 0.2 < sum(date is not None for date in told) / len(told) < 0.8


def test_a_few_live_across_the_border(usual: list[ChannelEvent]):
    zones = Counter(event.context.timezone for event in usual if event.context is not None)
    assert zones.keys() == {"Europe/Paris", "Europe/London"}
    assert 0.01 < zones["Europe/London"] / zones.total() < 0.12


def test_a_members_tier_changes_once_in_thirty_days_and_up_more_often_than_down():
    habits = msgspec.structs.replace(NONE, visits=0.0)
    changes = of(play(habits, shoppers=60, days=120), "Loyalty Tier Changed")
    hers = defaultdict(list)
    for event in changes:
        hers[event.identifiers["loyalty"]].append(event)
    assert {len(four) for four in hers.values()} == {4}
    for four in hers.values():
        assert all(b.properties["previous_tier"] == a.properties["tier"] for a, b in pairwise(four))
        assert sorted(event.properties["change"] for event in four) == ["down", "up", "up", "up"]
