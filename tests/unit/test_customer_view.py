"""What `customer` means in a condition: the profile's names, and traits by theirs."""

from __future__ import annotations

import re
from typing import Any

import pytest

import schemas
from stream_app.domain.event import Context, Event, Position
from stream_app.domain.profile import DAY_MS, NAMES, fold, view, zone_of
from stream_app.domain.zone_at import zone_at


def event(
    kind: str, day: float, context: Context | None = None, channel: str = "web", **properties: Any
) -> Event:
    time = int(day * DAY_MS)
    return Event(f"e{time}{kind}", time, channel, kind, ("cookie:1",), properties, 0, "t/0/0", context)


def seen(*events: Event, now: float = 100, names: Any = None) -> dict[str, Any]:
    return view(fold(sorted(events, key=lambda event: event.order)), int(now * DAY_MS), ("vip", "a"), names)


def test_every_name_is_in_the_readme_and_no_other():
    section = (
        schemas.read_text("README.md").split("## What conditions may ask of a customer")[1].split("\n## ")[0]
    )
    said = {
        name
        for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    }
    assert said == NAMES


def test_what_is_not_known_is_absent():
    found = seen(event("Page Viewed", 1))
    assert "last_order" not in found
    assert "loyalty_tier" not in found
    assert (found["orders"], found["timezone"], found["segments"]) == (0, "UTC", ["a", "vip"])


def test_recency_frequency_and_monetary_value():
    found = seen(
        event("Order Completed", 10, order_id="1", revenue=100, currency="EUR"),
        event("Order Completed", 20, order_id="2", revenue=50, currency="EUR"),
        event("Order Completed", 25, order_id="3", revenue=7, currency="USD"),
        event("Order Completed", 30, order_id="4", revenue=99, currency="EUR"),
        event("Order Cancelled", 31, order_id="4"),
        event("Order Refunded", 32, channel="store", order_id="1", total=40, currency="EUR"),
    )
    assert (found["orders"], found["cancelled_orders"], found["returns"]) == (3, 1, 1)
    assert (found["currency"], found["revenue"], found["refunded"]) == ("EUR", 150, 40)
    assert found["monetary_value"] == found["lifetime_value"] == 110
    assert found["average_order_value"] == 55
    assert (found["days_since_first_order"], found["days_since_last_order"]) == (90, 75)


@pytest.mark.parametrize(("now", "days"), [(9, 0), (10, 0), (10.99, 0), (11, 1), (40.5, 30)])
def test_days_are_whole_and_not_below_none(now, days):
    assert seen(event("Order Completed", 10), now=now)["days_since_last_order"] == days


def test_traits_go_by_their_own_names_and_stand_in_the_place_of_what_was_counted():
    found = seen(event("Identify", 1, first_name="Ana", orders=99, birthday="1990-04-02", currency="EUR"))
    assert (found["first_name"], found["birthday"], found["orders"]) == ("Ana", "1990-04-02", 99)
    assert found["currency"] == "EUR"
    assert seen(event("Identify", 1, days_since_last_seen=5))["days_since_last_seen"] != 5


def test_what_the_customer_said_goes_before_what_was_counted():
    events = [
        event(
            "Order Completed", 5, channel="store", store_id="s1", products=[{"category": "hats", "size": "M"}]
        ),
        event("Product Viewed", 6, sku="a", category="shoes"),
        event("Product Viewed", 6.5, sku="b", category="shoes"),
        event("Email Delivered", 7, channel="email"),
        event("Email Delivered", 8, channel="email"),
        event("Email Delivered", 9, channel="email"),
    ]
    found = seen(*events)
    names = ("preferred_channel", "preferred_store", "preferred_category", "preferred_size", "preferred_hour")
    assert [found[name] for name in names] == ["web", "s1", "shoes", "M", 0]
    said = dict.fromkeys(names, "9")
    assert [seen(*events, event("Identify", 8.5, **said))[name] for name in names] == ["9", "9", "9", "9", 9]


def test_the_tier_is_the_programmes_before_it_is_crms():
    crm = event("Identify", 9, loyalty_tier="bronze", loyalty_points=7)
    assert seen(crm)["loyalty_tier"] == "bronze"
    joined = event("Loyalty Joined", 1, tier="silver")
    changed = event("Loyalty Tier Changed", 3, tier="gold", balance=120)
    found = seen(crm, joined, changed)
    assert (found["loyalty_tier"], found["loyalty_points"], found["days_since_joined"]) == ("gold", 120, 99)


def test_only_what_is_asked_for_is_looked_up():
    assert seen(event("Identify", 1, size="M"), names=("size", "orders", "nothing")) == {
        "size": "M",
        "orders": 0,
    }


PARIS, NEW_YORK = Position(48.8566, 2.3522), Position(40.7128, -74.006)


@pytest.mark.parametrize(
    ("contexts", "zone"),
    [
        ([], "UTC"),
        ([Context(timezone="Asia/Tokyo")], "Asia/Tokyo"),
        ([Context(timezone="Mars/Base")], "UTC"),
        ([Context(position=PARIS)], "Europe/Paris"),
        ([Context(timezone="Asia/Tokyo", position=PARIS)], "Asia/Tokyo"),
        ([Context(timezone="Asia/Tokyo"), Context(position=NEW_YORK)], "America/New_York"),
        ([Context(position=NEW_YORK), Context(timezone="Asia/Tokyo")], "Asia/Tokyo"),
        ([Context(timezone="Asia/Tokyo"), Context(locale="fr")], "Asia/Tokyo"),
        ([Context(timezone="Mars/Base", position=PARIS)], "Europe/Paris"),
    ],
)
def test_the_time_zone_is_that_of_the_latest_event_that_has_one_by_position_if_only_that(contexts, zone):
    events = [event("Page Viewed", day, context) for day, context in enumerate(contexts)]
    assert zone_of(fold(events)) == zone


def test_a_property_tells_the_zone_where_the_context_does_not():
    assert zone_of(fold([event("Identify", 1, timezone="Asia/Tokyo")])) == "Asia/Tokyo"
    told = event("Page Viewed", 1, Context(timezone="Europe/Paris"), timezone="Asia/Tokyo")
    assert zone_of(fold([told])) == "Europe/Paris"


@pytest.mark.parametrize(
    ("latitude", "longitude", "zone"),
    [
        (48.8566, 2.3522, "Europe/Paris"),
        (-33.87, 151.21, "Australia/Sydney"),
        (45.0, -40.0, "Etc/GMT+3"),
        (91.0, 0.0, "UTC"),
        (float("nan"), 0.0, "UTC"),
    ],
)
def test_a_position_has_a_zone(latitude, longitude, zone):
    assert zone_at(latitude, longitude) == zone
