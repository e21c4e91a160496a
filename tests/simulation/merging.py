"""The real road, live: who has said no, or has bought, is sent nothing, though it is another component that knows.

A customer's card says no, or buys; her browser fills a basket; a sign-in with both joins the two, and a trigger falls
due while they are being joined: by workers that crash, freeze and lose their partitions. Some customers have a second
browser or a mail address, so that mergers meet. What must come of it:
- **nothing is sent** for a basket if what forbids it, and what joins the two, were both written before it was due, by
  the broker's own clock;
- time goes on: of every basket that wasn't bought something is decided.

Whoever was joined or said no later than that may be sent something, or nothing.
"""

from __future__ import annotations

import random
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from faust.types import TP

from stream_app.domain.event import ChannelEvent
from stream_app.domain.segments import SegmentBook
from stream_app.engine.watermark import TimeMode
from stream_app.wire import encode_single_object
from tests.simulation.job import Input, Job
from tests.simulation.road import PARTITIONS, Deployment
from tests.simulation.rows import visible
from tests.simulation.seams import START_S

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.simulation.job import Rows
    from tests.simulation.transactions import Broker

BEGIN = int(START_S * 1000)
"""When a simulation begins by the broker's clock."""
HURRY = 500
"""What the rule waits for, ms."""
TOLERANCE = 20
RULE = """
name: hurry
version: 1
description: Somebody left a basket half a second ago.
purpose: marketing
channel: [email]
key: cart_id
opens: {event: Product Added}
closes: {event: Order Completed}
after: 500ms
"""
CHANNEL = "web"


class Shopper(NamedTuple):
    """One customer: ids of her events, and when her basket is due (ms).

    Attributes:
        basket: opens the rule, in her browser.
        said: what her card has against sending; None: nothing.
        joins: what joins the two.
        bought: what her card says is that she has bought.
    """

    basket: str
    said: str | None
    joins: tuple[str, ...]
    due: int
    bought: bool


def job(seed: int) -> Job:
    """Return the job with shoppers of its own for each seed."""
    one, rnd = deployment(), random.Random(f"merging {seed}")
    shoppers, events = [], []
    for number in range(rnd.randrange(1, 5)):
        shopper, hers = _shopper(rnd, number)
        shoppers.append(shopper)
        events.append(hers)
    inputs = [_input(one, rnd, event) for event in _shuffled(rnd, events)]

    def problems(broker: Broker, _rows: Mapping[str, Rows]) -> list[str]:
        return [problem for shopper in shoppers for problem in _wrong(one, broker, shopper)]

    topics = one.topics
    return Job(
        one.stages,
        one.partitions,
        one.dispatcher,
        inputs,
        problems,
        stamped=(*topics.inputs.values(), topics.commands, topics.lookup, topics.components),
        mode=TimeMode.WALL,
        tolerance_ms=TOLERANCE,
        until=BEGIN + 3_600_000,
        max_ahead_ms=0,
        upsets=0.05,
    )


@lru_cache(maxsize=1)
def deployment() -> Deployment:
    """Return the one deployment, made when it is first asked for."""
    return Deployment(TimeMode.WALL, [RULE], SegmentBook([]))


def _shopper(rnd: random.Random, number: int) -> tuple[Shopper, list[ChannelEvent]]:
    """Return a customer, and her events in the order in which they are written."""
    due = BEGIN + rnd.randrange(500, 5_000)
    opened = due - HURRY
    cart, mail = f"cart-{number}", {"email": f"p{number}@shop.example"}
    card, browser = {"loyalty": f"L-{number}"}, {"cookie": f"c{number}"}
    if rnd.random() < 0.3:  # which of the two moves is for their names to say
        card, browser = browser, card

    def event(name: str, kind: str, identifiers: dict[str, str], at: int, **properties: Any) -> ChannelEvent:
        return ChannelEvent(f"{name}-{number}", at, CHANNEL, kind, identifiers, properties)

    product = {"sku": "A", "price": 40.0, "quantity": 1, "currency": "EUR"}
    basket = event("add", "Product Added", browser, opened, cart_id=cart, **product)
    said = rnd.choice(
        (
            event("said", "Consent Changed", card, BEGIN - 1_000, purpose="marketing", consent=False),
            event("said", "Order Completed", card, opened + 1, order_id=cart, cart_id=cart, revenue=40.0),
            None,
        )
    )
    joins = [event("join", "Signed In", card | browser, BEGIN)]
    if rnd.random() < 0.5:  # three components, of which two may be joined while the third comes
        joins = [
            event("join", "Signed In", card | mail, BEGIN),
            event("mail", "Signed In", mail | browser, BEGIN),
        ]
    hers = [basket, *joins, *([] if said is None else [said])]
    rnd.shuffle(hers)
    names = tuple(one.event_id for one in joins)
    bought = said is not None and said.type == "Order Completed"
    return Shopper(basket.event_id, None if said is None else said.event_id, names, due, bought), hers


def _shuffled(rnd: random.Random, events: list[list[ChannelEvent]]) -> Iterator[ChannelEvent]:
    """Yield everybody's events; each customer's in their own order."""
    left = [list(hers) for hers in events]
    while left := [hers for hers in left if hers]:
        yield rnd.choice(left).pop(0)


def _input(one: Deployment, rnd: random.Random, event: ChannelEvent) -> Input:
    topic = one.topics.channels[event.channel]
    key, value = event.event_id.encode(), encode_single_object(event)
    return Input(TP(topic, rnd.randrange(PARTITIONS)), key, value, (), event.time)


def _wrong(one: Deployment, broker: Broker, shopper: Shopper) -> list[str]:
    """Say what is wrong about a customer's basket."""
    decided = list(_decided(one, broker, shopper.basket))
    if not decided and not shopper.bought:
        return [f"nothing was decided about {shopper.basket}"]
    written = {
        record.key.decode(): record.timestamp
        for record in visible(broker, one.topics.channels[CHANNEL])
        if record.key is not None
    }
    sent = [at - BEGIN for outcome, at in decided if outcome == "fired"]
    if shopper.said is None or not sent:
        return []
    known = max(written[name] for name in (shopper.said, *shopper.joins))
    if known > shopper.due:
        return []
    due = shopper.due - BEGIN
    return [f"{shopper.basket}, due at {due}, was sent at {sent} against what was written at {known - BEGIN}"]


def _decided(one: Deployment, broker: Broker, basket: str) -> Iterator[tuple[str, int]]:
    """Yield what was decided about the basket that an event opened, and when."""
    for record in visible(broker, one.topics.decisions):
        decision = one.reader.read(record.value or b"")[1]
        if decision["opened_by"] == basket:
            yield decision["outcome"], record.timestamp
