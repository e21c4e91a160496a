"""Customers whose numbers are told as they live: entries in any order, customers that merge, split and are erased.

A stand-in for what the customer stage does around the fold: it keeps timelines, checkpoints and what was told, makes a
fold again from the last checkpoint before what has changed, a few entries at a time, and sums whatever differences go
out. `lives` draws what happens.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from stream_app.domain.event import Event
from stream_app.domain.keys import label_key, timeline_key
from stream_app.domain.numbers import (
    Numbers,
    Sent,
    TakenBack,
    Told,
    in_turn,
    keep,
    resume,
    send_step,
    step,
)
from stream_app.domain.profile import Profile, apply

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Iterator

    from stream_app.domain.numbers import Entry, Increments

Place = tuple[int, str]

MINUTE = 60_000
DAY = 1440 * MINUTE
START = 1_767_225_600_000 - 3 * DAY
"""Three days before a new year."""

_pack = msgspec.msgpack.Encoder().encode
_profile = msgspec.msgpack.Decoder(Profile).decode


class Rows:
    """A table, in memory."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}
        self.get, self.put, self.delete = self.rows.get, self.rows.__setitem__, self.rows.pop

    def scan(self, prefix: bytes, start: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """As the store's, a scan does not care for what is written meanwhile."""
        found = sorted(row for row in self.rows.items() if row[0].startswith(prefix))
        return (row for row in found if start is None or row[0] >= start)


@dataclass
class Customer:
    """What is kept of one: entries by place, checkpoints."""

    prefix: bytes = b""
    places: list[Place] = field(default_factory=list)
    entries: dict[Place, Event | Entry] = field(default_factory=dict)
    checkpoints: list[tuple[Place, bytes, bytes]] = field(default_factory=list)
    state: Numbers = field(default_factory=Numbers)
    profile: Profile = field(default_factory=Profile)


class World:
    """Customers, and the sums of what was told of them."""

    def __init__(self, every: int = 3, turn: int = 4) -> None:
        self.customers: dict[str, Customer] = {}
        self.sums: Counter[Any] = Counter()
        self.rows = Rows()
        self.told = Told(self.rows, self.add)
        self.every = every
        self.turn = turn
        self.refolds = 0

    @property
    def cells(self) -> dict[Any, int]:
        return {cell: amount for cell, amount in self.sums.items() if amount}

    def entries(self) -> dict[str, list[Any]]:
        return {name: list(one.entries.values()) for name, one in self.customers.items()}

    def add(self, increments: Increments) -> None:
        assert 0 not in increments.values()
        self.sums.update(increments)

    def customer(self, name: str) -> Customer:
        return self.customers.setdefault(name, Customer(label_key(name)))

    def arrive(self, name: str, *entries: Event | Entry) -> None:
        for entry in entries:
            customer, place = self.customer(name), entry.order
            late = not in_turn(customer.state, customer.profile, place)
            insort(customer.places, place)
            customer.entries[place] = entry
            if late:
                self.again(customer, place)
                continue
            self.told.tell(timeline_key(customer.prefix, *place), fold(customer, entry))
            if len(customer.entries) % self.every == 0:
                customer.checkpoints.append(checkpoint(customer, place))

    def move(self, loser: str, winner: str, places: Iterable[Place]) -> None:
        """Let some of a customer's entries be another's."""
        old, new = self.customers[loser], self.customer(winner)
        moved = sorted(places)
        for place in moved:
            old.places.remove(place)
            insort(new.places, place)
            new.entries[place] = old.entries.pop(place)
            here, there = (timeline_key(one.prefix, *place) for one in (old, new))
            if (
                place[0] % 2 and here in self.rows.rows
            ):  # what was told may go along, or be taken back and told anew
                self.rows.put(there, self.rows.rows.pop(here))
        if moved:
            self.again(old, moved[0])
            self.again(new, moved[0])

    def erase(self, name: str, until: Place) -> None:
        """Let what is before a place be gone."""
        customer = self.customers[name]
        gone = customer.places[: bisect_left(customer.places, until)]
        for place in gone:
            customer.places.remove(place)
            del customer.entries[place]
            if place[0] % 2:  # it may be taken back at once, or when the fold is made again
                self.told.take_back(timeline_key(customer.prefix, *place))
        if gone:
            self.again(customer, gone[0])

    def again(self, customer: Customer, since: Place) -> None:
        """Make a fold again, as many entries at a time as a turn has."""
        self.refolds += 1
        begin(customer, since)
        while True:
            last = customer.checkpoints[-1][0] if customer.checkpoints else None
            ahead = [place for place in customer.places if last is None or place > last]
            start = None if last is None else timeline_key(customer.prefix, *last) + b"\0"
            retelling = self.told.again(customer.prefix, start)
            for place in ahead[: self.turn]:
                key = timeline_key(customer.prefix, *place)
                retelling.tell(key, fold(customer, customer.entries[place]))
            if len(ahead) <= self.turn:
                retelling.end()
                return
            customer.checkpoints.append(checkpoint(customer, ahead[self.turn - 1]))
            begin(customer, (1 << 60, ""))


def fold(customer: Customer, entry: Event | Entry) -> Increments:
    """Fold an entry, which is behind all others."""
    if isinstance(entry, Sent | TakenBack):
        return send_step(customer.state, entry)
    apply(customer.profile, entry)
    return step(customer.state, entry, customer.profile)


def parts(state: Numbers) -> tuple[bytes, bytes]:
    """Return what `changed` speaks of, as bytes."""
    return _pack(state.journey), _pack(state.bookings)


def checkpoint(customer: Customer, place: Place) -> tuple[Place, bytes, bytes]:
    return place, keep(customer.state), _pack(customer.profile)


def begin(customer: Customer, since: Place) -> None:
    """Go back to the last checkpoint before a place."""
    while customer.checkpoints and customer.checkpoints[-1][0] >= since:
        customer.checkpoints.pop()
    customer.state, customer.profile = Numbers(), Profile()
    if customer.checkpoints:
        _, kept, profile = customer.checkpoints[-1]
        state = resume(kept)
        assert state is not None
        customer.state, customer.profile = state, _profile(profile)


# -- what happens in them ------------------------------------------------------------------------------

CHANNELS = ("web", "app", "store", "email", "call_center", "chatbot", "social", "catalog")
KINDS: dict[str, tuple[str, ...]] = {
    "browse": ("Page Viewed", "Product Viewed", "Signed In", "Visit Started", "Email Opened", "Identify"),
    "order": ("Order Completed", "Order Completed", "Order Updated", "Order Cancelled", "Order Refunded"),
    "message": (
        "Email Delivered",
        "SMS Delivered",
        "Link Clicked",
        "Link Clicked",
        "Push Notification Tapped",
    ),
    "promotion": ("Promotion Viewed", "Promotion Clicked", "Coupon Redeemed"),
    "answer": ("Satisfaction Rated", "Satisfaction Rated", "Call Ended", "Conversation Ended"),
}
VALUES: dict[str, tuple[Any, ...]] = {
    "order_id": ("o1", "o2", "o3", 4),
    "total": (1, 2.5, 0.1, 99.99, 0.000001, 0.000007, -3, 10**11, "7.77"),
    "currency": ("EUR", "EUR", "USD", "bad"),
    "campaign_id": ("spring", "summer", 7),
    "message_id": ("m1", "m2", "m3"),
    "device_type": ("phone", "Desktop", "fridge", ""),
    "rating": (1, 3, 4, 5, "4", 6, 3.5),
    "recommend": (0, 6, 7, 8, 9, 10, 11, "9", 8.5),
}
JUNK = (None, "", True, -1, [], {}, float("nan"), 2**62)
SELDOM = frozenset({"device_type", "campaign_id"})
GAPS = (
    0,
    1,
    MINUTE,
    29 * MINUTE,
    30 * MINUTE,
    31 * MINUTE,
    DAY // 5,
    DAY,
    6 * DAY,
    7 * DAY,
    11 * DAY,
    45 * DAY,
)


def life(draw: random.Random, number: int, most: int = 30) -> list[Event | Entry]:
    """Draw one customer's entries, in order."""
    kinds = draw.choice(
        (tuple(KINDS), ("browse", "order"), ("order",), ("message", "order", "browse"), ("answer",))
    )
    time, found = START + draw.choice((0, DAY // 3)), []
    for place in range(draw.randint(1, most)):
        time += draw.choice(GAPS)
        if draw.random() < 0.15:
            found += sends(draw, number, place, time)
            continue
        kind = draw.choice(KINDS[draw.choice(kinds)])
        said = {
            name: draw.choice(JUNK) if draw.random() < 0.05 else draw.choice(VALUES[name])
            for name in VALUES
            if draw.random() < (0.3 if name in SELDOM else 0.8)
        }
        channel = draw.choice(CHANNELS)
        found.append(Event(f"e{number}.{place}", time, channel, kind, ("cookie:1",), said, 0, "t/0/0"))
    return sorted({one.order: one for one in found}.values(), key=lambda one: one.order)


def sends(draw: random.Random, number: int, place: int, time: int) -> list[Entry]:
    """Draw a trigger that was sent, and perhaps taken back; one in three is one that may have been sent before."""
    again = draw.random() < 0.33
    name = f"{number}.again" if again else f"{number}.{place}"
    rule, channel = ("cart", "email") if again else (draw.choice(("cart", "welcome")), "push")
    found: list[Entry] = [Sent(name, rule, channel, time)]
    if draw.random() < 0.4:
        later = time + draw.choice((1, DAY, 3 * DAY, 7 * DAY, 8 * DAY))
        found.append(TakenBack(name, rule, channel, time, later))
    return found
