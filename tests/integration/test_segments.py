"""Segments on a real broker: each entry and exit once, across partitions, merges, a killed worker and passing days."""

from __future__ import annotations

import uuid
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.pipeline_job import HOUR, MINUTE, START, Outcome, Pipeline, decoded, happened

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connectors.planned import Planned

pytestmark = pytest.mark.broker

PAIRS = 16
DAY = 24 * 60


class Played(NamedTuple):
    """What a consumer of `customer.segments` has seen, key by key, and what there is at the end."""

    crossings: dict[str, list[dict[str, Any]]]
    outcome: Outcome


def ordered(who: str, number: int, identifiers: dict[str, str]) -> Planned:
    return happened(
        f"{who}-order{number}", number, "Order Completed", identifiers,
        channel="store", cart_id="till", order_id=f"{who}{number}", revenue=400.0, currency="EUR",
    )  # fmt: skip


def first_act() -> Iterator[Planned]:
    """Baskets of visitors, and orders by loyalty card."""
    for pair in range(PAIRS):
        yield happened(
            f"{pair}-add",
            0,
            "Product Added",
            {"cookie": f"cookie-{pair}"},
            cart_id=f"k{pair}",
            sku="a",
            price=1.0,
        )
        for number in range(3):
            yield ordered(f"{pair}", number, {"loyalty": f"CARD-{pair}"})


def second_act() -> Iterator[Planned]:
    """What makes one customer of each two."""
    for pair in range(PAIRS):
        yield happened(
            f"{pair}-in",
            10,
            "Signed In",
            {"cookie": f"cookie-{pair}", "loyalty": f"CARD-{pair}"},
            channel="app",
        )


@pytest.fixture(scope="module")
def played(bootstrap_servers, tmp_path_factory) -> Played:
    prefix, folder = f"t{uuid.uuid4().hex[:10]}.", tmp_path_factory.mktemp("segments")
    with Pipeline(bootstrap_servers, prefix, folder, {"RACCORD_CHANNELS": "web,store,app"}) as pipeline:
        pipeline.start("w1")
        pipeline.play(first_act())
        pipeline.drain()
        pipeline.play(second_act())
        pipeline.workers["w1"].kill()
        pipeline.start("w1")
        pipeline.drain()
        pipeline.mark(START + 100 * DAY * MINUTE + HOUR)
        pipeline.drain()
        crossings = defaultdict(list)
        for record in pipeline.read(pipeline.topics.segments):
            crossings[record.key.decode()].append(decoded(record.value))
        return Played(dict(crossings), pipeline.outcome())


def inside(crossings: list[dict[str, Any]]) -> set[str]:
    found: set[str] = set()
    for one in crossings:
        (found.add if one["action"] == "entered" else found.discard)(one["segment"])
    return found


def test_entries_and_exits_of_a_customer_id_alternate(played):
    for crossings in played.crossings.values():
        for segment in {one["segment"] for one in crossings}:
            actions = [one["action"] for one in crossings if one["segment"] == segment]
            assert actions == ["entered", "left"] * (len(actions) // 2) + ["entered"] * (len(actions) % 2)


def test_a_consumer_knows_of_each_customer_what_the_profile_says(played):
    told = {customer: inside(crossings) for customer, crossings in played.crossings.items()}
    profiles = {customer: set(profile["segments"]) for customer, profile in played.outcome.profiles.items()}
    assert {customer: found for customer, found in told.items() if found} == profiles
    assert len(profiles) == PAIRS


def test_days_that_passed_have_moved_everybody_on(played):
    profiles = played.outcome.profiles.values()
    assert {tuple(profile["segments"]) for profile in profiles} == {("cart_holder", "lapsing", "vip")}


def test_visitors_who_became_somebody_have_left(played):
    gone = played.crossings.keys() - played.outcome.profiles.keys()
    assert len(gone) == PAIRS
    assert all(inside(played.crossings[customer]) == set() for customer in gone)
