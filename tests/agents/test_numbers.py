"""What leaves the customer stage for the numbers, and what becomes of it."""

from __future__ import annotations

import pytest
from prometheus_client import generate_latest

from stream_app.agents.numbers import NumbersStage
from stream_app.agents.numbers_metrics import SERIES
from stream_app.domain.numbers import Cell, cell_key, cell_of, day_of
from stream_app.metrics import REGISTRY
from stream_app.wire import cell_of_record
from tests.agents.road import Road, at, event

ANA = {"user_id": "ana"}
DAY = day_of(at(0))


@pytest.fixture
def road() -> Road:
    return Road()


def figures(road: Road) -> dict[Cell, int]:
    return {cell_of_record(one): one["value"] for one in road.read(road.topics.numbers)}


def stage_of(road: Road) -> NumbersStage:
    handler = road.tasks[road.topics.increments].handler
    assert isinstance(handler, NumbersStage)
    return handler


def test_an_order_is_in_every_number_that_it_belongs_to_and_goes_when_it_is_cancelled(road):
    road.play(
        event("e1", 0, "Product Viewed", ANA, sku="A", device_type="phone"),
        event("e2", 5, "Order Completed", ANA, order_id="o1", total=12.5, currency="EUR"),
    )
    found = figures(road)
    assert found[Cell("visits", DAY, ("web", "phone"))] == 1
    assert found[Cell("orders", DAY, ("web", "phone"))] == 1
    assert found[Cell("revenue", DAY, ("web", "phone", "EUR"))] == 12_500_000
    assert found[Cell("attributed_revenue", DAY, ("last_touch", "web", "", "EUR"))] == 12_500_000
    road.play(event("e3", 50, "Order Cancelled", ANA, order_id="o1"))
    later = figures(road)
    assert later[Cell("orders", DAY, ("web", "phone"))] == 0
    assert later[Cell("revenue", DAY, ("web", "phone", "EUR"))] == 0
    assert Cell("visits", DAY, ("web", "phone")) not in later


def test_an_epoch_publishes_each_figure_once_and_none_that_is_as_it_was(road):
    road.play(*(event(f"e{n}", 200 + n, "Page Viewed", {"cookie": f"c{n}"}) for n in range(5)))
    records = road.read(road.topics.numbers)
    assert [one["value"] for one in records if one["number"] == "visits"] == [5]
    road.play(event("late", 100, "Page Viewed", {"cookie": "c0"}))
    assert [one["value"] for one in road.read(road.topics.numbers) if one["number"] == "visits"] == [6]
    road.play(event("late", 100, "Page Viewed", {"cookie": "c0"}))
    assert road.read(road.topics.numbers) == []


def test_two_customers_that_turn_out_to_be_one_are_one_active_customer(road):
    road.play(event("e1", 0, "Page Viewed", {"cookie": "1"}), event("e2", 0, "Page Viewed", {"cookie": "2"}))
    active = next(cell for cell in figures(road) if cell.number == "active_customers")
    road.play(event("e3", 1, "Signed In", {"cookie": "1", **ANA}))
    road.play(event("e4", 2, "Signed In", {"cookie": "2", **ANA}))
    road.settle()
    road.end_epoch()
    assert figures(road)[active] == 1


def test_a_trigger_counts_as_sent_where_the_decision_says_so_and_as_bought_when_she_buys(road):
    cart = {"cart_id": "k", "sku": "A", "price": 40.0, "quantity": 1, "currency": "EUR"}
    who = {**ANA, "email": "ana@example.com"}
    road.play(
        event("c", 0, "Consent Changed", who, purpose="marketing", channel="email", state="granted"),
        event("e1", 1, "Product Added", who, **cart),
        clock=at(600),
    )
    decisions = road.read(road.topics.decisions)
    (fired,) = [one for one in decisions if (one["rule"], one["outcome"]) == ("abandoned_cart", "fired")]
    assert fired["counted_at"] >= fired["due"]
    rule = ("abandoned_cart", fired["channel"])
    day = day_of(fired["counted_at"])
    assert figures(road)[Cell("triggers_sent", day, rule)] == 1
    road.play(event("e2", 900, "Order Completed", who, order_id="o", total=40, currency="EUR", cart_id="k"))
    found = figures(road)
    assert found[Cell("triggers_returned", day, rule)] == 1
    assert found[Cell("triggers_bought", day, rule)] == 1


