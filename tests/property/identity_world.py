"""A simulated deployment of the identity protocol.

The world has P partitions of both topics, each with its own tables (rows are kept as bytes, so a change that
isn't put is lost), and a random scheduler over queues between them: first in, first out for each pair of
partitions as in Kafka, or in no order at all, with messages handled twice.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar
from zlib import crc32

import msgspec

from stream_app.domain.commands import Command
from stream_app.domain.component import Components
from stream_app.domain.folding import FoldLimits
from stream_app.domain.keys import label_key
from stream_app.domain.labels import Labels
from stream_app.domain.messages import (
    CommandAt,
    Drain,
    EventAt,
    Fold,
    Repair,
    Topic,
    decode_component,
    decode_event,
    decode_lookup,
    encode,
)
from stream_app.domain.policy import IdentityPolicy
from stream_app.domain.ports import ComponentTables
from stream_app.domain.profile import Profile
from stream_app.domain.repair import Limits
from stream_app.domain.resolver import Resolver
from stream_app.domain.rows import RESOLVER_TABLES, TableSpec, customer_tables

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stream_app.domain.customer import Customer
    from stream_app.domain.effects import IdentityChange
    from stream_app.domain.event import Event
    from stream_app.domain.messages import Message
    from stream_app.domain.rows import TimelineRow
    from stream_app.domain.rule_fold import RuleFold

KEY = b"a key for tests"
NAMES = ("user_id", "loyalty", "email", "phone", "device", "cookie")
POLICY = IdentityPolicy.from_mapping(
    {
        "namespaces": [
            {"name": name, "priority": place, "kind": "device" if place > 4 else "person"}
            for place, name in enumerate(NAMES, start=1)
        ]
    }
)


class MemoryTable:
    """A table that keeps bytes: a value that was changed and not put is as it was."""

    def __init__(self, spec: TableSpec) -> None:
        self._spec = spec
        self._rows: dict[bytes, bytes] = {}
        self._keys: list[bytes] = []

    def get(self, key: bytes) -> Any:
        raw = self._rows.get(key)
        return None if raw is None else self._spec.decode(raw)

    def put(self, key: bytes, value: Any) -> None:
        if key not in self._rows:
            self._keys.insert(bisect_left(self._keys, key), key)
        self._rows[key] = self._spec.encode(value)

    def delete(self, key: bytes) -> None:
        if self._rows.pop(key, None) is not None:
            del self._keys[bisect_left(self._keys, key)]

    def scan(self, prefix: bytes, start: bytes | None = None) -> Iterator[tuple[bytes, Any]]:
        place = bisect_left(self._keys, prefix if start is None else start)
        while place < len(self._keys) and self._keys[place].startswith(prefix):
            key = self._keys[place]
            yield key, self.get(key)
            place = bisect_left(self._keys, key + b"\0")

    def __len__(self) -> int:
        return len(self._rows)


def tables(specs: Sequence[TableSpec]) -> dict[str, MemoryTable]:
    return {spec.name: MemoryTable(spec) for spec in specs}


class Recorder:
    """`Effects` that keeps what readers of the topics would see at the end."""

    def __init__(self, send: Any) -> None:
        self._send = send
        self.counts: Counter[str] = Counter()
        self.published: dict[str, tuple[int, str, Event]] = {}
        self.changes: list[IdentityChange] = []
        self.profiles: dict[str, Profile] = {}

    def send(self, topic: Topic, key: str, message: Message) -> None:
        self._send(topic, key, message)

    def applied(self, customer: str, event: Event, payload: bytes, *, late: bool) -> None:
        assert payload == event.event_id.encode()
        assert customer
        self.counts["late" if late else "in order"] += 1
        self._publish(customer, event, 0)

    def moved(self, customer: str, previous: str, event: Event, revision: int) -> None:
        assert customer
        self.counts["moved" if previous else "back"] += 1
        self._publish(customer, event, revision)

    def removed(self, customer: str, event: Event, revision: int) -> None:
        assert not event.identifiers
        assert not event.properties
        self.counts["removed"] += 1
        self._publish("", event, revision)

    def _publish(self, customer: str, event: Event, revision: int) -> None:
        known = self.published.get(event.event_id)
        if known is None or known[0] <= revision:
            self.published[event.event_id] = (revision, customer, event)

    def duplicate(self, event: Event) -> None:
        assert event
        self.counts["duplicate"] += 1

    def conflict(self, event: Event, standing: Event) -> None:
        assert event.event_id == standing.event_id
        self.counts["conflict"] += 1

    def identity(self, change: IdentityChange) -> None:
        self.changes.append(change)
        self.counts[change.change] += 1

    def gone(self, customer: str) -> None:
        self.profiles.pop(customer, None)

    def profile(self, customer: Customer) -> None:
        assert customer.id
        self.profiles[customer.id] = msgspec.msgpack.decode(
            msgspec.msgpack.encode(customer.profile), type=Profile
        )

    def forwarded(self) -> None:
        self.counts["forwarded"] += 1

    def union_refused(self, size: int) -> None:
        assert size
        self.counts["refused"] += 1

    def link_refused(self, reason: str, namespace: str) -> None:
        assert reason == "denied" or namespace
        self.counts["link refused"] += 1

    def shared(self, namespace: str, *, released: bool) -> None:
        assert namespace
        self.counts["released" if released else "quarantined"] += 1


class SimulatedClock:
    """The clock of one partition of components; timers are rows, so they are kept and rolled back as rows are."""

    def __init__(self) -> None:
        self.now = -(1 << 62)
        self.timers: set[tuple[int, str]] = set()

    def wake(self, label: str, due: int) -> None:
        self.timers.add((due, label))


Queue = tuple[str, str]

MERGE = 14
"""The tag of MERGE in an encoded message: its chunks are counted, so an epoch's atomicity is what keeps it single."""


