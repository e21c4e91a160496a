"""A replay of topics that were read live fires the triggers that were fired then: same ids, due times, last words.

Life goes by the broker's clock (`RACCORD_TIME=wall`), with a rule that waits for seconds. Then a deployment of its own
reads copies of the very records (`RACCORD_TIME=events`), partition by partition, with the timestamps that they had;
it ends as `raccord replay` does, with clock markers. What must be equal:
- which triggers have a fire as their last word, by id, with their due times;
- when they were sent, for those that life sent on time;
- which customer each event belongs to, what is refused, and that the books balance.

What may differ, because it is about when a worker came to know something: a trigger that life sent and took back a
replay may not send at all, for its clock need not have passed the due time when it reads what came late. For the
same reason there is no `at_most` here, which goes by what was sent before, and nothing late moves a due time.
"""

from __future__ import annotations

import re
import time
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from connectors.planned import Planned
from stream_app.domain.event import ChannelEvent
from tests.pipeline_job import HOUR, Outcome, Pipeline
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.broker

RULE = """\
name: abandoned_cart
version: 1
channel: [email]
key: cart_id
opens: {event: Product Added}
keeps_open: {event: [Product Added, Cart Viewed]}
closes: {event: Order Completed, match: cart_id}
after: 5s
if: cart.value >= 20.0
retract_within: 24h
payload: [cart]
"""
AFTER = 5_000
SHOPPERS = 6
CLOSING = 48 * HOUR
PATIENCE_S = 90.0
# The shop's records are copied first: in life they came last.
SETTINGS = {"RACCORD_CHANNELS": "store,web"}


def now() -> int:
    return time.time_ns() // 1_000_000


def event(
    event_id: str, at: int, kind: str, identifiers: dict[str, Any], channel: str = "web", **properties: Any
) -> Planned:
    told = ChannelEvent(event_id, at, channel, kind, identifiers, properties)
    return Planned(channel=channel, at=at, event=told, key=event_id.encode())


def basket(who: str, identifiers: dict[str, str]) -> Planned:
    return event(
        f"{who}-add", now(), "Product Added", identifiers,
        cart_id=f"cart-{who}", product_id="SKU-1", price=40.0, quantity=1, currency="EUR",
    )  # fmt: skip


def order(who: str, at: int, identifiers: dict[str, str]) -> Planned:
    return event(
        f"{who}-order", at, "Order Completed", identifiers, "store",
        order_id=f"order-{who}", total=40.0, currency="EUR",
    )  # fmt: skip


def ahead() -> Iterator[Planned]:
    """Devices whose clocks are half a day ahead; enough of them that every partition of every channel has one."""
    for number in range(3 * SHOPPERS):
        for channel in ("web", "store"):
            name = f"{channel}-device-{number}"
            yield event(name, now() + 12 * HOUR, "Product Viewed", {"device": name}, channel, sku="SKU-1")


def in_time() -> Iterator[Planned]:
    """What is read before its time is up: baskets, orders in the shop, and who is who."""
    for n in range(SHOPPERS):
        kept = basket(f"kept{n}", {"cookie": f"kept-{n}"})
        yield kept
        yield event(
            f"kept{n}-view", kept.at + 1, "Cart Viewed", {"cookie": f"kept-{n}"}, cart_id=f"cart-kept{n}"
        )
        bought = basket(f"bought{n}", {"cookie": f"bought-{n}", "email": f"bought{n}@example.org"})
        yield bought
        yield order(f"bought{n}", bought.at + 1, {"email": f"bought{n}@example.org"})
        linked = basket(f"linked{n}", {"cookie": f"linked-{n}"})
        yield linked
        yield order(f"linked{n}", linked.at + 1, {"loyalty": f"LINKED-{n}"})
        yield event(
            f"linked{n}-in",
            linked.at + 2,
            "Signed In",
            {"loyalty": f"LINKED-{n}", "cookie": f"linked-{n}"},
        )
        yield basket(f"late{n}", {"cookie": f"late-{n}", "loyalty": f"LATE-{n}"})
        found = basket(f"found{n}", {"cookie": f"found-{n}"})
        yield found
        yield order(f"found{n}", found.at + 1, {"loyalty": f"FOUND-{n}"})
        yield basket(f"twice{n}", {"email": f"twice{n}@example.org"})


def afterwards(added: dict[str, int]) -> Iterator[Planned]:
    """What comes when triggers have been sent: orders in time, who is who, another event under a known id, baskets."""
    for n in range(SHOPPERS):
        yield order(f"late{n}", added[f"late{n}-add"] + 1_000, {"loyalty": f"LATE-{n}"})
        yield event(f"found{n}-in", now(), "Signed In", {"loyalty": f"FOUND-{n}", "cookie": f"found-{n}"})
        yield event(
            f"twice{n}-add", added[f"twice{n}-add"], "Order Completed", {"email": f"twice{n}@example.org"},
            "store", order_id=f"order-twice{n}", total=40.0, currency="EUR",
        )  # fmt: skip
        yield basket(f"again{n}", {"cookie": f"kept-{n}"})


