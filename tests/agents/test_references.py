"""Reference data through the handlers: rows in, triggers out, for exactly those whom they concern."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace
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


SPEND = {"spend_id": "s", "day": "2026-03-01", "channel": "email", "currency": "EUR", "amount": 120.5}


def test_what_a_campaign_cost_is_taken_and_goes_to_no_customer(road):
    road.refer("spend", time=0, **SPEND)
    topic = road.topics.references["spend"]
    assert road.tasks[topic].tally == {("references", "spend", "applied"): 1}
    assert {record.topic for record in road.sent.all} == {road.topics.increments}


def test_whoever_takes_spend_has_its_rows_in_order_and_learns_how_each_epoch_ends(road):
    seen = []
    taker = SimpleNamespace(
        take=lambda said, size: seen.append((said.item, said.fields and said.fields["amount"], size > 0)),
        flush=lambda: seen.append("flush"),
        reset=lambda: seen.append("reset"),
    )
    topic = road.topics.references["spend"]
    handler = road.tasks[topic].handler
    handler.takers = (taker,)
    road.refer("spend", **SPEND)
    road._give(topic, json.dumps(SPEND | {"amount": "much"}).encode())
    road.refer("spend", key=b"s")
    handler.reset()
    assert seen == [("s", 120.5, True), "flush", ("s", None, False), "flush", "reset"]
    assert road.tasks[topic].tally["references", "spend", "dead_lettered"] == 1


def test_a_campaign_whose_budget_is_raised_may_open_a_rule(tmp_path):
    (tmp_path / "drop.yaml").write_text(
        """
