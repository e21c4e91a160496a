"""Third hop: a component's events -> customers, timelines, profiles, triggers, on the output topics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stream_app.agents.numbers import Differences
from stream_app.agents.publish import (
    MAX_EVIDENCE,
    addresses,
    change_fields,
    channel_event,
    decision_fields,
    difference_fields,
    segment_fields,
    trigger_fields,
)
from stream_app.agents.rules import Compare, Publish, Rules
from stream_app.agents.segments import Segments
from stream_app.domain.component import Components
from stream_app.domain.counting import Counting
from stream_app.domain.identities import NOBODY
from stream_app.domain.keys import membership_of, timer_key, timer_of
from stream_app.domain.messages import Message, Topic, decode_component, encode, is_awaited
from stream_app.domain.ports import ComponentTables
from stream_app.domain.reference import References
from stream_app.wire import encode_payload, format_timestamp, frame_single_object

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from stream_app.agents.dead_letters import DeadLetters
    from stream_app.agents.in_force import InForce, Terms, Written
    from stream_app.domain.customer import Customer
    from stream_app.domain.effects import IdentityChange
    from stream_app.domain.event import Event
    from stream_app.domain.folding import FoldLimits
    from stream_app.domain.labels import Labels
    from stream_app.domain.policy import IdentityPolicy
    from stream_app.domain.rules import Decision, Difference
    from stream_app.domain.segments import Crossing, SegmentBook
    from stream_app.engine.task import Task
    from stream_app.topology import Topics
    from stream_app.wire import Encoder

ADDRESSES = {"email": "email", "phone": "sms", "device": "push"}
"""Which channel an identifier's namespace reaches, where the sending policy doesn't say."""


MAX_REMEMBERED = 20_000
"""Customers of whom is remembered what every row or profile of theirs says again."""


class CustomerStage:
    """The handler of one partition of `identity.components`."""

    def __init__(
        self,
        task: Task,
        *,
        policy: IdentityPolicy,
        key: bytes,
        labels: Labels,
        in_force: InForce,
        segments: SegmentBook,
        dead_letters: DeadLetters,
        folding: FoldLimits,
    ) -> None:
        self.task = task
        tables = ComponentTables(*(task.table(name) for name in ComponentTables._fields))
        self._references = References(tables)
        terms = in_force.terms
        self.output = Outputs(task, terms.topics, terms.encoder, dead_letters)
        self.segments = Segments(task, segments, self.output.crossing)
        self.rules = _Leaving(task, terms.written, self._decided, self._differed, self.segments)
        self._differences = Differences(task, terms.topics.increments)
        self._counting = Counting(self.rules, tables, self._differences.add)
        self._hashed = policy.hashed
        self._addresses: dict[str, str] = {}
        in_force.follow(self)
        self.components = Components(
            policy,
            key,
            tables,
            self.output,
            labels,
            self._counting,
            folding=folding,
            clock=StageClock(task),
            references=self._references,
        )

    def adopt(self, terms: Terms) -> None:
        """Go by other rules from now on; between two epochs."""
        book, shadow = terms.written
        self.rules.book = book.among(self._references)
        self.rules.shadow = None if shadow is None else shadow.beside(self.rules.book)
        self.output.adopt(terms.topics, terms.encoder)
        reached = terms.written.book.policy.addresses
        reached = ADDRESSES if reached is None else reached
        # A hash is no address.
        self._addresses = {name: channel for name, channel in reached.items() if name not in self._hashed}

    def process(self, records: Sequence[Any]) -> None:
        """Take messages of the protocol."""
        self.components.handle_all([decode_component(record.value) for record in records])

    def fire(self, due: int, key: bytes) -> None:
        """Take a timer of a customer, a component or a membership; `key` says whose it is."""
        if membership_of(key):
            customer = self.segments.fire(due, key, self.components.customer)
            if customer is not None:
                self.output.profile(customer)
            return
        label, slot = timer_of(key)
        if slot == NOBODY:
            self.components.wake(label)
            return
        customer = self.components.customer(label, slot)
        if customer is not None and self.rules.fire(customer, due):
            since = self.rules.waits(customer)
            if since is not None:
                self.components.fold_again(customer, since, due - 1)
            self.components.save(customer)

    def flush(self) -> None:
        """Fold again who must be; publish the profiles that changed in this epoch, each once."""
        self.components.flush()
        self.output.flush(self._judge, self.segments.gone)
        self._differences.flush()

    def reset(self) -> None:
        """Forget what was held back in an epoch that was rolled back."""
        self.components.reset()
        self.output.reset()
        self._differences.reset()

    def _judge(self, customer: Customer) -> Iterable[str]:
        """Return the segments of a customer; one whose component went on in this epoch is judged where it is now."""
        return self.segments.judge(customer) if self.components.has(customer) else ()

    def _decided(self, customer: Customer, decision: Decision) -> None:
        reachable: dict[str, list[str]] = {}
        evidence: list[dict[str, str]] = []
        if decision.action != "held_back":
            found = addresses(customer.identifiers(), self._addresses)
            reachable = {channel: found[channel] for channel in decision.channel if channel in found}
            events = (event.event_id for event in decision.because.events)
            links = self.components.links_between(customer, events, MAX_EVIDENCE)
            evidence = [{"a": a, "b": b} for a, b in links]
        counted_at = self._counting.sent(customer, decision)
        self.output.decision(customer, decision, counted_at, reachable, evidence)

    def _differed(self, customer: Customer, difference: Difference) -> None:
        self.output.difference(customer, difference)


class _Leaving(Rules):
    """The rules; and whose component joins another leaves her segments here: she is judged where she comes to."""

    def __init__(
        self, task: Task, written: Written, publish: Publish, compare: Compare, segments: Segments
    ) -> None:
        super().__init__(task, written.book, publish, written.shadow, compare)
        self._segments = segments

    def leave(self, customer: Customer) -> bytes:
        """Take a customer that ends here."""
        if customer.at.header.redirect:
            self._segments.gone(customer.id)
        return super().leave(customer)


class StageClock:
    """Implements the domain's `Clock`: the watermark that timers go by, and the timers."""

    def __init__(self, task: Task) -> None:
        self.task = task

    @property
    def now(self) -> int:
        """The watermark."""
        return self.task.clock

    def wake(self, label: str, due: int) -> None:
        """Set a timer of a component's own."""
        self.task.timers.set(due, timer_key(label, NOBODY))


