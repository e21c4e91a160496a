"""Lives that are about one or two of the shipped rules: the events that open, keep open and close these.

And a second reading, in Python, from the descriptions in `schemas/rules`: of each rule's `closes`, and of what the
rules that open on reference data want.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

import schemas
from stream_app.domain.folding import FoldLimits
from stream_app.domain.reference import Said
from stream_app.domain.rules import RuleBook, SendingPolicy, load_rule
from stream_app.domain.rules.sending import Cap, QuietHours
from tests.property.examples import search
from tests.property.lived_worlds import DAY, HOUR, MINUTE, Input, lives

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_app.domain.event import Event

START = 20_000 * DAY
RULES = {
    rule.name: rule
    for rule in (load_rule(schemas.read_text(name), name) for name in schemas.files("rules", ".yaml"))
}
NIGHT = SendingPolicy(
    quiet_hours=QuietHours(21 * HOUR, 8 * HOUR),
    timezone="Europe/Paris",
    caps=(Cap(2, DAY, purpose="marketing"), Cap(1, 7 * DAY, "rolling", channel="sms")),
)
BOOKS = (RuleBook(list(RULES.values())), RuleBook(list(RULES.values()), NIGHT))
AFTER = 400 * DAY
LIMITS = st.builds(FoldLimits, st.integers(1, 6), st.integers(1, 3), st.integers(1, 4))

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "cart_id": st.sampled_from(("k1", "k2")),
    "order_id": st.sampled_from(("o1", "o2")),
    "case_id": st.sampled_from(("c1", "c2")),
    "sku": st.sampled_from(("A", "B")),
    "products": st.sampled_from(([{"sku": "A"}], [{"sku": "A"}, {"sku": "B"}])),
    "price": st.sampled_from((9.5, 30, 120)),
    "rating": st.integers(1, 5),
    "tier": st.sampled_from(("silver", "gold")),
    "change": st.sampled_from(("up", "up", "down")),
    "birthday": st.sampled_from(("1990-02-29", "2001-10-05", "unknown")),
    "first_name": st.just("Ana"),
    "coupon": st.just("TEN"),
    "consent": st.booleans(),
    "timezone": st.sampled_from(("Europe/Paris", "America/New_York", "Pacific/Auckland")),
    "latitude": st.sampled_from((45.7650, 45.7650, 45.8)),
    "longitude": st.just(4.8357),
    "store_id": st.sampled_from(("s1", "s2")),
    "till_id": st.just("t1"),
    "region": st.sampled_from(("DE", "FR")),
}
NAMED: dict[str, tuple[str, ...]] = {
    "abandoned_browse": ("sku", "cart_id", "price"),
    "abandoned_cart": ("cart_id", "sku", "price"),
    "back_in_stock": ("sku", "cart_id"),
    "birthday": ("birthday",),
    "checkout_offer": ("first_name", "coupon"),
    "click_and_collect_nearest": ("sku", "cart_id", "latitude", "longitude", "store_id"),
    "click_and_collect_ready": ("order_id",),
    "click_and_collect_waiting": ("order_id",),
    "loyalty_tier_reached": ("tier", "change"),
    "near_store_offer": ("latitude", "longitude", "store_id", "till_id", "sku", "cart_id"),
    "post_purchase_follow_up": ("order_id",),
    "price_drop": ("sku", "cart_id", "region", "store_id"),
    "service_recovery": ("case_id", "rating"),
    "showrooming": ("sku", "products"),
    "store_pickup_ready": ("order_id",),
    "weather_or_season": ("sku", "store_id"),
    "webrooming": ("sku", "products", "order_id"),
    "welcome": (),
    "win_back": (),
    "wishlist_reminder": ("sku", "products"),
}
"""What each rule asks of its events."""
SURELY = frozenset({"change", "sku", "products", "price", "birthday", "latitude", "longitude"})
"""Without these few rules have anything to do."""
ANYWHERE = ("web", "store", "app")
CHANNELS = {"Order Completed": ("store", "store", "web"), "Product Viewed": ("web", "web", "app")}
"""Where what happens, for the rules that go by it."""
GAPS = (0, MINUTE, 10 * MINUTE, 10 * MINUTE, HOUR, 9 * HOUR, DAY, 3 * DAY, 40 * DAY)
DELAYS = (10 * MINUTE, HOUR, 3 * HOUR, 20 * HOUR, 2 * DAY)


def acts(names: list[str]) -> st.SearchStrategy[tuple[str, str, dict[str, Any]]]:
    """Draw what happens about some rules: (type, channel, properties)."""
    kinds: list[str] = []
    for name in names:
        rule = RULES[name]
        opening = [kind for pattern in rule.opens.patterns for kind in sorted(pattern.event)]
        if rule.opens.reference is not None:
            opening = sorted(rule.opens.reference.before.event)
        if rule.near is not None:
            opening = ["Screen Viewed", "Product Added to Wishlist"]
        closing = sorted(rule.closes.event) if rule.closes is not None else []
        kinds += 3 * (opening or ["Identify"]) + 2 * closing
        kinds += sorted({kind for pattern in rule.patterns() for kind in pattern.event})
        if rule.opens.reference is not None and rule.uses("cart"):
            kinds += ["Product Removed", "Product Removed from Wishlist", "Cart Emptied", "Order Completed"]
    fields = {field for name in names for field in NAMED[name]}
    surely = SURELY | {REFERENCE[name].match for name in names if name in REFERENCE}
    properties = st.fixed_dictionaries(
        {field: VALUES[field] for field in sorted(fields & surely)},
        optional={field: VALUES[field] for field in sorted({*fields, "timezone", "consent"} - surely)},
    )
    common = ("Identify", "Consent Changed", "Signed In")
    kind = st.sampled_from((*kinds, *kinds, *common))
    told = st.tuples(kind, st.integers(0, 2), properties)
    return told.map(lambda one: (one[0], CHANNELS.get(one[0], ANYWHERE)[one[1]], one[2]))


@st.composite
def shipped_lives(draw: st.DrawFn, about: str | None = None) -> list[Input]:
    """Draw a life about one rule, or about one or two of any."""
    some = st.lists(st.sampled_from(sorted(RULES)), min_size=1, max_size=2, unique=True)
    names = draw(some) if about is None else [about]
    if REFERENCE.keys().isdisjoint(names):
        life = draw(lives(st.just(START), GAPS, acts(names), DELAYS, most=14))
        if "weather_or_season" in names:
            life = draw(with_weather(life))
        return (
            [*KNOWN, *life]
            if any(RULES[name].near or RULES[name].uses("weather") for name in names)
            else life
        )
    changes = st.one_of([words(name) for name in names if name in REFERENCE])
    life = draw(lives(st.just(START), GAPS, acts(names), DELAYS, most=14, changes=changes))
    return [*KNOWN, *life]


@st.composite
def with_weather(draw: st.DrawFn, life: list[Input]) -> list[Input]:
    """Have a station say what the weather is whenever something happens, in time and before it.

    What a station says late is no matter of lives: it stays as it was decided, and a fold from nothing has it.
    """
    times = sorted({one.what.time for one in life})
    # Less than 50 km from all positions and the first shop, and more from the second.
    rows = [{"latitude": 45.38, "longitude": 4.84} | draw(SKIES) for _ in times]
    told = [Input(time, Said("weather", "lyon", time, row)) for time, row in zip(times, rows, strict=True)]
    return sorted([*told, *life], key=lambda one: one.at)


SKIES = st.sampled_from(
    (
        {"condition": "rain"},
        {"condition": "clear", "temperature_c": 15.0},
        {"condition": "clouds", "temperature_c": 9.0},
    )
)
"""What the weather is: two of three ask for something in autumn."""


# -- what reference data open --------------------------------------------------------------------------------


class Wanted(NamedTuple):
    """What a rule that opens on reference data wants.

    Attributes:
        kind: what its items are.
        before: the events by which an item concerns a customer.
        match: the property of these that names it.
        holds: tells whether it wants a change, of the rows before and after.
    """

    kind: str
    before: tuple[str, ...]
    match: str
    holds: Callable[[dict[str, Any], dict[str, Any]], bool]


_WISHED = ("Product Added to Wishlist", "Product Added", "Wishlist Product Added to Cart")
REFERENCE = {
    "price_drop": Wanted(
        "product", _WISHED, "sku", lambda old, new: new.get("price", 1e9) <= old.get("price", 0) * 0.95
    ),
    "back_in_stock": Wanted(
        "product", _WISHED, "sku", lambda old, new: old.get("stock", 1) <= 0 < new.get("stock", 0)
    ),
    "click_and_collect_nearest": Wanted(
        "product", _WISHED, "sku", lambda old, new: new.get("stock", 1) <= 0 < old.get("stock", 0)
    ),
    "store_pickup_ready": Wanted(
        "order",
        ("Order Completed",),
        "order_id",
        lambda old, new: "state" in old and old["state"] != new.get("state") == "ready_for_pickup",
    ),
}
SAID: dict[str, st.SearchStrategy[Any]] = {
    "price_drop": st.fixed_dictionaries(
        {"price": st.sampled_from((9.5, 10.0, 20.0, 40.0))},
        optional={"prices": st.sampled_from(({}, {"DE": 9.5}, {"DE": 40.0, "FR": 20.0}))},
    ),
    "back_in_stock": st.fixed_dictionaries({"stock": st.sampled_from((0, 3, 5))}),
    "click_and_collect_nearest": st.fixed_dictionaries({"stock": st.sampled_from((0, 0, 3))}),
    "store_pickup_ready": st.fixed_dictionaries(
        {"state": st.sampled_from(("picked", "ready_for_pickup", "ready_for_pickup"))}
    ),
}
"""What is said of the items that each rule looks at."""


def words(name: str) -> st.SearchStrategy[tuple[str, str, dict[str, Any] | None]]:
    """Draw what is said of reference data about a rule; now and then, that an item is gone."""
    wanted = REFERENCE[name]
    return st.tuples(st.just(wanted.kind), VALUES[wanted.match], st.one_of([SAID[name]] * 8 + [st.none()]))


KNOWN = [
    Input(START - DAY, Said(kind, item, START - DAY, dict(fields)))
    for kind, item, fields in (
        ("product", "A", {"price": 40.0, "stock": 0}),
        ("product", "B", {"price": 20.0, "stock": 3}),
        ("order", "o1", {"state": "paid"}),
        ("order", "o2", {"state": "paid"}),
        ("store", "s1", {"latitude": 45.764, "longitude": 4.8357, "hours": "24/7", "country": "FR"}),
        ("store", "s2", {"latitude": 45.9, "longitude": 4.8357, "hours": "24/7"}),
        ("stock", "A", {"stores": {"s1": 3}}),
        ("stock", "B", {"stores": {"s1": 0, "s2": 3}}),
    )
]
"""What is there before a life begins."""


# -- what closes ---------------------------------------------------------------------------------------------


def _any(*kinds: str) -> Callable[[Event, Event], bool]:
    return lambda _, event: event.type in kinds


def _matching(name: str, *kinds: str) -> Callable[[Event, Event], bool]:
    """Close what the property is equal of; an event without it closes all."""

    def closes(opened: Event, event: Event) -> bool:
        value = event.properties.get(name)
        return event.type in kinds and (value is None or value == opened.properties.get(name))

    return closes


def _about_the_product(*kinds: str) -> Callable[[Event, Event], bool]:
    def closes(opened: Event, event: Event) -> bool:
        sku, products = (event.properties.get(name) for name in ("sku", "products"))
        if sku is None and products is None:
            return event.type in kinds
        wanted = opened.properties.get("sku")
        named = {sku, *(one["sku"] for one in products or ())} - {None}
        return event.type in kinds and wanted is not None and wanted in named

    return closes


def _put_right(opened: Event, event: Event) -> bool:
    rated = event.type == "Satisfaction Rated" and event.properties.get("rating", 0) >= 4
    case = event.properties.get("case_id")
    is_about_it = case is None or case == opened.properties.get("case_id")
    return is_about_it and (rated or event.type == "Complaint Resolved")


_COLLECTED = _matching("order_id", "Order Collected", "Order Cancelled", "Order Refunded")


def _bought_there_or_left(_: Event, event: Event) -> bool:
    """Close on what happens at a till, and where a fix is out of reach of the only shop that is ever near."""
    if event.properties.get("latitude", 45.7650) != 45.7650:
        return True
    return event.type in {"Order Completed", "Till Opened"} and event.properties.get("store_id", "s1") == "s1"


CLOSES: dict[str, Callable[[Event, Event], bool]] = {
    "near_store_offer": _bought_there_or_left,
    "back_in_stock": _any(),
    "price_drop": _any(),
    "click_and_collect_nearest": _any(),
    "store_pickup_ready": _matching(
        "order_id", "Order Ready for Pickup", "Order Collected", "Order Cancelled", "Order Refunded"
    ),
    "abandoned_browse": _any(
        "Product Added",
        "Product Added to Wishlist",
        "Wishlist Product Added to Cart",
        "Checkout Started",
        "Order Completed",
    ),
    "abandoned_cart": _matching("cart_id", "Order Completed", "Cart Emptied"),
    "birthday": _any("Unsubscribed"),
    "checkout_offer": _any("Order Completed", "Order Cancelled", "Cart Emptied"),
    "click_and_collect_ready": _COLLECTED,
    "click_and_collect_waiting": _COLLECTED,
    "loyalty_tier_reached": _any("Loyalty Tier Changed"),
    "post_purchase_follow_up": _matching(
        "order_id", "Order Cancelled", "Order Refunded", "Complaint Raised", "Satisfaction Rated"
    ),
    "service_recovery": _put_right,
    "showrooming": _about_the_product("Order Completed", "Product Added", "Product Added to Wishlist"),
    "weather_or_season": _any("Checkout Started", "Order Completed"),
    "webrooming": _matching("order_id", "Order Cancelled", "Order Refunded"),
    "welcome": _any("Unsubscribed"),
    "win_back": _any("Complaint Raised", "Unsubscribed"),
    "wishlist_reminder": _about_the_product(
        "Product Removed from Wishlist", "Wishlist Product Added to Cart", "Product Added", "Order Completed"
    ),
}


def finds_fault(
    check: Callable[[list[Input], RuleBook, FoldLimits], object], about: str | None = None
) -> None:
    """Look for a life (about one rule) that a check fails on; fail if there is none among a thousand."""

    @search(1_000)
    @given(shipped_lives(about), st.sampled_from(BOOKS), LIMITS)
    def wanted(life: list[Input], book: RuleBook, folding: FoldLimits) -> None:
        check(life, book, folding)

    with pytest.raises(AssertionError):
        wanted()
