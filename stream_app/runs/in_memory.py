"""A small deployment in memory: the real resolver and components, and the messages between them, without Kafka.

Rows are kept as bytes, as the stores do: a row that was changed and not put is as it was. Each input is handled
to rest before the next one, so the order in which inputs are given is the order of their arrival, and all that
chance has a say in.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

import msgspec

from stream_app.domain.commands import Command
from stream_app.domain.component import Components
from stream_app.domain.keys import slot_of
from stream_app.domain.labels import Labels
from stream_app.domain.messages import (
    CommandAt,
    EventAt,
    ReferenceRows,
    Topic,
    decode_component,
    decode_event,
    decode_lookup,
    encode,
)
from stream_app.domain.ports import ComponentTables
from stream_app.domain.reference import References
from stream_app.domain.resolver import Resolver
from stream_app.domain.rows import RESOLVER_TABLES, customer_tables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stream_app.domain.customer import Customer
    from stream_app.domain.effects import IdentityChange
    from stream_app.domain.event import Event
    from stream_app.domain.folding import FoldLimits
    from stream_app.domain.identities import Identities
    from stream_app.domain.messages import Message
    from stream_app.domain.policy import IdentityPolicy
    from stream_app.domain.profile import Place
    from stream_app.domain.reference import Said
    from stream_app.domain.rows import TableSpec
    from stream_app.domain.rule_fold import RuleFold

KEY = b"who is who in memory"
"""Stands for a deployment's secret: nothing that is made here leaves the process."""

PARTITIONS = 4

_RESOLVER, _CUSTOMER = RESOLVER_TABLES, customer_tables()
_MOST_MESSAGES = 1_000_000
_SLOT_BYTES = 4


class WhoIsWho(NamedTuple):
    """What a deployment says at one moment.

    Attributes:
        customers: sets of identifiers, "namespace:value".
        owners: event id -> the identifiers of the customer whose it is; None: it is there, and nobody's.
    """

    customers: frozenset[frozenset[str]]
    owners: dict[str, frozenset[str] | None]


class InMemory:
    """A deployment: give it events and commands, ask who is who."""

    def __init__(
        self,
        policy: IdentityPolicy,
        partitions: int = PARTITIONS,
        *,
        rules: RuleFold | None = None,
        tables: tuple[TableSpec, ...] = _CUSTOMER,
        folding: FoldLimits | None = None,
    ) -> None:
        """Begin empty.

        Args:
            policy: of identity.
            partitions: how many there are.
            rules: of all partitions; None: there are none.
            tables: of the customer stage, with the type of the rules' state.
            folding: how much one epoch folds again; None: as the workers do.
        """
        self._labels = Labels(policy, KEY)
        self._queue: deque[tuple[Topic, int, bytes]] = deque()
        self._lookups = [_tables(_RESOLVER) for _ in range(partitions)]
        self._stores = [ComponentTables(**_tables(tables)) for _ in range(partitions)]
        references = [References(store) for store in self._stores]
        self.references = references[0]
        """The reference data: every partition has all of them."""
        effects = _Nowhere(self._send)
        self._resolvers = [
            Resolver(rows["identifiers"], rows["neighbours"], self._send) for rows in self._lookups
        ]
        self._components = [
            Components(policy, KEY, store, effects, self._labels, rules, folding=folding, references=known)
            for store, known in zip(self._stores, references, strict=True)
        ]

    def give(self, one: Event | Command, stamp: int | None = None) -> None:
        """Take in an event or a command, with all that follows from it; `stamp` is where the clock stands, ms.

        Raises:
            RuntimeError: the messages do not come to rest.
        """
        labels = tuple(map(self._labels.of, one.identifiers))
        if isinstance(one, Command):
            at = one.time if stamp is None else stamp
            self._send(Topic.LOOKUP, labels[0], CommandAt(one, labels, at))
        else:
            at = one.received if stamp is None else stamp
            raw = msgspec.Raw(encode(one))
            self._send(Topic.LOOKUP, labels[0], EventAt(raw, labels, b"\0", at))
        self._rest()

    def refer(self, said: tuple[Said, ...], stamp: int) -> None:
        """Take in what is said of reference data, at every partition; `stamp` is where the clock stands, ms."""
        raw = encode(ReferenceRows(said, stamp))
        self._queue.extend((Topic.COMPONENTS, partition, raw) for partition in range(len(self._stores)))
        self._rest()

    def customer(self, label: str, slot: int) -> Customer | None:
        """Return a customer by what tells it from others; None where there is none any more."""
        return self._components[self._partition(label)].customer(label, slot)

    def save(self, customer: Customer) -> None:
        """Write a customer whose rules' state was changed from outside."""
        self._components[self._partition(customer.label)].save(customer)

    def fold_again(self, customer: Customer, since: Place, stamp: int) -> None:
        """Have a customer folded again from a place on, to the end, in an epoch of its own."""
        components = self._components[self._partition(customer.label)]
        components.fold_again(customer, since, stamp)
        components.save(customer)
        components.flush()
        self._rest()

    def who_is_who(self) -> WhoIsWho:
        """Read customers, and whose every event is, from the rows."""
        customers: set[frozenset[str]] = set()
        owners: dict[str, tuple[int, frozenset[str] | None]] = {}
        for tables in self._stores:
            for prefix, _ in tables.components.scan(b""):
                members = _members(tables, prefix)
                customers.update(members.values())
                for key, row in tables.timeline.scan(prefix):
                    event, slot = decode_event(row.event), slot_of(prefix, key)
                    found = (
                        event.received,
                        members.get(slot),
                    )  # the slots of what is nobody's have no members
                    # Strangers that meet under one event id: the first to arrive is the event.
                    owners[event.event_id] = min(found, owners.get(event.event_id, found), key=_arrival)
        return WhoIsWho(frozenset(customers), {event_id: owner for event_id, (_, owner) in owners.items()})

    def identities(self, identifier: str) -> Identities:
        """Return what the component that holds an identifier knows; don't change it."""
        label = self._labels.of(identifier)
        row = self._lookups[self._partition(label)]["identifiers"].get(label.encode())
        at: str | None = label if row is None else row.label
        while at is not None:
            label, at = at, self._components[self._partition(at)].redirect(at)
        return self._components[self._partition(label)].identities(label)

    def _partition(self, key: str) -> int:
        return crc32(key.encode()) % len(self._stores)

    def _send(self, topic: Topic, key: str, message: Message) -> None:
        self._queue.append((topic, self._partition(key), encode(message)))

    def _rest(self) -> None:
        handled = 0
        while self._queue:
            topic, partition, raw = self._queue.popleft()
            if topic is Topic.LOOKUP:
                self._resolvers[partition].handle(decode_lookup(raw))
            else:
                self._components[partition].handle(decode_component(raw))
                self._components[partition].flush()
            handled += 1
            if handled > _MOST_MESSAGES:
                raise RuntimeError("the messages of one input do not come to rest")


