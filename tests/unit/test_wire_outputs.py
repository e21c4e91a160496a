"""What goes out can be read back, in both framings, and is the same for the same content."""

from __future__ import annotations

import io
import json
from typing import Any

import avro.io
import avro.schema
import msgspec
import pytest

import schemas
from stream_app.domain.event import ChannelEvent
from stream_app.domain.profile import Profile
from stream_app.domain.profile.carts import Cart, Line
from stream_app.domain.profile.consent import Answer, Said
from stream_app.domain.profile.loyalty import Loyalty
from stream_app.domain.profile.orders import Money, Order, Orders, Return
from stream_app.domain.profile.preferences import Count
from stream_app.domain.profile.ratings import Ratings
from stream_app.domain.profile.seen import Device, Seen
from stream_app.domain.profile.service import Request, Service
from stream_app.domain.profile.values import Latest
from stream_app.domain.profile.viewed import Viewed
from stream_app.domain.profile.whereabouts import Fix, Whereabouts
from stream_app.domain.profile.wishes import Wish
from stream_app.domain.refusal import Reason, Refused
from stream_app.wire import (
    Encoder,
    Output,
    OutputReader,
    decode_output,
    encode_payload,
    encode_single_object,
    timeline_record,
)
from stream_app.wire.outputs import TOPICS, fitted
from stream_app.wire.registry import MemoryRegistry

