"""A customer: events in; timeline, evidence, profile, rules and customer id out, the same for any order.

Until the next version a component is one customer. What will change then is which rows of the component are
this customer's; what is done with them stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from stream_app.domain.customer_id import customer_id
from stream_app.domain.effects import Change, IdentityChange
from stream_app.domain.evidence import Evidence
from stream_app.domain.messages import Republish, Topic, decode_event
from stream_app.domain.profile import apply, fold
from stream_app.domain.rows import CustomerRow, Header, LinkRow, TimelineRow
from stream_app.domain.timeline import Timelines, arrived_before, same_content

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stream_app.domain.effects import Effects
    from stream_app.domain.event import Event
    from stream_app.domain.messages import Merge, Moved
    from stream_app.domain.policy import IdentityPolicy
    from stream_app.domain.ports import Table
    from stream_app.domain.profile import Profile


class RuleFold(Protocol):
    """The rules, as a customer's events concern them. State is whatever they keep in `customer.rules`."""

    def on_event(self, customer: Customer, event: Event, *, late: bool, stamp: int) -> None:
        """One event was taken in; `late`: it isn't the last of the timeline, so fold again from its time."""

    def on_history(self, customer: Customer, since: int | None, stamp: int) -> None:
        """Rows at or after `since` (ms), or anywhere, came, went or changed: fold again.

        While `customer.settled` is false more rows are on their way: called again, for all, with the last.
        """

    def leave(self, customer: Customer) -> bytes:
        """The component moves away: drop its timers, and return the state as bytes, to travel."""

    def join(self, customer: Customer, state: bytes, stamp: int) -> None:
        """Another's state has come, before its events: combine. Must be idempotent."""


class NoRules:
    """No rules at all."""

    def on_event(self, customer: Customer, event: Event, *, late: bool, stamp: int) -> None:
        """Do nothing."""

    def on_history(self, customer: Customer, since: int | None, stamp: int) -> None:
        """Do nothing."""

    def leave(self, customer: Customer) -> bytes:  # noqa: ARG002
        """Return no state."""
        return b""

    def join(self, customer: Customer, state: bytes, stamp: int) -> None:
        """Do nothing."""


class Limits(NamedTuple):
    """How much one message may move or publish again; the rest follows with the next one.

    Attributes:
        rows: timeline rows.
        size: bytes of events; a single larger event goes alone.
    """

    rows: int = 500
    size: int = 256 * 1024


class ComponentTables(NamedTuple):
    """The tables of one partition of the customer stage (see `rows.customer_tables`)."""

    components: Table[Header]
    members: Table[int]
    links: Table[LinkRow]
    events: Table[int]
    timeline: Table[TimelineRow]
    customers: Table[CustomerRow[Any]]


class Customer:
    """One customer's rows, while a message or a timer is handled."""

    __slots__ = ("_timelines", "header", "label", "prefix", "row")

    def __init__(
        self, label: str, prefix: bytes, header: Header, row: CustomerRow[Any], timelines: Timelines
    ) -> None:
        """Hold rows that have been read."""
        self.label = label
        self.prefix = prefix
        self.header = header
        self.row = row
        self._timelines = timelines

    @property
    def id(self) -> str:
        """The customer id as of now."""
        return self.header.customer

    @property
    def profile(self) -> Profile:
        """The profile as of now; don't change it."""
        return self.row.profile

    @property
    def rules(self) -> Any:
        """The rules' state; None at first."""
        return self.row.rules

    @rules.setter
    def rules(self, state: Any) -> None:
        self.row.rules = state

    @property
    def settled(self) -> bool:
        """Whether the timeline is whole, as far as is known: no merge is under way."""
        return not self.row.incoming

    def history(self, since: int | None = None) -> Iterator[Event]:
        """Yield the events from `since` (ms) on, or all, by (time, event id)."""
        return self._timelines.history(self.prefix, since)

    def timeline(self) -> Iterator[tuple[Event, TimelineRow]]:
        """Yield the events in order, each with its row."""
        for _, row in self._timelines.rows(self.prefix):
            yield decode_event(row.event), row


class _Why(NamedTuple):
    """The reason of an `IdentityChange`."""

    change: Change
    evidence: tuple[str, ...]
    event_id: str | None
    time: int


