"""Hashed namespaces on the whole road: no message and no row holds a raw value, and nobody misses it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

import schemas
from stream_app.domain.identifiers import Identifier
from stream_app.domain.policy import IdentityPolicy
from stream_app.settings import NO_POLICY, Settings
from stream_app.wire import Decoder, encode_cloudevent_structured, encode_single_object, read_payload
from tests.agents.road import Road, at, event

if TYPE_CHECKING:
    from pathlib import Path

    from stream_app.domain.event import ChannelEvent

KEY = "the key of this deployment"
EMAIL = " Ana.Berg@Example.org"
PHONE = "06 39 98 12 34"
SIGNS = (b"ana.berg", b"39981234", b"39 98 12 34")
"""What of them is in every spelling."""

BASKET = {"cart_id": "k1", "sku": "A", "price": 40.0, "quantity": 1, "currency": "EUR"}


def settings_with(folder: Path, *hashed: str) -> Settings:
    """Return settings whose policy is the one that ships, with these namespaces hashed."""
    policy = schemas.read_yaml("policies/identity.yaml")
    for space in policy["namespaces"]:
        space["hashed"] = space["name"] in hashed
    path = folder / f"identity-{'-'.join(hashed)}.yaml"
    path.write_text(yaml.safe_dump(policy))
    return Settings(partitions=1, sending_policy=NO_POLICY, identity_policy=path, customer_key=KEY)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_with(tmp_path, "email", "phone")


@pytest.fixture
def road(settings: Settings) -> Road:
    return Road(settings)


def hash_of(settings: Settings, text: str) -> str:
    assert settings.identity_policy is not None
    policy = IdentityPolicy.from_yaml(settings.identity_policy.read_text())
    return str(Identifier(policy, KEY.encode()).one(text))


def structured(road: Road, one: ChannelEvent) -> None:
    value, headers = encode_cloudevent_structured(one)
    road.raw(one.channel, value, headers)


def live(road: Road) -> None:
    """Have everything happen that publishes or stores an event: merges, un-merging, triggers, copies, erasure."""
    road.play(event("e1", 0, "Product Added", {"cookie": "c1", "email": EMAIL}, **BASKET), clock=at(31))
    road.play(event("e2", 40, "Page Viewed", {"device": "d1", "phone": [PHONE, "+33639981234"]}))
    road.play(event("e3", 41, "Page Viewed", {"user_id": 7, "cookie": "c2"}))
    structured(road, event("e4", 42, "Signed In", {"user_id": 7, "email": EMAIL.upper(), "phone": PHONE}))
    road.play(event("e5", 43, "Page Viewed", {"cookie": "c1", "email": "ana.berg at example.org"}))
    road.play(event("e6", 44, "Page Viewed", {"cookie": "c1", "email": ["no-reply@ana.berg.example", EMAIL]}))
    road.play(event("e1", 0, "Product Added", {"email": EMAIL.upper(), "cookie": "c1"}, **BASKET))
    road.play(event("e3", 41, "Product Viewed", {"user_id": 7, "cookie": "c2", "email": EMAIL}))
    road.say("deny", f"email:{EMAIL}", "user_id:7", time=50)
    road.say("block", f"phone: {PHONE}", time=51)
    road.play(clock=at(60))
    road.say("erase", f"email:{EMAIL.upper()}", time=52)
    road.play(event("e7", 70, "Page Viewed", {"cookie": "c1", "email": EMAIL}), clock=at(80))


def places(road: Road) -> set[str]:
    """Return where a raw value is: topics, tables (by the topic that they are about) and counters."""
    found = set()
    for record in road.sent.all:
        content = repr(record.headers).encode() + b"|" + (record.key or b"") + b"|" + (record.value or b"")
        if any(sign in content.lower() for sign in SIGNS):
            found.add(record.topic)
    for topic, rows in road.rows.items():
        for key, value in rows.scan(b"", None):
            if any(sign in (key + b"|" + value).lower() for sign in SIGNS):
                found.add(f"rows behind {topic}")
    for task in road.tasks.values():
        if any(sign in repr(task.tally).encode().lower() for sign in SIGNS):
            found.add("counters")
    return found


def test_no_message_and_no_row_holds_a_value_that_is_hashed(road):
    live(road)
    topics = road.topics
    assert places(road) == set()
    assert {record.topic for record in road.sent.all} == {
        topics.lookup, topics.components, topics.timeline, topics.profiles, topics.changes, topics.decisions,
        topics.triggers["abandoned_cart"], topics.dead_letters, topics.segments,
        topics.increments, topics.numbers,
    }  # fmt: skip
    operations = [message["operation"] for message in road.read(topics.timeline)]
    assert {"upsert", "remove"} <= set(operations)
    assert {"merged", "split"} <= {message["change"] for message in road.read(topics.changes)}


def test_the_same_road_without_hashing_holds_it_everywhere(tmp_path):
    road = Road(settings_with(tmp_path))
    live(road)
    topics = road.topics
    assert places(road) >= {
        topics.lookup, topics.components, topics.timeline, topics.profiles, topics.dead_letters,
        f"rows behind {topics.components}",
    }  # fmt: skip


def test_one_namespace_may_be_hashed_and_another_not(tmp_path):
    road = Road(settings_with(tmp_path, "email"))
    road.play(event("e1", 0, "Page Viewed", {"email": EMAIL, "phone": PHONE, "session": "s"}))
    (shown,) = road.read(road.topics.timeline)
    assert shown["event"]["identifiers"]["email"].startswith("hmac-")
    assert shown["event"]["identifiers"]["phone"] == PHONE
    assert shown["event"]["identifiers"]["session"] == "s"


@pytest.mark.parametrize("encode", [encode_single_object, lambda one: encode_cloudevent_structured(one)[0]])
def test_the_timeline_has_the_hash_in_place_of_the_value_and_all_else_as_it_was_sent(road, settings, encode):
    sent = event("e1", 0, "Page Viewed", {"cookie": " c1", "email": [EMAIL], "session": None}, note=EMAIL)
    road.raw("web", encode(sent))
    road.settle()
    (shown,) = road.read(road.topics.timeline)
    email = hash_of(settings, f"email:{EMAIL}").partition(":")[2]
    assert shown["event"]["identifiers"] == {"cookie": " c1", "email": [email], "session": None}
    assert shown["event"]["properties"] == {"note": EMAIL}  # properties are the producer's own


@pytest.mark.parametrize(
    ("email", "left"),
    [("ana.berg at example.org", {}), ("no-reply@ana.berg.example", {}), (None, {"email": None}), ([], {})],
)
def test_a_value_that_does_not_identify_is_left_out_of_the_timeline(road, email, left):
    road.play(event("e1", 0, "Page Viewed", {"cookie": "c1", "email": email}))
    (shown,) = road.read(road.topics.timeline)
    assert shown["event"]["identifiers"] == {"cookie": "c1", **left}
    assert places(road) == set()


def test_what_was_published_may_be_sent_again_and_is_a_copy(road):
    road.play(event("e1", 0, "Page Viewed", {"cookie": "c1", "email": EMAIL, "phone": [PHONE]}))
    payload = next(record for record in road.sent.all if record.topic == road.topics.timeline).value
    (shown,) = road.read(road.topics.timeline)
    again = event("e1", 0, "Page Viewed", shown["event"]["identifiers"])
    assert b"hmac-" in payload
    road.play(again)
    assert road.read(road.topics.timeline) == []
    assert road.customer.tally[("events", "web", "duplicate")] == 1


def test_a_record_that_is_refused_on_arrival_stays_as_it_came(road):
    value = encode_single_object(event("e1", 0, "Page Viewed", {"email": "ana.berg at example.org"}))
    road.raw("web", value)
    (letter,) = road.sent.by_topic[road.topics.dead_letters]
    assert letter.value == value
    assert places(road) == {road.topics.dead_letters}


def test_a_conflict_is_dead_lettered_with_the_hash(road):
    for kind in ("Page Viewed", "Product Viewed"):
        road.play(event("e1", 0, kind, {"cookie": "c1", "email": EMAIL}))
    (letter,) = road.sent.by_topic[road.topics.dead_letters]
    assert Decoder().decode(letter.value).event.identifiers["email"].startswith("hmac-")
    assert places(road) == set()


@pytest.mark.parametrize("form", ["value", "hash"])
def test_a_command_finds_its_customer_by_the_value_and_by_the_hash(road, settings, form):
    road.play(event("e1", 0, "Page Viewed", {"cookie": "c1", "email": EMAIL}))
    written = f"email:{EMAIL}"
    road.say("erase", written if form == "value" else hash_of(settings, written), time=5)
    road.play(clock=at(6))
    assert [message["operation"] for message in road.read(road.topics.timeline)] == ["upsert", "remove"]
    assert places(road) == set()


def test_a_hash_is_no_address(tmp_path):
    names: dict[str, Any] = {"user_id": "ana", "email": EMAIL, "phone": PHONE}
    found = []
    for hashed in ((), ("email",), ("email", "phone")):
        road = Road(settings_with(tmp_path, *hashed))
        road.play(event("e1", 0, "Product Added", names, **BASKET), clock=at(31))
        (trigger,) = road.read(road.topics.triggers["abandoned_cart"])
        found.append(trigger["addresses"])
    assert found[0]["email"] == ["ana.berg@example.org"]
    assert found[1] == {channel: value for channel, value in found[0].items() if channel != "email"}
    assert not {"email", "sms"} & found[2].keys()


def test_where_no_value_is_hashed_the_payload_is_the_records_own_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(Decoder, "payload_of", None)  # it is not called, so it costs no time
    sent = event("e1", 0, "Page Viewed", {"cookie": "c1", "phone": PHONE})
    for hashed in ((), ("email",)):
        road = Road(settings_with(tmp_path, *hashed))
        value = encode_single_object(sent)
        road.play(sent)
        (record,) = (record for record in road.sent.all if record.topic == road.topics.timeline)
        assert record.value.endswith(value[10:])
        assert read_payload(value[10:]) == sent
