"""What the command line says of triggers, read from topics and state on a real broker."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.pipeline_job import Pipeline, happened

if TYPE_CHECKING:
    from collections.abc import Iterator
    from subprocess import CompletedProcess

    from connectors.planned import Planned

pytestmark = [pytest.mark.broker, pytest.mark.slow]

ANA, BEN, CARLA = (
    {"user_id": f"r-{name}", "email": f"{name}@example.org"} for name in ("ana", "ben", "carla")
)


def added(event_id: str, minute: int, who: dict[str, str], price: float) -> Planned:
    return happened(event_id, minute, "Product Added", who, cart_id="k", sku="A", price=price, quantity=1)


def events() -> Iterator[Planned]:
    yield added("a1", 0, ANA, 40.0)
    yield added("b1", 1, BEN, 3.0)
    yield added("c1", 2, CARLA, 40.0)
    yield happened("c2", 3, "Order Completed", CARLA, channel="store", order_id="o", cart_id="k")
    yield happened("z1", 60, "Page Viewed", {"cookie": "clock"})


def late() -> Iterator[Planned]:
    yield happened(
        "a2", 10, "Order Completed", {"user_id": "r-ana"}, channel="store", arrives=60.5, order_id="p"
    )
    yield happened("z2", 61, "Page Viewed", {"cookie": "clock"})


@pytest.fixture(scope="module")
def played(bootstrap_servers, tmp_path_factory) -> Iterator[Pipeline]:
    """A deployment at rest: one trigger was sent and taken back, one was held back, one never was due."""
    folder = tmp_path_factory.mktemp("rules")
    with Pipeline(bootstrap_servers, f"r{folder.stat().st_ino}.", folder) as pipeline:
        pipeline.start("one")
        for part in (events(), late()):
            clock = pipeline.play(part)
            pipeline.drain()
            pipeline.mark(clock)
            pipeline.drain()
        yield pipeline


def said(done: CompletedProcess[bytes]) -> Any:
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def why_not(played: Pipeline, who: str, rule: str = "abandoned_cart") -> Any:
    return said(played.raccord("rules", "why-not", who, rule, "--json"))


def test_explain_tells_every_message_of_a_trigger_and_why(played):
    (trigger,) = {message["trigger_id"] for message in played.triggers()}
    found = said(played.raccord("rules", "explain", trigger, "--json"))
    assert [message["action"] for message in found["messages"]] == ["fire", "retract"]
    first, second = found["messages"]
    assert [event["event_id"] for event in first["because"]["events"]] == ["a1"]
    assert first["because"]["values"]["cart.value"] == 40
    assert first["addresses"]["email"] == ["ana@example.org"]
    assert second["because"]["decision"]["reason"] == "closed"
    assert [one["outcome"] for one in found["decisions"]] == ["fired", "retracted"]


def test_explain_takes_the_beginning_of_an_id_and_has_words_for_people(played):
    (trigger,) = {message["trigger_id"] for message in played.triggers()}
    text = played.raccord("rules", "explain", trigger[:12]).stdout.decode()
    assert "  opened by Product Added a1 at " in text
    assert "closed: an event that closes it came to light" in text


def test_why_not_tells_why_a_trigger_was_held_back(played):
    found = why_not(played, "email:BEN@example.org")
    (decision,) = found["decisions"]
    assert (decision["outcome"], decision["reason"]) == ("held_back", "condition")
    by_id = why_not(played, found["customer_id"])
    assert by_id == found


def test_why_not_tells_what_the_rule_sees(played):
    carla = why_not(played, "user_id:r-carla")
    assert carla["decisions"] == carla["sees"]["open"] == carla["sees"]["due"] == []
    assert [(turn["event_id"], turn["effect"]) for turn in carla["sees"]["turns"]] == [
        ("c1", "opened"),
        ("c2", "closed"),
    ]
    text = played.raccord("rules", "why-not", "cookie:clock", "abandoned_cart").stdout.decode()
    assert "  nothing\n" in text
    assert "nothing ever opened it: of 2 events, and what changed around them, 0 can" in text


@pytest.mark.parametrize(
    ("arguments", "code", "what"),
    [
        (("explain", "0123456789abcdef"), 1, b"know no trigger"),
        (("explain", "0123"), 2, b"8 characters"),
        (("why-not", "user_id:r-ana", "unheard_of"), 2, b"there is no rule unheard_of; there are: "),
        (("why-not", "user_id:nobody", "abandoned_cart"), 1, b"know no such customer"),
        (("why-not", "0123456789abcdef", "abandoned_cart"), 1, b"there is no customer"),
        (("why-not", "nobody:x", "abandoned_cart"), 2, b"CUSTOMER is not namespace:value"),
    ],
)
def test_what_cannot_be_told_is_one_sentence(played, arguments, code, what):
    done = played.raccord("rules", *arguments)
    assert done.returncode == code
    assert what in done.stderr
    assert len(done.stderr.splitlines()) == 1
