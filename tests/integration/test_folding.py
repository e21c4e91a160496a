"""A customer of more than 10,000 events is folded again on a live pipeline: over many epochs, across `kill -9`.

A laptop that nobody has signed in on is said to be Ana's, so all that it did moves to her, and she is folded again. The
first worker folds one event in an epoch, so it is always killed in the midst of it; the second one takes bigger steps.
Zoe shops meanwhile, on the same partition.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from stream_app.agents.rules import RulesRow
from stream_app.app import load_rules, with_prefixes
from stream_app.domain.commands import Op
from stream_app.domain.customer_id import customer_id
from stream_app.domain.messages import decode_event
from stream_app.domain.profile import fold
from stream_app.domain.rows import CheckpointRow, CustomerRow, customer_tables
from stream_app.wire import IdentityCommand
from tests.pipeline_job import HOUR, MINUTE, START, Outcome, Pipeline, happened
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connectors.planned import Planned

pytestmark = pytest.mark.broker

ROWS = 10_050
PERIOD = 50
LONG_AGO = -(2**62)
SETTINGS = {"RACCORD_CHANNELS": "web", "RACCORD_PARTITIONS": "1", "RACCORD_FOLD_EVENTS": "1"}
SPECS = {spec.name: spec for spec in with_prefixes(customer_tables(RulesRow))}
LAPTOP = {"cookie": "the-laptop"}
ZOE = {"user_id": "zoe"}


def laptop() -> Iterator[Planned]:
    """Page by page, a minute each; now and then a basket, and every other one of them is paid for."""
    for number in range(1, ROWS):
        cart = {"cart_id": f"cart-{number // PERIOD}"}
        if number % PERIOD == 1:
            yield happened(
                f"e{number:05}", number, "Product Added", LAPTOP,
                **cart, product_id="SKU-1", price=40.0, quantity=1, currency="EUR",
            )  # fmt: skip
        elif number % (2 * PERIOD) == 11:
            yield happened(
                f"e{number:05}", number, "Order Completed", LAPTOP,
                **cart, order_id=f"o-{number}", total=40.0, currency="EUR",
            )  # fmt: skip
        else:
            yield happened(f"e{number:05}", number, "Page Viewed", LAPTOP)


class Written(NamedTuple):
    """What the changelog says of customers, in its order: offset, and the row or checkpoint that was written."""

    rows: list[tuple[int, CustomerRow[RulesRow]]]
    checkpoints: list[tuple[int, CheckpointRow]]

    def of(self, customer: str) -> list[tuple[int, CustomerRow[RulesRow]]]:
        return [(offset, row) for offset, row in self.rows if row.id == customer]


def written(pipeline: Pipeline) -> Written:
    found = Written([], [])
    kinds: tuple[tuple[str, list[Any]], ...] = (
        ("customers", found.rows),
        ("checkpoints", found.checkpoints),
    )
    for record in pipeline.read(pipeline.topics.changelogs["customer"]):
        for name, into in kinds:
            if record.value is not None and record.key.startswith(SPECS[name].prefix):
                into.append((record.offset, SPECS[name].decode(record.value)))
    return found


class Played(NamedTuple):
    """What there was before the laptop was said to be hers, what the changelog said after each worker, and the end."""

    pipeline: Pipeline
    before: Outcome
    killed: Written
    end: Written
    outcome: Outcome
    rows: dict[bytes, bytes]

    def id(self, identifier: str) -> str:
        return customer_id(identifier, self.pipeline.settings.customer_key.get_secret_value().encode())


@pytest.fixture(scope="module")
def played(bootstrap_servers, tmp_path_factory) -> Iterator[Played]:
    prefix, folder = f"t{uuid.uuid4().hex[:10]}.", tmp_path_factory.mktemp("folding")
    with Pipeline(bootstrap_servers, prefix, folder, SETTINGS) as pipeline:
        pipeline.start("w1")
        pipeline.play([happened("ana", 0, "Page Viewed", {"user_id": "ana"})])
        pipeline.play(laptop())
        pipeline.mark(START + ROWS * MINUTE)
        pipeline.drain(120)
        before = pipeline.outcome()
        time = START + ROWS * MINUTE
        names = ("user_id:ana", "cookie:the-laptop")
        pipeline.command(IdentityCommand("mine", Op.ASSERT, *names, time, "zoe", "she says so"))
        assert wait_for(lambda: any(row.fold is not None for _, row in written(pipeline).rows), 120)
        pipeline.play([happened(f"zoe-{n}", ROWS + n, "Page Viewed", ZOE) for n in range(3)])
        assert wait_for(lambda: {"zoe-0", "zoe-1", "zoe-2"} <= pipeline.published(), 60)
        pipeline.workers.pop("w1").kill()
        killed = written(pipeline)
        pipeline.environment["RACCORD_FOLD_EVENTS"] = "500"
        pipeline.start("w1")
        pipeline.mark(START + (ROWS * MINUTE) + 48 * HOUR)
        pipeline.drain(120)
        end, outcome = written(pipeline), pipeline.outcome()
        assert pipeline.workers["w1"].stop() == 0
        (rows,) = [rows for task, rows in pipeline.rows().items() if task.startswith("customer")]
        yield Played(pipeline, before, killed, end, outcome, rows)


def test_the_worker_was_killed_while_the_customer_was_being_folded(played):
    _, last = played.killed.of(played.id("user_id:ana"))[-1]
    assert last.fold is not None
    assert last.fold.step > 1
    assert last.profile.events == 1, "a profile that is not whole is not the customer's"


def test_another_customers_events_are_handled_between_two_epochs_of_the_fold(played):
    folding = [offset for offset, row in played.end.of(played.id("user_id:ana")) if row.fold is not None]
    zoe = [offset for offset, _ in played.killed.of(played.id("user_id:zoe"))]
    assert zoe
    assert folding[0] < min(zoe)
    assert max(zoe) < folding[-1]


def test_what_was_folded_before_the_kill_is_not_folded_again(played):
    counts = [row.events for _, row in played.end.checkpoints]
    assert counts[: len(played.killed.checkpoints)] == [row.events for _, row in played.killed.checkpoints]
    after = counts[len(played.killed.checkpoints) :]
    assert min(after) > played.killed.checkpoints[-1][1].events
    assert after


def test_in_the_end_the_profile_is_that_of_all_events_at_once(played):
    ana, laptop_id = played.id("user_id:ana"), played.id("cookie:the-laptop")
    prefix = SPECS["timeline"].prefix
    timeline = [
        decode_event(row.event)
        for row in (
            SPECS["timeline"].decode(raw) for key, raw in played.rows.items() if key.startswith(prefix)
        )
        if row.customer == ana
    ]
    timeline.sort(key=lambda event: event.order)
    assert [event.event_id for event in timeline] == [
        "ana",
        *(f"e{number:05}" for number in range(1, ROWS)),
    ]
    _, row = played.end.of(ana)[-1]
    assert row.fold is None
    assert row.profile == fold(timeline)
    profiles = played.outcome.profiles
    assert laptop_id not in profiles
    assert profiles[ana]["event_count"] == ROWS
    assert profiles[ana]["orders"] == sum(n % (2 * PERIOD) == 11 for n in range(1, ROWS))


def test_the_rules_come_to_what_folding_everything_at_once_comes_to(played):
    book = load_rules(played.pipeline.settings)
    _, row = played.end.of(played.id("user_id:ana"))[-1]
    assert row.rules is not None
    prefix = SPECS["timeline"].prefix
    events = sorted(
        (
            decode_event(SPECS["timeline"].decode(raw).event)
            for key, raw in played.rows.items()
            if key.startswith(prefix)
        ),
        key=lambda event: event.order,
    )
    events = [event for event in events if event.identifiers == ("cookie:the-laptop",)]
    assert len(events) == ROWS - 1
    state = book.refold(events)
    decided = book.settle(state, START + ROWS * MINUTE + 48 * HOUR, LONG_AGO)
    assert {one.opened_by for one in decided if one.action == "fire"} == {
        message["opened_by"] for message in played.outcome.books.net.values()
    }


def test_no_trigger_is_sent_anew_or_taken_back(played):
    assert len(played.before.net) > 1
    assert played.outcome.net >= played.before.net
    messages = [(message["trigger_id"], message["action"]) for message in played.pipeline.triggers()]
    assert len(messages) == len(set(messages))
    assert {action for _, action in messages} == {"fire"}


def test_the_books_balance(played):
    books = played.outcome.books
    assert books.balanced
    assert books.lost == books.doubled == 0
