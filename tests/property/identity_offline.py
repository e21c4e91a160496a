"""What a simulated deployment (`identity_world`) is held against: the same answer, computed from all events.

Also the events: shoppers some of whom share an identifier, with copies, conflicts and clocks that disagree.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from stream_app.domain.customer_id import customer_id
from stream_app.domain.event import Context, Event
from stream_app.domain.keys import label_key, names_of
from stream_app.domain.labels import Labels, ordered
from stream_app.domain.profile import fold
from stream_app.domain.rows import SAMPLE
from tests.property.identity_world import KEY, NAMES, POLICY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_app.domain.customer import Customer
    from tests.property.identity_world import World

TYPES = (
    "Page Viewed",
    "Product Viewed",
    "Product Added",
    "Product Removed",
    "Cart Emptied",
    "Order Completed",
    "Identify",
    "Consent Changed",
)


@dataclass
class Expected:
    """A component as computed from all events at once.

    `refused` are the identifiers of events that had two contents: the one that was refused may have led a row
    to where it is not a member, so that it goes by a redirect for ever.
    """

    label: str
    identifiers: set[str]
    events: list[Event]
    refused: set[str]

    @property
    def members(self) -> dict[str, int]:
        since: dict[str, int] = {}
        for event in self.events:
            for identifier in event.identifiers:
                since[identifier] = min(event.time, since.get(identifier, event.time))
        return since

    @property
    def customers(self) -> dict[str, Expected]:
        """Customer id -> the same for each customer: what only refused contents connected comes apart again."""
        parent = {name: name for name in self.members}

        def find(name: str) -> str:
            while parent[name] != name:
                name = parent[name]
            return name

        for event in self.events:
            for other in event.identifiers[1:]:
                parent[find(other)] = find(event.identifiers[0])
        names: dict[str, set[str]] = defaultdict(set)
        for name in parent:
            names[find(name)].add(name)
        found = {}
        for members in names.values():
            events = [event for event in self.events if event.identifiers[0] in members]
            one = Expected(self.label, members, events, self.refused)
            since = one.members
            first = min(since, key=lambda name: (POLICY.priority(name), since[name], name))
            found[customer_id(first, KEY)] = one
        return found

    @property
    def sightings(self) -> dict[tuple[str, ...], tuple[int, int, int, list[tuple[int, str]]]]:
        """Identifiers that events carried together -> first and last time, how many, the earliest."""
        orders: dict[tuple[str, ...], list[tuple[int, str]]] = defaultdict(list)
        for event in self.events:
            orders[event.identifiers].append(event.order)
        return {
            names: (min(seen)[0], max(seen)[0], len(seen), sorted(seen)[:SAMPLE])
            for names, seen in orders.items()
        }


LABELS = Labels(POLICY, KEY)


def offline(events: Sequence[Event]) -> list[Expected]:
    """Union-find over all events; of the copies under one id in one component the first to arrive stands."""
    parent: dict[str, str] = {}
    own = {name: LABELS.of(name) for event in events for name in event.identifiers}

    def find(name: str) -> str:
        label = own[name]
        parent.setdefault(label, label)
        while parent[label] != label:
            label = parent[label]
        return label

    for event in events:
        for other in event.identifiers:
            winner, loser = ordered(find(event.identifiers[0]), find(other))
            parent[loser] = winner
    standing: dict[str, dict[str, Event]] = defaultdict(dict)
    for event in sorted(events, key=lambda event: (event.received, event.source)):
        standing[find(event.identifiers[0])].setdefault(event.event_id, event)
    groups: dict[str, set[str]] = defaultdict(set)
    for name in own:
        groups[find(name)].add(name)
    refused: dict[str, set[str]] = defaultdict(set)
    for event in events:
        label = find(event.identifiers[0])
        if event.identifiers != standing[label][event.event_id].identifiers:
            refused[label] |= {*event.identifiers, *standing[label][event.event_id].identifiers}
    return [
        Expected(label, groups[label], sorted(held.values(), key=lambda event: event.order), refused[label])
        for label, held in standing.items()
    ]


def check(world: World, events: Sequence[Event]) -> None:
    """Compare a world at rest with the offline answer. Raises AssertionError."""
    expected = offline(events)
    places = Counter(event.event_id for component in expected for event in component.events)
    for component in expected:
        check_component(world, component, places)
    held = sum(len(rows["timeline"]) for rows in world.component_tables)
    assert held == places.total(), "an event is in two places, or left behind"
    for name in ("members", "sightings", "events", "customers", "repairs", "verdicts", "erasures"):
        rows = sum(len(tables[name]) for tables in world.component_tables)
        wanted = {
            "members": sum(len(component.members) for component in expected),
            "sightings": sum(len(component.sightings) for component in expected),
            "events": held,
            "customers": sum(len(component.customers) for component in expected),
            "repairs": 0,
            "verdicts": 0,
            "erasures": 0,
        }
        assert rows == wanted[name], f"rows left behind in {name}"
    assert {*world.effects.profiles} == {one for component in expected for one in component.customers}
    if not world.twice:
        counts = world.effects.counts
        assert len(events) == held + counts["duplicate"] + counts["conflict"], "the ledger does not balance"


def check_component(world: World, expected: Expected, places: Counter[str]) -> None:
    for identifier in expected.identifiers:
        assert world.root(world.label(identifier)) == expected.label, "an identifier leads elsewhere"
    for identifier in expected.members.keys() - expected.refused:
        assert world.label(identifier) == expected.label, "a row was not repointed"
    home, prefix = world.home(expected.label), label_key(expected.label)
    tables = world.tables_of(expected.label)
    sightings = {
        names_of(prefix, key): (row.first, row.last, row.count, [*map(tuple, row.sample)])
        for key, row in tables["sightings"].scan(prefix)
    }
    if world.twice:  # what is taken in twice is counted twice
        assert sightings.keys() == expected.sightings.keys()
    else:
        assert sightings == expected.sightings
    found = {}
    for slot in {group.slot for group in home.identities(expected.label).all.groups.values()}:
        customer = home.customer(expected.label, slot)
        assert customer is not None, "a customer is missing"
        assert customer.at.header.size == len(expected.members)
        assert customer.settled or not world.ordered or world.twice
        found[customer.id] = customer
    wanted = expected.customers
    assert found.keys() == wanted.keys()
    for name, customer in found.items():
        check_customer(world, customer, wanted[name], places)


def check_customer(world: World, customer: Customer, expected: Expected, places: Counter[str]) -> None:
    found = list(customer.timeline())
    assert [event for event, _ in found] == expected.events, "the timeline is another one"
    assert {row.customer for _, row in found} == {customer.id}
    assert set(customer.identifiers()) == expected.members.keys()
    assert customer.profile == fold(expected.events), "the profile is another one"
    assert world.effects.profiles[customer.id] == customer.profile
    for event, row in found:
        if places[event.event_id] == 1:
            assert world.effects.published[event.event_id][:2] == (row.revision, row.customer)


def shoppers(seed: int, customers: int = 8, events: int = 120, shared: float = 0.4) -> list[Event]:
    """Return events of customers, some of whom share an identifier, with copies and conflicts among them."""
    draw = random.Random(seed)
    known: list[list[str]] = []
    for number in range(customers):
        counts = (
            1,
            draw.randrange(2),
            draw.randrange(3),
            draw.randrange(2),
            draw.randrange(3),
            draw.randrange(1, 4),
        )
        own = [
            f"{name}:{number}.{n}" for name, count in zip(NAMES, counts, strict=True) for n in range(count)
        ]
        if known and draw.random() < shared:
            own.append(draw.choice(draw.choice(known)))
        known.append(own)
    made: list[Event] = []
    for number in range(events):
        if made and draw.random() < 0.1:
            made.append(again(draw, draw.choice(made), number))
            continue
        own = draw.choice(known)
        count = 1 if draw.random() < 0.35 else draw.randrange(1, 4)
        made.append(event(draw, number, draw.sample(own, min(count, len(own)))))
    return made


def again(draw: random.Random, old: Event, number: int) -> Event:
    """Return a copy of an event, or another content under its id."""
    copy = msgspec.structs.replace(old, received=draw.randrange(1000), source=f"channel.web/0/{number}")
    what = draw.random()
    if what < 0.6:
        return copy
    if what < 0.8:
        return msgspec.structs.replace(copy, time=draw.randrange(-50, 1000))
    return msgspec.structs.replace(
        copy, identifiers=strongest([*copy.identifiers, f"cookie:new{number % 3}"])
    )


def strongest(identifiers: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted(set(identifiers), key=lambda name: (POLICY.priority(name), name)))


def event(draw: random.Random, number: int, identifiers: Sequence[str]) -> Event:
    """Return an event whose time has little to do with its arrival."""
    kind = draw.choice(TYPES)
    properties: dict[str, Any] = {"sku": f"s{draw.randrange(4)}"}
    if draw.random() < 0.5:
        properties["cart_id"] = f"c{draw.randrange(2)}"
    if kind == "Order Completed":
        properties["revenue"] = draw.choice((0.1, 0.2, 12.5))
    if kind == "Consent Changed":
        properties |= {"consent": draw.random() < 0.5, "purpose": draw.choice(("marketing", "service"))}
    if kind == "Identify":
        properties[f"trait{draw.randrange(3)}"] = draw.randrange(5)
    context = Context(locale=draw.choice((None, "fr-FR", "en-GB")))
    return Event(
        f"e{number}",
        number * 5 + draw.randrange(-40, 40),
        draw.choice(("web", "app", "store")),
        kind,
        strongest(identifiers),
        properties,
        number * 5,
        f"channel.web/0/{number}",
        context,
    )
