"""The profile's parts, one by one."""

from __future__ import annotations

from typing import Any

import pytest

from stream_app.domain.event import Context, Event
from stream_app.domain.profile import Profile, apply, consent_for, fold, zone_of
from stream_app.domain.profile.carts import MAX_CARTS, MAX_LINES
from stream_app.domain.profile.consent import MAX_ANSWERS
from stream_app.domain.profile.orders import MAX_CURRENCIES
from stream_app.domain.profile.seen import Seen
from stream_app.domain.profile.traits import MAX_TRAITS
from stream_app.domain.profile.viewed import MAX_VIEWED


def event(kind: str, time: int, *, name: str = "", channel: str = "web", **properties: Any) -> Event:
    return Event(name or f"e{time}", time, channel, kind, ("cookie:1",), properties, 0, "t/0/0")


def lines(profile: Profile) -> dict[str, dict[str, float]]:
    return {
        name: {item: line.quantity for item, line in cart.lines.items()}
        for name, cart in profile.carts.items()
    }


def test_visits_are_counted_by_channel_with_first_and_last() -> None:
    profile = fold(
        [event("Page Viewed", 5), event("Page Viewed", 9, channel="app"), event("Page Viewed", 20)]
    )
    assert profile.seen == {"web": Seen(5, 20, 2, 2), "app": Seen(9, 9, 1, 1)}
    assert (profile.events, profile.first, profile.last) == (3, (5, "e5"), (20, "e20"))


def test_a_basket_holds_what_was_added_less_what_was_removed() -> None:
    profile = fold(
        [
            event("Product Added", 1, sku="a", quantity=3, price=2.5, currency="EUR", cart_id="c"),
            event("Product Added", 2, product_id="b", cart_id="c"),
            event("Product Removed", 3, sku="a", cart_id="c"),
            event("Product Added", 4, sku="a", cart_id="c", price=3),
            event("Product Removed", 5, product_id="b", quantity=9, cart_id="c"),
            event("Product Removed", 6, sku="never added", cart_id="c"),
        ]
    )
    assert lines(profile) == {"c": {"a": 3}}
    line = profile.carts["c"].lines["a"]
    assert (line.price, line.currency) == (3, "EUR")


@pytest.mark.parametrize("kind", ["Cart Emptied", "Order Completed"])
@pytest.mark.parametrize(("cart_id", "left"), [("c", {"d": {"a": 1}}), (None, {}), ("", {})])
def test_an_order_empties_the_basket_that_it_names_else_all(
    kind: str, cart_id: str | None, left: dict[str, Any]
) -> None:
    added = [event("Product Added", n, sku="a", cart_id=cart) for n, cart in enumerate("cd")]
    assert lines(fold([*added, event(kind, 9, cart_id=cart_id)])) == left


@pytest.mark.parametrize("quantity", [0, -2, "many", None, float("nan"), [], True])
def test_a_quantity_that_is_none_adds_nothing(quantity: Any) -> None:
    assert fold([event("Product Added", 1, sku="a", quantity=quantity)]).carts == {}


def test_baskets_and_lines_are_bounded_the_longest_untouched_goes_first() -> None:
    added = [event("Product Added", n, sku="a", cart_id=f"c{n}") for n in range(MAX_CARTS)]
    touched = event("Product Added", 50, sku="b", cart_id="c0")
    profile = fold([*added, touched, event("Product Added", 60, sku="a", cart_id="new")])
    assert {*profile.carts} == {"c0", "new", *[f"c{n}" for n in range(2, MAX_CARTS)]}
    full = fold([event("Product Added", n, sku=f"s{n}") for n in range(MAX_LINES + 5)])
    assert len(full.carts[""].lines) == MAX_LINES


def test_a_basket_event_before_another_one_asks_to_fold_again_others_do_not() -> None:
    profile = fold([event("Order Completed", 10)])
    assert apply(profile, event("Product Viewed", 3, sku="a"))
    assert apply(profile, event("Product Added", 11, sku="a"))
    assert not apply(profile, event("Product Added", 9, sku="a"))


def test_orders_and_revenue_are_summed_exactly_by_currency() -> None:
    orders = [event("Order Completed", n, revenue=0.1, total=9, currency="eur") for n in range(10)]
    orders += [
        event("Order Completed", 20, total="5.5", currency="USD"),
        event("Order Completed", 30, value=2),
    ]
    orders += [event("Order Completed", 40, revenue="a lot")]
    profile = fold(orders)
    revenue = {code: money.revenue for code, money in profile.orders.money.items()}
    assert revenue == {"EUR": 1_000_000, "USD": 5_500_000, "XXX": 2_000_000}
    assert (profile.orders.count, profile.orders.first, profile.orders.last) == (13, 0, 40)


