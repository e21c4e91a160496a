"""The agents' own part: what is held back to the end of an epoch, timers, what goes where."""

from __future__ import annotations

import pytest

import schemas
from stream_app.agents.rules import RulesRow
from stream_app.app import with_prefixes
from stream_app.domain.rows import (
    RESOLVER_TABLES,
    SEGMENT_TABLES,
    CustomerRow,
    customer_tables,
    number_tables,
)
from stream_app.domain.rules import RuleBook, load_rule
from stream_app.engine.timers import TIMERS
from stream_app.wire import encode_single_object
from tests.agents.road import Road, at, event

ANA = {"user_id": "ana"}
BASKET = {"cart_id": "k1", "sku": "A", "price": 40.0, "quantity": 1, "currency": "EUR"}


@pytest.fixture
def road() -> Road:
    return Road()


def triggers(road: Road) -> list[tuple[str, str, int]]:
    found = road.read(road.topics.triggers["abandoned_cart"])
    return [(message["action"], message["opened_by"], message["due"]) for message in found]


def test_a_basket_left_alone_fires_once_its_silence_is_over(road):
    road.play(event("e1", 0, "Product Added", ANA, **BASKET), clock=at(30))
    assert triggers(road) == []  # an event at the due time itself could still come
    road.play(clock=at(30) + 1)
    assert triggers(road) == [("fire", "e1", at(30))]
    road.play(clock=at(600))
    assert triggers(road) == []


def test_a_keeping_event_moves_the_due_time_and_the_old_timer_fires_for_nothing(road):
    road.play(event("e1", 0, "Product Added", ANA, **BASKET))
    road.play(event("e2", 20, "Product Added", ANA, **BASKET), clock=at(31))
    assert triggers(road) == []
    road.play(clock=at(51))
    assert triggers(road) == [("fire", "e1", at(50))]


def test_a_purchase_that_arrives_late_retracts(road):
    road.play(event("e1", 0, "Product Added", ANA, **BASKET), clock=at(45))
    road.play(event("e2", 15, "Order Completed", ANA, "store", order_id="o1"))
    assert triggers(road) == [("fire", "e1", at(30)), ("retract", "e1", at(30))]


def test_a_purchase_found_by_a_merge_means_that_nothing_is_sent(road):
    road.play(event("e1", 0, "Product Added", {"cookie": "c1"}, **BASKET))
    road.play(event("e2", 10, "Order Completed", {"loyalty": "L-1"}, "store", order_id="o1"))
    road.play(event("e3", 20, "Signed In", {"cookie": "c1", "loyalty": "L-1"}), clock=at(600))
    assert triggers(road) == []
    assert {change["change"] for change in road.read(road.topics.changes)} >= {"created", "merged"}


def test_many_late_events_of_an_epoch_are_folded_once(road, monkeypatch):
    road.play(event("e9", 90, "Product Viewed", ANA, sku="A"))
    folds = []
    book = road.customer.handler.rules.book
    refold = book.refold
    monkeypatch.setattr(book, "refold", lambda *a: folds.append(1) or refold(*a))
    road.play(*(event(f"e{n}", n, "Product Viewed", ANA, sku="A") for n in range(8)))
    assert len(folds) == 1


def test_a_profile_that_changed_many_times_in_an_epoch_is_published_once_with_its_identifiers(road):
    road.play(*(event(f"e{n}", n, "Product Viewed", {**ANA, "cookie": "c1"}, sku="A") for n in range(5)))
    profiles = road.read(road.topics.profiles)
    assert [(p["event_count"], sorted(p["identifiers"])) for p in profiles] == [
        (5, ["cookie:c1", "user_id:ana"])
    ]


def test_an_epoch_that_was_rolled_back_publishes_nothing_later(road):
    for time, kind in ((90, "Product Viewed"), (10, "Product Viewed")):
        road.raw("web", encode_single_object(event(f"e{time}", time, kind, ANA, sku="A")))
    road.settle()
    for task in road.tasks.values():
        task.abort()
    road.sent.by_topic.clear()
    road.end_epoch()
    assert not any(road.sent.by_topic.values())


def test_what_cannot_be_read_goes_to_the_dead_letters_untouched_and_the_rest_goes_on(road):
    road.raw("web", b"garbage")
    road.play(event("e1", 0, "Product Viewed", ANA, sku="A"))
    (letter,) = road.sent.by_topic[road.topics.dead_letters]
    assert (letter.value, letter.key) == (b"garbage", b"k")
    assert dict(letter.headers)["raccord-reason"] == b"undecodable"
    assert [row["event"]["event_id"] for row in road.read(road.topics.timeline)] == ["e1"]


def test_a_copy_is_counted_and_dropped_and_another_content_under_its_id_is_refused(road):
    first = event("e1", 0, "Product Viewed", ANA, sku="A")
    road.play(first, first, event("e1", 0, "Product Viewed", ANA, sku="B"))
    assert road.customer.tally["events", "web", "duplicate"] == 1
    (letter,) = road.sent.by_topic[road.topics.dead_letters]
    assert dict(letter.headers)["raccord-reason"] == b"conflict"
    assert len(road.read(road.topics.timeline)) == 1


