"""Reference data through the handlers: rows in, triggers out, for exactly those whom they concern."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from stream_app.domain import spreading
from stream_app.domain.reference import References
from stream_app.settings import NO_POLICY, Settings
from tests.agents.road import Road, at, event

RULE = """
name: drop
key: sku
opens: {reference: product.price, event_before: Product Added to Wishlist, match: sku, if: new.price < old.price}
payload: [old.price, new.price, before.list_price]
"""
if TYPE_CHECKING:
    from pathlib import Path

WISH = "Product Added to Wishlist"


@pytest.fixture
def road(tmp_path: Path) -> Road:
    (tmp_path / "drop.yaml").write_text(RULE)
    return Road(Settings(partitions=1, sending_policy=NO_POLICY, rules=tmp_path))


def wish(number: int, time: int, sku: str = "A", **properties: Any):
    return event(f"w{number}", time, WISH, {"user_id": f"u{number}"}, sku=sku, **properties)


def fired(road: Road) -> list[dict]:
    return road.read(road.topics.triggers["drop"])


def test_a_price_that_falls_is_told_to_whom_it_concerns_with_both_prices(road):
    road.refer("products", time=0, sku="A", price=50.0)
    road.play(wish(1, 1, list_price=55.0), wish(2, 1, sku="B"))
    road.refer("products", time=10, sku="A", price=40.0)
    road.settle()
    road.play(clock=at(11))
    (message,) = fired(road)
    assert message["opened_by"] == "w1"
    assert message["due"] == at(10)
    assert [(one["event_id"], one["role"]) for one in message["because"]["events"]] == [
        ("w1", "step"),
        ("w1", "opened"),
    ]
    assert message["payload"] == {"old.price": 50.0, "new.price": 40.0, "before.list_price": 55.0}


def test_a_change_that_can_open_nothing_is_taken_to_nobody(road, monkeypatch):
    asked = []
    monkeypatch.setattr(References, "concerned", lambda *args: asked.append(args) or iter(()))
    road.refer("products", time=0, sku="A", price=50.0, stock=57)
    road.play(wish(1, 1))
    for minute, row in enumerate(({"stock": 56}, {"price": 60.0}, {"stock": 55, "price": 60.0}), 10):
        road.refer("products", time=minute, sku="A", **row)
        road.settle()
    assert not asked
    road.refer("products", time=20, sku="A", price=59.0)
    road.settle()
    assert asked


def test_a_change_for_many_is_taken_to_some_in_each_epoch_and_to_all_in_the_end(road, monkeypatch):
    monkeypatch.setattr(road.customer.handler.components._spreading, "_most", 3)
    road.end_epoch()
    road.refer("products", time=0, sku="A", price=50.0)
    road.play(*(wish(number, 1) for number in range(10)))
    road.refer("products", time=10, sku="A", price=40.0)
    epochs = 0
    while road.sent.by_topic[road.topics.components]:
        batch = list(road.sent.by_topic[road.topics.components])
        road.sent.by_topic[road.topics.components].clear()
        road.customer.handler.process(batch)
        road.end_epoch()
        epochs += 1
    road.play(clock=at(11))
    assert epochs == 4
    assert sorted(message["opened_by"] for message in fired(road)) == sorted(f"w{n}" for n in range(10))
    assert spreading.MOST >= 100


def test_a_product_that_is_gone_has_no_price_to_fall_from(road):
    road.refer("products", time=0, sku="A", price=50.0)
    road.play(wish(1, 1))
    road.refer("products", key=b"A")
    road.settle()
    road.refer("products", time=17_000, sku="A", price=40.0)
    road.settle()
    road.play(clock=at(10**6))
    assert fired(road) == []


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"{}", "missing_field"),
        (b'{"sku": ""}', "missing_field"),
        (b'{"sku": true}', "invalid_field"),
        (b'{"sku": "A", "time": "yesterday"}', "invalid_field"),
        (b'{"sku": "A", "time": "1969-01-01T00:00:00Z"}', "time_out_of_range"),
        (b'{"sku": "A", "price": NaN}', "invalid_field"),
        (b"price=4", "undecodable"),
    ],
)
def test_a_row_that_cannot_be_taken_goes_to_the_dead_letters(road, value, reason):
    road._give(road.topics.references["products"], value)
    (letter,) = road.sent.by_topic[road.topics.dead_letters]
    assert dict(letter.headers)["raccord-reason"] == reason.encode()
    assert letter.value == value


def test_a_row_may_be_json_as_people_write_it(road):
    topic = road.topics.references["products"]
    road._give(topic, b'{"sku": 12, "price": 50, "colour": "red", "time": "2026-09-09T00:00:00Z"}')
    road.tasks[topic].handler.flush()
    road.settle()
    (change,) = road.customer.handler.components._spreading._references.changes("product", "12", 0)
    assert change.new == {"price": 50, "colour": "red"}