@pytest.mark.parametrize("comes_back_first", [False, True])
def test_a_trigger_about_an_erased_event_is_counted_no_more_whenever_she_came_back(road, comes_back_first):
    who = {**ANA, "email": "ana@example.com"}
    cart = {"cart_id": "k", "sku": "A", "price": 40.0, "quantity": 1, "currency": "EUR"}
    road.play(
        event("c", 0, "Consent Changed", who, purpose="marketing", channel="email", state="granted"),
        event("e1", 1, "Product Added", who, **cart),
        clock=at(600),
    )
    assert [cell.number for cell in figures(road)].count("triggers_sent") == 1
    back = event("e2", 800, "Page Viewed", who)
    if comes_back_first:
        road.play(back)
    road.say("erase", "user_id:ana", time=700)
    road.settle()
    road.tick(at(750))
    road.settle()
    road.end_epoch()
    if not comes_back_first:
        road.play(back)
    sums = road.tasks[road.topics.increments].store.table("sums").scan(b"")
    left = {cell_of(key) for key, amount in sums if int(amount)}
    assert {cell.number for cell in left} == {"visits", "active_customers"}


def test_a_sum_may_be_more_than_64_bits_hold(road):
    cell = Cell("spend", 20_000, ("email", "spring", "EUR"))
    send = road.sent.send
    for value in (b"+9", *3 * [b"+%d" % (1 << 62)]):
        send(road.topics.increments, value, cell_key(cell))
    road.end_epoch()
    assert figures(road) == {cell: (1 << 63) - 1}, "the topic has the nearest that fits"
    send(road.topics.increments, b"-%d" % (3 << 62), cell_key(cell))
    road.end_epoch()
    assert figures(road) == {cell: 9}, "and the sum is still exact"


def test_spend_is_what_was_said_last_of_each_bill_and_bills_of_one_campaign_add_up(road):
    def bill(name, time, amount=None):
        row = {"day": "2026-09-01", "channel": "email", "campaign_id": "spring", "currency": "EUR"}
        said = {} if amount is None else {**row, "spend_id": name, "amount": amount}
        road.refer("spend", time=time, key=name.encode(), **said)
        road.end_epoch()
        road.end_epoch()
        return [one["value"] for one in road.read(road.topics.numbers)]

    assert bill("a", 5, 10.0) == [10_000_000]
    assert bill("b", 5, 2.5) == [12_500_000]
    assert bill("a", 7, 8.25) == [10_750_000], "a correction takes the place of what was said"
    assert bill("a", 6, 99.0) == [], "what is older does not"


def test_what_an_epoch_that_was_rolled_back_had_added_is_forgotten(road):
    cell = Cell("spend", 20_000, ("email", "spring", "EUR"))
    road.sent.send(road.topics.increments, b"+5", cell_key(cell))
    stage = stage_of(road)
    stage.process(list(road.sent.by_topic.pop(road.topics.increments)))
    stage.reset()
    road.end_epoch()
    assert figures(road) == {}


def shown() -> float | None:
    return REGISTRY.get_sample_value(
        "raccord_numbers_spend", {"channel": "sms", "campaign": "shown", "currency": "EUR"}
    )


def test_the_metrics_page_follows_what_is_committed_and_lets_go_of_what_is_elsewhere(road):
    cell = Cell("spend", 20_000, ("sms", "shown", "EUR"))
    stage = stage_of(road)
    road.sent.send(road.topics.increments, b"+2500000", cell_key(cell))
    road.end_epoch()
    assert not shown()
    stage.committed()
    assert shown() == 2.5
    stage.closed()
    assert shown() == 0
    stage.opened()
    assert shown() == 2.5
    stage.closed()
    assert SERIES
    assert b"raccord_numbers_spend" in generate_latest(REGISTRY)
