"""A simulated deployment at rest: what it was given, what it should hold, what it does hold.

The expectation is the oracle's, component by component. A component is what the identifiers of all inputs
connect, whatever became of the inputs: a conflicting event and an assertion that was erased connect as well.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from stream_app.domain.commands import PAIR_OPS, Command, Op
from stream_app.domain.event import ChannelEvent, Event
from stream_app.domain.identifiers import Identifier
from stream_app.domain.identities import load
from stream_app.domain.keys import label_key, names_of
from stream_app.domain.partition import LinkRules
from stream_app.domain.profile import fold
from stream_app.domain.rows import SAMPLE
from tests.property.identity_oracle import answer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from stream_app.domain.customer import Customer
    from stream_app.domain.policy import IdentityPolicy
    from tests.property.identity_strategies import Arrival
    from tests.property.identity_world import World

Input = Event | Command
Given = list[tuple["Arrival", Input]]
"""What arrived and is valid, each with what a deployment is given for it."""


@dataclass
class Known:
    """Who is who, and whose the events are: (event id, customer), as an id may be in several components."""

    customers: set[frozenset[str]] = field(default_factory=set)
    owners: set[tuple[str, frozenset[str]]] = field(default_factory=set)


def milliseconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def given_of(policy: IdentityPolicy, arrivals: Iterable[Arrival]) -> Given:
    """Return what is valid of what arrived, received one by one; events have `properties` if arrivals have."""
    identify = Identifier(policy).identify

    def normalised(text: str) -> tuple[str, ...]:
        namespace, _, value = text.partition(":")
        return identify(ChannelEvent("", 0, "", "", {namespace: value}, {}))[0][:1]

    given: Given = []
    for place, arrival in enumerate(arrivals):
        time = milliseconds(arrival["time"])
        if "op" not in arrival:
            seen = ChannelEvent(
                arrival["event_id"], time, arrival["channel"], arrival["type"], arrival["identifiers"], {}
            )
            names, _ = identify(seen)
            if names:
                properties = arrival.get("properties", {})
                event = Event(
                    seen.event_id, time, seen.channel, seen.type, names, properties, place, f"s/0/{place}"
                )
                given.append((arrival, event))
            continue
        op = Op(arrival["op"])
        if op in PAIR_OPS:
            names = normalised(arrival["a"]) + normalised(arrival["b"])
            if len(set(names)) < 2:
                continue
            names = policy.pair(*names)
        else:
            names = normalised(arrival["id"])
            if not names:
                continue
        command_id = arrival.get("command_id", f"c{place}")
        given.append((arrival, Command(command_id, op, names, time, "op", "because", f"c/0/{place}")))
    return given


class Connected:
    """Which identifiers the protocol has brought together."""

    def __init__(self, inputs: Iterable[Input] = ()) -> None:
        self._parent: dict[str, str] = {}
        for one in inputs:
            self.add(one)

    def add(self, one: Input) -> str:
        """Take in one input; return what stands for its component."""
        links = not isinstance(one, Command) or one.op is Op.ASSERT
        for name in one.identifiers[1:] if links else ():
            self._parent[self.of(name)] = self.of(one.identifiers[0])
        return self.of(one.identifiers[0])

    def of(self, name: str) -> str:
        while (parent := self._parent.get(name, name)) != name:
            name = parent
        return name


def expected(policy: IdentityPolicy, given: Given) -> Known:
    """Ask the oracle about each component."""
    connected = Connected(one for _, one in given)
    parts: dict[str, list[Arrival]] = defaultdict(list)
    for arrival, one in given:
        parts[connected.of(one.identifiers[0])].append(arrival)
    known = Known()
    for part in parts.values():
        found = answer(policy, part)
        known.customers |= found.customers
        known.owners |= {(event_id, owner) for event_id, owner in found.owner.items() if owner is not None}
    return known


def found(world: World, given: Given) -> Known:
    """Return what a deployment at rest says, having checked that everything it keeps agrees with that."""
    known = Known()
    profiles: dict[str, Any] = {}
    rows: dict[str, list[tuple[int, str, tuple[str, ...]]]] = defaultdict(list)
    for root in sorted({world.root(world.label(name)) for _, one in given for name in one.identifiers}):
        _check_header(world, root)
        for event, row in world.rows_of(root):
            names = event.identifiers if row.customer else ()
            rows[event.event_id].append((row.revision, row.customer, names))
        _check_evidence(world, root)
        for customer in _customers(world, root):
            members = frozenset(customer.identifiers())
            known.customers.add(members)
            timeline = list(customer.timeline())
            for event, row in timeline:
                assert row.customer == customer.id
                known.owners.add((event.event_id, members))
            assert customer.profile == fold([event for event, _ in timeline])
            profiles[customer.id] = customer.profile
    assert rows.keys() == world.effects.published.keys()
    for event_id, (revision, owner, event) in world.effects.published.items():
        assert (revision, owner, event.identifiers) in rows[event_id], (event_id, rows[event_id])
    published = world.effects.profiles
    for customer_id in published.keys() | profiles.keys():
        told, kept_here = published.get(customer_id), profiles.get(customer_id)
        assert told == kept_here or (told is None and kept_here.last is None), (customer_id, told, kept_here)
    return known


def _check_header(world: World, root: str) -> None:
    tables, prefix = world.tables_of(root), label_key(root)
    header = tables["components"].get(prefix)
    assert not list(tables["repairs"].scan(prefix))
    if header is not None:
        assert not header.incoming
        assert not header.repairing
        assert not header.recount


def _customers(world: World, root: str) -> Iterator[Customer]:
    """Yield the customers of a component; those that memory knows are those that there are rows of."""
    home, prefix = world.home(root), label_key(root)
    if world.tables_of(root)["components"].get(prefix) is None:
        return
    groups = {group.slot: group.members for group in home.identities(root).all.groups.values()}
    kept = {int.from_bytes(key[len(prefix) :]) for key, _ in world.tables_of(root)["customers"].scan(prefix)}
    assert kept == groups.keys()
    for slot, members in groups.items():
        customer = home.customer(root, slot)
        assert customer is not None
        assert set(customer.identifiers()) == members
        assert customer.members() == tuple(sorted(members))
        yield customer


def _check_evidence(world: World, root: str) -> None:
    """Hold the sightings' rows against the events, and whose they are against a computation from scratch."""
    tables, prefix = world.tables_of(root), label_key(root)
    orders: dict[tuple[str, ...], list[tuple[int, str]]] = defaultdict(list)
    for event, _ in world.rows_of(root):
        if event.identifiers:
            orders[event.identifiers].append(event.order)
    sightings = {names_of(prefix, key): row for key, row in tables["sightings"].scan(prefix)}
    assert sightings.keys() == orders.keys(), sightings.keys() ^ orders.keys()
    for names, row in sightings.items():
        seen = sorted(orders[names])
        assert (row.first, row.last, row.count) == (seen[0][0], seen[-1][0], len(seen)), (names, row, seen)
        assert [tuple(one) for one in row.sample] == seen[:SAMPLE], names
    verdicts = {names_of(prefix, key): kept[-1] for key, kept in tables["verdicts"].scan(prefix)}
    pairs = {(names[0], names[1]): verdict for names, verdict in verdicts.items() if len(names) == 2}
    marks = {names[0]: verdict for names, verdict in verdicts.items() if len(names) == 1}
    slots = {(names, row.slot) for names, row in sightings.items()}
    identities = load(LinkRules(world.policy), sightings, pairs, marks)
    identities.slot_of = {
        key[len(prefix) + 4 :].decode(): int.from_bytes(key[len(prefix) : len(prefix) + 4])
        for key, _ in tables["members"].scan(prefix)
    }
    outcome = identities.settle()
    assert not outcome.members, "members' rows are not what the evidence gives"
    again = {(names, row.slot) for names, row in identities.sightings.items()}
    assert slots == again, slots ^ again


def one_component_at_a_time(given: Given) -> Given:
    """Return the inputs without contents under an id that stands in another component when they arrive.

    Which content stands first is then the same in a component as everywhere.
    """
    connected = Connected()
    kept: Given = []
    standing: dict[str, str] = {}
    for arrival, one in given:
        if isinstance(one, Event):
            trial = Connected(other for _, other in [*kept, (arrival, one)])
            first = standing.setdefault(one.event_id, one.identifiers[0])
            if trial.of(first) != trial.of(one.identifiers[0]):
                continue
        connected.add(one)
        kept.append((arrival, one))
    return kept


def inputs(given: Given) -> Sequence[Input]:
    return [one for _, one in given]
