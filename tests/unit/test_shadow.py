"""Shadow rules: when the two sides are compared, what is said, and what a customer's row has of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from stream_app.agents.in_force import Terms, Written
from stream_app.agents.rules import Rules, RulesRow, ShadowRow
from stream_app.domain.event import Event
from stream_app.domain.keys import membership_of
from stream_app.domain.profile import BEGINNING, END, Profile
from stream_app.domain.rules import RuleBook, Shadow, load_rule
from stream_app.settings import Settings
from tests.agents.road import Road, at, event

if TYPE_CHECKING:
    from pathlib import Path

ANA = {"user_id": "ana"}
BASKET = {"cart_id": "k1", "sku": "A", "price": 40.0, "quantity": 1, "currency": "EUR"}
CART = """\
name: cart
version: {version}
key: cart_id
opens: {{event: Product Added}}
closes: {{event: Order Completed}}
after: {after}
{more}
"""


def cart(version: int, after: str = "30m", more: str = "") -> str:
    return CART.format(version=version, after=after, more=more)


class Shop(Road):
    """The road with one live rule, and a shadow that can be changed."""

    def __init__(self, folder: Path, live: str, *shadow: str) -> None:
        (folder / "rules").mkdir()
        (folder / "shadow").mkdir()
        (folder / "rules" / "live.yaml").write_text(live)
        for number, text in enumerate(shadow):
            (folder / "shadow" / f"{number}.yaml").write_text(text)
        super().__init__(
            Settings(
                partitions=1,
                rules=folder / "rules",
                shadow_rules=folder / "shadow" if shadow else None,
                sending_policy="none",
            )
        )

    def change(self, live: str, *shadow: str) -> None:
        book = RuleBook([load_rule(live)])
        beside = Shadow([load_rule(text) for text in shadow], book) if shadow else None
        terms = self.in_force.terms
        self.in_force.replace(Terms(Written(book, beside), terms.topics, terms.encoder))

    def said(self) -> list[tuple[str, str, str | None]]:
        found = self.read(self.topics.shadow)
        return [(one["outcome"], one["opened_by"], one["reason"]) for one in found]

    def fired(self) -> list[tuple[str, str]]:
        return [(one["action"], one["opened_by"]) for one in self.read(self.topics.triggers["cart"])]

    def row(self) -> RulesRow:
        (row,) = (row for _, row in self.customer.table("customers").scan(b""))
        return row.rules


@pytest.fixture
def shop(tmp_path) -> Any:
    return lambda live, *shadow: Shop(tmp_path, live, *shadow)


def test_a_shadow_that_is_due_earlier_is_said_only_when_the_live_rule_has_not_fired_either(shop):
    road = shop(cart(1), cart(2, "10m"))
    road.play(event("e1", 0, "Product Added", ANA, **BASKET), clock=at(20))
    assert road.said() == []  # the live one has still to decide
    road.play(event("e2", 21, "Order Completed", ANA), clock=at(60))
    assert (road.said(), road.fired()) == ([("would_have_fired", "e1", "not_due")], [])


def test_where_both_fire_at_different_times_nothing_is_said(shop):
    road = shop(cart(1), cart(2, "40m"))
    road.play(event("e1", 0, "Product Added", ANA, **BASKET), clock=at(60))
    assert (road.said(), road.fired()) == ([], [("fire", "e1")])
    assert road.row().shadow.side.said == {}


def test_a_condition_that_holds_the_shadow_back_is_the_reason_and_the_live_values_go_along(shop):
    road = shop(cart(1, more="if: cart.value >= 20.0"), cart(2, more="if: cart.value >= 50.0"))
    road.play(event("e1", 0, "Product Added", ANA, **BASKET), clock=at(60))
    (one,) = road.read(road.topics.shadow)
    assert (one["outcome"], one["reason"]) == ("would_not_have_fired", "condition")
    assert (one["live_version"], one["shadow_version"]) == (1, 2)
    assert one["values"] == {"cart.value": 40.0}
    assert (one["due"], one["sent"]) == (at(30), at(30))


def test_a_late_purchase_takes_a_difference_back(shop):
    road = shop(cart(1, more="if: cart.value >= 20.0"), cart(2, more="if: cart.value >= 50.0"))
    road.play(event("e1", 0, "Product Added", ANA, **BASKET), clock=at(60))
    road.play(event("e2", 20, "Order Completed", ANA), clock=at(61))
    assert road.said() == [
        ("would_not_have_fired", "e1", "condition"),
        ("no_difference", "e1", "closed"),
    ]
    assert road.row().shadow.side.said == {}


def test_a_rule_that_is_only_in_the_shadow_has_no_live_version_and_sends_nothing(shop):
    text = "name: viewed\nversion: 1\nopens: {event: Product Viewed}\n"
    road = shop(cart(1), text)
    road.play(event("e1", 0, "Product Viewed", ANA, sku="A"), clock=at(1))
    (one,) = road.read(road.topics.shadow)
    assert (one["rule"], one["live_version"], one["outcome"]) == ("viewed", None, "would_have_fired")
    assert {record.topic for record in road.sent.all if record.topic.startswith("triggers.")} == {
        road.topics.shadow
    }


def test_the_shadow_counts_its_own_sends(shop):
    road = shop(cart(1, "1h"), cart(2, "10m", "at_most: {times: 1}"))
    for n in range(3):
        road.play(event(f"e{n}", n, "Product Added", ANA, **{**BASKET, "cart_id": f"k{n}"}))
    road.play(clock=at(90))
    assert sorted(road.said()) == [(("would_not_have_fired"), f"e{n}", "at_most") for n in (1, 2)]


def test_a_side_that_waits_for_an_event_is_waited_for_until_its_instance_is_gone(shop):
    road = shop(cart(1, more="then: {event: Product Viewed}"), cart(2))
    road.play(event("e1", 0, "Product Added", ANA, **BASKET), clock=at(600))
    assert road.said() == []
    road.play(event("e2", 601, "Product Viewed", ANA, sku="A"), clock=at(602))
    assert (road.said(), road.fired()) == ([], [("fire", "e1")])


def test_a_shadow_begins_with_what_was_sent_live(shop):
    road = shop(cart(1, more="at_most: {times: 1}"))
    road.play(event("e1", 0, "Product Added", ANA, **BASKET), clock=at(40))
    assert len(road.fired()) == 1
    road.change(cart(1, more="at_most: {times: 1}"), cart(2, "20m", "at_most: {times: 1}"))
    road.play(event("e2", 50, "Product Added", ANA, **{**BASKET, "cart_id": "k2"}), clock=at(120))
    assert road.said() == []  # the same event as under version 1 is no difference, and one more is too many


def test_another_shadow_version_begins_anew_and_a_changed_live_rule_does_not(shop):
    road = shop(cart(1, more="if: cart.value >= 50.0"), cart(2))
    road.play(event("e1", 0, "Product Added", ANA, **BASKET), clock=at(31))
    assert road.said() == [("would_have_fired", "e1", "condition")]
    road.change(cart(4, more="if: cart.value >= 60.0"), cart(2))
    road.play(event("e2", 32, "Product Viewed", ANA, sku="A"), clock=at(33))
    assert road.said() == []
    road.change(cart(4, more="if: cart.value >= 60.0"), cart(3, "31m"))
    road.play(event("e3", 33, "Product Viewed", ANA, sku="A"), clock=at(34))
    (one,) = road.read(road.topics.shadow)
    assert (one["outcome"], one["shadow_version"], one["opened_by"]) == ("would_have_fired", 3, "e1")


def test_a_shadow_that_is_put_in_force_ends_and_sends_nothing_twice(shop):
    road = shop(cart(1), cart(2, "20m"))
    road.play(event("e1", 0, "Product Added", ANA, **BASKET), clock=at(31))
    assert (road.said(), road.fired()) == ([], [("fire", "e1")])
    road.change(cart(2, "20m"))
    road.play(event("e2", 40, "Product Viewed", ANA, sku="A"), clock=at(600))
    assert (road.said(), road.fired(), road.row().shadow) == ([], [], None)


def test_without_a_shadow_a_row_has_nothing_of_it_but_its_absence(shop):
    road = shop(cart(1))
    road.play(event("e1", 0, "Product Added", ANA, **BASKET), clock=at(31))
    *_, last = msgspec.msgpack.decode(msgspec.msgpack.encode(road.row()))
    assert last is None
    assert all(record.topic != road.topics.shadow for record in road.sent.all)


def test_a_row_that_was_written_before_there_were_shadows_is_read():
    state = RuleBook([load_rule(cart(1))]).new_state()
    written = msgspec.msgpack.encode([state, 7, None])
    assert msgspec.msgpack.decode(written, type=RulesRow) == RulesRow(state, 7)


def test_the_timer_of_the_shadow_leaves_when_the_customer_does(shop):
    road = shop(cart(1), cart(2, "10m"))
    road.play(event("e1", 0, "Product Added", {"cookie": "c1"}, **BASKET))
    road.play(event("e2", 1, "Signed In", {"cookie": "c1", **ANA}))
    road.play(event("e3", 2, "Order Completed", ANA), clock=at(60))
    assert (road.said(), road.fired()) == ([], [])
    timers = (key[8:] for key, _ in road.customer.table("timers").scan(b""))
    assert [key for key in timers if not membership_of(key)] == []


def rules_of(shadow: str | None) -> tuple[Rules, Any]:
    """Return rules with a shadow, and a customer of theirs who has put something into the basket."""
    book = RuleBook([load_rule(cart(1))])
    beside = None if shadow is None else Shadow([load_rule(shadow)], book)
    rules, customer = (
        Rules(Road().customer, book, lambda *_: None, beside),
        SimpleNamespace(rules=None, references=None),
    )
    fold = rules.begin(customer, None, BEGINNING)
    added = Event("e1", at(0), "web", "Product Added", ("user_id:ana",), BASKET, at(0), "here")
    rules.step(fold, added, Profile())
    customer.rules = RulesRow(fold.live, shadow=None if fold.beside is None else ShadowRow(fold.beside))
    return rules, customer


def test_without_a_shadow_a_kept_fold_is_that_of_the_live_rules_and_nothing_else():
    rules, customer = rules_of(None)
    assert rules.keep(rules.current(customer)) == rules.book.keep(customer.rules.state)


def test_when_the_shadow_ends_the_live_rules_go_on_from_the_fold_that_was_kept_with_it():
    rules, customer = rules_of(cart(2))
    kept = rules.keep(rules.current(customer))
    live, beside, _ = rules_of(None)[0].begin(customer, kept, END)
    assert (live.open, beside) == (customer.rules.state.open, None)
    assert live.open


@pytest.mark.parametrize("before", [None, cart(3)])
def test_a_fold_that_was_kept_without_the_shadow_of_now_is_not_gone_on_from(before):
    rules, customer = rules_of(before)
    kept = rules.keep(rules.current(customer))
    assert rules.begin(customer, kept, END) is not None
    assert rules_of(cart(2))[0].begin(customer, kept, END) is None