CHANGE = {
    "change": "merged",
    "from": ["c-1", "c-2"],
    "into": ["c-1"],
    "time": 5,
    "cause": {
        "event_id": "e-1",
        "evidence": [{"a": "cookie:1", "b": "email:a@example.org"}],
        "command_id": None,
        "operator": None,
        "reason": None,
    },
}
DIFFERENCE = {
    "rule": "abandoned_cart",
    "shadow_version": 3,
    "live_version": None,
    "customer_id": "c-1",
    "opened_by": "e-1",
    "number": 0,
    "outcome": "would_have_fired",
    "due": 1_700_000_000_000,
    "sent": 1_700_000_000_001,
    "decided_at": 1_700_000_000_002,
    "reason": "condition",
    "values": {"cart.value": 40.0},
}
DECISION = {
    "trigger_id": "ab",
    "rule": "abandoned_cart",
    "version": 2,
    "key": "cart-1",
    "customer_id": "c-1",
    "due": 10,
    "decided_at": 11,
    "outcome": "held_back",
    "reason": "at_most",
    "opened_by": "e-1",
    "channel": "email",
    "counted_at": None,
}
TRIGGER = {
    "trigger_id": "ab",
    "action": "fire",
    "rule": "abandoned_cart",
    "version": 2,
    "key": "cart-1",
    "purpose": "marketing",
    "customer_id": "c-1",
    "addresses": {"email": ["a@example.org"]},
    "due": 10,
    "sent": 11,
    "opened_by": "e-1",
    "payload": {
        "cart": {"value": 20.5, "items": {"S-1": {"quantity": 1, "price": 20.5}}, "skus": ["S-1"]},
        "customer.first_name": None,
    },
    "because": {
        "events": [{"event_id": "e-1", "time": 1, "type": "Product Added", "role": "opened"}],
        "values": {"cart.value": 20.5, "products": [{"sku": "S-1"}]},
        "decision": {"consent": "yes"},
        "evidence": [{"a": "cookie:1", "b": "email:a@example.org"}],
    },
}
PROFILE = Profile(
    events=3,
    first=(1, "e-1"),
    last=(9, "e-3"),
    seen={"web": Seen(1, 9, 2, 1), "app": Seen(2, 2, 1)},
    devices={"device:d": Device(2, 2, 1), "cookie:c": Device(1, 9, 2)},
    active=[0],
    orders=Orders(
        1,
        1,
        1,
        {"USD": Money(0, 0, 0), "EUR": Money(1, 12_500_000, 2_500_000)},
        [
            Order(
                "o-1",
                3,
                "store",
                "s-1",
                placed=True,
                amount=12_500_000,
                currency="EUR",
                refunds={"": 2_500_000},
            ),
            Order("", 4, "web", placed=True, cancelled=True),
            Order("o-3", 5, "web", amount=1),
        ],
        [Return("o-1", 7, "web", None, 2_500_000, "EUR")],
    ),
    wishes=[Wish("S-1", "", 2), Wish("S-9", "w-1", 3, 9_990_000, "EUR")],
    service=Service(3, 2, [Request("k-1", "complaint", "app", 5, 6), Request("", "request", "web", 7)]),
    satisfaction=Ratings(3, 10_000_000, Latest(5, 8, "e-2")),
    loyalty=Loyalty(Latest("gold", 4, "e-1"), Latest(120, 4, "e-1"), 2),
    history=[Said(1, "e-1", "marketing", None, granted=True, through="store")],
    stores={"s-1": Count(1, 3)},
    categories={"shoes": Count(2, 3), "hats": Count(2, 4)},
    carts={
        "cart-1": Cart(
            (9, "e-3"), {"S-2": Line(2, 0.1, "EUR"), "S-1": Line(1, None, "EUR"), "S-3": Line(1, 0.2)}
        )
    },
    viewed=[Viewed("S-1", 4, "e-1"), Viewed("S-2", 5, "e-2")],
    traits={
        "size": Latest(42, 1, "e-1"),
        "first_name": Latest("Ana", 1, "e-1"),
        "city": Latest(None, 2, "e-2"),
    },
    consent={"marketing/*": Answer(granted=True, time=1)},
    where=Whereabouts(Latest("fr-FR", 1, "e-1"), None, Fix(48.85, 2.35, None, 4, "e-1")),
)
PROFILE_FIELDS = {
    "customer_id": "c-1",
    "version": 7,
    "identifiers": ["cookie:1", "email:a@example.org"],
    "first_seen": 1,
    "last_seen": 9,
    "event_count": 3,
    "channels": {
        "app": {"first_seen": 2, "last_seen": 2, "events": 1},
        "web": {"first_seen": 1, "last_seen": 9, "events": 2},
    },
    "orders": 1,
    "revenue": {"EUR": 12.5},
    "last_order_at": 3,
    "carts": {
        "cart-1": {
            "items": {
                "S-1": {"quantity": 1.0, "price": None},
                "S-2": {"quantity": 2.0, "price": 0.1},
                "S-3": {"quantity": 1.0, "price": 0.2},
            },
            "value": 0.4,
            "currency": None,
            "updated_at": 9,
        }
    },
    "recently_viewed": [{"sku": "S-2", "time": 5}, {"sku": "S-1", "time": 4}],
    "traits": {"first_name": "Ana", "size": 42},
    "consent": {"marketing/*": True},
    "locale": "fr-FR",
    "timezone": "Europe/Paris",
    "first_order_at": 3,
    "cancelled_orders": 1,
    "returns": 1,
    "refunded": {"EUR": 2.5},
    "monetary_value": {"EUR": 10.0},
    "currency": "EUR",
    "lifetime_value": 10.0,
    "recent_orders": [
        {
            "order_id": None,
            "time": 4,
            "channel": "web",
            "store_id": None,
            "amount": None,
            "currency": None,
            "refunded": 0.0,
            "state": "cancelled",
        },
        {
            "order_id": "o-1",
            "time": 3,
            "channel": "store",
            "store_id": "s-1",
            "amount": 12.5,
            "currency": "EUR",
            "refunded": 2.5,
            "state": "partly_refunded",
        },
    ],
    "recent_returns": [
        {"order_id": "o-1", "time": 7, "channel": "web", "store_id": None, "amount": 2.5, "currency": "EUR"}
    ],
    "wishlist": [
        {"sku": "S-9", "wishlist_id": "w-1", "time": 3, "price": 9.99, "currency": "EUR"},
        {"sku": "S-1", "wishlist_id": None, "time": 2, "price": None, "currency": None},
    ],
    "devices": {
        "cookie:c": {"first_seen": 1, "last_seen": 9, "events": 2},
        "device:d": {"first_seen": 2, "last_seen": 2, "events": 1},
    },
    "service_requests": 3,
    "complaints": 2,
    "recent_requests": [
        {"case_id": None, "kind": "request", "channel": "web", "opened_at": 7, "closed_at": None},
        {"case_id": "k-1", "kind": "complaint", "channel": "app", "opened_at": 5, "closed_at": 6},
    ],
    "satisfaction": {"count": 3, "average": 10 / 3, "last": 5.0, "last_at": 8},
    "reviews": None,
    "loyalty_tier": "gold",
    "loyalty_points": 120.0,
    "loyalty_joined_at": 2,
    "preferred_channel": "web",
    "preferred_store": "s-1",
    "preferred_category": "hats",
    "preferred_size": "42",
    "preferred_hour": 1,
    "position": {"latitude": 48.85, "longitude": 2.35, "accuracy_m": None, "time": 4},
    "consent_history": [
        {"purpose": "marketing", "channel": None, "granted": True, "time": 1, "through": "store"}
    ],
    "segments": ["lapsing", "vip"],
}
SEGMENT = {
    "customer_id": "c-1",
    "segment": "vip",
    "version": 2,
    "action": "entered",
    "time": 5,
    "values": {"customer.orders": 3, "customer.wishlist": ["a"], "customer.consent": {"marketing/*": True}},
}
NUMBER = {
    "number": "revenue",
    "window": "2026-11-29",
    "dimensions": {"channel": "web", "device": "", "currency": "EUR"},
    "unit": "money",
    "value": 12_500_000,
}
EVENT = ChannelEvent("e-1", 1, "web", "Page Viewed", {"cookie": "c"}, {"path": "/"})