class Customers:
    """The customers of one partition's components: takes events in, one by one or as another's history."""

    def __init__(
        self,
        policy: IdentityPolicy,
        key: bytes,
        tables: ComponentTables,
        effects: Effects,
        rules: RuleFold,
        *,
        limits: Limits,
    ) -> None:
        """Serve `tables`; `key` is the secret of the customer ids."""
        self._limits = limits
        self.evidence = Evidence(policy, tables.members, tables.links)
        self.timelines = Timelines(tables.events, tables.timeline)
        self._key = key
        self._tables = tables
        self._effects = effects
        self._rules = rules

    def open(self, label: str, prefix: bytes, header: Header) -> Customer:
        """Return the customer of a component that isn't redirected."""
        row = self._tables.customers.get(prefix)
        return Customer(label, prefix, header, CustomerRow() if row is None else row, self.timelines)

    def take_in(self, customer: Customer, event: Event, raw: bytes, payload: bytes, stamp: int) -> None:
        """Take in one event as it came from its channel. `raw` is its MessagePack."""
        prefix, header, row = customer.prefix, customer.header, customer.row
        if self.timelines.holds(prefix, event.event_id):
            self._take_in_again(customer, event, raw, stamp)
            return
        # Put before it changes: should anything below fail, the abort of the epoch has to forget this row.
        self._tables.customers.put(prefix, row)
        first, previous = header.first, header.customer
        if self.evidence.note(prefix, header, event):
            self._settle_id(customer, first)
        self.timelines.put(prefix, event, TimelineRow(raw, header.customer, 0))
        late = row.profile.last is not None and event.order < row.profile.last
        if not apply(row.profile, event):
            row.profile = fold(self.timelines.history(prefix))
        if header.customer != previous:
            why = _Why(Change.RENAMED, event.identifiers, event.event_id, event.time)
            self._announce(customer, (previous,), why)
        self._effects.applied(header.customer, event, payload, late=late)
        self._rules.on_event(customer, event, late=late, stamp=stamp)
        self.save(customer)

    def _take_in_again(self, customer: Customer, event: Event, raw: bytes, stamp: int) -> None:
        self._tables.customers.put(customer.prefix, customer.row)
        previous = customer.header.customer
        since = self._compare(customer, event, raw, None)
        if since is None:
            return
        self._rebuild(customer)
        why = _Why(Change.RENAMED, event.identifiers, event.event_id, event.time)
        self._announce(customer, (previous,), why)
        self._rules.on_history(customer, since, stamp)
        self.save(customer)

    def take_over(self, customer: Customer, message: Merge) -> set[str]:
        """Take in a part of another component's history; return the identifiers that live here now."""
        header, opening = customer.header, message.opening
        first, previous = header.first, header.customer
        self._tables.customers.put(customer.prefix, customer.row)
        self._tables.components.put(customer.prefix, header)
        was_settled = customer.settled
        _count_chunk(customer.row.incoming, message)
        if opening is not None:
            self._rules.join(customer, opening.rules, message.stamp)
        events = [decode_event(moved.event) for moved in message.rows]
        clashing, changed = self._take_rows(customer, message.rows, events, first)
        for event, moved in clashing:
            since = self._compare(customer, event, bytes(moved.event), moved)
            changed += [] if since is None else [since]
        if clashing and changed:
            self._rebuild(customer)
        time = max((event.time for event in events), default=header.first_time)
        if opening is not None:
            self._announce(
                customer, (previous, opening.customer), _Why(Change.MERGED, opening.cause, None, time)
            )
        else:
            self._announce(customer, (previous,), _Why(Change.RENAMED, (header.first,), None, time))
        everything = not changed or (customer.settled and not was_settled)
        self._rules.on_history(customer, None if everything else min(changed), message.stamp)
        self.save(customer)
        return {identifier for event in events for identifier in event.identifiers}

    def _take_rows(
        self, customer: Customer, rows: Sequence[Moved], events: Sequence[Event], first: str
    ) -> tuple[list[tuple[Event, Moved]], list[int]]:
        """Take in what isn't there yet; return what is, and the times of what was taken in."""
        prefix, header, row = customer.prefix, customer.header, customer.row
        fresh: list[tuple[Event, Moved]] = []
        clashing: list[tuple[Event, Moved]] = []
        for event, moved in zip(events, rows, strict=True):
            if self.timelines.holds(prefix, event.event_id):
                clashing.append((event, moved))
            else:
                fresh.append((event, moved))
                self.evidence.note(prefix, header, event)
        self._settle_id(customer, first)
        in_order = True
        for event, moved in fresh:
            in_order &= apply(row.profile, event)
            stays = moved.customer == header.customer
            revision = moved.revision if stays else moved.revision + 1
            self.timelines.put(prefix, event, TimelineRow(bytes(moved.event), header.customer, revision))
            if not stays:
                self._effects.moved(header.customer, moved.customer, event, revision)
        if not in_order:
            row.profile = fold(self.timelines.history(prefix))
        return clashing, [event.time for event, _ in fresh]

    def _compare(self, customer: Customer, event: Event, raw: bytes, moved: Moved | None) -> int | None:
        """Decide between an event and the one that stands under its id.

        Returns:
            The earlier of their times if another content stands now, else None.
        """
        prefix, owner = customer.prefix, customer.header.customer
        row = self.timelines.get(prefix, event.event_id)
        if row is None:
            raise LookupError("an event's id is in the index, but its row isn't on the timeline")
        standing = decode_event(row.event)
        wins = arrived_before(event, standing)
        same = same_content(event, standing)
        if same:
            self._effects.duplicate(event)
        elif wins:
            self._effects.conflict(standing, event)
        else:
            self._effects.conflict(event, standing)
        replaced = wins and not same
        if replaced:
            self.timelines.remove(prefix, standing)
        published_elsewhere = moved is not None and (moved.customer != owner or not same)
        if wins or published_elsewhere:
            quiet = same and not published_elsewhere
            self._publish_again(customer, row, moved, raw if wins else row.event, quiet=quiet)
        elif moved is not None and moved.revision > row.revision:
            row.revision = moved.revision  # readers have seen it; what is published next must be higher
            self.timelines.put(prefix, standing, row)
        return min(event.time, standing.time) if replaced else None

    def _publish_again(
        self, customer: Customer, row: TimelineRow, moved: Moved | None, raw: bytes, *, quiet: bool
    ) -> None:
        """Write the content that stands; `quiet`: readers have no need to know."""
        event = decode_event(raw)
        revision = row.revision if moved is None else max(row.revision, moved.revision)
        if quiet:
            again = TimelineRow(raw, row.customer, revision)
        else:
            owner, previous = customer.header.customer, row.customer
            if moved is not None and moved.customer != owner:
                previous = moved.customer
            again = TimelineRow(raw, owner, revision + 1)
            self._effects.moved(owner, previous, event, revision + 1)
        self.timelines.put(customer.prefix, event, again)

    def _rebuild(self, customer: Customer) -> None:
        """Derive everything again from the timeline: an event went, and what it proved with it."""
        prefix, header = customer.prefix, customer.header
        self.evidence.forget(prefix)
        header.size, header.first, header.first_time = 0, "", 0
        for event in self.timelines.history(prefix):
            self.evidence.note(prefix, header, event)
        previous = header.customer
        self._settle_id(customer, "")
        if header.customer != previous:
            self.republish(customer, None)
        customer.row.profile = fold(self.timelines.history(prefix))

    def _settle_id(self, customer: Customer, first: str) -> None:
        """Have the id agree with the first identifier, which was `first` before."""
        header = customer.header
        if header.first != first:
            header.customer = customer_id(header.first, self._key)
        self._tables.components.put(customer.prefix, header)

    def _announce(self, customer: Customer, previous: Sequence[str], why: _Why) -> None:
        """Report how the customer got its id, and have its rows published under it."""
        owner = customer.header.customer
        if not any(previous):
            why = why._replace(change=Change.CREATED)
            self._effects.identity(IdentityChange(why.change, owner, None, *why[1:]))
            return
        for old in previous:
            if old not in ("", owner):
                self._effects.identity(IdentityChange(why.change, owner, old, *why[1:]))
        if previous[0] not in ("", owner):
            self.republish(customer, None)

    def republish(self, customer: Customer, cursor: bytes | None) -> None:
        """Publish rows again that were published under another id, from a key on: a step's worth.

        The header's cursor says where it goes on: a step that was asked for twice is made once, and a new id
        that comes meanwhile starts from the beginning.
        """
        owner = customer.header.customer
        rows, following = self.timelines.part(customer.prefix, cursor, *self._limits)
        for key, row in rows:
            if row.customer != owner:
                previous, row.customer, row.revision = row.customer, owner, row.revision + 1
                self.timelines.rewrite(key, row)
                self._effects.moved(owner, previous, decode_event(row.event), row.revision)
        header, following = customer.header, following or b""
        if header.cursor != following:
            header.cursor = following
            self._tables.components.put(customer.prefix, header)
        if following:
            self._effects.send(Topic.COMPONENTS, customer.label, Republish(customer.label, following))

    def save(self, customer: Customer) -> None:
        """Write the customer's row, and have the profile published."""
        self._tables.customers.put(customer.prefix, customer.row)
        self._effects.profile(customer)


def _count_chunk(incoming: dict[str, int], message: Merge) -> None:
    """Note a chunk of a merge; it is over when all have come, in whatever order (see `CustomerRow`)."""
    arrived = dict(message.opening.incoming) if message.opening is not None else {}
    arrived[message.loser] = arrived.get(message.loser, 0) + 1 - (message.chunk + 1 if message.last else 0)
    for loser, count in arrived.items():
        total = incoming.pop(loser, 0) + count
        if total:
            incoming[loser] = total