class Outputs:
    """Implements the domain's `Effects`: everything that leaves the customer stage."""

    def __init__(self, task: Task, topics: Topics, encoder: Encoder, dead_letters: DeadLetters) -> None:
        self.task = task
        self.topics = topics
        self.encoder = encoder
        self.dead_letters = dead_letters
        self._heads: dict[str, tuple[bytes, bytes]] = {}
        """By customer: how a new timeline row begins, up to its payload, and its key."""
        self._routes: Mapping[Topic, str] = {Topic.LOOKUP: topics.lookup, Topic.COMPONENTS: topics.components}
        self._profiles: dict[str, Customer | None] = {}
        self._identifiers: dict[tuple[str, int], tuple[int, tuple[str, ...]]] = {}
        self._send = task.producer.send

    def adopt(self, topics: Topics, encoder: Encoder) -> None:
        """Publish on these topics, in this encoding, from now on."""
        self.topics, self.encoder = topics, encoder
        self._heads.clear()

    def send(self, topic: Topic, key: str, message: Message) -> None:
        """Send a message of the protocol; what may still bring events to another component holds time back.

        Live, only as long as nobody there waits for it: the clock is everybody's, and a long merge would hold up
        everybody's triggers. (A replay has time.)
        """
        stamp = getattr(message, "stamp", None)
        if topic is Topic.COMPONENTS and stamp is not None and not (self.task.live and is_awaited(message)):
            self.task.send_to_peer(self._routes[topic], encode(message), key.encode(), stamp)
        else:
            self._send(self._routes[topic], encode(message), key.encode())

    def applied(self, customer: str, event: Event, payload: bytes, *, late: bool) -> None:  # noqa: ARG002
        """Publish a new timeline row."""
        known = self._heads.get(customer)
        if known is None:
            if len(self._heads) >= MAX_REMEMBERED:
                self._heads.clear()
            known = self.encoder.timeline(customer, 0, None, "upsert", b""), customer.encode()
            self._heads[customer] = known
        head, key = known
        self._send(self.topics.timeline, head + payload, key)
        self.task.count("events", event.channel, "applied")

    def moved(self, customer: str, previous: str, event: Event, revision: int) -> None:
        """Publish a timeline row again, under another customer."""
        payload = encode_payload(channel_event(event))
        record = self.encoder.timeline(customer, revision, previous or None, "upsert", payload)
        self._send(self.topics.timeline, record, customer.encode())

    def removed(self, customer: str, event: Event, revision: int) -> None:
        """Publish that an event is on no timeline; the event is bare of what is personal."""
        payload = encode_payload(channel_event(event))
        record = self.encoder.timeline(customer, revision, None, "remove", payload)
        self._send(self.topics.timeline, record, customer.encode() or event.event_id.encode())
        if revision == 0:
            self.task.count("events", event.channel, "dropped")

    def duplicate(self, event: Event) -> None:
        """Count a copy."""
        self.task.count("events", event.channel, "duplicate")

    def conflict(self, event: Event, standing: Event) -> None:
        """Dead-letter an event under whose id another content stands; its source says where the original is."""
        value = frame_single_object(encode_payload(channel_event(event)))
        detail = f"the event at {standing.source} has the same id and another content, and came first"
        key = event.identifiers[0].encode()
        self.dead_letters.refuse_bytes(self.task, event.source, event.received, key, value, detail)
        self.task.count("events", event.channel, "dead_lettered")

    def identity(self, change: IdentityChange) -> None:
        """Publish a change of customers, or that an operator had something done."""
        record = self.encoder.identity_change(change_fields(change))
        key = (*change.into, *change.previous, "")[0]
        self._send(self.topics.changes, record, key.encode())
        self.task.count("identity_changes", change.change.value)

    def gone(self, customer: str) -> None:
        """End a profile."""
        self._profiles[customer] = None

    def profile(self, customer: Customer) -> None:
        """Note a changed profile; the last one of the epoch is published."""
        self._profiles[customer.id] = customer

    def forwarded(self) -> None:
        """Count a message that was passed on."""
        self.task.count("forwarded")

    def link_refused(self, reason: str, namespace: str) -> None:
        """Count a link that joins nothing."""
        self.task.count("links_refused", reason, namespace)

    def shared(self, namespace: str, *, released: bool) -> None:
        """Count an identifier that was found shared, or no longer."""
        self.task.count("shared_identifiers", namespace, "released" if released else "quarantined")

    def union_refused(self, size: int) -> None:  # noqa: ARG002 - a counter has no sizes
        """Count a union that the cap forbids."""
        self.task.count("unions_refused")

    def decision(
        self,
        customer: Customer,
        decision: Decision,
        counted_at: int | None,
        reachable: dict[str, list[str]],
        evidence: list[dict[str, str]],
    ) -> None:
        """Publish a decision about a trigger, and the trigger itself where one is sent or taken back."""
        key = customer.id.encode()
        record = self.encoder.decision(decision_fields(decision, customer.id, self.task.clock, counted_at))
        self._send(self.topics.decisions, record, key)
        self.task.count("triggers", decision.rule, decision.action, decision.reason)
        if decision.action == "held_back":
            return
        value = self.encoder.trigger(trigger_fields(decision, customer, reachable, evidence))
        headers: list[tuple[str, str | bytes | None]] = [
            ("ce_specversion", b"1.0"),
            ("ce_id", f"{decision.trigger_id}-{decision.action}-{decision.sent}".encode()),
            ("ce_type", f"raccord.trigger.{decision.action}".encode()),
            ("ce_source", b"/raccord/customer"),
            ("ce_subject", decision.trigger_id.encode()),
            ("ce_time", format_timestamp(decision.sent).encode()),
            ("content-type", b"application/avro"),
        ]
        self._send(self.topics.triggers[decision.rule], value, key, -1, headers)
        if decision.action == "fire" and decision.sent == decision.due:
            self.task.fired.append((decision.rule, decision.due))

    def difference(self, customer: Customer, difference: Difference) -> None:
        """Publish how the shadow rules differ from the live ones about a trigger."""
        record = self.encoder.difference(difference_fields(difference, customer.id, self.task.clock))
        self._send(self.topics.shadow, record, customer.id.encode())
        self.task.count("shadow_differences", difference.rule, difference.outcome)

    def crossing(self, customer_id: str, crossing: Crossing) -> None:
        """Publish that a customer entered or left a segment."""
        record = self.encoder.segment(segment_fields(customer_id, crossing))
        self._send(self.topics.segments, record, customer_id.encode())
        self.task.count("segments", crossing.segment, crossing.action.value)

    def flush(self, judge: Callable[[Customer], Iterable[str]], gone: Callable[[str], None]) -> None:
        """Publish the profiles that changed, each with what `judge` says of its segments; tell who is gone."""
        topic, send, encode_profile = self.topics.profiles, self._send, self.encoder.profile
        for customer_id, customer in self._profiles.items():
            value = None
            if customer is None:
                gone(customer_id)
            else:
                profile, known = customer.profile, self._members_of(customer)
                value = encode_profile(customer_id, profile.events, known, profile, judge(customer))
            send(topic, value, customer_id.encode())
        self._profiles.clear()

    def _members_of(self, customer: Customer) -> tuple[str, ...]:
        """Return a customer's identifiers; read again only when they changed, which they seldom do."""
        version, known = self._identifiers.get(customer.key, (-1, ()))
        if version != customer.row.version:
            known = customer.members()
            if len(self._identifiers) >= MAX_REMEMBERED:
                self._identifiers.clear()
            self._identifiers[customer.key] = (customer.row.version, known)
        return known

    def reset(self) -> None:
        """Forget them, and what was read for them."""
        self._profiles.clear()
        self._identifiers.clear()