def all_of(encoder: Encoder) -> dict[Output, bytes]:
    return {
        Output.TIMELINE: encoder.timeline("c-1", 1, "c-2", "remove", encode_payload(EVENT)),
        Output.PROFILE: encoder.profile(
            "c-1", 7, ["cookie:1", "email:a@example.org"], PROFILE, {"vip", "lapsing"}
        ),
        Output.SEGMENT: encoder.segment(SEGMENT),
        Output.IDENTITY_CHANGE: encoder.identity_change(CHANGE),
        Output.TRIGGER: encoder.trigger(TRIGGER),
        Output.DECISION: encoder.decision(DECISION),
        Output.SHADOW: encoder.difference(DIFFERENCE),
        Output.NUMBER: encoder.number(NUMBER),
    }


def check(read: dict[Output, dict[str, Any]]) -> None:
    assert read[Output.PROFILE] == PROFILE_FIELDS
    assert read[Output.SEGMENT] == SEGMENT
    assert read[Output.IDENTITY_CHANGE] == CHANGE
    assert read[Output.TRIGGER] == TRIGGER
    assert read[Output.DECISION] == DECISION
    assert read[Output.SHADOW] == DIFFERENCE
    assert read[Output.NUMBER] == NUMBER
    timeline = read[Output.TIMELINE]
    assert (timeline["customer_id"], timeline["revision"], timeline["operation"]) == ("c-1", 1, "remove")
    assert timeline["previous_customer_id"] == "c-2"
    assert timeline["event"]["properties"] == {"path": "/"}


def test_what_goes_out_is_read_back():
    reader = OutputReader()
    check(dict(reader.read(value) for value in all_of(Encoder()).values()))


def test_with_a_registry_every_schema_is_registered_and_the_framing_is_confluents():
    registry = MemoryRegistry()
    encoder = Encoder(registry, {Output.TRIGGER: ["triggers.a", "triggers.b"]})
    values = all_of(encoder)
    assert all(value[:4] == b"\x00\x00\x00\x00" for value in values.values())
    assert {registry.schema(value[4]) for value in values.values()} == {schemas.avro(o) for o in Output}
    check({output: decode_output(output, value, registry) for output, value in values.items()})


def test_the_official_reader_reads_what_goes_out():
    for output, value in all_of(Encoder()).items():
        schema = avro.schema.parse(schemas.avro(output))
        decoder = avro.io.BinaryDecoder(io.BytesIO(value[10:]))
        record = avro.io.DatumReader(schema).read(decoder)
        assert record[next(iter(record))] == decode_output(output, value)[next(iter(record))]
        assert decoder.reader.read() == b""


def test_an_empty_profile_is_encoded():
    value = Encoder().profile("c-1", 0, [], Profile())
    record = decode_output(Output.PROFILE, value)
    assert record["carts"] == record["channels"] == record["traits"] == {}
    assert (record["event_count"], record["last_order_at"]) == (0, None)


