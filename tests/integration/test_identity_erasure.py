"""One person is erased on a live pipeline: nothing of hers is left, and nothing of anybody else's is lost.

Ana shops on the web and at the till; on a shared tablet she and Ben have both signed in, and once the till noted
her e-mail address with Ben's purchase. She is erased by the command line. Then everything that the shop ever
sent is sent again, a till delivers what it had noted before, and Ana comes back as a stranger.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from stream_app.app import load_policy
from stream_app.domain.labels import Labels
from tests.pipeline_job import MINUTE, START, Pipeline, decoded, happened

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connectors.planned import Planned

pytestmark = pytest.mark.broker

EMAIL, PHONE, CARD, NAME = "zzana@example.org", "+33639981234", "4711001", "Zzana Zzarkadia"
ACCOUNT, COOKIE = "zzana-account", "zzana-laptop"
TABLET = {"cookie": "family-tablet"}
BEN = {"user_id": "ben"}
TRACES = (b"zzana", b"39981234", b"39 98 12 34", CARD.encode(), b"Zzarkadia")
"""What must be nowhere: of her e-mail address, account and laptop, her number, her card, her name."""
HERS = frozenset({"a-view", "a-form", "a-order", "a-add", "a-tablet", "a-call", "a-account"})
ERASED_AT = "2025-03-03T01:00:00Z"
SETTINGS = {"RACCORD_CHANNELS": "web,store"}


def before() -> Iterator[Planned]:
    """What happens in the hour before the erasure."""
    yield happened("a-view", 0, "Product Viewed", {"cookie": COOKIE}, sku="SKU-1")
    yield happened(
        "a-form", 1, "Identify", {"cookie": COOKIE, "email": EMAIL, "phone": "06 39 98 12 34"}, name=NAME
    )
    yield happened(
        "a-order", 2, "Order Completed", {"loyalty": CARD, "email": EMAIL},
        channel="store", order_id="o-1", total=40.0, currency="EUR", name=NAME,
    )  # fmt: skip
    yield happened(
        "a-add", 3, "Product Added", {"cookie": COOKIE},
        cart_id="cart-a", product_id="SKU-1", name=NAME, price=40.0, quantity=1, currency="EUR",
    )  # fmt: skip
    yield happened(
        "b-order", 4, "Order Completed", {**BEN, "email": "ben@example.org"}, order_id="o-2", total=9.0
    )
    yield happened("a-tablet", 10, "Signed In", {**TABLET, "loyalty": CARD})
    yield happened("a-call", 12, "Page Viewed", TABLET)
    yield happened("b-tablet", 20, "Signed In", {**TABLET, **BEN})
    yield happened("b-page", 22, "Page Viewed", TABLET)
    yield happened(
        "b-gift", 25, "Order Completed", {**BEN, "email": EMAIL}, channel="store", order_id="o-3", total=5.0
    )
    yield happened("a-account", 29, "Signed In", {"user_id": ACCOUNT, "loyalty": CARD, "email": EMAIL})


def late() -> Iterator[Planned]:
    """Tell what happened before the erasure and arrives after it."""
    yield happened("a-late", 30, "Page Viewed", {"email": EMAIL, "cookie": "new-laptop"}, arrives=70)
    yield happened("a-gone", 31, "Page Viewed", {"phone": PHONE}, arrives=70)


def after() -> Iterator[Planned]:
    """What happens after the erasure."""
    yield happened("a-again", 80, "Page Viewed", {"email": EMAIL, "cookie": COOKIE})
    yield happened("b-again", 81, "Page Viewed", BEN)


class Told(NamedTuple):
    """What the topics say of events and customers.

    Attributes:
        rows: event id -> what was said last of it.
        profiles: customer id -> profile, those that there are.
        ended: ids of customers whose profile has ended.
    """

    rows: dict[str, dict[str, Any]]
    profiles: dict[str, dict[str, Any]]
    ended: set[str]

    def owner(self, event_id: str) -> str | None:
        row = self.rows[event_id]
        return row["customer_id"] if row["operation"] == "upsert" else None

    def timeline(self, customer: str) -> set[str]:
        return {event_id for event_id in self.rows if self.owner(event_id) == customer}


def told(pipeline: Pipeline) -> Told:
    revisions: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in pipeline.outputs(pipeline.topics.timeline):
        revisions[row["event"]["event_id"]].append(row)
    rows = {one: max(said, key=lambda row: row["revision"]) for one, said in revisions.items()}
    latest = {record.key.decode(): record.value for record in pipeline.read(pipeline.topics.profiles)}
    return Told(
        rows,
        {key: decoded(value) for key, value in latest.items() if value is not None},
        {key for key, value in latest.items() if value is None},
    )


class Erased(NamedTuple):
    """The pipeline, and what it said: before the erasure, after it, after the replay, after all.

    `changes` are those of the erasure; `kept` is what was in state and in changelogs after the replay.
    """

    pipeline: Pipeline
    before: Told
    after: Told
    replayed: Told
    end: Told
    changes: list[dict[str, Any]]
    kept: dict[str, dict[bytes, bytes]]


@pytest.fixture(scope="module")
def erased(bootstrap_servers, tmp_path_factory) -> Iterator[Erased]:
    prefix, folder = f"t{uuid.uuid4().hex[:10]}.", tmp_path_factory.mktemp("erasure")
    with Pipeline(bootstrap_servers, prefix, folder, SETTINGS) as pipeline:
        pipeline.start("w1")
        pipeline.play(before())
        pipeline.drain()
        first = told(pipeline)
        known = len(pipeline.read(pipeline.topics.changes))
        given = pipeline.raccord(
            "identity", "erase", f"email:{EMAIL.upper()}", "--reason", "she asks for it",
            "--operator", "zoe", "--time", ERASED_AT, "--yes",
        )  # fmt: skip
        assert given.returncode == 0, given.stderr
        pipeline.mark(START + 61 * MINUTE)
        pipeline.drain()
        second = told(pipeline)
        changes = pipeline.outputs(pipeline.topics.changes)
        pipeline.play(before())
        pipeline.play(late())
        pipeline.drain()
        third = told(pipeline)
        pipeline.workers["w1"].stop()
        kept = {**pipeline.rows(), **compacted(pipeline)}
        pipeline.start("w1")
        pipeline.play(after())
        pipeline.mark(START + 48 * 60 * MINUTE)
        pipeline.drain()
        assert known < len(changes)
        yield Erased(pipeline, first, second, third, told(pipeline), changes, kept)


def compacted(pipeline: Pipeline) -> dict[str, dict[bytes, bytes]]:
    """Return the last value of every key in the changelogs and among the profiles."""
    topics = pipeline.topics
    return {
        topic: {
            record.key: record.value
            for record in sorted(pipeline.read(topic), key=lambda record: (record.partition, record.offset))
        }
        for topic in (*topics.changelogs.values(), topics.profiles)
    }


def test_she_was_one_customer_in_two_channels_and_ben_another(erased):
    customers = {erased.before.owner(event_id) for event_id in HERS}
    assert len(customers) == 1
    (hers,) = customers
    assert hers is not None
    assert erased.before.profiles[hers]["event_count"] == len(HERS)
    assert erased.before.timeline(str(erased.before.owner("b-page"))) == {
        "b-order",
        "b-tablet",
        "b-page",
        "b-gift",
    }


def test_her_events_are_on_no_timeline_and_what_is_said_of_them_last_is_bare(erased):
    for told_then in (erased.after, erased.replayed, erased.end):
        for event_id in HERS:
            row = told_then.rows[event_id]
            assert row["operation"] == "remove"
            assert (row["event"]["identifiers"], row["event"]["properties"]) == ({}, {})


def test_her_profile_has_ended(erased):
    hers = erased.before.owner("a-view")
    for told_then in (erased.after, erased.replayed, erased.end):
        assert hers in told_then.ended


def test_the_erasure_is_among_the_changes_of_customers_without_what_was_erased(erased):
    (change,) = [change for change in erased.changes if change["change"] == "erased"]
    assert change["from"] == [erased.before.owner("a-view")]
    assert change["into"] == []
    assert change["cause"]["operator"] == "zoe"
    assert not any(trace in repr(change).encode() for trace in TRACES)


def test_ben_keeps_his_events_without_what_was_hers(erased):
    ben = str(erased.before.owner("b-page"))
    for told_then in (erased.after, erased.replayed):
        assert told_then.timeline(ben) >= {"b-order", "b-tablet", "b-page", "b-gift"}
    assert erased.after.rows["b-gift"]["event"]["identifiers"] == BEN
    assert erased.end.timeline(ben) >= {"b-order", "b-tablet", "b-page", "b-gift", "b-again"}
    assert EMAIL not in repr(erased.end.profiles[ben])


def test_nothing_of_her_is_left_in_state_or_in_the_last_values_of_its_topics(erased):
    assert sum(map(len, erased.kept.values())) > 20
    found = [
        (where, trace, key)
        for where, rows in erased.kept.items()
        for key, value in rows.items()
        for trace in TRACES
        if value is not None and (trace in key or trace in value)
    ]
    assert found == []


def test_what_is_kept_to_keep_her_away_is_a_keyed_hash_with_a_time(erased):
    settings = erased.pipeline.settings
    labels = Labels(load_policy(settings), settings.customer_key.get_secret_value().encode())
    for identifier in (
        f"user_id:{ACCOUNT}",
        f"email:{EMAIL}",
        f"phone:{PHONE}",
        f"loyalty:{CARD}",
        f"cookie:{COOKIE}",
    ):
        label = labels.of(identifier).encode()
        assert any(key.endswith(label) for rows in erased.kept.values() for key in rows)


def test_what_arrives_late_from_before_loses_her_identifiers(erased):
    assert erased.replayed.owner("a-gone") is None
    row = erased.replayed.rows["a-late"]
    assert row["operation"] == "upsert"
    assert row["event"]["identifiers"] == {"cookie": "new-laptop"}
    assert erased.replayed.timeline(row["customer_id"]) == {"a-late"}


def test_she_comes_back_as_a_stranger(erased):
    stranger = erased.end.owner("a-again")
    assert stranger is not None
    assert erased.end.timeline(stranger) == {"a-again"}
    profile = erased.end.profiles[stranger]
    assert (profile["event_count"], profile["orders"]) == (1, 0)
    assert CARD not in repr(profile)
    assert PHONE not in repr(profile)


def test_the_books_balance_and_no_revision_was_published_twice(erased):
    books = erased.pipeline.books()
    assert books.lost == books.doubled == 0
    assert books.balanced
    assert books.dropped == len(HERS) + 1
