"""The profile is the same for every order of arrival, however full its bounded parts are, and it is the right one."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import schemas
from stream_app.domain.event import Context, Event, Position
from stream_app.domain.profile import (
    Profile,
    apply,
    carts,
    chosen,
    consent,
    fold,
    orders,
    preferences,
    seen,
    service,
    traits,
    viewed,
    wishes,
)
from stream_app.domain.profile.folding import IN_TURN
from stream_app.domain.rows import CustomerRow, customer_tables
from stream_app.wire import Encoder
from stream_app.wire.outputs import Output, decode_output
from tests.property.examples import examples
from tests.property.profile_oracle import published

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

JUNK = (None, "", "x" * 600, True, -1, 0, 3.5, "7", 2**62, float("nan"), [], [1], {}, "null")
FEW = ("a", "b", "c", "d", 5)
MONEY = (1, 2.5, 0.1, 0.2, "9.99", 10**11, -3)
VALUES: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(("sku", "product_id", "cart_id", "wishlist_id", "order_id", "case_id", "store_id"), FEW),
    **dict.fromkeys(("category", "purpose", "channel", "size", "tier", "loyalty_tier"), FEW),
    **dict.fromkeys(("price", "revenue", "total", "value", "balance", "loyalty_points"), MONEY),
    "quantity": (1, 2, 0.5),
    "currency": ("EUR", "eur", "USD", "GBP", "bad"),
    "consent": (True, False),
    "rating": (1, 3, "4", 5, 6),
    "preferred_channel": FEW,
    "preferred_hour": (7, 23, 24),
    "timezone": ("Asia/Kolkata", "Mars/Base"),
}
SELDOM = frozenset({"preferred_channel", "preferred_hour", "timezone", "value", "product_id"})
LINE = ("sku", "price", "quantity", "category", "size")
FAMILIES = (
    ("Product Added", "Product Removed", "Cart Emptied", "Wishlist Product Added to Cart", "Order Completed"),
    (
        "Product Added to Wishlist",
        "Product Removed from Wishlist",
        "Wishlist Product Added to Cart",
        "Order Completed",
    ),
    ("Order Completed", "Order Updated", "Order Cancelled", "Order Refunded", "Order Refunded"),
    ("Complaint Raised", "Complaint Resolved", "Service Request Opened", "Service Request Closed"),
    ("Page Viewed", "Product Viewed", "Visit Started", "Email Delivered"),
    ("Identify", "Signed Up", "Consent Changed", "Consent Changed"),
    ("Product Reviewed", "Satisfaction Rated", "Call Ended", "Conversation Ended"),
    ("Loyalty Joined", "Loyalty Points Changed", "Loyalty Tier Changed"),
)
TYPES = frozenset(kind for family in FAMILIES for kind in family)
NAMES = (("cookie:1",), ("device:1", "cookie:1"), ("email:a", "device:2"), ("device:3",), ("loyalty:9",))
POSITIONS = (Position(48.85, 2.35), Position(40.7, -74.0, 12.0))
ZONES = ("Europe/Paris", "America/New_York", "Mars/Base")


def properties(draw: random.Random, names: Iterable[str]) -> dict[str, Any]:
    """Return some of these properties; one in ten is junk."""
    return {
        name: draw.choice(JUNK if draw.random() < 0.1 else VALUES[name])
        for name in names
        if draw.random() < (0.1 if name in SELDOM else 0.6)
    }


def timeline(seed: int) -> list[Event]:
    """Return random events, of a few families of types, at few times or many; in no order."""
    draw = random.Random(seed)
    kinds = [kind for family in draw.sample(FAMILIES, draw.choice((1, 1, 2, 8))) for kind in family]
    span = draw.choice((6, 60, 10**9))
    return [
        event(draw, number, draw.choice(kinds), draw.randrange(span)) for number in range(draw.randint(1, 40))
    ]


def event(draw: random.Random, number: int, kind: str, time: int) -> Event:
    said = properties(draw, VALUES)
    if draw.random() < 0.5:
        said["products"] = [
            properties(draw, LINE) if draw.random() < 0.9 else draw.choice(JUNK)
            for _ in range(draw.randrange(4))
        ]
    context = None
    if draw.random() < 0.5:
        context = Context(
            draw.choice(("fr", "en", "", None)),
            draw.choice(ZONES) if draw.random() < 0.4 else None,
            draw.choice(POSITIONS) if draw.random() < 0.4 else None,
        )
    channel = draw.choice(("web", "app", "store"))
    time += draw.choice((-5, 1_700_000_000_000))
    return Event(f"e{number}", time, channel, kind, draw.choice(NAMES), said, 0, "t/0/0", context)


SEEDS = st.integers(0, 2**32)


def sequence(events: Sequence[Event]) -> list[Event]:
    return sorted(events, key=lambda event: event.order)


def arriving(events: Sequence[Event]) -> Profile:
    """Take events in as they come; where the profile asks for it, fold what has come in its true order."""
    found, come = Profile(), []
    for event in events:
        come.append(event)
        if not apply(found, event):
            found = fold(sequence(come))
    return found


def record(profile: Profile) -> dict[str, Any]:
    return decode_output(Output.PROFILE, Encoder().profile("c", 1, ["cookie:1"], profile, ["vip"]))


BOUNDS = {
    (viewed, "MAX_VIEWED"): 2,
    (traits, "MAX_TRAITS"): 4,
    (consent, "MAX_ANSWERS"): 3,
    (consent, "MAX_HISTORY"): 2,
    (orders, "MAX_ORDERS"): 2,
    (orders, "MAX_RETURNS"): 2,
    (orders, "MAX_CURRENCIES"): 2,
    (carts, "MAX_CARTS"): 2,
    (carts, "MAX_LINES"): 2,
    (wishes, "MAX_WISHES"): 2,
    (service, "MAX_REQUESTS"): 2,
    (seen, "MAX_DEVICES"): 2,
    (seen, "MAX_ACTIVE"): 2,
    (preferences, "MAX_TALLY"): 2,
}


@pytest.fixture(params=["narrow", "wide"], scope="module", autouse=True)
def bounds(request: pytest.FixtureRequest) -> Iterator[str]:
    """Make the bounds so narrow that a few events pass them; or leave them."""
    with pytest.MonkeyPatch.context() as patch:
        for (module, name), bound in BOUNDS.items() if request.param == "narrow" else ():
            patch.setattr(module, name, bound)
        chosen.take_bounds()
        yield request.param
    chosen.take_bounds()


@examples(400)
@given(seed=SEEDS)
def test_any_order_of_arrival_gives_the_fold_of_the_timeline(seed: int) -> None:
    events = timeline(seed)
    assert arriving(events) == fold(sequence(events))


@examples(400)
@given(seed=SEEDS)
def test_the_profile_is_what_a_computation_of_its_own_finds_in_all_events(seed: int) -> None:
    events = sequence(timeline(seed))
    assert record(fold(events)) == published(events, ["cookie:1"], ["vip"])


@examples(200)
@given(seed=SEEDS)
def test_equal_profiles_are_written_as_equal_bytes_and_read_back(seed: int) -> None:
    events = timeline(seed)
    spec = next(spec for spec in customer_tables() if spec.name == "customers")
    one = spec.encode(CustomerRow("c", fold(sequence(events))))
    assert spec.encode(CustomerRow("c", arriving(events))) == one
    assert spec.encode(spec.decode(one)) == one


@examples(200)
@given(seed=SEEDS, cut=st.integers(0, 40))
def test_a_fold_goes_on_from_a_stored_profile(seed: int, cut: int) -> None:
    events = sequence(timeline(seed))
    half = msgspec.msgpack.decode(msgspec.msgpack.encode(fold(events[:cut])), type=Profile)
    assert all(apply(half, event) for event in events[cut:])
    assert half == fold(events)


@pytest.mark.parametrize("kind", sorted(IN_TURN))
def test_what_has_to_be_folded_in_turn_says_so_when_it_comes_late(kind: str) -> None:
    row = ("web", kind, ("cookie:1",), {"sku": "a"})
    late, last = (Event(f"e{n}", n, row[0], row[1], row[2], row[3], 0, "t/0/0") for n in (1, 2))
    profile = fold([last])
    assert not apply(profile, late)


def test_every_event_type_that_the_profile_reads_is_documented() -> None:
    assert {*TYPES, *seen.PASSIVE} <= schemas.event_types().keys()