def test_equal_profiles_have_equal_bytes_in_whatever_order_they_came_about():
    turned = msgspec.structs.replace(
        PROFILE,
        seen=dict(reversed(PROFILE.seen.items())),
        traits=dict(reversed(PROFILE.traits.items())),
        carts={"cart-1": Cart((9, "e-3"), dict(reversed(PROFILE.carts["cart-1"].lines.items())))},
    )
    assert Encoder().profile("c-1", 1, [], turned) == Encoder().profile("c-1", 1, [], PROFILE)


def test_a_basket_of_one_currency_has_it():
    profile = Profile(carts={"": Cart((1, "e"), {"a": Line(2, 1.5, "EUR"), "b": Line(1, 1, "EUR")})})
    record = decode_output(Output.PROFILE, Encoder().profile("c", 1, [], profile))
    assert (record["carts"][""]["value"], record["carts"][""]["currency"]) == (4.0, "EUR")


class Cause(msgspec.Struct):
    event_id: str | None = "e-1"
    evidence: tuple[dict[str, str], ...] = ({"a": "cookie:1", "b": "email:a@example.org"},)


class Change(msgspec.Struct, rename={"from_": "from"}):
    change: str = "merged"
    into: tuple[str, ...] = ("c-1",)
    time: int = 5
    cause: Cause = msgspec.field(default_factory=Cause)
    from_: tuple[str, ...] = ("c-1", "c-2")


def test_records_may_be_structs():
    assert Encoder().identity_change(Change()) == Encoder().identity_change(CHANGE)


def test_a_record_that_does_not_fit_is_an_error():
    with pytest.raises((ValueError, TypeError)):
        Encoder().decision(DECISION | {"outcome": "nonsense"})
    with pytest.raises((ValueError, TypeError)):
        Encoder().decision({})
    with pytest.raises(KeyError):
        timeline_record("c", 0, None, "nonsense", b"")


def test_a_triggers_payload_is_made_to_fit():
    deep = {"a": {"b": {"c": {"d": 1}}}}
    assert fitted(deep) == {"a": {"b": {"c": '{"d":1}'}}}
    assert fitted([[1], {"a": [1]}, (1,)]) == ["[1]", {"a": "[1]"}, "[1]"]
    assert fitted({"n": 2**63, "x": float("inf")}) == {"n": "9223372036854775808", "x": None}
    payload = {"deep": {"a": {"b": {"c": [deep]}}, "list": [deep, [1]]}, "flat": [1, None, "x", True]}
    record = decode_output(Output.TRIGGER, Encoder().trigger(TRIGGER | {"payload": payload}))
    assert record["payload"]["deep"]["a"]["b"]["c"].startswith("[{")
    assert record["payload"]["flat"] == [1, None, "x", True]


def test_a_reader_refuses_what_it_does_not_know():
    value = Encoder().decision(DECISION)
    for broken in (b"", b"\x00", value[:-1], value + b"\x00", b"hello"):
        with pytest.raises(Refused) as caught:
            OutputReader().read(broken)
        assert caught.value.reason is Reason.UNDECODABLE
    registry = MemoryRegistry()
    foreign = registry.register("s", '{"type": "record", "name": "Other", "fields": []}')
    nameless = registry.register("s", '{"type": "array", "items": "int"}')
    endless = json.loads(schemas.avro("trigger"))
    node = {"type": "record", "name": "Node", "fields": [{"name": "next", "type": ["null", "Node"]}]}
    endless["fields"].append({"name": "extra", "type": node})
    recursive = registry.register("s", json.dumps(endless))
    unknown = [
        encode_single_object(EVENT),
        b"\x00\x00\x00\x00\x09x",
        *(b"\x00\x00\x00\x00" + bytes([number]) + b"x" for number in (foreign, nameless, recursive)),
    ]
    for other in unknown:
        with pytest.raises(Refused) as caught:
            OutputReader(registry).read(other)
        assert caught.value.reason is Reason.UNKNOWN_SCHEMA
    with pytest.raises(Refused, match="not a trigger"):
        decode_output(Output.TRIGGER, value)


def test_every_output_has_topics():
    assert set(TOPICS) == set(Output)
    assert {output.value for output in Output} < set(schemas.SUBJECTS)
