"""Components: identifiers that live together because evidence connects them (design: IDENTITY).

The component's side of the protocol, as a pure state machine. A component only grows, or joins another:

1. A redirect is written once, and never overwritten; it points to a smaller label, so there are no circles.
   (Shortening a way of several redirects by writing one anew loses unions that are under way.)
2. A redirected component passes on whatever comes for it.
3. A union is complete for its readers from the moment the redirect is written: everything that was held is
   on its way, in chunks, evidence before events; the winner is consistent after each.
4. Every transition may happen twice, and in any order; but for MERGE, whose chunks are counted: that each
   happens once is the epoch's promise.

message    at         redirected to r             otherwise
-------    --         ---------------             ---------
EVENT      component  forward to r                take it in.  If it was forwarded: REPOINT its identifiers
COMMAND    component  forward to r                follow it, or, to erase, have it wait (see `erasing`).  If it
                                                  was forwarded: REPOINT its identifiers
UNION      loser      r is the winner: nothing.   not granted: OFFER to the winner.
                      Else UNION of r and winner  granted: redirect; send MERGE, and DRAIN to itself if more
OFFER      winner     forward to r                room for the loser: UNION, granted.  None: refuse, report
MERGE      winner     forward to r                take it in.  REPOINT every identifier in it
DRAIN      loser      send the next MERGE         -
REPAIR     component  -                           move the next rows to whose they are now
FOLD       component  -                           fold a customer's next events again

REFERENCE  (at every partition)                   note it, and take it to whom it concerns (see `spreading`)
SPREAD     (at a partition, from itself)          take it to further customers

OFFER is what the cap on identifiers costs: only the winner knows its own size, and a loser that has been
redirected can't come back. Components may pass the cap by events that name new identifiers, never by unions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from stream_app.domain import chosen
from stream_app.domain.commands import Op
from stream_app.domain.customer import At, Customers
from stream_app.domain.drain import Drains
from stream_app.domain.erasing import Erasing
from stream_app.domain.folding import FoldLimits
from stream_app.domain.identities import links_between
from stream_app.domain.keys import label_key
from stream_app.domain.labels import ordered
from stream_app.domain.messages import (
    CommandTo,
    Drain,
    EventTo,
    Fold,
    Merge,
    Offer,
    ReferenceRows,
    Repair,
    Repoint,
    Spread,
    Topic,
    Union,
    addressee,
    decode_brief,
    decode_event,
)
from stream_app.domain.operators import Operators
from stream_app.domain.repair import Limits, Repairs
from stream_app.domain.rows import Header
from stream_app.domain.rule_fold import NoRules
from stream_app.domain.spreading import Spreading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from stream_app.domain.chosen import Waiting
    from stream_app.domain.customer import Customer
    from stream_app.domain.effects import Effects
    from stream_app.domain.event import Event
    from stream_app.domain.identities import Identities
    from stream_app.domain.labels import Labels
    from stream_app.domain.messages import ComponentMessage, Message
    from stream_app.domain.policy import IdentityPolicy
    from stream_app.domain.ports import Clock, ComponentTables
    from stream_app.domain.profile import Place
    from stream_app.domain.reference import References
    from stream_app.domain.rule_fold import RuleFold


def gather_events(messages: list[ComponentMessage], start: int, waiting: dict[str, list[Waiting]]) -> int:
    """Add events to those that wait, by component; return the place of the first message that is none."""
    for place in range(start, len(messages)):
        message = messages[place]
        if type(message) is not EventTo:
            return place
        event = decode_event(message.event)
        waiting.setdefault(message.label, []).append((event.order, place, event, message))
    return len(messages)


class Components:
    """The components of one partition of `identity.components`."""

    def __init__(
        self,
        policy: IdentityPolicy,
        key: bytes,
        tables: ComponentTables,
        effects: Effects,
        labels: Labels,
        rules: RuleFold | None = None,
        *,
        limits: Limits | None = None,
        folding: FoldLimits | None = None,
        clock: Clock | None = None,
        references: References | None = None,
    ) -> None:
        """Serve `tables`. `key` is the secret of the customer ids; where there is no clock, nothing waits for it."""
        limits = Limits() if limits is None else limits
        self._policy = policy
        self._headers = tables.components
        self._effects = effects
        self._customers = Customers(
            policy,
            key,
            tables,
            effects,
            rules or NoRules(),
            labels,
            folding or FoldLimits(),
            clock,
            references,
        )
        self._usual = None if chosen.usual_events is None else chosen.usual_events(self._customers)
        self._repairs = Repairs(self._customers, limits)
        self._drains = Drains(self._customers, limits)
        self._operators = Operators(self._customers)
        self._erasing = Erasing(policy, self._customers, clock)
        self._repairs.rested = self._erasing.rested
        self._spreading = Spreading(self._customers, self.customer)
        self._transitions: dict[type, Callable[[Any], None]] = {
            CommandTo: self._command,
            Union: self._union,
            Offer: self._offer,
            Merge: self._merge,
            Drain: self._drain,
            Repair: self._repair,
            Fold: self._fold,
            ReferenceRows: self._spreading.take,
            Spread: self._spreading.go_on,
        }

    def handle(self, message: ComponentMessage) -> None:
        """Make the transition that a message asks for."""
        self.handle_all((message,))

    def handle_all(self, messages: Iterable[ComponentMessage]) -> None:
        """Make the transitions of a batch; each component's events by their times, as far as the rest lets them.

        Any order would do: an event that time hasn't passed decides nothing yet, and those that it has are folded
        together. But channels come side by side, and an event behind a later one is a fold made again.
        """
        batch = [*messages]
        waiting: dict[str, list[Waiting]] = {}
        gather = gather_events if self._usual is None else self._usual.gather
        place = gather(batch, 0, waiting)
        while place < len(batch):
            message = batch[place]
            if waiting:
                label = addressee(message)
                for one in [label] if label else list(waiting):
                    self._events(waiting.pop(one, []))
            self._transitions[type(message)](message)
            place = gather(batch, place + 1, waiting)
        for events in waiting.values():
            self._events(events)

    def flush(self) -> None:
        """End an epoch: fold again whoever must be, as far as an epoch goes."""
        self._customers.folds.flush(self.customer)
        self._spreading.flush()

    def wake(self, label: str) -> None:
        """Take a timer that was set by the clock's `wake`; a component that has joined another has sent on all."""
        at = self._at(label)
        if not at.header.redirect:
            self._erasing.wake(at)

    def reset(self) -> None:
        """Forget what is in memory: the rows were rolled back."""
        self._customers.evidence.reset()
        self._customers.folds.reset()
        self._spreading.reset()
        self._customers.references.reset()

    # -- what others may ask ----------------------------------------------------------------------------

    def redirect(self, label: str) -> str | None:
        """Return the component that `label` has joined, or None."""
        return self._at(label).header.redirect or None

    def customer(self, label: str, slot: int) -> Customer | None:
        """Return a customer of a component; None where there is none, or the component has joined another."""
        at = self._at(label)
        if at.header.redirect:
            return None
        customer = self._customers.open(at, slot)
        return customer if customer.id else None

    def has(self, customer: Customer) -> bool:
        """Tell whether a customer that was here in this epoch still is."""
        tables, at = self._customers.tables, customer.at
        header, row = tables.components.get(at.prefix), tables.customers.get(customer.prefix)
        return header is not None and not header.redirect and row is not None and bool(row.id)

    def identities(self, label: str) -> Identities:
        """Return who is who in a component that isn't redirected; don't change it."""
        return self._customers.home(self._at(label)).identities

    def links_between(self, customer: Customer, event_ids: Iterable[str], most: int) -> list[tuple[str, str]]:
        """Return the links that make events one customer's: (stronger, weaker), at most so many."""
        anchors = []
        for event_id in event_ids:
            place = self._customers.timelines.place(customer.at.prefix, event_id)
            if place is not None and place.slot == customer.slot:
                row = self._customers.timelines.get(customer.at.prefix, place, event_id)
                anchors.append(decode_brief(row.event).identifiers)
        if len({*anchors}) < 2:  # noqa: PLR2004 - the same identifiers need no evidence
            return []
        return links_between(self._customers.home(customer.at).identities, anchors, most)

    def save(self, customer: Customer) -> None:
        """Write a customer whose rules' state was changed outside of `handle`; the profile is what it was."""
        self._customers.tables.customers.put(customer.prefix, customer.row)

    def fold_again(self, customer: Customer, since: Place, stamp: int) -> None:
        """Have a customer folded again from a place on, and so its rules decide; when its rows are at rest."""
        self._customers.fold_again(customer, since, stamp)

    # -- transitions ------------------------------------------------------------------------------------

    def _events(self, events: list[Waiting]) -> None:
        """Take in a component's events by time; of equal ones (copies) the first first."""
        if len(events) > 1:
            events.sort()
        place = 0
        while place < len(events):
            if self._usual is not None:
                place = self._usual.take(events, place)
            for _, _, event, message in events[place : place + 1]:
                self._event(message, event)
            place += 1

    def _event(self, message: EventTo, event: Event) -> None:
        at = self._at(message.label)
        if at.header.redirect:
            self._pass_on(message, at)
            return
        if message.origin:
            labels = map(self._customers.labels.of, event.identifiers)
            self._repoint(labels, message.label, message.origin, message.stamp)
        self._customers.take_in(at, event, bytes(message.event), message.payload, message.stamp)

    def _command(self, message: CommandTo) -> None:
        at = self._at(message.label)
        if at.header.redirect:
            self._pass_on(message, at)
            return
        if message.origin:
            linked = message.labels if message.command.op is Op.ASSERT else message.labels[:1]
            self._repoint(linked, message.label, message.origin, message.stamp)
        if message.command.op is Op.ERASE:
            self._erasing.take(at, message.command, message.labels, message.stamp)
        else:
            self._operators.follow(at, message.command, message.stamp)

    def _pass_on(self, message: EventTo | CommandTo, at: At) -> None:
        winner = at.header.redirect
        self._forward(
            winner, msgspec.structs.replace(message, label=winner, origin=message.origin or message.label)
        )

    def _union(self, message: Union) -> None:
        loser, winner = message.loser, message.winner
        at = self._at(loser)
        header = at.header
        if header.redirect == winner:
            return
        if header.redirect:
            winner, loser = ordered(header.redirect, winner)
            self._send(loser, Union(loser, winner, message.stamp))
        elif message.granted:
            self._drains.begin(at, winner, message.stamp)
        else:
            self._send(winner, Offer(winner, loser, header.size, message.stamp))

    def _offer(self, message: Offer) -> None:
        header = self._at(message.winner).header
        if header.redirect:
            self._send(header.redirect, msgspec.structs.replace(message, winner=header.redirect))
            return
        size = header.size + message.size
        if size > self._policy.component_cap:
            self._effects.union_refused(size)
            return
        self._send(message.loser, Union(message.loser, message.winner, message.stamp, granted=True))

    def _merge(self, message: Merge) -> None:
        at = self._at(message.winner)
        winner = at.header.redirect
        if winner:
            self._forward(winner, msgspec.structs.replace(message, winner=winner))
            return
        labels = self._drains.take_over(at, message)
        self._repoint(sorted(labels), message.winner, message.loser, message.stamp)

    def _drain(self, message: Drain) -> None:
        at = self._at(message.label)
        if at.header.redirect and at.header.chunk == message.chunk:
            self._drains.go_on(at, message)

    def _repair(self, message: Repair) -> None:
        at = self._at(message.label)
        if not at.header.redirect:
            self._repairs.step(at, message)

    def _fold(self, message: Fold) -> None:
        customer = self.customer(message.label, message.slot)
        if customer is not None:
            self._customers.folds.go_on(customer, message.step)

    # -- sending ----------------------------------------------------------------------------------------

    def _at(self, label: str) -> At:
        prefix = label_key(label)
        header = self._headers.get(prefix)
        return At(label, prefix, Header() if header is None else header)

    def _send(self, label: str, message: Message) -> None:
        self._effects.send(Topic.COMPONENTS, label, message)

    def _forward(self, label: str, message: Message) -> None:
        self._effects.forwarded()
        self._send(label, message)

    def _repoint(self, identifiers: Iterable[str], label: str, origin: str, stamp: int) -> None:
        for own in identifiers:
            self._effects.send(Topic.LOOKUP, own, Repoint(own, label, origin, stamp))