def test_a_basket_that_was_pending_under_an_older_version_of_its_rule_is_judged_by_the_newer_one(road):
    road.play(event("e1", 0, "Product Added", ANA, **BASKET))
    rules = road.customer.handler.rules
    text = schemas.read_text("rules/abandoned_cart.yaml")
    version = rules.book.rules[0].version
    newer = text.replace(f"version: {version}", f"version: {version + 1}").replace("after: 30m", "after: 40m")
    rules.book = RuleBook([load_rule(newer)])
    road.play(clock=at(35))
    assert triggers(road) == []
    road.play(clock=at(41))
    assert triggers(road) == [("fire", "e1", at(40))]


def test_an_event_that_names_another_channel_than_its_topics_is_refused(road):
    road.raw("store", encode_single_object(event("e1", 0, "Product Viewed", ANA, "web", sku="A")))
    (letter,) = road.sent.by_topic[road.topics.dead_letters]
    assert dict(letter.headers)["raccord-reason"] == b"invalid_field"


def test_a_change_of_customers_has_an_events_time_and_no_link_from_an_identifier_to_itself(road):
    road.play(event("e1", 7, "Product Viewed", {"cookie": "c1"}, sku="A"))
    road.play(event("e2", 9, "Signed In", {"cookie": "c1", **ANA}))
    changes = [(c["change"], c["time"], c["cause"]["evidence"]) for c in road.read(road.topics.changes)]
    link = [{"a": "user_id:ana", "b": "cookie:c1"}]
    assert changes == [("created", at(7), []), ("created", at(9), link), ("merged", at(7), link)]


def test_the_tables_prefixes_stay_what_they_are_because_stored_rows_carry_them():
    prefixes = {
        spec.name: spec.prefix for spec in with_prefixes((*customer_tables(RulesRow), *SEGMENT_TABLES))
    }
    assert prefixes == {
        "components": b"c",
        "sightings": b"s",
        "verdicts": b"v",
        "erasures": b"e",
        "members": b"m",
        "events": b"n",
        "timeline": b"t",
        "customers": b"u",
        "repairs": b"r",
        "segments": b"a",
        "checkpoints": b"h",
        "waiting": b"w",
        "going": b"g",
        "references": b"f",
        "concerned": b"o",
        "told": b"l",
        "sends": b"d",
        "journeys": b"j",
        "bookings": b"b",
    }
    assert {spec.name: spec.prefix for spec in with_prefixes(number_tables())} == {
        "sums": b"s",
        "bills": b"b",
    }
    assert {spec.name: spec.prefix for spec in with_prefixes(RESOLVER_TABLES)} == {
        "identifiers": b"i",
        "neighbours": b"n",
    }


def test_only_rows_that_are_read_again_are_kept_in_memory_when_their_epoch_is_over():
    specs = with_prefixes((*customer_tables(RulesRow), *SEGMENT_TABLES, *RESOLVER_TABLES))
    assert {spec.name for spec in specs if not spec.cached} == {
        "members",
        "events",
        "timeline",
        "checkpoints",
        "references",
        "concerned",
        "told",
        "sends",
    }
    assert not TIMERS.cached


def test_after_a_restart_the_baskets_are_in_the_order_in_which_they_were_touched():
    spec = next(spec for spec in customer_tables(RulesRow) if spec.name == "customers")
    rules = RulesRow(RuleBook([load_rule(schemas.read_text("rules/abandoned_cart.yaml"))]).new_state())
    for cart in ("k2", "k1"):
        rules.state.baskets.apply("Product Added", {**BASKET, "cart_id": cart})
    again = spec.decode(spec.encode(CustomerRow("c", rules=rules)))
    assert [*again.rules.state.baskets.carts] == ["k2", "k1"]


LATE_BASKET = event("e1", 60, "Product Added", ANA, **BASKET)
LATE_ORDER = event("e2", 80, "Order Completed", ANA, "store", cart_id="k1", order_id="o")


@pytest.mark.parametrize("clock", [91, 600], ids=["within the rule's grace", "beyond it"])
@pytest.mark.parametrize(
    "batches",
    [
        [[LATE_ORDER], [LATE_BASKET]],
        [[LATE_ORDER, LATE_BASKET]],
        [[LATE_BASKET, LATE_ORDER]],
        [[LATE_BASKET], [LATE_ORDER]],
    ],
    ids=["apart, turned", "together, turned", "together", "apart"],
)
def test_what_an_epoch_brings_late_is_decided_by_all_of_it_in_whatever_batches_and_order(
    road, batches, clock
):
    road.play(event("e0", 0, "Identify", ANA), clock=at(clock))
    for topic in (road.topics.channels["web"], road.topics.lookup):
        road.tasks[topic].watermark.advance({"up": (at(clock), [])})
    for batch in batches:
        for one in batch:
            road.raw(one.channel, encode_single_object(one))
        road.settle()
    road.end_epoch()
    assert triggers(road) == []
    assert road.read(road.topics.decisions) == []
