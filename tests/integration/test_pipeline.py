"""The road from channels to triggers on a real broker, as a shop would use it.

One deployment plays all stories at once, each with customers of its own, in three acts: what happens until
minute 16; the clock passes the baskets' due times; the worker is killed and started again, and something comes
late.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.pipeline_job import HOUR, MINUTE, START, Outcome, Pipeline, happened

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connectors.planned import Planned

pytestmark = pytest.mark.broker

PAIRS = 24
WAITS = 30
"""Minutes of silence after which the shipped rule calls a basket abandoned."""


class Played(NamedTuple):
    """What each act came to."""

    pipeline: Pipeline
    due: list[tuple[str, str]]
    end: list[tuple[str, str]]
    outcome: Outcome


def messages(pipeline: Pipeline) -> list[tuple[str, str]]:
    """Return (opening event, action) of the trigger messages so far, in the order of their topic."""
    return [(message["opened_by"], message["action"]) for message in pipeline.triggers()]


def basket(who: str, minute: float, identifiers: dict[str, str], channel: str = "web") -> Planned:
    return happened(
        f"{who}-add", minute, "Product Added", identifiers,
        channel=channel, cart_id=f"cart-{who}", product_id="SKU-1", price=40.0, quantity=1, currency="EUR",
    )  # fmt: skip


def first_act() -> Iterator[Planned]:
    """Baskets of unknown visitors, orders by loyalty card, and what connects the two, each in its own place."""
    for pair in range(PAIRS):
        yield basket(f"split{pair}", 0, {"cookie": f"cookie-split-{pair}"})
    yield basket("late", 0, {"cookie": "cookie-late", "loyalty": "LATE-1"})
    yield basket("kept", 0, {"cookie": "cookie-kept", "email": "kept@example.org"})
    yield basket("kiosk", 0, {"device": "kiosk-device", "user_id": "kiosk-user"}, channel="kiosk")
    for pair in range(PAIRS):
        if pair % 2:
            yield happened(
                f"split{pair}-order", 10, "Order Completed", {"loyalty": f"CARD-{pair}"},
                channel="store", order_id=f"order-{pair}", total=40.0, currency="EUR",
            )  # fmt: skip
    for pair in range(PAIRS):
        yield happened(
            f"split{pair}-app",
            12,
            "Signed In",
            {"loyalty": f"CARD-{pair}", "user_id": f"user-{pair}"},
            channel="app",
        )
    for pair in range(PAIRS):
        yield happened(
            f"split{pair}-web", 15, "Signed In", {"user_id": f"user-{pair}", "cookie": f"cookie-split-{pair}"}
        )


def late_order() -> Planned:
    return happened(
        "late-order", 20, "Order Completed", {"loyalty": "LATE-1"}, channel="store", arrives=120,
        order_id="order-late", total=40.0, currency="EUR",
    )  # fmt: skip


@pytest.fixture(scope="module")
def played(bootstrap_servers, tmp_path_factory) -> Iterator[Played]:
    prefix, folder = f"t{uuid.uuid4().hex[:10]}.", tmp_path_factory.mktemp("pipeline")
    with Pipeline(bootstrap_servers, prefix, folder, {"RACCORD_CHANNELS": "web,store,app,kiosk"}) as pipeline:
        pipeline.start("w1")
        pipeline.play(first_act())
        pipeline.drain()
        pipeline.mark(START + (WAITS + 1) * MINUTE)
        pipeline.drain()
        due = messages(pipeline)
        pipeline.workers["w1"].kill()
        pipeline.play([late_order()])
        pipeline.mark(START + 48 * HOUR)
        pipeline.start("w1")
        pipeline.drain()
        yield Played(pipeline, due, messages(pipeline), pipeline.outcome())


def test_a_basket_fires_once_its_silence_has_passed(played):
    assert played.due.count(("kept-add", "fire")) == 1
    assert "kept-add" in {message["opened_by"] for message in played.outcome.books.net.values()}


def test_an_order_known_by_another_identifier_on_another_partition_calls_the_trigger_off(played):
    opened = {f"split{pair}-add" for pair in range(PAIRS)}
    ordered = {f"split{pair}-add" for pair in range(1, PAIRS, 2)}
    assert {who for who, _ in played.due if who in opened} == opened - ordered
    pipeline = played.pipeline
    merged = {record.partition for record in pipeline.read(pipeline.topics.changes)}
    assert len(merged) == pipeline.settings.partitions, "merges must cross partitions, or this shows nothing"


def test_events_of_one_person_in_three_channels_are_one_timeline(played):
    owner = played.outcome.owner
    for pair in range(PAIRS):
        assert len({owner[f"split{pair}-{event}"] for event in ("add", "app", "web")}) == 1
    assert len({owner[f"split{pair}-add"] for pair in range(PAIRS)}) == PAIRS


def test_a_killed_and_restarted_worker_does_not_fire_again(played):
    assert sorted(m for m in played.end if m[1] == "fire") == sorted(played.due)


def test_an_order_that_comes_late_takes_the_trigger_back_under_the_same_id(played):
    of_late = [m for m in played.pipeline.triggers() if m["opened_by"] == "late-add"]
    assert [message["action"] for message in of_late] == ["fire", "retract"]
    assert len({message["trigger_id"] for message in of_late}) == 1
    assert ("late-add", "fire") in played.due
    assert of_late[0]["trigger_id"] not in played.outcome.net


def test_a_new_channel_needs_nothing_but_its_name_in_the_settings(played):
    rows = played.pipeline.outputs(played.pipeline.topics.timeline)
    assert {row["event"]["channel"] for row in rows if row["event"]["event_id"] == "kiosk-add"} == {"kiosk"}
    assert ("kiosk-add", "fire") in played.due


def test_the_books_balance_and_nothing_came_twice(played):
    assert played.outcome.books.balanced
    assert len(set(played.end)) == len(played.end)
    assert not played.outcome.books.dead_letters
