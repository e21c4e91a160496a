"""Erasures in a replay: a new deployment that is told the commands first arrives at the same customers.

Three people shop on the web and in the shop. Ana is erased by her address, Ben by the cookie of the laptop that is
his; on the tablet that he shares with Cem both have signed in. About Dora's address and her number operators
contradict each other. All that the first deployment was told is then told to a second one: all commands, and when
they have been read the channels, one after the other.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from stream_app.domain.commands import Op
from stream_app.wire import IdentityCommand
from tests.pipeline_job import HOUR, MINUTE, START, Outcome, Pipeline, happened

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connectors.planned import Planned

pytestmark = pytest.mark.broker

ANA = {"email": "zzana@example.org"}
LAPTOP, TABLET = {"cookie": "zzlaptop"}, {"cookie": "family-tablet"}
TRACES = (b"zzana", b"zzlaptop", b"zzben", b"39981234", b"4711001", b"Zzarkadia")
"""What must be nowhere of Ana and Ben: addresses, accounts, a number, a card, a name."""
HERS_AND_HIS = {
    "a-view",
    "a-form",
    "a-order",
    "a-add",
    "a-account",
    "b-view",
    "b-in",
    "b-tablet",
    "b-page",
    "b-till",
}
SETTINGS = {"RACCORD_CHANNELS": "web,store"}


def first_hour() -> Iterator[Planned]:
    yield happened("a-view", 0, "Product Viewed", {"cookie": "zzana-phone"}, sku="SKU-1")
    yield happened(
        "a-form", 1, "Identify", {"cookie": "zzana-phone", **ANA, "phone": "+33639981234"}, name="Zzarkadia"
    )
    yield happened(
        "a-order", 2, "Order Completed", {"loyalty": "4711001", **ANA},
        channel="store", order_id="o-1", total=40.0, currency="EUR",
    )  # fmt: skip
    yield happened(
        "a-add", 3, "Product Added", {"loyalty": "4711001"},
        cart_id="cart-a", sku="SKU-1", price=40.0, quantity=1, currency="EUR",
    )  # fmt: skip
    yield happened("b-view", 4, "Product Viewed", LAPTOP, sku="SKU-2")
    yield happened("b-in", 5, "Signed In", {**LAPTOP, "user_id": "zzben"})
    yield happened("b-tablet", 6, "Signed In", {**TABLET, "user_id": "zzben"})
    yield happened("b-page", 7, "Page Viewed", TABLET)
    yield happened("c-tablet", 8, "Signed In", {**TABLET, "user_id": "cem"})
    yield happened("c-page", 9, "Page Viewed", TABLET)
    yield happened("b-till", 10, "Order Completed", {"user_id": "zzben"}, channel="store", total=5.0)
    yield happened("c-gift", 11, "Order Completed", {"user_id": "cem", **ANA}, channel="store", total=7.0)
    yield happened("a-account", 12, "Signed In", {"user_id": "zzana-account", "loyalty": "4711001", **ANA})
    yield happened("d-form", 12, "Identify", {"email": "dora@example.org", "phone": "+33611111111"})
    yield happened("d-call", 13, "Page Viewed", {"phone": "+33611111111"}, channel="store")


def second_hour() -> Iterator[Planned]:
    yield happened("a-again", 80, "Page Viewed", {"cookie": "new", "user_id": "somebody-new"})
    yield happened("c-again", 81, "Page Viewed", {"user_id": "cem"}, channel="store")
    yield happened("d-again", 82, "Page Viewed", {"email": "dora@example.org"})


def said(name: str, op: Op, minute: int, a: str, b: str | None = None) -> IdentityCommand:
    return IdentityCommand(name, op, a, b, START + minute * MINUTE, "zoe", "because")


DORA = ("email:dora@example.org", "phone:+33611111111")
COMMANDS = (
    said("e-1", Op.ERASE, 40, "email:zzana@example.org"),
    said("e-2", Op.ERASE, 45, "cookie:zzlaptop"),
    said("d-1", Op.DENY, 30, *DORA),
    said("d-3", Op.DENY, 32, *DORA),
    said("d-2", Op.ASSERT, 31, *DORA),
)


class Replayed(NamedTuple):
    """What two deployments came to, the second of which was told all at once; `again` has stopped."""

    live: Pipeline
    again: Pipeline
    before: Outcome
    first: Outcome
    second: Outcome


@pytest.fixture(scope="module")
def replayed(bootstrap_servers, tmp_path_factory) -> Iterator[Replayed]:
    names = [f"t{uuid.uuid4().hex[:10]}." for _ in range(2)]
    folders = [tmp_path_factory.mktemp("erasure-replay") for _ in names]
    pipelines = [
        Pipeline(bootstrap_servers, name, folder, SETTINGS)
        for name, folder in zip(names, folders, strict=True)
    ]
    with pipelines[0] as live, pipelines[1] as again:
        live.start("w1")
        live.play(first_hour())
        live.mark(START + 39 * MINUTE)
        live.drain()
        before = live.outcome()
        live.command(*COMMANDS)
        live.mark(START + HOUR)
        live.drain()
        live.play(second_hour())
        live.mark(START + 48 * HOUR)
        live.drain()
        live.workers["w1"].stop()
        again.start("w1")
        again.copy_from(live, live.topics.commands, again.topics.commands)
        again.drain()
        for channel in ("store", "web"):
            again.copy_from(live, live.topics.channels[channel], again.topics.channels[channel])
            again.drain()
        again.workers["w1"].stop()
        yield Replayed(live, again, before, live.outcome(), again.outcome())


def test_before_the_erasures_their_events_were_theirs(replayed):
    owner = replayed.before.owner
    assert len({owner[name] for name in ("a-view", "a-form", "a-order", "a-add")}) == 1
    assert len({owner[name] for name in ("b-view", "b-in", "b-tablet", "b-page", "b-till")}) == 1
    assert owner["c-gift"] == owner["c-page"] == owner["c-tablet"]
    assert owner["d-form"] == owner["d-call"]


def test_live_the_erased_are_gone_and_all_others_are_there(replayed):
    owner = replayed.first.owner
    assert owner.keys() == {
        "c-tablet", "c-page", "c-gift", "c-again", "d-form", "d-call", "d-again", "a-again",
    }  # fmt: skip
    assert owner["c-tablet"] == owner["c-page"] == owner["c-gift"] == owner["c-again"]
    assert owner["d-form"] == owner["d-again"] != owner["d-call"]


def test_a_replay_that_reads_the_commands_first_gives_the_same_customers(replayed):
    assert replayed.second.owner == replayed.first.owner
    assert replayed.second.profiles.keys() == replayed.first.profiles.keys()
    for customer, profile in replayed.first.profiles.items():
        assert replayed.second.profiles[customer] == profile


@pytest.mark.parametrize("which", ["live", "again"])
def test_no_row_and_no_last_word_of_a_topic_holds_what_was_erased(replayed, which):
    pipeline = getattr(replayed, which)
    kept = {**pipeline.rows(), **last_words(pipeline)}
    assert sum(map(len, kept.values())) > 20
    found = [
        (where, trace, key)
        for where, rows in kept.items()
        for key, value in rows.items()
        for trace in TRACES
        if value is not None and (trace in key or trace in value)
    ]
    assert found == []


@pytest.mark.parametrize("which", ["live", "again"])
def test_after_an_erasure_nothing_of_the_erased_is_published(replayed, which):
    """Of Ana, erased first: by then all of Ben's is published as well, and none of it may come again."""
    pipeline = getattr(replayed, which)
    topics = pipeline.topics
    gone: dict[str, list[int]] = defaultdict(list)
    for row in pipeline.outputs(topics.timeline):
        gone[row["event"]["event_id"]].append(row["revision"] if row["operation"] == "remove" else -1)
    for event_id in HERS_AND_HIS:
        assert max(gone[event_id]) > 0, event_id
        assert gone[event_id][-1] == max(gone[event_id]), event_id
    changes = [change["change"] for change in pipeline.outputs(topics.changes)]
    assert changes.count("erased") == 2
    assert not {"fire"} & {trigger["action"] for trigger in pipeline.triggers() if trigger["due"] > ERASED_MS}


ERASED_MS = START + 40 * MINUTE


def last_words(pipeline: Pipeline) -> dict[str, dict[bytes, Any]]:
    """Return the last value of every key of the compacted topics, and the last revision of every event."""
    topics = pipeline.topics
    words: dict[str, dict[bytes, Any]] = {
        topic: {record.key: record.value for record in in_order(pipeline, topic)}
        for topic in (*topics.changelogs.values(), topics.profiles)
    }
    rows = sorted(pipeline.outputs(topics.timeline), key=lambda row: row["revision"])
    words[topics.timeline] = {row["event"]["event_id"].encode(): repr(row).encode() for row in rows}
    return words


def in_order(pipeline: Pipeline, topic: str) -> list[Any]:
    return sorted(pipeline.read(topic), key=lambda record: (record.partition, record.offset))
