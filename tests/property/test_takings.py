"""What the audit adds up of orders is what the numbers are by an offline computation: two ways, one sum."""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.domain.profile.orders import MAX_ORDERS
from stream_app.runs.takings import KNOWN, Entry, entry_of, takings
from tests.property.examples import examples
from tests.property.numbers_oracle import expected
from tests.property.numbers_world import life

if TYPE_CHECKING:
    from stream_app.domain.event import Event

AMOUNTS = ("revenue", "refunded")


def said(event: Event) -> Entry | None:
    return entry_of(
        {
            "event_id": event.event_id,
            "time": event.time,
            "channel": event.channel,
            "type": event.type,
            "properties": event.properties,
        }
    )


def computed(lives: dict[str, list[Any]]) -> dict[str, dict[Any, int]]:
    """Return the oracle's orders, revenue and refunds, all days and devices together."""
    found: dict[str, Counter[Any]] = {name: Counter() for name in ("orders", *AMOUNTS)}
    for (name, _, dimensions), amount in expected(lives).items():
        if name == "orders":
            found[name][dimensions[0]] += amount
        elif name in AMOUNTS:
            found[name][dimensions[0], dimensions[2]] += amount
    return {name: {key: amount for key, amount in sums.items() if amount} for name, sums in found.items()}


def audited(lives: dict[str, list[Any]], draw: random.Random) -> dict[str, dict[Any, int]]:
    customers = []
    for entries in lives.values():
        events = [one for one in map(said, (e for e in entries if hasattr(e, "event_id"))) if one]
        draw.shuffle(events)
        customers.append(events)
    found = takings(customers)
    sums = {"orders": found.orders, "revenue": found.revenue, "refunded": found.refunded}
    return {name: {key: amount for key, amount in one.items() if amount} for name, one in sums.items()}


@examples(400)
@given(seed=st.integers(0, 2**32), most=st.sampled_from((10, 40, 120)))
def test_orders_and_money_are_those_of_the_offline_computation(seed: int, most: int) -> None:
    draw = random.Random(seed)
    lives = {name: life(draw, number, most) for number, name in enumerate("abc")}
    assert audited(lives, draw) == computed(lives)


def test_as_many_orders_stay_known_as_the_profile_knows() -> None:
    assert KNOWN == MAX_ORDERS


def order(
    number: int, kind: str, amount: int | None = None, order_id: str = "o", currency: str | None = "EUR"
) -> Entry:
    return Entry(number, f"e{number}", "web", f"Order {kind}", order_id, amount, currency)


@pytest.mark.parametrize(
    ("entries", "orders", "revenue", "refunded"),
    [
        ([order(1, "Completed", 50)], 1, 50, 0),
        ([order(1, "Completed", 50), order(2, "Completed", 60)], 1, 60, 0),
        ([order(1, "Completed", 50), order(2, "Cancelled")], 0, 0, 0),
        ([order(2, "Completed", 50), order(1, "Cancelled")], 0, 0, 0),
        ([order(1, "Completed", 50), order(2, "Refunded", -20)], 1, 50, 20),
        ([order(1, "Completed", 50), order(2, "Refunded", 70)], 1, 50, 50),
        ([order(1, "Completed", 50), order(2, "Refunded", 20), order(3, "Refunded")], 1, 50, 50),
        ([order(1, "Completed", 50), order(2, "Refunded", 20, currency=None)], 1, 50, 20),
        ([order(1, "Completed", 50), order(2, "Updated", 30), order(3, "Refunded", 40)], 1, 30, 30),
        ([order(1, "Completed", 50, ""), order(2, "Completed", 60, "")], 2, 110, 0),
        # The first of 21 is known no more: cancelling it comes too late.
        ([*(order(n, "Completed", 1, f"o{n}") for n in range(21)), order(30, "Cancelled", None, "o0")], 21, 21, 0),
        ([*(order(n, "Completed", 1, f"o{n}") for n in range(20)), order(30, "Cancelled", None, "o0")], 19, 19, 0),
    ],
)  # fmt: skip
def test_an_order_is_worth_what_was_said_of_it(
    entries: list[Entry], orders: int, revenue: int, refunded: int
) -> None:
    found = takings([entries])
    assert found.orders["web"] == orders
    assert found.revenue["web", "EUR"] == revenue
    assert found.refunded["web", "EUR"] == refunded
    assert found.earned().get("EUR", 0) == revenue - refunded


def test_a_refund_of_no_order_is_taken_off_in_full_and_is_no_channels() -> None:
    found = takings([[order(1, "Refunded", 20, "gone")], [order(2, "Refunded", 5, "", "USD")]])
    assert found.refunded == {("", "XXX"): 0, ("", "EUR"): 20, ("", "USD"): 5}
    assert found.earned() == {"XXX": 0, "EUR": -20, "USD": -5}