@dataclass
class World:
    """A deployment: give it events, let it run, look."""

    component_specs: ClassVar[Sequence[TableSpec]] = customer_tables()

    seed: int
    partitions: int = 3
    ordered: bool = True
    twice: float = 0.0
    policy: IdentityPolicy = POLICY
    limits: Limits = field(default_factory=Limits)
    folding: FoldLimits = field(default_factory=lambda: FoldLimits(events=3, turn=1, every=4))
    resolver: type[Resolver] = Resolver
    components: type[Components] = Components
    lazy: float = 0.0
    """How often an epoch of a component's partition doesn't end with a message."""
    recorder: type[Recorder] = Recorder
    own_pace: bool = False
    """Whether components' steps of long work are queued apart, so that `step` may leave them waiting."""
    timed: bool = False
    """Whether there is a clock: it stands before all time until `advance` is called."""

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.queues: dict[Queue, list[bytes]] = defaultdict(list)
        self.handled = 0
        self._source = "input"
        self._open: set[int] = set()
        self.effects = self.recorder(self.send)
        self.lookup_tables = [tables(RESOLVER_TABLES) for _ in range(self.partitions)]
        self.component_tables = [tables(self.component_specs) for _ in range(self.partitions)]
        self.labels = Labels(self.policy, KEY)
        self.resolvers = [
            self.resolver(rows["identifiers"], rows["neighbours"], self.send) for rows in self.lookup_tables
        ]
        self.clocks = [SimulatedClock() for _ in range(self.partitions)]
        self.start()

    def start(self) -> None:
        """Begin with nothing in memory but what the rows say."""
        self.homes = [
            self.components(
                self.policy,
                KEY,
                ComponentTables(**rows),
                self.effects,
                self.labels,
                self.rules_of(place),
                limits=self.limits,
                folding=self.folding,
                clock=clock if self.timed else None,
            )
            for place, (rows, clock) in enumerate(zip(self.component_tables, self.clocks, strict=True))
        ]

    def rules_of(self, place: int) -> RuleFold | None:
        """Return the rules of a partition; none, if nobody says otherwise."""
        assert 0 <= place < self.partitions
        return None

    def partition(self, key: str) -> int:
        return crc32(key.encode()) % self.partitions

    def send(self, topic: Topic, key: str, message: Message) -> None:
        pace = "/slow" if self.own_pace and isinstance(message, Repair | Drain | Fold) else ""
        self.queues[self._source + pace, f"{topic}/{self.partition(key)}"].append(encode(message))

    def give(self, event: Event | Command) -> None:
        """Send an event or a command to the row of its first identifier."""
        self._source = f"input/{event.source}" if self.random.random() < 0.5 else "input"
        labels = tuple(map(self.labels.of, event.identifiers))
        at: EventAt | CommandAt
        if isinstance(event, Command):
            at = CommandAt(event, labels, event.time)
        else:
            at = EventAt(msgspec.Raw(encode(event)), labels, event.event_id.encode(), event.received)
        self.send(Topic.LOOKUP, labels[0], at)

    def step(self, *, slow: bool = True) -> bool:
        """Handle a message, or some of them in one batch, or end all epochs; return False where there is nothing to do.

        `slow`: components' steps of long work too.
        """
        waiting = [
            queue
            for queue, messages in self.queues.items()
            if messages and (slow or not queue[0].endswith("/slow"))
        ]
        if not waiting:
            any_open = bool(self._open)
            for place in sorted(self._open):
                self.end_epoch(place)
            return any_open
        queue = self.random.choice(waiting)
        messages = self.queues[queue]
        self._source = queue[1]
        topic, _, partition = queue[1].rpartition("/")
        if topic == Topic.LOOKUP:
            self.resolvers[int(partition)].handle(decode_lookup(self._take(messages)))
            self.handled += 1
            return True
        most = self.random.choice((1, 1, 2, 5))
        batch = [self._take(messages) for _ in range(min(most, len(messages)))]
        self.homes[int(partition)].handle_all([decode_component(raw) for raw in batch])
        self._open.add(int(partition))
        if self.random.random() >= self.lazy:
            self.end_epoch(int(partition))
        self.handled += len(batch)
        return True

    def _take(self, messages: list[bytes]) -> bytes:
        """Take a message out of a queue, or leave a copy there, to be handled twice."""
        raw = messages.pop(0 if self.ordered else self.random.randrange(len(messages)))
        if self.random.random() < self.twice and raw[1] != MERGE:
            messages.append(raw)
        return raw

    def end_epoch(self, place: int) -> None:
        """End the epoch of a partition of components."""
        self._source = f"{Topic.COMPONENTS}/{place}"
        self.homes[place].flush()
        self._open.discard(place)

    def run(self, events: Sequence[Event | Command]) -> None:
        """Give the events one by one, with steps between; then let everything come to rest."""
        for event in events:
            self.give(event)
            for _ in range(self.random.randrange(12)):
                self.step()
        limit = self.handled + 3000 * (len(events) + 10)
        while self.step():
            assert self.handled < limit, "messages go round in circles"

    def advance(self, time: int) -> None:
        """Have the clock reach a time, and fire the timers that it has passed, as they are due."""
        for partition, (home, clock) in enumerate(zip(self.homes, self.clocks, strict=True)):
            clock.now = time
            due = sorted(timer for timer in clock.timers if timer[0] < time)
            clock.timers -= {*due}
            self._source = f"{Topic.COMPONENTS}/{partition}"
            for _, label in due:
                home.wake(label)
            if due:
                self.end_epoch(partition)

    def home(self, label: str) -> Components:
        return self.homes[self.partition(label)]

    def tables_of(self, label: str) -> dict[str, MemoryTable]:
        """Return the tables that a component's rows are in."""
        return self.component_tables[self.partition(label)]

    def rows_of(self, label: str) -> Iterator[tuple[Event, TimelineRow]]:
        """Yield all events that a component holds, each with its row; erased ones as what is left of them."""
        for _, row in self.tables_of(label)["timeline"].scan(label_key(label)):
            yield decode_event(row.event), row

    def root(self, label: str) -> str:
        """Follow the redirects."""
        seen = set()
        while (redirect := self.home(label).redirect(label)) is not None:
            assert label not in seen, "redirects form a circle"
            seen.add(label)
            label = redirect
        return label

    def label(self, identifier: str) -> str:
        """Return where the resolver says that an identifier lives."""
        own = self.labels.of(identifier)
        row = self.lookup_tables[self.partition(own)]["identifiers"].get(own.encode())
        return own if row is None else row.label