name: drop
key: campaign_id
opens: {reference: campaign.budget, event_before: Email Opened, match: campaign_id, if: new.budget > old.budget}
payload: [new.budget, new.name]
"""
    )
    road = Road(Settings(partitions=1, sending_policy=NO_POLICY, rules=tmp_path))
    road.refer("campaigns", time=0, campaign_id="spring", name="Spring", budget=500.0)
    road.play(event("o", 1, "Email Opened", {"email": "a@example.org"}, "email", campaign_id="spring"))
    road.refer("campaigns", time=10, campaign_id="spring", budget=700.0)
    road.settle()
    road.play(clock=at(11))
    (message,) = fired(road)
    assert message["payload"] == {"new.budget": 700.0, "new.name": "Spring"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"day": None}, "missing_field"),
        ({"channel": None}, "missing_field"),
        ({"currency": None}, "missing_field"),
        ({"amount": None}, "missing_field"),
        ({"spend_id": None}, "missing_field"),
        ({"day": "20260301"}, "invalid_field"),
        ({"day": "2026-02-30"}, "invalid_field"),
        ({"day": 20_513}, "invalid_field"),
        ({"day": "1969-12-31"}, "time_out_of_range"),
        ({"day": "2026-09-24"}, "time_out_of_range"),
        ({"channel": ""}, "invalid_field"),
        ({"channel": ["email"]}, "invalid_field"),
        ({"campaign_id": ["spring"]}, "invalid_field"),
        ({"campaign_id": {"id": "spring"}}, "invalid_field"),
        ({"currency": "euro"}, "invalid_field"),
        ({"amount": "much"}, "invalid_field"),
        ({"amount": True}, "invalid_field"),
        ({"amount": 1e12}, "invalid_field"),
    ],
)
def test_what_says_no_spend_goes_to_the_dead_letters_and_tells_nothing_of_it(road, change, reason):
    value = json.dumps(
        {name: found for name, found in (SPEND | change).items() if found is not None}
    ).encode()
    road._give(road.topics.references["spend"], value)
    (letter,) = road.sent.by_topic[road.topics.dead_letters]
    headers = dict(letter.headers)
    assert headers["raccord-reason"] == reason.encode()
    assert next(iter(change)).encode() in headers["raccord-detail"]
    assert letter.value == value


@pytest.mark.parametrize(
    "change", [{}, {"day": "2026-09-22"}, {"amount": -3}, {"amount": "7.5"}, {"campaign_id": ""}]
)
def test_what_says_spend_does_not(road, change):
    road._give(road.topics.references["spend"], json.dumps(SPEND | change).encode())
    assert not road.sent.by_topic[road.topics.dead_letters]


WEATHER = {
    "station_id": "lyon",
    "latitude": 45.72,
    "longitude": 4.94,
    "condition": "rain",
    "temperature_c": 8,
}


@pytest.mark.parametrize(
    ("change", "reason", "told"),
    [
        ({"station_id": None}, "missing_field", "station_id"),
        ({"latitude": None}, "missing_field", "weather.latitude: must be a number from -90 to 90"),
        ({"longitude": None}, "missing_field", "weather.longitude: must be a number from -180 to 180"),
        ({"latitude": 90.5}, "invalid_field", "weather.latitude"),
        ({"longitude": "east"}, "invalid_field", "weather.longitude"),
        (
            {"condition": "Rain"},
            "invalid_field",
            "must be one of clear, clouds, fog, rain, snow, hail, storm",
        ),
        ({"condition": 61}, "invalid_field", "weather.condition"),
        ({"condition": ["rain"]}, "invalid_field", "weather.condition"),
        (
            {"temperature_c": 281.2},
            "invalid_field",
            "weather.temperature_c: must be a number from -100 to 70",
        ),
        ({"temperature_c": True}, "invalid_field", "weather.temperature_c"),
        ({"precipitation_mm": -1}, "invalid_field", "weather.precipitation_mm"),
        ({"wind_kmh": "gale"}, "invalid_field", "weather.wind_kmh"),
        (
            {"condition": None, "temperature_c": None},
            "missing_field",
            "says nothing: give it, or one of temperature_c, precipitation_mm, wind_kmh",
        ),
    ],
)
def test_what_says_no_weather_goes_to_the_dead_letters_and_tells_nothing_of_it(road, change, reason, told):
    row = {name: found for name, found in (WEATHER | change).items() if found is not None}
    road._give(road.topics.references["weather"], json.dumps(row).encode())
    (letter,) = road.sent.by_topic[road.topics.dead_letters]
    headers = dict(letter.headers)
    assert headers["raccord-reason"] == reason.encode()
    assert told.encode() in headers["raccord-detail"]
    assert not any(repr(value).encode() in headers["raccord-detail"] for value in ("Rain", 281.2, "gale"))


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"temperature_c": "-3.5"},
        {"temperature_c": -100, "precipitation_mm": 0, "wind_kmh": 500},
        {"condition": None},
        {"temperature_c": None},
        {"station_id": 7480, "humidity": 93},
        {"properties": {"uv_index": 7}},
    ],
)
def test_what_says_weather_does_not(road, change):
    road._give(road.topics.references["weather"], json.dumps(WEATHER | change).encode())
    assert not road.sent.by_topic[road.topics.dead_letters]


def test_rain_where_she_is_is_told_with_what_the_station_says_but_not_where_it_is(tmp_path):
    (tmp_path / "umbrella.yaml").write_text(
        """