class MemoryTable:
    """A sorted table that keeps encoded rows."""

    def __init__(self, spec: TableSpec) -> None:
        """Begin empty."""
        self._spec = spec
        self._rows: dict[bytes, bytes] = {}
        self._keys: list[bytes] = []

    def get(self, key: bytes) -> Any:
        """Return the row of `key`, or None."""
        raw = self._rows.get(key)
        return None if raw is None else self._spec.decode(raw)

    def put(self, key: bytes, value: Any) -> None:
        """Write a row."""
        if key not in self._rows:
            self._keys.insert(bisect_left(self._keys, key), key)
        self._rows[key] = self._spec.encode(value)

    def delete(self, key: bytes) -> None:
        """Remove a row; nothing happens when there is none."""
        if self._rows.pop(key, None) is not None:
            del self._keys[bisect_left(self._keys, key)]

    def scan(self, prefix: bytes, start: bytes | None = None) -> Iterator[tuple[bytes, Any]]:
        """Yield the rows whose key begins with `prefix`, ascending, from `start` (a whole key) on if given."""
        place = bisect_left(self._keys, prefix if start is None else start)
        while place < len(self._keys) and (key := self._keys[place]).startswith(prefix):
            yield key, self.get(key)
            place = bisect_left(self._keys, key + b"\0")  # whoever reads may write meanwhile


class _Nowhere:
    """`Effects` whose outputs nobody reads; the protocol's own messages go on."""

    def __init__(self, send: Any) -> None:
        self.send = send

    def applied(self, customer: str, event: Event, payload: bytes, *, late: bool) -> None: ...

    def moved(self, customer: str, previous: str, event: Event, revision: int) -> None: ...

    def removed(self, customer: str, event: Event, revision: int) -> None: ...

    def duplicate(self, event: Event) -> None: ...

    def conflict(self, event: Event, standing: Event) -> None: ...

    def identity(self, change: IdentityChange) -> None: ...

    def gone(self, customer: str) -> None: ...

    def profile(self, customer: Customer) -> None: ...

    def forwarded(self) -> None: ...

    def union_refused(self, size: int) -> None: ...

    def link_refused(self, reason: str, namespace: str) -> None: ...

    def shared(self, namespace: str, *, released: bool) -> None: ...


def _tables(specs: tuple[TableSpec, ...]) -> dict[str, Any]:
    return {spec.name: MemoryTable(spec) for spec in specs}


def _members(tables: ComponentTables, prefix: bytes) -> dict[int, frozenset[str]]:
    """Return the customers of a component by their slots."""
    found: dict[int, set[str]] = {}
    for key, _ in tables.members.scan(prefix):
        found.setdefault(slot_of(prefix, key), set()).add(key[len(prefix) + _SLOT_BYTES :].decode())
    return {slot: frozenset(names) for slot, names in found.items()}


def _arrival(found: tuple[int, frozenset[str] | None]) -> int:
    return found[0]