def opened_by(*stories: str) -> set[str]:
    return {f"{story}{n}-add" for story in stories for n in range(SHOPPERS)}


class Told(NamedTuple):
    """What a deployment came to, and its trigger messages in the order of sending."""

    outcome: Outcome
    messages: list[dict[str, Any]]

    @property
    def net(self) -> dict[str, tuple[str, int]]:
        """Trigger id -> what opened it and when it was due, of those whose last word is a fire."""
        return {one: (said["opened_by"], said["due"]) for one, said in self.outcome.books.net.items()}

    @property
    def sent(self) -> dict[str, tuple[int, int]]:
        """Trigger id -> due and sent time of those."""
        return {one: (said["due"], said["sent"]) for one, said in self.outcome.books.net.items()}

    def about(self, *stories: str) -> list[tuple[str, str]]:
        return sorted(
            (message["opened_by"], message["action"])
            for message in self.messages
            if message["opened_by"] in opened_by(*stories)
        )


def said(pipeline: Pipeline, action: str) -> set[str]:
    return {message["opened_by"] for message in pipeline.triggers() if message["action"] == action}


def clock(pipeline: Pipeline) -> float:
    """Return where the clock of the customers stands that is furthest back (ms)."""
    page = pipeline.metrics("w1")
    clocks = re.findall(r'^raccord_watermark_seconds\{.*stage="customer".*\} (\S+)', page, re.MULTILINE)
    return min(map(float, clocks)) * 1_000 if len(clocks) == pipeline.settings.partitions else 0.0


def live(pipeline: Pipeline) -> int:
    """Have shoppers live through it; return the time at which all was over (ms)."""
    pipeline.start("w1")
    assert wait_for(pipeline.at_work, PATIENCE_S)
    pipeline.play(ahead())
    first = list(in_time())
    pipeline.play(first)
    sent = opened_by("kept", "late", "found", "twice")
    assert wait_for(lambda: said(pipeline, "fire") >= sent, PATIENCE_S)
    added = {one.event.event_id: one.event.time for one in first if one.event is not None}
    pipeline.play(afterwards(added))
    over = now() + 2 * AFTER
    assert wait_for(
        lambda: (
            clock(pipeline) > over
            and said(pipeline, "fire") >= sent | opened_by("again")
            and said(pipeline, "retract") >= opened_by("late", "found")
        ),
        PATIENCE_S,
    )
    pipeline.workers["w1"].stop()
    return over


@pytest.fixture(scope="module")
def told(bootstrap_servers, tmp_path_factory) -> Iterator[tuple[Told, Told]]:
    """What life said, and its replay."""
    name, folder = uuid.uuid4().hex[:10], tmp_path_factory.mktemp("replay")
    shared = {**SETTINGS, "RACCORD_RULES": str(rules(folder))}
    with (
        Pipeline(
            bootstrap_servers, f"t{name}.life.", folder / "life", {**shared, "RACCORD_TIME": "wall"}
        ) as life,
        Pipeline(bootstrap_servers, f"t{name}.replay.", folder / "replay", shared) as replay,
    ):
        over = live(life)
        replay.copy_inputs_from(life)
        replay.start("w1")
        replay.drain(PATIENCE_S)
        replay.mark(over + CLOSING)
        replay.drain(PATIENCE_S)
        yield Told(life.outcome(), life.triggers()), Told(replay.outcome(), replay.triggers())


def rules(folder: Path) -> Path:
    (folder / "rules").mkdir()
    (folder / "rules" / "abandoned_cart.yaml").write_text(RULE)
    return folder / "rules"


def test_life_fires_what_is_due_and_takes_back_what_was_bought(told):
    life, _ = told
    assert {opener for opener, _ in life.net.values()} == opened_by("kept", "twice", "again")
    assert life.about("late", "found") == [
        (opener, action) for opener in sorted(opened_by("late", "found")) for action in ("fire", "retract")
    ]


def test_a_replay_has_the_same_last_words_with_the_same_ids_and_due_times(told):
    life, replay = told
    assert replay.net == life.net


def test_a_replay_speaks_of_no_trigger_that_life_did_not_speak_of(told):
    life, replay = told
    assert {one["trigger_id"] for one in replay.messages} <= {one["trigger_id"] for one in life.messages}


def test_what_life_sent_on_time_a_replay_sends_at_the_same_time(told):
    life, replay = told
    on_time = {one: times for one, times in life.sent.items() if times[0] == times[1]}
    assert on_time, "life sent nothing on time, so this shows nothing: the machine stood still for seconds"
    assert {one: replay.sent[one] for one in on_time} == on_time


def test_a_replay_has_the_same_customers_and_refuses_the_same(told):
    life, replay = told
    assert replay.outcome.owner == life.outcome.owner
    assert replay.outcome.books.dead_letters == life.outcome.books.dead_letters
    assert sum(life.outcome.books.dead_letters.values()) == SHOPPERS
    for one in told:
        assert one.outcome.books.balanced