name: drop
opens: {event: Product Viewed}
after: 10m
if: weather.condition == "rain"
payload: [weather, weather.temperature_c, season]
"""
    )
    road = Road(Settings(partitions=1, sending_policy=NO_POLICY, rules=tmp_path))
    road.refer("weather", time=0, **{**WEATHER, "temperature_c": 8.0}, properties={"uv_index": 1})
    here = {"latitude": 45.764, "longitude": 4.8357, "timezone": "Europe/Paris"}
    road.play(event("a", 1, "Product Viewed", {"user_id": "ana"}, **here))
    road.play(event("b", 1, "Product Viewed", {"user_id": "ben"}, **(here | {"latitude": 44.0})))
    road.settle()
    road.play(clock=at(12))
    (message,) = fired(road)
    assert message["opened_by"] == "a"
    told = message["payload"]
    assert told == {
        "weather": {"condition": "rain", "temperature_c": 8.0, "station_id": "lyon", "uv_index": 1},
        "weather.temperature_c": 8.0,
        "season": "autumn",
    }
    assert message["because"]["values"]["weather.condition"] == "rain"


# -- stock ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "reason", "named"),
    [
        ({"stores": {"s1": 1}}, "missing_field", "sku"),
        ({"sku": " ", "stores": {"s1": 1}}, "missing_field", "sku"),
        ({"sku": "A"}, "missing_field", "stores"),
        ({"sku": "A", "stores": None}, "missing_field", "stores"),
        ({"sku": "A", "stores": {}}, "invalid_field", "stores"),
        ({"sku": "A", "stores": ["s1"]}, "invalid_field", "stores"),
        ({"sku": "A", "stores": 3}, "invalid_field", "stores"),
        ({"sku": "A", "stores": {"s1": "3"}}, "invalid_field", "stores"),
        ({"sku": "A", "stores": {"s1": True}}, "invalid_field", "stores"),
        ({"sku": "A", "stores": {"s1": None, "s2": 1}}, "invalid_field", "stores"),
        ({"sku": "A", "stores": {"s1": {"pieces": 3}}}, "invalid_field", "stores"),
        ({"sku": "A", "stores": {"s1": [3]}}, "invalid_field", "stores"),
        (b'{"sku": "A", "stores": {"s1": NaN}}', "invalid_field", "NaN"),
        (b'{"sku": "A", "stores": {"s1": -Infinity}}', "invalid_field", "NaN or Infinity"),
        (b'{"sku": "A", "stores": {"s1": 1e999}}', "invalid_field", "stores"),
        ({"sku": "A", "stores": {"s1": 10**30}}, "invalid_field", "stores"),
        ({"sku": "A", "stores": {"": 1}}, "missing_field", "a store id in stores"),
        ({"sku": "A", "stores": {"s" * 257: 1}}, "too_large", "a store id in stores"),
        ({"sku": "A", "stores": {f"s{n}": 1 for n in range(4_097)}}, "too_large", "stores"),
        ({"sku": "A" * 257, "stores": {"s1": 1}}, "too_large", "sku"),
        ({"sku": "A", "time": "1969-01-01T00:00:00Z", "stores": {"s1": 1}}, "time_out_of_range", "time"),
    ],
)
def test_what_says_no_stock_goes_to_the_dead_letters_and_tells_nothing_of_it(road, value, reason, named):
    value = value if isinstance(value, bytes) else json.dumps(value).encode()
    road._give(road.topics.references["stock"], value)
    (letter,) = road.sent.by_topic[road.topics.dead_letters]
    headers = dict(letter.headers)
    assert headers["raccord-reason"] == reason.encode()
    assert named.encode() in headers["raccord-detail"]
    assert letter.value == value


@pytest.mark.parametrize("quantity", [math.nan, math.inf, -math.inf])
def test_nor_is_a_quantity_in_avro_that_is_no_number(road, quantity):
    road.refer("stock", sku="A", stores={"s1": quantity})
    (letter,) = road.sent.by_topic[road.topics.dead_letters]
    assert dict(letter.headers)["raccord-reason"] == b"invalid_field"
    assert b"stores" in dict(letter.headers)["raccord-detail"]


@pytest.mark.parametrize(
    ("quantity", "has"), [(1, True), (0.5, True), (0, False), (-0.0, False), (-3, False), (2**62, True)]
)
def test_a_shop_has_what_it_has_more_than_none_of_and_what_is_promised_already_is_none(road, quantity, has):
    road.refer("stock", time=0, sku="A", stores={"s1": 1})
    road.refer("stock", time=1, sku="A", stores={"s1": float(quantity)})
    road.settle()
    assert not road.sent.by_topic[road.topics.dead_letters]
    having = road.customer.handler._references.having("s1", ["A"], at(2))
    assert having == ({"A": True} if has else {})


def test_that_a_product_is_gone_is_heard_of_by_its_key(road):
    road.refer("stock", time=0, sku="A", stores={"s1": 1})
    road._give(road.topics.references["stock"], None, key=b"A")
    road.tasks[road.topics.references["stock"]].handler.flush()
    road.settle()
    assert road.customer.handler._references.having("s1", ["A"], at(10**6)) == {}
