"""The three jobs of the comparison: their events, and what must come out, worked out here without any of the systems.

An event is a JSON object of some 260 bytes: `n` (its number), `at` (event time, ms; its record's timestamp too),
`type`, `customer`, `cents`, `items` and what a web shop's event has besides. Events of one run lie in the order of
their times.

1. `count`: keyed by customer. State per customer: how many events, and the first 200 bytes of the last one. An output
   for every event at which count plus customer's number is a multiple of ten: "<count> <n> <at>".
2. `repartition`: keyed by device; first to another topic, keyed by the customer that the event names; then `count`.
   Which of a customer's events comes first there is nobody's to say, so outputs are compared by their counts.
3. `basket`: keyed by customer. "Product Added" opens a basket or adds to it and has it fall due `GAP` after its time;
   "Order Completed" closes it. A basket whose due time has passed (an event at that very time still counts) is an
   output: "<opened> <due> <items> <cents>". "Product Viewed", six of ten events, changes nothing. As Raccord's
   abandoned_cart, without what Kafka Streams, Quix or Faust have no word for.

`TICK` is the last event of each partition, long after all others, so that event time passes every due time.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

JOBS = ("count", "repartition", "basket")
START = 1_740_960_000_000
"""2025-03-03T00:00:00Z, ms."""
GAP_MS = 30 * 60_000
"""Of replayed events; live ones, which measure latency, wait for `LIVE_GAP_MS`."""
LIVE_GAP_MS = 1_000
KEPT = 200
"""Bytes of the last event that state keeps, so that a row has a size."""
LIVE_APART_S = 3
"""So far apart are a live customer's events: some baskets are left for longer than they may be, some are not."""
TICK = "tick"
TICK_MS = 86_400_000
SPAN_MS = 4 * 3_600_000
"""Event time that a run's events cover. A customer, who has twenty of them, comes every twelve minutes: baskets are
added to, bought, and left."""

ADDED, VIEWED, COMPLETED = "Product Added", "Product Viewed", "Order Completed"


class Event(msgspec.Struct):
    """One event, in the order of its JSON members."""

    n: int
    at: int
    type: str
    customer: str
    cents: int
    items: int
    device: str
    sku: str
    url: str
    agent: str


class Message(msgspec.Struct):
    """A record to write: `partition` -1 leaves it to the key."""

    key: bytes
    value: bytes
    at: int
    partition: int = -1


@dataclass(frozen=True)
class Load:
    """How many events of how many customers, from which seed; `distinct`: each customer once, in order."""

    events: int
    customers: int
    seed: int = 1
    distinct: bool = False


_encode = msgspec.json.Encoder().encode


def events(load: Load) -> Iterator[Event]:
    """Yield a run's events in the order of their times."""
    rnd = random.Random(load.seed)
    step = SPAN_MS / load.events
    for n in range(load.events):
        who = n if load.distinct else rnd.randrange(load.customers)
        yield event(n, START + int(n * step), who, rnd)


def event(n: int, at: int, who: int, rnd: random.Random) -> Event:
    """Return an event of a customer at a time."""
    chance = rnd.random()
    kind = VIEWED if chance < 0.6 else ADDED if chance < 0.9 else COMPLETED
    return Event(
        n, at, kind, f"c{who:07d}", 99 + rnd.randrange(20_000), 1 + rnd.randrange(3),
        f"d{rnd.randrange(1 << 30):010d}", f"sku-{rnd.randrange(50_000):06d}",
        f"https://shop.example/p/{rnd.randrange(50_000):06d}?utm_source=mail&utm_campaign=spring",
        "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    )  # fmt: skip


def message(job: str, one: Event) -> Message:
    """Return the record of an event as the job's input has it."""
    key = one.device if job == "repartition" else one.customer
    return Message(key.encode(), _encode(one), one.at)


def templates(job: str, rate: int) -> Iterator[bytes]:
    """Yield lines for `Live`, which writes so many events a second: key, tab, and an event from behind its time on."""
    rnd = random.Random(2)
    customers = LIVE_APART_S * rate
    for _ in range(2 * customers):
        one = message(job, event(0, 0, rnd.randrange(customers), rnd))
        yield one.key + b"\t" + one.value[len(b'{"n":0,"at":0') :] + b"\n"


def ticks(partitions: int, at: int) -> list[Message]:
    """Return what moves every partition's time beyond all due times."""
    last = Event(-1, at, COMPLETED, TICK, 0, 0, TICK, "", "", "")
    return [Message(f"{TICK}{p}".encode(), _encode(last), at, p) for p in range(partitions)]


def number(customer: str) -> int:
    """Return the number in a customer's id."""
    return int(customer[1:])


def expected(job: str, run: Iterable[Event]) -> Counter[tuple[bytes, bytes]]:
    """Return the (key, value) pairs that a job must have put out in the end, each as often as it must be there."""
    return _baskets(run) if job == "basket" else _counts(run)


def comparable(job: str, found: Counter[tuple[bytes, bytes]]) -> Counter[tuple[bytes, bytes]]:
    """Return what of outputs has to be the same for all systems."""
    if job != "repartition":
        return found
    counts: Counter[tuple[bytes, bytes]] = Counter()
    for (key, value), times in found.items():
        counts[key, value.split()[0]] += times
    return counts


def _counts(run: Iterable[Event]) -> Counter[tuple[bytes, bytes]]:
    found: Counter[tuple[bytes, bytes]] = Counter()
    counts: Counter[str] = Counter()
    for one in run:
        counts[one.customer] += 1
        if (counts[one.customer] + number(one.customer)) % 10 == 0:
            found[one.customer.encode(), b"%d %d %d" % (counts[one.customer], one.n, one.at)] += 1
    return found


def _baskets(run: Iterable[Event]) -> Counter[tuple[bytes, bytes]]:
    found: Counter[tuple[bytes, bytes]] = Counter()
    baskets: dict[str, tuple[int, int, int, int]] = {}

    def abandoned(customer: str, basket: tuple[int, int, int, int]) -> None:
        found[customer.encode(), b"%d %d %d %d" % basket] += 1

    for one in run:
        basket = baskets.get(one.customer)
        if basket is not None and one.at > basket[1]:
            abandoned(one.customer, basket)
            del baskets[one.customer]
            basket = None
        if one.type == COMPLETED:
            baskets.pop(one.customer, None)
        elif one.type == ADDED:
            opened, _, items, cents = basket or (one.at, 0, 0, 0)
            baskets[one.customer] = (opened, one.at + GAP_MS, items + one.items, cents + one.cents)
    for customer, basket in baskets.items():
        abandoned(customer, basket)
    return found