def test_recently_viewed_keeps_the_latest_views_each_item_once() -> None:
    profile = fold([event("Product Viewed", n, sku=f"s{n % 25}") for n in range(60)])
    assert [view.item for view in profile.viewed] == [f"s{n % 25}" for n in range(60 - MAX_VIEWED, 60)]


def test_traits_are_the_latest_scalars_and_null_takes_one_back() -> None:
    profile = fold(
        [
            event("Signed Up", 1, first_name="Ana", size="M", tags=["a"], address={"city": "Lyon"}),
            event("Identify", 2, size="L", first_name=None, novel="x" * 600, rate=float("nan")),
            event("Page Viewed", 3, size="S"),
        ]
    )
    assert {name: trait.value for name, trait in profile.traits.items()} == {"first_name": None, "size": "L"}


def test_locale_and_time_zone_are_those_of_the_latest_event_that_has_one() -> None:
    def context(time: int, locale: str | None = None, timezone: str | None = None) -> Event:
        return Event(f"e{time}", time, "web", "Page Viewed", ("c:1",), {}, 0, "t", Context(locale, timezone))

    profile = fold(
        [context(1, locale="fr-FR", timezone="Europe/Paris"), context(2, locale="en-GB"), context(3)]
    )
    assert profile.where.locale is not None
    assert (profile.where.locale.value, zone_of(profile)) == ("en-GB", "Europe/Paris")


def answer(time: int, granted: Any, **about: str) -> Event:
    name = f"e{time}{granted}{about}"
    return Event(name, time, "crm", "Consent Changed", ("c:1",), {"consent": granted, **about}, 0, "t/0/0")


@pytest.mark.parametrize(
    ("answers", "allowed"),
    [
        ([], None),
        ([answer(1, True, purpose="marketing")], True),
        ([answer(1, True, purpose="marketing", channel="email")], True),
        ([answer(1, True, purpose="marketing", channel="push")], None),
        ([answer(1, True, purpose="service")], None),
        (
            [answer(1, True, purpose="marketing", channel="email"), answer(2, False, purpose="marketing")],
            False,
        ),
        (
            [answer(2, True, purpose="marketing", channel="email"), answer(1, False, purpose="marketing")],
            True,
        ),
        ([answer(1, True, purpose="marketing"), answer(1, False, purpose="marketing")], False),
        ([answer(1, False, purpose="marketing"), answer(1, True, purpose="marketing")], False),
        ([answer(1, True, purpose="marketing"), answer(1, False)], False),
        ([answer(2, True), answer(1, False, purpose="marketing")], True),
        ([answer(1, True, purpose="marketing"), answer(2, "no", purpose="marketing")], True),
    ],
)
def test_the_latest_explicit_answer_counts_and_at_equal_times_no(
    answers: list[Event], allowed: bool | None
) -> None:
    profile = Profile()
    for one in answers:
        apply(profile, one)
    assert consent_for(profile, "marketing", "email") is allowed


def test_what_producers_choose_freely_is_bounded() -> None:
    traits = [
        Event(f"e{n}", n, "web", "Identify", ("c:1",), {f"t{n}": n}, 0, "t/0/0")
        for n in range(MAX_TRAITS + 9)
    ]
    answers = [answer(n, True, purpose=f"p{n}") for n in range(MAX_ANSWERS + 9)]
    letters = "ABCDEFGHIJ"
    codes = [f"{a}{b}X" for a in letters for b in letters]
    orders = [event("Order Completed", n, revenue=1, currency=code) for n, code in enumerate(codes)]
    profile = fold([*traits, *answers, *orders])
    assert {*profile.traits} == {f"t{n}" for n in range(9, MAX_TRAITS + 9)}
    assert len(profile.consent) == MAX_ANSWERS
    assert {*profile.orders.money} == {*codes[:MAX_CURRENCIES]}


def test_values_without_meaning_are_passed_over() -> None:
    odd: list[Any] = [None, [], {}, "", "x" * 999, 10**30]
    events = [
        event(kind, n, sku=value, cart_id=value, quantity=1, price=value, revenue=value, currency=value)
        for n, (kind, value) in enumerate(
            (kind, value)
            for kind in ("Product Viewed", "Product Added", "Product Removed", "Order Completed")
            for value in odd
        )
    ]
    profile = fold(events)
    assert profile.viewed == []
    assert profile.carts == {}
    assert sum(money.revenue for money in profile.orders.money.values()) == 0
